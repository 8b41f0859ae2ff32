/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_FAKE_IOMMU_H
#define TESTS_SUPPORT_FAKE_IOMMU_H

#include <stdbool.h>
#include <stdint.h>

#include "support/iommufd_model.h"
#include "support/type1_model.h"

/* Models in the place of the kernel under libvmem/dma: their ioctls are counted,
 * and fail where a test wants it. */

enum fake_ioctl {
    FAKE_VFIO_VERSION,
    FAKE_VFIO_EXTENSION,
    FAKE_VFIO_DIRTY_PAGES,
    FAKE_VFIO_INFO,
    FAKE_VFIO_MAP,
    FAKE_VFIO_UNMAP,
    FAKE_IOAS_RANGES,
    FAKE_IOAS_MAP,
    FAKE_IOAS_MAP_FILE,
    FAKE_IOAS_UNMAP,
    FAKE_IOCTLS,
    FAKE_IOCTL_ANY = FAKE_IOCTLS
};

#define FAKE_IOMMU_MAX_FDS 4

struct fake_iommu {
    /* Counted since fake_iommu_install(). */
    uint64_t nr_calls[FAKE_IOCTLS + 1]; /* the last one: of any kind */
    uint64_t nr_failed;

    /* Calls number first to first + count - 1 of call fail with error, a
     * positive errno, and the model never sees them; count 0: none. */
    enum fake_ioctl call;
    uint64_t first;
    uint64_t count;
    int error;

    /* Sees what the model answered, and may change that and *argument; NULL: it
     * stays. */
    int (*tamper)(struct fake_iommu *fake, enum fake_ioctl call, void *argument,
                  int ret);
    void *user;

    uint64_t memlock_limit; /* as the process is told */

    struct {
        struct type1_model *type1; /* one of them */
        struct iommufd_model *iommufd;
    } fds[FAKE_IOMMU_MAX_FDS];
    unsigned nr_fds;
};

/* Zeroes it and puts it in the place of the kernel. */
void fake_iommu_install(struct fake_iommu *fake);
void fake_iommu_remove(void);

/* A descriptor, which no system call knows. */
int fake_iommu_add_type1(struct fake_iommu *fake, struct type1_model *model);
int fake_iommu_add_iommufd(struct fake_iommu *fake,
                           struct iommufd_model *model);

/* Calls number first to first + count - 1 from now on fail. */
void fake_iommu_fail(struct fake_iommu *fake, enum fake_ioctl call,
                     uint64_t first, uint64_t count, int error);

/* Counts from 0 again. */
void fake_iommu_forget(struct fake_iommu *fake);

const char *fake_ioctl_name(enum fake_ioctl call);

#endif /* TESTS_SUPPORT_FAKE_IOMMU_H */
