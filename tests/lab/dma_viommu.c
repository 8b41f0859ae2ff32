/* SPDX-License-Identifier: BSD-3-Clause */
/* g: a guest that chooses IOVAs, forgets to unmap, and wants more than is good. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "result.h"
#include "steps.h"

#define BLOCK (2 * MIB)
#define NR_BLOCKS 16
#define SIZE ((size_t)EDU_MAX_SIZE)
#define KEPT_IOVA (9 * GIB)
#define SOURCE_IOVA (10 * GIB)
#define MAX_GUEST_MAPPINGS 8

static int map(struct world *world, uint64_t iova, uint64_t offset,
               uint64_t size)
{
    const struct vmem_range range = { offset, size };
    return vmem_dma_viommu_map(world->attachment, iova, &range,
                               VMEM_DMA_READ | VMEM_DMA_WRITE, NULL);
}

/* The guest lets a device write to a block, and unplugs the block without
 * unmapping. */
static bool is_unmapped_by_force(struct world *world, const struct space *space,
                                 struct edu *edu)
{
    const uint64_t offset = 4 * BLOCK + 64 * PAGE;
    uint8_t *target = world->hva + offset;
    step_fill(world_block(world, 1), SIZE, 5);
    if (map(world, SOURCE_IOVA, BLOCK, PAGE) ||
        map(world, KEPT_IOVA, offset, 4 * PAGE)) {
        return false;
    }
    const bool lands = edu_read(edu, SOURCE_IOVA, SIZE) &&
                       edu_write(edu, KEPT_IOVA, SIZE) &&
                       memcmp(target, world_block(world, 1), SIZE) == 0;
    const bool is_gone = world_unplug(world, 4, 1) == VMEM_RESPONSE_ACK &&
                         space_is_mapped(space, KEPT_IOVA) == 0 &&
                         space_is_mapped(space, KEPT_IOVA + 3 * PAGE) == 0 &&
                         space_is_mapped(space, SOURCE_IOVA) == 1 &&
                         world_dma_stats(world).nr_forced_unmaps == 1;
    const bool is_blocked =
        edu_write(edu, KEPT_IOVA, SIZE) && step_is_filled(target, SIZE, 0);
    /* The block comes back, the mapping does not. */
    const bool stays_gone = world_plug(world, 4, 1) == VMEM_RESPONSE_ACK &&
                            edu_write(edu, KEPT_IOVA, SIZE) &&
                            step_is_filled(target, SIZE, 0);
    uint64_t unmapped = 1;
    const bool is_harmless =
        vmem_dma_viommu_unmap(world->dma, KEPT_IOVA, 4 * PAGE, &unmapped,
                              NULL) == 0 &&
        unmapped == 0;
    return lands && is_gone && is_blocked && stays_gone && is_harmless;
}

/* What is not plugged cannot be mapped, and not more often than allowed. */
static bool is_bounded(struct world *world, const struct space *space,
                       uint64_t *nr_mapped)
{
    const bool is_refused = map(world, KEPT_IOVA, 12 * BLOCK, PAGE) == -ENXIO &&
                            space_is_mapped(space, KEPT_IOVA) == 0;
    int ret = 0;
    while (ret == 0 && *nr_mapped < 100) {
        ret = map(world, KEPT_IOVA + *nr_mapped * PAGE, 5 * BLOCK, PAGE);
        *nr_mapped += ret == 0;
    }
    const bool all_go = world_unplug(world, 5, 1) == VMEM_RESPONSE_ACK &&
                        space_is_mapped(space, KEPT_IOVA) == 0;
    return is_refused && ret == -ENOSPC && all_go;
}

void step_viommu(enum space_kind kind)
{
    const struct vmem_device_config device =
        world_device_config(BLOCK, NR_BLOCKS * BLOCK);
    struct vmem_dma_config config = world_dma_config();
    struct space space;
    struct edu edu;
    struct world world;
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t nr_mapped = 0;

    config.max_guest_mappings = MAX_GUEST_MAPPINGS;
    step_open(&space, &edu, kind, 0);
    world_make(&world, NR_BLOCKS * BLOCK, &device);
    world_make_dma(&world, &space, &config);
    if (world_attach(&world, 0, VMEM_DMA_VIOMMU, NULL, &err) < 0) {
        result(false, step_name("g-viommu", kind), "%s", err.message);
        return;
    }
    world_plug(&world, 0, 8);
    bool is_fine = step_check(is_unmapped_by_force(&world, &space, &edu),
                              "a mapping that the guest keeps goes");
    is_fine &= step_check(is_bounded(&world, &space, &nr_mapped),
                          "the guest gets so many mappings and no more");
    const uint64_t nr_forced = world_dma_stats(&world).nr_forced_unmaps;
    is_fine &= step_check(world_detach(&world) == 0 &&
                              space_is_mapped(&space, SOURCE_IOVA) == 0,
                          "nothing is left in the kernel");
    /* One mapping is that of the source, whose block stays. */
    is_fine &= step_check(world_free(&world), "everything can be freed");
    result(is_fine && nr_mapped == MAX_GUEST_MAPPINGS - 1 &&
               nr_forced == 1 + nr_mapped,
           step_name("g-viommu", kind),
           "the device wrote %zu bytes through an IOVA of the guest's choice; "
           "after the unplug of the block the mapping that the guest kept is "
           "gone and the device changes 0 bytes, also when the block is back; "
           "unplugged memory cannot be mapped; mapping %" PRIu64
           " of %d is refused; %" PRIu64 " mappings were unmapped by force",
           SIZE, nr_mapped + 2, MAX_GUEST_MAPPINGS, nr_forced);
    step_close(&space, &edu);
}
