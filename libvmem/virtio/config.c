/* SPDX-License-Identifier: BSD-3-Clause */
/* Config space and features. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/range.h"
#include "virtio/device.h"
#include "virtio/wire.h"

int vmem_device_read_config(const struct vmem_device *device, size_t offset,
                            void *dst, size_t size)
{
    struct vmemi_wire_config config;
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];
    size_t part;

    if (device == NULL || (dst == NULL && size > 0)) {
        return -EINVAL;
    }
    config.block_size = device->block_size;
    config.node_id = (uint16_t)device->node_id;
    config.gpa = device->gpa;
    config.region_size = device->region->size;
    vmemi_mutex_lock(&device->region->state);
    config.usable_region_size = atomic_load(&device->usable_region_size);
    config.plugged_size = vmemi_device_plugged(device);
    config.requested_size = atomic_load(&device->requested_size);
    vmemi_mutex_unlock(&device->region->state);
    vmemi_wire_encode_config(&config, bytes);

    part = offset < sizeof(bytes)
               ? (size_t)vmemi_min(size, sizeof(bytes) - offset)
               : 0;
    if (part > 0) {
        memcpy(dst, bytes + offset, part);
    }
    if (size > part) {
        memset((uint8_t *)dst + part, 0, size - part);
    }
    return 0;
}

int vmem_device_write_config(struct vmem_device *device, size_t offset,
                             const void *src, size_t size)
{
    (void)src;
    if (device == NULL) {
        return -EINVAL;
    }
    vmemi_count(&device->nr_config_writes);
    if (vmemi_frame_is_inside(NULL, VMEMI_FRAME_LOCKED)) {
        return 0; /* the sink must not be called under locks */
    }
    vmemi_vm_log_now(device->vm, VMEM_LOG_INFO, VMEM_BLAME_GUEST,
                     VMEM_LOG_CODE_CONFIG_WRITE, device->name.text,
                     "driver wrote %zu bytes at config offset %zu: ignored",
                     size, offset);
    return 0;
}

uint32_t vmem_device_get_config_generation(const struct vmem_device *device)
{
    uint32_t generation;

    if (device == NULL) {
        return 0;
    }
    vmemi_mutex_lock(&device->region->state);
    generation = vmemi_device_generation(device);
    vmemi_mutex_unlock(&device->region->state);
    return generation;
}

uint64_t vmem_device_get_features(const struct vmem_device *device)
{
    return device != NULL ? device->features : 0;
}

bool vmemi_device_may_accept(const struct vmem_device *device,
                             uint64_t accepted)
{
    const uint64_t required =
        (device->flags & VMEM_DEVICE_REQUIRE_INACCESSIBLE) != 0
            ? VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE
            : 0;

    return (accepted & ~device->features) == 0 && (required & ~accepted) == 0;
}

int vmem_device_set_driver_features(struct vmem_device *device,
                                    uint64_t features)
{
    const uint64_t accepted = features & VMEMI_DEVICE_FEATURE_BITS;
    int ret;

    if (device == NULL) {
        return -EINVAL;
    }
    ret = vmemi_vm_check_unlocked(device->vm, "vmem_device_set_driver_features",
                                  NULL);
    if (ret < 0) {
        return ret;
    }
    if ((accepted & ~device->features) != 0) {
        vmemi_count(&device->nr_features_refused);
        vmemi_vm_log_now(device->vm, VMEM_LOG_WARNING, VMEM_BLAME_GUEST,
                         VMEM_LOG_CODE_FEATURES, device->name.text,
                         "driver features 0x%" PRIx64 " refused: 0x%" PRIx64
                         " was not offered, only 0x%" PRIx64 " was",
                         accepted, accepted & ~device->features,
                         device->features);
        return -EPROTO;
    }
    if ((device->flags & VMEM_DEVICE_REQUIRE_INACCESSIBLE) != 0 &&
        (accepted & VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE) == 0) {
        vmemi_count(&device->nr_features_refused);
        vmemi_vm_log_now(
            device->vm, VMEM_LOG_WARNING, VMEM_BLAME_GUEST,
            VMEM_LOG_CODE_FEATURES, device->name.text,
            "driver features 0x%" PRIx64
            " refused: UNPLUGGED_INACCESSIBLE is missing; Linux has it since "
            "5.16, an older guest needs a device without "
            "VMEM_DEVICE_REQUIRE_INACCESSIBLE",
            accepted);
        return -ENOTSUP;
    }
    atomic_store(&device->driver_features, accepted);
    if (atomic_exchange(&device->has_driver, 1) == 0) {
        vmemi_device_nudge(device);
    }
    vmemi_device_tell(device, VMEMI_NEWS_RESIZE);
    return 0;
}
