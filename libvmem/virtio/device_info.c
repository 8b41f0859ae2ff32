/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device is at the moment, and what it has done, for who asks. */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/sized.h"
#include "virtio/device.h"

int vmem_device_check_removable(const struct vmem_device *device,
                                struct vmem_error *err)
{
    uint64_t requested;
    uint64_t plugged;

    if (device == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_device_check_removable: device is NULL");
    }
    vmemi_mutex_lock(&device->region->state);
    requested = atomic_load(&device->requested_size);
    plugged = vmemi_device_plugged(device);
    vmemi_mutex_unlock(&device->region->state);
    if (plugged == 0 && requested == 0) {
        return 0;
    }
    return vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, NULL,
                      "device \"%s\": 0x%" PRIx64
                      " bytes are plugged and 0x%" PRIx64 " requested",
                      device->name.text, plugged, requested);
}

int vmem_device_get_info(const struct vmem_device *device,
                         struct vmem_device_info *host_info)
{
    struct vmem_device_info info = { 0 };
    const struct vmem_source *source;

    if (device == NULL ||
        vmemi_sized_check_out(
            host_info,
            VMEMI_SIZE_THROUGH(struct vmem_device_info, has_driver)) < 0) {
        return -EINVAL;
    }
    source = device->source;
    info.name = device->name.text;
    info.region = device->region;
    info.gpa = device->gpa;
    info.region_size = device->region->size;
    info.block_size = device->block_size;
    info.features = device->features;
    info.node_id = device->node_id;
    vmemi_mutex_lock(&device->region->state);
    info.requested_size = atomic_load(&device->requested_size);
    info.usable_region_size = atomic_load(&device->usable_region_size);
    info.plugged_size = vmemi_device_plugged(device);
    info.retained_size = vmem_bitmap_get_nr_set(source->retained)
                         << source->block_shift;
    info.config_generation = vmemi_device_generation(device);
    vmemi_mutex_unlock(&device->region->state);
    info.driver_features = atomic_load(&device->driver_features);
    info.has_driver = atomic_load(&device->has_driver);
    info.source = source;
    vmemi_sized_write(host_info, &info, sizeof(info));
    return 0;
}

static void load_all(const _Atomic uint64_t *from, uint64_t *to, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        to[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
    }
}

int vmem_device_get_stats(const struct vmem_device *device,
                          struct vmem_device_stats *host_stats)
{
    struct vmem_device_stats stats = { 0 };

    if (device == NULL ||
        vmemi_sized_check_out(
            host_stats,
            VMEMI_SIZE_THROUGH(struct vmem_device_stats, latency_max_ns)) < 0) {
        return -EINVAL;
    }
    for (size_t type = 0; type < 4; type++) {
        load_all(device->nr_requests[type], stats.nr_requests[type], 4);
    }
    load_all(device->nr_malformed, stats.nr_malformed, 8);
    load_all(device->nr_resets, stats.nr_resets, 4);
    load_all(device->latency_total_ns, stats.latency_total_ns, 4);
    load_all(device->latency_max_ns, stats.latency_max_ns, 4);
    stats.plugged_bytes = atomic_load(&device->plugged_bytes);
    stats.unplugged_bytes = atomic_load(&device->unplugged_bytes);
    stats.nr_config_writes = atomic_load(&device->nr_config_writes);
    stats.nr_features_refused = atomic_load(&device->nr_features_refused);
    stats.nr_resizes = atomic_load(&device->nr_resizes);
    stats.nr_loads = atomic_load(&device->nr_loads);
    vmemi_sized_write(host_stats, &stats, sizeof(stats));
    return 0;
}
