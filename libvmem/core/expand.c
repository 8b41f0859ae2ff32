/* SPDX-License-Identifier: BSD-3-Clause */
/* From blocks, of any number of sources, to one bit for each page. */
#include <errno.h>
#include <string.h>

#include "base/range.h"
#include "core/source.h"

#define WORD_BITS 64U

/* A page bitmap that is being written from its start: every word is stored once,
 * however many runs there are, and none is read before it was stored. */
struct pages {
    uint64_t *words;
    uint64_t next_page; /* pages before this one are written */
    uint64_t offset;    /* of page 0 in the region */
    unsigned int shift; /* bytes to pages */
};

/* Bits of a word below that of a page, which is not the first of its word. */
static uint64_t mask_below(uint64_t page)
{
    return (UINT64_C(1) << (page % WORD_BITS)) - 1;
}

/* Appends pages up to end_page. */
static void append(struct pages *pages, uint64_t end_page, bool value)
{
    uint64_t word = pages->next_page / WORD_BITS;
    const uint64_t end_word = end_page / WORD_BITS;
    const uint64_t fill = value ? UINT64_MAX : 0;

    if (pages->next_page % WORD_BITS != 0) {
        /* Bits behind the last page are clear so far. */
        pages->words[word++] |= fill & ~mask_below(pages->next_page);
    }
    if (word < end_word) {
        memset(&pages->words[word], (int)(fill & 0xff),
               (size_t)(end_word - word) * sizeof(fill));
        word = end_word;
    }
    if (end_page % WORD_BITS != 0) {
        if (word == end_word) {
            pages->words[word] = fill;
        }
        pages->words[end_word] &= mask_below(end_page);
    }
    pages->next_page = end_page;
}

/* A page is populated when all of it is, and then it lies in one run. */
static int append_run(const struct vmem_range *run, void *opaque)
{
    struct pages *pages = opaque;
    const uint64_t start = run->offset - pages->offset;
    const uint64_t page_size = UINT64_C(1) << pages->shift;
    const uint64_t first =
        (start >> pages->shift) + ((start & (page_size - 1)) != 0);
    const uint64_t end = (start + run->size) >> pages->shift;

    if (first < end) {
        append(pages, first, false);
        append(pages, end, true);
    }
    return 0;
}

/* Does the window begin and end with a block? */
static bool has_whole_blocks(const struct vmem_source *source,
                             const struct vmem_range *window)
{
    const uint64_t block_size = UINT64_C(1) << source->block_shift;

    return ((window->offset | window->size) & (block_size - 1)) == 0;
}

static int expand_runs(struct vmem_region *region,
                       const struct vmem_range *window, unsigned int shift,
                       uint64_t *words)
{
    struct pages pages = { .words = words,
                           .offset = window->offset,
                           .shift = shift };
    int ret =
        vmem_region_for_each_populated(region, window, append_run, &pages);

    append(&pages, window->size >> shift, false);
    return ret;
}

/* In a frame of the region, which a walk then does not lock again. */
static int expand_locked(struct vmem_region *region,
                         const struct vmem_range *window, unsigned int shift,
                         uint64_t *words)
{
    const struct vmem_source *source;

    if (region->sources.length == 1) {
        source = region->sources.head->data;
        if (source->block_shift == shift) {
            return vmem_bitmap_copy_out(source->blocks, window->offset >> shift,
                                        window->size >> shift, words);
        }
        if (source->block_shift > shift && has_whole_blocks(source, window)) {
            vmemi_bitmap_expand(source->blocks,
                                window->offset >> source->block_shift,
                                window->size >> source->block_shift,
                                source->block_shift - shift, words);
            return 0;
        }
    }
    return expand_runs(region, window, shift, words);
}

int vmem_region_get_page_bitmap(struct vmem_region *region,
                                const struct vmem_range *host_window,
                                uint64_t page_size, uint64_t *words)
{
    struct vmem_range window = { 0 };
    struct vmemi_frame frame;
    unsigned int shift;
    int ret;

    if (region == NULL || words == NULL || !vmemi_is_power_of_two(page_size)) {
        return -EINVAL;
    }
    window.size = region->size;
    if (host_window != NULL) {
        window = *host_window;
    }
    ret = vmemi_range_check(&window, region->size, "window", NULL);
    if (ret == 0) {
        ret = vmemi_range_check_aligned(&window, page_size, "window", NULL);
    }
    if (ret < 0 || window.size == 0) {
        return ret;
    }
    shift = (unsigned int)__builtin_ctzll(page_size);
    if (vmemi_frame_count(region) > 0) {
        return expand_locked(region, &window, shift, words);
    }
    if (vmemi_frame_is_inside(NULL, VMEMI_FRAME_LOCKED)) {
        /* Another region is held: the walk takes each run as it is. */
        return expand_runs(region, &window, shift, words);
    }
    vmemi_region_hold(region, &frame);
    ret = expand_locked(region, &window, shift, words);
    vmemi_region_let_go(region, &frame);
    return ret;
}
