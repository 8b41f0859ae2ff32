/* SPDX-License-Identifier: BSD-3-Clause */
/* minivmm: a small VMM that boots Linux under KVM, with virtio-mem devices of
 * libvmem. Read main.c first, then memory.c, virtio.c and queue.c; what watches a
 * guest for tests and developers is in instruments/, with a header of its own. */
#ifndef MINIVMM_H
#define MINIVMM_H

#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <vmem/vmem.h>

#define MAX_CPUS 8
#define MAX_DEVICES 8
#define MAX_NODES 8
#define MAX_MEMORIES (MAX_DEVICES + 1)

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* The guest's physical addresses. Boot RAM is below the hole for devices, and
 * virtio-mem devices are behind it. */
#define BIOS_GPA 0xe0000 /* the ACPI tables, where firmware has them */
#define BIOS_END 0x100000
#define BOOT_RAM_END (3 * GIB)
#define VIRTIO_GPA 0xd0000000 /* a page for each device */
#define PASS_GPA 0xd0100000 /* registers of the device that is passed through */
#define IOAPIC_GPA 0xfec00000
#define LAPIC_GPA 0xfee00000
#define KVM_PRIVATE_GPA 0xfffbd000 /* three pages that Intel's KVM wants */
#define HIGH_GPA (4 * GIB)

/* Its ports, and its interrupts. */
#define PORT_SERIAL 0x3f8
#define PORT_I8042 0x64
#define PORT_SLEEP_CONTROL 0x600
#define PORT_SLEEP_STATUS 0x601
#define PORT_RESET 0x602
#define RESET_VALUE 1
#define SLEEP_TYPE_OFF 5
#define GSI_SERIAL 4
#define GSI_VIRTIO 16

struct vm;
struct report;

/* --- options.c: what the user wants ------------------------------------ */

/* What libvmem is given for a device: all but its name and where it is. */
struct device_options {
    struct vmem_backing_config backing;
    struct vmem_device_config device;
};

struct options {
    const char *kernel;
    const char *initrd;
    const char *command_line;
    const char *monitor;
    const char *ctl; /* the monitor of another; then there is no kernel */
    const char *trace;
    const char *pass;
    uint64_t memory_size;
    uint64_t nr_cpus;
    uint64_t stall_after_ns;
    bool json;
    struct device_options devices[MAX_DEVICES];
    unsigned nr_devices;
};

/* Prints "minivmm: ..." on standard error and returns -1. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "64M" and the like; false if it is not a size. */
bool parse_size(const char *text, uint64_t *size);

/* 0, or -1 after saying what is wrong; text is changed. */
int parse_device(char *text, struct device_options *device);
/* And 1 if there is nothing left to do. With --ctl the rest of argv is the
 * command. */
int parse_options(int argc, char **argv, struct options *options);

/* --- queue.c: one split virtqueue -------------------------------------- */

#define QUEUE_MAX 128

struct queue {
    uint32_t size;
    bool ready;
    uint64_t desc_gpa;
    uint64_t avail_gpa;
    uint64_t used_gpa;
    uint16_t next_avail;
    uint16_t next_used;
};

//! [chain]
/* A descriptor chain, reduced to what a virtio-mem request needs: the first 24
 * bytes to read, and where the first 10 bytes of the answer go. */
struct chain {
    uint16_t head;
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
    size_t request_size;
    struct {
        uint64_t gpa;
        size_t size;
    } pieces[VMEM_DEVICE_RESPONSE_SIZE]; /* none of them is empty */
    unsigned nr_pieces;
    size_t response_size;
    const char *why; /* what the guest did wrong */
};
//! [chain]

/* NULL, or what is wrong with the addresses that the driver gave. */
const char *queue_check(const struct queue *queue);
/* 1 with the next chain, 0 if there is none, -1 with its why if the guest broke
 * the rules; the queue must not be used any more then. */
int queue_pop(struct queue *queue, struct vm *vm, struct chain *chain);
/* Writes the answer and gives the chain back. 0, or -1 with its why. */
int queue_push(struct queue *queue, struct vm *vm, struct chain *chain,
               const uint8_t response[VMEM_DEVICE_RESPONSE_SIZE]);

/* --- virtio.c: virtio-mmio ---------------------------------------------- */

struct virtio {
    struct memory *memory;
    unsigned index;
    pthread_mutex_t lock; /* the members that follow */
    atomic_uint status;   /* is looked at without it too */
    uint32_t driver_features[2];
    uint32_t registers[VIRTIO_MMIO_CONFIG / 4]; /* what the driver wrote */
    struct queue queue;
    uint64_t nr_broken;       /* times that the guest broke the rules */
    pthread_mutex_t irq_lock; /* a leaf: the member that follows */
    uint32_t interrupt_status;
};

void virtio_init(struct virtio *virtio, struct memory *memory, unsigned index);
void virtio_reset(struct virtio *virtio);
/* A load or store of the guest, offset bytes into the device's page. */
void virtio_access(struct virtio *virtio, uint64_t offset, void *data,
                   uint32_t size, bool write);
/* The config space changed. On any thread. */
void virtio_config_changed(struct virtio *virtio);

/* --- memory.c: everything that libvmem manages -------------------------- */

//! [memory]
/* A piece of guest memory, which KVM has a slot for: boot RAM or a device's. */
struct memory {
    struct vm *vm;
    char name[16];
    uint64_t gpa;
    uint64_t size;
    uint64_t node;
    uint8_t *hva;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device; /* NULL: boot RAM, all of it always there */
    struct virtio virtio;
};
//! [memory]

int memory_open(struct vm *vm);
void memory_close(struct vm *vm);
/* A system reset: everything that is plugged goes. */
void memory_reset(struct vm *vm);
/* Copies from or to one piece of guest memory, as long as all of the range is
 * populated. Any bytes of any guest; 0, or -1. */
int memory_read(struct vm *vm, uint64_t gpa, void *bytes, size_t size);
int memory_write(struct vm *vm, uint64_t gpa, const void *bytes, size_t size);
/* Boot RAM for the loader; NULL if it is not all there. */
void *memory_boot_ram(struct vm *vm, uint64_t gpa, uint64_t size);

/* --- serial.c: an 8250 on standard output ------------------------------- */

struct serial {
    pthread_mutex_t lock;
    uint8_t registers[10]; /* the last two are the divisor's */
    bool thr_empty;        /* and the guest was not told yet */
    uint8_t fifo[256];
    unsigned head, tail;
};

void serial_reset(struct vm *vm);
/* What the guest does to the register at that offset. */
void serial_access(struct vm *vm, unsigned offset, uint8_t *value, bool write);
/* How much input the guest can take; and takes some of it from standard input,
 * false when there will be no more. */
unsigned serial_room(struct vm *vm);
bool serial_input(struct vm *vm);

/* --- boot.c, acpi.c ----------------------------------------------------- */

#define BOOT_PARAMS_GPA 0x7000
#define PAGE_TABLES_GPA 0x9000

/* Loads kernel and initramfs into boot RAM. */
int boot_load(struct vm *vm);
/* Writes the tables, from BIOS_GPA on; returns the gpa of the RSDP. */
uint64_t acpi_write(struct vm *vm);

/* --- kvm.c: the machine that runs it all -------------------------------- */

struct cpu {
    struct vm *vm;
    unsigned index;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    bool started;
};

/* In cpu.c: what the guest finds in it, and where it starts. */
int cpu_set_features(const struct cpu *cpu);
int cpu_set_registers(const struct cpu *cpu);

/* What the guest, or a CPU, asks of the main thread. */
enum demand { DEMAND_NONE, DEMAND_RESET, DEMAND_OFF, DEMAND_FAILED };

int kvm_open(struct vm *vm);
/* Makes a fresh KVM machine with the memory that is there, and runs it. */
int kvm_start(struct vm *vm);
void kvm_stop(struct vm *vm);
void kvm_irq(struct vm *vm, unsigned gsi, bool level);
void kvm_demand(struct vm *vm, enum demand demand);
/* An ioctl: what it returns, or -1 after saying what KVM does not do. */
int kvm_ask(int fd, unsigned long request, void *argument, const char *what);

/* --- monitor.c: what can be asked of a running machine ------------------ */

/* A command whose words were understood. */
struct request {
    struct vm *vm;
    const struct command *command;
    struct memory *memory; /* of the device; NULL without one */
    const char *argument;  /* behind the device; NULL without one */
    struct report *report; /* where the answer goes: instruments.h */
};

struct command {
    const char *name;      /* one word or two */
    const char *arguments; /* "", "DEV", or "DEV" and another one */
    int (*run)(const struct request *request); /* -1 after report_error() */
};

/* One line; 0, or -1 after report_error(). */
int monitor_command(struct vm *vm, char *line, struct report *report);

/* --- everything ---------------------------------------------------------- */

struct vm {
    const struct options *options;

    struct vmem_vm *vmem;
    struct memory memories[MAX_MEMORIES];
    unsigned nr_memories;
    struct memory *devices; /* of memories, behind the boot RAM */
    unsigned nr_devices;
    uint64_t entry_gpa; /* of the kernel that was loaded */

    int kvm_fd;
    int machine_fd;
    struct cpu cpus[MAX_CPUS];
    unsigned nr_cpus;
    atomic_bool stopping;
    atomic_int demand; /* an enum demand */
    int demand_fd;     /* an eventfd that wakes the main thread */
    uint64_t nr_boots;

    struct serial serial;
};

#endif /* MINIVMM_H */
