/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_WIRE_H
#define VMEMCTL_WIRE_H

#include <stdint.h>

#include <vmem/device.h>

/* Requests and responses as bytes, written apart from the library's own wire
 * code on purpose: a tool that shared it could not see it go wrong. */

/* le16 type, 6 bytes of padding, le64 gpa, le16 nr_blocks, 6 bytes more. */
void wire_encode_request(uint8_t request[VMEM_DEVICE_REQUEST_SIZE],
                         uint16_t type, uint64_t gpa, uint16_t nr_blocks);

/* The other way round, for who stands between a guest and the device. */
uint16_t wire_request_type(const uint8_t request[VMEM_DEVICE_REQUEST_SIZE]);
void wire_request_range(const uint8_t request[VMEM_DEVICE_REQUEST_SIZE],
                        uint64_t *gpa, uint16_t *nr_blocks);

/* le16 type, 6 bytes of padding, le16 state. */
uint16_t wire_response_type(const uint8_t response[VMEM_DEVICE_RESPONSE_SIZE]);
uint16_t wire_response_state(const uint8_t response[VMEM_DEVICE_RESPONSE_SIZE]);

#endif /* VMEMCTL_WIRE_H */
