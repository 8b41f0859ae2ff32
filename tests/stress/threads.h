/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_STRESS_THREADS_H
#define TESTS_STRESS_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Threads that do random things for a while. A thread never asserts: it notes
 * what is wrong, all stop, and the program fails. Under the thread sanitizer a
 * race makes it fail as well. */

#define STRESS_MAX_THREADS 16

struct stress_thread {
    const char *name;
    /* One round; called again and again until the time is over. */
    void (*round)(struct stress_thread *thread);
    void *world; /* what all threads share */
    unsigned int number;
    uint64_t random;
    uint64_t nr_rounds;
};

/* Numbers of a thread's own, the same for the same seed. */
uint64_t stress_random(struct stress_thread *thread);
uint64_t stress_below(struct stress_thread *thread, uint64_t limit);
bool stress_chance(struct stress_thread *thread, uint64_t one_in);

/* Notes the first thing that is wrong, and ends the run. */
void stress_wrong(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

#define STRESS_CHECK(condition)                                                \
    do {                                                                       \
        if (!(condition)) {                                                    \
            stress_wrong("%s:%d: %s", __FILE__, __LINE__, #condition);         \
        }                                                                      \
    } while (0)

/* Runs the threads, prints their rounds; false if anything was wrong. */
bool stress_run(const char *what, struct stress_thread *threads,
                size_t nr_threads, void *world);

/* Of the command line: [SECONDS [SEED]]. */
void stress_arguments(int argc, char **argv);

/* Exit status: 0 if every run was right. */
int stress_result(void);

#endif /* TESTS_STRESS_THREADS_H */
