/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs the library and prints what can be seen of it from outside: calls and
 * their ends, callbacks and what they answered. accept.py asks the model
 * whether it could have done the same.
 *
 *   record list                     names of the scripts
 *   record script NAME              one of them
 *   record random SEED NR_CALLS     random calls, failures and vetoes
 *   record threads SEED NR_CALLS    the same from three threads at a time
 *
 * Each line is: event who from size value, counted in blocks; who is a thread
 * for calls and their ends, a listener for its callbacks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/record_calls.h"
#include "model/record_scripts.h"
#include "model/recording.h"

static void any_range(unsigned int *from, unsigned int *size)
{
    *from = chance(NR_BLOCKS);
    *size = 1 + chance(NR_BLOCKS - *from);
}

static void any_guest_call(void)
{
    const unsigned int which = chance(16);
    unsigned int from;
    unsigned int size;

    any_range(&from, &size);
    if (which < 8) {
        plug(from, size);
    } else if (which < 15) {
        unplug(from, size);
    } else {
        unplug_all();
    }
}

static void any_listener_call(void)
{
    const unsigned int nr = chance(NR_LISTENERS);
    unsigned int from;
    unsigned int size;

    any_range(&from, &size);
    if (listeners[nr].handle == NULL) {
        add(nr, from, size, chance(3));
    } else {
        take_out(nr);
    }
}

static void any_host_call(void)
{
    const unsigned int which = chance(16);
    unsigned int from;
    unsigned int size;

    any_range(&from, &size);
    if (which < 7) {
        any_listener_call();
    } else if (which < 9) {
        freeze();
    } else if (which < 12) {
        thaw();
    } else if (which < 13) {
        reset();
    } else if (which < 15) {
        retry();
    } else {
        hold(from, size);
    }
}

static void any_query(void)
{
    const unsigned int which = chance(3);
    unsigned int from;
    unsigned int size;

    any_range(&from, &size);
    if (which == 0) {
        state(from, size);
    } else if (which == 1) {
        populated(from, size);
    } else {
        info();
    }
}

static void run_random(unsigned int nr_calls)
{
    for (unsigned int i = 0; i < nr_calls; i++) {
        const unsigned int which = chance(8);

        if (which < 4) {
            any_guest_call();
        } else if (which < 7) {
            any_host_call();
        } else {
            any_query();
        }
    }
}

/* The objects, before recording starts and after it has ended. */

static void start(bool populates)
{
    const struct vmem_backing_ops ops = {
        .struct_size = sizeof(ops),
        .discard = mem_discard,
        .populate = mem_populate,
        .zero = mem_zero,
    };

    make_objects(&ops, populates ? VMEM_BACKING_POPULATE : 0);
    printf("blocks %d\npopulates %d\n", NR_BLOCKS, populates);
    recording.is_on = true;
}

static void stop(void)
{
    recording.is_on = false;
    memset(&plan, 0, sizeof(plan));
    for (unsigned int i = 0; i < NR_LISTENERS; i++) {
        vmem_listener_remove(listeners[i].handle, NULL);
    }
    vmem_region_thaw(recording.region, "snapshot", NULL);
    free_objects();
}

static bool run_script(const char *name)
{
    for (size_t i = 0; i < nr_scripts; i++) {
        if (strcmp(scripts[i].name, name) == 0) {
            start(scripts[i].populates);
            scripts[i].run();
            stop();
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (size_t i = 0; i < nr_scripts; i++) {
            puts(scripts[i].name);
        }
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "script") == 0 && run_script(argv[2])) {
        return 0;
    }
    if (argc == 4 &&
        (strcmp(argv[1], "random") == 0 || strcmp(argv[1], "threads") == 0)) {
        const uint64_t seed = strtoull(argv[2], NULL, 10);
        const unsigned int nr_calls = (unsigned int)strtoul(argv[3], NULL, 10);

        recording.is_threaded = strcmp(argv[1], "threads") == 0;
        seed_chance(seed);
        start(seed % 2 == 1);
        plan.by_chance = true;
        if (recording.is_threaded) {
            void (*const calls[])(void) = { any_guest_call, any_host_call,
                                            any_query };

            run_threads(calls, sizeof(calls) / sizeof(calls[0]), nr_calls);
        } else {
            run_random(nr_calls);
        }
        stop();
        return 0;
    }
    fprintf(stderr, "usage: record list | script NAME | "
                    "random SEED NR_CALLS | threads SEED NR_CALLS\n");
    return 2;
}
