/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/bitmap.h"

#include <errno.h>
#include <string.h>

#include "base/range.h"
#include "core/bitmap_words.h"

/* End of the run that a block is in, cut to end_block, which lies behind it. */
static uint64_t run_end(const struct vmem_bitmap *bitmap, uint64_t block,
                        uint64_t end_block)
{
    uint64_t end_word = bm_words_for(end_block);
    uint64_t word = block / BM_WORD_BITS;
    uint64_t t = bm_transitions_in(bitmap, word) & bm_mask_from(block) << 1;

    if (t == 0) {
        word = bm_next_transition_word(bitmap, word + 1, end_word);
        if (word == end_word) {
            return end_block;
        }
        t = bm_transitions_in(bitmap, word);
    }
    return vmemi_min(word * BM_WORD_BITS + bm_lowest_one(t), end_block);
}

uint32_t vmem_bitmap_get_state(const struct vmem_bitmap *bitmap,
                               uint64_t first_block, uint64_t nr_blocks)
{
    uint64_t nr_inside = bm_cut(bitmap, first_block, nr_blocks);
    uint64_t end;

    if (nr_inside == 0 || bitmap->nr_set == 0) {
        return VMEM_BITMAP_ALL_CLEAR;
    }
    end = first_block + nr_inside;
    /* Neither answer for a whole bitmap looks at its words. */
    if (bitmap->nr_set < bitmap->nr_blocks &&
        (nr_inside == bitmap->nr_blocks ||
         run_end(bitmap, first_block, end) < end)) {
        return VMEM_BITMAP_MIXED;
    }
    if (!bm_bit_at(bitmap, first_block)) {
        return VMEM_BITMAP_ALL_CLEAR;
    }
    return nr_inside < nr_blocks ? VMEM_BITMAP_MIXED : VMEM_BITMAP_ALL_SET;
}

static uint64_t next_block(const struct vmem_bitmap *bitmap,
                           uint64_t first_block, uint64_t end_block, bool value)
{
    uint64_t end = vmemi_min(end_block, vmem_bitmap_get_nr_blocks(bitmap));

    if (first_block >= end) {
        return end;
    }
    if (bm_bit_at(bitmap, first_block) == value) {
        return first_block;
    }
    return run_end(bitmap, first_block, end);
}

uint64_t vmem_bitmap_next_set(const struct vmem_bitmap *bitmap,
                              uint64_t first_block, uint64_t end_block)
{
    return next_block(bitmap, first_block, end_block, true);
}

uint64_t vmem_bitmap_next_clear(const struct vmem_bitmap *bitmap,
                                uint64_t first_block, uint64_t end_block)
{
    return next_block(bitmap, first_block, end_block, false);
}

struct walk {
    vmem_bitmap_run_fn run_fn; /* one of the two is told */
    vmem_range_fn range_fn;
    void *opaque;
    const struct vmem_range *window; /* where ranges are cut, bytes */
    unsigned int shift;              /* bytes to blocks */
    uint64_t first_block;            /* of the run that is_open */
    bool is_open; /* does a run go on into the word at hand? */
};

typedef int (*tell_fn)(const struct walk *walk, uint64_t first, uint64_t end);

static inline int tell_run(const struct walk *walk, uint64_t first,
                           uint64_t end)
{
    struct vmem_bitmap_run run = { .first_block = first,
                                   .nr_blocks = end - first };

    return walk->run_fn(&run, walk->opaque);
}

static inline int tell_range(const struct walk *walk, uint64_t first,
                             uint64_t end)
{
    struct vmem_range range;

    range.offset = vmemi_max(first << walk->shift, walk->window->offset);
    range.size = vmemi_min(end << walk->shift, vmemi_range_end(walk->window)) -
                 range.offset;
    return walk->range_fn(&range, walk->opaque);
}

/* The walk is compiled once for each way to tell: one call for each run is what
 * walking costs, a second one in between would double it. */
#define COMPILED_FOR_TELL static inline __attribute__((always_inline))

/* All transitions of a word are used up, two to a run, before its bits are
 * looked at again, which is what makes short runs cheap: finding the next set
 * and the next clear block would load and mask the word anew for each. */
COMPILED_FOR_TELL int walk_word(struct walk *walk, tell_fn tell, uint64_t base,
                                uint64_t t)
{
    uint64_t first = walk->first_block;

    if (t != 0 && !walk->is_open) {
        first = base + bm_lowest_one(t);
        t &= t - 1;
        walk->is_open = true;
    }
    while (t != 0) {
        int ret = tell(walk, first, base + bm_lowest_one(t));

        if (ret != 0) {
            return ret;
        }
        t &= t - 1;
        if (t == 0) {
            walk->is_open = false;
            return 0;
        }
        first = base + bm_lowest_one(t);
        t &= t - 1;
    }
    walk->first_block = first;
    return 0;
}

/* The window is not empty and lies in the bitmap. */
COMPILED_FOR_TELL int walk_window(const struct vmem_bitmap *bitmap,
                                  uint64_t first, uint64_t last,
                                  struct walk *walk, tell_fn tell)
{
    uint64_t last_word = last / BM_WORD_BITS;
    uint64_t word = first / BM_WORD_BITS;
    uint64_t t = bm_transitions_in(bitmap, word) & bm_mask_from(first) << 1;

    for (;;) {
        int ret;

        if (word == last_word) {
            t &= bm_mask_to(last);
        }
        ret = walk_word(walk, tell, word * BM_WORD_BITS, t);
        if (ret != 0) {
            return ret;
        }
        word = bm_next_transition_word(bitmap, word + 1, last_word + 1);
        if (word > last_word) {
            break;
        }
        t = bm_transitions_in(bitmap, word);
    }
    return walk->is_open ? tell(walk, walk->first_block, last + 1) : 0;
}

/* Blocks with this value. */
COMPILED_FOR_TELL int walk_blocks(const struct vmem_bitmap *bitmap,
                                  uint64_t first_block, uint64_t nr_blocks,
                                  bool value, struct walk *walk, tell_fn tell)
{
    const uint64_t nr_inside = bm_cut(bitmap, first_block, nr_blocks);

    if (nr_inside == 0) {
        return 0;
    }
    walk->first_block = first_block;
    walk->is_open = bm_bit_at(bitmap, first_block) == value;
    return walk_window(bitmap, first_block, first_block + nr_inside - 1, walk,
                       tell);
}

static int for_each(const struct vmem_bitmap *bitmap, uint64_t first_block,
                    uint64_t nr_blocks, bool value, vmem_bitmap_run_fn fn,
                    void *opaque)
{
    struct walk walk = { .run_fn = fn, .opaque = opaque };

    if (bitmap == NULL || fn == NULL) {
        return -EINVAL;
    }
    return walk_blocks(bitmap, first_block, nr_blocks, value, &walk, tell_run);
}

int vmemi_bitmap_for_each_range(const struct vmem_bitmap *bitmap,
                                unsigned int shift, bool value,
                                const struct vmem_range *window,
                                vmem_range_fn fn, void *opaque)
{
    struct walk walk = {
        .range_fn = fn, .opaque = opaque, .window = window, .shift = shift
    };
    const uint64_t first_block = window->offset >> shift;
    const uint64_t end_block = ((vmemi_range_end(window) - 1) >> shift) + 1;

    return walk_blocks(bitmap, first_block, end_block - first_block, value,
                       &walk, tell_range);
}

int vmem_bitmap_for_each_set(const struct vmem_bitmap *bitmap,
                             uint64_t first_block, uint64_t nr_blocks,
                             vmem_bitmap_run_fn fn, void *opaque)
{
    return for_each(bitmap, first_block, nr_blocks, true, fn, opaque);
}

int vmem_bitmap_for_each_clear(const struct vmem_bitmap *bitmap,
                               uint64_t first_block, uint64_t nr_blocks,
                               vmem_bitmap_run_fn fn, void *opaque)
{
    return for_each(bitmap, first_block, nr_blocks, false, fn, opaque);
}

/* shift is neither 0 nor 64, so every word but the last takes bits of two. */
static void copy_shifted(uint64_t *to, const uint64_t *from, uint64_t nr_words,
                         unsigned shift)
{
    for (uint64_t i = 0; i < nr_words; i++) {
        to[i] = from[i] >> shift | from[i + 1] << (BM_WORD_BITS - shift);
    }
}

int vmem_bitmap_copy_out(const struct vmem_bitmap *bitmap, uint64_t first_block,
                         uint64_t nr_blocks, uint64_t *words)
{
    unsigned shift = (unsigned)(first_block % BM_WORD_BITS);
    const uint64_t *from;
    uint64_t last_out;

    if (bitmap == NULL || words == NULL) {
        return -EINVAL;
    }
    if (bm_leaves(bitmap, first_block, nr_blocks)) {
        return -ERANGE;
    }
    if (nr_blocks == 0) {
        return 0;
    }
    from = &bitmap->words[first_block / BM_WORD_BITS];
    last_out = bm_words_for(nr_blocks) - 1;
    if (shift == 0) {
        memcpy(words, from, (size_t)(last_out + 1) * sizeof(*words));
    } else {
        copy_shifted(words, from, last_out, shift);
        words[last_out] = from[last_out] >> shift;
        /* The last output word may end before the next input word starts, and
         * there may be none. */
        if (shift + (nr_blocks - 1) % BM_WORD_BITS >= BM_WORD_BITS) {
            words[last_out] |= from[last_out + 1] << (BM_WORD_BITS - shift);
        }
    }
    words[last_out] &= bm_mask_to(nr_blocks - 1);
    return 0;
}
