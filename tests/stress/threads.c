/* SPDX-License-Identifier: BSD-3-Clause */
#include "stress/threads.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <inttypes.h>

static double seconds = 4;
static uint64_t seed;

static atomic_bool stop;
static atomic_bool is_wrong;
static pthread_mutex_t message_lock = PTHREAD_MUTEX_INITIALIZER;
static char message[512];
static int status;

uint64_t stress_random(struct stress_thread *thread)
{
    uint64_t x = thread->random += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t stress_below(struct stress_thread *thread, uint64_t limit)
{
    return stress_random(thread) % limit;
}

bool stress_chance(struct stress_thread *thread, uint64_t one_in)
{
    return stress_below(thread, one_in) == 0;
}

void stress_wrong(const char *format, ...)
{
    va_list args;

    pthread_mutex_lock(&message_lock);
    if (!atomic_exchange(&is_wrong, true)) {
        va_start(args, format);
        vsnprintf(message, sizeof(message), format, args);
        va_end(args);
    }
    pthread_mutex_unlock(&message_lock);
    atomic_store(&stop, true);
}

static void *thread_main(void *opaque)
{
    struct stress_thread *thread = opaque;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        thread->round(thread);
        thread->nr_rounds++;
    }
    return NULL;
}

static void wait_for_end(void)
{
    const struct timespec nap = { .tv_nsec = 10000000 };
    struct timespec start;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        nanosleep(&nap, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (!atomic_load(&stop) &&
             (double)(now.tv_sec - start.tv_sec) +
                     1e-9 * (double)(now.tv_nsec - start.tv_nsec) <
                 seconds);
    atomic_store(&stop, true);
}

bool stress_run(const char *what, struct stress_thread *threads,
                size_t nr_threads, void *world)
{
    pthread_t ids[STRESS_MAX_THREADS];
    size_t nr_started = 0;
    uint64_t nr_rounds = 0;

    atomic_store(&stop, false);
    printf("%s, seed %" PRIu64 ":", what, seed);
    for (size_t i = 0; i < nr_threads && i < STRESS_MAX_THREADS; i++) {
        threads[i].world = world;
        threads[i].number = (unsigned int)i;
        threads[i].random = seed * 1000 + i;
        threads[i].nr_rounds = 0;
        if (pthread_create(&ids[i], NULL, thread_main, &threads[i]) != 0) {
            stress_wrong("no thread");
            break;
        }
        nr_started++;
    }
    wait_for_end();
    for (size_t i = 0; i < nr_started; i++) {
        pthread_join(ids[i], NULL);
        printf(" %s %" PRIu64, threads[i].name, threads[i].nr_rounds);
        nr_rounds += threads[i].nr_rounds;
        if (threads[i].nr_rounds == 0 && !atomic_load(&is_wrong)) {
            stress_wrong("thread %s did not finish a round", threads[i].name);
        }
    }
    printf("\nFIGURE: threads: %s: %" PRIu64 " rounds by %zu threads in %g s\n",
           what, nr_rounds, nr_started, seconds);
    if (atomic_load(&is_wrong)) {
        printf("WRONG: %s\n", message);
        status = 1;
    }
    fflush(stdout);
    return !atomic_load(&is_wrong);
}

void stress_arguments(int argc, char **argv)
{
    seed = (uint64_t)time(NULL);
    if (argc > 1) {
        seconds = strtod(argv[1], NULL);
    }
    if (argc > 2) {
        seed = strtoull(argv[2], NULL, 10);
    }
}

int stress_result(void)
{
    if (atomic_load(&is_wrong) && status == 0) {
        printf("WRONG: %s\n", message);
        status = 1;
    }
    return status;
}
