/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief The host memory behind a region.
 * @ingroup backing
 */
#ifndef VMEM_BACKING_H
#define VMEM_BACKING_H

#include <vmem/error.h>
#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup backing Backing
 * @brief Host memory that can really be given back.
 *
 * A backing knows how its memory is discarded, populated and measured. It comes
 * from one of three places: the host mapped the memory and describes it
 * (vmem_backing_new_mapped()), the library makes it
 * (vmem_backing_new_allocated()), or it is entirely the host's and reached
 * through callbacks (vmem_backing_new_custom()).
 *
 * How to discard is decided once, when the backing is made, from what the file
 * descriptor, its seals, its flags and its file system say:
 *
 * | memory | discard | resident bytes are read from |
 * |---|---|---|
 * | anonymous private | MADV_DONTNEED | PAGEMAP_SCAN, /proc/self/pagemap |
 * | anonymous shared | MADV_REMOVE, then MADV_DONTNEED | mincore |
 * | memfd, tmpfs, disk file, shared | FALLOC_FL_PUNCH_HOLE, then MADV_DONTNEED | st_blocks; SEEK_DATA for a part |
 * | file, private mapping | FALLOC_FL_PUNCH_HOLE and MADV_DONTNEED | as above, and PAGEMAP_SCAN |
 * | hugetlb anonymous private | MADV_DONTNEED | PAGEMAP_SCAN, /proc/self/pagemap |
 * | hugetlb anonymous shared | MADV_REMOVE | mincore |
 * | hugetlb file | FALLOC_FL_PUNCH_HOLE (and MADV_DONTNEED if private) | st_blocks; mincore for a part |
 *
 * The MADV_DONTNEED after a hole was punched frees no memory but the page
 * tables, and lets huge mappings form again; it is limited to whole 2 MiB.
 * Locked memory uses MADV_DONTNEED_LOCKED. MADV_FREE is never used. Long
 * discards go in steps of at most #VMEM_BACKING_STEP bytes.
 *
 * What cannot be discarded is refused when the backing is made, with the
 * reason: a descriptor without write access, a write seal, a file system
 * without holes, locked anonymous shared memory, a size that is not a multiple
 * of the page size.
 *
 * Populating a large range can be spread over threads
 * (vmem_backing_mapping::populate_threads): the calling thread and as many others
 * each populate one part, cut at page tables and huge pages, and the others are
 * joined before the call returns. A part has at least
 * #VMEM_BACKING_POPULATE_SHARE bytes, so small ranges, such as a plug of some
 * blocks, start no thread. The threads run no code of the host's: all signals are
 * blocked in them, and they take no lock and call no callback. They have
 * what the calling thread had when it made the call: control group, CPU affinity
 * and memory policy, so that who wants memory of one node binds the calling thread
 * or the mapping. A thread that cannot be started is no error: the calling thread
 * does its part, and vmem_backing_stats::nr_thread_errors counts it. When one part
 * fails, the others end at their next step, and the error is that of the lowest
 * part that failed; a plug then gives everything back. A seccomp filter must allow
 * the making of threads.
 *
 * A backing belongs to at most one region, and from then on only the region
 * discards and populates it. The library never closes or unmaps what the host
 * mapped.
 * @{
 */

/** Largest range of one discarding system call, in bytes (1 GiB). */
#define VMEM_BACKING_STEP ((uint64_t)1 << 30)

/** Most threads that populate one backing, the calling one included. */
#define VMEM_BACKING_MAX_POPULATE_THREADS 64

/** Least bytes that a thread is started for (16 MiB). */
#define VMEM_BACKING_POPULATE_SHARE ((uint64_t)16 << 20)

/** What kind of memory a backing is. */
enum vmem_backing_kind {
    VMEM_BACKING_ANON = 1,          /**< Anonymous, private. */
    VMEM_BACKING_ANON_SHARED = 2,   /**< Anonymous, shared, no descriptor. */
    VMEM_BACKING_MEMFD = 3,         /**< memfd or tmpfs file. */
    VMEM_BACKING_FILE = 4,          /**< File on a disk file system. */
    VMEM_BACKING_HUGETLB_ANON = 5,  /**< Huge pages, anonymous. */
    VMEM_BACKING_HUGETLB_MEMFD = 6, /**< Huge pages, memfd or hugetlbfs. */
    VMEM_BACKING_CUSTOM = 7         /**< The host's own callbacks. */
};

/** The mapping is MAP_SHARED; without it, MAP_PRIVATE. */
#define VMEM_BACKING_SHARED ((uint64_t)1 << 0)
/** vmem_backing_mapping::fd is valid. */
#define VMEM_BACKING_HAS_FD ((uint64_t)1 << 1)
/** The memory is locked (mlock, mlockall, MAP_LOCKED). */
#define VMEM_BACKING_LOCKED ((uint64_t)1 << 2)
/** Use MADV_REMOVE rather than fallocate on shared files, because a userfaultfd
 *  monitor hears of the first only. */
#define VMEM_BACKING_PREFER_REMOVE ((uint64_t)1 << 3)
/** Populate memory before a plug is acknowledged (the default on hugetlb). */
#define VMEM_BACKING_POPULATE ((uint64_t)1 << 4)
/** Do not populate on plug, not even on hugetlb, where a plug may then promise
 *  memory that an empty pool does not have. */
#define VMEM_BACKING_NO_POPULATE ((uint64_t)1 << 5)

/** How a discard is done; a set of these is in vmem_backing_info. No bit of these
 *  is a flag's, so that none passes for one. */
#define VMEM_BACKING_USES_PUNCH_HOLE ((uint64_t)1 << 16)
/** See #VMEM_BACKING_USES_PUNCH_HOLE: MADV_REMOVE. */
#define VMEM_BACKING_USES_REMOVE ((uint64_t)1 << 17)
/** See #VMEM_BACKING_USES_PUNCH_HOLE: MADV_DONTNEED, which frees the memory. */
#define VMEM_BACKING_USES_DONTNEED ((uint64_t)1 << 18)
/** See #VMEM_BACKING_USES_PUNCH_HOLE: MADV_DONTNEED for page tables only. */
#define VMEM_BACKING_USES_DONTNEED_TABLES ((uint64_t)1 << 19)
/** See #VMEM_BACKING_USES_PUNCH_HOLE: MADV_DONTNEED_LOCKED where it would be
 *  MADV_DONTNEED. */
#define VMEM_BACKING_USES_LOCKED ((uint64_t)1 << 20)

/** Memory that the host has mapped. */
struct vmem_backing_mapping {
    size_t struct_size; /**< sizeof(struct vmem_backing_mapping). */
    const char *name;   /**< Appears in diagnostics; required. */
    void *hva;          /**< Where it is mapped; aligned to the page size. */
    uint64_t size;      /**< Bytes; a multiple of the page size. */
    uint64_t fd_offset; /**< Where in the file the mapping starts. */
    uint64_t page_size; /**< Of the mapping; 0: ask the descriptor, else the
                              kernel's base page. */
    uint64_t flags;     /**< VMEM_BACKING_SHARED and others above. */
    int32_t fd;         /**< With #VMEM_BACKING_HAS_FD: the mapped file. Kept
                              open by the host while the backing lives. */
    uint32_t reserved;  /**< 0. */
    uint64_t populate_threads; /**< Threads that populate a large range, the
                              calling one included; 0 or 1: that one only. At
                              most #VMEM_BACKING_MAX_POPULATE_THREADS. */
};

/** Memory that the library shall make. */
struct vmem_backing_config {
    size_t struct_size; /**< sizeof(struct vmem_backing_config). */
    const char *name;   /**< Appears in diagnostics; required. */
    const char *path;   /**< #VMEM_BACKING_FILE: the file, made if missing. */
    uint64_t size;      /**< Bytes; a multiple of the page size. */
    uint64_t fd_offset; /**< #VMEM_BACKING_FILE: where in the file to start. */
    uint64_t page_size; /**< Huge page size; 0: the kernel's default. */
    uint64_t flags;     /**< VMEM_BACKING_SHARED and others above; SHARED is
                              implied by the memfd and shared kinds, and LOCKED
                              and HAS_FD are refused. */
    uint32_t kind;      /**< An enum vmem_backing_kind, not CUSTOM. A file on
                              tmpfs is #VMEM_BACKING_FILE here. */
    uint32_t reserved;  /**< 0. */
    uint64_t populate_threads; /**< See
                              vmem_backing_mapping::populate_threads. */
};

/**
 * Memory that is entirely the host's.
 *
 * Each callback gets a range in bytes from the start of the backing, aligned to
 * its page size, and runs on the calling thread. discard, populate and zero run
 * with the region's change lock held: they may query the machine's regions and
 * must not change any. usage, and calls for a backing without a region, run
 * without a lock and may run several at once.
 */
struct vmem_backing_ops {
    size_t struct_size; /**< sizeof(struct vmem_backing_ops). */
    /** Give a range back; it must read as zero afterwards. Required. Returns 0
     *  or a negative errno. */
    int (*discard)(const struct vmem_range *range, void *opaque);
    /** Allocate a range; NULL: nothing to do. Called on plug with
     *  #VMEM_BACKING_POPULATE. Returns 0 or a negative errno; on failure the
     *  range is discarded. */
    int (*populate)(const struct vmem_range *range, void *opaque);
    /** Write zeros over a range; NULL: not possible, and plugging a retained
     *  range whose discard fails again is then BUSY. Returns 0 or a negative
     *  errno. */
    int (*zero)(const struct vmem_range *range, void *opaque);
    /** Bytes of a range that occupy host memory; NULL: unknown. Returns 0 or a
     *  negative errno. */
    int (*usage)(const struct vmem_range *range, uint64_t *resident,
                 void *opaque);
    /** Called exactly once, after the last call of the others, also when making
     *  the backing fails; NULL: nothing to do. */
    void (*destroy)(void *opaque);
};

/** A backing made of callbacks. */
struct vmem_backing_custom {
    size_t struct_size; /**< sizeof(struct vmem_backing_custom). */
    const char *name;   /**< Appears in diagnostics; required. */
    uint64_t size;      /**< Bytes; a multiple of the page size. */
    uint64_t page_size; /**< Smallest unit of a discard, a power of two; 0: the
                              kernel's base page. */
    uint64_t flags;     /**< #VMEM_BACKING_POPULATE or 0. */
};

/** What a backing is; filled by vmem_backing_get_info(). */
struct vmem_backing_info {
    size_t struct_size; /**< Set by the host. */
    const char *name;   /**< @ownership{the backing's} */
    void *hva;          /**< Where it is mapped; NULL for custom ones. */
    uint64_t size;      /**< Bytes. */
    uint64_t page_size; /**< Smallest unit of a discard, bytes. */
    uint64_t fd_offset; /**< Where in the file it starts. */
    uint64_t uses;      /**< How it discards: set of VMEM_BACKING_USES_*; 0 for
                               custom ones. */
    uint64_t flags;     /**< Set of VMEM_BACKING_SHARED and others; POPULATE
                               says whether plugs populate. */
    uint64_t default_block_size; /**< Block size that a virtio-mem device gets
                               when its config leaves it 0, bytes. */
    uint32_t kind;               /**< An enum vmem_backing_kind. */
    int32_t fd; /**< The file, or -1. @ownership{the backing's if it
                               was made by vmem_backing_new_allocated()} */
    uint64_t populate_threads; /**< As the host asked for; 0 for custom ones. */
};

/** Counters of a backing; filled by vmem_backing_get_stats(). */
struct vmem_backing_stats {
    size_t struct_size;          /**< Set by the host. */
    uint64_t nr_discards;        /**< Ranges asked to be discarded. */
    uint64_t nr_discard_errors;  /**< Of these, failed. */
    uint64_t discarded_bytes;    /**< Bytes discarded. */
    uint64_t nr_populates;       /**< Ranges asked to be populated. */
    uint64_t nr_populate_errors; /**< Of these, failed. */
    uint64_t populated_bytes;    /**< Bytes populated. */
    uint64_t zeroed_bytes;       /**< Bytes zeroed by writing. */
    uint64_t nr_syscalls;        /**< System calls made for all of these, usage
                                     not included, nor are those that make
                                     threads; 0 for custom ones. */
    uint64_t nr_threads;         /**< Threads started to populate. */
    uint64_t nr_thread_errors;   /**< Populates that got fewer threads than they
                                     wanted, because one could not be started. */
};

/** How resident bytes were found. */
enum vmem_usage_method {
    VMEM_USAGE_PAGEMAP = 1,   /**< Page tables of this mapping. */
    VMEM_USAGE_MINCORE = 2,   /**< Page cache, or huge pages of this mapping. */
    VMEM_USAGE_SEEK_DATA = 3, /**< Data extents of the file. */
    VMEM_USAGE_ST_BLOCKS = 4, /**< Blocks of the whole file. */
    VMEM_USAGE_CALLBACK = 5   /**< A custom backing's callback. */
};

/** Answer of vmem_backing_get_usage(). */
struct vmem_backing_usage {
    size_t struct_size; /**< Set by the host. */
    uint64_t resident;  /**< Bytes that occupy host memory (or disk). */
    uint32_t method;    /**< An enum vmem_usage_method. */
    uint32_t reserved;  /**< 0. */
};

/**
 * Make a backing of memory that the host has mapped.
 *
 * The mapping (and the descriptor) stay the host's and must outlive the
 * backing. Where /proc/self/smaps can be read the description is compared with
 * it, because the wrong kind of discard succeeds and frees nothing.
 *
 * @param vm        The machine it belongs to.
 * @param mapping   What was mapped. @ownership{copied}
 * @param[out] out  The backing; untouched on failure.
 *                  @ownership{the caller's, freed by vmem_backing_free()}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL    NULL, misaligned, unknown flag, or the description does
 *                    not match the mapping.
 * @retval -EOVERFLOW hva + size or fd_offset + size wraps.
 * @retval -E2BIG     Unknown members are set.
 * @retval -ERANGE    The name is longer than #VMEM_NAME_MAX, or too many
 *                    threads.
 * @retval -EEXIST    Another backing of the machine overlaps in this process.
 * @retval -EBADF     The descriptor is not open, or not for writing.
 * @retval -EPERM     A seal forbids writing.
 * @retval -ENOTSUP   The file system cannot punch holes, or the memory cannot
 *                    be discarded for another reason that the message names.
 * @retval -ENOMEM    Out of memory.
 * @retval -EDEADLK   Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_backing_new_mapped(struct vmem_vm *vm,
                                     const struct vmem_backing_mapping *mapping,
                                     struct vmem_backing **out,
                                     struct vmem_error *err);

/**
 * Make memory, mapped and with nothing allocated yet.
 *
 * @param vm        The machine it belongs to.
 * @param config    What to make. @ownership{copied}
 * @param[out] out  The backing; untouched on failure.
 *                  @ownership{the caller's; vmem_backing_free() unmaps it}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL    NULL, misaligned, size 0, unknown kind or flag.
 * @retval -ERANGE    The name is longer than #VMEM_NAME_MAX, or too many
 *                    threads.
 * @retval -EOVERFLOW fd_offset + size wraps.
 * @retval -E2BIG     Unknown members are set.
 * @retval -ENOTSUP   The kernel or file system cannot do it.
 * @retval -ENOMEM    Out of memory or address space. An empty pool of huge pages
 *                    is not noticed here, but when a plug populates.
 * @retval -EDEADLK   Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int
vmem_backing_new_allocated(struct vmem_vm *vm,
                           const struct vmem_backing_config *config,
                           struct vmem_backing **out, struct vmem_error *err);

/**
 * Make a backing of callbacks.
 *
 * @param vm        The machine it belongs to.
 * @param custom    What it is. @ownership{copied}
 * @param ops       The callbacks. @ownership{copied}
 * @param opaque    Passed to the callbacks.
 * @param[out] out  The backing; untouched on failure.
 *                  @ownership{the caller's, freed by vmem_backing_free()}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno; ops->destroy is called on failure too, unless
 *         @p ops is NULL or too short to have one.
 * @retval -EINVAL   NULL, misaligned, unknown flag, no discard callback.
 * @retval -ERANGE   The name is longer than #VMEM_NAME_MAX.
 * @retval -E2BIG    Unknown members are set.
 * @retval -ENOMEM   Out of memory.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_backing_new_custom(struct vmem_vm *vm,
                                     const struct vmem_backing_custom *custom,
                                     const struct vmem_backing_ops *ops,
                                     void *opaque, struct vmem_backing **out,
                                     struct vmem_error *err);

/**
 * Free a backing that no region uses.
 *
 * Unmaps and closes what vmem_backing_new_allocated() made; leaves what the
 * host mapped as it is.
 *
 * @param backing   The backing; NULL is allowed and does nothing.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno; on failure the backing stays as it is.
 * @retval -EBUSY    A region uses it.
 * @retval -EDEADLK  Called from a callback or from the log sink.
 * @threads{no other call on the backing may be running}
 * @since 0.1
 */
VMEM_API int vmem_backing_free(struct vmem_backing *backing,
                               struct vmem_error *err);

/**
 * What a backing is.
 *
 * Its kind is what the memory turned out to be: a file on tmpfs is
 * #VMEM_BACKING_MEMFD here, and one on hugetlbfs #VMEM_BACKING_HUGETLB_MEMFD, also
 * where vmem_backing_config::kind was #VMEM_BACKING_FILE.
 *
 * @param backing        The backing.
 * @param[in,out] info   Set its struct_size; the rest is filled.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument or struct_size too small.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_backing_get_info(const struct vmem_backing *backing,
                                   struct vmem_backing_info *info);

/**
 * Counters of a backing.
 *
 * @param backing        The backing.
 * @param[in,out] stats  Set its struct_size; the rest is filled.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument or struct_size too small.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_backing_get_stats(const struct vmem_backing *backing,
                                    struct vmem_backing_stats *stats);

/**
 * Measure how much of a range occupies host memory, by asking the kernel.
 *
 * @param backing        The backing.
 * @param range          The range; NULL: all of it. Widened to whole pages.
 * @param[in,out] usage  Set its struct_size; the rest is filled.
 * @param[out] err       Filled on failure; may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL     NULL argument or struct_size too small.
 * @retval -ERANGE     The range leaves the backing.
 * @retval -EOVERFLOW  offset + size wraps.
 * @retval -ENOTSUP    A custom backing without a usage callback.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_backing_get_usage(struct vmem_backing *backing,
                                    const struct vmem_range *range,
                                    struct vmem_backing_usage *usage,
                                    struct vmem_error *err);

/**
 * Discard a range of a backing that no region uses.
 *
 * For custom backings that wrap another one, and for memory without a region.
 *
 * @param backing   The backing.
 * @param range     The range, aligned to the page size.
 * @param[out] err  Filled on failure, with the range that was not discarded;
 *                  may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL     NULL argument or misaligned range.
 * @retval -ERANGE     The range leaves the backing.
 * @retval -EOVERFLOW  offset + size wraps.
 * @retval -EBUSY      A region uses it.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_backing_discard(struct vmem_backing *backing,
                                  const struct vmem_range *range,
                                  struct vmem_error *err);

/**
 * Populate a range of a backing that no region uses.
 *
 * @param backing   The backing.
 * @param range     The range, aligned to the page size.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno; on failure part of the range may be populated.
 * @retval -EINVAL     NULL argument or misaligned range.
 * @retval -ERANGE     The range leaves the backing.
 * @retval -EOVERFLOW  offset + size wraps.
 * @retval -EBUSY      A region uses it.
 * @retval -EFAULT     The hugetlb pool is empty.
 * @retval -ENOMEM     Out of memory.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_backing_populate(struct vmem_backing *backing,
                                   const struct vmem_range *range,
                                   struct vmem_error *err);

/**
 * Name of a kind of memory, such as "memfd".
 *
 * @param kind  An enum vmem_backing_kind; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_backing_kind_name(uint32_t kind);

/**
 * Name of how resident bytes were found, such as "st-blocks".
 *
 * @param method  An enum vmem_usage_method; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_usage_method_name(uint32_t method);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_BACKING_H */
