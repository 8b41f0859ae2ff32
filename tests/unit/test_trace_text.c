/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers as names, and trace events as lines of a trace. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <string.h>

#include <vmem/vmem.h>

#define NAME "vmem0"

static void every_number_has_a_name_of_its_own(void **state)
{
    static const struct {
        const char *(*name)(uint32_t);
        uint32_t first, last;
        const char *names; /* of first and last */
    } cases[] = {
        { vmem_log_level_name, 1, VMEM_LOG_ERROR, "debug error" },
        { vmem_backing_kind_name, 1, VMEM_BACKING_CUSTOM, "anon custom" },
        { vmem_usage_method_name, 1, VMEM_USAGE_CALLBACK,
          "page-tables callback" },
        { vmem_request_type_name, 0, VMEM_REQUEST_STATE, "plug state" },
        { vmem_response_type_name, 0, VMEM_RESPONSE_ERROR, "ack error" },
        { vmem_block_state_name, 0, VMEM_STATE_MIXED, "plugged mixed" },
        { vmem_reset_kind_name, 1, VMEM_RESET_WAKEUP, "driver wakeup" },
        { vmem_resize_state_name, 0, VMEM_RESIZE_STALLED, "idle stalled" },
        { vmem_resize_stall_name, 0, VMEM_STALL_GUEST_REFUSED,
          "none guest-refused" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t last = cases[i].last;
        char names[64];

        for (uint32_t j = cases[i].first; j <= last; j++) {
            assert_string_not_equal(cases[i].name(j), "unknown");
            for (uint32_t k = cases[i].first; k < j; k++) {
                assert_string_not_equal(cases[i].name(j), cases[i].name(k));
            }
        }
        snprintf(names, sizeof(names), "%s %s", cases[i].name(cases[i].first),
                 cases[i].name(last));
        assert_string_equal(names, cases[i].names);
        assert_string_equal(cases[i].name(last + 1), "unknown");
        assert_string_equal(cases[i].name(UINT32_MAX), "unknown");
        if (cases[i].first > 0) {
            assert_string_equal(cases[i].name(0), "unknown");
        }
    }
}

static struct vmem_trace_event request(uint32_t type, uint32_t response)
{
    return (struct vmem_trace_event){ .struct_size =
                                          sizeof(struct vmem_trace_event),
                                      .kind = VMEM_TRACE_REQUEST,
                                      .time_ns = 12345678901,
                                      .gpa = 0x140000000,
                                      .nr_blocks = 64,
                                      .type = type,
                                      .response = response };
}

static struct vmem_trace_event other(uint32_t kind)
{
    return (struct vmem_trace_event){ .struct_size =
                                          sizeof(struct vmem_trace_event),
                                      .kind = kind };
}

static void assert_text(const struct vmem_trace_event *event, const char *name,
                        const char *expected)
{
    char text[VMEM_TRACE_TEXT_SIZE];

    assert_int_equal(vmem_trace_event_format(event, name, text, sizeof(text)),
                     (int)strlen(expected));
    assert_string_equal(text, expected);
}

static void requests_are_lines_with_their_answers(void **state)
{
    static const struct {
        uint32_t type, response, state, reason;
        const char *text;
    } cases[] = {
        { VMEM_REQUEST_PLUG, VMEM_RESPONSE_ACK, 0, 0,
          "12.345678 vmem0 plug 0x140000000 64 ack\n" },
        { VMEM_REQUEST_PLUG, VMEM_RESPONSE_NACK, 0, 0,
          "12.345678 vmem0 plug 0x140000000 64 nack\n" },
        { VMEM_REQUEST_UNPLUG, VMEM_RESPONSE_ERROR, 0, 0,
          "12.345678 vmem0 unplug 0x140000000 64 error\n" },
        { VMEM_REQUEST_UNPLUG_ALL, VMEM_RESPONSE_ACK, 0, 0,
          "12.345678 vmem0 unplug_all ack\n" },
        { VMEM_REQUEST_STATE, VMEM_RESPONSE_ACK, VMEM_STATE_MIXED, 0,
          "12.345678 vmem0 state 0x140000000 64 ack:mixed\n" },
        { VMEM_REQUEST_STATE, VMEM_RESPONSE_ERROR, 0, 0,
          "12.345678 vmem0 state 0x140000000 64 error\n" },
        { VMEM_REQUEST_PLUG, VMEM_RESPONSE_BUSY, 0, VMEM_REASON_FROZEN,
          "12.345678 vmem0 plug 0x140000000 64 busy\n" },
        { VMEM_REQUEST_UNPLUG_ALL, VMEM_RESPONSE_BUSY, 0,
          VMEM_REASON_LISTENER_VETO,
          "12.345678 vmem0 busy on\n"
          "12.345678 vmem0 unplug_all busy\n"
          "12.345678 vmem0 busy off\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vmem_trace_event event =
            request(cases[i].type, cases[i].response);

        event.state = cases[i].state;
        event.reason = cases[i].reason;
        assert_text(&event, NAME, cases[i].text);
    }
}

static void what_the_host_does_is_a_line(void **state)
{
    struct vmem_trace_event event = other(VMEM_TRACE_RESIZE);

    (void)state;
    event.size = 1 << 30;
    assert_text(&event, NAME, "0.000000 vmem0 resize 1073741824\n");
    event.code = -ERANGE;
    assert_text(&event, NAME, "0.000000 vmem0 resize 1073741824 refused\n");

    event = other(VMEM_TRACE_FREEZE);
    assert_text(&event, NAME, "0.000000 vmem0 busy off\n");
    event.frozen = 1;
    assert_text(&event, NAME, "0.000000 vmem0 busy on\n");

    /* A comment, since there is no word for its blocks. */
    event = other(VMEM_TRACE_LOAD);
    event.size = 1 << 21;
    assert_text(&event, NAME,
                "# 0.000000 vmem0 loaded 2097152: a replay cannot follow\n");

    event = other(VMEM_TRACE_RESET);
    event.type = VMEM_RESET_DRIVER;
    assert_text(&event, NAME, "0.000000 vmem0 driver_reset\n");
    event.type = VMEM_RESET_SYSTEM;
    assert_text(&event, NAME, "0.000000 vmem0 system_reset\n");
    event.code = -EBUSY;
    event.reason = VMEM_REASON_FROZEN;
    assert_text(&event, NAME, "0.000000 vmem0 system_reset\n");
    event.reason = VMEM_REASON_LISTENER_VETO;
    assert_text(&event, NAME,
                "0.000000 vmem0 busy on\n"
                "0.000000 vmem0 system_reset\n"
                "0.000000 vmem0 busy off\n");
    event.code = 0;
    event.reason = VMEM_REASON_NONE;
    event.type = VMEM_RESET_WAKEUP;
    assert_text(&event, NAME, "0.000000 vmem0 wakeup\n");
}

static void a_name_becomes_a_word(void **state)
{
    const struct vmem_trace_event event =
        request(VMEM_REQUEST_UNPLUG_ALL, VMEM_RESPONSE_ACK);

    (void)state;
    assert_text(&event, "a-Z.0_9", "12.345678 a-Z.0_9 unplug_all ack\n");
    assert_text(&event, "a b#\n\t/\xc3\xa4",
                "12.345678 a_b______ unplug_all ack\n");
    /* What is next to letters and digits. */
    assert_text(&event,
                "AZaz09@[`{:", "12.345678 AZaz09_____ unplug_all ack\n");
}

static void the_longest_text_has_room(void **state)
{
    struct vmem_trace_event event =
        request(VMEM_REQUEST_UNPLUG, VMEM_RESPONSE_BUSY);
    char name[VMEM_NAME_MAX + 2];
    char text[VMEM_TRACE_TEXT_SIZE];

    (void)state;
    memset(name, 'x', sizeof(name));
    name[VMEM_NAME_MAX] = '\0';
    event.time_ns = event.gpa = UINT64_MAX;
    event.nr_blocks = UINT32_MAX;
    const int size = vmem_trace_event_format(&event, name, text, sizeof(text));
    assert_true(size > 3 * VMEM_NAME_MAX && size < VMEM_TRACE_TEXT_SIZE);
    assert_int_equal(strlen(text), size);
    name[VMEM_NAME_MAX] = 'x';
    name[VMEM_NAME_MAX + 1] = '\0';
    assert_int_equal(vmem_trace_event_format(&event, name, text, sizeof(text)),
                     -ERANGE);
}

static void a_text_without_room_is_cut_and_counted(void **state)
{
    const struct vmem_trace_event event =
        request(VMEM_REQUEST_UNPLUG_ALL, VMEM_RESPONSE_BUSY);
    char whole[VMEM_TRACE_TEXT_SIZE];
    const int size =
        vmem_trace_event_format(&event, NAME, whole, sizeof(whole));

    (void)state;
    assert_int_equal(vmem_trace_event_format(&event, NAME, NULL, 0), size);
    for (int room = 1; room <= size + 1; room++) {
        char text[VMEM_TRACE_TEXT_SIZE];

        memset(text, 0x5a, sizeof(text));
        assert_int_equal(
            vmem_trace_event_format(&event, NAME, text, (size_t)room), size);
        assert_int_equal(strlen(text), room - 1);
        assert_memory_equal(text, whole, (size_t)room - 1);
        assert_int_equal(text[room], 0x5a);
    }
}

static void what_is_no_event_is_refused(void **state)
{
    struct vmem_trace_event event = request(0, 0);
    char text[VMEM_TRACE_TEXT_SIZE] = "untouched";

    (void)state;
#define REFUSED(event, name)                                                   \
    assert_int_equal(vmem_trace_event_format(event, name, text, sizeof(text)), \
                     -EINVAL)
    REFUSED(NULL, NAME);
    REFUSED(&event, NULL);
    REFUSED(&event, "");
    assert_int_equal(vmem_trace_event_format(&event, NAME, NULL, 1), -EINVAL);
    event.type = VMEM_REQUEST_STATE + 1;
    REFUSED(&event, NAME);
    event = request(0, VMEM_RESPONSE_ERROR + 1);
    REFUSED(&event, NAME);
    event = request(VMEM_REQUEST_STATE, VMEM_RESPONSE_ACK);
    event.state = VMEM_STATE_MIXED + 1;
    REFUSED(&event, NAME);
    event = other(0);
    REFUSED(&event, NAME);
    event = other(VMEM_TRACE_LOAD + 1);
    REFUSED(&event, NAME);
    event = other(VMEM_TRACE_RESET);
    REFUSED(&event, NAME);
    event.type = VMEM_RESET_WAKEUP + 1;
    REFUSED(&event, NAME);
    event = other(VMEM_TRACE_FREEZE);
    event.struct_size = sizeof(event) - 8;
    REFUSED(&event, NAME);
#undef REFUSED
    assert_string_equal(text, "untouched");
}

static void an_event_of_a_newer_library_is_written(void **state)
{
    struct {
        struct vmem_trace_event known;
        uint64_t unknown;
    } event = { .known = other(VMEM_TRACE_FREEZE), .unknown = 1 };

    (void)state;
    event.known.struct_size = sizeof(event);
    assert_text(&event.known, NAME, "0.000000 vmem0 busy off\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_has_a_name_of_its_own),
        cmocka_unit_test(requests_are_lines_with_their_answers),
        cmocka_unit_test(what_the_host_does_is_a_line),
        cmocka_unit_test(a_name_becomes_a_word),
        cmocka_unit_test(the_longest_text_has_room),
        cmocka_unit_test(a_text_without_room_is_cut_and_counted),
        cmocka_unit_test(what_is_no_event_is_refused),
        cmocka_unit_test(an_event_of_a_newer_library_is_written),
    };

    return cmocka_run_group_tests_name("trace_text", tests, NULL, NULL);
}
