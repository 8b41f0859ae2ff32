/* SPDX-License-Identifier: BSD-3-Clause */
/* From blocks, of any number of sources, to one bit for each page. */
#include <errno.h>
#include <string.h>

#include "base/range.h"
#include "core/source.h"
#include "core/walk.h"

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

/* Which bits to write, from what was checked. */
struct request {
    struct vmem_range window;
    unsigned int shift; /* bytes to pages */
    uint64_t *words;
};

static int check_request(const struct vmem_region *region,
                         const struct vmem_range *host_window,
                         uint64_t page_size, uint64_t *words,
                         struct request *request)
{
    int ret;

    if (words == NULL || !vmemi_is_power_of_two(page_size)) {
        return -EINVAL;
    }
    request->window.offset = 0;
    request->window.size = region->size;
    if (host_window != NULL) {
        request->window = *host_window;
    }
    request->shift = (unsigned int)__builtin_ctzll(page_size);
    request->words = words;
    ret = vmemi_range_check(&request->window, region->size, "window", NULL);
    return ret < 0 ? ret
                   : vmemi_range_check_aligned(&request->window, page_size,
                                               "window", NULL);
}

static struct pages begin_pages(const struct request *request)
{
    return (struct pages){ .words = request->words,
                           .offset = request->window.offset,
                           .shift = request->shift };
}

static void finish_pages(struct pages *pages, const struct request *request)
{
    append(pages, request->window.size >> request->shift, false);
}

/* One source, whose bits the change lock holds still. */
static int expand_source(const struct vmem_source *source,
                         const struct request *request)
{
    const struct vmem_range *window = &request->window;
    const unsigned int shift = source->block_shift;
    struct pages pages;
    int ret;

    if (shift == request->shift) {
        return vmem_bitmap_copy_out(source->blocks, window->offset >> shift,
                                    window->size >> shift, request->words);
    }
    if (shift > request->shift && has_whole_blocks(source, window)) {
        vmemi_bitmap_expand(source->blocks, window->offset >> shift,
                            window->size >> shift, shift - request->shift,
                            request->words);
        return 0;
    }
    pages = begin_pages(request);
    ret = vmemi_bitmap_for_each_range(source->blocks, shift, true, window,
                                      append_run, &pages);
    finish_pages(&pages, request);
    return ret;
}

/* The same, where waiting for the change lock could be a deadlock. */
static int expand_source_as_it_is(const struct vmem_source *source,
                                  const struct request *request)
{
    const uint64_t end = vmemi_range_end(&request->window);
    struct pages pages = begin_pages(request);
    uint64_t pos = request->window.offset;
    struct vmemi_terms terms;
    struct vmem_range run;
    bool found;

    do {
        vmemi_mutex_lock(&source->region->state);
        /* Anew for each run: a load puts other bits in their place. */
        vmemi_terms_clear(&terms);
        vmemi_terms_add(&terms, source->blocks, source->block_shift, true);
        found = vmemi_terms_next_run(&terms, pos, end, &run);
        vmemi_mutex_unlock(&source->region->state);
        if (found) {
            append_run(&run, &pages);
            pos = vmemi_range_end(&run);
        }
    } while (found);
    finish_pages(&pages, request);
    return 0;
}

int vmem_source_get_page_bitmap(const struct vmem_source *source,
                                const struct vmem_range *window,
                                uint64_t page_size, uint64_t *words)
{
    struct vmemi_frame frame;
    struct request request;
    int ret;

    if (source == NULL) {
        return -EINVAL;
    }
    ret = check_request(source->region, window, page_size, words, &request);
    if (ret < 0 || request.window.size == 0) {
        return ret;
    }
    if (vmemi_frame_count(source->region) > 0) {
        return expand_source(source, &request);
    }
    if (vmemi_frame_is_inside(NULL, VMEMI_FRAME_LOCKED)) {
        return expand_source_as_it_is(source, &request);
    }
    vmemi_region_hold(source->region, &frame);
    ret = expand_source(source, &request);
    vmemi_region_let_go(source->region, &frame);
    return ret;
}

static int expand_runs(struct vmem_region *region,
                       const struct request *request)
{
    struct pages pages = begin_pages(request);
    int ret = vmem_region_for_each_populated(region, &request->window,
                                             append_run, &pages);

    finish_pages(&pages, request);
    return ret;
}

/* In a frame of the region, which a walk then does not lock again. */
static int expand_locked(struct vmem_region *region,
                         const struct request *request)
{
    return region->sources.length == 1
               ? expand_source(region->sources.head->data, request)
               : expand_runs(region, request);
}

int vmem_region_get_page_bitmap(struct vmem_region *region,
                                const struct vmem_range *window,
                                uint64_t page_size, uint64_t *words)
{
    struct vmemi_frame frame;
    struct request request;
    int ret;

    if (region == NULL) {
        return -EINVAL;
    }
    ret = check_request(region, window, page_size, words, &request);
    if (ret < 0 || request.window.size == 0) {
        return ret;
    }
    if (vmemi_frame_count(region) > 0) {
        return expand_locked(region, &request);
    }
    if (vmemi_frame_is_inside(NULL, VMEMI_FRAME_LOCKED)) {
        /* Another region is held: the walk takes each run as it is. */
        return expand_runs(region, &request);
    }
    vmemi_region_hold(region, &frame);
    ret = expand_locked(region, &request);
    vmemi_region_let_go(region, &frame);
    return ret;
}
