/* SPDX-License-Identifier: BSD-3-Clause */
/* What firmware would tell: where the CPUs, the devices and the nodes are. The
 * machine is "hardware-reduced": no timers, no interrupt controller and no
 * power management of the PC, so that there is little to describe. */
#include <string.h>

#include "minivmm.h"

/* AML, the bytecode of the DSDT; chapter 20 of the ACPI specification. */
#define AML_NAME 0x08
#define AML_BYTE 0x0a
#define AML_DWORD 0x0c
#define AML_STRING 0x0d
#define AML_SCOPE 0x10
#define AML_BUFFER 0x11
#define AML_PACKAGE 0x12
#define AML_EXTENDED 0x5b
#define AML_DEVICE 0x82

/* FADT and SRAT flags. */
#define FADT_WBINVD (1 << 0)
#define FADT_POWER_BUTTON_IS_DEVICE (1 << 4)
#define FADT_SLEEP_BUTTON_IS_DEVICE (1 << 5)
#define FADT_RESET_REGISTER (1 << 10)
#define FADT_HARDWARE_REDUCED (1 << 20)
#define BOOT_NO_VGA_MSI_ASPM_RTC (1 << 2 | 1 << 3 | 1 << 4 | 1 << 5)
#define SRAT_ENABLED (1 << 0)
#define SRAT_HOTPLUG (1 << 1)

struct table {
    uint8_t *bytes; /* in guest memory, at BIOS_GPA */
    uint32_t used;
    uint32_t start; /* of the table that is being written */
};

static void put(struct table *table, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        table->bytes[table->used++] = (uint8_t)(value >> 8 * i);
    }
}

static void put_bytes(struct table *table, const void *bytes, size_t size)
{
    memcpy(table->bytes + table->used, bytes, size);
    table->used += (uint32_t)size;
}

static void put_zeros(struct table *table, unsigned size)
{
    memset(table->bytes + table->used, 0, size);
    table->used += size;
}

/* The sum over all bytes must be 0. */
static void put_checksum(struct table *table, uint32_t start, uint32_t size,
                         uint32_t where)
{
    uint8_t sum = 0;

    table->bytes[start + where] = 0;
    for (uint32_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + table->bytes[start + i]);
    }
    table->bytes[start + where] = (uint8_t)-sum;
}

static void start_table(struct table *table, const char *name, uint8_t revision)
{
    table->used = (table->used + 15) & ~15U;
    table->start = table->used;
    put_bytes(table, name, 4);
    put(table, 0, 4); /* length and checksum: end_table() */
    put(table, revision, 1);
    put(table, 0, 1);
    put_bytes(table, "VMEM  MINIVMM ", 14);
    put(table, 1, 4);
    put_bytes(table, "VMEM", 4);
    put(table, 1, 4);
}

static uint64_t end_table(struct table *table)
{
    const uint32_t size = table->used - table->start;

    for (unsigned i = 0; i < 4; i++) {
        table->bytes[table->start + 4 + i] = (uint8_t)(size >> 8 * i);
    }
    put_checksum(table, table->start, size, 9);
    return BIOS_GPA + table->start;
}

/* An object with a length in front: always the form of two bytes, for up to
 * 4095. Returns what close_package() needs. */
static uint32_t open_package(struct table *table, uint8_t op)
{
    put(table, op, 1);
    put(table, 0, 2);
    return table->used - 2;
}

static void close_package(struct table *table, uint32_t at)
{
    const uint32_t size = table->used - at;

    table->bytes[at] = (uint8_t)(0x40 | (size & 0xf));
    table->bytes[at + 1] = (uint8_t)(size >> 4);
}

static uint32_t open_device(struct table *table, const char *name)
{
    put(table, AML_EXTENDED, 1);
    const uint32_t at = open_package(table, AML_DEVICE);
    put_bytes(table, name, 4);
    return at;
}

static void put_name(struct table *table, const char *name)
{
    put(table, AML_NAME, 1);
    put_bytes(table, name, 4);
}

static void put_uid(struct table *table, uint8_t uid)
{
    put_name(table, "_UID");
    put(table, AML_BYTE, 1);
    put(table, uid, 1);
}

/* Resources: a buffer with its size in front, and an end tag behind it. */
static uint32_t open_resources(struct table *table)
{
    put_name(table, "_CRS");
    const uint32_t at = open_package(table, AML_BUFFER);
    put(table, AML_BYTE, 1);
    put(table, 0, 1);
    return at;
}

/* Level, active high, the device's own: an extended interrupt descriptor. */
static void put_interrupt(struct table *table, uint32_t gsi)
{
    put(table, 0x89, 1);
    put(table, 6, 2);
    put(table, 0x01, 1);
    put(table, 1, 1);
    put(table, gsi, 4);
}

static void close_resources(struct table *table, uint32_t at)
{
    put(table, 0x0079, 2); /* end tag, without a checksum */
    table->bytes[at + 3] = (uint8_t)(table->used - at - 4);
    close_package(table, at);
}

/* Device (COM0) { PNP0501, ports 0x3f8 to 0x3ff, interrupt 4 } */
static void put_serial(struct table *table)
{
    const uint32_t device = open_device(table, "COM0");

    put_name(table, "_HID");
    put(table, AML_DWORD, 1);
    put(table, 0x0105d041, 4); /* EisaId ("PNP0501") */
    put_uid(table, 0);

    const uint32_t resources = open_resources(table);
    put(table, 0x47, 1); /* I/O ports: 16 bits, from, to, alignment, length */
    put(table, 1, 1);
    put(table, PORT_SERIAL, 2);
    put(table, PORT_SERIAL, 2);
    put(table, 1, 1);
    put(table, 8, 1);
    put_interrupt(table, GSI_SERIAL);
    close_resources(table, resources);
    close_package(table, device);
}

/* Device (VMMn) { LNRO0005, its page, its interrupt }: what Linux takes for a
 * virtio-mmio device. */
static void put_virtio(struct table *table, const struct virtio *virtio,
                       unsigned index)
{
    const char name[5] = { 'V', 'M', 'M', (char)('0' + index), '\0' };
    const uint32_t device = open_device(table, name);

    put_name(table, "_HID");
    put(table, AML_STRING, 1);
    put_bytes(table, "LNRO0005", 9);
    put_uid(table, (uint8_t)index);

    const uint32_t resources = open_resources(table);
    put(table, 0x86, 1); /* memory, 32 bits: writable, from, length */
    put(table, 9, 2);
    put(table, 1, 1);
    put(table, virtio->gpa, 4);
    put(table, 4 * KIB, 4);
    put_interrupt(table, virtio->gsi);
    close_resources(table, resources);
    close_package(table, device);
}

static uint64_t put_dsdt(struct table *table, const struct vm *vm)
{
    start_table(table, "DSDT", 2);

    /* Name (_S5, Package { 5, 0, 0, 0 }): how to power off */
    put_name(table, "_S5_");
    const uint32_t package = open_package(table, AML_PACKAGE);
    put(table, 4, 1);
    put(table, AML_BYTE, 1);
    put(table, SLEEP_TYPE_OFF, 1);
    put_zeros(table, 3); /* three times the opcode of the number 0 */
    close_package(table, package);

    const uint32_t scope = open_package(table, AML_SCOPE);
    put_bytes(table, "_SB_", 4);
    put_serial(table);
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        put_virtio(table, &vm->devices[i].virtio, i);
    }
    close_package(table, scope);
    return end_table(table);
}

/* A generic address: a port of one byte. */
static void put_port(struct table *table, uint16_t port)
{
    put(table, 1, 1); /* system I/O */
    put(table, 8, 1);
    put(table, 0, 1);
    put(table, 1, 1);
    put(table, port, 8);
}

static uint64_t put_fadt(struct table *table, uint64_t dsdt_gpa)
{
    start_table(table, "FACP", 6);
    put_zeros(table, 109 - 36); /* what a reduced machine has not */
    put(table, BOOT_NO_VGA_MSI_ASPM_RTC, 2);
    put(table, 0, 1);
    put(table,
        FADT_WBINVD | FADT_POWER_BUTTON_IS_DEVICE |
            FADT_SLEEP_BUTTON_IS_DEVICE | FADT_RESET_REGISTER |
            FADT_HARDWARE_REDUCED,
        4);
    put_port(table, PORT_RESET);
    put(table, RESET_VALUE, 1);
    put(table, 0, 2);
    put(table, 5, 1);        /* minor version */
    put_zeros(table, 8);     /* the FACS is optional */
    put(table, dsdt_gpa, 8); /* X_DSDT */
    put_zeros(table, 244 - 148);
    put_port(table, PORT_SLEEP_CONTROL);
    put_port(table, PORT_SLEEP_STATUS);
    put_zeros(table, 8); /* hypervisor vendor */
    return end_table(table);
}

static uint64_t put_madt(struct table *table, const struct vm *vm)
{
    start_table(table, "APIC", 5);
    put(table, LAPIC_GPA, 4);
    put(table, 0, 4); /* no 8259 */
    for (unsigned i = 0; i < vm->options->nr_cpus; i++) {
        put(table, 0, 1); /* a CPU and its local APIC */
        put(table, 8, 1);
        put(table, i, 1);
        put(table, i, 1);
        put(table, 1, 4);
    }
    put(table, 1, 1); /* the IOAPIC */
    put(table, 12, 1);
    put(table, 0, 2);
    put(table, IOAPIC_GPA, 4);
    put(table, 0, 4);
    return end_table(table);
}

/* Where hot-added memory belongs: without this Linux puts it on node 0. */
static uint64_t put_srat(struct table *table, const struct vm *vm)
{
    start_table(table, "SRAT", 3);
    put(table, 1, 4);
    put(table, 0, 8);
    for (unsigned i = 0; i < vm->options->nr_cpus; i++) {
        put(table, 0, 1); /* a CPU, on node 0 */
        put(table, 16, 1);
        put(table, 0, 1);
        put(table, i, 1);
        put(table, SRAT_ENABLED, 4);
        put(table, 0, 8);
    }
    //! [srat]
    for (unsigned i = 0; i < vm->nr_areas; i++) {
        const struct area *area = &vm->areas[i];

        put(table, 1, 1); /* memory */
        put(table, 40, 1);
        put(table, area->node, 4);
        put(table, 0, 2);
        put(table, area->gpa, 8);
        put(table, area->size, 8);
        put(table, 0, 4);
        put(table, SRAT_ENABLED | (area->hotplug ? SRAT_HOTPLUG : 0), 4);
        put(table, 0, 8);
    }
    //! [srat]
    return end_table(table);
}

uint64_t acpi_write(struct vm *vm)
{
    struct table table = { memory_boot_ram(vm, BIOS_GPA, BIOS_END - BIOS_GPA),
                           64, 0 }; /* behind the RSDP */
    const uint64_t dsdt_gpa = put_dsdt(&table, vm);
    const uint64_t tables[] = { put_fadt(&table, dsdt_gpa),
                                put_madt(&table, vm), put_srat(&table, vm) };

    start_table(&table, "XSDT", 1);
    for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        put(&table, tables[i], 8);
    }
    const uint64_t xsdt_gpa = end_table(&table);

    table.used = 0;
    put_bytes(&table, "RSD PTR \0VMEM  ", 15);
    put(&table, 2, 1);
    put(&table, 0, 4);
    put(&table, 36, 4);
    put(&table, xsdt_gpa, 8);
    put(&table, 0, 4);
    put_checksum(&table, 0, 20, 8);
    put_checksum(&table, 0, 36, 32);
    return BIOS_GPA;
}
