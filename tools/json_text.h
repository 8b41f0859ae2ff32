/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_JSON_TEXT_H
#define VMEMCTL_JSON_TEXT_H

#include <stddef.h>

/* What json-glib does not do: it descends recursively without a bound, takes
 * comments, and forgets in which line a value was. */

/* Refuses text that is nested too deeply for json-glib or has characters that
 * JSON has outside of strings nowhere. NULL if there is neither, else the reason
 * (static), and *line is where. Text that passes need not be JSON. */
const char *json_text_check(const char *text, size_t size, unsigned *line);

/* Line in which an element of the root's member "vectors" starts, or, with a step
 * of 0 or more, that element of its member "steps". If that is no object the
 * vector's line, or 1. The text has passed json_text_check(). */
unsigned json_text_find_line(const char *text, size_t size, unsigned vector,
                             int step);

#endif /* VMEMCTL_JSON_TEXT_H */
