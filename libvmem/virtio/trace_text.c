/* SPDX-License-Identifier: BSD-3-Clause */
/* Events as lines of a trace; the format is described beside the recorded ones,
 * in tests/data/traces/README.md. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include <vmem/device.h>

#include "base/name.h"
#include "base/sized.h"

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_US UINT64_C(1000)

/* Counts what it has no room for, as snprintf(). */
struct text {
    char *bytes;
    size_t size;
    size_t used;
};

static void put(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct text *text, const char *format, ...)
{
    const size_t at = text->used < text->size ? text->used : text->size;
    va_list args;

    va_start(args, format);
    text->used += (size_t)vsnprintf(at < text->size ? text->bytes + at : NULL,
                                    text->size - at, format, args);
    va_end(args);
}

/* "12.345678 vmem0 " */
static void put_start(struct text *text, const struct vmem_trace_event *event,
                      const struct vmemi_name *name)
{
    put(text, "%" PRIu64 ".%06" PRIu64 " %s ", event->time_ns / NS_PER_S,
        event->time_ns % NS_PER_S / NS_PER_US, name->text);
}

static void put_busy(struct text *text, const struct vmem_trace_event *event,
                     const struct vmemi_name *name, bool on)
{
    put_start(text, event, name);
    put(text, "busy %s\n", on ? "on" : "off");
}

static void put_request(struct text *text, const struct vmem_trace_event *event,
                        const struct vmemi_name *name)
{
    const bool is_busy_only_here = event->response == VMEM_RESPONSE_BUSY &&
                                   event->reason != VMEM_REASON_FROZEN;

    if (is_busy_only_here) {
        put_busy(text, event, name, true);
    }
    put_start(text, event, name);
    put(text, "%s", vmem_request_type_name(event->type));
    if (event->type != VMEM_REQUEST_UNPLUG_ALL) {
        put(text, " 0x%" PRIx64 " %" PRIu32, event->gpa, event->nr_blocks);
    }
    put(text, " %s", vmem_response_type_name(event->response));
    if (event->type == VMEM_REQUEST_STATE &&
        event->response == VMEM_RESPONSE_ACK) {
        put(text, ":%s", vmem_block_state_name(event->state));
    }
    put(text, "\n");
    if (is_busy_only_here) {
        put_busy(text, event, name, false);
    }
}

static void put_reset(struct text *text, const struct vmem_trace_event *event,
                      const struct vmemi_name *name)
{
    const bool is_busy_only_here =
        event->code != 0 && event->reason == VMEM_REASON_LISTENER_VETO;

    if (is_busy_only_here) {
        put_busy(text, event, name, true);
    }
    put_start(text, event, name);
    put(text, "%s%s\n", vmem_reset_kind_name(event->type),
        event->type == VMEM_RESET_WAKEUP ? "" : "_reset");
    if (is_busy_only_here) {
        put_busy(text, event, name, false);
    }
}

static void put_event(struct text *text, const struct vmem_trace_event *event,
                      const struct vmemi_name *name)
{
    switch (event->kind) {
    case VMEM_TRACE_REQUEST:
        put_request(text, event, name);
        break;
    case VMEM_TRACE_RESIZE:
        put_start(text, event, name);
        put(text, "resize %" PRIu64 "%s\n", event->size,
            event->code != 0 ? " refused" : "");
        break;
    case VMEM_TRACE_RESET:
        put_reset(text, event, name);
        break;
    case VMEM_TRACE_LOAD:
        put(text, "# ");
        put_start(text, event, name);
        put(text, "loaded %" PRIu64 ": a replay cannot follow\n", event->size);
        break;
    default:
        put_busy(text, event, name, event->frozen != 0);
        break;
    }
}

/* Is every number one that the format has a word for? */
static bool is_known(const struct vmem_trace_event *event)
{
    switch (event->kind) {
    case VMEM_TRACE_REQUEST:
        return event->type <= VMEM_REQUEST_STATE &&
               event->response <= VMEM_RESPONSE_ERROR &&
               event->state <= VMEM_STATE_MIXED;
    case VMEM_TRACE_RESET:
        return event->type >= VMEM_RESET_DRIVER &&
               event->type <= VMEM_RESET_WAKEUP;
    case VMEM_TRACE_RESIZE:
    case VMEM_TRACE_FREEZE:
    case VMEM_TRACE_LOAD:
        return true;
    default:
        return false;
    }
}

/* Whatever the locale, a word of the format is made of these. */
static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

int vmem_trace_event_format(const struct vmem_trace_event *event,
                            const char *name, char *text, size_t size)
{
    struct text out = { .bytes = text, .size = size };
    struct vmem_trace_event known;
    struct vmemi_name word;
    int ret =
        vmemi_sized_read(&known, sizeof(known),
                         VMEMI_SIZE_THROUGH(struct vmem_trace_event, code),
                         event, "event", NULL);

    /* What a newer library knows besides does not change the line. */
    if (ret < 0 && ret != -E2BIG) {
        return ret;
    }
    ret = vmemi_name_set(&word, name, "name", NULL);
    if (ret < 0) {
        return ret;
    }
    if (!is_known(&known) || (text == NULL && size > 0)) {
        return -EINVAL;
    }
    for (char *c = word.text; *c != '\0'; c++) {
        *c = is_word(*c) ? *c : '_';
    }
    put_event(&out, &known, &word);
    return (int)out.used;
}
