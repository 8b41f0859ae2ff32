/* SPDX-License-Identifier: BSD-3-Clause */
#include "replay_state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <vmem/region.h>

#include "units.h"

static void replay_resize(struct replay *replay,
                          const struct trace_record *record)
{
    struct rig *rig = &replay->rigs[record->device];
    struct vmem_device_info before = { .struct_size = sizeof(before) };
    struct vmem_device_info after = { .struct_size = sizeof(after) };
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret;

    (void)vmem_device_get_info(rig->device, &before);
    ret = vmem_device_resize(rig->device, record->size, &err);
    (void)vmem_device_get_info(rig->device, &after);
    if (record->refused && ret == 0) {
        replay_fail(replay, "answer",
                    "resize was accepted, recorded is a "
                    "refusal");
    } else if (!record->refused && ret < 0) {
        replay_fail(replay, "answer", "resize was refused: %s", err.message);
    }
    if (ret < 0 && memcmp(&before, &after, sizeof(before)) != 0) {
        replay_fail(replay, "size", "a refused resize changed the device");
    }
    if (ret == 0 && after.requested_size != record->size) {
        replay_fail(replay, "size", "requested size is %" PRIu64 " now",
                    after.requested_size);
    }
}

static void replay_reset(struct replay *replay,
                         const struct trace_record *record, unsigned device)
{
    struct rig *rig = &replay->rigs[device];
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t before = rig_plugged_size(rig);
    uint32_t kind = record->op == TRACE_SYSTEM_RESET   ? VMEM_RESET_SYSTEM
                    : record->op == TRACE_DRIVER_RESET ? VMEM_RESET_DRIVER
                                                       : VMEM_RESET_WAKEUP;
    bool unplugs = kind == VMEM_RESET_SYSTEM && !rig->frozen;

    if (unplugs) {
        replay_check_contents(replay, device, NULL);
        replay->expected[device] = 0;
    }

    int ret = vmem_device_reset(rig->device, kind, &err);

    /* A system reset while busy is refused and changes nothing. */
    if (ret < 0 && !(ret == -EBUSY && rig->frozen)) {
        replay_fail(replay, "answer", "%s failed: %s",
                    trace_op_name(record->op), err.message);
    }
    replay->totals->unplugged += before - rig_plugged_size(rig);
    if (unplugs) {
        struct vmem_range all = { 0, rig->trace->region_size };

        replay_check_gone(replay, device, &all);
    }
}

static void replay_busy(struct replay *replay,
                        const struct trace_record *record)
{
    struct rig *rig = &replay->rigs[record->device];
    struct vmem_error err = VMEM_ERROR_INIT;
    bool freeze = record->op == TRACE_BUSY_ON;
    int ret;

    if (rig->frozen == freeze) {
        return;
    }
    ret = freeze ? vmem_region_freeze(rig->region, RIG_FREEZER, &err)
                 : vmem_region_thaw(rig->region, RIG_FREEZER, &err);
    if (ret < 0) {
        replay_fail(replay, "answer", "cannot freeze or thaw: %s", err.message);
        return;
    }
    rig->frozen = freeze;
}

/* What a row of the table is called. */
static char *describe_event(const struct replay *replay,
                            const struct trace_record *record)
{
    const char *name =
        record->device == TRACE_ALL_DEVICES
            ? "all"
            : trace_get_device(replay->trace, (unsigned)record->device)->name;

    if (record->op == TRACE_RESIZE) {
        g_autofree char *size = units_format_bytes(record->size);

        return g_strdup_printf("%s resize %s", name, size);
    }
    if (record->op == TRACE_BUSY_ON || record->op == TRACE_BUSY_OFF) {
        return g_strdup_printf("%s busy %s", name,
                               record->op == TRACE_BUSY_ON ? "on" : "off");
    }
    return g_strdup_printf("%s %s", name, trace_op_name(record->op));
}

void replay_event(struct replay *replay, const struct trace_record *record)
{
    struct replay_sample sample;
    g_autofree char *event = describe_event(replay, record);

    replay_measure(replay, &sample);
    replay_report_sample(replay, &sample, record->seconds, event);
    switch (record->op) {
    case TRACE_RESIZE:
        replay_resize(replay, record);
        break;
    case TRACE_BUSY_ON:
    case TRACE_BUSY_OFF:
        replay_busy(replay, record);
        break;
    default:
        for (unsigned i = 0; i < replay->trace->devices->len; i++) {
            if (record->device == TRACE_ALL_DEVICES ||
                record->device == (int)i) {
                replay_reset(replay, record, i);
            }
        }
    }
}
