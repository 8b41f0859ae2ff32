/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef GUESTI_RANDOM_H
#define GUESTI_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/* splitmix64: the same numbers from the same seed, everywhere. */
static inline uint64_t guesti_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Below limit, which is not 0. */
static inline uint64_t guesti_random_below(uint64_t *state, uint64_t limit)
{
    return guesti_random(state) % limit;
}

/* True with a chance of permille in 1000. */
static inline bool guesti_random_chance(uint64_t *state, uint64_t permille)
{
    return guesti_random_below(state, 1000) < permille;
}

#endif /* GUESTI_RANDOM_H */
