/* SPDX-License-Identifier: BSD-3-Clause */
/* How the cost of each operation grows with one thing at a time: the size of the
 * region, its runs, its listeners, its sources. Points of curves; report.py fits
 * the laws. */
#include <string.h>

#include "bench.h"
#include "naive.h"
#include "rig.h"

#define BLOCK (2 * BENCH_MIB)

static const struct bench_options *options;

static void point(const char *chart, const char *series, double x,
                  const struct bench_side *side, uint64_t nr_ops,
                  const char *unit)
{
    struct bench_case bench = {
        .name = g_strdup_printf("growth.%s.%s", chart, series),
        .params = g_strdup_printf("%s=%.17g", chart, x),
        .unit = unit,
        .nr_ops = nr_ops,
        .subject = *side,
        .chart = chart,
        .series = series,
        .x = x,
    };
    uint64_t nr_allocations;
    uint64_t nr_callbacks;

    if (side->before != NULL) {
        side->before(side->opaque);
    }
    nr_allocations = bench_nr_allocations();
    nr_callbacks = rig_nr_callbacks;
    side->run(side->opaque);
    bench.counts = g_strdup_printf(
        "allocations=%.6g callbacks=%.6g",
        (double)(bench_nr_allocations() - nr_allocations) / (double)nr_ops,
        (double)(rig_nr_callbacks - nr_callbacks) / (double)nr_ops);
    bench_measure(&bench);
}

/* ---- what is measured ---- */

static uint64_t nr_runs;

static int count_range(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    nr_runs++;
    return 0;
}

static int count_run(const struct vmem_bitmap_run *run, void *opaque)
{
    (void)run;
    (void)opaque;
    nr_runs++;
    return 0;
}

static uint64_t walk(void *opaque)
{
    struct rig *rig = opaque;

    vmem_region_for_each_populated(rig->region, NULL, count_range, NULL);
    return nr_runs;
}

static uint64_t walk_naive(void *opaque)
{
    struct naive *naive = opaque;

    naive_for_each(naive, 0, naive->nr_blocks, true, count_run, NULL);
    return nr_runs;
}

static uint64_t ask_whole(void *opaque)
{
    struct rig *rig = opaque;
    const struct vmem_range all = { 0, rig->size };

    return vmem_region_is_populated(rig->region, &all);
}

static uint64_t ask_page(void *opaque)
{
    struct rig *rig = opaque;
    const struct vmem_range page = { rig->size / 2, 4 * BENCH_KIB };

    return vmem_region_is_populated(rig->region, &page);
}

/* 1 GiB, in the middle. */
static uint64_t walk_window(void *opaque)
{
    struct rig *rig = opaque;
    const struct vmem_range window = { rig->size / 2, BENCH_GIB };

    vmem_region_for_each_populated(rig->region, &window, count_range, NULL);
    return nr_runs;
}

static uint64_t replay(void *opaque)
{
    rig_add_listeners(opaque, 1);
    rig_remove_listeners(opaque);
    return 0;
}

/* The last one, beside those that are there. */
static uint64_t replay_one_more(void *opaque)
{
    struct rig *rig = opaque;

    rig_add_listeners(rig, 1);
    rig->nr_listeners--;
    bench_check(vmem_listener_remove(rig->listeners[rig->nr_listeners], NULL) ==
                0);
    return 0;
}

/* A pair of the rig's source. */
static uint64_t change_source(void *opaque)
{
    struct rig *rig = opaque;
    const struct vmem_range block = { rig->size / 2, rig->block_size };

    vmem_source_discard(rig->source, &block, NULL);
    vmem_source_populate(rig->source, &block, NULL);
    return 0;
}

struct pair {
    struct rig *rig;
    struct rig_request requests[2];
};

static uint64_t ask_pair(void *opaque)
{
    struct pair *pair = opaque;

    rig_handle(pair->rig, pair->requests, 2);
    return 0;
}

static uint64_t ask_state(void *opaque)
{
    struct pair *pair = opaque;

    rig_handle(pair->rig, pair->requests, 1);
    return 0;
}

static void pair_init(struct pair *pair, struct rig *rig)
{
    pair->rig = rig;
    rig_encode(&pair->requests[0], rig, VMEM_REQUEST_PLUG, 77, 1);
    rig_encode(&pair->requests[1], rig, VMEM_REQUEST_UNPLUG, 77, 1);
}

/* One plug of 300 blocks, and their unplugs one by one. */
#define NR_BURST 300

struct burst {
    struct rig *rig;
    struct rig_request requests[1 + NR_BURST];
};

static void burst_init(struct burst *burst, struct rig *rig, uint64_t first)
{
    burst->rig = rig;
    rig_encode(&burst->requests[0], rig, VMEM_REQUEST_PLUG, first, NR_BURST);
    for (unsigned i = 0; i < NR_BURST; i++) {
        rig_encode(&burst->requests[1 + i], rig, VMEM_REQUEST_UNPLUG, first + i,
                   1);
    }
}

static uint64_t ask_burst(void *opaque)
{
    struct burst *burst = opaque;

    rig_handle(burst->rig, burst->requests, 1 + NR_BURST);
    return 0;
}

static void plug_slab(void *opaque)
{
    rig_plug_pattern(opaque, "slab");
}

static void plug_full(void *opaque)
{
    rig_plug_pattern(opaque, "full");
}

static uint64_t unplug_all(void *opaque)
{
    rig_unplug_all(opaque);
    return 0;
}

struct expansion {
    struct rig *rig;
    uint64_t page_size;
    uint64_t *words;
};

static uint64_t expand(void *opaque)
{
    struct expansion *expansion = opaque;

    vmem_region_get_page_bitmap(expansion->rig->region, NULL,
                                expansion->page_size, expansion->words);
    return expansion->words[0];
}

/* ---- against what ---- */

static int fill(const struct vmem_bitmap_run *run, void *opaque)
{
    naive_set(opaque, run->first_block, run->nr_blocks, true);
    return 0;
}

static void against_size(void)
{
    const unsigned last = options->quick ? 22 : 25;

    for (unsigned shift = 13; shift <= last; shift += options->quick ? 3 : 2) {
        const uint64_t nr_blocks = (uint64_t)1 << shift;
        const double x = (double)nr_blocks;
        struct naive naive;
        struct rig source;
        struct rig device;
        struct expansion expansion;
        struct pair pair;
        struct pair state;
        struct burst burst;

        rig_init_source(&source, nr_blocks * BLOCK, BLOCK, "full");
        rig_init_device(&device, nr_blocks * BLOCK, BLOCK, "empty");
        pair_init(&pair, &device);
        burst_init(&burst, &device, 1000);
        state.rig = &device;
        rig_encode(&state.requests[0], &device, VMEM_REQUEST_STATE, 77, 1);
        expansion.rig = &source;
        expansion.page_size = 64 * BENCH_KIB;
        expansion.words = g_malloc0(source.size / expansion.page_size / 8);
        naive_init(&naive, nr_blocks);
        pattern_for_each("full", nr_blocks, fill, &naive);
        point("blocks", "is_populated-whole", x,
              &(struct bench_side){ "region", ask_whole, NULL, &source }, 1,
              "question");
        point("blocks", "is_populated-page", x,
              &(struct bench_side){ "region", ask_page, NULL, &source }, 1,
              "question");
        point("blocks", "walk-1G", x,
              &(struct bench_side){ "region", walk_window, NULL, &source }, 1,
              "walk");
        point("blocks", "walk-full", x,
              &(struct bench_side){ "region", walk, NULL, &source }, 1, "walk");
        point("blocks", "walk-full-find-next", x,
              &(struct bench_side){ "words", walk_naive, NULL, &naive }, 1,
              "walk");
        point("blocks", "replay-full", x,
              &(struct bench_side){ "region", replay, NULL, &source }, 1,
              "join and leave");
        point("blocks", "plug-unplug", x,
              &(struct bench_side){ "device", ask_pair, NULL, &pair }, 1,
              "pair");
        point("blocks", "state", x,
              &(struct bench_side){ "device", ask_state, NULL, &state }, 1,
              "request");
        point("blocks", "burst", x,
              &(struct bench_side){ "device", ask_burst, NULL, &burst },
              1 + NR_BURST, "request");
        point("blocks", "expand-64K-full", x,
              &(struct bench_side){ "region", expand, NULL, &expansion }, 1,
              "bitmap");
        point("blocks", "unplug-all-full", x,
              &(struct bench_side){ "device", unplug_all, plug_full, &device },
              1, "request");
        point("blocks", "unplug-all-slab", x,
              &(struct bench_side){ "device", unplug_all, plug_slab, &device },
              1, "request");
        rig_add_mapper(&device, true);
        point("blocks", "plug-unplug-mapped", x,
              &(struct bench_side){ "device", ask_pair, NULL, &pair }, 1,
              "pair");
        rig_remove_mapper(&device);
        g_free(expansion.words);
        rig_destroy(&source);
        rig_destroy(&device);
        naive_destroy(&naive);
    }
}

/* So many runs of equal length, evenly spread. */
static int populate_runs(struct rig *rig, struct naive *naive, uint64_t nr)
{
    const uint64_t step = rig->nr_blocks / nr;

    for (uint64_t i = 0; i < nr; i++) {
        const struct vmem_range range = { i * step * rig->block_size,
                                          (step / 2) * rig->block_size };

        bench_check(vmem_source_populate(rig->source, &range, NULL) == 0);
        naive_set(naive, i * step, step / 2, true);
    }
    return 0;
}

/* As many runs, gone at once. */
struct spread {
    struct rig *rig;
    uint64_t nr;
};

static void populate_again(void *opaque)
{
    const struct spread *spread = opaque;
    const uint64_t step = spread->rig->nr_blocks / spread->nr;

    for (uint64_t i = 0; i < spread->nr; i++) {
        const struct vmem_range range = { i * step * BLOCK,
                                          (step / 2) * BLOCK };

        bench_check(vmem_source_populate(spread->rig->source, &range, NULL) ==
                    0);
    }
}

static uint64_t discard_all(void *opaque)
{
    const struct spread *spread = opaque;
    const struct vmem_range all = { 0, spread->rig->size };

    bench_check(vmem_source_discard(spread->rig->source, &all, NULL) == 0);
    return 0;
}

static void against_runs(void)
{
    const uint64_t nr_blocks = (uint64_t)1 << 22; /* 8 TiB */

    for (unsigned shift = 0; shift <= 21; shift += options->quick ? 7 : 3) {
        const uint64_t nr = (uint64_t)1 << shift;
        const double x = (double)nr;
        struct expansion expansion;
        struct spread spread;
        struct naive naive;
        struct rig rig;

        rig_init_source(&rig, nr_blocks * BLOCK, BLOCK, "empty");
        naive_init(&naive, nr_blocks);
        populate_runs(&rig, &naive, nr);
        spread.rig = &rig;
        spread.nr = nr;
        expansion.rig = &rig;
        expansion.page_size = 4 * BENCH_KIB;
        expansion.words = g_malloc0(rig.size / expansion.page_size / 8);
        point("runs", "walk", x,
              &(struct bench_side){ "region", walk, NULL, &rig }, 1, "walk");
        point("runs", "walk-find-next", x,
              &(struct bench_side){ "words", walk_naive, NULL, &naive }, 1,
              "walk");
        point("runs", "replay", x,
              &(struct bench_side){ "region", replay, NULL, &rig }, 1,
              "join and leave");
        point("runs", "is_populated-page", x,
              &(struct bench_side){ "region", ask_page, NULL, &rig }, 1,
              "question");
        point("runs", "discard-all", x,
              &(struct bench_side){ "source", discard_all, populate_again,
                                    &spread },
              1, "discard");
        point("runs", "expand-4K", x,
              &(struct bench_side){ "region", expand, NULL, &expansion }, 1,
              "bitmap");
        g_free(expansion.words);
        naive_destroy(&naive);
        rig_destroy(&rig);
    }
}

/* A device with so many runs plugged, by as many requests. */
struct plugged {
    struct rig rig;
    uint64_t nr;
};

static uint64_t step_of(const struct plugged *plugged)
{
    return plugged->rig.nr_blocks / plugged->nr;
}

/* The rest of each step is free: half of it. */
static void plug_runs(void *opaque)
{
    struct plugged *plugged = opaque;
    const uint64_t step = step_of(plugged);

    for (uint64_t i = 0; i < plugged->nr; i++) {
        rig_request(&plugged->rig, VMEM_REQUEST_PLUG, i * step,
                    (uint16_t)MIN(step / 2, G_MAXUINT16));
    }
}

static uint64_t unplug_runs(void *opaque)
{
    struct plugged *plugged = opaque;

    rig_unplug_all(&plugged->rig);
    return 0;
}

static void against_plugged_runs(void)
{
    const uint64_t nr_blocks = (uint64_t)1 << 22; /* 8 TiB */

    for (unsigned shift = 0; shift <= 21; shift += options->quick ? 7 : 3) {
        struct plugged plugged = { .nr = (uint64_t)1 << shift };
        const double x = (double)plugged.nr;
        struct pair pair;
        struct pair state;

        rig_init_device(&plugged.rig, nr_blocks * BLOCK, BLOCK, "empty");
        /* The last block is free. */
        pair.rig = &plugged.rig;
        rig_encode(&pair.requests[0], &plugged.rig, VMEM_REQUEST_PLUG,
                   nr_blocks - 1, 1);
        rig_encode(&pair.requests[1], &plugged.rig, VMEM_REQUEST_UNPLUG,
                   nr_blocks - 1, 1);
        state.rig = &plugged.rig;
        rig_encode(&state.requests[0], &plugged.rig, VMEM_REQUEST_STATE,
                   nr_blocks / 2, 1);
        plug_runs(&plugged);
        point("runs", "plug-unplug", x,
              &(struct bench_side){ "device", ask_pair, NULL, &pair }, 1,
              "pair");
        point("runs", "state", x,
              &(struct bench_side){ "device", ask_state, NULL, &state }, 1,
              "request");
        rig_unplug_all(&plugged.rig);
        point(
            "runs", "unplug-all", x,
            &(struct bench_side){ "device", unplug_runs, plug_runs, &plugged },
            1, "request");
        rig_destroy(&plugged.rig);
    }
}

static void against_listeners(void)
{
    struct burst burst;
    struct pair pair;
    struct pair state;
    struct rig slab;
    struct rig rig;

    rig_init_device(&rig, BENCH_TIB, BLOCK, "empty");
    rig_init_source(&slab, BENCH_TIB, BLOCK, "slab");
    pair_init(&pair, &rig);
    burst_init(&burst, &rig, 1000);
    state.rig = &rig;
    rig_encode(&state.requests[0], &rig, VMEM_REQUEST_STATE, 77, 1);
    for (unsigned nr = 1; nr <= RIG_MAX_LISTENERS; nr *= 2) {
        rig_add_listeners(&rig, nr - rig.nr_listeners);
        point("listeners", "plug-unplug", nr,
              &(struct bench_side){ "device", ask_pair, NULL, &pair }, 1,
              "pair");
        point("listeners", "burst", nr,
              &(struct bench_side){ "device", ask_burst, NULL, &burst },
              1 + NR_BURST, "request");
        point("listeners", "state", nr,
              &(struct bench_side){ "device", ask_state, NULL, &state }, 1,
              "request");
        point("listeners", "unplug-all-full", nr,
              &(struct bench_side){ "device", unplug_all, plug_full, &rig }, 1,
              "request");
        /* Of those that are there nobody hears when one joins or asks. */
        rig_add_listeners(&slab, nr - 1 - slab.nr_listeners);
        point("listeners", "replay-one-more", nr,
              &(struct bench_side){ "region", replay_one_more, NULL, &slab }, 1,
              "join and leave");
        point("listeners", "walk", nr,
              &(struct bench_side){ "region", walk, NULL, &slab }, 1, "walk");
        point("listeners", "is_populated-page", nr,
              &(struct bench_side){ "region", ask_page, NULL, &slab }, 1,
              "question");
    }
    rig_destroy(&slab);
    rig_destroy(&rig);
}

static void against_sources(void)
{
    struct vmem_source *more[VMEM_REGION_MAX_SOURCES];
    struct expansion expansion;
    struct vmem_source *beside[VMEM_REGION_MAX_SOURCES];
    unsigned nr = 1;
    struct pair pair;
    struct rig device;
    struct rig rig;

    rig_init_source(&rig, BENCH_TIB, BLOCK, "pressure");
    rig_init_device(&device, BENCH_TIB, BLOCK, "empty");
    pair_init(&pair, &device);
    expansion.rig = &rig;
    expansion.page_size = 4 * BENCH_KIB;
    expansion.words = g_malloc0(rig.size / expansion.page_size / 8);
    for (;;) {
        uint64_t runs;

        nr_runs = 0;
        runs = walk(&rig);
        point("sources", "walk-per-run", nr,
              &(struct bench_side){ "region", walk, NULL, &rig }, runs, "run");
        point("sources", "replay-per-run", nr,
              &(struct bench_side){ "region", replay, NULL, &rig }, runs,
              "run");
        point("sources", "is_populated-page", nr,
              &(struct bench_side){ "region", ask_page, NULL, &rig }, 1,
              "question");
        point("sources", "discard-populate", nr,
              &(struct bench_side){ "source", change_source, NULL, &rig }, 1,
              "pair");
        point("sources", "expand-4K", nr,
              &(struct bench_side){ "region", expand, NULL, &expansion }, 1,
              "bitmap");
        point("sources", "plug-unplug", nr,
              &(struct bench_side){ "device", ask_pair, NULL, &pair }, 1,
              "pair");
        point("sources", "unplug-all-full", nr,
              &(struct bench_side){ "device", unplug_all, plug_full, &device },
              1, "request");
        if (nr == VMEM_REGION_MAX_SOURCES) {
            break;
        }
        for (unsigned wanted = nr * 2; nr < wanted; nr++) {
            char name[16];

            g_snprintf(name, sizeof(name), "source%u", nr);
            more[nr] = rig_add_source(&rig, name, BLOCK, "full");
            beside[nr] = rig_add_source(&device, name, BLOCK, "full");
        }
    }
    while (--nr > 0) {
        bench_check(vmem_source_remove(more[nr], NULL) == 0);
        bench_check(vmem_source_remove(beside[nr], NULL) == 0);
    }
    g_free(expansion.words);
    rig_destroy(&device);
    rig_destroy(&rig);
}

int main(int argc, char **argv)
{
    options = bench_init(argc, argv);
    bench_start_thread();
    against_size();
    against_runs();
    against_plugged_runs();
    against_listeners();
    against_sources();
    return 0;
}
