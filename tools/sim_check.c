/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>

#include "sim_state.h"
#include "units.h"

void sim_measure(struct sim *sim, struct sim_sample *sample)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_error err = VMEM_ERROR_INIT;

    *sample = (struct sim_sample){ .resident = 0 };
    sample->device.struct_size = sizeof(sample->device);
    sample->guest.struct_size = sizeof(sample->guest);
    (void)vmem_device_get_info(sim->rig.device, &sample->device);
    (void)vmem_guest_get_stats(sim->guest, &sample->guest);
    for (unsigned type = 0; type < 4; type++) {
        for (unsigned answer = 0; answer < 4; answer++) {
            sample->nr_requests += sample->guest.nr_requests[type][answer];
        }
    }
    if (vmem_backing_get_usage(rig_backing(&sim->rig), NULL, &usage, &err) <
        0) {
        sim_fail_host(sim, "cannot measure: %s", err.message);
    }
    sample->resident = usage.resident;
    sim->peak_resident = MAX(sim->peak_resident, usage.resident);
}

static void check_memory(struct sim *sim, const struct sim_sample *sample)
{
    const uint64_t allowed =
        sample->device.plugged_size + sample->device.retained_size;
    g_autofree char *resident = units_format_bytes(sample->resident);
    g_autofree char *plugged = units_format_bytes(sample->device.plugged_size);
    g_autofree char *retained =
        units_format_bytes(sample->device.retained_size);

    if (sample->resident > allowed) {
        sim_fail(sim, "resident",
                 "%s is resident, plugged are %s and retained %s", resident,
                 plugged, retained);
    } else if (sim->options->touch &&
               sim->options->rig.kind != VMEM_BACKING_FILE &&
               sample->resident < sample->device.plugged_size) {
        sim_fail(sim, "resident",
                 "%s is plugged and was written, but only %s is resident",
                 plugged, resident);
    }
}

static void check_listeners(struct sim *sim, const struct sim_sample *sample)
{
    for (unsigned i = 0; i < RIG_NR_SHADOWS; i++) {
        struct shadow *shadow = &sim->rig.shadows[i];

        if (shadow->nr_complaints > 0) {
            sim_fail(sim, "listener", "listener told wrongly: %s",
                     shadow->complaint);
            shadow->nr_complaints = 0;
        }
        if (shadow->populated_size != sample->device.plugged_size) {
            sim_fail(sim, "listener",
                     "a listener was told of %" PRIu64
                     " bytes, plugged are %" PRIu64,
                     shadow->populated_size, sample->device.plugged_size);
        }
    }
}

/* A guest that has not got there must have a reason. */
static void check_progress(struct sim *sim, const struct sim_sample *sample,
                           const char *event)
{
    const uint64_t requested = sample->device.requested_size;
    const uint64_t plugged = sample->device.plugged_size;
    const uint64_t distance =
        requested > plugged ? requested - plugged : plugged - requested;
    /* Also if it was released since the guest last looked. */
    const bool was_pinned =
        plugged > requested &&
        sim->options->pattern != VMEM_GUEST_PATTERN_MOVABLE &&
        (sim->status == VMEM_GUEST_WAITING || sim->status == VMEM_GUEST_STUCK);

    if (distance < sample->guest.granularity || sim->rig.frozen || was_pinned ||
        sim->status == VMEM_GUEST_ABSENT || sim->status < 0) {
        return;
    }

    g_autofree char *has = units_format_bytes(plugged);
    g_autofree char *wanted = units_format_bytes(requested);

    sim_fail(sim, "size", "after %s the guest has %s instead of %s and is %s",
             event, has, wanted, vmem_guest_status_name((uint64_t)sim->status));
}

void sim_check(struct sim *sim, const struct sim_sample *sample,
               const char *event)
{
    check_memory(sim, sample);
    check_listeners(sim, sample);
    check_progress(sim, sample, event);
}
