/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_LE_H
#define VMEMI_BASE_LE_H

#include <stdint.h>

/* Little-endian access by bytes: right on every host, for any alignment, and
 * compilers make single loads and stores of them. */

static inline uint16_t vmemi_le16_load(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint64_t vmemi_le64_load(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (unsigned int i = 0; i < 8; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static inline void vmemi_le16_store(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline void vmemi_le64_store(uint8_t *bytes, uint64_t value)
{
    for (unsigned int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

#endif /* VMEMI_BASE_LE_H */
