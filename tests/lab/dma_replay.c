/* SPDX-License-Identifier: BSD-3-Clause */
/* g, too: a second address space joins late, and gets what the guest has mapped in
 * the first one. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "result.h"
#include "steps.h"

#define BLOCK (2 * MIB)
#define NR_BLOCKS 16
#define SIZE ((size_t)EDU_MAX_SIZE)
#define SOURCE_IOVA (10 * GIB)    /* a page of block 1 */
#define TARGET_IOVA (9 * GIB)     /* 4 pages of block 4 */
#define READ_ONLY_IOVA (11 * GIB) /* a page of block 2 */
#define GONE_IOVA (12 * GIB)      /* a page of block 5, which is unplugged */

/* An address space, and what drives the device in it. */
struct side {
    struct space space;
    struct edu edu;
    struct world world; /* its mapper and attachment; the rest is shared */
};

static int map(struct side *side, uint64_t iova, uint64_t offset, uint64_t size,
               uint32_t protection)
{
    const struct vmem_range range = { offset, size };
    return vmem_dma_viommu_map(side->world.attachment, iova, &range, protection,
                               NULL);
}

/* Which of the four are there, a bit for each: asked of the kernel. */
static unsigned int mapped(const struct side *side)
{
    const uint64_t iovas[] = { SOURCE_IOVA, TARGET_IOVA, READ_ONLY_IOVA,
                               GONE_IOVA };
    unsigned int bits = 0;
    for (unsigned int i = 0; i < 4; i++) {
        bits |= space_is_mapped(&side->space, iovas[i]) == 1 ? 1u << i : 0;
    }
    return bits;
}

static bool guest_maps(struct side *first)
{
    const uint32_t both = VMEM_DMA_READ | VMEM_DMA_WRITE;
    return map(first, SOURCE_IOVA, BLOCK, PAGE, both) == 0 &&
           map(first, TARGET_IOVA, 4 * BLOCK, 4 * PAGE, both) == 0 &&
           map(first, READ_ONLY_IOVA, 2 * BLOCK, PAGE, VMEM_DMA_READ) == 0 &&
           map(first, GONE_IOVA, 5 * BLOCK, PAGE, both) == 0 &&
           mapped(first) == 15 &&
           world_unplug(&first->world, 5, 1) == VMEM_RESPONSE_ACK &&
           mapped(first) == 7;
}

/* The same mappings, not more. */
static bool replays(struct side *late, const struct side *first,
                    uint64_t *nr_made)
{
    const uint64_t before = space_available(&late->space);
    struct vmem_error err = VMEM_ERROR_INIT;
    const int ret =
        vmem_dma_viommu_replay(late->world.dma, first->world.dma, &err);
    const uint64_t after = space_available(&late->space);
    const uint64_t nr_counted = before - after; /* by type 1 alone */
    if (ret < 0) {
        result_note("replay: %s", err.message);
    }
    *nr_made = world_dma_stats(&late->world).nr_guest_mappings;
    return ret == 0 && mapped(late) == 7 && mapped(first) == 7 &&
           space_is_mapped(&late->space, TARGET_IOVA + 3 * PAGE) == 1 &&
           space_is_mapped(&late->space, TARGET_IOVA + 4 * PAGE) == 0 &&
           *nr_made == 3 &&
           (late->space.kind != SPACE_TYPE1 || nr_counted == 3) &&
           vmem_dma_viommu_replay(late->world.dma, first->world.dma, NULL) ==
               -EEXIST;
}

/* The second device does what the first one may, and not more. */
static bool transfers(struct side *late, uint8_t *target, const uint8_t *source,
                      const uint8_t *read_only)
{
    return edu_read(&late->edu, SOURCE_IOVA, SIZE) &&
           edu_write(&late->edu, TARGET_IOVA, SIZE) &&
           memcmp(target, source, SIZE) == 0 &&
           edu_write(&late->edu, READ_ONLY_IOVA, SIZE) &&
           step_is_filled(read_only, SIZE, 7);
}

/* The guest unmaps in one, which is none of the other's business; an unplug takes
 * it from both. */
static bool follow_apart(struct side *late, struct side *first, uint8_t *target)
{
    uint64_t unmapped = 0;
    const bool is_unmapped =
        vmem_dma_viommu_unmap(late->world.dma, READ_ONLY_IOVA, PAGE, &unmapped,
                              NULL) == 0 &&
        unmapped == PAGE && mapped(late) == 3 && mapped(first) == 7;
    return is_unmapped &&
           world_unplug(&first->world, 4, 1) == VMEM_RESPONSE_ACK &&
           mapped(late) == 1 && mapped(first) == 5 &&
           edu_write(&late->edu, TARGET_IOVA, SIZE) &&
           edu_write(&first->edu, TARGET_IOVA, SIZE) &&
           step_is_filled(target, SIZE, 0);
}

/* A mapper on the side's space, with the region as a target. */
static bool join(struct side *side, const char *name)
{
    struct vmem_dma_config config = world_dma_config();
    struct vmem_error err = VMEM_ERROR_INIT;
    config.name = name;
    world_make_dma(&side->world, &side->space, &config);
    if (world_attach(&side->world, 0, VMEM_DMA_VIOMMU, NULL, &err) < 0) {
        result_note("attaching: %s", err.message);
        return false;
    }
    return true;
}

void step_replay(enum space_kind kind)
{
    const struct vmem_device_config device =
        world_device_config(BLOCK, NR_BLOCKS * BLOCK);
    struct side first;
    struct side late;
    uint64_t nr_made = 0;

    step_open(&first.space, &first.edu, kind, 0);
    step_open(&late.space, &late.edu, kind, 1);
    world_make(&first.world, NR_BLOCKS * BLOCK, &device);
    bool is_fine = step_check(join(&first, "edu"), "the first one joins");
    world_plug(&first.world, 0, 8);
    uint8_t *target = world_block(&first.world, 4);
    step_fill(world_block(&first.world, 1), SIZE, 6);
    memset(world_block(&first.world, 2), 7, SIZE);
    is_fine &= step_check(guest_maps(&first), "the guest maps in the first");

    late.world = first.world;
    is_fine &= step_check(join(&late, "edu-late"), "the second one joins");
    is_fine &= step_check(
        mapped(&late) == 0 && edu_write(&late.edu, TARGET_IOVA, SIZE) &&
            step_is_filled(target, SIZE, 0),
        "before the replay the second device reaches nothing");
    is_fine &= step_check(replays(&late, &first, &nr_made),
                          "the second has what the first has");
    is_fine &= step_check(transfers(&late, target, world_block(&first.world, 1),
                                    world_block(&first.world, 2)),
                          "the second device does DMA");
    is_fine &= step_check(follow_apart(&late, &first, target),
                          "an unplug takes it from both");
    is_fine &= step_check(world_detach(&late.world) == 0 && mapped(&late) == 0,
                          "nothing is left in the second");
    world_free_dma(&late.world);
    is_fine &= step_check(world_free(&first.world) && mapped(&first) == 0,
                          "everything can be freed");
    result(is_fine, step_name("g-replay", kind),
           "a second address space joined late: nothing was mapped, its device "
           "wrote 0 bytes; the replay made %" PRIu64 " mappings, what was "
           "unplugged was not among them, and the device copied %zu bytes "
           "through them and 0 into what may only be read; an unmap is of one, "
           "an unplug of both",
           nr_made, SIZE);
    step_close(&late.space, &late.edu);
    step_close(&first.space, &first.edu);
}
