/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/wire.h"

#include <string.h>

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
