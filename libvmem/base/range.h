/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_RANGE_H
#define VMEMI_BASE_RANGE_H

#include <stdbool.h>

#include <vmem/error.h>

/* Does the range lie in [0, limit)? 0, -EOVERFLOW or -ERANGE. */
int vmemi_range_check(const struct vmem_range *range, uint64_t limit,
                      const char *what, struct vmem_error *err);

/* Are both ends multiples of granularity, a power of two? 0 or -EINVAL. */
int vmemi_range_check_aligned(const struct vmem_range *range,
                              uint64_t granularity, const char *what,
                              struct vmem_error *err);

/* End of a range that was checked. */
static inline uint64_t vmemi_range_end(const struct vmem_range *range)
{
    return range->offset + range->size;
}

static inline bool vmemi_is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static inline uint64_t vmemi_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t vmemi_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* granularity is a power of two. */
static inline uint64_t vmemi_align_down(uint64_t value, uint64_t granularity)
{
    return value & ~(granularity - 1);
}

/* Rounds up, or to the largest multiple that fits 64 bits. */
static inline uint64_t vmemi_align_up_saturating(uint64_t value,
                                                 uint64_t granularity)
{
    uint64_t down = vmemi_align_down(value, granularity);

    if (down == value || down > UINT64_MAX - granularity) {
        return down;
    }
    return down + granularity;
}

static inline uint64_t vmemi_add_saturating(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static inline uint64_t vmemi_multiply_saturating(uint64_t a, uint64_t b)
{
    uint64_t product;

    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

#endif /* VMEMI_BASE_RANGE_H */
