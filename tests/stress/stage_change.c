/* SPDX-License-Identifier: BSD-3-Clause */
#include "stress/stage_parts.h"

int stage_loose_populate(struct stage *it)
{
    return vmem_backing_populate(it->loose, &stage_high, NULL);
}

int stage_loose_discard(struct stage *it)
{
    return vmem_backing_discard(it->loose, &stage_high, NULL);
}

int stage_populate_own(struct stage *it)
{
    return vmem_source_populate(it->source, &stage_top, NULL);
}

int stage_discard_own(struct stage *it)
{
    return vmem_source_discard(it->source, &stage_top, NULL);
}

int stage_populate_other(struct stage *it)
{
    return vmem_source_populate(it->other_source, &stage_top, NULL);
}

int stage_discard_other(struct stage *it)
{
    return vmem_source_discard(it->other_source, &stage_top, NULL);
}

int stage_retry(struct stage *it)
{
    return vmem_region_retry_discards(it->other, NULL);
}

int stage_unplug_all(struct stage *it)
{
    return stage_request(it, VMEM_REQUEST_UNPLUG_ALL);
}

/* The callback may be about a block that is plugged already. */
int stage_plug(struct stage *it)
{
    int ret = stage_request(it, VMEM_REQUEST_UNPLUG_ALL);

    return ret < 0 ? ret : stage_request(it, VMEM_REQUEST_PLUG);
}

int stage_state(struct stage *it)
{
    return stage_request(it, VMEM_REQUEST_STATE);
}

int stage_unplug_iov(struct stage *it)
{
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = {
        [0] = VMEM_REQUEST_UNPLUG, [16] = 1
    };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    const struct iovec readable = { bytes, sizeof(bytes) };
    const struct iovec writable = { response, sizeof(response) };

    return vmem_device_handle_request_iov(it->device, &readable, 1, &writable,
                                          1, NULL);
}

int stage_reset_system(struct stage *it)
{
    return vmem_device_reset(it->device, VMEM_RESET_SYSTEM, NULL);
}

int stage_reset_driver(struct stage *it)
{
    return vmem_device_reset(it->device, VMEM_RESET_DRIVER, NULL);
}

int stage_resize(struct stage *it)
{
    return vmem_device_resize(it->device, 8 * UNIT, NULL);
}

int stage_kick(struct stage *it)
{
    return vmem_device_notify_config(it->device);
}

int stage_poll(struct stage *it)
{
    return vmem_device_poll_resize(it->device);
}

/* Nothing plugged. */
int stage_load(struct stage *it)
{
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    const uint64_t blocks = 0;

    vmem_device_get_info(it->device, &info);
    saved.gpa = info.gpa;
    saved.region_size = info.region_size;
    saved.block_size = info.block_size;
    saved.usable_region_size = info.region_size;
    return vmem_device_load(it->device, &saved, &blocks, 1, NULL);
}

int stage_features(struct stage *it)
{
    return vmem_device_set_driver_features(it->device, 0);
}

int stage_freeze_own(struct stage *it)
{
    return vmem_region_freeze(it->region, "a", NULL);
}

int stage_thaw_own(struct stage *it)
{
    return vmem_region_thaw(it->region, "a", NULL);
}

int stage_freeze_other(struct stage *it)
{
    return vmem_region_freeze(it->other, "a", NULL);
}

int stage_thaw_other(struct stage *it)
{
    return vmem_region_thaw(it->other, "a", NULL);
}
