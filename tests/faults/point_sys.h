/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULTS_POINT_SYS_H
#define TESTS_FAULTS_POINT_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For point.c: the system calls of the library, and what they hold. */

void point_sys_install(void);
void point_sys_remove(void);

size_t point_sys_nr_fds(void);
size_t point_sys_nr_bad_closes(void);

/* Threads started and not joined. */
int point_sys_nr_threads(void);

/* Bytes mapped through the table and not unmapped again. excused: unmaps and
 * forgets what is left, and returns 0. */
uint64_t point_sys_mapped(bool excused);

#endif /* TESTS_FAULTS_POINT_SYS_H */
