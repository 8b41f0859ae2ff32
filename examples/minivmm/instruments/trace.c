/* SPDX-License-Identifier: BSD-3-Clause */
/* --trace: what the devices tell their trace hook, in the format of recorded
 * traces, which vmemctl replays. Kept until the end, because events of several
 * threads come in any order and are written in that of their sequence. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "instruments.h"

struct entry {
    const struct memory *memory;
    struct vmem_trace_event event;
};

static struct {
    pthread_mutex_t lock;
    struct entry *entries;
    size_t nr;
    size_t room;
    bool is_truncated; /* no memory for an event: the trace is of no use */
    FILE *out;
} events = { .lock = PTHREAD_MUTEX_INITIALIZER };

void trace_event(const struct vmem_trace_event *event, void *opaque)
{
    pthread_mutex_lock(&events.lock);
    if (events.nr == events.room) {
        const size_t room = 2 * events.room + 256;
        void *entries = realloc(events.entries, room * sizeof(*events.entries));

        if (entries != NULL) {
            events.entries = entries;
            events.room = room;
        }
    }
    if (events.nr < events.room) {
        events.entries[events.nr++] = (struct entry){ opaque, *event };
    } else {
        events.is_truncated = true;
    }
    pthread_mutex_unlock(&events.lock);
}

/* The sequence is that of one region; between two the time decides. */
static int compare(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;

    return x->memory == y->memory ? (x->event.sequence > y->event.sequence) -
                                        (x->event.sequence < y->event.sequence)
                                  : (x->event.time_ns > y->event.time_ns) -
                                        (x->event.time_ns < y->event.time_ns);
}

static void put_device(FILE *out, const struct memory *memory)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    vmem_device_get_info(memory->device, &info);
    fprintf(out,
            "device %s addr=0x%" PRIx64 " region_size=%" PRIu64
            " block_size=%" PRIu64 " node=%" PRIu64
            " requested_size=0 usable=unit:%" PRIu64 "\n",
            info.name, info.gpa, info.region_size, info.block_size,
            info.node_id, 2 * GIB);
}

static void put_end(FILE *out, const struct memory *memory)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    vmem_device_get_info(memory->device, &info);
    fprintf(out, "end %s plugged_size=%" PRIu64 "\n", info.name,
            info.plugged_size);
}

int trace_open(const char *path)
{
    events.out = fopen(path, "we");
    return events.out != NULL
               ? 0
               : complain("--trace %s: %s", path, strerror(errno));
}

int trace_save(struct vm *vm, const char *path)
{
    FILE *out = events.out;

    fputs("# vmem-trace 1\n", out);
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        put_device(out, &vm->devices[i]);
    }
    if (events.nr > 0) {
        qsort(events.entries, events.nr, sizeof(*events.entries), compare);
    }
    for (size_t i = 0; i < events.nr; i++) {
        const struct entry *entry = &events.entries[i];
        char text[VMEM_TRACE_TEXT_SIZE];

        if (vmem_trace_event_format(&entry->event, entry->memory->name, text,
                                    sizeof(text)) > 0) {
            fputs(text, out);
        }
    }
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        put_end(out, &vm->devices[i]);
    }
    free(events.entries);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed || events.is_truncated) {
        return complain("--trace %s: the trace is not complete", path);
    }
    return 0;
}
