/* SPDX-License-Identifier: BSD-3-Clause */
/* Block bitmaps against one byte a block. */
#include <errno.h>

#include <vmem/bitmap.h>

#include "core/bitmap.h"
#include "fuzz_check.h"
#include "fuzz_input.h"

/* A summary word covers 4096 blocks, and four of them are skipped at a time. */
#define MAX_BLOCKS 25000

struct both {
    struct vmem_bitmap *bitmap;
    uint64_t nr_blocks;
    uint64_t nr_set;
    uint8_t naive[MAX_BLOCKS];
};

/* Values of a range, inside: all of them, or the first that differs. */
static uint64_t naive_next(const struct both *both, uint64_t first,
                           uint64_t end, uint8_t value)
{
    const uint8_t *found;

    end = end < both->nr_blocks ? end : both->nr_blocks;
    if (first >= end) {
        return end;
    }
    found = memchr(both->naive + first, value, end - first);
    return found != NULL ? (uint64_t)(found - both->naive) : end;
}

FUZZ_PLAIN static uint64_t naive_count(const struct both *both, uint64_t first,
                                       uint64_t end)
{
    uint64_t nr_set = 0;

    end = end < both->nr_blocks ? end : both->nr_blocks;
    for (uint64_t i = first; i < end; i++) {
        nr_set += both->naive[i];
    }
    return nr_set;
}

static uint64_t end_of(uint64_t first, uint64_t nr)
{
    return nr > UINT64_MAX - first ? UINT64_MAX : first + nr;
}

static bool leaves(const struct both *both, uint64_t first, uint64_t nr)
{
    return first > both->nr_blocks || nr > both->nr_blocks - first;
}

static void check_counts(const struct both *both)
{
    fuzz_check(vmem_bitmap_get_nr_set(both->bitmap) == both->nr_set,
               "%llu set, not %llu",
               (unsigned long long)vmem_bitmap_get_nr_set(both->bitmap),
               (unsigned long long)both->nr_set);
    fuzz_check(vmem_bitmap_get_nr_blocks(both->bitmap) == both->nr_blocks,
               "size");
}

static void change(struct both *both, uint64_t first, uint64_t nr, bool value,
                   bool wants_changed)
{
    uint64_t changed = UINT64_MAX;
    uint64_t *out = wants_changed ? &changed : NULL;
    uint64_t expected;
    int ret = value ? vmem_bitmap_set(both->bitmap, first, nr, out)
                    : vmem_bitmap_clear(both->bitmap, first, nr, out);

    if (leaves(both, first, nr)) {
        fuzz_check(ret == -ERANGE && changed == UINT64_MAX, "ret %d", ret);
        return;
    }
    expected = naive_count(both, first, first + nr);
    expected = value ? nr - expected : expected;
    memset(both->naive + first, value, nr);
    both->nr_set = value ? both->nr_set + expected : both->nr_set - expected;
    fuzz_check(ret == 0, "ret %d", ret);
    fuzz_check(!wants_changed || changed == expected, "%llu changed, not %llu",
               (unsigned long long)changed, (unsigned long long)expected);
    fuzz_check(vmemi_bitmap_is_consistent(both->bitmap), "inconsistent");
}

static void check_range(const struct both *both, uint64_t first, uint64_t nr)
{
    uint64_t end = end_of(first, nr);
    uint64_t nr_set = naive_count(both, first, end);
    uint32_t state = vmem_bitmap_get_state(both->bitmap, first, nr);
    uint32_t expected = VMEM_BITMAP_MIXED;

    if (nr_set == 0) {
        expected = VMEM_BITMAP_ALL_CLEAR;
    } else if (nr_set == nr) {
        expected = VMEM_BITMAP_ALL_SET;
    }
    fuzz_check(state == expected, "state %u, not %u", state, expected);
    fuzz_check(vmem_bitmap_count(both->bitmap, first, nr) == nr_set, "count");
    fuzz_check(vmem_bitmap_next_set(both->bitmap, first, end) ==
                   naive_next(both, first, end, 1),
               "next set");
    fuzz_check(vmem_bitmap_next_clear(both->bitmap, first, end) ==
                   naive_next(both, first, end, 0),
               "next clear");
    fuzz_check(vmem_bitmap_is_set(both->bitmap, first) ==
                   (first < both->nr_blocks && both->naive[first] != 0),
               "bit");
}

struct walk {
    const struct both *both;
    uint64_t at; /* where the next run may start */
    uint64_t end;
    uint8_t value;
    unsigned nr_left; /* runs until it is stopped; 0: never */
    const char *broken;
};

static int visit(const struct vmem_bitmap_run *run, void *opaque)
{
    struct walk *walk = opaque;
    uint64_t first = naive_next(walk->both, walk->at, walk->end, walk->value);
    uint64_t end = naive_next(walk->both, first, walk->end, !walk->value);

    if (run->nr_blocks == 0 || run->first_block != first ||
        run->nr_blocks != end - first) {
        walk->broken = "a run is not maximal, or missing";
        return -EPROTO;
    }
    walk->at = end;
    if (walk->nr_left > 0 && --walk->nr_left == 0) {
        return 7;
    }
    return 0;
}

static void check_walk(const struct both *both, uint64_t first, uint64_t nr,
                       uint8_t value, unsigned nr_runs)
{
    struct walk walk = { .both = both,
                         .at = first,
                         .end = end_of(first, nr),
                         .value = value,
                         .nr_left = nr_runs };
    int ret =
        value
            ? vmem_bitmap_for_each_set(both->bitmap, first, nr, visit, &walk)
            : vmem_bitmap_for_each_clear(both->bitmap, first, nr, visit, &walk);
    uint64_t end = walk.end < both->nr_blocks ? walk.end : both->nr_blocks;

    fuzz_check(walk.broken == NULL, "%s", walk.broken);
    if (nr_runs > 0 && walk.nr_left == 0) {
        fuzz_check(ret == 7, "ret %d", ret);
        return;
    }
    fuzz_check(ret == 0, "ret %d", ret);
    fuzz_check(naive_next(both, walk.at, end, value) >= end,
               "a run was not visited");
}

FUZZ_PLAIN static uint64_t first_difference(const struct both *both,
                                            uint64_t first, uint64_t nr,
                                            const uint64_t *words)
{
    for (uint64_t i = 0; i < (nr + 63) / 64 * 64; i++) {
        uint64_t expected = i < nr ? both->naive[first + i] : 0;

        if ((words[i / 64] >> (i % 64) & 1) != expected) {
            return i;
        }
    }
    return UINT64_MAX;
}

static void check_copy(const struct both *both, uint64_t first, uint64_t nr)
{
    /* Exactly as large as promised to be enough. */
    uint64_t nr_words = leaves(both, first, nr) ? 1 : (nr + 63) / 64;
    uint64_t *words = malloc(nr_words > 0 ? nr_words * sizeof(*words) : 1);
    int ret = vmem_bitmap_copy_out(both->bitmap, first, nr, words);

    if (leaves(both, first, nr)) {
        fuzz_check(ret == -ERANGE, "ret %d", ret);
    } else {
        uint64_t bit = first_difference(both, first, nr, words);

        fuzz_check(ret == 0, "ret %d", ret);
        fuzz_check(bit == UINT64_MAX, "bit %llu", (unsigned long long)bit);
    }
    free(words);
}

static void check_null(struct fuzz_input *input)
{
    const struct walk walk = { .both = NULL };
    uint64_t first = fuzz_number(input);
    uint64_t nr = fuzz_number(input);
    uint64_t word = 0;

    fuzz_check(vmem_bitmap_set(NULL, first, nr, NULL) == -EINVAL, "set");
    fuzz_check(vmem_bitmap_clear(NULL, first, nr, NULL) == -EINVAL, "clear");
    fuzz_check(vmem_bitmap_get_nr_set(NULL) == 0, "nr_set");
    fuzz_check(vmem_bitmap_get_nr_blocks(NULL) == 0, "nr_blocks");
    fuzz_check(!vmem_bitmap_is_set(NULL, first), "bit");
    fuzz_check(vmem_bitmap_get_state(NULL, first, nr) == VMEM_BITMAP_ALL_CLEAR,
               "state");
    fuzz_check(vmem_bitmap_count(NULL, first, nr) == 0, "count");
    fuzz_check(vmem_bitmap_next_set(NULL, first, nr) == 0, "next set");
    fuzz_check(vmem_bitmap_for_each_set(NULL, first, nr, visit,
                                        (void *)(uintptr_t)&walk) == -EINVAL,
               "walk");
    fuzz_check(vmem_bitmap_copy_out(NULL, first, nr, &word) == -EINVAL, "copy");
    fuzz_check(!vmemi_bitmap_is_consistent(NULL), "consistent");
    fuzz_check(vmem_bitmap_new(first, NULL) == -EINVAL, "new");
    vmem_bitmap_free(NULL);
}

/* Positions cluster where words and summary words meet. */
static uint64_t position(struct fuzz_input *input)
{
    uint8_t kind = fuzz_u8(input);

    switch (kind & 7) {
    case 0:
        return fuzz_number(input);
    case 1:
        return (uint64_t)(kind >> 3) * 64;
    case 2:
        return (uint64_t)(kind >> 3) * 64 + 63;
    case 3:
        return (uint64_t)(kind >> 6) * 4096 + fuzz_u8(input);
    case 4:
        return (uint64_t)(kind >> 6) * 4096 + 4095 - fuzz_u8(input);
    case 5:
        return fuzz_u16(input) % (MAX_BLOCKS + 1);
    default:
        return (uint64_t)(kind >> 3);
    }
}

static void step(struct both *both, struct fuzz_input *input)
{
    uint8_t op = fuzz_u8(input);
    uint64_t first;
    uint64_t nr;

    if (op == 255) {
        check_null(input);
        return;
    }
    first = position(input);
    nr = position(input);
    /* Half of them up to a position rather than so many blocks. */
    if ((op & 128) != 0 && nr > first) {
        nr -= first;
    }
    switch (op & 7) {
    case 0:
    case 1:
    case 2:
        change(both, first, nr, true, (op & 64) != 0);
        break;
    case 3:
    case 4:
        change(both, first, nr, false, (op & 64) != 0);
        break;
    case 5:
        check_walk(both, first, nr, (op & 64) != 0, op >> 3 & 7);
        break;
    case 6:
        check_copy(both, first, nr);
        break;
    default:
        check_range(both, first, nr);
        break;
    }
    check_counts(both);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct both both;
    struct fuzz_input input = { data, size };
    int ret;

    both.nr_blocks = position(&input);
    both.nr_set = 0;
    if (both.nr_blocks > MAX_BLOCKS) {
        /* Not too many to be made: too many to be compared. */
        struct vmem_bitmap *untouched = NULL;

        if (both.nr_blocks > VMEM_BITMAP_MAX_BLOCKS) {
            fuzz_check(vmem_bitmap_new(both.nr_blocks, &untouched) == -ERANGE &&
                           untouched == NULL,
                       "too large");
        }
        both.nr_blocks %= MAX_BLOCKS;
    }
    memset(both.naive, 0, both.nr_blocks);
    ret = vmem_bitmap_new(both.nr_blocks, &both.bitmap);
    fuzz_check(ret == 0, "ret %d", ret);
    while (fuzz_more(&input)) {
        step(&both, &input);
    }
    /* Whatever was done: everything as one range, and run by run. */
    check_range(&both, 0, both.nr_blocks);
    check_walk(&both, 0, UINT64_MAX, 1, 0);
    check_walk(&both, 0, UINT64_MAX, 0, 0);
    vmem_bitmap_free(both.bitmap);
    return 0;
}
