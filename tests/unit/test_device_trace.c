/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/device_rig.h"

/* What a device tells its trace hook, and that it is enough to do it again. */

#define NR_ROUNDS 3000

/* What was told, as text: "plug 0+64 ack; resize 1; freeze". */
struct recording {
    GMutex lock;
    GArray *events;             /* of struct vmem_trace_event */
    uint64_t last_sequence;     /* of those that were looked at */
    unsigned nr_told_before;    /* other notifications before the first event */
    struct vmem_device *device; /* freed in the hook; or NULL */
    int free_result;
};

static void on_trace(const struct vmem_trace_event *event, void *opaque)
{
    struct recording *recording = opaque;

    g_mutex_lock(&recording->lock);
    g_array_append_vals(recording->events, event, 1);
    g_mutex_unlock(&recording->lock);
    if (recording->device != NULL) {
        recording->free_result = vmem_device_free(recording->device, NULL);
    }
}

static void on_news(void *opaque)
{
    struct recording *recording = opaque;

    recording->nr_told_before += recording->events->len == 0;
}

static void on_size(uint64_t plugged_size, void *opaque)
{
    (void)plugged_size;
    on_news(opaque);
}

static const struct vmem_device_ops traced_ops = {
    .struct_size = sizeof(struct vmem_device_ops),
    .config_changed = on_news,
    .size_changed = on_size,
    .trace = on_trace,
};

/* A rig whose device is the recording's. */
static struct rig *open_traced(struct recording *recording)
{
    const struct rig_options options = { .has_memory = true,
                                         .no_device = true };
    struct rig *rig = rig_new(&options);
    struct vmem_device_config config = rig->config;

    memset(recording, 0, sizeof(*recording));
    recording->events =
        g_array_new(FALSE, FALSE, sizeof(struct vmem_trace_event));
    assert_int_equal(vmem_device_new(rig->region, &config, &traced_ops,
                                     recording, &rig->device, NULL),
                     0);
    assert_int_equal(recording->events->len, 0);
    return rig;
}

static void close_traced(struct rig *rig, struct recording *recording)
{
    rig_free(rig);
    g_array_unref(recording->events);
}

static const struct vmem_trace_event *event_at(const struct recording *r,
                                               unsigned i)
{
    assert_true(i < r->events->len);
    return &g_array_index(r->events, struct vmem_trace_event, i);
}

static void put_request(GString *text, const struct vmem_trace_event *event)
{
    static const char *const types[] = { "plug", "unplug", "all", "state" };
    static const char *const answers[] = { "ack", "nack", "busy", "error" };

    g_string_append(text, types[event->type]);
    if (event->type != VMEM_REQUEST_UNPLUG_ALL) {
        g_string_append_printf(text, " %u+%u",
                               (unsigned)((event->gpa - RIG_GPA) / RIG_BLOCK),
                               event->nr_blocks);
    }
    g_string_append_printf(text, " %s", answers[event->response]);
    if (event->type == VMEM_REQUEST_STATE) {
        g_string_append_printf(text, ":%u", event->state);
    }
    if (event->reason != VMEM_REASON_NONE) {
        g_string_append_printf(text, " %s", vmem_reason_name(event->reason));
    }
}

/* These, with one number each, and nothing else that took a number. */
static void assert_events(struct recording *recording, const char *expected)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (unsigned i = 0; i < recording->events->len; i++) {
        const struct vmem_trace_event *event = event_at(recording, i);

        assert_int_equal(event->struct_size, sizeof(*event));
        assert_int_equal(event->sequence, ++recording->last_sequence);
        g_string_append(text, i > 0 ? "; " : "");
        if (event->kind == VMEM_TRACE_REQUEST) {
            put_request(text, event);
        } else if (event->kind == VMEM_TRACE_RESIZE) {
            g_string_append_printf(text, "resize %u %d",
                                   (unsigned)(event->size / RIG_BLOCK),
                                   event->code);
        } else if (event->kind == VMEM_TRACE_RESET) {
            g_string_append_printf(text, "reset %u %d", event->type,
                                   event->code);
        } else {
            assert_int_equal(event->kind, VMEM_TRACE_FREEZE);
            g_string_append(text, event->frozen != 0 ? "freeze" : "thaw");
        }
    }
    assert_string_equal(text->str, expected);
    g_array_set_size(recording->events, 0);
}

static void requests_are_told_with_their_answers(void **state)
{
    struct recording recording;
    struct rig *rig = open_traced(&recording);
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = { 9 };

    (void)state;
    rig_plug(rig, 0, 8);
    rig_plug(rig, 4, 8);
    rig_plug(rig, 8, 128);
    rig_unplug(rig, 2, 2);
    rig_state(rig, 0, 2);
    rig_state(rig, 0, 4);
    rig_state(rig, 2, 2);
    rig_malformed(rig, bytes, sizeof(bytes), VMEM_DEVICE_RESPONSE_SIZE,
                  VMEM_MALFORMED_TYPE);
    rig_unplug_all(rig);
    assert_events(&recording,
                  "plug 0+8 ack; plug 4+8 error; plug 8+128 nack; "
                  "unplug 2+2 ack; state 0+2 ack:0; state 0+4 ack:2; "
                  "state 2+2 ack:1; all ack");
    close_traced(rig, &recording);
}

static void resizes_resets_and_freezes_are_told(void **state)
{
    struct recording recording;
    struct rig *rig = open_traced(&recording);

    (void)state;
    rig_resize(rig, 4 * RIG_BLOCK);
    assert_int_equal(vmem_device_resize(rig->device, 1, NULL), -EINVAL);
    assert_int_equal(
        vmem_device_resize(rig->device, RIG_REGION + RIG_BLOCK, NULL), -ERANGE);
    rig_plug(rig, 0, 1);
    rig_freeze(rig, "a");
    rig_freeze(rig, "b");
    rig_plug(rig, 1, 1);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     -EBUSY);
    rig_thaw(rig, "a");
    assert_int_equal(vmem_device_notify_config(rig->device), 0);
    rig_thaw(rig, "b");
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL),
                     0);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL),
                     0);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_events(&recording,
                  "resize 4 0; resize 0 -22; resize 513 -34; plug 0+1 ack; "
                  "freeze; plug 1+1 busy frozen; reset 2 -16; thaw; "
                  "reset 1 0; reset 3 0; reset 2 0");
    close_traced(rig, &recording);
}

static void a_busy_answer_says_why(void **state)
{
    struct recording recording;
    struct rig *rig = open_traced(&recording);
    struct rig_listener *listener = rig_listen(rig, "veto");

    (void)state;
    listener->fail_always = true;
    rig_plug(rig, 0, 1);
    assert_events(&recording, "plug 0+1 busy listener-veto");
    close_traced(rig, &recording);
}

static void a_refused_reset_says_why(void **state)
{
    struct recording recording;
    struct rig *rig = open_traced(&recording);
    struct rig_listener *listener = rig_listen(rig, "keeper");

    (void)state;
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_ACK);
    rig_freeze(rig, "migration");
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     -EBUSY);
    rig_thaw(rig, "migration");
    listener->keep_code = -EPERM;
    assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_BUSY);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     -EPERM);
    listener->keep_code = 0;
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_int_equal(event_at(&recording, 2)->reason, VMEM_REASON_FROZEN);
    assert_int_equal(event_at(&recording, 5)->reason,
                     VMEM_REASON_LISTENER_VETO);
    assert_int_equal(event_at(&recording, 6)->reason, VMEM_REASON_NONE);
    assert_events(&recording, "plug 0+1 ack; freeze; reset 2 -16; thaw; "
                              "all busy listener-veto; reset 2 -1; reset 2 0");
    close_traced(rig, &recording);
}

static void an_event_comes_first_and_is_dated(void **state)
{
    struct recording recording;
    struct rig *rig = open_traced(&recording);

    (void)state;
    rig->now_ns = 5000;
    rig_resize(rig, 4 * RIG_BLOCK);
    rig->now_ns = 6000;
    rig_plug(rig, 0, 1);
    assert_int_equal(recording.nr_told_before, 0);
    assert_int_equal(event_at(&recording, 0)->time_ns, 5000);
    assert_int_equal(event_at(&recording, 1)->time_ns, 6000);
    close_traced(rig, &recording);
}

/* What the host does while an UNPLUG ALL runs: the event before it. */
static void *shrink_thread(void *opaque)
{
    struct rig *rig = opaque;

    rig_resize(rig, 8 * RIG_BLOCK);
    return NULL;
}

static void shrink_meanwhile(struct rig *rig)
{
    GThread *host = g_thread_new("host", shrink_thread, rig);

    (void)g_thread_join(host);
}

static void what_unplugs_everything_is_dated_once_at_its_end(void **state)
{
    struct recording recording;
    struct rig *rig = open_traced(&recording);
    struct rig_listener *listener = rig_listen(rig, "slow");

    (void)state;
    rig->on_discard = shrink_meanwhile;
    rig_plug(rig, 0, 1);
    rig_unplug_all(rig);
    assert_events(&recording, "plug 0+1 ack; resize 8 0; all ack");
    rig_plug(rig, 0, 1);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_events(&recording, "plug 0+1 ack; resize 8 0; reset 2 0");
    rig->on_discard = NULL;
    /* Where it was refused. */
    rig_plug(rig, 0, 1);
    listener->keep_code = -EPERM;
    rig_unplug_all(rig);
    rig_freeze(rig, "migration");
    rig_unplug_all(rig);
    rig_thaw(rig, "migration");
    listener->keep_code = 0;
    rig_unplug_all(rig);
    rig_freeze(rig, "migration");
    rig_unplug_all(rig);
    rig_thaw(rig, "migration");
    assert_events(&recording,
                  "plug 0+1 ack; all busy listener-veto; freeze; "
                  "all busy frozen; thaw; all ack; freeze; all ack; thaw");
    close_traced(rig, &recording);
}

static void the_hook_may_free_the_device(void **state)
{
    struct recording recording;
    struct rig *rig = open_traced(&recording);

    (void)state;
    recording.device = rig->device;
    rig_resize(rig, 4 * RIG_BLOCK);
    rig->device = NULL;
    assert_int_equal(recording.free_result, 0);
    assert_int_equal(recording.events->len, 1);
    close_traced(rig, &recording);
}

/* The host on a thread of its own: sizes, and now and then a freeze. */
static void *run_host(void *opaque)
{
    struct rig *rig = opaque;
    uint64_t seed = 2;

    for (unsigned i = 0; i < NR_ROUNDS; i++) {
        const uint64_t nr = rig_random(&seed) % 129;

        (void)vmem_device_resize(rig->device, nr * RIG_BLOCK, NULL);
        if (i % 16 == 0) {
            (void)vmem_region_freeze(rig->region, "host", NULL);
            (void)vmem_region_thaw(rig->region, "host", NULL);
        }
    }
    return NULL;
}

static int compare_sequence(const void *a, const void *b)
{
    const struct vmem_trace_event *x = a;
    const struct vmem_trace_event *y = b;

    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

/* Does an event to a second device and compares the answer. */
static void follow(struct rig *rig, const struct vmem_trace_event *event)
{
    if (event->kind == VMEM_TRACE_RESIZE) {
        rig_resize(rig, event->size);
    } else if (event->kind == VMEM_TRACE_FREEZE && event->frozen != 0) {
        rig_freeze(rig, "host");
    } else if (event->kind == VMEM_TRACE_FREEZE) {
        rig_thaw(rig, "host");
    } else {
        const uint16_t answer = rig_request(
            rig, (uint16_t)event->type, event->gpa, (uint16_t)event->nr_blocks);

        assert_int_equal(answer, event->response);
        if (event->type == VMEM_REQUEST_STATE) {
            assert_int_equal(rig->state, event->state);
        }
    }
}

/* A guest and a host on two threads: in the order of their numbers the events
 * give the same answers again. */
static void the_numbers_order_what_threads_do(void **state)
{
    struct recording recording;
    struct rig *rig = open_traced(&recording);
    struct rig *again = rig_new_default();
    uint64_t seed = 1;
    GThread *host;

    (void)state;
    rig->clock_ticks = true;
    host = g_thread_new("host", run_host, rig);
    for (unsigned i = 0; i < NR_ROUNDS; i++) {
        const uint64_t first = rig_random(&seed) % 256;
        const uint16_t nr = (uint16_t)(1 + rig_random(&seed) % 32);

        switch (rig_random(&seed) % 16) {
        case 0:
            rig_unplug_all(rig);
            break;
        case 1:
            rig_request(rig, VMEM_REQUEST_STATE, RIG_GPA + first * RIG_BLOCK,
                        nr);
            break;
        case 2:
        case 3:
        case 4:
        case 5:
            rig_unplug(rig, first, nr);
            break;
        default:
            rig_plug(rig, first, nr);
        }
    }
    (void)g_thread_join(host);
    g_array_sort(recording.events, compare_sequence);
    for (unsigned i = 0; i < recording.events->len; i++) {
        assert_int_equal(event_at(&recording, i)->sequence, i + 1);
        if (i > 0) {
            assert_true(event_at(&recording, i)->time_ns >
                        event_at(&recording, i - 1)->time_ns);
        }
        follow(again, event_at(&recording, i));
    }
    rig_free(again);
    close_traced(rig, &recording);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_told_with_their_answers),
        cmocka_unit_test(resizes_resets_and_freezes_are_told),
        cmocka_unit_test(a_busy_answer_says_why),
        cmocka_unit_test(a_refused_reset_says_why),
        cmocka_unit_test(an_event_comes_first_and_is_dated),
        cmocka_unit_test(what_unplugs_everything_is_dated_once_at_its_end),
        cmocka_unit_test(the_hook_may_free_the_device),
        cmocka_unit_test(the_numbers_order_what_threads_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
