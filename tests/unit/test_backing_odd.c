/* SPDX-License-Identifier: BSD-3-Clause */
/* Answers that kernels and file systems rarely give: each must lead to the same
 * care as the common ones. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include <vmem/backing.h>
#include <vmem/vm.h>

#include "host/kernel.h"
#include "host/sys.h"
#include "support/backing_rig.h"
#include "support/fake_sys.h"
#include "support/quiet.h"

#define BTRFS_MAGIC 0x9123683e

/* What becomes of a description where the kernel gives these answers. */
static int try_mapping(const struct vmem_backing_mapping *mapping,
                       struct fake_sys *fake, struct vmem_error *err)
{
    struct vmem_backing *backing;
    int ret;

    *err = (struct vmem_error)VMEM_ERROR_INIT;
    fake_sys_install(fake);
    ret = vmem_backing_new_mapped(backing_vm, mapping, &backing, err);
    fake_sys_remove();
    if (ret == 0) {
        assert_int_equal(vmem_backing_free(backing, NULL), 0);
    }
    return ret;
}

static int try_request(const struct vmem_backing_config *request,
                       struct fake_sys *fake, struct vmem_error *err)
{
    struct vmem_backing *backing;
    int ret;

    *err = (struct vmem_error)VMEM_ERROR_INIT;
    fake_sys_install(fake);
    ret = vmem_backing_new_allocated(backing_vm, request, &backing, err);
    fake_sys_remove();
    if (ret == 0) {
        assert_int_equal(vmem_backing_free(backing, NULL), 0);
    }
    return ret;
}

/* ---- what smaps says ---- */

/* One line of smaps for memory, with its details. */
struct line {
    const char *permissions;
    unsigned int dev_major;
    unsigned int dev_minor;
    uint64_t ino;
    const char *path;
    const char *details;
};

#define DETAILS "KernelPageSize:        4 kB\nVmFlags: rd wr mr mw me \n"

static int try_line(const struct host_memory *memory, const struct line *line,
                    uint64_t fs_type, struct vmem_error *err)
{
    const struct vmem_backing_mapping mapping = backing_describe(memory);
    const uint64_t hva = (uintptr_t)memory->hva;
    struct fake_sys fake = { .fs_type = fs_type };
    char text[512];

    snprintf(text, sizeof(text),
             "%" PRIx64 "-%" PRIx64 " %s %08zx %02x:%02x %" PRIu64 "   %s\n%s",
             hva, hva + memory->size, line->permissions, memory->fd_offset,
             line->dev_major, line->dev_minor, line->ino, line->path,
             line->details);
    fake.text = text;
    return try_mapping(&mapping, &fake, err);
}

static void a_file_is_known_by_device_and_inode(void **state)
{
    struct vmem_error err;
    struct host_memory memory;
    struct stat file;
    struct line right;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), MIB(2)), 0);
    assert_int_equal(fstat(memory.fd, &file), 0);
    right =
        (struct line){ "rw-s",      major(file.st_dev),   minor(file.st_dev),
                       file.st_ino, "/memfd:x (deleted)", DETAILS };
    assert_int_equal(try_line(&memory, &right, 0, &err), 0);
    for (unsigned int i = 0; i < 3; i++) {
        struct line wrong = right;

        wrong.dev_major += i == 0;
        wrong.dev_minor += i == 1;
        wrong.ino += i == 2;
        assert_int_equal(try_line(&memory, &wrong, 0, &err), -EINVAL);
        assert_int_equal(err.reason, VMEM_REASON_MISMATCH);
        assert_non_null(strstr(err.message, "is another file"));
        assert_int_equal(try_line(&memory, &wrong, EXT4_SUPER_MAGIC, &err),
                         -EINVAL);
        assert_int_equal(try_line(&memory, &wrong, XFS_SUPER_MAGIC, &err),
                         -EINVAL);
        /* There a mapping has other numbers than its file. */
        assert_int_equal(try_line(&memory, &wrong, BTRFS_MAGIC, &err), 0);
    }
    host_memory_free(&memory);
}

static void files_of_the_kernel_s_own_are_no_files(void **state)
{
    static const struct line accepted[] = {
        { "rw-s", 0, 1, 77, "/dev/zero", DETAILS },
        { "rw-s", 0, 1, 77, "/dev/zero (deleted)", DETAILS },
        { "rw-s", 0, 1, 77, "", DETAILS },
        { "rw-s", 0, 1, 77, "/SYSV00000000 (deleted)", DETAILS },
    };
    static const struct line refused[] = {
        { "rw-s", 8, 1, 77, "/var/lib/thing", DETAILS },
    };
    static const struct line accepted_private[] = {
        { "rw-p", 0, 0, 0, "", DETAILS },
        { "rw-p", 0, 1, 77, "/dev/zero", DETAILS },
        { "rw-p", 0, 1, 77, "/anon_hugepage (deleted)", DETAILS },
    };
    static const struct line refused_private[] = {
        { "rw-p", 8, 1, 77, "/var/lib/thing", DETAILS },
        { "rw-p", 8, 1, 77, "/var/lib/thing (deleted)", DETAILS },
    };
    static const struct {
        enum host_kind kind;
        int ret;
        const struct line *lines;
        size_t nr;
    } cases[] = {
        { HOST_ANON_SHARED, 0, accepted, 4 },
        { HOST_ANON_SHARED, -EINVAL, refused, 1 },
        { HOST_ANON, 0, accepted_private, 3 },
        { HOST_ANON, -EINVAL, refused_private, 2 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct host_memory memory;
        struct vmem_error err;

        assert_int_equal(host_memory_make(&memory, cases[i].kind, MIB(2), 0),
                         0);
        for (size_t j = 0; j < cases[i].nr; j++) {
            assert_int_equal(try_line(&memory, &cases[i].lines[j], 0, &err),
                             cases[i].ret);
            assert_true(cases[i].ret == 0 ||
                        strstr(err.message, cases[i].lines[j].path) != NULL);
        }
        host_memory_free(&memory);
    }
}

static void device_memory_is_refused(void **state)
{
    const struct line line = {
        "rw-p", 0,
        0,      0,
        "",     "KernelPageSize:        4 kB\nVmFlags: rd wr mr mw me pf io \n"
    };
    struct host_memory memory;
    struct vmem_error err;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    assert_int_equal(try_line(&memory, &line, 0, &err), -ENOTSUP);
    assert_int_equal(err.reason, VMEM_REASON_UNSUPPORTED);
    assert_non_null(strstr(err.message, "device memory"));
    host_memory_free(&memory);
}

static void a_mapping_that_shows_no_page_size_is_believed(void **state)
{
    const struct line line = {
        "rw-p", 0, 0, 0, "", "VmFlags: rd wr mr mw me \n"
    };
    struct host_memory memory;
    struct vmem_error err;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    assert_int_equal(try_line(&memory, &line, 0, &err), 0);
    host_memory_free(&memory);
}

/* ---- what is mapped twice ---- */

static void memory_belongs_to_one_backing_only(void **state)
{
    static const struct {
        uint64_t offset;
        uint64_t size;
        int ret;
    } cases[] = {
        { MIB(1), MIB(2), -EEXIST },
        { 0, MIB(4), -EEXIST },
        { MIB(2), KIB(4), -EEXIST },
        { 0, MIB(1) + KIB(4), -EEXIST },
        { MIB(3) - KIB(4), MIB(1), -EEXIST },
        { 0, MIB(1), 0 },
        { MIB(3), MIB(1), 0 },
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct vmem_backing *other;
    struct vmem_backing *last;
    struct host_memory elsewhere;
    struct host_memory memory;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(4), 0), 0);
    mapping = backing_describe(&memory);
    mapping.hva = memory.hva + MIB(1);
    mapping.size = MIB(2);
    assert_int_equal(
        vmem_backing_new_mapped(backing_vm, &mapping, &backing, &err), 0);
    /* Not the last one of the machine. */
    assert_int_equal(host_memory_make(&elsewhere, HOST_ANON, MIB(2), 0), 0);
    mapping = backing_describe(&elsewhere);
    mapping.name = "last";
    assert_int_equal(vmem_backing_new_mapped(backing_vm, &mapping, &last, &err),
                     0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mapping.name = "other";
        mapping.hva = memory.hva + cases[i].offset;
        mapping.size = cases[i].size;
        err = (struct vmem_error)VMEM_ERROR_INIT;
        assert_int_equal(
            vmem_backing_new_mapped(backing_vm, &mapping, &other, &err),
            cases[i].ret);
        if (cases[i].ret == 0) {
            assert_int_equal(vmem_backing_free(other, NULL), 0);
            continue;
        }
        assert_int_equal(err.reason, VMEM_REASON_DUPLICATE);
        assert_non_null(strstr(err.message, "\"other\""));
        assert_non_null(strstr(err.message, "\"ram0\""));
    }
    assert_int_equal(vmem_backing_free(last, NULL), 0);
    host_memory_free(&elsewhere);
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
    host_memory_free(&memory);
}

static void callbacks_that_populate_nothing_need_not_be_there(void **state)
{
    const struct vmem_backing_custom config = { .struct_size = sizeof(config),
                                                .name = "custom",
                                                .size = MIB(2),
                                                .page_size = KIB(4) };
    const struct vmem_backing_ops ops = { .struct_size = sizeof(ops),
                                          .discard = quiet_accept };
    const struct vmem_range all = { 0, MIB(2) };
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing *backing;

    (void)state;
    assert_int_equal(vmem_backing_new_custom(backing_vm, &config, &ops, NULL,
                                             &backing, NULL),
                     0);
    assert_int_equal(vmem_backing_populate(backing, &all, NULL), 0);
    assert_int_equal(vmem_backing_get_stats(backing, &stats), 0);
    assert_int_equal(stats.nr_populates, 1);
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
}

static void custom_memory_has_a_name_and_whole_pages(void **state)
{
    const struct vmem_backing_ops ops = { .struct_size = sizeof(ops),
                                          .discard = quiet_accept };
    const struct vmem_backing_custom configs[] = {
        { .size = MIB(2), .page_size = KIB(4) },
        { .name = "custom", .size = MIB(2) + 1, .page_size = KIB(4) },
        { .name = "custom", .page_size = KIB(4) },
        { .name = "custom", .size = MIB(2), .page_size = KIB(3) },
    };
    struct vmem_backing *backing = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
        struct vmem_backing_custom config = configs[i];

        config.struct_size = sizeof(config);
        assert_int_equal(vmem_backing_new_custom(backing_vm, &config, &ops,
                                                 NULL, &backing, NULL),
                         -EINVAL);
        assert_null(backing);
    }
}

static void nothing_is_done_for_an_empty_range(void **state)
{
    const struct vmem_range empty = { KIB(4), 0 };
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    assert_int_equal(
        vmem_backing_new_mapped(backing_vm, &mapping, &backing, NULL), 0);
    assert_int_equal(vmem_backing_discard(backing, &empty, NULL), 0);
    assert_int_equal(vmem_backing_populate(backing, &empty, NULL), 0);
    assert_int_equal(vmem_backing_get_stats(backing, &stats), 0);
    assert_int_equal(stats.nr_syscalls, 0);
    assert_int_equal(stats.nr_discards, 0);
    assert_int_equal(stats.nr_populates, 0);
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
    host_memory_free(&memory);
}

/* ---- files ---- */

static void the_largest_files_are_not_asked_for_a_hole(void **state)
{
    struct vmem_backing_mapping mapping;
    struct host_memory memory;
    struct vmem_error err;
    struct fake_sys fake = { .file_size = (uint64_t)INT64_MAX - 4096 };

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), 0), 0);
    mapping = backing_describe(&memory);
    assert_int_equal(try_mapping(&mapping, &fake, &err), 0);
    assert_int_equal(fake.nr_calls[FAKE_FALLOCATE], 0);
    fake.file_size = 0;
    assert_int_equal(try_mapping(&mapping, &fake, &err), 0);
    assert_int_equal(fake.nr_calls[FAKE_FALLOCATE], 1);
    host_memory_free(&memory);
}

static void what_a_hole_that_cannot_be_made_means(void **state)
{
    static const struct {
        int error;
        int ret;
        uint32_t reason;
    } cases[] = {
        { EFBIG, 0, 0 },
        { ENOSYS, -ENOTSUP, VMEM_REASON_UNSUPPORTED },
        { EOPNOTSUPP, -ENOTSUP, VMEM_REASON_UNSUPPORTED },
        { EIO, -EIO, VMEM_REASON_OS },
    };
    struct vmem_backing_mapping mapping;
    struct host_memory memory;
    struct vmem_error err;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), 0), 0);
    mapping = backing_describe(&memory);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_sys fake = { .call = FAKE_FALLOCATE,
                                 .first = 1,
                                 .count = 1,
                                 .error = cases[i].error };

        assert_int_equal(try_mapping(&mapping, &fake, &err), cases[i].ret);
        assert_int_equal(fake.nr_failed, 1);
        assert_true(cases[i].ret == 0 || err.reason == cases[i].reason);
    }
    host_memory_free(&memory);
}

static void a_path_that_may_not_be_written_is_read_only(void **state)
{
    static const struct {
        int error;
        uint32_t reason;
    } cases[] = {
        { EACCES, VMEM_REASON_READ_ONLY },
        { EROFS, VMEM_REASON_READ_ONLY },
        { EISDIR, VMEM_REASON_OS },
    };
    char path[64];
    struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram0",
        .kind = VMEM_BACKING_FILE,
        .path = path,
        .size = MIB(2),
        .flags = VMEM_BACKING_SHARED,
    };

    (void)state;
    assert_int_equal(host_path(false, path, sizeof(path)), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_sys fake = { .path = path, .path_error = cases[i].error };
        struct vmem_error err;

        assert_int_equal(try_request(&request, &fake, &err), -cases[i].error);
        assert_int_equal(err.reason, cases[i].reason);
        assert_true(access(path, F_OK) < 0);
    }
}

/* Cut down to its old size it would lose what somebody else wrote. */
static void a_file_that_somebody_else_grew_is_not_cut(void **state)
{
    char path[64];
    struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram0",
        .kind = VMEM_BACKING_FILE,
        .path = path,
        .size = MIB(4),
        .flags = VMEM_BACKING_SHARED,
    };
    struct fake_sys fake = {
        .call = FAKE_MMAP, .first = 1, .count = 1, .error = ENOMEM
    };
    struct vmem_error err;
    struct stat status;
    int fd;

    (void)state;
    assert_int_equal(host_path(false, path, sizeof(path)), 0);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)MIB(1)), 0);
    assert_int_equal(try_request(&request, &fake, &err), -ENOMEM);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, MIB(1));

    /* The last fstat is that of the undo. */
    fake.size_from = fake.nr_calls[FAKE_FSTAT];
    fake.file_size = MIB(8);
    assert_int_equal(try_request(&request, &fake, &err), -ENOMEM);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, MIB(4));
    close(fd);
    unlink(path);
}

static void a_memfd_refused_for_another_reason_keeps_its_error(void **state)
{
    struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram0",
        .kind = VMEM_BACKING_HUGETLB_MEMFD,
        .size = MIB(2),
        .page_size = HUGE_PAGE,
    };
    static const struct {
        int error;
        int ret;
        uint32_t reason;
    } cases[] = {
        { EMFILE, -EMFILE, VMEM_REASON_OS },
        { ENODEV, -ENOTSUP, VMEM_REASON_UNSUPPORTED },
        { EINVAL, -ENOTSUP, VMEM_REASON_UNSUPPORTED },
        { ENOSYS, -ENOTSUP, VMEM_REASON_UNSUPPORTED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_sys fake = { .call = FAKE_MEMFD_CREATE,
                                 .first = 1,
                                 .count = 2,
                                 .error = cases[i].error };
        struct vmem_error err;

        assert_int_equal(try_request(&request, &fake, &err), cases[i].ret);
        assert_int_equal(err.reason, cases[i].reason);
    }
}

static void page_sizes_and_paths_of_requests_are_checked(void **state)
{
    const struct vmem_backing_config tiny_huge_pages = {
        .struct_size = sizeof(tiny_huge_pages),
        .name = "ram0",
        .kind = VMEM_BACKING_HUGETLB_ANON,
        .size = MIB(2),
        .page_size = vmemi_sys_get()->page_size(),
    };
    struct vmem_backing_config named = {
        .struct_size = sizeof(named),
        .name = "ram0",
        .kind = VMEM_BACKING_FILE,
        .path = "",
        .size = MIB(2),
    };
    struct fake_sys fake = { .page_size = 0 };
    struct vmem_error err;

    (void)state;
    assert_int_equal(try_request(&tiny_huge_pages, &fake, &err), -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_ALIGNMENT);
    assert_non_null(strstr(err.message, "a power of two above"));

    /* An empty path is none: wrong for a file, right for everything else. */
    assert_int_equal(try_request(&named, &fake, &err), -EINVAL);
    assert_non_null(strstr(err.message, "path is missing"));
    named.kind = VMEM_BACKING_ANON;
    assert_int_equal(try_request(&named, &fake, &err), 0);
}

static void the_page_size_of_a_file_is_that_of_its_file_system(void **state)
{
    char path[64];
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram0",
        .kind = VMEM_BACKING_FILE,
        .path = path,
        .size = MIB(2),
        .page_size = KIB(64),
        .flags = VMEM_BACKING_SHARED,
    };
    struct fake_sys fake = { .page_size = 0 };
    struct vmem_error err;

    (void)state;
    assert_int_equal(host_path(false, path, sizeof(path)), 0);
    assert_int_equal(try_request(&request, &fake, &err), -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_MISMATCH);
    assert_non_null(strstr(err.message, "page size is 0x10000"));
    assert_true(access(path, F_OK) < 0);
}

/* ---- long ranges ---- */

static void steps_on_large_file_blocks_end_on_blocks(void **state)
{
    const uint64_t size = VMEM_BACKING_STEP + MIB(2);
    const struct vmem_range range = { KIB(64), size - KIB(64) };
    char path[64];
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram0",
        .kind = VMEM_BACKING_FILE,
        .path = path,
        .size = size,
        .flags = VMEM_BACKING_SHARED,
    };
    struct fake_sys fake = { .fs_block_size = KIB(64), .fs_type = BTRFS_MAGIC };
    struct vmem_backing *backing;
    uint64_t next = range.offset;

    (void)state;
    assert_int_equal(host_path(false, path, sizeof(path)), 0);
    fake_sys_install(&fake);
    assert_int_equal(
        vmem_backing_new_allocated(backing_vm, &request, &backing, NULL), 0);
    fake_sys_install(&fake);
    assert_int_equal(vmem_backing_discard(backing, &range, NULL), 0);
    for (size_t i = 0; i < fake.nr_records; i++) {
        if (fake.records[i].call != FAKE_FALLOCATE) {
            continue;
        }
        assert_int_equal(fake.records[i].start, next);
        assert_int_equal(fake.records[i].start % KIB(64), 0);
        assert_in_range(fake.records[i].size, 1, VMEM_BACKING_STEP);
        next += fake.records[i].size;
    }
    assert_int_equal(next, size);
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
    fake_sys_remove();
    unlink(path);
}

static void a_populate_stops_at_the_step_that_fails(void **state)
{
    const struct vmem_range all = { 0, 2 * VMEM_BACKING_STEP };
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram0",
        .kind = VMEM_BACKING_ANON,
        .size = all.size,
    };
    struct fake_sys fake = {
        .call = FAKE_MADVISE, .first = 1, .count = 1, .error = ENOMEM
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing *backing;

    (void)state;
    assert_int_equal(
        vmem_backing_new_allocated(backing_vm, &request, &backing, NULL), 0);
    fake_sys_install(&fake);
    assert_int_equal(vmem_backing_populate(backing, &all, &err), -ENOMEM);
    fake_sys_remove();
    assert_int_equal(fake.nr_calls[FAKE_MADVISE], 1);
    assert_int_equal(err.reason, VMEM_REASON_POPULATE_FAILED);
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
}

/* ---- usage ---- */

static int usage_of(struct vmem_backing *backing,
                    const struct vmem_range *range, struct fake_sys *fake,
                    uint64_t *resident)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    int ret;

    fake_sys_install(fake);
    ret = vmem_backing_get_usage(backing, range, &usage, NULL);
    fake_sys_remove();
    *resident = usage.resident;
    return ret;
}

static void a_scan_that_does_not_go_on_is_not_waited_for(void **state)
{
    struct fake_sys fake = { .is_stuck = true };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;
    uint64_t resident;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    assert_int_equal(
        vmem_backing_new_mapped(backing_vm, &mapping, &backing, NULL), 0);
    memory.hva[0] = 1;
    memory.hva[MIB(1)] = 1;
    assert_int_equal(usage_of(backing, NULL, &fake, &resident), 0);
    assert_int_equal(resident, host_pagemap(memory.hva, MIB(2)));
    assert_int_equal(fake.nr_calls[FAKE_PAGEMAP_SCAN], 1);
    assert_true(fake.nr_calls[FAKE_PREAD] > 0);
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
    host_memory_free(&memory);
}

/* A hole was made between the two questions. */
static void data_that_goes_while_it_is_measured_does_not_count(void **state)
{
    const struct vmem_range half = { 0, MIB(1) };
    struct fake_sys fake = { .is_stuck = true };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;
    uint64_t resident;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    mapping = backing_describe(&memory);
    assert_int_equal(
        vmem_backing_new_mapped(backing_vm, &mapping, &backing, NULL), 0);
    memset(memory.hva, 1, KIB(64));
    assert_int_equal(usage_of(backing, &half, &fake, &resident), 0);
    assert_int_equal(resident, 0);
    fake.is_stuck = false;
    assert_int_equal(usage_of(backing, &half, &fake, &resident), 0);
    assert_int_equal(resident, host_file_data(memory.fd, 0, MIB(1)));
    assert_true(resident >= KIB(64));
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
    host_memory_free(&memory);
}

static void a_count_of_pages_stops_at_the_call_that_fails(void **state)
{
    struct fake_sys fake = {
        .call = FAKE_MINCORE, .first = 1, .count = 1, .error = ENOMEM
    };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;
    uint64_t resident;

    (void)state;
    assert_int_equal(host_memory_make(&memory, HOST_ANON_SHARED, MIB(128), 0),
                     0);
    mapping = backing_describe(&memory);
    assert_int_equal(
        vmem_backing_new_mapped(backing_vm, &mapping, &backing, NULL), 0);
    assert_int_equal(usage_of(backing, NULL, &fake, &resident), -ENOMEM);
    assert_int_equal(fake.nr_calls[FAKE_MINCORE], 1);
    fake.count = 0;
    assert_int_equal(usage_of(backing, NULL, &fake, &resident), 0);
    assert_true(fake.nr_calls[FAKE_MINCORE] > 1);
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
    host_memory_free(&memory);
}

static void errors_of_the_kernel_come_as_negative_numbers(void **state)
{
    const struct vmemi_sys *sys = &vmemi_sys_linux;
    struct statfs fs;
    struct stat status;
    char byte;

    (void)state;
    assert_int_equal(sys->read(-1, &byte, 1), -EBADF);
    assert_int_equal(sys->pread(-1, &byte, 1, 0), -EBADF);
    assert_int_equal(sys->lseek(-1, 0, SEEK_CUR), -EBADF);
    assert_int_equal(sys->close(-1), -EBADF);
    assert_int_equal(sys->ftruncate(-1, 0), -EBADF);
    assert_int_equal(sys->fstat(-1, &status), -EBADF);
    assert_int_equal(sys->fstatfs(-1, &fs), -EBADF);
    assert_int_equal(sys->fcntl(-1, F_GETFL, 0), -EBADF);
    assert_int_equal(sys->fallocate(-1, FALLOC_FL_KEEP_SIZE, 0, 4096), -EBADF);
    assert_int_equal(sys->open("/proc/self/nothing", O_RDONLY, 0), -ENOENT);
    assert_int_equal(sys->unlink("/proc/self/nothing"), -ENOENT);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, backing_set_up, backing_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_known_by_device_and_inode),
        TEST(files_of_the_kernel_s_own_are_no_files),
        TEST(device_memory_is_refused),
        TEST(a_mapping_that_shows_no_page_size_is_believed),
        TEST(memory_belongs_to_one_backing_only),
        TEST(callbacks_that_populate_nothing_need_not_be_there),
        TEST(custom_memory_has_a_name_and_whole_pages),
        TEST(nothing_is_done_for_an_empty_range),
        TEST(the_largest_files_are_not_asked_for_a_hole),
        TEST(what_a_hole_that_cannot_be_made_means),
        TEST(a_path_that_may_not_be_written_is_read_only),
        TEST(a_file_that_somebody_else_grew_is_not_cut),
        TEST(a_memfd_refused_for_another_reason_keeps_its_error),
        TEST(page_sizes_and_paths_of_requests_are_checked),
        TEST(the_page_size_of_a_file_is_that_of_its_file_system),
        TEST(steps_on_large_file_blocks_end_on_blocks),
        TEST(a_populate_stops_at_the_step_that_fails),
        TEST(a_scan_that_does_not_go_on_is_not_waited_for),
        TEST(data_that_goes_while_it_is_measured_does_not_count),
        TEST(a_count_of_pages_stops_at_the_call_that_fails),
        TEST(errors_of_the_kernel_come_as_negative_numbers),
    };

    return cmocka_run_group_tests_name("backing, odd answers", tests, NULL,
                                       NULL);
}
