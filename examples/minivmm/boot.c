/* SPDX-License-Identifier: BSD-3-Clause */
/* The x86 boot protocol of Linux, entered in 64-bit mode: a bzImage or the ELF
 * file inside it, an initramfs, and a page of parameters. */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "minivmm.h"

#define COMMAND_LINE_GPA 0x20000
#define COMMAND_LINE_SIZE 2048
#define LOW_RAM_END 0x9fc00
#define BZIMAGE_GPA 0x1000000
#define ENTRY_64_OFFSET 0x200
#define INITRD_END (2 * GIB)

struct file {
    const char *path;
    const uint8_t *bytes;
    uint64_t size;
};

static int map_file(struct file *file, const char *what, const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;

    file->path = path;
    file->bytes = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &status) == 0) {
        file->size = (uint64_t)status.st_size;
        file->bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (file->bytes == MAP_FAILED) {
        complain("cannot read the %s %s: %s", what, path, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return file->bytes == MAP_FAILED ? -1 : 0;
}

static void unmap_file(struct file *file)
{
    munmap((void *)file->bytes, file->size);
}

/* Zeros behind the bytes of the file, up to size. */
static int load_bytes(struct vm *vm, const struct file *file, uint64_t offset,
                      uint64_t file_size, uint64_t gpa, uint64_t size)
{
    uint8_t *hva = memory_boot_ram(vm, gpa, size);

    if (offset > file->size || file_size > file->size - offset ||
        file_size > size) {
        return complain("the kernel %s is cut off", file->path);
    }
    if (hva == NULL) {
        return complain("the kernel %s does not fit into the boot RAM",
                        file->path);
    }
    memcpy(hva, file->bytes + offset, file_size);
    memset(hva + file_size, 0, size - file_size);
    return 0;
}

static int load_elf(struct vm *vm, const struct file *file, uint64_t *entry_gpa)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;

    memcpy(&header, file->bytes, sizeof(header));
    if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_machine != EM_X86_64 ||
        header.e_phentsize != sizeof(segment) || header.e_phoff > file->size ||
        header.e_phnum > (file->size - header.e_phoff) / sizeof(segment)) {
        return complain("the kernel %s is not for 64-bit x86", file->path);
    }
    for (unsigned i = 0; i < header.e_phnum; i++) {
        memcpy(&segment, file->bytes + header.e_phoff + i * sizeof(segment),
               sizeof(segment));
        if (segment.p_type == PT_LOAD &&
            load_bytes(vm, file, segment.p_offset, segment.p_filesz,
                       segment.p_paddr, segment.p_memsz) != 0) {
            return -1;
        }
    }
    *entry_gpa = header.e_entry;
    return 0;
}

static int load_bzimage(struct vm *vm, const struct file *file,
                        struct boot_params *params, uint64_t *entry_gpa)
{
    struct setup_header *header = &params->hdr;
    const size_t at = offsetof(struct boot_params, hdr);

    if (file->size < at + sizeof(*header)) {
        return complain("the kernel %s is cut off", file->path);
    }
    memcpy(header, file->bytes + at, sizeof(*header));
    if (header->header != 0x53726448 /* "HdrS" */ || header->version < 0x20c ||
        (header->xloadflags & XLF_KERNEL_64) == 0) {
        return complain("%s is neither a 64-bit bzImage nor an ELF kernel",
                        file->path);
    }
    const uint64_t setup_size =
        ((header->setup_sects != 0 ? header->setup_sects : 4) + 1) * 512;
    const uint64_t gpa =
        header->pref_address != 0 ? header->pref_address : BZIMAGE_GPA;
    if (file->size < setup_size ||
        memory_boot_ram(vm, gpa, header->init_size) == NULL) {
        return complain("the kernel %s does not fit into the boot RAM",
                        file->path);
    }
    *entry_gpa = gpa + ENTRY_64_OFFSET;
    return load_bytes(vm, file, setup_size, file->size - setup_size, gpa,
                      file->size - setup_size);
}

/* At the end of the RAM that the kernel can reach early. */
static int load_initrd(struct vm *vm, struct boot_params *params)
{
    const uint64_t ram = vm->areas[0].size;
    const uint64_t end = ram < INITRD_END ? ram : INITRD_END;
    struct file file;
    int ret = -1;

    if (map_file(&file, "initramfs", vm->options->initrd) != 0) {
        return -1;
    }
    const uint64_t gpa =
        file.size < end ? (end - file.size) & ~(uint64_t)(4 * KIB - 1) : 0;
    /* Half of the RAM is for the kernel, which unpacks it too. */
    if (gpa < end / 2) {
        complain("the initramfs %s does not fit into the boot RAM", file.path);
    } else {
        memcpy(memory_boot_ram(vm, gpa, file.size), file.bytes, file.size);
        params->hdr.ramdisk_image = (uint32_t)gpa;
        params->hdr.ramdisk_size = (uint32_t)file.size;
        ret = 0;
    }
    unmap_file(&file);
    return ret;
}

static void add_e820(struct boot_params *params, uint64_t gpa, uint64_t size,
                     uint32_t type)
{
    struct boot_e820_entry *entry = &params->e820_table[params->e820_entries++];

    entry->addr = gpa;
    entry->size = size;
    entry->type = type;
}

/* What the kernel may use from the start: boot RAM, and not a byte of the
 * virtio-mem devices, whose driver adds what it plugs. */
static void put_e820(struct vm *vm, struct boot_params *params)
{
    add_e820(params, 0, LOW_RAM_END, 1);
    add_e820(params, BIOS_GPA, BIOS_END - BIOS_GPA, 2);
    add_e820(params, BIOS_END, vm->areas[0].size - BIOS_END, 1);
    for (unsigned i = 1; i < vm->nr_areas; i++) {
        if (!vm->areas[i].hotplug) {
            add_e820(params, vm->areas[i].gpa, vm->areas[i].size, 1);
        }
    }
}

/* The first 4 GiB, one to one, in pages of 2 MiB. */
static void put_page_tables(struct vm *vm)
{
    uint64_t *tables = memory_boot_ram(vm, PAGE_TABLES_GPA, 6 * 4096);

    memset(tables, 0, 6 * 4096);
    tables[0] = (PAGE_TABLES_GPA + 4096) | 3;
    for (uint64_t i = 0; i < 4; i++) {
        tables[512 + i] = (PAGE_TABLES_GPA + (2 + i) * 4096) | 3;
    }
    for (uint64_t i = 0; i < UINT64_C(4) * 512; i++) {
        tables[UINT64_C(2) * 512 + i] = i * 2 * MIB | 0x83;
    }
}

int boot_load(struct vm *vm, uint64_t *entry_gpa)
{
    const struct options *options = vm->options;
    struct boot_params params = { 0 };
    struct file kernel;
    int ret;

    if (strlen(options->command_line) >= COMMAND_LINE_SIZE) {
        return complain("the kernel takes a command line of up to %d bytes",
                        COMMAND_LINE_SIZE - 1);
    }
    if (map_file(&kernel, "kernel", options->kernel) != 0) {
        return -1;
    }
    if (kernel.size >= sizeof(Elf64_Ehdr) &&
        memcmp(kernel.bytes, ELFMAG, SELFMAG) == 0) {
        params.hdr.boot_flag = 0xaa55;
        params.hdr.header = 0x53726448;
        ret = load_elf(vm, &kernel, entry_gpa);
    } else {
        ret = load_bzimage(vm, &kernel, &params, entry_gpa);
    }
    unmap_file(&kernel);
    if (ret != 0 ||
        (options->initrd != NULL && (ret = load_initrd(vm, &params)) != 0)) {
        return ret;
    }
    params.hdr.type_of_loader = 0xff;
    params.hdr.loadflags |= LOADED_HIGH;
    params.hdr.cmd_line_ptr = COMMAND_LINE_GPA;
    params.hdr.cmdline_size = COMMAND_LINE_SIZE - 1;
    memcpy(memory_boot_ram(vm, COMMAND_LINE_GPA, COMMAND_LINE_SIZE),
           options->command_line, strlen(options->command_line) + 1);
    put_e820(vm, &params);
    params.acpi_rsdp_addr = acpi_write(vm);
    memcpy(memory_boot_ram(vm, BOOT_PARAMS_GPA, sizeof(params)), &params,
           sizeof(params));
    put_page_tables(vm);
    return 0;
}
