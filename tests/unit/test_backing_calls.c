/* SPDX-License-Identifier: BSD-3-Clause */
/* The system calls that discards and zeroing of each kind make. What they do to real
 * memory is in test_backing_real.c. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/backing.h"
#include "support/backing_rig.h"
#include "support/fake_sys.h"

static uint64_t syscalls_of(const struct vmem_backing *backing)
{
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };

    assert_int_equal(vmem_backing_get_stats(backing, &stats), 0);
    return stats.nr_syscalls;
}

static void each_kind_makes_the_calls_of_its_row(void **state)
{
    static const int remove_tables[] = { MADV_REMOVE, MADV_DONTNEED, 0 };
    static const int punch_tables[] = { -1, MADV_DONTNEED, 0 };
    static const int dontneed[] = { MADV_DONTNEED, 0 };
    static const int punch_dontneed[] = { -1, MADV_DONTNEED, 0 };
    static const int remove_only[] = { MADV_REMOVE, 0 };
    static const int punch_only[] = { -1, 0 };
    static const struct {
        enum host_kind kind;
        uint64_t flags;
        const int *advice; /* -1: a hole */
    } cases[] = {
        { HOST_ANON, 0, dontneed },
        { HOST_ANON_SHARED, 0, remove_tables },
        { HOST_MEMFD, 0, punch_tables },
        { HOST_MEMFD, VMEM_BACKING_PREFER_REMOVE, remove_tables },
        { HOST_MEMFD_PRIVATE, 0, punch_dontneed },
        { HOST_TMPFS, 0, punch_tables },
        { HOST_DISK, 0, punch_tables },
        { HOST_DISK_PRIVATE, 0, punch_dontneed },
        { HOST_HUGE_ANON, 0, dontneed },
        { HOST_HUGE_ANON_SHARED, 0, remove_only },
        { HOST_HUGE_MEMFD, 0, punch_only },
        { HOST_HUGE_MEMFD, VMEM_BACKING_PREFER_REMOVE, remove_only },
        { HOST_HUGE_MEMFD_PRIVATE, 0, punch_dontneed },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct vmem_range range = { MIB(4), MIB(6) };
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;
        struct fake_sys fake = { 0 };
        size_t nr = 0;

        if (!backing_memory(&memory, cases[i].kind, MIB(16), MIB(2))) {
            continue;
        }
        mapping = backing_describe(&memory);
        mapping.flags |= cases[i].flags;
        backing = backing_accept(&mapping);
        fake_sys_install(&fake);
        assert_int_equal(vmem_backing_discard(backing, &range, NULL), 0);
        fake_sys_remove();
        for (; cases[i].advice[nr] != 0; nr++) {
            const bool is_hole = cases[i].advice[nr] == -1;

            assert_true(nr < fake.nr_records);
            assert_int_equal(fake.records[nr].call,
                             is_hole ? FAKE_FALLOCATE : FAKE_MADVISE);
            assert_int_equal(fake.records[nr].detail,
                             is_hole
                                 ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                 : cases[i].advice[nr]);
            assert_int_equal(fake.records[nr].start,
                             is_hole ? memory.fd_offset + range.offset
                                     : (uintptr_t)memory.hva + range.offset);
            assert_int_equal(fake.records[nr].size, range.size);
        }
        assert_int_equal(fake.nr_records, nr);
        assert_int_equal(fake.nr_calls[FAKE_ANY], nr);
        assert_int_equal(syscalls_of(backing), nr);
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void tables_are_dropped_in_whole_units_only(void **state)
{
    static const struct {
        struct vmem_range range;
        uint64_t start;
        uint64_t size; /* 0: no call */
    } cases[] = {
        { { 0, MIB(2) }, 0, MIB(2) },
        { { 4096, MIB(2) }, 0, 0 },
        { { 4096, MIB(4) - 4096 }, MIB(2), MIB(2) },
        { { MIB(1), MIB(6) }, MIB(2), MIB(4) },
        { { MIB(1), MIB(1) }, 0, 0 },
        { { 0, MIB(3) }, 0, MIB(2) },
    };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(8), 0), 0);
    mapping = backing_describe(&memory);
    backing = backing_accept(&mapping);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_sys fake = { 0 };

        fake_sys_install(&fake);
        assert_int_equal(vmem_backing_discard(backing, &cases[i].range, NULL),
                         0);
        fake_sys_remove();
        assert_int_equal(fake.nr_records, cases[i].size == 0 ? 1 : 2);
        if (cases[i].size != 0) {
            assert_int_equal(fake.records[1].start,
                             (uintptr_t)memory.hva + cases[i].start);
            assert_int_equal(fake.records[1].size, cases[i].size);
        }
    }
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

static void long_discards_go_in_bounded_steps(void **state)
{
    const uint64_t size = 5 * VMEM_BACKING_STEP;
    const struct vmem_range ranges[] = {
        { 0, VMEM_BACKING_STEP },  { 4096, VMEM_BACKING_STEP }, { 0, size },
        { MIB(1), size - MIB(1) }, { 4096, size - 8192 },
    };
    static const unsigned int nr_steps[] = { 1, 1, 5, 5, 5 };
    static const uint32_t kinds[] = { VMEM_BACKING_ANON, VMEM_BACKING_MEMFD };

    (void)state;
    for (size_t kind = 0; kind < 2; kind++) {
        const struct vmem_backing_config request =
            backing_request(kinds[kind], size);
        struct vmem_backing *backing;
        uint64_t hva;

        assert_int_equal(
            vmem_backing_new_allocated(backing_vm, &request, &backing, NULL),
            0);
        hva = (uintptr_t)backing_info(backing).hva;
        for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
            struct fake_sys fake = { 0 };
            uint64_t next =
                kind == 0 ? hva + ranges[i].offset : ranges[i].offset;
            unsigned int nr = 0;

            fake_sys_install(&fake);
            assert_int_equal(vmem_backing_discard(backing, &ranges[i], NULL),
                             0);
            fake_sys_remove();
            for (size_t j = 0; j < fake.nr_records; j++) {
                if (kind == 1 && fake.records[j].call == FAKE_MADVISE) {
                    continue;
                }
                assert_int_equal(fake.records[j].start, next);
                assert_in_range(fake.records[j].size, 1, VMEM_BACKING_STEP);
                next += fake.records[j].size;
                nr++;
            }
            assert_int_equal(nr, nr_steps[i]);
            assert_int_equal(next, (kind == 0 ? hva : 0) + ranges[i].offset +
                                       ranges[i].size);
        }
        vmem_backing_free(backing, NULL);
    }
}

/* Usage */

static void zero_populates_first_and_writes(void **state)
{
    static const enum host_kind kinds[] = { HOST_ANON, HOST_MEMFD, HOST_DISK };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct vmem_range range = { MIB(1), MIB(2) };
        struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        if (!backing_memory(&memory, kinds[i], MIB(4), MIB(2))) {
            continue;
        }
        mapping = backing_describe(&memory);
        backing = backing_accept(&mapping);
        memset(memory.hva, 0x5a, MIB(4));
        assert_int_equal(vmemi_backing_zero(backing, &range), 0);
        assert_int_equal(memory.hva[MIB(1) - 1], 0x5a);
        assert_true(host_is_zero(memory.hva + MIB(1), MIB(2)));
        assert_int_equal(memory.hva[MIB(3)], 0x5a);
        assert_int_equal(vmem_backing_get_stats(backing, &stats), 0);
        assert_int_equal(stats.zeroed_bytes, MIB(2));
        assert_int_equal(stats.nr_syscalls, 1);

        /* What cannot be written is an error and not a signal. */
        assert_int_equal(mprotect(memory.hva, MIB(4), PROT_READ), 0);
        assert_true(vmemi_backing_zero(backing, &range) < 0);
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_kind_makes_the_calls_of_its_row,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(tables_are_dropped_in_whole_units_only,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(long_discards_go_in_bounded_steps,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(zero_populates_first_and_writes,
                                        backing_set_up, backing_tear_down),
    };

    return cmocka_run_group_tests_name("backing_calls", tests, NULL, NULL);
}
