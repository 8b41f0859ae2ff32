/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/seccomp.h>

/* Pairs of samples; odd. */
#define NR_PAIRS 15
#define NR_PAIRS_LONG 9
#define NR_PAIRS_QUICK 9
/* Threads wait for a CPU where there is other work. */
#define NR_PAIRS_WALL 31
#define MAX_PAIRS NR_PAIRS_WALL

/* A sample shall be so long: the clock costs and hides some hundred ns. */
#define SAMPLE_NS 4e6
#define SAMPLE_QUICK_NS 1e6
#define SAMPLE_SMOKE_NS 1e4
/* What is so long is measured less often. */
#define LONG_NS 2e8

static struct bench_options options;

void bench_die(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    exit(1);
}

const struct bench_options *bench_init(int argc, char **argv)
{
    gboolean quick = FALSE;
    gboolean smoke = FALSE;
    const GOptionEntry entries[] = {
        { "quick", 0, 0, G_OPTION_ARG_NONE, &quick, "fewer sizes and samples",
          NULL },
        { "smoke", 0, 0, G_OPTION_ARG_NONE, &smoke,
          "one sample each, to see that everything runs", NULL },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY,
          &options.arguments, "files", NULL },
        { NULL },
    };
    GOptionContext *context = g_option_context_new(NULL);
    GError *error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "%s\n", error->message);
        exit(2);
    }
    g_option_context_free(context);
    options.quick = quick || smoke;
    options.smoke = smoke;
    return &options;
}

/* Allocations are counted where they arrive, whoever makes them. */
static _Atomic uint64_t nr_allocations;
static _Atomic uint64_t allocated_bytes;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t number, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static void count_allocation(size_t size)
{
    atomic_fetch_add_explicit(&nr_allocations, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&allocated_bytes, size, memory_order_relaxed);
}

void *malloc(size_t size)
{
    count_allocation(size);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count_allocation(number * size);
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
    count_allocation(size);
    return __libc_realloc(memory, size);
}

uint64_t bench_nr_allocations(void)
{
    return atomic_load(&nr_allocations);
}

uint64_t bench_allocated_bytes(void)
{
    return atomic_load(&allocated_bytes);
}

int bench_makes_syscalls(uint64_t (*run)(void *opaque), void *opaque)
{
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child < 0) {
        return -1;
    }
    if (child == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) {
            _exit(2);
        }
        run(opaque);
        /* The only way to leave: exit_group() would be one call too many. */
        syscall(SYS_exit, 0);
    }
    bench_check(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
        return 1;
    }
    return WEXITSTATUS(status) == 0 ? 0 : -1;
}

static void *sleep_for_ever(void *opaque)
{
    (void)opaque;
    for (;;) {
        pause();
    }
    return NULL;
}

void bench_start_thread(void)
{
    pthread_t thread;

    bench_check(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
    bench_check(pthread_detach(thread) == 0);
}

uint64_t bench_random(uint64_t *seed)
{
    uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

const char *bench_size(uint64_t bytes)
{
    static const char units[] = " KMGTPE";
    static char texts[8][24];
    static unsigned next;
    char *text = texts[next++ % G_N_ELEMENTS(texts)];
    unsigned unit = 0;

    while (bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    g_snprintf(text, sizeof(texts[0]), "%" G_GUINT64_FORMAT "%.*s", bytes,
               unit > 0, &units[unit]);
    return text;
}

static double now_ns(enum bench_clock clock)
{
    struct timespec now;

    clock_gettime(
        clock == BENCH_CPU ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* One sample: nanoseconds of nr_runs runs. */
static double sample(const struct bench_side *side, enum bench_clock clock,
                     uint64_t nr_runs, uint64_t *result)
{
    double taken_ns = 0;

    for (uint64_t i = 0; i < (side->before != NULL ? nr_runs : 1); i++) {
        double start_ns;

        if (side->before != NULL) {
            side->before(side->opaque);
        }
        start_ns = now_ns(clock);
        for (uint64_t j = 0; j < (side->before != NULL ? 1 : nr_runs); j++) {
            *result = side->run(side->opaque);
        }
        taken_ns += now_ns(clock) - start_ns;
    }
    return taken_ns;
}

/* How many runs make a sample long enough? Also warms everything up. */
static uint64_t find_nr_runs(const struct bench_side *side,
                             enum bench_clock clock, double *run_ns)
{
    /* What must be prepared for each run may take much longer than the run. */
    const double wanted_ns = (options.smoke   ? SAMPLE_SMOKE_NS
                              : options.quick ? SAMPLE_QUICK_NS
                                              : SAMPLE_NS) /
                             (side->before != NULL ? 8 : 1);
    uint64_t nr_runs = 1;
    uint64_t result;

    for (;;) {
        double taken_ns = sample(side, clock, nr_runs, &result);

        *run_ns = taken_ns / (double)nr_runs;
        if (taken_ns >= wanted_ns / 4) {
            nr_runs = (uint64_t)ceil(wanted_ns / MAX(*run_ns, 1));
            return CLAMP(nr_runs, 1, 100000000);
        }
        nr_runs *= 4;
    }
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, int nr)
{
    double sorted[MAX_PAIRS];

    memcpy(sorted, values, (size_t)nr * sizeof(*values));
    qsort(sorted, (size_t)nr, sizeof(*sorted), compare);
    return sorted[nr / 2];
}

/* "a=1 b=full" as JSON: numbers as they are, the rest in quotes. */
static void print_pairs(const char *key, const char *text)
{
    char **pairs = g_strsplit(text, " ", -1);

    printf(", \"%s\": {", key);
    for (int i = 0; pairs[i] != NULL; i++) {
        char *value = strchr(pairs[i], '=');
        char *end;

        bench_check(value != NULL);
        *value++ = '\0';
        (void)g_ascii_strtod(value, &end);
        printf(*end == '\0' ? "%s\"%s\": %s" : "%s\"%s\": \"%s\"",
               i > 0 ? ", " : "", pairs[i], value);
    }
    printf("}");
    g_strfreev(pairs);
}

static void print_head(const struct bench_case *bench)
{
    printf("{\"name\": \"%s\"", bench->name);
    if (bench->params != NULL) {
        print_pairs("params", bench->params);
    } else {
        printf(", \"params\": {}");
    }
}

static void print_tail(const struct bench_case *bench, double ratio)
{
    if (bench->bar != BENCH_NO_BAR) {
        const bool met = bench->bar == BENCH_AT_MOST
                             ? ratio <= bench->bar_value
                             : ratio >= bench->bar_value;

        printf(", \"bar\": {\"%s\": %.6g}, \"met\": %s",
               bench->bar == BENCH_AT_MOST ? "at_most" : "at_least",
               bench->bar_value, met ? "true" : "false");
    }
    if (bench->row != NULL) {
        printf(", \"row\": \"%s\"", bench->row);
    }
    if (bench->chart != NULL) {
        printf(", \"curve\": {\"chart\": \"%s\", \"series\": \"%s\", "
               "\"x\": %.17g}",
               bench->chart, bench->series, bench->x);
    }
    if (bench->counts != NULL) {
        print_pairs("counts", bench->counts);
    }
    printf("}\n");
    fflush(stdout);
}

static void print_times(const struct bench_case *bench,
                        const struct bench_result *result, int nr_pairs)
{
    print_head(bench);
    printf(", \"unit\": \"%s\", \"samples\": %d, \"clock\": \"%s\", "
           "\"ns\": %.6g",
           bench->unit, nr_pairs, bench->clock == BENCH_CPU ? "cpu" : "wall",
           result->ns);
    if (bench->reference.run != NULL) {
        printf(", \"reference\": \"%s\", \"reference_ns\": %.6g, "
               "\"ratio\": %.6g, \"ratio_of\": \"%s\"",
               bench->reference.name, result->reference_ns, result->ratio,
               bench->speed ? "speed" : "time");
    }
    print_tail(bench, result->ratio);
}

struct bench_result bench_measure(const struct bench_case *bench)
{
    const struct bench_side *subject = &bench->subject;
    const struct bench_side *reference = &bench->reference;
    const bool compares = reference->run != NULL;
    const double nr_ops = (double)MAX(bench->nr_ops, 1);
    const double nr_reference_ops =
        bench->nr_reference_ops > 0 ? (double)bench->nr_reference_ops : nr_ops;
    double subject_ns[MAX_PAIRS];
    double reference_ns[MAX_PAIRS];
    double ratios[MAX_PAIRS];
    struct bench_result result = { 0 };
    uint64_t nr_reference_runs = 1;
    uint64_t subject_result = 0;
    uint64_t reference_result = 0;
    double reference_run_ns = 0;
    double run_ns;
    int nr_pairs;
    uint64_t nr_runs = find_nr_runs(subject, bench->clock, &run_ns);

    if (compares) {
        nr_reference_runs =
            find_nr_runs(reference, bench->clock, &reference_run_ns);
    }
    nr_pairs = options.smoke                         ? 1
               : options.quick                       ? NR_PAIRS_QUICK
               : bench->clock == BENCH_WALL          ? NR_PAIRS_WALL
               : run_ns + reference_run_ns > LONG_NS ? NR_PAIRS_LONG
                                                     : NR_PAIRS;
    for (int i = 0; i < nr_pairs; i++) {
        for (int turn = 0; turn < 2; turn++) {
            if ((turn ^ (i & 1)) == 0) {
                subject_ns[i] =
                    sample(subject, bench->clock, nr_runs, &subject_result) /
                    (double)nr_runs / nr_ops;
            } else if (compares) {
                reference_ns[i] = sample(reference, bench->clock,
                                         nr_reference_runs, &reference_result) /
                                  (double)nr_reference_runs / nr_reference_ops;
            }
        }
        if (compares) {
            ratios[i] = bench->speed ? reference_ns[i] / subject_ns[i]
                                     : subject_ns[i] / reference_ns[i];
        }
    }
    bench_check(!compares || !bench->same_result ||
                subject_result == reference_result);
    result.ns = median(subject_ns, nr_pairs);
    if (compares) {
        result.reference_ns = median(reference_ns, nr_pairs);
        result.ratio = median(ratios, nr_pairs);
    }
    print_times(bench, &result, nr_pairs);
    return result;
}

void bench_report(const struct bench_case *bench, double value,
                  double reference_value)
{
    const double ratio = value / reference_value;

    print_head(bench);
    printf(", \"unit\": \"%s\", \"value\": %.6g, \"reference\": \"%s\", "
           "\"reference_value\": %.6g, \"ratio\": %.6g",
           bench->unit, value, bench->reference.name, reference_value, ratio);
    print_tail(bench, ratio);
}

void bench_leave_out(const struct bench_case *bench, const char *why, ...)
{
    va_list args;
    char *text;

    va_start(args, why);
    text = g_strdup_vprintf(why, args);
    va_end(args);
    print_head(bench);
    printf(", \"left_out\": \"%s\"", text);
    if (bench->row != NULL) {
        printf(", \"row\": \"%s\"", bench->row);
    }
    printf("}\n");
    fflush(stdout);
    g_free(text);
}
