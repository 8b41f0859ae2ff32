/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_VIRTIO_ANSWER_H
#define VMEMI_VIRTIO_ANSWER_H

#include "virtio/device.h"
#include "virtio/wire.h"

/* Kept out of line: what is no part of answering a request with ACK would only
 * be in its way. */
#define VMEMI_OUT_OF_THE_WAY __attribute__((noinline, cold))

/* A request being answered. */
struct vmemi_answer {
    uint16_t response;
    uint16_t state;
    uint32_t news; /* enum vmemi_device_news */
    uint32_t busy_reason;
    /* What it is judged by. */
    uint64_t usable_region_size;
    uint64_t requested_size;
    struct vmemi_date date; /* only if the device is traced */
};

/* Executes a request, or refuses it, and says what the guest is told. Without
 * locks; what there is to tell the host program is left to the caller. */
void vmemi_device_answer(struct vmem_device *device,
                         const struct vmemi_wire_request *request,
                         struct vmemi_answer *answer);

#endif /* VMEMI_VIRTIO_ANSWER_H */
