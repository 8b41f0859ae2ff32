/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/wire.h"

#include <string.h>

#include "base/le.h"

bool vmemi_wire_decode_request(const uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE],
                               struct vmemi_wire_request *request)
{
    request->type = vmemi_le16_load(bytes);
    request->gpa = vmemi_le64_load(bytes + 8);
    request->nr_blocks = vmemi_le16_load(bytes + 16);
    return request->type <= VMEM_REQUEST_STATE;
}

void vmemi_wire_encode_response(uint16_t type, uint16_t state,
                                uint8_t bytes[VMEM_DEVICE_RESPONSE_SIZE])
{
    vmemi_le64_store(bytes, type); /* and its padding */
    vmemi_le16_store(bytes + 8, state);
}

void vmemi_wire_encode_config(const struct vmemi_wire_config *config,
                              uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE])
{
    memset(bytes, 0, VMEM_DEVICE_CONFIG_SIZE);
    vmemi_le64_store(bytes, config->block_size);
    vmemi_le16_store(bytes + 8, config->node_id);
    vmemi_le64_store(bytes + 16, config->gpa);
    vmemi_le64_store(bytes + 24, config->region_size);
    vmemi_le64_store(bytes + 32, config->usable_region_size);
    vmemi_le64_store(bytes + 40, config->plugged_size);
    vmemi_le64_store(bytes + 48, config->requested_size);
}
