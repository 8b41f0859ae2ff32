/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace_write.h"

#include <inttypes.h>
#include <string.h>

#include <vmem/error.h>

#define DEFAULT_UNIT ((uint64_t)2 << 30)

struct trace_writer_device {
    struct trace_writer *writer;
    struct vmem_device_info info; /* when it was made; name is a copy */
    char name[VMEM_NAME_MAX + 1];
    uint64_t usable_policy;
    uint64_t usable_headroom;
    uint64_t plugged_size; /* while formatting */
    GArray *events;        /* of struct vmem_trace_event */
    unsigned next;         /* event to write; while formatting */
};

struct trace_writer {
    GMutex lock;
    GPtrArray *devices; /* of struct trace_writer_device */
};

static void free_device(void *item)
{
    struct trace_writer_device *device = item;

    g_array_unref(device->events);
    g_free(device);
}

struct trace_writer *trace_writer_new(void)
{
    struct trace_writer *writer = g_new0(struct trace_writer, 1);

    g_mutex_init(&writer->lock);
    writer->devices = g_ptr_array_new_with_free_func(free_device);
    return writer;
}

void trace_writer_free(struct trace_writer *writer)
{
    if (writer != NULL) {
        g_ptr_array_unref(writer->devices);
        g_mutex_clear(&writer->lock);
        g_free(writer);
    }
}

struct trace_writer_device *trace_writer_add(struct trace_writer *writer)
{
    struct trace_writer_device *device = g_new0(struct trace_writer_device, 1);

    device->writer = writer;
    g_snprintf(device->name, sizeof(device->name), "vmem%u",
               writer->devices->len);
    device->events = g_array_new(FALSE, FALSE, sizeof(struct vmem_trace_event));
    g_ptr_array_add(writer->devices, device);
    return device;
}

void trace_writer_describe(struct trace_writer_device *device,
                           struct vmem_device *made, uint64_t usable_policy,
                           uint64_t usable_headroom)
{
    const bool is_default = usable_policy == VMEM_USABLE_DEFAULT;
    const bool is_unit = is_default || usable_policy == VMEM_USABLE_UNIT;

    device->info.struct_size = sizeof(device->info);
    (void)vmem_device_get_info(made, &device->info);
    g_strlcpy(device->name, device->info.name, sizeof(device->name));
    /* A name is a word in a trace. */
    g_strcanon(device->name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.-",
               '_');
    device->usable_policy = is_unit ? VMEM_USABLE_UNIT : usable_policy;
    device->usable_headroom = is_default || (is_unit && usable_headroom == 0)
                                  ? DEFAULT_UNIT
                                  : usable_headroom;
}

void trace_writer_event(struct trace_writer_device *device,
                        const struct vmem_trace_event *event)
{
    g_mutex_lock(&device->writer->lock);
    g_array_append_vals(device->events, event, 1);
    g_mutex_unlock(&device->writer->lock);
}

static int compare_sequence(const void *a, const void *b)
{
    const uint64_t x = ((const struct vmem_trace_event *)a)->sequence;
    const uint64_t y = ((const struct vmem_trace_event *)b)->sequence;

    return x < y ? -1 : x > y;
}

static void put_device(GString *text, const struct trace_writer_device *device)
{
    const struct vmem_device_info *info = &device->info;

    g_string_append_printf(
        text,
        "device %s addr=0x%" PRIx64 " region_size=%" PRIu64
        " block_size=%" PRIu64 " node=%" PRIu64 " requested_size=%" PRIu64,
        device->name, info->gpa, info->region_size, info->block_size,
        info->node_id, info->requested_size);
    if (device->usable_policy == VMEM_USABLE_ALL) {
        g_string_append(text, " usable=region\n");
    } else {
        g_string_append_printf(
            text, " usable=%s:%" PRIu64 "\n",
            device->usable_policy == VMEM_USABLE_UNIT ? "unit" : "extent",
            device->usable_headroom);
    }
}

/* What is plugged after that event; the trace says it at its end. */
static void follow_size(struct trace_writer_device *device,
                        const struct vmem_trace_event *event)
{
    const uint64_t size = event->nr_blocks * device->info.block_size;
    const bool is_ack = event->kind == VMEM_TRACE_REQUEST &&
                        event->response == VMEM_RESPONSE_ACK;

    if (event->kind == VMEM_TRACE_LOAD) {
        device->plugged_size = event->size;
    } else if (event->kind == VMEM_TRACE_RESET) {
        if (event->type == VMEM_RESET_SYSTEM && event->code == 0) {
            device->plugged_size = 0;
        }
    } else if (is_ack && event->type == VMEM_REQUEST_PLUG) {
        device->plugged_size += size;
    } else if (is_ack && event->type == VMEM_REQUEST_UNPLUG) {
        device->plugged_size -= size;
    } else if (is_ack && event->type == VMEM_REQUEST_UNPLUG_ALL) {
        device->plugged_size = 0;
    }
}

static void put_event(GString *text, struct trace_writer_device *device,
                      const struct vmem_trace_event *event)
{
    char line[VMEM_TRACE_TEXT_SIZE] = "";

    (void)vmem_trace_event_format(event, device->name, line, sizeof(line));
    g_string_append(text, line);
    follow_size(device, event);
}

/* The device whose next event is the oldest; NULL when all are written. */
static struct trace_writer_device *find_oldest(struct trace_writer *writer)
{
    struct trace_writer_device *oldest = NULL;
    uint64_t oldest_ns = 0;

    for (unsigned i = 0; i < writer->devices->len; i++) {
        struct trace_writer_device *device =
            g_ptr_array_index(writer->devices, i);
        const struct vmem_trace_event *event = &g_array_index(
            device->events, struct vmem_trace_event, device->next);

        if (device->next < device->events->len &&
            (oldest == NULL || event->time_ns < oldest_ns)) {
            oldest = device;
            oldest_ns = event->time_ns;
        }
    }
    return oldest;
}

static void put_comment(GString *text, const char *comment)
{
    g_auto(GStrv) lines = g_strsplit(comment, "\n", -1);

    for (unsigned i = 0; lines[i] != NULL; i++) {
        g_string_append_printf(text, "# %s\n", lines[i]);
    }
}

char *trace_writer_format(struct trace_writer *writer, const char *comment)
{
    GString *text = g_string_new("# vmem-trace 1\n");
    struct trace_writer_device *device;

    g_mutex_lock(&writer->lock);
    if (comment != NULL) {
        put_comment(text, comment);
    }
    for (unsigned i = 0; i < writer->devices->len; i++) {
        device = g_ptr_array_index(writer->devices, i);
        g_array_sort(device->events, compare_sequence);
        device->plugged_size = 0;
        device->next = 0;
        put_device(text, device);
    }
    while ((device = find_oldest(writer)) != NULL) {
        put_event(text, device,
                  &g_array_index(device->events, struct vmem_trace_event,
                                 device->next));
        device->next++;
    }
    for (unsigned i = 0; i < writer->devices->len; i++) {
        device = g_ptr_array_index(writer->devices, i);
        g_string_append_printf(text, "end %s plugged_size=%" PRIu64 "\n",
                               device->name, device->plugged_size);
    }
    g_mutex_unlock(&writer->lock);
    return g_string_free(text, FALSE);
}

bool trace_writer_save(struct trace_writer *writer, const char *path,
                       const char *comment, GError **error)
{
    g_autofree char *text = trace_writer_format(writer, comment);

    return g_file_set_contents(path, text, -1, error);
}
