/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief Guests that drive a virtio-mem device, without a guest.
 * @ingroup guest_sim
 */
#ifndef VMEM_GUEST_SIM_H
#define VMEM_GUEST_SIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @defgroup guest_sim Simulated guests
 * @brief The virtio-mem drivers of Linux and Windows, for tests of any device.
 *
 * A vmem_guest is a guest in the test's own process: it reads config space and
 * sends requests through callbacks, as bytes, in the order, the batches and at
 * the (virtual) times in which the real drivers do. It knows nothing of what is
 * behind the callbacks: libvmem, another VMM's device, or a wrong one. The
 * library needs the C library and nothing else.
 *
 * **Life.** vmem_guest_new() makes a machine that is off. vmem_guest_boot()
 * starts it: the driver reads config space and goes to work. After the host
 * changed something, its notification calls vmem_guest_interrupt(), and
 * vmem_guest_run() lets the driver work until it has nothing to do;
 * vmem_guest_advance() lets virtual time pass and with it retry timers.
 *
 * **Memory.** What a real guest cannot give back depends on what it runs. Here a
 * pattern says which pageblocks are pinned while a load runs
 * (vmem_guest_config::pattern), and a test can pin more.
 *
 * **Findings.** The guest keeps book of what the device acknowledged, and
 * reports where the device contradicts itself or the specification (enum
 * vmem_guest_rule). A driver would hang, break or corrupt memory there.
 *
 * A guest may be used by one thread at a time. Callbacks run on the calling
 * thread; of the functions here only vmem_guest_interrupt(),
 * vmem_guest_get_now_ns() and vmem_guest_get_stats() may be called in them.
 * @{
 */

/** Size of a request in bytes. */
#define VMEM_GUEST_REQUEST_SIZE 24
/** Size of a response in bytes. */
#define VMEM_GUEST_RESPONSE_SIZE 10
/** Size of the config space in bytes. */
#define VMEM_GUEST_CONFIG_SIZE 56

/** vmem_guest_stats::retry_at_ns when no timer runs. */
#define VMEM_GUEST_NEVER UINT64_MAX

/** Which driver. */
enum vmem_guest_kind {
    VMEM_GUEST_LINUX = 0,     /**< Linux; it chooses sub-block or big-block mode
                                   as its geometry demands. */
    VMEM_GUEST_LINUX_BBM = 1, /**< Linux, forced into big-block mode. */
    VMEM_GUEST_WINDOWS = 2    /**< Windows (viomem). */
};

/** What becomes of memory that Linux adds. */
enum vmem_guest_online {
    VMEM_GUEST_ONLINE_DEFAULT = 0, /**< MOVABLE with the pattern MOVABLE, else
                                        KERNEL. */
    VMEM_GUEST_ONLINE_KERNEL = 1,  /**< Any use: may become unmovable. */
    VMEM_GUEST_ONLINE_MOVABLE = 2, /**< Movable allocations only. */
    VMEM_GUEST_ONLINE_OFFLINE = 3  /**< User space must vmem_guest_online(). */
};

/** Which pageblocks a load pins, as measured on real guests but for the last
 *  two, which are harder than what was ever seen. */
enum vmem_guest_pattern {
    VMEM_GUEST_PATTERN_MOVABLE = 0,  /**< None. */
    VMEM_GUEST_PATTERN_IDLE = 1,     /**< A few, all in the first unit. */
    VMEM_GUEST_PATTERN_SLAB = 2,     /**< 6 % in runs of 8; half of those left
                                          are released every 50 s. */
    VMEM_GUEST_PATTERN_PRESSURE = 3, /**< 20 % in runs of 40; 80 % released. */
    VMEM_GUEST_PATTERN_SCATTER = 4,  /**< Short runs in a third of the units;
                                          20 % released. */
    VMEM_GUEST_PATTERN_CHECKER = 5,  /**< Every second; never released. */
    VMEM_GUEST_PATTERN_RANDOM = 6    /**< Half, in runs of 2; 10 % released. */
};

/** Request types on the wire. */
enum vmem_guest_request {
    VMEM_GUEST_PLUG = 0,       /**< Plug a range. */
    VMEM_GUEST_UNPLUG = 1,     /**< Unplug a range. */
    VMEM_GUEST_UNPLUG_ALL = 2, /**< Unplug everything. */
    VMEM_GUEST_STATE = 3       /**< Ask for the state of a range. */
};

/** Answers on the wire. */
enum vmem_guest_answer {
    VMEM_GUEST_ACK = 0,  /**< Done. */
    VMEM_GUEST_NACK = 1, /**< Would exceed the requested size. */
    VMEM_GUEST_BUSY = 2, /**< Not now. */
    VMEM_GUEST_ERROR = 3 /**< The request is wrong. */
};

/** How a driver is after it ran. */
enum vmem_guest_status {
    VMEM_GUEST_IDLE = 0,     /**< Nothing to do: at the requested size, up to
                                  the granularity. */
    VMEM_GUEST_WAITING = 1,  /**< Not there; a retry timer runs. */
    VMEM_GUEST_STUCK = 2,    /**< Not there, and no timer runs: no room, too
                                  much offline memory, or (Windows) nothing that
                                  can be removed. */
    VMEM_GUEST_SPINNING = 3, /**< Sends the same request again and again; it was
                                  cut short after
                                  vmem_guest_config::max_refusals, and goes on
                                  when it is run again. */
    VMEM_GUEST_BROKEN = 4,   /**< Gave the device up: no request until it is
                                  booted or loaded again. */
    VMEM_GUEST_ABSENT = 5    /**< No driver is loaded. */
};

/** What a device must not do; the clause is vmem_guest_rule_clause(). */
enum vmem_guest_rule {
    VMEM_GUEST_RULE_BLOCK_SIZE = 0, /**< The block size is not a power of
                                          two. */
    VMEM_GUEST_RULE_ALIGNMENT = 1,  /**< A field of the config space is not a
                                          multiple of the block size. */
    VMEM_GUEST_RULE_RANGE = 2,      /**< requested above usable, usable above
                                          region size, or the region wraps. */
    VMEM_GUEST_RULE_CONSTANT = 3,   /**< Block size, node, address or region
                                          size changed. */
    VMEM_GUEST_RULE_PLUGGED = 4,    /**< plugged_size is not what was
                                          acknowledged. */
    VMEM_GUEST_RULE_SHRANK = 5,     /**< usable_region_size shrank without
                                          UNPLUG ALL or a reset. */
    VMEM_GUEST_RULE_SILENT = 6,     /**< A size changed, and no notification
                                          came. */
    VMEM_GUEST_RULE_UNANSWERED = 7, /**< A valid request was not answered. */
    VMEM_GUEST_RULE_ANSWER = 8,     /**< An answer that does not exist for
                                          that request. */
    VMEM_GUEST_RULE_ERROR = 9,      /**< ERROR for a valid request: Linux never
                                          talks to the device again. */
    VMEM_GUEST_RULE_NACK = 10,      /**< NACK for a plug that fits: Linux asks
                                          again at once, for ever. */
    VMEM_GUEST_RULE_ACK = 11,       /**< ACK for an invalid request, or above
                                          the requested size. */
    VMEM_GUEST_RULE_STATE = 12      /**< STATE contradicts what was
                                          acknowledged. */
};
/** How many rules there are. */
#define VMEM_GUEST_NR_RULES 13

/** Something that the device did wrong. */
struct vmem_guest_finding {
    size_t struct_size;  /**< Set by the guest. */
    uint64_t rule;       /**< An enum vmem_guest_rule. */
    uint64_t now_ns;     /**< Virtual time. */
    const char *message; /**< What is wrong, with values.
                              @ownership{the guest's, valid in the call} */
};

/** What a guest calls. */
struct vmem_guest_ops {
    size_t struct_size; /**< sizeof(struct vmem_guest_ops). */
    /** The device-readable and device-writable bytes of one request. Returns 0
     *  when @p response holds the answer; otherwise there is none (the device
     *  needs a reset) and the driver is broken. Required. */
    int (*request)(const uint8_t request[VMEM_GUEST_REQUEST_SIZE],
                   uint8_t response[VMEM_GUEST_RESPONSE_SIZE], void *opaque);
    /** Fills @p config with the whole config space. Required. */
    void (*read_config)(uint8_t config[VMEM_GUEST_CONFIG_SIZE], void *opaque);
    /** The driver wrote status 0: it probes, or is unloaded. May be NULL. */
    void (*reset)(void *opaque);
    /** A pass of the Linux driver begins, or a round of the Windows one. May be
     *  NULL. */
    void (*pass)(void *opaque);
    /** Linux or Windows adds plugged memory: 0, -ENOMEM (no room for its
     *  bookkeeping: the driver unplugs it again), or another negative errno
     *  (Linux gives up). NULL: always 0. */
    int (*add_memory)(uint64_t gpa, uint64_t size, void *opaque);
    /** Linux takes an empty memory block away; not 0: that fails and is tried
     *  again. NULL: always 0. */
    int (*remove_memory)(uint64_t gpa, uint64_t size, void *opaque);
    /** The device did something wrong. May be NULL: only counted. */
    void (*finding)(const struct vmem_guest_finding *finding, void *opaque);
};

/** Linux leaves online memory online: only offline memory is unplugged. */
#define VMEM_GUEST_KEEP_ONLINE ((uint64_t)1 << 0)

/** What a guest is. All but struct_size may be 0. */
struct vmem_guest_config {
    size_t struct_size;          /**< sizeof(struct vmem_guest_config). */
    uint64_t kind;               /**< An enum vmem_guest_kind. */
    uint64_t memory_block_size;  /**< Bytes, a power of two up to 2 GiB; 0:
                                      128 MiB. */
    uint64_t pageblock_size;     /**< Bytes, a power of two; 0: 2 MiB. */
    uint64_t big_block_size;     /**< Linux' module parameter bbm_block_size. */
    uint64_t online;             /**< An enum vmem_guest_online. */
    uint64_t pattern;            /**< An enum vmem_guest_pattern. */
    uint64_t transient_permille; /**< Chance that a range is pinned just when it
                                      is looked at; at most 1000. */
    uint64_t seed;               /**< The same seed, the same guest. */
    uint64_t request_ns;         /**< Virtual time that a request takes. */
    uint64_t max_refusals;       /**< Refused requests in a row that count as
                                      spinning; 0: 1000. */
    uint64_t flags;              /**< #VMEM_GUEST_KEEP_ONLINE or 0. */
};

/** What happened so far; filled by vmem_guest_get_stats(). */
struct vmem_guest_stats {
    size_t struct_size;         /**< Set by the caller. */
    uint64_t nr_requests[4][4]; /**< [enum vmem_guest_request]
                                      [enum vmem_guest_answer]. */
    uint64_t nr_unanswered;     /**< Requests without an answer, or with one
                                      that does not exist. */
    uint64_t nr_passes;         /**< Of the work function. */
    uint64_t nr_retries;        /**< Timers that expired. */
    uint64_t nr_restarts;       /**< Passes that a NACK, or a change of the
                                      config space, cut short. */
    uint64_t max_refusals;      /**< The most refused requests in a row. */
    uint64_t nr_findings[VMEM_GUEST_NR_RULES]; /**< [enum vmem_guest_rule]. */
    uint64_t plugged_size;   /**< Bytes, by the acknowledgements. */
    uint64_t requested_size; /**< Bytes, as the driver last read. */
    uint64_t pinned_size;    /**< Bytes plugged that cannot be given back
                                      now. */
    uint64_t offline_size;   /**< Bytes added and not online (Linux). */
    uint64_t granularity;    /**< Bytes: Linux plugs multiples of this. */
    uint64_t capacity;       /**< Bytes that the driver can plug with the
                                      usable region that it last read. */
    uint64_t retry_at_ns;    /**< When the timer expires, or
                                      #VMEM_GUEST_NEVER. */
};

/** A guest. */
struct vmem_guest;

/**
 * Make a guest that is off.
 *
 * @param config    What it is. @ownership{copied}
 * @param ops       What it calls. @ownership{copied}
 * @param opaque    Passed to the callbacks.
 * @param[out] out  The guest; untouched on failure.
 *                  @ownership{the caller's, freed by vmem_guest_free()}
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL, a required callback is missing, a size that is not a
 *                  power of two, an unknown kind, pattern or flag, or
 *                  struct_size too small.
 * @retval -E2BIG   Unknown members are set.
 * @retval -ENOMEM  Out of memory.
 */
int vmem_guest_new(const struct vmem_guest_config *config,
                   const struct vmem_guest_ops *ops, void *opaque,
                   struct vmem_guest **out);

/**
 * Free a guest.
 *
 * @param guest  The guest; NULL is allowed and does nothing.
 */
void vmem_guest_free(struct vmem_guest *guest);

/**
 * Power on, or reboot: a new kernel without a memory of the old one.
 *
 * A machine that reboots resets its devices: do that first. What the device
 * kept all the same the new driver unplugs (Linux) or asks for (Windows).
 *
 * @param guest  The guest.
 * @return An enum vmem_guest_status, or a negative errno, and then no driver is
 *         loaded.
 * @retval -EINVAL  The config space describes no device.
 * @retval -ENOMEM  Out of memory.
 */
int vmem_guest_boot(struct vmem_guest *guest);

/**
 * Jump into a new kernel without a machine reset.
 *
 * The old kernel sends nothing. The new one finds plugged memory and, being
 * Linux, unplugs all of it. Windows has no such thing: it reboots.
 *
 * @param guest  The guest.
 * @return As vmem_guest_boot().
 */
int vmem_guest_kexec(struct vmem_guest *guest);

/**
 * Crash, and let a kdump kernel read the dump.
 *
 * Sends a STATE for each device block of the dump, ascending, if anything is
 * plugged; nothing else is sent until the next boot.
 *
 * @param guest       The guest; Linux.
 * @param gpa         Start of the dumped range.
 * @param size        Its size in bytes.
 * @param chunk_size  0, or (s390x) first ask for chunks of so many bytes of the
 *                    usable region.
 * @return 0 or a negative errno.
 * @retval -EINVAL  The config space describes no device.
 * @retval -ENOTSUP Windows.
 */
int vmem_guest_kdump(struct vmem_guest *guest, uint64_t gpa, uint64_t size,
                     uint64_t chunk_size);

/**
 * Unload the driver: a device reset and no request. Plugged memory stays in use.
 *
 * @param guest  The guest.
 */
void vmem_guest_unload(struct vmem_guest *guest);

/**
 * Load the driver again.
 *
 * @param guest  The guest.
 * @return As vmem_guest_boot().
 * @retval -EBUSY  Linux still uses memory of the former driver, and the probe
 *                 fails; only a boot or kexec helps.
 */
int vmem_guest_load(struct vmem_guest *guest);

/**
 * Wake up from suspend, with plugged memory kept: the driver resets the device
 * and reads the config space again. Windows forgets what it has.
 *
 * @param guest  The guest.
 * @return As vmem_guest_boot().
 */
int vmem_guest_resume(struct vmem_guest *guest);

/**
 * The config interrupt. Remembered until the guest runs; legal in callbacks.
 *
 * @param guest  The guest.
 */
void vmem_guest_interrupt(struct vmem_guest *guest);

/**
 * Let the driver work until it has nothing to do without time passing.
 *
 * @param guest  The guest.
 * @return An enum vmem_guest_status.
 */
int vmem_guest_run(struct vmem_guest *guest);

/**
 * Let virtual time pass: runs the guest now, at each expiry of its timer, and
 * lets loads release memory on the way.
 *
 * A spinning guest is cut short once and then skipped to the end.
 *
 * @param guest  The guest.
 * @param ns     How long.
 * @return An enum vmem_guest_status.
 */
int vmem_guest_advance(struct vmem_guest *guest, uint64_t ns);

/**
 * Virtual time; for clocks of whatever is tested.
 *
 * @param guest  The guest.
 * @return Nanoseconds since vmem_guest_new().
 */
uint64_t vmem_guest_get_now_ns(const struct vmem_guest *guest);

/**
 * User space brings memory blocks online that lie in a range (Linux).
 *
 * @param guest   The guest.
 * @param gpa     Start of the range.
 * @param size    Its size; UINT64_MAX: to the end.
 * @param online  #VMEM_GUEST_ONLINE_KERNEL or #VMEM_GUEST_ONLINE_MOVABLE.
 * @return How many blocks were offline.
 */
uint64_t vmem_guest_online(struct vmem_guest *guest, uint64_t gpa,
                           uint64_t size, uint32_t online);

/**
 * User space takes memory blocks offline that lie in a range (Linux). Those with
 * a pinned part stay online.
 *
 * @param guest  The guest.
 * @param gpa    Start of the range.
 * @param size   Its size; UINT64_MAX: to the end.
 * @return How many blocks were taken offline.
 */
uint64_t vmem_guest_offline(struct vmem_guest *guest, uint64_t gpa,
                            uint64_t size);

/**
 * Pin the pageblocks of a range, until vmem_guest_unpin() or a boot.
 *
 * @param guest  The guest; it was booted.
 * @param gpa    Start of the range.
 * @param size   Its size in bytes.
 */
void vmem_guest_pin(struct vmem_guest *guest, uint64_t gpa, uint64_t size);

/**
 * Unpin the pageblocks of a range, whoever pinned them.
 *
 * @param guest  The guest; it was booted.
 * @param gpa    Start of the range.
 * @param size   Its size in bytes; UINT64_MAX: to the end.
 */
void vmem_guest_unpin(struct vmem_guest *guest, uint64_t gpa, uint64_t size);

/**
 * Counters and sizes of a guest.
 *
 * @param guest          The guest.
 * @param[in,out] stats  Set its struct_size; the rest is filled.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL or struct_size too small.
 */
int vmem_guest_get_stats(const struct vmem_guest *guest,
                         struct vmem_guest_stats *stats);

/**
 * Names as vmemctl sim has them: "linux", "linux-bbm", "windows"; "movable",
 * "idle" and so on; "waiting".
 *
 * @param kind  An enum vmem_guest_kind.
 * @return The name, or NULL beyond the last. @ownership{static}
 */
const char *vmem_guest_kind_name(uint64_t kind);

/**
 * Name of a pattern.
 *
 * @param pattern  An enum vmem_guest_pattern.
 * @return The name, or NULL beyond the last. @ownership{static}
 */
const char *vmem_guest_pattern_name(uint64_t pattern);

/**
 * Name of a status.
 *
 * @param status  An enum vmem_guest_status.
 * @return The name, or NULL beyond the last. @ownership{static}
 */
const char *vmem_guest_status_name(uint64_t status);

/**
 * Name of a rule.
 *
 * @param rule  An enum vmem_guest_rule.
 * @return The name, or NULL beyond the last. @ownership{static}
 */
const char *vmem_guest_rule_name(uint64_t rule);

/**
 * Where the specification, or its reading for drivers, says so: "CFG-08".
 *
 * @param rule  An enum vmem_guest_rule.
 * @return The clause, or NULL beyond the last. @ownership{static}
 */
const char *vmem_guest_rule_clause(uint64_t rule);

/** @} */

#ifdef __cplusplus
}
#endif

#endif /* VMEM_GUEST_SIM_H */
