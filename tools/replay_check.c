/* SPDX-License-Identifier: BSD-3-Clause */
#include "replay_state.h"

#include <inttypes.h>

#include <vmem/region.h>

#include "touch.h"
#include "units.h"

/* On a disk the file system decides in what units a file occupies space. */
static bool is_exact(const struct replay *replay)
{
    return replay->options->rig.kind != VMEM_BACKING_FILE;
}

static void add_device(struct replay *replay, struct rig *rig,
                       struct replay_sample *sample)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_stats inner = { .struct_size = sizeof(inner) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)vmem_device_get_info(rig->device, &info);
    (void)vmem_backing_get_stats(rig_backing(rig), &stats);
    (void)vmem_backing_get_stats(rig->memory, &inner);
    if (vmem_backing_get_usage(rig_backing(rig), NULL, &usage, &err) < 0) {
        replay_fail_host(replay, "cannot measure: %s", err.message);
    }
    sample->plugged += info.plugged_size;
    sample->retained += info.retained_size;
    sample->resident += usage.resident;
    sample->nr_discards += stats.nr_discards;
    sample->nr_syscalls += inner.nr_syscalls;
}

void replay_measure(struct replay *replay, struct replay_sample *sample)
{
    struct replay_totals *totals = replay->totals;

    *sample = (struct replay_sample){ 0 };
    for (unsigned i = 0; i < replay->trace->devices->len; i++) {
        add_device(replay, &replay->rigs[i], sample);
    }
    replay->nr_unmeasured = 0;
    totals->peak_resident = MAX(totals->peak_resident, sample->resident);
    totals->end_plugged = sample->plugged;
    totals->end_resident = sample->resident;

    g_autofree char *resident = units_format_bytes(sample->resident);
    g_autofree char *plugged = units_format_bytes(sample->plugged);

    if (sample->resident > sample->plugged) {
        g_autofree char *rest =
            units_format_bytes(sample->resident - sample->plugged);

        replay_fail(replay, "resident",
                    "%s is resident but only %s is plugged: %s should be gone",
                    resident, plugged, rest);
    } else if (replay->options->touch && is_exact(replay) &&
               sample->resident < sample->plugged) {
        replay_fail(replay, "resident",
                    "%s is plugged and was written, but only %s is resident",
                    plugged, resident);
    }
}

void replay_check_gone(struct replay *replay, unsigned device,
                       const struct vmem_range *range)
{
    struct rig *rig = &replay->rigs[device];
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_error err = VMEM_ERROR_INIT;

    if (vmem_backing_get_usage(rig_backing(rig), range, &usage, &err) < 0) {
        replay_fail_host(replay, "cannot measure: %s", err.message);
        return;
    }
    if (usage.resident > 0) {
        g_autofree char *size = units_format_bytes(range->size);
        g_autofree char *resident = units_format_bytes(usage.resident);

        replay_fail(replay, "resident",
                    "%s at 0x%" PRIx64 " was unplugged, %s is still resident",
                    size, rig->trace->gpa + range->offset, resident);
    }
}

/* Calls check on each plugged run of a window. */
static void check_run(struct replay *replay, const struct rig *rig,
                      uint64_t offset, uint64_t size)
{
    uint64_t bad = 0;

    if (touch_verify(rig->hva, offset, size, &bad) != 0) {
        replay_fail(replay, "contents",
                    "plugged memory at 0x%" PRIx64
                    " does not hold what was written",
                    rig->trace->gpa + bad);
    }
}

void replay_check_contents(struct replay *replay, unsigned device,
                           const struct vmem_range *range)
{
    const struct rig *rig = &replay->rigs[device];
    const struct shadow *blocks = &rig->shadows[0];
    uint64_t block = 0;
    uint64_t end = blocks->nr_blocks;

    if (!replay->options->touch) {
        return;
    }
    if (range != NULL) {
        block = range->offset / blocks->block_size;
        end = block + range->size / blocks->block_size;
    }
    for (;;) {
        uint64_t first = shadow_find(blocks, block, 1);
        uint64_t last = MIN(shadow_find(blocks, first, 0), end);

        if (first >= end) {
            return;
        }
        check_run(replay, rig, first * blocks->block_size,
                  (last - first) * blocks->block_size);
        block = last;
    }
}

static void check_listeners(struct replay *replay, struct rig *rig,
                            uint64_t plugged_size)
{
    for (unsigned i = 0; i < RIG_NR_SHADOWS; i++) {
        struct shadow *shadow = &rig->shadows[i];

        if (shadow->nr_complaints > 0) {
            replay_fail(replay, "listener", "listener told wrongly: %s",
                        shadow->complaint);
            shadow->nr_complaints = 0;
            g_clear_pointer(&shadow->complaint, g_free);
        }
        if (shadow->listener != NULL &&
            shadow->populated_size != plugged_size) {
            replay_fail(replay, "listener",
                        "a listener was told of %" PRIu64
                        " bytes, plugged are %" PRIu64,
                        shadow->populated_size, plugged_size);
        }
    }
}

void replay_check_device(struct replay *replay, unsigned device)
{
    struct rig *rig = &replay->rigs[device];
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_region_info region = { .struct_size = sizeof(region) };

    if (rig->device == NULL) {
        check_listeners(replay, rig, 0);
        return;
    }
    (void)vmem_device_get_info(rig->device, &info);
    (void)vmem_region_get_info(rig->region, &region);
    if (info.plugged_size != replay->expected[device]) {
        replay_fail(replay, "size",
                    "%s has %" PRIu64 " bytes plugged, by the recorded answers "
                    "it must be %" PRIu64,
                    rig->trace->name, info.plugged_size,
                    replay->expected[device]);
        /* Said once is enough. */
        replay->expected[device] = info.plugged_size;
    }
    if (region.populated_size != info.plugged_size) {
        replay_fail(replay, "size",
                    "region %s has %" PRIu64
                    " bytes populated, its device %" PRIu64 " plugged",
                    rig->trace->name, region.populated_size, info.plugged_size);
    }
    check_listeners(replay, rig, info.plugged_size);
}

void replay_check_end(struct replay *replay, unsigned device)
{
    struct rig *rig = &replay->rigs[device];
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    (void)vmem_device_get_info(rig->device, &info);
    replay->line = rig->trace->end_line;
    if (info.plugged_size != rig->trace->end_plugged_size) {
        replay_fail(replay, "end",
                    "%s ends with %" PRIu64 " bytes plugged, recorded are "
                    "%" PRIu64,
                    rig->trace->name, info.plugged_size,
                    rig->trace->end_plugged_size);
    }
}
