/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/range.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "host/sys.h"

/* Pages that one call of mincore or one read of pagemap is about, 64 MiB of
 * 4 KiB pages: 16 or 128 KiB of buffer, however large the range is. */
#define PAGES_PER_CALL 16384u

/* Runs that one PAGEMAP_SCAN returns; on the stack, 3 KiB. */
#define RUNS_PER_SCAN 128u

static int open_pagemap(void)
{
    int fd;

    VMEMI_SYS_RETRY(fd, vmemi_sys_get()->open("/proc/self/pagemap",
                                              O_RDONLY | O_CLOEXEC, 0));
    return fd;
}

/* Present but the zero page, or swapped; with skip_file only copies that a
 * private mapping of a file has made. */
static int scan_pagemap(int fd, uint64_t hva, uint64_t end_hva, bool skip_file,
                        uint64_t *resident)
{
    const uint64_t without =
        skip_file ? PAGE_IS_PFNZERO | PAGE_IS_FILE : PAGE_IS_PFNZERO;
    struct page_region runs[RUNS_PER_SCAN];
    struct pm_scan_arg scan = {
        .size = sizeof(scan),
        .start = hva,
        .end = end_hva,
        .vec = (uint64_t)(uintptr_t)runs,
        .vec_len = RUNS_PER_SCAN,
        .category_inverted = without,
        .category_mask = without,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
    };
    uint64_t sum = 0;

    while (scan.start < end_hva) {
        int nr_runs;

        VMEMI_SYS_RETRY(nr_runs, vmemi_sys_get()->pagemap_scan(fd, &scan));
        if (nr_runs < 0) {
            return nr_runs;
        }
        for (unsigned int i = 0; i < (unsigned int)nr_runs; i++) {
            sum += runs[i].end - runs[i].start;
        }
        if (scan.walk_end <= scan.start) {
            return -EIO;
        }
        scan.start = scan.walk_end;
    }
    *resident = sum;
    return 0;
}

/* Before Linux 6.7. The zero page cannot be told from memory here: where
 * discarded memory was only read, this counts too much. */
static int read_pagemap(int fd, uint64_t hva, uint64_t end_hva, bool skip_file,
                        uint64_t *resident)
{
    const uint64_t page_size = vmemi_sys_get()->page_size();
    const uint64_t buffer_size = PAGES_PER_CALL * sizeof(uint64_t);
    uint64_t index = hva / page_size;
    const uint64_t end = end_hva / page_size;
    uint64_t *entries = vmemi_alloc0(buffer_size);
    uint64_t nr_resident = 0;
    int ret = 0;

    if (entries == NULL) {
        return -ENOMEM;
    }
    while (index < end) {
        uint64_t wanted =
            vmemi_min(buffer_size, (end - index) * sizeof(uint64_t));
        int64_t length;

        VMEMI_SYS_RETRY(length,
                        vmemi_sys_get()->pread(fd, entries, wanted,
                                               index * sizeof(uint64_t)));
        if (length < (int64_t)sizeof(uint64_t)) {
            ret = length < 0 ? (int)length : -EIO;
            break;
        }
        for (uint64_t i = 0; i < (uint64_t)length / sizeof(uint64_t); i++) {
            bool is_here = (entries[i] & (VMEMI_PAGEMAP_PRESENT |
                                          VMEMI_PAGEMAP_SWAPPED)) != 0;
            bool is_file = (entries[i] & VMEMI_PAGEMAP_FILE) != 0;

            nr_resident += is_here && !(skip_file && is_file);
        }
        index += (uint64_t)length / sizeof(uint64_t);
    }
    vmemi_free(entries);
    *resident = nr_resident * page_size;
    return ret;
}

static int count_pagemap(const struct vmemi_memory *memory,
                         const struct vmem_range *range, bool skip_file,
                         uint64_t *resident)
{
    const uint64_t hva = (uint64_t)(uintptr_t)memory->hva + range->offset;
    int fd = open_pagemap();
    int ret;

    if (fd < 0) {
        return fd;
    }
    ret = scan_pagemap(fd, hva, hva + range->size, skip_file, resident);
    if (ret < 0) {
        ret = read_pagemap(fd, hva, hva + range->size, skip_file, resident);
    }
    (void)vmemi_sys_get()->close(fd);
    return ret;
}

static int count_mincore(const struct vmemi_memory *memory,
                         const struct vmem_range *range, uint64_t *resident)
{
    const uint64_t page_size = vmemi_sys_get()->page_size();
    const uint64_t end = vmemi_range_end(range);
    uint64_t offset = range->offset;
    unsigned char *pages = vmemi_alloc0(PAGES_PER_CALL);
    uint64_t nr_resident = 0;
    int ret = 0;

    if (pages == NULL) {
        return -ENOMEM;
    }
    while (offset < end && ret == 0) {
        uint64_t size = vmemi_min(end - offset, PAGES_PER_CALL * page_size);

        VMEMI_SYS_RETRY(
            ret, vmemi_sys_get()->mincore(memory->hva + offset, size, pages));
        for (uint64_t i = 0; ret == 0 && i < size / page_size; i++) {
            nr_resident += pages[i] & 1;
        }
        offset += size;
    }
    vmemi_free(pages);
    *resident = nr_resident * page_size;
    return ret;
}

/* Sums the data between two offsets of a file; fd's position is changed. */
static int sum_data(int fd, uint64_t start, uint64_t end, uint64_t *resident)
{
    const struct vmemi_sys *sys = vmemi_sys_get();
    uint64_t sum = 0;

    while (start < end) {
        int64_t data = sys->lseek(fd, (int64_t)start, SEEK_DATA);
        int64_t hole;

        if (data == -ENXIO || data >= (int64_t)end) {
            break; /* only holes follow */
        }
        if (data < 0) {
            return (int)data;
        }
        hole = sys->lseek(fd, data, SEEK_HOLE);
        if (hole == -ENXIO || hole == data) {
            /* Somebody made a hole of it in between. */
            hole = data +
                   (int64_t)vmemi_min(sys->page_size(), end - (uint64_t)data);
        } else if (hole < 0) {
            return (int)hole;
        } else {
            sum += vmemi_min((uint64_t)hole, end) - (uint64_t)data;
        }
        start = (uint64_t)hole;
    }
    *resident = sum;
    return 0;
}

/* Seeking moves the position that the host's descriptor may share with others;
 * a descriptor of its own has one of its own. Where it cannot be had, without
 * /proc say, the host's is used and its position put back. */
static int count_data(const struct vmemi_memory *memory,
                      const struct vmem_range *range, uint64_t *resident)
{
    const struct vmemi_sys *sys = vmemi_sys_get();
    const uint64_t start = memory->fd_offset + range->offset;
    const uint64_t end = start + range->size;
    char path[32];
    int64_t position;
    int fd;
    int ret;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", memory->fd);
    VMEMI_SYS_RETRY(fd, sys->open(path, O_RDONLY | O_CLOEXEC, 0));
    if (fd >= 0) {
        ret = sum_data(fd, start, end, resident);
        (void)sys->close(fd);
        return ret;
    }
    position = sys->lseek(memory->fd, 0, SEEK_CUR);
    ret = sum_data(memory->fd, start, end, resident);
    if (position >= 0) {
        (void)sys->lseek(memory->fd, position, SEEK_SET);
    }
    return ret;
}

/* The blocks of the whole file, if the range is all of it. They are exact; an
 * extent of data is not: memory of tmpfs that was allocated in advance looks
 * like a hole, and all of hugetlbfs looks like data. False: only a part. */
static bool is_whole_file(const struct vmemi_memory *memory,
                          const struct vmem_range *range,
                          const struct stat *status)
{
    return memory->fd_offset + range->offset == 0 &&
           range->size >= (uint64_t)status->st_size;
}

static int count_file(const struct vmemi_memory *memory,
                      const struct vmem_range *range,
                      struct vmem_backing_usage *usage)
{
    struct stat status;
    int ret = vmemi_sys_get()->fstat(memory->fd, &status);

    if (ret < 0) {
        return ret;
    }
    if (is_whole_file(memory, range, &status)) {
        /* On disk this includes blocks that tell where the others are. */
        usage->resident = vmemi_min(
            (uint64_t)status.st_blocks * VMEMI_STAT_BLOCK_SIZE, range->size);
        usage->method = VMEM_USAGE_ST_BLOCKS;
        return 0;
    }
    if (memory->kind == VMEM_BACKING_HUGETLB_MEMFD) {
        usage->method = VMEM_USAGE_MINCORE;
        return count_mincore(memory, range, &usage->resident);
    }
    usage->method = VMEM_USAGE_SEEK_DATA;
    return count_data(memory, range, &usage->resident);
}

int vmemi_memory_usage(struct vmem_backing *backing,
                       const struct vmem_range *range,
                       struct vmem_backing_usage *usage)
{
    const struct vmemi_memory *memory = backing->impl;
    uint64_t copies = 0;
    int ret;

    if (memory->fd < 0 && vmemi_memory_is_shared(memory)) {
        usage->method = VMEM_USAGE_MINCORE;
        return count_mincore(memory, range, &usage->resident);
    }
    if (memory->fd < 0) {
        usage->method = VMEM_USAGE_PAGEMAP;
        return count_pagemap(memory, range, false, &usage->resident);
    }
    ret = count_file(memory, range, usage);
    /* A private mapping has copies besides; mincore saw them already. */
    if (ret == 0 && !vmemi_memory_is_shared(memory) &&
        usage->method != VMEM_USAGE_MINCORE) {
        ret = count_pagemap(memory, range, true, &copies);
        usage->resident += copies;
    }
    return ret;
}
