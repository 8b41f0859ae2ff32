/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief An IOMMU address space that has mapped exactly what is populated.
 * @ingroup dma
 */
#ifndef VMEM_DMA_H
#define VMEM_DMA_H

#include <vmem/error.h>
#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup dma DMA
 * @brief Maps what is populated, unmaps it before it is discarded, counts.
 *
 * A device with direct access to memory pins what is mapped for it. Mapping
 * memory that is unplugged allocates it; discarding memory that is mapped leaves
 * the device writing into pages that the guest does not see any more. A vmem_dma
 * is one IOMMU address space that follows regions as a listener (see
 * @ref listener): what is populated is mapped before the guest may use it, and
 * unmapped before its memory goes.
 *
 * **Attachments.** A window of a region is attached at an IOVA, for reading or
 * for reading and writing (vmem_dma_attach()); plain memory that nobody ever
 * discards is attached once and for all (vmem_dma_attach_static()), so that the
 * budget sees everything. Windows of several regions may be attached, in any
 * order with the making of devices. While anything is attached the mapper holds
 * a claim (see @ref claim) in the name "mapper/attachment": forbid uncoordinated
 * discards, or with #VMEM_DMA_NO_PARTS forbid all; a mapper that was made with
 * #VMEM_DMA_NO_CLAIM leaves that to the host.
 *
 * **Chunks.** An IOMMU cannot cut a mapping, so nothing is mapped more coarsely
 * than it may have to be unmapped: one map call for each chunk of the
 * attachment's granularity, aligned within the region and clipped to the window.
 * Without a granularity it is the region's smallest block size (or, if the
 * largest mapping of the backend is smaller, that). A region without sources is
 * one chunk, and vmem_source_add() then refuses any source, a virtio-mem
 * device's too, with -EBUSY and the attachment's name: to attach first and make
 * the device later, give the device's block size as granularity. Unmapping is
 * one call for each run of chunks, or one for each chunk with
 * #VMEM_DMA_EXACT_UNMAP.
 *
 * **Budget.** Mappings are counted against the limit of the backend, pinned
 * bytes against a limit that the host may give: those of regions, static ones,
 * those of a virtual IOMMU, and a reserve for what the host maps itself. An
 * attach is judged before anything is mapped (struct vmem_dma_verdict). At run
 * time a limit that is reached, or a map that the backend refuses, is a veto:
 * the region undoes the change, the guest is told BUSY and may try again. It is
 * counted, and logged once until an attempt succeeds again.
 *
 * **Stuck chunks.** A discard cannot fail but an unmap can. What could not be
 * unmapped stays on the books as *stuck*: still mapped, pinned, counted, logged
 * once until none is left. It is tried again before the next map over it, by
 * vmem_dma_retry_unmaps(), and by vmem_dma_detach(). While it lasts the memory
 * cannot be plugged again (BUSY), so that nothing is ever mapped twice.
 *
 * **Virtual IOMMU.** Where the guest chooses IOVAs a region is attached with
 * #VMEM_DMA_VIOMMU, as something that vmem_dma_viommu_map() may point at. The
 * mapper knows which IOVAs point at a block: an unplug unmaps them, whether or
 * not the guest did.
 *
 * **Flags.** A mapper, a backend, an attachment and a mapping have flags of their
 * own, in bits that no other of these has: one in the wrong place is unknown there,
 * -EINVAL.
 *
 * **Locks.** A mapper has one lock, below those of regions: the host's, a
 * region's change lock, the mapper's. It is held across callbacks of the
 * backend, from begin to commit. In these callbacks, queries of any object work
 * and every change of the machine is refused with -EDEADLK. Two changes of
 * different regions wait for each other here, and nowhere else. Statistics take
 * no lock.
 * @{
 */

/** The device may only read. For attachments, as the next ones. */
#define VMEM_DMA_READ_ONLY ((uint64_t)1 << 8)
/** Refuse an attach whose verdict is #VMEM_DMA_FIT_TIGHT. */
#define VMEM_DMA_STRICT ((uint64_t)1 << 9)
/** The window is not mapped; vmem_dma_viommu_map() may point at it. */
#define VMEM_DMA_VIOMMU ((uint64_t)1 << 10)
/** The attachment's fd and fd_offset are given. */
#define VMEM_DMA_HAS_FD ((uint64_t)1 << 11)

/** The backend unmaps only what was one map call. For vmem_dma_properties::flags, as
 *  the next ones. */
#define VMEM_DMA_EXACT_UNMAP ((uint64_t)1 << 16)
/** The backend maps files: each mapping must have fd and fd_offset, and need not
 *  have an hva. */
#define VMEM_DMA_NEEDS_FD ((uint64_t)1 << 17)
/** The backend pins all memory whatever is mapped, or cannot unmap while in use
 *  (POWER's SPAPR): no discard works with it. Claims "forbid all". */
#define VMEM_DMA_NO_PARTS ((uint64_t)1 << 18)

/** Time each map and unmap of the backend; not begin and commit. For
 *  vmem_dma_config::flags. */
#define VMEM_DMA_MEASURE_LATENCY ((uint64_t)1 << 24)
/** Attachments take no claim. For a host that arbitrates by itself: whose mapper
 *  is in one process while another one holds the claims, or whose device is known
 *  to pin only what its driver names. It promises what a claim would enforce:
 *  while anything is attached nobody discards memory that may be mapped but
 *  through the region, and with #VMEM_DMA_NO_PARTS nobody does at all. Where that
 *  is broken a device goes on writing to pages that the guest does not have any
 *  more, and nothing reports it. For vmem_dma_config::flags. */
#define VMEM_DMA_NO_CLAIM ((uint64_t)1 << 25)

/** The device may read. For vmem_dma_mapping::protection. */
#define VMEM_DMA_READ ((uint32_t)1 << 0)
/** The device may write. */
#define VMEM_DMA_WRITE ((uint32_t)1 << 1)

/** A limit that does not exist. */
#define VMEM_DMA_UNLIMITED UINT64_MAX

/** Guest mappings of a virtual IOMMU if vmem_dma_config says 0. Each takes less
 *  than 256 bytes of the host's memory, so these take 16 MiB at most. */
#define VMEM_DMA_GUEST_MAPPINGS 65535

/**
 * A limit is near when less than one part in this many of it would be left.
 * Nothing is reported about a limit that is not near.
 */
#define VMEM_DMA_NEAR 8

/** What maps. */
enum vmem_dma_kind {
    VMEM_DMA_CUSTOM = 1, /**< The host's callbacks. */
    VMEM_DMA_TYPE1 = 2,  /**< A VFIO container, type1 version 2. */
    VMEM_DMA_IOMMUFD = 3 /**< An address space of iommufd. */
};

/** Does an attachment fit the budget? */
enum vmem_dma_fit {
    VMEM_DMA_FIT_OK = 1,        /**< What is requested fits, none is near. */
    VMEM_DMA_FIT_TIGHT = 2,     /**< It fits; a limit is #VMEM_DMA_NEAR. */
    VMEM_DMA_FIT_IMPOSSIBLE = 3 /**< What is requested does not fit. */
};

/** Which limit decided. */
enum vmem_dma_bound {
    VMEM_DMA_BOUND_NONE = 0,     /**< None: it is ok. */
    VMEM_DMA_BOUND_MAPPINGS = 1, /**< The number of mappings. */
    VMEM_DMA_BOUND_PINNED = 2    /**< The number of pinned bytes. */
};

/** What a mapper is made of. */
struct vmem_dma_config {
    size_t struct_size;          /**< sizeof(struct vmem_dma_config). */
    const char *name;            /**< Appears in diagnostics; required. */
    uint64_t max_mappings;       /**< Most mappings; 0: as the backend says;
                                     #VMEM_DMA_UNLIMITED: do not count. */
    uint64_t reserved_mappings;  /**< Of these, left to the host's own use. */
    uint64_t max_pinned_size;    /**< Most bytes mapped; 0: no limit. */
    uint64_t max_guest_mappings; /**< Most mappings of a virtual IOMMU; 0:
                                      #VMEM_DMA_GUEST_MAPPINGS. */
    uint64_t flags;              /**< #VMEM_DMA_MEASURE_LATENCY,
                                      #VMEM_DMA_NO_CLAIM. */
};

/** What a backend of callbacks can do. */
struct vmem_dma_properties {
    size_t struct_size;     /**< sizeof(struct vmem_dma_properties). */
    uint64_t flags;         /**< #VMEM_DMA_EXACT_UNMAP, #VMEM_DMA_NEEDS_FD,
                                #VMEM_DMA_NO_PARTS. */
    uint64_t page_sizes;    /**< Set of page sizes, each its own bit, as VFIO
                                says it; 0: the kernel's base page. Ends of
                                mappings are multiples of the smallest. */
    uint64_t max_size;      /**< Bytes of the largest mapping; 0: no limit. */
    uint64_t mapping_limit; /**< Most mappings; 0: no limit. */
};

/** One mapping to be made. */
struct vmem_dma_mapping {
    size_t struct_size;  /**< As filled by the library. */
    uint64_t iova;       /**< First address that the device uses. */
    uint64_t size;       /**< Bytes. */
    void *hva;           /**< Where the memory is in this process; NULL only
                             with #VMEM_DMA_NEEDS_FD, if the host gave none. */
    uint64_t fd_offset;  /**< Where in the file; with an fd. */
    int32_t fd;          /**< The file, if the memory is a shared one, or -1. */
    uint32_t protection; /**< #VMEM_DMA_READ, #VMEM_DMA_WRITE. */
};

/**
 * A backend of callbacks: a vfio-user server, vhost-vdpa, VFIO in another
 * process.
 *
 * One callback at a time, on the thread that changes something, with the
 * mapper's lock and often a region's held. They may block; they may query and
 * must not change anything of the machine.
 */
struct vmem_dma_ops {
    size_t struct_size; /**< sizeof(struct vmem_dma_ops). */
    /** Maps all of it or nothing. Returns 0 or a negative errno. Required. */
    int (*map)(const struct vmem_dma_mapping *mapping, void *opaque);
    /**
     * Unmaps everything in a range of IOVAs: a run of mappings that were made,
     * or with #VMEM_DMA_EXACT_UNMAP (and where that failed) exactly one of
     * them. Required.
     *
     * *unmapped is the size of the range when it is called, and shall be how
     * many bytes are not mapped any more because of this call. Returns 0 or a
     * negative errno. After an errno, or fewer bytes than there were, the mapper
     * asks for each mapping alone. 0 with no bytes, or -ENOENT, then means that
     * it is gone already: at once if the first call failed, or if the bytes of
     * all calls add up; else it is stuck until the same is said once more.
     */
    int (*unmap)(uint64_t iova, uint64_t size, uint64_t *unmapped,
                 void *opaque);
    /** Calls of map and unmap follow. NULL: nothing to do. Cannot fail: what
     *  fails here is said by map or commit. */
    void (*begin)(void *opaque);
    /** They are over and shall take effect. NULL: nothing to do. Returns 0 or a
     *  negative errno. When it fails each map and unmap since begin may be in
     *  effect or not, as the backend likes. What was unmapped is stuck then. If
     *  there were maps, what wanted them is refused, and each mapping that was
     *  made or unmapped is unmapped once more, with a begin and commit of their
     *  own; 0 with no bytes, or -ENOENT, means there that it is gone. */
    int (*commit)(void *opaque);
    /** Called exactly once, after the last call of the others, also when making
     *  the mapper fails; NULL: nothing to do. */
    void (*destroy)(void *opaque);
};

/** A window of a region, and where the device finds it. */
struct vmem_dma_attach_config {
    size_t struct_size;         /**< sizeof(struct vmem_dma_attach_config). */
    const char *name;           /**< Appears in diagnostics, as
                                     "mapper/attachment", which has at most
                                     #VMEM_NAME_MAX bytes; required. */
    struct vmem_region *region; /**< Of the mapper's machine. */
    struct vmem_range window;   /**< In the region; size 0 at offset 0: all. */
    uint64_t iova;              /**< Of the window's first byte; 0 with
                                     #VMEM_DMA_VIOMMU. */
    uint64_t granularity;       /**< Chunk size in bytes, a power of two not
                                     larger than the region's smallest block
                                     size; 0: that block size. */
    uint64_t requested_size; /**< Bytes of the window that the host wants to be
                                  able to have populated, by which the budget is
                                  judged; 0: what is populated now. */
    void *hva;               /**< Where the region's offset 0 is mapped in this
                                  process; NULL: as its backing says. */
    uint64_t fd_offset;      /**< With #VMEM_DMA_HAS_FD: where in the file the
                                  region's offset 0 is. */
    uint64_t flags;          /**< #VMEM_DMA_READ_ONLY and others. */
    int32_t fd;              /**< With #VMEM_DMA_HAS_FD: a file that shares the
                                  memory; else as the backing says. Kept open by
                                  the host while attached. */
    uint32_t reserved;       /**< 0. */
};

/** Memory that is never discarded, and where the device finds it. */
struct vmem_dma_static_config {
    size_t struct_size; /**< sizeof(struct vmem_dma_static_config). */
    const char *name;   /**< As in vmem_dma_attach_config; required. */
    uint64_t iova;      /**< Of the first byte. */
    uint64_t size;      /**< Bytes. */
    void *hva;          /**< Where it is mapped in this process. */
    uint64_t fd_offset; /**< With #VMEM_DMA_HAS_FD. */
    uint64_t flags;     /**< #VMEM_DMA_READ_ONLY, #VMEM_DMA_STRICT,
                             #VMEM_DMA_HAS_FD. */
    int32_t fd;         /**< With #VMEM_DMA_HAS_FD: a file that shares the
                             memory. Kept open by the host while attached. */
    uint32_t reserved;  /**< 0. */
};

/** What vmem_dma_plan() calculates with. */
struct vmem_dma_plan_config {
    size_t struct_size;       /**< sizeof(struct vmem_dma_plan_config). */
    uint64_t region_size;     /**< Bytes. */
    uint64_t block_size;      /**< Bytes of a mapping, a power of two. */
    uint64_t requested_size;  /**< Bytes; not more than region_size. */
    uint64_t max_mappings;    /**< Limit of one container;
                                  #VMEM_DMA_UNLIMITED: none. */
    uint64_t nr_taken;        /**< Mappings of one container that something else
                                  needs. */
    uint64_t max_pinned_size; /**< Limit of bytes pinned by all of them; 0:
                                   none. */
    uint64_t pinned_size;     /**< Bytes that something else pins. */
    uint64_t nr_containers;   /**< Address spaces that map it; 0: 1. Each pins
                                   and is accounted on its own. */
};

/** How an attachment fits. All numbers saturate instead of wrapping. */
struct vmem_dma_verdict {
    size_t struct_size; /**< Set by the host. */
    uint32_t fit;       /**< An enum vmem_dma_fit, for what is requested. */
    uint32_t bound;     /**< An enum vmem_dma_bound: what is short or near. */
    uint64_t max_mappings;  /**< The limit, or #VMEM_DMA_UNLIMITED. */
    uint64_t nr_taken;      /**< Mappings that others have, want or reserve. */
    uint64_t nr_available;  /**< Limit without these; or
                                 #VMEM_DMA_UNLIMITED. */
    uint64_t nr_now;        /**< Mappings for what is populated now. */
    uint64_t nr_requested;  /**< Mappings for the requested size, and for what
                                 is populated now. */
    uint64_t nr_worst_case; /**< Mappings if everything is populated. */
    uint64_t granularity;   /**< Bytes of one mapping. */
    uint64_t recommended_block_size; /**< The smallest power of two, not below
                               the granularity, with which everything fits what
                               is available, bytes; 0: there is none, or it is
                               pinned bytes that are short. */
    uint64_t max_pinned_size;        /**< The limit, or #VMEM_DMA_UNLIMITED. */
    uint64_t pinned_size;            /**< Bytes that others pin or want. */
    uint64_t requested_pinned_size;  /**< Bytes pinned for what is requested. */
    uint64_t worst_case_pinned_size; /**< If everything is populated. With
                               #VMEM_DMA_VIOMMU, if each of nr_worst_case
                               mappings is of the whole window: the guest may
                               map the same memory at many IOVAs, and each
                               pins. */
};

/** What a mapper is; filled by vmem_dma_get_info(). */
struct vmem_dma_info {
    size_t struct_size;          /**< Set by the host. */
    const char *name;            /**< @ownership{the mapper's} */
    uint64_t page_sizes;         /**< Set of page sizes, each its own bit. */
    uint64_t max_size;           /**< Bytes of the largest mapping, or
                                      #VMEM_DMA_UNLIMITED. */
    uint64_t max_mappings;       /**< The limit, or #VMEM_DMA_UNLIMITED. */
    uint64_t reserved_mappings;  /**< As configured. */
    uint64_t max_pinned_size;    /**< The limit, or #VMEM_DMA_UNLIMITED. */
    uint64_t max_guest_mappings; /**< The limit. */
    uint64_t properties;         /**< #VMEM_DMA_EXACT_UNMAP and others. */
    uint64_t nr_attachments;     /**< Attached now, or left behind by attaches
                                      that failed, with something stuck. */
    uint32_t kind;               /**< An enum vmem_dma_kind. */
    uint32_t reserved;           /**< 0. */
};

/** Counters of a mapper; filled by vmem_dma_get_stats(). */
struct vmem_dma_stats {
    size_t struct_size;          /**< Set by the host. */
    uint64_t nr_mappings;        /**< Mapped now: all kinds, stuck ones too. */
    uint64_t peak_mappings;      /**< Most at any time. */
    uint64_t pinned_size;        /**< Bytes mapped now. */
    uint64_t peak_pinned_size;   /**< Most at any time. */
    uint64_t nr_static_mappings; /**< Of nr_mappings, static ones. */
    uint64_t nr_guest_mappings;  /**< Of nr_mappings, of a virtual IOMMU. */
    uint64_t nr_stuck;           /**< Of nr_mappings, could not be unmapped. */
    uint64_t stuck_size;         /**< Bytes of these. */
    uint64_t nr_maps;            /**< Calls of map so far. */
    uint64_t nr_unmaps;          /**< Calls of unmap so far. */
    uint64_t nr_map_errors;      /**< Maps that failed. */
    uint64_t nr_unmap_errors;    /**< Unmaps that failed, or said too few
                                      bytes. */
    uint64_t nr_commit_errors;   /**< Commits that failed. */
    uint64_t nr_budget_refusals; /**< Maps not tried: a limit was reached. */
    uint64_t nr_stuck_refusals;  /**< Maps not tried: something is stuck. */
    uint64_t nr_forced_unmaps;   /**< Guest mappings that a discard unmapped. */
    uint64_t map_ns;       /**< Time in map, with #VMEM_DMA_MEASURE_LATENCY. */
    uint64_t unmap_ns;     /**< Time in unmap. */
    uint64_t max_map_ns;   /**< The longest map. */
    uint64_t max_unmap_ns; /**< The longest unmap. */
};

/** A run of mappings, for vmem_dma_for_each_mapped(). */
struct vmem_dma_run {
    size_t struct_size; /**< As filled by the library. */
    const struct vmem_dma_attachment *attachment; /**< What it belongs to. */
    struct vmem_region *region; /**< NULL for static memory. */
    struct vmem_range range;    /**< In the region, or in the static memory. */
    uint64_t iova;              /**< Of its first byte. */
    uint64_t nr_mappings;       /**< Mappings that it is made of. */
};

/**
 * Called for each of a number of runs.
 *
 * @param run     The run, valid during the call.
 * @param opaque  What the caller of the walk passed.
 * @return 0 to go on; anything else stops the walk, which returns it.
 */
typedef int (*vmem_dma_run_fn)(const struct vmem_dma_run *run, void *opaque);

/**
 * Make a mapper of callbacks.
 *
 * @param vm          The machine it belongs to.
 * @param config      What to make. @ownership{copied}
 * @param properties  What the callbacks can do; NULL: everything.
 *                    @ownership{copied}
 * @param ops         The callbacks. @ownership{copied}
 * @param opaque      Passed to the callbacks.
 * @param[out] out    The mapper; untouched on failure.
 *                    @ownership{the caller's, freed by vmem_dma_free()}
 * @param[out] err    Filled on failure; may be NULL.
 * @return 0 or a negative errno; ops->destroy is called on failure too, unless
 *         @p ops is NULL or too short to have one.
 * @retval -EINVAL   NULL, no name, unknown flag, no map or unmap callback, or a
 *                   largest mapping below the smallest page.
 * @retval -ERANGE   The name is longer than #VMEM_NAME_MAX, or more mappings are
 *                   reserved than there are.
 * @retval -E2BIG    Unknown members are set.
 * @retval -ENOMEM   Out of memory.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_dma_new_custom(struct vmem_vm *vm,
                                 const struct vmem_dma_config *config,
                                 const struct vmem_dma_properties *properties,
                                 const struct vmem_dma_ops *ops, void *opaque,
                                 struct vmem_dma **out, struct vmem_error *err);

/**
 * Make a mapper of a VFIO container.
 *
 * The container has a group and its IOMMU is set to VFIO_TYPE1v2_IOMMU. The
 * number of mappings that the kernel has left is asked here, once: what the host
 * maps itself later goes into vmem_dma_config::reserved_mappings. iommufd's
 * imitation of a container has no limit.
 *
 * @param vm            The machine it belongs to.
 * @param config        What to make. @ownership{copied}
 * @param container_fd  The container. @ownership{the host's, never closed, open
 *                      as long as the mapper lives}
 * @param[out] out      The mapper; untouched on failure.
 *                      @ownership{the caller's, freed by vmem_dma_free()}
 * @param[out] err      Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the kernel said.
 * @retval -EINVAL   NULL, no name, unknown flag.
 * @retval -ERANGE   The name is longer than #VMEM_NAME_MAX, or more mappings are
 *                   reserved than there are.
 * @retval -E2BIG    Unknown members are set.
 * @retval -EBADF    Not an open descriptor.
 * @retval -ENOTTY   Not a VFIO container.
 * @retval -ENOTSUP  Its IOMMU is not type1 version 2.
 * @retval -ENOMEM   Out of memory.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_dma_new_type1(struct vmem_vm *vm,
                                const struct vmem_dma_config *config,
                                int container_fd, struct vmem_dma **out,
                                struct vmem_error *err);

/**
 * Make a mapper of an I/O address space of iommufd.
 *
 * The kernel sets no limit on mappings.
 *
 * @param vm        The machine it belongs to.
 * @param config    What to make. @ownership{copied}
 * @param iommufd   /dev/iommu, opened. @ownership{the host's, never closed, open
 *                  as long as the mapper lives}
 * @param ioas_id   The address space, as IOMMU_IOAS_ALLOC gave it.
 *                  @ownership{the host's}
 * @param[out] out  The mapper; untouched on failure.
 *                  @ownership{the caller's, freed by vmem_dma_free()}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the kernel said.
 * @retval -EINVAL   NULL, no name, unknown flag.
 * @retval -ERANGE   The name is longer than #VMEM_NAME_MAX, or more mappings are
 *                   reserved than there are.
 * @retval -E2BIG    Unknown members are set.
 * @retval -EBADF    Not an open descriptor.
 * @retval -ENOTTY   Not iommufd.
 * @retval -ENOENT   It has no such address space.
 * @retval -ENOMEM   Out of memory.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_dma_new_iommufd(struct vmem_vm *vm,
                                  const struct vmem_dma_config *config,
                                  int iommufd, uint32_t ioas_id,
                                  struct vmem_dma **out,
                                  struct vmem_error *err);

/**
 * Free a mapper to which nothing is attached.
 *
 * @param dma       The mapper; NULL is allowed and does nothing.
 * @param[out] err  Filled on failure, naming what is attached; may be NULL.
 * @return 0 or a negative errno; on failure the mapper stays as it is, but for
 *         what could be unmapped of what an attach that failed left behind.
 * @retval -EBUSY    Something is attached, or such an attach left something
 *                   behind that still cannot be unmapped.
 * @retval -EDEADLK  Called from a callback or from the log sink.
 * @threads{no other call on the mapper may be running}
 * @since 0.1
 */
VMEM_API int vmem_dma_free(struct vmem_dma *dma, struct vmem_error *err);

/**
 * What a mapper is.
 *
 * @param dma           The mapper.
 * @param[in,out] info  Set its struct_size; the rest is filled.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument or struct_size too small.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_dma_get_info(const struct vmem_dma *dma,
                               struct vmem_dma_info *info);

/**
 * Counters of a mapper. Takes no lock.
 *
 * @param dma            The mapper.
 * @param[in,out] stats  Set its struct_size; the rest is filled.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument or struct_size too small.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_dma_get_stats(const struct vmem_dma *dma,
                                struct vmem_dma_stats *stats);

/**
 * How would it fit? Asks nobody and changes nothing.
 *
 * What vmem_dma_attach() judges by, and what a management program can ask before
 * there is a machine. nr_now of the verdict is nr_requested.
 *
 * @param config            The numbers. @ownership{copied}
 * @param[in,out] verdict   Set its struct_size; the rest is filled.
 * @param[out] err          Filled on failure; may be NULL.
 * @return 0 or a negative errno; 0 whatever the verdict says.
 * @retval -EINVAL  NULL, struct_size too small, a size of 0, or a block size that
 *                  is not a power of two.
 * @retval -ERANGE  More is requested than there is.
 * @retval -E2BIG   Unknown members are set.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_dma_plan(const struct vmem_dma_plan_config *config,
                           struct vmem_dma_verdict *verdict,
                           struct vmem_error *err);

/**
 * Attach a window of a region and map what is populated.
 *
 * In this order: the arguments are checked against the region and the backend;
 * the claim is taken; the budget is judged, and refused if what is requested does
 * not fit; only then populated chunks are mapped. A transaction: on failure
 * everything is unmapped and the claim released. Should that unmapping fail, the
 * mapper keeps what is stuck, its IOVAs and the claim, until a plug over it or
 * vmem_dma_retry_unmaps() has unmapped it; the message then says so.
 *
 * @param dma              The mapper.
 * @param config           What to attach. @ownership{copied}
 * @param[in,out] verdict  Set its struct_size; filled as soon as it is known,
 *                         also when the attach then fails, and untouched before.
 *                         May be NULL.
 * @param[out] out         The attachment; untouched on failure.
 *                         @ownership{the caller's, gone with vmem_dma_detach()}
 * @param[out] err         Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the backend's map said.
 * @retval -EINVAL    NULL, unknown flag, reserved is not 0, a flag for an fd
 *                    without one, an empty window, a granularity that is
 *                    no power of two, is coarser than the region's blocks, or
 *                    finer than an IOMMU page; a window, IOVA or address that is
 *                    not a multiple of the smallest page; no address (or file,
 *                    with #VMEM_DMA_NEEDS_FD) is known; region of another
 *                    machine.
 * @retval -ERANGE    The window leaves the region, the granularity exceeds the
 *                    largest mapping, more is requested than the window has, too
 *                    many chunks (#VMEM_BITMAP_MAX_BLOCKS), or a long name with
 *                    the mapper's.
 * @retval -EOVERFLOW IOVA, address or file offset and size wrap.
 * @retval -EEXIST    Something is attached or mapped at these IOVAs.
 * @retval -EBUSY     A claim conflicts; the message names the holders.
 * @retval -ENOSPC    What is requested does not fit the budget, or with
 *                    #VMEM_DMA_STRICT hardly; the message says what would.
 * @retval -E2BIG     Unknown members are set.
 * @retval -ENOMEM    Out of memory.
 * @retval -EDEADLK   Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_dma_attach(struct vmem_dma *dma,
                             const struct vmem_dma_attach_config *config,
                             struct vmem_dma_verdict *verdict,
                             struct vmem_dma_attachment **out,
                             struct vmem_error *err);

/**
 * Attach memory that is never discarded, and map all of it.
 *
 * For boot memory that no region describes. It is one mapping, or as few as the
 * largest power of two in the largest mapping of the backend allows.
 *
 * @param dma              The mapper.
 * @param config           What to attach. @ownership{copied}
 * @param[in,out] verdict  As for vmem_dma_attach(). May be NULL.
 * @param[out] out         The attachment; untouched on failure.
 *                         @ownership{the caller's, gone with vmem_dma_detach()}
 * @param[out] err         Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the backend's map said; on failure
 *         everything is undone.
 * @retval -EINVAL    NULL, unknown flag, reserved is not 0, a flag for an fd
 *                    without one, size 0, something is not a multiple of the
 *                    smallest page, or no address or file is given.
 * @retval -ERANGE    A long name, or too many mappings
 *                    (#VMEM_BITMAP_MAX_BLOCKS).
 * @retval -EOVERFLOW IOVA, address or file offset and size wrap.
 * @retval -EEXIST    Something is attached or mapped at these IOVAs.
 * @retval -EBUSY     A claim conflicts; the message names the holders.
 * @retval -ENOSPC    It does not fit the budget, or with #VMEM_DMA_STRICT
 *                    hardly.
 * @retval -E2BIG     Unknown members are set.
 * @retval -ENOMEM    Out of memory.
 * @retval -EDEADLK   Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_dma_attach_static(struct vmem_dma *dma,
                                    const struct vmem_dma_static_config *config,
                                    struct vmem_dma_verdict *verdict,
                                    struct vmem_dma_attachment **out,
                                    struct vmem_error *err);

/**
 * Unmap and detach.
 *
 * Everything of the attachment is unmapped, mappings of a virtual IOMMU that
 * point at it as well. If something cannot be unmapped the call fails with what
 * the backend said: the rest is unmapped, nothing is mapped for the attachment
 * any more, what is stuck stays counted and keeps its memory from being plugged
 * again, and the claim is kept. The call may be repeated.
 *
 * Mappings that were taken away behind the mapper are stuck at first, because the
 * backend says that it unmapped nothing; the second call believes it.
 *
 * A guest whose last request was refused for this attachment is told to try
 * again, as vmem_listener_remove() says.
 *
 * @param attachment  The attachment; gone on success. NULL is allowed.
 * @param[out] err    Filled on failure, with a stuck range of the region;
 *                    may be NULL.
 * @return 0, a negative errno, or what the backend's unmap said.
 * @retval -EBUSY    Something is stuck without an error of the backend.
 * @retval -EDEADLK  Called from a callback, or from the log sink for what is
 *                   being detached.
 * @threads{no other call on the attachment may be running; not from listener,
 * backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_dma_detach(struct vmem_dma_attachment *attachment,
                             struct vmem_error *err);

/**
 * Try again to unmap what is stuck.
 *
 * A guest whose plug was refused for it is not told: call
 * vmem_device_notify_config() after success.
 *
 * @param dma       The mapper.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 when nothing is stuck any more, or what the backend's unmap said
 *         last.
 * @retval -EINVAL   NULL argument.
 * @retval -EBUSY    Something is stuck without an error of the backend.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_dma_retry_unmaps(struct vmem_dma *dma,
                                   struct vmem_error *err);

/**
 * Visit what is mapped, one call for each run.
 *
 * For queries of dirty pages: each run consists of whole mappings, which is what
 * the kernel asks of such a query. A run is contiguous in IOVA and in memory, and
 * as long as that goes: where the kernel limits the bitmap of one query (type1
 * says max_dirty_bitmap_size in its capability for migration, 256 MiB or 8 TiB of
 * 4 KiB pages), the host cuts a longer run at multiples of the granularity.
 * Stuck mappings are left out, since their memory is the guest's no more. Runs of
 * one attachment are ascending, guest mappings of a virtual IOMMU follow, each on
 * its own.
 *
 * Holds the mapper's lock, so what it shows stays true until it returns.
 *
 * @param dma         The mapper.
 * @param attachment  Only what belongs to this one; NULL: everything.
 * @param fn          Called for each run; a value other than 0 stops the walk.
 *                    It may query but not change anything of the machine.
 * @param opaque      Passed to @p fn.
 * @return 0, or what @p fn returned.
 * @retval -EINVAL   NULL argument, or an attachment of another mapper.
 * @retval -EDEADLK  Called from a callback of a backend, from @p fn, or from a
 *                   walk of the machine's lists or claims.
 * @threads{any thread; not from callbacks of a mapper's backend, and not from
 * walks of the machine's lists and claims}
 * @since 0.1
 */
VMEM_API int
vmem_dma_for_each_mapped(struct vmem_dma *dma,
                         const struct vmem_dma_attachment *attachment,
                         vmem_dma_run_fn fn, void *opaque);

/**
 * The guest maps: let an IOVA of its choice point at a part of a region.
 *
 * Checking that the part is populated and mapping it are one step, so that no
 * unplug falls between them. When a block of it is unplugged later the whole
 * mapping goes, before the memory does, whether or not the guest asked for it;
 * it does not come back with the block.
 *
 * All arguments but @p target may come from the guest.
 *
 * @param target      A region attached with #VMEM_DMA_VIOMMU.
 * @param iova        First address.
 * @param range       In the region, within the attachment's window.
 * @param protection  #VMEM_DMA_READ, #VMEM_DMA_WRITE, or both.
 * @param[out] err    Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the backend's map or commit said; on
 *         failure nothing changed, but for what is stuck if undoing failed too,
 *         which the message says.
 * @retval -EINVAL    NULL, empty, misaligned, unknown protection, or @p target is
 *                    not for a virtual IOMMU.
 * @retval -ERANGE    The range leaves the window, or exceeds the largest mapping.
 * @retval -EOVERFLOW IOVA and size wrap.
 * @retval -EPERM     To be written, but attached read-only.
 * @retval -ENXIO     Part of the range is not populated.
 * @retval -EEXIST    Something is mapped or attached at these IOVAs.
 * @retval -EBUSY     Something stuck is there, or the target is being detached.
 * @retval -ENOSPC    The budget, or the limit of guest mappings, is spent.
 * @retval -ENOMEM    Out of memory.
 * @retval -EDEADLK   Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_dma_viommu_map(struct vmem_dma_attachment *target,
                                 uint64_t iova, const struct vmem_range *range,
                                 uint32_t protection, struct vmem_error *err);

/**
 * The guest unmaps a range of IOVAs.
 *
 * Guest mappings inside the range are unmapped; there may be any number, and
 * parts where nothing is mapped. One that the range would cut makes the call fail
 * before anything is unmapped, as with virtio-iommu. What cannot be unmapped is
 * stuck.
 *
 * @param dma            The mapper.
 * @param iova           First address.
 * @param size           Bytes, up to the last one there is; UINT64_MAX from 0 means
 *                       everything, for no mapping has the last byte alone.
 * @param[out] unmapped  Bytes unmapped, also on failure; may be NULL.
 * @param[out] err       Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the backend's unmap said.
 * @retval -EINVAL    NULL or empty.
 * @retval -ERANGE    A mapping would be cut.
 * @retval -EOVERFLOW The last byte is behind the last address.
 * @retval -EBUSY     Something is stuck without an error of the backend.
 * @retval -EDEADLK   Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_dma_viommu_unmap(struct vmem_dma *dma, uint64_t iova,
                                   uint64_t size, uint64_t *unmapped,
                                   struct vmem_error *err);

/**
 * Bring a late address space to where an earlier one of the same guest is.
 *
 * For a second container that joins a domain of the guest: each guest mapping of
 * @p from is made in @p dma too. The regions are attached to @p dma before, with
 * #VMEM_DMA_VIOMMU and windows that contain the targets. The host keeps the guest
 * from mapping and unmapping meanwhile; an unplug may run, and what it unmaps is
 * in neither.
 *
 * @param dma       The late one, without guest mappings.
 * @param from      The earlier one, of the same machine.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0, or what vmem_dma_viommu_map() said; on failure @p dma has no guest
 *         mappings but stuck ones.
 * @retval -EINVAL   NULL, the same mapper twice, or mappers of two machines.
 * @retval -EEXIST   @p dma has guest mappings already.
 * @retval -ENOENT   A target of @p from is not attached to @p dma.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_dma_viommu_replay(struct vmem_dma *dma, struct vmem_dma *from,
                                    struct vmem_error *err);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_DMA_H */
