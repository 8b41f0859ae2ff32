/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULTS_POINT_H
#define TESTS_FAULTS_POINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counted fault points: every allocation, lock, system call and callback of the
 * library comes through point(), which counts it, remembers from where in the
 * library it came, and tells it to fail if the plan says so.
 *
 * The library under test is compiled without optimisation and with frame
 * pointers: the return addresses on the stack are the call sites. */

/* How a point may fail: a negative errno, or one of these. Lists end with 0. */
enum point_variant {
    POINT_STICKY_EINTR = 1, /* -EINTR, now and from then on at this site */
    POINT_SHORT = 2,        /* reads less than was asked for */
    POINT_END = 3,          /* reads nothing */
    POINT_POSITIVE = 7      /* a callback returns this */
};

/* The point number event, counted from 0, fails in this way. */
struct point_fault {
    size_t event;
    int variant;
};

#define POINT_MAX_FAULTS 4

struct point_plan {
    size_t nr_faults;
    struct point_fault faults[POINT_MAX_FAULTS];
};

struct point_event {
    const char *what;
    const int *variants; /* empty: cannot fail, only be reached */
    uint64_t site;       /* the innermost callers in the library */
};

/* From here on points count and fail; NULL: they only count. */
void point_start(const struct point_plan *plan);
void point_stop(void);

/* Of the last run. */
const struct point_event *point_events(size_t *nr_events);
size_t point_nr_failed(void);
bool point_has_failed(const char *what);

/* Asked by each hook, directly: 0 to go on, or the variant. Sticky ones return
 * -EINTR. */
int point(const char *what, const int *variants);

/* The same for what cannot fail. */
void point_reached(const char *what);

/* Hooks for allocations and locks and, as a struct vmemi_sys, for system calls,
 * which otherwise really happen. Huge pages can be pretended: then memory of
 * ordinary pages is said to be huge. */
void point_install(void);
void point_remove(void);
void point_pretend_huge(bool pretend);

/* Discards of real memory fail, without being fault points. */
void point_refuse_discards(bool refuse);

/* What the library holds: allocations, descriptors and mappings, as text; empty
 * if nothing. What an injected failure of munmap left mapped is unmapped now. */
const char *point_balance(void);

/* Writes down which sites were failed and reached so far. 0 or -1. */
int point_write(const char *path);

#endif /* TESTS_FAULTS_POINT_H */
