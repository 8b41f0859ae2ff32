/* SPDX-License-Identifier: BSD-3-Clause */
/* The two changes of a source's blocks, in the order that keeps everybody safe:
 * before memory is used everybody has agreed, before it goes everybody has let
 * go of it. */
#include <errno.h>
#include <stdio.h>

#include "base/errno.h"
#include "base/range.h"
#include "core/freeze.h"
#include "core/listener.h"
#include "core/retain.h"
#include "core/source.h"
#include "core/walk.h"

void vmemi_cause_format(const struct vmemi_cause *cause, char *text,
                        size_t size)
{
    snprintf(text, size, "%s%s%s: %s (errno %d)",
             vmem_reason_name(cause->reason),
             cause->by[0] != '\0' ? " by " : "", cause->by,
             cause->why[0] != '\0' ? cause->why : vmemi_errno_text(cause->code),
             -cause->code);
}

/* Populates what no other source has discarded. */
static int populate_memory(struct vmem_source *source,
                           const struct vmem_range *range,
                           struct vmemi_change *change)
{
    struct vmem_region *region = source->region;
    struct vmemi_terms terms;
    struct vmem_range run;

    if (!region->backing->populate_on_plug) {
        return 0;
    }
    vmemi_terms_init_memory(&terms, region, source, false);
    for (uint64_t pos = range->offset;
         vmemi_terms_next_run(&terms, pos, vmemi_range_end(range), &run);
         pos = vmemi_range_end(&run)) {
        int ret = vmemi_backing_populate(region->backing, &run);

        if (ret < 0) {
            change->cause.code = ret;
            change->cause.reason = VMEM_REASON_POPULATE_FAILED;
            vmemi_add_locked(&region->nr_rollbacks, 1);
            return ret;
        }
    }
    return 0;
}

int vmemi_source_plug(struct vmem_source *source,
                      const struct vmem_range *range,
                      struct vmemi_change *change)
{
    struct vmem_region *region = source->region;
    const uint64_t first_block = range->offset >> source->block_shift;
    const uint64_t nr_blocks = range->size >> source->block_shift;
    const bool retains = vmemi_retain_has_any(source);
    struct vmemi_terms terms;
    int ret;

    ret = vmemi_region_check_thawed(region, "plug", change, NULL);
    if (ret < 0) {
        return ret;
    }
    if (vmemi_retain_applies(source)) {
        ret = retains ? vmemi_retain_clean(source, range, change) : 0;
        if (ret < 0) {
            return ret;
        }
        ret = populate_memory(source, range, change);
    }
    if (ret == 0 && region->listeners.length > 0) {
        vmemi_terms_init(&terms, region, source, false);
        vmemi_terms_settle(&terms, range);
        ret = vmemi_listeners_populate(&terms, range, change);
    }
    if (ret < 0) {
        vmemi_retain_undo(source, range, change);
        return ret;
    }
    if (retains) {
        vmemi_retain_hand_over(source, range);
    }
    vmemi_mutex_lock(&region->state);
    vmem_bitmap_set(source->blocks, first_block, nr_blocks, NULL);
    source->nr_commits++;
    if (retains) {
        vmem_bitmap_clear(source->retained, first_block, nr_blocks, NULL);
    }
    vmemi_mutex_unlock(&region->state);
    return 0;
}

/* Marks the populated blocks of a range retained: they are, until their memory
 * is back. This remembers them across the commit without allocating. */
static void mark_populated(struct vmem_source *source, uint64_t first_block,
                           uint64_t nr_blocks)
{
    const uint64_t end_block = first_block + nr_blocks;
    uint64_t block = first_block;

    while (block < end_block) {
        uint64_t start = vmem_bitmap_next_set(source->blocks, block, end_block);

        block = vmem_bitmap_next_clear(source->blocks, start, end_block);
        vmem_bitmap_set(source->retained, start, block - start, NULL);
    }
}

int vmemi_source_unplug(struct vmem_source *source,
                        const struct vmem_range *range,
                        struct vmemi_change *change)
{
    struct vmem_region *region = source->region;
    const uint64_t first_block = range->offset >> source->block_shift;
    const uint64_t nr_blocks = range->size >> source->block_shift;
    const bool gives_back = vmemi_retain_applies(source);
    struct vmemi_terms terms;
    struct vmem_range left;
    bool whole;
    int ret;

    ret = vmemi_region_check_thawed(region, "unplug", change, NULL);
    if (ret < 0) {
        return ret;
    }
    /* No block at all is not whole. */
    whole = vmemi_bitmap_state(source->blocks, first_block, nr_blocks) ==
            VMEM_BITMAP_ALL_SET;
    if (region->listeners.length > 0) {
        vmemi_terms_init(&terms, region, source, true);
        vmemi_terms_settle(&terms, range);
        ret = vmemi_listeners_may_discard(&terms, range, change);
        if (ret < 0) {
            return ret;
        }
        vmemi_listeners_discard(&terms, range, change);
    }
    vmemi_mutex_lock(&region->state);
    if (gives_back && !whole) {
        mark_populated(source, first_block, nr_blocks);
    }
    vmem_bitmap_clear(source->blocks, first_block, nr_blocks, NULL);
    source->nr_commits++;
    vmemi_mutex_unlock(&region->state);

    /* What fails is retained and counted; for the guest it is unplugged. */
    if (gives_back && whole) {
        vmemi_retain_give_back(source, range, change, &left);
    } else if (gives_back) {
        vmemi_retain_retry(source, range, change, &left);
    }
    return 0;
}
