/* SPDX-License-Identifier: BSD-3-Clause */
/* What a guest asks of its virtual IOMMU. All numbers are the guest's. */
#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "dma/mapper.h"

struct request {
    struct vmemi_dma_guest *guest; /* to be inserted */
    struct vmemi_log_queue log;
    struct vmem_error *err;
};

static int fail_request(const struct vmem_dma_attachment *target, int code,
                        uint32_t reason, const char *what, uint64_t value,
                        const char *relation, uint64_t limit,
                        struct vmem_error *err)
{
    return vmemi_fail(err, code, reason, NULL,
                      "guest mapping into \"%s\": %s 0x%" PRIx64
                      " %s 0x%" PRIx64,
                      target->name.text, what, value, relation, limit);
}

static int check_aligned(const struct vmem_dma_attachment *target,
                         const char *what, uint64_t value,
                         struct vmem_error *err)
{
    const uint64_t page_size = target->dma->page_size;

    if ((value & (page_size - 1)) == 0) {
        return 0;
    }
    return fail_request(target, -EINVAL, VMEM_REASON_ALIGNMENT, what, value,
                        "is not a multiple of the smallest IOMMU page",
                        page_size, err);
}

/* Where something of this size starts. */
static int check_start(const struct vmem_dma_attachment *target,
                       const char *what, uint64_t start, uint64_t size,
                       struct vmem_error *err)
{
    uint64_t end;

    if (__builtin_add_overflow(start, size, &end)) {
        return fail_request(target, -EOVERFLOW, VMEM_REASON_OVERFLOW, what,
                            start, "wraps with size", size, err);
    }
    return check_aligned(target, what, start, err);
}

/* Does the window have all of it? */
static int check_inside(const struct vmem_dma_attachment *target,
                        const struct vmem_range *range, struct vmem_error *err)
{
    const struct vmem_range *window = &target->window;

    if (range->offset < window->offset) {
        return fail_request(target, -ERANGE, VMEM_REASON_RANGE, "offset",
                            range->offset, "is before the window at",
                            window->offset, err);
    }
    if (vmemi_range_end(range) > vmemi_range_end(window)) {
        return fail_request(target, -ERANGE, VMEM_REASON_RANGE, "end",
                            vmemi_range_end(range),
                            "is behind the window, which ends at",
                            vmemi_range_end(window), err);
    }
    return 0;
}

/* What does not depend on what is mapped. */
static int check_request(const struct vmem_dma_attachment *target,
                         const struct vmemi_dma_guest *guest,
                         struct vmem_error *err)
{
    const uint32_t known = VMEM_DMA_READ | VMEM_DMA_WRITE;
    const struct vmem_dma *dma = target->dma;
    const struct vmem_range *range = &guest->range;
    int ret;

    if (!target->is_target) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "attachment \"%s\" is no target of a virtual IOMMU: "
                          "it has no VMEM_DMA_VIOMMU",
                          target->name.text);
    }
    if (range->size == 0) {
        return fail_request(target, -EINVAL, VMEM_REASON_ARGUMENT, "iova",
                            guest->iova, "is mapped with size", 0, err);
    }
    if (guest->protection == 0 || (guest->protection & ~known) != 0) {
        return fail_request(target, -EINVAL, VMEM_REASON_ARGUMENT, "protection",
                            guest->protection, "is none or unknown, known are",
                            known, err);
    }
    ret = check_start(target, "iova", guest->iova, range->size, err);
    if (ret == 0) {
        ret = check_start(target, "offset", range->offset, range->size, err);
    }
    if (ret == 0) {
        ret = check_aligned(target, "size", range->size, err);
    }
    if (ret == 0) {
        ret = check_inside(target, range, err);
    }
    if (ret < 0) {
        return ret;
    }
    if (range->size > dma->backend.max_size) {
        return fail_request(target, -ERANGE, VMEM_REASON_RANGE, "size",
                            range->size, "is above the largest mapping",
                            dma->backend.max_size, err);
    }
    if ((guest->protection & ~target->protection) != 0) {
        return fail_request(target, -EPERM, VMEM_REASON_READ_ONLY, "iova",
                            guest->iova, "is to be written, allowed is",
                            target->protection, err);
    }
    return 0;
}

/* Under the lock: what the guest left stuck at these IOVAs gets another try, in a
 * batch of its own. */
static int check_free(const struct vmemi_dma_guest *guest,
                      struct vmem_error *err)
{
    const struct vmem_dma_attachment *target = guest->target;
    struct vmem_dma *dma = target->dma;
    struct vmemi_dma_guest *other;

    for (const GList *link = dma->attachments.head; link != NULL;
         link = link->next) {
        const struct vmem_dma_attachment *fixed = link->data;

        if (!fixed->is_target &&
            guest->iova < fixed->iova + fixed->window.size &&
            fixed->iova < guest->iova + guest->range.size) {
            return fail_request(target, -EEXIST, VMEM_REASON_DUPLICATE, "iova",
                                guest->iova, "is where memory is attached, at",
                                fixed->iova, err);
        }
    }
    while ((other = vmemi_dma_guest_at(dma, guest->iova, guest->range.size)) !=
           NULL) {
        const uint64_t iova = other->iova;

        if (!other->is_stuck) {
            return fail_request(target, -EEXIST, VMEM_REASON_DUPLICATE, "iova",
                                guest->iova, "overlaps what is mapped at", iova,
                                err);
        }
        if (vmemi_dma_guest_unmap(other) < 0 || vmemi_dma_commit(dma) < 0) {
            vmemi_dma_commit(dma);
            vmemi_add_locked(&dma->nr_stuck_refusals, 1);
            return fail_request(
                target, -EBUSY, VMEM_REASON_UNMAP_FAILED, "iova", guest->iova,
                "overlaps what cannot be unmapped at", iova, err);
        }
    }
    return 0;
}

static int check_room(const struct vmemi_dma_guest *guest,
                      struct vmem_error *err)
{
    const struct vmem_dma_attachment *target = guest->target;
    struct vmem_dma *dma = target->dma;
    int ret;

    if (vmemi_dma_is_leaving(target)) {
        return fail_request(target, -EBUSY, VMEM_REASON_IN_USE, "iova",
                            guest->iova, "has a target that is detached, size",
                            guest->range.size, err);
    }
    if (atomic_load(&dma->nr_guest_mappings) >= dma->max_guest_mappings) {
        vmemi_add_locked(&dma->nr_budget_refusals, 1);
        ret = vmemi_dma_refuse(
            dma, -ENOSPC, VMEM_REASON_BUDGET, target->name.text,
            "the guest has %" PRIu64 " mappings, the limit is %" PRIu64,
            atomic_load(&dma->nr_guest_mappings), dma->max_guest_mappings);
    } else {
        ret = vmemi_dma_check_budget(target, guest->iova, guest->range.size);
    }
    return ret == 0 ? 0
                    : vmemi_fail(err, ret, dma->refusal.reason, &guest->range,
                                 "%s", dma->refusal.text);
}

/* Under the lock: on the books, and mapped. */
static int map_guest(struct request *request)
{
    struct vmemi_dma_guest *guest = request->guest;
    const struct vmem_dma_attachment *target = guest->target;
    struct vmem_dma *dma = target->dma;
    const struct vmem_dma_mapping mapping = {
        .struct_size = sizeof(mapping),
        .iova = guest->iova,
        .size = guest->range.size,
        .hva = target->hva != 0
                   ? (void *)(uintptr_t)(target->hva + guest->range.offset)
                   : NULL,
        .fd_offset =
            target->fd >= 0 ? target->fd_offset + guest->range.offset : 0,
        .fd = target->fd,
        .protection = guest->protection,
    };
    const uint64_t nr_stuck = atomic_load(&dma->nr_stuck);
    int ret = vmemi_dma_call_map(dma, &mapping);

    if (ret < 0) {
        vmemi_dma_refuse_map(target, &mapping, ret);
        vmemi_dma_commit(dma);
    } else {
        vmemi_dma_guest_insert(guest);
        request->guest = NULL;
        ret = vmemi_dma_commit(dma);
    }
    return ret == 0 ? 0
                    : vmemi_fail(request->err, ret, VMEM_REASON_MAP_FAILED,
                                 NULL, "%s%s",
                                 atomic_load(&dma->nr_stuck) > nr_stuck
                                     ? VMEMI_DMA_STUCK_ADVICE
                                     : "",
                                 dma->refusal.text);
}

/* Called while the range is populated, and stays so. */
static int map_populated(const struct vmem_range *range, void *opaque)
{
    struct request *request = opaque;
    struct vmem_dma *dma = request->guest->target->dma;
    int ret;

    (void)range;
    vmemi_dma_lock(dma, &request->log);
    ret = check_free(request->guest, request->err);
    if (ret == 0) {
        ret = check_room(request->guest, request->err);
    }
    if (ret == 0) {
        ret = map_guest(request);
    } else {
        vmemi_dma_commit(dma); /* what was refused is logged */
    }
    vmemi_dma_unlock(dma);
    return ret;
}

int vmem_dma_viommu_map(struct vmem_dma_attachment *target, uint64_t iova,
                        const struct vmem_range *range, uint32_t protection,
                        struct vmem_error *err)
{
    struct request request = { .err = err };
    struct vmem_vm *vm;
    int ret;

    if (target == NULL || range == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_dma_viommu_map: NULL argument");
    }
    vm = target->dma->vm;
    ret = vmemi_vm_check_unlocked(vm, "vmem_dma_viommu_map", err);
    if (ret < 0) {
        return ret;
    }
    request.guest = vmemi_alloc0(sizeof(*request.guest));
    if (request.guest == NULL) {
        return vmemi_fail_no_memory(err, "a guest mapping");
    }
    request.guest->target = target;
    request.guest->iova = iova;
    request.guest->range = *range;
    request.guest->protection = protection;
    ret = check_request(target, request.guest, err);
    if (ret == 0) {
        ret = vmem_region_with_populated(target->region, range, map_populated,
                                         &request, err);
    }
    vmemi_log_send(&vm->log, &request.log);
    vmemi_free(request.guest);
    return ret;
}

/* Under the lock: would the ends of a range cut a mapping? */
static int check_cut(const struct vmem_dma *dma, uint64_t iova, uint64_t size,
                     struct vmem_error *err)
{
    const uint64_t last = iova + (size - 1);
    const struct vmemi_dma_guest *guest = vmemi_dma_guest_at(dma, iova, 1);

    if (guest == NULL || guest->iova == iova) {
        guest = vmemi_dma_guest_at(dma, last, 1);
        if (guest == NULL || guest->iova + (guest->range.size - 1) == last) {
            return 0;
        }
    }
    return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                      "mapper \"%s\": unmapping iova 0x%" PRIx64 " + 0x%" PRIx64
                      " would cut the mapping at 0x%" PRIx64 " + 0x%" PRIx64,
                      dma->name.text, iova, size, guest->iova,
                      guest->range.size);
}

/* Under the lock: all in a range that cuts none. */
static int unmap_guests(struct vmem_dma *dma, uint64_t iova, uint64_t size,
                        uint64_t *unmapped)
{
    struct vmemi_dma_guest *guest = vmemi_dma_guest_at(dma, iova, size);
    int ret = 0;

    while (guest != NULL && guest->iova <= iova + (size - 1)) {
        struct vmemi_dma_guest *next = vmemi_dma_guest_next(guest);
        const uint64_t guest_size = guest->range.size;
        int code = vmemi_dma_guest_unmap(guest);

        *unmapped += code == 0 ? guest_size : 0;
        ret = code < 0 ? code : ret;
        guest = next;
    }
    if (vmemi_dma_commit(dma) < 0) {
        *unmapped = 0;
        ret = dma->unmap_code;
    }
    return ret;
}

int vmem_dma_viommu_unmap(struct vmem_dma *dma, uint64_t iova, uint64_t size,
                          uint64_t *unmapped, struct vmem_error *err)
{
    uint64_t bytes = 0;
    struct vmemi_log_queue log;
    int ret;

    if (unmapped != NULL) {
        *unmapped = 0;
    }
    if (dma == NULL || size == 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_dma_viommu_unmap: dma is NULL or size 0");
    }
    if (size - 1 > UINT64_MAX - iova) {
        return vmemi_fail(err, -EOVERFLOW, VMEM_REASON_OVERFLOW, NULL,
                          "mapper \"%s\": iova 0x%" PRIx64 " + 0x%" PRIx64
                          " wraps",
                          dma->name.text, iova, size);
    }
    ret = vmemi_vm_check_unlocked(dma->vm, "vmem_dma_viommu_unmap", err);
    if (ret < 0) {
        return ret;
    }
    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    ret = check_cut(dma, iova, size, err);
    if (ret == 0) {
        ret = unmap_guests(dma, iova, size, &bytes);
        if (ret < 0) {
            vmemi_fail(err, ret, VMEM_REASON_UNMAP_FAILED, NULL,
                       "mapper \"%s\": iova 0x%" PRIx64 " + 0x%" PRIx64
                       ": 0x%" PRIx64 " bytes unmapped, then %s (errno %d)",
                       dma->name.text, iova, size, bytes, vmemi_errno_text(ret),
                       -ret);
        }
    }
    vmemi_dma_unlock(dma);
    vmemi_log_send(&dma->vm->log, &log);
    if (unmapped != NULL) {
        *unmapped = bytes;
    }
    return ret;
}
