/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/device.h"

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/sized.h"

#define DEFAULT_BLOCK_SIZE ((uint64_t)2 << 20)

/* The largest memory block of a Linux guest, and the most blocks that one
 * request can name: a guest with blocks so small that a memory block does not
 * fit a request cannot plug at all. */
#define LARGEST_GUEST_UNIT ((uint64_t)2 << 30)
#define MOST_BLOCKS_A_REQUEST ((uint64_t)65535)

_Static_assert(offsetof(struct vmem_device, gate) == 0,
               "release_device() relies on it");

static void release_device(struct vmemi_gate *gate)
{
    struct vmem_device *device = (struct vmem_device *)(void *)gate;

    /* Only now: notifications and walks on other threads looked at it. */
    vmemi_source_free(device->source);
    vmemi_free(device);
}

static bool overlaps(uint64_t gpa, uint64_t size,
                     const struct vmem_device *other)
{
    const uint64_t other_size = other->region->size;

    return size > 0 && other_size > 0 && gpa <= other->gpa + (other_size - 1) &&
           other->gpa <= gpa + (size - 1);
}

/* One device a region, and no two at the same place in the guest. */
static int check_apart(const struct vmem_device *device,
                       const struct vmem_device *other, struct vmem_error *err)
{
    if (other->region == device->region) {
        return vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                          "device \"%s\": region \"%s\" has device \"%s\" "
                          "already",
                          device->name.text, device->region->name.text,
                          other->name.text);
    }
    if (overlaps(device->gpa, device->region->size, other)) {
        return vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                          "device \"%s\": 0x%" PRIx64 " bytes at gpa 0x%" PRIx64
                          " overlap 0x%" PRIx64 " at gpa 0x%" PRIx64
                          " of device \"%s\"",
                          device->name.text, device->region->size, device->gpa,
                          other->region->size, other->gpa, other->name.text);
    }
    return 0;
}

/* Looks for the place and takes it in one step, or two threads could both find it
 * free. Nobody but who wants the place sees the device before it is complete. */
static int take_place(struct vmem_device *device, struct vmem_error *err)
{
    struct vmem_vm *vm = device->vm;
    struct vmemi_frame frame;
    const bool locked = vmemi_vm_lock_inventory(vm, &frame);
    int ret = 0;

    for (GList *link = vm->children[VMEMI_CHILD_DEVICE].head;
         link != NULL && ret == 0; link = link->next) {
        ret = check_apart(device, ((struct vmemi_child *)link->data)->object,
                          err);
    }
    if (ret == 0) {
        vmemi_vm_link_locked(vm, VMEMI_CHILD_DEVICE, &device->child,
                             device->name.text, device);
        device->child.is_hidden = true;
    }
    vmemi_vm_unlock_inventory(vm, &frame, locked);
    return ret;
}

/* Takes the claim and puts the source in; undone by the caller's failure path
 * in reverse. */
static int join_region(struct vmem_device *device, struct vmem_error *err)
{
    const struct vmem_source_config config = {
        .struct_size = sizeof(config),
        .name = device->name.text,
        .block_size = device->block_size,
        .flags = VMEM_SOURCE_DISCARDS,
    };
    int ret;

    ret = vmem_discard_claim_take(device->vm, VMEM_CLAIM_NEED_COORDINATED,
                                  device->name.text, &device->claim, err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_source_add(device->region, &config, &device->driver,
                           &device->source, err);
    if (ret < 0) {
        vmem_discard_claim_release(device->claim, NULL);
    }
    return ret;
}

static void warn_about_config(const struct vmem_device *device)
{
    const struct vmem_backing *backing = device->region->backing;

    if (LARGEST_GUEST_UNIT / device->block_size > MOST_BLOCKS_A_REQUEST) {
        vmemi_vm_log_now(device->vm, VMEM_LOG_WARNING, VMEM_BLAME_HOST,
                         VMEM_LOG_CODE_SMALL_BLOCKS, device->name.text,
                         "block size 0x%" PRIx64
                         ": a guest with 2 GiB memory blocks needs more than "
                         "65535 blocks a request and will fail",
                         device->block_size);
    }
    if (backing != NULL && backing->read_allocates &&
        (device->features & VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE) == 0) {
        vmemi_vm_log_now(device->vm, VMEM_LOG_WARNING, VMEM_BLAME_HOST,
                         VMEM_LOG_CODE_READ_ALLOCATES, device->name.text,
                         "UNPLUGGED_INACCESSIBLE is not offered, and reading "
                         "unplugged memory of backing \"%s\" allocates it: "
                         "leave VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE out",
                         backing->name.text);
    }
}

static int make(struct vmem_region *region,
                const struct vmem_device_config *config,
                const struct vmem_device_ops *ops, void *opaque,
                struct vmem_device **out, struct vmem_error *err)
{
    struct vmem_device *device = vmemi_alloc0(sizeof(*device));
    int ret;

    if (device == NULL) {
        return vmemi_fail_no_memory(err, "a device");
    }
    device->ops = *ops;
    device->opaque = opaque;
    device->wanted_news =
        (ops->config_changed != NULL ? VMEMI_NEWS_CONFIG : 0u) |
        (ops->size_changed != NULL ? VMEMI_NEWS_SIZE : 0u) |
        (ops->resize_changed != NULL ? VMEMI_NEWS_RESIZE : 0u);
    ret = vmemi_device_set_up(device, region, config, err);
    if (ret < 0) {
        goto fail;
    }
    ret = vmemi_gate_init(&device->gate, release_device);
    if (ret < 0) {
        vmemi_fail(err, ret, VMEM_REASON_NO_MEMORY, NULL,
                   "device \"%s\": no lock: %s (errno %d)", device->name.text,
                   vmemi_errno_text(ret), -ret);
        goto fail;
    }
    ret = take_place(device, err);
    if (ret < 0) {
        goto fail_gate;
    }
    ret = join_region(device, err);
    if (ret < 0) {
        goto fail_place;
    }
    vmemi_vm_show(device->vm, &device->child);
    warn_about_config(device);
    *out = device;
    return 0;

fail_place:
    vmemi_vm_unlink(device->vm, VMEMI_CHILD_DEVICE, &device->child);
fail_gate:
    vmemi_gate_destroy(&device->gate);
fail:
    vmemi_free(device);
    return ret;
}

int vmem_device_new(struct vmem_region *region,
                    const struct vmem_device_config *host_config,
                    const struct vmem_device_ops *host_ops, void *opaque,
                    struct vmem_device **out, struct vmem_error *err)
{
    struct vmem_device_ops ops = { 0 };
    struct vmem_device_config config;
    int ret;

    ret = vmemi_sized_read(
        &config, sizeof(config),
        VMEMI_SIZE_THROUGH(struct vmem_device_config, stall_after_ns),
        host_config, "vmem_device_config", err);
    if (ret == 0 && host_ops != NULL) {
        ret =
            vmemi_sized_read(&ops, sizeof(ops),
                             VMEMI_SIZE_THROUGH(struct vmem_device_ops, trace),
                             host_ops, "vmem_device_ops", err);
    }
    if (ret < 0) {
        return ret;
    }
    if (region == NULL || out == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_device_new: region or out is NULL");
    }
    ret = vmemi_vm_check_unlocked(region->vm, "vmem_device_new", err);
    if (ret < 0) {
        return ret;
    }
    if (config.block_size == 0) {
        config.block_size = region->backing != NULL
                                ? region->backing->default_block_size
                                : DEFAULT_BLOCK_SIZE;
    }
    return make(region, &config, &ops, opaque, out, err);
}

int vmem_device_free(struct vmem_device *device, struct vmem_error *err)
{
    int ret;

    if (device == NULL) {
        return 0;
    }
    ret = vmemi_vm_check_may_free(device->vm, "vmem_device_free", err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_source_remove(device->source, true, err);
    if (ret < 0) {
        return ret;
    }
    vmemi_vm_unlink(device->vm, VMEMI_CHILD_DEVICE, &device->child);
    vmem_discard_claim_release(device->claim, NULL);
    vmemi_gate_close(&device->gate);
    return 0;
}
