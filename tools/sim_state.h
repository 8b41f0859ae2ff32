/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_SIM_STATE_H
#define VMEMCTL_SIM_STATE_H

#include "sim/guest_sim.h"
#include "sim_run.h"
#include "trace_write.h"

/* Something that must not be. */
struct sim_failure {
    const char *kind; /* a stable word for machines */
    char *message;
    double seconds; /* virtual */
};

/* A simulation that is running; shared by the files that it is made of. */
struct sim {
    const struct sim_options *options;
    struct report *report;
    struct vmem_vm *vm;
    struct trace_device shape; /* what the rig is made from */
    struct rig rig;
    struct vmem_guest *guest;
    struct trace_writer *writer;
    struct trace_writer_device *traced;
    struct vmem_listener *veto; /* the listener that refuses once, or NULL */
    uint64_t nr_populates;      /* that it was asked for */
    bool was_busy;              /* the busy period is over */
    int status;                 /* an enum vmem_guest_status */
    uint64_t nr_answers;        /* that the guest got */
    uint64_t peak_resident;
    GPtrArray *failures; /* of struct sim_failure */
    bool host_failed;
};

/* Where things stand. */
struct sim_sample {
    struct vmem_device_info device;
    struct vmem_guest_stats guest;
    uint64_t resident;    /* measured */
    uint64_t nr_requests; /* in all */
};

/* sim_world.c */

void sim_init(struct sim *sim, const struct sim_options *options,
              struct report *report);
/* Machine, device and guest, which is off. false after a report. */
bool sim_assemble(struct sim *sim);
/* Takes them apart, but keeps what is to be reported until sim_clear(). */
void sim_dismantle(struct sim *sim);
void sim_clear(struct sim *sim);
/* Begins or ends the busy period if it is time to. */
void sim_follow_clock(struct sim *sim);
/* Something has happened that one could see. */
void sim_tell_watch(struct sim *sim, enum watch_what what);

/* sim_guest.c: the callbacks of the guest. */

extern const struct vmem_guest_ops sim_guest_ops;

/* sim_check.c */

void sim_measure(struct sim *sim, struct sim_sample *sample);
/* Sizes, listeners and memory agree; event is where we are. */
void sim_check(struct sim *sim, const struct sim_sample *sample,
               const char *event);

/* sim_report.c */

void sim_report_begin(struct sim *sim);
void sim_report_sample(struct sim *sim, const struct sim_sample *sample,
                       const char *event);
/* Requests and the map, while there is a device. */
void sim_report_device(struct sim *sim, const struct sim_sample *sample);
void sim_report_end(struct sim *sim, const struct sim_sample *sample);
/* Something that must not be. Nothing once the host has failed. */
void sim_fail(struct sim *sim, const char *kind, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* The host cannot go on. */
void sim_fail_host(struct sim *sim, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

#endif /* VMEMCTL_SIM_STATE_H */
