/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include <vmem/vmem.h>

/* How a benchmark measures. What the library does and what it is compared with
 * run in one process, in turns, so that whatever else the machine is doing hits
 * both. Each comparison takes an odd number of pairs of samples, half of them
 * with the reference first; the ratio is the median of the ratios of the pairs.
 *
 * A line of JSON is printed for each comparison:
 *
 *   name       what is measured
 *   params     of which size and pattern
 *   unit       what one operation is
 *   ns         nanoseconds of the library for one operation, median
 *   reference  name of what it is compared with
 *   reference_ns, ratio
 *   bar        {"at_most": x} or {"at_least": x}, of the ratio
 *   met        whether it is
 *   row        the row of the table of bars that it belongs to
 *   curve      {"chart", "series", "x"}, if it is a point of one
 *   counts     calls, allocations and the like for one operation
 */

#define BENCH_KIB ((uint64_t)1 << 10)
#define BENCH_MIB ((uint64_t)1 << 20)
#define BENCH_GIB ((uint64_t)1 << 30)
#define BENCH_TIB ((uint64_t)1 << 40)

enum bench_clock {
    BENCH_CPU, /* of this thread: what does not sleep */
    BENCH_WALL /* what other threads do part of */
};

enum bench_bar { BENCH_NO_BAR, BENCH_AT_MOST, BENCH_AT_LEAST };

/* One of the two things that are compared. */
struct bench_side {
    const char *name;
    /* Does all operations of one run and returns a number that depends on what
     * it did, so that no compiler leaves it out. */
    uint64_t (*run)(void *opaque);
    /* Not measured, before each run; NULL: nothing to prepare, and as many runs
     * make a sample as it takes to be longer than the clock is coarse. */
    void (*before)(void *opaque);
    void *opaque;
};

struct bench_case {
    const char *name;
    const char *params; /* "region=1T block=2M" */
    const char *unit;
    uint64_t nr_ops; /* in one run of either side; 0: 1 */
    /* Of the reference, if it does another number; 0: the same. */
    uint64_t nr_reference_ops;
    struct bench_side subject;
    struct bench_side reference; /* run NULL: none */
    bool same_result;            /* both return the same number, or else! */
    enum bench_clock clock;
    enum bench_bar bar;
    double bar_value;
    bool speed; /* the ratio is one of speeds: reference over subject */
    const char *row;
    const char *counts; /* "callbacks=1 syscalls=0" */
    const char *chart;  /* NULL: no point of a curve */
    const char *series;
    double x;
};

/* What a comparison found, for who wants to print more. */
struct bench_result {
    double ns;
    double reference_ns;
    double ratio;
};

/* Of the whole program. */
struct bench_options {
    bool quick;
    bool smoke;       /* quick, and only to see that everything runs */
    char **arguments; /* what is left of the command line */
};

/* Reads the command line; ends the program if it is wrong. */
const struct bench_options *bench_init(int argc, char **argv);

/* Measures and prints one line. */
struct bench_result bench_measure(const struct bench_case *bench);

/* Prints a line for what is no time: a ratio that was counted. */
void bench_report(const struct bench_case *bench, double value,
                  double reference_value);

/* Prints a line for what cannot be measured here, and why. */
void bench_leave_out(const struct bench_case *bench, const char *why, ...)
    G_GNUC_PRINTF(2, 3);

/* Ends the program if something that must work does not. */
#define bench_check(condition)                                                 \
    do {                                                                       \
        if (!(condition)) {                                                    \
            bench_die(__FILE__, __LINE__, #condition);                         \
        }                                                                      \
    } while (0)
void bench_die(const char *file, int line, const char *what) G_GNUC_NORETURN;

/* From here on the process has two threads, as every machine monitor has; the C
 * library's mutexes are cheaper before. */
void bench_start_thread(void);

/* Allocations of the process so far, and the bytes that they asked for. */
uint64_t bench_nr_allocations(void);
uint64_t bench_allocated_bytes(void);

/* Does this make a system call? It is run in a child process that is killed by
 * the first one. -1: cannot be found out here. */
int bench_makes_syscalls(uint64_t (*run)(void *opaque), void *opaque);

/* "2M", "64T"; one of a few buffers. */
const char *bench_size(uint64_t bytes);

/* A small random generator (splitmix64): the same numbers everywhere. */
uint64_t bench_random(uint64_t *seed);

#endif /* TESTS_BENCH_BENCH_H */
