/* SPDX-License-Identifier: BSD-3-Clause */
/* a: whatever is plugged and unplugged, refused or undone, the kernel has mapped
 * the plugged blocks and nothing else. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "inject.h"
#include "result.h"
#include "steps.h"

#define BLOCK (2 * MIB)
#define NR_BLOCKS 64
#define NR_CHANGES 60

/* A second listener, behind the mapper: it keeps a view of its own, and its
 * refusals make the mapper undo what it did. */
struct watcher {
    bool has[NR_BLOCKS];
    bool refuses;
    uint64_t nr_refusals;
};

static int watch_populate(const struct vmem_range *range, void *opaque)
{
    struct watcher *watcher = opaque;
    if (watcher->refuses) {
        watcher->nr_refusals++;
        return -EPERM;
    }
    memset(watcher->has + range->offset / BLOCK, true, range->size / BLOCK);
    return 0;
}

static void watch_discard(const struct vmem_range *range, void *opaque)
{
    struct watcher *watcher = opaque;
    memset(watcher->has + range->offset / BLOCK, false, range->size / BLOCK);
}

static struct vmem_listener *watch(struct world *world, struct watcher *watcher)
{
    const struct vmem_listener_config config = { .struct_size = sizeof(config),
                                                 .name = "watcher" };
    const struct vmem_listener_ops ops = { .struct_size = sizeof(ops),
                                           .populate = watch_populate,
                                           .discard = watch_discard };
    struct vmem_listener *listener = NULL;
    vmem_listener_add(world->region, &config, &ops, watcher, &listener, NULL);
    return listener;
}

static bool is_right(const struct world *world, const struct space *space,
                     const struct watcher *watcher, uint64_t available)
{
    bool is_fine = world_nr_wrong(world, space, 0, NR_BLOCKS) == 0;
    for (uint64_t i = 0; i < NR_BLOCKS; i++) {
        is_fine = is_fine && watcher->has[i] == world_is_plugged(world, i);
    }
    const uint64_t now = space_available(space);
    if (space->kind == SPACE_TYPE1 &&
        now != available - world_nr_plugged(world)) {
        result_note("the kernel has %" PRIu64 " mappings left of %" PRIu64
                    ", %" PRIu64 " blocks are plugged",
                    now, available, world_nr_plugged(world));
        is_fine = false;
    }
    return is_fine;
}

struct tally {
    unsigned int nr_acks;
    unsigned int nr_others;
    unsigned int nr_wrong;
};

/* Requests as a guest would never send them: any range, most of them possible. */
static void change(struct world *world, struct watcher *watcher,
                   uint32_t *random, struct tally *tally)
{
    *random = *random * 1664525u + 1013904223u;
    const uint32_t number = *random >> 8;
    const uint64_t first = number % NR_BLOCKS;
    const uint16_t nr = (uint16_t)(1 + (number >> 6) % 5);
    int response;
    watcher->refuses = (number >> 10) % 6 == 0;
    if ((number >> 13) % 25 == 0) {
        response = world_unplug_all(world);
    } else if (world_is_plugged(world, first)) {
        response = world_unplug(world, first, nr);
    } else {
        response = world_plug(world, first, nr);
    }
    watcher->refuses = false;
    tally->nr_acks += response == VMEM_RESPONSE_ACK;
    tally->nr_others += response != VMEM_RESPONSE_ACK;
}

/* 100 MiB: one map for each block, one unmap for all of them. */
static bool count_calls(struct world *world, enum space_kind kind,
                        uint64_t *nr_maps, uint64_t *nr_unmaps)
{
    world_unplug_all(world);
    inject_count();
    const int plugged = world_plug(world, 0, 50);
    *nr_maps = inject_end(INJECT_MAP);
    inject_count();
    const int unplugged = world_unplug(world, 0, 50);
    *nr_unmaps = inject_end(INJECT_UNMAP);
    return plugged == VMEM_RESPONSE_ACK && unplugged == VMEM_RESPONSE_ACK &&
           *nr_maps == 50 && *nr_unmaps == (step_unmaps_runs(kind) ? 1 : 50);
}

void step_follow(enum space_kind kind)
{
    const struct vmem_device_config device =
        world_device_config(BLOCK, NR_BLOCKS * BLOCK);
    struct space space;
    struct edu edu;
    struct world world;
    struct watcher watcher = { 0 };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct tally tally = { 0 };
    uint32_t random = 4;

    step_open(&space, &edu, kind, 0);
    world_make(&world, NR_BLOCKS * BLOCK, &device);
    world_make_dma(&world, &space, NULL);
    const uint64_t available = space_available(&space);
    if (world_attach(&world, NR_BLOCKS * BLOCK, 0, NULL, &err) < 0) {
        result(false, step_name("a-follow", kind), "%s", err.message);
        return;
    }
    struct vmem_listener *listener = watch(&world, &watcher);
    for (unsigned int i = 0; i < NR_CHANGES; i++) {
        change(&world, &watcher, &random, &tally);
        tally.nr_wrong += !is_right(&world, &space, &watcher, available);
    }
    uint64_t nr_maps;
    uint64_t nr_unmaps;
    bool is_fine = step_check(count_calls(&world, kind, &nr_maps, &nr_unmaps),
                              "calls as expected");
    world_plug(&world, 1, 3);
    world_plug(&world, 9, 7);
    /* All that is left in the kernel are ten blocks in two runs. Taken away like
     * this they are gone for the mapper only when it has asked twice. */
    uint64_t unmapped = 0;
    space_unmap(&space, WORLD_GPA, NR_BLOCKS * BLOCK, &unmapped);
    is_fine &= step_check(unmapped == 10 * BLOCK, "the kernel had ten blocks");
    vmem_listener_remove(listener, NULL);
    is_fine &= step_check(
        world_detach(&world) == 0 || world_detach(&world) == 0, "detached");
    is_fine &= step_check(space_available(&space) == available &&
                              world_nr_mapped(&world, &space) == 0,
                          "nothing is left in the kernel");
    is_fine &=
        step_check(tally.nr_acks > NR_CHANGES / 4 && watcher.nr_refusals > 0,
                   "changes of all kinds");
    is_fine &= step_check(world_free(&world), "everything can be freed");
    result(
        is_fine && tally.nr_wrong == 0, step_name("a-follow", kind),
        "after each of %u changes (%u done, %u refused, of which %" PRIu64
        " undone because of the second listener) the kernel had mapped "
        "exactly the plugged blocks of %d, %u times not; 100 MiB plugged are "
        "%" PRIu64 " maps, unplugged %" PRIu64 " unmap calls; an unmap of "
        "everything gave %" PRIu64 " bytes for 10 plugged blocks",
        NR_CHANGES, tally.nr_acks, tally.nr_others, watcher.nr_refusals,
        NR_BLOCKS, tally.nr_wrong, nr_maps, nr_unmaps, unmapped);
    step_close(&space, &edu);
}
