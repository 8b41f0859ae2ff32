/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_BITMAP_H
#define VMEMI_CORE_BITMAP_H

#include <vmem/bitmap.h>

/* Seen here for what the request path asks of it; words and summary are the
 * affair of bitmap_words.h. */
struct vmem_bitmap {
    uint64_t nr_blocks;
    uint64_t nr_set;
    uint64_t words[];
};

/* vmem_bitmap_get_nr_set(). */
static inline uint64_t vmemi_bitmap_nr_set(const struct vmem_bitmap *bitmap)
{
    return bitmap->nr_set;
}

/* vmem_bitmap_get_state() of a range inside. Many requests name one block. */
static inline uint32_t vmemi_bitmap_state(const struct vmem_bitmap *bitmap,
                                          uint64_t first_block,
                                          uint64_t nr_blocks)
{
    if (nr_blocks != 1) {
        return vmem_bitmap_get_state(bitmap, first_block, nr_blocks);
    }
    return (bitmap->words[first_block / 64] >> (first_block % 64) & 1) != 0
               ? VMEM_BITMAP_ALL_SET
               : VMEM_BITMAP_ALL_CLEAR;
}

/* Visits the runs of blocks with this value as ranges of bytes, cut at a window
 * that is not empty; a block is 1 << shift bytes. 0, or what fn returned. */
int vmemi_bitmap_for_each_range(const struct vmem_bitmap *bitmap,
                                unsigned int shift, bool value,
                                const struct vmem_range *window,
                                vmem_range_fn fn, void *opaque);

/* Each block becomes 1 << shift bits, shift at least 1, from bit 0 of words on;
 * bits behind the last one are clear. The range is checked. */
void vmemi_bitmap_expand(const struct vmem_bitmap *bitmap, uint64_t first_block,
                         uint64_t nr_blocks, unsigned int shift,
                         uint64_t *words);

/* Takes all blocks from words of the same layout, which are read once. False if a
 * bit behind the last block is set; it is left out. */
bool vmemi_bitmap_take_words(struct vmem_bitmap *bitmap, const uint64_t *words);

/* Sets in to what one or the other has and out does not have. All are of the same
 * size; to may be any of them. */
void vmemi_bitmap_combine(struct vmem_bitmap *to, const struct vmem_bitmap *one,
                          const struct vmem_bitmap *other,
                          const struct vmem_bitmap *out);

/* Bytes that a bitmap of so many blocks occupies, for tests and statistics. */
size_t vmemi_bitmap_bytes(uint64_t nr_blocks);

/* Does every summary bit and the count agree with the words, and is the padding
 * clear? For tests and fuzzers. */
bool vmemi_bitmap_is_consistent(const struct vmem_bitmap *bitmap);

#endif /* VMEMI_CORE_BITMAP_H */
