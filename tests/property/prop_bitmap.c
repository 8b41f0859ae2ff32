/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#include <vmem/bitmap.h>

#include "core/bitmap.h"

/* Random operations on a bitmap and on a byte per block.
 *
 *     prop_bitmap [NR_SEEDS [FIRST_SEED [NR_OPS]]]
 *
 * A failure prints the seed and the operation; "prop_bitmap 1 SEED" repeats
 * it. */

enum {
    DEFAULT_NR_SEEDS = 1000,
    DEFAULT_FIRST_SEED = 1,
    DEFAULT_NR_OPS = 4000,
    FULL_CHECK_EVERY = 16,
    MAX_BLOCKS = 20000,
    MAX_WORDS = MAX_BLOCKS / 64 + 2
};

struct world {
    struct vmem_bitmap *bitmap;
    uint64_t nr_blocks;
    uint64_t nr_set;
    uint64_t random;
    unsigned char model[MAX_BLOCKS];
};

struct op {
    const char *name;
    bool (*run)(struct world *w, uint64_t first, uint64_t nr);
    unsigned weight;
};

/* splitmix64: the same numbers from the same seed, whatever GLib is used. */
static uint64_t next_random(struct world *w)
{
    uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t random_below(struct world *w, uint64_t limit)
{
    return limit == 0 ? 0 : next_random(w) % limit;
}

/* As likely short as long. */
static uint64_t random_length(struct world *w, uint64_t most)
{
    uint64_t limit = UINT64_C(1) << random_below(w, 16);

    return random_below(w, MIN(limit, most) + 1);
}

static uint64_t random_size(struct world *w)
{
    static const uint64_t edges[] = { 0,   1,   63,   64,   65,
                                      127, 128, 4095, 4096, 4097 };

    switch (random_below(w, 10)) {
    case 0:
        return edges[random_below(w, G_N_ELEMENTS(edges))];
    case 1:
        return random_below(w, MAX_BLOCKS + 1);
    case 2:
    case 3:
    case 4:
        return 4000 + random_below(w, 4500);
    default:
        return random_below(w, 400);
    }
}

/* Three ranges of four have an end next to a word boundary. */
static void random_range(struct world *w, uint64_t *first, uint64_t *nr)
{
    uint64_t start = random_below(w, w->nr_blocks + 1);
    uint64_t end;

    if (random_below(w, 2) == 0) {
        start = MIN(start / 64 * 64 + random_below(w, 2), w->nr_blocks);
    }
    end = start + random_length(w, w->nr_blocks - start);
    if (random_below(w, 2) == 0 && end / 64 * 64 > start) {
        end = end / 64 * 64 - random_below(w, 2);
    }
    *first = start;
    *nr = end - start;
}

static uint64_t model_count(const struct world *w, uint64_t first, uint64_t nr)
{
    uint64_t count = 0;

    for (uint64_t i = first; i < first + nr; i++) {
        count += w->model[i];
    }
    return count;
}

static uint64_t model_next(const struct world *w, uint64_t first, uint64_t end,
                           unsigned value)
{
    while (first < end && w->model[first] != value) {
        first++;
    }
    return first;
}

static bool do_set(struct world *w, uint64_t first, uint64_t nr)
{
    uint64_t expected = nr - model_count(w, first, nr);
    uint64_t nr_changed = UINT64_MAX;

    memset(w->model + first, 1, (size_t)nr);
    w->nr_set += expected;
    return vmem_bitmap_set(w->bitmap, first, nr, &nr_changed) == 0 &&
           nr_changed == expected;
}

static bool do_clear(struct world *w, uint64_t first, uint64_t nr)
{
    uint64_t expected = model_count(w, first, nr);
    uint64_t nr_changed = UINT64_MAX;

    memset(w->model + first, 0, (size_t)nr);
    w->nr_set -= expected;
    return vmem_bitmap_clear(w->bitmap, first, nr, &nr_changed) == 0 &&
           nr_changed == expected;
}

static bool do_set_all(struct world *w, uint64_t first, uint64_t nr)
{
    (void)first;
    (void)nr;
    return do_set(w, 0, w->nr_blocks);
}

static bool do_clear_all(struct world *w, uint64_t first, uint64_t nr)
{
    (void)first;
    (void)nr;
    return do_clear(w, 0, w->nr_blocks);
}

static bool do_refused(struct world *w, uint64_t first, uint64_t nr)
{
    uint64_t too_many = w->nr_blocks - first + 1 + nr;

    return vmem_bitmap_set(w->bitmap, first, too_many, NULL) == -ERANGE &&
           vmem_bitmap_clear(w->bitmap, first, too_many, NULL) == -ERANGE;
}

static bool do_is_set(struct world *w, uint64_t first, uint64_t nr)
{
    (void)nr;
    return vmem_bitmap_is_set(w->bitmap, first) ==
           (first < w->nr_blocks && w->model[first] == 1);
}

/* Half of the ranges reach past the end. */
static uint64_t random_overhang(struct world *w)
{
    return random_below(w, 2) * random_below(w, 100);
}

static bool do_count(struct world *w, uint64_t first, uint64_t nr)
{
    uint64_t expected = model_count(w, first, nr);

    if (first + nr == w->nr_blocks) {
        nr += random_overhang(w);
    }
    return vmem_bitmap_count(w->bitmap, first, nr) == expected;
}

static bool do_get_state(struct world *w, uint64_t first, uint64_t nr)
{
    uint64_t count = model_count(w, first, nr);
    uint32_t expected = VMEM_BITMAP_MIXED;

    if (first + nr == w->nr_blocks) {
        nr += random_overhang(w);
    }
    if (count == 0) {
        expected = VMEM_BITMAP_ALL_CLEAR;
    } else if (count == nr) {
        expected = VMEM_BITMAP_ALL_SET;
    }
    return vmem_bitmap_get_state(w->bitmap, first, nr) == expected;
}

static bool do_search(struct world *w, uint64_t first, uint64_t nr)
{
    uint64_t end = first + nr;

    return vmem_bitmap_next_set(w->bitmap, first, end) ==
               model_next(w, first, end, 1) &&
           vmem_bitmap_next_clear(w->bitmap, first, end) ==
               model_next(w, first, end, 0);
}

struct walk {
    const struct world *world;
    unsigned value;
    unsigned nr_left; /* Runs until the walk is stopped. */
    uint64_t at;      /* Up to here what was told has been compared. */
    uint64_t end;
    bool good;
};

static int follow(const struct vmem_bitmap_run *run, void *opaque)
{
    struct walk *walk = opaque;
    uint64_t first = model_next(walk->world, walk->at, walk->end, walk->value);

    walk->at = model_next(walk->world, first, walk->end, !walk->value);
    walk->good = walk->good && run->first_block == first &&
                 run->nr_blocks == walk->at - first && run->nr_blocks > 0;
    return --walk->nr_left == 0 ? 7 : 0;
}

static bool walk_is_right(struct world *w, uint64_t first, uint64_t nr,
                          unsigned value)
{
    bool stops = random_below(w, 4) == 0;
    struct walk walk = {
        .world = w,
        .value = value,
        .nr_left = stops ? 1 + (unsigned)random_below(w, 9) : UINT_MAX,
        .at = first,
        .end = first + nr,
        .good = true,
    };
    int ret =
        value ? vmem_bitmap_for_each_set(w->bitmap, first, nr, follow, &walk)
              : vmem_bitmap_for_each_clear(w->bitmap, first, nr, follow, &walk);

    if (walk.nr_left == 0) {
        return walk.good && ret == 7;
    }
    return walk.good && ret == 0 &&
           model_next(w, walk.at, walk.end, value) == walk.end;
}

static bool do_walk_set(struct world *w, uint64_t first, uint64_t nr)
{
    return walk_is_right(w, first, nr, 1);
}

static bool do_walk_clear(struct world *w, uint64_t first, uint64_t nr)
{
    return walk_is_right(w, first, nr, 0);
}

static bool do_copy_out(struct world *w, uint64_t first, uint64_t nr)
{
    uint64_t nr_words = (nr + 63) / 64;
    uint64_t words[MAX_WORDS];
    bool good;

    memset(words, 0xa5, (size_t)(nr_words + 1) * sizeof(*words));
    good = vmem_bitmap_copy_out(w->bitmap, first, nr, words) == 0;
    for (uint64_t i = 0; i < nr_words * 64; i++) {
        unsigned expected = i < nr ? w->model[first + i] : 0;

        good = good && (words[i / 64] >> (i % 64) & 1) == expected;
    }
    return good && words[nr_words] == UINT64_C(0xa5a5a5a5a5a5a5a5);
}

static const struct op ops[] = {
    { "set", do_set, 30 },
    { "clear", do_clear, 30 },
    { "set everything", do_set_all, 1 },
    { "clear everything", do_clear_all, 1 },
    { "leave the bitmap", do_refused, 2 },
    { "is_set", do_is_set, 4 },
    { "count", do_count, 6 },
    { "get_state", do_get_state, 8 },
    { "next_set and next_clear", do_search, 8 },
    { "for_each_set", do_walk_set, 4 },
    { "for_each_clear", do_walk_clear, 4 },
    { "copy_out", do_copy_out, 2 },
};

static const struct op *random_op(struct world *w)
{
    uint64_t total = 0;
    uint64_t at;
    size_t i = 0;

    for (size_t k = 0; k < G_N_ELEMENTS(ops); k++) {
        total += ops[k].weight;
    }
    at = random_below(w, total);
    while (at >= ops[i].weight) {
        at -= ops[i++].weight;
    }
    return &ops[i];
}

static bool is_whole(struct world *w)
{
    return vmemi_bitmap_is_consistent(w->bitmap) &&
           do_copy_out(w, 0, w->nr_blocks);
}

static bool run_seed(struct world *w, uint64_t seed, uint64_t nr_ops)
{
    bool good = true;

    memset(w, 0, sizeof(*w));
    w->random = seed;
    w->nr_blocks = random_size(w);
    if (vmem_bitmap_new(w->nr_blocks, &w->bitmap) != 0) {
        fprintf(stderr, "seed %" PRIu64 ": no bitmap\n", seed);
        return false;
    }
    for (uint64_t i = 0; i < nr_ops && good; i++) {
        const struct op *op = random_op(w);
        uint64_t first;
        uint64_t nr;

        random_range(w, &first, &nr);
        good = op->run(w, first, nr) &&
               vmem_bitmap_get_nr_set(w->bitmap) == w->nr_set;
        if (good && (i % FULL_CHECK_EVERY == 0 || i + 1 == nr_ops)) {
            good = is_whole(w);
        }
        if (!good) {
            fprintf(stderr,
                    "seed %" PRIu64 ": operation %" PRIu64 " (%s, %" PRIu64
                    "+%" PRIu64 " of %" PRIu64
                    " blocks) differs from the model, or one of the %d before "
                    "it left broken books\n",
                    seed, i, op->name, first, nr, w->nr_blocks,
                    FULL_CHECK_EVERY);
        }
    }
    vmem_bitmap_free(w->bitmap);
    return good;
}

static uint64_t number_or(char **argv, int argc, int index, uint64_t fallback)
{
    return index < argc ? g_ascii_strtoull(argv[index], NULL, 0) : fallback;
}

int main(int argc, char **argv)
{
    uint64_t nr_seeds = number_or(argv, argc, 1, DEFAULT_NR_SEEDS);
    uint64_t first_seed = number_or(argv, argc, 2, DEFAULT_FIRST_SEED);
    uint64_t nr_ops = number_or(argv, argc, 3, DEFAULT_NR_OPS);
    struct world *world = g_new0(struct world, 1);
    bool good = true;

    for (uint64_t i = 0; i < nr_seeds && good; i++) {
        good = run_seed(world, first_seed + i, nr_ops);
    }
    g_free(world);
    if (good) {
        printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64
               " operations each: ok\n",
               nr_seeds, first_seed, nr_ops);
    }
    return good ? 0 : 1;
}
