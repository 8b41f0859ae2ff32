/* SPDX-License-Identifier: BSD-3-Clause */
/* The x86 boot protocol of Linux, entered in 64-bit mode: a bzImage or the ELF
 * file inside it, an initramfs, and a page of parameters. */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "minivmm.h"

#define COMMAND_LINE_GPA 0x20000
#define COMMAND_LINE_SIZE 2048
#define LOW_RAM_END 0x9fc00
#define ENTRY_64_OFFSET 0x200
#define INITRD_END (2 * GIB)
#define E820_RAM 1
#define E820_RESERVED 2

/* The path is for sentences about it. */
struct file {
    const char *path;
    int fd;
    uint64_t size;
};

static int open_file(struct file *file, const char *path)
{
    struct stat status;

    file->path = path;
    file->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0 || fstat(file->fd, &status) != 0) {
        return complain("cannot read %s: %s", path, strerror(errno));
    }
    file->size = (uint64_t)status.st_size;
    return 0;
}

static int read_bytes(const struct file *file, uint64_t offset, void *bytes,
                      uint64_t size)
{
    const ssize_t got = pread(file->fd, bytes, size, (off_t)offset);

    return got >= 0 && (uint64_t)got == size
               ? 0
               : complain("cannot read %s: %s", file->path,
                          got < 0 ? strerror(errno) : "it is cut off");
}

/* Zeros behind the bytes of the file, up to size. */
static int load_bytes(struct vm *vm, const struct file *file, uint64_t offset,
                      uint64_t file_size, uint64_t gpa, uint64_t size)
{
    uint8_t *hva = memory_boot_ram(vm, gpa, size);

    if (hva == NULL || file_size > size) {
        return complain("%s does not fit into the boot RAM", file->path);
    }
    memset(hva + file_size, 0, size - file_size);
    return read_bytes(file, offset, hva, file_size);
}

static int load_elf(struct vm *vm, const struct file *file,
                    const Elf64_Ehdr *header)
{
    if (header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_machine != EM_X86_64) {
        return complain("%s is not for 64-bit x86", file->path);
    }
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;

        if (read_bytes(file, header->e_phoff + i * sizeof(segment), &segment,
                       sizeof(segment)) != 0 ||
            (segment.p_type == PT_LOAD &&
             load_bytes(vm, file, segment.p_offset, segment.p_filesz,
                        segment.p_paddr, segment.p_memsz) != 0)) {
            return -1;
        }
    }
    return 0;
}

/* What is behind its sectors of real mode. */
static int load_bzimage(struct vm *vm, const struct file *file,
                        const struct setup_header *header)
{
    const uint64_t start = (header->setup_sects + UINT64_C(1)) * 512;

    return header->header == 0x53726448 /* "HdrS" */ &&
                   header->version >= 0x20c &&
                   (header->xloadflags & XLF_KERNEL_64) != 0 &&
                   file->size > start
               ? load_bytes(vm, file, start, file->size - start,
                            header->pref_address, header->init_size)
               : complain("%s is neither a 64-bit bzImage nor an ELF kernel",
                          file->path);
}

static int load_kernel(struct vm *vm, struct boot_params *params)
{
    const size_t at = offsetof(struct boot_params, hdr);
    struct file file;
    Elf64_Ehdr elf;
    int ret = -1;

    if (open_file(&file, vm->options->kernel) != 0 ||
        read_bytes(&file, 0, &elf, sizeof(elf)) != 0) {
        /* That was said. */
    } else if (memcmp(elf.e_ident, ELFMAG, SELFMAG) == 0) {
        vm->entry_gpa = elf.e_entry;
        ret = load_elf(vm, &file, &elf);
    } else if (read_bytes(&file, at, &params->hdr, sizeof(params->hdr)) == 0) {
        vm->entry_gpa = params->hdr.pref_address + ENTRY_64_OFFSET;
        ret = load_bzimage(vm, &file, &params->hdr);
    }
    close(file.fd);
    return ret;
}

/* At the end of the RAM that the kernel can reach early, and at most half of it:
 * the kernel unpacks it into the rest. */
static int load_initrd(struct vm *vm, struct boot_params *params)
{
    const uint64_t ram = vm->memories[0].size;
    const uint64_t end = ram < INITRD_END ? ram : INITRD_END;
    struct file file;
    int ret = open_file(&file, vm->options->initrd);

    if (ret == 0 && file.size > end / 2) {
        ret = complain("%s does not fit into the boot RAM", file.path);
    } else if (ret == 0) {
        const uint64_t gpa = (end - file.size) & ~(4 * KIB - 1);

        params->hdr.ramdisk_image = (uint32_t)gpa;
        params->hdr.ramdisk_size = (uint32_t)file.size;
        ret = load_bytes(vm, &file, 0, file.size, gpa, file.size);
    }
    close(file.fd);
    return ret;
}

/* What the kernel may use from the start: boot RAM, and not a byte of the
 * virtio-mem devices, whose driver adds what it plugs. */
static void put_e820(struct vm *vm, struct boot_params *params)
{
    const struct boot_e820_entry entries[] = {
        { 0, LOW_RAM_END, E820_RAM },
        { BIOS_GPA, BIOS_END - BIOS_GPA, E820_RESERVED },
        { BIOS_END, vm->memories[0].size - BIOS_END, E820_RAM },
    };

    memcpy(params->e820_table, entries, sizeof(entries));
    params->e820_entries = 3;
}

/* The first GiB, one to one, in pages of 2 MiB: a table of each level. */
static void put_page_tables(struct vm *vm)
{
    uint64_t(*tables)[512] =
        memory_boot_ram(vm, PAGE_TABLES_GPA, 3 * sizeof(*tables));

    memset(tables, 0, 3 * sizeof(*tables));
    tables[0][0] = (PAGE_TABLES_GPA + sizeof(*tables)) | 3;
    tables[1][0] = (PAGE_TABLES_GPA + 2 * sizeof(*tables)) | 3;
    for (uint64_t i = 0; i < 512; i++) {
        tables[2][i] = i * 2 * MIB | 0x83;
    }
}

int boot_load(struct vm *vm)
{
    const struct options *options = vm->options;
    struct boot_params params = { 0 };

    if (strlen(options->command_line) >= COMMAND_LINE_SIZE) {
        return complain("the kernel takes a command line of up to %d bytes",
                        COMMAND_LINE_SIZE - 1);
    }
    if (load_kernel(vm, &params) != 0 ||
        (options->initrd != NULL && load_initrd(vm, &params) != 0)) {
        return -1;
    }
    params.hdr.boot_flag = 0xaa55;
    params.hdr.header = 0x53726448;
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
