/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_DMA_IOVA_H
#define VMEMI_DMA_IOVA_H

#include <stdint.h>

#include <vmem/error.h>

/* An interval of IOVAs, as both kernel interfaces write it. */
struct vmemi_iova_range {
    uint64_t start;
    uint64_t last; /* inclusive: it may be UINT64_MAX */
};

/* Where an IOMMU can map, ascending. Devices that join may narrow it. */
struct vmemi_iova_ranges {
    struct vmemi_iova_range *ranges; /* NULL: anywhere, as far as is known */
    uint32_t nr_ranges;
};

/* More than this no kernel has; a host that is told so is told lies. */
#define VMEMI_IOVA_MAX_RANGES 65536u

void vmemi_iova_ranges_destroy(struct vmemi_iova_ranges *ranges);

/* Can all of this be mapped? 0 or -ERANGE, which names what is in the way. size
 * is not 0, and nothing wraps. */
int vmemi_iova_ranges_check(const struct vmemi_iova_ranges *ranges,
                            uint64_t iova, uint64_t size,
                            struct vmem_error *err);

#endif /* VMEMI_DMA_IOVA_H */
