/* SPDX-License-Identifier: BSD-3-Clause */
/* What a guest asks, from the bytes to the answer, without system calls: the
 * memory is pretended. */
#include <pthread.h>
#include <string.h>

#include "bench.h"
#include "naive.h"
#include "rig.h"

/* What a fragmented Linux guest sends in one go. */
#define NR_BURST 300
/* What a kdump kernel asks: the state of each block. */
#define NR_STORM (512 * 1024)
/* Pairs of a plug and an unplug in one run. */
#define NR_PAIRS 64
/* More than this in an alternating map take too long to plug one by one. */
#define MANY_BLOCKS ((uint64_t)1 << 25)

static const struct bench_options *options;

/* The least that keeps books: a lock around a bitmap. */
struct bare {
    pthread_mutex_t lock;
    struct vmem_bitmap *bitmap;
    struct naive naive;
    uint64_t nr_set;
    uint64_t nr_blocks;
    unsigned nr_listeners;
    int (*populate)(const struct vmem_range *range, void *opaque);
    void (*discard)(const struct vmem_range *range, void *opaque);
};

static void bare_init(struct bare *bare, uint64_t nr_blocks)
{
    memset(bare, 0, sizeof(*bare));
    bare->nr_blocks = nr_blocks;
    bench_check(pthread_mutex_init(&bare->lock, NULL) == 0);
    bench_check(vmem_bitmap_new(nr_blocks, &bare->bitmap) == 0);
    naive_init(&bare->naive, nr_blocks);
    bare->populate = rig_populate;
    bare->discard = rig_discard;
}

static void bare_destroy(struct bare *bare)
{
    vmem_bitmap_free(bare->bitmap);
    naive_destroy(&bare->naive);
    pthread_mutex_destroy(&bare->lock);
}

/* Blocks to plug, spread over the region. */
static uint64_t place(uint64_t i, uint64_t nr_blocks)
{
    return i * 4099 % nr_blocks;
}

/* A device and requests to it. */
struct asker {
    struct rig *rig;
    struct rig_request *requests;
    size_t nr_requests;
};

static uint64_t ask(void *opaque)
{
    struct asker *asker = opaque;

    rig_handle(asker->rig, asker->requests, asker->nr_requests);
    return asker->nr_requests;
}

static void make_pairs(struct asker *asker, struct rig *rig)
{
    asker->rig = rig;
    asker->nr_requests = (size_t)2 * NR_PAIRS;
    asker->requests = g_new(struct rig_request, asker->nr_requests);
    for (unsigned i = 0; i < NR_PAIRS; i++) {
        uint64_t block = place(i, rig->nr_blocks);

        rig_encode(&asker->requests[2 * i], rig, VMEM_REQUEST_PLUG, block, 1);
        rig_encode(&asker->requests[2 * i + 1], rig, VMEM_REQUEST_UNPLUG, block,
                   1);
    }
}

static uint64_t pairs_of_bitmap(void *opaque)
{
    struct bare *bare = opaque;

    for (unsigned i = 0; i < NR_PAIRS; i++) {
        uint64_t block = place(i, bare->nr_blocks);

        pthread_mutex_lock(&bare->lock);
        vmem_bitmap_set(bare->bitmap, block, 1, NULL);
        pthread_mutex_unlock(&bare->lock);
        pthread_mutex_lock(&bare->lock);
        vmem_bitmap_clear(bare->bitmap, block, 1, NULL);
        pthread_mutex_unlock(&bare->lock);
    }
    return (uint64_t)2 * NR_PAIRS;
}

static void G_GNUC_NO_INLINE update_naive(struct bare *bare, uint64_t block,
                                          bool value)
{
    pthread_mutex_lock(&bare->lock);
    if (naive_is_set(&bare->naive, block) != value) {
        bare->naive.words[block / 64] ^= (uint64_t)1 << (block % 64);
        bare->nr_set += value ? 1 : UINT64_MAX;
    }
    pthread_mutex_unlock(&bare->lock);
}

static uint64_t pairs_of_naive(void *opaque)
{
    struct bare *bare = opaque;

    for (unsigned i = 0; i < NR_PAIRS; i++) {
        uint64_t block = place(i, bare->nr_blocks);

        update_naive(bare, block, true);
        update_naive(bare, block, false);
    }
    return (uint64_t)2 * NR_PAIRS;
}

static void count_pair(struct bench_case *pair, struct asker *asker,
                       uint64_t nr_pairs)
{
    uint64_t nr_callbacks;
    uint64_t nr_allocations;

    ask(asker);
    nr_callbacks = rig_nr_callbacks;
    nr_allocations = bench_nr_allocations();
    ask(asker);
    nr_callbacks = rig_nr_callbacks - nr_callbacks;
    nr_allocations = bench_nr_allocations() - nr_allocations;
    pair->counts =
        g_strdup_printf("allocations=%.6g syscalls=%d callbacks=%.6g",
                        (double)nr_allocations / (double)nr_pairs,
                        bench_makes_syscalls(ask, asker),
                        (double)nr_callbacks / (double)nr_pairs);
}

static void measure_pair(struct rig *rig, struct bare *bare, int nr_threads)
{
    struct asker asker;
    struct bench_case pair = {
        .name = "request.pair",
        .params = g_strdup_printf("region=%s block=%s listeners=0 threads=%d",
                                  bench_size(rig->size),
                                  bench_size(rig->block_size), nr_threads),
        .unit = "pair",
        .nr_ops = NR_PAIRS,
        .subject = { "device", ask, NULL, &asker },
        .reference = { "mutex and vmem_bitmap", pairs_of_bitmap, NULL, bare },
        .bar = BENCH_AT_MOST,
        .bar_value = 3,
        .row = "pair",
    };

    make_pairs(&asker, rig);
    count_pair(&pair, &asker, NR_PAIRS);
    bench_measure(&pair);
    pair.name = "request.pair.words";
    pair.reference =
        (struct bench_side){ "mutex and words", pairs_of_naive, NULL, bare };
    pair.row = "pair-words";
    bench_measure(&pair);
    g_free(asker.requests);
}

static int set_naive(const struct vmem_bitmap_run *run, void *opaque)
{
    naive_set(opaque, run->first_block, run->nr_blocks, true);
    return 0;
}

/* The same map on both sides. */
static void plug_pattern(struct rig *rig, struct bare *bare,
                         const char *pattern)
{
    rig_plug_pattern(rig, pattern);
    pattern_for_each(pattern, rig->nr_blocks, set_naive, &bare->naive);
}

static void unplug_pattern(struct rig *rig, struct bare *bare)
{
    rig_unplug_all(rig);
    naive_set(&bare->naive, 0, bare->nr_blocks, false);
}

static uint64_t flips_of_naive(void *opaque)
{
    struct bare *bare = opaque;

    for (unsigned i = 0; i < NR_PAIRS; i++) {
        const uint64_t block = place(i, bare->nr_blocks);
        const bool is_set = naive_is_set(&bare->naive, block);

        update_naive(bare, block, !is_set);
        update_naive(bare, block, is_set);
    }
    return (uint64_t)2 * NR_PAIRS;
}

/* Pairs in a map with a pattern: what is plugged is unplugged first. */
static void measure_pattern(struct rig *rig, struct bare *bare,
                            const char *pattern)
{
    struct asker asker;
    struct bench_case pair = {
        .name = "request.pair.pattern",
        .params = g_strdup_printf("region=%s block=%s pattern=%s",
                                  bench_size(rig->size),
                                  bench_size(rig->block_size), pattern),
        .unit = "pair",
        .nr_ops = NR_PAIRS,
        .subject = { "device", ask, NULL, &asker },
        .reference = { "mutex and words", flips_of_naive, NULL, bare },
    };

    plug_pattern(rig, bare, pattern);
    make_pairs(&asker, rig);
    for (unsigned i = 0; i < NR_PAIRS; i++) {
        const uint64_t block = place(i, rig->nr_blocks);

        if (naive_is_set(&bare->naive, block)) {
            const struct rig_request plug = asker.requests[2 * i];

            asker.requests[2 * i] = asker.requests[2 * i + 1];
            asker.requests[2 * i + 1] = plug;
        }
    }
    count_pair(&pair, &asker, NR_PAIRS);
    bench_measure(&pair);
    unplug_pattern(rig, bare);
    g_free(asker.requests);
}

/* As bare as before, with the same calls: they are not the library's cost. */
static uint64_t pairs_with_calls(void *opaque)
{
    struct bare *bare = opaque;
    struct vmem_range range = { 0, 2 * BENCH_MIB };

    for (unsigned i = 0; i < NR_PAIRS; i++) {
        uint64_t block = place(i, bare->nr_blocks);

        range.offset = block * range.size;
        for (unsigned j = 0; j < bare->nr_listeners; j++) {
            bare->populate(&range, NULL);
        }
        update_naive(bare, block, true);
        for (unsigned j = 0; j < bare->nr_listeners; j++) {
            bare->discard(&range, NULL);
        }
        update_naive(bare, block, false);
    }
    return (uint64_t)2 * NR_PAIRS;
}

static void measure_listeners(struct rig *rig, struct bare *bare,
                              unsigned nr_listeners)
{
    struct asker asker;
    struct bench_case pair = {
        .name = "request.listeners",
        .params = g_strdup_printf("region=%s block=%s listeners=%u",
                                  bench_size(rig->size),
                                  bench_size(rig->block_size), nr_listeners),
        .unit = "pair",
        .nr_ops = NR_PAIRS,
        .subject = { "device", ask, NULL, &asker },
        .reference = { "mutex, words and the calls", pairs_with_calls, NULL,
                       bare },
    };

    rig_add_listeners(rig, nr_listeners);
    bare->nr_listeners = nr_listeners;
    make_pairs(&asker, rig);
    count_pair(&pair, &asker, NR_PAIRS);
    bench_measure(&pair);
    rig_remove_listeners(rig);
    g_free(asker.requests);
}

/* One plug of 300 blocks, then their unplugs one by one, every third first. */
static void make_burst(struct asker *asker, struct rig *rig)
{
    size_t next = 0;

    asker->rig = rig;
    asker->nr_requests = 1 + NR_BURST;
    asker->requests = g_new(struct rig_request, asker->nr_requests);
    rig_encode(&asker->requests[next++], rig, VMEM_REQUEST_PLUG, 1000,
               NR_BURST);
    for (unsigned phase = 0; phase < 3; phase++) {
        for (unsigned i = phase; i < NR_BURST; i += 3) {
            rig_encode(&asker->requests[next++], rig, VMEM_REQUEST_UNPLUG,
                       1000 + i, 1);
        }
    }
}

static uint64_t burst_of_naive(void *opaque)
{
    struct bare *bare = opaque;

    pthread_mutex_lock(&bare->lock);
    naive_set(&bare->naive, 1000, NR_BURST, true);
    bare->nr_set += NR_BURST;
    pthread_mutex_unlock(&bare->lock);
    for (unsigned phase = 0; phase < 3; phase++) {
        for (unsigned i = phase; i < NR_BURST; i += 3) {
            update_naive(bare, 1000 + i, false);
        }
    }
    return NR_BURST;
}

/* The blocks of the burst are free, whatever the pattern is. */
static void free_burst(struct rig *rig, struct bare *bare)
{
    for (uint64_t block = 1000; block < 1000 + NR_BURST; block++) {
        if (naive_is_set(&bare->naive, block)) {
            rig_request(rig, VMEM_REQUEST_UNPLUG, block, 1);
            naive_set(&bare->naive, block, 1, false);
        }
    }
}

static void measure_burst(struct rig *rig, struct bare *bare,
                          const char *pattern)
{
    struct asker asker;
    struct bench_case burst = {
        .name = "request.burst",
        .params = g_strdup_printf(
            "region=%s block=%s unplugs=%d pattern=%s", bench_size(rig->size),
            bench_size(rig->block_size), NR_BURST, pattern),
        .unit = "request",
        .nr_ops = NR_BURST + 1,
        .subject = { "device", ask, NULL, &asker },
        .reference = { "mutex and words", burst_of_naive, NULL, bare },
    };

    plug_pattern(rig, bare, pattern);
    free_burst(rig, bare);
    make_burst(&asker, rig);
    count_pair(&burst, &asker, NR_BURST + 1);
    bench_measure(&burst);
    unplug_pattern(rig, bare);
    g_free(asker.requests);
}

static uint64_t storm_of_naive(void *opaque)
{
    struct bare *bare = opaque;
    uint64_t nr_plugged = 0;

    for (uint64_t block = 0; block < NR_STORM; block++) {
        pthread_mutex_lock(&bare->lock);
        nr_plugged += naive_is_set(&bare->naive, block);
        pthread_mutex_unlock(&bare->lock);
    }
    return nr_plugged;
}

static void measure_storm(struct rig *rig, struct bare *bare,
                          const char *pattern)
{
    struct asker asker = { rig, g_new(struct rig_request, NR_STORM), NR_STORM };
    struct bench_case storm = {
        .name = "request.state-storm",
        .params = g_strdup_printf(
            "region=%s block=%s requests=%d pattern=%s", bench_size(rig->size),
            bench_size(rig->block_size), NR_STORM, pattern),
        .unit = "request",
        .nr_ops = NR_STORM,
        .subject = { "device", ask, NULL, &asker },
        .reference = { "mutex and words", storm_of_naive, NULL, bare },
    };

    for (uint64_t block = 0; block < NR_STORM; block++) {
        rig_encode(&asker.requests[block], rig, VMEM_REQUEST_STATE, block, 1);
    }
    plug_pattern(rig, bare, pattern);
    count_pair(&storm, &asker, NR_STORM);
    bench_measure(&storm);
    unplug_pattern(rig, bare);
    g_free(asker.requests);
}

/* ---- everything at once ---- */

struct unplugged {
    struct rig *rig;
    struct bare *bare;
    const char *pattern;
};

static void plug_rig(void *opaque)
{
    struct unplugged *unplugged = opaque;

    rig_plug_pattern(unplugged->rig, unplugged->pattern);
}

static uint64_t unplug_rig(void *opaque)
{
    struct unplugged *unplugged = opaque;

    rig_unplug_all(unplugged->rig);
    return 0;
}

static void plug_naive(void *opaque)
{
    struct unplugged *unplugged = opaque;

    pattern_for_each(unplugged->pattern, unplugged->bare->nr_blocks, set_naive,
                     &unplugged->bare->naive);
}

/* Tells one listener of each run and discards each run, as the library does. */
static int discard_run(const struct vmem_bitmap_run *run, void *opaque)
{
    struct bare *bare = opaque;
    const struct vmem_range range = { run->first_block * 2 * BENCH_MIB,
                                      run->nr_blocks * 2 * BENCH_MIB };

    bare->discard(&range, NULL);
    bare->discard(&range, NULL);
    return 0;
}

static uint64_t unplug_naive(void *opaque)
{
    struct unplugged *unplugged = opaque;
    struct bare *bare = unplugged->bare;

    pthread_mutex_lock(&bare->lock);
    naive_for_each(&bare->naive, 0, bare->nr_blocks, true, discard_run, bare);
    naive_set(&bare->naive, 0, bare->nr_blocks, false);
    pthread_mutex_unlock(&bare->lock);
    return 0;
}

static void measure_unplug_all(struct rig *rig, struct bare *bare,
                               const char *pattern)
{
    struct unplugged unplugged = { rig, bare, pattern };
    struct bench_case bench = {
        .name = "request.unplug-all",
        .params = g_strdup_printf("region=%s block=%s listeners=1 pattern=%s",
                                  bench_size(rig->size),
                                  bench_size(rig->block_size), pattern),
        .unit = "request",
        .subject = { "device", unplug_rig, plug_rig, &unplugged },
        .reference = { "find-next words, a call for each run", unplug_naive,
                       plug_naive, &unplugged },
    };
    uint64_t nr_allocations;
    uint64_t nr_callbacks;

    rig_add_listeners(rig, 1);
    plug_rig(&unplugged);
    nr_callbacks = rig_nr_callbacks;
    nr_allocations = bench_nr_allocations();
    unplug_rig(&unplugged);
    bench.counts = g_strdup_printf("callbacks=%" G_GUINT64_FORMAT
                                   " allocations=%" G_GUINT64_FORMAT,
                                   rig_nr_callbacks - nr_callbacks,
                                   bench_nr_allocations() - nr_allocations);
    bench_measure(&bench);
    rig_remove_listeners(rig);
}

static void measure_region(uint64_t size, uint64_t block_size, bool is_first)
{
    static const char *const patterns[] = {
        "empty", "full", "slab", "pressure", "random", "alternating"
    };
    static const unsigned nr_listeners[] = { 0, 1, 8, 64 };
    struct rig rig;
    struct bare bare;

    rig_init_device(&rig, size, block_size, "empty");
    bare_init(&bare, rig.nr_blocks);
    if (is_first) {
        measure_pair(&rig, &bare, 1);
        bench_start_thread();
    }
    measure_pair(&rig, &bare, 2);
    for (size_t i = 0; i < G_N_ELEMENTS(nr_listeners); i++) {
        measure_listeners(&rig, &bare, nr_listeners[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
        const bool is_empty = strcmp(patterns[i], "empty") == 0;
        const bool is_full = strcmp(patterns[i], "full") == 0;

        /* Each run is plugged by a request of its own, before each sample. */
        if (rig.nr_blocks > MANY_BLOCKS &&
            strcmp(patterns[i], "alternating") == 0) {
            continue;
        }
        if (!is_empty) {
            measure_pattern(&rig, &bare, patterns[i]);
        }
        if (!is_full) {
            measure_burst(&rig, &bare, patterns[i]);
        }
        if (rig.nr_blocks >= NR_STORM) {
            measure_storm(&rig, &bare, patterns[i]);
        }
        measure_unplug_all(&rig, &bare, patterns[i]);
    }
    bare_destroy(&bare);
    rig_destroy(&rig);
}

/* What a machine with one region asks for, and a device in it or a source. */
static void report_memory(bool has_device)
{
    const struct bench_case bench = {
        .name = has_device ? "memory.device" : "memory.source",
        .params = "region=64T block=2M",
        .unit = "bit",
        .reference = { .name = "blocks" },
    };
    const uint64_t before = bench_allocated_bytes();
    struct rig rig;

    if (has_device) {
        rig_init_device(&rig, 64 * BENCH_TIB, 2 * BENCH_MIB, "empty");
    } else {
        rig_init_source(&rig, 64 * BENCH_TIB, 2 * BENCH_MIB, "empty");
    }
    bench_report(&bench, (double)(bench_allocated_bytes() - before) * 8,
                 (double)rig.nr_blocks);
    rig_destroy(&rig);
}

int main(int argc, char **argv)
{
    options = bench_init(argc, argv);
    measure_region(BENCH_TIB, 2 * BENCH_MIB, true);
    measure_region(8 * BENCH_TIB, 2 * BENCH_MIB, false);
    if (!options->quick) {
        measure_region(64 * BENCH_TIB, 2 * BENCH_MIB, false);
        measure_region(BENCH_TIB, 4 * BENCH_KIB, false);
    }
    report_memory(false);
    report_memory(true);
    return 0;
}
