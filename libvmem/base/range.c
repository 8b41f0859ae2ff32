/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/range.h"

#include <errno.h>
#include <inttypes.h>

#include "base/error.h"

int vmemi_range_check(const struct vmem_range *range, uint64_t limit,
                      const char *what, struct vmem_error *err)
{
    uint64_t end;

    if (__builtin_add_overflow(range->offset, range->size, &end)) {
        return vmemi_fail(err, -EOVERFLOW, VMEM_REASON_OVERFLOW, range,
                          "%s: offset 0x%" PRIx64 " + size 0x%" PRIx64
                          " exceeds 64 bits",
                          what, range->offset, range->size);
    }
    if (end > limit) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, range,
                          "%s: range ends at 0x%" PRIx64
                          ", the limit is 0x%" PRIx64,
                          what, end, limit);
    }
    return 0;
}

int vmemi_range_check_aligned(const struct vmem_range *range,
                              uint64_t granularity, const char *what,
                              struct vmem_error *err)
{
    if (((range->offset | range->size) & (granularity - 1)) == 0) {
        return 0;
    }
    return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, range,
                      "%s: offset 0x%" PRIx64 " or size 0x%" PRIx64
                      " is not a multiple of 0x%" PRIx64,
                      what, range->offset, range->size, granularity);
}
