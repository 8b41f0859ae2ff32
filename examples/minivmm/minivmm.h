/* SPDX-License-Identifier: BSD-3-Clause */
/* minivmm: a small VMM that boots Linux under KVM, with virtio-mem devices of
 * libvmem. Read main.c first, then memory.c, virtio.c and queue.c; what watches a
 * guest for tests and developers is in instruments/. */
#ifndef MINIVMM_H
#define MINIVMM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <vmem/vmem.h>

#define MAX_CPUS 8
#define MAX_DEVICES 8
#define MAX_NODES 8
#define MAX_AREAS (MAX_DEVICES + 2)

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* The guest's physical addresses. RAM that does not fit below the hole goes on
 * at 4 GiB, and behind it come the virtio-mem devices. */
#define BIOS_GPA 0xe0000 /* the ACPI tables, where firmware has them */
#define BIOS_END 0x100000
#define HOLE_GPA (3 * GIB)
#define VIRTIO_GPA 0xd0000000 /* a page for each device */
#define PASS_GPA 0xd0100000 /* registers of the device that is passed through */
#define IOAPIC_GPA 0xfec00000
#define LAPIC_GPA 0xfee00000
#define KVM_PRIVATE_GPA 0xfffbc000 /* four pages that Intel's KVM wants */
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

struct device_options {
    char name[VMEM_NAME_MAX + 1];
    uint64_t size;
    uint64_t block_size; /* 0: the backing's default */
    uint64_t requested_size;
    uint64_t node;
    uint32_t backing; /* an enum vmem_backing_kind */
    uint64_t features;
    uint64_t flags;
    const char *path; /* of a file backing */
};

struct options {
    const char *kernel;
    const char *initrd;
    const char *command_line;
    const char *monitor;
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
int parse_device(char *text, unsigned index, struct device_options *device);
/* And 1 if there is nothing left to do. With --ctl there is no kernel, the
 * monitor is the other's, and the rest of argv its command. */
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
        uint32_t size;
    } pieces[VMEM_DEVICE_RESPONSE_SIZE]; /* none of them is empty */
    unsigned nr_pieces;
    size_t response_size;
};
//! [chain]

/* NULL, or what is wrong with the addresses that the driver gave. */
const char *queue_check(const struct queue *queue);
/* 1 with the next chain, 0 if there is none, -1 with *why if the guest broke
 * the rules; the queue must not be used any more then. */
int queue_pop(struct queue *queue, struct vm *vm, struct chain *chain,
              const char **why);
/* Writes the answer and gives the chain back. 0, or -1 with *why. */
int queue_push(struct queue *queue, struct vm *vm, const struct chain *chain,
               const void *response, size_t size, const char **why);

/* --- virtio.c: virtio-mmio ---------------------------------------------- */

struct virtio {
    struct vm *vm;
    struct memory_device *memory;
    uint64_t gpa;
    unsigned gsi;
    pthread_mutex_t lock; /* the members that follow */
    uint32_t status;
    uint32_t device_features_sel;
    uint32_t driver_features_sel;
    uint32_t queue_sel;
    uint64_t driver_features;
    struct queue queue;
    uint64_t nr_broken;       /* times that the guest broke the rules */
    pthread_mutex_t irq_lock; /* a leaf: the interrupt's state */
    uint32_t interrupt_status;
    atomic_bool running; /* the driver may be interrupted */
};

void virtio_init(struct virtio *virtio, struct vm *vm, unsigned index);
void virtio_reset(struct virtio *virtio);
/* A load or store of the guest, offset bytes into the device's page. */
uint64_t virtio_read(struct virtio *virtio, uint64_t offset, uint32_t size);
void virtio_write(struct virtio *virtio, uint64_t offset, uint32_t size,
                  uint64_t value);
/* The config space changed. On any thread. */
void virtio_config_changed(struct virtio *virtio);

/* --- memory.c: everything that libvmem manages -------------------------- */

//! [memory]
struct memory_device {
    struct vm *vm;
    const struct device_options *options;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
    uint64_t gpa;
    struct virtio virtio;
};
//! [memory]

/* A piece of guest memory: KVM gets a slot for each. */
struct area {
    uint64_t gpa;
    uint64_t size;
    uint64_t offset; /* in the region */
    struct vmem_region *region;
    uint8_t *hva;
    uint64_t node;
    bool hotplug; /* the guest has no more of it than it plugged */
};

int memory_open(struct vm *vm);
void memory_close(struct vm *vm);
/* A system reset: everything that is plugged goes. */
void memory_reset(struct vm *vm);
/* Copies from or to guest memory, as long as all of it is populated. Any bytes
 * of any guest; 0, or -1. */
int memory_read(struct vm *vm, uint64_t gpa, void *bytes, size_t size);
int memory_write(struct vm *vm, uint64_t gpa, const void *bytes, size_t size);
/* Is all of that range memory that the guest has? */
bool memory_is_there(struct vm *vm, uint64_t gpa, uint64_t size);
/* Boot RAM for the loader; NULL if it is not all there. */
void *memory_boot_ram(struct vm *vm, uint64_t gpa, uint64_t size);
struct memory_device *memory_find(struct vm *vm, const char *name);

/* --- serial.c: an 8250 on standard output ------------------------------- */

struct serial {
    pthread_mutex_t lock;
    uint8_t ier, lcr, mcr, scratch;
    uint16_t divisor;
    bool thr_empty; /* and the guest was not told yet */
    uint8_t fifo[256];
    unsigned head, tail;
};

void serial_reset(struct vm *vm);
uint8_t serial_read(struct vm *vm, unsigned offset);
void serial_write(struct vm *vm, unsigned offset, uint8_t value);
/* How much serial_input() can take. */
unsigned serial_room(struct vm *vm);
void serial_input(struct vm *vm, const uint8_t *bytes, unsigned size);

/* --- boot.c, acpi.c ----------------------------------------------------- */

#define BOOT_PARAMS_GPA 0x7000
#define PAGE_TABLES_GPA 0x9000

/* Loads kernel and initramfs into boot RAM. */
int boot_load(struct vm *vm, uint64_t *entry_gpa);
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

/* In cpu.c: what the guest finds in it. */
int cpu_set_features(const struct cpu *cpu);
/* For the 64-bit boot protocol. */
int cpu_set_registers(const struct cpu *cpu, uint64_t entry_gpa);

/* In kvm.c again. */
/* What the guest, or a CPU, asks of the main thread. */
enum demand { DEMAND_NONE, DEMAND_RESET, DEMAND_OFF, DEMAND_FAILED };

int kvm_open(struct vm *vm);
/* Makes a fresh KVM machine with the memory that is there, and runs it. */
int kvm_start(struct vm *vm, uint64_t entry_gpa);
void kvm_stop(struct vm *vm);
void kvm_irq(struct vm *vm, unsigned gsi, bool level);
void kvm_demand(struct vm *vm, enum demand demand);

/* --- monitor.c: what can be asked of a running machine ------------------ */

/* A command whose words were understood. */
struct request {
    struct vm *vm;
    struct memory_device *memory; /* that DEV names; NULL without one */
    const char *argument;         /* behind DEV; NULL without one */
    char *const *words;
    struct report
        *report; /* where the answer goes: instruments/instruments.h */
};

struct command {
    const char *name;      /* one word or two */
    const char *arguments; /* "", "DEV", or "DEV" and another one */
    int (*run)(const struct request *request); /* -1 after report_error() */
};

/* One line; 0, or -1 after report_error(). */
int monitor_command(struct vm *vm, char *line, struct report *report);

/* --- instruments/: what watches, and what only tests need --------------- */

/* socket.c: where commands come from. */
int monitor_open(struct vm *vm);
void monitor_close(struct vm *vm);
/* Somebody connects; a client has sent something. */
void monitor_accept(struct vm *vm);
void monitor_input(struct vm *vm, unsigned index);
/* An event, to everybody who asked for them: "event" and pairs of name and value, up
 * to NULL; numbers go as text. On any thread. */
void monitor_event(struct vm *vm, const char *event, ...)
    __attribute__((sentinel));
/* client.c: minivmm --ctl; the exit status. */
int monitor_client(const char *path, bool json, int argc, char **argv);

/* trace.c: --trace. A vmem_device_ops::trace whose opaque is the struct
 * memory_device; and at the end 0, or -1 after saying why not. */
void trace_event(const struct vmem_trace_event *event, void *opaque);
int trace_save(struct vm *vm, const char *path);

/* pass.c: --pass. The registers for a slot of KVM; NULL if there are none. */
int pass_open(struct vm *vm);
void pass_close(struct vm *vm);
const void *pass_registers(uint64_t *size);

/* follow.c: what the monitor has attached to a device. */
void follow_detach_all(struct memory_device *memory);

/* --- everything ---------------------------------------------------------- */

#define MAX_CLIENTS 8
#define LINE_SIZE 256

struct client {
    int fd;
    bool json;
    bool events;
    unsigned len;
    char line[LINE_SIZE];
};

struct vm {
    const struct options *options;

    struct vmem_vm *vmem;
    struct vmem_backing *ram_backing;
    struct vmem_region *ram;
    struct area areas[MAX_AREAS];
    unsigned nr_areas;
    struct memory_device devices[MAX_DEVICES];
    unsigned nr_devices;

    int kvm_fd;
    int machine_fd;
    struct cpu cpus[MAX_CPUS];
    atomic_bool stopping;
    atomic_int demand; /* an enum demand */
    int demand_fd;     /* an eventfd that wakes the main thread */
    uint64_t nr_boots;

    struct serial serial;

    int monitor_fd;
    pthread_mutex_t clients_lock;
    struct client clients[MAX_CLIENTS];
};

#endif /* MINIVMM_H */
