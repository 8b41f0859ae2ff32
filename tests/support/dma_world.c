/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/dma_world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "support/quiet.h"

#define PAGE DMA_WORLD_PAGE
#define MEMORY ((uint64_t)0x7f0000000000)

/* Bytes in a block of a source; 0: no such source. */
static const uint64_t blocks[DMA_WORLD_REGIONS][DMA_WORLD_SOURCES] = {
    { 2, 4 },
    { 1, 0 },
};

__attribute__((format(printf, 2, 3))) static void wrong(struct dma_world *world,
                                                        const char *format, ...)
{
    va_list args;

    if (world->wrong[0] != '\0') {
        return;
    }
    va_start(args, format);
    vsnprintf(world->wrong, sizeof(world->wrong), format, args);
    va_end(args);
}

static uint64_t stopped(void *opaque)
{
    (void)opaque;
    return 0;
}

static void must(struct dma_world *world, int ret, const char *what)
{
    if (ret != 0) {
        wrong(world, "%s returned %d", what, ret);
    }
}

/* ---- what must be ---- */

static bool is_populated(const struct dma_world *world, int region,
                         uint64_t page)
{
    for (int i = 0; i < DMA_WORLD_SOURCES; i++) {
        if (blocks[region][i] != 0 && !world->bits[region][i][page]) {
            return false;
        }
    }
    return true;
}

/* One mapping that must be there: looked for, and counted. */
static void expect(struct dma_world *world, uint64_t iova, uint64_t size,
                   uint64_t hva, uint64_t *nr)
{
    const struct vmem_dma_mapping *mapping =
        fake_dma_find(&world->fake, iova * PAGE);

    if (mapping == NULL || mapping->iova != iova * PAGE ||
        mapping->size != size * PAGE || (uintptr_t)mapping->hva != hva) {
        wrong(world, "no mapping of %" PRIu64 " pages at %" PRIu64, size, iova);
    }
    ++*nr;
}

static void expect_chunks(struct dma_world *world,
                          const struct dma_world_slot *slot, uint64_t *nr)
{
    uint64_t end;

    for (uint64_t page = slot->first; page < slot->end; page = end) {
        end = (page / slot->chunk + 1) * slot->chunk;
        end = end < slot->end ? end : slot->end;
        if (is_populated(world, slot->region, page)) {
            expect(world, slot->iova + page - slot->first, end - page,
                   MEMORY + page * PAGE, nr);
        }
    }
}

static uint64_t count_chunks(const struct dma_world *world)
{
    uint64_t nr = world->nr_guests;

    for (int i = 0; i < DMA_WORLD_SLOTS; i++) {
        const struct dma_world_slot *slot = &world->slots[i];
        uint64_t end;

        if (slot->attachment == NULL || slot->is_target || slot->is_leaving) {
            continue;
        }
        for (uint64_t page = slot->first; page < slot->end; page = end) {
            end = (page / slot->chunk + 1) * slot->chunk;
            nr += slot->region < 0 || is_populated(world, slot->region, page);
        }
    }
    return nr;
}

static int count_run(const struct vmem_dma_run *run, void *opaque)
{
    *(uint64_t *)opaque += run->nr_mappings;
    return 0;
}

/* The IOMMU has what must be mapped and what is stuck, and nothing else. */
static void check(struct dma_world *world)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };
    uint64_t nr_walked = 0;
    uint64_t nr = 0;

    for (int i = 0; i < DMA_WORLD_SLOTS; i++) {
        const struct dma_world_slot *slot = &world->slots[i];

        if (slot->attachment == NULL || slot->is_target || slot->is_leaving) {
            continue;
        }
        if (slot->region < 0) {
            expect(world, slot->iova, slot->end, MEMORY, &nr);
        } else {
            expect_chunks(world, slot, &nr);
        }
    }
    for (unsigned int i = 0; i < world->nr_guests; i++) {
        const struct dma_world_guest *guest = &world->guests[i];

        expect(world, guest->iova, guest->size, MEMORY + guest->offset * PAGE,
               &nr);
    }
    must(world, vmem_dma_get_stats(world->fake.dma, &stats), "stats");
    /* After a commit that failed what is stuck may be there or not. */
    if (nr + stats.nr_stuck != stats.nr_mappings ||
        nr > world->fake.mappings->len ||
        stats.nr_mappings < world->fake.mappings->len ||
        (stats.nr_commit_errors == 0 &&
         stats.nr_mappings != world->fake.mappings->len)) {
        wrong(world,
              "%" PRIu64 " mappings expected, %" PRIu64 " stuck, %" PRIu64
              " counted, %u there",
              nr, stats.nr_stuck, stats.nr_mappings, world->fake.mappings->len);
    }
    must(world,
         vmem_dma_for_each_mapped(world->fake.dma, NULL, count_run, &nr_walked),
         "walk");
    if (nr_walked != nr) {
        wrong(world, "a walk shows %" PRIu64 " of %" PRIu64 " mappings",
              nr_walked, nr);
    }
    if (stats.nr_mappings > world->limit) {
        wrong(world, "%" PRIu64 " mappings, the limit is %" PRIu64,
              stats.nr_mappings, world->limit);
    }
    if (world->fake.nr_complaints > 0) {
        wrong(world, "%s", world->fake.complaint);
    }
    world->nr_stuck =
        stats.nr_stuck > world->nr_stuck ? stats.nr_stuck : world->nr_stuck;
}

/* ---- operations ---- */

static bool is_failing(const struct dma_world *world)
{
    return world->fake.map.nr_fails > 0 || world->fake.unmap.nr_fails > 0 ||
           world->fake.commit.nr_fails > 0;
}

static bool has_stuck(const struct dma_world *world)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };

    return vmem_dma_get_stats(world->fake.dma, &stats) == 0 &&
           stats.nr_stuck > 0;
}

static void note(struct dma_world *world, int ret)
{
    if (ret == 0) {
        world->nr_done++;
    } else {
        world->nr_refused++;
    }
}

/* Guest mappings into these pages of a region are gone. */
static void forget_guests(struct dma_world *world, int region)
{
    unsigned int kept = 0;

    for (unsigned int i = 0; i < world->nr_guests; i++) {
        const struct dma_world_guest *guest = &world->guests[i];
        bool stays = true;

        for (uint64_t page = guest->offset; page < guest->offset + guest->size;
             page++) {
            stays = stays && (world->slots[guest->slot].region != region ||
                              is_populated(world, region, page));
        }
        if (stays) {
            world->guests[kept++] = *guest;
        }
    }
    world->nr_guests = kept;
}

static void change_blocks(struct dma_world *world, const uint8_t *numbers,
                          bool value)
{
    const int region = numbers[0] % 2;
    const int source =
        blocks[region][numbers[0] / 2 % 2] != 0 ? numbers[0] / 2 % 2 : 0;
    const uint64_t block = blocks[region][source];
    const uint64_t nr_blocks = DMA_WORLD_PAGES / block;
    const uint64_t first = numbers[1] % nr_blocks;
    const uint64_t nr = numbers[2] % (nr_blocks - first) + 1;
    const struct vmem_range range = { first * block * PAGE, nr * block * PAGE };
    bool *bits = world->bits[region][source];
    bool before[DMA_WORLD_PAGES];
    int ret;

    memcpy(before, bits, sizeof(before));
    memset(bits + first * block, value, nr * block);
    if (!value) {
        must(world,
             vmem_source_discard(world->sources[region][source], &range, NULL),
             "discard");
        forget_guests(world, region);
        return;
    }
    ret = vmem_source_populate(world->sources[region][source], &range, NULL);
    if (ret != 0) {
        const bool fits = count_chunks(world) <= world->limit;

        if (fits && !is_failing(world) && !has_stuck(world)) {
            wrong(world, "plug of %" PRIu64 "+%" PRIu64 " returned %d", first,
                  nr, ret);
        }
        memcpy(bits, before, sizeof(before));
    }
    note(world, ret);
}

static struct dma_world_slot *free_slot(struct dma_world *world)
{
    for (int i = 0; i < DMA_WORLD_SLOTS; i++) {
        if (world->slots[i].attachment == NULL) {
            return &world->slots[i];
        }
    }
    return NULL;
}

static void attach_region(struct dma_world *world, const uint8_t *numbers,
                          bool is_target)
{
    struct dma_world_slot *slot = free_slot(world);
    struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "a",
        .hva = (void *)(uintptr_t)MEMORY,
        .flags = is_target ? VMEM_DMA_VIOMMU : 0,
    };
    int ret;

    if (slot == NULL) {
        return;
    }
    slot->region = numbers[0] % 2;
    slot->is_target = is_target;
    slot->is_leaving = false;
    slot->first = numbers[1] % DMA_WORLD_PAGES;
    slot->end = slot->first + numbers[2] % (DMA_WORLD_PAGES - slot->first) + 1;
    slot->iova = is_target ? 0 : numbers[3];
    slot->chunk = slot->region == 0 && (numbers[0] & 2) != 0 ? 2 : 1;
    config.region = world->regions[slot->region];
    config.window.offset = slot->first * PAGE;
    config.window.size = (slot->end - slot->first) * PAGE;
    config.iova = slot->iova * PAGE;
    config.granularity = is_target ? 0 : slot->chunk * PAGE;
    ret = vmem_dma_attach(world->fake.dma, &config, NULL, &slot->attachment,
                          NULL);
    world->has_orphans |= ret != 0 && is_failing(world);
    note(world, ret);
}

static void attach_static(struct dma_world *world, const uint8_t *numbers)
{
    struct dma_world_slot *slot = free_slot(world);
    const struct vmem_dma_static_config config = {
        .struct_size = sizeof(config),
        .name = "s",
        .iova = numbers[0] * PAGE,
        .size = (numbers[1] % 16 + 1) * PAGE,
        .hva = (void *)(uintptr_t)MEMORY,
    };
    int ret;

    if (slot == NULL) {
        return;
    }
    *slot = (struct dma_world_slot){
        .region = -1,
        .end = config.size / PAGE,
        .iova = numbers[0],
        .chunk = 1 << 20,
    };
    ret = vmem_dma_attach_static(world->fake.dma, &config, NULL,
                                 &slot->attachment, NULL);
    world->has_orphans |= ret != 0 && is_failing(world);
    note(world, ret);
}

static void detach(struct dma_world *world, int index)
{
    struct dma_world_slot *slot = &world->slots[index];
    unsigned int kept = 0;
    int ret;

    if (slot->attachment == NULL) {
        return;
    }
    ret = vmem_dma_detach(slot->attachment, NULL);
    if (ret != 0 && !is_failing(world)) {
        wrong(world, "detach returned %d", ret);
    }
    for (unsigned int i = 0; i < world->nr_guests; i++) {
        if (world->guests[i].slot != index) {
            world->guests[kept++] = world->guests[i];
        }
    }
    world->nr_guests = kept;
    slot->is_leaving = true;
    if (ret == 0) {
        slot->attachment = NULL;
    }
    note(world, ret);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

/* What the mapper must answer to a guest's map if nothing fails. */
static int judge_map(const struct dma_world *world,
                     const struct dma_world_guest *guest)
{
    const struct dma_world_slot *target = &world->slots[guest->slot];

    if (guest->offset < target->first ||
        guest->offset + guest->size > target->end) {
        return -ERANGE;
    }
    for (uint64_t i = 0; i < guest->size; i++) {
        if (!is_populated(world, target->region, guest->offset + i)) {
            return -ENXIO;
        }
    }
    for (int i = 0; i < DMA_WORLD_SLOTS; i++) {
        const struct dma_world_slot *slot = &world->slots[i];

        if (slot->attachment != NULL && !slot->is_target &&
            overlap(guest->iova, guest->size, slot->iova,
                    slot->end - slot->first)) {
            return -EEXIST;
        }
    }
    for (unsigned int i = 0; i < world->nr_guests; i++) {
        if (overlap(guest->iova, guest->size, world->guests[i].iova,
                    world->guests[i].size)) {
            return -EEXIST;
        }
    }
    if (target->is_leaving) {
        return -EBUSY;
    }
    return world->nr_guests == DMA_WORLD_GUESTS ||
                   count_chunks(world) >= world->limit
               ? -ENOSPC
               : 0;
}

static void map_guest(struct dma_world *world, const uint8_t *numbers)
{
    const struct dma_world_guest guest = {
        .iova = numbers[1],
        .size = numbers[3] % 8 + 1,
        .offset = numbers[2] % DMA_WORLD_PAGES,
        .slot = numbers[0] % DMA_WORLD_SLOTS,
    };
    const struct vmem_range range = { guest.offset * PAGE, guest.size * PAGE };
    struct vmem_dma_attachment *target = world->slots[guest.slot].attachment;
    int expected;
    int ret;

    if (target == NULL || !world->slots[guest.slot].is_target) {
        return;
    }
    expected = judge_map(world, &guest);
    ret = vmem_dma_viommu_map(target, guest.iova * PAGE, &range, VMEM_DMA_READ,
                              NULL);
    if (ret != expected && !is_failing(world) && !world->has_orphans &&
        !has_stuck(world)) {
        wrong(world, "guest map returned %d, expected %d", ret, expected);
    }
    if (ret == 0 && expected != 0) {
        wrong(world, "guest map was allowed, expected %d", expected);
    }
    if (ret == 0) {
        world->guests[world->nr_guests++] = guest;
    }
    note(world, ret);
}

static void unmap_guests(struct dma_world *world, const uint8_t *numbers)
{
    const uint64_t iova = numbers[0];
    const uint64_t size = numbers[1] + 1;
    unsigned int kept = 0;
    bool cuts = false;
    int ret;

    for (unsigned int i = 0; i < world->nr_guests; i++) {
        const struct dma_world_guest *guest = &world->guests[i];

        cuts |= overlap(iova, size, guest->iova, guest->size) &&
                (guest->iova < iova || guest->iova + guest->size > iova + size);
    }
    ret = vmem_dma_viommu_unmap(world->fake.dma, iova * PAGE, size * PAGE, NULL,
                                NULL);
    if (cuts && ret != -ERANGE) {
        wrong(world, "an unmap that cuts returned %d", ret);
    }
    /* What is stuck may be cut, too, and is not in the list. */
    for (unsigned int i = 0; i < world->nr_guests; i++) {
        const struct dma_world_guest *guest = &world->guests[i];

        if (ret == -ERANGE || !overlap(iova, size, guest->iova, guest->size)) {
            world->guests[kept++] = *guest;
        }
    }
    world->nr_guests = kept;
    note(world, ret);
}

static void retry(struct dma_world *world)
{
    int ret = vmem_dma_retry_unmaps(world->fake.dma, NULL);

    if (!is_failing(world)) {
        must(world, ret, "retry");
        world->has_orphans = false;
    }
}

static void set_faults(struct dma_world *world, const uint8_t *numbers)
{
    fake_dma_fail(&world->fake.map, numbers[0] % 8, numbers[1] % 4, -ENOMEM);
    fake_dma_fail(&world->fake.unmap, numbers[2] % 8, numbers[3] % 4, -EIO);
    if (world->fake.has_batches) {
        fake_dma_fail(&world->fake.commit, numbers[0] / 8 % 8,
                      numbers[1] / 4 % 4, -EPIPE);
    }
}

void dma_world_step(struct dma_world *world, unsigned int operation,
                    const uint8_t numbers[4])
{
    switch (operation % 16) {
    case 0:
    case 1:
    case 2:
        change_blocks(world, numbers, true);
        break;
    case 3:
    case 4:
        change_blocks(world, numbers, false);
        break;
    case 5:
    case 6:
        attach_region(world, numbers, false);
        break;
    case 7:
        attach_region(world, numbers, true);
        break;
    case 8:
        attach_static(world, numbers);
        break;
    case 9:
        detach(world, numbers[0] % DMA_WORLD_SLOTS);
        break;
    case 10:
    case 11:
    case 12:
        map_guest(world, numbers);
        break;
    case 13:
        unmap_guests(world, numbers);
        break;
    case 14:
        set_faults(world, numbers);
        break;
    default:
        fake_dma_fail(&world->fake.map, 0, 0, 0);
        fake_dma_fail(&world->fake.unmap, 0, 0, 0);
        fake_dma_fail(&world->fake.commit, 0, 0, 0);
        retry(world);
        break;
    }
    check(world);
}

/* ---- making ---- */

void dma_world_open(struct dma_world *world, unsigned int kind)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = quiet_log,
        .clock_ns = stopped,
    };

    memset(world, 0, sizeof(*world));
    must(world, vmem_vm_new(&vm_config, &world->vm, NULL), "vm");
    for (int region = 0; region < DMA_WORLD_REGIONS; region++) {
        const struct vmem_region_config config = {
            .struct_size = sizeof(config),
            .name = "r",
            .size = DMA_WORLD_PAGES * PAGE,
        };

        must(world,
             vmem_region_new(world->vm, &config, &world->regions[region], NULL),
             "region");
        for (int i = 0; i < DMA_WORLD_SOURCES; i++) {
            const struct vmem_source_config source = {
                .struct_size = sizeof(source),
                .name = i == 0 ? "a" : "b",
                .block_size = blocks[region][i] * PAGE,
            };

            if (blocks[region][i] != 0) {
                must(world,
                     vmem_source_add(world->regions[region], &source,
                                     &world->sources[region][i], NULL),
                     "source");
            }
        }
    }
    fake_dma_init(&world->fake, PAGE);
    world->fake.is_exact = (kind & 1) != 0;
    world->fake.has_batches = (kind & 2) != 0;
    world->fake.undoes = (kind & 8) != 0;
    world->limit = (kind & 4) != 0 ? 40 : 400;
    world->fake.config.max_mappings = world->limit;
    world->fake.config.max_guest_mappings = DMA_WORLD_GUESTS;
    must(world, fake_dma_make(&world->fake, world->vm, NULL), "mapper");
}

void dma_world_close(struct dma_world *world)
{
    const uint8_t none[4] = { 0 };

    dma_world_step(world, 15, none);
    for (int i = 0; i < DMA_WORLD_SLOTS; i++) {
        detach(world, i);
    }
    check(world);
    must(world, vmem_dma_free(world->fake.dma, NULL), "free");
    if (world->fake.nr_destroys != 1 || world->fake.mappings->len != 0) {
        wrong(world, "%" PRIu64 " destroys, %u mappings are left",
              world->fake.nr_destroys, world->fake.mappings->len);
    }
    fake_dma_forget(&world->fake);
    for (int region = 0; region < DMA_WORLD_REGIONS; region++) {
        for (int i = 0; i < DMA_WORLD_SOURCES; i++) {
            must(world, vmem_source_remove(world->sources[region][i], NULL),
                 "source removal");
        }
        must(world, vmem_region_free(world->regions[region], NULL), "region");
    }
    must(world, vmem_vm_free(world->vm, NULL), "vm");
}
