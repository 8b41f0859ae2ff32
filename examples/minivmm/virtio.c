/* SPDX-License-Identifier: BSD-3-Clause */
/* The virtio-mmio transport of a virtio-mem device: registers, feature
 * negotiation, interrupts, and a queue of requests. Chosen over PCI because it
 * needs no bus; Linux finds it in the DSDT. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "minivmm.h"

#define MAGIC 0x74726976 /* "virt" */
#define VERSION 2
#define VENDOR 0x6d656d76 /* "vmem" */
#define VERSION_1 ((uint64_t)1 << VIRTIO_F_VERSION_1)

void virtio_init(struct virtio *virtio, struct vm *vm, unsigned index)
{
    memset(virtio, 0, sizeof(*virtio));
    virtio->vm = vm;
    virtio->memory = &vm->devices[index];
    virtio->gpa = VIRTIO_GPA + index * 4 * KIB;
    virtio->gsi = GSI_VIRTIO + index;
    pthread_mutex_init(&virtio->lock, NULL);
    pthread_mutex_init(&virtio->irq_lock, NULL);
}

/* The line is up as long as something was not acknowledged. */
static void interrupt(struct virtio *virtio, uint32_t set, uint32_t clear)
{
    pthread_mutex_lock(&virtio->irq_lock);
    virtio->interrupt_status = (virtio->interrupt_status | set) & ~clear;
    kvm_irq(virtio->vm, virtio->gsi, virtio->interrupt_status != 0);
    pthread_mutex_unlock(&virtio->irq_lock);
}

void virtio_reset(struct virtio *virtio)
{
    virtio->running = false;
    virtio->status = 0;
    virtio->device_features_sel = 0;
    virtio->driver_features_sel = 0;
    virtio->driver_features = 0;
    virtio->queue_sel = 0;
    memset(&virtio->queue, 0, sizeof(virtio->queue));
    interrupt(virtio, 0, UINT32_MAX);
}

//! [config_changed]
void virtio_config_changed(struct virtio *virtio)
{
    /* A driver that is not there yet reads everything when it comes. */
    if (virtio->running) {
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
    monitor_event(virtio->vm, "device-broken", "device",
                  virtio->memory->options->name, "why", why, NULL);
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
    const char *why = NULL;
    int popped = 0;

    for (unsigned i = 0;
         i < QUEUE_MAX && is_usable(virtio) &&
         (popped = queue_pop(&virtio->queue, virtio->vm, &chain, &why)) > 0;
         i++) {
        uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
        const int verdict = vmem_device_handle_request(
            virtio->memory->device, chain.request, chain.request_size, response,
            chain.response_size, NULL);

        if (verdict != VMEM_REQUEST_RESPOND) {
            break_device(virtio, "a request is malformed");
        } else if (queue_push(&virtio->queue, virtio->vm, &chain, response,
                              sizeof(response), &why) != 0) {
            break_device(virtio, why);
        } else {
            interrupt(virtio, VIRTIO_MMIO_INT_VRING, 0);
        }
    }
    if (popped < 0) {
        break_device(virtio, why);
    }
}
//! [queue]

//! [features]
static uint64_t offered_features(const struct virtio *virtio)
{
    return vmem_device_get_features(virtio->memory->device) | VERSION_1;
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
    if (added & VIRTIO_CONFIG_S_FEATURES_OK &&
        ((virtio->driver_features & ~offered_features(virtio)) != 0 ||
         (virtio->driver_features & VERSION_1) == 0 ||
         vmem_device_set_driver_features(virtio->memory->device,
                                         virtio->driver_features) != 0)) {
        status &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
    }
    virtio->status = status | (virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET);
    if (added & VIRTIO_CONFIG_S_DRIVER_OK) {
        virtio->running = true;
        handle_queue(virtio);
    }
}
//! [features]

static void set_ready(struct virtio *virtio, bool ready)
{
    const char *why = ready ? queue_check(&virtio->queue) : NULL;

    if (why != NULL) {
        break_device(virtio, why);
        return;
    }
    virtio->queue.ready = ready;
    virtio->queue.next_avail = 0;
    virtio->queue.next_used = 0;
}

static uint32_t read_register(struct virtio *virtio, uint64_t offset)
{
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
        return virtio->device_features_sel > 1
                   ? 0
                   : (uint32_t)(offered_features(virtio) >>
                                32 * virtio->device_features_sel);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return virtio->queue_sel == 0 ? QUEUE_MAX : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        return virtio->queue_sel == 0 && virtio->queue.ready;
    case VIRTIO_MMIO_INTERRUPT_STATUS: {
        pthread_mutex_lock(&virtio->irq_lock);
        const uint32_t status = virtio->interrupt_status;
        pthread_mutex_unlock(&virtio->irq_lock);
        return status;
    }
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

static void set_low(uint64_t *gpa, uint32_t value)
{
    *gpa = (*gpa & ~(uint64_t)UINT32_MAX) | value;
}

static void set_high(uint64_t *gpa, uint32_t value)
{
    *gpa = (*gpa & UINT32_MAX) | (uint64_t)value << 32;
}

static void write_features(struct virtio *virtio, uint32_t value)
{
    if (virtio->status & VIRTIO_CONFIG_S_FEATURES_OK) {
        return;
    }
    if (virtio->driver_features_sel == 0) {
        set_low(&virtio->driver_features, value);
    } else if (virtio->driver_features_sel == 1) {
        set_high(&virtio->driver_features, value);
    }
}

/* The queue's registers; there is only queue 0, and it stands still while it
 * is in use. */
static void write_queue(struct virtio *virtio, uint64_t offset, uint32_t value)
{
    struct queue *queue = &virtio->queue;

    if (virtio->queue_sel != 0) {
        return;
    }
    if (offset == VIRTIO_MMIO_QUEUE_READY) {
        set_ready(virtio, (value & 1) != 0);
    } else if (queue->ready) {
        return;
    } else if (offset == VIRTIO_MMIO_QUEUE_NUM) {
        queue->size = value;
    } else if (offset == VIRTIO_MMIO_QUEUE_DESC_LOW) {
        set_low(&queue->desc_gpa, value);
    } else if (offset == VIRTIO_MMIO_QUEUE_DESC_HIGH) {
        set_high(&queue->desc_gpa, value);
    } else if (offset == VIRTIO_MMIO_QUEUE_AVAIL_LOW) {
        set_low(&queue->avail_gpa, value);
    } else if (offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH) {
        set_high(&queue->avail_gpa, value);
    } else if (offset == VIRTIO_MMIO_QUEUE_USED_LOW) {
        set_low(&queue->used_gpa, value);
    } else if (offset == VIRTIO_MMIO_QUEUE_USED_HIGH) {
        set_high(&queue->used_gpa, value);
    }
}

static void write_register(struct virtio *virtio, uint64_t offset,
                           uint32_t value)
{
    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        virtio->device_features_sel = value;
        return;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        virtio->driver_features_sel = value;
        return;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        write_features(virtio, value);
        return;
    case VIRTIO_MMIO_QUEUE_SEL:
        virtio->queue_sel = value;
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
        write_queue(virtio, offset, value);
        return;
    }
}

//! [config]
uint64_t virtio_read(struct virtio *virtio, uint64_t offset, uint32_t size)
{
    uint64_t value = 0;

    if (offset >= VIRTIO_MMIO_CONFIG) {
        vmem_device_read_config(virtio->memory->device,
                                offset - VIRTIO_MMIO_CONFIG, &value, size);
    } else if (size == 4) {
        pthread_mutex_lock(&virtio->lock);
        value = read_register(virtio, offset);
        pthread_mutex_unlock(&virtio->lock);
    }
    return value;
}

void virtio_write(struct virtio *virtio, uint64_t offset, uint32_t size,
                  uint64_t value)
{
    if (offset >= VIRTIO_MMIO_CONFIG) {
        vmem_device_write_config(virtio->memory->device,
                                 offset - VIRTIO_MMIO_CONFIG, &value, size);
    } else if (size == 4) {
        pthread_mutex_lock(&virtio->lock);
        write_register(virtio, offset, (uint32_t)value);
        pthread_mutex_unlock(&virtio->lock);
    }
}
//! [config]
