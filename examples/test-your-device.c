/* SPDX-License-Identifier: BSD-3-Clause */
/* Does your own virtio-mem device survive real drivers? Here is one that does
 * not, with a bug at a time, and what simulated guests say about it. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <guest_sim.h>

#define BLOCK ((uint64_t)2 << 20)
#define GPA ((uint64_t)4 << 30)
#define NR_BLOCKS 4096

enum bug { NO_BUG, TIGHT_NACK, NO_INTERRUPT, SHORT_PRODUCT };

/* Not libvmem: what a VMM might have written in an afternoon. */
static struct {
    enum bug bug;
    bool plugged[NR_BLOCKS];
    uint64_t plugged_size;
    uint64_t requested_size;
} device;

static uint64_t get(const uint8_t *bytes, int size)
{
    return size == 0 ? 0 : get(bytes + 1, size - 1) << 8 | bytes[0];
}

static void put(uint8_t *bytes, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
}

//! [callbacks]
static void read_config(uint8_t *config, void *opaque)
{
    (void)opaque;
    put(config, BLOCK);
    put(config + 16, GPA);
    put(config + 24, NR_BLOCKS * BLOCK); /* region_size, all of it usable */
    put(config + 32, NR_BLOCKS * BLOCK);
    put(config + 40, device.plugged_size);
    put(config + 48, device.requested_size);
}

/* PLUG; nothing else is sent while a guest grows. */
static int plug(uint64_t first, uint64_t nr)
{
    const uint64_t room = device.requested_size - device.plugged_size;
    const uint64_t size = nr * BLOCK;

    for (uint64_t i = first; i < first + nr; i++) {
        if (i >= NR_BLOCKS || device.plugged[i]) {
            return VMEM_GUEST_ERROR;
        }
    }
    if (size > room || (device.bug == TIGHT_NACK && size == room)) {
        return VMEM_GUEST_NACK;
    }
    memset(device.plugged + first, true, nr);
    device.plugged_size += device.bug == SHORT_PRODUCT ? (uint32_t)size : size;
    return VMEM_GUEST_ACK;
}

static int request(const uint8_t *bytes, uint8_t *response, void *opaque)
{
    (void)opaque;
    memset(response, 0, VMEM_GUEST_RESPONSE_SIZE);
    response[0] =
        (uint8_t)plug((get(bytes + 8, 8) - GPA) / BLOCK, get(bytes + 16, 2));
    return 0;
}
//! [callbacks]

static void finding(const struct vmem_guest_finding *found, void *opaque)
{
    (void)opaque;
    printf("    %s (%s): %s\n", vmem_guest_rule_name(found->rule),
           vmem_guest_rule_clause(found->rule), found->message);
}

//! [try]
static void try(const char *name, enum bug bug, uint64_t kind)
{
    const struct vmem_guest_config config = { sizeof(config), .kind = kind,
                                              .max_refusals = 1 };
    const struct vmem_guest_ops ops = { .struct_size = sizeof(ops),
                                        .request = request,
                                        .read_config = read_config,
                                        .finding = finding };
    struct vmem_guest *guest;

    memset(&device, 0, sizeof(device));
    device.bug = bug;
    printf("%s, %s:\n", name, vmem_guest_kind_name(kind));
    (void)vmem_guest_new(&config, &ops, NULL, &guest);
    (void)vmem_guest_boot(guest);
    device.requested_size = NR_BLOCKS * BLOCK;
    if (bug != NO_INTERRUPT) {
        vmem_guest_interrupt(guest);
    }
    const int status = vmem_guest_run(guest);
    printf("    %u GiB are plugged, the driver is %s\n",
           (unsigned)(device.plugged_size >> 30),
           vmem_guest_status_name((uint64_t)status));
    vmem_guest_free(guest);
}
//! [try]

int main(void)
{
    try("a good device", NO_BUG, VMEM_GUEST_LINUX);
    try("NACK at the requested size", TIGHT_NACK, VMEM_GUEST_LINUX);
    try("no notification", NO_INTERRUPT, VMEM_GUEST_LINUX);
    try("a product of 32 bits", SHORT_PRODUCT, VMEM_GUEST_LINUX);
    try("a product of 32 bits", SHORT_PRODUCT, VMEM_GUEST_WINDOWS);
}
