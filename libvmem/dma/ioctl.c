/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma/ioctl.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

static int linux_ioctl(int fd, unsigned long request, void *argument)
{
    int ret = ioctl(fd, request, argument);

    return ret < 0 ? -errno : ret;
}

_Static_assert(RLIM_INFINITY == UINT64_MAX, "no limit is as no limit is here");

static uint64_t linux_memlock_limit(void)
{
    struct rlimit limit = { UINT64_MAX, UINT64_MAX };

    /* With this argument it cannot fail, and would leave the limit alone. */
    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    return (uint64_t)limit.rlim_cur;
}

const struct vmemi_dma_sys vmemi_dma_sys_linux = {
    .ioctl = linux_ioctl,
    .memlock_limit = linux_memlock_limit,
};

static _Atomic(const struct vmemi_dma_sys *) current_sys = &vmemi_dma_sys_linux;

const struct vmemi_dma_sys *vmemi_dma_sys_get(void)
{
    return atomic_load_explicit(&current_sys, memory_order_acquire);
}

void vmemi_dma_sys_set(const struct vmemi_dma_sys *sys)
{
    atomic_store(&current_sys, sys != NULL ? sys : &vmemi_dma_sys_linux);
}

int vmemi_dma_ioctl(int fd, unsigned long request, void *argument)
{
    unsigned int tries_left = VMEMI_DMA_MAX_TRIES;
    int ret;

    do {
        ret = vmemi_dma_sys_get()->ioctl(fd, request, argument);
    } while (ret == -EINTR && --tries_left > 0);
    return ret;
}
