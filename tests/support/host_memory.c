/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/host_memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host/kernel.h"

#define POOL_PATH "/proc/sys/vm/nr_hugepages"

static const struct {
    const char *name;
    bool is_shared;
    bool is_huge;
    bool has_fd;
} kinds[HOST_KINDS] = {
    [HOST_ANON] = { "anonymous", false, false, false },
    [HOST_ANON_SHARED] = { "anonymous shared", true, false, false },
    [HOST_MEMFD] = { "memfd", true, false, true },
    [HOST_MEMFD_PRIVATE] = { "memfd, private", false, false, true },
    [HOST_TMPFS] = { "tmpfs file", true, false, true },
    [HOST_DISK] = { "disk file", true, false, true },
    [HOST_DISK_PRIVATE] = { "disk file, private", false, false, true },
    [HOST_HUGE_ANON] = { "huge anonymous", false, true, false },
    [HOST_HUGE_ANON_SHARED] = { "huge anonymous shared", true, true, false },
    [HOST_HUGE_MEMFD] = { "huge memfd", true, true, true },
    [HOST_HUGE_MEMFD_PRIVATE] = { "huge memfd, private", false, true, true },
};

const char *host_kind_name(enum host_kind kind)
{
    return kinds[kind].name;
}

bool host_kind_is_shared(enum host_kind kind)
{
    return kinds[kind].is_shared;
}

bool host_kind_is_huge(enum host_kind kind)
{
    return kinds[kind].is_huge;
}

bool host_kind_has_fd(enum host_kind kind)
{
    return kinds[kind].has_fd;
}

static const char *find_folder(bool on_disk)
{
    static const char *const folders[] = { "/var/tmp", "/tmp", ".", "/dev/shm",
                                           "/run" };

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        struct statfs fs;

        if (statfs(folders[i], &fs) == 0 && access(folders[i], W_OK) == 0 &&
            (fs.f_type == TMPFS_MAGIC) != on_disk) {
            return folders[i];
        }
    }
    return NULL;
}

int host_path(bool on_disk, char *path, size_t size)
{
    static unsigned int number;
    const char *folder = find_folder(on_disk);

    if (folder == NULL) {
        return -ENOENT;
    }
    snprintf(path, size, "%s/vmem-test-%d-%u", folder, (int)getpid(), number++);
    return 0;
}

static int unlinked_file(bool on_disk)
{
    char path[64];
    int fd;

    if (host_path(on_disk, path, sizeof(path)) < 0) {
        return -ENOENT;
    }
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    unlink(path);
    return fd;
}

int host_disk_file(void)
{
    return unlinked_file(true);
}

static int make_fd(enum host_kind kind)
{
    unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd;

    if (kind == HOST_TMPFS || kind == HOST_DISK || kind == HOST_DISK_PRIVATE) {
        return unlinked_file(kind != HOST_TMPFS);
    }
    if (kinds[kind].is_huge) {
        flags |= MFD_HUGETLB | 21u << MAP_HUGE_SHIFT;
    }
    fd = memfd_create("test", flags);
    return fd < 0 ? -errno : fd;
}

int host_memory_make(struct host_memory *memory, enum host_kind kind,
                     size_t size, size_t fd_offset)
{
    const size_t alignment = MIB(2);
    int flags = kinds[kind].is_shared ? MAP_SHARED : MAP_PRIVATE;
    char *start;
    char *end;
    char *hva;

    *memory = (struct host_memory){ .kind = kind, .size = size, .fd = -1 };
    if (kinds[kind].has_fd) {
        memory->fd = make_fd(kind);
        if (memory->fd < 0) {
            return memory->fd;
        }
        memory->fd_offset = fd_offset;
        if (ftruncate(memory->fd, (off_t)(fd_offset + size + HUGE_PAGE)) < 0) {
            return -errno;
        }
    } else {
        flags |= MAP_ANONYMOUS;
    }
    if (kinds[kind].is_huge && memory->fd < 0) {
        flags |= MAP_HUGETLB | 21 << MAP_HUGE_SHIFT;
    }
    start = mmap(NULL, size + alignment, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return -errno;
    }
    end = start + size + alignment;
    hva = (char *)(((uintptr_t)start + alignment - 1) & ~(alignment - 1));
    if (mmap(hva, size, PROT_READ | PROT_WRITE,
             flags | MAP_NORESERVE | MAP_FIXED, memory->fd,
             (off_t)memory->fd_offset) == MAP_FAILED) {
        return -errno;
    }
    munmap(start, (size_t)(hva - start));
    munmap(hva + size, (size_t)(end - (hva + size)));
    memory->hva = hva;
    return 0;
}

void host_memory_free(struct host_memory *memory)
{
    if (memory->hva != NULL) {
        munmap(memory->hva, memory->size);
    }
    if (memory->fd >= 0) {
        close(memory->fd);
    }
    memory->hva = NULL;
    memory->fd = -1;
}

int64_t host_file_blocks(int fd)
{
    struct stat status;

    return fstat(fd, &status) < 0 ? -1 : (int64_t)status.st_blocks * 512;
}

int64_t host_file_data(int fd, size_t start, size_t end)
{
    int64_t sum = 0;
    off_t at = (off_t)start;

    while (at < (off_t)end) {
        off_t data = lseek(fd, at, SEEK_DATA);

        if (data < 0 || data >= (off_t)end) {
            return data < 0 && errno != ENXIO ? -1 : sum;
        }
        at = lseek(fd, data, SEEK_HOLE);
        if (at < 0) {
            return -1;
        }
        sum += (at < (off_t)end ? at : (off_t)end) - data;
    }
    return sum;
}

int64_t host_mincore(const void *hva, size_t size)
{
    const size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *pages = calloc(size / page_size, 1);
    int64_t sum = 0;

    if (pages == NULL || mincore((void *)(uintptr_t)hva, size, pages) < 0) {
        free(pages);
        return -1;
    }
    for (size_t i = 0; i < size / page_size; i++) {
        sum += (pages[i] & 1) != 0 ? (int64_t)page_size : 0;
    }
    free(pages);
    return sum;
}

int64_t host_pagemap(const void *hva, size_t size)
{
    struct page_region runs[64];
    struct pm_scan_arg scan = {
        .size = sizeof(scan),
        .start = (uintptr_t)hva,
        .end = (uintptr_t)hva + size,
        .vec = (uintptr_t)runs,
        .vec_len = 64,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = PAGE_IS_PFNZERO,
    };
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    int64_t sum = 0;

    while (fd >= 0 && scan.start < scan.end) {
        int nr = ioctl(fd, PAGEMAP_SCAN, &scan);

        if (nr < 0) {
            sum = -1;
            break;
        }
        for (int i = 0; i < nr; i++) {
            if ((runs[i].categories & PAGE_IS_PFNZERO) == 0) {
                sum += (int64_t)(runs[i].end - runs[i].start);
            }
        }
        scan.start = scan.walk_end;
    }
    if (fd >= 0) {
        close(fd);
    }
    return fd < 0 ? -1 : sum;
}

int64_t host_meminfo(const char *key)
{
    FILE *file = fopen("/proc/meminfo", "re");
    size_t length = strlen(key);
    int64_t value = -1;
    char line[128];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, length) == 0 && line[length] == ':') {
            value = strtoll(line + length + 1, NULL, 10);
            value *= strstr(line, " kB") != NULL ? 1024 : 1;
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return value;
}

bool host_has_vm_flag(const void *hva, const char *flag)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    bool is_inside = false;
    bool has_flag = false;
    char line[4400];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        uint64_t start;
        uint64_t end;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2) {
            is_inside = (uintptr_t)hva >= start && (uintptr_t)hva < end;
        } else if (is_inside && strncmp(line, "VmFlags:", 8) == 0) {
            const char *found = strstr(line + 8, flag);

            has_flag = found != NULL && found[-1] == ' ';
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return has_flag;
}

bool host_is_mapped(const void *hva, size_t size)
{
    const size_t page_size = (size_t)sysconf(_SC_PAGESIZE);

    for (size_t at = 0; at < size; at += page_size) {
        unsigned char page;

        if (mincore((char *)(uintptr_t)hva + at, page_size, &page) == 0) {
            return true;
        }
    }
    return false;
}

bool host_is_zero(const void *hva, size_t size)
{
    const char *bytes = hva;

    return size == 0 ||
           (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

unsigned int host_nr_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned int nr = 0;

    while (folder != NULL && readdir(folder) != NULL) {
        nr++;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return nr;
}

static int pool_fd = -1;
static long pool_before;

static bool write_pool(long nr)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "%ld\n", nr);

    return pwrite(pool_fd, text, (size_t)length, 0) == length;
}

static long read_pool(void)
{
    char text[24] = { 0 };

    return pread(pool_fd, text, sizeof(text) - 1, 0) <= 0
               ? -1
               : strtol(text, NULL, 10);
}

const char *host_pool_try(unsigned int nr)
{
    int64_t in_use;

    if (host_meminfo("Hugepagesize") != (int64_t)HUGE_PAGE) {
        return "default huge pages are not 2 MiB";
    }
    pool_fd = open(POOL_PATH, O_RDWR | O_CLOEXEC);
    if (pool_fd < 0) {
        return "the pool of huge pages cannot be set";
    }
    /* Other tests do the same at the same time. */
    flock(pool_fd, LOCK_EX);
    pool_before = read_pool();
    in_use = host_meminfo("HugePages_Total") - host_meminfo("HugePages_Free");
    if (pool_before < 0 || !write_pool(in_use + (long)nr) ||
        host_meminfo("HugePages_Free") < (int64_t)nr) {
        host_pool_give_back();
        return "there is no memory for huge pages in the pool";
    }
    return NULL;
}

bool host_pool_take(unsigned int nr)
{
    const char *why_not = host_pool_try(nr);

    if (why_not != NULL) {
        printf("SKIP: %u huge pages: %s\n", nr, why_not);
    }
    return why_not == NULL;
}

void host_pool_give_back(void)
{
    if (pool_fd >= 0) {
        write_pool(pool_before);
        close(pool_fd);
        pool_fd = -1;
    }
}
