/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of numbers in <vmem/device.h>. */
#include <vmem/device.h>

#include "base/name.h"

const char *vmem_request_type_name(uint32_t type)
{
    static const char *const names[] = {
        [VMEM_REQUEST_PLUG] = "plug",
        [VMEM_REQUEST_UNPLUG] = "unplug",
        [VMEM_REQUEST_UNPLUG_ALL] = "unplug_all",
        [VMEM_REQUEST_STATE] = "state",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), type);
}

const char *vmem_response_type_name(uint32_t type)
{
    static const char *const names[] = {
        [VMEM_RESPONSE_ACK] = "ack",
        [VMEM_RESPONSE_NACK] = "nack",
        [VMEM_RESPONSE_BUSY] = "busy",
        [VMEM_RESPONSE_ERROR] = "error",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), type);
}

const char *vmem_block_state_name(uint32_t state)
{
    static const char *const names[] = {
        [VMEM_STATE_PLUGGED] = "plugged",
        [VMEM_STATE_UNPLUGGED] = "unplugged",
        [VMEM_STATE_MIXED] = "mixed",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), state);
}

const char *vmem_reset_kind_name(uint32_t kind)
{
    static const char *const names[] = {
        [VMEM_RESET_DRIVER] = "driver",
        [VMEM_RESET_SYSTEM] = "system",
        [VMEM_RESET_WAKEUP] = "wakeup",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), kind);
}

const char *vmem_resize_state_name(uint32_t state)
{
    static const char *const names[] = {
        [VMEM_RESIZE_IDLE] = "idle",
        [VMEM_RESIZE_GROWING] = "growing",
        [VMEM_RESIZE_SHRINKING] = "shrinking",
        [VMEM_RESIZE_STALLED] = "stalled",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), state);
}

const char *vmem_resize_stall_name(uint32_t reason)
{
    static const char *const names[] = {
        [VMEM_STALL_NONE] = "none",
        [VMEM_STALL_NO_DRIVER] = "no-driver",
        [VMEM_STALL_HOST_BUSY] = "host-busy",
        [VMEM_STALL_GUEST_SILENT] = "guest-silent",
        [VMEM_STALL_GUEST_REFUSED] = "guest-refused",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), reason);
}
