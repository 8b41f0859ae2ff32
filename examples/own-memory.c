/* SPDX-License-Identifier: BSD-3-Clause */
/* My VMM maps its guest memory itself. How does libvmem give parts of it back? */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)
#define SIZE (16 * MIB)

//! [map]
/* What a VMM does anyway: a file in memory, so that other processes can map it
 * too. Returns where it is, or MAP_FAILED. */
static void *map_guest_memory(int *fd)
{
    *fd = memfd_create("guest", MFD_CLOEXEC);
    if (*fd < 0 || ftruncate(*fd, (off_t)SIZE) < 0) {
        return MAP_FAILED;
    }
    return mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
}
//! [map]

//! [describe]
/* A wrong description is refused: the wrong way to discard would succeed, and
 * free nothing. */
static int describe(struct vmem_vm *vm, void *hva, int fd,
                    struct vmem_backing **memory, struct vmem_error *err)
{
    struct vmem_backing_mapping what = { sizeof(what), .name = "ram" };

    what.hva = hva;
    what.size = SIZE;
    what.fd = fd;
    what.flags = VMEM_BACKING_HAS_FD;
    if (vmem_backing_new_mapped(vm, &what, memory, err) == 0) {
        return 0;
    }
    printf("refused: %s\n", vmem_reason_name(err->reason));
    what.flags |= VMEM_BACKING_SHARED; /* what was forgotten */
    return vmem_backing_new_mapped(vm, &what, memory, err);
}
//! [describe]

static int show(struct vmem_backing *memory, const char *what)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = vmem_backing_get_usage(memory, NULL, &usage, &err);

    if (ret < 0) {
        fprintf(stderr, "%s\n", err.message);
    }
    printf("%s: %u MiB resident\n", what, (unsigned)(usage.resident / MIB));
    return ret;
}

//! [use]
/* Without a region the memory is the host's to populate and discard. */
static int use(struct vmem_backing *memory, void *hva, struct vmem_error *err)
{
    const struct vmem_range low = { 0, 8 * MIB };
    const struct vmem_range high = { 8 * MIB, 8 * MIB };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    int ret = vmem_backing_get_info(memory, &info);

    if (ret < 0) {
        return ret;
    }
    printf("pages of %u KiB, %s\n", (unsigned)(info.page_size / 1024),
           (info.uses & VMEM_BACKING_USES_PUNCH_HOLE) != 0 ? "punches holes"
                                                           : "does not");
    memset(hva, 1, 8 * MIB);
    if (show(memory, "half is written") < 0 ||
        vmem_backing_populate(memory, &high, err) < 0 ||
        show(memory, "the rest is populated") < 0 ||
        vmem_backing_discard(memory, &low, err) < 0) {
        return -1;
    }
    return show(memory, "half is discarded");
}
//! [use]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_vm *vm = NULL;
    struct vmem_backing *memory = NULL;
    int fd = -1;
    void *hva = map_guest_memory(&fd);
    int ret = 0;

    if (hva == MAP_FAILED) {
        perror("guest memory");
        return EXIT_FAILURE;
    }
    if (vmem_vm_new(&machine, &vm, &err) < 0 ||
        describe(vm, hva, fd, &memory, &err) < 0 ||
        use(memory, hva, &err) < 0) {
        ret = -1;
    }
    /* The mapping and the descriptor stay mine, and outlive the backing. */
    if (ret < 0 || vmem_backing_free(memory, &err) < 0 ||
        vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        ret = -1;
    }
    munmap(hva, SIZE);
    close(fd);
    return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
