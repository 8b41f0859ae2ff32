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
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/recording.h"

#define NR_LISTENERS 2

/* Answers as the model names them. */
enum { ANSWER_OK = 0, ANSWER_BUSY = 2, ANSWER_FAILED = 4 };

/* How a listener is told. */
enum { RUNS = 0, CHUNKS = 1, EXACT = 2 };

struct listener {
    unsigned int nr;
    struct vmem_listener *handle; /* NULL: not there */
};

/* What a callback does: planned by a script, else by chance. */
struct plan {
    unsigned int veto[NR_LISTENERS]; /* the n-th call from now on objects */
    unsigned int keep[NR_LISTENERS]; /* the same of questions */
    unsigned int fail_populate;      /* so many calls fail */
    unsigned int fail_discard;
    unsigned int fail_zero;
    bool look_inside; /* every callback queries and tries a change */
    bool by_chance;
};

/* One program, one recording. */
static struct listener listeners[NR_LISTENERS] = { { .nr = 0 }, { .nr = 1 } };
static struct plan plan;

static bool one_in(unsigned int n)
{
    return plan.by_chance && chance(n) == 0;
}

static struct vmem_range range_of(uint64_t from, uint64_t size)
{
    const struct vmem_range range = {
        .offset = from * BLOCK_SIZE,
        .size = size * BLOCK_SIZE,
    };

    return range;
}

/* In blocks; what is no number of blocks becomes 99, which no model accepts. */
static uint64_t in_blocks(uint64_t bytes)
{
    return bytes % BLOCK_SIZE == 0 && bytes / BLOCK_SIZE <= NR_BLOCKS
               ? bytes / BLOCK_SIZE
               : 99;
}

static void event_range(const char *name, unsigned int who,
                        const struct vmem_range *range, unsigned int value)
{
    event(name, who, in_blocks(range->offset), in_blocks(range->size), value);
}

/* Callbacks of the listeners. */

/* A query works inside of a callback, a change is refused. */
static void look_inside(unsigned int nr)
{
    const unsigned int from = plan.by_chance ? chance(NR_BLOCKS) : 0;
    const struct vmem_range range = range_of(from, 1);

    if (plan.look_inside || one_in(4)) {
        event("look", nr, from, 1,
              vmem_region_is_populated(recording.region, &range));
    }
    if (plan.look_inside || one_in(4)) {
        event("refused", nr, 0, 0,
              vmem_region_freeze(recording.region, "inside", NULL) != -EDEADLK);
    }
}

static int on_populate(const struct vmem_range *range, void *opaque)
{
    const struct listener *listener = opaque;
    unsigned int *veto = &plan.veto[listener->nr];
    bool objects;

    event_range("tell-populate", listener->nr, range, 0);
    look_inside(listener->nr);
    objects = *veto == 1 || one_in(8);
    *veto -= *veto > 0;
    event("answer", listener->nr, 0, 0, objects);
    return objects ? -EACCES : 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    const struct listener *listener = opaque;

    event_range("tell-discard", listener->nr, range, 0);
    look_inside(listener->nr);
    event("answer", listener->nr, 0, 0, 0);
}

/* Busy is what the model calls it too, whoever asked. */
static int on_may_discard(const struct vmem_range *range, void *opaque)
{
    const struct listener *listener = opaque;
    unsigned int *keep = &plan.keep[listener->nr];
    bool objects;

    event_range("ask-discard", listener->nr, range, 0);
    look_inside(listener->nr);
    objects = *keep == 1 || one_in(8);
    *keep -= *keep > 0;
    event("answer", listener->nr, 0, 0, objects);
    return objects ? -EBUSY : 0;
}

static void on_destroy(void *opaque)
{
    event("destroy", ((const struct listener *)opaque)->nr, 0, 0, 0);
}

/* Callbacks of the backing. */

static int answer_backing(const char *name, const struct vmem_range *range,
                          unsigned int *nr_failures, unsigned int odds)
{
    const bool fails = *nr_failures > 0 || one_in(odds);

    *nr_failures -= *nr_failures > 0;
    event_range(name, 0, range, fails);
    return fails ? -EIO : 0;
}

static int mem_populate(const struct vmem_range *range, void *opaque)
{
    (void)opaque;
    return answer_backing("mem-populate", range, &plan.fail_populate, 6);
}

static int mem_discard(const struct vmem_range *range, void *opaque)
{
    (void)opaque;
    return answer_backing("mem-discard", range, &plan.fail_discard, 3);
}

static int mem_zero(const struct vmem_range *range, void *opaque)
{
    (void)opaque;
    return answer_backing("mem-zero", range, &plan.fail_zero, 4);
}

/* Calls. */

static void info(void)
{
    struct vmem_region_info now = { .struct_size = sizeof(now) };

    event("info", QUERY, 0, 0, 0);
    vmem_region_get_info(recording.region, &now);
    event("end", QUERY, in_blocks(now.populated_size),
          in_blocks(now.retained_size), 0);
}

/* Alone, everything that a call has changed is looked at after it. */
static void end(unsigned int who, unsigned int answer)
{
    event("end", who, 0, 0, answer);
    if (!recording.is_threaded) {
        info();
    }
}

static void end_host(int ret)
{
    unsigned int answer = ANSWER_FAILED;

    if (ret == 0) {
        answer = ANSWER_OK;
    } else if (ret == -EBUSY) {
        answer = ANSWER_BUSY;
    }
    end(HOST, answer);
}

static void guest(const char *name, unsigned int type, unsigned int from,
                  unsigned int size)
{
    struct vmem_request_result result = { .struct_size = sizeof(result) };

    event(name, GUEST, from, size, 0);
    send_request(type, from, size, &result);
    end(GUEST, result.response);
}

static void plug(unsigned int from, unsigned int size)
{
    guest("plug", VMEM_REQUEST_PLUG, from, size);
}

static void unplug(unsigned int from, unsigned int size)
{
    guest("unplug", VMEM_REQUEST_UNPLUG, from, size);
}

static void unplug_all(void)
{
    guest("unplug-all", VMEM_REQUEST_UNPLUG_ALL, 0, 0);
}

static void state(unsigned int from, unsigned int size)
{
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    unsigned int found;

    event("state", QUERY, from, size, 0);
    found = send_request(VMEM_REQUEST_STATE, from, size, &result);
    event("end", QUERY, 0, 0, found);
}

static void populated(unsigned int from, unsigned int size)
{
    const struct vmem_range range = range_of(from, size);

    event("populated", QUERY, from, size, 0);
    event("end", QUERY, 0, 0,
          vmem_region_is_populated(recording.region, &range));
}

static void add(unsigned int nr, unsigned int from, unsigned int size,
                unsigned int mode)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = nr == 0 ? "first" : "second",
        .window = range_of(from, size),
        .granularity = mode == RUNS ? 0 : BLOCK_SIZE,
        .flags = mode == EXACT ? VMEM_LISTENER_EXACT_DISCARD : 0,
    };
    const struct vmem_listener_ops ops = {
        .struct_size = sizeof(ops),
        .populate = on_populate,
        .discard = on_discard,
        .destroy = on_destroy,
        .may_discard = on_may_discard,
    };

    event("add", HOST, from, size, mode * 2 + nr);
    end_host(vmem_listener_add(recording.region, &config, &ops, &listeners[nr],
                               &listeners[nr].handle, NULL));
}

/* "remove" is the C library's. */
static void take_out(unsigned int nr)
{
    int ret;

    event("remove", HOST, 0, 0, nr);
    ret = vmem_listener_remove(listeners[nr].handle, NULL);
    if (ret == 0) {
        listeners[nr].handle = NULL;
    }
    end_host(ret);
}

static void freeze(void)
{
    event("freeze", HOST, 0, 0, 0);
    end_host(vmem_region_freeze(recording.region, "snapshot", NULL));
}

static void thaw(void)
{
    event("thaw", HOST, 0, 0, 0);
    end_host(vmem_region_thaw(recording.region, "snapshot", NULL));
}

static void reset(void)
{
    event("reset", HOST, 0, 0, 0);
    end_host(vmem_device_reset(recording.device, VMEM_RESET_SYSTEM, NULL));
}

static void retry(void)
{
    event("retry", HOST, 0, 0, 0);
    end_host(vmem_region_retry_discards(recording.region, NULL));
}

static int on_held(const struct vmem_range *range, void *opaque)
{
    (void)opaque;
    event_range("held", HOST, range, 0);
    return 0;
}

static void hold(unsigned int from, unsigned int size)
{
    const struct vmem_range range = range_of(from, size);

    event("hold", HOST, from, size, 0);
    end_host(vmem_region_with_populated(recording.region, &range, on_held, NULL,
                                        NULL));
}

/* Scripts: each for one part of the order. */

static void script_two_windows(void)
{
    add(0, 0, 6, RUNS);
    add(1, 2, 2, RUNS);
    plug(0, 3);
    plug(4, 2);
    plug(2, 2);
    plug(3, 1);
    state(0, 6);
    state(1, 2);
    unplug(1, 2);
    unplug(1, 1);
    state(0, 6);
    populated(3, 3);
    populated(2, 2);
    unplug_all();
    unplug_all();
    state(0, 6);
}

static void script_chunks(void)
{
    add(0, 0, 5, CHUNKS);
    add(1, 1, 5, EXACT);
    plug(0, 6);
    unplug(2, 1);
    unplug_all();
    plug(0, 2);
    plug(3, 2);
    take_out(0);
    take_out(1);
    add(1, 0, 6, EXACT);
    add(0, 0, 6, CHUNKS);
    reset();
}

static void script_veto(void)
{
    add(0, 0, 6, RUNS);
    add(1, 0, 6, CHUNKS);
    plug(5, 1);
    plan.veto[0] = 1;
    plug(0, 3);
    plan.veto[1] = 1;
    plug(0, 3);
    plan.veto[1] = 3;
    plug(0, 4);
    plan.veto[1] = 3;
    plan.fail_discard = 1;
    plug(0, 4);
    plug(0, 4);
    unplug_all();
}

static void script_keep(void)
{
    add(0, 0, 6, RUNS);
    add(1, 1, 4, EXACT);
    plug(0, 4);
    plug(5, 1);
    plan.keep[0] = 1;
    unplug(1, 2);
    plan.keep[1] = 2;
    unplug(1, 2);
    plan.keep[1] = 3;
    unplug_all();
    plan.keep[0] = 2;
    reset();
    plan.keep[1] = 1;
    take_out(1);
    unplug_all();
}

static void script_join_and_leave(void)
{
    plug(0, 2);
    plug(3, 1);
    plug(5, 1);
    add(0, 1, 4, RUNS);
    plan.veto[1] = 3;
    add(1, 0, 6, CHUNKS);
    plan.veto[1] = 2;
    add(1, 0, 6, RUNS);
    plan.veto[1] = 1;
    add(1, 0, 6, EXACT);
    add(1, 0, 6, EXACT);
    unplug(0, 1);
    take_out(0);
    plug(0, 1);
    add(0, 2, 1, RUNS);
    plug(2, 1);
    take_out(1);
    take_out(0);
    unplug_all();
}

static void script_retained(void)
{
    plug(0, 6);
    plan.fail_discard = 1;
    unplug(0, 2);
    plan.fail_discard = 1;
    plug(0, 1);
    plug(1, 1);
    plan.fail_discard = 2;
    unplug(0, 2);
    retry();
    retry();
    unplug(3, 1);
    plan.fail_discard = 9;
    unplug_all();
    plan.fail_discard = 1;
    plan.fail_zero = 1;
    plug(1, 3);
    add(0, 0, 6, RUNS);
    plan.veto[0] = 1;
    plan.fail_discard = 2;
    plug(1, 4);
    plan.fail_discard = 1;
    plug(1, 3);
    plan.fail_discard = 0;
    reset();
    reset();
    retry();
}

static void script_frozen(void)
{
    add(0, 0, 6, RUNS);
    plug(0, 2);
    freeze();
    freeze();
    plug(2, 1);
    plug(1, 1);
    unplug(0, 1);
    unplug(2, 1);
    unplug_all();
    reset();
    retry();
    state(0, 3);
    add(1, 1, 3, EXACT);
    take_out(0);
    hold(0, 2);
    thaw();
    thaw();
    unplug_all();
    freeze();
    unplug_all();
    thaw();
    plug(0, 3);
}

static void script_inside(void)
{
    plan.look_inside = true;
    add(0, 0, 6, RUNS);
    plug(0, 2);
    add(1, 0, 6, CHUNKS);
    plan.veto[1] = 2;
    plug(2, 3);
    plug(2, 3);
    hold(0, 5);
    hold(4, 2);
    unplug(0, 1);
    take_out(0);
    unplug_all();
}

static void script_populate_fails(void)
{
    add(0, 0, 6, RUNS);
    plan.fail_populate = 1;
    plug(0, 2);
    plug(0, 2);
    plan.fail_populate = 1;
    plan.fail_discard = 1;
    plug(3, 2);
    plan.fail_populate = 1;
    plan.fail_discard = 1;
    plug(3, 1);
    plug(4, 1);
    plan.veto[0] = 1;
    plug(2, 2);
    plug(2, 2);
    unplug_all();
}

static const struct script {
    const char *name;
    bool populates;
    void (*run)(void);
} scripts[] = {
    { "two-windows", false, script_two_windows },
    { "chunks", true, script_chunks },
    { "veto", false, script_veto },
    { "keep", false, script_keep },
    { "join-and-leave", false, script_join_and_leave },
    { "retained", false, script_retained },
    { "frozen", true, script_frozen },
    { "inside", false, script_inside },
    { "populate-fails", true, script_populate_fails },
};

#define NR_SCRIPTS (sizeof(scripts) / sizeof(scripts[0]))

/* Random calls. */

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
    for (size_t i = 0; i < NR_SCRIPTS; i++) {
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
        for (size_t i = 0; i < NR_SCRIPTS; i++) {
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
