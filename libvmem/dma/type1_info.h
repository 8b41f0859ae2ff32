/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_DMA_TYPE1_INFO_H
#define VMEMI_DMA_TYPE1_INFO_H

#include <stdint.h>

#include <vmem/error.h>

#include "dma/iova.h"

/* What a VFIO container says about its IOMMU. */
struct vmemi_type1_info {
    uint64_t page_sizes;   /* a bit for each */
    uint64_t max_mappings; /* left now; UINT64_MAX: no limit */
    struct vmemi_iova_ranges ranges;
};

/* Asks now, since devices that join or leave change the answer. Two ioctls, or
 * one where the kernel knows no capabilities. Destroy info->ranges after
 * success. 0, what the kernel said, -EPROTO for an answer that makes no sense,
 * or -ENOMEM. */
int vmemi_type1_info_get(int container_fd, struct vmemi_type1_info *info,
                         struct vmem_error *err);

#endif /* VMEMI_DMA_TYPE1_INFO_H */
