/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that a fuzzer made up, taken from the front. After the end everything
 * reads as zero, so that cutting an input short keeps its beginning's meaning. */
struct fuzz_input {
    const uint8_t *data;
    size_t size;
};

static inline bool fuzz_more(const struct fuzz_input *input)
{
    return input->size > 0;
}

static inline void fuzz_bytes(struct fuzz_input *input, void *dst, size_t size)
{
    size_t part = size < input->size ? size : input->size;

    memset(dst, 0, size);
    if (part > 0) {
        memcpy(dst, input->data, part);
    }
    input->data += part;
    input->size -= part;
}

static inline uint8_t fuzz_u8(struct fuzz_input *input)
{
    if (input->size == 0) {
        return 0;
    }
    input->size--;
    return *input->data++;
}

static inline uint16_t fuzz_u16(struct fuzz_input *input)
{
    uint16_t low = fuzz_u8(input);

    return (uint16_t)(low | fuzz_u8(input) << 8);
}

static inline uint64_t fuzz_u64(struct fuzz_input *input)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++) {
        value |= (uint64_t)fuzz_u8(input) << (8 * i);
    }
    return value;
}

/* One of [0, end), end being at most 256. */
static inline unsigned fuzz_below(struct fuzz_input *input, unsigned end)
{
    return fuzz_u8(input) % end;
}

static inline bool fuzz_flag(struct fuzz_input *input)
{
    return fuzz_u8(input) & 1;
}

/* Mostly small numbers; now and then one near a power of two or near 2^64, where
 * arithmetic goes wrong. Takes one to nine bytes. */
static inline uint64_t fuzz_number(struct fuzz_input *input)
{
    uint8_t first = fuzz_u8(input);

    if (first < 224) {
        return first;
    }
    if (first < 232) {
        return fuzz_u16(input);
    }
    if (first < 240) {
        return UINT64_MAX - fuzz_u8(input);
    }
    if (first < 248) {
        uint8_t shift = fuzz_u8(input);
        uint64_t power = UINT64_C(1) << (shift & 63);

        return shift & 64 ? power - 1 - (shift >> 7) : power + (shift >> 7);
    }
    return fuzz_u64(input);
}

#endif /* TESTS_FUZZ_INPUT_H */
