/* SPDX-License-Identifier: BSD-3-Clause */
/* f: a recorded guest, with the mapper attached late, removed, and attached
 * again. */
#include <inttypes.h>
#include <string.h>

#include "result.h"
#include "steps.h"
#include "trace.h"

struct play {
    struct world world;
    const struct space *space;
    uint64_t available;
    uint64_t nr_requests;
    uint64_t nr_wrong_answers;
    uint64_t nr_checks;
    uint64_t nr_wrong_mappings;
    uint64_t peak;
};

static uint16_t request_type(enum trace_op op)
{
    switch (op) {
    case TRACE_PLUG:
        return VMEM_REQUEST_PLUG;
    case TRACE_UNPLUG:
        return VMEM_REQUEST_UNPLUG;
    case TRACE_UNPLUG_ALL:
        return VMEM_REQUEST_UNPLUG_ALL;
    default:
        return VMEM_REQUEST_STATE;
    }
}

static void do_record(struct play *play, const struct trace_record *record)
{
    struct world *world = &play->world;
    switch (record->op) {
    case TRACE_RESIZE:
        vmem_device_resize(world->device, record->size, NULL);
        return;
    case TRACE_PLUG:
    case TRACE_UNPLUG:
    case TRACE_UNPLUG_ALL:
    case TRACE_STATE:
        play->nr_requests++;
        play->nr_wrong_answers +=
            world_request(world, request_type(record->op), record->gpa,
                          record->nr_blocks) != record->response;
        return;
    case TRACE_DRIVER_RESET:
        vmem_device_reset(world->device, VMEM_RESET_DRIVER, NULL);
        return;
    case TRACE_SYSTEM_RESET:
        vmem_device_reset(world->device, VMEM_RESET_SYSTEM, NULL);
        return;
    case TRACE_WAKEUP:
        vmem_device_reset(world->device, VMEM_RESET_WAKEUP, NULL);
        return;
    case TRACE_BUSY_ON:
        vmem_region_freeze(world->region, "trace", NULL);
        return;
    case TRACE_BUSY_OFF:
        vmem_region_thaw(world->region, "trace", NULL);
        return;
    }
}

/* The blocks of the record one by one, all others by their number. */
static void check(struct play *play, const struct trace_record *record)
{
    const struct world *world = &play->world;
    const uint64_t nr_plugged = world_nr_plugged(world);
    play->nr_checks++;
    play->peak = nr_plugged > play->peak ? nr_plugged : play->peak;
    if (world_dma_stats(world).nr_mappings != nr_plugged ||
        (play->space->kind == SPACE_TYPE1 &&
         space_available(play->space) != play->available - nr_plugged)) {
        play->nr_wrong_mappings++;
    }
    if (record->nr_blocks > 0) {
        play->nr_wrong_mappings += world_nr_wrong(
            world, play->space, (record->gpa - WORLD_GPA) / world->block_size,
            record->nr_blocks);
    }
}

/* Attached from one quarter of the records to the half, and from three quarters
 * on: each time with what is plugged by then. */
static bool play_all(struct play *play, const struct trace *trace,
                     uint64_t *nr_late)
{
    struct world *world = &play->world;
    const unsigned int nr = trace->records->len;
    struct vmem_error err = VMEM_ERROR_INIT;
    for (unsigned int i = 0; i < nr; i++) {
        if (i == nr / 4 || i == nr * 3 / 4) {
            if (world_attach(world, 0, 0, NULL, &err) < 0) {
                result_note("attaching: %s", err.message);
                return false;
            }
            *nr_late += world_nr_plugged(world);
            play->nr_wrong_mappings +=
                world_nr_wrong(world, play->space, 0, world->nr_blocks);
        } else if (i == nr / 2) {
            if (world_detach(world) < 0) {
                return false;
            }
            play->nr_wrong_mappings += world_nr_mapped(world, play->space);
        }
        const struct trace_record *record = trace_get_record(trace, i);
        do_record(play, record);
        if (world->attachment) {
            check(play, record);
        }
    }
    play->nr_wrong_mappings +=
        world_nr_wrong(world, play->space, 0, world->nr_blocks);
    return world_detach(world) == 0;
}

void step_trace(enum space_kind kind, const char *path)
{
    g_autoptr(GError) error = NULL;
    struct trace *trace = trace_read(path, &error);
    struct space space;
    struct edu edu;
    struct play play = { .space = &space };
    uint64_t nr_late = 0;

    if (!trace) {
        result(false, step_name("f-trace", kind), "%s", error->message);
        return;
    }
    const struct trace_device *recorded = trace_get_device(trace, 0);
    struct vmem_device_config device =
        world_device_config(recorded->block_size, recorded->requested_size);
    device.gpa = recorded->gpa;
    device.usable_policy = recorded->usable_policy;
    device.usable_headroom = recorded->usable_extent;
    step_open(&space, &edu, kind, 0);
    world_make(&play.world, recorded->region_size, &device);
    world_make_dma(&play.world, &space, NULL);
    play.available = space_available(&space);
    const bool is_played = play_all(&play, trace, &nr_late);
    const uint64_t end = world_nr_plugged(&play.world) * device.block_size;
    const bool is_freed =
        step_check(world_free(&play.world), "everything can be freed");
    result(is_played && is_freed && play.nr_wrong_answers == 0 &&
               play.nr_wrong_mappings == 0 &&
               end == recorded->end_plugged_size && nr_late > 0,
           step_name("f-trace", kind),
           "%s: %" PRIu64 " recorded requests, %" PRIu64
           " other answers; attached late twice with %" PRIu64
           " blocks plugged, detached twice; at %" PRIu64
           " steps the kernel's mappings were the plugged blocks (up to "
           "%" PRIu64 "), %" PRIu64 " times not",
           strrchr(path, '/') + 1, play.nr_requests, play.nr_wrong_answers,
           nr_late, play.nr_checks, play.peak, play.nr_wrong_mappings);
    step_close(&space, &edu);
    trace_free(trace);
}
