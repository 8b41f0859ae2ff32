/* SPDX-License-Identifier: BSD-3-Clause */
/* What the answers mean to Linux. */
#include "sim/linux.h"

/* ZONE_MOVABLE is worth several attempts. */
#define MOVABLE_ATTEMPTS 5

enum guesti_result guesti_linux_plug(struct guesti_linux *tux, uint64_t gpa,
                                     uint64_t size)
{
    if (tux->config_changed) {
        return GUESTI_AGAIN;
    }
    switch (guesti_send(tux->guest, VMEM_GUEST_PLUG, gpa,
                        size / tux->block_size, NULL)) {
    case VMEM_GUEST_ACK:
        tux->plugged_size += size;
        return GUESTI_DONE;
    case VMEM_GUEST_NACK:
        return GUESTI_AGAIN;
    case VMEM_GUEST_ERROR:
        return GUESTI_BROKEN;
    default:
        return GUESTI_RETRY;
    }
}

enum guesti_result guesti_linux_unplug(struct guesti_linux *tux, uint64_t gpa,
                                       uint64_t size)
{
    if (tux->config_changed) {
        return GUESTI_AGAIN;
    }
    switch (guesti_send(tux->guest, VMEM_GUEST_UNPLUG, gpa,
                        size / tux->block_size, NULL)) {
    case VMEM_GUEST_ACK:
        tux->plugged_size -= size;
        return GUESTI_DONE;
    case VMEM_GUEST_ERROR:
        return GUESTI_BROKEN;
    default:
        return GUESTI_RETRY;
    }
}

enum guesti_result guesti_linux_unplug_online(struct guesti_linux *tux,
                                              uint64_t gpa, uint64_t size,
                                              bool movable)
{
    if (tux->config_changed) {
        return GUESTI_AGAIN;
    }
    if (!guesti_load_isolate(&tux->guest->load, gpa, size,
                             movable ? MOVABLE_ATTEMPTS : 1)) {
        return GUESTI_PINNED;
    }
    return guesti_linux_unplug(tux, gpa, size);
}
