/* SPDX-License-Identifier: BSD-3-Clause */
/* Discarding and populating real memory, against the same system calls issued by
 * the benchmark itself. */
#include <pthread.h>
#include <string.h>

#include "bench.h"
#include "memory.h"
#include "setting.h"

#define SIZE (64 * BENCH_MIB)
/* A huge page goes in a few hundred ns. */
#define HUGE_SIZE (128 * BENCH_MIB)
/* The least that is worth a second thread. */
#define QUICK_SIZE (2 * VMEM_BACKING_POPULATE_SHARE)
#define NR_THREADS 2

static const struct bench_options *options;

/* ---- the two sides ---- */

static void fill_ours_raw(void *opaque)
{
    memory_populate_ours(opaque);
}

static void fill_own_raw(void *opaque)
{
    struct memory *memory = opaque;

    memory_populate_own(memory, 0, memory->size);
}

static uint64_t discard_ours(void *opaque)
{
    struct memory *memory = opaque;
    const struct vmem_range all = { 0, memory->size };

    bench_check(vmem_backing_discard(memory->backing, &all, NULL) == 0);
    return 0;
}

static uint64_t discard_own(void *opaque)
{
    struct memory *memory = opaque;

    memory_discard_own(memory, 0, memory->size);
    return 0;
}

static uint64_t discard_own_by_block(void *opaque)
{
    struct memory *memory = opaque;

    for (uint64_t offset = 0; offset < memory->size; offset += MEMORY_BLOCK) {
        memory_discard_own(memory, offset, MEMORY_BLOCK);
    }
    return 0;
}

static void empty_ours(void *opaque)
{
    discard_ours(opaque);
}

static void empty_own(void *opaque)
{
    discard_own(opaque);
}

/* By as many threads as the backing was made with. */
static uint64_t fill_ours(void *opaque)
{
    struct memory *memory = opaque;
    const struct vmem_range all = { 0, memory->size };

    bench_check(vmem_backing_populate(memory->backing, &all, NULL) == 0);
    return 0;
}

static uint64_t fill_own(void *opaque)
{
    fill_own_raw(opaque);
    return 0;
}

/* ---- threads of the benchmark's own ---- */

struct part {
    pthread_t thread;
    struct memory *memory;
    struct vmem_range range;
};

static void *fill_part_ours(void *opaque)
{
    struct part *part = opaque;

    bench_check(
        vmem_backing_populate(part->memory->backing, &part->range, NULL) == 0);
    return NULL;
}

static void *fill_part_own(void *opaque)
{
    struct part *part = opaque;

    memory_populate_own(part->memory, part->range.offset, part->range.size);
    return NULL;
}

/* The calling thread is one of them. */
static uint64_t with_threads(struct memory *memory, void *(*fill)(void *))
{
    struct part parts[NR_THREADS];

    for (unsigned i = 0; i < NR_THREADS; i++) {
        parts[i].memory = memory;
        parts[i].range.size = memory->size / NR_THREADS;
        parts[i].range.offset = i * parts[i].range.size;
        if (i > 0) {
            bench_check(
                pthread_create(&parts[i].thread, NULL, fill, &parts[i]) == 0);
        }
    }
    fill(&parts[0]);
    for (unsigned i = 1; i < NR_THREADS; i++) {
        pthread_join(parts[i].thread, NULL);
    }
    return 0;
}

static uint64_t fill_ours_with_threads(void *opaque)
{
    return with_threads(opaque, fill_part_ours);
}

static uint64_t fill_own_with_threads(void *opaque)
{
    return with_threads(opaque, fill_part_own);
}

/* ---- */

/* What one populate of all of it does. */
static void count_fill(struct bench_case *bench, struct memory *memory)
{
    const uint64_t nr_syscalls = memory_nr_syscalls(memory);
    const uint64_t nr_threads = memory_nr_threads(memory);

    fill_ours(memory);
    bench->counts = g_strdup_printf("syscalls=%" G_GUINT64_FORMAT
                                    " threads=%" G_GUINT64_FORMAT,
                                    memory_nr_syscalls(memory) - nr_syscalls,
                                    memory_nr_threads(memory) - nr_threads);
}

static void measure_discard(struct memory *memory, struct bench_case *bench)
{
    const uint64_t before = memory_nr_syscalls(memory);

    memory_populate_ours(memory);
    discard_ours(memory);
    bench->counts = g_strdup_printf("syscalls=%" G_GUINT64_FORMAT,
                                    memory_nr_syscalls(memory) - before);
    bench->name = "discard";
    bench->subject =
        (struct bench_side){ "backing", discard_ours, fill_ours_raw, memory };
    bench->reference = (struct bench_side){ "the same calls", discard_own,
                                            fill_own_raw, memory };
    bench->bar = BENCH_AT_LEAST;
    bench->bar_value = 0.95;
    bench->row = "discard";
    bench_measure(bench);
    bench->name = "discard.by-block";
    bench->reference =
        (struct bench_side){ "the same calls for each block",
                             discard_own_by_block, fill_own_raw, memory };
    bench->bar = BENCH_NO_BAR;
    bench->row = NULL;
    bench_measure(bench);
    /* Nothing is there: only the number of calls counts. */
    bench->name = "discard.empty";
    bench->subject.before = bench->reference.before = NULL;
    discard_ours(memory);
    discard_own(memory);
    bench_measure(bench);
}

static void measure_populate(struct memory *memory, struct bench_case *bench)
{
    count_fill(bench, memory);
    bench->name = "populate";
    bench->subject =
        (struct bench_side){ "backing", fill_ours, empty_ours, memory };
    bench->reference = (struct bench_side){ "MADV_POPULATE_WRITE", fill_own,
                                            empty_own, memory };
    bench_measure(bench);
    bench->name = "populate.host-threads";
    bench->params = g_strdup_printf("%s threads=%d", bench->params, NR_THREADS);
    bench->clock = BENCH_WALL;
    bench->subject =
        (struct bench_side){ "threads of the host", fill_ours_with_threads,
                             empty_ours, memory };
    bench->reference =
        (struct bench_side){ "MADV_POPULATE_WRITE by as many threads",
                             fill_own_with_threads, empty_own, memory };
    bench_measure(bench);
}

/* A backing that was made to start them itself. */
static void measure_threads(struct memory *memory, struct bench_case *bench)
{
    count_fill(bench, memory);
    bench->name = "populate.threads";
    bench->subject = (struct bench_side){ "threads of the library", fill_ours,
                                          empty_ours, memory };
    bench->reference =
        (struct bench_side){ "MADV_POPULATE_WRITE by as many threads",
                             fill_own_with_threads, empty_own, memory };
    bench->bar = BENCH_AT_LEAST;
    bench->bar_value = 0.9;
    bench->row = "populate-threads";
    bench_measure(bench);
}

static void leave_out(struct bench_case *bench, const char *why_not)
{
    bench->name = "discard";
    bench->row = "discard";
    bench_leave_out(bench, "%s", why_not);
    bench->name = "populate.threads";
    bench->row = "populate-threads";
    bench_leave_out(bench, "%s", why_not);
}

static bool is_hugetlb(const struct memory_kind *kind)
{
    return kind->kind == VMEM_BACKING_HUGETLB_ANON ||
           kind->kind == VMEM_BACKING_HUGETLB_MEMFD;
}

/* What the machine must be told first; why it cannot, or NULL. */
static const char *prepare(const struct memory_kind *kind, uint64_t size)
{
    if (kind->kind == VMEM_BACKING_MEMFD && kind->huge_advice) {
        return setting_shared_huge_pages();
    }
    if (is_hugetlb(kind)) {
        return setting_huge_page_pool((unsigned)(2 * size / MEMORY_BLOCK));
    }
    return NULL;
}

static void measure(const struct memory_kind *kind)
{
    const uint64_t size = options->quick     ? QUICK_SIZE
                          : is_hugetlb(kind) ? HUGE_SIZE
                                             : SIZE;
    struct bench_case bench = { .name = "discard", .speed = true };
    const char *why_not = prepare(kind, size);
    struct memory memory;

    bench.params =
        g_strdup_printf("backing=%s size=%s", kind->name, bench_size(size));
    bench.unit = "block of 2 MiB";
    bench.nr_ops = size / MEMORY_BLOCK;
    if (why_not == NULL) {
        why_not = memory_init(&memory, kind, size, 0);
        if (why_not == NULL) {
            measure_discard(&memory, &bench);
            measure_populate(&memory, &bench);
        }
        memory_destroy(&memory);
    }
    if (why_not != NULL) {
        leave_out(&bench, why_not);
    } else {
        bench_check(memory_init(&memory, kind, size, NR_THREADS) == NULL);
        measure_threads(&memory, &bench);
        memory_destroy(&memory);
    }
    setting_restore();
}

int main(int argc, char **argv)
{
    static const struct memory_kind kinds[] = {
        { "anon", VMEM_BACKING_ANON, false },
        { "anon-thp", VMEM_BACKING_ANON, true },
        { "anon-shared", VMEM_BACKING_ANON_SHARED, false },
        { "memfd", VMEM_BACKING_MEMFD, false },
        { "memfd-thp", VMEM_BACKING_MEMFD, true },
        { "file", VMEM_BACKING_FILE, false },
        { "hugetlb-anon", VMEM_BACKING_HUGETLB_ANON, false },
        { "hugetlb-memfd", VMEM_BACKING_HUGETLB_MEMFD, false },
    };

    options = bench_init(argc, argv);
    bench_start_thread();
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        measure(&kinds[i]);
    }
    return 0;
}
