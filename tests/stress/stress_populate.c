/* SPDX-License-Identifier: BSD-3-Clause */
/* Several threads populate one backing by threads, another plugs and unplugs a
 * region whose plugs populate by threads, and one reads the counters of both. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <vmem/vmem.h>

#include "stress/ram.h"
#include "stress/threads.h"

#define SHARE VMEM_BACKING_POPULATE_SHARE
#define BLOCK ((uint64_t)2 << 20)
#define NR_PARTS 2
#define PART (2 * SHARE)

struct world {
    struct vmem_backing *loose;
    struct stress_ram used;
    _Atomic uint64_t nr_populates;
    _Atomic uint64_t nr_plugs;
};

/* Each its own part, as vmem_backing_discard() would take a neighbour's. */
static void populater(struct stress_thread *thread)
{
    struct world *world = thread->world;
    const struct vmem_range part = { thread->number % NR_PARTS * PART, PART };

    STRESS_CHECK(vmem_backing_populate(world->loose, &part, NULL) == 0);
    atomic_fetch_add(&world->nr_populates, 1);
    if (stress_chance(thread, 2)) {
        STRESS_CHECK(vmem_backing_discard(world->loose, &part, NULL) == 0);
    }
}

static void plugger(struct stress_thread *thread)
{
    struct world *world = thread->world;
    const struct vmem_range range = { BLOCK * stress_below(thread, 4),
                                      2 * SHARE };

    STRESS_CHECK(vmem_source_populate(world->used.source, &range, NULL) == 0);
    STRESS_CHECK(vmem_region_is_populated(world->used.region, &range));
    STRESS_CHECK(vmem_source_discard(world->used.source, &range, NULL) == 0);
    atomic_fetch_add(&world->nr_plugs, 1);
}

static void reader(struct stress_thread *thread)
{
    struct world *world = thread->world;
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    STRESS_CHECK(vmem_backing_get_stats(world->loose, &stats) == 0);
    STRESS_CHECK(stats.nr_thread_errors == 0);
    STRESS_CHECK(
        vmem_backing_get_usage(world->used.backing, NULL, &usage, NULL) == 0);
}

static struct vmem_backing *make(struct vmem_vm *vm, const char *name,
                                 uint64_t size)
{
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = name,
        .size = size,
        .kind = VMEM_BACKING_MEMFD,
        .flags = VMEM_BACKING_POPULATE,
        .populate_threads = 4,
    };
    struct vmem_backing *backing = NULL;

    STRESS_CHECK(vmem_backing_new_allocated(vm, &request, &backing, NULL) == 0);
    return backing;
}

int main(int argc, char **argv)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "vm" };
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
    struct stress_thread threads[NR_PARTS + 2];
    static struct world world;
    struct vmem_vm *vm = NULL;
    size_t nr = 0;

    stress_arguments(argc, argv);
    STRESS_CHECK(vmem_vm_new(&config, &vm, NULL) == 0);
    world.loose = make(vm, "loose", NR_PARTS * PART);
    stress_ram_open(&world.used, vm, "ram", make(vm, "used", 3 * SHARE), BLOCK);
    while (nr < NR_PARTS) {
        threads[nr++] =
            (struct stress_thread){ .name = "populater", .round = populater };
    }
    threads[nr++] =
        (struct stress_thread){ .name = "plugger", .round = plugger };
    threads[nr++] = (struct stress_thread){ .name = "reader", .round = reader };
    if (!stress_run("populate", threads, nr, &world)) {
        return stress_result();
    }
    /* Every populate was of two shares, and so had one thread. */
    STRESS_CHECK(vmem_backing_get_stats(world.loose, &stats) == 0);
    STRESS_CHECK(stats.nr_threads == world.nr_populates);
    STRESS_CHECK(vmem_backing_get_stats(world.used.backing, &stats) == 0);
    STRESS_CHECK(stats.nr_threads == world.nr_plugs);
    STRESS_CHECK(world.nr_populates > 0 && world.nr_plugs > 0);
    printf("  %llu populates, %llu plugs\n",
           (unsigned long long)world.nr_populates,
           (unsigned long long)world.nr_plugs);
    stress_ram_close(&world.used);
    STRESS_CHECK(vmem_backing_free(world.loose, NULL) == 0);
    STRESS_CHECK(vmem_vm_free(vm, NULL) == 0);
    return stress_result();
}
