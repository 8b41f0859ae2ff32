/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_LOG_H
#define VMEMI_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include <vmem/log.h>

#include "base/lock.h"
#include "base/name.h"

/* One more than the largest code. */
#define VMEMI_LOG_NR_CODES (VMEM_LOG_CODE_DMA_NEAR + 1)

/* The sink of one machine, and how much of each code it has let through. */
struct vmemi_log {
    const void *vm;
    vmem_log_fn sink;
    void *opaque;
    uint64_t (*clock_ns)(void *clock_opaque);
    void *clock_opaque;
    struct vmemi_mutex lock; /* a leaf; guards what follows */
    struct {
        uint64_t window_start_ns;
        uint32_t nr_passed;
        uint32_t nr_suppressed;
    } codes[VMEMI_LOG_NR_CODES];
};

int vmemi_log_init(struct vmemi_log *log);
void vmemi_log_destroy(struct vmemi_log *log);

/* Records made while locks are held wait here, on the stack of the operation,
 * and are sent after the locks are dropped. Starts zeroed. */
struct vmemi_log_queue {
    uint32_t nr_records;
    struct {
        uint32_t level;
        uint32_t blame;
        uint32_t code;
        uint32_t suppressed;
        struct vmemi_name object;
        char message[VMEM_NAME_MAX + 193];
    } records[4];
};

/* Formats nothing when the rate limit says no. A full queue counts the record
 * as suppressed. */
void vmemi_log_add(struct vmemi_log *log, struct vmemi_log_queue *queue,
                   uint32_t level, uint32_t blame, uint32_t code,
                   const char *object, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

/* The same for a record whose owner keeps it until it is taken: false if it is not,
 * which counts nothing. Or it is of no use any more, and counted as suppressed. */
bool vmemi_log_offer(struct vmemi_log *log, struct vmemi_log_queue *queue,
                     uint32_t level, uint32_t blame, uint32_t code,
                     const char *object, const char *message);
void vmemi_log_drop(struct vmemi_log *log, uint32_t code);

/* Sends and empties the queue. No lock may be held. */
void vmemi_log_send(struct vmemi_log *log, struct vmemi_log_queue *queue);

#endif /* VMEMI_BASE_LOG_H */
