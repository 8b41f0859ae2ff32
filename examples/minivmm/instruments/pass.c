/* SPDX-License-Identifier: BSD-3-Clause */
/* --pass: the guest gets the registers of a PCI device that is bound to vfio-pci,
 * and the device gets the guest's memory: what is plugged, and never more. There
 * is no PCI bus in this machine; the guest finds the first BAR at PASS_GPA. */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "instruments.h"

static struct {
    int container_fd;
    int group_fd;
    int device_fd;
    void *registers; /* NULL: there is none */
    uint64_t size;
    struct vmem_dma *dma;
    struct vmem_dma_attachment *attachments[MAX_MEMORIES];
} pass = { .container_fd = -1, .group_fd = -1, .device_fd = -1 };

static struct vmem_error err = VMEM_ERROR_INIT;

/* The group that the kernel isolates the device in. */
static int open_group(const char *address)
{
    char link[128];
    char target[256] = "";
    char path[300];

    snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group",
             address);
    if (readlink(link, target, sizeof(target) - 1) < 0) {
        return complain("--pass %s: there is no such device with an IOMMU",
                        address);
    }
    const char *name = strrchr(target, '/');
    snprintf(path, sizeof(path), "/dev/vfio/%s",
             name != NULL ? name + 1 : target);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    return fd >= 0 ? fd
                   : complain("--pass %s: %s: %s (is it bound to vfio-pci?)",
                              address, path, strerror(errno));
}

static int open_container(struct vm *vm)
{
    pass.container_fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
    if (pass.container_fd < 0) {
        return complain("--pass %s: /dev/vfio/vfio: %s", vm->options->pass,
                        strerror(errno));
    }
    pass.group_fd = open_group(vm->options->pass);
    if (pass.group_fd < 0) {
        return -1;
    }
    if (ioctl(pass.group_fd, VFIO_GROUP_SET_CONTAINER, &pass.container_fd) !=
            0 ||
        ioctl(pass.container_fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) != 0) {
        return complain("--pass %s: no address space for it: %s",
                        vm->options->pass, strerror(errno));
    }
    return 0;
}

//! [pass]
/* One address space with all memory in it, where the guest has it. Boot RAM is
 * one mapping; a virtio-mem device is one for each block that is plugged. */
static int attach_memory(struct vm *vm)
{
    const struct vmem_dma_config config = { .struct_size = sizeof(config),
                                            .name = "pass" };
    if (vmem_dma_new_type1(vm->vmem, &config, pass.container_fd, &pass.dma,
                           &err) != 0) {
        return complain("--pass %s: %s", vm->options->pass, err.message);
    }
    for (unsigned i = 0; i < vm->nr_memories; i++) {
        const struct memory *memory = &vm->memories[i];
        const struct vmem_dma_attach_config attach = { .struct_size =
                                                           sizeof(attach),
                                                       .name = memory->name,
                                                       .region = memory->region,
                                                       .iova = memory->gpa };

        if (vmem_dma_attach(pass.dma, &attach, NULL, &pass.attachments[i],
                            &err) != 0) {
            return complain("--pass %s: %s", vm->options->pass, err.message);
        }
    }
    return 0;
}
//! [pass]

/* Maps the registers, and lets the device master the bus. */
static int open_device(struct vm *vm)
{
    struct vfio_region_info bar = { .argsz = sizeof(bar),
                                    .index = VFIO_PCI_BAR0_REGION_INDEX };
    struct vfio_region_info config = { .argsz = sizeof(config),
                                       .index = VFIO_PCI_CONFIG_REGION_INDEX };
    uint16_t command = 0;

    pass.device_fd =
        ioctl(pass.group_fd, VFIO_GROUP_GET_DEVICE_FD, vm->options->pass);
    if (pass.device_fd < 0 ||
        ioctl(pass.device_fd, VFIO_DEVICE_GET_REGION_INFO, &bar) != 0 ||
        ioctl(pass.device_fd, VFIO_DEVICE_GET_REGION_INFO, &config) != 0) {
        return complain("--pass %s: %s", vm->options->pass, strerror(errno));
    }
    const off_t offset = (off_t)config.offset + PCI_COMMAND;
    void *registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED,
                           pass.device_fd, (off_t)bar.offset);
    if (registers == MAP_FAILED ||
        pread(pass.device_fd, &command, sizeof(command), offset) < 0) {
        return complain("--pass %s: its first BAR: %s", vm->options->pass,
                        strerror(errno));
    }
    pass.registers = registers;
    pass.size = bar.size;
    command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    return pwrite(pass.device_fd, &command, sizeof(command), offset) ==
                   sizeof(command)
               ? 0
               : complain("--pass %s: %s", vm->options->pass, strerror(errno));
}

int pass_open(struct vm *vm)
{
    return vm->options->pass == NULL
               ? 0
               : (open_container(vm) != 0 || attach_memory(vm) != 0 ||
                          open_device(vm) != 0
                      ? -1
                      : 0);
}

void pass_close(struct vm *vm)
{
    if (vm->options->pass == NULL) {
        return;
    }
    if (pass.registers != NULL) {
        munmap(pass.registers, pass.size);
    }
    /* The device goes first: then nothing uses what is unmapped. */
    if (pass.device_fd >= 0) {
        close(pass.device_fd);
    }
    for (unsigned i = 0; i < vm->nr_memories; i++) {
        vmem_dma_detach(pass.attachments[i], NULL);
    }
    if (vmem_dma_free(pass.dma, &err) != 0) {
        complain("--pass %s: %s", vm->options->pass, err.message);
    }
    close(pass.group_fd);
    close(pass.container_fd);
}

const void *pass_registers(uint64_t *size)
{
    *size = pass.size;
    return pass.registers;
}

static int info_pass(const struct request *request)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };
    struct report *report = request->report;

    if (pass.dma == NULL) {
        report_text(report, "device", "none");
        return 0;
    }
    vmem_dma_get_stats(pass.dma, &stats);
    report_text(report, "device", request->vm->options->pass);
    report_number(report, "mappings", stats.nr_mappings);
    report_number(report, "pinned", stats.pinned_size);
    report_number(report, "maps", stats.nr_maps);
    report_number(report, "unmaps", stats.nr_unmaps);
    report_number(report, "stuck", stats.nr_stuck);
    return 0;
}

const struct command pass_commands[] = {
    { "info pass", "", info_pass },
    { NULL, NULL, NULL },
};
