/* SPDX-License-Identifier: BSD-3-Clause */
/* What the host program hears after an operation, without locks. */
#include "virtio/device.h"

/* Has the resize's state changed since resize_changed last heard or, for who has
 * just told status, did another thread tell something else meanwhile? Under the
 * state lock, so that one change is told once. */
static bool take_resize_change(struct vmem_device *device, bool has_told,
                               struct vmem_resize_status *status)
{
    struct vmemi_tracker *tracker = &device->tracker;
    bool changed = false;

    vmemi_mutex_lock(&device->region->state);
    if (has_told) {
        changed = status->state != tracker->told_state ||
                  status->reason != tracker->told_reason;
    }
    vmemi_device_judge(device, vmemi_vm_now_ns(device->vm), status);
    changed = changed || status->state != tracker->told_state ||
              status->reason != tracker->told_reason;
    tracker->told_state = status->state;
    tracker->told_reason = status->reason;
    vmemi_mutex_unlock(&device->region->state);
    return changed;
}

static uint64_t read_plugged(struct vmem_device *device)
{
    uint64_t plugged;

    vmemi_mutex_lock(&device->region->state);
    plugged = vmemi_device_plugged(device);
    vmemi_mutex_unlock(&device->region->state);
    return plugged;
}

/* Two threads may look in one order and tell in the other. Whoever has told
 * looks again, so that the last call has the newest answer. */
static void send_size(struct vmem_device *device)
{
    uint64_t plugged = read_plugged(device);
    uint64_t told;

    do {
        told = plugged;
        device->ops.size_changed(told, device->opaque);
        if (!vmemi_gate_is_open(&device->gate)) {
            return;
        }
        plugged = read_plugged(device);
    } while (plugged != told);
}

static void send_resize(struct vmem_device *device)
{
    struct vmem_resize_status status;
    bool has_told = false;

    while (vmemi_gate_is_open(&device->gate) &&
           take_resize_change(device, has_told, &status)) {
        device->ops.resize_changed(&status, device->opaque);
        has_told = true;
    }
}

void vmemi_device_send(struct vmem_device *device, uint32_t news)
{
    const struct vmem_device_ops *ops = &device->ops;
    struct vmemi_frame frame;

    if (!vmemi_gate_enter(&device->gate, &frame, device->vm)) {
        return;
    }
    /* Each callback may free the device; then the rest is not told, and the
     * device lives until the gate is left. */
    if ((news & VMEMI_NEWS_CONFIG) != 0) {
        ops->config_changed(device->opaque);
    }
    if ((news & VMEMI_NEWS_SIZE) != 0 && vmemi_gate_is_open(&device->gate)) {
        send_size(device);
    }
    if ((news & VMEMI_NEWS_RESIZE) != 0) {
        send_resize(device);
    }
    vmemi_gate_leave(&device->gate, &frame);
}
