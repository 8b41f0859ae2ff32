/* SPDX-License-Identifier: BSD-3-Clause */
/* What watches a guest, and what only tests need: what the VMM calls of it, and what
 * its parts and the monitor's commands share. */
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

/* --- socket.c: where commands come from, and events go ------------------- */

int monitor_open(struct vm *vm);
void monitor_close(struct vm *vm);
/* For poll(): is there something to serve? -1 without a monitor. */
int monitor_fd(void);
/* Takes who connects, and does what clients have sent. */
void monitor_serve(struct vm *vm);
/* An event, to everybody who asked for them: "event" and pairs of name and value, up
 * to NULL; numbers go as text. On any thread. */
void monitor_event(const char *event, ...) __attribute__((sentinel));

/* Where a monitor listens; 0, or -1 after saying that it cannot be there. */
struct sockaddr_un;
int monitor_address(const char *path, struct sockaddr_un *address);

/* client.c: minivmm --ctl; the exit status. */
int monitor_client(const char *path, bool json, int argc, char **argv);

/* --- trace.c, pass.c: --trace and --pass --------------------------------- */

/* The file, before anything is worth a trace; a vmem_device_ops::trace whose opaque is
 * the struct memory; and the end. 0, or -1 after saying why not. */
int trace_open(const char *path);
void trace_event(const struct vmem_trace_event *event, void *opaque);
int trace_save(struct vm *vm, const char *path);

int pass_open(struct vm *vm);
void pass_close(struct vm *vm);
/* The device's registers for a slot of KVM; NULL if there are none. */
const void *pass_registers(uint64_t *size);

/* --- commands: each up to one without a name ----------------------------- */

extern const struct command info_commands[];
extern const struct command follow_commands[];
extern const struct command pass_commands[];

/* follow.c: what is attached to a device, for its "info", and the end of it. */
void follow_report(struct memory *memory, struct report *report);
void follow_detach_all(struct memory *memory);

#endif /* MINIVMM_INSTRUMENTS_H */
