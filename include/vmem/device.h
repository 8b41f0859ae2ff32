/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief A virtio-mem device without its transport.
 * @ingroup device
 */
#ifndef VMEM_DEVICE_H
#define VMEM_DEVICE_H

#include <sys/uio.h>

#include <vmem/error.h>
#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup device virtio-mem device
 * @brief Config space, the four requests, resize and reset.
 *
 * The device side of the virtio 1.4 "Memory Device" (device ID 24). The host
 * brings the transport: it negotiates features, copies config bytes out, hands
 * request bytes in and pushes the response bytes that come back. The device
 * drives one source of one region, made when the device is made; its region
 * starts unplugged, and whatever memory was there is discarded, or kept for a
 * saved state that is loaded.
 *
 * **The guest** can cause a response, a counter, and a rate-limited log line;
 * never an abort, an unbounded loop, an allocation, or a read outside a buffer.
 * A request is copied once, then judged in this order: malformed bytes
 * (#VMEM_REQUEST_MALFORMED, nothing executed), a bad range or a block in the
 * wrong state (ERROR), more than the requested size (NACK), frozen, vetoed or
 * out of memory (BUSY), and otherwise ACK. The response is ready only after
 * listeners, memory, bitmap and config space are.
 *
 * **Sizes.** requested_size is what the host wants, plugged_size what the guest
 * has, usable_region_size how far the guest may go. vmem_device_resize()
 * publishes the first and the last in one step and then notifies. The usable
 * region shrinks only on UNPLUG ALL and system reset.
 *
 * **Claims.** A device holds "need coordinated" (see @ref claim) from creation
 * to removal, under its name.
 *
 * Notifications (vmem_device_ops) run after all locks are dropped, on the thread
 * that caused them; any call is legal in them.
 * @{
 */

/** The virtio device ID of a virtio-mem device. */
#define VMEM_DEVICE_VIRTIO_ID 24
/** Size of the config space in bytes. */
#define VMEM_DEVICE_CONFIG_SIZE 56
/** Size of a request in bytes. */
#define VMEM_DEVICE_REQUEST_SIZE 24
/** Size of a response in bytes. */
#define VMEM_DEVICE_RESPONSE_SIZE 10

/** Feature bit: node_id in the config space is valid. */
#define VMEM_DEVICE_F_ACPI_PXM ((uint64_t)1 << 0)
/** Feature bit: the driver must not access unplugged memory. */
#define VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE ((uint64_t)1 << 1)
/** Feature bit: plugged memory survives suspend. */
#define VMEM_DEVICE_F_PERSISTENT_SUSPEND ((uint64_t)1 << 2)

/** Request types on the wire. */
enum vmem_request_type {
    VMEM_REQUEST_PLUG = 0,       /**< Plug a range of blocks. */
    VMEM_REQUEST_UNPLUG = 1,     /**< Unplug a range of blocks. */
    VMEM_REQUEST_UNPLUG_ALL = 2, /**< Unplug everything. */
    VMEM_REQUEST_STATE = 3       /**< Ask for the state of a range. */
};

/** Response types on the wire. */
enum vmem_response_type {
    VMEM_RESPONSE_ACK = 0,  /**< Done. */
    VMEM_RESPONSE_NACK = 1, /**< Would exceed the requested size. */
    VMEM_RESPONSE_BUSY = 2, /**< Not now; try again. */
    VMEM_RESPONSE_ERROR = 3 /**< The guest broke the rules. */
};

/** Block states on the wire, in an acknowledged STATE response. */
enum vmem_block_state {
    VMEM_STATE_PLUGGED = 0,   /**< All blocks are plugged. */
    VMEM_STATE_UNPLUGGED = 1, /**< All blocks are unplugged. */
    VMEM_STATE_MIXED = 2      /**< Some are and some are not. */
};

/** What vmem_device_handle_request() returns, when not a negative errno. */
enum vmem_request_verdict {
    VMEM_REQUEST_RESPOND = 0,   /**< Push the response bytes. */
    VMEM_REQUEST_MALFORMED = 1, /**< Nothing was executed and there is no
                                     response: set DEVICE_NEEDS_RESET
                                     (recommended), or complete with length 0. */
    VMEM_REQUEST_PENDING = 2    /**< Reserved: answered later. */
};

/** Why a request is malformed. */
enum vmem_malformed_reason {
    VMEM_MALFORMED_NONE = 0,           /**< It is not. */
    VMEM_MALFORMED_SHORT_REQUEST = 1,  /**< Fewer than 24 readable bytes. */
    VMEM_MALFORMED_SHORT_RESPONSE = 2, /**< Fewer than 10 writable bytes. */
    VMEM_MALFORMED_TYPE = 3,           /**< Unknown request type. */
    VMEM_MALFORMED_ADDRESS = 4         /**< Bytes at no address: the guest put
                                            them where it has no memory. */
};

/** How far above the requested size the usable region reaches. */
enum vmem_usable_policy {
    VMEM_USABLE_DEFAULT = 0, /**< #VMEM_USABLE_UNIT of 2 GiB. */
    VMEM_USABLE_ALL = 1,     /**< The whole region, always. */
    VMEM_USABLE_UNIT = 2,    /**< min(region, requested rounded up to n, + n):
                                  room for one guest memory block of n bytes. */
    VMEM_USABLE_EXTENT = 3   /**< min(region, requested + n rounded up to a
                                  block); 0 when nothing is requested. */
};

/** Who resets. */
enum vmem_reset_kind {
    VMEM_RESET_DRIVER =
        1, /**< The driver wrote status 0 (probe, unload, kexec):
                                feature state goes, blocks stay. */
    VMEM_RESET_SYSTEM =
        2,                /**< The machine is reset: everything is unplugged. */
    VMEM_RESET_WAKEUP = 3 /**< Wake-up from suspend: nothing changes but the
                                feature state. */
};

/** How a resize goes. */
enum vmem_resize_state {
    VMEM_RESIZE_IDLE = 0,      /**< plugged equals requested. */
    VMEM_RESIZE_GROWING = 1,   /**< The guest is plugging. */
    VMEM_RESIZE_SHRINKING = 2, /**< The guest is unplugging. */
    VMEM_RESIZE_STALLED = 3    /**< No progress; the reason says why. */
};

/** Why a resize is stalled. */
enum vmem_resize_stall {
    VMEM_STALL_NONE = 0,         /**< It is not. */
    VMEM_STALL_NO_DRIVER = 1,    /**< No driver has negotiated or asked. */
    VMEM_STALL_HOST_BUSY = 2,    /**< The last answer was BUSY; busy_reason,
                                       busy_errno and busy_by say why. */
    VMEM_STALL_GUEST_SILENT = 3, /**< No request since the size was asked,
                                       or the guest last kicked. */
    VMEM_STALL_GUEST_REFUSED = 4 /**< The guest asked, and then no more: it
                                       has no room, or cannot free memory. */
};

/** Insist that the driver accepts UNPLUGGED_INACCESSIBLE; Linux before 5.16 does
 *  not. For vmem_device_config::flags, as the next ones: their bits are above those
 *  that virtio gives the features of a device, and neither passes for the other. */
#define VMEM_DEVICE_REQUIRE_INACCESSIBLE ((uint64_t)1 << 24)
/** Measure latencies; costs two clock readings a request. */
#define VMEM_DEVICE_MEASURE_LATENCY ((uint64_t)1 << 25)
/** Do not offer UNPLUGGED_INACCESSIBLE: for machine types that have to look as
 *  before they had it. */
#define VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE ((uint64_t)1 << 26)
/** Making the device leaves the memory as it is, for vmem_device_load(). */
#define VMEM_DEVICE_KEEP_MEMORY ((uint64_t)1 << 27)

/** vmem_device_config::stall_after_ns when it is left 0: 10 s. */
#define VMEM_DEVICE_STALL_AFTER_NS ((uint64_t)10000000000)

/** What a device is. */
struct vmem_device_config {
    size_t struct_size;          /**< sizeof(struct vmem_device_config). */
    const char *name;            /**< Unique in the region; required. */
    uint64_t gpa;                /**< Where the region is in the guest; a
                                        multiple of the block size. */
    uint64_t block_size;         /**< Bytes, a power of two; 0: the backing's
                                        default. */
    uint64_t requested_size;     /**< At the start; a multiple of the block
                                        size, at most the region's. */
    uint64_t usable_region_size; /**< At the start, at least requested_size;
                                        0: what the policy says. */
    uint64_t usable_policy;      /**< An enum vmem_usable_policy. */
    uint64_t usable_headroom;    /**< Its n in bytes; 0: 2 GiB for UNIT. */
    uint64_t features;           /**< VMEM_DEVICE_F_* to offer beside
                                        #VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE,
                                        which always is, unless
                                        #VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE
                                        says otherwise. */
    uint64_t flags;              /**< #VMEM_DEVICE_REQUIRE_INACCESSIBLE etc. */
    uint64_t node_id;            /**< NUMA node, at most 65535; 0 unless
                                        ACPI_PXM is offered. */
    uint64_t stall_after_ns;     /**< Silence that counts as stalled; 0:
                                        #VMEM_DEVICE_STALL_AFTER_NS. */
};

/** How a resize goes; filled by vmem_device_get_resize_status(). */
struct vmem_resize_status {
    size_t struct_size;        /**< Set by the host. */
    uint64_t requested_size;   /**< Bytes asked for. */
    uint64_t plugged_size;     /**< Bytes plugged. */
    uint64_t requested_ns;     /**< When it was asked, VM clock. */
    uint64_t last_progress_ns; /**< When plugged_size last changed. */
    uint32_t state;            /**< An enum vmem_resize_state. */
    uint32_t reason;           /**< An enum vmem_resize_stall. */
    uint32_t busy_reason;      /**< With #VMEM_STALL_HOST_BUSY: an enum
                                     vmem_reason of the last BUSY; else 0. */
    int32_t busy_errno;        /**< With that: its negative errno; else 0. */
    char busy_by[VMEM_NAME_MAX + 1]; /**< With that: the freezer's or listener's
                                          name, or ""; else "". */
};

/** What a trace event is about. */
enum vmem_trace_kind {
    VMEM_TRACE_REQUEST = 1, /**< A request was answered. */
    VMEM_TRACE_RESIZE = 2,  /**< The host asked for a size, or was refused. */
    VMEM_TRACE_RESET = 3,   /**< The device was reset. */
    VMEM_TRACE_FREEZE = 4,  /**< The region was frozen or has thawed. */
    VMEM_TRACE_LOAD = 5 /**< A saved state was loaded: what is recorded before
                                 says nothing of what comes after. */
};

/**
 * Something that decides, or is, an answer to the guest.
 *
 * Members that a kind does not mention are 0. Malformed requests, config reads
 * and kicks change no answer and are not traced.
 */
struct vmem_trace_event {
    size_t struct_size; /**< Set by the library: sizeof(struct
                             vmem_trace_event). */
    uint64_t sequence;  /**< One more for every event of the region; events of
                             several threads are told in any order, this is
                             the order in which they happened. */
    uint64_t time_ns;   /**< VM clock, when it happened: a plug, an unplug and
                             a STATE when they were judged, an UNPLUG ALL and a
                             reset when they were done, or refused. Never less
                             than that of a smaller sequence. */
    uint64_t gpa;       /**< REQUEST: as the guest wrote it. */
    uint64_t size;      /**< RESIZE: bytes asked for; LOAD: bytes plugged. */
    uint32_t kind;      /**< An enum vmem_trace_kind. */
    uint32_t type;      /**< REQUEST: an enum vmem_request_type; RESET: an enum
                             vmem_reset_kind. */
    uint32_t nr_blocks; /**< REQUEST: as the guest wrote it. */
    uint32_t response;  /**< REQUEST: an enum vmem_response_type. */
    uint32_t state;     /**< REQUEST: STATE acknowledged: an enum
                             vmem_block_state. */
    uint32_t reason;    /**< REQUEST: BUSY, RESET: refused: an enum
                             vmem_reason. */
    uint32_t frozen;    /**< FREEZE: 1 if frozen, 0 if nobody holds it still
                             any more. */
    int32_t code; /**< RESIZE, RESET: 0, or the negative errno returned. */
};

/** Room for any text of vmem_trace_event_format(). */
#define VMEM_TRACE_TEXT_SIZE 512

/** Notifications; each may be NULL. */
struct vmem_device_ops {
    size_t struct_size; /**< sizeof(struct vmem_device_ops). */
    /** The config space changed, or vmem_device_notify_config() was called: raise a config interrupt. */
    void (*config_changed)(void *opaque);
    /** plugged_size changed; more changes may have followed meanwhile. */
    void (*size_changed)(uint64_t plugged_size, void *opaque);
    /** The state or stall reason of a resize changed. */
    void (*resize_changed)(const struct vmem_resize_status *status,
                           void *opaque);
    /** Something to record, before the other notifications of the same cause.
     *  Whoever does the recorded resizes, resets and freezes to an equal device,
     *  in order of their sequence, and hands it the recorded requests, gets the
     *  recorded answers; one that is BUSY for another reason than
     *  #VMEM_REASON_FROZEN, or a system reset that a listener refused, needs that
     *  reason, or a freeze around it; a #VMEM_TRACE_LOAD needs the state that was
     *  loaded, which vmem_device_save() gives. A STATE and a change that overlap,
     *  on two threads, are in either order.
     *  @ownership{the event is the library's, valid in the call} */
    void (*trace)(const struct vmem_trace_event *event, void *opaque);
};

/** What a device is now; filled by vmem_device_get_info(). */
struct vmem_device_info {
    size_t struct_size;          /**< Set by the host. */
    const char *name;            /**< @ownership{the device's} */
    struct vmem_region *region;  /**< @ownership{not the caller's} */
    uint64_t gpa;                /**< QEMU: memaddr. */
    uint64_t region_size;        /**< QEMU: max-size. */
    uint64_t block_size;         /**< QEMU: block-size. */
    uint64_t requested_size;     /**< QEMU: requested-size. */
    uint64_t plugged_size;       /**< QEMU: size. */
    uint64_t usable_region_size; /**< How far the guest may plug. */
    uint64_t retained_size;      /**< Unplugged, but still allocated. */
    uint64_t features;           /**< Offered VMEM_DEVICE_F_*. */
    uint64_t driver_features;    /**< Accepted by the driver. */
    uint64_t node_id;            /**< QEMU: node. */
    uint64_t config_generation;  /**< Changes with every config change. */
    uint64_t has_driver;         /**< 1 if a driver negotiated or asked since
                                      the last reset. */
    const struct vmem_source *source; /**< Its blocks, to ask about;
                                           @ownership{the device's} */
};

/** Counters of a device; filled by vmem_device_get_stats(). */
struct vmem_device_stats {
    size_t struct_size;           /**< Set by the host. */
    uint64_t nr_requests[4][4];   /**< [request type][response type]. */
    uint64_t nr_malformed[8];     /**< [enum vmem_malformed_reason]. */
    uint64_t plugged_bytes;       /**< Bytes plugged in all. */
    uint64_t unplugged_bytes;     /**< Bytes unplugged in all. */
    uint64_t nr_config_writes;    /**< Config writes by the driver, ignored. */
    uint64_t nr_features_refused; /**< Feature sets that were refused. */
    uint64_t nr_resizes;          /**< Sizes asked by the host. */
    uint64_t nr_resets[4];        /**< [enum vmem_reset_kind]. */
    uint64_t latency_total_ns[4]; /**< [request type]; only if measured. */
    uint64_t latency_max_ns[4];   /**< [request type]; only if measured. */
    uint64_t nr_loads; /**< States loaded. What that plugs and unplugs
                                       is in the bytes above. */
};

/**
 * What a device is besides its blocks, for another one to become the same.
 *
 * Filled by vmem_device_save(), or by a host that reads it from a stream or file
 * of its own, in the form of its own; see @ref guide_virtio_mem.
 */
struct vmem_device_saved {
    size_t struct_size;          /**< Set by the host. */
    uint64_t gpa;                /**< The same on both sides. */
    uint64_t region_size;        /**< The same on both sides. */
    uint64_t block_size;         /**< The same on both sides. */
    uint64_t node_id;            /**< The same on both sides. */
    uint64_t requested_size;     /**< At most usable_region_size. */
    uint64_t usable_region_size; /**< No block is plugged at or above it. */
    uint64_t plugged_size;       /**< What the blocks amount to. */
    uint64_t driver_features;    /**< Accepted by the driver; offered where they
                                      are loaded. */
    uint64_t has_driver;         /**< 1 if there is a driver, or 0 and then no
                                      features. */
};

/** What became of a request; filled by vmem_device_handle_request(). */
struct vmem_request_result {
    size_t struct_size; /**< Set by the host. */
    size_t used_size;   /**< Response bytes written: 10, or 0. */
    uint32_t type;      /**< An enum vmem_request_type, if not malformed. */
    uint32_t response;  /**< An enum vmem_response_type, if not malformed. */
    uint32_t malformed; /**< An enum vmem_malformed_reason. */
    uint32_t reason;    /**< With BUSY: an enum vmem_reason. */
};

/**
 * Make a device on a region, with everything unplugged.
 *
 * Listeners that the region has already are asked, if they have a
 * @c may_discard, and told @c discard of all of it, and its memory is given back,
 * unless #VMEM_DEVICE_KEEP_MEMORY is set. If this fails after the claim was
 * taken, watchers of the discard policy have seen it come and go.
 *
 * With that flag all memory is *retained* (see @ref region) instead:
 * vmem_device_load() puts into use what is plugged, as it is, and gives back the
 * rest. Until it has, or a system reset has given all of it back,
 * vmem_device_free() leaves the memory alone as well. A plug by the guest never
 * shows what is there, and vmem_region_retry_discards() gives all of it back.
 *
 * @param region    The region; offset 0 is the device's gpa. It may have size 0.
 * @param config    What to make. @ownership{copied}
 * @param ops       Notifications; may be NULL. @ownership{copied}
 * @param opaque    Passed to the notifications.
 * @param[out] out  The device; untouched on failure.
 *                  @ownership{the caller's, freed by vmem_device_free()}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the refusing listener returned; on failure
 *         nothing changed.
 * @retval -EINVAL     NULL; block size not a power of two; gpa, region size or
 *                     a size not a multiple of it; unknown feature, flag or
 *                     policy; usable below requested.
 * @retval -ERANGE     requested or usable size above the region's; node_id too
 *                     large; too many blocks or sources.
 * @retval -EOVERFLOW  gpa + region size exceeds 2^64.
 * @retval -E2BIG      Unknown members are set.
 * @retval -EEXIST     The region has a device, or a source of that name; or
 *                     another device of the machine overlaps in the guest.
 * @retval -EBUSY      "forbid all" is claimed, the region is frozen, or a
 *                     listener's granularity is larger than the block size.
 * @retval -ENOMEM     Out of memory.
 * @retval -EDEADLK    Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_device_new(struct vmem_region *region,
                             const struct vmem_device_config *config,
                             const struct vmem_device_ops *ops, void *opaque,
                             struct vmem_device **out, struct vmem_error *err);

/**
 * Free a device and its source, whatever is plugged.
 *
 * Plugged memory is not touched; what is retained is tried once more, but for
 * what #VMEM_DEVICE_KEEP_MEMORY keeps. Waits for a running notification on
 * another thread (so two notifications must not free each other's device); may be
 * called from one of its own. To take a device away from a running guest, ask
 * vmem_device_check_removable() first.
 *
 * @param device    The device; NULL is allowed and does nothing.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno; on failure the device stays as it is.
 * @retval -EBUSY    The region has listeners, which would be told that
 *                   everything is populated, or is frozen.
 * @retval -EDEADLK  Called from a listener, backing or walk callback, or from the
 *                   log sink.
 * @threads{no other call on the device may be running}
 * @since 0.1
 */
VMEM_API int vmem_device_free(struct vmem_device *device,
                              struct vmem_error *err);

/**
 * May the device be taken away from a running guest?
 *
 * Judges what the guest has and may ask for. A driver that has not accepted
 * #VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE (vmem_device_info::driver_features) may
 * also read memory that is unplugged, and would miss it: that is for the host to
 * judge.
 *
 * @param device    The device.
 * @param[out] err  Filled with the reason on failure; may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument.
 * @retval -EBUSY   Memory is plugged or requested.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_device_check_removable(const struct vmem_device *device,
                                         struct vmem_error *err);

/**
 * Read config space, from one snapshot.
 *
 * Works in every device status. Bytes beyond the 56 read as zero.
 *
 * @param device    The device.
 * @param offset    First byte.
 * @param size      Number of bytes.
 * @param[out] dst  Room for @p size bytes. @ownership{the caller's}
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_device_read_config(const struct vmem_device *device,
                                     size_t offset, void *dst, size_t size);

/**
 * The driver wrote config space: ignored and counted, for every field is
 * read-only.
 *
 * @param device  The device.
 * @param offset  First byte.
 * @param src     The bytes; not read.
 * @param size    Number of bytes.
 * @return 0 or a negative errno.
 * @retval -EINVAL  @p device is NULL.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_device_write_config(struct vmem_device *device, size_t offset,
                                      const void *src, size_t size);

/**
 * Generation of the config space, for transports that expose one.
 *
 * If it did not change between two reads, both came from the same state.
 *
 * @param device  The device; NULL: 0.
 * @return The generation.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API uint32_t
vmem_device_get_config_generation(const struct vmem_device *device);

/**
 * Feature bits to offer; the transport adds its own.
 *
 * @param device  The device; NULL: 0.
 * @return Set of VMEM_DEVICE_F_*.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API uint64_t vmem_device_get_features(const struct vmem_device *device);

/**
 * The driver accepted features and sets FEATURES_OK.
 *
 * Only device bits (0 to 23 and 50 to 63) are judged; the rest is the
 * transport's. A refusal is the guest's affair, counted, and logged with the bits
 * that decided.
 *
 * @param device    The device.
 * @param features  What the driver accepted.
 * @return 0: FEATURES_OK may stick; or a negative errno: it must not.
 * @retval -EINVAL   @p device is NULL.
 * @retval -EPROTO   The driver accepted a bit that was not offered, which breaks a
 *                   rule of virtio.
 * @retval -ENOTSUP  The driver does not support UNPLUGGED_INACCESSIBLE, and
 *                   #VMEM_DEVICE_REQUIRE_INACCESSIBLE insists.
 * @retval -EDEADLK  Called from a listener, backing or walk callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_device_set_driver_features(struct vmem_device *device,
                                             uint64_t features);

/**
 * Handle one request in flat buffers.
 *
 * Exactly the first 24 bytes of the request are read, once, and exactly 10
 * bytes of response are written, zeros where the driver must ignore them.
 *
 * A NULL buffer of non-zero size is what a transport has when the guest's address
 * does not lead to memory: #VMEM_MALFORMED_ADDRESS, so that no transport needs a
 * check of its own.
 *
 * @param device          The device.
 * @param request         Device-readable bytes. @ownership{the caller's}
 * @param request_size    How many there are.
 * @param[out] response   Device-writable bytes. @ownership{the caller's}
 * @param response_size   How much room there is.
 * @param[in,out] result  What became of it, struct_size set; may be NULL.
 * @return #VMEM_REQUEST_RESPOND, #VMEM_REQUEST_MALFORMED, or a negative errno,
 *         and then nothing was executed or written.
 * @retval -EINVAL   NULL device, or result->struct_size too small.
 * @retval -EDEADLK  Called from a listener, backing or walk callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_device_handle_request(struct vmem_device *device,
                                        const void *request,
                                        size_t request_size, void *response,
                                        size_t response_size,
                                        struct vmem_request_result *result);

/**
 * Handle one request in scattered buffers, as a descriptor chain has them.
 *
 * The same as vmem_device_handle_request(), for any split of the bytes. A piece of
 * non-zero size without an address makes the request malformed, whether or not its
 * bytes are among those that count.
 *
 * @param device          The device.
 * @param readable        Device-readable pieces. @ownership{the caller's}
 * @param nr_readable     How many pieces.
 * @param writable        Device-writable pieces. @ownership{the caller's}
 * @param nr_writable     How many pieces.
 * @param[in,out] result  What became of it, struct_size set; may be NULL.
 * @return #VMEM_REQUEST_RESPOND, #VMEM_REQUEST_MALFORMED, or a negative errno,
 *         and then nothing was executed or written.
 * @retval -EINVAL   NULL device, a NULL array of pieces, or
 *                   result->struct_size too small.
 * @retval -EDEADLK  Called from a listener, backing or walk callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_device_handle_request_iov(struct vmem_device *device,
                                            const struct iovec *readable,
                                            size_t nr_readable,
                                            const struct iovec *writable,
                                            size_t nr_writable,
                                            struct vmem_request_result *result);

/**
 * Ask the guest for another size.
 *
 * Publishes requested_size and, if it must grow, usable_region_size, then
 * notifies, also for an unchanged size. Never waits for the guest or for a
 * running request, and works while frozen and without a driver.
 *
 * @param device          The device.
 * @param requested_size  Bytes, a multiple of the block size.
 * @param[out] err        Filled on failure; may be NULL.
 * @return 0 or a negative errno, and then nothing changed and nothing was sent.
 * @retval -EINVAL   NULL or misaligned.
 * @retval -ERANGE   Larger than the region.
 * @retval -EDEADLK  Called from a listener, backing or walk callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_device_resize(struct vmem_device *device,
                                uint64_t requested_size,
                                struct vmem_error *err);

/**
 * Send the guest a config notification, so that it looks again.
 *
 * For when the cause of a BUSY ends; thawing does it by itself.
 *
 * @param device  The device.
 * @return 0 or a negative errno.
 * @retval -EINVAL   NULL argument.
 * @retval -EDEADLK  Called from a listener, backing or walk callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_device_notify_config(struct vmem_device *device);

/**
 * Reset the device.
 *
 * A driver reset and a wake-up change no block and no size. A system reset
 * unplugs everything, tries again to give back retained memory, and lets the
 * usable region shrink to what the policy says. Every kind forgets the
 * negotiated features.
 *
 * A system reset of a frozen region, or one that a listener refuses in
 * @c may_discard, keeps every block. The machine may start all the same: a driver
 * that finds blocks plugged asks for UNPLUG ALL before anything else, as Linux' does,
 * or for the state of each block, as Windows' does. So a host whose reset cannot
 * fail logs this and goes on; another one ends what stands in the way and resets
 * again.
 *
 * @param device    The device.
 * @param kind      An enum vmem_reset_kind.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0, a negative errno, or what a listener returned that refused the system
 *         reset: blocks, sizes and memory are as before then, only the features are
 *         forgotten.
 * @retval -EINVAL   NULL argument or unknown kind.
 * @retval -EBUSY    System reset of a frozen region; the same holds.
 * @retval -EDEADLK  Called from a listener, backing or walk callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_device_reset(struct vmem_device *device, uint32_t kind,
                               struct vmem_error *err);

/**
 * Read all of a device that another one needs to become the same.
 *
 * Sizes and blocks are of one moment. While the region is frozen they stay; only
 * a resize can change the two sizes that the host asks for.
 *
 * @param device         The device.
 * @param[in,out] saved  Set its struct_size; the rest is filled.
 * @param[out] blocks    One bit for each block, 1 if it is plugged, as
 *                       vmem_region_get_page_bitmap() writes pages.
 *                       @ownership{the caller's}
 * @param nr_words       Words in @p blocks: (blocks + 63) / 64.
 * @return 0 or a negative errno, and then nothing was written.
 * @retval -EINVAL   NULL argument, struct_size too small, or another number of
 *                   words.
 * @retval -EDEADLK  Called from a callback that holds another region of the
 *                   machine, or its lists.
 * @threads{any thread; from callbacks only on the region they hold}
 * @since 0.1
 */
VMEM_API int vmem_device_save(const struct vmem_device *device,
                              struct vmem_device_saved *saved, uint64_t *blocks,
                              size_t nr_words);

/**
 * Make a device the same as the one that was saved, as a whole or not at all.
 *
 * Everything is checked before anything changes; nothing that comes from a stream
 * has to be trusted. Then, by runs and however many blocks there are:
 *
 * 1. Listeners with a @c may_discard are asked about what was plugged and is not.
 * 2. Memory for what is plugged and was not is populated, if the backing asks
 *    for it.
 * 3. Listeners are told populate of that. One of them may refuse, and those told
 *    before it are told back.
 * 4. Listeners are told discard of what was plugged and is not.
 * 5. Blocks, sizes and features change in one step.
 * 6. What is not plugged is given back, or else retained.
 *
 * **Contents** of blocks that are plugged stay as they are, whether they were
 * plugged, retained, or neither: what the guest shall find there may be there
 * already (#VMEM_DEVICE_KEEP_MEMORY) or be written afterwards. On failure none
 * change either, so what 2. and 3. may have allocated is retained until
 * vmem_region_retry_discards() or the next attempt.
 *
 * The same state may be loaded again, and blocks before sizes: a load changes
 * only what differs. It is no request of a guest, negotiates nothing, and counts
 * as progress of a resize that begins now. config_changed is called once,
 * size_changed if that changed. Where 2. and 3. must not compete with blocks that
 * go in 4., do a system reset first.
 *
 * @param device    The device.
 * @param saved     What it shall be. @ownership{copied}
 * @param blocks    Its blocks, as vmem_device_save() writes them; read once.
 * @param nr_words  Words in @p blocks: (blocks + 63) / 64.
 * @param[out] err  Filled on failure, naming what differs, and both values; may
 *                  be NULL.
 * @return 0, a negative errno, or what a listener's veto was; on failure the
 *         device is as before.
 * @retval -EINVAL   NULL; place, sizes or node differ from the device's; a size
 *                   is misaligned, or requested above usable, or plugged not what
 *                   the blocks amount to; another number of words; features
 *                   without a driver.
 * @retval -ERANGE   A size is above the region's, a block at or above the usable
 *                   size, or a bit behind the last block is set.
 * @retval -ENOTSUP  A feature that this device does not offer, or
 *                   UNPLUGGED_INACCESSIBLE is required and missing.
 * @retval -E2BIG    Unknown members are set.
 * @retval -EBUSY    The region is frozen.
 * @retval -ENOMEM   Out of memory.
 * @retval -EDEADLK  Called from a listener, backing or walk callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_device_load(struct vmem_device *device,
                              const struct vmem_device_saved *saved,
                              const uint64_t *blocks, size_t nr_words,
                              struct vmem_error *err);

/**
 * What a device is now.
 *
 * @param device        The device.
 * @param[in,out] info  Set its struct_size; the rest is filled, from one
 *                      snapshot.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument or struct_size too small.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_device_get_info(const struct vmem_device *device,
                                  struct vmem_device_info *info);

/**
 * Counters of a device.
 *
 * @param device         The device.
 * @param[in,out] stats  Set its struct_size; the rest is filled.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument or struct_size too small.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_device_get_stats(const struct vmem_device *device,
                                   struct vmem_device_stats *stats);

/**
 * How the present resize goes, judged now.
 *
 * @param device          The device.
 * @param[in,out] status  Set its struct_size; the rest is filled.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument or struct_size too small.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_device_get_resize_status(const struct vmem_device *device,
                                           struct vmem_resize_status *status);

/**
 * Notice that a resize has stalled, and tell resize_changed.
 *
 * The library has no timer: requests and resizes report their own changes of
 * state, but silence is only noticed when somebody looks. Call this now and
 * then, for instance once a second, while a resize runs.
 *
 * @param device  The device.
 * @return 0 or a negative errno.
 * @retval -EINVAL   NULL argument.
 * @retval -EDEADLK  Called from a listener, backing or walk callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_device_poll_resize(struct vmem_device *device);

/**
 * Write a trace event as text, in the format of recorded traces.
 *
 * One line and its newline, such as "12.345678 vmem0 plug 0x140000000 64 ack". A
 * request that was BUSY for another reason than #VMEM_REASON_FROZEN, or a system
 * reset that a listener refused, becomes three: it is put between "busy on" and
 * "busy off", so that a replay gets the same answer without the listener, or the
 * lack of memory, that was in the way. A load, whose blocks no event has, becomes
 * a comment.
 * Written in the order of their sequence, behind a line "device" and before a
 * line "end", events are a trace that vmemctl replays.
 *
 * @param event      As vmem_device_ops::trace was told it.
 * @param name       The device's name in the trace, where it is a word: what is
 *                   neither an ASCII letter or digit nor one of "_.-" becomes
 *                   "_".
 * @param[out] text  Ends with a NUL, unless @p size is 0.
 * @param size       Bytes in @p text; #VMEM_TRACE_TEXT_SIZE suffices always.
 * @return How many bytes the text has without its NUL; it was cut off if they
 *         are @p size or more. Or a negative errno, and nothing was written.
 * @retval -EINVAL  NULL, but for @p text of size 0; no name; struct_size too
 *                  small; an event that the format cannot say.
 * @retval -ERANGE  The name is longer than #VMEM_NAME_MAX.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_trace_event_format(const struct vmem_trace_event *event,
                                     const char *name, char *text, size_t size);

/**
 * Name of a request type, such as "plug" or "unplug_all".
 *
 * @param type  An enum vmem_request_type; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_request_type_name(uint32_t type);

/**
 * Name of a response type, such as "ack".
 *
 * @param type  An enum vmem_response_type; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_response_type_name(uint32_t type);

/**
 * Name of a state of blocks, such as "mixed".
 *
 * @param state  An enum vmem_block_state; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_block_state_name(uint32_t state);

/**
 * Name of a kind of reset, such as "system".
 *
 * @param kind  An enum vmem_reset_kind; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_reset_kind_name(uint32_t kind);

/**
 * Name of a state of a resize, such as "growing".
 *
 * @param state  An enum vmem_resize_state; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_resize_state_name(uint32_t state);

/**
 * Name of a reason of a stall, such as "guest-silent".
 *
 * @param reason  An enum vmem_resize_stall; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_resize_stall_name(uint32_t reason);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_DEVICE_H */
