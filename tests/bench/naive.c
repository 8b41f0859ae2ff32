/* SPDX-License-Identifier: BSD-3-Clause */
#include "naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

void naive_init(struct naive *naive, uint64_t nr_blocks)
{
    naive->nr_blocks = nr_blocks;
    naive->words = calloc((nr_blocks + 63) / 64, sizeof(*naive->words));
    bench_check(naive->words != NULL);
}

void naive_destroy(struct naive *naive)
{
    free(naive->words);
}

static void set_in_word(uint64_t *word, uint64_t mask, bool value)
{
    *word = value ? *word | mask : *word & ~mask;
}

void naive_set(struct naive *naive, uint64_t first, uint64_t nr, bool value)
{
    const uint64_t last = first + nr - 1;
    const uint64_t from = UINT64_MAX << (first % 64);
    const uint64_t to = UINT64_MAX >> (63 - last % 64);

    if (first / 64 == last / 64) {
        set_in_word(&naive->words[first / 64], from & to, value);
        return;
    }
    set_in_word(&naive->words[first / 64], from, value);
    memset(&naive->words[first / 64 + 1], value ? 0xff : 0,
           (last / 64 - first / 64 - 1) * sizeof(*naive->words));
    set_in_word(&naive->words[last / 64], to, value);
}

uint64_t naive_next(const struct naive *naive, uint64_t first, uint64_t end,
                    bool value)
{
    const uint64_t flip = value ? 0 : UINT64_MAX;
    uint64_t word = first / 64;
    uint64_t bits;

    if (first >= end) {
        return end;
    }
    bits = (naive->words[word] ^ flip) & UINT64_MAX << (first % 64);
    while (bits == 0) {
        if (++word * 64 >= end) {
            return end;
        }
        bits = naive->words[word] ^ flip;
    }
    return MIN(word * 64 + (uint64_t)__builtin_ctzll(bits), end);
}

int naive_for_each(const struct naive *naive, uint64_t first, uint64_t nr,
                   bool value, vmem_bitmap_run_fn fn, void *opaque)
{
    const uint64_t end = first + nr;
    uint64_t block = naive_next(naive, first, end, value);

    while (block < end) {
        struct vmem_bitmap_run run = { .first_block = block };
        uint64_t stop = naive_next(naive, block, end, !value);
        int ret;

        run.nr_blocks = stop - block;
        ret = fn(&run, opaque);
        if (ret != 0) {
            return ret;
        }
        block = naive_next(naive, stop, end, value);
    }
    return 0;
}

/* A length with this mean, at least 1. */
static uint64_t geometric(double mean, uint64_t *seed)
{
    const double u = (double)(bench_random(seed) >> 11) / 9007199254740992.0;

    if (mean <= 1) {
        return 1;
    }
    return 1 + (uint64_t)(log1p(-u) / log1p(-1 / mean));
}

/* Clusters in [0, end), share of blocks set. */
static void clusters(uint64_t end, double share, double mean_run,
                     vmem_bitmap_run_fn fn, void *opaque)
{
    const double mean_gap = mean_run * (1 - share) / share;
    struct vmem_bitmap_run run;
    uint64_t seed = 6;

    for (run.first_block = geometric(mean_gap, &seed); run.first_block < end;
         run.first_block += run.nr_blocks + geometric(mean_gap, &seed)) {
        run.nr_blocks = MIN(geometric(mean_run, &seed), end - run.first_block);
        fn(&run, opaque);
    }
}

static void alternating(uint64_t nr_blocks, vmem_bitmap_run_fn fn, void *opaque)
{
    struct vmem_bitmap_run run = { .nr_blocks = 1 };

    for (run.first_block = 0; run.first_block < nr_blocks;
         run.first_block += 2) {
        fn(&run, opaque);
    }
}

void pattern_for_each(const char *pattern, uint64_t nr_blocks,
                      vmem_bitmap_run_fn fn, void *opaque)
{
    static const struct {
        const char *name;
        double share;
        double mean_run;
        unsigned part; /* only the first of so many parts has any */
    } presets[] = {
        { "random", 0.01, 1.01, 1 },   { "half-random", 0.5, 2, 1 },
        { "idle", 0.01, 5, 16 },       { "slab", 0.06, 8, 1 },
        { "pressure", 0.20, 40, 1 },   { "scatter", 0.03, 3, 3 },
        { "long-runs", 0.5, 4096, 1 },
    };

    if (strcmp(pattern, "empty") == 0) {
        return;
    }
    if (strcmp(pattern, "full") == 0) {
        fn(&(struct vmem_bitmap_run){ 0, nr_blocks }, opaque);
        return;
    }
    if (strcmp(pattern, "alternating") == 0) {
        alternating(nr_blocks, fn, opaque);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(presets); i++) {
        if (strcmp(pattern, presets[i].name) == 0) {
            clusters(nr_blocks / presets[i].part, presets[i].share,
                     presets[i].mean_run, fn, opaque);
            return;
        }
    }
    bench_die(__FILE__, __LINE__, pattern);
}
