/* SPDX-License-Identifier: BSD-3-Clause */
/* Each public operation, with each of its fault points failing in each way; and
 * where a failure leads to code that nothing reached before, with that failing
 * too. After each failure the state is as before, or the error says how far the
 * operation got; a second attempt succeeds; nothing is lost. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "faults/point.h"
#include "faults/scene.h"

static size_t nr_operations;
static uint64_t nr_runs;
static uint64_t nr_faults;
static unsigned int nr_problems;

static void describe_plan(const struct operation *operation,
                          const struct point_plan *plan, char *text,
                          size_t size)
{
    int length = snprintf(text, size, "%s", operation->name);

    for (size_t i = 0; i < plan->nr_faults && (size_t)length < size; i++) {
        length +=
            snprintf(text + length, size - (size_t)length, ", point %zu: %d",
                     plan->faults[i].event, plan->faults[i].variant);
    }
}

static void problem(const struct operation *operation,
                    const struct point_plan *plan, const char *what,
                    const char *before, const char *after)
{
    char text[256];

    describe_plan(operation, plan, text, sizeof(text));
    printf("PROBLEM %s: %s\n", text, what);
    if (before != NULL) {
        printf("before:\n%s\nafter:\n%s\n", before, after);
    }
    fflush(stdout);
    if (++nr_problems >= 20) {
        exit(1);
    }
}

/* Opens a scene for an operation; false: it cannot be made here. */
static bool open_scene(struct scene *scene, const struct operation *operation)
{
    point_pretend_huge(operation->pretends_huge);
    scene_open(scene);
    scene->spec = operation->spec;
    return operation->prepare == NULL || operation->prepare(scene);
}

static void close_scene(struct scene *scene, const struct operation *operation)
{
    if (operation->clean != NULL) {
        operation->clean(scene);
    }
    scene_close(scene);
}

static int run_operation(struct scene *scene, const struct operation *operation,
                         const struct point_plan *plan)
{
    int ret;

    scene->err = (struct vmem_error)VMEM_ERROR_INIT;
    point_start(plan);
    ret = operation->run(scene);
    point_stop();
    return ret;
}

/* The lines of a state that begin with a word do not count any more. */
static void forget(char *state, const char *word)
{
    char *line;

    while ((line = strstr(state, word)) != NULL) {
        char *end = strchr(line, '\n');

        memmove(line, end != NULL ? end + 1 : line + strlen(line),
                end != NULL ? strlen(end) : 1);
    }
}

/* Who undoes a failure and fails at that has to leave something. */
static bool is_same(const char *one, const char *other,
                    const struct point_plan *plan)
{
    char *copies[] = { g_strdup(one), g_strdup(other) };
    bool same;

    for (unsigned int i = 0; i < 2; i++) {
        if (plan->nr_faults > 1 &&
            (point_has_failed("unlink") || point_has_failed("ftruncate") ||
             point_has_failed("fstat"))) {
            forget(copies[i], "~path");
        }
        if (plan->nr_faults > 1 && point_has_failed("lseek")) {
            forget(copies[i], "~position");
        }
    }
    same = strcmp(copies[0], copies[1]) == 0;
    g_free(copies[0]);
    g_free(copies[1]);
    return same;
}

static void check_failure(struct scene *scene,
                          const struct operation *operation,
                          const struct point_plan *plan, int ret,
                          const char *before)
{
    char *after = scene_describe(scene);

    if (point_nr_failed() == 0) {
        problem(operation, plan, "failed without a fault", NULL, NULL);
    }
    if (operation->has_error &&
        (scene->err.code != ret || scene->err.message[0] == '\0')) {
        char text[128];

        snprintf(text, sizeof(text),
                 "returned %d, but the error is %d \"%.64s\"", ret,
                 scene->err.code, scene->err.message);
        problem(operation, plan, text, NULL, NULL);
    }
    if (operation->check_failed != NULL) {
        operation->check_failed(scene, ret);
    } else if (!is_same(before, after, plan)) {
        problem(operation, plan, "failed, and changed the state", before,
                after);
    }
    g_free(after);
    scene_check_memory(scene);
}

/* One run; final is what an operation without faults leads to. */
static bool run_plan(const struct operation *operation,
                     const struct point_plan *plan, char **final)
{
    struct scene scene;
    char *before;
    char *after;
    int ret;

    if (!open_scene(&scene, operation)) {
        close_scene(&scene, operation);
        return false;
    }
    before = scene_describe(&scene);
    ret = run_operation(&scene, operation, plan);
    nr_runs++;
    nr_faults += point_nr_failed();
    if (ret != operation->expected) {
        check_failure(&scene, operation, plan, ret, before);
        /* Again, and now nothing fails; the points of the first attempt are what
         * is looked at. */
        scene.err = (struct vmem_error)VMEM_ERROR_INIT;
        ret = operation->run(&scene);
        if (ret != operation->expected) {
            char text[320];

            snprintf(text, sizeof(text), "the second attempt gives %d, %s", ret,
                     scene.err.message);
            problem(operation, plan, text, NULL, NULL);
        }
    }
    if (ret == operation->expected) {
        scene_check_memory(&scene);
        scene_settle(&scene);
        after = scene_describe_all(&scene);
        if (*final == NULL) {
            *final = after;
            after = NULL;
        } else if (!is_same(*final, after, plan)) {
            problem(operation, plan, "leads to another state in the end",
                    *final, after);
        }
        g_free(after);
        if (operation->undo != NULL) {
            operation->undo(&scene);
        }
    }
    close_scene(&scene, operation);
    if (scene.complaint[0] != '\0') {
        problem(operation, plan, scene.complaint, NULL, NULL);
    }
    if (point_balance()[0] != '\0') {
        problem(operation, plan, point_balance(), NULL, NULL);
    }
    g_free(before);
    return true;
}

/* Plans that wait, and where each has failed already. */
struct search {
    GArray *plans;     /* of struct point_plan */
    GHashTable *sites; /* keys of sites that some plan of the operation fails */
};

static void add_plans(struct search *search, const struct point_plan *plan,
                      size_t event, const int *variants)
{
    for (size_t i = 0; variants[i] != 0; i++) {
        struct point_plan longer = *plan;

        longer.faults[longer.nr_faults].event = event;
        longer.faults[longer.nr_faults].variant = variants[i];
        longer.nr_faults++;
        g_array_append_val(search->plans, longer);
    }
}

/* After a run: every point of the run without faults shall fail, and later ones
 * if they are somewhere new. */
static void plan_more(struct search *search, const struct point_plan *plan)
{
    const size_t start =
        plan->nr_faults == 0 ? 0 : plan->faults[plan->nr_faults - 1].event + 1;
    const struct point_event *events;
    size_t nr_events;

    if (plan->nr_faults == POINT_MAX_FAULTS) {
        return;
    }
    events = point_events(&nr_events);
    for (size_t i = start; i < nr_events; i++) {
        uint64_t key = events[i].site;

        if (events[i].variants[0] == 0) {
            continue;
        }
        if (!g_hash_table_contains(search->sites, &key)) {
            g_hash_table_add(search->sites, g_memdup2(&key, sizeof(key)));
        } else if (plan->nr_faults > 0) {
            continue;
        }
        add_plans(search, plan, i, events[i].variants);
    }
}

static void explore(const struct operation *operation)
{
    const struct point_plan nothing = { .nr_faults = 0 };
    const uint64_t runs_before = nr_runs;
    struct search search = {
        .plans = g_array_new(FALSE, FALSE, sizeof(struct point_plan)),
        .sites =
            g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
    };
    char *final = NULL;

    nr_operations++;
    g_array_append_val(search.plans, nothing);
    for (guint i = 0; i < search.plans->len; i++) {
        const struct point_plan plan =
            g_array_index(search.plans, struct point_plan, i);

        if (!run_plan(operation, &plan, &final)) {
            break;
        }
        if (i == 0 && point_nr_failed() > 0) {
            problem(operation, &plan, "something failed by itself", NULL, NULL);
        }
        plan_more(&search, &plan);
    }
    printf("%6" PRIu64 " runs, %3u sites: %s\n", nr_runs - runs_before,
           g_hash_table_size(search.sites), operation->name);
    fflush(stdout);
    g_free(final);
    g_array_free(search.plans, TRUE);
    g_hash_table_destroy(search.sites);
}

static void explore_all(const struct operation *operations, size_t nr,
                        const char *only)
{
    for (size_t i = 0; i < nr; i++) {
        if (strstr(operations[i].name, only) != NULL) {
            explore(&operations[i]);
        }
    }
}

int main(int argc, char **argv)
{
    const char *only = argc > 2 ? argv[2] : "";

    if (argc < 2) {
        fprintf(stderr, "usage: all_sites FILE [WORDS-OF-AN-OPERATION]\n");
        return 2;
    }
    point_install();
    explore_all(core_operations, nr_core_operations, only);
    explore_all(device_operations, nr_device_operations, only);
    explore_all(query_operations, nr_query_operations, only);
    explore_all(host_operations, nr_host_operations, only);
    explore_all(dma_operations, nr_dma_operations, only);
    point_remove();
    printf("FIGURE: faults: %zu operations, %" PRIu64 " runs, %" PRIu64
           " faults, %u problem(s)\n",
           nr_operations, nr_runs, nr_faults, nr_problems);
    if (point_write(argv[1]) < 0) {
        printf("%s cannot be written\n", argv[1]);
        return 1;
    }
    return nr_problems > 0;
}
