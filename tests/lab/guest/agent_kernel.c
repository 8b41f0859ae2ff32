/* SPDX-License-Identifier: BSD-3-Clause */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/kernel-page-flags.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE ((uint64_t)4096)
#define PIPE_SIZE ((size_t)65536)
#define MAX_PIPES 4096
#define MAX_CACHES 512

/* What the process with the pipes says. */
#define MADE 1
#define NOT_MADE 2

/* A process and descriptors that live longer than one command. */
static pid_t holder = -1;
/* Not pipes: those would keep a page each, where the kernel takes them then. */
static int order_fd = -1;
static int outcome_fd = -1;
static int flags_fd = -1;
static int drop_fd = -1;
static int shrink_fds[MAX_CACHES];
static unsigned nr_caches;

static int open_flags(void)
{
    if (flags_fd < 0) {
        flags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
    }
    return flags_fd;
}

/* Some are there by several names, and are shrunk as often. */
static void open_caches(void)
{
    glob_t found = { 0 };

    drop_fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (glob("/sys/kernel/slab/*/shrink", 0, NULL, &found) != 0) {
        return;
    }
    for (size_t i = 0; i < found.gl_pathc && nr_caches < MAX_CACHES; i++) {
        const int fd = open(found.gl_pathv[i], O_WRONLY | O_CLOEXEC);

        if (fd >= 0) {
            shrink_fds[nr_caches++] = fd;
        }
    }
    globfree(&found);
}

static bool make_pipes(uint64_t mib)
{
    static char bytes[PIPE_SIZE];
    const struct rlimit many = { 2 * MAX_PIPES + 1024, 2 * MAX_PIPES + 1024 };
    const uint64_t nr_pipes = mib * MIB / PIPE_SIZE;
    uint64_t nr = 0;

    setrlimit(RLIMIT_NOFILE, &many);
    for (; nr < nr_pipes && nr < MAX_PIPES; nr++) {
        int ends[2];

        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0 ||
            write(ends[1], bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes)) {
            return false;
        }
    }
    return nr == nr_pipes;
}

static void hold(void)
{
    uint64_t mib;

    if (eventfd_read(order_fd, &mib) != 0) {
        _exit(1);
    }
    eventfd_write(outcome_fd, make_pipes(mib) ? MADE : NOT_MADE);
    for (;;) {
        pause();
    }
}

void kernel_prepare(void)
{
    if (drop_fd < 0) {
        open_caches();
        order_fd = eventfd(0, EFD_CLOEXEC);
        outcome_fd = eventfd(0, EFD_CLOEXEC);
    }
    if (open_flags() < 0 || drop_fd < 0 || nr_caches == 0 || order_fd < 0 ||
        outcome_fd < 0) {
        answer_errno("prepare");
        return;
    }
    if (holder < 0) {
        holder = fork();
    }
    if (holder < 0) {
        answer_errno("fork");
        return;
    }
    if (holder == 0) {
        hold();
    }
    answer("@ok %u", nr_caches);
}

/* With the process its table of files goes, which does not shrink, and its page
 * tables. */
void kernel_pipes(uint64_t mib)
{
    uint64_t outcome = NOT_MADE;

    if (holder < 0) {
        answer("@fail pipes: not prepared");
        return;
    }
    if (mib == 0) {
        kill(holder, SIGKILL);
        waitpid(holder, NULL, 0);
        holder = -1;
        answer("@ok");
        return;
    }
    if (eventfd_write(order_fd, mib) != 0 ||
        eventfd_read(outcome_fd, &outcome) != 0 || outcome != MADE) {
        answer("@fail pipes: not %llu MiB", (unsigned long long)mib);
        return;
    }
    answer("@ok");
}

void kernel_shrink(void)
{
    if (write(drop_fd, "3", 1) != 1) {
        answer_errno("drop_caches");
        return;
    }
    for (unsigned i = 0; i < nr_caches; i++) {
        if (write(shrink_fds[i], "1", 1) != 1) {
            answer_errno("shrink");
            return;
        }
    }
    answer("@ok");
}

#define FLAG(name) (UINT64_C(1) << KPF_##name)
/* Free, or could have been moved away. A page of the allocator's lists for one CPU
 * looks like one of the kernel's; the driver empties these lists. */
#define IS_NOT_KERNEL                                                          \
    (FLAG(BUDDY) | FLAG(LRU) | FLAG(MMAP) | FLAG(ANON) | FLAG(OFFLINE))
#define IS_NOT_THERE (FLAG(NOPAGE) | FLAG(OFFLINE))

/* Pages of the kernel's, by kind. */
struct kinds {
    uint64_t nr_slab;
    uint64_t nr_tables;
    uint64_t nr_other;
};

/* 0: not plugged, 1: plugged; what holds it is added. -1: not to be read. */
static int classify(uint64_t gpa, uint64_t block, struct kinds *kinds)
{
    static uint64_t flags[512];
    bool is_plugged = false;

    for (uint64_t at = gpa; at < gpa + block; at += sizeof(flags) / 8 * PAGE) {
        const ssize_t got =
            pread(flags_fd, flags, sizeof(flags), (off_t)(at / PAGE * 8));

        if (got < 0) {
            return -1;
        }
        /* The file ends with the guest's memory. */
        for (size_t i = 0; i < (size_t)got / sizeof(flags[0]); i++) {
            if ((flags[i] & IS_NOT_THERE) != 0) {
                continue;
            }
            is_plugged = true;
            if ((flags[i] & FLAG(SLAB)) != 0) {
                kinds->nr_slab++;
            } else if ((flags[i] & FLAG(PGTABLE)) != 0) {
                kinds->nr_tables++;
            } else if ((flags[i] & IS_NOT_KERNEL) == 0) {
                kinds->nr_other++;
            }
        }
    }
    return is_plugged ? 1 : 0;
}

void kernel_held(uint64_t gpa, uint64_t size, uint64_t block)
{
    struct kinds kinds = { 0 };
    uint64_t nr_held = 0;
    unsigned nr_plugged = 0;
    unsigned nr_unheld = 0;

    if (open_flags() < 0 || block == 0 || block % (2 * MIB) != 0) {
        answer("@fail held: no flags of pages, or no blocks");
        return;
    }
    for (uint64_t at = gpa; at < gpa + size; at += block) {
        const int is_plugged = classify(at, block, &kinds);
        const uint64_t nr = kinds.nr_slab + kinds.nr_tables + kinds.nr_other;

        if (is_plugged < 0) {
            answer_errno("kpageflags");
            return;
        }
        nr_plugged += is_plugged > 0;
        nr_unheld += is_plugged > 0 && nr == nr_held;
        nr_held = nr;
    }
    answer("@ok %u %u %llu %llu %llu", nr_plugged, nr_unheld,
           (unsigned long long)kinds.nr_slab,
           (unsigned long long)kinds.nr_tables,
           (unsigned long long)kinds.nr_other);
}
