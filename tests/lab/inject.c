/* SPDX-License-Identifier: BSD-3-Clause */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stddef.h>

#include "iommufd_abi.h"

static enum inject_call armed_call;
static uint64_t armed_number;
static int armed_code;
static uint64_t nr_calls[INJECT_UNMAP + 1];

void inject_count(void)
{
    armed_code = 0;
    nr_calls[INJECT_MAP] = 0;
    nr_calls[INJECT_UNMAP] = 0;
}

void inject_arm(enum inject_call call, uint64_t number, int code)
{
    inject_count();
    armed_call = call;
    armed_number = number;
    armed_code = code;
}

uint64_t inject_end(enum inject_call call)
{
    armed_code = 0;
    return nr_calls[call];
}

static enum inject_call call_of(unsigned long request)
{
    switch (request) {
    case VFIO_IOMMU_MAP_DMA:
    case LAB_IOAS_MAP:
        return INJECT_MAP;
    case VFIO_IOMMU_UNMAP_DMA:
    case LAB_IOAS_UNMAP:
        return INJECT_UNMAP;
    default:
        return 0;
    }
}

/* The names that --wrap makes. */
int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    const enum inject_call call = call_of(request);
    if (call != 0) {
        nr_calls[call]++;
        if (armed_code != 0 && call == armed_call &&
            (armed_number == 0 || armed_number == nr_calls[call])) {
            errno = -armed_code;
            return -1;
        }
    }
    return __real_ioctl(fd, request, argument);
}

static inject_watch_fn watch_fn;
static void *watch_opaque;

void inject_watch_discards(inject_watch_fn fn, void *opaque)
{
    watch_fn = fn;
    watch_opaque = opaque;
}

int __real_fallocate64(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size);

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size)
{
    if (watch_fn && (mode & FALLOC_FL_PUNCH_HOLE)) {
        watch_fn((uint64_t)offset, (uint64_t)size, watch_opaque);
    }
    return __real_fallocate64(fd, mode, offset, size);
}
