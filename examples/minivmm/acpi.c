/* SPDX-License-Identifier: BSD-3-Clause */
/* What firmware would tell: where the CPUs, the devices and the nodes are. The
 * machine is "hardware-reduced": no timers, no interrupt controller and no
 * power management of the PC, so that there is little to describe. */
#include <string.h>

#include "minivmm.h"

/* FADT and SRAT flags. */
#define FADT_WBINVD (1 << 0)
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

static void put_bytes(struct table *table, const void *bytes, size_t size)
{
    memcpy(table->bytes + table->used, bytes, size);
    table->used += (uint32_t)size;
}
#define PUT_TEXT(table, text) put_bytes(table, text, sizeof(text) - 1)

static void put_zeros(struct table *table, unsigned size)
{
    memset(table->bytes + table->used, 0, size);
    table->used += size;
}

/* Members of a table, and in front of them the size of each: "14" for one byte
 * and then four, as the specification lists them. */
static void put(struct table *table, const char *sizes, const uint64_t *values)
{
    for (; *sizes != '\0'; sizes++, values++) {
        put_bytes(table, values, (size_t)(*sizes - '0'));
    }
}
#define PUT(table, sizes, ...)                                                 \
    put(table, sizes, (const uint64_t[]){ __VA_ARGS__ })

/* The sum over all bytes must be 0. */
static void put_checksum(struct table *table, uint32_t start, uint32_t size,
                         uint32_t where)
{
    uint8_t sum = 0;

    for (uint32_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + table->bytes[start + i]);
    }
    table->bytes[start + where] = (uint8_t)(table->bytes[start + where] - sum);
}

static void start_table(struct table *table, const char *name, uint8_t revision)
{
    table->used = (table->used + 15) & ~15U;
    table->start = table->used;
    put_bytes(table, name, 4);
    PUT(table, "411", 0, revision, 0); /* end_table() has length and checksum */
    PUT_TEXT(table, "VMEM  MINIVMM \1\0\0\0VMEM\1\0\0\0");
}

static uint64_t end_table(struct table *table)
{
    const uint32_t size = table->used - table->start;

    memcpy(table->bytes + table->start + 4, &size, sizeof(size));
    put_checksum(table, table->start, size, 9);
    return BIOS_GPA + table->start;
}

/* The DSDT is AML, a bytecode (chapter 20 of the ACPI specification), here as iasl
 * would make it: an object is its opcode, for some the bytes from there to its end, a
 * name of four letters, and what is in it. Resources are a buffer of descriptors
 * (chapter 6.4) with an end tag.
 * This is what Linux takes for a virtio-mmio device. */
static void put_virtio(struct table *table, unsigned index)
{
    /* Device (\_SB.VMM0), of 66 bytes */
    PUT_TEXT(table, "\x5b\x82\x42\x04\\\x2e_SB_VMM");
    PUT(table, "1", '0' + index);
    PUT_TEXT(table, "\x08_HID\x0dLNRO0005\0\x08_UID\x0a");
    PUT(table, "1", index);
    PUT_TEXT(table, "\x08_CRS\x11\x1a\x0a\x17"); /* a buffer, of 23 bytes */
    PUT_TEXT(table, "\x86\x09\0\x01"); /* Memory32Fixed (ReadWrite, ...) */
    PUT(table, "44", VIRTIO_GPA + index * 4 * KIB, 4 * KIB);
    PUT_TEXT(table, "\x89\x06\0\x01\x01"); /* Interrupt (Level, ActiveHigh) */
    PUT(table, "4", GSI_VIRTIO + index);
    PUT_TEXT(table, "\x79\0"); /* the end */
}

static uint64_t put_dsdt(struct table *table, const struct vm *vm)
{
    start_table(table, "DSDT", 2);
    /* Name (_S5, Package { 5, 0, 0, 0 }) */
    PUT_TEXT(table, "\x08_S5_\x12\x07\x04\x0a\x05\0\0\0");
    /* Device (\_SB.COM0), of 55 bytes; its _HID is EisaId ("PNP0501") */
    PUT_TEXT(table, "\x5b\x82\x37\\\x2e_SB_COM0");
    PUT_TEXT(table, "\x08_HID\x0c\x41\xd0\x05\x01\x08_UID\0");
    PUT_TEXT(table, "\x08_CRS\x11\x16\x0a\x13"); /* a buffer, of 19 bytes */
    PUT_TEXT(table, "\x47\x01");                 /* IO (Decode16, ...) */
    PUT(table, "2211", PORT_SERIAL, PORT_SERIAL, 1, 8);
    PUT_TEXT(table, "\x89\x06\0\x01\x01"); /* Interrupt (Level, ActiveHigh) */
    PUT(table, "4", GSI_SERIAL);
    PUT_TEXT(table, "\x79\0");
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        put_virtio(table, i);
    }
    return end_table(table);
}

/* A generic address: a port of one byte. */
static void put_port(struct table *table, uint16_t port)
{
    PUT(table, "11118", 1, 8, 0, 1, port);
}

static uint64_t put_fadt(struct table *table, uint64_t dsdt_gpa)
{
    start_table(table, "FACP", 6);
    put_zeros(table, 109 - 36); /* what a reduced machine has not */
    PUT(table, "214", BOOT_NO_VGA_MSI_ASPM_RTC, 0,
        FADT_WBINVD | FADT_RESET_REGISTER | FADT_HARDWARE_REDUCED);
    put_port(table, PORT_RESET);
    PUT(table, "121", RESET_VALUE, 0, 5); /* and the minor version */
    PUT(table, "88", 0, dsdt_gpa);        /* the FACS is optional */
    put_zeros(table, 244 - 148);
    put_port(table, PORT_SLEEP_CONTROL);
    put_port(table, PORT_SLEEP_STATUS);
    put_zeros(table, 8); /* hypervisor vendor */
    return end_table(table);
}

static uint64_t put_madt(struct table *table, const struct vm *vm)
{
    start_table(table, "APIC", 5);
    PUT(table, "44", LAPIC_GPA, 0); /* no 8259 */
    for (unsigned i = 0; i < vm->options->nr_cpus; i++) {
        PUT(table, "11114", 0, 8, i, i, 1); /* a CPU and its local APIC */
    }
    PUT(table, "11244", 1, 12, 0, IOAPIC_GPA, 0);
    return end_table(table);
}

/* Where hot-added memory belongs: without this Linux puts it on node 0. */
static uint64_t put_srat(struct table *table, const struct vm *vm)
{
    start_table(table, "SRAT", 3);
    PUT(table, "48", 1, 0);
    for (unsigned i = 0; i < vm->options->nr_cpus; i++) {
        PUT(table, "111148", 0, 16, 0, i, SRAT_ENABLED, 0); /* on node 0 */
    }
    //! [srat]
    for (unsigned i = 0; i < vm->nr_memories; i++) {
        const struct memory *memory = &vm->memories[i];

        PUT(table, "114288448", 1, 40, memory->node, 0, memory->gpa,
            memory->size, 0,
            SRAT_ENABLED | (memory->device != NULL ? SRAT_HOTPLUG : 0), 0);
    }
    //! [srat]
    return end_table(table);
}

uint64_t acpi_write(struct vm *vm)
{
    struct table table = { memory_boot_ram(vm, BIOS_GPA, BIOS_END - BIOS_GPA),
                           64, 0 }; /* behind the RSDP */
    const uint64_t dsdt_gpa = put_dsdt(&table, vm);
    const uint64_t fadt_gpa = put_fadt(&table, dsdt_gpa);
    const uint64_t madt_gpa = put_madt(&table, vm);
    const uint64_t srat_gpa = put_srat(&table, vm);

    start_table(&table, "XSDT", 1);
    PUT(&table, "888", fadt_gpa, madt_gpa, srat_gpa);
    const uint64_t xsdt_gpa = end_table(&table);

    table.used = 0;
    PUT_TEXT(&table, "RSD PTR \0VMEM  \2");
    PUT(&table, "4484", 0, 36, xsdt_gpa, 0);
    put_checksum(&table, 0, 20, 8);
    put_checksum(&table, 0, 36, 32);
    return BIOS_GPA;
}
