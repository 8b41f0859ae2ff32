/* SPDX-License-Identifier: BSD-3-Clause */
/* An IOMMU that often fails to map and to unmap, a host that attaches and detaches
 * all the same, and a guest that changes blocks meanwhile: the guest never gets a
 * block at which a device still reaches the page from before. */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include <vmem/vmem.h>

#include "stress/ram.h"
#include "stress/threads.h"

#define PAGE ((uint64_t)4096)
#define NR_PAGES ((uint64_t)4)
#define MEMORY ((uintptr_t)0x7f0000000000)

struct world {
    struct vmem_vm *vm;
    struct stress_ram ram;
    struct vmem_dma *dma;
    atomic_bool is_kind; /* the IOMMU fails no more */
    /* How often the memory of each page was discarded. */
    _Atomic uint64_t nr_discards[NR_PAGES];
    /* That number when the page was mapped, + 1; 0: it is not. */
    _Atomic uint64_t mapped[NR_PAGES];
    _Atomic uint64_t nr_calls;
    _Atomic uint64_t nr_plugs;
    _Atomic uint64_t nr_guarded;
    _Atomic uint64_t nr_attaches;
    _Atomic uint64_t nr_refused;
    _Atomic uint64_t nr_left; /* refused, and something stayed stuck */
};

/* ---- the IOMMU ---- */

/* One call in three; of ten in a row all or none, so that undoing what failed may
 * fail as well, and be tried again in vain. */
static bool fails(struct world *world)
{
    const uint64_t call = atomic_fetch_add(&world->nr_calls, 1);

    return !atomic_load(&world->is_kind) && call / 10 * 7919 % 31 < 10;
}

static int on_map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    struct world *world = opaque;
    const uint64_t page = mapping->iova / PAGE;

    STRESS_CHECK(atomic_load(&world->mapped[page]) == 0);
    if (fails(world)) {
        return -ENOMEM;
    }
    atomic_store(&world->mapped[page],
                 atomic_load(&world->nr_discards[page]) + 1);
    return 0;
}

static int on_unmap(uint64_t iova, uint64_t size, uint64_t *unmapped,
                    void *opaque)
{
    struct world *world = opaque;
    const uint64_t page = iova / PAGE;

    STRESS_CHECK(size == PAGE); /* VMEM_DMA_EXACT_UNMAP */
    *unmapped = 0;
    if (fails(world)) {
        return -EIO;
    }
    if (atomic_exchange(&world->mapped[page], 0) != 0) {
        *unmapped = PAGE;
    }
    return 0;
}

static int on_discard(const struct vmem_range *range, void *opaque)
{
    struct world *world = opaque;

    for (uint64_t at = 0; at < range->size; at += PAGE) {
        atomic_fetch_add(&world->nr_discards[(range->offset + at) / PAGE], 1);
    }
    return 0;
}

/* ---- the threads ---- */

/* Nobody else changes blocks, so what is true after a plug stays so. */
static void be_guest(struct stress_thread *thread)
{
    struct world *world = thread->world;
    const uint64_t page = stress_below(thread, NR_PAGES);
    const struct vmem_range range = { page * PAGE, PAGE };
    uint64_t mapped;
    int ret;

    STRESS_CHECK(vmem_source_discard(world->ram.source, &range, NULL) == 0);
    if (stress_chance(thread, 4)) {
        return;
    }
    ret = vmem_source_populate(world->ram.source, &range, NULL);
    STRESS_CHECK(ret == 0 || ret == -EBUSY || ret == -ENOMEM);
    atomic_fetch_add(&world->nr_guarded, ret == -EBUSY);
    if (ret == 0) {
        mapped = atomic_load(&world->mapped[page]);
        STRESS_CHECK(mapped == 0 ||
                     mapped == atomic_load(&world->nr_discards[page]) + 1);
        atomic_fetch_add(&world->nr_plugs, 1);
    }
}

static void attach(struct stress_thread *thread)
{
    struct world *world = thread->world;
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "window",
        .region = world->ram.region,
        .hva = (void *)MEMORY,
    };
    struct vmem_dma_attachment *attachment = NULL;
    int ret = vmem_dma_attach(world->dma, &config, NULL, &attachment, NULL);

    /* Where the last one left something stuck its IOVAs are taken. */
    STRESS_CHECK(ret == 0 || ret == -ENOMEM || ret == -EEXIST);
    atomic_fetch_add(&world->nr_attaches, ret == 0);
    atomic_fetch_add(&world->nr_refused, ret == -ENOMEM);
    atomic_fetch_add(&world->nr_left, ret == -EEXIST);
    for (ret = -EIO; attachment != NULL && ret == -EIO;) {
        ret = vmem_dma_detach(attachment, NULL);
        STRESS_CHECK(ret == 0 || ret == -EIO);
    }
    if (stress_chance(thread, 8)) {
        ret = vmem_dma_retry_unmaps(world->dma, NULL);
        STRESS_CHECK(ret == 0 || ret == -EIO);
    }
}

/* ---- making ---- */

/* Sent between the steps of attaching: the guest's turn. */
static void give_way(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    (void)opaque;
    sched_yield();
}

static void make_memory(struct world *world)
{
    const struct vmem_vm_config vm = {
        .struct_size = sizeof(vm),
        .name = "vm",
        .log = give_way,
    };

    STRESS_CHECK(vmem_vm_new(&vm, &world->vm, NULL) == 0);
    stress_ram_open(
        &world->ram, world->vm, "region",
        stress_ram_backing(world->vm, NR_PAGES * PAGE, PAGE, on_discard, world),
        PAGE);
}

static void make_mapper(struct world *world)
{
    const struct vmem_dma_config config = {
        .struct_size = sizeof(config),
        .name = "mapper",
    };
    const struct vmem_dma_properties properties = {
        .struct_size = sizeof(properties),
        .flags = VMEM_DMA_EXACT_UNMAP,
        .page_sizes = PAGE,
    };
    const struct vmem_dma_ops ops = {
        .struct_size = sizeof(ops),
        .map = on_map,
        .unmap = on_unmap,
    };

    STRESS_CHECK(vmem_dma_new_custom(world->vm, &config, &properties, &ops,
                                     world, &world->dma, NULL) == 0);
}

static void free_all(struct world *world)
{
    atomic_store(&world->is_kind, true);
    STRESS_CHECK(vmem_dma_retry_unmaps(world->dma, NULL) == 0);
    for (uint64_t page = 0; page < NR_PAGES; page++) {
        STRESS_CHECK(world->mapped[page] == 0);
    }
    STRESS_CHECK(vmem_vm_get_claims(world->vm) == 0);
    STRESS_CHECK(vmem_dma_free(world->dma, NULL) == 0);
    stress_ram_close(&world->ram);
    STRESS_CHECK(vmem_vm_free(world->vm, NULL) == 0);
}

int main(int argc, char **argv)
{
    struct stress_thread threads[] = {
        { .name = "guest", .round = be_guest },
        { .name = "attach", .round = attach },
    };
    static struct world world;

    stress_arguments(argc, argv);
    make_memory(&world);
    make_mapper(&world);
    if (stress_run("stuck", threads, sizeof(threads) / sizeof(threads[0]),
                   &world)) {
        printf("  %llu plugs, %llu guarded, %llu attaches, %llu refused, "
               "%llu left something stuck\n",
               (unsigned long long)world.nr_plugs,
               (unsigned long long)world.nr_guarded,
               (unsigned long long)world.nr_attaches,
               (unsigned long long)world.nr_refused,
               (unsigned long long)world.nr_left);
        STRESS_CHECK(world.nr_plugs > 0 && world.nr_guarded > 0 &&
                     world.nr_attaches > 0 && world.nr_refused > 0 &&
                     world.nr_left > 0);
        free_all(&world);
    }
    return stress_result();
}
