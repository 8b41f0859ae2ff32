/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static void keep_quiet(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    (void)opaque;
}

static bool is_huge(const struct memory_kind *kind)
{
    return kind->kind == VMEM_BACKING_HUGETLB_ANON ||
           kind->kind == VMEM_BACKING_HUGETLB_MEMFD;
}

static char *new_path(const char *name)
{
    return g_strdup_printf("/var/tmp/vmem-bench-%s-%d", name, (int)getpid());
}

/* -1: this kind has none. */
static int open_own(const struct memory_kind *kind)
{
    char *path;
    int fd;

    switch (kind->kind) {
    case VMEM_BACKING_MEMFD:
        return memfd_create("bench", MFD_CLOEXEC);
    case VMEM_BACKING_HUGETLB_MEMFD:
        return memfd_create("bench", MFD_CLOEXEC | MFD_HUGETLB);
    case VMEM_BACKING_FILE:
        path = new_path("own");
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        unlink(path);
        g_free(path);
        return fd;
    default:
        return -1;
    }
}

/* Aligned as the library's mapping is, so that huge pages fit. */
static char *map_own(struct memory *memory)
{
    const uint32_t kind = memory->kind->kind;
    int flags = kind == VMEM_BACKING_ANON || kind == VMEM_BACKING_HUGETLB_ANON
                    ? MAP_PRIVATE
                    : MAP_SHARED;
    char *reserved = mmap(NULL, memory->size + MEMORY_BLOCK, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *hva = (char *)(((uintptr_t)reserved + MEMORY_BLOCK - 1) &
                         ~(MEMORY_BLOCK - 1));

    bench_check(reserved != MAP_FAILED);
    memory->own_fd = open_own(memory->kind);
    if (memory->own_fd >= 0) {
        bench_check(ftruncate(memory->own_fd, (off_t)memory->size) == 0);
    } else {
        flags |= MAP_ANONYMOUS | (is_huge(memory->kind) ? MAP_HUGETLB : 0);
    }
    hva = mmap(hva, memory->size, PROT_READ | PROT_WRITE,
               flags | MAP_NORESERVE | MAP_FIXED, memory->own_fd, 0);
    return hva == MAP_FAILED ? NULL : hva;
}

static const char *advise(struct memory *memory)
{
    const int advice =
        memory->kind->huge_advice ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;

    if (is_huge(memory->kind)) {
        return NULL;
    }
    if ((madvise(memory->own, memory->size, advice) != 0 ||
         madvise(memory->info.hva, memory->size, advice) != 0) &&
        memory->kind->huge_advice) {
        return "this kernel has no transparent huge pages";
    }
    return NULL;
}

const char *memory_init(struct memory *memory, const struct memory_kind *kind,
                        uint64_t size, uint64_t populate_threads)
{
    const struct vmem_vm_config vm = { .struct_size = sizeof(vm),
                                       .name = "bench",
                                       .log = keep_quiet };
    char *path = kind->kind == VMEM_BACKING_FILE ? new_path("ours") : NULL;
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "memory",
        .path = path,
        .size = size,
        .kind = kind->kind,
        .flags = path != NULL ? VMEM_BACKING_SHARED : 0,
        .populate_threads = populate_threads,
    };
    const char *why_not;
    int ret;

    memset(memory, 0, sizeof(*memory));
    memory->kind = kind;
    memory->size = size;
    memory->own_fd = -1;
    bench_check(vmem_vm_new(&vm, &memory->vm, NULL) == 0);
    ret = vmem_backing_new_allocated(memory->vm, &request, &memory->backing,
                                     NULL);
    if (path != NULL) {
        unlink(path);
        g_free(path);
    }
    if (ret < 0) {
        return "the library cannot make it on this machine";
    }
    memory->info.struct_size = sizeof(memory->info);
    bench_check(vmem_backing_get_info(memory->backing, &memory->info) == 0);
    memory->own = map_own(memory);
    if (memory->own == NULL) {
        return "this machine has no room for it twice";
    }
    why_not = advise(memory);
    if (why_not != NULL) {
        return why_not;
    }
    if (madvise(memory->info.hva, size, MADV_POPULATE_WRITE) != 0 ||
        madvise(memory->own, size, MADV_POPULATE_WRITE) != 0) {
        return "there is too little of this memory, or the kernel is older "
               "than 5.14";
    }
    return NULL;
}

void memory_destroy(struct memory *memory)
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

void memory_populate_ours(struct memory *memory)
{
    bench_check(madvise(memory->info.hva, memory->size, MADV_POPULATE_WRITE) ==
                0);
}

void memory_populate_own(struct memory *memory, uint64_t offset, uint64_t size)
{
    bench_check(madvise(memory->own + offset, size, MADV_POPULATE_WRITE) == 0);
}

void memory_discard_own(struct memory *memory, uint64_t offset, uint64_t size)
{
    const uint64_t uses = memory->info.uses;

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

static struct vmem_backing_stats stats_of(const struct memory *memory)
{
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };

    bench_check(vmem_backing_get_stats(memory->backing, &stats) == 0);
    return stats;
}

uint64_t memory_nr_syscalls(const struct memory *memory)
{
    return stats_of(memory).nr_syscalls;
}

uint64_t memory_nr_threads(const struct memory *memory)
{
    return stats_of(memory).nr_threads;
}
