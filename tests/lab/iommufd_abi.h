/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_LAB_IOMMUFD_ABI_H
#define TESTS_LAB_IOMMUFD_ABI_H

#include <linux/vfio.h>
#include <stdint.h>

/* What the lab's programs use of iommufd: Debian 12's kernel headers do not have
 * it. Written a second time, not shared with the library, so that a mistake there
 * is no mistake here. */

#define LAB_IOAS_ALLOC _IO(';', 0x81)
#define LAB_IOAS_MAP _IO(';', 0x85)
#define LAB_IOAS_UNMAP _IO(';', 0x86)

#define LAB_IOAS_MAP_FIXED_IOVA ((uint32_t)1 << 0)
#define LAB_IOAS_MAP_WRITEABLE ((uint32_t)1 << 1)
#define LAB_IOAS_MAP_READABLE ((uint32_t)1 << 2)

struct lab_ioas_alloc {
    uint32_t size;
    uint32_t flags;
    uint32_t out_ioas_id;
};

struct lab_ioas_map {
    uint32_t size;
    uint32_t flags;
    uint32_t ioas_id;
    uint32_t reserved;
    uint64_t user_va;
    uint64_t length;
    uint64_t iova;
};

struct lab_ioas_unmap {
    uint32_t size;
    uint32_t ioas_id;
    uint64_t iova;
    uint64_t length;
};

#define LAB_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
#define LAB_DEVICE_ATTACH_PT _IO(VFIO_TYPE, VFIO_BASE + 19)

struct lab_device_bind {
    uint32_t argsz;
    uint32_t flags;
    int32_t iommufd;
    uint32_t out_devid;
};

struct lab_device_attach {
    uint32_t argsz;
    uint32_t flags;
    uint32_t pt_id;
};

#endif /* TESTS_LAB_IOMMUFD_ABI_H */
