/* SPDX-License-Identifier: BSD-3-Clause */
/* What a driver, the machine, and waking up begin anew. */
#include <errno.h>

#include "base/errno.h"
#include "base/error.h"
#include "core/freeze.h"
#include "virtio/device.h"

/* Under the change lock: -EBUSY while frozen, a listener may object, otherwise
 * everything goes. */
static int reset_system(struct vmem_device *device, struct vmemi_change *change,
                        uint32_t *news, struct vmem_error *err)
{
    const struct vmem_range all = { .offset = 0, .size = device->region->size };
    const uint64_t plugged = vmemi_device_plugged(device);
    int ret;

    ret = vmemi_region_check_thawed(device->region, "vmem_device_reset", change,
                                    err);
    if (ret < 0) {
        return ret;
    }
    /* Also with nothing plugged: this is when retained memory is retried. */
    ret = vmemi_source_unplug(device->source, &all, change);
    if (ret < 0) {
        return vmemi_fail(
            err, ret, change->cause.reason, NULL,
            "device \"%s\": system reset: %s by %s: %s (errno %d)",
            device->name.text, vmem_reason_name(change->cause.reason),
            change->cause.by, vmemi_errno_text(ret), -ret);
    }
    device->driver.keeps_memory = false;
    if (plugged > 0) {
        vmemi_device_track_progress(device);
        vmemi_add_locked(&device->unplugged_bytes, plugged);
        *news |= VMEMI_NEWS_SIZE;
    }
    return 0;
}

int vmem_device_reset(struct vmem_device *device, uint32_t kind,
                      struct vmem_error *err)
{
    struct vmem_trace_event event = { .kind = VMEM_TRACE_RESET, .type = kind };
    uint32_t news = VMEMI_NEWS_RESIZE;
    struct vmemi_date date = { 0 };
    struct vmemi_change change;
    int ret;

    if (device == NULL || kind < VMEM_RESET_DRIVER ||
        kind > VMEM_RESET_WAKEUP) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_device_reset: device is NULL, or kind %u is "
                          "none of 1 to 3",
                          kind);
    }
    ret = vmemi_change_begin(&change, device->region, "vmem_device_reset", err);
    if (ret < 0) {
        return ret;
    }
    atomic_store(&device->driver_features, 0);
    atomic_store(&device->has_driver, 0);
    vmemi_device_forget_busy(device); /* what the next driver is told is new */
    vmemi_count(&device->nr_resets[kind]);
    if (kind == VMEM_RESET_SYSTEM) {
        ret = reset_system(device, &change, &news, err);
    }
    vmemi_device_conclude(device, kind == VMEM_RESET_SYSTEM && ret == 0, &date);
    vmemi_change_end(&change);
    event.code = ret;
    event.reason = change.cause.reason;
    vmemi_device_tell_event(device, news, &date, &event);
    return ret;
}
