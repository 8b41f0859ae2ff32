/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/record_calls.h"

#include <errno.h>

/* Answers as the model names them. */
enum { ANSWER_OK = 0, ANSWER_BUSY = 2, ANSWER_FAILED = 4 };

struct listener listeners[NR_LISTENERS] = { { .nr = 0 }, { .nr = 1 } };
struct plan plan;

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

int mem_populate(const struct vmem_range *range, void *opaque)
{
    (void)opaque;
    return answer_backing("mem-populate", range, &plan.fail_populate, 6);
}

int mem_discard(const struct vmem_range *range, void *opaque)
{
    (void)opaque;
    return answer_backing("mem-discard", range, &plan.fail_discard, 3);
}

int mem_zero(const struct vmem_range *range, void *opaque)
{
    (void)opaque;
    return answer_backing("mem-zero", range, &plan.fail_zero, 4);
}

/* Calls. */

void info(void)
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

void plug(unsigned int from, unsigned int size)
{
    guest("plug", VMEM_REQUEST_PLUG, from, size);
}

void unplug(unsigned int from, unsigned int size)
{
    guest("unplug", VMEM_REQUEST_UNPLUG, from, size);
}

void unplug_all(void)
{
    guest("unplug-all", VMEM_REQUEST_UNPLUG_ALL, 0, 0);
}

void state(unsigned int from, unsigned int size)
{
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    unsigned int found;

    event("state", QUERY, from, size, 0);
    found = send_request(VMEM_REQUEST_STATE, from, size, &result);
    event("end", QUERY, 0, 0, found);
}

void populated(unsigned int from, unsigned int size)
{
    const struct vmem_range range = range_of(from, size);

    event("populated", QUERY, from, size, 0);
    event("end", QUERY, 0, 0,
          vmem_region_is_populated(recording.region, &range));
}

void add(unsigned int nr, unsigned int from, unsigned int size,
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
void take_out(unsigned int nr)
{
    int ret;

    event("remove", HOST, 0, 0, nr);
    ret = vmem_listener_remove(listeners[nr].handle, NULL);
    if (ret == 0) {
        listeners[nr].handle = NULL;
    }
    end_host(ret);
}

void freeze(void)
{
    event("freeze", HOST, 0, 0, 0);
    end_host(vmem_region_freeze(recording.region, "snapshot", NULL));
}

void thaw(void)
{
    event("thaw", HOST, 0, 0, 0);
    end_host(vmem_region_thaw(recording.region, "snapshot", NULL));
}

void reset(void)
{
    event("reset", HOST, 0, 0, 0);
    end_host(vmem_device_reset(recording.device, VMEM_RESET_SYSTEM, NULL));
}

void retry(void)
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

void hold(unsigned int from, unsigned int size)
{
    const struct vmem_range range = range_of(from, size);

    event("hold", HOST, from, size, 0);
    end_host(vmem_region_with_populated(recording.region, &range, on_held, NULL,
                                        NULL));
}
