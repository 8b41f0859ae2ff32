/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_LE_H
#define VMEMI_BASE_LE_H

#include <stdint.h>
#include <string.h>

/* Little-endian access, right on every host and for any alignment. Compilers
 * make single loads and stores of this; of shifted bytes they do not once the
 * code around them is inlined. */
#define VMEMI_LE_SWAPS (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

static inline uint16_t vmemi_le16_load(const uint8_t *bytes)
{
    uint16_t value;

    memcpy(&value, bytes, sizeof(value));
    return VMEMI_LE_SWAPS ? __builtin_bswap16(value) : value;
}

static inline uint64_t vmemi_le64_load(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof(value));
    return VMEMI_LE_SWAPS ? __builtin_bswap64(value) : value;
}

static inline void vmemi_le16_store(uint8_t *bytes, uint16_t value)
{
    value = VMEMI_LE_SWAPS ? __builtin_bswap16(value) : value;
    memcpy(bytes, &value, sizeof(value));
}

static inline void vmemi_le64_store(uint8_t *bytes, uint64_t value)
{
    value = VMEMI_LE_SWAPS ? __builtin_bswap64(value) : value;
    memcpy(bytes, &value, sizeof(value));
}

#endif /* VMEMI_BASE_LE_H */
