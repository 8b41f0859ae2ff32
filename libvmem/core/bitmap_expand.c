/* SPDX-License-Identifier: BSD-3-Clause */
/* Each block becomes as many bits as a power of two says: 64 blocks, a chunk, at a
 * time, so that short runs cost no call of their own. docs/performance.md has the
 * figures that chose between the ways below. */
#include <string.h>

#include "core/bitmap.h"
#include "core/bitmap_words.h"

/* What 4 blocks become when a block has at most 32 pages. */
#define NIBBLE_BITS 4U
#define NR_NIBBLES (1U << NIBBLE_BITS)
struct spread {
    uint64_t words[2];
};

/* 64 blocks from one on, those behind the end clear. */
static uint64_t load(const struct vmem_bitmap *bitmap, uint64_t block)
{
    const uint64_t word = block / BM_WORD_BITS;
    const unsigned int skipped = (unsigned int)(block % BM_WORD_BITS);
    uint64_t bits = bitmap->words[word] >> skipped;

    if (skipped != 0 && word + 1 < bm_words_for(bitmap->nr_blocks)) {
        bits |= bitmap->words[word + 1] << (BM_WORD_BITS - skipped);
    }
    return bits;
}

static void make_spread(struct spread table[NR_NIBBLES], unsigned int shift)
{
    const unsigned int nr_pages = 1U << shift;
    const uint64_t ones = (UINT64_C(1) << nr_pages) - 1;

    memset(table, 0, NR_NIBBLES * sizeof(*table));
    for (unsigned int nibble = 0; nibble < NR_NIBBLES; nibble++) {
        for (unsigned int i = 0; i < NIBBLE_BITS; i++) {
            const unsigned int bit = i * nr_pages;

            if ((nibble >> i & 1) != 0) {
                table[nibble].words[bit / BM_WORD_BITS] |=
                    ones << bit % BM_WORD_BITS;
            }
        }
    }
}

/* 64 blocks of 32 pages become 32 words. */
static void spread_32(const struct spread table[NR_NIBBLES], uint64_t bits,
                      uint64_t *words)
{
    for (unsigned int i = 0; i < 32; i += 8) {
        memcpy(&words[i], &table[bits & 15], sizeof(*table));
        memcpy(&words[i + 2], &table[bits >> 4 & 15], sizeof(*table));
        memcpy(&words[i + 4], &table[bits >> 8 & 15], sizeof(*table));
        memcpy(&words[i + 6], &table[bits >> 12 & 15], sizeof(*table));
        bits >>= 16;
    }
}

/* 64 blocks of at most 32 pages become as many words as a block has pages. */
static void spread_chunk(const struct spread table[NR_NIBBLES], uint64_t bits,
                         unsigned int shift, uint64_t *words)
{
    const unsigned int nr_pages = 1U << shift;

    if (shift == 5) {
        spread_32(table, bits, words);
        return;
    }
    for (unsigned int i = 0; i < nr_pages; i++) {
        uint64_t word = 0;

        for (unsigned int bit = 0; bit < BM_WORD_BITS;
             bit += NIBBLE_BITS * nr_pages) {
            word |= table[bits % NR_NIBBLES].words[0] << bit;
            bits >>= NIBBLE_BITS;
        }
        words[i] = word;
    }
}

/* A call of memset for each run costs more than storing block by block when a
 * chunk has so many runs, and the runs are so short. */
#define MANY_TRANSITIONS 10
#define FEW_WORDS 32

/* 64 blocks of whole words each, block by block. */
static void fill_blocks(uint64_t bits, size_t nr_words, uint64_t *words)
{
    for (unsigned int i = 0; i < BM_WORD_BITS; i++) {
        const uint64_t value = 0 - (bits >> i & 1);
        const uint64_t *end = words + nr_words;

        for (; end - words >= 8; words += 8) {
            words[0] = words[1] = words[2] = words[3] = value;
            words[4] = words[5] = words[6] = words[7] = value;
        }
        while (words < end) {
            *words++ = value;
        }
    }
}

/* Up to 64 blocks of whole words each, run by run. */
static void fill_runs(uint64_t bits, uint64_t nr_blocks, size_t nr_words,
                      uint64_t *words)
{
    while (nr_blocks > 0) {
        const uint64_t value = 0 - (bits & 1);
        const uint64_t other = bits ^ value;
        const uint64_t nr =
            other == 0 ? nr_blocks : vmemi_min(bm_lowest_one(other), nr_blocks);

        memset(words, (int)(value & 0xff), nr * nr_words * sizeof(*words));
        words += nr * nr_words;
        nr_blocks -= nr;
        bits = nr < BM_WORD_BITS ? bits >> nr : 0;
    }
}

static void fill_chunk(uint64_t bits, unsigned int shift, uint64_t *words)
{
    const size_t nr_words = (size_t)1 << (shift - 6);

    if (nr_words <= FEW_WORDS &&
        bm_count_ones(bits ^ bits << 1) >= MANY_TRANSITIONS) {
        fill_blocks(bits, nr_words, words);
    } else {
        fill_runs(bits, BM_WORD_BITS, nr_words, words);
    }
}

/* Whole chunks from block on, all clear or all set like the first; at least 1. */
static uint64_t nr_same_chunks(const struct vmem_bitmap *bitmap, uint64_t block,
                               uint64_t end_block, uint64_t bits)
{
    const uint64_t next =
        bits == 0 ? vmem_bitmap_next_set(bitmap, block, end_block)
                  : vmem_bitmap_next_clear(bitmap, block, end_block);

    return (next - block) / BM_WORD_BITS;
}

/* So many chunks that are alike are likely to have more behind them. */
#define FEW_CHUNKS 4

static bool is_uniform(uint64_t bits)
{
    return bits == 0 || bits == BM_ALL_ONES;
}

void vmemi_bitmap_expand(const struct vmem_bitmap *bitmap, uint64_t first_block,
                         uint64_t nr_blocks, unsigned int shift,
                         uint64_t *words)
{
    const uint64_t end_block = first_block + nr_blocks;
    struct spread table[NR_NIBBLES];
    uint64_t block = first_block;
    unsigned int nr_alike = 0;
    uint64_t last_bits = 0;

    if (shift < 6) {
        make_spread(table, shift);
    }
    while (end_block - block >= BM_WORD_BITS) {
        const uint64_t bits = load(bitmap, block);
        uint64_t nr_chunks = 1;

        nr_alike = bits == last_bits ? nr_alike + 1 : 0;
        last_bits = bits;
        if (is_uniform(bits) && (nr_alike >= FEW_CHUNKS || shift >= 6)) {
            nr_chunks = nr_same_chunks(bitmap, block, end_block, bits);
            memset(words, (int)(bits & 0xff),
                   (size_t)(nr_chunks * sizeof(*words)) << shift);
        } else if (shift >= 6) {
            fill_chunk(bits, shift, words);
        } else {
            spread_chunk(table, bits, shift, words);
        }
        words += nr_chunks << shift;
        block += nr_chunks * BM_WORD_BITS;
    }
    if (block < end_block) {
        const uint64_t left = end_block - block;
        const uint64_t bits = load(bitmap, block) & bm_mask_to(left - 1);

        if (shift >= 6) {
            fill_runs(bits, left, (size_t)1 << (shift - 6), words);
        } else {
            uint64_t last[32];

            spread_chunk(table, bits, shift, last);
            memcpy(words, last, bm_words_for(left << shift) * sizeof(*words));
        }
    }
}
