/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_BITMAP_WORDS_H
#define VMEMI_CORE_BITMAP_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/range.h"
#include "core/bitmap.h"

/* For bitmap.c and bitmap_walk.c only. */

#define BM_WORD_BITS 64U
#define BM_ALL_ONES UINT64_MAX

/* One allocation: the words, and right behind them one summary bit a word.
 *
 * A block is a transition when its bit differs from the block before; block 0
 * follows a clear one. A summary bit is set when its word holds a transition,
 * so that a stretch of words with clear summary bits repeats the last bit
 * before it, whether that is a one or a zero.
 *
 * Bits past nr_blocks stay clear: the end of a full map may thus look like a
 * transition, which readers cut off with the end of their window. */
_Static_assert(sizeof(struct vmem_bitmap) == 16, "1.05 bits per block");
/* 520 MiB, so sizes need no overflow check even where size_t has 32 bits. */
_Static_assert(VMEM_BITMAP_MAX_BLOCKS / 8 + VMEM_BITMAP_MAX_BLOCKS / 512 <
                   SIZE_MAX / 2,
               "the largest bitmap is addressable");

static inline uint64_t bm_words_for(uint64_t nr_bits)
{
    return nr_bits / BM_WORD_BITS + (nr_bits % BM_WORD_BITS != 0);
}

static inline uint64_t *bm_summary_of(struct vmem_bitmap *bitmap)
{
    return bitmap->words + bm_words_for(bitmap->nr_blocks);
}

static inline const uint64_t *
bm_const_summary_of(const struct vmem_bitmap *bitmap)
{
    return bitmap->words + bm_words_for(bitmap->nr_blocks);
}

/* Bits of a word at or above that of a block. */
static inline uint64_t bm_mask_from(uint64_t block)
{
    return BM_ALL_ONES << (block % BM_WORD_BITS);
}

/* Bits of a word at or below that of a block. */
static inline uint64_t bm_mask_to(uint64_t block)
{
    return BM_ALL_ONES >> (BM_WORD_BITS - 1 - block % BM_WORD_BITS);
}

/* A plain x86-64 or arm64 build has no instruction for this, and the compiler's
 * built-in would call a table-driven function. */
static inline uint64_t bm_count_ones(uint64_t x)
{
    x -= (x >> 1) & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) +
        ((x >> 2) & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (x * UINT64_C(0x0101010101010101)) >> 56;
}

static inline uint64_t bm_lowest_one(uint64_t x)
{
    return (uint64_t)__builtin_ctzll(x);
}

static inline bool bm_bit_at(const struct vmem_bitmap *bitmap, uint64_t block)
{
    return bitmap->words[block / BM_WORD_BITS] >> (block % BM_WORD_BITS) & 1;
}

/* The last bit before a word, which a word without transition repeats. */
static inline uint64_t bm_carry_into(const struct vmem_bitmap *bitmap,
                                     uint64_t word)
{
    return word == 0 ? 0 : bitmap->words[word - 1] >> (BM_WORD_BITS - 1);
}

static inline uint64_t bm_transitions_in(const struct vmem_bitmap *bitmap,
                                         uint64_t word)
{
    uint64_t x = bitmap->words[word];

    return x ^ (x << 1 | bm_carry_into(bitmap, word));
}

/* Index of the first non-zero word in [i, end), or end. Four at a time, since
 * one would be at the mercy of how the compiler aligns so short a loop. */
static inline uint64_t bm_skip_zero(const uint64_t *words, uint64_t i,
                                    uint64_t end)
{
    while (end - i >= 4 &&
           (words[i] | words[i + 1] | words[i + 2] | words[i + 3]) == 0) {
        i += 4;
    }
    while (i < end && words[i] == 0) {
        i++;
    }
    return i;
}

/* First word in [word, end_word) that holds a transition, or end_word. */
static inline uint64_t bm_next_transition_word(const struct vmem_bitmap *bitmap,
                                               uint64_t word, uint64_t end_word)
{
    const uint64_t *summary = bm_const_summary_of(bitmap);
    uint64_t end = bm_words_for(end_word);
    uint64_t i = word / BM_WORD_BITS;
    uint64_t bits;

    if (word >= end_word) {
        return end_word;
    }
    bits = summary[i] & bm_mask_from(word);
    if (bits == 0) {
        i = bm_skip_zero(summary, i + 1, end);
        if (i == end) {
            return end_word;
        }
        bits = summary[i];
    }
    return vmemi_min(i * BM_WORD_BITS + bm_lowest_one(bits), end_word);
}

/* The part of a range that lies in the bitmap. */
static inline uint64_t bm_cut(const struct vmem_bitmap *bitmap,
                              uint64_t first_block, uint64_t nr_blocks)
{
    if (bitmap == NULL || first_block >= bitmap->nr_blocks) {
        return 0;
    }
    return vmemi_min(nr_blocks, bitmap->nr_blocks - first_block);
}

static inline bool bm_leaves(const struct vmem_bitmap *bitmap,
                             uint64_t first_block, uint64_t nr_blocks)
{
    return first_block > bitmap->nr_blocks ||
           nr_blocks > bitmap->nr_blocks - first_block;
}

#endif /* VMEMI_CORE_BITMAP_WORDS_H */
