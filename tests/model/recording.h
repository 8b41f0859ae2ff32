/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_MODEL_RECORDING_H
#define TESTS_MODEL_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmem/vmem.h>

/* What programs share that print what the library does, one event a line, for
 * accept.py to compare with a model. */

#define NR_BLOCKS 6
#define BLOCK_SIZE ((uint64_t)2 << 20)
#define GPA ((uint64_t)4 << 30)

/* Threads as the models name them. */
enum { GUEST = 1, HOST = 2, QUERY = 3, KEEPER = 3 };

struct recording {
    bool is_on;       /* events are printed */
    bool is_threaded; /* they are from several threads at a time */
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
};

/* One program, one recording. */
extern struct recording recording;

void die(const char *what, const struct vmem_error *err);

/* Memory of all blocks on these callbacks, with a device that lets its guest have
 * all of it. */
void make_objects(const struct vmem_backing_ops *ops, uint64_t backing_flags);

/* With nothing else on them any more. Flushes what was printed, too. */
void free_objects(void);

/* Below n, from the seed on. */
void seed_chance(uint64_t seed);
unsigned int chance(unsigned int n);

/* The events are in the order in which they were logged. */
void event(const char *name, unsigned int who, uint64_t a, uint64_t b,
           unsigned int value);

/* Sends a request about blocks and returns the state that it answers. */
unsigned int send_request(unsigned int type, unsigned int from,
                          unsigned int size,
                          struct vmem_request_result *result);

/* Each function is called nr_calls times by a thread of its own. */
void run_threads(void (*const calls[])(void), size_t nr_threads,
                 unsigned int nr_calls);

#endif /* TESTS_MODEL_RECORDING_H */
