/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_ALLOCATIONS_H
#define TESTS_SUPPORT_ALLOCATIONS_H

#include <stdint.h>

/* Counts what the library allocates, and lets it run out of memory. */

/* From now on the nr allocations from number first on fail; the next one is
 * number 0. */
void allocations_fail(uint64_t first, uint64_t nr);

static inline void allocations_count(void)
{
    allocations_fail(0, 0);
}

/* All but so many fail. */
static inline void allocations_limit(uint64_t nr)
{
    allocations_fail(nr, UINT64_MAX);
}

/* Returns how many there were; the next ones succeed. */
uint64_t allocations_end(void);

#endif /* TESTS_SUPPORT_ALLOCATIONS_H */
