/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/allocations.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/alloc.h"

static uint64_t first_failing;
static uint64_t nr_failing;
static _Atomic uint64_t nr_allocations;

static bool may_allocate(size_t size)
{
    const uint64_t number = atomic_fetch_add(&nr_allocations, 1);

    (void)size;
    return number < first_failing || number - first_failing >= nr_failing;
}

void allocations_fail(uint64_t first, uint64_t nr)
{
    first_failing = first;
    nr_failing = nr;
    atomic_store(&nr_allocations, 0);
    vmemi_alloc_set_hook(may_allocate);
}

uint64_t allocations_end(void)
{
    vmemi_alloc_set_hook(NULL);
    return atomic_load(&nr_allocations);
}
