/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <glib.h>

#include <vmem/bitmap.h>

#include "base/alloc.h"
#include "core/bitmap.h"

#define UNTOUCHED UINT64_C(0xdeadbeefdeadbeef)
#define MAX_RUNS 16U

/* What a walk told, to be judged after it. */
struct record {
    struct vmem_bitmap_run runs[MAX_RUNS];
    unsigned nr_runs;
    unsigned stop_at; /* Answer stop_value at this call, counted from 1. */
    int stop_value;
};

static int record_run(const struct vmem_bitmap_run *run, void *opaque)
{
    struct record *record = opaque;

    if (record->nr_runs < MAX_RUNS) {
        record->runs[record->nr_runs] = *run;
    }
    record->nr_runs++;
    return record->nr_runs == record->stop_at ? record->stop_value : 0;
}

static struct vmem_bitmap *make(uint64_t nr_blocks)
{
    struct vmem_bitmap *bitmap = NULL;

    assert_int_equal(vmem_bitmap_new(nr_blocks, &bitmap), 0);
    assert_non_null(bitmap);
    assert_true(vmemi_bitmap_is_consistent(bitmap));
    return bitmap;
}

static void set_ok(struct vmem_bitmap *bitmap, uint64_t first_block,
                   uint64_t nr_blocks, uint64_t expected_changed)
{
    uint64_t nr_changed = UNTOUCHED;

    assert_int_equal(
        vmem_bitmap_set(bitmap, first_block, nr_blocks, &nr_changed), 0);
    assert_int_equal(nr_changed, expected_changed);
    assert_true(vmemi_bitmap_is_consistent(bitmap));
}

static void clear_ok(struct vmem_bitmap *bitmap, uint64_t first_block,
                     uint64_t nr_blocks, uint64_t expected_changed)
{
    uint64_t nr_changed = UNTOUCHED;

    assert_int_equal(
        vmem_bitmap_clear(bitmap, first_block, nr_blocks, &nr_changed), 0);
    assert_int_equal(nr_changed, expected_changed);
    assert_true(vmemi_bitmap_is_consistent(bitmap));
}

static void assert_runs(const struct record *record,
                        const struct vmem_bitmap_run *expected,
                        unsigned nr_expected)
{
    assert_int_equal(record->nr_runs, nr_expected);
    for (unsigned i = 0; i < nr_expected; i++) {
        assert_int_equal(record->runs[i].first_block, expected[i].first_block);
        assert_int_equal(record->runs[i].nr_blocks, expected[i].nr_blocks);
    }
}

static void a_new_bitmap_is_clear_whatever_its_size(void **state)
{
    static const uint64_t sizes[] = { 0,   1,    63,   64,   65,  127,
                                      128, 4095, 4096, 4097, 8191 };
    (void)state;

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        struct vmem_bitmap *bitmap = make(sizes[i]);

        assert_int_equal(vmem_bitmap_get_nr_blocks(bitmap), sizes[i]);
        assert_int_equal(vmem_bitmap_get_nr_set(bitmap), 0);
        assert_int_equal(vmem_bitmap_get_state(bitmap, 0, sizes[i]),
                         VMEM_BITMAP_ALL_CLEAR);
        assert_int_equal(vmem_bitmap_next_set(bitmap, 0, UINT64_MAX), sizes[i]);
        vmem_bitmap_free(bitmap);
    }
}

static void new_refuses_a_null_result_and_too_many_blocks(void **state)
{
    struct vmem_bitmap *bitmap = (struct vmem_bitmap *)state;

    assert_int_equal(vmem_bitmap_new(1, NULL), -EINVAL);
    assert_int_equal(vmem_bitmap_new(VMEM_BITMAP_MAX_BLOCKS + 1, &bitmap),
                     -ERANGE);
    assert_int_equal(vmem_bitmap_new(UINT64_MAX, &bitmap), -ERANGE);
    assert_ptr_equal(bitmap, state);
}

static unsigned nr_asked;
static size_t last_asked;
static bool refuse_memory;

static bool count_allocation(size_t size)
{
    nr_asked++;
    last_asked = size;
    return !refuse_memory;
}

static int watch_allocations(void **state)
{
    (void)state;
    nr_asked = 0;
    last_asked = 0;
    refuse_memory = false;
    vmemi_alloc_set_hook(count_allocation);
    return 0;
}

static int unwatch_allocations(void **state)
{
    (void)state;
    vmemi_alloc_set_hook(NULL);
    return 0;
}

static void new_reports_that_memory_ran_out_and_leaves_the_result(void **state)
{
    struct vmem_bitmap *bitmap = (struct vmem_bitmap *)state;

    refuse_memory = true;
    assert_int_equal(vmem_bitmap_new(100, &bitmap), -ENOMEM);
    assert_int_equal(nr_asked, 1);
    assert_ptr_equal(bitmap, state);
}

static void a_bitmap_is_one_allocation_of_the_announced_size(void **state)
{
    static const uint64_t sizes[] = { 0, 1, 64, 4096, 4097, 1000000 };
    (void)state;

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        nr_asked = 0;
        vmem_bitmap_free(make(sizes[i]));
        assert_int_equal(nr_asked, 1);
        assert_int_equal(last_asked, vmemi_bitmap_bytes(sizes[i]));
    }
}

static void no_operation_allocates(void **state)
{
    struct record record = { .nr_runs = 0 };
    struct vmem_bitmap *bitmap;
    uint64_t words[4];

    (void)state;
    bitmap = make(10000);
    nr_asked = 0;
    refuse_memory = true;
    set_ok(bitmap, 10, 9000, 9000);
    clear_ok(bitmap, 500, 5, 5);
    vmem_bitmap_is_set(bitmap, 11);
    vmem_bitmap_get_state(bitmap, 0, 10000);
    vmem_bitmap_count(bitmap, 0, 9000);
    vmem_bitmap_next_set(bitmap, 0, 10000);
    vmem_bitmap_next_clear(bitmap, 11, 10000);
    vmem_bitmap_for_each_set(bitmap, 0, 10000, record_run, &record);
    vmem_bitmap_for_each_clear(bitmap, 0, 10000, record_run, &record);
    vmem_bitmap_copy_out(bitmap, 7, 200, words);
    vmem_bitmap_free(bitmap);
    assert_int_equal(nr_asked, 0);
}

/* What the other tests rely on when they ask for it. */
static void broken_books_are_noticed(void **state)
{
    struct vmem_bitmap *bitmap = make(100);

    (void)state;
    set_ok(bitmap, 10, 20, 20);
    bitmap->words[0] ^= UINT64_C(1) << 40; /* a bit that nobody counted */
    assert_false(vmemi_bitmap_is_consistent(bitmap));
    bitmap->words[0] ^= UINT64_C(1) << 40;
    bitmap->words[2] ^= 1; /* the summary, right behind two words */
    assert_false(vmemi_bitmap_is_consistent(bitmap));
    bitmap->words[2] ^= 1;
    assert_true(vmemi_bitmap_is_consistent(bitmap));
    set_ok(bitmap, 64, 36, 36);
    bitmap->words[1] |= UINT64_C(1) << 36; /* behind the last block */
    bitmap->nr_set++;
    assert_false(vmemi_bitmap_is_consistent(bitmap));
    assert_false(vmemi_bitmap_is_consistent(NULL));
    vmem_bitmap_free(bitmap);
}

static void free_takes_null(void **state)
{
    (void)state;
    vmem_bitmap_free(NULL);
}

static void a_bitmap_takes_at_most_1_05_bits_per_block(void **state)
{
    static const uint64_t sizes[] = {
        4096,
        8192,
        8193,
        10000,
        12289,
        65537,
        1000003,
        (uint64_t)1 << 22,
        ((uint64_t)1 << 22) + 1,
        (uint64_t)1 << 28,
        VMEM_BITMAP_MAX_BLOCKS - 1,
        VMEM_BITMAP_MAX_BLOCKS,
    };
    (void)state;

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint64_t nr_bits = (uint64_t)vmemi_bitmap_bytes(sizes[i]) * 8;

        assert_true(nr_bits * 100 <= sizes[i] * 105);
    }
}

struct range_case {
    uint64_t first_block;
    uint64_t nr_blocks;
    int expected;
};

/* For a bitmap of 200 blocks. */
static const struct range_case range_cases[] = {
    { 0, 0, 0 },
    { 0, 200, 0 },
    { 200, 0, 0 },
    { 199, 1, 0 },
    { 199, 2, -ERANGE },
    { 200, 1, -ERANGE },
    { 201, 0, -ERANGE },
    { 0, 201, -ERANGE },
    { 1, UINT64_MAX, -ERANGE },
    { UINT64_MAX, 0, -ERANGE },
    { UINT64_MAX, 1, -ERANGE },
    { UINT64_MAX, UINT64_MAX, -ERANGE },
};

static void a_change_that_leaves_the_bitmap_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(range_cases); i++) {
        const struct range_case *c = &range_cases[i];
        struct vmem_bitmap *bitmap = make(200);
        uint64_t nr_changed = UNTOUCHED;
        uint64_t expected = c->expected == 0 ? c->nr_blocks : UNTOUCHED;
        uint64_t nr_left = c->expected == 0 ? 200 - c->nr_blocks : 200;

        assert_int_equal(
            vmem_bitmap_set(bitmap, c->first_block, c->nr_blocks, &nr_changed),
            c->expected);
        assert_int_equal(nr_changed, expected);
        assert_int_equal(vmem_bitmap_get_nr_set(bitmap),
                         c->expected == 0 ? c->nr_blocks : 0);
        assert_true(vmemi_bitmap_is_consistent(bitmap));

        assert_int_equal(vmem_bitmap_set(bitmap, 0, 200, NULL), 0);
        nr_changed = UNTOUCHED;
        assert_int_equal(vmem_bitmap_clear(bitmap, c->first_block, c->nr_blocks,
                                           &nr_changed),
                         c->expected);
        assert_int_equal(nr_changed, expected);
        assert_int_equal(vmem_bitmap_get_nr_set(bitmap), nr_left);
        assert_true(vmemi_bitmap_is_consistent(bitmap));
        vmem_bitmap_free(bitmap);
    }
}

static void a_missing_bitmap_is_refused_or_empty(void **state)
{
    struct record record = { .nr_runs = 0 };
    uint64_t number = UNTOUCHED;

    (void)state;
    assert_int_equal(vmem_bitmap_set(NULL, 0, 0, &number), -EINVAL);
    assert_int_equal(vmem_bitmap_clear(NULL, 0, 0, &number), -EINVAL);
    assert_int_equal(vmem_bitmap_copy_out(NULL, 0, 0, &number), -EINVAL);
    assert_int_equal(number, UNTOUCHED);
    assert_int_equal(vmem_bitmap_for_each_set(NULL, 0, 1, record_run, &record),
                     -EINVAL);
    assert_int_equal(
        vmem_bitmap_for_each_clear(NULL, 0, 1, record_run, &record), -EINVAL);
    assert_int_equal(record.nr_runs, 0);
    assert_int_equal(vmem_bitmap_get_nr_blocks(NULL), 0);
    assert_int_equal(vmem_bitmap_get_nr_set(NULL), 0);
    assert_int_equal(vmem_bitmap_count(NULL, 0, 1), 0);
    assert_int_equal(vmem_bitmap_next_set(NULL, 0, 1), 0);
    assert_int_equal(vmem_bitmap_next_clear(NULL, 0, 1), 0);
    assert_int_equal(vmem_bitmap_get_state(NULL, 0, 1), VMEM_BITMAP_ALL_CLEAR);
    assert_false(vmem_bitmap_is_set(NULL, 0));
    assert_false(vmemi_bitmap_is_consistent(NULL));
}

static void walks_and_copies_refuse_a_missing_argument(void **state)
{
    struct vmem_bitmap *bitmap = make(10);

    (void)state;
    assert_int_equal(vmem_bitmap_for_each_set(bitmap, 0, 10, NULL, NULL),
                     -EINVAL);
    assert_int_equal(vmem_bitmap_for_each_clear(bitmap, 0, 10, NULL, NULL),
                     -EINVAL);
    assert_int_equal(vmem_bitmap_copy_out(bitmap, 0, 10, NULL), -EINVAL);
    vmem_bitmap_free(bitmap);
}

static void a_bitmap_of_no_blocks_answers_everything(void **state)
{
    struct vmem_bitmap *bitmap = make(0);
    struct record record = { .nr_runs = 0 };
    uint64_t word = UNTOUCHED;

    (void)state;
    set_ok(bitmap, 0, 0, 0);
    clear_ok(bitmap, 0, 0, 0);
    assert_int_equal(vmem_bitmap_set(bitmap, 0, 1, NULL), -ERANGE);
    assert_int_equal(vmem_bitmap_clear(bitmap, 0, 1, NULL), -ERANGE);
    assert_false(vmem_bitmap_is_set(bitmap, 0));
    assert_int_equal(vmem_bitmap_get_state(bitmap, 0, UINT64_MAX),
                     VMEM_BITMAP_ALL_CLEAR);
    assert_int_equal(vmem_bitmap_count(bitmap, 0, UINT64_MAX), 0);
    assert_int_equal(vmem_bitmap_next_set(bitmap, 0, 5), 0);
    assert_int_equal(vmem_bitmap_next_clear(bitmap, 0, 5), 0);
    assert_int_equal(
        vmem_bitmap_for_each_set(bitmap, 0, UINT64_MAX, record_run, &record),
        0);
    assert_int_equal(
        vmem_bitmap_for_each_clear(bitmap, 0, UINT64_MAX, record_run, &record),
        0);
    assert_int_equal(record.nr_runs, 0);
    assert_int_equal(vmem_bitmap_copy_out(bitmap, 0, 0, &word), 0);
    assert_int_equal(word, UNTOUCHED);
    vmem_bitmap_free(bitmap);
}

static void changes_count_only_what_changed(void **state)
{
    struct vmem_bitmap *bitmap = make(1000);

    (void)state;
    set_ok(bitmap, 100, 100, 100);
    set_ok(bitmap, 100, 100, 0);
    set_ok(bitmap, 50, 100, 50);
    set_ok(bitmap, 0, 1000, 850);
    set_ok(bitmap, 0, 1000, 0);
    assert_int_equal(vmem_bitmap_get_nr_set(bitmap), 1000);
    clear_ok(bitmap, 64, 64, 64);
    clear_ok(bitmap, 63, 66, 2);
    clear_ok(bitmap, 0, 1000, 934);
    clear_ok(bitmap, 0, 1000, 0);
    assert_int_equal(vmem_bitmap_get_nr_set(bitmap), 0);
    vmem_bitmap_free(bitmap);
}

/* A range in a bitmap of 8300 blocks: two summary words and a few blocks. */
static const struct vmem_bitmap_run boundary_cases[] = {
    { 0, 1 },     { 63, 1 },   { 64, 1 },      { 63, 2 },      { 0, 64 },
    { 0, 65 },    { 1, 63 },   { 64, 64 },     { 1, 127 },     { 63, 66 },
    { 0, 128 },   { 64, 192 }, { 4031, 65 },   { 4095, 1 },    { 4096, 1 },
    { 4095, 2 },  { 0, 4096 }, { 0, 4097 },    { 4096, 4096 }, { 4032, 128 },
    { 1, 8190 },  { 8191, 1 }, { 8192, 1 },    { 8191, 2 },    { 8256, 44 },
    { 8299, 1 },  { 0, 8300 }, { 4095, 4098 }, { 100, 8200 },  { 4160, 4140 },
    { 4033, 63 }, { 1, 8299 },
};

static void check_one_run(const struct vmem_bitmap *bitmap,
                          const struct vmem_bitmap_run *run)
{
    const uint64_t nr = vmem_bitmap_get_nr_blocks(bitmap);
    const uint64_t first = run->first_block;
    const uint64_t end = first + run->nr_blocks;
    const struct vmem_bitmap_run around[] = { { 0, first }, { end, nr - end } };
    struct record record = { .nr_runs = 0 };
    struct record gaps = { .nr_runs = 0 };

    assert_int_equal(vmem_bitmap_get_nr_set(bitmap), run->nr_blocks);
    assert_int_equal(vmem_bitmap_count(bitmap, 0, nr), run->nr_blocks);
    assert_int_equal(vmem_bitmap_count(bitmap, first, 1), 1);
    assert_true(vmem_bitmap_is_set(bitmap, first));
    assert_true(vmem_bitmap_is_set(bitmap, end - 1));
    assert_false(vmem_bitmap_is_set(bitmap, end));
    assert_false(first > 0 && vmem_bitmap_is_set(bitmap, first - 1));
    assert_int_equal(vmem_bitmap_next_set(bitmap, 0, nr), first);
    assert_int_equal(vmem_bitmap_next_clear(bitmap, first, nr), end);
    assert_int_equal(vmem_bitmap_next_set(bitmap, end, nr), nr);
    assert_int_equal(vmem_bitmap_get_state(bitmap, first, run->nr_blocks),
                     VMEM_BITMAP_ALL_SET);
    assert_int_equal(vmem_bitmap_get_state(bitmap, first, run->nr_blocks + 1),
                     VMEM_BITMAP_MIXED);
    assert_int_equal(vmem_bitmap_get_state(bitmap, 0, first),
                     VMEM_BITMAP_ALL_CLEAR);
    assert_int_equal(vmem_bitmap_get_state(bitmap, end, nr),
                     VMEM_BITMAP_ALL_CLEAR);

    assert_int_equal(
        vmem_bitmap_for_each_set(bitmap, 0, nr, record_run, &record), 0);
    assert_runs(&record, run, 1);
    assert_int_equal(
        vmem_bitmap_for_each_clear(bitmap, 0, nr, record_run, &gaps), 0);
    assert_runs(&gaps, first > 0 ? around : around + 1,
                (first > 0 ? 1U : 0U) + (end < nr ? 1U : 0U));
}

static void one_run_reads_the_same_across_every_word_boundary(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(boundary_cases); i++) {
        const struct vmem_bitmap_run *run = &boundary_cases[i];
        const uint64_t end = run->first_block + run->nr_blocks;
        struct vmem_bitmap *bitmap = make(8300);

        set_ok(bitmap, run->first_block, run->nr_blocks, run->nr_blocks);
        check_one_run(bitmap, run);
        clear_ok(bitmap, run->first_block, run->nr_blocks, run->nr_blocks);
        assert_int_equal(vmem_bitmap_next_set(bitmap, 0, 8300), 8300);

        set_ok(bitmap, 0, 8300, 8300);
        clear_ok(bitmap, 0, run->first_block, run->first_block);
        clear_ok(bitmap, end, 8300 - end, 8300 - end);
        check_one_run(bitmap, run);
        vmem_bitmap_free(bitmap);
    }
}

static void a_full_bitmap_with_a_tail_reads_full(void **state)
{
    (void)state;
    for (uint64_t nr = 1; nr <= 200; nr++) {
        const struct vmem_bitmap_run whole = { 0, nr };
        struct record record = { .nr_runs = 0 };
        struct vmem_bitmap *bitmap = make(nr);

        set_ok(bitmap, 0, nr, nr);
        assert_int_equal(vmem_bitmap_get_state(bitmap, 0, nr),
                         VMEM_BITMAP_ALL_SET);
        assert_int_equal(vmem_bitmap_next_clear(bitmap, 0, UINT64_MAX), nr);
        assert_int_equal(
            vmem_bitmap_for_each_clear(bitmap, 0, nr, record_run, &record), 0);
        assert_int_equal(record.nr_runs, 0);
        assert_int_equal(vmem_bitmap_for_each_set(bitmap, 0, UINT64_MAX,
                                                  record_run, &record),
                         0);
        assert_runs(&record, &whole, 1);
        vmem_bitmap_free(bitmap);
    }
}

struct query_case {
    uint64_t first_block;
    uint64_t nr_blocks;
    uint32_t state;
    uint64_t count;
};

/* 300 blocks, of which 100 to 299 are set. */
static const struct query_case tail_cases[] = {
    { 0, 0, VMEM_BITMAP_ALL_CLEAR, 0 },
    { 150, 0, VMEM_BITMAP_ALL_CLEAR, 0 },
    { 0, 100, VMEM_BITMAP_ALL_CLEAR, 0 },
    { 0, 101, VMEM_BITMAP_MIXED, 1 },
    { 99, 2, VMEM_BITMAP_MIXED, 1 },
    { 100, 1, VMEM_BITMAP_ALL_SET, 1 },
    { 100, 200, VMEM_BITMAP_ALL_SET, 200 },
    { 299, 1, VMEM_BITMAP_ALL_SET, 1 },
    { 299, 2, VMEM_BITMAP_MIXED, 1 },
    { 100, 201, VMEM_BITMAP_MIXED, 200 },
    { 200, UINT64_MAX, VMEM_BITMAP_MIXED, 100 },
    { 0, 300, VMEM_BITMAP_MIXED, 200 },
    { 0, UINT64_MAX, VMEM_BITMAP_MIXED, 200 },
    { 300, 1, VMEM_BITMAP_ALL_CLEAR, 0 },
    { 300, UINT64_MAX, VMEM_BITMAP_ALL_CLEAR, 0 },
    { UINT64_MAX, UINT64_MAX, VMEM_BITMAP_ALL_CLEAR, 0 },
};

static void what_lies_outside_counts_as_clear(void **state)
{
    struct vmem_bitmap *bitmap = make(300);

    (void)state;
    set_ok(bitmap, 100, 200, 200);
    for (size_t i = 0; i < G_N_ELEMENTS(tail_cases); i++) {
        const struct query_case *c = &tail_cases[i];

        assert_int_equal(
            vmem_bitmap_get_state(bitmap, c->first_block, c->nr_blocks),
            c->state);
        assert_int_equal(
            vmem_bitmap_count(bitmap, c->first_block, c->nr_blocks), c->count);
    }
    assert_false(vmem_bitmap_is_set(bitmap, 300));
    assert_false(vmem_bitmap_is_set(bitmap, 301));
    assert_false(vmem_bitmap_is_set(bitmap, UINT64_MAX));

    /* Nor does the short cut for a full bitmap forget the outside. */
    set_ok(bitmap, 0, 100, 100);
    assert_int_equal(vmem_bitmap_get_state(bitmap, 0, 300),
                     VMEM_BITMAP_ALL_SET);
    assert_int_equal(vmem_bitmap_get_state(bitmap, 17, 283),
                     VMEM_BITMAP_ALL_SET);
    assert_int_equal(vmem_bitmap_get_state(bitmap, 0, 301), VMEM_BITMAP_MIXED);
    assert_int_equal(vmem_bitmap_get_state(bitmap, 17, UINT64_MAX),
                     VMEM_BITMAP_MIXED);
    assert_int_equal(vmem_bitmap_get_state(bitmap, 300, 1),
                     VMEM_BITMAP_ALL_CLEAR);
    vmem_bitmap_free(bitmap);
}

struct search_case {
    uint64_t first_block;
    uint64_t end_block;
    uint64_t next_set;
    uint64_t next_clear;
};

/* 300 blocks, of which 100 to 199 are set. */
static const struct search_case search_cases[] = {
    { 0, 300, 100, 0 },     { 0, 100, 100, 0 },
    { 0, 50, 50, 0 },       { 0, 101, 100, 0 },
    { 100, 300, 100, 200 }, { 150, 300, 150, 200 },
    { 150, 170, 150, 170 }, { 199, 200, 199, 200 },
    { 200, 300, 300, 200 }, { 200, UINT64_MAX, 300, 200 },
    { 300, 300, 300, 300 }, { 500, UINT64_MAX, 300, 300 },
    { 120, 120, 120, 120 }, { 150, 120, 120, 120 },
    { 0, 0, 0, 0 },         { UINT64_MAX, UINT64_MAX, 300, 300 },
};

static void a_search_stops_at_its_end(void **state)
{
    struct vmem_bitmap *bitmap = make(300);

    (void)state;
    set_ok(bitmap, 100, 100, 100);
    for (size_t i = 0; i < G_N_ELEMENTS(search_cases); i++) {
        const struct search_case *c = &search_cases[i];

        assert_int_equal(
            vmem_bitmap_next_set(bitmap, c->first_block, c->end_block),
            c->next_set);
        assert_int_equal(
            vmem_bitmap_next_clear(bitmap, c->first_block, c->end_block),
            c->next_clear);
    }
    vmem_bitmap_free(bitmap);
}

struct walk_case {
    uint64_t first_block;
    uint64_t nr_blocks;
    unsigned nr_set;
    struct vmem_bitmap_run set[3];
    unsigned nr_clear;
    struct vmem_bitmap_run clear[3];
};

/* 200 blocks, of which 10 to 19, 60 to 69 and 190 to 199 are set. */
static const struct walk_case walk_cases[] = {
    { 0, 0, 0, { { 0, 0 } }, 0, { { 0, 0 } } },
    { 0,
      200,
      3,
      { { 10, 10 }, { 60, 10 }, { 190, 10 } },
      3,
      { { 0, 10 }, { 20, 40 }, { 70, 120 } } },
    { 0,
      UINT64_MAX,
      3,
      { { 10, 10 }, { 60, 10 }, { 190, 10 } },
      3,
      { { 0, 10 }, { 20, 40 }, { 70, 120 } } },
    { 15, 50, 2, { { 15, 5 }, { 60, 5 } }, 1, { { 20, 40 } } },
    { 20, 40, 0, { { 0, 0 } }, 1, { { 20, 40 } } },
    { 10, 10, 1, { { 10, 10 } }, 0, { { 0, 0 } } },
    { 63, 2, 1, { { 63, 2 } }, 0, { { 0, 0 } } },
    { 64, 1, 1, { { 64, 1 } }, 0, { { 0, 0 } } },
    { 69, 2, 1, { { 69, 1 } }, 1, { { 70, 1 } } },
    { 189, 100, 1, { { 190, 10 } }, 1, { { 189, 1 } } },
    { 199, 1, 1, { { 199, 1 } }, 0, { { 0, 0 } } },
    { 200, 1, 0, { { 0, 0 } }, 0, { { 0, 0 } } },
    { UINT64_MAX, UINT64_MAX, 0, { { 0, 0 } }, 0, { { 0, 0 } } },
};

static struct vmem_bitmap *make_three_runs(void)
{
    struct vmem_bitmap *bitmap = make(200);

    set_ok(bitmap, 10, 10, 10);
    set_ok(bitmap, 60, 10, 10);
    set_ok(bitmap, 190, 10, 10);
    return bitmap;
}

static void a_walk_tells_maximal_runs_cut_at_its_window(void **state)
{
    struct vmem_bitmap *bitmap = make_three_runs();

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(walk_cases); i++) {
        const struct walk_case *c = &walk_cases[i];
        struct record set = { .nr_runs = 0 };
        struct record clear = { .nr_runs = 0 };

        assert_int_equal(vmem_bitmap_for_each_set(bitmap, c->first_block,
                                                  c->nr_blocks, record_run,
                                                  &set),
                         0);
        assert_runs(&set, c->set, c->nr_set);
        assert_int_equal(vmem_bitmap_for_each_clear(bitmap, c->first_block,
                                                    c->nr_blocks, record_run,
                                                    &clear),
                         0);
        assert_runs(&clear, c->clear, c->nr_clear);
    }
    vmem_bitmap_free(bitmap);
}

static void a_walk_stops_at_any_run_and_returns_what_it_was_told(void **state)
{
    static const int values[] = { 1, -1, -ENOSPC, INT_MAX, INT_MIN };
    struct vmem_bitmap *bitmap = make_three_runs();

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        for (unsigned stop_at = 1; stop_at <= 4; stop_at++) {
            const int expected = stop_at <= 3 ? values[i] : 0;
            struct record set = { .stop_at = stop_at, .stop_value = values[i] };
            struct record clear = set;

            assert_int_equal(
                vmem_bitmap_for_each_set(bitmap, 0, 200, record_run, &set),
                expected);
            assert_int_equal(set.nr_runs, MIN(stop_at, 3));
            assert_int_equal(
                vmem_bitmap_for_each_clear(bitmap, 0, 200, record_run, &clear),
                expected);
            assert_int_equal(clear.nr_runs, MIN(stop_at, 3));
        }
    }
    vmem_bitmap_free(bitmap);
}

static bool word_bit(const uint64_t *words, uint64_t bit)
{
    return words[bit / 64] >> (bit % 64) & 1;
}

static void copy_out_packs_from_any_alignment_and_clears_the_rest(void **state)
{
    enum { NR_BLOCKS = 331, NR_WORDS = 6 };

    struct vmem_bitmap *bitmap = make(NR_BLOCKS);
    unsigned nr_wrong = 0;

    (void)state;
    for (uint64_t i = 0; i < NR_BLOCKS; i += 1 + i % 5) {
        set_ok(bitmap, i, 1, 1);
    }
    for (uint64_t first = 0; first <= NR_BLOCKS; first++) {
        for (uint64_t nr = 0; nr <= NR_BLOCKS - first; nr++) {
            const uint64_t nr_words = (nr + 63) / 64;
            uint64_t words[NR_WORDS + 1];

            memset(words, 0xa5, sizeof(words));
            nr_wrong += vmem_bitmap_copy_out(bitmap, first, nr, words) != 0;
            for (uint64_t bit = 0; bit < nr_words * 64; bit++) {
                const bool expected =
                    bit < nr && vmem_bitmap_is_set(bitmap, first + bit);

                nr_wrong += word_bit(words, bit) != expected;
            }
            nr_wrong += words[nr_words] != UINT64_C(0xa5a5a5a5a5a5a5a5);
        }
    }
    assert_int_equal(nr_wrong, 0);
    vmem_bitmap_free(bitmap);
}

static void copy_out_writes_nothing_when_the_range_leaves(void **state)
{
    struct vmem_bitmap *bitmap = make(200);

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(range_cases); i++) {
        const struct range_case *c = &range_cases[i];
        uint64_t words[4] = { UNTOUCHED, UNTOUCHED, UNTOUCHED, UNTOUCHED };

        assert_int_equal(
            vmem_bitmap_copy_out(bitmap, c->first_block, c->nr_blocks, words),
            c->expected);
        assert_int_equal(words[0],
                         c->expected == 0 && c->nr_blocks > 0 ? 0 : UNTOUCHED);
    }
    vmem_bitmap_free(bitmap);
}

static void an_alternating_bitmap_has_a_run_for_every_other_block(void **state)
{
    struct record record = { .nr_runs = 0 };
    struct vmem_bitmap *bitmap = make(9001);

    (void)state;
    for (uint64_t i = 0; i < 9001; i += 2) {
        assert_int_equal(vmem_bitmap_set(bitmap, i, 1, NULL), 0);
    }
    assert_true(vmemi_bitmap_is_consistent(bitmap));
    assert_int_equal(
        vmem_bitmap_for_each_set(bitmap, 0, 9001, record_run, &record), 0);
    assert_int_equal(record.nr_runs, 4501);
    record.nr_runs = 0;
    assert_int_equal(
        vmem_bitmap_for_each_clear(bitmap, 0, 9001, record_run, &record), 0);
    assert_int_equal(record.nr_runs, 4500);
    assert_int_equal(vmem_bitmap_count(bitmap, 1, 9000), 4500);
    clear_ok(bitmap, 1, 8999, 4499);
    set_ok(bitmap, 0, 9001, 8999);
    vmem_bitmap_free(bitmap);
}

static void the_largest_bitmap_works_to_its_last_block(void **state)
{
    const uint64_t nr = VMEM_BITMAP_MAX_BLOCKS;
    const struct vmem_bitmap_run expected[] = {
        { 0, 1 },
        { ((uint64_t)1 << 31) - 100, 50 },
        { ((uint64_t)1 << 31) + 50, 100000 },
        { nr - 1, 1 },
    };
    struct record record = { .nr_runs = 0 };
    struct vmem_bitmap *bitmap = make(nr);

    (void)state;
    assert_int_equal(vmem_bitmap_set(bitmap, 0, 1, NULL), 0);
    assert_int_equal(vmem_bitmap_set(bitmap, nr - 1, 1, NULL), 0);
    assert_int_equal(vmem_bitmap_set(bitmap, nr - 1, 2, NULL), -ERANGE);
    assert_int_equal(
        vmem_bitmap_set(bitmap, ((uint64_t)1 << 31) - 100, 100150, NULL), 0);
    assert_int_equal(
        vmem_bitmap_clear(bitmap, ((uint64_t)1 << 31) - 50, 100, NULL), 0);
    assert_int_equal(vmem_bitmap_get_nr_set(bitmap), 100052);
    assert_int_equal(vmem_bitmap_count(bitmap, 1, nr - 1), 100051);
    assert_int_equal(vmem_bitmap_get_state(bitmap, 0, nr), VMEM_BITMAP_MIXED);
    assert_int_equal(vmem_bitmap_get_state(bitmap, 1, (uint64_t)1 << 30),
                     VMEM_BITMAP_ALL_CLEAR);
    assert_true(vmem_bitmap_is_set(bitmap, nr - 1));
    assert_false(vmem_bitmap_is_set(bitmap, nr));
    assert_int_equal(
        vmem_bitmap_next_set(bitmap, (uint64_t)3 << 30, UINT64_MAX), nr - 1);
    assert_int_equal(
        vmem_bitmap_for_each_set(bitmap, 0, nr, record_run, &record), 0);
    assert_runs(&record, expected, G_N_ELEMENTS(expected));
    assert_true(vmemi_bitmap_is_consistent(bitmap));
    vmem_bitmap_free(bitmap);
}

#define test_watching_allocations(name)                                        \
    cmocka_unit_test_setup_teardown(name, watch_allocations,                   \
                                    unwatch_allocations)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_bitmap_is_clear_whatever_its_size),
        cmocka_unit_test(new_refuses_a_null_result_and_too_many_blocks),
        test_watching_allocations(
            new_reports_that_memory_ran_out_and_leaves_the_result),
        test_watching_allocations(
            a_bitmap_is_one_allocation_of_the_announced_size),
        test_watching_allocations(no_operation_allocates),
        cmocka_unit_test(broken_books_are_noticed),
        cmocka_unit_test(free_takes_null),
        cmocka_unit_test(a_bitmap_takes_at_most_1_05_bits_per_block),
        cmocka_unit_test(a_change_that_leaves_the_bitmap_changes_nothing),
        cmocka_unit_test(a_missing_bitmap_is_refused_or_empty),
        cmocka_unit_test(walks_and_copies_refuse_a_missing_argument),
        cmocka_unit_test(a_bitmap_of_no_blocks_answers_everything),
        cmocka_unit_test(changes_count_only_what_changed),
        cmocka_unit_test(one_run_reads_the_same_across_every_word_boundary),
        cmocka_unit_test(a_full_bitmap_with_a_tail_reads_full),
        cmocka_unit_test(what_lies_outside_counts_as_clear),
        cmocka_unit_test(a_search_stops_at_its_end),
        cmocka_unit_test(a_walk_tells_maximal_runs_cut_at_its_window),
        cmocka_unit_test(a_walk_stops_at_any_run_and_returns_what_it_was_told),
        cmocka_unit_test(copy_out_packs_from_any_alignment_and_clears_the_rest),
        cmocka_unit_test(copy_out_writes_nothing_when_the_range_leaves),
        cmocka_unit_test(an_alternating_bitmap_has_a_run_for_every_other_block),
        cmocka_unit_test(the_largest_bitmap_works_to_its_last_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
