/* SPDX-License-Identifier: BSD-3-Clause */
#include "faults/point.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "faults/point_sys.h"

#define MAX_EVENTS 16384
#define MAX_FRAMES 24
#define MAX_SITES 4096

/* The linker's: code of this program, without shared libraries. */
extern const char __executable_start[];
extern const char etext[];

int main(int argc, char **argv);

static bool is_running;
static struct point_plan plan;
static struct point_event events[MAX_EVENTS];
static size_t nr_events;
static const char *failed[MAX_EVENTS];
static size_t nr_failed;
static uint64_t sticky_site;

/* Return addresses of all runs. */
struct site {
    uintptr_t address;
    const char *what; /* last seen */
    bool was_failed;  /* it, or something below it, failed */
    bool was_reached; /* it called what cannot fail */
    bool was_passed;  /* something below it called what cannot fail */
};

static struct site sites[MAX_SITES];
static size_t nr_sites;

static struct site *find_site(uintptr_t address, const char *what)
{
    for (size_t i = 0; i < nr_sites; i++) {
        if (sites[i].address == address) {
            sites[i].what = what;
            return &sites[i];
        }
    }
    if (nr_sites == MAX_SITES) {
        abort();
    }
    sites[nr_sites] = (struct site){ .address = address, .what = what };
    return &sites[nr_sites++];
}

/* A frame of the x86-64 and aarch64 conventions with frame pointers. */
struct frame {
    const struct frame *outer;
    uintptr_t return_address;
};

/* Who called the hook that called us, outwards. */
static size_t walk_stack(const struct frame *frame,
                         uintptr_t addresses[MAX_FRAMES])
{
    size_t nr = 0;

    while (nr < MAX_FRAMES && frame->outer > frame) {
        const uintptr_t address = frame->return_address;

        if (address < (uintptr_t)__executable_start ||
            address >= (uintptr_t)etext) {
            break;
        }
        addresses[nr++] = address;
        frame = frame->outer;
    }
    return nr;
}

static bool has_variant(const int *variants, int wanted)
{
    while (*variants != 0 && *variants != wanted) {
        variants++;
    }
    return *variants != 0;
}

/* The number of reads of a file under /proc changes from run to run: a fault that
 * was meant for another kind of point is left out. */
static int wanted_variant(size_t event, uint64_t site, const int *variants)
{
    if (sticky_site != 0 && site == sticky_site) {
        return -EINTR;
    }
    for (size_t i = 0; i < plan.nr_faults; i++) {
        if (plan.faults[i].event == event &&
            has_variant(variants, plan.faults[i].variant)) {
            return plan.faults[i].variant;
        }
    }
    return 0;
}

/* frame: of point() or point_reached(), whose caller is the hook. */
static int note(const struct frame *frame, const char *what,
                const int *variants)
{
    uintptr_t addresses[MAX_FRAMES];
    const size_t nr = walk_stack(frame, addresses);
    uint64_t site = 0;
    int variant;

    /* [0] is in the hook. */
    for (size_t i = 1; i < nr && i < 5; i++) {
        site = site * 31 + addresses[i];
    }
    if (nr_events == MAX_EVENTS) {
        abort();
    }
    variant = variants[0] != 0 ? wanted_variant(nr_events, site, variants) : 0;
    events[nr_events++] = (struct point_event){ .what = what,
                                                .variants = variants,
                                                .site = site };
    for (size_t i = 1; i < nr; i++) {
        struct site *found = find_site(addresses[i], what);

        found->was_failed |= variant != 0;
        if (variants[0] == 0) {
            found->was_passed = true;
            found->was_reached |= i == 1;
        }
    }
    if (variant != 0) {
        failed[nr_failed++] = what;
    }
    if (variant == POINT_STICKY_EINTR) {
        sticky_site = site;
        return -EINTR;
    }
    return variant;
}

int point(const char *what, const int *variants)
{
    return is_running ? note(__builtin_frame_address(0), what, variants) : 0;
}

void point_reached(const char *what)
{
    static const int nothing[] = { 0 };

    if (is_running) {
        note(__builtin_frame_address(0), what, nothing);
    }
}

void point_start(const struct point_plan *new_plan)
{
    memset(&plan, 0, sizeof(plan));
    if (new_plan != NULL) {
        plan = *new_plan;
    }
    nr_events = 0;
    nr_failed = 0;
    sticky_site = 0;
    is_running = true;
}

void point_stop(void)
{
    is_running = false;
}

const struct point_event *point_events(size_t *nr)
{
    *nr = nr_events;
    return events;
}

size_t point_nr_failed(void)
{
    return nr_failed;
}

bool point_has_failed(const char *what)
{
    for (size_t i = 0; i < nr_failed; i++) {
        if (strcmp(failed[i], what) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- allocations and locks ---- */

static uint64_t nr_allocations;

static bool alloc_hook(size_t size)
{
    static const int variants[] = { -ENOMEM, 0 };

    (void)size;
    if (point("alloc", variants) != 0) {
        return false;
    }
    nr_allocations++;
    return true;
}

/* The linker puts these in between (--wrap). */
void __real_vmemi_free(void *memory);
void __wrap_vmemi_free(void *memory);
int __real_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attributes);
int __real_pthread_cond_init(pthread_cond_t *cond,
                             const pthread_condattr_t *attributes);
int __wrap_pthread_cond_init(pthread_cond_t *cond,
                             const pthread_condattr_t *attributes);

void __wrap_vmemi_free(void *memory)
{
    point_reached("free");
    nr_allocations -= memory != NULL;
    __real_vmemi_free(memory);
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attributes)
{
    static const int variants[] = { -EAGAIN, 0 };
    const int variant = point("mutex_init", variants);

    return variant != 0 ? -variant
                        : __real_pthread_mutex_init(mutex, attributes);
}

int __wrap_pthread_cond_init(pthread_cond_t *cond,
                             const pthread_condattr_t *attributes)
{
    static const int variants[] = { -EAGAIN, 0 };
    const int variant = point("cond_init", variants);

    return variant != 0 ? -variant : __real_pthread_cond_init(cond, attributes);
}

void point_install(void)
{
    vmemi_alloc_set_hook(alloc_hook);
    point_sys_install();
}

void point_remove(void)
{
    point_sys_remove();
    vmemi_alloc_set_hook(NULL);
}

const char *point_balance(void)
{
    static char text[256];
    const size_t nr_fds = point_sys_nr_fds();
    const uint64_t nr_mapped = point_sys_mapped(point_has_failed("munmap"));
    const size_t nr_bad_closes = point_sys_nr_bad_closes();
    const int nr_threads = point_sys_nr_threads();

    text[0] = '\0';
    if (nr_allocations != 0 || nr_fds != 0 || nr_mapped != 0 ||
        nr_bad_closes != 0 || nr_threads != 0) {
        snprintf(text, sizeof(text),
                 "%" PRIu64 " allocations, %zu descriptors and %" PRIu64
                 " mapped bytes are left, %zu descriptors closed twice, %d "
                 "threads not joined",
                 nr_allocations, nr_fds, nr_mapped, nr_bad_closes, nr_threads);
    }
    return text;
}

int point_write(const char *path)
{
    FILE *file = fopen(path, "we");

    if (file == NULL) {
        return -1;
    }
    /* Where the program was loaded is found by one address that both know. */
    fprintf(file, "main %" PRIxPTR "\n", (uintptr_t)main);
    for (size_t i = 0; i < nr_sites; i++) {
        fprintf(file, "site %" PRIxPTR "%s%s%s %s\n", sites[i].address,
                sites[i].was_failed ? " failed" : "",
                sites[i].was_reached ? " reached" : "",
                sites[i].was_passed ? " passed" : "", sites[i].what);
    }
    return fclose(file) == 0 ? 0 : -1;
}
