/* SPDX-License-Identifier: BSD-3-Clause */
/* Which memory is accepted, which is refused and why, and what is then known of
 * it. Real discards are in test_backing_real.c. */
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

#include <vmem/backing.h>
#include <vmem/vm.h>

#include "base/sized.h"
#include "core/backing.h"
#include "host/kernel.h"
#include "support/fake_sys.h"
#include "support/host_memory.h"

#define PUNCH VMEM_BACKING_USES_PUNCH_HOLE
#define REMOVE VMEM_BACKING_USES_REMOVE
#define DONTNEED VMEM_BACKING_USES_DONTNEED
#define TABLES VMEM_BACKING_USES_DONTNEED_TABLES
#define LOCKED VMEM_BACKING_USES_LOCKED

/* What the log sink got. */
struct log {
    unsigned int nr_codes[VMEM_LOG_CODE_UNVERIFIED + 1];
    uint32_t level;
    uint32_t blame;
    char object[VMEM_NAME_MAX + 1];
};

struct fixture {
    struct log log;
    struct vmem_vm *vm;
};

static void take_log(const struct vmem_log_record *record, void *opaque)
{
    struct log *log = opaque;

    log->nr_codes[record->code]++;
    log->level = record->level;
    log->blame = record->blame;
    snprintf(log->object, sizeof(log->object), "%s", record->object);
}

static int set_up(void **state)
{
    static struct fixture fixture;
    const struct vmem_vm_config config = {
        .struct_size = sizeof(config),
        .name = "vm0",
        .log = take_log,
        .opaque = &fixture.log,
    };

    memset(&fixture, 0, sizeof(fixture));
    *state = &fixture;
    return vmem_vm_new(&config, &fixture.vm, NULL);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    fake_sys_remove();
    return vmem_vm_free(fixture->vm, NULL);
}

static struct vmem_backing_mapping describe(const struct host_memory *memory)
{
    struct vmem_backing_mapping mapping = {
        .struct_size = sizeof(mapping),
        .name = "ram0",
        .hva = memory->hva,
        .size = memory->size,
        .fd_offset = memory->fd_offset,
    };

    if (host_kind_is_shared(memory->kind)) {
        mapping.flags |= VMEM_BACKING_SHARED;
    }
    if (memory->fd >= 0) {
        mapping.flags |= VMEM_BACKING_HAS_FD;
        mapping.fd = memory->fd;
    } else if (host_kind_is_huge(memory->kind)) {
        mapping.page_size = HUGE_PAGE;
    }
    return mapping;
}

static struct vmem_backing_config request_of(uint32_t kind, uint64_t size)
{
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram0",
        .kind = kind,
        .size = size,
    };

    return request;
}

static struct vmem_backing_info info_of(const struct vmem_backing *backing)
{
    struct vmem_backing_info info = { .struct_size = sizeof(info) };

    assert_int_equal(vmem_backing_get_info(backing, &info), 0);
    return info;
}

static uint64_t syscalls_of(const struct vmem_backing *backing)
{
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };

    assert_int_equal(vmem_backing_get_stats(backing, &stats), 0);
    return stats.nr_syscalls;
}

/* Makes memory of a kind, or prints why the test goes on without it. */
static bool make_or_skip(struct host_memory *memory, enum host_kind kind,
                         size_t size, size_t fd_offset)
{
    int ret = host_memory_make(memory, kind, size, fd_offset);

    if (ret < 0) {
        printf("SKIP: no memory of kind %s: %s\n", host_kind_name(kind),
               strerror(-ret));
        return false;
    }
    return true;
}

static struct vmem_backing *accept(struct fixture *fixture,
                                   const struct vmem_backing_mapping *mapping)
{
    struct vmem_backing *backing = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = vmem_backing_new_mapped(fixture->vm, mapping, &backing, &err);

    if (ret < 0) {
        fail_msg("refused: %s", err.message);
    }
    return backing;
}

static void refuse(struct fixture *fixture,
                   const struct vmem_backing_mapping *mapping, int code,
                   uint32_t reason, const char *text)
{
    struct vmem_backing *backing = (struct vmem_backing *)0x1;
    struct vmem_error err = VMEM_ERROR_INIT;
    unsigned int nr_fds = host_nr_fds();
    int ret = vmem_backing_new_mapped(fixture->vm, mapping, &backing, &err);

    if (ret == 0) {
        vmem_backing_free(backing, NULL);
        fail_msg("accepted, expected \"%s\"", text);
    }
    if (ret != code || err.reason != reason ||
        strstr(err.message, text) == NULL) {
        fail_msg("%d %s \"%s\", expected %d %s \"%s\"", ret,
                 vmem_reason_name(err.reason), err.message, code,
                 vmem_reason_name(reason), text);
    }
    assert_ptr_equal(backing, (struct vmem_backing *)0x1);
    assert_int_equal(err.code, code);
    assert_int_equal(host_nr_fds(), nr_fds);
    assert_int_equal(
        vmem_backing_new_mapped(fixture->vm, mapping, &backing, NULL), code);
}

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

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const bool is_huge = host_kind_is_huge(cases[i].host_kind);
        struct vmem_backing_mapping mapping;
        struct vmem_backing_info info;
        struct vmem_backing *backing;
        struct host_memory memory;

        if (!make_or_skip(&memory, cases[i].host_kind, MIB(4), HUGE_PAGE)) {
            continue;
        }
        mapping = describe(&memory);
        backing = accept(*state, &mapping);
        info = info_of(backing);
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
        assert_int_equal(
            ((struct fixture *)*state)->log.nr_codes[VMEM_LOG_CODE_UNVERIFIED],
            0);
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

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        if (!make_or_skip(&memory, cases[i].host_kind, MIB(4), 0)) {
            continue;
        }
        mapping = describe(&memory);
        mapping.flags |= VMEM_BACKING_PREFER_REMOVE;
        backing = accept(*state, &mapping);
        assert_int_equal(info_of(backing).uses, cases[i].uses);
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void arguments_are_checked(void **state)
{
    struct fixture *fixture = *state;
    const struct {
        struct vmem_backing_mapping mapping;
        char tail;
    } longer = { .mapping.struct_size = sizeof(longer), .tail = 1 };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing_mapping good;
    struct vmem_backing_mapping bad;
    struct vmem_backing *backing;
    struct host_memory memory;

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), MIB(2)), 0);
    good = describe(&memory);

    assert_int_equal(vmem_backing_new_mapped(NULL, &good, &backing, &err),
                     -EINVAL);
    assert_non_null(strstr(err.message, "vm or out is NULL"));
    assert_int_equal(vmem_backing_new_mapped(fixture->vm, &good, NULL, &err),
                     -EINVAL);
    assert_int_equal(vmem_backing_new_mapped(fixture->vm, NULL, &backing, &err),
                     -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_ARGUMENT);
    refuse(fixture, &longer.mapping, -E2BIG, VMEM_REASON_STRUCT_TAIL,
           "vmem_backing_mapping");

#define BAD(member, value, code, reason, text)                                 \
    do {                                                                       \
        bad = good;                                                            \
        bad.member = value;                                                    \
        refuse(fixture, &bad, code, VMEM_REASON_##reason, text);               \
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

    backing = accept(fixture, &good);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

/* The description of a good mapping with another descriptor. */
static void refuse_fd(struct fixture *fixture, int fd, int code,
                      uint32_t reason, const char *text)
{
    struct vmem_backing_mapping mapping;
    struct host_memory memory;

    assert_true(fd >= 0);
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    mapping = describe(&memory);
    mapping.fd = fd;
    refuse(fixture, &mapping, code, reason, text);
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

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    refuse_fd(*state, reopen(memory.fd, O_RDONLY), -EBADF,
              VMEM_REASON_READ_ONLY, "not open for writing");
    refuse_fd(*state, reopen(memory.fd, O_PATH), -EBADF, VMEM_REASON_READ_ONLY,
              "not open for writing");
    host_memory_free(&memory);

    assert_int_equal(pipe(pipe_fds), 0);
    close(pipe_fds[0]);
    refuse_fd(*state, pipe_fds[1], -ENOTSUP, VMEM_REASON_UNSUPPORTED,
              "not a regular file");
    refuse_fd(*state, open("/dev/zero", O_RDWR | O_CLOEXEC), -ENOTSUP,
              VMEM_REASON_UNSUPPORTED, "not a regular file");
    /* A file system that has files and no holes. */
    refuse_fd(*state, open("/proc/self/comm", O_RDWR | O_CLOEXEC), -ENOTSUP,
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
        mapping = describe(&memory);
        if (cases[i].is_refused) {
            refuse(*state, &mapping, -EPERM, VMEM_REASON_SEALED, cases[i].text);
        } else {
            backing = accept(*state, &mapping);
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

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD_PRIVATE, MIB(2), 0),
                     0);
    fd = reopen(memory.fd, O_RDONLY);
    mapping = describe(&memory);
    mapping.fd = fd;
    refuse(*state, &mapping, -EBADF, VMEM_REASON_READ_ONLY,
           "not open for writing");
    close(fd);
    host_memory_free(&memory);
}

static void a_private_file_is_accepted_with_a_warning(void **state)
{
    struct fixture *fixture = *state;
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD_PRIVATE, MIB(2), 0),
                     0);
    mapping = describe(&memory);
    backing = accept(fixture, &mapping);
    assert_int_equal(fixture->log.nr_codes[VMEM_LOG_CODE_FILE_MODIFIED], 1);
    assert_int_equal(fixture->log.level, VMEM_LOG_WARNING);
    assert_int_equal(fixture->log.blame, VMEM_BLAME_HOST);
    assert_string_equal(fixture->log.object, "ram0");
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

static void descriptions_that_do_not_match_are_refused(void **state)
{
    struct vmem_backing_mapping mapping;
    struct host_memory memory;
    struct host_memory other;
    int disk;

    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(4), 0), 0);
    mapping = describe(&memory);
    mapping.flags |= VMEM_BACKING_SHARED;
    refuse(*state, &mapping, -EINVAL, VMEM_REASON_MISMATCH,
           "is private, the description says shared");
    mapping = describe(&memory);
    mapping.page_size = HUGE_PAGE;
    refuse(*state, &mapping, -EINVAL, VMEM_REASON_MISMATCH,
           "has pages of 0x1000 bytes, the description says 0x200000");
    assert_int_equal(host_memory_make(&other, HOST_MEMFD_PRIVATE, MIB(4), 0),
                     0);
    mapping = describe(&memory);
    mapping.flags |= VMEM_BACKING_HAS_FD;
    mapping.fd = other.fd;
    refuse(*state, &mapping, -EINVAL, VMEM_REASON_MISMATCH, "is not a file");
    host_memory_free(&other);
    munmap(memory.hva + MIB(2), KIB(64));
    mapping = describe(&memory);
    refuse(*state, &mapping, -EINVAL, VMEM_REASON_MISMATCH,
           "nothing is mapped at");
    host_memory_free(&memory);

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), MIB(2)), 0);
    mapping = describe(&memory);
    mapping.flags &= ~VMEM_BACKING_SHARED;
    refuse(*state, &mapping, -EINVAL, VMEM_REASON_MISMATCH,
           "is shared, the description says private");
    mapping = describe(&memory);
    mapping.fd_offset = 0;
    refuse(*state, &mapping, -EINVAL, VMEM_REASON_MISMATCH,
           "mapped at fd_offset 0x200000, the description says 0x0");
    assert_int_equal(host_memory_make(&other, HOST_MEMFD, MIB(4), MIB(2)), 0);
    mapping = describe(&memory);
    mapping.fd = other.fd;
    refuse(*state, &mapping, -EINVAL, VMEM_REASON_MISMATCH, "is another file");
    host_memory_free(&other);
    mapping = describe(&memory);
    assert_int_equal(ftruncate(memory.fd, MIB(5)), 0);
    refuse(*state, &mapping, -EINVAL, VMEM_REASON_MISMATCH,
           "ends at fd_offset 0x600000, the file already at 0x500000");
    host_memory_free(&memory);

    /* A private file described as anonymous: its content would come back. */
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD_PRIVATE, MIB(2), 0),
                     0);
    mapping = describe(&memory);
    mapping.flags = 0;
    refuse(*state, &mapping, -EINVAL, VMEM_REASON_MISMATCH,
           "is /memfd:test (deleted), the description says it has no");
    host_memory_free(&memory);

    disk = host_disk_file();
    if (disk < 0) {
        printf("SKIP: no disk file\n");
        return;
    }
    assert_int_equal(host_memory_make(&memory, HOST_DISK, MIB(2), 0), 0);
    assert_int_equal(ftruncate(disk, MIB(4)), 0);
    mapping = describe(&memory);
    mapping.fd = disk;
    refuse(*state, &mapping, -EINVAL, VMEM_REASON_MISMATCH, "is another file");
    close(disk);
    host_memory_free(&memory);
}

static void locked_memory_is_seen_and_taken_over(void **state)
{
    static const enum host_kind kinds[] = { HOST_ANON, HOST_MEMFD,
                                            HOST_MEMFD_PRIVATE };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct vmem_backing_mapping mapping;
        struct vmem_backing_info info;
        struct vmem_backing *backing;
        struct host_memory memory;

        assert_int_equal(host_memory_make(&memory, kinds[i], MIB(4), 0), 0);
        mapping = describe(&memory);
        /* Only a part, in a mapping of its own. */
        if (mlock2(memory.hva + MIB(2), KIB(64), MLOCK_ONFAULT) < 0) {
            printf("SKIP: cannot lock memory: %s\n", strerror(errno));
            host_memory_free(&memory);
            return;
        }
        backing = accept(*state, &mapping);
        info = info_of(backing);
        assert_int_equal(info.uses & LOCKED, LOCKED);
        assert_int_equal(info.flags & VMEM_BACKING_LOCKED, VMEM_BACKING_LOCKED);
        vmem_backing_free(backing, NULL);
        if (kinds[i] == HOST_MEMFD) {
            mapping.flags |= VMEM_BACKING_PREFER_REMOVE;
            refuse(*state, &mapping, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
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

    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    mapping = describe(&memory);
    mapping.flags |= VMEM_BACKING_LOCKED;
    backing = accept(*state, &mapping);
    assert_int_equal(info_of(backing).uses, DONTNEED | LOCKED);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);

    assert_int_equal(host_memory_make(&memory, HOST_ANON_SHARED, MIB(2), 0), 0);
    mapping = describe(&memory);
    mapping.flags |= VMEM_BACKING_LOCKED;
    refuse(*state, &mapping, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
           "MADV_REMOVE fails on locked memory; use a memfd");
    host_memory_free(&memory);

    /* The kernel never locks huge pages. */
    if (make_or_skip(&memory, HOST_HUGE_ANON_SHARED, MIB(2), 0)) {
        mapping = describe(&memory);
        mapping.flags |= VMEM_BACKING_LOCKED;
        backing = accept(*state, &mapping);
        assert_int_equal(info_of(backing).uses, REMOVE);
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

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    fd = reopen(memory.fd, O_RDONLY);
    assert_ptr_equal(
        mmap(memory.hva, memory.size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0),
        memory.hva);
    mapping = describe(&memory);
    backing = accept(*state, &mapping); /* a hole needs the descriptor only */
    vmem_backing_free(backing, NULL);
    mapping.flags |= VMEM_BACKING_PREFER_REMOVE;
    refuse(*state, &mapping, -ENOTSUP, VMEM_REASON_READ_ONLY,
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

    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    mapping = describe(&memory);
    mapping.flags |= VMEM_BACKING_LOCKED;
    fake_sys_install(&fake);
    fake.count = 100;
    refuse(*state, &mapping, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
           "lacks MADV_DONTNEED_LOCKED");
    mapping.flags = VMEM_BACKING_POPULATE;
    refuse(*state, &mapping, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
           "lacks MADV_POPULATE_WRITE");
    mapping.flags = 0;
    backing = accept(*state, &mapping);
    assert_int_equal(vmem_backing_populate(backing, &all, NULL), -ENOTSUP);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);

    /* On a file only the tables are lost. */
    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    mapping = describe(&memory);
    mapping.flags |= VMEM_BACKING_LOCKED;
    backing = accept(*state, &mapping);
    assert_int_equal(info_of(backing).uses, PUNCH);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);

    if (make_or_skip(&memory, HOST_HUGE_ANON, MIB(2), 0)) {
        mapping = describe(&memory);
        refuse(*state, &mapping, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
               "cannot discard private huge pages");
        host_memory_free(&memory);
    }
    fake_sys_remove();
}

static void without_smaps_descriptions_are_trusted(void **state)
{
    struct fixture *fixture = *state;
    struct fake_sys fake = { .path = "/proc/self/smaps", .path_error = ENOENT };
    struct vmem_backing_mapping mapping;
    struct vmem_backing *backing;
    struct host_memory memory;

    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    mapping = describe(&memory);
    mapping.flags |= VMEM_BACKING_SHARED; /* not true */
    fake_sys_install(&fake);
    backing = accept(fixture, &mapping);
    fake_sys_remove();
    assert_int_equal(fixture->log.nr_codes[VMEM_LOG_CODE_UNVERIFIED], 1);
    assert_int_equal(fixture->log.level, VMEM_LOG_DEBUG);
    assert_int_equal(fixture->log.blame, VMEM_BLAME_OS);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);
}

static void page_sizes_are_asked_and_not_assumed(void **state)
{
    static const size_t page_sizes[] = { KIB(16), KIB(64) };

    for (size_t i = 0; i < 2; i++) {
        struct fake_sys fake = { .path = "/proc/self/smaps",
                                 .path_error = EACCES,
                                 .page_size = page_sizes[i] };
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
        mapping = describe(&memory);
        fake_sys_install(&fake);
        backing = accept(*state, &mapping);
        assert_int_equal(info_of(backing).page_size, page_sizes[i]);
        assert_int_equal(info_of(backing).kind, VMEM_BACKING_ANON);
        vmem_backing_free(backing, NULL);
        mapping.size = MIB(2) - page_sizes[i] / 2;
        refuse(*state, &mapping, -EINVAL, VMEM_REASON_ALIGNMENT, "size 0x1f");
        mapping.size = MIB(2);
        mapping.page_size = page_sizes[i] / 2;
        refuse(*state, &mapping, -EINVAL, VMEM_REASON_ALIGNMENT, "at least");
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

    if (make_or_skip(&memory, HOST_DISK, MIB(4), MIB(2))) {
        mapping = describe(&memory);
        fake_sys_install(&fake);
        backing = accept(*state, &mapping);
        assert_int_equal(info_of(backing).page_size, KIB(64));
        vmem_backing_free(backing, NULL);
        mapping.fd_offset += KIB(16);
        refuse(*state, &mapping, -EINVAL, VMEM_REASON_ALIGNMENT,
               "fd_offset 0x204000 is not a multiple of the file system's "
               "block 0x10000");
        fake.fs_block_size = 3000; /* not a unit to count in */
        mapping = describe(&memory);
        backing = accept(*state, &mapping);
        assert_int_equal(info_of(backing).page_size, sysconf(_SC_PAGESIZE));
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

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(2), 0), 0);
    mapping = describe(&memory);
    mapping.flags |= VMEM_BACKING_POPULATE;
    backing = accept(*state, &mapping);
    assert_true(backing->populate_on_plug);
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);

    if (make_or_skip(&memory, HOST_HUGE_MEMFD, MIB(2), 0)) {
        mapping = describe(&memory);
        mapping.flags |= VMEM_BACKING_NO_POPULATE;
        backing = accept(*state, &mapping);
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

    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(2), 0), 0);
    mapping = describe(&memory);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* smaps cannot be read either; it is not what this is about */
        fake = (struct fake_sys){ .path = "/proc/self/smaps",
                                  .path_error = EACCES,
                                  .text = cases[i].text };
        fake_sys_install(&fake);
        backing = accept(*state, &mapping);
        fake_sys_remove();
        assert_int_equal(info_of(backing).default_block_size,
                         cases[i].expected);
        vmem_backing_free(backing, NULL);
    }
    fake = (struct fake_sys){ .path = "/sys", .path_error = ENOENT };
    fake_sys_install(&fake);
    backing = accept(*state, &mapping);
    fake_sys_remove();
    assert_int_equal(info_of(backing).default_block_size, MIB(1));
    vmem_backing_free(backing, NULL);
    host_memory_free(&memory);

    if (make_or_skip(&memory, HOST_HUGE_MEMFD, MIB(2), 0)) {
        mapping = describe(&memory);
        backing = accept(*state, &mapping);
        assert_int_equal(info_of(backing).default_block_size, HUGE_PAGE);
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void kinds_are_made(void **state)
{
    struct fixture *fixture = *state;
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

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const unsigned int nr_fds = host_nr_fds();
        struct vmem_backing_config request = request_of(cases[i].kind, MIB(16));
        struct vmem_error err = VMEM_ERROR_INIT;
        struct vmem_backing *backing;
        struct vmem_backing_info info;
        int ret;

        request.flags = cases[i].flags;
        ret = vmem_backing_new_allocated(fixture->vm, &request, &backing, &err);
        if (ret == -ENOTSUP) {
            printf("SKIP: %s\n", err.message);
            continue;
        }
        assert_int_equal(ret, 0);
        info = info_of(backing);
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
    struct fixture *fixture = *state;
    const uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    struct vmem_backing_config request =
        request_of(VMEM_BACKING_ANON, page_size);
    struct vmem_backing *backing;

    request.page_size = page_size;
    assert_int_equal(
        vmem_backing_new_allocated(fixture->vm, &request, &backing, NULL), 0);
    *(char *)info_of(backing).hva = 1;
    vmem_backing_free(backing, NULL);
}

static void refuse_request(struct fixture *fixture,
                           const struct vmem_backing_config *request, int code,
                           uint32_t reason, const char *text)
{
    struct vmem_backing *backing = (struct vmem_backing *)0x1;
    struct vmem_error err = VMEM_ERROR_INIT;
    unsigned int nr_fds = host_nr_fds();
    int ret = vmem_backing_new_allocated(fixture->vm, request, &backing, &err);

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
    struct fixture *fixture = *state;
    const struct vmem_backing_config good =
        request_of(VMEM_BACKING_MEMFD, MIB(4));
    struct vmem_backing_config bad;
    struct vmem_backing *backing;

    assert_int_equal(vmem_backing_new_allocated(NULL, &good, &backing, NULL),
                     -EINVAL);
    assert_int_equal(vmem_backing_new_allocated(fixture->vm, &good, NULL, NULL),
                     -EINVAL);
    refuse_request(fixture, NULL, -EINVAL, VMEM_REASON_ARGUMENT,
                   "vmem_backing_config is NULL");

#define BAD(member, value, code, reason, text)                                 \
    do {                                                                       \
        bad = good;                                                            \
        bad.member = value;                                                    \
        refuse_request(fixture, &bad, code, VMEM_REASON_##reason, text);       \
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

    bad = request_of(VMEM_BACKING_ANON, MIB(4));
    bad.flags = VMEM_BACKING_SHARED;
    refuse_request(fixture, &bad, -EINVAL, VMEM_REASON_ARGUMENT,
                   "VMEM_BACKING_ANON is private");
    bad = request_of(VMEM_BACKING_HUGETLB_MEMFD, MIB(4));
    bad.page_size = 3 << 20;
    refuse_request(fixture, &bad, -EINVAL, VMEM_REASON_ALIGNMENT,
                   "must be a power of two above 0x1000");
    bad.page_size = (uint64_t)1 << 40;
    bad.size = (uint64_t)1 << 40;
    refuse_request(fixture, &bad, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                   "no huge pages of 0x10000000000 bytes");
    bad.kind = VMEM_BACKING_HUGETLB_ANON;
    refuse_request(fixture, &bad, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                   "no huge pages of 0x10000000000 bytes");
    if (host_meminfo("Hugepagesize") == (int64_t)HUGE_PAGE) {
        bad.page_size = 0;
        bad.size = MIB(3);
        refuse_request(fixture, &bad, -EINVAL, VMEM_REASON_ALIGNMENT,
                       "size 0x300000 is not a multiple of the page size "
                       "0x200000");
    }
}

static void check_made_file(struct fixture *fixture, bool on_disk)
{
    struct vmem_backing_config request = request_of(VMEM_BACKING_FILE, MIB(4));
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
        vmem_backing_new_allocated(fixture->vm, &request, &backing, NULL), 0);
    info = info_of(backing);
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
        vmem_backing_new_allocated(fixture->vm, &request, &backing, NULL), 0);
    info = info_of(backing);
    assert_int_equal(*(char *)info.hva, 7);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, MIB(6));
    vmem_backing_free(backing, NULL);

    /* A refused one leaves it alone. */
    request.size = MIB(64) + 1;
    refuse_request(fixture, &request, -EINVAL, VMEM_REASON_ALIGNMENT, "size");
    request.size = (uint64_t)1 << 61;
    refuse_request(fixture, &request, on_disk ? -EFBIG : -ENOMEM,
                   VMEM_REASON_OS, on_disk ? path : "mapping 0x2");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, MIB(6));
    unlink(path);

    /* Nor does a new one stay. */
    refuse_request(fixture, &request, on_disk ? -EFBIG : -ENOMEM,
                   VMEM_REASON_OS, on_disk ? path : "mapping 0x2");
    assert_int_equal(stat(path, &status), -1);
}

static void files_are_made_and_grown_but_not_cut(void **state)
{
    check_made_file(*state, true);
    check_made_file(*state, false);
}

static void paths_that_cannot_be_opened_are_named(void **state)
{
    struct vmem_backing_config request = request_of(VMEM_BACKING_FILE, MIB(4));

    request.path = "/nonexistent/ram";
    refuse_request(*state, &request, -ENOENT, VMEM_REASON_OS,
                   "open of /nonexistent/ram: errno 2");
    request.path = "/proc/version";
    if (geteuid() != 0) {
        refuse_request(*state, &request, -EACCES, VMEM_REASON_READ_ONLY,
                       "/proc/version");
    }
    request.path = "/";
    refuse_request(*state, &request, -EISDIR, VMEM_REASON_OS, "open of /");
    request.path = "/dev/zero";
    refuse_request(*state, &request, -ENOTSUP, VMEM_REASON_UNSUPPORTED,
                   "not a regular file");
}

static void a_private_file_can_be_made(void **state)
{
    struct fixture *fixture = *state;
    struct vmem_backing_config request = request_of(VMEM_BACKING_FILE, MIB(4));
    struct vmem_backing *backing;
    char path[64];

    if (host_path(false, path, sizeof(path)) < 0) {
        printf("SKIP: no folder on tmpfs\n");
        return;
    }
    request.path = path;
    assert_int_equal(
        vmem_backing_new_allocated(fixture->vm, &request, &backing, NULL), 0);
    assert_int_equal(info_of(backing).uses, PUNCH | DONTNEED);
    assert_int_equal(fixture->log.nr_codes[VMEM_LOG_CODE_FILE_MODIFIED], 1);
    vmem_backing_free(backing, NULL);
    unlink(path);
}

static void memfds_are_made_where_they_must_not_be_executable(void **state)
{
    struct fixture *fixture = *state;
    struct vmem_backing_config request = request_of(VMEM_BACKING_MEMFD, MIB(4));
    struct fake_sys fake = {
        .call = FAKE_MEMFD_CREATE, .first = 1, .count = 1, .error = EACCES
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing *backing;
    int ret;

    fake_sys_install(&fake);
    ret = vmem_backing_new_allocated(fixture->vm, &request, &backing, &err);
    fake_sys_remove();
    if (ret == -EINVAL) {
        printf("SKIP: this kernel lacks MFD_NOEXEC_SEAL\n");
        return;
    }
    assert_int_equal(ret, 0);
    vmem_backing_free(backing, NULL);
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

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct vmem_range range = { MIB(4), MIB(6) };
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;
        struct fake_sys fake = { 0 };
        size_t nr = 0;

        if (!make_or_skip(&memory, cases[i].kind, MIB(16), MIB(2))) {
            continue;
        }
        mapping = describe(&memory);
        mapping.flags |= cases[i].flags;
        backing = accept(*state, &mapping);
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

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(8), 0), 0);
    mapping = describe(&memory);
    backing = accept(*state, &mapping);
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
    struct fixture *fixture = *state;
    const uint64_t size = 5 * VMEM_BACKING_STEP;
    const struct vmem_range ranges[] = {
        { 0, VMEM_BACKING_STEP },  { 4096, VMEM_BACKING_STEP }, { 0, size },
        { MIB(1), size - MIB(1) }, { 4096, size - 8192 },
    };
    static const unsigned int nr_steps[] = { 1, 1, 5, 5, 5 };
    static const uint32_t kinds[] = { VMEM_BACKING_ANON, VMEM_BACKING_MEMFD };

    for (size_t kind = 0; kind < 2; kind++) {
        const struct vmem_backing_config request =
            request_of(kinds[kind], size);
        struct vmem_backing *backing;
        uint64_t hva;

        assert_int_equal(
            vmem_backing_new_allocated(fixture->vm, &request, &backing, NULL),
            0);
        hva = (uintptr_t)info_of(backing).hva;
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

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct vmem_range first = { 0, MIB(2) };
        const struct vmem_range second = { MIB(2), MIB(2) };
        const struct vmem_range byte = { MIB(1) + 17, 1 };
        const struct vmem_range nothing = { MIB(1), 0 };
        const struct vmem_range empty_page = { MIB(3), 4096 };
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        if (!make_or_skip(&memory, cases[i].kind, MIB(4), MIB(2))) {
            continue;
        }
        mapping = describe(&memory);
        backing = accept(*state, &mapping);
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

    assert_int_equal(host_memory_make(&memory, HOST_ANON, MIB(4), 0), 0);
    if (host_pagemap(memory.hva, 4096) < 0) {
        printf("SKIP: this kernel lacks PAGEMAP_SCAN\n");
        host_memory_free(&memory);
        return;
    }
    mapping = describe(&memory);
    backing = accept(*state, &mapping);
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
    struct fixture *fixture = *state;
    const struct vmem_backing_config request =
        request_of(VMEM_BACKING_MEMFD, MIB(4));
    const struct vmem_range half = { 0, MIB(2) };
    struct vmem_backing *backing;
    struct vmem_backing_info info;

    assert_int_equal(
        vmem_backing_new_allocated(fixture->vm, &request, &backing, NULL), 0);
    info = info_of(backing);
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

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), MIB(2)), 0);
    mapping = describe(&memory);
    backing = accept(*state, &mapping);
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

    assert_int_equal(
        host_memory_make(&memory, HOST_MEMFD_PRIVATE, MIB(4), MIB(2)), 0);
    mapping = describe(&memory);
    backing = accept(*state, &mapping);
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

    for (size_t i = 0; i < 2; i++) {
        const uint32_t method =
            kinds[i] == HOST_ANON ? VMEM_USAGE_PAGEMAP : VMEM_USAGE_SEEK_DATA;
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;
        uint64_t expected;

        /* More than one buffer of entries. */
        assert_int_equal(host_memory_make(&memory, kinds[i], MIB(160), 0), 0);
        mapping = describe(&memory);
        backing = accept(*state, &mapping);
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

    assert_int_equal(host_memory_make(&memory, HOST_MEMFD, MIB(4), MIB(2)), 0);
    mapping = describe(&memory);
    backing = accept(*state, &mapping);
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

    for (size_t i = 0; i < 3; i++) {
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        assert_int_equal(host_memory_make(&memory, kinds[i], MIB(80), 0), 0);
        mapping = describe(&memory);
        backing = accept(*state, &mapping);
        for (size_t at = 0; at < MIB(80); at += KIB(16)) {
            memory.hva[at] = 1;
        }
        assert_int_equal(resident_of(backing, NULL, methods[i]), MIB(20));
        vmem_backing_free(backing, NULL);
        host_memory_free(&memory);
    }
}

static void zero_populates_first_and_writes(void **state)
{
    static const enum host_kind kinds[] = { HOST_ANON, HOST_MEMFD, HOST_DISK };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct vmem_range range = { MIB(1), MIB(2) };
        struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
        struct vmem_backing_mapping mapping;
        struct vmem_backing *backing;
        struct host_memory memory;

        if (!make_or_skip(&memory, kinds[i], MIB(4), MIB(2))) {
            continue;
        }
        mapping = describe(&memory);
        backing = accept(*state, &mapping);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(described_kinds_are_recognised),
        TEST(prefer_remove_replaces_the_hole_on_shared_files),
        TEST(arguments_are_checked),
        TEST(descriptors_that_cannot_punch_are_refused),
        TEST(seals_against_writing_are_refused),
        TEST(a_read_only_private_file_is_refused),
        TEST(a_private_file_is_accepted_with_a_warning),
        TEST(descriptions_that_do_not_match_are_refused),
        TEST(locked_memory_is_seen_and_taken_over),
        TEST(the_locked_flag_is_believed),
        TEST(remove_needs_a_writable_mapping),
        TEST(kernels_without_an_advice_are_noticed),
        TEST(without_smaps_descriptions_are_trusted),
        TEST(page_sizes_are_asked_and_not_assumed),
        TEST(blocks_of_the_file_system_are_the_unit_on_disk),
        TEST(populate_flags_override_the_default),
        TEST(default_blocks_are_huge_pages_but_not_tiny),
        TEST(kinds_are_made),
        TEST(small_memory_is_made),
        TEST(requests_are_checked),
        TEST(files_are_made_and_grown_but_not_cut),
        TEST(paths_that_cannot_be_opened_are_named),
        TEST(a_private_file_can_be_made),
        TEST(memfds_are_made_where_they_must_not_be_executable),
        TEST(each_kind_makes_the_calls_of_its_row),
        TEST(tables_are_dropped_in_whole_units_only),
        TEST(long_discards_go_in_bounded_steps),
        TEST(usage_is_measured_by_the_method_of_the_kind),
        TEST(reading_anonymous_memory_makes_nothing_resident),
        TEST(a_whole_file_is_measured_by_its_blocks),
        TEST(a_file_cut_behind_our_back_is_not_a_whole_one),
        TEST(private_copies_count_besides_the_file),
        TEST(old_kernels_are_measured_by_pagemap),
        TEST(the_position_of_the_host_s_descriptor_stays),
        TEST(scattered_pages_are_all_counted),
        TEST(zero_populates_first_and_writes),
    };

    return cmocka_run_group_tests_name("backing", tests, NULL, NULL);
}
