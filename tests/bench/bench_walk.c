/* SPDX-License-Identifier: BSD-3-Clause */
/* Walking the runs of a map. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "naive.h"
#include "rig.h"

static const struct bench_options *options;

struct geometry {
    uint64_t size;
    uint64_t block_size;
};

/* The same pattern, four times. */
struct maps {
    struct rig rig;
    struct vmem_bitmap *bitmap;
    struct naive naive;
    uint8_t *flags; /* one byte a block; NULL if that would be too much */
    uint64_t first; /* the window, in blocks */
    uint64_t nr;
    uint64_t nr_runs;
};

static int fill(const struct vmem_bitmap_run *run, void *opaque)
{
    struct maps *maps = opaque;

    bench_check(vmem_bitmap_set(maps->bitmap, run->first_block, run->nr_blocks,
                                NULL) == 0);
    naive_set(&maps->naive, run->first_block, run->nr_blocks, true);
    if (maps->flags != NULL) {
        memset(&maps->flags[run->first_block], 1, run->nr_blocks);
    }
    return 0;
}

static void maps_init(struct maps *maps, const struct geometry *geometry,
                      const char *pattern)
{
    memset(maps, 0, sizeof(*maps));
    rig_init_source(&maps->rig, geometry->size, geometry->block_size, pattern);
    maps->nr = maps->rig.nr_blocks;
    bench_check(vmem_bitmap_new(maps->nr, &maps->bitmap) == 0);
    naive_init(&maps->naive, maps->nr);
    if (maps->nr <= (uint64_t)1 << 25) {
        maps->flags = calloc(maps->nr, 1);
        bench_check(maps->flags != NULL);
    }
    pattern_for_each(pattern, maps->nr, fill, maps);
}

static void maps_destroy(struct maps *maps)
{
    rig_destroy(&maps->rig);
    vmem_bitmap_free(maps->bitmap);
    naive_destroy(&maps->naive);
    free(maps->flags);
}

/* What each run is told to: calls that the compiler cannot look into. */
static uint64_t nr_runs;
static uint64_t nr_found;

static int visit_run(const struct vmem_bitmap_run *run, void *opaque)
{
    (void)opaque;
    nr_runs++;
    nr_found += run->nr_blocks;
    return 0;
}

static int visit_range(const struct vmem_range *range, void *opaque)
{
    nr_runs++;
    nr_found += range->size >> *(const unsigned *)opaque;
    return 0;
}

static uint64_t walk_region(void *opaque)
{
    struct maps *maps = opaque;
    unsigned shift = (unsigned)__builtin_ctzll(maps->rig.block_size);
    const struct vmem_range window = { maps->first << shift,
                                       maps->nr << shift };

    nr_runs = nr_found = 0;
    vmem_region_for_each_populated(maps->rig.region, &window, visit_range,
                                   &shift);
    return nr_runs ^ nr_found << 20;
}

static uint64_t walk_bitmap(void *opaque)
{
    struct maps *maps = opaque;

    nr_runs = nr_found = 0;
    vmem_bitmap_for_each_set(maps->bitmap, maps->first, maps->nr, visit_run,
                             NULL);
    return nr_runs ^ nr_found << 20;
}

static uint64_t walk_naive(void *opaque)
{
    struct maps *maps = opaque;

    nr_runs = nr_found = 0;
    naive_for_each(&maps->naive, maps->first, maps->nr, true, visit_run, NULL);
    return nr_runs ^ nr_found << 20;
}

/* Volatile, so that the call stays one. */
static int (*volatile visit_later)(const struct vmem_bitmap_run *run,
                                   void *opaque) = visit_run;

static uint64_t walk_flags(void *opaque)
{
    struct maps *maps = opaque;
    const uint64_t end = maps->first + maps->nr;
    vmem_bitmap_run_fn visit = visit_later;
    uint64_t block = maps->first;

    nr_runs = nr_found = 0;
    while (block < end) {
        struct vmem_bitmap_run run;

        while (block < end && maps->flags[block] == 0) {
            block++;
        }
        run.first_block = block;
        while (block < end && maps->flags[block] != 0) {
            block++;
        }
        run.nr_blocks = block - run.first_block;
        if (run.nr_blocks > 0) {
            visit(&run, NULL);
        }
    }
    return nr_runs ^ nr_found << 20;
}

/* The bars are for 2^28 blocks, where the map is larger than the caches. */
static void set_bar(struct bench_case *bench, const char *pattern,
                    uint64_t nr_blocks)
{
    if (strcmp(pattern, "alternating") == 0) {
        bench->bar = BENCH_AT_MOST;
        bench->bar_value = 0.5;
        bench->row = "walk-alternating";
    } else if (nr_blocks == (uint64_t)1 << 28 &&
               (strcmp(pattern, "full") == 0 ||
                strcmp(pattern, "empty") == 0)) {
        bench->bar = BENCH_AT_MOST;
        bench->bar_value = 1.0 / 30;
        bench->row = "walk-uniform";
    }
}

static void measure(const struct geometry *geometry, const char *pattern)
{
    const uint64_t nr_blocks = geometry->size / geometry->block_size;
    const bool flags_too =
        nr_blocks <= (uint64_t)1 << 22 && strcmp(pattern, "random") != 0;
    struct bench_case bench = { .name = "walk.region", .same_result = true };
    struct bench_case unbarred;
    struct maps maps;

    maps_init(&maps, geometry, pattern);
    walk_naive(&maps);
    maps.nr_runs = nr_runs;
    bench.params = g_strdup_printf(
        "region=%s block=%s pattern=%s runs=%" G_GUINT64_FORMAT,
        bench_size(geometry->size), bench_size(geometry->block_size), pattern,
        maps.nr_runs);
    bench.counts =
        g_strdup_printf("callbacks=%" G_GUINT64_FORMAT, maps.nr_runs);
    bench.unit = maps.nr_runs > 1 ? "run" : "walk";
    bench.nr_ops = MAX(maps.nr_runs, 1);
    bench.subject = (struct bench_side){ "region", walk_region, NULL, &maps };
    bench.reference =
        (struct bench_side){ "find-next words", walk_naive, NULL, &maps };
    set_bar(&bench, pattern, nr_blocks);
    bench_measure(&bench);
    if (flags_too) {
        bench.reference =
            (struct bench_side){ "flag bytes", walk_flags, NULL, &maps };
        unbarred = bench;
        unbarred.bar = BENCH_NO_BAR;
        unbarred.row = NULL;
        bench_measure(&unbarred);
    }
    if (bench.bar != BENCH_NO_BAR || nr_blocks == (uint64_t)1 << 28) {
        bench.name = "walk.bitmap";
        bench.subject =
            (struct bench_side){ "bitmap", walk_bitmap, NULL, &maps };
        bench.reference =
            (struct bench_side){ "find-next words", walk_naive, NULL, &maps };
        set_bar(&bench, pattern, nr_blocks);
        bench_measure(&bench);
    }
    maps_destroy(&maps);
}

/* A window of 1 GiB in the middle, its ends not at words of the map. */
static void measure_window(const struct geometry *geometry, const char *pattern)
{
    struct bench_case bench = { .name = "walk.window", .same_result = true };
    struct maps maps;

    maps_init(&maps, geometry, pattern);
    maps.first = maps.rig.nr_blocks / 2 - 37;
    maps.nr = BENCH_GIB / geometry->block_size;
    walk_naive(&maps);
    bench.params = g_strdup_printf(
        "region=%s block=%s window=1G pattern=%s runs=%" G_GUINT64_FORMAT,
        bench_size(geometry->size), bench_size(geometry->block_size), pattern,
        nr_runs);
    bench.unit = "walk";
    bench.counts = g_strdup_printf("callbacks=%" G_GUINT64_FORMAT, nr_runs);
    bench.subject = (struct bench_side){ "region", walk_region, NULL, &maps };
    bench.reference =
        (struct bench_side){ "find-next words", walk_naive, NULL, &maps };
    bench_measure(&bench);
    maps_destroy(&maps);
}

/* Bytes that a bitmap asks for. */
static uint64_t bytes_of(uint64_t nr_blocks)
{
    const uint64_t before = bench_allocated_bytes();
    struct vmem_bitmap *bitmap;

    bench_check(vmem_bitmap_new(nr_blocks, &bitmap) == 0);
    vmem_bitmap_free(bitmap);
    return bench_allocated_bytes() - before;
}

static void report_memory(uint64_t nr_blocks, const char *params)
{
    const struct bench_case bench = {
        .name = "memory.bitmap",
        .params = params,
        .unit = "bit",
        .reference = { .name = "blocks" },
        .bar = BENCH_AT_MOST,
        .bar_value = 1.05,
        .row = "memory",
    };

    bench_report(&bench, (double)bytes_of(nr_blocks) * 8, (double)nr_blocks);
}

static void report_all_memory(void)
{
    static const uint64_t sizes[] = { 4096,    1 << 13, 1 << 19,
                                      1 << 22, 1 << 25, 1 << 28 };
    double worst = 0;
    uint64_t worst_at = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        report_memory(sizes[i],
                      g_strdup_printf("blocks=%" G_GUINT64_FORMAT, sizes[i]));
    }
    for (uint64_t nr = 4096; nr < 65536; nr++) {
        double bits = (double)bytes_of(nr) * 8 / (double)nr;

        if (bits > worst) {
            worst = bits;
            worst_at = nr;
        }
    }
    report_memory(
        worst_at,
        g_strdup_printf("worst_of=4096..65536 blocks=%" G_GUINT64_FORMAT,
                        worst_at));
}

int main(int argc, char **argv)
{
    static const struct geometry geometries[] = {
        { BENCH_TIB, 2 * BENCH_MIB },
        { 8 * BENCH_TIB, 2 * BENCH_MIB },
        { 64 * BENCH_TIB, 2 * BENCH_MIB },
        { BENCH_TIB, 4 * BENCH_KIB },
    };
    static const char *const patterns[] = { "empty",  "full",       "idle",
                                            "slab",   "pressure",   "scatter",
                                            "random", "alternating" };

    static const char *const windowed[] = { "empty", "full", "slab", "random",
                                            "alternating" };

    options = bench_init(argc, argv);
    bench_start_thread();
    for (size_t g = 0; g < G_N_ELEMENTS(geometries); g++) {
        for (size_t p = 0; p < G_N_ELEMENTS(patterns); p++) {
            /* Of the large ones only what costs little to set up. */
            if (options->quick && g >= 2 &&
                (g == 2 || (strcmp(patterns[p], "empty") != 0 &&
                            strcmp(patterns[p], "full") != 0))) {
                continue;
            }
            measure(&geometries[g], patterns[p]);
        }
    }
    for (size_t g = 0; g < G_N_ELEMENTS(geometries); g++) {
        for (size_t p = 0; p < G_N_ELEMENTS(windowed); p++) {
            if (!options->quick || g == 1) {
                measure_window(&geometries[g], windowed[p]);
            }
        }
    }
    report_all_memory();
    return 0;
}
