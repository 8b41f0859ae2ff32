/* SPDX-License-Identifier: BSD-3-Clause */
/* Every system call of host/ fails once, in its turn: nothing is lost, nothing
 * leaks, and the same call works afterwards. */
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

#include "core/backing.h"
#include "host/sys.h"
#include "support/allocations.h"
#include "support/backing_rig.h"
#include "support/fake_sys.h"

/* What can be made: host memory that is described, or a request. */
struct recipe {
    struct host_memory memory;
    struct vmem_backing_mapping mapping;
    struct vmem_backing_config request;
    bool is_request;
    char path[64];
};

static int run(const struct recipe *recipe, struct vmem_backing **out,
               struct vmem_error *err)
{
    return recipe->is_request
               ? vmem_backing_new_allocated(backing_vm, &recipe->request, out,
                                            err)
               : vmem_backing_new_mapped(backing_vm, &recipe->mapping, out,
                                         err);
}

static bool cook_mapping(struct recipe *recipe, enum host_kind kind,
                         size_t size, uint64_t flags)
{
    memset(recipe, 0, sizeof(*recipe));
    if (!backing_memory(&recipe->memory, kind, size, MIB(2))) {
        return false;
    }
    recipe->mapping = backing_describe(&recipe->memory);
    recipe->mapping.name = host_kind_name(kind);
    recipe->mapping.flags |= flags;
    return true;
}

static bool cook_request(struct recipe *recipe, uint32_t kind, uint64_t size)
{
    memset(recipe, 0, sizeof(*recipe));
    recipe->memory.fd = -1;
    recipe->is_request = true;
    recipe->request = (struct vmem_backing_config){
        .struct_size = sizeof(recipe->request),
        .name = "made",
        .kind = kind,
        .size = size,
    };
    if (kind == VMEM_BACKING_FILE) {
        if (host_path(false, recipe->path, sizeof(recipe->path)) < 0) {
            printf("SKIP: no folder on tmpfs\n");
            return false;
        }
        recipe->request.path = recipe->path;
        recipe->request.flags = VMEM_BACKING_SHARED;
    }
    return true;
}

/* Nothing of what was mapped is there any more. A huge page to try an advice on
 * stays if unmapping it is what failed: there is nobody to tell. */
static void check_unmapped(const struct fake_sys *fake)
{
    for (size_t i = 0; i < fake->nr_records; i++) {
        const struct fake_record *record = &fake->records[i];

        if (record->call == FAKE_MUNMAP && record->ret < 0 &&
            record->size == HUGE_PAGE) {
            munmap((void *)(uintptr_t)record->start, record->size);
        }
    }
    for (size_t i = 0; i < fake->nr_records; i++) {
        const struct fake_record *record = &fake->records[i];

        if (record->call == FAKE_MMAP && record->ret == 0 &&
            host_is_mapped((void *)(uintptr_t)record->start, record->size)) {
            fail_msg("0x%llx is still mapped",
                     (unsigned long long)record->start);
        }
    }
}

static void check_alive(struct vmem_backing *backing)
{
    const struct vmem_range range = { 0, backing->size };

    assert_int_equal(vmem_backing_discard(backing, &range, NULL), 0);
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
}

/* Calls whose failure is no reason to fail: what they could find out is only
 * missing, or they clean up. EINVAL of F_GET_SEALS means that there are none. */
static bool may_be_tolerated(enum fake_call call, int error)
{
    return call == FAKE_OPEN || call == FAKE_READ || call == FAKE_CLOSE ||
           call == FAKE_MUNMAP || call == FAKE_MADVISE ||
           (call == FAKE_FCNTL && error == EINVAL);
}

static void fail_each_call_of_making(const struct recipe *recipe, int error)
{
    struct fake_sys fake = {
        .call = FAKE_ANY, .first = 1, .count = 1, .error = error
    };
    unsigned int nr_refused = 0;

    for (;; fake.first++) {
        const unsigned int nr_fds = host_nr_fds();
        struct vmem_backing *backing = (struct vmem_backing *)0x1;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct stat status;
        int ret;

        fake_sys_install(&fake);
        ret = run(recipe, &backing, &err);
        if (ret < 0) {
            fake_sys_remove();
            nr_refused++;
            assert_int_equal(fake.nr_failed, 1);
            assert_ptr_equal(backing, (struct vmem_backing *)0x1);
            assert_int_equal(err.code, ret);
            assert_int_not_equal(err.reason, VMEM_REASON_NONE);
            assert_true(err.message[0] != '\0');
            assert_true(recipe->path[0] == '\0' ||
                        stat(recipe->path, &status) < 0);
        } else {
            fake.count = 0;
            check_alive(backing);
            fake.count = 1;
            fake_sys_remove();
            assert_true(fake.nr_failed == 0 || error == EINTR ||
                        may_be_tolerated(fake.failed, error));
            unlink(recipe->path);
        }
        check_unmapped(&fake);
        assert_int_equal(host_nr_fds(), nr_fds);

        assert_int_equal(run(recipe, &backing, &err), 0);
        check_alive(backing);
        unlink(recipe->path);
        if (fake.nr_failed == 0) {
            break;
        }
    }
    assert_true(nr_refused > 0 || recipe->memory.fd < 0);
    assert_true(fake.first > 3);
}

static void fail_each_allocation_of_making(const struct recipe *recipe);

static void try_recipe(struct recipe *recipe)
{
    static const int errors[] = { ENOMEM, EIO, EINTR, EINVAL };

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        fail_each_call_of_making(recipe, errors[i]);
    }
    fail_each_allocation_of_making(recipe);
    host_memory_free(&recipe->memory);
}

static void making_a_backing_of_mapped_memory_can_fail_anywhere(void **state)
{
    struct recipe recipe;

    (void)state;
    for (int kind = 0; kind < HOST_KINDS; kind++) {
        if (cook_mapping(&recipe, (enum host_kind)kind, MIB(4), 0)) {
            try_recipe(&recipe);
        }
    }
    if (cook_mapping(&recipe, HOST_MEMFD, MIB(4),
                     VMEM_BACKING_LOCKED | VMEM_BACKING_POPULATE)) {
        try_recipe(&recipe);
    }
}

static void making_memory_can_fail_anywhere(void **state)
{
    struct recipe recipe;

    (void)state;
    for (uint32_t kind = VMEM_BACKING_ANON; kind <= VMEM_BACKING_HUGETLB_MEMFD;
         kind++) {
        struct vmem_backing *backing;

        if (!cook_request(&recipe, kind, MIB(4))) {
            continue;
        }
        if (run(&recipe, &backing, NULL) < 0) {
            printf("SKIP: no memory of kind %u can be made\n", kind);
            continue;
        }
        vmem_backing_free(backing, NULL);
        unlink(recipe.path);
        try_recipe(&recipe);
    }
    /* Kernels may align what has whole 2 MiB by themselves; this is not, and
     * has something to trim on both sides. */
    if (cook_request(&recipe, VMEM_BACKING_ANON, MIB(4) + KIB(64))) {
        try_recipe(&recipe);
    }
}

static void fail_each_allocation_of_making(const struct recipe *recipe)
{
    struct fake_sys fake = { 0 };
    unsigned int nr = 0;
    int ret;

    do {
        const unsigned int nr_fds = host_nr_fds();
        struct vmem_error err = VMEM_ERROR_INIT;
        struct vmem_backing *backing;
        struct stat status;

        fake_sys_install(&fake);
        allocations_fail(nr++, 1);
        ret = run(recipe, &backing, &err);
        allocations_end();
        if (ret == 0) {
            check_alive(backing);
            unlink(recipe->path);
        } else {
            assert_int_equal(ret, -ENOMEM);
            assert_int_equal(err.reason, VMEM_REASON_NO_MEMORY);
            assert_true(recipe->path[0] == '\0' ||
                        stat(recipe->path, &status) < 0);
        }
        fake_sys_remove();
        check_unmapped(&fake);
        assert_int_equal(host_nr_fds(), nr_fds);
    } while (ret < 0);
    assert_true(nr > 2);
}

static void a_file_that_was_there_keeps_its_size(void **state)
{
    struct fake_sys fake = { .call = FAKE_ANY, .count = 1, .error = ENOMEM };
    struct recipe recipe;
    struct stat status;
    int fd;

    (void)state;
    if (!cook_request(&recipe, VMEM_BACKING_FILE, MIB(4))) {
        return;
    }
    fd = open(recipe.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    do {
        struct vmem_backing *backing;
        int ret;

        assert_int_equal(ftruncate(fd, MIB(1)), 0);
        fake.first++;
        fake_sys_install(&fake);
        ret = run(&recipe, &backing, NULL);
        fake_sys_remove();
        assert_int_equal(fstat(fd, &status), 0);
        assert_int_equal(status.st_size, ret < 0 ? MIB(1) : MIB(4));
        assert_int_equal(status.st_mode & 0777, 0640);
        assert_int_equal(status.st_nlink, 1);
        if (ret == 0) {
            vmem_backing_free(backing, NULL);
        }
    } while (fake.nr_failed > 0);
    close(fd);
    unlink(recipe.path);
}

static struct vmem_backing *accept(const struct recipe *recipe)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing *backing;

    if (run(recipe, &backing, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return backing;
}

static void a_discard_can_fail_at_each_call(void **state)
{
    const struct vmem_range range = { MIB(2), MIB(4) };

    (void)state;
    for (int kind = 0; kind < HOST_KINDS; kind++) {
        struct fake_sys fake = { .call = FAKE_ANY, .count = 1, .error = EIO };
        const bool is_huge = host_kind_is_huge((enum host_kind)kind);
        struct vmem_backing *backing;
        struct recipe recipe;

        if (!cook_mapping(&recipe, (enum host_kind)kind, MIB(8), 0)) {
            continue;
        }
        backing = accept(&recipe);
        do {
            struct vmem_backing_stats before = { .struct_size =
                                                     sizeof(before) };
            struct vmem_backing_stats after = { .struct_size = sizeof(after) };
            struct vmem_error err = VMEM_ERROR_INIT;
            int ret;

            if (!is_huge) {
                memset(recipe.memory.hva, 1, MIB(8));
            }
            vmem_backing_get_stats(backing, &before);
            fake.first++;
            fake_sys_install(&fake);
            ret = vmem_backing_discard(backing, &range, &err);
            fake_sys_remove();
            vmem_backing_get_stats(backing, &after);
            assert_int_equal(after.nr_syscalls - before.nr_syscalls,
                             fake.nr_calls[FAKE_ANY]);
            assert_int_equal(after.nr_discards - before.nr_discards, 1);
            assert_int_equal(after.nr_discard_errors - before.nr_discard_errors,
                             ret < 0);
            if (ret < 0) {
                assert_int_equal(ret, -EIO);
                assert_int_equal(err.reason, VMEM_REASON_DISCARD_FAILED);
                assert_int_equal(err.range.offset, MIB(2));
                assert_int_equal(err.range.size, MIB(4));
                assert_int_equal(after.discarded_bytes, before.discarded_bytes);
                assert_int_equal(vmem_backing_discard(backing, &range, NULL),
                                 0);
            } else if (fake.nr_failed > 0) {
                /* Page tables that stay are no loss. */
                assert_int_equal(fake.records[fake.nr_records - 1].detail,
                                 MADV_DONTNEED);
                assert_true(host_kind_is_shared((enum host_kind)kind));
            }
            assert_true(is_huge ||
                        host_is_zero(recipe.memory.hva + MIB(2), MIB(4)));
            assert_true(is_huge || recipe.memory.hva[MIB(2) - 1] == 1);
            assert_true(is_huge || recipe.memory.hva[MIB(6)] == 1);
        } while (fake.nr_failed > 0);
        vmem_backing_free(backing, NULL);
        host_memory_free(&recipe.memory);
    }
}

static void a_failed_step_says_how_far_it_got(void **state)
{
    const struct vmem_range range = { MIB(1), 3 * VMEM_BACKING_STEP };
    static const uint32_t kinds[] = { VMEM_BACKING_ANON,
                                      VMEM_BACKING_ANON_SHARED,
                                      VMEM_BACKING_MEMFD };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fake_sys fake = { .call = FAKE_ANY, .count = 1, .error = EIO };
        struct vmem_backing *backing;
        struct recipe recipe;
        uint64_t last_done = 0;

        cook_request(&recipe, kinds[i], 4 * VMEM_BACKING_STEP);
        backing = accept(&recipe);
        do {
            uint64_t done = UINT64_MAX;
            int ret;

            fake.first++;
            fake_sys_install(&fake);
            ret = vmemi_backing_discard(backing, &range, &done);
            fake_sys_remove();
            if (ret == 0) {
                assert_int_equal(done, range.size);
                continue;
            }
            assert_int_equal(ret, -EIO);
            assert_true(done < range.size && done >= last_done);
            /* Where a table ends, so that none stays for the cut. */
            assert_true(done == 0 || (range.offset + done) % MIB(2) == 0);
            assert_true(fake.nr_records == 1 || done > 0);
            last_done = done;
        } while (fake.nr_failed > 0);
        assert_true(last_done >= 2 * (VMEM_BACKING_STEP - MIB(2)));
        vmem_backing_free(backing, NULL);
    }
}

static void signals_are_waited_out_but_not_for_ever(void **state)
{
    const struct vmem_range range = { 0, MIB(4) };
    static const enum host_kind kinds[] = { HOST_ANON, HOST_ANON_SHARED,
                                            HOST_MEMFD };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct fake_sys fake = {
            .call = FAKE_ANY, .first = 1, .count = 20, .error = EINTR
        };
        struct vmem_backing *backing;
        struct recipe recipe;
        uint64_t done;

        assert_true(cook_mapping(&recipe, kinds[i], MIB(4), 0));
        backing = accept(&recipe);
        memset(recipe.memory.hva, 1, MIB(4));
        fake_sys_install(&fake);
        assert_int_equal(vmemi_backing_discard(backing, &range, &done), 0);
        assert_true(host_is_zero(recipe.memory.hva, MIB(4)));
        fake_sys_install(&fake);
        assert_int_equal(vmemi_backing_populate(backing, &range), 0);
        assert_int_equal(host_mincore(recipe.memory.hva, MIB(4)), MIB(4));
        fake_sys_install(&fake);
        assert_int_equal(vmemi_backing_zero(backing, &range), 0);

        fake.count = 1000000;
        fake_sys_install(&fake);
        assert_int_equal(vmemi_backing_discard(backing, &range, &done), -EINTR);
        assert_int_equal(done, 0);
        assert_int_equal(fake.nr_calls[FAKE_ANY], VMEMI_SYS_MAX_TRIES);
        fake_sys_install(&fake);
        assert_int_equal(vmemi_backing_populate(backing, &range), -EINTR);
        assert_int_equal(fake.nr_calls[FAKE_ANY], VMEMI_SYS_MAX_TRIES);
        fake_sys_remove();
        vmem_backing_free(backing, NULL);
        host_memory_free(&recipe.memory);
    }
}

static void populate_and_zero_can_fail_at_each_step(void **state)
{
    const struct vmem_range range = { MIB(1), MIB(2) };
    static const int errors[] = { ENOMEM, EFAULT, EINVAL, EHWPOISON };

    (void)state;
    for (int kind = HOST_ANON; kind <= HOST_DISK_PRIVATE; kind++) {
        struct vmem_backing *backing;
        struct recipe recipe;

        if (!cook_mapping(&recipe, (enum host_kind)kind, MIB(4), 0)) {
            continue;
        }
        backing = accept(&recipe);
        memset(recipe.memory.hva, 1, MIB(4));
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
            struct fake_sys fake = {
                .call = FAKE_ANY, .first = 1, .count = 1, .error = errors[i]
            };

            fake_sys_install(&fake);
            assert_int_equal(vmemi_backing_populate(backing, &range),
                             -errors[i]);
            fake_sys_install(&fake);
            assert_int_equal(vmemi_backing_zero(backing, &range), -errors[i]);
            fake_sys_remove();
            assert_int_equal(recipe.memory.hva[MIB(1)], 1);
        }
        assert_int_equal(vmemi_backing_populate(backing, &range), 0);
        assert_int_equal(vmemi_backing_zero(backing, &range), 0);
        assert_true(host_is_zero(recipe.memory.hva + MIB(1), MIB(2)));
        vmem_backing_free(backing, NULL);
        host_memory_free(&recipe.memory);
    }
}

static void fail_each_call_of_usage(struct vmem_backing *backing,
                                    const struct vmem_range *range,
                                    uint64_t expected)
{
    static const int errors[] = { ENOMEM, EIO, EINTR };

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct fake_sys fake = { .call = FAKE_ANY,
                                 .count = 1,
                                 .error = errors[i] };

        do {
            struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
            const unsigned int nr_fds = host_nr_fds();
            struct vmem_error err = VMEM_ERROR_INIT;
            int ret;

            fake.first++;
            fake_sys_install(&fake);
            ret = vmem_backing_get_usage(backing, range, &usage, &err);
            fake_sys_remove();
            assert_int_equal(host_nr_fds(), nr_fds);
            if (ret == 0) {
                assert_int_equal(usage.resident, expected);
            } else {
                assert_int_equal(ret, -errors[i]);
                assert_int_equal(err.code, ret);
                assert_int_equal(usage.resident, 0);
            }
        } while (fake.nr_failed > 0);
    }
}

static void usage_can_fail_at_each_call(void **state)
{
    const struct vmem_range range = { MIB(1), MIB(2) };

    (void)state;
    for (int kind = HOST_ANON; kind <= HOST_DISK_PRIVATE; kind++) {
        struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
        struct vmem_backing *backing;
        struct recipe recipe;

        if (!cook_mapping(&recipe, (enum host_kind)kind, MIB(4), 0)) {
            continue;
        }
        backing = accept(&recipe);
        recipe.memory.hva[MIB(1)] = 1;
        recipe.memory.hva[MIB(3) - 1] = 1;
        recipe.memory.hva[MIB(3)] = 1;
        assert_int_equal(vmem_backing_get_usage(backing, &range, &usage, NULL),
                         0);
        fail_each_call_of_usage(backing, &range, usage.resident);

        /* The library's allocations are system calls of a kind. */
        for (unsigned int nr = 0; nr < 2; nr++) {
            int ret;

            allocations_fail(nr, 1);
            ret = vmem_backing_get_usage(backing, &range, &usage, NULL);
            allocations_end();
            assert_true(ret == 0 || ret == -ENOMEM);
        }
        vmem_backing_free(backing, NULL);
        host_memory_free(&recipe.memory);
    }
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, backing_set_up, backing_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(making_a_backing_of_mapped_memory_can_fail_anywhere),
        TEST(making_memory_can_fail_anywhere),
        TEST(a_file_that_was_there_keeps_its_size),
        TEST(a_discard_can_fail_at_each_call),
        TEST(a_failed_step_says_how_far_it_got),
        TEST(signals_are_waited_out_but_not_for_ever),
        TEST(populate_and_zero_can_fail_at_each_step),
        TEST(usage_can_fail_at_each_call),
    };

    return cmocka_run_group_tests_name("failing system calls", tests, NULL,
                                       NULL);
}
