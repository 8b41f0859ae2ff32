/* SPDX-License-Identifier: BSD-3-Clause */
/* The KVM machine: memory slots, CPUs, and what they exit for. A reset throws
 * it away and makes another one, so no register of the old one is forgotten;
 * memory and devices are not KVM's and live on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "minivmm.h"

int kvm_open(struct vm *vm)
{
    vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (vm->kvm_fd < 0) {
        return errno == EACCES || errno == EPERM
                   ? complain(
                         "no right to use /dev/kvm: %s (is the user in the "
                         "group kvm?)",
                         strerror(errno))
                   : complain("there is no KVM here: /dev/kvm: %s",
                              strerror(errno));
    }
    if (ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
        return complain("/dev/kvm does not speak version %d", KVM_API_VERSION);
    }
    return 0;
}

void kvm_demand(struct vm *vm, enum demand demand)
{
    const uint64_t one = 1;
    int none = DEMAND_NONE;

    /* The first one counts. */
    atomic_compare_exchange_strong(&vm->demand, &none, (int)demand);
    if (write(vm->demand_fd, &one, sizeof(one)) < 0) {
        complain("cannot wake the main thread: %s", strerror(errno));
    }
}

void kvm_irq(struct vm *vm, unsigned gsi, bool level)
{
    struct kvm_irq_level irq = { .irq = gsi, .level = level };

    if (vm->machine_fd >= 0) {
        ioctl(vm->machine_fd, KVM_IRQ_LINE, &irq);
    }
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

    return ioctl(vm->machine_fd, KVM_SET_USER_MEMORY_REGION, &slot) == 0
               ? 0
               : complain("KVM takes no memory slot %u: %s", number,
                          strerror(errno));
}

//! [slots]
static int add_slots(struct vm *vm)
{
    for (unsigned i = 0; i < vm->nr_areas; i++) {
        const struct area *area = &vm->areas[i];

        if (add_slot(vm, i, area->gpa, area->size, area->hva) != 0) {
            return -1;
        }
    }
    uint64_t size;
    const void *registers = pass_registers(&size);
    return registers == NULL
               ? 0
               : add_slot(vm, vm->nr_areas, PASS_GPA, size, registers);
}
//! [slots]

static int make_machine(struct vm *vm)
{
    uint64_t identity_map_gpa = KVM_PRIVATE_GPA;

    vm->machine_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
    if (vm->machine_fd < 0) {
        return complain("KVM makes no machine: %s", strerror(errno));
    }
    if (ioctl(vm->machine_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map_gpa) !=
            0 ||
        ioctl(vm->machine_fd, KVM_SET_TSS_ADDR, KVM_PRIVATE_GPA + 4 * KIB) !=
            0 ||
        ioctl(vm->machine_fd, KVM_CREATE_IRQCHIP, 0) != 0) {
        return complain("KVM makes no interrupt controllers: %s",
                        strerror(errno));
    }
    return add_slots(vm);
}

static uint32_t read_port(struct vm *vm, uint16_t port)
{
    if (port >= PORT_SERIAL && port < PORT_SERIAL + 8) {
        return serial_read(vm, port - PORT_SERIAL);
    }
    /* The keyboard controller is always ready for the command to reset. */
    return port == PORT_I8042 || port == PORT_SLEEP_STATUS ? 0 : UINT32_MAX;
}

static void write_port(struct vm *vm, uint16_t port, uint8_t value)
{
    if (port >= PORT_SERIAL && port < PORT_SERIAL + 8) {
        serial_write(vm, port - PORT_SERIAL, value);
    } else if ((port == PORT_I8042 && value == 0xfe) ||
               (port == PORT_RESET && value == RESET_VALUE)) {
        kvm_demand(vm, DEMAND_RESET);
    } else if (port == PORT_SLEEP_CONTROL &&
               value == (SLEEP_TYPE_OFF << 2 | 1 << 5)) {
        kvm_demand(vm, DEMAND_OFF);
    }
}

static void handle_port(struct vm *vm, struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            write_port(vm, run->io.port, data[0]);
        } else {
            const uint32_t value = read_port(vm, run->io.port);

            memcpy(data, &value, run->io.size);
        }
    }
}

static void handle_mmio(struct vm *vm, struct kvm_run *run)
{
    const uint64_t offset = run->mmio.phys_addr - VIRTIO_GPA;
    const uint64_t index = offset / (4 * KIB);
    uint64_t value = 0;

    if (index >= vm->nr_devices) { /* below VIRTIO_GPA too */
        memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
        return;
    }
    struct virtio *virtio = &vm->devices[index].virtio;
    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, run->mmio.len);
        virtio_write(virtio, offset % (4 * KIB), run->mmio.len, value);
    } else {
        value = virtio_read(virtio, offset % (4 * KIB), run->mmio.len);
        memcpy(run->mmio.data, &value, run->mmio.len);
    }
}

/* A triple fault is a reset, as on a PC. */
static void handle_exit(struct vm *vm, const struct cpu *cpu)
{
    switch (cpu->run->exit_reason) {
    case KVM_EXIT_IO:
        handle_port(vm, cpu->run);
        return;
    case KVM_EXIT_MMIO:
        handle_mmio(vm, cpu->run);
        return;
    case KVM_EXIT_INTR:
        return;
    case KVM_EXIT_SHUTDOWN:
        kvm_demand(vm, DEMAND_RESET);
        break;
    default:
        complain("CPU %u stopped: KVM exit %u", cpu->index,
                 cpu->run->exit_reason);
        kvm_demand(vm, DEMAND_FAILED);
        break;
    }
    /* Nothing more to run here; the main thread will stop it. */
    while (!vm->stopping) {
        usleep(1000);
    }
}

static void *run_cpu(void *opaque)
{
    const struct cpu *cpu = opaque;
    struct vm *vm = cpu->vm;

    while (!vm->stopping) {
        if (ioctl(cpu->fd, KVM_RUN, 0) == 0) {
            handle_exit(vm, cpu);
        } else if (errno != EINTR && errno != EAGAIN) {
            complain("CPU %u does not run: %s", cpu->index, strerror(errno));
            kvm_demand(vm, DEMAND_FAILED);
            return NULL;
        }
    }
    return NULL;
}

static int start_cpu(struct vm *vm, unsigned index, uint64_t entry_gpa)
{
    const int size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct cpu *cpu = &vm->cpus[index];

    cpu->vm = vm;
    cpu->index = index;
    cpu->fd = ioctl(vm->machine_fd, KVM_CREATE_VCPU, index);
    if (cpu->fd < 0 || size < 0) {
        return complain("KVM makes no CPU %u: %s", index, strerror(errno));
    }
    cpu->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED,
                    cpu->fd, 0);
    if (cpu->run == MAP_FAILED) {
        cpu->run = NULL;
        return complain("cannot map CPU %u: %s", index, strerror(errno));
    }
    /* The others wait until the first one wakes them. */
    return cpu_set_features(cpu) != 0 ||
                   (index == 0 && cpu_set_registers(cpu, entry_gpa) != 0)
               ? -1
               : 0;
}

static void wake(int signal)
{
    (void)signal; /* that it came ends KVM_RUN */
}

int kvm_start(struct vm *vm, uint64_t entry_gpa)
{
    const struct sigaction action = { .sa_handler = wake };

    sigaction(SIGUSR1, &action, NULL);
    vm->stopping = false;
    vm->demand = DEMAND_NONE;
    if (make_machine(vm) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < vm->options->nr_cpus; i++) {
        if (start_cpu(vm, i, entry_gpa) != 0) {
            return -1;
        }
    }
    for (unsigned i = 0; i < vm->options->nr_cpus; i++) {
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
    const int size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

    vm->stopping = true;
    for (unsigned i = 0; i < MAX_CPUS; i++) {
        struct cpu *cpu = &vm->cpus[i];

        if (cpu->started) {
            /* A signal that comes just before KVM_RUN would be lost. */
            cpu->run->immediate_exit = 1;
            pthread_kill(cpu->thread, SIGUSR1);
            pthread_join(cpu->thread, NULL);
        }
        if (cpu->run != NULL) {
            munmap(cpu->run, (size_t)size);
        }
        if (cpu->fd >= 0) {
            close(cpu->fd);
        }
        *cpu = (struct cpu){ .fd = -1 };
    }
    if (vm->machine_fd >= 0) {
        close(vm->machine_fd);
        vm->machine_fd = -1;
    }
}
