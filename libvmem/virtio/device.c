/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/device.h"

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"

#define DEFAULT_UNIT ((uint64_t)2 << 30)
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

static int check_geometry(const struct vmem_region *region,
                          const struct vmem_device_config *config,
                          struct vmem_error *err)
{
    if (!vmemi_is_power_of_two(config->block_size)) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "device \"%s\": block size 0x%" PRIx64
                          " is not a power of two",
                          config->name, config->block_size);
    }
    if ((config->gpa & (config->block_size - 1)) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "device \"%s\": gpa 0x%" PRIx64
                          " is not a multiple of the block size 0x%" PRIx64,
                          config->name, config->gpa, config->block_size);
    }
    /* Ending exactly at 2^64 is allowed. */
    if (region->size > 0 && config->gpa > UINT64_MAX - (region->size - 1)) {
        return vmemi_fail(err, -EOVERFLOW, VMEM_REASON_OVERFLOW, NULL,
                          "device \"%s\": gpa 0x%" PRIx64
                          " + region size 0x%" PRIx64 " exceeds 2^64",
                          config->name, config->gpa, region->size);
    }
    return 0;
}

static int check_choices(const struct vmem_device_config *config,
                         struct vmem_error *err)
{
    const uint64_t features = VMEM_DEVICE_F_ACPI_PXM |
                              VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE |
                              VMEM_DEVICE_F_PERSISTENT_SUSPEND;
    const uint64_t flags =
        VMEM_DEVICE_REQUIRE_INACCESSIBLE | VMEM_DEVICE_MEASURE_LATENCY |
        VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE | VMEM_DEVICE_KEEP_MEMORY;

    if ((config->features & ~features) != 0 || (config->flags & ~flags) != 0 ||
        config->usable_policy > VMEM_USABLE_EXTENT) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "device \"%s\": unknown features 0x%" PRIx64
                          ", flags 0x%" PRIx64 " or usable policy %" PRIu64,
                          config->name, config->features & ~features,
                          config->flags & ~flags, config->usable_policy);
    }
    if ((config->flags & VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE) != 0 &&
        ((config->features & VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE) != 0 ||
         (config->flags & VMEM_DEVICE_REQUIRE_INACCESSIBLE) != 0)) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "device \"%s\": flags 0x%" PRIx64
                          " withhold UNPLUGGED_INACCESSIBLE, which features "
                          "0x%" PRIx64 " or flags offer or require",
                          config->name, config->flags, config->features);
    }
    if (config->node_id > UINT16_MAX) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                          "device \"%s\": node %" PRIu64 ", the limit is %d",
                          config->name, config->node_id, UINT16_MAX);
    }
    if (config->node_id != 0 &&
        (config->features & VMEM_DEVICE_F_ACPI_PXM) == 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "device \"%s\": node %" PRIu64
                          " means nothing without ACPI_PXM",
                          config->name, config->node_id);
    }
    return 0;
}

/* Sizes and policy, from a config whose geometry is right. */
static int set_sizes(struct vmem_device *device,
                     const struct vmem_device_config *config,
                     struct vmem_error *err)
{
    int ret;

    device->usable_policy = config->usable_policy;
    device->usable_headroom = config->usable_headroom;
    if (device->usable_policy == VMEM_USABLE_DEFAULT) {
        device->usable_policy = VMEM_USABLE_UNIT;
        device->usable_headroom = 0;
    }
    if (device->usable_policy == VMEM_USABLE_UNIT &&
        device->usable_headroom == 0) {
        device->usable_headroom = DEFAULT_UNIT;
    }
    ret = vmemi_device_check_requested(device, config->requested_size, err);
    if (ret < 0) {
        return ret;
    }
    atomic_store(&device->requested_size, config->requested_size);
    if (config->usable_region_size == 0) {
        atomic_store(
            &device->usable_region_size,
            vmemi_device_policy_usable(device, config->requested_size));
        return 0;
    }
    ret = vmemi_device_check_usable(device, config->usable_region_size,
                                    config->requested_size, err);
    if (ret < 0) {
        return ret;
    }
    atomic_store(&device->usable_region_size, config->usable_region_size);
    return 0;
}

static int set_up(struct vmem_device *device, struct vmem_region *region,
                  const struct vmem_device_config *config,
                  struct vmem_error *err)
{
    int ret;

    ret = vmemi_name_set(&device->name, config->name, "device name", err);
    if (ret < 0) {
        return ret;
    }
    ret = check_geometry(region, config, err);
    if (ret < 0) {
        return ret;
    }
    ret = check_choices(config, err);
    if (ret < 0) {
        return ret;
    }
    device->vm = region->vm;
    device->region = region;
    device->gpa = config->gpa;
    device->block_size = config->block_size;
    device->features = config->features;
    if ((config->flags & VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE) == 0) {
        device->features |= VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE;
    }
    device->flags = config->flags;
    device->node_id = config->node_id;
    device->stall_after_ns = config->stall_after_ns != 0
                                 ? config->stall_after_ns
                                 : VMEM_DEVICE_STALL_AFTER_NS;
    device->driver.gate = &device->gate;
    device->driver.keeps_memory =
        (config->flags & VMEM_DEVICE_KEEP_MEMORY) != 0;
    device->driver.frozen = vmemi_device_frozen;
    device->driver.thawed = vmemi_device_thawed;
    device->tracker.requested_ns = vmemi_vm_now_ns(region->vm);
    return set_sizes(device, config, err);
}

static bool overlaps(uint64_t gpa, uint64_t size,
                     const struct vmem_device *other)
{
    const uint64_t other_size = other->region->size;

    return size > 0 && other_size > 0 && gpa <= other->gpa + (other_size - 1) &&
           other->gpa <= gpa + (size - 1);
}

/* One device a region, and no two at the same place in the guest. */
static int check_place(struct vmem_device *device, struct vmem_error *err)
{
    struct vmem_vm *vm = device->vm;
    struct vmemi_frame frame;
    const bool locked = vmemi_vm_lock_inventory(vm, &frame);
    int ret = 0;

    for (GList *link = vm->children[VMEMI_CHILD_DEVICE].head;
         link != NULL && ret == 0; link = link->next) {
        const struct vmem_device *other =
            ((struct vmemi_child *)link->data)->object;

        if (other->region == device->region ||
            overlaps(device->gpa, device->region->size, other)) {
            ret = vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                             "device \"%s\" at gpa 0x%" PRIx64
                             ": device \"%s\" has that region, or overlaps at "
                             "gpa 0x%" PRIx64,
                             device->name.text, device->gpa, other->name.text,
                             other->gpa);
        }
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
    ret = set_up(device, region, config, err);
    if (ret == 0) {
        ret = check_place(device, err);
    }
    if (ret < 0) {
        goto fail;
    }
    ret = vmemi_gate_init(&device->gate, release_device);
    if (ret < 0) {
        vmemi_fail(err, ret, VMEM_REASON_NO_MEMORY, NULL,
                   "device \"%s\": no lock: errno %d", device->name.text, -ret);
        goto fail;
    }
    ret = join_region(device, err);
    if (ret < 0) {
        goto fail_gate;
    }
    vmemi_vm_link(device->vm, VMEMI_CHILD_DEVICE, &device->child,
                  device->name.text, device);
    warn_about_config(device);
    *out = device;
    return 0;

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
