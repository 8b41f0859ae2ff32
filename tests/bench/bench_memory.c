/* SPDX-License-Identifier: BSD-3-Clause */
/* Discarding and populating real memory, against the same system calls issued by
 * the benchmark itself. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define SIZE (64 * BENCH_MIB)
#define QUICK_SIZE (16 * BENCH_MIB)
#define BLOCK (2 * BENCH_MIB)
#define NR_THREADS 2

static const struct bench_options *options;

struct kind {
    const char *name;
    uint32_t kind;
    int memfd_flags; /* -1: no memfd */
    uint64_t page_size;
    bool huge_advice; /* transparent huge pages are asked for */
};

/* The same memory twice: the library's, and the benchmark's own. */
struct memory {
    const struct kind *kind;
    uint64_t size;
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_backing_info info;
    char *own; /* mapped like the library's */
    int own_fd;
    uint64_t nr_raw_syscalls;
};

static void keep_quiet(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    (void)opaque;
}

/* Aligned as the library's mapping is, so that huge pages fit. */
static char *map_own(struct memory *memory)
{
    const struct kind *kind = memory->kind;
    const uint64_t room = memory->size + BLOCK;
    char *reserved;
    char *hva;

    reserved = mmap(NULL, room, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bench_check(reserved != MAP_FAILED);
    hva = (char *)(((uintptr_t)reserved + BLOCK - 1) & ~(uintptr_t)(BLOCK - 1));
    if (kind->memfd_flags < 0) {
        hva = mmap(hva, memory->size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                   0);
    } else {
        memory->own_fd =
            memfd_create("bench", (unsigned)kind->memfd_flags | MFD_CLOEXEC);
        bench_check(memory->own_fd >= 0 &&
                    ftruncate(memory->own_fd, (off_t)memory->size) == 0);
        hva = mmap(hva, memory->size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_NORESERVE | MAP_FIXED, memory->own_fd, 0);
    }
    return hva == MAP_FAILED ? NULL : hva;
}

/* Does the kernel make huge pages of shared memory where it is asked to? */
static bool has_shared_huge_pages(void)
{
    char *text = NULL;
    bool has =
        g_file_get_contents("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
                            &text, NULL, NULL) &&
        strstr(text, "[never]") == NULL && strstr(text, "[deny]") == NULL;

    g_free(text);
    return has;
}

/* Why not, or NULL. */
static const char *memory_init(struct memory *memory, const struct kind *kind)
{
    const struct vmem_vm_config vm = { .struct_size = sizeof(vm),
                                       .name = "bench",
                                       .log = keep_quiet };
    struct vmem_backing_request request = {
        .struct_size = sizeof(request),
        .name = "memory",
        .size = options->quick ? QUICK_SIZE : SIZE,
        .page_size = kind->page_size,
        .kind = kind->kind,
    };

    memset(memory, 0, sizeof(*memory));
    memory->kind = kind;
    memory->size = request.size;
    memory->own_fd = -1;
    bench_check(vmem_vm_new(&vm, &memory->vm, NULL) == 0);
    if (vmem_backing_new_allocated(memory->vm, &request, &memory->backing,
                                   NULL) < 0) {
        return "the library cannot make it on this machine";
    }
    memory->info.struct_size = sizeof(memory->info);
    bench_check(vmem_backing_get_info(memory->backing, &memory->info) == 0);
    memory->own = map_own(memory);
    if (memory->own == NULL) {
        return "this machine has no room for it twice";
    }
    if (madvise(memory->own, memory->size,
                kind->huge_advice ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) != 0 ||
        madvise(memory->info.hva, memory->size,
                kind->huge_advice ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) != 0) {
        if (kind->huge_advice) {
            return "this kernel has no transparent huge pages";
        }
    }
    if (kind->huge_advice && kind->memfd_flags >= 0 &&
        !has_shared_huge_pages()) {
        return "transparent huge pages of shared memory are switched off";
    }
    if (madvise(memory->info.hva, memory->size, MADV_POPULATE_WRITE) != 0 ||
        madvise(memory->own, memory->size, MADV_POPULATE_WRITE) != 0) {
        return "there is too little of this memory, or the kernel is older "
               "than 5.14";
    }
    return NULL;
}

static void memory_destroy(struct memory *memory)
{
    if (memory->own != NULL) {
        munmap(memory->own, memory->size);
    }
    if (memory->own_fd >= 0) {
        close(memory->own_fd);
    }
    bench_check(vmem_backing_free(memory->backing, NULL) == 0);
    bench_check(vmem_vm_free(memory->vm, NULL) == 0);
}

/* ---- the two sides ---- */

static void populate_hva(void *hva, uint64_t size)
{
    bench_check(madvise(hva, size, MADV_POPULATE_WRITE) == 0);
}

static void populate_ours(void *opaque)
{
    struct memory *memory = opaque;

    populate_hva(memory->info.hva, memory->size);
}

static void populate_own(void *opaque)
{
    struct memory *memory = opaque;

    populate_hva(memory->own, memory->size);
}

/* The sequence that the library says it uses. */
static void discard_raw(struct memory *memory, uint64_t offset, uint64_t size)
{
    const uint64_t uses = memory->info.discard;

    if ((uses & VMEM_BACKING_USES_PUNCH_HOLE) != 0) {
        bench_check(fallocate(memory->own_fd,
                              FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              (off_t)offset, (off_t)size) == 0);
    }
    if ((uses & VMEM_BACKING_USES_REMOVE) != 0) {
        bench_check(madvise(memory->own + offset, size, MADV_REMOVE) == 0);
    }
    if ((uses & (VMEM_BACKING_USES_DONTNEED |
                 VMEM_BACKING_USES_DONTNEED_TABLES)) != 0) {
        bench_check(madvise(memory->own + offset, size, MADV_DONTNEED) == 0);
    }
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

    discard_raw(memory, 0, memory->size);
    return 0;
}

static uint64_t discard_own_by_block(void *opaque)
{
    struct memory *memory = opaque;

    for (uint64_t offset = 0; offset < memory->size; offset += BLOCK) {
        discard_raw(memory, offset, BLOCK);
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

static uint64_t fill_ours(void *opaque)
{
    struct memory *memory = opaque;
    const struct vmem_range all = { 0, memory->size };

    bench_check(vmem_backing_populate(memory->backing, &all, NULL) == 0);
    return 0;
}

static uint64_t fill_own(void *opaque)
{
    populate_own(opaque);
    return 0;
}

/* ---- the same with threads of the host ---- */

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

    populate_hva(part->memory->own + part->range.offset, part->range.size);
    return NULL;
}

static uint64_t with_threads(struct memory *memory, void *(*fill)(void *))
{
    struct part parts[NR_THREADS];

    for (unsigned i = 0; i < NR_THREADS; i++) {
        parts[i].memory = memory;
        parts[i].range.size = memory->size / NR_THREADS;
        parts[i].range.offset = i * parts[i].range.size;
        bench_check(pthread_create(&parts[i].thread, NULL, fill, &parts[i]) ==
                    0);
    }
    for (unsigned i = 0; i < NR_THREADS; i++) {
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

static uint64_t nr_syscalls(const struct memory *memory)
{
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };

    bench_check(vmem_backing_get_stats(memory->backing, &stats) == 0);
    return stats.nr_syscalls;
}

static void measure_discard(struct memory *memory, struct bench_case *bench)
{
    const uint64_t before = nr_syscalls(memory);

    populate_ours(memory);
    discard_ours(memory);
    bench->counts = g_strdup_printf("syscalls=%" G_GUINT64_FORMAT,
                                    nr_syscalls(memory) - before);
    bench->name = "discard";
    bench->subject =
        (struct bench_side){ "backing", discard_ours, populate_ours, memory };
    bench->reference = (struct bench_side){ "the same calls", discard_own,
                                            populate_own, memory };
    bench->bar = BENCH_AT_LEAST;
    bench->bar_value = 0.95;
    bench->row = "discard";
    bench_measure(bench);
    bench->name = "discard.by-block";
    bench->reference =
        (struct bench_side){ "the same calls for each block",
                             discard_own_by_block, populate_own, memory };
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
    const uint64_t before = nr_syscalls(memory);

    fill_ours(memory);
    bench->counts = g_strdup_printf("syscalls=%" G_GUINT64_FORMAT,
                                    nr_syscalls(memory) - before);
    bench->name = "populate";
    bench->subject =
        (struct bench_side){ "backing", fill_ours, empty_ours, memory };
    bench->reference = (struct bench_side){ "MADV_POPULATE_WRITE", fill_own,
                                            empty_own, memory };
    bench_measure(bench);
    bench->name = "populate.threads";
    bench->params = g_strdup_printf("%s threads=%d", bench->params, NR_THREADS);
    bench->clock = BENCH_WALL;
    bench->subject =
        (struct bench_side){ "threads of the host", fill_ours_with_threads,
                             empty_ours, memory };
    bench->reference =
        (struct bench_side){ "raw threads", fill_own_with_threads, empty_own,
                             memory };
    bench->bar = BENCH_AT_LEAST;
    bench->bar_value = 0.9;
    bench->row = "populate-threads";
    bench_measure(bench);
}

static void measure(const struct kind *kind)
{
    struct memory memory;
    struct bench_case bench = { .name = "discard", .speed = true };
    const char *why_not = memory_init(&memory, kind);

    bench.params = g_strdup_printf("backing=%s size=%s", kind->name,
                                   bench_size(memory.size));
    if (why_not != NULL) {
        bench.row = "discard";
        bench_leave_out(&bench, "%s", why_not);
        bench.name = "populate.threads";
        bench.row = "populate-threads";
        bench_leave_out(&bench, "%s", why_not);
        memory_destroy(&memory);
        return;
    }
    bench.unit = "block of 2 MiB";
    bench.nr_ops = memory.size / BLOCK;
    measure_discard(&memory, &bench);
    measure_populate(&memory, &bench);
    memory_destroy(&memory);
}

int main(int argc, char **argv)
{
    static const struct kind kinds[] = {
        { "anon", VMEM_BACKING_ANON, -1, 0, false },
        { "anon-thp", VMEM_BACKING_ANON, -1, 0, true },
        { "memfd", VMEM_BACKING_MEMFD, 0, 0, false },
        { "memfd-thp", VMEM_BACKING_MEMFD, 0, 0, true },
        { "hugetlb-memfd", VMEM_BACKING_HUGETLB_MEMFD, MFD_HUGETLB, 0, false },
    };

    options = bench_init(argc, argv);
    bench_start_thread();
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        measure(&kinds[i]);
    }
    return 0;
}
