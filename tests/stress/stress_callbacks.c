/* SPDX-License-Identifier: BSD-3-Clause */
/* Every callback of every kind on several threads at once, each trying calls: what
 * docs/guide/threads.md allows works, all else is refused with -EDEADLK, and
 * nobody waits for anybody for ever. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "stress/stage.h"
#include "stress/threads.h"

struct world {
    struct stage stage;
    _Atomic uint64_t nr_tried[STAGE_CALLBACKS][STAGE_GROUPS];
    _Atomic uint64_t nr_refused;
};

/* The thread that is inside a callback, and whether it is trying something. */
static _Thread_local struct stress_thread *this_thread;
static _Thread_local bool is_trying;

/* Does the call work in this callback, or is it refused? Where no lock is held
 * changes work too, but would get in each other's way: they are not tried. */
static bool is_allowed(enum stage_lock lock, enum stage_group group)
{
    switch (group) {
    case STAGE_NAMES:
    case STAGE_ASK:
    case STAGE_WALK_OWN:
    case STAGE_WALK_OTHER:
    case STAGE_LISTS:
    case STAGE_LOOSE:
        return true;
    case STAGE_MAPPED:
        return lock == STAGE_NO_LOCK || lock == STAGE_REGION_LOCK;
    case STAGE_HOLD_OWN:
        return lock != STAGE_LIST_LOCK && lock != STAGE_DMA_LOCK;
    case STAGE_HOLD_OTHER:
        return lock == STAGE_NO_LOCK;
    default:
        return false;
    }
}

static void try_calls(struct stage *stage, enum stage_callback callback)
{
    const enum stage_lock lock = stage_lock_of(callback);
    struct world *world = stage->user;

    if (is_trying) {
        return;
    }
    is_trying = true;
    for (unsigned int i = 0; i < 4; i++) {
        const struct stage_call *call =
            &stage_calls[stress_below(this_thread, stage_nr_calls)];
        const bool allowed = is_allowed(lock, call->group);
        int ret;

        if (call->group == STAGE_OTHER_VM ||
            (!allowed && lock == STAGE_NO_LOCK)) {
            continue;
        }
        ret = call->call(stage);
        if (ret != (allowed ? call->allowed : -EDEADLK)) {
            stress_wrong("%s: %s (call %d) returned %d",
                         stage_callback_name(callback), call->functions,
                         (int)(call - stage_calls), ret);
        }
        atomic_fetch_add(&world->nr_tried[callback][call->group], 1);
        atomic_fetch_add(&world->nr_refused, !allowed);
    }
    is_trying = false;
}

static void enter(struct stress_thread *thread)
{
    struct world *world = thread->world;

    this_thread = thread;
    stage_enter(&world->stage,
                (enum stage_callback)stress_below(thread, STAGE_CALLBACKS));
}

static void check_all_tried(struct world *world)
{
    uint64_t nr_tried = 0;

    for (int callback = 0; callback < STAGE_CALLBACKS; callback++) {
        for (int group = 0; group < STAGE_GROUPS; group++) {
            const enum stage_lock lock =
                stage_lock_of((enum stage_callback)callback);

            nr_tried += world->nr_tried[callback][group];
            if (group == STAGE_OTHER_VM ||
                (lock == STAGE_NO_LOCK &&
                 !is_allowed(lock, (enum stage_group)group))) {
                continue;
            }
            if (world->nr_tried[callback][group] == 0) {
                stress_wrong("%s: nothing of \"%s\" was tried",
                             stage_callback_name((enum stage_callback)callback),
                             stage_group_name((enum stage_group)group));
            }
        }
    }
    printf("  %llu calls in callbacks, %llu refused\n",
           (unsigned long long)nr_tried, (unsigned long long)world->nr_refused);
}

int main(int argc, char **argv)
{
    struct stress_thread threads[] = {
        { .name = "a", .round = enter }, { .name = "b", .round = enter },
        { .name = "c", .round = enter }, { .name = "d", .round = enter },
        { .name = "e", .round = enter }, { .name = "f", .round = enter },
    };
    static struct world world;

    stress_arguments(argc, argv);
    if (!stage_open(&world.stage)) {
        printf("WRONG: the stage could not be made\n");
        return 1;
    }
    world.stage.user = &world;
    world.stage.inside = try_calls;
    if (stress_run("callbacks", threads, sizeof(threads) / sizeof(threads[0]),
                   &world)) {
        check_all_tried(&world);
        STRESS_CHECK(stage_close(&world.stage));
    }
    return stress_result();
}
