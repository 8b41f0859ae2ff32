/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_QUIET_H
#define TESTS_SUPPORT_QUIET_H

#include <stdint.h>

#include <vmem/vmem.h>

/* Callbacks that agree, and do nothing. */

static inline void quiet_log(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    (void)opaque;
}

/* It stands still. */
static inline uint64_t quiet_clock(void *opaque)
{
    (void)opaque;
    return 1;
}

/* A populate, a may_discard, memory, or the step of a walk. */
static inline int quiet_accept(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return 0;
}

/* Everything is there. */
static inline int quiet_usage(const struct vmem_range *range,
                              uint64_t *resident, void *opaque)
{
    (void)opaque;
    *resident = range->size;
    return 0;
}

static inline void quiet_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
}

static inline void quiet_claims(uint32_t claims, void *opaque)
{
    (void)claims;
    (void)opaque;
}

static inline int quiet_map(const struct vmem_dma_mapping *mapping,
                            void *opaque)
{
    (void)mapping;
    (void)opaque;
    return 0;
}

static inline int quiet_unmap(uint64_t iova, uint64_t size, uint64_t *unmapped,
                              void *opaque)
{
    (void)iova;
    (void)size;
    (void)unmapped;
    (void)opaque;
    return 0;
}

#endif /* TESTS_SUPPORT_QUIET_H */
