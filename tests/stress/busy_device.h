/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_STRESS_BUSY_DEVICE_H
#define TESTS_STRESS_BUSY_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <vmem/vmem.h>

/* A device whose listeners and memory keep their own books without any lock of
 * their own: that the library calls them one at a time is what the thread sanitizer
 * sees. Each call is checked against these books. */

#define BLOCK ((uint64_t)1 << 20)
#define NR_BLOCKS 256
#define SIZE (NR_BLOCKS * BLOCK)
#define GPA ((uint64_t)1 << 32)
#define NR_LISTENERS 3

struct busy_follower {
    struct vmem_listener *listener;
    bool has[NR_BLOCKS]; /* no lock: the library's */
    uint64_t granularity;
    uint64_t nr_calls;
    uint64_t veto_at;
    bool is_gone;
};

struct busy_device {
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
    bool allocated[NR_BLOCKS]; /* the memory; no lock: the library's */
    uint64_t nr_memory_calls;
    _Atomic uint64_t now_ns;
    _Atomic uint64_t nr_logs;
    _Atomic uint64_t nr_config_changed;
    _Atomic uint64_t nr_size_changed;
    _Atomic uint64_t nr_resize_changed;
    _Atomic uint64_t nr_busy;
    _Atomic uint64_t nr_loads;
    _Atomic uint64_t nr_undone_loads; /* somebody refused */
    struct busy_follower followers[NR_LISTENERS];
};

/* Of a follower that the world has. */
extern const struct vmem_listener_ops busy_follower_ops;

/* False: it could not be made. */
bool busy_device_open(struct busy_device *world);

/* Quiet again: each listener has exactly what is populated, and memory that is
 * neither plugged nor retained is gone. */
void busy_device_check(struct busy_device *world);

void busy_device_close(struct busy_device *world);

#endif /* TESTS_STRESS_BUSY_DEVICE_H */
