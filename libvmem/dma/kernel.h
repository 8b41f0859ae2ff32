/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_DMA_KERNEL_H
#define VMEMI_DMA_KERNEL_H

/* What dma/ asks of the kernel. VFIO is in every supported version of the
 * headers (Linux 6.1); iommufd came with Linux 6.2 and is declared here, from
 * the kernel's own documentation, where the headers lack it. Numbers of the
 * kernel never change; the assertions keep newer headers and this file the
 * same. */

#include <stddef.h>
#include <stdint.h>

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/vfio.h>

#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#else
#define IOMMU_DESTROY _IO(';', 0x80)
#define IOMMU_IOAS_ALLOC _IO(';', 0x81)
#define IOMMU_IOAS_IOVA_RANGES _IO(';', 0x84)
#define IOMMU_IOAS_MAP _IO(';', 0x85)
#define IOMMU_IOAS_UNMAP _IO(';', 0x86)

#define IOMMU_IOAS_MAP_FIXED_IOVA (1u << 0)
#define IOMMU_IOAS_MAP_WRITEABLE (1u << 1)
#define IOMMU_IOAS_MAP_READABLE (1u << 2)

struct iommu_destroy {
    __u32 size;
    __u32 id;
};

struct iommu_ioas_alloc {
    __u32 size;
    __u32 flags;
    __u32 out_ioas_id;
};

struct iommu_iova_range {
    __aligned_u64 start;
    __aligned_u64 last;
};

struct iommu_ioas_iova_ranges {
    __u32 size;
    __u32 ioas_id;
    __u32 num_iovas;
    __u32 __reserved;
    __aligned_u64 allowed_iovas;
    __aligned_u64 out_iova_alignment;
};

struct iommu_ioas_map {
    __u32 size;
    __u32 flags;
    __u32 ioas_id;
    __u32 __reserved;
    __aligned_u64 user_va;
    __aligned_u64 length;
    __aligned_u64 iova;
};

struct iommu_ioas_unmap {
    __u32 size;
    __u32 ioas_id;
    __aligned_u64 iova;
    __aligned_u64 length;
};
#endif

/* Pages of a memfd, without a mapping in the process (Linux 6.13). */
#ifndef IOMMU_IOAS_MAP_FILE
#define IOMMU_IOAS_MAP_FILE _IO(';', 0x8f)

struct iommu_ioas_map_file {
    __u32 size;
    __u32 flags;
    __u32 ioas_id;
    __s32 fd;
    __aligned_u64 start;
    __aligned_u64 length;
    __aligned_u64 iova;
};
#endif

_Static_assert(IOMMU_DESTROY == _IO(';', 0x80) &&
                   IOMMU_IOAS_ALLOC == _IO(';', 0x81) &&
                   IOMMU_IOAS_IOVA_RANGES == _IO(';', 0x84) &&
                   IOMMU_IOAS_MAP == _IO(';', 0x85) &&
                   IOMMU_IOAS_UNMAP == _IO(';', 0x86) &&
                   IOMMU_IOAS_MAP_FILE == _IO(';', 0x8f),
               "kernel numbers");
_Static_assert(IOMMU_IOAS_MAP_FIXED_IOVA == 1 &&
                   IOMMU_IOAS_MAP_WRITEABLE == 2 &&
                   IOMMU_IOAS_MAP_READABLE == 4,
               "kernel numbers");
_Static_assert(sizeof(struct iommu_destroy) == 8, "kernel layout");
_Static_assert(sizeof(struct iommu_ioas_alloc) == 12, "kernel layout");
_Static_assert(sizeof(struct iommu_iova_range) == 16, "kernel layout");
_Static_assert(sizeof(struct iommu_ioas_iova_ranges) == 32 &&
                   offsetof(struct iommu_ioas_iova_ranges, allowed_iovas) == 16,
               "kernel layout");
_Static_assert(sizeof(struct iommu_ioas_map) == 40 &&
                   offsetof(struct iommu_ioas_map, user_va) == 16 &&
                   offsetof(struct iommu_ioas_map, iova) == 32,
               "kernel layout");
_Static_assert(sizeof(struct iommu_ioas_map_file) == 40 &&
                   offsetof(struct iommu_ioas_map_file, fd) == 12 &&
                   offsetof(struct iommu_ioas_map_file, start) == 16,
               "kernel layout");
_Static_assert(sizeof(struct iommu_ioas_unmap) == 24 &&
                   offsetof(struct iommu_ioas_unmap, iova) == 8,
               "kernel layout");

_Static_assert(VFIO_GET_API_VERSION == _IO(';', 100) &&
                   VFIO_CHECK_EXTENSION == _IO(';', 101) &&
                   VFIO_IOMMU_GET_INFO == _IO(';', 112) &&
                   VFIO_IOMMU_MAP_DMA == _IO(';', 113) &&
                   VFIO_IOMMU_UNMAP_DMA == _IO(';', 114) &&
                   VFIO_IOMMU_DIRTY_PAGES == _IO(';', 117),
               "kernel numbers");
_Static_assert(sizeof(struct vfio_iommu_type1_dma_map) == 32 &&
                   sizeof(struct vfio_iommu_type1_dma_unmap) == 24 &&
                   sizeof(struct vfio_info_cap_header) == 8 &&
                   sizeof(struct vfio_iova_range) == 16,
               "kernel layout");

/* What VFIO_IOMMU_GET_INFO has always had, and what it has with capabilities;
 * newer headers add padding after it. */
#define VMEMI_VFIO_INFO_MIN                                                    \
    (offsetof(struct vfio_iommu_type1_info, iova_pgsizes) + sizeof(__u64))
#define VMEMI_VFIO_INFO_WITH_CAPS                                              \
    (offsetof(struct vfio_iommu_type1_info, cap_offset) + sizeof(__u32))
_Static_assert(VMEMI_VFIO_INFO_MIN == 16 && VMEMI_VFIO_INFO_WITH_CAPS == 20,
               "kernel layout");

/* How many mappings a type1 container has if it does not say: the default of
 * the module parameter dma_entry_limit, and what older kernels had built in. */
#define VMEMI_TYPE1_DEFAULT_MAPPINGS 65535u
/* What iommufd says in the same place, which has no such limit. */
#define VMEMI_TYPE1_UNLIMITED_MAPPINGS UINT32_MAX

#endif /* VMEMI_DMA_KERNEL_H */
