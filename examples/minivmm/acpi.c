/* SPDX-License-Identifier: BSD-3-Clause */
/* What firmware would tell: where the CPUs, the devices and the nodes are. The
 * machine is "hardware-reduced": no timers, no interrupt controller and no
 * power management of the PC, so that there is little to describe. */
#include <string.h>

#include "minivmm.h"

/* AML, the bytecode of the DSDT (chapter 20 of the ACPI specification), as iasl
 * would make it: an object is its opcode, for some the bytes from there to its end, a
 * name of four letters, and what is in it. Resources are a buffer of descriptors
 * (chapter 6.4) with an end tag. */
#define AML_SCOPE 0x10
static const char sleep_aml[] =
    "\x08_S5_" /* Name (_S5, Package { 5, 0, 0, 0 }) */
    "\x12\x07\x04\x0a\x05\0\0\0";
static const char serial_aml[] =
    "\x5b\x82\x31" /* Device (COM0), of 49 bytes */
    "COM0"
    "\x08_HID"
    "\x0c\x41\xd0\x05\x01" /* EisaId ("PNP0501") */
    "\x08_UID"
    "\0"
    "\x08_CRS"
    "\x11\x16\x0a\x13"                 /* a buffer, of 19 bytes */
    "\x47\x01\xf8\x03\xf8\x03\x01\x08" /* IO (0x3f8, 8 ports) */
    "\x89\x06\0\x01\x01\x04\0\0\0"     /* Interrupt (Level, High, 4) */
    "\x79";                            /* the end, and the NUL behind it */
/* What Linux takes for a virtio-mmio device. */
static const char virtio_aml[] =
    "\x5b\x82\x3b" /* Device (VMM?), of 59 bytes */
    "VMM?"
    "\x08_HID"
    "\x0dLNRO0005\0"
    "\x08_UID"
    "\x0a?"
    "\x08_CRS"
    "\x11\x1a\x0a\x17"             /* a buffer, of 23 bytes */
    "\x86\x09\0\x01????\0\x10\0\0" /* Memory32Fixed (ReadWrite, ?, 4096) */
    "\x89\x06\0\x01\x01????"       /* Interrupt (Level, ActiveHigh, ?) */
    "\x79";
/* Where the question marks are. */
#define VIRTIO_AML_NAME 6
#define VIRTIO_AML_UID 28
#define VIRTIO_AML_GPA 42
#define VIRTIO_AML_GSI 55

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

static void put_virtio(struct table *table, const struct virtio *virtio,
                       unsigned index)
{
    char aml[sizeof(virtio_aml)];
    const uint32_t gpa = (uint32_t)virtio->gpa;

    memcpy(aml, virtio_aml, sizeof(aml));
    aml[VIRTIO_AML_NAME] = (char)('0' + index);
    aml[VIRTIO_AML_UID] = (char)index;
    memcpy(aml + VIRTIO_AML_GPA, &gpa, sizeof(gpa));
    memcpy(aml + VIRTIO_AML_GSI, &virtio->gsi, sizeof(virtio->gsi));
    put_bytes(table, aml, sizeof(aml));
}

static uint64_t put_dsdt(struct table *table, const struct vm *vm)
{
    const uint32_t size = (uint32_t)(2 + 4 + sizeof(serial_aml) +
                                     vm->nr_devices * sizeof(virtio_aml));

    start_table(table, "DSDT", 2);
    put_bytes(table, sleep_aml, sizeof(sleep_aml) - 1);
    /* Scope (_SB), with a length of two bytes: up to 4095. */
    put(table, AML_SCOPE, 1);
    put(table, 0x40 | (size & 0xf), 1);
    put(table, size >> 4, 1);
    put_bytes(table, "_SB_", 4);
    put_bytes(table, serial_aml, sizeof(serial_aml));
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        put_virtio(table, &vm->devices[i].virtio, i);
    }
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
