/* SPDX-License-Identifier: BSD-3-Clause */
/* --trace: what the devices tell their trace hook, in the format of recorded
 * traces, which vmemctl replays. Kept until the end, because events of several
 * threads come in any order and are written in that of their sequence. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../minivmm.h"

struct trace_log {
    pthread_mutex_t lock;
    struct vmem_trace_event *events;
    size_t nr_events;
    size_t room;
    size_t next;       /* while writing */
    uint64_t plugged;  /* while writing */
    bool is_truncated; /* no memory for an event: the trace is of no use */
};

struct trace_log *trace_new(void)
{
    struct trace_log *log = calloc(1, sizeof(*log));

    if (log != NULL) {
        pthread_mutex_init(&log->lock, NULL);
    }
    return log;
}

void trace_free(struct trace_log *log)
{
    if (log != NULL) {
        pthread_mutex_destroy(&log->lock);
        free(log->events);
        free(log);
    }
}

void trace_add(struct trace_log *log, const struct vmem_trace_event *event)
{
    pthread_mutex_lock(&log->lock);
    if (log->nr_events == log->room) {
        const size_t room = log->room == 0 ? 256 : 2 * log->room;
        void *events = realloc(log->events, room * sizeof(*log->events));

        if (events != NULL) {
            log->events = events;
            log->room = room;
        }
    }
    if (log->nr_events < log->room) {
        log->events[log->nr_events++] = *event;
    } else {
        log->is_truncated = true;
    }
    pthread_mutex_unlock(&log->lock);
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = ((const struct vmem_trace_event *)a)->sequence;
    const uint64_t y = ((const struct vmem_trace_event *)b)->sequence;

    return x < y ? -1 : x > y;
}

static void put_start(FILE *out, const struct memory_device *memory,
                      const struct vmem_trace_event *event)
{
    fprintf(out, "%" PRIu64 ".%06" PRIu64 " %s ", event->time_ns / 1000000000,
            event->time_ns % 1000000000 / 1000, memory->options->name);
}

static void put_request(FILE *out, const struct memory_device *memory,
                        const struct vmem_trace_event *event)
{
    static const char *const types[] = { "plug", "unplug", "unplug_all",
                                         "state" };
    static const char *const answers[] = { "ack", "nack", "busy", "error" };
    static const char *const states[] = { "plugged", "unplugged", "mixed" };
    /* A replay has no listener that could object, but it can be told. */
    const bool objected = event->response == VMEM_RESPONSE_BUSY &&
                          event->reason != VMEM_REASON_FROZEN;

    if (objected) {
        put_start(out, memory, event);
        fputs("busy on\n", out);
    }
    put_start(out, memory, event);
    fputs(types[event->type], out);
    if (event->type != VMEM_REQUEST_UNPLUG_ALL) {
        fprintf(out, " 0x%" PRIx64 " %u", event->gpa, event->nr_blocks);
    }
    fprintf(out, " %s", answers[event->response]);
    if (event->type == VMEM_REQUEST_STATE &&
        event->response == VMEM_RESPONSE_ACK) {
        fprintf(out, ":%s", states[event->state]);
    }
    fputc('\n', out);
    if (objected) {
        put_start(out, memory, event);
        fputs("busy off\n", out);
    }
}

static void put_event(FILE *out, const struct memory_device *memory,
                      const struct vmem_trace_event *event)
{
    switch (event->kind) {
    case VMEM_TRACE_REQUEST:
        put_request(out, memory, event);
        return;
    case VMEM_TRACE_RESIZE:
        put_start(out, memory, event);
        fprintf(out, "resize %" PRIu64 "%s\n", event->size,
                event->code != 0 ? " refused" : "");
        return;
    case VMEM_TRACE_RESET:
        put_start(out, memory, event);
        fprintf(out, "%s\n",
                event->type == VMEM_RESET_SYSTEM   ? "system_reset"
                : event->type == VMEM_RESET_DRIVER ? "driver_reset"
                                                   : "wakeup");
        return;
    case VMEM_TRACE_FREEZE:
        put_start(out, memory, event);
        fprintf(out, "busy %s\n", event->frozen != 0 ? "on" : "off");
        return;
    default:
        return;
    }
}

/* What is plugged after that event; the trace says it at its end. */
static void follow_size(struct trace_log *log, uint64_t block_size,
                        const struct vmem_trace_event *event)
{
    const uint64_t size = event->nr_blocks * block_size;

    if (event->kind == VMEM_TRACE_RESET) {
        log->plugged = event->type == VMEM_RESET_SYSTEM && event->code == 0
                           ? 0
                           : log->plugged;
    } else if (event->kind == VMEM_TRACE_REQUEST &&
               event->response == VMEM_RESPONSE_ACK) {
        log->plugged = event->type == VMEM_REQUEST_PLUG ? log->plugged + size
                       : event->type == VMEM_REQUEST_UNPLUG
                           ? log->plugged - size
                       : event->type == VMEM_REQUEST_UNPLUG_ALL ? 0
                                                                : log->plugged;
    }
}

static void put_device(FILE *out, struct memory_device *memory)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    vmem_device_get_info(memory->device, &info);
    fprintf(out,
            "device %s addr=0x%" PRIx64 " region_size=%" PRIu64
            " block_size=%" PRIu64 " node=%" PRIu64 " requested_size=%" PRIu64
            " usable=unit:%" PRIu64 "\n",
            memory->options->name, info.gpa, info.region_size, info.block_size,
            info.node_id, memory->options->requested_size, 2 * GIB);
}

/* The device whose next event is the oldest. */
static struct memory_device *find_oldest(struct vm *vm)
{
    struct memory_device *oldest = NULL;
    uint64_t oldest_ns = 0;

    for (unsigned i = 0; i < vm->nr_devices; i++) {
        const struct trace_log *log = vm->devices[i].trace;

        if (log->next < log->nr_events &&
            (oldest == NULL || log->events[log->next].time_ns < oldest_ns)) {
            oldest = &vm->devices[i];
            oldest_ns = log->events[log->next].time_ns;
        }
    }
    return oldest;
}

static uint64_t block_size_of(struct memory_device *memory)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    vmem_device_get_info(memory->device, &info);
    return info.block_size;
}

int trace_save(struct vm *vm, const char *path)
{
    struct memory_device *memory;
    bool is_truncated = false;
    FILE *out = fopen(path, "we");

    if (out == NULL) {
        return complain("cannot write the trace %s: %s", path, strerror(errno));
    }
    fputs("# vmem-trace 1\n", out);
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        struct trace_log *log = vm->devices[i].trace;

        if (log->nr_events > 0) {
            qsort(log->events, log->nr_events, sizeof(*log->events), compare);
        }
        is_truncated = is_truncated || log->is_truncated;
        put_device(out, &vm->devices[i]);
    }
    while ((memory = find_oldest(vm)) != NULL) {
        struct trace_log *log = memory->trace;

        put_event(out, memory, &log->events[log->next]);
        follow_size(log, block_size_of(memory), &log->events[log->next]);
        log->next++;
    }
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        fprintf(out, "end %s plugged_size=%" PRIu64 "\n",
                vm->devices[i].options->name, vm->devices[i].trace->plugged);
    }
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed || is_truncated) {
        return complain("the trace %s is not complete", path);
    }
    return 0;
}
