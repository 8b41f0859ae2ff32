/* SPDX-License-Identifier: BSD-3-Clause */
/* Is the memory what the host says it is? The wrong discard succeeds and frees
 * nothing; one at the wrong place of a file destroys what is there. Only smaps
 * knows of locks; the kernel walks all page tables below the memory for it,
 * some 10 ms for each GiB that is populated with 4 KiB pages. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "host/smaps.h"
#include "host/sys.h"

struct verification {
    struct vmemi_memory *memory;
    uint64_t next_hva; /* all below was seen */
    bool has_file_id;
    struct stat file;
    struct vmem_error *err;
};

static int mismatch(const struct verification *check,
                    const struct vmemi_vma *vma, const char *found,
                    const char *described)
{
    return vmemi_fail(
        check->err, -EINVAL, VMEM_REASON_MISMATCH, NULL,
        "backing \"%s\": what is mapped at 0x%" PRIx64
        " is %s, the description says %s",
        check->memory->name.text,
        vmemi_max(vma->start_hva, (uint64_t)(uintptr_t)check->memory->hva),
        found, described);
}

static int check_file(const struct verification *check,
                      const struct vmemi_vma *vma)
{
    const struct vmemi_memory *memory = check->memory;
    uint64_t hva = (uint64_t)(uintptr_t)memory->hva;

    if (vma->ino == 0) {
        return mismatch(check, vma, "not a file", "it is");
    }
    if (check->has_file_id && (vma->ino != check->file.st_ino ||
                               vma->dev_major != major(check->file.st_dev) ||
                               vma->dev_minor != minor(check->file.st_dev))) {
        return mismatch(check, vma, "another file", "that of its descriptor");
    }
    /* Either side may be ahead; equal differences, also when they wrap. */
    if (vma->fd_offset - vma->start_hva != memory->fd_offset - hva) {
        return vmemi_fail(check->err, -EINVAL, VMEM_REASON_MISMATCH, NULL,
                          "backing \"%s\": mapped at fd_offset 0x%" PRIx64
                          ", the description says 0x%" PRIx64,
                          memory->name.text,
                          vma->fd_offset + (hva - vma->start_hva),
                          memory->fd_offset);
    }
    return 0;
}

/* Shared anonymous memory and anonymous huge pages are files of the kernel's
 * own, which have no name. */
static int check_anonymous(const struct verification *check,
                           const struct vmemi_vma *vma)
{
    if (vma->ino == 0 || strcmp(vma->path, "/dev/zero") == 0) {
        return 0;
    }
    if (vma->is_shared && (vma->is_deleted || vma->path[0] != '/')) {
        return 0;
    }
    if (strcmp(vma->path, "/anon_hugepage (deleted)") == 0) {
        return 0;
    }
    return mismatch(check, vma, vma->path, "it has no descriptor");
}

static int check_page_size(const struct verification *check,
                           const struct vmemi_vma *vma)
{
    if (vma->page_size == 0 || vma->page_size == check->memory->map_page_size) {
        return 0;
    }
    return vmemi_fail(check->err, -EINVAL, VMEM_REASON_MISMATCH, NULL,
                      "backing \"%s\": what is mapped at 0x%" PRIx64
                      " has pages of 0x%" PRIx64
                      " bytes, the description says 0x%" PRIx64
                      ": give the page size of the mapping",
                      check->memory->name.text, vma->start_hva, vma->page_size,
                      check->memory->map_page_size);
}

static int check_vma(const struct vmemi_vma *vma, void *opaque)
{
    struct verification *check = opaque;
    struct vmemi_memory *memory = check->memory;
    int ret;

    if (vma->start_hva > check->next_hva) {
        return 1; /* a gap; told by who looks at next_hva */
    }
    if (vma->is_shared != vmemi_memory_is_shared(memory)) {
        return mismatch(check, vma, vma->is_shared ? "shared" : "private",
                        vma->is_shared ? "private" : "shared");
    }
    if (vma->is_pfnmap) {
        return vmemi_fail(check->err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
                          "backing \"%s\": 0x%" PRIx64
                          " maps device memory, which cannot be discarded",
                          memory->name.text, vma->start_hva);
    }
    ret = check_page_size(check, vma);
    if (ret == 0) {
        ret = memory->fd >= 0 ? check_file(check, vma)
                              : check_anonymous(check, vma);
    }
    if (vma->is_locked) {
        memory->flags |= VMEM_BACKING_LOCKED;
    }
    if (!vma->may_write) {
        memory->may_write = false;
    }
    check->next_hva = vma->end_hva;
    return ret;
}

/* Elsewhere (btrfs, overlays) a mapping shows other numbers than fstat. */
static bool has_plain_inodes(uint64_t fs_type)
{
    return fs_type == TMPFS_MAGIC || fs_type == HUGETLBFS_MAGIC ||
           fs_type == EXT4_SUPER_MAGIC || fs_type == XFS_SUPER_MAGIC;
}

int vmemi_memory_verify(struct vmemi_memory *memory, int *unverified,
                        struct vmem_error *err)
{
    const uint64_t hva = (uint64_t)(uintptr_t)memory->hva;
    struct verification check = { .memory = memory, .err = err };
    int verdict;
    int ret;

    check.next_hva = hva;
    *unverified = 0;
    if (memory->fd >= 0 && has_plain_inodes(memory->fs_type)) {
        ret = vmemi_sys_get()->fstat(memory->fd, &check.file);
        if (ret < 0) {
            return vmemi_fail(err, ret, VMEM_REASON_OS, NULL,
                              "backing \"%s\": fstat of fd %d: %s (errno %d)",
                              memory->name.text, memory->fd,
                              vmemi_errno_text(ret), -ret);
        }
        check.has_file_id = true;
    }
    ret = vmemi_smaps_for_each(hva, memory->size, check_vma, &check, &verdict);
    if (ret < 0) {
        *unverified = -ret;
        return 0;
    }
    if (verdict < 0) {
        return verdict;
    }
    if (check.next_hva < hva + memory->size) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_MISMATCH, NULL,
                          "backing \"%s\": nothing is mapped at 0x%" PRIx64
                          ", the description says up to 0x%" PRIx64,
                          memory->name.text, check.next_hva,
                          hva + memory->size);
    }
    return 0;
}
