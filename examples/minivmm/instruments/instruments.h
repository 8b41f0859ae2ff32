/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of this folder, and the monitor's commands, share. */
#ifndef MINIVMM_INSTRUMENTS_H
#define MINIVMM_INSTRUMENTS_H

#include "../minivmm.h"

/* --- report.c: text with "name: value" lines, or one line of JSON -------- */

struct report {
    FILE *out;
    bool json;
    bool first;
    unsigned depth;
};

void report_start(struct report *report, FILE *out, bool json);
void report_finish(struct report *report);
/* Something with members; name may be NULL in a list. */
void report_open(struct report *report, const char *name);
void report_close(struct report *report);
void report_open_list(struct report *report, const char *name);
void report_close_list(struct report *report);
void report_number(struct report *report, const char *name, uint64_t number);
void report_gpa(struct report *report, const char *name, uint64_t gpa);
void report_text(struct report *report, const char *name, const char *text);
int report_error(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- socket.c ------------------------------------------------------------ */

/* Where a monitor listens; 0, or -1 after saying that it cannot be there. */
struct sockaddr_un;
int monitor_address(const char *path, struct sockaddr_un *address);

/* --- commands: each up to one without a name ----------------------------- */

extern const struct command info_commands[];
extern const struct command follow_commands[];
extern const struct command pass_commands[];

/* follow.c: what is attached to a device, for its "info". */
void follow_report(struct memory_device *memory, struct report *report);

#endif /* MINIVMM_INSTRUMENTS_H */
