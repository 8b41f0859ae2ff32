/* SPDX-License-Identifier: BSD-3-Clause */
#include "space.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iommufd_abi.h"
#include "result.h"

#define LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
#define PAGE 4096

static const struct {
    const char *address;
    const char *path; /* of its own, where there are no groups */
} edus[SPACE_DEVICES] = {
    { "0000:00:04.0", "/dev/vfio/devices/vfio0" },
    { "0000:00:05.0", "/dev/vfio/devices/vfio1" },
};

const char *space_kind_name(enum space_kind kind)
{
    switch (kind) {
    case SPACE_TYPE1:
        return "type1";
    case SPACE_TYPE1_V1:
        return "type1-v1";
    case SPACE_COMPAT:
        return "compat";
    case SPACE_IOMMUFD:
        return "iommufd";
    }
    return "?";
}

static bool failed(const char *what)
{
    result_note("%s: %s", what, strerror(errno));
    return false;
}

static int open_group(unsigned int device)
{
    char target[256] = "";
    char path[64];
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
             edus[device].address);
    const ssize_t size = readlink(path, target, sizeof(target) - 1);
    const char *name = size > 0 ? strrchr(target, '/') : NULL;
    snprintf(path, sizeof(path), "/dev/vfio/%s", name ? name + 1 : "?");
    return open(path, O_RDWR | O_CLOEXEC);
}

static bool open_container(struct space *space, unsigned int device)
{
    const char *path =
        space->kind == SPACE_COMPAT ? "/dev/iommu" : "/dev/vfio/vfio";
    space->fd = open(path, O_RDWR | O_CLOEXEC);
    if (space->fd < 0) {
        return failed(path);
    }
    space->group_fd = open_group(device);
    if (space->group_fd < 0) {
        return failed("the group of edu");
    }
    if (ioctl(space->group_fd, VFIO_GROUP_SET_CONTAINER, &space->fd)) {
        return failed("VFIO_GROUP_SET_CONTAINER");
    }
    if (ioctl(space->fd, VFIO_SET_IOMMU,
              space->kind == SPACE_TYPE1_V1 ? VFIO_TYPE1_IOMMU
                                            : VFIO_TYPE1v2_IOMMU)) {
        return failed("VFIO_SET_IOMMU");
    }
    space->device_fd =
        ioctl(space->group_fd, VFIO_GROUP_GET_DEVICE_FD, edus[device].address);
    return space->device_fd >= 0 || failed("VFIO_GROUP_GET_DEVICE_FD");
}

static bool open_iommufd(struct space *space, unsigned int device)
{
    space->fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
    space->device_fd = open(edus[device].path, O_RDWR | O_CLOEXEC);
    if (space->fd < 0 || space->device_fd < 0) {
        return failed(edus[device].path);
    }
    struct lab_device_bind bind = { .argsz = sizeof(bind),
                                    .iommufd = space->fd };
    struct lab_ioas_alloc alloc = { .size = sizeof(alloc) };
    if (ioctl(space->device_fd, LAB_DEVICE_BIND_IOMMUFD, &bind) ||
        ioctl(space->fd, LAB_IOAS_ALLOC, &alloc)) {
        return failed("BIND_IOMMUFD, IOAS_ALLOC");
    }
    space->ioas_id = alloc.out_ioas_id;
    struct lab_device_attach attach = { .argsz = sizeof(attach),
                                        .pt_id = space->ioas_id };
    return ioctl(space->device_fd, LAB_DEVICE_ATTACH_PT, &attach) == 0 ||
           failed("ATTACH_IOMMUFD_PT");
}

bool space_set_limit(unsigned int limit)
{
    char text[16];
    const int size = snprintf(text, sizeof(text), "%u", limit);
    const int fd = open(LIMIT, O_WRONLY | O_CLOEXEC);
    const bool is_set = fd >= 0 && write(fd, text, (size_t)size) == size;
    if (fd >= 0) {
        close(fd);
    }
    return is_set || failed(LIMIT);
}

bool space_open(struct space *space, enum space_kind kind, unsigned int device)
{
    *space = (struct space){
        .kind = kind, .fd = -1, .group_fd = -1, .device_fd = -1
    };
    space->probe_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space->probe_page == MAP_FAILED) {
        space->probe_page = NULL;
        return failed("mmap");
    }
    return kind == SPACE_IOMMUFD ? open_iommufd(space, device)
                                 : open_container(space, device);
}

void space_close(struct space *space)
{
    const int fds[] = { space->device_fd, space->group_fd, space->fd };
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    if (space->probe_page) {
        munmap(space->probe_page, PAGE);
    }
}

int space_map(const struct space *space, uint64_t iova, const void *hva,
              uint64_t size, unsigned int access)
{
    int ret;
    if (space->kind == SPACE_IOMMUFD) {
        struct lab_ioas_map map = {
            .size = sizeof(map),
            .flags = LAB_IOAS_MAP_FIXED_IOVA |
                     (access & SPACE_READ ? LAB_IOAS_MAP_READABLE : 0) |
                     (access & SPACE_WRITE ? LAB_IOAS_MAP_WRITEABLE : 0),
            .ioas_id = space->ioas_id,
            .user_va = (uintptr_t)hva,
            .length = size,
            .iova = iova
        };
        ret = ioctl(space->fd, LAB_IOAS_MAP, &map);
    } else {
        struct vfio_iommu_type1_dma_map map = {
            .argsz = sizeof(map),
            .flags =
                (access & SPACE_READ ? (uint32_t)VFIO_DMA_MAP_FLAG_READ : 0) |
                (access & SPACE_WRITE ? (uint32_t)VFIO_DMA_MAP_FLAG_WRITE : 0),
            .vaddr = (uintptr_t)hva,
            .iova = iova,
            .size = size
        };
        ret = ioctl(space->fd, VFIO_IOMMU_MAP_DMA, &map);
    }
    return ret < 0 ? -errno : 0;
}

int space_unmap(const struct space *space, uint64_t iova, uint64_t size,
                uint64_t *unmapped)
{
    int ret;
    if (space->kind == SPACE_IOMMUFD) {
        struct lab_ioas_unmap unmap = { .size = sizeof(unmap),
                                        .ioas_id = space->ioas_id,
                                        .iova = iova,
                                        .length = size };
        ret = ioctl(space->fd, LAB_IOAS_UNMAP, &unmap);
        *unmapped = ret < 0 ? 0 : unmap.length;
    } else {
        struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
                                                    .iova = iova,
                                                    .size = size };
        ret = ioctl(space->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
        *unmapped = ret < 0 ? 0 : unmap.size;
    }
    return ret < 0 ? -errno : 0;
}

uint64_t space_available(const struct space *space)
{
    _Alignas(8) char bytes[4096] = { 0 };
    struct vfio_iommu_type1_info *info =
        (struct vfio_iommu_type1_info *)(void *)bytes;
    info->argsz = sizeof(bytes);
    if (space->kind == SPACE_IOMMUFD ||
        ioctl(space->fd, VFIO_IOMMU_GET_INFO, info) ||
        !(info->flags & VFIO_IOMMU_INFO_CAPS)) {
        return SPACE_UNTOLD;
    }
    uint32_t at = info->cap_offset;
    while (at != 0 && at + sizeof(struct vfio_iommu_type1_info_dma_avail) <=
                          sizeof(bytes)) {
        const struct vfio_iommu_type1_info_dma_avail *cap =
            (const void *)(bytes + at);
        if (cap->header.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
            return cap->avail;
        }
        at = cap->header.next;
    }
    return SPACE_UNTOLD;
}

int space_is_mapped(const struct space *space, uint64_t iova)
{
    const int ret = space_map(space, iova, space->probe_page, PAGE, SPACE_READ);
    if (ret == -EEXIST) {
        return 1;
    }
    /* Type 1 looks for what is there before it counts what is left. */
    if (ret == -ENOSPC && space->kind == SPACE_TYPE1) {
        return 0;
    }
    uint64_t unmapped = 0;
    if (ret < 0) {
        return ret;
    }
    const int undone = space_unmap(space, iova, PAGE, &unmapped);
    return undone == 0 && unmapped == PAGE ? 0 : -EIO;
}
