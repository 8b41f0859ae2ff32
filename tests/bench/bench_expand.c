/* SPDX-License-Identifier: BSD-3-Clause */
/* From blocks to a bitmap of pages, as migration keeps one. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "naive.h"
#include "rig.h"

static const struct bench_options *options;

struct expansion {
    struct rig rig;
    uint64_t page_size;
    uint64_t window_size; /* bytes of the region for each call */
    struct naive pages;   /* of one window */
    struct naive blocks;  /* the input once more, if not larger than pages */
};

static uint64_t checksum(const struct naive *pages)
{
    return pages->words[0] ^ pages->words[pages->nr_blocks / 64 - 1];
}

static uint64_t expand(void *opaque)
{
    struct expansion *expansion = opaque;
    struct vmem_range window = { 0, expansion->window_size };

    for (; window.offset < expansion->rig.size; window.offset += window.size) {
        bench_check(vmem_region_get_page_bitmap(expansion->rig.region, &window,
                                                expansion->page_size,
                                                expansion->pages.words) == 0);
    }
    return checksum(&expansion->pages);
}

static void *(*volatile set_memory)(void *memory, int value,
                                    size_t size) = memset;

static uint64_t set_all(struct expansion *expansion, int byte)
{
    for (uint64_t offset = 0; offset < expansion->rig.size;
         offset += expansion->window_size) {
        set_memory(expansion->pages.words, byte,
                   expansion->pages.nr_blocks / 8);
    }
    return checksum(&expansion->pages);
}

/* What a migration starts with: everything has to be sent. */
static uint64_t set_ones(void *opaque)
{
    return set_all(opaque, 0xff);
}

/* Some processors store zeros faster than other bytes. */
static uint64_t set_zeros(void *opaque)
{
    return set_all(opaque, 0);
}

static int clear_pages(const struct vmem_range *range, void *opaque)
{
    struct expansion *expansion = opaque;

    naive_set(&expansion->pages,
              (range->offset % expansion->window_size) / expansion->page_size,
              range->size / expansion->page_size, false);
    return 0;
}

/* The usual way: everything is set, then what is discarded is cleared. */
static uint64_t set_and_clear(void *opaque)
{
    struct expansion *expansion = opaque;
    struct vmem_range window = { 0, expansion->window_size };

    for (; window.offset < expansion->rig.size; window.offset += window.size) {
        set_memory(expansion->pages.words, 0xff,
                   expansion->pages.nr_blocks / 8);
        vmem_region_for_each_discarded(expansion->rig.region, &window,
                                       clear_pages, expansion);
    }
    return checksum(&expansion->pages);
}

static void *(*volatile copy_memory)(void *to, const void *from,
                                     size_t size) = memcpy;

static uint64_t copy(void *opaque)
{
    struct expansion *expansion = opaque;

    copy_memory(expansion->pages.words, expansion->blocks.words,
                expansion->pages.nr_blocks / 8);
    return checksum(&expansion->pages);
}

static int fill(const struct vmem_bitmap_run *run, void *opaque)
{
    naive_set(opaque, run->first_block, run->nr_blocks, true);
    return 0;
}

/* Pages that lie in a run of blocks as a whole. */
static int thin_out_run(const struct vmem_bitmap_run *run, void *opaque)
{
    struct expansion *expansion = opaque;
    const uint64_t ratio = expansion->page_size / expansion->rig.block_size;
    const uint64_t first = (run->first_block + ratio - 1) / ratio;
    const uint64_t end = (run->first_block + run->nr_blocks) / ratio;

    if (first < end) {
        naive_set(&expansion->pages, first, end - first, true);
    }
    return 0;
}

static uint64_t thin_out(void *opaque)
{
    struct expansion *expansion = opaque;

    set_memory(expansion->pages.words, 0, expansion->pages.nr_blocks / 8);
    naive_for_each(&expansion->blocks, 0, expansion->blocks.nr_blocks, true,
                   thin_out_run, expansion);
    return checksum(&expansion->pages);
}

/* Blocks that are not larger than pages: not the output, but the input is what
 * has to be gone through. */
static void measure_input(struct expansion *expansion, struct bench_case *bench,
                          const char *pattern)
{
    naive_init(&expansion->blocks, expansion->rig.nr_blocks);
    pattern_for_each(pattern, expansion->rig.nr_blocks, fill,
                     &expansion->blocks);
    bench->same_result = true;
    if (expansion->rig.block_size == expansion->page_size) {
        bench->name = "expand.copy";
        bench->reference =
            (struct bench_side){ "memcpy", copy, NULL, expansion };
    } else {
        bench->name = "expand.thin-out";
        bench->reference =
            (struct bench_side){ "find-next words, set each run of pages",
                                 thin_out, NULL, expansion };
    }
    bench_measure(bench);
    naive_destroy(&expansion->blocks);
}

static const char *count_expanding(struct expansion *expansion)
{
    const uint64_t before = bench_nr_allocations();
    uint64_t nr;

    expand(expansion);
    nr = bench_nr_allocations() - before;
    return g_strdup_printf("allocations=%" G_GUINT64_FORMAT " syscalls=%d", nr,
                           bench_makes_syscalls(expand, expansion));
}

static void measure(uint64_t size, uint64_t block_size, uint64_t page_size,
                    const char *pattern)
{
    struct bench_case bench = { .name = "expand", .unit = "page" };
    struct expansion expansion;

    rig_init_source(&expansion.rig, size, block_size, pattern);
    expansion.page_size = page_size;
    expansion.window_size = MIN(size, BENCH_TIB);
    naive_init(&expansion.pages, expansion.window_size / page_size);
    bench.params = g_strdup_printf(
        "region=%s block=%s page=%s pattern=%s output=%s", bench_size(size),
        bench_size(block_size), bench_size(page_size), pattern,
        bench_size(expansion.window_size / page_size / 8));
    bench.nr_ops = size / page_size;
    bench.counts = count_expanding(&expansion);
    bench.subject = (struct bench_side){ "region", expand, NULL, &expansion };
    bench.reference =
        (struct bench_side){ "memset of 0xff", set_ones, NULL, &expansion };
    if (block_size > page_size) {
        bench.bar = BENCH_AT_MOST;
        bench.bar_value = 1.5;
        bench.row = "expand";
        bench_measure(&bench);
    } else {
        measure_input(&expansion, &bench, pattern);
    }
    if (block_size > page_size && page_size == 4 * BENCH_KIB &&
        size == BENCH_TIB) {
        bench.name = "expand.zeros";
        bench.bar = BENCH_NO_BAR;
        bench.row = NULL;
        bench.reference =
            (struct bench_side){ "memset of 0", set_zeros, NULL, &expansion };
        bench_measure(&bench);
        bench.name = "expand.usual";
        bench.same_result = true;
        bench.reference =
            (struct bench_side){ "memset and clear each discarded run",
                                 set_and_clear, NULL, &expansion };
        bench_measure(&bench);
    }
    naive_destroy(&expansion.pages);
    rig_destroy(&expansion.rig);
}

int main(int argc, char **argv)
{
    static const char *const patterns[] = { "empty",    "full",       "slab",
                                            "pressure", "scatter",    "idle",
                                            "random",   "alternating" };

    options = bench_init(argc, argv);
    bench_start_thread();
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
        measure(BENCH_TIB, 2 * BENCH_MIB, 4 * BENCH_KIB, patterns[i]);
        measure(16 * BENCH_GIB, 2 * BENCH_MIB, 4 * BENCH_KIB, patterns[i]);
        measure(BENCH_TIB, 2 * BENCH_MIB, 64 * BENCH_KIB, patterns[i]);
        if (!options->quick) {
            measure(8 * BENCH_TIB, 2 * BENCH_MIB, 4 * BENCH_KIB, patterns[i]);
            measure(64 * BENCH_TIB, 2 * BENCH_MIB, 4 * BENCH_KIB, patterns[i]);
        }
        /* 2^27 runs would be populated one by one. */
        if (!options->quick && strcmp(patterns[i], "alternating") != 0) {
            measure(BENCH_TIB, 4 * BENCH_KIB, 4 * BENCH_KIB, patterns[i]);
            measure(BENCH_TIB, 4 * BENCH_KIB, 2 * BENCH_MIB, patterns[i]);
        }
        measure(64 * BENCH_GIB, 4 * BENCH_KIB, 4 * BENCH_KIB, patterns[i]);
        measure(64 * BENCH_GIB, 4 * BENCH_KIB, 2 * BENCH_MIB, patterns[i]);
    }
    return 0;
}
