/* SPDX-License-Identifier: BSD-3-Clause */
#include "probe.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <vmem/vm.h>

#include "probe_host.h"
#include "units.h"

#define NR_ROUNDS 5
/* After that a further round is not begun. */
#define PATIENCE_NS ((uint64_t)3000000000)

/* What is measured more than once, of uint64_t nanoseconds. */
struct times {
    GArray *populate_block;
    GArray *populate_all;
    GArray *discard_block;
    GArray *discard_all;
    GArray *discard_empty;
};

/* A measurement that is running. */
struct bench {
    struct probe *probe;
    struct vmem_backing *backing;
    void *hva;
    uint64_t block_size;
    struct times times;
};

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int refuse(struct probe *probe, const char *what, int ret,
                  const struct vmem_error *err)
{
    g_free(probe->reason);
    probe->reason = g_strdup_printf("%s: %s", what,
                                    err != NULL && err->message[0] != '\0'
                                        ? err->message
                                        : g_strerror(-ret));
    return ret;
}

typedef int (*range_call)(struct vmem_backing *backing,
                          const struct vmem_range *range,
                          struct vmem_error *err);

/* Times one call for a piece of the memory. */
static int time_call(struct bench *bench, range_call call, const char *what,
                     uint64_t offset, uint64_t size, GArray *times)
{
    const struct vmem_range range = { offset, size };
    struct vmem_error err = VMEM_ERROR_INIT;
    const uint64_t start_ns = now_ns();
    const int ret = call(bench->backing, &range, &err);
    const uint64_t ns = now_ns() - start_ns;

    if (ret < 0) {
        return refuse(bench->probe, what, ret, &err);
    }
    g_array_append_val(times, ns);
    return 0;
}

/* Piece by piece. */
static int time_calls(struct bench *bench, range_call call, const char *what,
                      uint64_t piece_size, GArray *times)
{
    int ret = 0;

    for (uint64_t offset = 0; offset < bench->probe->size && ret == 0;
         offset += piece_size) {
        ret = time_call(bench, call, what, offset, piece_size, times);
    }
    return ret;
}

static int measure_resident(struct bench *bench, uint64_t *resident)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_error err = VMEM_ERROR_INIT;
    const int ret = vmem_backing_get_usage(bench->backing, NULL, &usage, &err);

    if (ret < 0) {
        return refuse(bench->probe, "cannot measure", ret, &err);
    }
    *resident = usage.resident;
    bench->probe->method = usage.method;
    return 0;
}

/* Is it what was asked for? */
static int check_populated(struct bench *bench)
{
    struct probe *probe = bench->probe;
    const uint64_t huge = probe_host_huge(bench->hva, probe->size);
    const bool is_anon = probe->kind == VMEM_BACKING_ANON;
    g_autofree char *setting =
        probe_host_thp(is_anon ? "enabled" : "shmem_enabled");
    uint64_t resident = 0;
    const int ret = measure_resident(bench, &resident);

    if (ret < 0) {
        return ret;
    }
    probe->populated = MIN(probe->populated, resident);
    probe->huge = MIN(probe->huge, huge);
    if (probe->pages == PROBE_THP && huge == 0) {
        probe->reason = g_strdup_printf(
            "the kernel gave none (transparent_hugepage/%s is \"%s\")",
            is_anon ? "enabled" : "shmem_enabled",
            setting != NULL ? setting : "not there");
        return -ENOTSUP;
    }
    if (probe->pages == PROBE_BASE && huge > 0) {
        probe->reason = g_strdup("the kernel gave huge pages all the same");
        return -ENOTSUP;
    }
    return 0;
}

static int check_discarded(struct bench *bench)
{
    uint64_t resident = 0;
    const int ret = measure_resident(bench, &resident);

    bench->probe->left = MAX(bench->probe->left, resident);
    return ret;
}

/* Populated and discarded, in pieces of a size. */
static int run_pass(struct bench *bench, uint64_t piece_size, GArray *populate,
                    GArray *discard)
{
    int ret = time_calls(bench, vmem_backing_populate, "cannot populate",
                         piece_size, populate);

    if (ret == 0) {
        ret = check_populated(bench);
    }
    if (ret == 0) {
        ret = time_calls(bench, vmem_backing_discard, "cannot discard",
                         piece_size, discard);
    }
    return ret == 0 ? check_discarded(bench) : ret;
}

static int run_rounds(struct bench *bench)
{
    const uint64_t start_ns = now_ns();
    const struct times *times = &bench->times;
    struct probe *probe = bench->probe;
    int ret = 0;

    probe->populated = UINT64_MAX;
    probe->huge = UINT64_MAX;
    while (ret == 0 && probe->nr_rounds < NR_ROUNDS &&
           (probe->nr_rounds == 0 || now_ns() - start_ns < PATIENCE_NS)) {
        ret = run_pass(bench, probe->size, times->populate_all,
                       times->discard_all);
        if (ret == 0) {
            ret = time_calls(bench, vmem_backing_discard, "cannot discard",
                             probe->size, times->discard_empty);
        }
        if (ret == 0) {
            ret = run_pass(bench, bench->block_size, times->populate_block,
                           times->discard_block);
        }
        probe->nr_rounds++;
    }
    return ret;
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t median(GArray *times)
{
    g_array_sort(times, compare_times);
    return g_array_index(times, uint64_t, times->len / 2);
}

static void keep_medians(struct probe *probe, const struct times *times)
{
    probe->populate_block_ns = median(times->populate_block);
    probe->populate_all_ns = median(times->populate_all);
    probe->discard_block_ns = median(times->discard_block);
    probe->discard_all_ns = median(times->discard_all);
    probe->discard_empty_ns = median(times->discard_empty);
}

static int make_backing(struct bench *bench, struct vmem_vm *vm)
{
    struct probe *probe = bench->probe;
    const bool is_file = probe->kind == VMEM_BACKING_FILE;
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = probe->name,
        .path = probe->path,
        .size = probe->size,
        .page_size = probe->pages == PROBE_HUGETLB ? probe->page_size : 0,
        .flags = is_file ? VMEM_BACKING_SHARED : 0,
        .kind = probe->kind,
    };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_error err = VMEM_ERROR_INIT;
    const int ret =
        vmem_backing_new_allocated(vm, &request, &bench->backing, &err);

    if (ret < 0) {
        return refuse(probe, "cannot be made", ret, &err);
    }
    (void)vmem_backing_get_info(bench->backing, &info);
    bench->hva = info.hva;
    probe->uses = info.uses;
    if (probe->pages != PROBE_HUGETLB) {
        /* Advice for this memory alone; a kernel without huge pages refuses it,
         * and what came is looked at anyway. */
        (void)madvise(info.hva, probe->size,
                      probe->pages == PROBE_THP ? MADV_HUGEPAGE
                                                : MADV_NOHUGEPAGE);
    }
    return 0;
}

void probe_measure(struct probe *probe, struct report *report)
{
    const struct vmem_vm_config config = {
        .struct_size = sizeof(config),
        .name = "vmemctl",
        .log = report_log,
        .opaque = report,
    };
    struct bench bench = {
        .probe = probe,
        .block_size = MAX(PROBE_BLOCK, probe->page_size),
    };
    GArray **arrays[] = { &bench.times.populate_block,
                          &bench.times.populate_all, &bench.times.discard_block,
                          &bench.times.discard_all,
                          &bench.times.discard_empty };
    struct vmem_vm *vm = NULL;
    int ret;

    if (probe->reason != NULL) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(arrays); i++) {
        *arrays[i] = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    }
    ret = vmem_vm_new(&config, &vm, NULL);
    ret = ret == 0 ? make_backing(&bench, vm)
                   : refuse(probe, "no machine", ret, NULL);
    if (ret == 0 && run_rounds(&bench) == 0) {
        keep_medians(probe, &bench.times);
    }
    (void)vmem_backing_free(bench.backing, NULL);
    (void)vmem_vm_free(vm, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(arrays); i++) {
        g_array_unref(*arrays[i]);
    }
}
