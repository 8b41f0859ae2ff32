/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions, replay to a new listener, and what several sources cost. */
#include <pthread.h>
#include <string.h>

#include "bench.h"
#include "naive.h"
#include "rig.h"

#define NR_ASKED 256

static const struct bench_options *options;

/* A region, what is asked of it, and the same kept naively under a lock. */
struct question {
    struct rig rig;
    struct naive naive;
    pthread_mutex_t lock;
    uint64_t size; /* of each range asked for, bytes */
    uint64_t step; /* from one to the next, bytes */
    unsigned nr;
};

static int fill(const struct vmem_bitmap_run *run, void *opaque)
{
    naive_set(opaque, run->first_block, run->nr_blocks, true);
    return 0;
}

static void question_init(struct question *question, uint64_t size,
                          uint64_t block_size, const char *pattern)
{
    memset(question, 0, sizeof(*question));
    rig_init_source(&question->rig, size, block_size, pattern);
    naive_init(&question->naive, question->rig.nr_blocks);
    pattern_for_each(pattern, question->rig.nr_blocks, fill, &question->naive);
    bench_check(pthread_mutex_init(&question->lock, NULL) == 0);
}

static void question_destroy(struct question *question)
{
    rig_destroy(&question->rig);
    naive_destroy(&question->naive);
    pthread_mutex_destroy(&question->lock);
}

static uint64_t ask_region(void *opaque)
{
    struct question *question = opaque;
    struct vmem_range range = { 0, question->size };
    uint64_t nr_populated = 0;

    for (unsigned i = 0; i < question->nr; i++) {
        nr_populated += vmem_region_is_populated(question->rig.region, &range);
        range.offset += question->step;
    }
    return nr_populated;
}

static uint64_t ask_naive(void *opaque)
{
    struct question *question = opaque;
    const unsigned shift = (unsigned)__builtin_ctzll(question->rig.block_size);
    uint64_t nr_populated = 0;
    uint64_t offset = 0;

    for (unsigned i = 0; i < question->nr; i++) {
        const uint64_t first = offset >> shift;
        const uint64_t end = ((offset + question->size - 1) >> shift) + 1;

        pthread_mutex_lock(&question->lock);
        nr_populated += naive_next(&question->naive, first, end, false) == end;
        pthread_mutex_unlock(&question->lock);
        offset += question->step;
    }
    return nr_populated;
}

static const char *count_asking(struct question *question)
{
    const uint64_t before = bench_nr_allocations();
    uint64_t nr;

    ask_region(question);
    nr = bench_nr_allocations() - before;
    return g_strdup_printf("allocations=%" G_GUINT64_FORMAT " syscalls=%d", nr,
                           bench_makes_syscalls(ask_region, question));
}

static void measure_question(uint64_t size, uint64_t block_size,
                             const char *what, const char *pattern)
{
    struct bench_case bench = { .name = "is_populated",
                                .unit = "question",
                                .same_result = true };
    struct question question;

    question_init(&question, size, block_size, pattern);
    question.nr = NR_ASKED;
    question.step = size / NR_ASKED;
    question.size = block_size;
    if (strcmp(what, "page") == 0) {
        question.size = 4 * BENCH_KIB;
    } else if (strcmp(what, "whole") == 0) {
        question.size = size;
        question.step = 0;
        question.nr = 8;
    }
    bench.nr_ops = question.nr;
    bench.params = g_strdup_printf("region=%s block=%s range=%s pattern=%s",
                                   bench_size(size), bench_size(block_size),
                                   what, pattern);
    bench.counts = count_asking(&question);
    bench.subject =
        (struct bench_side){ "region", ask_region, NULL, &question };
    bench.reference = (struct bench_side){ "mutex and find-next words",
                                           ask_naive, NULL, &question };
    bench_measure(&bench);
    question_destroy(&question);
}

/* The answer for a whole populated region must cost the same in a region of 512
 * times as many blocks. */
static void measure_growth_of_whole(void)
{
    struct bench_case bench = { .name = "is_populated.growth",
                                .params = "range=whole blocks=268435456 "
                                          "reference_blocks=524288",
                                .unit = "question",
                                .nr_ops = 64,
                                .bar = BENCH_AT_MOST,
                                .bar_value = 1.2,
                                .row = "is-populated" };
    struct question large;
    struct question small;

    question_init(&large, BENCH_TIB, 4 * BENCH_KIB, "full");
    question_init(&small, BENCH_TIB, 2 * BENCH_MIB, "full");
    large.nr = small.nr = 64;
    large.size = small.size = BENCH_TIB;
    bench.subject = (struct bench_side){ "region", ask_region, NULL, &large };
    bench.reference =
        (struct bench_side){ "the smaller region", ask_region, NULL, &small };
    bench.counts = count_asking(&large);
    bench_measure(&bench);
    question_destroy(&large);
    question_destroy(&small);
}

/* ---- a new listener ---- */

static uint64_t join_and_leave(void *opaque)
{
    struct rig *rig = opaque;

    rig_add_listeners(rig, 1);
    rig_remove_listeners(rig);
    return rig->nr_listeners;
}

/* Asks for each granule whether it is populated, and tells of each run, once
 * when it joins and once when it leaves. */
static uint64_t replay_by_granule(void *opaque)
{
    struct question *question = opaque;
    const uint64_t nr_blocks = question->rig.nr_blocks;
    struct vmem_range range = { 0 };

    for (int pass = 0; pass < 2; pass++) {
        uint64_t first = 0;
        bool is_open = false;

        for (uint64_t block = 0; block <= nr_blocks; block++) {
            bool is_set = false;

            if (block < nr_blocks) {
                pthread_mutex_lock(&question->lock);
                is_set = naive_is_set(&question->naive, block);
                pthread_mutex_unlock(&question->lock);
            }
            if (is_open && !is_set) {
                range.offset = first;
                range.size = block - first;
                rig_populate(&range, NULL);
            } else if (!is_open && is_set) {
                first = block;
            }
            is_open = is_set;
        }
    }
    return question->rig.nr_listeners;
}

static void measure_replay(uint64_t size, uint64_t block_size,
                           const char *pattern)
{
    struct bench_case bench = { .name = "listener.replay",
                                .unit = "join and leave",
                                .same_result = true };
    struct question question;
    uint64_t nr_allocations;
    uint64_t nr_callbacks;

    question_init(&question, size, block_size, pattern);
    nr_callbacks = rig_nr_callbacks;
    nr_allocations = bench_nr_allocations();
    join_and_leave(&question.rig);
    nr_allocations = bench_nr_allocations() - nr_allocations;
    nr_callbacks = rig_nr_callbacks - nr_callbacks;
    bench.params =
        g_strdup_printf("region=%s block=%s pattern=%s", bench_size(size),
                        bench_size(block_size), pattern);
    bench.counts = g_strdup_printf("callbacks=%" G_GUINT64_FORMAT
                                   " allocations=%" G_GUINT64_FORMAT,
                                   nr_callbacks, nr_allocations);
    bench.subject =
        (struct bench_side){ "region", join_and_leave, NULL, &question.rig };
    bench.reference = (struct bench_side){ "a question for each granule",
                                           replay_by_granule, NULL, &question };
    bench_measure(&bench);
    question_destroy(&question);
}

/* ---- several sources ---- */

static uint64_t nr_runs;

static int count_run(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    nr_runs++;
    return 0;
}

static uint64_t walk(void *opaque)
{
    struct rig *rig = opaque;

    nr_runs = 0;
    vmem_region_for_each_populated(rig->region, NULL, count_run, NULL);
    return nr_runs;
}

/* virtio-mem's blocks of 2 MiB and a source of finer granules. Its pattern is
 * one of 64 KiB pieces, whatever the granules are. */
struct pair_of_sources {
    struct rig rig;
    struct vmem_source *fine;
    uint64_t granule;
    struct naive blocks;
    struct naive granules;
};

static int fill_fine(const struct vmem_bitmap_run *run, void *opaque)
{
    struct pair_of_sources *pair = opaque;
    const struct vmem_range range = { run->first_block * 64 * BENCH_KIB,
                                      run->nr_blocks * 64 * BENCH_KIB };

    bench_check(vmem_source_populate(pair->fine, &range, NULL) == 0);
    if (pair->granules.words != NULL) {
        naive_set(&pair->granules, range.offset / pair->granule,
                  range.size / pair->granule, true);
    }
    return 0;
}

static void pair_init(struct pair_of_sources *pair, uint64_t size,
                      uint64_t granule, const char *pattern, bool naively_too)
{
    memset(pair, 0, sizeof(*pair));
    pair->granule = granule;
    rig_init_source(&pair->rig, size, 2 * BENCH_MIB, pattern);
    pair->fine = rig_add_source(&pair->rig, "private", granule, "empty");
    if (naively_too) {
        naive_init(&pair->blocks, size / (2 * BENCH_MIB));
        naive_init(&pair->granules, size / granule);
        pattern_for_each(pattern, pair->blocks.nr_blocks, fill, &pair->blocks);
    }
    pattern_for_each("half-random", size / (64 * BENCH_KIB), fill_fine, pair);
}

static void pair_destroy(struct pair_of_sources *pair)
{
    bench_check(vmem_source_remove(pair->fine, NULL) == 0);
    rig_destroy(&pair->rig);
    naive_destroy(&pair->blocks);
    naive_destroy(&pair->granules);
}

static uint64_t walk_granules(void *opaque)
{
    struct pair_of_sources *pair = opaque;
    const unsigned shift =
        (unsigned)__builtin_ctzll(2 * BENCH_MIB / pair->granule);
    bool is_open = false;

    nr_runs = 0;
    for (uint64_t i = 0; i < pair->granules.nr_blocks; i++) {
        const bool is_set = naive_is_set(&pair->granules, i) &&
                            naive_is_set(&pair->blocks, i >> shift);

        if (is_open && !is_set) {
            count_run(NULL, NULL);
        }
        is_open = is_set;
    }
    if (is_open) {
        count_run(NULL, NULL);
    }
    return nr_runs;
}

static void measure_sources(uint64_t size, const char *pattern,
                            bool naively_too)
{
    struct bench_case bench = { .unit = "run", .same_result = true };
    struct pair_of_sources fine;
    struct pair_of_sources coarse;

    pair_init(&fine, size, 4 * BENCH_KIB, pattern, naively_too);
    pair_init(&coarse, size, 64 * BENCH_KIB, pattern, false);
    bench.nr_ops = walk(&fine.rig);
    bench.params = g_strdup_printf(
        "region=%s blocks=2M granules=4K pattern=%s runs=%" G_GUINT64_FORMAT,
        bench_size(size), pattern, bench.nr_ops);
    bench.counts =
        g_strdup_printf("callbacks=%" G_GUINT64_FORMAT, bench.nr_ops);
    bench.subject = (struct bench_side){ "two sources", walk, NULL, &fine.rig };
    if (naively_too) {
        bench.name = "combine.naive";
        bench.reference = (struct bench_side){ "a question for each granule",
                                               walk_granules, NULL, &fine };
        bench_measure(&bench);
    }
    bench.name = "combine.granules";
    bench.reference =
        (struct bench_side){ "the same runs in 1/16 of the granules", walk,
                             NULL, &coarse.rig };
    bench.bar = BENCH_AT_MOST;
    bench.bar_value = 1.5;
    bench.row = "combine";
    bench_measure(&bench);
    pair_destroy(&fine);
    pair_destroy(&coarse);
}

int main(int argc, char **argv)
{
    static const char *const patterns[] = {
        "empty", "full", "slab", "pressure", "random", "alternating"
    };
    static const char *const ranges[] = { "page", "block", "whole" };
    static const char *const asked[] = { "full", "slab", "random",
                                         "alternating" };
    static const char *const combined[] = { "full", "slab", "alternating" };

    options = bench_init(argc, argv);
    bench_start_thread();
    for (size_t i = 0; i < G_N_ELEMENTS(ranges); i++) {
        for (size_t p = 0; p < G_N_ELEMENTS(asked); p++) {
            measure_question(BENCH_TIB, 2 * BENCH_MIB, ranges[i], asked[p]);
            measure_question(8 * BENCH_TIB, 2 * BENCH_MIB, ranges[i], asked[p]);
            /* Many runs take long to set up, and are found as quickly. */
            if (!options->quick && p < 2) {
                measure_question(64 * BENCH_TIB, 2 * BENCH_MIB, ranges[i],
                                 asked[p]);
                measure_question(BENCH_TIB, 4 * BENCH_KIB, ranges[i], asked[p]);
            }
        }
    }
    measure_growth_of_whole();
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
        measure_replay(BENCH_TIB, 2 * BENCH_MIB, patterns[i]);
        if (!options->quick) {
            measure_replay(8 * BENCH_TIB, 2 * BENCH_MIB, patterns[i]);
            measure_replay(64 * BENCH_TIB, 2 * BENCH_MIB, patterns[i]);
        }
    }
    if (!options->quick) {
        /* The reference takes seconds. */
        measure_replay(BENCH_TIB, 4 * BENCH_KIB, "full");
        measure_replay(BENCH_TIB, 4 * BENCH_KIB, "slab");
    }
    measure_sources(options->quick ? 64 * BENCH_GIB : BENCH_TIB, "pressure",
                    true);
    for (size_t i = 0; i < G_N_ELEMENTS(combined); i++) {
        measure_sources(64 * BENCH_GIB, combined[i], true);
        if (!options->quick) {
            measure_sources(BENCH_TIB, combined[i], false);
        }
    }
    return 0;
}
