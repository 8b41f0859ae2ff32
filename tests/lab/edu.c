/* SPDX-License-Identifier: BSD-3-Clause */
#include "edu.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "result.h"

/* Registers, from QEMU's docs/specs/edu: 8 bytes wide from 0x80 on. */
#define EDU_ID 0x00
#define EDU_DMA_SOURCE 0x80
#define EDU_DMA_TARGET 0x88
#define EDU_DMA_COUNT 0x90
#define EDU_DMA_COMMAND 0x98

#define EDU_ID_MASK 0xffff
#define EDU_ID_VALUE 0x00ed
/* Where the device's own memory is for its DMA engine. */
#define EDU_BUFFER 0x40000

#define EDU_START 1
#define EDU_TO_MEMORY 2

#define EDU_TIMEOUT_US (10 * 1000 * 1000)

static bool get_region(int device_fd, uint32_t index,
                       struct vfio_region_info *info)
{
    *info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
    if (ioctl(device_fd, VFIO_DEVICE_GET_REGION_INFO, info)) {
        result_note("VFIO_DEVICE_GET_REGION_INFO: %s", strerror(errno));
        return false;
    }
    return true;
}

/* After binding the device may not master the bus, and its transfers would be
 * dropped without a word. */
static bool enable_master(int device_fd)
{
    struct vfio_region_info config;
    if (!get_region(device_fd, VFIO_PCI_CONFIG_REGION_INDEX, &config)) {
        return false;
    }
    const off_t offset = (off_t)config.offset + PCI_COMMAND;
    uint16_t command = 0;
    if (pread(device_fd, &command, sizeof(command), offset) !=
        (ssize_t)sizeof(command)) {
        return false;
    }
    command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    return pwrite(device_fd, &command, sizeof(command), offset) ==
           (ssize_t)sizeof(command);
}

bool edu_open(struct edu *edu, int device_fd)
{
    struct vfio_region_info bar;
    *edu = (struct edu){ 0 };
    if (!enable_master(device_fd) ||
        !get_region(device_fd, VFIO_PCI_BAR0_REGION_INDEX, &bar)) {
        return false;
    }
    void *registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED,
                           device_fd, (off_t)bar.offset);
    if (registers == MAP_FAILED) {
        result_note("registers of edu: %s", strerror(errno));
        return false;
    }
    edu->registers = registers;
    edu->size = bar.size;
    const uint32_t id = *(volatile uint32_t *)(registers);
    if ((id & EDU_ID_MASK) != EDU_ID_VALUE) {
        result_note("not edu: it says %#x", id);
        return false;
    }
    return true;
}

void edu_close(struct edu *edu)
{
    if (edu->registers) {
        munmap((void *)(uintptr_t)edu->registers, edu->size);
    }
}

static volatile uint64_t *reg(const struct edu *edu, size_t offset)
{
    return (volatile uint64_t *)(uintptr_t)(edu->registers + offset);
}

static bool transfer(struct edu *edu, uint64_t source, uint64_t target,
                     size_t size, uint64_t direction)
{
    if (size == 0 || size > EDU_MAX_SIZE) {
        return false;
    }
    *reg(edu, EDU_DMA_SOURCE) = source;
    *reg(edu, EDU_DMA_TARGET) = target;
    *reg(edu, EDU_DMA_COUNT) = size;
    *reg(edu, EDU_DMA_COMMAND) = EDU_START | direction;
    for (unsigned int waited_us = 0; waited_us < EDU_TIMEOUT_US;
         waited_us += 1000) {
        if (!(*reg(edu, EDU_DMA_COMMAND) & EDU_START)) {
            edu->nr_transfers++;
            return true;
        }
        usleep(1000);
    }
    result_note("a transfer of edu does not end");
    return false;
}

bool edu_read(struct edu *edu, uint64_t iova, size_t size)
{
    return transfer(edu, iova, EDU_BUFFER, size, 0);
}

bool edu_write(struct edu *edu, uint64_t iova, size_t size)
{
    return transfer(edu, EDU_BUFFER, iova, size, EDU_TO_MEMORY);
}
