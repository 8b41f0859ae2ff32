/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that the library makes: nothing of it is allocated or reserved, not
 * even huge pages. A reservation would take the memory of everything that is
 * unplugged, and the first discard would lose it again; an empty pool shows
 * when a plug populates. */
#include <errno.h>
#include <inttypes.h>

#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "core/vm.h"
#include "host/file.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "host/sys.h"

#define CONFIG_FLAGS                                                           \
    (VMEM_BACKING_SHARED | VMEM_BACKING_PREFER_REMOVE |                        \
     VMEM_BACKING_POPULATE | VMEM_BACKING_NO_POPULATE)

static int check_kind(const struct vmem_backing_config *config,
                      const struct vmemi_name *name, struct vmem_error *err)
{
    const bool is_file = config->kind == VMEM_BACKING_FILE;

    if (config->kind < VMEM_BACKING_ANON ||
        config->kind > VMEM_BACKING_HUGETLB_MEMFD) {
        return vmemi_fail(
            err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
            "backing \"%s\": kind is %" PRIu32 ", must be %d to %d", name->text,
            config->kind, VMEM_BACKING_ANON, VMEM_BACKING_HUGETLB_MEMFD);
    }
    if (config->kind == VMEM_BACKING_ANON &&
        (config->flags & VMEM_BACKING_SHARED) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": kind VMEM_BACKING_ANON is private, "
                          "the flags say SHARED",
                          name->text);
    }
    if (is_file != (config->path != NULL && config->path[0] != '\0')) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": path is %s for kind %" PRIu32,
                          name->text, is_file ? "missing" : "not allowed",
                          config->kind);
    }
    if (!is_file && config->fd_offset != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": fd_offset is 0x%" PRIx64
                          ", must be 0 for kind %" PRIu32,
                          name->text, config->fd_offset, config->kind);
    }
    return 0;
}

static int check_page_size(const struct vmem_backing_config *config,
                           const struct vmemi_name *name,
                           struct vmem_error *err)
{
    const uint64_t base_page_size = vmemi_sys_get()->page_size();
    const uint64_t page_size = config->page_size;

    if (page_size == 0) {
        return 0;
    }
    if (vmemi_file_is_huge_kind(config->kind)
            ? vmemi_is_power_of_two(page_size) && page_size > base_page_size
            : page_size == base_page_size ||
                  config->kind == VMEM_BACKING_FILE) {
        return 0;
    }
    return vmemi_fail(
        err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
        "backing \"%s\": page size is 0x%" PRIx64 ", must be %s 0x%" PRIx64,
        name->text, page_size,
        vmemi_file_is_huge_kind(config->kind) ? "a power of two above" : "0 or",
        base_page_size);
}

static int check_config(const struct vmem_backing_config *config,
                        const struct vmemi_memory *memory,
                        struct vmem_error *err)
{
    int ret = vmemi_memory_check_flags(&memory->name, config->flags,
                                       CONFIG_FLAGS, config->reserved, err);

    if (ret == 0) {
        ret = vmemi_memory_check_threads(memory, err);
    }
    if (ret == 0) {
        ret = check_kind(config, &memory->name, err);
    }
    if (ret == 0) {
        ret = check_page_size(config, &memory->name, err);
    }
    return ret < 0 ? ret : vmemi_memory_check_extent(memory, err);
}

static int map_flags(const struct vmemi_memory *memory)
{
    int flags = MAP_NORESERVE;

    flags |= vmemi_memory_is_shared(memory) ? MAP_SHARED : MAP_PRIVATE;
    flags |= memory->fd < 0 ? MAP_ANONYMOUS : 0;
    if (memory->kind == VMEM_BACKING_HUGETLB_ANON) {
        flags |=
            MAP_HUGETLB | (int)vmemi_file_huge_size_bits(memory->map_page_size);
    }
    return flags;
}

/* Gives back what lies around [hva, hva + size) in [start, end). There is always
 * some behind: hva is less than one alignment away from start. */
static int trim(char *start, char *end, char *hva, uint64_t size)
{
    const struct vmemi_sys *sys = vmemi_sys_get();
    int ret = 0;

    if (hva > start) {
        ret = sys->munmap(start, (uint64_t)(hva - start));
    }
    if (ret == 0) {
        ret = sys->munmap(hva + size, (uint64_t)(end - (hva + size)));
    }
    return ret;
}

/* At a multiple of alignment: more is reserved than needed, the memory is
 * mapped over its aligned part, and the rest is given back. */
static int map_aligned(struct vmemi_memory *memory, uint64_t alignment)
{
    const struct vmemi_sys *sys = vmemi_sys_get();
    const int reserve_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const uint64_t reserved = memory->size + alignment;
    void *start;
    void *hva;
    int ret;

    ret = sys->mmap(NULL, reserved, PROT_NONE, reserve_flags, -1, 0, &start);
    if (ret < 0) {
        return ret;
    }
    hva = (void *)(uintptr_t)vmemi_align_up_saturating(
        (uint64_t)(uintptr_t)start, alignment);
    ret = sys->mmap(hva, memory->size, PROT_READ | PROT_WRITE,
                    map_flags(memory) | MAP_FIXED, memory->fd,
                    memory->fd_offset, &hva);
    if (ret == 0) {
        ret = trim(start, (char *)start + reserved, hva, memory->size);
    }
    if (ret < 0) {
        (void)sys->munmap(start, reserved);
        return ret;
    }
    memory->hva = hva;
    return 0;
}

static int map_memory(struct vmemi_memory *memory, struct vmem_error *err)
{
    const bool is_huge = vmemi_memory_is_huge(memory);
    void *hva = NULL;
    int ret;

    if (!is_huge && memory->size >= VMEMI_MEMORY_TABLE_SIZE) {
        ret = map_aligned(memory, VMEMI_MEMORY_TABLE_SIZE);
    } else {
        /* The kernel aligns huge pages itself. */
        ret = vmemi_sys_get()->mmap(NULL, memory->size, PROT_READ | PROT_WRITE,
                                    map_flags(memory), memory->fd,
                                    memory->fd_offset, &hva);
        memory->hva = ret == 0 ? hva : NULL;
    }
    if (ret < 0) {
        return vmemi_fail(
            err, ret, VMEM_REASON_OS, NULL,
            "backing \"%s\": mapping 0x%" PRIx64 " bytes: %s (errno %d)",
            memory->name.text, memory->size, vmemi_errno_text(ret), -ret);
    }
    /* A child of the process would keep every private page that is discarded
     * here, and would need a copy of all page tables. */
    VMEMI_SYS_RETRY(ret, vmemi_sys_get()->madvise(memory->hva, memory->size,
                                                  MADV_DONTFORK));
    if (ret < 0) {
        return vmemi_fail(err, ret, VMEM_REASON_OS, NULL,
                          "backing \"%s\": MADV_DONTFORK: %s (errno %d)",
                          memory->name.text, vmemi_errno_text(ret), -ret);
    }
    return 0;
}

static int make(struct vmemi_making *making, struct vmem_error *err)
{
    struct vmemi_memory *memory = &making->memory;
    const bool is_memfd = memory->kind == VMEM_BACKING_MEMFD ||
                          memory->kind == VMEM_BACKING_HUGETLB_MEMFD;
    int ret;

    if (is_memfd || memory->kind == VMEM_BACKING_FILE) {
        ret = vmemi_file_open(making, err);
    } else if (vmemi_file_is_huge_kind(memory->kind)) {
        ret = vmemi_file_find_huge_page_size(memory, err);
    } else {
        memory->map_page_size = vmemi_sys_get()->page_size();
        memory->page_size = memory->map_page_size;
        ret = 0;
    }
    if (ret == 0) {
        ret = vmemi_memory_check_aligned(memory, err);
    }
    if (ret == 0 && memory->fd >= 0) {
        ret = vmemi_file_grow(making, err);
    }
    if (ret == 0 && is_memfd) {
        ret = vmemi_file_seal(memory, err);
    }
    return ret < 0 ? ret : map_memory(memory, err);
}

static int read_config(const struct vmem_backing_config *host_config,
                       struct vmemi_making *making, struct vmem_error *err)
{
    struct vmemi_memory *memory = &making->memory;
    struct vmem_backing_config config;
    int ret;

    ret = vmemi_sized_read(
        &config, sizeof(config),
        VMEMI_SIZE_THROUGH(struct vmem_backing_config, reserved), host_config,
        "vmem_backing_config", err);
    if (ret == 0) {
        ret = vmemi_name_set(&memory->name, config.name, "backing name", err);
    }
    if (ret < 0) {
        return ret;
    }
    making->path = config.kind == VMEM_BACKING_FILE ? config.path : NULL;
    memory->is_made = true;
    memory->fd = -1;
    memory->kind = config.kind;
    memory->size = config.size;
    memory->fd_offset = config.fd_offset;
    memory->map_page_size = config.page_size;
    memory->flags = config.flags;
    memory->populate_threads = config.populate_threads;
    if (config.kind == VMEM_BACKING_ANON_SHARED ||
        config.kind == VMEM_BACKING_MEMFD ||
        config.kind == VMEM_BACKING_HUGETLB_MEMFD) {
        memory->flags |= VMEM_BACKING_SHARED;
    }
    return check_config(&config, memory, err);
}

int vmem_backing_new_allocated(struct vmem_vm *vm,
                               const struct vmem_backing_config *config,
                               struct vmem_backing **out,
                               struct vmem_error *err)
{
    struct vmemi_making making = { 0 };
    int ret;

    ret = read_config(config, &making, err);
    if (ret == 0 && (vm == NULL || out == NULL)) {
        ret = vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                         "vmem_backing_new_allocated: vm or out is NULL");
    }
    if (ret == 0) {
        ret = vmemi_vm_check_unlocked(vm, "vmem_backing_new_allocated", err);
    }
    if (ret < 0) {
        return ret;
    }
    ret = make(&making, err);
    if (ret == 0) {
        ret = vmemi_memory_accept(vm, &making.memory, out, err);
    }
    if (ret < 0) {
        vmemi_file_undo(&making);
    }
    return ret;
}
