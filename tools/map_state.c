/* SPDX-License-Identifier: BSD-3-Clause */
#include "map_state.h"

#include <string.h>

#include "blockmap.h"

static void free_device(void *item)
{
    struct map_device *device = item;

    shadow_clear(&device->blocks);
    g_free(device->name);
    g_free(device);
}

static struct map_device *take_device(const struct rig *rig)
{
    const struct shadow *blocks = &rig->shadows[0];
    struct map_device *device = g_new0(struct map_device, 1);
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    (void)vmem_device_get_info(rig->device, &info);
    *device = (struct map_device){
        .name = g_strdup(rig->trace->name),
        .gpa = rig->trace->gpa,
        .region_size = rig->trace->region_size,
        .block_size = rig->trace->block_size,
        .requested = info.requested_size,
        .plugged = info.plugged_size,
        .retained = info.retained_size,
        .blocks = { .nr_blocks = blocks->nr_blocks,
                    .block_size = blocks->block_size },
        .frozen = rig->frozen,
    };
    device->blocks.has = g_malloc(blocks->nr_blocks + 1);
    memcpy(device->blocks.has, blocks->has, blocks->nr_blocks);
    return device;
}

struct map_state *map_state_take(const struct rig *rigs, unsigned nr_rigs,
                                 const struct watch_step *step)
{
    struct map_state *state = g_new0(struct map_state, 1);

    state->devices = g_ptr_array_new_with_free_func(free_device);
    state->seconds = step->seconds;
    state->nr_requests = step->nr_requests;
    for (unsigned i = 0; i < nr_rigs; i++) {
        g_ptr_array_add(state->devices, take_device(&rigs[i]));
    }
    return state;
}

void map_state_free(struct map_state *state)
{
    if (state != NULL) {
        g_ptr_array_unref(state->devices);
        g_free(state);
    }
}

void map_state_report(const struct map_state *state, struct report *report)
{
    report_number(report, "nr_requests", state->nr_requests);
    report_double(report, "seconds", state->seconds);
    report_open_array(report, "devices");
    for (unsigned i = 0; i < state->devices->len; i++) {
        const struct map_device *device = g_ptr_array_index(state->devices, i);

        report_open_object(report);
        report_string(report, "name", device->name);
        report_number(report, "gpa", device->gpa);
        report_number(report, "region_size", device->region_size);
        report_number(report, "block_size", device->block_size);
        report_number(report, "requested", device->requested);
        report_number(report, "plugged", device->plugged);
        report_number(report, "retained", device->retained);
        report_bool(report, "frozen", device->frozen);
        blockmap_report(report, &device->blocks);
        report_close_object(report);
    }
    report_close_array(report);
}
