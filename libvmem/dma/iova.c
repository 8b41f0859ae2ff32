/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma/iova.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/range.h"

void vmemi_iova_ranges_destroy(struct vmemi_iova_ranges *ranges)
{
    vmemi_free(ranges->ranges);
    ranges->ranges = NULL;
    ranges->nr_ranges = 0;
}

/* What lies between the usable ranges around an address that is in none. */
static struct vmemi_iova_range find_gap(const struct vmemi_iova_ranges *ranges,
                                        uint64_t iova)
{
    struct vmemi_iova_range gap = { 0, UINT64_MAX };

    for (uint32_t i = 0; i < ranges->nr_ranges; i++) {
        const struct vmemi_iova_range *range = &ranges->ranges[i];

        if (range->start > range->last) {
            continue;
        }
        if (range->last < iova) {
            gap.start = vmemi_max(gap.start, range->last + 1);
        } else if (range->start > iova) {
            gap.last = vmemi_min(gap.last, range->start - 1);
        }
    }
    return gap;
}

int vmemi_iova_ranges_check(const struct vmemi_iova_ranges *ranges,
                            uint64_t iova, uint64_t size,
                            struct vmem_error *err)
{
    const uint64_t last = iova + (size - 1);
    uint64_t next = iova;
    struct vmemi_iova_range gap;

    if (ranges->ranges == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < ranges->nr_ranges; i++) {
        const struct vmemi_iova_range *range = &ranges->ranges[i];

        if (next < range->start || next > range->last) {
            continue;
        }
        if (last <= range->last) {
            return 0;
        }
        next = range->last + 1;
    }
    gap = find_gap(ranges, next);
    return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                      "IOVAs 0x%" PRIx64 " to 0x%" PRIx64
                      ": the IOMMU cannot map 0x%" PRIx64 " to 0x%" PRIx64
                      " (interrupts, reserved memory, or beyond its width); "
                      "choose others",
                      iova, last, gap.start, gap.last);
}
