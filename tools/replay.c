/* SPDX-License-Identifier: BSD-3-Clause */
#include "replay.h"

#include <vmem/vm.h>

#include "replay_state.h"
#include "touch.h"

/* Measuring walks page tables or extents; often enough to see a peak, and not
 * the better part of the time. */
#define MEASURE_EVERY 64

/* What a record is to somebody who looks on. */
static enum watch_what kind_of(enum trace_op op)
{
    switch (op) {
    case TRACE_RESIZE:
        return WATCH_RESIZE;
    case TRACE_SYSTEM_RESET:
    case TRACE_DRIVER_RESET:
    case TRACE_WAKEUP:
        return WATCH_RESET;
    case TRACE_BUSY_ON:
        return WATCH_BUSY;
    case TRACE_BUSY_OFF:
        return WATCH_READY;
    default:
        return WATCH_REQUEST;
    }
}

static void tell_watch(struct replay *replay, enum watch_what what, int device,
                       double seconds)
{
    const struct watch_step step = { what, device, seconds,
                                     replay->totals->nr_requests };

    watch_step(replay->options->watch, &step);
}

static void replay_record(struct replay *replay,
                          const struct trace_record *record)
{
    struct replay_sample sample;
    uint16_t type = 0;

    replay->line = record->line;
    if (replay_find_request(record->op, &type)) {
        replay_request(replay, record, type);
    } else {
        replay_event(replay, record);
    }
    for (unsigned i = 0; i < replay->trace->devices->len; i++) {
        if (record->device == TRACE_ALL_DEVICES || record->device == (int)i) {
            replay_check_device(replay, i);
        }
    }
    tell_watch(replay, kind_of(record->op), record->device, record->seconds);
    if (replay->nr_unmeasured >= MEASURE_EVERY) {
        replay_measure(replay, &sample);
    }
}

static void replay_records(struct replay *replay)
{
    const struct trace *trace = replay->trace;
    struct replay_sample sample;
    double seconds = 0;

    for (unsigned i = 0;
         i < trace->records->len && !replay->totals->host_failed; i++) {
        const struct trace_record *record = trace_get_record(trace, i);

        seconds = record->seconds;
        replay_record(replay, record);
        progress_step(&replay->report->progress, trace->name);
    }
    for (unsigned i = 0; i < trace->devices->len; i++) {
        replay_check_contents(replay, i, NULL);
        replay_check_end(replay, i);
    }
    replay_measure(replay, &sample);
    replay_report_sample(replay, &sample, seconds, "the end");
    tell_watch(replay, WATCH_END, TRACE_ALL_DEVICES, seconds);
}

static void dismantle(struct replay *replay)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    watch_end(replay->options->watch);
    for (unsigned i = 0; i < replay->trace->devices->len; i++) {
        if (rig_dismantle(&replay->rigs[i], &err) < 0) {
            replay_fail(replay, "listener", "cannot take %s apart: %s",
                        trace_get_device(replay->trace, i)->name, err.message);
        } else {
            replay_check_device(replay, i);
        }
        rig_clear(&replay->rigs[i]);
    }
    if (vmem_vm_free(replay->vm, &err) < 0) {
        replay_fail(replay, "listener", "cannot free the machine: %s",
                    err.message);
    }
}

/* When the recording begins. */
static double first_second(const struct trace *trace)
{
    return trace->records->len > 0 ? trace_get_record(trace, 0)->seconds : 0;
}

/* Machine and devices; false and a report if the host cannot. */
static bool assemble(struct replay *replay)
{
    const struct vmem_vm_config config = {
        .struct_size = sizeof(config),
        .name = "vmemctl",
        .log = report_log,
        .opaque = replay->report,
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t fd_offset = 0;
    int ret = vmem_vm_new(&config, &replay->vm, &err);

    for (unsigned i = 0; ret == 0 && i < replay->trace->devices->len; i++) {
        const struct trace_device *device = trace_get_device(replay->trace, i);
        struct rig *rig = &replay->rigs[i];

        replay->line = device->line;
        ret = rig_init(rig, replay->vm, device, &replay->options->rig,
                       fd_offset, &err);
        fd_offset += device->region_size;
        if (ret == 0 && replay->options->touch) {
            touch_prepare(rig->hva, device->region_size, device->block_size);
        }
    }
    if (ret == 0) {
        ret = watch_begin(replay->options->watch, replay->rigs,
                          replay->trace->devices->len,
                          first_second(replay->trace), &err);
    }
    if (ret < 0) {
        replay_fail_host(replay, "the host cannot: %s",
                         err.message[0] != '\0' ? err.message
                                                : g_strerror(-ret));
    }
    return ret == 0;
}

static void clear_failure(void *item)
{
    struct replay_failure *failure = item;

    g_free(failure->message);
}

void replay_run(const struct trace *trace, const struct replay_options *options,
                struct report *report, struct replay_totals *totals)
{
    struct replay replay = {
        .trace = trace,
        .options = options,
        .report = report,
        .totals = totals,
        .rigs = g_new0(struct rig, trace->devices->len),
        .expected = g_new0(uint64_t, trace->devices->len),
        .failures = g_array_new(FALSE, FALSE, sizeof(struct replay_failure)),
    };

    g_array_set_clear_func(replay.failures, clear_failure);
    *totals = (struct replay_totals){ 0 };
    replay_report_begin(&replay);
    if (assemble(&replay)) {
        replay_records(&replay);
    }
    replay_report_devices(&replay);
    dismantle(&replay);
    replay_report_end(&replay);
    g_array_unref(replay.failures);
    g_free(replay.expected);
    g_free(replay.rigs);
}
