/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/walk.h"

#include <errno.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/range.h"

void vmemi_terms_add(struct vmemi_terms *terms,
                     const struct vmem_bitmap *bitmap, unsigned int shift,
                     bool value)
{
    vmemi_assert(terms->nr_terms <
                 sizeof(terms->terms) / sizeof(terms->terms[0]));
    terms->terms[terms->nr_terms].bitmap = bitmap;
    terms->terms[terms->nr_terms].shift = shift;
    terms->terms[terms->nr_terms].value = value;
    terms->nr_terms++;
}

static void init_terms(struct vmemi_terms *terms,
                       const struct vmem_region *region,
                       const struct vmem_source *but, bool value,
                       uint64_t flags)
{
    vmemi_terms_clear(terms);
    if (but != NULL) {
        vmemi_terms_add(terms, but->blocks, but->block_shift, value);
    }
    for (const GList *link = region->sources.head; link != NULL;
         link = link->next) {
        const struct vmem_source *source = link->data;

        if (source != but && (source->flags & flags) == flags) {
            vmemi_terms_add(terms, source->blocks, source->block_shift, true);
        }
    }
}

void vmemi_terms_init(struct vmemi_terms *terms,
                      const struct vmem_region *region,
                      const struct vmem_source *but, bool value)
{
    init_terms(terms, region, but, value, 0);
}

void vmemi_terms_init_memory(struct vmemi_terms *terms,
                             const struct vmem_region *region,
                             const struct vmem_source *but, bool value)
{
    init_terms(terms, region, but, value, VMEM_SOURCE_DISCARDS);
}

/* The first byte at or after pos, and before end, where the term's bit is
 * value; end if there is none. */
static uint64_t next_byte(const struct vmem_bitmap *bitmap, unsigned int shift,
                          bool value, uint64_t pos, uint64_t end)
{
    const uint64_t first_block = pos >> shift;
    const uint64_t end_block = ((end - 1) >> shift) + 1;
    uint64_t block;

    if (value) {
        block = vmem_bitmap_next_set(bitmap, first_block, end_block);
    } else {
        block = vmem_bitmap_next_clear(bitmap, first_block, end_block);
    }
    if (block == first_block) {
        return pos;
    }
    return block == end_block ? end : block << shift;
}

/* Every term has skipped something in turn until none does. */
static uint64_t find_start(const struct vmemi_terms *terms, uint64_t pos,
                           uint64_t end)
{
    uint32_t nr_agreed = 0;

    for (uint32_t i = 0; nr_agreed < terms->nr_terms && pos < end;
         i = (i + 1) % terms->nr_terms) {
        uint64_t next = next_byte(terms->terms[i].bitmap, terms->terms[i].shift,
                                  terms->terms[i].value, pos, end);

        nr_agreed = next == pos ? nr_agreed + 1 : 1;
        pos = next;
    }
    return pos;
}

/* How far ahead to look at first: enough blocks for a look to be worth it. */
static uint64_t first_step(const struct vmemi_terms *terms)
{
    unsigned int shift = 0;

    /* A single term is not held up by another one. */
    if (terms->nr_terms < 2) {
        return UINT64_MAX;
    }
    for (uint32_t i = 0; i < terms->nr_terms; i++) {
        shift = terms->terms[i].shift > shift ? terms->terms[i].shift : shift;
    }
    return shift < 58 ? (uint64_t)64 << shift : UINT64_MAX;
}

/* Every term holds at pos. Looks twice as far ahead each time: one that holds
 * for long must not be searched to the end for each short run of another. */
static uint64_t find_end(const struct vmemi_terms *terms, uint64_t pos,
                         uint64_t end)
{
    uint64_t step = first_step(terms);

    for (;;) {
        const uint64_t limit = vmemi_min(end, vmemi_add_saturating(pos, step));
        uint64_t run_end = limit;

        for (uint32_t i = 0; i < terms->nr_terms && run_end > pos; i++) {
            run_end = next_byte(terms->terms[i].bitmap, terms->terms[i].shift,
                                !terms->terms[i].value, pos, run_end);
        }
        if (run_end < limit || limit == end) {
            return run_end;
        }
        pos = limit;
        step = vmemi_add_saturating(step, step);
    }
}

bool vmemi_terms_next_run(const struct vmemi_terms *terms, uint64_t pos,
                          uint64_t end, struct vmem_range *run)
{
    if (pos >= end) {
        return false;
    }
    if (pos >= terms->settled.offset &&
        end <= vmemi_range_end(&terms->settled)) {
        run->offset = pos;
        run->size = end - pos;
        return true;
    }
    pos = find_start(terms, pos, end);
    if (pos >= end) {
        return false;
    }
    run->offset = pos;
    run->size = find_end(terms, pos, end) - pos;
    return true;
}

void vmemi_terms_settle(struct vmemi_terms *terms,
                        const struct vmem_range *range)
{
    struct vmem_range run;

    if (vmemi_terms_next_run(terms, range->offset, vmemi_range_end(range),
                             &run) &&
        run.size == range->size) {
        terms->settled = run;
    }
}

uint64_t vmemi_terms_count(const struct vmemi_terms *terms, uint64_t end)
{
    struct vmem_range run;
    uint64_t total = 0;

    for (uint64_t pos = 0; vmemi_terms_next_run(terms, pos, end, &run);
         pos = vmemi_range_end(&run)) {
        total += run.size;
    }
    return total;
}

/* The next run of a kind; a discarded run is the gap between populated ones. */
static bool next_run(const struct vmemi_terms *terms, bool populated,
                     uint64_t pos, uint64_t end, struct vmem_range *run)
{
    struct vmem_range found;

    if (populated) {
        return vmemi_terms_next_run(terms, pos, end, run);
    }
    while (pos < end) {
        if (!vmemi_terms_next_run(terms, pos, end, &found)) {
            found.offset = end;
            found.size = 0;
        }
        if (found.offset > pos) {
            run->offset = pos;
            run->size = found.offset - pos;
            return true;
        }
        pos = vmemi_range_end(&found);
    }
    return false;
}

/* Under the change lock. */
static int walk_locked(struct vmem_region *region, bool populated,
                       const struct vmem_range *window, vmem_range_fn fn,
                       void *opaque)
{
    const uint64_t end = vmemi_range_end(window);
    struct vmemi_terms terms;
    struct vmem_range run;
    int ret = 0;

    /* One source, the common case, is walked by the bitmap itself, which resumes
     * inside a word instead of searching anew for each run. */
    if (region->sources.length == 1) {
        const struct vmem_source *source = region->sources.head->data;

        return vmemi_bitmap_for_each_range(source->blocks, source->block_shift,
                                           populated, window, fn, opaque);
    }
    vmemi_terms_init(&terms, region, NULL, true);
    for (uint64_t pos = window->offset;
         ret == 0 && next_run(&terms, populated, pos, end, &run);
         pos = vmemi_range_end(&run)) {
        ret = fn(&run, opaque);
    }
    return ret;
}

/* For a callback that holds another lock: waiting for this region's change lock
 * could be a deadlock, so each run is looked up as it is now. */
static int walk_advisory(struct vmem_region *region, bool populated,
                         const struct vmem_range *window, vmem_range_fn fn,
                         void *opaque)
{
    const uint64_t end = vmemi_range_end(window);
    uint64_t pos = window->offset;
    struct vmem_range run;
    int ret = 0;

    while (ret == 0) {
        struct vmemi_terms terms;
        bool found;

        vmemi_mutex_lock(&region->state);
        vmemi_terms_init(&terms, region, NULL, true);
        found = next_run(&terms, populated, pos, end, &run);
        vmemi_mutex_unlock(&region->state);
        if (!found) {
            break;
        }
        pos = vmemi_range_end(&run);
        ret = fn(&run, opaque);
    }
    return ret;
}

static int for_each(struct vmem_region *region, bool populated,
                    const struct vmem_range *host_window, vmem_range_fn fn,
                    void *opaque)
{
    struct vmem_range window = { 0 };
    struct vmemi_frame frame;
    int ret;

    if (region == NULL || fn == NULL) {
        return -EINVAL;
    }
    window.size = region->size;
    if (host_window != NULL) {
        ret = vmemi_range_check(host_window, region->size, "window", NULL);
        if (ret < 0) {
            return ret;
        }
        window = *host_window;
    }
    if (window.size == 0) {
        return 0;
    }
    if (vmemi_frame_count(region) > 0) {
        return walk_locked(region, populated, &window, fn, opaque);
    }
    if (vmemi_frame_is_inside(NULL, VMEMI_FRAME_LOCKED)) {
        return walk_advisory(region, populated, &window, fn, opaque);
    }
    vmemi_region_hold(region, &frame);
    ret = walk_locked(region, populated, &window, fn, opaque);
    vmemi_region_let_go(region, &frame);
    return ret;
}

int vmem_region_for_each_populated(struct vmem_region *region,
                                   const struct vmem_range *window,
                                   vmem_range_fn fn, void *opaque)
{
    return for_each(region, true, window, fn, opaque);
}

int vmem_region_for_each_discarded(struct vmem_region *region,
                                   const struct vmem_range *window,
                                   vmem_range_fn fn, void *opaque)
{
    return for_each(region, false, window, fn, opaque);
}
