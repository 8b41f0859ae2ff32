/* SPDX-License-Identifier: BSD-3-Clause */
/* The virtio-mmio transport of a virtio-mem device: registers, feature
 * negotiation, interrupts, and a queue of requests. Chosen over PCI because it
 * needs no bus; Linux finds it in the DSDT. */
#include <linux/virtio_config.h>
#include <string.h>

#include "instruments/instruments.h"

#define MAGIC 0x74726976 /* "virt" */
#define VERSION 2
#define VENDOR 0x6d656d76 /* "vmem" */
#define VERSION_1 ((uint64_t)1 << VIRTIO_F_VERSION_1)

void virtio_init(struct virtio *virtio, struct memory *memory, unsigned index)
{
    *virtio = (struct virtio){ .memory = memory, .index = index };
    pthread_mutex_init(&virtio->lock, NULL);
    pthread_mutex_init(&virtio->irq_lock, NULL);
}

/* The line is up as long as something was not acknowledged. */
static void interrupt(struct virtio *virtio, uint32_t set, uint32_t clear)
{
    pthread_mutex_lock(&virtio->irq_lock);
    virtio->interrupt_status = (virtio->interrupt_status | set) & ~clear;
    kvm_irq(virtio->memory->vm, GSI_VIRTIO + virtio->index,
            virtio->interrupt_status != 0);
    pthread_mutex_unlock(&virtio->irq_lock);
}

void virtio_reset(struct virtio *virtio)
{
    virtio->status = 0;
    memset(virtio->driver_features, 0, sizeof(virtio->driver_features));
    memset(virtio->registers, 0, sizeof(virtio->registers));
    memset(&virtio->queue, 0, sizeof(virtio->queue));
    interrupt(virtio, 0, UINT32_MAX);
}

//! [config_changed]
void virtio_config_changed(struct virtio *virtio)
{
    /* A driver that is not there yet reads everything when it comes. */
    if (virtio->status & VIRTIO_CONFIG_S_DRIVER_OK) {
        interrupt(virtio, VIRTIO_MMIO_INT_CONFIG, 0);
    }
}
//! [config_changed]

/* The guest broke the rules: nothing more happens until it resets the device.
 * The other devices do not notice. */
static void break_device(struct virtio *virtio, const char *why)
{
    virtio->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    virtio->nr_broken++;
    virtio_config_changed(virtio);
    monitor_event("device-broken", "device", virtio->memory->name, "why", why,
                  NULL);
}

static bool is_usable(const struct virtio *virtio)
{
    return (virtio->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0 &&
           (virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET) == 0 &&
           virtio->queue.ready;
}

//! [queue]
/* Answers the requests that are there, on the CPU that asks: a virtio-mem
 * driver waits for its answer anyway. What another CPU adds meanwhile comes with
 * a notification of its own, so one queue full is enough. */
static void handle_queue(struct virtio *virtio)
{
    struct chain chain;
    int popped = 0;

    for (unsigned i = 0;
         i < QUEUE_MAX && is_usable(virtio) &&
         (popped = queue_pop(&virtio->queue, virtio->memory->vm, &chain)) > 0;
         i++) {
        uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
        const int verdict = vmem_device_handle_request(
            virtio->memory->device, chain.request, chain.request_size, response,
            chain.response_size, NULL);

        if (verdict != VMEM_REQUEST_RESPOND) {
            break_device(virtio, "a request is malformed");
        } else if (queue_push(&virtio->queue, virtio->memory->vm, &chain,
                              response) != 0) {
            break_device(virtio, chain.why);
        } else {
            interrupt(virtio, VIRTIO_MMIO_INT_VRING, 0);
        }
    }
    if (popped < 0) {
        break_device(virtio, chain.why);
    }
}
//! [queue]

//! [features]
static uint64_t offered_features(const struct virtio *virtio)
{
    return vmem_device_get_features(virtio->memory->device) | VERSION_1;
}

static bool accepts_features(struct virtio *virtio)
{
    const uint64_t features =
        virtio->driver_features[0] | (uint64_t)virtio->driver_features[1] << 32;

    return (features & ~offered_features(virtio)) == 0 &&
           (features & VERSION_1) != 0 &&
           vmem_device_set_driver_features(virtio->memory->device, features) ==
               0;
}

static void set_status(struct virtio *virtio, uint32_t status)
{
    const uint32_t added = status & ~virtio->status;

    if (status == 0) {
        virtio_reset(virtio);
        /* Blocks stay plugged: this is the driver's reset, not the system's. */
        vmem_device_reset(virtio->memory->device, VMEM_RESET_DRIVER, NULL);
        return;
    }
    if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && !accepts_features(virtio)) {
        status &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
    }
    virtio->status = status | (virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET);
    if (added & VIRTIO_CONFIG_S_DRIVER_OK) {
        handle_queue(virtio);
    }
}
//! [features]

static uint32_t written(const struct virtio *virtio, unsigned offset)
{
    return virtio->registers[offset / 4];
}

static uint64_t written_gpa(const struct virtio *virtio, unsigned offset)
{
    return written(virtio, offset) | (uint64_t)written(virtio, offset + 4)
                                         << 32;
}

/* There is only queue 0. What the driver wrote about it counts from here on. */
static void set_ready(struct virtio *virtio, bool ready)
{
    const struct queue queue = {
        .size = written(virtio, VIRTIO_MMIO_QUEUE_NUM),
        .desc_gpa = written_gpa(virtio, VIRTIO_MMIO_QUEUE_DESC_LOW),
        .avail_gpa = written_gpa(virtio, VIRTIO_MMIO_QUEUE_AVAIL_LOW),
        .used_gpa = written_gpa(virtio, VIRTIO_MMIO_QUEUE_USED_LOW),
        .ready = ready,
    };
    const char *why = ready ? queue_check(&queue) : NULL;

    if (written(virtio, VIRTIO_MMIO_QUEUE_SEL) != 0) {
        return;
    }
    if (why != NULL) {
        break_device(virtio, why);
    } else {
        virtio->queue = queue;
    }
}

static uint32_t read_register(struct virtio *virtio, uint64_t offset)
{
    const bool has_queue = written(virtio, VIRTIO_MMIO_QUEUE_SEL) == 0;
    uint32_t selected;

    switch (offset) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC;
    case VIRTIO_MMIO_VERSION:
        return VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
        return VMEM_DEVICE_VIRTIO_ID;
    case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        selected = written(virtio, VIRTIO_MMIO_DEVICE_FEATURES_SEL);
        return selected > 1
                   ? 0
                   : (uint32_t)(offered_features(virtio) >> 32 * selected);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return has_queue ? QUEUE_MAX : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        return has_queue && virtio->queue.ready;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        pthread_mutex_lock(&virtio->irq_lock);
        selected = virtio->interrupt_status;
        pthread_mutex_unlock(&virtio->irq_lock);
        return selected;
    case VIRTIO_MMIO_STATUS:
        return virtio->status;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return vmem_device_get_config_generation(virtio->memory->device);
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
        return UINT32_MAX; /* there is no such region */
    default:
        return 0;
    }
}

static void write_register(struct virtio *virtio, uint64_t offset,
                           uint32_t value)
{
    const uint32_t selected = written(virtio, VIRTIO_MMIO_DRIVER_FEATURES_SEL);

    switch (offset) {
    case VIRTIO_MMIO_DRIVER_FEATURES:
        if (selected < 2 && !(virtio->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
            virtio->driver_features[selected] = value;
        }
        return;
    case VIRTIO_MMIO_QUEUE_READY:
        set_ready(virtio, (value & 1) != 0);
        return;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        handle_queue(virtio);
        return;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        interrupt(virtio, 0, value);
        return;
    case VIRTIO_MMIO_STATUS:
        set_status(virtio, value);
        return;
    default:
        virtio->registers[offset / 4] = value;
        return;
    }
}

//! [config]
void virtio_access(struct virtio *virtio, uint64_t offset, void *data,
                   uint32_t size, bool write)
{
    struct vmem_device *device = virtio->memory->device;
    uint32_t value;

    if (offset >= VIRTIO_MMIO_CONFIG && write) {
        vmem_device_write_config(device, offset - VIRTIO_MMIO_CONFIG, data,
                                 size);
    } else if (offset >= VIRTIO_MMIO_CONFIG) {
        vmem_device_read_config(device, offset - VIRTIO_MMIO_CONFIG, data,
                                size);
    } else if (size == sizeof(value)) {
        pthread_mutex_lock(&virtio->lock);
        if (write) {
            memcpy(&value, data, size);
            write_register(virtio, offset, value);
        } else {
            value = read_register(virtio, offset);
            memcpy(data, &value, size);
        }
        pthread_mutex_unlock(&virtio->lock);
    }
}
//! [config]
