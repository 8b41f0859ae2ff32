/* SPDX-License-Identifier: BSD-3-Clause */
/* The KVM machine: memory slots, CPUs, and what they exit for. A reset throws
 * it away and makes another one, so no register of the old one is forgotten;
 * memory and devices are not KVM's and live on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "instruments/instruments.h"

int kvm_ask(int fd, unsigned long request, void *argument, const char *what)
{
    const int ret = ioctl(fd, request, argument);

    return ret >= 0 ? ret : complain("KVM %s: %s", what, strerror(errno));
}

int kvm_open(struct vm *vm)
{
    vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (vm->kvm_fd < 0) {
        return complain(errno == EACCES || errno == EPERM
                            ? "no right to use /dev/kvm: %s (is the user in "
                              "the group kvm?)"
                            : "there is no KVM here: /dev/kvm: %s",
                        strerror(errno));
    }
    return 0;
}

void kvm_demand(struct vm *vm, enum demand demand)
{
    int none = DEMAND_NONE;

    /* The first one counts. */
    atomic_compare_exchange_strong(&vm->demand, &none, (int)demand);
    eventfd_write(vm->demand_fd, 1);
}

void kvm_irq(struct vm *vm, unsigned gsi, bool level)
{
    struct kvm_irq_level irq = { .irq = gsi, .level = level };

    ioctl(vm->machine_fd, KVM_IRQ_LINE, &irq); /* not yet, or no more: -1 */
}

static int add_slot(struct vm *vm, uint32_t number, uint64_t gpa, uint64_t size,
                    const void *hva)
{
    struct kvm_userspace_memory_region slot = {
        .slot = number,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)hva,
    };

    return kvm_ask(vm->machine_fd, KVM_SET_USER_MEMORY_REGION, &slot,
                   "takes no memory slot");
}

//! [slots]
static int add_slots(struct vm *vm)
{
    for (unsigned i = 0; i < vm->nr_memories; i++) {
        const struct memory *memory = &vm->memories[i];

        if (add_slot(vm, i, memory->gpa, memory->size, memory->hva) != 0) {
            return -1;
        }
    }
    uint64_t size;
    const void *registers = pass_registers(&size);
    return registers == NULL
               ? 0
               : add_slot(vm, vm->nr_memories, PASS_GPA, size, registers);
}
//! [slots]

static int make_machine(struct vm *vm)
{
    vm->machine_fd =
        kvm_ask(vm->kvm_fd, KVM_CREATE_VM, NULL, "makes no machine");
    return vm->machine_fd < 0 ||
                   kvm_ask(vm->machine_fd, KVM_SET_TSS_ADDR,
                           (void *)KVM_PRIVATE_GPA,
                           "takes no memory for itself") < 0 ||
                   kvm_ask(vm->machine_fd, KVM_CREATE_IRQCHIP, NULL,
                           "makes no interrupt controllers") < 0
               ? -1
               : add_slots(vm);
}

static void access_port(struct vm *vm, uint16_t port, uint8_t *value, bool out)
{
    if (port >= PORT_SERIAL && port < PORT_SERIAL + 8) {
        serial_access(vm, port - PORT_SERIAL, value, out);
    } else if (!out) {
        /* The keyboard controller is always ready for the command to reset. */
        *value = port == PORT_I8042 || port == PORT_SLEEP_STATUS ? 0 : 0xff;
    } else if ((port == PORT_I8042 && *value == 0xfe) ||
               (port == PORT_RESET && *value == RESET_VALUE)) {
        kvm_demand(vm, DEMAND_RESET);
    } else if (port == PORT_SLEEP_CONTROL &&
               *value == (SLEEP_TYPE_OFF << 2 | 1 << 5)) {
        kvm_demand(vm, DEMAND_OFF);
    }
}

/* Where there is nothing, a guest reads ones. */
static void handle_port(struct vm *vm, struct kvm_run *run)
{
    const bool out = run->io.direction == KVM_EXIT_IO_OUT;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        if (!out) {
            memset(data, 0xff, run->io.size);
        }
        access_port(vm, run->io.port, data, out);
    }
}

static void handle_mmio(struct vm *vm, struct kvm_run *run)
{
    const uint64_t offset = run->mmio.phys_addr - VIRTIO_GPA;
    const uint64_t index = offset / (4 * KIB);

    if (!run->mmio.is_write) {
        memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
    }
    if (index < vm->nr_devices) { /* it is huge below VIRTIO_GPA */
        virtio_access(&vm->devices[index].virtio, offset % (4 * KIB),
                      run->mmio.data, run->mmio.len, run->mmio.is_write);
    }
}

/* False if there is nothing more to run. A triple fault is a reset, as on a PC. */
static bool handle_exit(struct vm *vm, const struct cpu *cpu)
{
    switch (cpu->run->exit_reason) {
    case KVM_EXIT_IO:
        handle_port(vm, cpu->run);
        return true;
    case KVM_EXIT_MMIO:
        handle_mmio(vm, cpu->run);
        return true;
    case KVM_EXIT_INTR:
        return true;
    case KVM_EXIT_SHUTDOWN:
        kvm_demand(vm, DEMAND_RESET);
        return false;
    default:
        complain("CPU %u stopped: KVM exit %u", cpu->index,
                 cpu->run->exit_reason);
        kvm_demand(vm, DEMAND_FAILED);
        return false;
    }
}

static void *run_cpu(void *opaque)
{
    const struct cpu *cpu = opaque;
    struct vm *vm = cpu->vm;
    bool runs = true;

    while (runs && !vm->stopping) {
        if (ioctl(cpu->fd, KVM_RUN, 0) == 0) {
            runs = handle_exit(vm, cpu);
        } else if (errno != EINTR && errno != EAGAIN) {
            complain("CPU %u does not run: %s", cpu->index, strerror(errno));
            kvm_demand(vm, DEMAND_FAILED);
            runs = false;
        }
    }
    return NULL;
}

static size_t run_size(const struct vm *vm)
{
    return (size_t)ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
}

static int make_cpu(struct vm *vm, struct cpu *cpu)
{
    cpu->fd = kvm_ask(vm->machine_fd, KVM_CREATE_VCPU,
                      (void *)(uintptr_t)cpu->index, "makes no CPU");
    if (cpu->fd < 0) {
        return -1;
    }
    cpu->run = mmap(NULL, run_size(vm), PROT_READ | PROT_WRITE, MAP_SHARED,
                    cpu->fd, 0);
    return cpu->run != MAP_FAILED
               ? cpu_set_features(cpu)
               : complain("cannot map CPU %u: %s", cpu->index, strerror(errno));
}

static void wake(int signal)
{
    (void)signal; /* that it came ends KVM_RUN */
}

int kvm_start(struct vm *vm)
{
    signal(SIGUSR1, wake);
    vm->stopping = false;
    vm->demand = DEMAND_NONE;
    if (make_machine(vm) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < vm->options->nr_cpus; i++) {
        struct cpu *cpu = &vm->cpus[vm->nr_cpus++];

        *cpu = (struct cpu){ .vm = vm, .index = i };
        if (make_cpu(vm, cpu) != 0) {
            return -1;
        }
    }
    /* The others wait until the first one wakes them. */
    if (cpu_set_registers(&vm->cpus[0]) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < vm->nr_cpus; i++) {
        struct cpu *cpu = &vm->cpus[i];

        if (pthread_create(&cpu->thread, NULL, run_cpu, cpu) != 0) {
            return complain("no thread for CPU %u", i);
        }
        cpu->started = true;
    }
    vm->nr_boots++;
    return 0;
}

void kvm_stop(struct vm *vm)
{
    vm->stopping = true;
    while (vm->nr_cpus > 0) {
        struct cpu *cpu = &vm->cpus[--vm->nr_cpus];

        if (cpu->started) {
            /* A signal that comes just before KVM_RUN would be lost. */
            cpu->run->immediate_exit = 1;
            pthread_kill(cpu->thread, SIGUSR1);
            pthread_join(cpu->thread, NULL);
        }
        munmap(cpu->run, run_size(vm));
        close(cpu->fd);
    }
    close(vm->machine_fd);
    vm->machine_fd = -1;
}
