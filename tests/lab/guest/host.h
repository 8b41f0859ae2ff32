/* SPDX-License-Identifier: BSD-3-Clause */
/* The host's side of a guest: starts minivmm, talks to its monitor and, through
 * the console, to the agent in the guest (agent.h). */
#ifndef TESTS_LAB_GUEST_HOST_H
#define TESTS_LAB_GUEST_HOST_H

#include <stdbool.h>
#include <stdint.h>

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

double now_s(void);

/* Starts a program, up to NULL, with a monitor in a folder of its own; waits until
 * the guest's agent is there. */
bool host_start(const char *const *words);
/* Where "monitor" is; gone after host_stop() if there is nothing else in it. */
const char *host_folder(void);
/* Is it running still? */
bool host_is_alive(void);
/* Asks it to quit; whether it did, with status 0. */
bool host_stop(void);

/* Waits for the agent of a guest that boots. */
bool guest_is_ready(double timeout_s);
/* One command. Its answer behind "@ok", until the next one; NULL if it failed,
 * and then guest_why() tells. */
const char *guest(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
const char *guest_why(void);
/* The number with that index in the answer; UINT64_MAX without one. */
uint64_t guest_number(unsigned index, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Lets the guest sleep, and wakes it; false if its kernel refuses, and then
 * guest_why() tells. */
bool guest_sleep(void);

/* One command; NULL if it is refused, else what it said, until the next. */
const char *monitor(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/* What the monitor says of a device: "info virtio-mem", then its requests of
 * "stats". 0 if there is nothing of that name. */
uint64_t device_number(const char *device, const char *name);
bool device_says(const char *device, const char *name, const char *value);
uint64_t device_stat(const char *device, const char *name);
/* Bytes of its memory file, or of its mapping if it has none, as the kernel counts
 * them. */
uint64_t device_resident(const char *device);

/* Writes a pattern into that much memory of the guest, from the device's node;
 * how much of it is the device's, in bytes, or UINT64_MAX. */
uint64_t fill(const char *device, uint64_t mib);

/* Asks for a size; waits until it is there. */
bool resize(const char *device, uint64_t size);
bool settle(const char *device, uint64_t size, double timeout_s);
/* Waits for a number of "stats" to reach a value. */
bool wait_stat(const char *device, const char *name, uint64_t least,
               double timeout_s);
/* Waits for an event that has both texts; forgets the earlier ones. */
bool wait_event(const char *event, const char *text, double timeout_s);
void forget_events(void);

#endif /* TESTS_LAB_GUEST_HOST_H */
