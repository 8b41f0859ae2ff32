/* SPDX-License-Identifier: BSD-3-Clause */
/* The main paths, for counts.py to count the instructions of: those executed
 * between entering and leaving measured(). usage: counts PATH */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "rig.h"

#define NR_ROUNDS 20
#define NR_PAIRS 64

struct setup {
    struct rig rig;
    struct rig_request requests[2 * NR_PAIRS];
    struct vmem_backing *memory; /* or NULL */
    uint64_t *words;
    uint64_t nr_ops; /* in one round */
};

static void set_up_device(struct setup *setup, unsigned nr_listeners)
{
    rig_init_device(&setup->rig, BENCH_TIB, 2 * BENCH_MIB, "empty");
    rig_add_listeners(&setup->rig, nr_listeners);
    for (unsigned i = 0; i < NR_PAIRS; i++) {
        const uint64_t block = i * 4099 % setup->rig.nr_blocks;

        rig_encode(&setup->requests[2 * (size_t)i], &setup->rig,
                   VMEM_REQUEST_PLUG, block, 1);
        rig_encode(&setup->requests[2 * (size_t)i + 1], &setup->rig,
                   VMEM_REQUEST_UNPLUG, block, 1);
    }
    setup->nr_ops = NR_PAIRS;
}

static void set_up_pair(struct setup *setup)
{
    set_up_device(setup, 0);
}

static void set_up_pair_of_eight(struct setup *setup)
{
    set_up_device(setup, 8);
}

static uint64_t ask(struct setup *setup)
{
    rig_handle(&setup->rig, setup->requests, (size_t)2 * NR_PAIRS);
    return 0;
}

static void set_up_state(struct setup *setup)
{
    set_up_device(setup, 0);
    rig_plug_pattern(&setup->rig, "slab");
    for (unsigned i = 0; i < 2 * NR_PAIRS; i++) {
        rig_encode(&setup->requests[i], &setup->rig, VMEM_REQUEST_STATE,
                   i * (uint64_t)97, 1);
    }
    setup->nr_ops = (uint64_t)2 * NR_PAIRS;
}

static void set_up_unplug_all(struct setup *setup)
{
    rig_init_device(&setup->rig, 8 * BENCH_GIB, 2 * BENCH_MIB, "empty");
    setup->nr_ops = 1;
}

static uint64_t plug_and_unplug_all(struct setup *setup)
{
    rig_plug_pattern(&setup->rig, "slab");
    rig_unplug_all(&setup->rig);
    return 0;
}

static int visit(const struct vmem_range *range, void *opaque)
{
    *(uint64_t *)opaque += range->size;
    return 0;
}

static int count(const struct vmem_range *range, void *opaque)
{
    (void)range;
    ++*(uint64_t *)opaque;
    return 0;
}

static void count_runs(struct setup *setup)
{
    vmem_region_for_each_populated(setup->rig.region, NULL, count,
                                   &setup->nr_ops);
}

static void set_up_walk(struct setup *setup)
{
    rig_init_source(&setup->rig, 64 * BENCH_GIB, 2 * BENCH_MIB, "slab");
    count_runs(setup);
}

static void set_up_two_sources(struct setup *setup)
{
    rig_init_source(&setup->rig, 64 * BENCH_GIB, 2 * BENCH_MIB, "pressure");
    rig_add_source(&setup->rig, "private", 64 * BENCH_KIB, "half-random");
    count_runs(setup);
}

static uint64_t walk(struct setup *setup)
{
    uint64_t size = 0;

    vmem_region_for_each_populated(setup->rig.region, NULL, visit, &size);
    return size;
}

static uint64_t join_and_leave(struct setup *setup)
{
    rig_add_listeners(&setup->rig, 1);
    rig_remove_listeners(&setup->rig);
    return 0;
}

static void set_up_questions(struct setup *setup)
{
    rig_init_source(&setup->rig, BENCH_TIB, 2 * BENCH_MIB, "pressure");
    setup->nr_ops = 64;
}

static uint64_t ask_for_blocks(struct setup *setup)
{
    struct vmem_range block = { 0, 2 * BENCH_MIB };
    uint64_t nr_populated = 0;

    for (unsigned i = 0; i < 64; i++) {
        nr_populated += vmem_region_is_populated(setup->rig.region, &block);
        block.offset += 16 * BENCH_GIB;
    }
    return nr_populated;
}

static void set_up_expand(struct setup *setup)
{
    set_up_walk(setup);
    setup->words = g_malloc0(64 * BENCH_GIB / (4 * BENCH_KIB) / 8);
}

static uint64_t expand(struct setup *setup)
{
    bench_check(vmem_region_get_page_bitmap(setup->rig.region, NULL,
                                            4 * BENCH_KIB, setup->words) == 0);
    return setup->words[0];
}

/* ---- a mapper ---- */

/* Requests of 64 blocks, each of which is a chunk of the mapper. */
static void set_up_mapper(struct setup *setup, bool has_batches)
{
    /* So large that looking at all of it would be most of what is counted. */
    rig_init_device(&setup->rig, 64 * BENCH_TIB, 2 * BENCH_MIB, "empty");
    rig_add_mapper(&setup->rig, has_batches);
    rig_encode(&setup->requests[0], &setup->rig, VMEM_REQUEST_PLUG, 1000, 64);
    rig_encode(&setup->requests[1], &setup->rig, VMEM_REQUEST_UNPLUG, 1000, 64);
    setup->nr_ops = 64;
}

static void set_up_chunks(struct setup *setup)
{
    set_up_mapper(setup, false);
}

static void set_up_chunks_of_batches(struct setup *setup)
{
    set_up_mapper(setup, true);
}

static uint64_t map_chunks(struct setup *setup)
{
    rig_handle(&setup->rig, setup->requests, 2);
    return 0;
}

/* ---- real memory ---- */

static void set_up_memory(struct setup *setup)
{
    const struct vmem_backing_config config = {
        .struct_size = sizeof(config),
        .name = "memory",
        .kind = VMEM_BACKING_ANON,
        .size = 2 * BENCH_MIB,
    };

    rig_init_source(&setup->rig, BENCH_GIB, 2 * BENCH_MIB, "empty");
    bench_check(vmem_backing_new_allocated(setup->rig.vm, &config,
                                           &setup->memory, NULL) == 0);
    setup->nr_ops = 1;
}

static uint64_t populate_and_discard(struct setup *setup)
{
    const struct vmem_range block = { 0, 2 * BENCH_MIB };

    bench_check(vmem_backing_populate(setup->memory, &block, NULL) == 0);
    bench_check(vmem_backing_discard(setup->memory, &block, NULL) == 0);
    return 0;
}

/* Paths, by what one operation is. */
static const struct path {
    const char *name;
    void (*set_up)(struct setup *setup);
    uint64_t (*run)(struct setup *setup);
} paths[] = {
    { "plug-and-unplug", set_up_pair, ask },
    { "plug-and-unplug-8-listeners", set_up_pair_of_eight, ask },
    { "state", set_up_state, ask },
    { "plug-and-unplug-all", set_up_unplug_all, plug_and_unplug_all },
    { "is-populated", set_up_questions, ask_for_blocks },
    { "walk-a-run", set_up_walk, walk },
    { "walk-a-run-of-two-sources", set_up_two_sources, walk },
    { "replay-a-run", set_up_walk, join_and_leave },
    { "expand-a-run", set_up_expand, expand },
    { "map-and-unmap-a-chunk", set_up_chunks, map_chunks },
    { "map-and-unmap-a-chunk-in-batches", set_up_chunks_of_batches,
      map_chunks },
    { "populate-and-discard", set_up_memory, populate_and_discard },
};

uint64_t measured(const struct path *path, struct setup *setup);

/* Not inlined: callgrind finds it by its name. */
uint64_t __attribute__((noinline))
measured(const struct path *path, struct setup *setup)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < NR_ROUNDS; i++) {
        sum += path->run(setup);
    }
    return sum;
}

int main(int argc, char **argv)
{
    static struct setup setup;

    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
            printf("%s\n", paths[i].name);
        }
        return 0;
    }
    for (size_t i = 0; argc == 2 && i < G_N_ELEMENTS(paths); i++) {
        if (strcmp(argv[1], paths[i].name) == 0) {
            paths[i].set_up(&setup);
            paths[i].run(&setup);
            measured(&paths[i], &setup);
            printf("%" G_GUINT64_FORMAT "\n", setup.nr_ops * NR_ROUNDS);
            return 0;
        }
    }
    fprintf(stderr, "usage: counts --list | PATH\n");
    return 2;
}
