/* SPDX-License-Identifier: BSD-3-Clause */
/* From what the host program wants to what a device is. */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/range.h"
#include "virtio/device.h"

#define DEFAULT_UNIT ((uint64_t)2 << 30)

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

int vmemi_device_set_up(struct vmem_device *device, struct vmem_region *region,
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
    device->driver.eased = vmemi_device_eased;
    device->tracker.requested_ns = vmemi_vm_now_ns(region->vm);
    return set_sizes(device, config, err);
}
