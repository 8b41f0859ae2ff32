/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_BENCH_NAIVE_H
#define TESTS_BENCH_NAIVE_H

#include <stdbool.h>
#include <stdint.h>

#include <vmem/vmem.h>

/* The common way to do it, which the benchmarks compare with: a plain array of
 * words, searched word by word with a count of trailing zeros, and a call for
 * each run. Good code of its kind: nothing is done bit by bit. */
struct naive {
    uint64_t nr_blocks;
    uint64_t *words;
};

void naive_init(struct naive *naive, uint64_t nr_blocks);
void naive_destroy(struct naive *naive);
void naive_set(struct naive *naive, uint64_t first, uint64_t nr, bool value);

/* First block in [first, end) that is set (or clear), or end. */
uint64_t naive_next(const struct naive *naive, uint64_t first, uint64_t end,
                    bool value);

/* Runs of set (or clear) blocks in a window. */
int naive_for_each(const struct naive *naive, uint64_t first, uint64_t nr,
                   bool value, vmem_bitmap_run_fn fn, void *opaque);

static inline bool naive_is_set(const struct naive *naive, uint64_t block)
{
    return naive->words[block / 64] >> (block % 64) & 1;
}

/* What maps look like. The clustered ones are two-state Markov chains with the
 * share of set blocks and mean length of runs that were measured on Linux guests
 * (reference/guest-and-spec.md 2.7): what is left plugged after a shrink. */
#define PATTERNS_OF_GUESTS "slab", "pressure", "scatter"

/* Calls fn for each run of set blocks of a pattern, ascending. Patterns: empty,
 * full, alternating, random (1 %), idle, slab, pressure, scatter, half-random. */
void pattern_for_each(const char *pattern, uint64_t nr_blocks,
                      vmem_bitmap_run_fn fn, void *opaque);

#endif /* TESTS_BENCH_NAIVE_H */
