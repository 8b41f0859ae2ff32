/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_STRESS_DEVICE_READERS_H
#define TESTS_STRESS_DEVICE_READERS_H

#include "stress/threads.h"

/* Rounds of threads that ask a busy device and check each answer. */

void read_config(struct stress_thread *thread);
void read_region(struct stress_thread *thread);
void read_statistics(struct stress_thread *thread);

#endif /* TESTS_STRESS_DEVICE_READERS_H */
