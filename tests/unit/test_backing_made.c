/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that the library makes: which requests are granted, and as what. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/kernel.h"
#include "support/backing_rig.h"
#include "support/fake_sys.h"

static void kinds_are_made(void **state)
{
    static const struct {
        uint32_t kind;
        uint64_t flags;
        uint64_t uses;
        bool is_shared;
    } cases[] = {
        { VMEM_BACKING_ANON, 0, DONTNEED, false },
        { VMEM_BACKING_ANON_SHARED, 0, REMOVE | TABLES, true },
        { VMEM_BACKING_MEMFD, 0, PUNCH | TABLES, true },
        { VMEM_BACKING_MEMFD, VMEM_BACKING_PREFER_REMOVE, REMOVE | TABLES,
          true },
        { VMEM_BACKING_HUGETLB_ANON, 0, DONTNEED, false },
        { VMEM_BACKING_HUGETLB_ANON, VMEM_BACKING_SHARED, REMOVE, true },
        { VMEM_BACKING_HUGETLB_MEMFD, 0, PUNCH, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const unsigned int nr_fds = host_nr_fds();
        struct vmem_backing_config request =
            backing_request(cases[i].kind, MIB(16));
        struct vmem_error err = VMEM_ERROR_INIT;
        struct vmem_backing *backing;
        struct vmem_backing_info info;
        int ret;

        request.flags = cases[i].flags;
        ret = vmem_backing_new_allocated(backing_vm, &request, &backing, &err);
        if (ret == -ENOTSUP) {
            printf("SKIP: %s\n", err.message);
            continue;
        }
        assert_int_equal(ret, 0);
        info = backing_info(backing);
        assert_int_equal(info.kind, cases[i].kind);
        assert_int_equal(info.uses, cases[i].uses);
        assert_int_equal(info.size, MIB(16));
        assert_int_equal((info.flags & VMEM_BACKING_SHARED) != 0,
                         cases[i].is_shared);
        assert_int_equal((uintptr_t)info.hva % MIB(2), 0);
        assert_int_equal((info.flags & VMEM_BACKING_HAS_FD) != 0, info.fd >= 0);
        assert_true(host_has_vm_flag(info.hva, "dc")); /* MADV_DONTFORK */
        if (info.fd >= 0) {
            assert_int_equal(fcntl(info.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
            assert_int_equal(fcntl(info.fd, F_GET_SEALS),
                             F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
            assert_int_equal(host_file_blocks(info.fd), 0);
        }
        assert_int_equal(vmem_backing_free(backing, NULL), 0);
        assert_false(host_is_mapped(info.hva, MIB(16)));
        assert_int_equal(host_nr_fds(), nr_fds);
    }
}

static void small_memory_is_made(void **state)
{
    const uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    struct vmem_backing_config request =
        backing_request(VMEM_BACKING_ANON, page_size);
    struct vmem_backing *backing;

    (void)state;
    request.page_size = page_size;
    assert_int_equal(
        vmem_backing_new_allocated(backing_vm, &request, &backing, NULL), 0);
    *(char *)backing_info(backing).hva = 1;
    vmem_backing_free(backing, NULL);
}

static void refuse_request(const struct vmem_backing_config *request, int code,
                           uint32_t reason, const char *text)
{
    struct vmem_backing *backing = (struct vmem_backing *)0x1;
    struct vmem_error err = VMEM_ERROR_INIT;
    unsigned int nr_fds = host_nr_fds();
    int ret = vmem_backing_new_allocated(backing_vm, request, &backing, &err);

    if (ret != code || err.reason != reason ||
        strstr(err.message, text) == NULL) {
        fail_msg("%d %s \"%s\", expected %d %s \"%s\"", ret,
                 vmem_reason_name(err.reason), err.message, code,
                 vmem_reason_name(reason), text);
    }
    assert_ptr_equal(backing, (struct vmem_backing *)0x1);
    assert_int_equal(host_nr_fds(), nr_fds);
}

static void requests_are_checked(void **state)
{
    const struct vmem_backing_config good =
        backing_request(VMEM_BACKING_MEMFD, MIB(4));
    struct vmem_backing_config bad;
    struct vmem_backing *backing;

    (void)state;
    assert_int_equal(vmem_backing_new_allocated(NULL, &good, &backing, NULL),
                     -EINVAL);
    assert_int_equal(vmem_backing_new_allocated(backing_vm, &good, NULL, NULL),
                     -EINVAL);
    refuse_request(NULL, -EINVAL, VMEM_REASON_ARGUMENT,
                   "vmem_backing_config is NULL");

#define BAD(member, value, code, reason, text)                                 \
    do {                                                                       \
        bad = good;                                                            \
        bad.member = value;                                                    \
        refuse_request(&bad, code, VMEM_REASON_##reason, text);                \
    } while (0)

    BAD(struct_size, 8, -EINVAL, STRUCT_SIZE, "struct_size is 8");
    BAD(name, NULL, -EINVAL, ARGUMENT, "backing name is missing");
    BAD(kind, 0, -EINVAL, ARGUMENT, "kind is 0, must be 1 to 6");
    BAD(kind, VMEM_BACKING_CUSTOM, -EINVAL, ARGUMENT, "kind is 7");
    BAD(kind, 0xffffffff, -EINVAL, ARGUMENT, "kind is 4294967295");
    BAD(kind, VMEM_BACKING_FILE, -EINVAL, ARGUMENT, "path is missing");
    BAD(path, "/tmp/x", -EINVAL, ARGUMENT, "path is not allowed");
    BAD(flags, VMEM_BACKING_LOCKED, -EINVAL, ARGUMENT, "flags 0x4, allowed");
    BAD(flags, VMEM_BACKING_HAS_FD, -EINVAL, ARGUMENT, "flags 0x2, allowed");
    BAD(flags, VMEM_BACKING_POPULATE | VMEM_BACKING_NO_POPULATE, -EINVAL,
        ARGUMENT, "exclude each other");
    BAD(reserved, 1, -EINVAL, ARGUMENT, "reserved is 1");
    BAD(fd_offset, MIB(2), -EINVAL, ARGUMENT, "fd_offset is 0x200000");
    BAD(size, 0, -EINVAL, ARGUMENT, "size is 0");
    BAD(size, 4097, -EINVAL, ALIGNMENT, "size 0x1001 is not a multiple");
    BAD(size, (uint64_t)1 << 63, -EOVERFLOW, OVERFLOW, "exceeds 63 bits");
    BAD(size, (uint64_t)1 << 62, -ENOMEM, OS, "mapping 0x4000000000000000");
    BAD(page_size, HUGE_PAGE, -EINVAL, ALIGNMENT,
        "page size is 0x200000, must be 0 or 0x1000");
#undef BAD

    bad = backing_request(VMEM_BACKING_ANON, MIB(4));
    bad.flags = VMEM_BACKING_SHARED;
    refuse_request(&bad, -EINVAL, VMEM_REASON_ARGUMENT,
                   "VMEM_BACKING_ANON is private");
    bad = backing_request(VMEM_BACKING_HUGETLB_MEMFD, MIB(4));
    bad.page_size = 3 << 20;
    refuse_request(&bad, -EINVAL, VMEM_REASON_ALIGNMENT,
                   "must be a power of two above 0x1000");
    bad.page_size = (uint64_t)1 << 40;
    bad.size = (uint64_t)1 << 40;
    refuse_request(&bad, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                   "no huge pages of 0x10000000000 bytes");
    bad.kind = VMEM_BACKING_HUGETLB_ANON;
    refuse_request(&bad, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                   "no huge pages of 0x10000000000 bytes");
    if (host_meminfo("Hugepagesize") == (int64_t)HUGE_PAGE) {
        bad.page_size = 0;
        bad.size = MIB(3);
        refuse_request(&bad, -EINVAL, VMEM_REASON_ALIGNMENT,
                       "size 0x300000 is not a multiple of the page size "
                       "0x200000");
    }
}

static void check_made_file(bool on_disk)
{
    struct vmem_backing_config request =
        backing_request(VMEM_BACKING_FILE, MIB(4));
    struct vmem_backing *backing;
    struct vmem_backing_info info;
    struct stat status;
    char path[64];

    if (host_path(on_disk, path, sizeof(path)) < 0) {
        printf("SKIP: no folder %s\n", on_disk ? "on a disk" : "on tmpfs");
        return;
    }
    request.path = path;
    request.fd_offset = MIB(2);
    request.flags = VMEM_BACKING_SHARED;
    assert_int_equal(
        vmem_backing_new_allocated(backing_vm, &request, &backing, NULL), 0);
    info = backing_info(backing);
    assert_int_equal(info.kind,
                     on_disk ? VMEM_BACKING_FILE : VMEM_BACKING_MEMFD);
    assert_int_equal(info.fd_offset, MIB(2));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, MIB(6));
    assert_int_equal(status.st_mode & 0777, 0600);
    memset(info.hva, 7, 4096);
    vmem_backing_free(backing, NULL);

    /* It keeps its content, and is not cut. */
    request.size = MIB(2);
    assert_int_equal(
        vmem_backing_new_allocated(backing_vm, &request, &backing, NULL), 0);
    info = backing_info(backing);
    assert_int_equal(*(char *)info.hva, 7);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, MIB(6));
    vmem_backing_free(backing, NULL);

    /* A refused one leaves it alone. */
    request.size = MIB(64) + 1;
    refuse_request(&request, -EINVAL, VMEM_REASON_ALIGNMENT, "size");
    request.size = (uint64_t)1 << 61;
    refuse_request(&request, on_disk ? -EFBIG : -ENOMEM, VMEM_REASON_OS,
                   on_disk ? path : "mapping 0x2");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, MIB(6));
    unlink(path);

    /* Nor does a new one stay. */
    refuse_request(&request, on_disk ? -EFBIG : -ENOMEM, VMEM_REASON_OS,
                   on_disk ? path : "mapping 0x2");
    assert_int_equal(stat(path, &status), -1);
}

static void files_are_made_and_grown_but_not_cut(void **state)
{
    (void)state;
    check_made_file(true);
    check_made_file(false);
}

static void paths_that_cannot_be_opened_are_named(void **state)
{
    struct vmem_backing_config request =
        backing_request(VMEM_BACKING_FILE, MIB(4));
    const char *name = request.name;
    char longest[VMEM_NAME_MAX + 1] = "";
    char path[256] = "/nonexistent/";

    (void)state;
    request.path = "/nonexistent/ram";
    refuse_request(
        &request, -ENOENT, VMEM_REASON_OS,
        "open of /nonexistent/ram: No such file or directory (errno 2)");
    memset(longest, 'n', VMEM_NAME_MAX);
    memset(path + strlen(path), 'p', sizeof(path) - strlen(path) - 1);
    request.name = longest;
    request.path = path;
    refuse_request(&request, -ENOENT, VMEM_REASON_OS,
                   "ppp: No such file or directory (errno 2)");
    request.name = name;
    request.path = "/proc/version";
    if (geteuid() != 0) {
        refuse_request(&request, -EACCES, VMEM_REASON_READ_ONLY,
                       "/proc/version");
    }
    request.path = "/";
    refuse_request(&request, -EISDIR, VMEM_REASON_OS, "open of /");
    request.path = "/dev/zero";
    refuse_request(&request, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                   "not a regular file");
}

static void a_private_file_can_be_made(void **state)
{
    struct vmem_backing_config request =
        backing_request(VMEM_BACKING_FILE, MIB(4));
    struct vmem_backing *backing;
    char path[64];

    (void)state;
    if (host_path(false, path, sizeof(path)) < 0) {
        printf("SKIP: no folder on tmpfs\n");
        return;
    }
    request.path = path;
    assert_int_equal(
        vmem_backing_new_allocated(backing_vm, &request, &backing, NULL), 0);
    assert_int_equal(backing_info(backing).uses, PUNCH | DONTNEED);
    assert_int_equal(backing_log.nr_codes[VMEM_LOG_CODE_FILE_MODIFIED], 1);
    vmem_backing_free(backing, NULL);
    unlink(path);
}

static void memfds_are_made_where_they_must_not_be_executable(void **state)
{
    struct vmem_backing_config request =
        backing_request(VMEM_BACKING_MEMFD, MIB(4));
    struct fake_sys fake = {
        .call = FAKE_MEMFD_CREATE, .first = 1, .count = 1, .error = EACCES
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing *backing;
    int ret;

    (void)state;
    fake_sys_install(&fake);
    ret = vmem_backing_new_allocated(backing_vm, &request, &backing, &err);
    fake_sys_remove();
    if (ret == -EINVAL) {
        printf("SKIP: this kernel lacks MFD_NOEXEC_SEAL\n");
        return;
    }
    assert_int_equal(ret, 0);
    vmem_backing_free(backing, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kinds_are_made, backing_set_up,
                                        backing_tear_down),
        cmocka_unit_test_setup_teardown(small_memory_is_made, backing_set_up,
                                        backing_tear_down),
        cmocka_unit_test_setup_teardown(requests_are_checked, backing_set_up,
                                        backing_tear_down),
        cmocka_unit_test_setup_teardown(files_are_made_and_grown_but_not_cut,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(paths_that_cannot_be_opened_are_named,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(a_private_file_can_be_made,
                                        backing_set_up, backing_tear_down),
        cmocka_unit_test_setup_teardown(
            memfds_are_made_where_they_must_not_be_executable, backing_set_up,
            backing_tear_down),
    };

    return cmocka_run_group_tests_name("backing_made", tests, NULL, NULL);
}
