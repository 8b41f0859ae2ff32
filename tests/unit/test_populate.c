/* SPDX-License-Identifier: BSD-3-Clause */
/* Populating by several threads: real memory, the calls that each makes, and what
 * happens when one of them, or its making, fails. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <vmem/vmem.h>

#include "base/sized.h"
#include "core/backing.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "host/sys.h"
#include "support/backing_rig.h"
#include "support/fake_sys.h"

#define SHARE ((size_t)VMEM_BACKING_POPULATE_SHARE)
#define PAGE ((size_t)vmemi_sys_linux.page_size())
#define FILL 0x5a

/* The host's memory with a backing on it. */
struct fixture {
    struct host_memory memory;
    struct vmem_backing *backing;
};

static bool open_fixture(struct fixture *it, enum host_kind kind, size_t size,
                         uint64_t flags, uint64_t nr_threads)
{
    struct vmem_backing_mapping mapping;

    if (!backing_memory(&it->memory, kind, size, 0)) {
        host_memory_free(&it->memory);
        return false;
    }
    mapping = backing_describe(&it->memory);
    mapping.flags |= flags;
    mapping.populate_threads = nr_threads;
    it->backing = backing_accept(&mapping);
    return true;
}

static void close_fixture(struct fixture *it)
{
    assert_int_equal(vmem_backing_free(it->backing, NULL), 0);
    host_memory_free(&it->memory);
}

static struct vmem_backing_stats stats_of(const struct fixture *it)
{
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };

    assert_int_equal(vmem_backing_get_stats(it->backing, &stats), 0);
    return stats;
}

static unsigned int nr_tasks(void)
{
    DIR *folder = opendir("/proc/self/task");
    unsigned int nr = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        nr++;
    }
    closedir(folder);
    return nr;
}

/* A joined thread may be on its way out of the kernel still. */
static bool are_only_left(unsigned int nr)
{
    for (unsigned int tries = 0; tries < 200; tries++) {
        if (nr_tasks() == nr) {
            return true;
        }
        usleep(5000);
    }
    return false;
}

static void *do_nothing(void *opaque)
{
    return opaque;
}

/* The calls of a populate, in whatever order the threads made them: none overlap,
 * all lie in the range, and together they are it. Inner bounds are those of page
 * tables. */
static void assert_shares(const struct fake_sys *fake, const struct fixture *it,
                          const struct vmem_range *range, size_t nr)
{
    const uint64_t start = (uint64_t)(uintptr_t)it->memory.hva + range->offset;
    uint64_t at = start;

    assert_int_equal(fake->nr_records, nr);
    for (size_t found = 0; found < nr; found++) {
        const struct fake_record *next = NULL;

        for (size_t i = 0; i < nr; i++) {
            next = fake->records[i].start == at ? &fake->records[i] : next;
        }
        assert_non_null(next);
        assert_int_equal(next->detail, MADV_POPULATE_WRITE);
        assert_true(next->size >= SHARE - MIB(2));
        at += next->size;
        assert_true(found + 1 == nr || at % MIB(2) == 0);
    }
    assert_int_equal(at, start + range->size);
}

static void threads_populate_all_of_a_range_and_nothing_else(void **state)
{
    static const struct {
        uint64_t nr_threads;
        size_t offset; /* pages */
        size_t size;
        size_t nr_shares;
    } cases[] = {
        { 2, 0, 4 * MIB(16), 2 },          { 3, 0, 4 * MIB(16), 3 },
        { 4, 0, 4 * MIB(16), 4 },          { 64, 0, 4 * MIB(16), 4 },
        { 4, 1, 4 * MIB(16) - KIB(4), 3 }, { 4, 3, 2 * MIB(16), 2 },
        { 2, 1, 2 * MIB(16) - KIB(4), 1 }, { 8, 0, KIB(4), 1 },
        { 1, 0, 4 * MIB(16), 1 },          { 0, 0, 4 * MIB(16), 1 },
    };
    static const enum host_kind kinds[] = { HOST_ANON, HOST_ANON_SHARED,
                                            HOST_MEMFD, HOST_TMPFS };

    pthread_t first;

    (void)state;
    /* A sanitizer has a thread of its own as soon as there is any. */
    assert_int_equal(vmemi_sys_linux.thread_start(&first, do_nothing, NULL), 0);
    vmemi_sys_linux.thread_join(first);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const enum host_kind kind = kinds[i % 4];
        const struct vmem_range range = { cases[i].offset * PAGE,
                                          cases[i].size };
        const unsigned int nr_before = nr_tasks();
        struct fake_sys fake = { 0 };
        struct fixture it;

        if (!open_fixture(&it, kind, 5 * SHARE, 0, cases[i].nr_threads)) {
            continue;
        }
        it.memory.hva[range.offset + range.size / 2] = FILL;
        fake_sys_install(&fake);
        assert_int_equal(vmem_backing_populate(it.backing, &range, NULL), 0);
        fake_sys_remove();
        assert_true(are_only_left(nr_before));
        assert_int_equal(host_mincore(it.memory.hva, it.memory.size),
                         range.size);
        assert_int_equal(host_mincore(it.memory.hva + range.offset, range.size),
                         range.size);
        assert_int_equal(it.memory.hva[range.offset + range.size / 2], FILL);
        if (cases[i].nr_shares > 1) {
            assert_shares(&fake, &it, &range, cases[i].nr_shares);
        }
        assert_int_equal(fake.nr_calls[FAKE_MADVISE], cases[i].nr_shares);
        assert_int_equal(fake.nr_calls[FAKE_THREAD_START],
                         cases[i].nr_shares - 1);
        assert_int_equal(fake.nr_calls[FAKE_ANY], 2 * cases[i].nr_shares - 1);
        assert_int_equal(stats_of(&it).nr_syscalls, cases[i].nr_shares);
        assert_int_equal(stats_of(&it).nr_threads, cases[i].nr_shares - 1);
        assert_int_equal(stats_of(&it).nr_thread_errors, 0);
        assert_int_equal(stats_of(&it).nr_populates, 1);
        assert_int_equal(stats_of(&it).populated_bytes, range.size);
        close_fixture(&it);
    }
}

static void threads_populate_huge_pages(void **state)
{
    static const enum host_kind kinds[] = { HOST_HUGE_ANON, HOST_HUGE_MEMFD };
    const struct vmem_range range = { 0, 2 * SHARE };

    (void)state;
    if (!host_pool_take(2 * SHARE / HUGE_PAGE)) {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        const int64_t free_before = host_meminfo("HugePages_Free");
        struct fixture it;

        if (!open_fixture(&it, kinds[i], 2 * SHARE, 0, 2)) {
            continue;
        }
        assert_int_equal(vmem_backing_populate(it.backing, &range, NULL), 0);
        assert_int_equal(host_meminfo("HugePages_Free"),
                         free_before - (int64_t)(2 * SHARE / HUGE_PAGE));
        assert_int_equal(stats_of(&it).nr_threads, 1);
        assert_int_equal(vmem_backing_discard(it.backing, &range, NULL), 0);
        close_fixture(&it);
    }
    host_pool_give_back();
}

static void the_lowest_share_that_fails_says_why(void **state)
{
    const struct vmem_range range = { 0, 4 * SHARE };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct vmem_error err = VMEM_ERROR_INIT;
        struct fake_sys fake = { .hva_error = EHWPOISON };
        struct fixture it;

        assert_true(open_fixture(&it, HOST_ANON, 4 * SHARE, 0, 4));
        it.memory.hva[i * SHARE] = FILL;
        fake.hva = it.memory.hva + i * SHARE;
        fake_sys_install(&fake);
        assert_int_equal(vmem_backing_populate(it.backing, &range, &err),
                         -EHWPOISON);
        fake_sys_remove();
        assert_int_equal(err.reason, VMEM_REASON_POPULATE_FAILED);
        /* What was there is not lost, here where no plug is undone. */
        assert_int_equal(it.memory.hva[i * SHARE], FILL);
        assert_int_equal(stats_of(&it).nr_populate_errors, 1);
        assert_int_equal(stats_of(&it).populated_bytes, 0);
        assert_int_equal(vmem_backing_populate(it.backing, &range, NULL), 0);
        close_fixture(&it);
    }
}

/* Whichever thread was first. */
static void of_several_failures_the_lowest_is_told(void **state)
{
    const struct vmem_range range = { 0, 4 * SHARE };
    struct fixture it;

    (void)state;
    assert_true(open_fixture(&it, HOST_ANON, 4 * SHARE, 0, 4));
    for (unsigned int i = 0; i < 20; i++) {
        struct fake_sys fake = { .call = FAKE_MADVISE,
                                 .first = 1,
                                 .count = 4,
                                 .error = ENOMEM,
                                 .hva = it.memory.hva,
                                 .hva_error = EHWPOISON };
        int expected = -ENOMEM;
        int ret;

        fake_sys_install(&fake);
        ret = vmem_backing_populate(it.backing, &range, NULL);
        fake_sys_remove();
        /* The first share may not even have begun when another failed. */
        for (size_t j = 0; j < fake.nr_records; j++) {
            if (fake.records[j].ret == -EHWPOISON) {
                expected = -EHWPOISON;
            }
        }
        assert_int_equal(ret, expected);
        assert_true(fake.nr_records >= 1 && fake.nr_records <= 4);
    }
    assert_int_equal(host_mincore(it.memory.hva, it.memory.size), 0);
    close_fixture(&it);
}

static void a_plug_whose_share_fails_gives_everything_back(void **state)
{
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "plugged",
        .block_size = MIB(2),
        .flags = VMEM_SOURCE_DISCARDS,
    };
    const struct vmem_range range = { MIB(2), 3 * SHARE };
    static const enum host_kind kinds[] = { HOST_ANON, HOST_MEMFD };

    (void)state;
    for (size_t i = 0; i < 2 * 3; i++) {
        struct vmem_region_config config = { .struct_size = sizeof(config),
                                             .name = "ram" };
        struct vmem_region_info info = { .struct_size = sizeof(info) };
        struct fake_sys fake = { .hva_error = ENOMEM };
        struct vmem_source *source;
        struct vmem_region *region;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct fixture it;

        assert_true(open_fixture(&it, kinds[i / 3], 4 * SHARE,
                                 VMEM_BACKING_POPULATE, 3));
        config.backing = it.backing;
        assert_int_equal(vmem_region_new(backing_vm, &config, &region, NULL),
                         0);
        assert_int_equal(vmem_source_add(region, &source_config, &source, NULL),
                         0);
        fake.hva = it.memory.hva + range.offset + (i % 3) * SHARE;
        fake_sys_install(&fake);
        assert_int_equal(vmem_source_populate(source, &range, &err), -ENOMEM);
        assert_int_equal(err.reason, VMEM_REASON_POPULATE_FAILED);
        fake_sys_remove();
        assert_int_equal(vmem_region_get_info(region, &info), 0);
        assert_int_equal(info.populated_size, 0);
        assert_int_equal(info.retained_size, 0);
        assert_int_equal(host_mincore(it.memory.hva, it.memory.size), 0);
        assert_int_equal(vmem_source_populate(source, &range, NULL), 0);
        assert_int_equal(host_mincore(it.memory.hva, it.memory.size),
                         range.size);
        assert_int_equal(vmem_source_remove(source, NULL), 0);
        assert_int_equal(vmem_region_free(region, NULL), 0);
        close_fixture(&it);
    }
}

static void threads_that_cannot_be_started_are_done_without(void **state)
{
    const struct vmem_range range = { 0, 4 * SHARE };

    (void)state;
    for (unsigned int first = 1; first <= 3; first++) {
        struct fake_sys fake = { .call = FAKE_THREAD_START,
                                 .first = first,
                                 .count = 1,
                                 .error = EAGAIN };
        struct fixture it;

        assert_true(open_fixture(&it, HOST_MEMFD, 4 * SHARE, 0, 4));
        fake_sys_install(&fake);
        assert_int_equal(vmem_backing_populate(it.backing, &range, NULL), 0);
        fake_sys_remove();
        assert_shares(&fake, &it, &range, 4);
        assert_int_equal(host_mincore(it.memory.hva, range.size), range.size);
        /* One refusal is enough. */
        assert_int_equal(fake.nr_calls[FAKE_THREAD_START], first);
        assert_int_equal(stats_of(&it).nr_threads, first - 1);
        assert_int_equal(stats_of(&it).nr_thread_errors, 1);
        assert_int_equal(stats_of(&it).nr_populate_errors, 0);
        close_fixture(&it);
    }
}

static void signals_in_threads_are_waited_out(void **state)
{
    const struct vmem_range range = { 0, 2 * SHARE };
    struct fake_sys fake = {
        .call = FAKE_MADVISE, .first = 1, .count = 20, .error = EINTR
    };
    struct fixture it;

    (void)state;
    assert_true(open_fixture(&it, HOST_ANON, 2 * SHARE, 0, 2));
    fake_sys_install(&fake);
    assert_int_equal(vmem_backing_populate(it.backing, &range, NULL), 0);
    fake_sys_remove();
    assert_int_equal(fake.nr_calls[FAKE_MADVISE], 22);
    assert_int_equal(host_mincore(it.memory.hva, range.size), range.size);
    close_fixture(&it);
}

/* ---- what the threads are ---- */

static pthread_t caller;
static atomic_int nr_other_threads;
static atomic_int nr_open_masks; /* threads that a signal could interrupt */

static int look_at_thread(void *hva, uint64_t size, int advice)
{
    sigset_t mask;

    if (!pthread_equal(pthread_self(), caller)) {
        atomic_fetch_add(&nr_other_threads, 1);
        pthread_sigmask(SIG_BLOCK, NULL, &mask);
        for (int signal_number = 1; signal_number < SIGRTMAX; signal_number++) {
            /* Two that nobody may block, and some that the C library keeps. */
            if (signal_number != SIGKILL && signal_number != SIGSTOP &&
                !(signal_number > 31 && signal_number < SIGRTMIN) &&
                sigismember(&mask, signal_number) == 0) {
                atomic_fetch_add(&nr_open_masks, 1);
            }
        }
    }
    return vmemi_sys_linux.madvise(hva, size, advice);
}

static void all_signals_are_blocked_in_the_threads(void **state)
{
    const struct vmem_range range = { 0, 4 * SHARE };
    struct vmemi_sys table = vmemi_sys_linux;
    sigset_t before;
    sigset_t after;
    struct fixture it;

    (void)state;
    assert_true(open_fixture(&it, HOST_ANON, 4 * SHARE, 0, 4));
    caller = pthread_self();
    table.madvise = look_at_thread;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    vmemi_sys_set(&table);
    assert_int_equal(vmem_backing_populate(it.backing, &range, NULL), 0);
    vmemi_sys_set(NULL);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    assert_int_equal(atomic_load(&nr_other_threads), 3);
    assert_int_equal(atomic_load(&nr_open_masks), 0);
    for (int signal_number = 1; signal_number < SIGRTMAX; signal_number++) {
        assert_int_equal(sigismember(&before, signal_number),
                         sigismember(&after, signal_number));
    }
    close_fixture(&it);
}

/* ---- how many are asked for ---- */

static void too_many_threads_are_refused_with_the_limit(void **state)
{
    const uint64_t limit = VMEM_BACKING_MAX_POPULATE_THREADS;
    struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "made",
        .kind = VMEM_BACKING_ANON,
        .size = MIB(2),
    };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_backing *backing = NULL;
    const uint64_t wrong[] = { limit + 1, UINT64_MAX, (uint64_t)1 << 32 };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct vmem_backing_mapping mapping = {
            .struct_size = sizeof(mapping),
            .name = "mapped",
            .hva = (void *)(uintptr_t)MIB(2),
            .size = MIB(2),
            .populate_threads = wrong[i],
        };
        struct vmem_error err = VMEM_ERROR_INIT;
        char value[24];

        snprintf(value, sizeof(value), "%llu", (unsigned long long)wrong[i]);
        request.populate_threads = wrong[i];
        assert_int_equal(
            vmem_backing_new_allocated(backing_vm, &request, &backing, &err),
            -ERANGE);
        assert_int_equal(err.reason, VMEM_REASON_RANGE);
        assert_non_null(strstr(err.message, "\"made\""));
        assert_non_null(strstr(err.message, value));
        assert_non_null(strstr(err.message, "the limit is 64"));
        assert_int_equal(
            vmem_backing_new_mapped(backing_vm, &mapping, &backing, &err),
            -ERANGE);
        assert_non_null(strstr(err.message, "\"mapped\""));
        assert_non_null(strstr(err.message, value));
        assert_null(backing);
    }
    request.populate_threads = limit;
    assert_int_equal(
        vmem_backing_new_allocated(backing_vm, &request, &backing, NULL), 0);
    assert_int_equal(vmem_backing_get_info(backing, &info), 0);
    assert_int_equal(info.populate_threads, limit);
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
}

/* What lies behind the struct of 0.1 is not looked at. */
static void a_struct_of_the_first_release_asks_for_none(void **state)
{
    const struct vmem_range range = { 0, 4 * SHARE };
    struct vmem_backing_config request = {
        .struct_size = VMEMI_SIZE_THROUGH(struct vmem_backing_config, reserved),
        .name = "made",
        .kind = VMEM_BACKING_ANON,
        .size = 4 * SHARE,
        .populate_threads = 4,
    };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct fixture it;

    (void)state;
    assert_int_equal(
        vmem_backing_new_allocated(backing_vm, &request, &it.backing, NULL), 0);
    assert_int_equal(vmem_backing_get_info(it.backing, &info), 0);
    assert_int_equal(info.populate_threads, 0);
    assert_int_equal(vmem_backing_populate(it.backing, &range, NULL), 0);
    assert_int_equal(stats_of(&it).nr_threads, 0);
    assert_int_equal(vmem_backing_free(it.backing, NULL), 0);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, backing_set_up, backing_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(threads_populate_all_of_a_range_and_nothing_else),
        TEST(threads_populate_huge_pages),
        TEST(the_lowest_share_that_fails_says_why),
        TEST(of_several_failures_the_lowest_is_told),
        TEST(a_plug_whose_share_fails_gives_everything_back),
        TEST(threads_that_cannot_be_started_are_done_without),
        TEST(signals_in_threads_are_waited_out),
        TEST(all_signals_are_blocked_in_the_threads),
        TEST(too_many_threads_are_refused_with_the_limit),
        TEST(a_struct_of_the_first_release_asks_for_none),
    };

    return cmocka_run_group_tests_name("populating by threads", tests, NULL,
                                       NULL);
}
