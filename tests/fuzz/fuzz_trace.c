/* SPDX-License-Identifier: BSD-3-Clause */
/* The trace reader: any bytes are a whole trace or a message with the line. What
 * was read is written down again, and must read as the same. */
#include <stdlib.h>

#include <vmem/device.h>
#include <vmem/types.h>

#include "fuzz_check.h"
#include "fuzz_input.h"
#include "trace.h"

#define NAME "fuzz.trace"

static void check_message(const GError *error)
{
    size_t length = strlen(NAME ":");
    const char *rest;
    char *end = NULL;

    fuzz_check(error != NULL && error->domain == TRACE_ERROR, "no error");
    fuzz_check(strncmp(error->message, NAME ":", length) == 0, "%s",
               error->message);
    rest = error->message + length;
    fuzz_check(strtoul(rest, &end, 10) > 0 && end != rest &&
                   strncmp(end, ": ", 2) == 0 && end[2] != '\0',
               "%s", error->message);
    for (const char *c = error->message; *c != '\0'; c++) {
        fuzz_check(*c >= ' ' && *c <= '~', "unprintable: %s", error->message);
    }
}

/* Whatever was read can be given to a device. */
static void check_device(const struct trace_device *device)
{
    uint64_t mask = device->block_size - 1;

    fuzz_check(device->name != NULL && device->name[0] != '\0' &&
                   strlen(device->name) <= VMEM_NAME_MAX,
               "name");
    fuzz_check(device->block_size > 0 && (device->block_size & mask) == 0,
               "block size");
    fuzz_check(((device->gpa | device->region_size | device->requested_size) &
                mask) == 0,
               "alignment");
    fuzz_check(device->requested_size <= device->region_size &&
                   device->end_plugged_size <= device->region_size &&
                   device->region_size <= UINT64_MAX - device->gpa,
               "sizes");
    fuzz_check(device->end_line > device->line && device->node <= UINT16_MAX,
               "line");
}

static void check_record(const struct trace *trace,
                         const struct trace_record *record)
{
    fuzz_check(record->op >= TRACE_RESIZE && record->op <= TRACE_BUSY_OFF,
               "op %d", (int)record->op);
    fuzz_check(record->device == TRACE_ALL_DEVICES ||
                   (record->device >= 0 &&
                    (unsigned)record->device < trace->devices->len),
               "device %d", record->device);
    fuzz_check(record->response <= VMEM_RESPONSE_ERROR, "response");
    fuzz_check(record->state >= TRACE_NO_STATE &&
                   record->state <= (int)VMEM_STATE_MIXED,
               "state %d", record->state);
    fuzz_check(record->seconds >= 0, "time");
}

static const char *answer_of(const struct trace_record *record)
{
    static const char *const answers[] = { "ack", "nack", "busy", "error" };
    static const char *const states[] = { "ack:plugged", "ack:unplugged",
                                          "ack:mixed" };

    return record->state >= 0 ? states[record->state]
                              : answers[record->response];
}

static void write_record(const struct trace *trace,
                         const struct trace_record *record, GString *text)
{
    char seconds[G_ASCII_DTOSTR_BUF_SIZE];
    const char *name =
        record->device == TRACE_ALL_DEVICES
            ? "*"
            : trace_get_device(trace, (unsigned)record->device)->name;

    g_ascii_formatd(seconds, sizeof(seconds), "%.0f", record->seconds);
    g_string_append_printf(text, "%s %s %s", seconds, name,
                           trace_op_name(record->op));
    switch (record->op) {
    case TRACE_RESIZE:
        g_string_append_printf(text, " %" G_GUINT64_FORMAT "%s", record->size,
                               record->refused ? " refused" : "");
        break;
    case TRACE_PLUG:
    case TRACE_UNPLUG:
    case TRACE_STATE:
        g_string_append_printf(text, " 0x%" G_GINT64_MODIFIER "x %u %s",
                               record->gpa, record->nr_blocks,
                               answer_of(record));
        break;
    case TRACE_UNPLUG_ALL:
        g_string_append_printf(text, " %s", answer_of(record));
        break;
    case TRACE_BUSY_ON:
    case TRACE_BUSY_OFF:
        g_string_append(text, record->op == TRACE_BUSY_ON ? " on" : " off");
        break;
    case TRACE_SYSTEM_RESET:
    case TRACE_DRIVER_RESET:
    case TRACE_WAKEUP:
        break;
    }
    g_string_append_c(text, '\n');
}

static GString *write_trace(const struct trace *trace)
{
    GString *text = g_string_new("# vmem-trace 1\n");

    for (unsigned i = 0; i < trace->devices->len; i++) {
        const struct trace_device *device = trace_get_device(trace, i);

        g_string_append_printf(
            text,
            "device %s addr=0x%" G_GINT64_MODIFIER "x "
            "region_size=%" G_GUINT64_FORMAT " block_size=%" G_GUINT64_FORMAT
            " node=%" G_GUINT64_FORMAT " requested_size=%" G_GUINT64_FORMAT
            " usable=extent:%" G_GUINT64_FORMAT "\n",
            device->name, device->gpa, device->region_size, device->block_size,
            device->node, device->requested_size, device->usable_extent);
    }
    for (unsigned i = 0; i < trace->records->len; i++) {
        write_record(trace, trace_get_record(trace, i), text);
    }
    for (unsigned i = 0; i < trace->devices->len; i++) {
        const struct trace_device *device = trace_get_device(trace, i);

        g_string_append_printf(text,
                               "end %s plugged_size=%" G_GUINT64_FORMAT "\n",
                               device->name, device->end_plugged_size);
    }
    return text;
}

static void check_again(const struct trace *trace)
{
    GString *text = write_trace(trace);
    GError *error = NULL;
    struct trace *again = trace_parse(NAME, text->str, text->len, &error);

    fuzz_check(again != NULL, "%s\n%s", error->message, text->str);
    fuzz_check(again->devices->len == trace->devices->len &&
                   again->records->len == trace->records->len,
               "%s", text->str);
    for (unsigned i = 0; i < trace->devices->len; i++) {
        const struct trace_device *a = trace_get_device(trace, i);
        const struct trace_device *b = trace_get_device(again, i);

        fuzz_check(strcmp(a->name, b->name) == 0 && a->gpa == b->gpa &&
                       a->region_size == b->region_size &&
                       a->block_size == b->block_size && a->node == b->node &&
                       a->requested_size == b->requested_size &&
                       a->usable_extent == b->usable_extent &&
                       a->end_plugged_size == b->end_plugged_size,
                   "device %u of\n%s", i, text->str);
    }
    for (unsigned i = 0; i < trace->records->len; i++) {
        const struct trace_record *a = trace_get_record(trace, i);
        const struct trace_record *b = trace_get_record(again, i);

        fuzz_check(a->op == b->op && a->device == b->device &&
                       a->refused == b->refused && a->size == b->size &&
                       a->gpa == b->gpa && a->nr_blocks == b->nr_blocks &&
                       a->response == b->response && a->state == b->state,
                   "record %u of\n%s", i, text->str);
    }
    trace_free(again);
    g_string_free(text, TRUE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GError *error = NULL;
    struct trace *trace = trace_parse(NAME, (const char *)data, size, &error);

    if (trace == NULL) {
        check_message(error);
        g_error_free(error);
        return 0;
    }
    fuzz_check(error == NULL, "%s", error->message);
    fuzz_check(trace->devices->len > 0, "no device");
    for (unsigned i = 0; i < trace->devices->len; i++) {
        check_device(trace_get_device(trace, i));
    }
    for (unsigned i = 0; i < trace->records->len; i++) {
        check_record(trace, trace_get_record(trace, i));
    }
    check_again(trace);
    trace_free(trace);
    return 0;
}
