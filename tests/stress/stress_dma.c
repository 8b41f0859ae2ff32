/* SPDX-License-Identifier: BSD-3-Clause */
/* Two regions change, a window of one is attached and detached, a guest maps the
 * other, and somebody asks, all on one mapper: the backend is called by one thread
 * at a time, and no memory is discarded that is mapped. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <vmem/vmem.h>

#include "stress/ram.h"
#include "stress/threads.h"
#include "support/quiet.h"

#define PAGE ((uint64_t)4096)
#define NR_REGIONS 2
#define NR_PAGES ((uint64_t)64)
#define NR_IOVAS 512
#define SIZE (NR_PAGES * PAGE)
#define MEMORY ((uintptr_t)0x7f0000000000)

/* In pages. */
#define WINDOW_IOVA NR_PAGES
#define STATIC_IOVA (2 * NR_PAGES)
#define GUEST_IOVA (4 * NR_PAGES)

struct ram {
    struct world *world;
    struct stress_ram memory;
    uintptr_t hva;
    _Atomic int nr_mapped[NR_PAGES]; /* mappings of each page */
};

struct world {
    struct vmem_vm *vm;
    struct ram rams[NR_REGIONS];
    struct vmem_dma *dma;
    struct vmem_dma_attachment *direct; /* all of region 0 */
    struct vmem_dma_attachment *target; /* all of region 1 */
    /* The IOMMU: what each page of IOVAs points at, + 1. Only the backend touches
     * it, so this is a check of the mapper's lock, for the thread sanitizer, too. */
    uintptr_t pages[NR_IOVAS];
    atomic_bool is_called;
    _Atomic uint64_t nr_maps;
    _Atomic uint64_t nr_vetoes;
    _Atomic uint64_t nr_guest_maps;
    _Atomic uint64_t nr_attaches;
    _Atomic uint64_t nr_discards;
};

/* ---- the IOMMU ---- */

static void enter(struct world *world)
{
    STRESS_CHECK(!atomic_exchange(&world->is_called, true));
}

static void leave(struct world *world)
{
    atomic_store(&world->is_called, false);
}

static _Atomic int *counter_of(struct world *world, uintptr_t hva)
{
    for (unsigned int i = 0; i < NR_REGIONS; i++) {
        struct ram *ram = &world->rams[i];

        if (hva >= ram->hva && hva - ram->hva < SIZE) {
            return &ram->nr_mapped[(hva - ram->hva) / PAGE];
        }
    }
    return NULL; /* static memory */
}

static int on_map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    struct world *world = opaque;
    const uint64_t number = atomic_fetch_add(&world->nr_maps, 1);

    enter(world);
    for (uint64_t at = 0; at < mapping->size && number % 64 != 63; at += PAGE) {
        uintptr_t *page = &world->pages[(mapping->iova + at) / PAGE];
        _Atomic int *counter = counter_of(world, (uintptr_t)mapping->hva + at);

        STRESS_CHECK(*page == 0);
        *page = (uintptr_t)mapping->hva + at + 1;
        if (counter != NULL) {
            atomic_fetch_add(counter, 1);
        }
    }
    leave(world);
    return number % 64 == 63 ? -ENOMEM : 0;
}

static int on_unmap(uint64_t iova, uint64_t size, uint64_t *unmapped,
                    void *opaque)
{
    struct world *world = opaque;

    enter(world);
    *unmapped = 0;
    for (uint64_t at = 0; at < size; at += PAGE) {
        uintptr_t *page = &world->pages[(iova + at) / PAGE];
        _Atomic int *counter;

        if (*page == 0) {
            continue;
        }
        counter = counter_of(world, *page - 1);
        if (counter != NULL) {
            atomic_fetch_sub(counter, 1);
        }
        *page = 0;
        *unmapped += PAGE;
    }
    leave(world);
    return 0;
}

static int on_discard(const struct vmem_range *range, void *opaque)
{
    struct ram *ram = opaque;

    for (uint64_t at = 0; at < range->size; at += PAGE) {
        STRESS_CHECK(
            atomic_load(&ram->nr_mapped[(range->offset + at) / PAGE]) == 0);
    }
    atomic_fetch_add(&ram->world->nr_discards, 1);
    return 0;
}

/* ---- the threads ---- */

static struct vmem_range random_range(struct stress_thread *thread)
{
    const uint64_t first = stress_below(thread, NR_PAGES);
    const uint64_t nr = 1 + stress_below(thread, NR_PAGES - first);
    const struct vmem_range range = { first * PAGE, nr * PAGE };

    return range;
}

static void change(struct stress_thread *thread)
{
    struct world *world = thread->world;
    struct ram *ram = &world->rams[stress_below(thread, NR_REGIONS)];
    const struct vmem_range range = random_range(thread);
    int ret;

    if (stress_chance(thread, 2)) {
        ret = vmem_source_discard(ram->memory.source, &range, NULL);
        STRESS_CHECK(ret == 0);
        return;
    }
    ret = vmem_source_populate(ram->memory.source, &range, NULL);
    STRESS_CHECK(ret == 0 || ret == -ENOMEM);
    atomic_fetch_add(&world->nr_vetoes, ret < 0);
}

static void attach(struct stress_thread *thread)
{
    struct world *world = thread->world;
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "window",
        .region = world->rams[1].memory.region,
        .window = { 0, SIZE },
        .iova = WINDOW_IOVA * PAGE,
        .hva = (void *)world->rams[1].hva,
    };
    const struct vmem_dma_static_config boot = {
        .struct_size = sizeof(boot),
        .name = "boot",
        .iova = STATIC_IOVA * PAGE,
        .size = SIZE,
        .hva = (void *)(MEMORY + 100 * SIZE),
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_dma_attachment *attachment = NULL;
    int ret;

    if (stress_chance(thread, 4)) {
        ret = vmem_dma_attach_static(world->dma, &boot, &verdict, &attachment,
                                     NULL);
    } else {
        ret = vmem_dma_attach(world->dma, &config, &verdict, &attachment, NULL);
    }
    STRESS_CHECK(ret == 0 || ret == -ENOMEM);
    STRESS_CHECK(vmem_dma_detach(attachment, NULL) == 0);
    atomic_fetch_add(&world->nr_attaches, ret == 0);
}

static void be_guest(struct stress_thread *thread)
{
    struct world *world = thread->world;
    const uint64_t iova = (GUEST_IOVA + stress_below(thread, NR_PAGES)) * PAGE;
    const struct vmem_range range = random_range(thread);
    int ret;

    if (stress_chance(thread, 3)) {
        ret = vmem_dma_viommu_unmap(world->dma, iova, SIZE, NULL, NULL);
        STRESS_CHECK(ret == 0 || ret == -ERANGE);
        return;
    }
    ret = vmem_dma_viommu_map(world->target, iova, &range, VMEM_DMA_READ, NULL);
    STRESS_CHECK(ret == 0 || ret == -EEXIST || ret == -ENXIO || ret == -ENOMEM);
    atomic_fetch_add(&world->nr_guest_maps, ret == 0);
}

static int check_run(const struct vmem_dma_run *run, void *opaque)
{
    struct world *world = opaque;

    STRESS_CHECK(run->range.size > 0 && run->nr_mappings > 0);
    STRESS_CHECK(world->pages[run->iova / PAGE] != 0);
    return 0;
}

static void ask(struct stress_thread *thread)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_dma_info info = { .struct_size = sizeof(info) };
    struct world *world = thread->world;

    STRESS_CHECK(vmem_dma_get_stats(world->dma, &stats) == 0);
    STRESS_CHECK(stats.nr_stuck == 0);
    STRESS_CHECK(vmem_dma_get_info(world->dma, &info) == 0);
    STRESS_CHECK(info.nr_attachments >= 2);
    STRESS_CHECK(vmem_dma_for_each_mapped(world->dma, NULL, check_run, world) ==
                 0);
    STRESS_CHECK(vmem_dma_retry_unmaps(world->dma, NULL) == 0);
}

/* ---- making ---- */

static void make_ram(struct world *world, unsigned int i)
{
    struct ram *ram = &world->rams[i];

    ram->world = world;
    ram->hva = MEMORY + i * SIZE;
    stress_ram_open(&ram->memory, world->vm, i == 0 ? "low" : "high",
                    stress_ram_backing(world->vm, SIZE, PAGE, on_discard, ram),
                    PAGE);
}

static void make_mapper(struct world *world)
{
    const struct vmem_dma_config config = {
        .struct_size = sizeof(config),
        .name = "mapper",
        .flags = VMEM_DMA_MEASURE_LATENCY,
    };
    const struct vmem_dma_properties properties = {
        .struct_size = sizeof(properties),
        .page_sizes = PAGE,
    };
    const struct vmem_dma_ops ops = {
        .struct_size = sizeof(ops),
        .map = on_map,
        .unmap = on_unmap,
    };
    struct vmem_dma_attach_config attachment = {
        .struct_size = sizeof(attachment),
        .name = "direct",
        .region = world->rams[0].memory.region,
        .hva = (void *)world->rams[0].hva,
    };

    STRESS_CHECK(vmem_dma_new_custom(world->vm, &config, &properties, &ops,
                                     world, &world->dma, NULL) == 0);
    STRESS_CHECK(vmem_dma_attach(world->dma, &attachment, NULL, &world->direct,
                                 NULL) == 0);
    attachment.name = "target";
    attachment.region = world->rams[1].memory.region;
    attachment.hva = (void *)world->rams[1].hva;
    attachment.flags = VMEM_DMA_VIOMMU;
    STRESS_CHECK(vmem_dma_attach(world->dma, &attachment, NULL, &world->target,
                                 NULL) == 0);
}

static void free_all(struct world *world)
{
    STRESS_CHECK(vmem_dma_detach(world->target, NULL) == 0);
    STRESS_CHECK(vmem_dma_detach(world->direct, NULL) == 0);
    STRESS_CHECK(vmem_dma_free(world->dma, NULL) == 0);
    for (unsigned int i = 0; i < NR_REGIONS; i++) {
        struct ram *ram = &world->rams[i];

        for (uint64_t page = 0; page < NR_PAGES; page++) {
            STRESS_CHECK(ram->nr_mapped[page] == 0);
        }
        stress_ram_close(&ram->memory);
    }
    STRESS_CHECK(vmem_vm_free(world->vm, NULL) == 0);
}

int main(int argc, char **argv)
{
    const struct vmem_vm_config config = {
        .struct_size = sizeof(config),
        .name = "vm",
        .log = quiet_log,
    };
    struct stress_thread threads[] = {
        { .name = "change", .round = change },
        { .name = "change too", .round = change },
        { .name = "attach", .round = attach },
        { .name = "guest", .round = be_guest },
        { .name = "ask", .round = ask },
    };
    static struct world world;

    stress_arguments(argc, argv);
    STRESS_CHECK(vmem_vm_new(&config, &world.vm, NULL) == 0);
    for (unsigned int i = 0; i < NR_REGIONS; i++) {
        make_ram(&world, i);
    }
    make_mapper(&world);
    if (stress_run("dma", threads, sizeof(threads) / sizeof(threads[0]),
                   &world)) {
        printf("  %llu maps, %llu vetoes, %llu guest maps, %llu attaches, "
               "%llu discards\n",
               (unsigned long long)world.nr_maps,
               (unsigned long long)world.nr_vetoes,
               (unsigned long long)world.nr_guest_maps,
               (unsigned long long)world.nr_attaches,
               (unsigned long long)world.nr_discards);
        STRESS_CHECK(world.nr_vetoes > 0 && world.nr_guest_maps > 0 &&
                     world.nr_attaches > 0 && world.nr_discards > 0);
        free_all(&world);
    }
    return stress_result();
}
