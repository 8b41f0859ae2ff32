/* SPDX-License-Identifier: BSD-3-Clause */
/* d: 64 mappings and no more. The host learns it before anything is mapped, the
 * guest is told BUSY, everything of the attempt is undone, and an unplug makes
 * room. With type 1 the limit is the kernel's, else the host's. */
#include <errno.h>
#include <inttypes.h>

#include "result.h"
#include "steps.h"

#define BLOCK (2 * MIB)
#define NR_BLOCKS 128
#define LIMIT 64

static uint64_t resident(struct world *world)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    vmem_backing_get_usage(world->backing, NULL, &usage, NULL);
    return usage.resident;
}

/* Nothing is different from what the guest was told. */
static bool is_even(struct world *world, const struct space *space,
                    uint64_t nr_plugged)
{
    const uint64_t available = space_available(space);
    return world_nr_plugged(world) == nr_plugged &&
           world_dma_stats(world).nr_mappings == nr_plugged &&
           resident(world) == nr_plugged * BLOCK &&
           (space->kind != SPACE_TYPE1 || available == LIMIT - nr_plugged) &&
           world_nr_wrong(world, space, 0, NR_BLOCKS) == 0;
}

/* Fills the address space and goes over its edge. */
static bool plays_by_the_limit(struct world *world, const struct space *space)
{
    bool is_fine = true;
    for (uint64_t block = 0; block < 60; block += 20) {
        is_fine = world_plug(world, block, 20) == VMEM_RESPONSE_ACK && is_fine;
    }
    const uint64_t nr_logged = world->nr_logged;
    /* Half of these would fit. */
    is_fine = world_plug(world, 60, 8) == VMEM_RESPONSE_BUSY &&
              is_even(world, space, 60) && is_fine;
    is_fine = world_plug(world, 100, 5) == VMEM_RESPONSE_BUSY &&
              is_even(world, space, 60) && is_fine;
    const uint64_t nr_lines = world->nr_logged - nr_logged;
    if (nr_lines != 1) {
        result_note("%" PRIu64 " lines of one episode, not 1", nr_lines);
        is_fine = false;
    }
    is_fine = world_plug(world, 60, 4) == VMEM_RESPONSE_ACK &&
              world_plug(world, 64, 1) == VMEM_RESPONSE_BUSY &&
              is_even(world, space, 64) && is_fine;
    is_fine = world_unplug(world, 8, 8) == VMEM_RESPONSE_ACK &&
              world_plug(world, 120, 8) == VMEM_RESPONSE_ACK &&
              is_even(world, space, 64) && is_fine;
    return world_unplug_all(world) == VMEM_RESPONSE_ACK &&
           is_even(world, space, 0) && is_fine;
}

/* All of it at once can never be: told with what would fit, nothing is mapped. */
static bool is_refused(struct world *world, const struct space *space,
                       struct vmem_dma_verdict *verdict)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    const int ret = world_attach(world, NR_BLOCKS * BLOCK, 0, verdict, &err);
    result_note("attaching: %s", err.message);
    return ret == -ENOSPC && verdict->fit == VMEM_DMA_FIT_IMPOSSIBLE &&
           verdict->max_mappings == LIMIT &&
           verdict->nr_requested == NR_BLOCKS &&
           verdict->recommended_block_size == NR_BLOCKS / LIMIT * BLOCK &&
           world_nr_mapped(world, space) == 0;
}

/* A mapper with these settings, from attaching to the last unplug. */
static bool plays_with(struct world *world, const struct space *space,
                       uint64_t max_mappings)
{
    struct vmem_dma_config config = world_dma_config();
    struct vmem_error err = VMEM_ERROR_INIT;
    config.max_mappings = max_mappings;
    world_make_dma(world, space, &config);
    const bool is_fine = world_attach(world, 32 * BLOCK, 0, NULL, &err) == 0 &&
                         plays_by_the_limit(world, space);
    const bool is_gone = world_detach(world) == 0;
    world_free_dma(world);
    return is_fine && is_gone;
}

void step_limit(enum space_kind kind)
{
    const struct vmem_device_config device =
        world_device_config(BLOCK, NR_BLOCKS * BLOCK);
    struct vmem_dma_config config = world_dma_config();
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_dma_info info = { .struct_size = sizeof(info) };
    struct space space;
    struct edu edu;
    struct world world;

    const bool is_kernels = kind == SPACE_TYPE1;
    bool is_fine = !is_kernels || space_set_limit(LIMIT);
    step_open(&space, &edu, kind, 0);
    world_make(&world, NR_BLOCKS * BLOCK, &device);
    world_make_dma(&world, &space, NULL);
    vmem_dma_get_info(world.dma, &info);
    is_fine &= step_check(info.max_mappings ==
                              (is_kernels ? LIMIT : VMEM_DMA_UNLIMITED),
                          "the mapper knows the kernel's limit");
    world_free_dma(&world);

    config.max_mappings = is_kernels ? 0 : LIMIT;
    world_make_dma(&world, &space, &config);
    is_fine &= step_check(is_refused(&world, &space, &verdict),
                          "what cannot fit is refused at once");
    world_free_dma(&world);

    is_fine &= step_check(plays_with(&world, &space, config.max_mappings),
                          "the budget is a veto");
    /* The mapper does not count, so that the kernel itself has to refuse. */
    if (is_kernels) {
        is_fine &= step_check(plays_with(&world, &space, VMEM_DMA_UNLIMITED),
                              "the kernel's ENOSPC is a veto");
    }
    is_fine &= step_check(world_free(&world), "everything can be freed");
    result(is_fine, step_name("d-limit", kind),
           "limit 64, %s; attaching for %" PRIu64
           " mappings is refused with nothing mapped, %" PRIu64
           " MiB blocks recommended; with 60 blocks plugged 8 more are BUSY "
           "with all undone and one log line, 4 fit; 8 unplugged make room for "
           "8; refused by %s",
           is_kernels ? "the kernel's dma_entry_limit"
                      : "the host's, for the kernel has none",
           verdict.nr_requested, verdict.recommended_block_size / MIB,
           is_kernels ? "the budget, and without one by the kernel's ENOSPC"
                      : "the budget");
    step_close(&space, &edu);
    if (is_kernels) {
        space_set_limit(SPACE_USUAL_LIMIT);
    }
}
