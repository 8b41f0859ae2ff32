/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_TRACE_LINE_H
#define VMEMCTL_TRACE_LINE_H

#include <stdbool.h>

#include "trace.h"

/* Where the reader of a trace is; shared by the files that it is made of. */
struct trace_line {
    struct trace *trace;
    unsigned number;
    GError **error;
};

/* One line that has words; adds to the trace what it says. false and an error
 * when it is malformed or out of place. */
bool trace_line_read(const struct trace_line *line, char **words,
                     unsigned nr_words);

/* The three kinds of lines. trace_device.c, trace_record.c */
bool trace_device_read(const struct trace_line *line, char **words,
                       unsigned nr_words);
bool trace_device_read_end(const struct trace_line *line, char **words,
                           unsigned nr_words);
bool trace_record_read(const struct trace_line *line, char **words,
                       unsigned nr_words);

/* Sets the error to "FILE:LINE: ..." and returns false. */
bool trace_line_refuse(const struct trace_line *line, const char *format, ...)
    G_GNUC_PRINTF(2, 3);
/* The same with the word that is wrong, made printable. */
bool trace_line_refuse_word(const struct trace_line *line, const char *what,
                            const char *word);

/* A number of at most max. */
bool trace_line_read_number(const struct trace_line *line, const char *what,
                            const char *word, uint64_t max, uint64_t *value);

/* NULL if there is none. */
struct trace_device *trace_line_find_device(const struct trace *trace,
                                            const char *name, int *index);

#endif /* VMEMCTL_TRACE_LINE_H */
