/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <glib.h>

#include <vmem/bitmap.h>

#include "core/bitmap.h"

/* Every start and every length up to three words, against a byte per block.
 * The window lies once at the start of a small bitmap and once around the
 * border between two summary words. */

enum {
    WINDOW_BLOCKS = 261,
    MAX_LENGTH = 192,
    MAX_BLOCKS = 4300,
    MAX_WORDS = (MAX_BLOCKS + 63) / 64,
    SEED = 20240607
};

struct pattern {
    const char *name;
    bool (*is_set)(uint64_t block, GRand *rand);
};

struct place {
    uint64_t nr_blocks;
    uint64_t first_block;
};

/* In both the window ends with the bitmap, in the middle of a word. */
static const struct place places[] = {
    { WINDOW_BLOCKS, 0 },
    { 4096 + 69, 4096 + 69 - WINDOW_BLOCKS },
};

struct fixture {
    struct vmem_bitmap *bitmap;
    struct place place;
    unsigned char model[MAX_BLOCKS];
    uint64_t packed[MAX_WORDS];
    const char *pattern;
    unsigned nr_wrong;
};

static bool is_never(uint64_t block, GRand *rand)
{
    (void)block;
    (void)rand;
    return false;
}

static unsigned long long nr_checked;

static bool is_always(uint64_t block, GRand *rand)
{
    (void)block;
    (void)rand;
    return true;
}

static bool is_even(uint64_t block, GRand *rand)
{
    (void)rand;
    return block % 2 == 0;
}

static bool is_clustered(uint64_t block, GRand *rand)
{
    (void)rand;
    return block / 37 % 2 == 1;
}

/* Lone blocks that move through the word, on both sides of its ends. */
static bool is_lone(uint64_t block, GRand *rand)
{
    (void)rand;
    return block % 63 == 0;
}

static bool is_random(uint64_t block, GRand *rand)
{
    (void)block;
    return g_rand_boolean(rand);
}

static const struct pattern patterns[] = {
    { "empty", is_never },      { "full", is_always },
    { "alternating", is_even }, { "clustered", is_clustered },
    { "single bits", is_lone }, { "random", is_random },
};

static void expect(struct fixture *f, bool good, const char *what,
                   uint64_t first, uint64_t nr)
{
    if (good) {
        return;
    }
    if (f->nr_wrong++ < 20) {
        fprintf(stderr,
                "%s: wrong for %s at %" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT
                " of %" G_GUINT64_FORMAT " blocks (seed %d)\n",
                what, f->pattern, first, nr, f->place.nr_blocks, SEED);
    }
}

static void start(struct fixture *f, const struct place *place,
                  const struct pattern *pattern)
{
    GRand *rand = g_rand_new_with_seed(SEED);

    memset(f, 0, sizeof(*f));
    f->place = *place;
    f->pattern = pattern->name;
    assert_int_equal(vmem_bitmap_new(place->nr_blocks, &f->bitmap), 0);
    for (uint64_t i = 0; i < place->nr_blocks; i++) {
        if (pattern->is_set(i, rand)) {
            f->model[i] = 1;
            f->packed[i / 64] |= UINT64_C(1) << (i % 64);
            assert_int_equal(vmem_bitmap_set(f->bitmap, i, 1, NULL), 0);
        }
    }
    g_rand_free(rand);
    assert_true(vmemi_bitmap_is_consistent(f->bitmap));
}

static uint64_t model_count(const struct fixture *f, uint64_t first,
                            uint64_t nr)
{
    uint64_t count = 0;

    for (uint64_t i = first; i < first + nr; i++) {
        count += f->model[i];
    }
    return count;
}

static uint64_t model_next(const struct fixture *f, uint64_t first,
                           uint64_t end, unsigned value)
{
    while (first < end && f->model[first] != value) {
        first++;
    }
    return first;
}

static void check_queries(struct fixture *f, uint64_t first, uint64_t nr)
{
    uint64_t count = model_count(f, first, nr);
    uint32_t state = VMEM_BITMAP_MIXED;

    if (count == 0) {
        state = VMEM_BITMAP_ALL_CLEAR;
    } else if (count == nr) {
        state = VMEM_BITMAP_ALL_SET;
    }
    expect(f, vmem_bitmap_count(f->bitmap, first, nr) == count, "count", first,
           nr);
    expect(f, vmem_bitmap_get_state(f->bitmap, first, nr) == state, "get_state",
           first, nr);
    expect(f,
           vmem_bitmap_next_set(f->bitmap, first, first + nr) ==
               model_next(f, first, first + nr, 1),
           "next_set", first, nr);
    expect(f,
           vmem_bitmap_next_clear(f->bitmap, first, first + nr) ==
               model_next(f, first, first + nr, 0),
           "next_clear", first, nr);
}

struct walk {
    const struct fixture *fixture;
    unsigned value;
    uint64_t at; /* Up to here what was told has been compared. */
    uint64_t end;
    bool good;
};

static int follow(const struct vmem_bitmap_run *run, void *opaque)
{
    struct walk *walk = opaque;
    const struct fixture *f = walk->fixture;
    uint64_t first = model_next(f, walk->at, walk->end, walk->value);

    walk->at = model_next(f, first, walk->end, !walk->value);
    walk->good = walk->good && run->first_block == first &&
                 run->nr_blocks == walk->at - first && run->nr_blocks > 0;
    return 0;
}

static void check_walks(struct fixture *f, uint64_t first, uint64_t nr)
{
    for (unsigned value = 0; value <= 1; value++) {
        struct walk walk = { f, value, first, first + nr, true };
        int ret = value ? vmem_bitmap_for_each_set(f->bitmap, first, nr, follow,
                                                   &walk)
                        : vmem_bitmap_for_each_clear(f->bitmap, first, nr,
                                                     follow, &walk);

        expect(f,
               ret == 0 && walk.good &&
                   model_next(f, walk.at, walk.end, value) == walk.end,
               value ? "for_each_set" : "for_each_clear", first, nr);
    }
}

static void check_copy(struct fixture *f, uint64_t first, uint64_t nr)
{
    uint64_t expected[MAX_LENGTH / 64 + 1];
    uint64_t words[MAX_LENGTH / 64 + 1];

    memset(words, 0xa5, sizeof(words));
    memset(expected, 0xa5, sizeof(expected));
    memset(expected, 0, (size_t)((nr + 63) / 64) * sizeof(*expected));
    for (uint64_t i = 0; i < nr; i++) {
        expected[i / 64] |= (uint64_t)f->model[first + i] << (i % 64);
    }
    expect(f,
           vmem_bitmap_copy_out(f->bitmap, first, nr, words) == 0 &&
               memcmp(words, expected, sizeof(words)) == 0,
           "copy_out", first, nr);
}

static void fill_packed(uint64_t *packed, uint64_t first, uint64_t nr,
                        bool value)
{
    for (uint64_t i = first; i < first + nr; i++) {
        const uint64_t bit = UINT64_C(1) << (i % 64);

        packed[i / 64] = value ? packed[i / 64] | bit : packed[i / 64] & ~bit;
    }
}

static bool holds(const struct fixture *f, const uint64_t *packed,
                  uint64_t nr_set)
{
    uint64_t words[MAX_WORDS];
    size_t nr_words = (size_t)((f->place.nr_blocks + 63) / 64);

    return vmem_bitmap_copy_out(f->bitmap, 0, f->place.nr_blocks, words) == 0 &&
           memcmp(words, packed, nr_words * sizeof(*words)) == 0 &&
           vmem_bitmap_get_nr_set(f->bitmap) == nr_set &&
           vmemi_bitmap_is_consistent(f->bitmap);
}

/* Puts back in a range what the model says, run by run. */
static void restore(struct fixture *f, uint64_t first, uint64_t nr)
{
    uint64_t end = first + nr;

    while (first < end) {
        unsigned value = f->model[first];
        uint64_t next = model_next(f, first, end, !value);
        int ret = value
                      ? vmem_bitmap_set(f->bitmap, first, next - first, NULL)
                      : vmem_bitmap_clear(f->bitmap, first, next - first, NULL);

        expect(f, ret == 0, "restore", first, nr);
        first = next;
    }
}

static void check_changes(struct fixture *f, uint64_t first, uint64_t nr)
{
    uint64_t nr_before = vmem_bitmap_get_nr_set(f->bitmap);
    uint64_t count = model_count(f, first, nr);
    uint64_t nr_changed = UINT64_MAX;
    uint64_t packed[MAX_WORDS];
    int ret;

    memcpy(packed, f->packed, sizeof(packed));
    fill_packed(packed, first, nr, true);
    ret = vmem_bitmap_set(f->bitmap, first, nr, &nr_changed);
    expect(f,
           ret == 0 && nr_changed == nr - count &&
               holds(f, packed, nr_before + nr_changed),
           "set", first, nr);
    restore(f, first, nr);

    fill_packed(packed, first, nr, false);
    ret = vmem_bitmap_clear(f->bitmap, first, nr, &nr_changed);
    expect(f,
           ret == 0 && nr_changed == count &&
               holds(f, packed, nr_before - nr_changed),
           "clear", first, nr);
    restore(f, first, nr);
}

static void for_every_range(void (*check)(struct fixture *, uint64_t, uint64_t))
{
    for (size_t p = 0; p < G_N_ELEMENTS(places); p++) {
        for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
            struct fixture f;

            start(&f, &places[p], &patterns[i]);
            for (uint64_t at = 0; at <= WINDOW_BLOCKS; at++) {
                uint64_t max = MIN(MAX_LENGTH, WINDOW_BLOCKS - at);

                for (uint64_t nr = 0; nr <= max; nr++) {
                    check(&f, places[p].first_block + at, nr);
                    nr_checked++;
                }
            }
            vmem_bitmap_free(f.bitmap);
            assert_int_equal(f.nr_wrong, 0);
        }
    }
}

static void every_range_is_counted_and_searched_as_the_model_says(void **state)
{
    (void)state;
    for_every_range(check_queries);
}

static void every_window_is_walked_as_the_model_says(void **state)
{
    (void)state;
    for_every_range(check_walks);
}

static void every_range_is_copied_out_as_the_model_says(void **state)
{
    (void)state;
    for_every_range(check_copy);
}

static void every_range_is_set_and_cleared_as_the_model_says(void **state)
{
    (void)state;
    for_every_range(check_changes);
}

static int print_figure(void **state)
{
    (void)state;
    printf("FIGURE: exhaustive: bitmap: %llu checks of ranges up to %u blocks, "
           "%zu patterns\n",
           nr_checked, (unsigned int)MAX_LENGTH,
           sizeof(patterns) / sizeof(patterns[0]));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_range_is_counted_and_searched_as_the_model_says),
        cmocka_unit_test(every_window_is_walked_as_the_model_says),
        cmocka_unit_test(every_range_is_copied_out_as_the_model_says),
        cmocka_unit_test(every_range_is_set_and_cleared_as_the_model_says),
    };

    return cmocka_run_group_tests(tests, NULL, print_figure);
}
