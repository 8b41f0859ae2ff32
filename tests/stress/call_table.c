/* SPDX-License-Identifier: BSD-3-Clause */
/* Which call may be made from where: tries each call in each callback, and
 * prints what came of it as the tables of docs/guide/threads.md. Exits with 1 if
 * two calls of a group differ, or if one returns what it should in no case. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stress/stage.h"
#include "stress/stage_dma.h"

enum cell {
    CELL_UNTRIED,
    CELL_YES,
    CELL_NO,      /* -EDEADLK */
    CELL_AT_ONCE, /* works without waiting: a walk that shows the present state
                     of each run */
    CELL_BROKEN
};

static const char *const cell_names[] = {
    "?", "yes", "-", "as is", "broken",
};

static int nr_problems;

/* ---- does a walk of a region wait for who holds it? ---- */

/* A thread that holds the region until the walk is done or is seen to wait. */
struct holder {
    struct vmem_region *region;
    pid_t walker;
    atomic_bool holds;
    atomic_bool walked;
    bool waited;
};

static bool is_asleep(pid_t thread)
{
    char path[64];
    char text[256] = "";
    const char *state;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)thread);
    file = fopen(path, "re");
    if (file == NULL || fgets(text, sizeof(text), file) == NULL) {
        text[0] = '\0';
    }
    if (file != NULL) {
        fclose(file);
    }
    state = strrchr(text, ')');
    return state != NULL && state[1] == ' ' && state[2] == 'S';
}

static void nap(void)
{
    const struct timespec time = { .tv_nsec = 2000000 };

    nanosleep(&time, NULL);
}

static int hold(const struct vmem_range *range, void *opaque)
{
    struct holder *holder = opaque;
    int nr_asleep = 0;

    (void)range;
    atomic_store(&holder->holds, true);
    while (!atomic_load(&holder->walked) && nr_asleep < 5) {
        nap();
        nr_asleep = is_asleep(holder->walker) ? nr_asleep + 1 : 0;
    }
    holder->waited = nr_asleep == 5;
    return 0;
}

static void *holder_main(void *opaque)
{
    const struct vmem_range range = { 8 * STAGE_UNIT, STAGE_UNIT };
    struct holder *holder = opaque;

    vmem_region_with_populated(holder->region, &range, hold, holder, NULL);
    return NULL;
}

static bool walk_waits(struct stage *stage, struct vmem_region *region,
                       const struct stage_call *call, int *ret)
{
    struct holder holder = { .region = region, .walker = gettid() };
    pthread_t thread;

    if (pthread_create(&thread, NULL, holder_main, &holder) != 0) {
        *ret = -EAGAIN;
        return false;
    }
    while (!atomic_load(&holder.holds)) {
        sched_yield();
    }
    *ret = call->call(stage);
    atomic_store(&holder.walked, true);
    pthread_join(thread, NULL);
    return holder.waited;
}

/* ---- one cell ---- */

struct attempt {
    enum stage_callback callback;
    const struct stage_call *call;
    enum cell cell;
    int ret;
};

static void try_it(struct stage *stage, enum stage_callback callback)
{
    struct attempt *attempt = stage->user;
    const struct stage_call *call = attempt->call;
    bool waited = true;

    if (callback != attempt->callback || attempt->cell != CELL_UNTRIED) {
        return;
    }
    attempt->cell = CELL_BROKEN; /* and not again in callbacks of the call */
    if (call->call == NULL) {
        return;
    }
    if (call->group == STAGE_WALK_OTHER) {
        waited = walk_waits(stage, stage->other, call, &attempt->ret);
    } else if (call->group == STAGE_WALK_OWN &&
               stage_lock_of(callback) != STAGE_REGION_LOCK) {
        waited = walk_waits(stage, stage->region, call, &attempt->ret);
    } else {
        attempt->ret = call->call(stage);
    }
    if (attempt->ret == -EDEADLK) {
        attempt->cell = CELL_NO;
    } else if (attempt->ret == call->allowed) {
        attempt->cell = waited ? CELL_YES : CELL_AT_ONCE;
    }
}

/* Thawing needs a frozen region, and unplugging a plugged block: the calls of a
 * group run in their order, each in a callback of its own. */
static enum cell try_group(enum stage_callback callback, enum stage_group group)
{
    struct attempt attempt = { .callback = callback };
    enum cell cell = CELL_UNTRIED;
    struct stage stage;

    if (!stage_open(&stage) ||
        (group == STAGE_DMA && callback != STAGE_WATCHER &&
         !stage_attach(&stage))) {
        printf("the stage could not be made\n");
        nr_problems++;
        return CELL_BROKEN;
    }
    stage.inside = try_it;
    stage.user = &attempt;
    for (size_t i = 0; i < stage_nr_calls; i++) {
        if (stage_calls[i].group != group) {
            continue;
        }
        attempt.call = &stage_calls[i];
        attempt.cell = CELL_UNTRIED;
        /* Where a call is refused the next one may lack what it made. */
        stage_enter(&stage, callback);
        if (attempt.cell == CELL_UNTRIED || attempt.cell == CELL_BROKEN ||
            (cell != CELL_UNTRIED && attempt.cell != cell)) {
            printf("%s: %s (call %zu): %s, returned %d, group so far: %s\n",
                   stage_callback_name(callback), stage_calls[i].functions, i,
                   cell_names[attempt.cell], attempt.ret, cell_names[cell]);
            nr_problems++;
        }
        cell = attempt.cell;
        attempt.call = &(struct stage_call){ .call = NULL };
    }
    attempt.cell = CELL_BROKEN;
    if (!stage_close(&stage)) {
        printf("%s, %s: not everything could be freed afterwards\n",
               stage_callback_name(callback), stage_group_name(group));
        nr_problems++;
    }
    return cell;
}

/* ---- the tables ---- */

/* Is the name one of the words of the text? */
static bool has_word(const char *text, const char *name)
{
    const size_t length = strlen(name);

    for (const char *at = strstr(text, name); at != NULL;
         at = strstr(at + 1, name)) {
        if (at[length] == '\0' || at[length] == ' ') {
            return true;
        }
    }
    return false;
}

static bool was_printed(enum stage_group group, size_t end, const char *name)
{
    for (size_t i = 0; i < end; i++) {
        if (stage_calls[i].group == group &&
            has_word(stage_calls[i].functions, name)) {
            return true;
        }
    }
    return false;
}

static void print_functions(enum stage_group group)
{
    const char *separator = "";

    for (size_t i = 0; i < stage_nr_calls; i++) {
        char names[512];
        char *save = NULL;

        if (stage_calls[i].group != group) {
            continue;
        }
        snprintf(names, sizeof(names), "%s", stage_calls[i].functions);
        for (char *name = strtok_r(names, " ", &save); name != NULL;
             name = strtok_r(NULL, " ", &save)) {
            if (!was_printed(group, i, name)) {
                printf("%s`%s`", separator, name);
                separator = ", ";
            }
        }
    }
}

static void print_groups(void)
{
    printf("| group | what | calls |\n|---|---|---|\n");
    for (int group = 0; group < STAGE_GROUPS; group++) {
        printf("| %s | %s | ", stage_group_name((enum stage_group)group),
               stage_group_what((enum stage_group)group));
        print_functions((enum stage_group)group);
        printf(" |\n");
    }
}

static void print_row(const char *name, const char *const cells[STAGE_GROUPS])
{
    printf("| %s |", name);
    for (int group = 0; group < STAGE_GROUPS; group++) {
        printf(" %s |", cells[group]);
    }
    printf("\n");
}

int main(void)
{
    const char *cells[STAGE_GROUPS];

    for (int group = 0; group < STAGE_GROUPS; group++) {
        cells[group] = stage_group_name((enum stage_group)group);
    }
    print_row("in", cells);
    printf("|---|");
    for (int group = 0; group < STAGE_GROUPS; group++) {
        printf(":-:|");
    }
    printf("\n");
    for (int callback = 0; callback < STAGE_CALLBACKS; callback++) {
        for (int group = 0; group < STAGE_GROUPS; group++) {
            cells[group] = cell_names[try_group((enum stage_callback)callback,
                                                (enum stage_group)group)];
        }
        print_row(stage_callback_name((enum stage_callback)callback), cells);
    }
    printf("\n");
    print_groups();
    return nr_problems > 0;
}
