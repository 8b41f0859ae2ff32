/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/fake_iommu.h"

#include <errno.h>
#include <string.h>

#include "dma/ioctl.h"
#include "dma/kernel.h"

/* Far from those of real files. */
#define FIRST_FD 0x40000000

static struct fake_iommu *fake;

static const struct {
    unsigned long request;
    const char *name;
} calls[] = {
    [FAKE_VFIO_VERSION] = { VFIO_GET_API_VERSION, "VFIO_GET_API_VERSION" },
    [FAKE_VFIO_EXTENSION] = { VFIO_CHECK_EXTENSION, "VFIO_CHECK_EXTENSION" },
    [FAKE_VFIO_DIRTY_PAGES] = { VFIO_IOMMU_DIRTY_PAGES,
                                "VFIO_IOMMU_DIRTY_PAGES" },
    [FAKE_VFIO_INFO] = { VFIO_IOMMU_GET_INFO, "VFIO_IOMMU_GET_INFO" },
    [FAKE_VFIO_MAP] = { VFIO_IOMMU_MAP_DMA, "VFIO_IOMMU_MAP_DMA" },
    [FAKE_VFIO_UNMAP] = { VFIO_IOMMU_UNMAP_DMA, "VFIO_IOMMU_UNMAP_DMA" },
    [FAKE_IOAS_RANGES] = { IOMMU_IOAS_IOVA_RANGES, "IOMMU_IOAS_IOVA_RANGES" },
    [FAKE_IOAS_MAP] = { IOMMU_IOAS_MAP, "IOMMU_IOAS_MAP" },
    [FAKE_IOAS_MAP_FILE] = { IOMMU_IOAS_MAP_FILE, "IOMMU_IOAS_MAP_FILE" },
    [FAKE_IOAS_UNMAP] = { IOMMU_IOAS_UNMAP, "IOMMU_IOAS_UNMAP" },
    [FAKE_IOCTLS] = { 0, "any" },
};

static bool must_fail(enum fake_ioctl call)
{
    uint64_t number = ++fake->nr_calls[call];
    const uint64_t any_number = ++fake->nr_calls[FAKE_IOCTL_ANY];

    if (fake->call == FAKE_IOCTL_ANY) {
        number = any_number;
    } else if (fake->call != call) {
        return false;
    }
    return fake->count != 0 && number >= fake->first &&
           number - fake->first < fake->count;
}

static int answer(unsigned fd, unsigned long request, void *argument)
{
    return fake->fds[fd].type1 != NULL
               ? type1_model_ioctl(fake->fds[fd].type1, request, argument)
               : iommufd_model_ioctl(fake->fds[fd].iommufd, request, argument);
}

static int fake_ioctl(int fd, unsigned long request, void *argument)
{
    const unsigned i = (unsigned)fd - FIRST_FD;
    enum fake_ioctl call = 0;
    int ret;

    while (call < FAKE_IOCTLS && calls[call].request != request) {
        call++;
    }
    if (call == FAKE_IOCTLS) {
        return -ENOSYS; /* which no ioctl answers: the test will see */
    }
    if (must_fail(call)) {
        fake->nr_failed++;
        return -fake->error;
    }
    ret = i < fake->nr_fds ? answer(i, request, argument) : -EBADF;
    return fake->tamper != NULL ? fake->tamper(fake, call, argument, ret) : ret;
}

static uint64_t fake_memlock_limit(void)
{
    return fake->memlock_limit;
}

void fake_iommu_install(struct fake_iommu *to_install)
{
    static const struct vmemi_dma_sys table = {
        .ioctl = fake_ioctl,
        .memlock_limit = fake_memlock_limit,
    };

    memset(to_install, 0, sizeof(*to_install));
    to_install->memlock_limit = UINT64_MAX;
    fake = to_install;
    vmemi_dma_sys_set(&table);
}

void fake_iommu_remove(void)
{
    vmemi_dma_sys_set(NULL);
    fake = NULL;
}

int fake_iommu_add_type1(struct fake_iommu *to, struct type1_model *model)
{
    to->fds[to->nr_fds].type1 = model;
    return FIRST_FD + (int)to->nr_fds++;
}

int fake_iommu_add_iommufd(struct fake_iommu *to, struct iommufd_model *model)
{
    to->fds[to->nr_fds].iommufd = model;
    return FIRST_FD + (int)to->nr_fds++;
}

void fake_iommu_fail(struct fake_iommu *in, enum fake_ioctl call,
                     uint64_t first, uint64_t count, int error)
{
    in->call = call;
    in->first = in->nr_calls[call] + first;
    in->count = count;
    in->error = error;
}

void fake_iommu_forget(struct fake_iommu *of)
{
    memset(of->nr_calls, 0, sizeof(of->nr_calls));
    of->nr_failed = 0;
    of->count = 0;
}

const char *fake_ioctl_name(enum fake_ioctl call)
{
    return calls[call].name;
}
