/* SPDX-License-Identifier: BSD-3-Clause */
#include "host/file.h"

#include <errno.h>
#include <inttypes.h>

#include "base/errno.h"
#include "base/error.h"
#include "host/kernel.h"
#include "host/sys.h"

/* 0 where the size of huge pages is left to the kernel. */
unsigned int vmemi_file_huge_size_bits(uint64_t page_size)
{
    return page_size == 0
               ? 0
               : (unsigned int)__builtin_ctzll(page_size) << MAP_HUGE_SHIFT;
}

static int create_memfd(const struct vmemi_memory *memory, unsigned int flags,
                        struct vmem_error *err)
{
    const struct vmemi_sys *sys = vmemi_sys_get();
    int fd = sys->memfd_create(memory->name.text, flags);

    if (fd == -EACCES) {
        /* Where vm.memfd_noexec is 2. Tried second, because kernels that do
         * not know the flag refuse it. */
        fd = sys->memfd_create(memory->name.text, flags | MFD_NOEXEC_SEAL);
    }
    if (fd >= 0) {
        return fd;
    }
    if ((flags & MFD_HUGETLB) != 0 &&
        (fd == -ENODEV || fd == -EINVAL || fd == -ENOSYS)) {
        return vmemi_fail(err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
                          "backing \"%s\": this kernel has no huge pages of "
                          "0x%" PRIx64 " bytes (0: of its default size): "
                          "%s (errno %d)",
                          memory->name.text, memory->map_page_size,
                          vmemi_errno_text(fd), -fd);
    }
    return vmemi_fail(err, fd, VMEM_REASON_OS, NULL,
                      "backing \"%s\": memfd_create: %s (errno %d)",
                      memory->name.text, vmemi_errno_text(fd), -fd);
}

/* A memfd of huge pages without size, to learn whether the kernel has such
 * pages and how large they are by default. */
int vmemi_file_find_huge_page_size(struct vmemi_memory *memory,
                                   struct vmem_error *err)
{
    struct statfs fs;
    int ret;
    int fd = create_memfd(memory,
                          MFD_CLOEXEC | MFD_HUGETLB |
                              vmemi_file_huge_size_bits(memory->map_page_size),
                          err);

    if (fd < 0) {
        return fd;
    }
    ret = vmemi_sys_get()->fstatfs(fd, &fs);
    (void)vmemi_sys_get()->close(fd);
    if (ret < 0) {
        return vmemi_fail(err, ret, VMEM_REASON_OS, NULL,
                          "backing \"%s\": fstatfs of a memfd: %s (errno %d)",
                          memory->name.text, vmemi_errno_text(ret), -ret);
    }
    memory->map_page_size = (uint64_t)fs.f_bsize;
    memory->page_size = memory->map_page_size;
    return 0;
}

/* Opened before created, so that a failure later removes only a new file. */
static int open_path(struct vmemi_making *making, struct vmem_error *err)
{
    const struct vmemi_sys *sys = vmemi_sys_get();
    const int flags = O_RDWR | O_CLOEXEC;
    int fd;

    VMEMI_SYS_RETRY(fd, sys->open(making->path, flags, 0));
    if (fd == -ENOENT) {
        VMEMI_SYS_RETRY(fd, sys->open(making->path, flags | O_CREAT | O_EXCL,
                                      S_IRUSR | S_IWUSR));
        making->is_created = fd >= 0;
        if (fd == -EEXIST) { /* somebody was faster */
            VMEMI_SYS_RETRY(fd, sys->open(making->path, flags, 0));
        }
    }
    if (fd < 0) {
        return vmemi_fail(err, fd,
                          fd == -EACCES || fd == -EROFS ? VMEM_REASON_READ_ONLY
                                                        : VMEM_REASON_OS,
                          NULL, "backing \"%s\": open of %.96s: %s (errno %d)",
                          making->memory.name.text, making->path,
                          vmemi_errno_text(fd), -fd);
    }
    return fd;
}

int vmemi_file_open(struct vmemi_making *making, struct vmem_error *err)
{
    struct vmemi_memory *memory = &making->memory;
    unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd;

    if (memory->kind == VMEM_BACKING_FILE) {
        fd = open_path(making, err);
    } else {
        if (vmemi_file_is_huge_kind(memory->kind)) {
            flags |=
                MFD_HUGETLB | vmemi_file_huge_size_bits(memory->map_page_size);
        }
        fd = create_memfd(memory, flags, err);
    }
    if (fd < 0) {
        return fd;
    }
    memory->fd = fd;
    memory->flags |= VMEM_BACKING_HAS_FD;
    return vmemi_memory_judge_file(memory, err);
}

/* Never shorter than it was: its end may be somebody's data. */
int vmemi_file_grow(struct vmemi_making *making, struct vmem_error *err)
{
    const struct vmemi_memory *memory = &making->memory;
    const uint64_t size = memory->fd_offset + memory->size;
    struct stat status;
    int ret = vmemi_sys_get()->fstat(memory->fd, &status);

    if (ret == 0) {
        making->old_size = (uint64_t)status.st_size;
        if (making->old_size >= size) {
            return 0;
        }
        VMEMI_SYS_RETRY(ret, vmemi_sys_get()->ftruncate(memory->fd, size));
    }
    if (ret < 0) {
        return vmemi_fail(err, ret, VMEM_REASON_OS, NULL,
                          "backing \"%s\": growing %.96s to 0x%" PRIx64
                          " bytes: %s (errno %d)",
                          memory->name.text,
                          making->path != NULL ? making->path : "a memfd", size,
                          vmemi_errno_text(ret), -ret);
    }
    making->is_grown = true;
    return 0;
}

/* Whoever gets the descriptor of a memfd, perhaps another process, may not
 * shrink it under the guest nor add the seals that forbid discards. */
int vmemi_file_seal(const struct vmemi_memory *memory, struct vmem_error *err)
{
    int ret = vmemi_sys_get()->fcntl(memory->fd, F_ADD_SEALS,
                                     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);

    if (ret < 0) {
        return vmemi_fail(err, ret, VMEM_REASON_OS, NULL,
                          "backing \"%s\": sealing a memfd: %s (errno %d)",
                          memory->name.text, vmemi_errno_text(ret), -ret);
    }
    return 0;
}

/* As if nothing had been asked; the file shrinks again only if nobody else
 * changed its size meanwhile. */
void vmemi_file_undo(struct vmemi_making *making)
{
    const struct vmemi_sys *sys = vmemi_sys_get();
    struct vmemi_memory *memory = &making->memory;
    struct stat status;

    if (making->is_grown && !making->is_created && making->path != NULL &&
        sys->fstat(memory->fd, &status) == 0 &&
        (uint64_t)status.st_size == memory->fd_offset + memory->size) {
        (void)sys->ftruncate(memory->fd, making->old_size);
    }
    if (making->is_created) {
        (void)sys->unlink(making->path);
    }
    vmemi_memory_release(memory);
}
