/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_TRACE_H
#define VMEMCTL_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

/* A recording of what a guest asked and was answered; the format is described
 * beside the traces, in tests/data/traces/README.md. This reader calls nothing
 * of libvmem. */

enum trace_op {
    TRACE_RESIZE = 1,
    TRACE_PLUG,
    TRACE_UNPLUG,
    TRACE_UNPLUG_ALL,
    TRACE_STATE,
    TRACE_SYSTEM_RESET,
    TRACE_DRIVER_RESET,
    TRACE_WAKEUP,
    TRACE_BUSY_ON,
    TRACE_BUSY_OFF,
};

/* trace_record.device of a record for "*". */
#define TRACE_ALL_DEVICES (-1)
/* trace_record.state of an answer that carries none. */
#define TRACE_NO_STATE (-1)

struct trace_device {
    char *name;
    uint64_t gpa;
    uint64_t region_size;
    uint64_t block_size;
    uint64_t requested_size;
    uint64_t usable_policy; /* an enum vmem_usable_policy */
    uint64_t usable_extent; /* the N of that policy, bytes */
    uint64_t node;
    uint64_t end_plugged_size;
    unsigned line;
    unsigned end_line; /* 0 while reading: no end line yet */
};

struct trace_record {
    unsigned line;
    enum trace_op op;
    int device;         /* index, or TRACE_ALL_DEVICES */
    bool refused;       /* RESIZE: the size was invalid */
    double seconds;     /* since power-on of the recording machine */
    uint64_t size;      /* RESIZE: bytes */
    uint64_t gpa;       /* PLUG, UNPLUG, STATE */
    uint16_t nr_blocks; /* PLUG, UNPLUG, STATE */
    uint16_t response;  /* an enum vmem_response_type */
    int state;          /* an enum vmem_block_state, or TRACE_NO_STATE */
};

struct trace {
    char *name;      /* of the file, for people */
    GArray *devices; /* of struct trace_device, in the order of the file */
    GArray *records; /* of struct trace_record */
};

/* What a reader says when it refuses a file; the message is
 * "FILE:LINE: REASON", or "FILE: REASON" when the file cannot be read. */
#define TRACE_ERROR (trace_error_quark())
GQuark trace_error_quark(void);

enum trace_error {
    TRACE_ERROR_MALFORMED = 1,
};

/* Reads text of any bytes, name being used in messages only. NULL and an error
 * for anything but a whole, well-formed trace. Free it with trace_free(). */
struct trace *trace_parse(const char *name, const char *text, size_t size,
                          GError **error);

/* The same for a file. */
struct trace *trace_read(const char *path, GError **error);

/* NULL is allowed. */
void trace_free(struct trace *trace);

static inline const struct trace_device *
trace_get_device(const struct trace *trace, unsigned i)
{
    return &g_array_index(trace->devices, struct trace_device, i);
}

static inline const struct trace_record *
trace_get_record(const struct trace *trace, unsigned i)
{
    return &g_array_index(trace->records, struct trace_record, i);
}

/* "resize", "plug", ... as written in a trace. */
const char *trace_op_name(enum trace_op op);

#endif /* VMEMCTL_TRACE_H */
