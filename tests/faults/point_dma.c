/* SPDX-License-Identifier: BSD-3-Clause */
#include "faults/point_dma.h"

#include <errno.h>
#include <stddef.h>

#include "dma/ioctl.h"
#include "dma/kernel.h"
#include "faults/point.h"

static struct type1_model *type1_model;
static struct iommufd_model *iommufd_model;

static const int any[] = { -EIO, -EINTR, POINT_STICKY_EINTR, 0 };
static const int of_version[] = { -ENOTTY, 0 };
static const int of_dirty_pages[] = { -EACCES, -ENOTTY, 0 };
static const int of_map[] = {
    -ENOSPC, -ENOMEM, -EFAULT, -EINTR, POINT_STICKY_EINTR, 0
};
static const int of_file[] = { -ENOTTY, -EINVAL, -ENOMEM, -EINTR, 0 };

static const struct {
    unsigned long request;
    const char *name;
    const int *variants;
} calls[] = {
    { VFIO_GET_API_VERSION, "VFIO_GET_API_VERSION", of_version },
    { VFIO_CHECK_EXTENSION, "VFIO_CHECK_EXTENSION", any },
    { VFIO_IOMMU_DIRTY_PAGES, "VFIO_IOMMU_DIRTY_PAGES", of_dirty_pages },
    { VFIO_IOMMU_GET_INFO, "VFIO_IOMMU_GET_INFO", any },
    { VFIO_IOMMU_MAP_DMA, "VFIO_IOMMU_MAP_DMA", of_map },
    { VFIO_IOMMU_UNMAP_DMA, "VFIO_IOMMU_UNMAP_DMA", any },
    { IOMMU_IOAS_IOVA_RANGES, "IOMMU_IOAS_IOVA_RANGES", any },
    { IOMMU_IOAS_MAP, "IOMMU_IOAS_MAP", of_map },
    { IOMMU_IOAS_MAP_FILE, "IOMMU_IOAS_MAP_FILE", of_file },
    { IOMMU_IOAS_UNMAP, "IOMMU_IOAS_UNMAP", any },
};

static int point_ioctl(int fd, unsigned long request, void *argument)
{
    size_t i = 0;
    int variant;

    while (calls[i].request != request) {
        i++;
    }
    variant = point(calls[i].name, calls[i].variants);
    if (variant != 0) {
        return variant;
    }
    return fd == POINT_DMA_TYPE1
               ? type1_model_ioctl(type1_model, request, argument)
               : iommufd_model_ioctl(iommufd_model, request, argument);
}

static uint64_t point_memlock_limit(void)
{
    point_reached("memlock_limit");
    return (uint64_t)8 << 20;
}

void point_dma_install(struct type1_model *type1, struct iommufd_model *iommufd)
{
    static const struct vmemi_dma_sys table = {
        .ioctl = point_ioctl,
        .memlock_limit = point_memlock_limit,
    };

    type1_model = type1;
    iommufd_model = iommufd;
    vmemi_dma_sys_set(&table);
}

void point_dma_remove(void)
{
    vmemi_dma_sys_set(NULL);
}
