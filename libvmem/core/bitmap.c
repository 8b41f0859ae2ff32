/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/bitmap.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/range.h"
#include "core/bitmap_words.h"

size_t vmemi_bitmap_bytes(uint64_t nr_blocks)
{
    uint64_t nr_words = bm_words_for(nr_blocks);

    return sizeof(struct vmem_bitmap) +
           (size_t)(nr_words + bm_words_for(nr_words)) * sizeof(uint64_t);
}

int vmem_bitmap_new(uint64_t nr_blocks, struct vmem_bitmap **out)
{
    struct vmem_bitmap *bitmap;

    if (out == NULL) {
        return -EINVAL;
    }
    if (nr_blocks > VMEM_BITMAP_MAX_BLOCKS) {
        return -ERANGE;
    }
    bitmap = vmemi_alloc0(vmemi_bitmap_bytes(nr_blocks));
    if (bitmap == NULL) {
        return -ENOMEM;
    }
    bitmap->nr_blocks = nr_blocks;
    *out = bitmap;
    return 0;
}

void vmem_bitmap_free(struct vmem_bitmap *bitmap)
{
    vmemi_free(bitmap);
}

uint64_t vmem_bitmap_get_nr_blocks(const struct vmem_bitmap *bitmap)
{
    return bitmap == NULL ? 0 : bitmap->nr_blocks;
}

uint64_t vmem_bitmap_get_nr_set(const struct vmem_bitmap *bitmap)
{
    return bitmap == NULL ? 0 : bitmap->nr_set;
}

static void fill_masked(uint64_t *word, uint64_t mask, bool value)
{
    *word = value ? *word | mask : *word & ~mask;
}

/* Both ends are part of what is filled. */
static void fill_bits(uint64_t *words, uint64_t first, uint64_t last,
                      bool value)
{
    uint64_t first_word = first / BM_WORD_BITS;
    uint64_t last_word = last / BM_WORD_BITS;

    if (first_word == last_word) {
        fill_masked(&words[first_word], bm_mask_from(first) & bm_mask_to(last),
                    value);
        return;
    }
    fill_masked(&words[first_word], bm_mask_from(first), value);
    memset(&words[first_word + 1], value ? 0xff : 0,
           (size_t)(last_word - first_word - 1) * sizeof(*words));
    fill_masked(&words[last_word], bm_mask_to(last), value);
}

static void refresh_summary(struct vmem_bitmap *bitmap, uint64_t word)
{
    fill_masked(&bm_summary_of(bitmap)[word / BM_WORD_BITS],
                UINT64_C(1) << (word % BM_WORD_BITS),
                bm_transitions_in(bitmap, word) != 0);
}

static void fill_blocks(struct vmem_bitmap *bitmap, uint64_t first,
                        uint64_t last, bool value)
{
    uint64_t nr_words = bm_words_for(bitmap->nr_blocks);
    uint64_t first_word = first / BM_WORD_BITS;
    uint64_t last_word = last / BM_WORD_BITS;

    fill_bits(bitmap->words, first, last, value);
    refresh_summary(bitmap, first_word);
    if (last_word > first_word) {
        /* What lies between repeats the last bit of the first word. */
        fill_bits(bm_summary_of(bitmap), first_word + 1, last_word, false);
        refresh_summary(bitmap, last_word);
    }
    /* The next word only looks at the last bit of this one. */
    if (last % BM_WORD_BITS == BM_WORD_BITS - 1 && last_word + 1 < nr_words) {
        refresh_summary(bitmap, last_word + 1);
    }
}

static uint64_t count_words(const struct vmem_bitmap *bitmap, uint64_t word,
                            uint64_t end_word)
{
    uint64_t nr_set = 0;

    while (word < end_word) {
        uint64_t next = bm_next_transition_word(bitmap, word, end_word);

        if (bm_carry_into(bitmap, word)) {
            nr_set += (next - word) * BM_WORD_BITS;
        }
        if (next < end_word) {
            nr_set += bm_count_ones(bitmap->words[next++]);
        }
        word = next;
    }
    return nr_set;
}

/* The range is not empty and lies in the bitmap. */
static uint64_t count_blocks(const struct vmem_bitmap *bitmap, uint64_t first,
                             uint64_t nr_blocks)
{
    const uint64_t *words = bitmap->words;
    uint64_t last = first + nr_blocks - 1;
    uint64_t first_word = first / BM_WORD_BITS;
    uint64_t last_word = last / BM_WORD_BITS;

    if (nr_blocks == bitmap->nr_blocks) {
        return bitmap->nr_set;
    }
    if (first_word == last_word) {
        return bm_count_ones(words[first_word] & bm_mask_from(first) &
                             bm_mask_to(last));
    }
    return bm_count_ones(words[first_word] & bm_mask_from(first)) +
           count_words(bitmap, first_word + 1, last_word) +
           bm_count_ones(words[last_word] & bm_mask_to(last));
}

static int change_range(struct vmem_bitmap *bitmap, uint64_t first_block,
                        uint64_t nr_blocks, bool value, uint64_t *nr_changed)
{
    uint64_t changed = 0;

    if (bitmap == NULL) {
        return -EINVAL;
    }
    if (bm_leaves(bitmap, first_block, nr_blocks)) {
        return -ERANGE;
    }
    if (nr_blocks > 0) {
        changed = count_blocks(bitmap, first_block, nr_blocks);
        if (value) {
            changed = nr_blocks - changed;
        }
    }
    if (changed > 0) {
        fill_blocks(bitmap, first_block, first_block + nr_blocks - 1, value);
        bitmap->nr_set =
            value ? bitmap->nr_set + changed : bitmap->nr_set - changed;
    }
    if (nr_changed != NULL) {
        *nr_changed = changed;
    }
    return 0;
}

int vmem_bitmap_set(struct vmem_bitmap *bitmap, uint64_t first_block,
                    uint64_t nr_blocks, uint64_t *nr_changed)
{
    return change_range(bitmap, first_block, nr_blocks, true, nr_changed);
}

int vmem_bitmap_clear(struct vmem_bitmap *bitmap, uint64_t first_block,
                      uint64_t nr_blocks, uint64_t *nr_changed)
{
    return change_range(bitmap, first_block, nr_blocks, false, nr_changed);
}

bool vmem_bitmap_is_set(const struct vmem_bitmap *bitmap, uint64_t block)
{
    return bm_cut(bitmap, block, 1) == 1 && bm_bit_at(bitmap, block);
}

uint64_t vmem_bitmap_count(const struct vmem_bitmap *bitmap,
                           uint64_t first_block, uint64_t nr_blocks)
{
    uint64_t nr_inside = bm_cut(bitmap, first_block, nr_blocks);

    return nr_inside == 0 ? 0 : count_blocks(bitmap, first_block, nr_inside);
}

/* After all words have changed. */
static void refresh_all(struct vmem_bitmap *bitmap)
{
    const uint64_t nr_words = bm_words_for(bitmap->nr_blocks);

    bitmap->nr_set = 0;
    for (uint64_t word = 0; word < nr_words; word++) {
        bitmap->nr_set += bm_count_ones(bitmap->words[word]);
        refresh_summary(bitmap, word);
    }
}

bool vmemi_bitmap_take_words(struct vmem_bitmap *bitmap, const uint64_t *words)
{
    const uint64_t nr_words = bm_words_for(bitmap->nr_blocks);
    uint64_t padding = 0;

    if (nr_words > 0) {
        uint64_t *last = &bitmap->words[nr_words - 1];

        memcpy(bitmap->words, words, (size_t)nr_words * sizeof(*words));
        padding = *last & ~bm_mask_to(bitmap->nr_blocks - 1);
        *last &= ~padding;
    }
    refresh_all(bitmap);
    return padding == 0;
}

void vmemi_bitmap_combine(struct vmem_bitmap *to, const struct vmem_bitmap *one,
                          const struct vmem_bitmap *other,
                          const struct vmem_bitmap *out)
{
    for (uint64_t i = 0; i < bm_words_for(to->nr_blocks); i++) {
        to->words[i] = (one->words[i] | other->words[i]) & ~out->words[i];
    }
    refresh_all(to);
}

bool vmemi_bitmap_is_consistent(const struct vmem_bitmap *bitmap)
{
    uint64_t nr_words = bm_words_for(vmem_bitmap_get_nr_blocks(bitmap));
    uint64_t nr_set = 0;

    if (bitmap == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < bm_words_for(nr_words); i++) {
        uint64_t nr_here = vmemi_min(BM_WORD_BITS, nr_words - i * BM_WORD_BITS);
        uint64_t expected = 0;

        for (uint64_t bit = 0; bit < nr_here; bit++) {
            uint64_t word = i * BM_WORD_BITS + bit;
            uint64_t changes = bm_transitions_in(bitmap, word) != 0;

            nr_set += bm_count_ones(bitmap->words[word]);
            expected |= changes << bit;
        }
        if (bm_const_summary_of(bitmap)[i] != expected) {
            return false;
        }
    }
    if (nr_words > 0) {
        uint64_t padding = ~bm_mask_to(bitmap->nr_blocks - 1);

        if ((bitmap->words[nr_words - 1] & padding) != 0) {
            return false;
        }
    }
    return nr_set == bitmap->nr_set;
}
