/* SPDX-License-Identifier: BSD-3-Clause */
/* Which memory is accepted, and what is then known of it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/backing.h"
#include "support/backing_rig.h"
#include "support/fake_sys.h"

static void described_kinds_are_recognised(void **state)
{
    static const struct {
        enum host_kind host_kind;
        uint32_t kind;
        uint64_t uses;
    } cases[] = {
        { HOST_ANON, VMEM_BACKING_ANON, DONTNEED },
        { HOST_ANON_SHARED, VMEM_BACKING_ANON_SHARED, REMOVE | TABLES },
        { HOST_MEMFD, VMEM_BACKING_MEMFD, PUNCH | TABLES },
        { HOST_MEMFD_PRIVATE, VMEM_BACKING_MEMFD, PUNCH | DONTNEED },
        { HOST_TMPFS, VMEM_BACKING_MEMFD, PUNCH | TABLES },
        { HOST_DISK, VMEM_BACKING_FILE, PUNCH | TABLES },
        { HOST_DISK_PRIVATE, VMEM_BACKING_FILE, PUNCH | DONTNEED },
        { HOST_HUGE_ANON, VMEM_BACKING_HUGETLB_ANON, DONTNEED },
        { HOST_HUGE_ANON_SHARED, VMEM_BACKING_HUGETLB_ANON, REMOVE },
        { HOST_HUGE_MEMFD, VMEM_BACKING_HUGETLB_MEMFD, PUNCH },
        { HOST_HUGE_MEMFD_PRIVATE, VMEM_BACKING_HUGETLB_MEMFD,
          PUNCH | DONTNEED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const bool is_huge = host_kind_is_huge(cases[i].host_kind);
        struct vmem_backing_mapping mapping;
        struct vmem_backing_info info;
        struct vmem_backing *backing;
        struct host_memory memory;

        if (!backing_memory(&memory, cases[i].host_kind, MIB(4), HUGE_PAGE)) {
            continue;
        }
        mapping = backing_describe(&memory);
        backing = backing_accept(&mapping);
        info = backing_info(backing);
        assert_string_equal(info.name, "ram0");
        assert_ptr_equal(info.hva, memory.hva);
        assert_int_equal(info.size, MIB(4));
        assert_int_equal(info.fd_offset, memory.fd_offset);
        assert_int_equal(info.fd, memory.fd);
        assert_int_equal(info.kind, cases[i].kind);
        assert_int_equal(info.uses, cases[i].uses);
        assert_int_equal(info.page_size,
                         is_huge ? HUGE_PAGE : (size_t)sysconf(_SC_PAGESIZE));
        assert_int_equal(info.flags & VMEM_BACKING_POPULATE,
                         is_huge ? VMEM_BACKING_POPULATE : 0);
        assert_int_equal(backing->populate_on_plug, is_huge);
        assert_int_equal(backing->read_allocates,
                         cases[i].host_kind != HOST_ANON);
        assert_int_equal(backing_log.nr_codes[VMEM_LOG_CODE_UNVERIFIED], 0);
        assert_int_equal(vmem_backing_free(backing, NULL), 0);
        /* Still mapped, still open. */
        assert_true(host_is_mapped(memory.hva, memory.size));
        assert_true(memory.fd < 0 || fcntl(memory.fd, F_GETFL) >= 0);
        host_memory_free(&memory);
    }
}

static void prefer_remove_replaces_the_hole_on_shared_files(void **state)
{
    static const struct {
        enum host_kind host_kind;
        uint64_t uses;
    } cases[] = {
        { HOST_ANON, DONTNEED },
        { HOST_ANON_SHARED, REMOVE | TABLES },
        { HOST_MEMFD, REMOVE | TABLES },
        { HOST_MEMFD_PRIVATE, PUNCH | DONTNEED },
        { HOST_TMPFS, REMOVE | TABLES },
        { HOST_DISK, REMOVE | TABLES },
        { HOST_DISK_PRIVATE, PUNCH | DONTNEED },
        { HOST_HUGE_MEMFD, REMOVE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        if (!backing_memory(&memory, cases[i].host_kind, MIB(4), 0)) {
            continue;
        }
        mapping = backing_describe(&memory);
        mapping.flags |= VMEM_BACKING_PREFER_REMOVE;
        backing = backing_accept(&mapping);
        assert_int_equal(backing_info(backing).uses, cases[i].uses);
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void a_private_file_is_accepted_with_a_warning(void **state)
{
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD_PRIVATE, MIB(2), 0),
                     0);
    mapping = backing_describe(&memory);
    backing = backing_accept(&mapping);
    assert_int_equal(backing_log.nr_codes[VMEM_LOG_CODE_FILE_MODIFIED], 1);
    assert_int_equal(backing_log.level, VMEM_LOG_WARNING);
    assert_int_equal(backing_log.blame, VMEM_BLAME_HOST);
    assert_string_equal(backing_log.object, "ram0");
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

static void without_smaps_descriptions_are_trusted(void **state)
{
    struct fake_sys fake = { .path = "/proc/self/smaps", .path_error = ENOENT };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    mapping.flags |= VMEM_BACKING_SHARED; /* not true */
    fake_sys_install(&fake);
    backing = backing_accept(&mapping);
    fake_sys_remove();
    assert_int_equal(backing_log.nr_codes[VMEM_LOG_CODE_UNVERIFIED], 1);
    assert_int_equal(backing_log.level, VMEM_LOG_DEBUG);
    assert_int_equal(backing_log.blame, VMEM_BLAME_OS);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

static void page_sizes_are_asked_and_not_assumed(void **state)
{
    static const size_t page_sizes[] = { KIB(16), KIB(64) };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fake_sys fake = { .path = "/proc/self/smaps",
                                 .path_error = EACCES,
                                 .page_size = page_sizes[i] };
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
        mapping = backing_describe(&memory);
        fake_sys_install(&fake);
        backing = backing_accept(&mapping);
        assert_int_equal(backing_info(backing).page_size, page_sizes[i]);
        assert_int_equal(backing_info(backing).kind, VMEM_BACKING_ANON);
        vmem_backing_free(backing, NULL);
        mapping.size = MIB(2) - page_sizes[i] / 2;
        backing_refuse(&mapping, -EINVAL, VMEM_REASON_ALIGNMENT, "size 0x1f");
        mapping.size = MIB(2);
        mapping.page_size = page_sizes[i] / 2;
        backing_refuse(&mapping, -EINVAL, VMEM_REASON_ALIGNMENT, "at least");
        fake_sys_remove();
        host_memory_free(&memory);
    }
}

static void blocks_of_the_file_system_are_the_unit_on_disk(void **state)
{
    struct fake_sys fake = { .fs_block_size = KIB(64) };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    (void)state;
    if (backing_memory(&memory, HOST_DISK, MIB(4), MIB(2))) {
        mapping = backing_describe(&memory);
        fake_sys_install(&fake);
        backing = backing_accept(&mapping);
        assert_int_equal(backing_info(backing).page_size, KIB(64));
        vmem_backing_free(backing, NULL);
        mapping.fd_offset += KIB(16);
        backing_refuse(
            &mapping, -EINVAL, VMEM_REASON_ALIGNMENT,
            "fd_offset 0x204000 is not a multiple of the file system's "
            "block 0x10000");
        fake.fs_block_size = 3000; /* not a unit to count in */
        mapping = backing_describe(&memory);
        backing = backing_accept(&mapping);
        assert_int_equal(backing_info(backing).page_size,
                         sysconf(_SC_PAGESIZE));
        vmem_backing_free(backing, NULL);
        fake_sys_remove();
        host_memory_free(&memory);
    }
}

static void populate_flags_override_the_default(void **state)
{
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    mapping.flags |= VMEM_BACKING_POPULATE;
    backing = backing_accept(&mapping);
    assert_true(backing->populate_on_plug);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);

    if (backing_memory(&memory, HOST_HUGE_MEMFD, MIB(2), 0)) {
        mapping = backing_describe(&memory);
        mapping.flags |= VMEM_BACKING_NO_POPULATE;
        backing = backing_accept(&mapping);
        assert_false(backing->populate_on_plug);
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void default_blocks_are_huge_pages_but_not_tiny(void **state)
{
    struct fake_sys fake = { 0 };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;
    static const struct {
        const char *text;
        uint64_t expected;
    } cases[] = {
        { "2097152\n", MIB(2) }, { "33554432\n", MIB(32) },
        { "524288\n", MIB(1) },  { "", MIB(1) },
        { "3000000\n", MIB(1) }, { "536870912\n", MIB(512) },
    };

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* smaps cannot be read either; it is not what this is about */
        fake = (struct fake_sys){ .path = "/proc/self/smaps",
                                  .path_error = EACCES,
                                  .text = cases[i].text };
        fake_sys_install(&fake);
        backing = backing_accept(&mapping);
        fake_sys_remove();
        assert_int_equal(backing_info(backing).default_block_size,
                         cases[i].expected);
        vmem_backing_free(backing, NULL);
    }
    fake = (struct fake_sys){ .path = "/sys", .path_error = ENOENT };
    fake_sys_install(&fake);
    backing = backing_accept(&mapping);
    fake_sys_remove();
    assert_int_equal(backing_info(backing).default_block_size, MIB(1));
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);

    if (backing_memory(&memory, HOST_HUGE_MEMFD, MIB(2), 0)) {
        mapping = backing_describe(&memory);
        backing = backing_accept(&mapping);
        assert_int_equal(backing_info(backing).default_block_size, HUGE_PAGE);
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(described_kinds_are_recognised,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(
            prefer_remove_replaces_the_hole_on_shared_files, backing_set_up,
            backing_tear_down),
        cmocka_unit_test_setup_teardown(
            a_private_file_is_accepted_with_a_warning, backing_set_up,
            backing_tear_down),
        cmocka_unit_test_setup_teardown(without_smaps_descriptions_are_trusted,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(page_sizes_are_asked_and_not_assumed,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(
            blocks_of_the_file_system_are_the_unit_on_disk, backing_set_up,
            backing_tear_down),
        cmocka_unit_test_setup_teardown(populate_flags_override_the_default,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(
            default_blocks_are_huge_pages_but_not_tiny, backing_set_up,
            backing_tear_down),
    };

    return cmocka_run_group_tests_name("backing", tests, NULL, NULL);
}
