/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/backing.h"

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"

/* Discarding through one backing would destroy what another one has. Under the
 * lock of the inventory. */
static int check_apart(const struct vmem_vm *vm,
                       const struct vmem_backing *backing,
                       struct vmem_error *err)
{
    const uintptr_t hva = (uintptr_t)backing->hva;
    int ret = 0;

    for (GList *link = vm->children[VMEMI_CHILD_BACKING].head;
         link != NULL && ret == 0 && hva != 0; link = link->next) {
        const struct vmem_backing *other =
            ((struct vmemi_child *)link->data)->object;
        const uintptr_t other_hva = (uintptr_t)other->hva;

        if (other_hva != 0 && hva <= other_hva + (other->size - 1) &&
            other_hva <= hva + (backing->size - 1)) {
            ret = vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                             "backing \"%s\" at hva %p overlaps backing \"%s\" "
                             "at hva %p",
                             backing->name.text, (const void *)backing->hva,
                             other->name.text, (const void *)other->hva);
        }
    }
    return ret;
}

/* In one step, or two threads could both find the place free. */
static int link_apart(struct vmem_backing *backing, struct vmem_error *err)
{
    struct vmem_vm *vm = backing->vm;
    struct vmemi_frame frame;
    const bool locked = vmemi_vm_lock_inventory(vm, &frame);
    const int ret = check_apart(vm, backing, err);

    if (ret == 0) {
        vmemi_vm_link_locked(vm, VMEMI_CHILD_BACKING, &backing->child,
                             backing->name.text, backing);
    }
    vmemi_vm_unlock_inventory(vm, &frame, locked);
    return ret;
}

int vmemi_backing_new(struct vmem_vm *vm,
                      const struct vmemi_backing_traits *traits,
                      const struct vmemi_backing_ops *ops, void *impl,
                      struct vmem_backing **out, struct vmem_error *err)
{
    struct vmem_backing *backing;
    struct vmemi_name name;
    int ret;

    ret = vmemi_vm_check_unlocked(vm, "vmem_backing_new", err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_name_set(&name, traits->name, "backing name", err);
    if (ret < 0) {
        return ret;
    }
    if (!vmemi_is_power_of_two(traits->page_size) || traits->size == 0 ||
        (traits->size & (traits->page_size - 1)) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "backing \"%s\": size 0x%" PRIx64
                          " must be a positive multiple of the page size "
                          "0x%" PRIx64,
                          name.text, traits->size, traits->page_size);
    }
    backing = vmemi_alloc0(sizeof(*backing));
    if (backing == NULL) {
        return vmemi_fail_no_memory(err, "a backing");
    }
    backing->name = name;
    backing->vm = vm;
    backing->size = traits->size;
    backing->page_size = traits->page_size;
    backing->default_block_size = traits->default_block_size;
    backing->populate_on_plug = traits->populate_on_plug;
    backing->read_allocates = traits->read_allocates;
    backing->ops = ops;
    backing->impl = impl;
    backing->hva = traits->hva;
    ret = link_apart(backing, err);
    if (ret < 0) {
        vmemi_free(backing);
        return ret;
    }
    *out = backing;
    return 0;
}

/* "region r uses it", or nothing. */
int vmemi_backing_check_unused(const struct vmem_backing *backing,
                               const char *what, struct vmem_error *err)
{
    struct vmemi_frame frame;
    const char *user;
    bool locked;
    int ret = 0;

    /* Nobody to be named, so nothing to be locked. That matters to a discard,
     * which often follows the writing of much memory: then a lock is some lines
     * of cache that are not there. */
    if (atomic_load(&backing->user) == NULL) {
        return 0;
    }
    /* The name is the region's. Freeing a region takes this lock after it has
     * let go of the backing, so the name stays until the message is written. */
    locked = vmemi_vm_lock_inventory(backing->vm, &frame);
    user = atomic_load(&backing->user);
    if (user != NULL) {
        ret = vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, NULL,
                         "%s: backing \"%s\" is used by region \"%s\"", what,
                         backing->name.text, user);
    }
    vmemi_vm_unlock_inventory(backing->vm, &frame, locked);
    return ret;
}

int vmem_backing_free(struct vmem_backing *backing, struct vmem_error *err)
{
    int ret;

    if (backing == NULL) {
        return 0;
    }
    ret = vmemi_vm_check_may_free(backing->vm, "vmem_backing_free", err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_backing_check_unused(backing, "vmem_backing_free", err);
    if (ret < 0) {
        return ret;
    }
    vmemi_vm_unlink(backing->vm, VMEMI_CHILD_BACKING, &backing->child);
    backing->ops->destroy(backing->impl);
    vmemi_free(backing);
    return 0;
}

int vmem_backing_get_info(const struct vmem_backing *backing,
                          struct vmem_backing_info *host_info)
{
    struct vmem_backing_info info = { .fd = -1 };

    if (backing == NULL ||
        vmemi_sized_check_out(
            host_info, VMEMI_SIZE_THROUGH(struct vmem_backing_info, fd)) < 0) {
        return -EINVAL;
    }
    backing->ops->describe(backing, &info);
    info.name = backing->name.text;
    info.size = backing->size;
    info.page_size = backing->page_size;
    info.default_block_size = backing->default_block_size;
    info.flags &= ~(VMEM_BACKING_POPULATE | VMEM_BACKING_NO_POPULATE);
    info.flags |= backing->populate_on_plug ? VMEM_BACKING_POPULATE : 0;
    vmemi_sized_write(host_info, &info, sizeof(info));
    return 0;
}

int vmem_backing_get_stats(const struct vmem_backing *backing,
                           struct vmem_backing_stats *host_stats)
{
    struct vmem_backing_stats stats = { 0 };

    if (backing == NULL ||
        vmemi_sized_check_out(
            host_stats,
            VMEMI_SIZE_THROUGH(struct vmem_backing_stats, nr_syscalls)) < 0) {
        return -EINVAL;
    }
    stats.nr_discards = atomic_load(&backing->nr_discards);
    stats.nr_discard_errors = atomic_load(&backing->nr_discard_errors);
    stats.discarded_bytes = atomic_load(&backing->discarded_bytes);
    stats.nr_populates = atomic_load(&backing->nr_populates);
    stats.nr_populate_errors = atomic_load(&backing->nr_populate_errors);
    stats.populated_bytes = atomic_load(&backing->populated_bytes);
    stats.zeroed_bytes = atomic_load(&backing->zeroed_bytes);
    stats.nr_syscalls = atomic_load(&backing->nr_syscalls);
    stats.nr_threads = atomic_load(&backing->nr_threads);
    stats.nr_thread_errors = atomic_load(&backing->nr_thread_errors);
    vmemi_sized_write(host_stats, &stats, sizeof(stats));
    return 0;
}

int vmem_backing_get_usage(struct vmem_backing *backing,
                           const struct vmem_range *range,
                           struct vmem_backing_usage *host_usage,
                           struct vmem_error *err)
{
    struct vmem_backing_usage usage = { 0 };
    struct vmem_range pages;
    uint64_t end;
    int ret;

    if (backing == NULL ||
        vmemi_sized_check_out(
            host_usage,
            VMEMI_SIZE_THROUGH(struct vmem_backing_usage, reserved)) < 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_backing_get_usage: NULL or struct_size too "
                          "small");
    }
    pages.offset = 0;
    pages.size = backing->size;
    if (range != NULL) {
        ret = vmemi_range_check(range, backing->size, backing->name.text, err);
        if (ret < 0) {
            return ret;
        }
        pages.offset = vmemi_align_down(range->offset, backing->page_size);
        /* The size is a multiple of the page size: this cannot pass it. */
        end = vmemi_align_up_saturating(vmemi_range_end(range),
                                        backing->page_size);
        pages.size = end - pages.offset;
    }
    if (pages.size > 0) {
        ret = backing->ops->usage(backing, &pages, &usage);
        if (ret < 0) {
            return vmemi_fail(err, ret,
                              ret == -ENOTSUP ? VMEM_REASON_UNSUPPORTED
                                              : VMEM_REASON_OS,
                              &pages, "backing \"%s\": usage: %s (errno %d)",
                              backing->name.text, vmemi_errno_text(ret), -ret);
        }
    }
    vmemi_sized_write(host_usage, &usage, sizeof(usage));
    return 0;
}
