/* SPDX-License-Identifier: BSD-3-Clause */
/* How much of its memory a backing uses, measured by the method of its kind. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/kernel.h"
#include "support/backing_rig.h"
#include "support/fake_sys.h"

static uint64_t resident_of(struct vmem_backing *backing,
                            const struct vmem_range *range, uint32_t method)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_error err = VMEM_ERROR_INIT;

    if (vmem_backing_get_usage(backing, range, &usage, &err) < 0) {
        fail_msg("usage: %s", err.message);
    }
    assert_int_equal(usage.method, method);
    return usage.resident;
}

static void usage_is_measured_by_the_method_of_the_kind(void **state)
{
    static const struct {
        enum host_kind kind;
        uint32_t method;
    } cases[] = {
        { HOST_ANON, VMEM_USAGE_PAGEMAP },
        { HOST_ANON_SHARED, VMEM_USAGE_MINCORE },
        { HOST_MEMFD, VMEM_USAGE_SEEK_DATA },
        { HOST_TMPFS, VMEM_USAGE_SEEK_DATA },
        { HOST_DISK, VMEM_USAGE_SEEK_DATA },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct vmem_range first = { 0, MIB(2) };
        const struct vmem_range second = { MIB(2), MIB(2) };
        const struct vmem_range byte = { MIB(1) + 17, 1 };
        const struct vmem_range nothing = { MIB(1), 0 };
        const struct vmem_range empty_page = { MIB(3), 4096 };
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        if (!backing_memory(&memory, cases[i].kind, MIB(4), MIB(2))) {
            continue;
        }
        mapping = backing_describe(&memory);
        backing = backing_accept(&mapping);
        assert_int_equal(resident_of(backing, NULL, cases[i].method), 0);
        memset(memory.hva + MIB(1), 1, KIB(64));
        memset(memory.hva + MIB(2) - 4096, 1, 8192);
        memory.hva[MIB(4) - 1] = 1;
        assert_int_equal(resident_of(backing, NULL, cases[i].method),
                         KIB(64 + 8 + 4));
        assert_int_equal(resident_of(backing, &first, cases[i].method),
                         KIB(64 + 4));
        assert_int_equal(resident_of(backing, &second, cases[i].method),
                         KIB(4 + 4));
        assert_int_equal(resident_of(backing, &byte, cases[i].method), 4096);
        assert_int_equal(resident_of(backing, &empty_page, cases[i].method), 0);
        assert_int_equal(resident_of(backing, &nothing, 0), 0);
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void reading_anonymous_memory_makes_nothing_resident(void **state)
{
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;
    const volatile char *bytes;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(4), 0), 0);
    if (host_pagemap(memory.hva, 4096) < 0) {
        printf("SKIP: this kernel lacks PAGEMAP_SCAN\n");
        host_memory_free(&memory);
        return;
    }
    mapping = backing_describe(&memory);
    backing = backing_accept(&mapping);
    bytes = memory.hva;
    madvise(memory.hva, MIB(2), MADV_HUGEPAGE); /* the huge zero page, too */
    (void)bytes[0];
    for (size_t at = MIB(2); at < MIB(4); at += 4096) {
        (void)bytes[at];
    }
    assert_int_equal(resident_of(backing, NULL, VMEM_USAGE_PAGEMAP), 0);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

static void a_whole_file_is_measured_by_its_blocks(void **state)
{
    const struct vmem_backing_config request =
        backing_request(VMEM_BACKING_MEMFD, MIB(4));
    const struct vmem_range half = { 0, MIB(2) };
    struct vmem_backing *backing;
    struct vmem_backing_info info;

    (void)state;
    assert_int_equal(
        vmem_backing_new_allocated(backing_vm, &request, &backing, NULL), 0);
    info = backing_info(backing);
    assert_int_equal(resident_of(backing, NULL, VMEM_USAGE_ST_BLOCKS), 0);
    memset(info.hva, 1, MIB(1));
    assert_int_equal(resident_of(backing, NULL, VMEM_USAGE_ST_BLOCKS), MIB(1));
    assert_int_equal(resident_of(backing, &half, VMEM_USAGE_SEEK_DATA), MIB(1));
    /* Allocated in advance: SEEK_DATA sees no data there. */
    assert_int_equal(fallocate(info.fd, 0, MIB(2), MIB(1)), 0);
    assert_int_equal(resident_of(backing, NULL, VMEM_USAGE_ST_BLOCKS), MIB(2));
    vmem_backing_free(backing, NULL);
}

static void a_file_cut_behind_our_back_is_not_a_whole_one(void **state)
{
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), MIB(2)), 0);
    mapping = backing_describe(&memory);
    backing = backing_accept(&mapping);
    assert_int_equal(pwrite(memory.fd, "x", 1, 0), 1); /* not in the mapping */
    memory.hva[0] = 1;
    assert_int_equal(ftruncate(memory.fd, MIB(3)), 0);
    assert_int_equal(resident_of(backing, NULL, VMEM_USAGE_SEEK_DATA), 4096);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

static void private_copies_count_besides_the_file(void **state)
{
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;
    char page[4096];

    (void)state;
    assert_int_equal(
        host_memory_make(&memory, HOST_MEMFD_PRIVATE, MIB(4), MIB(2)), 0);
    mapping = backing_describe(&memory);
    backing = backing_accept(&mapping);
    memset(page, 1, sizeof(page));
    assert_int_equal(pwrite(memory.fd, page, 4096, MIB(2)), 4096);
    assert_int_equal(resident_of(backing, NULL, VMEM_USAGE_SEEK_DATA), 4096);
    assert_int_equal(memory.hva[0], 1); /* mapped, no copy */
    assert_int_equal(resident_of(backing, NULL, VMEM_USAGE_SEEK_DATA), 4096);
    memory.hva[0] = 2;
    assert_int_equal(resident_of(backing, NULL, VMEM_USAGE_SEEK_DATA), 8192);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

static void old_kernels_are_measured_by_pagemap(void **state)
{
    struct fake_sys fake = {
        .call = FAKE_PAGEMAP_SCAN, .first = 1, .count = 100, .error = ENOTTY
    };
    static const enum host_kind kinds[] = { HOST_ANON, HOST_MEMFD_PRIVATE };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const uint32_t method =
            kinds[i] == HOST_ANON ? VMEM_USAGE_PAGEMAP : VMEM_USAGE_SEEK_DATA;
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;
        uint64_t expected;

        /* More than one buffer of entries. */
        assert_int_equal(host_memory_make(&memory, kinds[i], MIB(160), 0), 0);
        mapping = backing_describe(&memory);
        backing = backing_accept(&mapping);
        if (memory.fd >= 0) { /* of the file, mapped, no copy */
            assert_int_equal(pwrite(memory.fd, "f", 1, 0), 1);
            assert_int_equal(memory.hva[0], 'f');
        }
        memset(memory.hva + MIB(1), 1, MIB(1));
        memory.hva[MIB(100)] = 1;
        memory.hva[MIB(160) - 1] = 1;
        expected = resident_of(backing, NULL, method);
        fake.max_read = 0;
        fake_sys_install(&fake);
        assert_int_equal(resident_of(backing, NULL, method), expected);
        fake.max_read = 4096 + 8; /* short reads */
        assert_int_equal(resident_of(backing, NULL, method), expected);
        assert_true(fake.nr_calls[FAKE_PREAD] > 80);
        fake_sys_remove();
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void the_position_of_the_host_s_descriptor_stays(void **state)
{
    struct fake_sys fake = { .path = "/proc/self/fd/", .path_error = ENOENT };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), MIB(2)), 0);
    mapping = backing_describe(&memory);
    backing = backing_accept(&mapping);
    memset(memory.hva + 4096, 1, 4096);
    assert_int_equal(lseek(memory.fd, 12345, SEEK_SET), 12345);
    assert_int_equal(resident_of(backing, NULL, VMEM_USAGE_SEEK_DATA), 4096);
    assert_int_equal(lseek(memory.fd, 0, SEEK_CUR), 12345);
    fake_sys_install(&fake);
    assert_int_equal(resident_of(backing, NULL, VMEM_USAGE_SEEK_DATA), 4096);
    assert_int_equal(lseek(memory.fd, 0, SEEK_CUR), 12345);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

/* More runs than one PAGEMAP_SCAN returns, and more extents than one. */
static void scattered_pages_are_all_counted(void **state)
{
    static const enum host_kind kinds[] = { HOST_ANON, HOST_ANON_SHARED,
                                            HOST_MEMFD };
    static const uint32_t methods[] = { VMEM_USAGE_PAGEMAP, VMEM_USAGE_MINCORE,
                                        VMEM_USAGE_SEEK_DATA };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        assert_int_equal(host_memory_make(&memory, kinds[i], MIB(80), 0), 0);
        mapping = backing_describe(&memory);
        backing = backing_accept(&mapping);
        for (size_t at = 0; at < MIB(80); at += KIB(16)) {
            memory.hva[at] = 1;
        }
        assert_int_equal(resident_of(backing, NULL, methods[i]), MIB(20));
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            usage_is_measured_by_the_method_of_the_kind, backing_set_up,
            backing_tear_down),
        cmocka_unit_test_setup_teardown(
            reading_anonymous_memory_makes_nothing_resident, backing_set_up,
            backing_tear_down),
        cmocka_unit_test_setup_teardown(a_whole_file_is_measured_by_its_blocks,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(
            a_file_cut_behind_our_back_is_not_a_whole_one, backing_set_up,
            backing_tear_down),
        cmocka_unit_test_setup_teardown(private_copies_count_besides_the_file,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(old_kernels_are_measured_by_pagemap,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(
            the_position_of_the_host_s_descriptor_stays, backing_set_up,
            backing_tear_down),
        cmocka_unit_test_setup_teardown(scattered_pages_are_all_counted,
                                        backing_set_up, backing_tear_down),
    };

    return cmocka_run_group_tests_name("backing_usage", tests, NULL, NULL);
}
