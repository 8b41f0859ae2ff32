/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire.h"

#include <string.h>

static void put_le(uint8_t *bytes, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

void wire_encode_request(uint8_t request[VMEM_DEVICE_REQUEST_SIZE],
                         uint16_t type, uint64_t gpa, uint16_t nr_blocks)
{
    memset(request, 0, VMEM_DEVICE_REQUEST_SIZE);
    put_le(request, 2, type);
    put_le(request + 8, 8, gpa);
    put_le(request + 16, 2, nr_blocks);
}

static uint64_t get_le(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = size; i-- > 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

uint16_t wire_request_type(const uint8_t request[VMEM_DEVICE_REQUEST_SIZE])
{
    return (uint16_t)get_le(request, 2);
}

void wire_request_range(const uint8_t request[VMEM_DEVICE_REQUEST_SIZE],
                        uint64_t *gpa, uint16_t *nr_blocks)
{
    *gpa = get_le(request + 8, 8);
    *nr_blocks = (uint16_t)get_le(request + 16, 2);
}

uint16_t wire_response_type(const uint8_t response[VMEM_DEVICE_RESPONSE_SIZE])
{
    return (uint16_t)get_le(response, 2);
}

uint16_t wire_response_state(const uint8_t response[VMEM_DEVICE_RESPONSE_SIZE])
{
    return (uint16_t)get_le(response + 8, 2);
}
