/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_MODEL_RECORD_CALLS_H
#define TESTS_MODEL_RECORD_CALLS_H

#include "model/recording.h"

/* Calls on a region with two listeners, each with its events, and what callbacks
 * answer. */

#define NR_LISTENERS 2

/* How a listener is told. */
enum { RUNS = 0, CHUNKS = 1, EXACT = 2 };

struct listener {
    unsigned int nr;
    struct vmem_listener *handle; /* NULL: not there */
};

/* What a callback does: planned by a script, else by chance. */
struct plan {
    unsigned int veto[NR_LISTENERS]; /* the n-th call from now on objects */
    unsigned int keep[NR_LISTENERS]; /* the same of questions */
    unsigned int fail_populate;      /* so many calls fail */
    unsigned int fail_discard;
    unsigned int fail_zero;
    bool look_inside; /* every callback queries and tries a change */
    bool by_chance;
};

/* One program, one recording. */
extern struct listener listeners[NR_LISTENERS];
extern struct plan plan;

/* Of the backing. */
int mem_populate(const struct vmem_range *range, void *opaque);
int mem_discard(const struct vmem_range *range, void *opaque);
int mem_zero(const struct vmem_range *range, void *opaque);

/* In blocks. */
void info(void);
void plug(unsigned int from, unsigned int size);
void unplug(unsigned int from, unsigned int size);
void unplug_all(void);
void state(unsigned int from, unsigned int size);
void populated(unsigned int from, unsigned int size);
void add(unsigned int nr, unsigned int from, unsigned int size,
         unsigned int mode);
void take_out(unsigned int nr);
void freeze(void);
void thaw(void);
void reset(void);
void retry(void);
void hold(unsigned int from, unsigned int size);

#endif /* TESTS_MODEL_RECORD_CALLS_H */
