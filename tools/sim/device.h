/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef GUESTI_DEVICE_H
#define GUESTI_DEVICE_H

#include <stdint.h>

struct vmem_guest;

/* The device as a driver sees it: bytes of config space, requests, answers. */

struct guesti_device_config {
    uint64_t block_size;
    uint64_t node_id;
    uint64_t gpa;
    uint64_t region_size;
    uint64_t usable_region_size;
    uint64_t plugged_size;
    uint64_t requested_size;
};

/* What guesti_send() returns when there is no answer, or one that does not
 * exist. */
#define GUESTI_NO_ANSWER 0x10000u

/* Reads the config space without a comment. */
void guesti_peek_config(struct vmem_guest *guest,
                        struct guesti_device_config *config);

/* The same as a driver does it: what is wrong is a finding. */
void guesti_read_config(struct vmem_guest *guest,
                        struct guesti_device_config *config);

/* Sends a request and waits for the answer, an enum vmem_guest_answer or
 * GUESTI_NO_ANSWER. nr_blocks is cut to the 16 bits of the wire, as drivers
 * do. state may be NULL. */
uint32_t guesti_send(struct vmem_guest *guest, uint16_t type, uint64_t gpa,
                     uint64_t nr_blocks, uint16_t *state);

/* The driver writes status 0. */
void guesti_reset(struct vmem_guest *guest);

#endif /* GUESTI_DEVICE_H */
