/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_TRACE_WRITE_H
#define VMEMCTL_TRACE_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include <vmem/device.h>

/* Writes what a device tells its vmem_device_ops.trace into a file that vmemctl
 * replay reads; any program can do the same. The format is described beside the
 * recorded traces, in tests/data/traces/README.md.
 *
 * Everything is kept until the end: events of several threads come in any
 * order, and are written in the order of their sequence numbers. */

struct trace_writer;
struct trace_writer_device;

/* Never fails. Free it with trace_writer_free(). */
struct trace_writer *trace_writer_new(void);
void trace_writer_free(struct trace_writer *writer);

/* A device to be, so that its trace hook has an opaque. The writer's; it is called
 * vmem0, vmem1, ... unless it is described. */
struct trace_writer_device *trace_writer_add(struct trace_writer *writer);

/* What it is, once it was made and before its first event, with the policy that
 * it was made with. It must not have been made with a usable_region_size, which
 * the format cannot say. */
void trace_writer_describe(struct trace_writer_device *device,
                           struct vmem_device *made, uint64_t usable_policy,
                           uint64_t usable_headroom);

/* What the trace hook calls; on any thread. */
void trace_writer_event(struct trace_writer_device *device,
                        const struct vmem_trace_event *event);

/* The whole trace as text, each comment line of comment behind a "#"; NULL is
 * none. Free it with g_free(). */
char *trace_writer_format(struct trace_writer *writer, const char *comment);

/* Writes that to a file, whole or not at all. */
bool trace_writer_save(struct trace_writer *writer, const char *path,
                       const char *comment, GError **error);

#endif /* VMEMCTL_TRACE_WRITE_H */
