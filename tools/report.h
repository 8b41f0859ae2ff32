/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_REPORT_H
#define VMEMCTL_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include <json-glib/json-glib.h>

#include <vmem/log.h>

#include "exit_code.h"
#include "progress.h"

/* Where a command says what it found: lines of text as they come, or one JSON
 * object at the end. */
struct report {
    JsonBuilder *json; /* NULL: text */
    struct progress progress;
    unsigned columns; /* of the terminal, or 80 */
    bool terminal;    /* standard output is one */
    bool unicode;     /* and shows more than ASCII */
    bool verbose;     /* what the library logs goes to standard error */
    bool quiet;       /* of a run that is looked at: errors only */
};

/* With json an object is opened that has "command" and "version". */
void report_init(struct report *report, const char *command, bool json,
                 bool verbose);

/* Columns of the terminal on standard output, or 80. */
unsigned report_terminal_columns(void);
/* Its rows, or 24. */
unsigned report_terminal_rows(void);

/* A line for people; nothing in JSON. */
void report_line(struct report *report, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

/* Why nothing more happens, on standard error and as member "error". */
void report_error(struct report *report, const char *message);

/* Members of the object or array that is open; nothing in text. A string need
 * not be UTF-8; NULL is null. */
void report_string(struct report *report, const char *name, const char *value);
void report_number(struct report *report, const char *name, uint64_t value);
void report_double(struct report *report, const char *name, double value);
void report_bool(struct report *report, const char *name, bool value);
void report_open_array(struct report *report, const char *name);
void report_close_array(struct report *report);
/* An object that is an element of an array. */
void report_open_object(struct report *report);
void report_close_object(struct report *report);

/* Writes what is left and frees everything. Returns what to exit with: code, or
 * EXIT_CODE_HOST when the output could not be written. */
int report_finish(struct report *report, enum exit_code code);

/* A vmem_log_fn whose opaque is a struct report. */
void report_log(const struct vmem_log_record *record, void *opaque);

#endif /* VMEMCTL_REPORT_H */
