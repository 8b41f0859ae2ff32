/* SPDX-License-Identifier: BSD-3-Clause */
/* Is a range populated, and does it stay so? */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/range.h"
#include "core/source.h"
#include "core/walk.h"

/* Does this source say that all of a range, not empty and inside, is
 * populated? */
static bool source_has(const struct vmem_source *source,
                       const struct vmem_range *range)
{
    const uint64_t first = range->offset >> source->block_shift;
    const uint64_t last = (vmemi_range_end(range) - 1) >> source->block_shift;

    return vmem_bitmap_get_state(source->blocks, first, last - first + 1) ==
           VMEM_BITMAP_ALL_SET;
}

/* Under either lock. */
static bool is_populated(const struct vmem_region *region,
                         const struct vmem_range *range)
{
    for (const GList *link = region->sources.head; link != NULL;
         link = link->next) {
        if (!source_has(link->data, range)) {
            return false;
        }
    }
    return true;
}

bool vmem_region_is_populated(const struct vmem_region *host_region,
                              const struct vmem_range *range)
{
    struct vmem_region *region = (struct vmem_region *)host_region;
    bool populated;

    if (region == NULL || range == NULL ||
        vmemi_range_check(range, region->size, "range", NULL) < 0) {
        return false;
    }
    if (range->size == 0) {
        return true;
    }
    vmemi_mutex_lock(&region->state);
    populated = is_populated(region, range);
    vmemi_mutex_unlock(&region->state);
    return populated;
}

/* Under the change lock. */
static int call_if_populated(struct vmem_region *region,
                             const struct vmem_range *range, vmem_range_fn fn,
                             void *opaque, struct vmem_error *err)
{
    const uint64_t end = vmemi_range_end(range);
    struct vmemi_terms terms;
    struct vmem_range hole;
    struct vmem_range run;

    if (is_populated(region, range)) {
        return fn(range, opaque);
    }
    vmemi_terms_init(&terms, region, NULL, true);
    hole.offset = range->offset;
    if (vmemi_terms_next_run(&terms, hole.offset, end, &run) &&
        run.offset == hole.offset) {
        hole.offset = vmemi_range_end(&run);
    }
    hole.size = end - hole.offset;
    if (vmemi_terms_next_run(&terms, hole.offset, end, &run)) {
        hole.size = run.offset - hole.offset;
    }
    return vmemi_fail(err, -ENXIO, VMEM_REASON_NOT_POPULATED, &hole,
                      "region \"%s\": offset 0x%" PRIx64 " is not populated",
                      region->name.text, hole.offset);
}

int vmem_region_with_populated(struct vmem_region *region,
                               const struct vmem_range *range, vmem_range_fn fn,
                               void *opaque, struct vmem_error *err)
{
    struct vmemi_frame frame;
    int ret;

    if (region == NULL || range == NULL || fn == NULL || range->size == 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_region_with_populated: NULL argument or empty "
                          "range");
    }
    ret = vmemi_range_check(range, region->size, region->name.text, err);
    if (ret < 0) {
        return ret;
    }
    if (vmemi_frame_count(region) > 0) {
        return call_if_populated(region, range, fn, opaque, err);
    }
    /* Waiting for a second region could be a deadlock, and unlike a walk this
     * promises something. */
    ret =
        vmemi_vm_check_unlocked(region->vm, "vmem_region_with_populated", err);
    if (ret < 0) {
        return ret;
    }
    vmemi_region_hold(region, &frame);
    ret = call_if_populated(region, range, fn, opaque, err);
    vmemi_region_let_go(region, &frame);
    return ret;
}
