/* SPDX-License-Identifier: BSD-3-Clause */
/* b: the device reaches plugged memory and no other. c: what happens to those who
 * discard first and unmap later. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>

#include "inject.h"
#include "result.h"
#include "steps.h"

#define BLOCK (2 * MIB)
#define NR_BLOCKS 16
#define SIZE ((size_t)EDU_MAX_SIZE)
#define STALE_IOVA (16 * GIB)

#define LOG_READ_ALL 3

/* Faults that the IOMMU driver has logged; it does not log each one. */
static unsigned int nr_logged_faults(void)
{
    static char text[1 << 18];
    const int size = klogctl(LOG_READ_ALL, text, sizeof(text) - 1);
    unsigned int nr = 0;
    text[size > 0 ? size : 0] = '\0';
    for (const char *at = text; (at = strstr(at, "fault addr")); at++) {
        nr++;
    }
    return nr;
}

static uint64_t resident(struct world *world, uint64_t block)
{
    const struct vmem_range range = { block * BLOCK, BLOCK };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    return vmem_backing_get_usage(world->backing, &range, &usage, NULL) == 0
               ? usage.resident
               : UINT64_MAX;
}

/* The device copies a page from one block to another. */
static bool copy(struct edu *edu, const struct world *world, uint64_t from,
                 uint64_t to)
{
    return edu_read(edu, world_iova(world, from), SIZE) &&
           edu_write(edu, world_iova(world, to), SIZE);
}

/* Writing to an unplugged block changes no byte of it and allocates nothing. */
static bool cannot_write(struct edu *edu, struct world *world, uint64_t block)
{
    return edu_write(edu, world_iova(world, block), SIZE) &&
           resident(world, block) == 0 &&
           step_is_filled(world_block(world, block), SIZE, 0);
}

/* What the host keeps in unplugged memory does not come out. */
static bool cannot_read(struct edu *edu, struct world *world, uint64_t block,
                        uint64_t by)
{
    uint8_t *secret = world_block(world, block);
    step_fill(secret, SIZE, 77);
    memset(world_block(world, by), 0, SIZE);
    const bool is_done = copy(edu, world, block, by);
    const bool is_secret = memcmp(world_block(world, by), secret, SIZE) != 0;
    memset(secret, 0, SIZE);
    return is_done && is_secret;
}

void step_transfer(enum space_kind kind)
{
    const struct vmem_device_config device =
        world_device_config(BLOCK, NR_BLOCKS * BLOCK);
    struct space space;
    struct edu edu;
    struct world world;
    struct vmem_error err = VMEM_ERROR_INIT;

    step_open(&space, &edu, kind, 0);
    world_make(&world, NR_BLOCKS * BLOCK, &device);
    world_make_dma(&world, &space, NULL);
    if (world_attach(&world, 0, 0, NULL, &err) < 0) {
        result(false, step_name("b-transfer", kind), "%s", err.message);
        return;
    }
    world_plug(&world, 3, 1);
    world_plug(&world, 5, 4);
    step_fill(world_block(&world, 3), SIZE, 1);
    const uint8_t *from = world_block(&world, 3);
    const uint8_t *to = world_block(&world, 5);
    bool is_fine =
        step_check(copy(&edu, &world, 3, 5) && memcmp(from, to, SIZE) == 0,
                   "the device copies between plugged blocks");
    const unsigned int nr_faults = nr_logged_faults();
    world_unplug(&world, 5, 1);
    is_fine &= step_check(cannot_write(&edu, &world, 5),
                          "no byte of an unplugged block changes");
    is_fine &= step_check(cannot_read(&edu, &world, 5, 7),
                          "no byte of an unplugged block comes out");
    const unsigned int nr_new_faults = nr_logged_faults() - nr_faults;
    is_fine &=
        step_check(world_plug(&world, 5, 1) == VMEM_RESPONSE_ACK &&
                       copy(&edu, &world, 3, 5) && memcmp(from, to, SIZE) == 0,
                   "plugged again the copy lands");
    is_fine &= step_check(world_free(&world), "everything can be freed");
    result(is_fine, step_name("b-transfer", kind),
           "the device copied %zu bytes from one plugged block to another; "
           "after unplug the same write changed none of %zu bytes and "
           "allocated no page, and a read brought none out; plugged again all "
           "%zu land; %" PRIu64 " transfers, %u faults in the kernel's log",
           SIZE, SIZE, SIZE, edu.nr_transfers, nr_new_faults);
    step_close(&space, &edu);
}

/* By hand and in the wrong order: returns whether the device's bytes went into a
 * page that nobody sees. */
static bool is_stale(struct space *space, struct edu *edu, uint8_t *hva)
{
    uint64_t unmapped;
    if (space_map(space, STALE_IOVA, hva, BLOCK, SPACE_READ | SPACE_WRITE)) {
        return false;
    }
    step_fill(hva, SIZE, 2);
    const bool is_read = edu_read(edu, STALE_IOVA, SIZE);
    const bool is_discarded = madvise(hva, BLOCK, MADV_REMOVE) == 0;
    const bool is_written = edu_write(edu, STALE_IOVA, SIZE);
    const bool is_lost = step_is_filled(hva, SIZE, 0);
    /* The very same bytes are still there for the device. */
    const bool is_kept =
        edu_read(edu, STALE_IOVA, SIZE) &&
        space_unmap(space, STALE_IOVA, BLOCK, &unmapped) == 0 &&
        space_map(space, STALE_IOVA, hva, BLOCK, SPACE_READ | SPACE_WRITE) ==
            0 &&
        edu_write(edu, STALE_IOVA, SIZE) && hva[0] != 0;
    space_unmap(space, STALE_IOVA, BLOCK, &unmapped);
    return is_read && is_discarded && is_written && is_lost && is_kept;
}

/* What the kernel has mapped at the moment when memory goes. */
struct moment {
    const struct world *world;
    const struct space *space;
    uint64_t nr_blocks;
    uint64_t nr_mapped;
};

static void look(uint64_t fd_offset, uint64_t size, void *opaque)
{
    struct moment *moment = opaque;
    const uint64_t first = fd_offset / BLOCK;
    for (uint64_t i = first; i < first + size / BLOCK; i++) {
        moment->nr_blocks++;
        moment->nr_mapped +=
            space_is_mapped(moment->space, world_iova(moment->world, i)) != 0;
    }
}

/* The library's order: unmapped when the memory goes; unplugged and plugged
 * again, the device and the guest see the same page. */
static bool is_coherent(struct edu *edu, struct world *world)
{
    world_plug(world, 2, 2);
    step_fill(world_block(world, 3), SIZE, 3);
    memset(world_block(world, 2), 1, SIZE);
    if (!edu_read(edu, world_iova(world, 3), SIZE)) {
        return false;
    }
    const bool is_unplugged = world_unplug(world, 2, 1) == VMEM_RESPONSE_ACK &&
                              resident(world, 2) == 0;
    const bool is_blocked =
        edu_write(edu, world_iova(world, 2), SIZE) && resident(world, 2) == 0;
    const bool is_plugged = world_plug(world, 2, 1) == VMEM_RESPONSE_ACK &&
                            step_is_filled(world_block(world, 2), SIZE, 0);
    const bool is_seen =
        edu_write(edu, world_iova(world, 2), SIZE) &&
        memcmp(world_block(world, 2), world_block(world, 3), SIZE) == 0;
    return is_unplugged && is_blocked && is_plugged && is_seen &&
           world_plug(world, 8, 6) == VMEM_RESPONSE_ACK &&
           world_unplug_all(world) == VMEM_RESPONSE_ACK;
}

void step_stale(enum space_kind kind)
{
    const struct vmem_device_config device =
        world_device_config(BLOCK, NR_BLOCKS * BLOCK);
    struct space space;
    struct edu edu;
    struct world world;
    struct vmem_error err = VMEM_ERROR_INIT;

    step_open(&space, &edu, kind, 0);
    uint8_t *hva = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool is_fine = step_check(is_stale(&space, &edu, hva),
                              "the wrong order loses what the device writes");
    munmap(hva, BLOCK);
    world_make(&world, NR_BLOCKS * BLOCK, &device);
    world_make_dma(&world, &space, NULL);
    if (world_attach(&world, 0, 0, NULL, &err) < 0) {
        result(false, step_name("c-order", kind), "%s", err.message);
        return;
    }
    struct moment moment = { .world = &world, .space = &space };
    inject_watch_discards(look, &moment);
    is_fine &= step_check(is_coherent(&edu, &world),
                          "the library's order loses nothing");
    inject_watch_discards(NULL, NULL);
    is_fine &= step_check(moment.nr_blocks >= 9 && moment.nr_mapped == 0,
                          "nothing is mapped when its memory goes");
    is_fine &= step_check(world_free(&world), "everything can be freed");
    result(is_fine, step_name("c-order", kind),
           "discarded while mapped, by hand: the device's %zu bytes went to a "
           "stale page, and the process read 0 of them; by the library: of "
           "%" PRIu64 " blocks %" PRIu64 " were mapped when their memory was "
           "discarded, 0 bytes are resident after unplug and after a write of "
           "the device, and after the next plug the process reads all %zu",
           SIZE, moment.nr_blocks, moment.nr_mapped, SIZE);
    step_close(&space, &edu);
}
