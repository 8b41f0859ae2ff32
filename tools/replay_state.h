/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_REPLAY_STATE_H
#define VMEMCTL_REPLAY_STATE_H

#include "replay.h"

/* Something that is not as recorded. */
struct replay_failure {
    unsigned line;    /* of the trace */
    const char *kind; /* a stable word for machines */
    char *message;
};

/* A replay that is running; shared by the files that it is made of. */
struct replay {
    const struct trace *trace;
    const struct replay_options *options;
    struct report *report;
    struct replay_totals *totals;
    struct vmem_vm *vm;
    struct rig *rigs;       /* one per device of the trace */
    uint64_t *expected;     /* plugged bytes, by the recorded answers */
    unsigned nr_unmeasured; /* changes since the last measurement */
    unsigned line;          /* of the record at hand */
    GArray *failures;       /* of struct replay_failure */
};

/* Where things stand, summed over the devices. */
struct replay_sample {
    uint64_t plugged;  /* bytes */
    uint64_t resident; /* bytes, measured */
    uint64_t retained; /* bytes */
    uint64_t nr_discards;
    uint64_t nr_syscalls; /* of discards and populates */
};

/* replay_guest.c */

/* Whether an operation is a guest's request, and which. */
bool replay_find_request(enum trace_op op, uint16_t *type);
void replay_request(struct replay *replay, const struct trace_record *record,
                    uint16_t type);

/* replay_host.c: what the host does, which begins a new phase. */

void replay_event(struct replay *replay, const struct trace_record *record);

/* replay_check.c: each reports what it finds with replay_fail(). */

/* Measures, and compares resident with plugged memory. */
void replay_measure(struct replay *replay, struct replay_sample *sample);
/* Sizes and listeners of one device, after a record. */
void replay_check_device(struct replay *replay, unsigned device);
/* An unplugged range must be gone. */
void replay_check_gone(struct replay *replay, unsigned device,
                       const struct vmem_range *range);
/* Everything plugged in a range still holds what was written; with NULL, in
 * all of the region. */
void replay_check_contents(struct replay *replay, unsigned device,
                           const struct vmem_range *range);
/* The end line of one device. */
void replay_check_end(struct replay *replay, unsigned device);

/* replay_report.c */

void replay_report_begin(struct replay *replay);
/* A row: how things stand before event. */
void replay_report_sample(struct replay *replay,
                          const struct replay_sample *sample, double seconds,
                          const char *event);
/* The map at the end, while there are devices. */
void replay_report_devices(struct replay *replay);
void replay_report_end(struct replay *replay);
/* Nothing once the host has failed, for what comes then is its consequence. */
void replay_fail(struct replay *replay, const char *kind, const char *format,
                 ...) G_GNUC_PRINTF(3, 4);
/* The host cannot go on; ends the replay after the record at hand. */
void replay_fail_host(struct replay *replay, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

#endif /* VMEMCTL_REPLAY_STATE_H */
