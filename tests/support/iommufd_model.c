/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/iommufd_model.h"

#include <errno.h>
#include <string.h>

#include "dma/kernel.h"
#include "support/type1_model.h"

void iommufd_model_init(struct iommufd_model *model)
{
    memset(model, 0, sizeof(*model));
    model->alignment = 4096;
    model->memlock_limit = UINT64_MAX;
    model->ranges[0].last = 0xfedfffff;
    model->ranges[1].start = 0xfef00000;
    model->ranges[1].last = 0x7fffffffff;
    model->nr_ranges = 2;
}

void iommufd_model_destroy(struct iommufd_model *model)
{
    for (unsigned i = 0; i < IOMMUFD_MODEL_MAX_IOAS; i++) {
        if (model->ioas[i].exists) {
            iova_set_destroy(&model->ioas[i].set);
        }
    }
}

struct iova_set *iommufd_model_set(struct iommufd_model *model, uint32_t id)
{
    return id >= 1 && id <= IOMMUFD_MODEL_MAX_IOAS && model->ioas[id - 1].exists
               ? &model->ioas[id - 1].set
               : NULL;
}

static int ioas_alloc(struct iommufd_model *model,
                      struct iommu_ioas_alloc *alloc)
{
    if (alloc->flags != 0) {
        return -EOPNOTSUPP;
    }
    for (uint32_t i = 0; i < IOMMUFD_MODEL_MAX_IOAS; i++) {
        if (!model->ioas[i].exists) {
            model->ioas[i].exists = true;
            iova_set_init(&model->ioas[i].set);
            alloc->out_ioas_id = i + 1;
            return 0;
        }
    }
    return -ENOMEM;
}

uint32_t iommufd_model_alloc(struct iommufd_model *model)
{
    struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

    return ioas_alloc(model, &alloc) == 0 ? alloc.out_ioas_id : 0;
}

static int destroy(struct iommufd_model *model,
                   const struct iommu_destroy *destroyed)
{
    struct iova_set *set = iommufd_model_set(model, destroyed->id);

    if (set == NULL) {
        return -ENOENT;
    }
    iova_set_destroy(set);
    model->ioas[destroyed->id - 1].exists = false;
    return 0;
}

static int iova_ranges(struct iommufd_model *model,
                       struct iommu_ioas_iova_ranges *ranges)
{
    struct iommu_iova_range *out =
        (struct iommu_iova_range *)(uintptr_t)ranges->allowed_iovas;
    const uint32_t room = ranges->num_iovas;

    if (ranges->__reserved != 0) {
        return -EOPNOTSUPP;
    }
    if (iommufd_model_set(model, ranges->ioas_id) == NULL) {
        return -ENOENT;
    }
    for (unsigned i = 0; i < model->nr_ranges && i < room; i++) {
        out[i].start = model->ranges[i].start;
        out[i].last = model->ranges[i].last;
    }
    ranges->num_iovas = model->nr_ranges;
    ranges->out_iova_alignment = model->alignment;
    return room < model->nr_ranges ? -EMSGSIZE : 0;
}

static bool is_usable(const struct iommufd_model *model, uint64_t iova,
                      uint64_t last)
{
    for (unsigned i = 0; i < model->nr_ranges; i++) {
        if (iova >= model->ranges[i].start && last <= model->ranges[i].last) {
            return true;
        }
    }
    return false;
}

static int check_map(struct iommufd_model *model, uint32_t ioas_id,
                     uint32_t flags, uint64_t iova, uint64_t length)
{
    const uint32_t access = IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;
    const struct iova_set *set = iommufd_model_set(model, ioas_id);
    const uint64_t last = iova + (length - 1);

    if ((flags & ~(access | IOMMU_IOAS_MAP_FIXED_IOVA)) != 0) {
        return -EOPNOTSUPP;
    }
    if (iova == UINT64_MAX || length == UINT64_MAX) {
        return -EOVERFLOW;
    }
    if ((flags & access) == 0) {
        return -EINVAL;
    }
    if (set == NULL) {
        return -ENOENT;
    }
    /* Where the kernel chooses the address nothing here asks for one. */
    if ((flags & IOMMU_IOAS_MAP_FIXED_IOVA) == 0) {
        return -ENOSPC;
    }
    if (length == 0 || ((iova | length) & (model->alignment - 1)) != 0) {
        return -EINVAL;
    }
    if (last < iova) {
        return -EOVERFLOW;
    }
    if (!is_usable(model, iova, last)) {
        return -EINVAL;
    }
    return iova_set_overlaps(set, iova, last) ? -EEXIST : 0;
}

static int charge(const struct iommufd_model *model, uint64_t length)
{
    uint64_t size = 0;

    for (unsigned i = 0; i < IOMMUFD_MODEL_MAX_IOAS; i++) {
        size += model->ioas[i].exists ? model->ioas[i].set.size : 0;
    }
    return length > model->memlock_limit || size > model->memlock_limit - length
               ? -ENOMEM
               : 0;
}

static int ioas_map(struct iommufd_model *model,
                    const struct iommu_ioas_map *map)
{
    const struct iova_mapping mapping = {
        .iova = map->iova,
        .size = map->length,
        .hva = map->user_va,
        .is_readable = (map->flags & IOMMU_IOAS_MAP_READABLE) != 0,
        .is_writable = (map->flags & IOMMU_IOAS_MAP_WRITEABLE) != 0,
    };
    int ret = map->__reserved != 0 ? -EOPNOTSUPP
                                   : check_map(model, map->ioas_id, map->flags,
                                               map->iova, map->length);

    if (ret == 0 && (map->user_va & (model->alignment - 1)) != 0) {
        ret = -EINVAL;
    }
    if (ret == 0) {
        ret = charge(model, map->length);
    }
    if (ret < 0) {
        return ret;
    }
    if (map->user_va == 0 ||
        (model->pins &&
         model_pin(map->user_va, map->length, mapping.is_writable) < 0)) {
        return -EFAULT;
    }
    iova_set_add(iommufd_model_set(model, map->ioas_id), &mapping);
    return 0;
}

static int ioas_map_file(struct iommufd_model *model,
                         const struct iommu_ioas_map_file *map)
{
    const struct iova_mapping mapping = {
        .iova = map->iova,
        .size = map->length,
        .hva = UINT64_MAX,
        .is_readable = (map->flags & IOMMU_IOAS_MAP_READABLE) != 0,
        .is_writable = (map->flags & IOMMU_IOAS_MAP_WRITEABLE) != 0,
        .fd = map->fd,
        .fd_offset = map->start,
    };
    int ret;

    if (!model->has_map_file) {
        return -ENOTTY;
    }
    ret = check_map(model, map->ioas_id, map->flags, map->iova, map->length);
    if (ret == 0 && map->fd < 0) {
        ret = -EBADF;
    }
    if (ret == 0) {
        ret = charge(model, map->length);
    }
    if (ret == 0) {
        iova_set_add(iommufd_model_set(model, map->ioas_id), &mapping);
    }
    return ret;
}

/* Not atomic: what lies before a cut is gone, and nobody is told how much. */
static int ioas_unmap(struct iommufd_model *model,
                      struct iommu_ioas_unmap *unmap)
{
    struct iova_set *set = iommufd_model_set(model, unmap->ioas_id);
    const uint64_t last = unmap->iova + (unmap->length - 1);
    uint64_t unmapped;
    bool cuts;

    if (set == NULL) {
        return -ENOENT;
    }
    if (unmap->iova == 0 && unmap->length == UINT64_MAX) {
        unmap->length = iova_set_remove(set, 0, UINT64_MAX);
        return 0;
    }
    if (unmap->iova == UINT64_MAX || unmap->length == UINT64_MAX) {
        return -EOVERFLOW;
    }
    if (unmap->length == 0) {
        return -EINVAL;
    }
    if (last < unmap->iova) {
        return -EOVERFLOW;
    }
    cuts = iova_set_cuts(set, unmap->iova, last);
    unmapped = iova_set_remove(set, unmap->iova, last);
    if (cuts || unmapped == 0) {
        return -ENOENT;
    }
    unmap->length = unmapped;
    return 0;
}

int iommufd_model_ioctl(struct iommufd_model *model, unsigned long request,
                        void *argument)
{
    uint32_t size;

    memcpy(&size, argument, sizeof(size));
    switch (request) {
    case IOMMU_DESTROY:
        return size < sizeof(struct iommu_destroy) ? -EINVAL
                                                   : destroy(model, argument);
    case IOMMU_IOAS_ALLOC:
        return size < sizeof(struct iommu_ioas_alloc)
                   ? -EINVAL
                   : ioas_alloc(model, argument);
    case IOMMU_IOAS_IOVA_RANGES:
        return size < sizeof(struct iommu_ioas_iova_ranges)
                   ? -EINVAL
                   : iova_ranges(model, argument);
    case IOMMU_IOAS_MAP:
        return size < sizeof(struct iommu_ioas_map) ? -EINVAL
                                                    : ioas_map(model, argument);
    case IOMMU_IOAS_MAP_FILE:
        return size < sizeof(struct iommu_ioas_map_file)
                   ? -EINVAL
                   : ioas_map_file(model, argument);
    case IOMMU_IOAS_UNMAP:
        return size < sizeof(struct iommu_ioas_unmap)
                   ? -EINVAL
                   : ioas_unmap(model, argument);
    default:
        return -ENOTTY;
    }
}
