/* SPDX-License-Identifier: BSD-3-Clause */
/* The reader of traces: every recorded trace is read, and every way to spoil a
 * line is refused with its file, line and reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include <vmem/device.h>

#include "trace.h"
#include "units.h"

#define HEADER "# vmem-trace 1\n"
#define DEVICE                                                                 \
    "device vmem0 addr=0x100000000 region_size=1073741824 "                    \
    "block_size=2097152 node=0 requested_size=0 usable=extent:268435456\n"
#define END "end vmem0 plugged_size=0\n"

static struct trace *parse(const char *text, GError **error)
{
    return trace_parse("t", text, strlen(text), error);
}

static void a_whole_trace_is_read(void **state)
{
    g_autoptr(GError) error = NULL;
    struct trace *trace = parse(
        HEADER "# a comment\n\n" DEVICE
               "device b.1 node=0x1 addr=0 usable=extent:0 block_size=4096 "
               "requested_size=0x1000 region_size=8192 # behind\n"
               "1.5 vmem0 resize 2097152\n"
               "2 vmem0 resize 0x1 refused\n"
               "3 vmem0 plug 0x100000000 1 ack\n"
               "\t4.000  vmem0\tstate 4294967296 65535 ack:mixed # why not\n"
               "5 vmem0 unplug 18446744073709551615 0 error\n"
               "6 * system_reset\n"
               "7 b.1 busy on\n"
               "8 b.1 unplug_all busy\n"
               "9 b.1 busy off\n"
               "10 * driver_reset\n"
               "11 vmem0 wakeup\n" END "end b.1 plugged_size=4096",
        &error);
    static const struct trace_record expected[] = {
        { 6, TRACE_RESIZE, 0, false, 1.5, 2097152, 0, 0, 0, -1 },
        { 7, TRACE_RESIZE, 0, true, 2, 1, 0, 0, 0, -1 },
        { 8, TRACE_PLUG, 0, false, 3, 0, 0x100000000, 1, VMEM_RESPONSE_ACK,
          -1 },
        { 9, TRACE_STATE, 0, false, 4, 0, 0x100000000, 65535, VMEM_RESPONSE_ACK,
          VMEM_STATE_MIXED },
        { 10, TRACE_UNPLUG, 0, false, 5, 0, UINT64_MAX, 0, VMEM_RESPONSE_ERROR,
          -1 },
        { 11, TRACE_SYSTEM_RESET, TRACE_ALL_DEVICES, false, 6, 0, 0, 0, 0, -1 },
        { 12, TRACE_BUSY_ON, 1, false, 7, 0, 0, 0, 0, -1 },
        { 13, TRACE_UNPLUG_ALL, 1, false, 8, 0, 0, 0, VMEM_RESPONSE_BUSY, -1 },
        { 14, TRACE_BUSY_OFF, 1, false, 9, 0, 0, 0, 0, -1 },
        { 15, TRACE_DRIVER_RESET, TRACE_ALL_DEVICES, false, 10, 0, 0, 0, 0,
          -1 },
        { 16, TRACE_WAKEUP, 0, false, 11, 0, 0, 0, 0, -1 },
    };

    (void)state;
    assert_null(error);
    assert_non_null(trace);
    assert_int_equal(trace->devices->len, 2);

    const struct trace_device *device = trace_get_device(trace, 1);

    assert_string_equal(device->name, "b.1");
    assert_int_equal(device->gpa, 0);
    assert_int_equal(device->node, 1);
    assert_int_equal(device->region_size, 8192);
    assert_int_equal(device->block_size, 4096);
    assert_int_equal(device->requested_size, 4096);
    assert_int_equal(device->usable_extent, 0);
    assert_int_equal(device->end_plugged_size, 4096);
    assert_int_equal(trace_get_device(trace, 0)->usable_extent, 268435456);
    assert_int_equal(trace->records->len, G_N_ELEMENTS(expected));
    for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
        const struct trace_record *record = trace_get_record(trace, i);

        assert_int_equal(record->line, expected[i].line);
        assert_int_equal(record->op, expected[i].op);
        assert_int_equal(record->device, expected[i].device);
        assert_int_equal(record->refused, expected[i].refused);
        assert_true(record->seconds == expected[i].seconds);
        assert_int_equal(record->size, expected[i].size);
        assert_int_equal(record->gpa, expected[i].gpa);
        assert_int_equal(record->nr_blocks, expected[i].nr_blocks);
        assert_int_equal(record->response, expected[i].response);
        assert_int_equal(record->state, expected[i].state);
    }
    trace_free(trace);
}

/* Text behind the header, the line that is named, and a part of the reason. */
static const struct {
    const char *text;
    unsigned line;
    const char *reason;
} malformed[] = {
    { "", 1, "no device line" },
    { DEVICE, 2, "no end line for vmem0: cut short?" },
    { DEVICE DEVICE END, 3, "device vmem0 is there already" },
    { DEVICE END END, 4, "vmem0 has ended in line 3" },
    { DEVICE "end vmem1 plugged_size=0\n", 3, "unknown device: \"vmem1\"" },
    { DEVICE "end vmem0\n", 3, "an end line is" },
    { DEVICE "end vmem0 plugged_size=\n", 3, "plugged_size is not a number" },
    { DEVICE "end vmem0 plugged_size=1073741825\n", 3, "the limit is" },
    { DEVICE "end vmem0 plugged=0\n", 3, "an end line is" },
    { DEVICE "end vmem0 plugged_size=0 more\n", 3, "an end line is" },
    { DEVICE "1 vmem0 wakeup\n" DEVICE END, 4, "after the first record" },
    { DEVICE END "1 vmem0 wakeup\n", 4, "behind its end line 3" },
    { "device\n", 2, "a device line has" },
    { "device v addr=0 region_size=4096 block_size=4096 node=0 "
      "requested_size=0\n",
      2, "a device line has" },
    { "device v addr=0 region_size=4096 block_size=4096 node=0 "
      "requested_size=0 usable=extent:0 colour=red\n",
      2, "a device line has" },
    { "device v addr=0 region_size=4096 block_size=4096 node=0 "
      "requested_size=0 colour=red\n",
      2, "unknown word in a device line: \"colour=red\"" },
    { "device v addr=0 addr=0 block_size=4096 node=0 requested_size=0 "
      "usable=extent:0\n",
      2, "addr= is there twice" },
    { "device v addr=0 region_size=4096 block_size=4096 node=0 "
      "requested_size=0 usable=all\n",
      2, "unknown usable policy: \"all\"" },
    { "device v addr=0 region_size=4096 block_size=4096 node=0 "
      "requested_size=0 usable=extent:\n",
      2, "usable is not a number" },
    { "device v addr=0 region_size=4096 block_size=4096 node=65536 "
      "requested_size=0 usable=extent:0\n",
      2, "node is 65536, the limit is 65535" },
    { "device v addr=0 region_size=12288 block_size=12288 node=0 "
      "requested_size=0 usable=extent:0\n",
      2, "not a power of two" },
    { "device v addr=0 region_size=4096 block_size=0 node=0 "
      "requested_size=0 usable=extent:0\n",
      2, "not a power of two" },
    { "device v addr=1 region_size=4096 block_size=4096 node=0 "
      "requested_size=0 usable=extent:0\n",
      2, "addr is not a multiple" },
    { "device v addr=0 region_size=0 block_size=4096 node=0 "
      "requested_size=0 usable=extent:0\n",
      2, "region_size is not a positive multiple" },
    { "device v addr=0 region_size=4097 block_size=4096 node=0 "
      "requested_size=0 usable=extent:0\n",
      2, "region_size is not a positive multiple" },
    { "device v addr=0 region_size=4096 block_size=4096 node=0 "
      "requested_size=1 usable=extent:0\n",
      2, "requested_size is not a multiple" },
    { "device v addr=0 region_size=4096 block_size=4096 node=0 "
      "requested_size=8192 usable=extent:0\n",
      2, "requested_size exceeds region_size" },
    { "device v addr=0xfffffffffffff000 region_size=8192 block_size=4096 "
      "node=0 requested_size=0 usable=extent:0\n",
      2, "exceeds 64 bits" },
    { "device a/b addr=0 region_size=4096 block_size=4096 node=0 "
      "requested_size=0 usable=extent:0\n",
      2, "not a device name: \"a/b\"" },
    { "device * addr=0 region_size=4096 block_size=4096 node=0 "
      "requested_size=0 usable=extent:0\n",
      2, "not a device name" },
    { DEVICE "vmem0 resize 0\n" END, 3, "not a time in seconds: \"vmem0\"" },
    { DEVICE ". vmem0 resize 0\n" END, 3, "not a time" },
    { DEVICE "1. vmem0 resize 0\n" END, 3, "not a time" },
    { DEVICE "-1 vmem0 resize 0\n" END, 3, "not a time" },
    { DEVICE "1e9 vmem0 resize 0\n" END, 3, "not a time" },
    { DEVICE "1\n" END, 3, "a record is" },
    { DEVICE "1 vmem0\n" END, 3, "a record is" },
    { DEVICE "1 vmem1 wakeup\n" END, 3, "unknown device: \"vmem1\"" },
    { DEVICE "1 vmem0 explode\n" END, 3, "unknown operation: \"explode\"" },
    { DEVICE "1 * resize 0\n" END, 3, "resize needs the name of one device" },
    { DEVICE "1 vmem0 resize\n" END, 3, "resize takes BYTES" },
    { DEVICE "1 vmem0 resize 1M\n" END, 3, "the size is not a number: \"1M\"" },
    { DEVICE "1 vmem0 resize 0 accepted\n" END, 3, "not \"refused\"" },
    { DEVICE "1 vmem0 resize 0 refused x\n" END, 3, "resize takes BYTES" },
    { DEVICE "1 vmem0 resize 18446744073709551616\n" END, 3, "not a number" },
    { DEVICE "1 vmem0 plug 0\n" END, 3, "plug takes GPA NR_BLOCKS ANSWER" },
    { DEVICE "1 vmem0 plug 0x 1 ack\n" END, 3, "the address is not a number" },
    { DEVICE "1 vmem0 plug 0 65536 ack\n" END, 3, "the limit is 65535" },
    { DEVICE "1 vmem0 plug 0 1 ok\n" END, 3, "not an answer to plug: \"ok\"" },
    { DEVICE "1 vmem0 plug 0 1 ack:plugged\n" END, 3, "not an answer to plug" },
    { DEVICE "1 vmem0 unplug 0 1 ACK\n" END, 3, "not an answer to unplug" },
    { DEVICE "1 vmem0 state 0 1 ack\n" END, 3, "not an answer to state" },
    { DEVICE "1 vmem0 unplug_all\n" END, 3, "unplug_all takes an ANSWER" },
    { DEVICE "1 vmem0 unplug_all nack\n" END, 3,
      "not an answer to unplug_all" },
    { DEVICE "1 vmem0 busy\n" END, 3, "busy takes" },
    { DEVICE "1 vmem0 busy maybe\n" END, 3, "busy takes" },
    { DEVICE "1 vmem0 wakeup now\n" END, 3, "words behind wakeup" },
    { DEVICE "1 vmem0 wakeup\r\n" END, 3, "unknown operation: \"wakeup\\r\"" },
    { DEVICE
      "1 vmem0 "
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n" END,
      3, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"..." },
    { DEVICE "1 vmem0 \x1b[31m\xff\n" END, 3, "\"\\033[31m\\377\"" },
};

static void a_malformed_line_is_refused_with_file_line_and_reason(void **state)
{
    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(malformed); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text = g_strconcat(HEADER, malformed[i].text, NULL);
        g_autofree char *place = g_strdup_printf("t:%u: ", malformed[i].line);

        print_message("%s", malformed[i].text);
        assert_null(parse(text, &error));
        assert_non_null(error);
        if (!g_str_has_prefix(error->message, place) ||
            strstr(error->message, malformed[i].reason) == NULL) {
            fail_msg("got \"%s\", expected \"%s%s\"", error->message, place,
                     malformed[i].reason);
        }
    }
}

static void what_is_not_a_trace_is_refused(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        { "", "t:1: the file is empty" },
        { "hello\n", "t:1: the first line is not \"# vmem-trace 1\"" },
        { "# vmem-trace 2\n", "t:1: the first line is not \"# vmem-trace 1\"" },
        { DEVICE END, "t:1: the first line is not \"# vmem-trace 1\"" },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        assert_null(parse(cases[i].text, &error));
        assert_string_equal(error->message, cases[i].message);
    }

    static const char with_nul[] = HEADER DEVICE "1 vmem0 wake\0up\n" END;
    g_autoptr(GError) error = NULL;

    assert_null(trace_parse("t", with_nul, sizeof(with_nul) - 1, &error));
    assert_string_equal(error->message,
                        "t:3: a NUL byte: this is not a text file");
}

static void a_file_that_cannot_be_read_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;

    (void)state;
    assert_null(trace_read("/nonexistent/a.trace", &error));
    assert_true(g_str_has_prefix(error->message, "/nonexistent/a.trace: "));
}

/* Every prefix of a good trace is refused without a crash: recordings are cut
 * short in real life. */
static void a_trace_that_is_cut_short_is_refused(void **state)
{
    static const char text[] =
        HEADER DEVICE "1.5 vmem0 resize 2097152\n"
                      "3 vmem0 plug 0x100000000 1 ack\n" END;

    (void)state;
    /* Without its last newline it is still whole. */
    for (size_t size = 0; size < sizeof(text) - 2; size++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *copy = g_memdup2(text, size);

        assert_null(trace_parse("t", copy, size, &error));
        assert_non_null(error);
    }
}

static void every_recorded_trace_is_read(void **state)
{
    const char *data = getenv("VMEM_TEST_DATA");
    g_autofree char *folder = NULL;
    g_autoptr(GDir) dir = NULL;
    const char *name;
    unsigned nr_traces = 0;

    (void)state;
    if (data == NULL) {
        print_message("VMEM_TEST_DATA is not set\n");
        skip();
    }
    folder = g_build_filename(data, "traces", NULL);
    dir = g_dir_open(folder, 0, NULL);
    assert_non_null(dir);
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autoptr(GError) error = NULL;

        if (!g_str_has_suffix(name, ".trace")) {
            continue;
        }

        struct trace *trace = trace_read(path, &error);

        if (trace == NULL) {
            fail_msg("%s", error->message);
        }
        assert_true(trace->records->len > 0);
        trace_free(trace);
        nr_traces++;
    }
    assert_int_equal(nr_traces, 16);
}

static void numbers_are_strict(void **state)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } cases[] = {
        { "0", true, 0 },
        { "007", true, 7 },
        { "18446744073709551615", true, UINT64_MAX },
        { "0xffffffffffffffff", true, UINT64_MAX },
        { "0X1f", true, 31 },
        { "18446744073709551616", false, 0 },
        { "0x10000000000000000", false, 0 },
        { "", false, 0 },
        { "0x", false, 0 },
        { "-1", false, 0 },
        { "+1", false, 0 },
        { " 1", false, 0 },
        { "1 ", false, 0 },
        { "1f", false, 0 },
        { "0xg", false, 0 },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t value = 12345;

        assert_int_equal(units_parse_number(cases[i].text, &value),
                         cases[i].good);
        assert_int_equal(value, cases[i].good ? cases[i].value : 12345);
    }
}

static void sizes_read_well(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
        const char *mib;
    } cases[] = {
        { 0, "0", "0 MiB" },
        { 1, "1 B", "0.0 MiB" },
        { 1023, "1023 B", "0.0 MiB" },
        { 1536, "1.5 KiB", "0.0 MiB" },
        { 4096, "4 KiB", "0.0 MiB" },
        { 512 << 20, "512 MiB", "512 MiB" },
        { (1 << 30) - 1, "1023.9 MiB", "1023.9 MiB" },
        { (uint64_t)3 << 29, "1.5 GiB", "1536 MiB" },
        { (uint64_t)1 << 40, "1 TiB", "1048576 MiB" },
        { UINT64_MAX, "15.9 EiB", "17592186044415.9 MiB" },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = units_format_bytes(cases[i].bytes);
        g_autofree char *mib = units_format_mib(cases[i].bytes);

        assert_string_equal(text, cases[i].text);
        assert_string_equal(mib, cases[i].mib);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_trace_is_read),
        cmocka_unit_test(a_malformed_line_is_refused_with_file_line_and_reason),
        cmocka_unit_test(what_is_not_a_trace_is_refused),
        cmocka_unit_test(a_file_that_cannot_be_read_is_refused),
        cmocka_unit_test(a_trace_that_is_cut_short_is_refused),
        cmocka_unit_test(every_recorded_trace_is_read),
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(sizes_read_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
