/* SPDX-License-Identifier: BSD-3-Clause */
/* Discards, populates and usage on real memory of every kind that this kernel
 * has, measured without the library. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <vmem/backing.h>
#include <vmem/vm.h>

#include "core/backing.h"
#include "support/backing_rig.h"

#define FILL 0x5a
#define NEIGHBOUR 0x33

static struct vmem_backing *accept(const struct host_memory *memory,
                                   uint64_t flags)
{
    struct vmem_backing_mapping mapping = backing_describe(memory);

    mapping.name = host_kind_name(memory->kind);
    mapping.flags |= flags;
    return backing_accept(&mapping);
}

static struct vmem_backing *make(uint32_t kind, uint64_t size,
                                 struct host_memory *memory)
{
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "made",
        .kind = kind,
        .size = size,
    };
    static const enum host_kind host_kinds[] = {
        [VMEM_BACKING_ANON] = HOST_ANON,
        [VMEM_BACKING_ANON_SHARED] = HOST_ANON_SHARED,
        [VMEM_BACKING_MEMFD] = HOST_MEMFD,
        [VMEM_BACKING_HUGETLB_ANON] = HOST_HUGE_ANON,
        [VMEM_BACKING_HUGETLB_MEMFD] = HOST_HUGE_MEMFD,
    };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing *backing;

    if (vmem_backing_new_allocated(backing_vm, &request, &backing, &err) < 0) {
        printf("SKIP: %s\n", err.message);
        return NULL;
    }
    assert_int_equal(vmem_backing_get_info(backing, &info), 0);
    *memory = (struct host_memory){
        .kind = host_kinds[kind], .hva = info.hva, .size = size, .fd = info.fd
    };
    return backing;
}

/* Bytes that the memory really occupies, page cache and copies. */
static int64_t occupied(const struct host_memory *memory)
{
    int64_t sum = 0;

    if (host_kind_is_huge(memory->kind)) {
        return (host_meminfo("HugePages_Total") -
                host_meminfo("HugePages_Free")) *
               (int64_t)HUGE_PAGE;
    }
    if (memory->fd >= 0) {
        sum = host_file_blocks(memory->fd);
        /* A disk file's blocks include a few that tell where the others are. */
        sum -= sum % (int64_t)KIB(64);
    }
    if (!host_kind_is_shared(memory->kind)) {
        sum += host_pagemap(memory->hva, memory->size);
    } else if (memory->fd < 0) {
        sum = host_mincore(memory->hva, memory->size);
    }
    return sum;
}

/* Writes all of the file, and through the mapping: a private one has copies of
 * everything besides. */
static void fill(const struct host_memory *memory)
{
    if (memory->fd >= 0) {
        const size_t size = memory->fd_offset + memory->size + HUGE_PAGE;
        char *file =
            mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);

        assert_ptr_not_equal(file, MAP_FAILED);
        memset(file, NEIGHBOUR, size);
        munmap(file, size);
        /* Delayed blocks count differently before and after they are real. */
        fsync(memory->fd);
    }
    memset(memory->hva, FILL, memory->size);
    if (memory->fd >= 0) {
        fsync(memory->fd);
    }
}

static bool is_all(const char *bytes, char value, size_t size)
{
    return bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static void check_neighbours(const struct host_memory *memory, size_t start,
                             size_t end)
{
    const size_t file_end = memory->fd_offset + memory->size;

    assert_true(start == 0 || is_all(memory->hva, FILL, start));
    assert_true(end == memory->size ||
                is_all(memory->hva + end, FILL, memory->size - end));
    if (memory->fd >= 0 && memory->fd_offset > 0) {
        char *file = mmap(NULL, file_end + HUGE_PAGE, PROT_READ, MAP_SHARED,
                          memory->fd, 0);

        assert_ptr_not_equal(file, MAP_FAILED);
        assert_true(is_all(file, NEIGHBOUR, memory->fd_offset));
        assert_true(is_all(file + file_end, NEIGHBOUR, HUGE_PAGE));
        /* The file itself has the hole, too. */
        assert_true(
            host_is_zero(file + memory->fd_offset + start, end - start));
        munmap(file, file_end + HUGE_PAGE);
    }
}

static void check_discard(struct vmem_backing *backing,
                          const struct host_memory *memory, size_t start,
                          size_t end)
{
    const struct vmem_range range = { start, end - start };
    const int factor =
        memory->fd >= 0 && !host_kind_is_shared(memory->kind) ? 2 : 1;
    struct vmem_error err = VMEM_ERROR_INIT;
    int64_t before = occupied(memory);
    int64_t freed;

    if (vmem_backing_discard(backing, &range, &err) < 0) {
        fail_msg("%s", err.message);
    }
    freed = before - occupied(memory);
    if (freed != (int64_t)(end - start) * factor) {
        fail_msg("%s: discarded %zu KiB, freed %lld KiB",
                 host_kind_name(memory->kind), (end - start) >> 10,
                 (long long)freed / 1024);
    }
    assert_true(host_is_zero(memory->hva + start, end - start));
    check_neighbours(memory, start, end);
}

static bool is_applicable(enum host_kind kind, struct host_memory *memory)
{
    int ret;

    if (host_kind_is_huge(kind) && !host_pool_take(24)) {
        return false;
    }
    ret = host_memory_make(memory, kind, MIB(8),
                           host_kind_has_fd(kind) ? MIB(2) : 0);
    if (ret < 0) {
        printf("SKIP: no memory of kind %s: %s\n", host_kind_name(kind),
               strerror(-ret));
        return false;
    }
    if (!host_kind_is_shared(kind) && host_pagemap(memory->hva, 4096) < 0) {
        printf("SKIP: %s cannot be measured without PAGEMAP_SCAN\n",
               host_kind_name(kind));
        host_memory_free(memory);
        return false;
    }
    return true;
}

static void check_kind(enum host_kind kind, uint64_t flags)
{
    struct vmem_backing *backing;
    struct host_memory memory;

    if (is_applicable(kind, &memory)) {
        backing = accept(&memory, flags);
        fill(&memory);
        check_discard(backing, &memory, MIB(2), MIB(6));
        fill(&memory);
        check_discard(backing, &memory, 0, MIB(8));
        if (!host_kind_is_huge(kind)) {
            fill(&memory);
            check_discard(backing, &memory, KIB(64), KIB(128));
            fill(&memory);
            check_discard(backing, &memory, MIB(1) + KIB(64),
                          MIB(7) - KIB(128));
        }
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
    host_pool_give_back();
}

static void described_memory_is_freed_and_zero(void **state)
{
    (void)state;
    for (int kind = 0; kind < HOST_KINDS; kind++) {
        check_kind((enum host_kind)kind, 0);
    }
}

static void described_memory_is_freed_with_prefer_remove(void **state)
{
    static const enum host_kind kinds[] = { HOST_MEMFD, HOST_TMPFS, HOST_DISK,
                                            HOST_MEMFD_PRIVATE,
                                            HOST_HUGE_MEMFD };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        check_kind(kinds[i], VMEM_BACKING_PREFER_REMOVE);
    }
}

static void made_memory_is_freed_and_zero(void **state)
{
    static const uint32_t kinds[] = {
        VMEM_BACKING_ANON,          VMEM_BACKING_ANON_SHARED,
        VMEM_BACKING_MEMFD,         VMEM_BACKING_HUGETLB_ANON,
        VMEM_BACKING_HUGETLB_MEMFD,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct vmem_backing *backing;
        struct host_memory memory;

        if (kinds[i] >= VMEM_BACKING_HUGETLB_ANON && !host_pool_take(8)) {
            continue;
        }
        backing = make(kinds[i], MIB(8), &memory);
        if (backing != NULL) {
            memset(memory.hva, FILL, memory.size);
            check_discard(backing, &memory, MIB(2), MIB(6));
            vmem_backing_free(backing, NULL);
        }
        host_pool_give_back();
    }
}

static void locked_memory_is_freed_and_zero(void **state)
{
    static const enum host_kind kinds[] = { HOST_ANON, HOST_MEMFD,
                                            HOST_MEMFD_PRIVATE, HOST_DISK };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct vmem_backing *backing;
        struct host_memory memory;

        if (!is_applicable(kinds[i], &memory)) {
            continue;
        }
        fill(&memory);
        if (mlock2(memory.hva, memory.size, 0) < 0) {
            printf("SKIP: cannot lock memory: %s\n", strerror(errno));
            host_memory_free(&memory);
            return;
        }
        backing = accept(&memory, 0);
        check_discard(backing, &memory, MIB(2), MIB(6));
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void reading_back_does_not_disturb_the_measure(void **state)
{
    static const uint32_t kinds[] = { VMEM_BACKING_ANON,
                                      VMEM_BACKING_ANON_SHARED,
                                      VMEM_BACKING_MEMFD };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct vmem_range all = { 0, MIB(8) };
        struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
        struct host_memory memory;
        struct vmem_backing *backing = make(kinds[i], MIB(8), &memory);

        assert_non_null(backing);
        memset(memory.hva + MIB(1), FILL, MIB(3));
        assert_int_equal(vmem_backing_get_usage(backing, NULL, &usage, NULL),
                         0);
        assert_int_equal(usage.resident, MIB(3));
        assert_int_equal(vmem_backing_discard(backing, &all, NULL), 0);
        assert_int_equal(vmem_backing_get_usage(backing, NULL, &usage, NULL),
                         0);
        assert_int_equal(usage.resident, 0);
        vmem_backing_free(backing, NULL);
    }
}

static void populate_allocates_and_keeps_content(void **state)
{
    static const enum host_kind kinds[] = { HOST_ANON,  HOST_ANON_SHARED,
                                            HOST_MEMFD, HOST_MEMFD_PRIVATE,
                                            HOST_TMPFS, HOST_DISK };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct vmem_range range = { MIB(2), MIB(4) };
        struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
        struct vmem_backing *backing;
        struct host_memory memory;

        if (!is_applicable(kinds[i], &memory)) {
            continue;
        }
        backing = accept(&memory, 0);
        memory.hva[MIB(3)] = FILL;
        assert_int_equal(vmem_backing_populate(backing, &range, NULL), 0);
        assert_int_equal(host_mincore(memory.hva + MIB(2), MIB(4)), MIB(4));
        if (!host_kind_is_shared(kinds[i])) {
            assert_int_equal(host_pagemap(memory.hva, memory.size), MIB(4));
        }
        assert_int_equal(memory.hva[MIB(3)], FILL);
        assert_true(host_is_zero(memory.hva + MIB(2), MIB(1)));
        assert_int_equal(vmem_backing_get_stats(backing, &stats), 0);
        assert_int_equal(stats.nr_populates, 1);
        assert_int_equal(stats.populated_bytes, MIB(4));
        assert_int_equal(stats.nr_syscalls, 1);
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void an_empty_huge_page_pool_is_an_error_and_no_signal(void **state)
{
    static const uint32_t kinds[] = { VMEM_BACKING_HUGETLB_ANON,
                                      VMEM_BACKING_HUGETLB_MEMFD };
    const struct vmem_range two = { 0, MIB(4) };
    const struct vmem_range other_two = { MIB(4), MIB(4) };
    const struct vmem_range all = { 0, MIB(16) };

    (void)state;
    if (!host_pool_take(3)) {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        const int64_t free_before = host_meminfo("HugePages_Free");
        const int64_t reserved_before = host_meminfo("HugePages_Rsvd");
        struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
        struct vmem_error err = VMEM_ERROR_INIT;
        struct host_memory memory;
        struct vmem_backing *backing = make(kinds[i], MIB(16), &memory);

        if (backing == NULL) {
            break;
        }
        assert_true(backing->populate_on_plug);
        assert_int_equal(host_meminfo("HugePages_Rsvd"), reserved_before);
        assert_int_equal(vmem_backing_populate(backing, &two, NULL), 0);
        assert_int_equal(host_meminfo("HugePages_Free"), free_before - 2);
        memset(memory.hva, FILL, MIB(4));
        assert_int_equal(vmem_backing_populate(backing, &other_two, &err),
                         -EFAULT);
        assert_int_equal(err.reason, VMEM_REASON_POPULATE_FAILED);
        assert_true(is_all(memory.hva, FILL, MIB(4)));
        /* Zeroing memory that cannot be had is an error as well. */
        assert_int_equal(vmemi_backing_zero(backing, &other_two), -EFAULT);
        assert_int_equal(vmem_backing_get_usage(backing, NULL, &usage, NULL),
                         0);
        assert_int_equal((int64_t)usage.resident,
                         (free_before - host_meminfo("HugePages_Free")) *
                             (int64_t)HUGE_PAGE);
        assert_int_equal(vmem_backing_get_usage(backing, &two, &usage, NULL),
                         0);
        assert_int_equal(usage.resident, MIB(4));
        assert_int_equal(vmem_backing_discard(backing, &all, NULL), 0);
        assert_int_equal(host_meminfo("HugePages_Free"), free_before);
        assert_int_equal(vmem_backing_populate(backing, &two, NULL), 0);
        vmem_backing_free(backing, NULL);
        assert_int_equal(host_meminfo("HugePages_Free"), free_before);
    }
    host_pool_give_back();
}

static void usage_of_huge_pages_is_that_of_the_pool(void **state)
{
    static const struct {
        enum host_kind kind;
        uint32_t method;
        uint64_t resident; /* after 2 pages were written, 1 behind them in the
                              file only */
    } cases[] = {
        { HOST_HUGE_ANON, VMEM_USAGE_PAGEMAP, MIB(4) },
        { HOST_HUGE_ANON_SHARED, VMEM_USAGE_MINCORE, MIB(4) },
        { HOST_HUGE_MEMFD, VMEM_USAGE_MINCORE, MIB(4) },
        { HOST_HUGE_MEMFD_PRIVATE, VMEM_USAGE_MINCORE, MIB(4) },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
        struct vmem_backing *backing;
        struct host_memory memory;

        if (is_applicable(cases[i].kind, &memory)) {
            backing = accept(&memory, 0);
            memory.hva[MIB(2)] = FILL;
            memory.hva[MIB(6)] = FILL;
            assert_int_equal(
                vmem_backing_get_usage(backing, NULL, &usage, NULL), 0);
            assert_int_equal(usage.method, cases[i].method);
            assert_int_equal(usage.resident, cases[i].resident);
            vmem_backing_free(backing, NULL);
            host_memory_free(&memory);
        }
        host_pool_give_back();
    }
}

static void an_error_says_how_far_the_discard_got(void **state)
{
    const struct vmem_range range = { MIB(2), 3 * VMEM_BACKING_STEP };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct host_memory memory;
    struct vmem_backing *backing =
        make(VMEM_BACKING_ANON, 4 * VMEM_BACKING_STEP, &memory);

    (void)state;
    assert_non_null(backing);
    memory.hva[MIB(2)] = FILL;
    memory.hva[MIB(2) + VMEM_BACKING_STEP] = FILL;
    munmap(memory.hva + MIB(32) + VMEM_BACKING_STEP, MIB(2));
    assert_int_equal(vmem_backing_discard(backing, &range, &err), -ENOMEM);
    assert_int_equal(err.reason, VMEM_REASON_DISCARD_FAILED);
    assert_int_equal(err.range.offset, MIB(2) + VMEM_BACKING_STEP);
    assert_int_equal(err.range.size, 2 * VMEM_BACKING_STEP);
    assert_int_equal(memory.hva[MIB(2)], 0);
    vmem_backing_free(backing, NULL);
}

static int64_t page_table_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    int64_t bytes = -1;
    char line[128];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmPTE:", 6) == 0) {
            bytes = strtoll(line + 6, NULL, 10) * 1024;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

static void page_tables_go_with_the_memory(void **state)
{
    const struct vmem_range range = { 0, MIB(256) };
    struct host_memory memory;
    struct vmem_backing *backing = make(VMEM_BACKING_MEMFD, MIB(256), &memory);
    int64_t full;
    int64_t empty;

    (void)state;
    assert_non_null(backing);
    for (size_t at = 0; at < MIB(256); at += MIB(2)) {
        memory.hva[at] = FILL;
    }
    full = page_table_bytes();
    assert_int_equal(vmem_backing_discard(backing, &range, NULL), 0);
    empty = page_table_bytes();
    if (full == empty) {
        printf("SKIP: this kernel does not give page tables back\n");
    } else {
        assert_true(full - empty >= (int64_t)KIB(400)); /* of 512 */
    }
    vmem_backing_free(backing, NULL);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, backing_set_up, backing_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(described_memory_is_freed_and_zero),
        TEST(described_memory_is_freed_with_prefer_remove),
        TEST(made_memory_is_freed_and_zero),
        TEST(locked_memory_is_freed_and_zero),
        TEST(reading_back_does_not_disturb_the_measure),
        TEST(populate_allocates_and_keeps_content),
        TEST(an_empty_huge_page_pool_is_an_error_and_no_signal),
        TEST(usage_of_huge_pages_is_that_of_the_pool),
        TEST(an_error_says_how_far_the_discard_got),
        TEST(page_tables_go_with_the_memory),
    };

    return cmocka_run_group_tests_name("real discards", tests, NULL, NULL);
}
