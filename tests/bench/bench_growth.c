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
    const struct bench_case bench = {
        .name = g_strdup_printf("growth.%s.%s", chart, series),
        .params = g_strdup_printf("%s=%.17g", chart, x),
        .unit = unit,
        .nr_ops = nr_ops,
        .subject = *side,
        .chart = chart,
        .series = series,
        .x = x,
    };

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

static uint64_t replay(void *opaque)
{
    rig_add_listeners(opaque, 1);
    rig_remove_listeners(opaque);
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

        rig_init_source(&source, nr_blocks * BLOCK, BLOCK, "full");
        rig_init_device(&device, nr_blocks * BLOCK, BLOCK, "empty");
        pair_init(&pair, &device);
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
        point("blocks", "expand-64K-full", x,
              &(struct bench_side){ "region", expand, NULL, &expansion }, 1,
              "bitmap");
        point("blocks", "unplug-all-full", x,
              &(struct bench_side){ "device", unplug_all, plug_full, &device },
              1, "request");
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

static void against_listeners(void)
{
    struct pair pair;
    struct rig rig;

    rig_init_device(&rig, BENCH_TIB, BLOCK, "empty");
    pair_init(&pair, &rig);
    for (unsigned nr = 1; nr <= RIG_MAX_LISTENERS; nr *= 2) {
        rig_add_listeners(&rig, nr - rig.nr_listeners);
        point("listeners", "plug-unplug", nr,
              &(struct bench_side){ "device", ask_pair, NULL, &pair }, 1,
              "pair");
        point("listeners", "unplug-all-full", nr,
              &(struct bench_side){ "device", unplug_all, plug_full, &rig }, 1,
              "request");
    }
    rig_destroy(&rig);
}

static void against_sources(void)
{
    struct vmem_source *more[VMEM_REGION_MAX_SOURCES];
    unsigned nr = 1;
    struct rig rig;

    rig_init_source(&rig, BENCH_TIB, BLOCK, "pressure");
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
        if (nr == VMEM_REGION_MAX_SOURCES) {
            break;
        }
        for (unsigned wanted = nr * 2; nr < wanted; nr++) {
            char name[16];

            g_snprintf(name, sizeof(name), "source%u", nr);
            more[nr] = rig_add_source(&rig, name, BLOCK, "full");
        }
    }
    while (--nr > 0) {
        bench_check(vmem_source_remove(more[nr], NULL) == 0);
    }
    rig_destroy(&rig);
}

int main(int argc, char **argv)
{
    options = bench_init(argc, argv);
    bench_start_thread();
    against_size();
    against_runs();
    against_listeners();
    against_sources();
    return 0;
}
