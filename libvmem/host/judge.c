/* SPDX-License-Identifier: BSD-3-Clause */
/* What a descriptor, its seals, flags and file system allow, and the discard
 * that follows. */
#include <errno.h>
#include <inttypes.h>

#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "host/file.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "host/sys.h"

static int check_writable(const struct vmemi_memory *memory,
                          struct vmem_error *err)
{
    int flags = vmemi_sys_get()->fcntl(memory->fd, F_GETFL, 0);

    if (flags == -EBADF) {
        return vmemi_fail(err, -EBADF, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": fd %d is not open",
                          memory->name.text, memory->fd);
    }
    if (flags < 0) {
        return vmemi_fail(err, flags, VMEM_REASON_OS, NULL,
                          "backing \"%s\": F_GETFL of fd %d: %s (errno %d)",
                          memory->name.text, memory->fd,
                          vmemi_errno_text(flags), -flags);
    }
    if ((flags & O_ACCMODE) != O_RDWR && (flags & O_ACCMODE) != O_WRONLY) {
        return vmemi_fail(err, -EBADF, VMEM_REASON_READ_ONLY, NULL,
                          "backing \"%s\": fd %d is not open for writing, no "
                          "hole can be punched",
                          memory->name.text, memory->fd);
    }
    return 0;
}

static int check_seals(const struct vmemi_memory *memory,
                       struct vmem_error *err)
{
    int seals = vmemi_sys_get()->fcntl(memory->fd, F_GET_SEALS, 0);

    if (seals == -EINVAL) {
        return 0; /* a file system without seals */
    }
    if (seals < 0) {
        return vmemi_fail(err, seals, VMEM_REASON_OS, NULL,
                          "backing \"%s\": F_GET_SEALS of fd %d: %s (errno %d)",
                          memory->name.text, memory->fd,
                          vmemi_errno_text(seals), -seals);
    }
    if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
        return vmemi_fail(err, -EPERM, VMEM_REASON_SEALED, NULL,
                          "backing \"%s\": fd %d has seals 0x%x, of which "
                          "F_SEAL_%sWRITE forbids punching holes",
                          memory->name.text, memory->fd, (unsigned int)seals,
                          (seals & F_SEAL_WRITE) != 0 ? "" : "FUTURE_");
    }
    return 0;
}

static int check_page_size(struct vmemi_memory *memory, uint64_t page_size,
                           struct vmem_error *err)
{
    if (memory->map_page_size != 0 && memory->map_page_size != page_size) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_MISMATCH, NULL,
                          "backing \"%s\": page size is 0x%" PRIx64
                          ", that of fd %d is 0x%" PRIx64
                          "; a page_size of 0 takes that of the file",
                          memory->name.text, memory->map_page_size, memory->fd,
                          page_size);
    }
    memory->map_page_size = page_size;
    memory->page_size = page_size;
    return 0;
}

static int judge_file_system(struct vmemi_memory *memory,
                             struct vmem_error *err)
{
    const uint64_t base_page_size = vmemi_sys_get()->page_size();
    struct statfs fs;
    uint64_t block_size;
    int ret;

    VMEMI_SYS_RETRY(ret, vmemi_sys_get()->fstatfs(memory->fd, &fs));
    if (ret < 0) {
        return vmemi_fail(err, ret, VMEM_REASON_OS, NULL,
                          "backing \"%s\": fstatfs of fd %d: %s (errno %d)",
                          memory->name.text, memory->fd, vmemi_errno_text(ret),
                          -ret);
    }
    /* The word's sign depends on the architecture, the magic has 32 bits. */
    memory->fs_type = (uint32_t)fs.f_type;
    block_size = (uint64_t)fs.f_bsize;
    if (memory->fs_type == HUGETLBFS_MAGIC) {
        memory->kind = VMEM_BACKING_HUGETLB_MEMFD;
        return check_page_size(memory, block_size, err);
    }
    memory->kind =
        memory->fs_type == TMPFS_MAGIC ? VMEM_BACKING_MEMFD : VMEM_BACKING_FILE;
    ret = check_page_size(memory, base_page_size, err);
    /* A hole inside a block only zeroes. On tmpfs blocks are pages. */
    if (ret == 0 && memory->kind == VMEM_BACKING_FILE &&
        vmemi_is_power_of_two(block_size) && block_size > base_page_size) {
        memory->page_size = block_size;
    }
    return ret;
}

/* Asks for a hole where no data is: behind the end of the file, whose size
 * stays. */
static int probe_holes(const struct vmemi_memory *memory, uint64_t file_size,
                       struct vmem_error *err)
{
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const uint64_t unit = memory->page_size;
    const uint64_t end = vmemi_align_up_saturating(file_size, unit);
    int ret;

    if (end > (uint64_t)INT64_MAX - unit) {
        return 0;
    }
    VMEMI_SYS_RETRY(ret,
                    vmemi_sys_get()->fallocate(memory->fd, mode, end, unit));
    if (ret == 0 || ret == -EFBIG) { /* the file is as large as files get */
        return 0;
    }
    if (ret == -EOPNOTSUPP || ret == -ENOSYS) {
        return vmemi_fail(err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
                          "backing \"%s\": the file system of fd %d (type "
                          "0x%" PRIx64 ") cannot punch holes",
                          memory->name.text, memory->fd, memory->fs_type);
    }
    return vmemi_fail(err, ret, VMEM_REASON_OS, NULL,
                      "backing \"%s\": punching a hole behind the end of fd "
                      "%d: %s (errno %d)",
                      memory->name.text, memory->fd, vmemi_errno_text(ret),
                      -ret);
}

int vmemi_memory_judge_file(struct vmemi_memory *memory, struct vmem_error *err)
{
    struct stat status;
    int ret;

    ret = check_writable(memory, err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_sys_get()->fstat(memory->fd, &status);
    if (ret < 0) {
        return vmemi_fail(err, ret, VMEM_REASON_OS, NULL,
                          "backing \"%s\": fstat of fd %d: %s (errno %d)",
                          memory->name.text, memory->fd, vmemi_errno_text(ret),
                          -ret);
    }
    if (!S_ISREG(status.st_mode)) {
        return vmemi_fail(err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
                          "backing \"%s\": fd %d is not a regular file (mode "
                          "0%o)",
                          memory->name.text, memory->fd,
                          (unsigned int)status.st_mode);
    }
    ret = check_seals(memory, err);
    if (ret < 0) {
        return ret;
    }
    ret = judge_file_system(memory, err);
    if (ret < 0) {
        return ret;
    }
    return probe_holes(memory, (uint64_t)status.st_size, err);
}

static int check_multiple(const struct vmemi_memory *memory, const char *what,
                          uint64_t value, uint64_t unit, struct vmem_error *err)
{
    if ((value & (unit - 1)) == 0) {
        return 0;
    }
    return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                      "backing \"%s\": %s 0x%" PRIx64
                      " is not a multiple of the %s 0x%" PRIx64,
                      memory->name.text, what, value,
                      unit > memory->map_page_size ? "file system's block"
                                                   : "page size",
                      unit);
}

int vmemi_memory_check_aligned(const struct vmemi_memory *memory,
                               struct vmem_error *err)
{
    int ret = check_multiple(memory, "hva", (uint64_t)(uintptr_t)memory->hva,
                             memory->map_page_size, err);

    if (ret == 0) {
        ret = check_multiple(memory, "size", memory->size, memory->page_size,
                             err);
    }
    if (ret == 0) {
        ret = check_multiple(memory, "fd_offset", memory->fd_offset,
                             memory->page_size, err);
    }
    return ret;
}

/* Nothing to do is done by every advice the kernel knows, on any memory. */
static bool knows_advice(const struct vmemi_memory *memory, int advice)
{
    return vmemi_sys_get()->madvise(memory->hva, 0, advice) == 0;
}

/* MADV_DONTNEED of huge pages (Linux 5.18) has no number of its own to ask for.
 * Tried on a huge page of which nothing exists: NORESERVE takes none from the
 * pool. */
static int probe_huge_dontneed(const struct vmemi_memory *memory,
                               struct vmem_error *err)
{
    const struct vmemi_sys *sys = vmemi_sys_get();
    const uint64_t size = memory->map_page_size;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
                      MAP_HUGETLB | (int)vmemi_file_huge_size_bits(size);
    void *hva;
    int ret;

    ret = sys->mmap(NULL, size, PROT_NONE, flags, -1, 0, &hva);
    if (ret < 0) {
        return vmemi_fail(err, ret, VMEM_REASON_OS, NULL,
                          "backing \"%s\": mapping a huge page of 0x%" PRIx64
                          " bytes to try MADV_DONTNEED: %s (errno %d)",
                          memory->name.text, size, vmemi_errno_text(ret), -ret);
    }
    VMEMI_SYS_RETRY(ret, sys->madvise(hva, size, MADV_DONTNEED));
    (void)sys->munmap(hva, size);
    if (ret < 0) {
        return vmemi_fail(err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
                          "backing \"%s\": this kernel cannot discard private "
                          "huge pages: %s (errno %d)",
                          memory->name.text, vmemi_errno_text(ret), -ret);
    }
    return 0;
}

static uint64_t decide(const struct vmemi_memory *memory)
{
    const bool has_file = memory->fd >= 0;
    uint64_t uses = 0;

    if (has_file && vmemi_memory_is_shared(memory) &&
        (memory->flags & VMEM_BACKING_PREFER_REMOVE) != 0) {
        uses = VMEM_BACKING_USES_REMOVE;
    } else if (has_file) {
        uses = VMEM_BACKING_USES_PUNCH_HOLE;
    } else if (vmemi_memory_is_shared(memory)) {
        uses = VMEM_BACKING_USES_REMOVE;
    }
    if (!vmemi_memory_is_shared(memory)) {
        uses |= VMEM_BACKING_USES_DONTNEED;
    } else if (!vmemi_memory_is_huge(memory)) {
        uses |= VMEM_BACKING_USES_DONTNEED_TABLES;
    }
    return uses;
}

static int check_remove(const struct vmemi_memory *memory,
                        struct vmem_error *err)
{
    if ((memory->flags & VMEM_BACKING_LOCKED) != 0 &&
        !vmemi_memory_is_huge(memory)) {
        return vmemi_fail(err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
                          "backing \"%s\": MADV_REMOVE fails on locked memory; "
                          "%s",
                          memory->name.text,
                          memory->fd >= 0 ? "do not set PREFER_REMOVE"
                                          : "use a memfd, or do not lock it");
    }
    if (!memory->may_write) {
        return vmemi_fail(err, -ENOTSUP, VMEM_REASON_READ_ONLY, NULL,
                          "backing \"%s\": MADV_REMOVE fails on memory mapped "
                          "from a read-only descriptor",
                          memory->name.text);
    }
    return 0;
}

/* Locked memory. Huge pages are never locked: the kernel ignores it. */
static int use_locked(struct vmemi_memory *memory, struct vmem_error *err)
{
    if ((memory->flags & VMEM_BACKING_LOCKED) == 0 ||
        vmemi_memory_is_huge(memory)) {
        return 0;
    }
    if (knows_advice(memory, MADV_DONTNEED_LOCKED)) {
        memory->uses |= VMEM_BACKING_USES_LOCKED;
        return 0;
    }
    if ((memory->uses & VMEM_BACKING_USES_DONTNEED) == 0) {
        memory->uses &= ~VMEM_BACKING_USES_DONTNEED_TABLES;
        return 0;
    }
    return vmemi_fail(err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
                      "backing \"%s\" is locked, and this kernel lacks "
                      "MADV_DONTNEED_LOCKED",
                      memory->name.text);
}

int vmemi_memory_choose_discard(struct vmemi_memory *memory,
                                struct vmem_error *err)
{
    int ret = 0;

    memory->uses = decide(memory);
    if ((memory->uses & VMEM_BACKING_USES_REMOVE) != 0) {
        ret = check_remove(memory, err);
    }
    if (ret == 0 && vmemi_memory_is_huge(memory) &&
        (memory->uses & VMEM_BACKING_USES_DONTNEED) != 0) {
        ret = probe_huge_dontneed(memory, err);
    }
    if (ret == 0) {
        ret = use_locked(memory, err);
    }
    memory->can_populate = knows_advice(memory, MADV_POPULATE_WRITE);
    return ret;
}
