/* SPDX-License-Identifier: BSD-3-Clause */
/* One split virtqueue. Every byte here is a hostile guest's until it was
 * checked: rings and buffers are read once, into memory of our own, and only
 * where the guest has memory at that moment. */
#include <linux/virtio_ring.h>
#include <string.h>

#include "minivmm.h"

/* The rings' parts, in bytes from their start. */
#define RING_INDEX 2
#define RING_ENTRIES 4

const char *queue_check(const struct queue *queue)
{
    if (queue->size == 0 || queue->size > QUEUE_MAX ||
        (queue->size & (queue->size - 1)) != 0) {
        return "the queue's size is not a power of two that was offered";
    }
    if (queue->desc_gpa % 16 != 0 || queue->avail_gpa % 2 != 0 ||
        queue->used_gpa % 4 != 0) {
        return "a ring is not aligned";
    }
    /* So that no address below can wrap. */
    if (queue->desc_gpa > UINT64_MAX / 2 || queue->avail_gpa > UINT64_MAX / 2 ||
        queue->used_gpa > UINT64_MAX / 2) {
        return "a ring is where no memory can be";
    }
    return NULL;
}

static int broken(struct chain *chain, const char *why)
{
    chain->why = why;
    return -1;
}

/* Readable bytes: the first 24 are the request, no more is looked at. */
static bool take_readable(struct vm *vm, struct chain *chain,
                          const struct vring_desc *desc)
{
    const size_t room = sizeof(chain->request) - chain->request_size;
    const size_t size = desc->len < room ? desc->len : room;
    uint8_t *bytes = chain->request + chain->request_size;

    chain->request_size += size;
    return size == 0 || memory_read(vm, desc->addr, bytes, size) == 0;
}

/* Writable bytes: the answer goes to the first 10. They must be there before
 * the request is executed, which is known when they can be read. */
static bool take_writable(struct vm *vm, struct chain *chain,
                          const struct vring_desc *desc)
{
    uint8_t old[VMEM_DEVICE_RESPONSE_SIZE];
    const size_t room = sizeof(old) - chain->response_size;
    const size_t size = desc->len < room ? desc->len : room;

    if (size > 0) {
        chain->pieces[chain->nr_pieces].gpa = desc->addr;
        chain->pieces[chain->nr_pieces++].size = size;
        chain->response_size += size;
    }
    return size == 0 || memory_read(vm, desc->addr, old, size) == 0;
}

static int walk(const struct queue *queue, struct vm *vm, struct chain *chain)
{
    uint16_t index = chain->head;
    bool writable = false;

    /* A chain that is longer than the queue runs in circles. */
    for (unsigned i = 0; i < queue->size; i++) {
        struct vring_desc desc;

        if (index >= queue->size) {
            return broken(chain, "a descriptor is outside the table");
        }
        if (memory_read(vm, queue->desc_gpa + index * sizeof(desc), &desc,
                        sizeof(desc)) != 0) {
            return broken(chain, "the descriptor table is outside memory");
        }
        if (desc.flags & VRING_DESC_F_INDIRECT) {
            return broken(chain, "an indirect descriptor was not negotiated");
        }
        if (writable && !(desc.flags & VRING_DESC_F_WRITE)) {
            return broken(chain, "a readable buffer is behind a writable one");
        }
        writable = (desc.flags & VRING_DESC_F_WRITE) != 0;
        if (writable ? !take_writable(vm, chain, &desc)
                     : !take_readable(vm, chain, &desc)) {
            return broken(chain, "a buffer is outside memory");
        }
        if (!(desc.flags & VRING_DESC_F_NEXT)) {
            return 1;
        }
        index = desc.next;
    }
    return broken(chain, "a descriptor chain has a loop");
}

int queue_pop(struct queue *queue, struct vm *vm, struct chain *chain)
{
    const uint64_t slot = queue->next_avail % queue->size;
    uint16_t avail;

    memset(chain, 0, sizeof(*chain));
    /* The index, which is read before the entry that it speaks of. */
    if (memory_read(vm, queue->avail_gpa + RING_INDEX, &avail, sizeof(avail)) !=
            0 ||
        memory_read(vm, queue->avail_gpa + RING_ENTRIES + 2 * slot,
                    &chain->head, sizeof(chain->head)) != 0) {
        return broken(chain, "the available ring is outside memory");
    }
    if (avail == queue->next_avail) {
        return 0;
    }
    if ((uint16_t)(avail - queue->next_avail) > queue->size) {
        return broken(chain, "more buffers are available than the queue has");
    }
    queue->next_avail++;
    return walk(queue, vm, chain);
}

int queue_push(struct queue *queue, struct vm *vm, struct chain *chain,
               const uint8_t response[VMEM_DEVICE_RESPONSE_SIZE])
{
    const struct vring_used_elem used = { chain->head,
                                          VMEM_DEVICE_RESPONSE_SIZE };
    const uint64_t slot = queue->next_used % queue->size;

    for (unsigned i = 0; i < chain->nr_pieces; i++) {
        /* It was there; the request may have been to unplug just that. */
        if (memory_write(vm, chain->pieces[i].gpa, response,
                         chain->pieces[i].size) != 0) {
            return broken(chain, "the answer's buffer was unplugged");
        }
        response += chain->pieces[i].size;
    }
    queue->next_used++;
    /* Whoever sees the index must see the entry and the answer. */
    if (memory_write(vm, queue->used_gpa + RING_ENTRIES + sizeof(used) * slot,
                     &used, sizeof(used)) != 0 ||
        memory_write(vm, queue->used_gpa + RING_INDEX, &queue->next_used,
                     sizeof(queue->next_used)) != 0) {
        return broken(chain, "the used ring is outside memory");
    }
    return 0;
}
