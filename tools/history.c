/* SPDX-License-Identifier: BSD-3-Clause */
#include "history.h"

#include <string.h>

#include <vmem/listener.h>

/* Measuring asks the kernel. So many changes are each measured; behind them
 * every second one of the next so many, then every fourth, so that the number of
 * measurements grows with the logarithm of the run. */
#define MEASURED_CLOSELY 1024

static void free_device(void *item)
{
    struct history_device *device = item;

    g_array_unref(device->changes);
    g_free(device->name);
    g_free(device);
}

struct history *history_new(void)
{
    struct history *history = g_new0(struct history, 1);

    history->devices = g_ptr_array_new_with_free_func(free_device);
    history->samples = g_array_new(FALSE, FALSE, sizeof(struct history_sample));
    history->marks = g_array_new(FALSE, FALSE, sizeof(struct history_mark));
    return history;
}

void history_free(struct history *history)
{
    g_ptr_array_unref(history->devices);
    g_array_unref(history->samples);
    g_array_unref(history->marks);
    g_free(history);
}

/* Its time comes with the next step. */
static void note_change(struct history_device *device,
                        const struct vmem_range *range, bool plugged)
{
    const struct history_change change = {
        .first_block = range->offset / device->block_size,
        .nr_blocks = range->size / device->block_size,
        .plugged = plugged,
    };

    g_array_append_val(device->changes, change);
}

static int on_populate(const struct vmem_range *range, void *opaque)
{
    note_change(opaque, range, true);
    return 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    note_change(opaque, range, false);
}

/* Behind all others, so that it never hears of what somebody vetoes. */
static int add_device(struct history *history, const struct rig *rig,
                      struct vmem_error *err)
{
    struct history_device *device = g_new0(struct history_device, 1);
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = "history",
    };
    const struct vmem_listener_ops ops = {
        .struct_size = sizeof(ops),
        .populate = on_populate,
        .discard = on_discard,
    };

    device->name = g_strdup(rig->trace->name);
    device->gpa = rig->trace->gpa;
    device->region_size = rig->trace->region_size;
    device->block_size = rig->trace->block_size;
    device->changes = g_array_new(FALSE, FALSE, sizeof(struct history_change));
    device->rig = rig;
    g_ptr_array_add(history->devices, device);
    return vmem_listener_add(rig->region, &config, &ops, device,
                             &device->listener, err);
}

/* Dates what changed since the last step; returns how much that is. */
static unsigned date_changes(struct history *history, double seconds)
{
    unsigned nr_new = 0;

    for (unsigned i = 0; i < history->devices->len; i++) {
        struct history_device *device = g_ptr_array_index(history->devices, i);

        for (; device->nr_dated < device->changes->len; device->nr_dated++) {
            g_array_index(device->changes, struct history_change,
                          device->nr_dated)
                .seconds = seconds;
            nr_new++;
        }
    }
    return nr_new;
}

static uint64_t measure(const struct rig *rig)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    /* A failure is reported by whoever compares. */
    (void)vmem_backing_get_usage(rig_backing(rig), NULL, &usage, NULL);
    return usage.resident;
}

static void take_sample(struct history *history, double seconds, bool measures)
{
    const unsigned nr_samples = history->samples->len;
    struct history_sample sample = { .seconds = seconds };

    for (unsigned i = 0; i < history->devices->len; i++) {
        const struct rig *rig = history_get_device(history, i)->rig;
        struct vmem_device_info info = { .struct_size = sizeof(info) };

        (void)vmem_device_get_info(rig->device, &info);
        sample.requested += info.requested_size;
        sample.plugged += info.plugged_size;
        sample.retained += info.retained_size;
        sample.resident += measures ? measure(rig) : 0;
    }
    if (nr_samples > 0) {
        const struct history_sample *last =
            history_get_sample(history, nr_samples - 1);

        sample.resident = measures ? sample.resident : last->resident;
        if (sample.requested == last->requested &&
            sample.plugged == last->plugged &&
            sample.retained == last->retained &&
            sample.resident == last->resident) {
            return;
        }
    }
    g_array_append_val(history->samples, sample);
}

static bool is_time_to_measure(const struct history *history)
{
    uint64_t stride = 1;

    for (uint64_t limit = MEASURED_CLOSELY; history->nr_changes > limit;
         limit += stride * MEASURED_CLOSELY) {
        stride *= 2;
    }
    return history->nr_changes % stride == 0;
}

static int on_begin(const struct rig *rigs, unsigned nr_rigs, double seconds,
                    void *opaque, struct vmem_error *err)
{
    struct history *history = opaque;
    int ret = 0;

    history->start_seconds = seconds;
    history->end_seconds = seconds;
    for (unsigned i = 0; i < nr_rigs && ret == 0; i++) {
        ret = add_device(history, &rigs[i], err);
    }
    if (ret == 0) {
        take_sample(history, seconds, true);
    }
    return ret;
}

static void on_step(const struct watch_step *step, void *opaque)
{
    struct history *history = opaque;
    const unsigned nr_new = date_changes(history, step->seconds);
    const struct history_mark mark = { step->seconds, step->what,
                                       step->device };

    history->end_seconds = MAX(history->end_seconds, step->seconds);
    history->nr_requests = step->nr_requests;
    history->nr_changes += nr_new > 0;
    take_sample(history, step->seconds,
                step->what != WATCH_REQUEST ||
                    (nr_new > 0 && is_time_to_measure(history)));
    if (step->what == WATCH_RESET || step->what == WATCH_BUSY ||
        step->what == WATCH_READY) {
        g_array_append_val(history->marks, mark);
    }
}

static void on_end(void *opaque)
{
    struct history *history = opaque;

    for (unsigned i = 0; i < history->devices->len; i++) {
        struct history_device *device = g_ptr_array_index(history->devices, i);

        if (device->listener != NULL) {
            (void)vmem_listener_remove(device->listener, NULL);
        }
        /* What it was told as it left did not happen. */
        g_array_set_size(device->changes, device->nr_dated);
        device->listener = NULL;
        device->rig = NULL;
    }
}

struct watch history_watch(struct history *history)
{
    return (struct watch){ on_begin, on_step, on_end, history };
}
