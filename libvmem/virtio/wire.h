/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_VIRTIO_WIRE_H
#define VMEMI_VIRTIO_WIRE_H

#include <stdbool.h>

#include <vmem/device.h>

#include "base/le.h"

/* Bytes of the virtio 1.4 "Memory Device", chapter "Device Operation" and
 * "Device configuration layout". All little endian. Offsets:
 *
 *   request   0 type  8 addr  16 nb_blocks           (24 bytes)
 *   response  0 type  8 state                        (10 bytes)
 *   config    0 block_size  8 node_id  16 addr  24 region_size
 *             32 usable_region_size  40 plugged_size  48 requested_size */

struct vmemi_wire_request {
    uint16_t type;
    uint16_t nr_blocks;
    uint64_t gpa;
};

struct vmemi_wire_config {
    uint64_t block_size;
    uint16_t node_id;
    uint64_t gpa;
    uint64_t region_size;
    uint64_t usable_region_size;
    uint64_t plugged_size;
    uint64_t requested_size;
};

/* False if the type is unknown. Padding is ignored. */
static inline bool
vmemi_wire_decode_request(const uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE],
                          struct vmemi_wire_request *request)
{
    request->type = vmemi_le16_load(bytes);
    request->gpa = vmemi_le64_load(bytes + 8);
    request->nr_blocks = vmemi_le16_load(bytes + 16);
    return request->type <= VMEM_REQUEST_STATE;
}

/* Padding, and the state unless it was asked for, are zero: response bytes come
 * from host memory and must not carry any of it. */
static inline void
vmemi_wire_encode_response(uint16_t type, uint16_t state,
                           uint8_t bytes[VMEM_DEVICE_RESPONSE_SIZE])
{
    vmemi_le64_store(bytes, type); /* and its padding */
    vmemi_le16_store(bytes + 8, state);
}

void vmemi_wire_encode_config(const struct vmemi_wire_config *config,
                              uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE]);

#endif /* VMEMI_VIRTIO_WIRE_H */
