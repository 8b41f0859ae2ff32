/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_REPLAY_H
#define VMEMCTL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "exit_code.h"
#include "report.h"
#include "rig.h"
#include "trace.h"
#include "watch.h"

/* Replays a trace on real memory and compares everything that can be: each
 * answer with the recorded one, the plugged size with what the recorded answers
 * add up to, what listeners were told with what is plugged, what is resident
 * with what is plugged, what memory holds with what was written. */

struct replay_options {
    struct rig_options rig;
    const char *backing;       /* as the user wrote it */
    bool touch;                /* write every plugged page */
    const struct watch *watch; /* looks on; NULL: nobody */
};

/* What happened in one trace, in bytes. Resident means measured. */
struct replay_totals {
    uint64_t plugged;   /* in all */
    uint64_t unplugged; /* in all */
    uint64_t end_plugged;
    uint64_t end_resident;
    uint64_t peak_resident;
    uint64_t nr_requests;
    uint64_t nr_failures;
    bool host_failed; /* the host could not; the rest was not replayed */
};

/* Reports what it does as it does it. */
void replay_run(const struct trace *trace, const struct replay_options *options,
                struct report *report, struct replay_totals *totals);

#endif /* VMEMCTL_REPLAY_H */
