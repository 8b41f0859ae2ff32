/* SPDX-License-Identifier: BSD-3-Clause */
/* Which descriptions of memory are refused, and why. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sized.h"
#include "host/kernel.h"
#include "support/backing_rig.h"
#include "support/fake_sys.h"

static void arguments_are_checked(void **state)
{
    const struct {
        struct vmem_backing_mapping mapping;
        char tail;
    } longer = { .mapping.struct_size = sizeof(longer), .tail = 1 };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing_mapping good;
    struct vmem_backing_mapping bad;
    struct vmem_backing *backing;
    struct host_memory memory;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), MIB(2)), 0);
    good = backing_describe(&memory);

    assert_int_equal(vmem_backing_new_mapped(NULL, &good, &backing, &err),
                     -EINVAL);
    assert_non_null(strstr(err.message, "vm or out is NULL"));
    assert_int_equal(vmem_backing_new_mapped(backing_vm, &good, NULL, &err),
                     -EINVAL);
    assert_int_equal(vmem_backing_new_mapped(backing_vm, NULL, &backing, &err),
                     -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_ARGUMENT);
    backing_refuse(&longer.mapping, -E2BIG, VMEM_REASON_STRUCT_TAIL,
                   "vmem_backing_mapping");

#define BAD(member, value, code, reason, text)                                 \
    do {                                                                       \
        bad = good;                                                            \
        bad.member = value;                                                    \
        backing_refuse(&bad, code, VMEM_REASON_##reason, text);                \
    } while (0)

    BAD(struct_size,
        VMEMI_SIZE_THROUGH(struct vmem_backing_mapping, reserved) - 1, -EINVAL,
        STRUCT_SIZE, "struct_size");
    BAD(struct_size, 0, -EINVAL, STRUCT_SIZE, "struct_size is 0");
    BAD(name, NULL, -EINVAL, ARGUMENT, "backing name is missing");
    BAD(name, "", -EINVAL, ARGUMENT, "backing name is missing");
    BAD(name,
        "0123456789012345678901234567890123456789012345678901234567890123",
        -ERANGE, RANGE, "longer than 63");
    BAD(flags, good.flags | (uint64_t)1 << 40, -EINVAL, ARGUMENT,
        "flags 0x10000000003");
    BAD(flags, good.flags | VMEM_BACKING_POPULATE | VMEM_BACKING_NO_POPULATE,
        -EINVAL, ARGUMENT, "exclude each other");
    BAD(reserved, 7, -EINVAL, ARGUMENT, "reserved is 7");
    BAD(hva, NULL, -EINVAL, ARGUMENT, "hva is NULL");
    BAD(hva, memory.hva + 1, -EINVAL, ALIGNMENT,
        "is not a multiple of the page");
    BAD(size, 0, -EINVAL, ARGUMENT, "size is 0");
    BAD(size, MIB(4) - 1, -EINVAL, ALIGNMENT, "size 0x3fffff");
    BAD(size, UINT64_MAX - 0xfff, -EOVERFLOW, OVERFLOW, "exceeds 64 bits");
    BAD(size, (uint64_t)1 << 63, -EOVERFLOW, OVERFLOW, "exceeds 63 bits");
    BAD(fd_offset, MIB(2) + 512, -EINVAL, ALIGNMENT, "fd_offset 0x200200");
    BAD(fd_offset, UINT64_MAX, -EOVERFLOW, OVERFLOW, "fd_offset 0xffffffff");
    BAD(fd_offset, (uint64_t)INT64_MAX - 0xfff, -EOVERFLOW, OVERFLOW,
        "63 bits");
    BAD(page_size, 3, -EINVAL, ALIGNMENT, "page size 0x3 must be a power");
    BAD(page_size, 512, -EINVAL, ALIGNMENT, "at least 0x1000");
    BAD(page_size, HUGE_PAGE, -EINVAL, MISMATCH, "page size is 0x200000");
    BAD(fd, -1, -EBADF, ARGUMENT, "fd -1 is not open");
    BAD(fd, 1000000, -EBADF, ARGUMENT, "fd 1000000 is not open");
    BAD(flags, VMEM_BACKING_SHARED, -EINVAL, ARGUMENT,
        "must be 0 without a descriptor");
#undef BAD

    backing = backing_accept(&good);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

/* The description of a good mapping with another descriptor. */
static void refuse_fd(int fd, int code, uint32_t reason, const char *text)
{
    struct vmem_backing_mapping mapping;
    struct host_memory memory;

    assert_true(fd >= 0);
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    mapping.fd = fd;
    backing_refuse(&mapping, code, reason, text);
    host_memory_free(&memory);
    close(fd);
}

static int reopen(int fd, int flags)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

static void descriptors_that_cannot_punch_are_refused(void **state)
{
    struct host_memory memory;
    int pipe_fds[2];

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    refuse_fd(reopen(memory.fd, O_RDONLY), -EBADF, VMEM_REASON_READ_ONLY,
              "not open for writing");
    refuse_fd(reopen(memory.fd, O_PATH), -EBADF, VMEM_REASON_READ_ONLY,
              "not open for writing");
    host_memory_free(&memory);

    assert_int_equal(pipe(pipe_fds), 0);
    close(pipe_fds[0]);
    refuse_fd(pipe_fds[1], -ENOTSUP, VMEM_REASON_UNSUPPORTED,
              "not a regular file");
    refuse_fd(open("/dev/zero", O_RDWR | O_CLOEXEC), -ENOTSUP,
              VMEM_REASON_UNSUPPORTED, "not a regular file");
    /* A file system that has files and no holes. */
    refuse_fd(open("/proc/self/comm", O_RDWR | O_CLOEXEC), -ENOTSUP,
              VMEM_REASON_UNSUPPORTED, "cannot punch holes");
}

static void seals_against_writing_are_refused(void **state)
{
    static const struct {
        int seals;
        bool is_refused;
        const char *text;
    } cases[] = {
        { F_SEAL_WRITE, true, "F_SEAL_WRITE" },
        { F_SEAL_FUTURE_WRITE, true, "F_SEAL_FUTURE_WRITE" },
        { F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK, true, "0x12" },
        { F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, false, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        /* F_SEAL_WRITE needs memory that is not mapped writable and shared. */
        assert_int_equal(host_memory_make(&memory,
                                          cases[i].seals == F_SEAL_WRITE
                                              ? HOST_MEMFD_PRIVATE
                                              : HOST_MEMFD,
                                          MIB(2), 0),
                         0);
        assert_int_equal(fcntl(memory.fd, F_ADD_SEALS, cases[i].seals), 0);
        mapping = backing_describe(&memory);
        if (cases[i].is_refused) {
            backing_refuse(&mapping, -EPERM, VMEM_REASON_SEALED, cases[i].text);
        } else {
            backing = backing_accept(&mapping);
            vmem_backing_free(backing, NULL);
        }
        host_memory_free(&memory);
    }
}

static void a_read_only_private_file_is_refused(void **state)
{
    struct vmem_backing_mapping mapping;
    struct host_memory memory;
    int fd;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD_PRIVATE, MIB(2), 0),
                     0);
    fd = reopen(memory.fd, O_RDONLY);
    mapping = backing_describe(&memory);
    mapping.fd = fd;
    backing_refuse(&mapping, -EBADF, VMEM_REASON_READ_ONLY,
                   "not open for writing");
    close(fd);
    host_memory_free(&memory);
}

static void descriptions_that_do_not_match_are_refused(void **state)
{
    struct vmem_backing_mapping mapping;
    struct host_memory memory;
    struct host_memory other;
    int disk;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(4), 0), 0);
    mapping = backing_describe(&memory);
    mapping.flags |= VMEM_BACKING_SHARED;
    backing_refuse(&mapping, -EINVAL, VMEM_REASON_MISMATCH,
                   "is private, the description says shared");
    mapping = backing_describe(&memory);
    mapping.page_size = HUGE_PAGE;
    backing_refuse(&mapping, -EINVAL, VMEM_REASON_MISMATCH,
                   "has pages of 0x1000 bytes, the description says 0x200000");
    assert_int_equal(host_memory_make(&other, HOST_MEMFD_PRIVATE, MIB(4), 0),
                     0);
    mapping = backing_describe(&memory);
    mapping.flags |= VMEM_BACKING_HAS_FD;
    mapping.fd = other.fd;
    backing_refuse(&mapping, -EINVAL, VMEM_REASON_MISMATCH, "is not a file");
    host_memory_free(&other);
    munmap(memory.hva + MIB(2), KIB(64));
    mapping = backing_describe(&memory);
    backing_refuse(&mapping, -EINVAL, VMEM_REASON_MISMATCH,
                   "nothing is mapped at");
    host_memory_free(&memory);

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), MIB(2)), 0);
    mapping = backing_describe(&memory);
    mapping.flags &= ~VMEM_BACKING_SHARED;
    backing_refuse(&mapping, -EINVAL, VMEM_REASON_MISMATCH,
                   "is shared, the description says private");
    mapping = backing_describe(&memory);
    mapping.fd_offset = 0;
    backing_refuse(&mapping, -EINVAL, VMEM_REASON_MISMATCH,
                   "mapped at fd_offset 0x200000, the description says 0x0");
    assert_int_equal(host_memory_make(&other, HOST_MEMFD, MIB(4), MIB(2)), 0);
    mapping = backing_describe(&memory);
    mapping.fd = other.fd;
    backing_refuse(&mapping, -EINVAL, VMEM_REASON_MISMATCH, "is another file");
    host_memory_free(&other);
    mapping = backing_describe(&memory);
    assert_int_equal(ftruncate(memory.fd, MIB(5)), 0);
    backing_refuse(&mapping, -EINVAL, VMEM_REASON_MISMATCH,
                   "ends at fd_offset 0x600000, the file already at 0x500000");
    host_memory_free(&memory);

    /* A private file described as anonymous: its content would come back. */
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD_PRIVATE, MIB(2), 0),
                     0);
    mapping = backing_describe(&memory);
    mapping.flags = 0;
    backing_refuse(&mapping, -EINVAL, VMEM_REASON_MISMATCH,
                   "is /memfd:test (deleted), the description says it has no");
    host_memory_free(&memory);

    disk = host_disk_file();
    if (disk < 0) {
        printf("SKIP: no disk file\n");
        return;
    }
    assert_int_equal(host_memory_make(&memory, HOST_DISK, MIB(2), 0), 0);
    assert_int_equal(ftruncate(disk, MIB(4)), 0);
    mapping = backing_describe(&memory);
    mapping.fd = disk;
    backing_refuse(&mapping, -EINVAL, VMEM_REASON_MISMATCH, "is another file");
    close(disk);
    host_memory_free(&memory);
}

static void locked_memory_is_seen_and_taken_over(void **state)
{
    static const enum host_kind kinds[] = { HOST_ANON, HOST_MEMFD,
                                            HOST_MEMFD_PRIVATE };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct vmem_backing_mapping mapping;
        struct vmem_backing_info info;
        struct vmem_backing *backing;
        struct host_memory memory;

        assert_int_equal(host_memory_make(&memory, kinds[i], MIB(4), 0), 0);
        mapping = backing_describe(&memory);
        /* Only a part, in a mapping of its own. */
        if (mlock2(memory.hva + MIB(2), KIB(64), MLOCK_ONFAULT) < 0) {
            printf("SKIP: cannot lock memory: %s\n", strerror(errno));
            host_memory_free(&memory);
            return;
        }
        backing = backing_accept(&mapping);
        info = backing_info(backing);
        assert_int_equal(info.uses & LOCKED, LOCKED);
        assert_int_equal(info.flags & VMEM_BACKING_LOCKED, VMEM_BACKING_LOCKED);
        vmem_backing_free(backing, NULL);
        if (kinds[i] == HOST_MEMFD) {
            mapping.flags |= VMEM_BACKING_PREFER_REMOVE;
            backing_refuse(
                &mapping, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                "MADV_REMOVE fails on locked memory; do not set PREFER");
        }
        host_memory_free(&memory);
    }
}

static void the_locked_flag_is_believed(void **state)
{
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    mapping.flags |= VMEM_BACKING_LOCKED;
    backing = backing_accept(&mapping);
    assert_int_equal(backing_info(backing).uses, DONTNEED | LOCKED);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);

    assert_int_equal(host_memory_make(&memory, HOST_ANON_SHARED, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    mapping.flags |= VMEM_BACKING_LOCKED;
    backing_refuse(&mapping, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                   "MADV_REMOVE fails on locked memory; use a memfd");
    host_memory_free(&memory);

    /* The kernel never locks huge pages. */
    if (backing_memory(&memory, HOST_HUGE_ANON_SHARED, MIB(2), 0)) {
        mapping = backing_describe(&memory);
        mapping.flags |= VMEM_BACKING_LOCKED;
        backing = backing_accept(&mapping);
        assert_int_equal(backing_info(backing).uses, REMOVE);
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void remove_needs_a_writable_mapping(void **state)
{
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;
    int fd;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    fd = reopen(memory.fd, O_RDONLY);
    assert_ptr_equal(
        mmap(memory.hva, memory.size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0),
        memory.hva);
    mapping = backing_describe(&memory);
    backing = backing_accept(&mapping); /* a hole needs the descriptor only */
    vmem_backing_free(backing, NULL);
    mapping.flags |= VMEM_BACKING_PREFER_REMOVE;
    backing_refuse(&mapping, -ENOTSUP, VMEM_REASON_READ_ONLY,
                   "read-only descriptor");
    close(fd);
    host_memory_free(&memory);
}

static void kernels_without_an_advice_are_noticed(void **state)
{
    struct fake_sys fake = {
        .call = FAKE_MADVISE, .first = 1, .count = 2, .error = EINVAL
    };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;
    const struct vmem_range all = { 0, MIB(2) };

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    mapping.flags |= VMEM_BACKING_LOCKED;
    fake_sys_install(&fake);
    fake.count = 100;
    backing_refuse(&mapping, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                   "lacks MADV_DONTNEED_LOCKED");
    mapping.flags = VMEM_BACKING_POPULATE;
    backing_refuse(&mapping, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                   "lacks MADV_POPULATE_WRITE");
    mapping.flags = 0;
    backing = backing_accept(&mapping);
    assert_int_equal(vmem_backing_populate(backing, &all, NULL), -ENOTSUP);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);

    /* On a file only the tables are lost. */
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    mapping.flags |= VMEM_BACKING_LOCKED;
    backing = backing_accept(&mapping);
    assert_int_equal(backing_info(backing).uses, PUNCH);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);

    if (backing_memory(&memory, HOST_HUGE_ANON, MIB(2), 0)) {
        mapping = backing_describe(&memory);
        backing_refuse(&mapping, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                       "cannot discard private huge pages");
        host_memory_free(&memory);
    }
    fake_sys_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arguments_are_checked, backing_set_up,
                                        backing_tear_down),
        cmocka_unit_test_setup_teardown(
            descriptors_that_cannot_punch_are_refused, backing_set_up,
            backing_tear_down),
        cmocka_unit_test_setup_teardown(seals_against_writing_are_refused,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(a_read_only_private_file_is_refused,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(
            descriptions_that_do_not_match_are_refused, backing_set_up,
            backing_tear_down),
        cmocka_unit_test_setup_teardown(locked_memory_is_seen_and_taken_over,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(the_locked_flag_is_believed,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(remove_needs_a_writable_mapping,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(kernels_without_an_advice_are_noticed,
                                        backing_set_up, backing_tear_down),
    };

    return cmocka_run_group_tests_name("backing_refused", tests, NULL, NULL);
}
