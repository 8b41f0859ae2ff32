/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_LAB_GUEST_CHECKS_H
#define TESTS_LAB_GUEST_CHECKS_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/host.h"

/* The guest's boot RAM, without what the crash kernel has, and the devices:
 * vmem0 has blocks of 2 MiB on node 0, vmem1 of 4 MiB on node 1 and without
 * UNPLUGGED_INACCESSIBLE, vmem2 of 128 MiB on node 0. 1 GiB each. */
#define BOOT_RAM (640 * MIB)
#define DEVICE_SIZE GIB

/* MemTotal of the guest that has nothing plugged, in KiB. */
extern uint64_t base_kib;

/* Notes what is wrong and returns false, or is silent and returns true. */
bool expect(bool is_so, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A device that grows to `size`, shrinks to a quarter, and to 0. What is resident is
 * what was touched where that is known: empty, filled and at 0 in the movable zone. At
 * a quarter, and in the kernel's zone, it is between the fill's pages in the device
 * and what is plugged: nobody gives back what others have touched. */
struct sized {
    const char *device;
    const char *zone;
    uint64_t size;
    uint64_t block;
    uint64_t fill_mib;
    /* In the movable zone there is nothing but what the agent puts there, so
     * what was touched is known exactly, and all of it can be taken back. */
    bool is_movable;
    bool is_populated; /* what is plugged is resident, touched or not */
};

bool grow_and_shrink(const struct sized *test);
/* The largest distance between what should be and what was resident (between the
 * bounds, none), of all that grew and shrank since the last call. */
uint64_t take_worst_distance(void);

/* Asks for all; true when it is there, false when the guest has given up. */
bool give_back(const char *device);

/* What stays plugged in the kernel zone, and the kernel's pages in it. */
struct kept {
    uint64_t size;
    uint64_t nr_blocks;
    uint64_t nr_slab;
    uint64_t nr_tables;
    uint64_t nr_other;
    unsigned nr_looks;
};

/* Whether the guest has the same blocks as the device, and something of its kernel
 * in each of them; and whether the device says that the rest is up to the guest. */
bool explain_kept(const char *device, struct kept *kept);

/* What virtio_mem has complained of in the guest's log, in lines. */
uint64_t count_complaints(void);
/* Whether it has not complained since there were so many. */
bool is_quiet_since(uint64_t nr_complaints);

/* One result line for each letter of README.md's table. */
void check_sizes(void);      /* a, b */
void check_pressure(void);   /* c */
void check_odd_sizes(void);  /* d */
void check_busy(void);       /* e */
void check_objections(void); /* f */
void check_resets(void);     /* g, j */
void check_features(void);   /* h */
void check_hostile(void);    /* i */
/* A newer kernel, and other memory: vmem0 of memfd, vmem1 of anonymous memory,
 * vmem2 of huge pages. */
void check_newer(void);
/* With init_on_alloc, and vmem0 only. */
void check_init(void);
/* With a device passed through, and vmem0 only. */
void check_chain(void);
/* With vmem0 only: does what it is told from outside, until minivmm ends. */
void serve_demo(void);

#endif /* TESTS_LAB_GUEST_CHECKS_H */
