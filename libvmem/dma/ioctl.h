/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_DMA_IOCTL_H
#define VMEMI_DMA_IOCTL_H

#include <stdint.h>

/* All that dma/ asks of the operating system, so that tests count it, make each
 * call fail, and put a model of the kernel in its place. Nothing here opens or
 * closes anything: descriptors are the host's. */
struct vmemi_dma_sys {
    /* 0 or positive, or a negative errno. */
    int (*ioctl)(int fd, unsigned long request, void *argument);
    /* RLIMIT_MEMLOCK of the process in bytes; UINT64_MAX: none, or unknown. */
    uint64_t (*memlock_limit)(void);
};

/* The table in use; asked anew for every call. */
const struct vmemi_dma_sys *vmemi_dma_sys_get(void);

/* The kernel's, which tests wrap. */
extern const struct vmemi_dma_sys vmemi_dma_sys_linux;

/* For tests, while no other thread is in the library; NULL: the kernel's. */
void vmemi_dma_sys_set(const struct vmemi_dma_sys *sys);

/* The ioctl of the table, repeated while a signal interrupts it: a map or unmap
 * that was interrupted has done nothing. The region is locked meanwhile, so an
 * end there is: -EINTR after this many tries. */
#define VMEMI_DMA_MAX_TRIES 64
int vmemi_dma_ioctl(int fd, unsigned long request, void *argument);

#endif /* VMEMI_DMA_IOCTL_H */
