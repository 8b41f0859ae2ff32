/* SPDX-License-Identifier: BSD-3-Clause */
/* A late address space gets what an earlier one of the guest has. */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/range.h"
#include "dma/mapper.h"

/* A copy of a mapping, so that no two mappers are locked at once. */
struct copy {
    struct vmem_region *region;
    struct vmem_range range;
    uint64_t iova;
    uint32_t protection;
};

/* The first one from an IOVA on that is not stuck; false if there is none. */
static bool next_copy(struct vmem_dma *from, uint64_t iova, struct copy *copy)
{
    const struct vmemi_dma_guest *guest;
    struct vmemi_log_queue log;

    log.nr_records = 0;
    vmemi_dma_lock(from, &log);
    guest = vmemi_dma_guest_at(from, iova, UINT64_MAX - iova);
    while (guest != NULL && guest->is_stuck) {
        guest = vmemi_dma_guest_next(guest);
    }
    if (guest != NULL) {
        copy->region = guest->target->region;
        copy->range = guest->range;
        copy->iova = guest->iova;
        copy->protection = guest->protection;
    }
    vmemi_dma_unlock(from);
    return guest != NULL;
}

static struct vmem_dma_attachment *find_target(struct vmem_dma *dma,
                                               const struct copy *copy)
{
    struct vmem_dma_attachment *found = NULL;
    struct vmemi_log_queue log;

    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    for (GList *link = dma->attachments.head; link != NULL && found == NULL;
         link = link->next) {
        struct vmem_dma_attachment *target = link->data;

        if (target->is_target && target->stage == VMEMI_DMA_ATTACHED &&
            target->region == copy->region &&
            target->window.offset <= copy->range.offset &&
            vmemi_range_end(&copy->range) <= vmemi_range_end(&target->window)) {
            found = target;
        }
    }
    vmemi_dma_unlock(dma);
    return found;
}

/* Does the earlier one have it still? What is stuck there cannot have been plugged
 * again. */
static bool has_copy(struct vmem_dma *from, const struct copy *copy)
{
    struct vmemi_log_queue log;
    bool found;

    log.nr_records = 0;
    vmemi_dma_lock(from, &log);
    found = vmemi_dma_guest_at(from, copy->iova, copy->range.size) != NULL;
    vmemi_dma_unlock(from);
    return found;
}

static int replay_one(struct vmem_dma *dma, struct vmem_dma *from,
                      const struct copy *copy, struct vmem_error *err)
{
    struct vmem_dma_attachment *target = find_target(dma, copy);
    struct vmem_error own = VMEM_ERROR_INIT;
    int ret;

    if (target == NULL) {
        return vmemi_fail(err, -ENOENT, VMEM_REASON_NOT_FOUND, &copy->range,
                          "mapper \"%s\": 0x%" PRIx64 " + 0x%" PRIx64
                          " of region \"%s\" is not attached for a virtual "
                          "IOMMU",
                          dma->name.text, copy->range.offset, copy->range.size,
                          vmem_region_get_name(copy->region));
    }
    ret = vmem_dma_viommu_map(target, copy->iova, &copy->range,
                              copy->protection, &own);
    /* Unplugged since it was copied, and plugged again before it was mapped: from
     * here on an unplug unmaps it in both. */
    if (ret == 0 && !has_copy(from, copy)) {
        vmem_dma_viommu_unmap(dma, copy->iova, copy->range.size, NULL, NULL);
    }
    /* Unplugged since it was copied: the earlier one has it no more. A backend
     * that says the same means something else. */
    if (ret == 0 || own.reason == VMEM_REASON_NOT_POPULATED) {
        return 0;
    }
    return vmemi_fail(err, ret, own.reason, &own.range, "%s", own.message);
}

static int check_replay(const struct vmem_dma *dma, const struct vmem_dma *from,
                        struct vmem_error *err)
{
    if (dma == NULL || from == NULL || dma == from || dma->vm != from->vm) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_dma_viommu_replay: NULL, the same mapper, or "
                          "mappers of two machines");
    }
    if (atomic_load(&dma->nr_guest_mappings) != 0) {
        return vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                          "mapper \"%s\" has %" PRIu64
                          " guest mappings already",
                          dma->name.text, atomic_load(&dma->nr_guest_mappings));
    }
    return vmemi_vm_check_unlocked(dma->vm, "vmem_dma_viommu_replay", err);
}

int vmem_dma_viommu_replay(struct vmem_dma *dma, struct vmem_dma *from,
                           struct vmem_error *err)
{
    uint64_t iova = 0;
    struct copy copy;
    int ret = check_replay(dma, from, err);

    while (ret == 0 && next_copy(from, iova, &copy)) {
        ret = replay_one(dma, from, &copy, err);
        if (ret < 0) {
            vmem_dma_viommu_unmap(dma, 0, UINT64_MAX, NULL, NULL);
        }
        iova = copy.iova + copy.range.size;
    }
    return ret;
}
