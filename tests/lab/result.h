/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_LAB_RESULT_H
#define TESTS_LAB_RESULT_H

#include <stdbool.h>

/* Lines that the lab's runner counts: one for each thing that a program proves,
 * by a name without spaces, with the numbers that it found. */

/* PASS if it is true, else FAIL; returns it. */
bool result(bool is_proved, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void result_skip(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Anything that may help to understand a failure. */
void result_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For main(): 1 if something failed. */
int result_status(void);

#endif /* TESTS_LAB_RESULT_H */
