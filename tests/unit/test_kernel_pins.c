/* SPDX-License-Identifier: BSD-3-Clause */
/* What libvmem relies on, asked of the kernel itself: raw system calls, nothing
 * of the library. Where one of these fails the kernel has changed, and the
 * table in libvmem/host/judge.c needs a look. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include <cmocka.h>

#include "host/kernel.h"
#include "support/host_memory.h"

#define HOLE (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define SIZE MIB(8)
#define HALF MIB(4)

#define assert_fails(call, error)                                              \
    do {                                                                       \
        errno = 0;                                                             \
        assert_int_equal(call, -1);                                            \
        assert_int_equal(errno, error);                                        \
    } while (0)

/* Filled with 1; false after a SKIP line. */
static bool make(struct host_memory *memory, enum host_kind kind)
{
    int ret;

    if (host_kind_is_huge(kind) && !host_pool_take(8)) {
        return false;
    }
    ret = host_memory_make(memory, kind, SIZE, 0);
    if (ret < 0) {
        printf("SKIP: no memory of kind %s: %s\n", host_kind_name(kind),
               strerror(-ret));
        host_pool_give_back();
        return false;
    }
    memset(memory->hva, 1, SIZE);
    return true;
}

static void drop(struct host_memory *memory)
{
    host_memory_free(memory);
    host_pool_give_back();
}

static int give_back(void **state)
{
    (void)state;
    host_pool_give_back();
    return 0;
}

static bool has_advice(int advice)
{
    return madvise(NULL, 0, advice) == 0;
}

static int64_t pool_free(void)
{
    return host_meminfo("HugePages_Free");
}

static void dontneed_frees_anonymous_memory(void **state)
{
    struct host_memory memory;

    (void)state;
    assert_true(make(&memory, HOST_ANON));
    assert_fails(madvise(memory.hva, HALF, MADV_REMOVE), EINVAL);
    assert_int_equal(madvise(memory.hva, HALF, MADV_DONTNEED), 0);
    if (host_pagemap(memory.hva, SIZE) >= 0) {
        assert_int_equal(host_pagemap(memory.hva, SIZE), SIZE - HALF);
    }
    assert_true(host_is_zero(memory.hva, HALF));
    drop(&memory);
}

static void dontneed_keeps_shared_memory(void **state)
{
    static const enum host_kind kinds[] = { HOST_ANON_SHARED, HOST_MEMFD,
                                            HOST_TMPFS, HOST_DISK };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct host_memory memory;

        if (!make(&memory, kinds[i])) {
            continue;
        }
        assert_int_equal(madvise(memory.hva, HALF, MADV_DONTNEED), 0);
        assert_int_equal(memory.hva[0], 1);
        assert_int_equal(host_mincore(memory.hva, SIZE), SIZE);
        assert_int_equal(madvise(memory.hva, HALF, MADV_REMOVE), 0);
        assert_int_equal(host_mincore(memory.hva, SIZE), SIZE - HALF);
        assert_true(host_is_zero(memory.hva, HALF));
        assert_int_equal(memory.hva[HALF], 1);
        drop(&memory);
    }
}

static void holes_free_files_and_keep_the_rest(void **state)
{
    static const enum host_kind kinds[] = { HOST_MEMFD, HOST_TMPFS, HOST_DISK };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct host_memory memory;
        int64_t before;

        if (!make(&memory, kinds[i])) {
            continue;
        }
        fsync(memory.fd);
        before = host_file_blocks(memory.fd);
        assert_int_equal(fallocate(memory.fd, HOLE, MIB(1), HALF), 0);
        assert_in_range(before - host_file_blocks(memory.fd), HALF - KIB(64),
                        HALF);
        assert_int_equal(host_file_data(memory.fd, MIB(1), MIB(1) + HALF), 0);
        assert_true(host_is_zero(memory.hva + MIB(1), HALF));
        assert_int_equal(memory.hva[MIB(1) - 1], 1);
        assert_int_equal(memory.hva[MIB(1) + HALF], 1);
        drop(&memory);
    }
}

static void a_private_mapping_needs_both(void **state)
{
    static const enum host_kind kinds[] = { HOST_MEMFD_PRIVATE,
                                            HOST_DISK_PRIVATE };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct host_memory memory;

        if (!make(&memory, kinds[i])) {
            continue;
        }
        assert_int_equal(pwrite(memory.fd, "f", 1, 0), 1);
        assert_int_equal(pwrite(memory.fd, "f", 1, MIB(2)), 1);
        assert_fails(madvise(memory.hva, MIB(2), MADV_REMOVE), EACCES);
        assert_int_equal(fallocate(memory.fd, HOLE, 0, MIB(2)), 0);
        assert_int_equal(memory.hva[0], 1); /* the copy is still there */
        assert_int_equal(madvise(memory.hva, HALF, MADV_DONTNEED), 0);
        assert_int_equal(memory.hva[0], 0);
        assert_int_equal(memory.hva[MIB(2)], 'f'); /* no hole, so the file's */
        drop(&memory);
    }
}

static void huge_pages_know_short_ranges_differently(void **state)
{
    struct host_memory memory;
    int64_t before;

    (void)state;
    if (make(&memory, HOST_HUGE_ANON)) {
        before = pool_free();
        assert_fails(madvise(memory.hva + 4096, HUGE_PAGE, MADV_DONTNEED),
                     EINVAL);
        /* Success, and nothing is done. */
        assert_int_equal(madvise(memory.hva, MIB(1), MADV_DONTNEED), 0);
        assert_int_equal(memory.hva[0], 1);
        assert_int_equal(pool_free(), before);
        assert_int_equal(madvise(memory.hva, MIB(3), MADV_DONTNEED), 0);
        assert_int_equal(pool_free(), before + 1);
        assert_int_equal(memory.hva[HUGE_PAGE], 1);
        drop(&memory);
    }
    if (make(&memory, HOST_HUGE_MEMFD)) {
        before = pool_free();
        assert_int_equal(fallocate(memory.fd, HOLE, MIB(1), MIB(2)), 0);
        assert_true(host_is_zero(memory.hva + MIB(1), MIB(2)));
        assert_int_equal(memory.hva[0], 1);
        assert_int_equal(memory.hva[MIB(3)], 1);
        assert_int_equal(pool_free(), before); /* zeroed, not freed */
        drop(&memory);
    }
}

static void shared_huge_pages_are_freed_by_holes_only(void **state)
{
    struct host_memory memory;
    int64_t before;

    (void)state;
    if (make(&memory, HOST_HUGE_MEMFD)) {
        before = pool_free();
        assert_int_equal(madvise(memory.hva, HALF, MADV_DONTNEED), 0);
        assert_int_equal(pool_free(), before);
        /* This mapping's pages are gone, the file's are not. */
        assert_int_equal(host_mincore(memory.hva, SIZE), SIZE - HALF);
        assert_int_equal(host_file_blocks(memory.fd), SIZE);
        assert_int_equal(memory.hva[0], 1);
        assert_int_equal(fallocate(memory.fd, HOLE, 0, MIB(2)), 0);
        assert_int_equal(madvise(memory.hva + MIB(2), MIB(2), MADV_REMOVE), 0);
        assert_int_equal(pool_free(), before + 2);
        assert_int_equal(host_file_blocks(memory.fd), SIZE - HALF);
        /* SEEK_DATA knows nothing of huge pages. */
        assert_int_equal(host_file_data(memory.fd, 0, SIZE), SIZE);
        drop(&memory);
    }
    if (make(&memory, HOST_HUGE_ANON_SHARED)) {
        before = pool_free();
        assert_int_equal(madvise(memory.hva, HALF, MADV_REMOVE), 0);
        assert_int_equal(pool_free(), before + 2);
        drop(&memory);
    }
    if (make(&memory, HOST_HUGE_MEMFD_PRIVATE)) {
        before = pool_free();
        assert_int_equal(fallocate(memory.fd, HOLE, 0, HALF), 0);
        assert_int_equal(pool_free(), before + 2); /* the copies, too */
        drop(&memory);
    }
}

static void a_hole_loses_the_reservation_of_huge_pages(void **state)
{
    struct host_memory taker;
    char *hva;
    int fd;

    (void)state;
    if (!host_pool_take(2)) {
        return;
    }
    fd = memfd_create("reserved", MFD_CLOEXEC | MFD_HUGETLB);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, MIB(4)), 0);
    hva = mmap(NULL, MIB(4), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(hva, MAP_FAILED);
    memset(hva, 1, MIB(4));
    assert_int_equal(fallocate(fd, HOLE, 0, MIB(4)), 0);
    assert_int_equal(pool_free(), 2);
    assert_int_equal(host_meminfo("HugePages_Rsvd"), 0);

    assert_int_equal(host_memory_make(&taker, HOST_HUGE_ANON, MIB(4), 0), 0);
    memset(taker.hva, 1, MIB(4));
    assert_fails(madvise(hva, MIB(2), MADV_POPULATE_WRITE), EFAULT);
    assert_fails(fallocate(fd, 0, 0, MIB(2)), ENOSPC);
    munmap(hva, MIB(4));
    close(fd);
    drop(&taker);
}

static void locked_memory_wants_its_own_advice(void **state)
{
    struct host_memory memory;

    (void)state;
    if (!has_advice(MADV_DONTNEED_LOCKED)) {
        printf("SKIP: this kernel lacks MADV_DONTNEED_LOCKED\n");
        return;
    }
    assert_true(make(&memory, HOST_ANON));
    if (mlock2(memory.hva, SIZE, 0) < 0) {
        printf("SKIP: cannot lock memory: %s\n", strerror(errno));
        drop(&memory);
        return;
    }
    assert_fails(madvise(memory.hva, HALF, MADV_DONTNEED), EINVAL);
    assert_int_equal(madvise(memory.hva, HALF, MADV_DONTNEED_LOCKED), 0);
    assert_true(host_is_zero(memory.hva, HALF));
    assert_true(host_has_vm_flag(memory.hva, "lo"));
    drop(&memory);

    assert_true(make(&memory, HOST_MEMFD));
    assert_int_equal(mlock2(memory.hva, SIZE, 0), 0);
    assert_fails(madvise(memory.hva, HALF, MADV_REMOVE), EINVAL);
    assert_fails(madvise(memory.hva, HALF, MADV_DONTNEED), EINVAL);
    assert_int_equal(fallocate(memory.fd, HOLE, 0, HALF), 0);
    assert_int_equal(madvise(memory.hva, HALF, MADV_DONTNEED_LOCKED), 0);
    assert_int_equal(host_file_blocks(memory.fd), SIZE - HALF);
    drop(&memory);

    assert_true(make(&memory, HOST_ANON_SHARED));
    assert_int_equal(mlock2(memory.hva, SIZE, 0), 0);
    assert_fails(madvise(memory.hva, HALF, MADV_REMOVE), EINVAL);
    drop(&memory);

    if (make(&memory, HOST_HUGE_ANON_SHARED)) {
        assert_int_equal(mlock2(memory.hva, SIZE, 0), 0);
        assert_false(host_has_vm_flag(memory.hva, "lo"));
        assert_int_equal(madvise(memory.hva, HALF, MADV_REMOVE), 0);
        drop(&memory);
    }
}

static void descriptors_and_seals_forbid_holes(void **state)
{
    struct host_memory memory;
    char path[32];
    int fd;

    (void)state;
    assert_true(make(&memory, HOST_MEMFD));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", memory.fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_fails(fallocate(fd, HOLE, 0, HALF), EBADF);
    close(fd);
    assert_int_equal(fcntl(memory.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW),
                     0);
    assert_int_equal(fallocate(memory.fd, HOLE, 0, MIB(1)), 0);
    assert_int_equal(fcntl(memory.fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
    assert_fails(fallocate(memory.fd, HOLE, 0, HALF), EPERM);
    assert_fails(madvise(memory.hva, HALF, MADV_REMOVE), EPERM);
    assert_int_equal(memory.hva[MIB(1)], 1);
    drop(&memory);

    assert_true(make(&memory, HOST_MEMFD_PRIVATE));
    assert_int_equal(fcntl(memory.fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    assert_fails(fallocate(memory.fd, HOLE, 0, HALF), EPERM);
    drop(&memory);

    fd = host_disk_file();
    if (fd >= 0) {
        assert_fails(fcntl(fd, F_GET_SEALS), EINVAL);
        close(fd);
    }
}

static void holes_behind_the_end_are_allowed_and_do_nothing(void **state)
{
    static const enum host_kind kinds[] = { HOST_MEMFD, HOST_TMPFS, HOST_DISK,
                                            HOST_HUGE_MEMFD };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct host_memory memory;
        struct stat before;
        struct stat after;

        if (!make(&memory, kinds[i])) {
            continue;
        }
        assert_int_equal(fstat(memory.fd, &before), 0);
        assert_int_equal(fallocate(memory.fd, HOLE, before.st_size, HUGE_PAGE),
                         0);
        assert_int_equal(fstat(memory.fd, &after), 0);
        assert_int_equal(before.st_size, after.st_size);
        assert_int_equal(before.st_blocks, after.st_blocks);
        drop(&memory);
    }
    {
        int fd = open("/proc/self/comm", O_RDWR | O_CLOEXEC);

        assert_fails(fallocate(fd, HOLE, 4096, 4096), EOPNOTSUPP);
        close(fd);
    }
}

static void a_gap_is_an_error_after_the_work(void **state)
{
    struct host_memory memory;

    (void)state;
    assert_true(make(&memory, HOST_ANON));
    munmap(memory.hva + MIB(2), MIB(1));
    assert_fails(madvise(memory.hva, SIZE, MADV_DONTNEED), ENOMEM);
    assert_int_equal(memory.hva[0], 0);
    assert_int_equal(memory.hva[SIZE - 1], 0);
    drop(&memory);
}

static void advice_on_nothing_tells_whether_it_is_known(void **state)
{
    struct host_memory memory;

    (void)state;
    assert_true(make(&memory, HOST_ANON));
    assert_int_equal(madvise(memory.hva, 0, MADV_DONTNEED), 0);
    assert_int_equal(madvise(memory.hva, 0, MADV_POPULATE_WRITE), 0);
    assert_fails(madvise(memory.hva, 0, 9999), EINVAL);
    assert_int_equal(memory.hva[0], 1);
    drop(&memory);
}

static void populate_reports_what_a_touch_would_die_of(void **state)
{
    struct host_memory memory;

    (void)state;
    assert_true(make(&memory, HOST_MEMFD));
    assert_int_equal(fallocate(memory.fd, HOLE, 0, MIB(2)), 0);
    assert_int_equal(madvise(memory.hva, HALF, MADV_POPULATE_WRITE), 0);
    assert_int_equal(memory.hva[0], 0);
    assert_int_equal(memory.hva[MIB(2)], 1);
    assert_int_equal(host_file_blocks(memory.fd), SIZE);
    assert_int_equal(mprotect(memory.hva, SIZE, PROT_READ), 0);
    assert_fails(madvise(memory.hva, HALF, MADV_POPULATE_WRITE), EINVAL);
    assert_int_equal(mprotect(memory.hva, SIZE, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(ftruncate(memory.fd, MIB(2)), 0);
    assert_fails(madvise(memory.hva, HALF, MADV_POPULATE_WRITE), EFAULT);
    drop(&memory);
}

static void memory_allocated_in_advance_is_no_data_to_seek(void **state)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    unsigned char page = 1;
    void *hva;

    (void)state;
    assert_int_equal(ftruncate(fd, MIB(2)), 0);
    assert_int_equal(fallocate(fd, 0, 0, MIB(1)), 0);
    assert_int_equal(host_file_blocks(fd), MIB(1));
    assert_int_equal(host_file_data(fd, 0, MIB(2)), 0);
    hva = mmap(NULL, MIB(2), PROT_READ, MAP_SHARED, fd, 0);
    assert_int_equal(mincore(hva, 4096, &page), 0);
    assert_int_equal(page & 1, 0);
    munmap(hva, MIB(2));
    close(fd);
}

static uint64_t categories(const void *hva)
{
    struct page_region run = { 0 };
    struct pm_scan_arg scan = {
        .size = sizeof(scan),
        .start = (uintptr_t)hva,
        .end = (uintptr_t)hva + 4096,
        .vec = (uintptr_t)&run,
        .vec_len = 1,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask =
            PAGE_IS_FILE | PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO,
    };
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    int nr = ioctl(fd, PAGEMAP_SCAN, &scan);

    close(fd);
    return nr < 0 ? UINT64_MAX : run.categories;
}

static void scanning_tells_copies_files_and_the_zero_page(void **state)
{
    struct host_memory memory;
    const volatile char *bytes;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, SIZE, 0), 0);
    if (categories(memory.hva) == UINT64_MAX) {
        printf("SKIP: this kernel lacks PAGEMAP_SCAN\n");
        drop(&memory);
        return;
    }
    bytes = memory.hva;
    assert_int_equal(categories(memory.hva), 0);
    (void)bytes[0];
    assert_int_equal(categories(memory.hva), PAGE_IS_PRESENT | PAGE_IS_PFNZERO);
    memory.hva[0] = 1;
    assert_int_equal(categories(memory.hva), PAGE_IS_PRESENT);
    drop(&memory);

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD_PRIVATE, SIZE, 0), 0);
    bytes = memory.hva;
    assert_int_equal(pwrite(memory.fd, "f", 1, 0), 1);
    assert_int_equal(bytes[0], 'f');
    assert_int_equal(categories(memory.hva), PAGE_IS_PRESENT | PAGE_IS_FILE);
    memory.hva[0] = 1;
    assert_int_equal(categories(memory.hva), PAGE_IS_PRESENT);
    drop(&memory);

    if (make(&memory, HOST_HUGE_ANON)) {
        assert_int_equal(categories(memory.hva), PAGE_IS_PRESENT);
        assert_int_equal(host_pagemap(memory.hva, SIZE), SIZE);
        drop(&memory);
    }
}

static void smaps_shows_the_numbers_of_the_file(void **state)
{
    static const enum host_kind kinds[] = { HOST_MEMFD, HOST_TMPFS, HOST_DISK };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct host_memory memory;
        struct stat status;
        struct statfs fs;
        bool is_found = false;
        char wanted[64];
        char line[4400];
        FILE *file;

        if (!make(&memory, kinds[i])) {
            continue;
        }
        assert_int_equal(fstatfs(memory.fd, &fs), 0);
        if (fs.f_type != TMPFS_MAGIC && fs.f_type != EXT4_SUPER_MAGIC &&
            fs.f_type != XFS_SUPER_MAGIC) {
            printf("SKIP: file system 0x%lx may show other numbers\n",
                   (unsigned long)fs.f_type);
            drop(&memory);
            continue;
        }
        assert_int_equal(fstat(memory.fd, &status), 0);
        snprintf(wanted, sizeof(wanted), " 00000000 %02x:%02x %lu ",
                 major(status.st_dev), minor(status.st_dev),
                 (unsigned long)status.st_ino);
        file = fopen("/proc/self/smaps", "re");
        assert_non_null(file);
        while (fgets(line, sizeof(line), file) != NULL) {
            is_found = is_found || strstr(line, wanted) != NULL;
        }
        fclose(file);
        assert_true(is_found);
        drop(&memory);
    }
}

static void dontfork_keeps_memory_from_a_child(void **state)
{
    struct host_memory memory;
    int status;
    pid_t child;

    (void)state;
    assert_true(make(&memory, HOST_ANON));
    assert_int_equal(madvise(memory.hva, SIZE, MADV_DONTFORK), 0);
    child = fork();
    if (child == 0) {
        _exit(host_is_mapped(memory.hva, 4096) ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(memory.hva[0], 1);
    drop(&memory);
}

static void unknown_huge_page_sizes_are_refused(void **state)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB | 21u << 26);

    (void)state;
    if (fd < 0) {
        printf("SKIP: this kernel has no huge pages of 2 MiB\n");
        return;
    }
    close(fd);
    assert_fails(memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB | 40u << 26),
                 ENODEV);
}

static void mapping_huge_pages_without_reserve_needs_no_pool(void **state)
{
    char *hva = mmap(NULL, MIB(4), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE |
                         21 << MAP_HUGE_SHIFT,
                     -1, 0);

    (void)state;
    if (hva == MAP_FAILED) {
        printf("SKIP: this kernel has no huge pages of 2 MiB\n");
        return;
    }
    assert_int_equal((uintptr_t)hva % HUGE_PAGE, 0);
    if (pool_free() == 0) {
        assert_fails(madvise(hva, MIB(2), MADV_POPULATE_WRITE), EFAULT);
    }
    munmap(hva, MIB(4));
}

/* Reads one event of a userfaultfd; what waits for its being read goes on. */
static void *read_event(void *opaque)
{
    static struct uffd_msg msg;
    int fd = *(int *)opaque;

    memset(&msg, 0, sizeof(msg));
    return read(fd, &msg, sizeof(msg)) == sizeof(msg) ? &msg : NULL;
}

static void only_madvise_tells_a_userfaultfd(void **state)
{
    struct uffdio_api api = { .api = UFFD_API,
                              .features = UFFD_FEATURE_EVENT_REMOVE };
    struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
    struct host_memory memory;
    struct uffd_msg nothing;
    struct uffd_msg *msg;
    pthread_t reader;
    void *event;
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

    (void)state;
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0) {
        printf("SKIP: no userfaultfd with EVENT_REMOVE: %s\n", strerror(errno));
        return;
    }
    assert_true(make(&memory, HOST_MEMFD));
    range.range.start = (uintptr_t)memory.hva;
    range.range.len = SIZE;
    assert_int_equal(ioctl(fd, UFFDIO_REGISTER, &range), 0);
    assert_int_equal(fallocate(memory.fd, HOLE, 0, MIB(2)), 0);
    assert_fails(read(fd, &nothing, sizeof(nothing)), EAGAIN);

    assert_int_equal(fcntl(fd, F_SETFL, 0), 0); /* block from here on */
    assert_int_equal(pthread_create(&reader, NULL, read_event, &fd), 0);
    assert_int_equal(madvise(memory.hva + MIB(2), MIB(2), MADV_REMOVE), 0);
    assert_int_equal(pthread_join(reader, &event), 0);
    msg = event;
    assert_non_null(msg);
    assert_int_equal(msg->event, UFFD_EVENT_REMOVE);
    assert_int_equal(msg->arg.remove.start, (uintptr_t)memory.hva + MIB(2));
    assert_int_equal(msg->arg.remove.end, (uintptr_t)memory.hva + MIB(4));
    close(fd);
    drop(&memory);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, give_back)
    const struct CMUnitTest tests[] = {
        TEST(dontneed_frees_anonymous_memory),
        TEST(dontneed_keeps_shared_memory),
        TEST(holes_free_files_and_keep_the_rest),
        TEST(a_private_mapping_needs_both),
        TEST(huge_pages_know_short_ranges_differently),
        TEST(shared_huge_pages_are_freed_by_holes_only),
        TEST(a_hole_loses_the_reservation_of_huge_pages),
        TEST(locked_memory_wants_its_own_advice),
        TEST(descriptors_and_seals_forbid_holes),
        TEST(holes_behind_the_end_are_allowed_and_do_nothing),
        TEST(a_gap_is_an_error_after_the_work),
        TEST(advice_on_nothing_tells_whether_it_is_known),
        TEST(populate_reports_what_a_touch_would_die_of),
        TEST(memory_allocated_in_advance_is_no_data_to_seek),
        TEST(scanning_tells_copies_files_and_the_zero_page),
        TEST(smaps_shows_the_numbers_of_the_file),
        TEST(dontfork_keeps_memory_from_a_child),
        TEST(unknown_huge_page_sizes_are_refused),
        TEST(mapping_huge_pages_without_reserve_needs_no_pool),
        TEST(only_madvise_tells_a_userfaultfd),
    };

    return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
