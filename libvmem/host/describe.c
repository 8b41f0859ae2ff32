/* SPDX-License-Identifier: BSD-3-Clause */
/* Backings of memory that the host has mapped, and what these share with
 * make.c: from known memory to a backing. */
#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "core/vm.h"
#include "host/memory.h"
#include "host/sys.h"

#define POPULATE_FLAGS (VMEM_BACKING_POPULATE | VMEM_BACKING_NO_POPULATE)
#define MAPPING_FLAGS                                                          \
    (VMEM_BACKING_SHARED | VMEM_BACKING_HAS_FD | VMEM_BACKING_LOCKED |         \
     VMEM_BACKING_PREFER_REMOVE | POPULATE_FLAGS)

static bool populates_on_plug(const struct vmemi_memory *memory)
{
    if ((memory->flags & POPULATE_FLAGS) != 0) {
        return (memory->flags & VMEM_BACKING_POPULATE) != 0;
    }
    /* A hole punched into huge pages loses their reservation: what is plugged
     * must be allocated, or the guest's first touch may kill it. */
    return vmemi_memory_is_huge(memory);
}

static void tell(struct vmem_vm *vm, const struct vmemi_memory *memory,
                 int unverified)
{
    if (unverified != 0) {
        vmemi_vm_log_now(vm, VMEM_LOG_DEBUG, VMEM_BLAME_OS,
                         VMEM_LOG_CODE_UNVERIFIED, memory->name.text,
                         "its description could not be compared with "
                         "/proc/self/smaps: %s (errno %d)",
                         vmemi_errno_text(-unverified), unverified);
    }
    if (memory->fd >= 0 && !vmemi_memory_is_shared(memory)) {
        vmemi_vm_log_now(vm, VMEM_LOG_WARNING, VMEM_BLAME_HOST,
                         VMEM_LOG_CODE_FILE_MODIFIED, memory->name.text,
                         "the file is mapped privately, but discards punch "
                         "holes into it");
    }
}

static int check_populate(const struct vmemi_memory *memory,
                          struct vmem_error *err)
{
    if (!populates_on_plug(memory) || memory->can_populate) {
        return 0;
    }
    return vmemi_fail(err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
                      "backing \"%s\" is to be populated, and this kernel "
                      "lacks MADV_POPULATE_WRITE",
                      memory->name.text);
}

int vmemi_memory_accept(struct vmem_vm *vm, const struct vmemi_memory *memory,
                        struct vmem_backing **out, struct vmem_error *err)
{
    struct vmemi_memory *impl = vmemi_alloc0(sizeof(*impl));
    int unverified;
    int ret;

    if (impl == NULL) {
        return vmemi_fail_no_memory(err, "a backing");
    }
    *impl = *memory;
    impl->may_write = true;
    ret = vmemi_memory_verify(impl, &unverified, err);
    if (ret == 0) {
        ret = vmemi_memory_choose_discard(impl, err);
    }
    if (ret == 0) {
        ret = check_populate(impl, err);
    }
    if (ret == 0) {
        const struct vmemi_backing_traits traits = {
            .name = impl->name.text,
            .size = impl->size,
            .page_size = impl->page_size,
            .default_block_size = vmemi_memory_default_block_size(impl),
            .populate_on_plug = populates_on_plug(impl),
            .read_allocates = impl->kind != VMEM_BACKING_ANON,
            .hva = impl->hva,
        };

        ret = vmemi_backing_new(vm, &traits, &vmemi_memory_ops, impl, out, err);
    }
    if (ret < 0) {
        vmemi_free(impl);
        return ret;
    }
    tell(vm, impl, unverified);
    return 0;
}

int vmemi_memory_check_flags(const struct vmemi_name *name, uint64_t flags,
                             uint64_t known, uint32_t reserved,
                             struct vmem_error *err)
{
    if ((flags & ~known) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": flags 0x%" PRIx64
                          ", allowed are 0x%" PRIx64,
                          name->text, flags, known);
    }
    if ((flags & POPULATE_FLAGS) == POPULATE_FLAGS) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": flags POPULATE and NO_POPULATE "
                          "exclude each other",
                          name->text);
    }
    if (reserved != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": reserved is %" PRIu32 ", must be 0",
                          name->text, reserved);
    }
    return 0;
}

int vmemi_memory_check_threads(const struct vmemi_memory *memory,
                               struct vmem_error *err)
{
    if (memory->populate_threads > VMEM_BACKING_MAX_POPULATE_THREADS) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                          "backing \"%s\": populate_threads is %" PRIu64
                          ", the limit is %d",
                          memory->name.text, memory->populate_threads,
                          VMEM_BACKING_MAX_POPULATE_THREADS);
    }
    return 0;
}

int vmemi_memory_check_extent(const struct vmemi_memory *memory,
                              struct vmem_error *err)
{
    const uint64_t hva = (uint64_t)(uintptr_t)memory->hva;

    if (memory->size == 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": size is 0", memory->name.text);
    }
    if (hva > UINT64_MAX - memory->size) {
        return vmemi_fail(err, -EOVERFLOW, VMEM_REASON_OVERFLOW, NULL,
                          "backing \"%s\": hva 0x%" PRIx64 " + size 0x%" PRIx64
                          " exceeds 64 bits",
                          memory->name.text, hva, memory->size);
    }
    /* The kernel's file offsets are signed. */
    if (memory->size > INT64_MAX ||
        memory->fd_offset > (uint64_t)INT64_MAX - memory->size) {
        return vmemi_fail(err, -EOVERFLOW, VMEM_REASON_OVERFLOW, NULL,
                          "backing \"%s\": fd_offset 0x%" PRIx64
                          " + size 0x%" PRIx64 " exceeds 63 bits",
                          memory->name.text, memory->fd_offset, memory->size);
    }
    return 0;
}

static int check_mapping(const struct vmem_backing_mapping *mapping,
                         const struct vmemi_memory *memory,
                         struct vmem_error *err)
{
    const uint64_t base_page_size = vmemi_sys_get()->page_size();
    int ret;

    ret = vmemi_memory_check_flags(&memory->name, mapping->flags, MAPPING_FLAGS,
                                   mapping->reserved, err);
    if (ret == 0) {
        ret = vmemi_memory_check_threads(memory, err);
    }
    if (ret == 0) {
        ret = vmemi_memory_check_extent(memory, err);
    }
    if (ret < 0) {
        return ret;
    }
    if (mapping->hva == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": hva is NULL", memory->name.text);
    }
    if (memory->fd < 0 && mapping->fd_offset != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": fd_offset is 0x%" PRIx64
                          ", must be 0 without a descriptor",
                          memory->name.text, mapping->fd_offset);
    }
    if (mapping->page_size != 0 &&
        (!vmemi_is_power_of_two(mapping->page_size) ||
         mapping->page_size < base_page_size)) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "backing \"%s\": page size 0x%" PRIx64
                          " must be a power of two, at least 0x%" PRIx64,
                          memory->name.text, mapping->page_size,
                          base_page_size);
    }
    return 0;
}

/* Memory without a descriptor is what its page size and sharing say. */
static void judge_anonymous(struct vmemi_memory *memory)
{
    const uint64_t base_page_size = vmemi_sys_get()->page_size();

    if (memory->map_page_size == 0) {
        memory->map_page_size = base_page_size;
    }
    memory->page_size = memory->map_page_size;
    if (memory->map_page_size > base_page_size) {
        memory->kind = VMEM_BACKING_HUGETLB_ANON;
    } else if (vmemi_memory_is_shared(memory)) {
        memory->kind = VMEM_BACKING_ANON_SHARED;
    } else {
        memory->kind = VMEM_BACKING_ANON;
    }
}

static int check_file_size(const struct vmemi_memory *memory,
                           struct vmem_error *err)
{
    const uint64_t end = memory->fd_offset + memory->size;
    struct stat status;
    int ret = vmemi_sys_get()->fstat(memory->fd, &status);

    if (ret < 0) {
        return vmemi_fail(err, ret, VMEM_REASON_OS, NULL,
                          "backing \"%s\": fstat of fd %d: %s (errno %d)",
                          memory->name.text, memory->fd, vmemi_errno_text(ret),
                          -ret);
    }
    if ((uint64_t)status.st_size >= end) {
        return 0;
    }
    return vmemi_fail(err, -EINVAL, VMEM_REASON_MISMATCH, NULL,
                      "backing \"%s\": ends at fd_offset 0x%" PRIx64
                      ", the file already at 0x%" PRIx64
                      ": make the file larger before it is mapped",
                      memory->name.text, end, (uint64_t)status.st_size);
}

static int judge(struct vmemi_memory *memory, struct vmem_error *err)
{
    int ret;

    if (memory->fd < 0) {
        judge_anonymous(memory);
        return vmemi_memory_check_aligned(memory, err);
    }
    ret = vmemi_memory_judge_file(memory, err);
    if (ret == 0) {
        ret = vmemi_memory_check_aligned(memory, err);
    }
    if (ret == 0) {
        ret = check_file_size(memory, err);
    }
    return ret;
}

int vmem_backing_new_mapped(struct vmem_vm *vm,
                            const struct vmem_backing_mapping *host_mapping,
                            struct vmem_backing **out, struct vmem_error *err)
{
    struct vmem_backing_mapping mapping;
    struct vmemi_memory memory = { 0 };
    int ret;

    ret = vmemi_sized_read(
        &mapping, sizeof(mapping),
        VMEMI_SIZE_THROUGH(struct vmem_backing_mapping, reserved), host_mapping,
        "vmem_backing_mapping", err);
    if (ret < 0) {
        return ret;
    }
    if (vm == NULL || out == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_backing_new_mapped: vm or out is NULL");
    }
    ret = vmemi_vm_check_unlocked(vm, "vmem_backing_new_mapped", err);
    if (ret == 0) {
        ret = vmemi_name_set(&memory.name, mapping.name, "backing name", err);
    }
    if (ret < 0) {
        return ret;
    }
    memory.hva = mapping.hva;
    memory.size = mapping.size;
    memory.fd_offset = mapping.fd_offset;
    memory.map_page_size = mapping.page_size;
    memory.flags = mapping.flags;
    memory.populate_threads = mapping.populate_threads;
    memory.fd = (mapping.flags & VMEM_BACKING_HAS_FD) != 0 ? mapping.fd : -1;
    if ((mapping.flags & VMEM_BACKING_HAS_FD) != 0 && mapping.fd < 0) {
        return vmemi_fail(err, -EBADF, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": fd %d is not open", memory.name.text,
                          mapping.fd);
    }
    ret = check_mapping(&mapping, &memory, err);
    if (ret == 0) {
        ret = judge(&memory, err);
    }
    return ret < 0 ? ret : vmemi_memory_accept(vm, &memory, out, err);
}
