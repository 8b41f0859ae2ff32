/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/type1_model.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "dma/kernel.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define POPULATE_READ 22
#define POPULATE_WRITE 23

void type1_model_init(struct type1_model *model, enum type1_kind kind)
{
    memset(model, 0, sizeof(*model));
    model->kind = kind;
    model->is_type1 = true;
    model->has_iommu = true;
    model->has_caps = true;
    model->has_avail = true;
    model->has_dirty_pages = kind != TYPE1_COMPAT;
    model->page_sizes = KIB(4) | MIB(2) | GIB(1);
    model->limit = kind == TYPE1_COMPAT ? UINT32_MAX : 65535;
    model->memlock_limit = UINT64_MAX;
    /* An Intel IOMMU of 39 bits; interrupts are written to the hole. */
    model->ranges[0].last = 0xfedfffff;
    model->ranges[1].start = 0xfef00000;
    model->ranges[1].last = 0x7fffffffff;
    model->nr_ranges = 2;
    iova_set_init(&model->set);
}

void type1_model_destroy(struct type1_model *model)
{
    iova_set_destroy(&model->set);
}

int model_pin(uint64_t hva, uint64_t size, bool is_writable)
{
    const int advice = is_writable ? POPULATE_WRITE : POPULATE_READ;

    return madvise((void *)(uintptr_t)hva, size, advice) == 0 ? 0 : -EFAULT;
}

/* ---- what it is ---- */

static int check_extension(const struct type1_model *model, uintptr_t extension)
{
    return model->is_type1 &&
           (extension == VFIO_TYPE1_IOMMU || extension == VFIO_TYPE1v2_IOMMU ||
            extension == VFIO_UNMAP_ALL);
}

/* A chain of capabilities that is being put together. */
struct chain {
    uint8_t bytes[1024];
    uint32_t size;
    uint32_t last; /* offset of the last one, or 0 */
};

static void *add_cap(struct chain *chain, uint16_t id, uint32_t size)
{
    struct vfio_info_cap_header header = { .id = id, .version = 1 };
    const uint32_t offset = chain->size;

    if (chain->last != 0) {
        struct vfio_info_cap_header before;

        memcpy(&before, chain->bytes + chain->last, sizeof(before));
        before.next = offset;
        memcpy(chain->bytes + chain->last, &before, sizeof(before));
    }
    memcpy(chain->bytes + offset, &header, sizeof(header));
    chain->last = offset;
    chain->size += (size + 7) & ~7u;
    return chain->bytes + offset;
}

static void add_caps(const struct type1_model *model, struct chain *chain)
{
    const uint32_t ranges_size =
        (uint32_t)(sizeof(struct vfio_iommu_type1_info_cap_iova_range) +
                   model->nr_ranges * sizeof(struct vfio_iova_range));
    struct vfio_iommu_type1_info_cap_iova_range cap;
    uint32_t avail;
    uint8_t *bytes;

    if (model->kind != TYPE1_COMPAT) {
        add_cap(chain, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
                sizeof(struct vfio_iommu_type1_info_cap_migration));
    }
    if (model->has_avail) {
        avail = model->kind == TYPE1_COMPAT
                    ? UINT32_MAX
                    : (uint32_t)(model->limit - iova_set_nr(&model->set));
        bytes = add_cap(chain, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
                        sizeof(struct vfio_iommu_type1_info_dma_avail));
        memcpy(bytes + offsetof(struct vfio_iommu_type1_info_dma_avail, avail),
               &avail, sizeof(avail));
    }
    bytes = add_cap(chain, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, ranges_size);
    memcpy(&cap, bytes, sizeof(cap));
    cap.nr_iovas = model->nr_ranges;
    memcpy(bytes, &cap, sizeof(cap));
    memcpy(bytes + sizeof(cap), model->ranges,
           model->nr_ranges * sizeof(model->ranges[0]));
}

static int get_info(const struct type1_model *model, void *argument)
{
    struct vfio_iommu_type1_info *info = argument;
    struct chain chain = { .size = sizeof(*info) };
    const uint32_t argsz = info->argsz;

    if (argsz < VMEMI_VFIO_INFO_MIN) {
        return -EINVAL;
    }
    info->flags = VFIO_IOMMU_INFO_PGSIZES;
    info->iova_pgsizes = model->page_sizes;
    if (!model->has_caps) {
        return 0;
    }
    add_caps(model, &chain);
    info->flags |= VFIO_IOMMU_INFO_CAPS;
    if (argsz < chain.size) {
        info->argsz = chain.size;
        if (argsz >= VMEMI_VFIO_INFO_WITH_CAPS) {
            info->cap_offset = 0;
        }
        return 0;
    }
    info->cap_offset = sizeof(*info);
    memcpy((uint8_t *)argument + sizeof(*info), chain.bytes + sizeof(*info),
           chain.size - sizeof(*info));
    return 0;
}

/* ---- mapping ---- */

static bool is_usable(const struct type1_model *model, uint64_t iova,
                      uint64_t last)
{
    for (unsigned i = 0; i < model->nr_ranges; i++) {
        if (iova >= model->ranges[i].start && last <= model->ranges[i].last) {
            return true;
        }
    }
    return false;
}

static int check_map(const struct type1_model *model,
                     const struct vfio_iommu_type1_dma_map *map)
{
    const uint32_t known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    const uint64_t page_size = model->page_sizes & -model->page_sizes;
    const uint64_t last = map->iova + (map->size - 1);
    const bool wraps = last < map->iova;

    if (map->argsz < sizeof(*map) || (map->flags & ~known) != 0 ||
        (map->flags & known) == 0 || map->size == 0 ||
        ((map->iova | map->vaddr | map->size) & (page_size - 1)) != 0) {
        return -EINVAL;
    }
    if (wraps) {
        return model->kind == TYPE1_COMPAT ? -EOVERFLOW : -EINVAL;
    }
    if (iova_set_overlaps(&model->set, map->iova, last)) {
        return -EEXIST;
    }
    if (iova_set_nr(&model->set) >= model->limit) {
        return -ENOSPC;
    }
    return is_usable(model, map->iova, last) ? 0 : -EINVAL;
}

static int map_dma(struct type1_model *model,
                   const struct vfio_iommu_type1_dma_map *map)
{
    const struct iova_mapping mapping = {
        .iova = map->iova,
        .size = map->size,
        .hva = map->vaddr,
        .is_readable = (map->flags & VFIO_DMA_MAP_FLAG_READ) != 0,
        .is_writable = (map->flags & VFIO_DMA_MAP_FLAG_WRITE) != 0,
    };
    int ret = check_map(model, map);

    if (ret < 0) {
        return ret;
    }
    if (map->size > model->memlock_limit ||
        model->set.size > model->memlock_limit - map->size) {
        return -ENOMEM;
    }
    if (map->vaddr == 0 ||
        (model->pins &&
         model_pin(map->vaddr, map->size, mapping.is_writable) < 0)) {
        return -EFAULT;
    }
    iova_set_add(&model->set, &mapping);
    return 0;
}

static int unmap_all(struct type1_model *model,
                     struct vfio_iommu_type1_dma_unmap *unmap)
{
    if (unmap->iova != 0 || unmap->size != 0) {
        return -EINVAL;
    }
    unmap->size = iova_set_remove(&model->set, 0, UINT64_MAX);
    return 0;
}

static bool is_unmappable(const struct type1_model *model,
                          const struct vfio_iommu_type1_dma_unmap *unmap)
{
    const uint64_t page_size = model->page_sizes & -model->page_sizes;

    return unmap->size != 0 && unmap->iova + (unmap->size - 1) >= unmap->iova &&
           ((unmap->iova | unmap->size) & (page_size - 1)) == 0;
}

/* Refuses to cut, and does nothing then. */
static int unmap_v2(struct type1_model *model,
                    struct vfio_iommu_type1_dma_unmap *unmap)
{
    const uint64_t last = unmap->iova + (unmap->size - 1);

    if (!is_unmappable(model, unmap) ||
        iova_set_cuts(&model->set, unmap->iova, last)) {
        return -EINVAL;
    }
    unmap->size = iova_set_remove(&model->set, unmap->iova, last);
    return 0;
}

/* A mapping whose first page is in the range goes as a whole, others stay, and
 * nothing goes behind one that stays. */
static int unmap_v1(struct type1_model *model,
                    struct vfio_iommu_type1_dma_unmap *unmap)
{
    const uint64_t iova = unmap->iova;
    uint64_t last = iova + (unmap->size - 1);

    if (!is_unmappable(model, unmap)) {
        return -EINVAL;
    }
    unmap->size = 0;
    if (iova_set_cuts(&model->set, iova, UINT64_MAX)) {
        return 0;
    }
    for (uint64_t i = 0; i < iova_set_nr(&model->set); i++) {
        const struct iova_mapping *mapping = iova_set_at(&model->set, i);

        if (mapping->iova >= iova && mapping->iova <= last &&
            mapping->size - 1 > last - mapping->iova) {
            last = mapping->iova + (mapping->size - 1);
        }
    }
    unmap->size = iova_set_remove(&model->set, iova, last);
    return 0;
}

/* iommufd's rules: what lies before a cut is gone. */
static int unmap_compat(struct type1_model *model,
                        struct vfio_iommu_type1_dma_unmap *unmap)
{
    const uint64_t last = unmap->iova + (unmap->size - 1);
    const bool cuts = iova_set_cuts(&model->set, unmap->iova, last);

    if (unmap->size == 0) {
        return -EINVAL;
    }
    if (last < unmap->iova) {
        return -EOVERFLOW;
    }
    unmap->size = iova_set_remove(&model->set, unmap->iova, last);
    return cuts ? -ENOENT : 0;
}

static int unmap_dma(struct type1_model *model,
                     struct vfio_iommu_type1_dma_unmap *unmap)
{
    if (unmap->argsz < sizeof(*unmap) ||
        (unmap->flags & ~VFIO_DMA_UNMAP_FLAG_ALL) != 0) {
        return -EINVAL;
    }
    if ((unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0) {
        return unmap_all(model, unmap);
    }
    switch (model->kind) {
    case TYPE1_V1:
        return unmap_v1(model, unmap);
    case TYPE1_COMPAT:
        return unmap_compat(model, unmap);
    case TYPE1_V2:
    default:
        return unmap_v2(model, unmap);
    }
}

/* Only whether dirty pages can be asked for. */
static int dirty_pages(const struct type1_model *model)
{
    if (!model->has_dirty_pages) {
        return -ENOTTY;
    }
    return model->kind == TYPE1_V1 ? -EACCES : -EINVAL;
}

int type1_model_ioctl(struct type1_model *model, unsigned long request,
                      void *argument)
{
    if (request == VFIO_GET_API_VERSION) {
        return model->api_version;
    }
    if (request == VFIO_CHECK_EXTENSION) {
        return check_extension(model, (uintptr_t)argument);
    }
    if (!model->has_iommu) {
        return -EINVAL;
    }
    switch (request) {
    case VFIO_IOMMU_GET_INFO:
        return get_info(model, argument);
    case VFIO_IOMMU_MAP_DMA:
        return map_dma(model, argument);
    case VFIO_IOMMU_UNMAP_DMA:
        return unmap_dma(model, argument);
    case VFIO_IOMMU_DIRTY_PAGES:
        return dirty_pages(model);
    default:
        return -ENOTTY;
    }
}
