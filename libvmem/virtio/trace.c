/* SPDX-License-Identifier: BSD-3-Clause */
/* Events for who records them, in an order that a replay can follow. */
#include "virtio/device.h"

void vmemi_device_tell_event(struct vmem_device *device, uint32_t news,
                             const struct vmemi_date *date,
                             struct vmem_trace_event *event)
{
    struct vmemi_frame frame;

    if (!vmemi_device_is_traced(device)) {
        vmemi_device_tell(device, news);
        return;
    }
    if (!vmemi_gate_enter(&device->gate, &frame, device->vm)) {
        return;
    }
    event->struct_size = sizeof(*event);
    event->sequence = date->number;
    event->time_ns = date->time_ns;
    device->ops.trace(event, device->opaque);
    /* It may have freed the device, which then lives until the gate is left. */
    if (vmemi_gate_is_open(&device->gate)) {
        vmemi_device_tell(device, news);
    }
    vmemi_gate_leave(&device->gate, &frame);
}
