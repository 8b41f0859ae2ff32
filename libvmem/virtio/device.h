/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_VIRTIO_DEVICE_H
#define VMEMI_VIRTIO_DEVICE_H

#include <vmem/claim.h>
#include <vmem/device.h>

#include "core/source.h"

/* Device bits: 0 to 23 and 50 to 63 (virtio 1.4, "Feature Bits"). */
#define VMEMI_DEVICE_FEATURE_BITS                                              \
    ((((uint64_t)1 << 24) - 1) | ~(((uint64_t)1 << 50) - 1))

/* What the resize tracker knows. Guarded by the region's state lock but for
 * the atomics, which the request path writes without it. */
struct vmemi_tracker {
    uint64_t requested_ns;
    _Atomic uint64_t nudged_ns; /* when the guest last had a new reason to act:
                                   kick, thaw, or its driver came */
    _Atomic uint64_t last_progress_ns;
    _Atomic uint32_t has_asked; /* a request came since the size was asked */
    _Atomic uint32_t
        busy_reason; /* of the last answer; NONE: it was not BUSY */
    int32_t busy_errno;
    struct vmemi_name busy_by;
    uint32_t told_state; /* as resize_changed last heard */
    uint32_t told_reason;
};

struct vmem_device {
    struct vmemi_gate gate; /* first: release finds the device by it */
    struct vmemi_source_driver driver;
    struct vmemi_child child;
    struct vmemi_name name;
    struct vmem_vm *vm;
    struct vmem_region *region;
    struct vmem_source *source;
    struct vmem_discard_claim *claim;
    struct vmem_device_ops ops;
    void *opaque;
    uint32_t wanted_news; /* what ops has callbacks for */

    uint64_t gpa;
    uint64_t block_size;
    uint64_t features;
    uint64_t flags;
    uint64_t node_id;
    uint64_t usable_policy;
    uint64_t usable_headroom;
    uint64_t stall_after_ns;

    /* Written under the state lock. Atomic, because the request path looks at
     * them under the change lock alone: a resize must not wait for a plug. */
    _Atomic uint64_t requested_size;
    _Atomic uint64_t usable_region_size;
    uint64_t nr_publications; /* changes of the two; state lock */

    _Atomic uint64_t driver_features;
    _Atomic uint32_t has_driver;
    struct vmemi_tracker tracker;

    _Atomic uint64_t nr_requests[4][4];
    _Atomic uint64_t nr_malformed[8];
    _Atomic uint64_t plugged_bytes;
    _Atomic uint64_t unplugged_bytes;
    _Atomic uint64_t nr_config_writes;
    _Atomic uint64_t nr_features_refused;
    _Atomic uint64_t nr_resizes;
    _Atomic uint64_t nr_resets[4];
    _Atomic uint64_t nr_loads;
    _Atomic uint64_t latency_total_ns[4];
    _Atomic uint64_t latency_max_ns[4];
};

/* What to tell the host program after an operation. */
enum vmemi_device_news {
    VMEMI_NEWS_CONFIG = 1 << 0,
    VMEMI_NEWS_SIZE = 1 << 1,
    VMEMI_NEWS_RESIZE = 1 << 2 /* look whether the resize's state changed */
};

/* Everything that the config decides, but no lock and nothing that others see: on
 * failure there is nothing to undo. */
int vmemi_device_set_up(struct vmem_device *device, struct vmem_region *region,
                        const struct vmem_device_config *config,
                        struct vmem_error *err);

/* Without locks. */
void vmemi_device_send(struct vmem_device *device, uint32_t news);

static inline void vmemi_device_tell(struct vmem_device *device, uint32_t news)
{
    if ((news & device->wanted_news) != 0) {
        vmemi_device_send(device, news & device->wanted_news);
    }
}

static inline bool vmemi_device_is_traced(const struct vmem_device *device)
{
    return device->ops.trace != NULL;
}

/* vmemi_region_date(), of a device that is traced; state lock. */
static inline void vmemi_device_date(struct vmem_device *device,
                                     struct vmemi_date *date)
{
    if (vmemi_device_is_traced(device)) {
        vmemi_region_date(device->region, date);
    }
}

/* vmemi_device_tell(), after the event with that date; without locks. */
void vmemi_device_tell_event(struct vmem_device *device, uint32_t news,
                             const struct vmemi_date *date,
                             struct vmem_trace_event *event);

/* What the policy says for a requested size; a multiple of the block size. */
uint64_t vmemi_device_policy_usable(const struct vmem_device *device,
                                    uint64_t requested_size);

/* The end of an UNPLUG ALL or of a reset, which is when it has happened or was
 * refused: dates it and, if the device was emptied, lets the usable region shrink
 * to what the policy says. A resize on another thread is before both or after
 * both, and is recorded there. Change lock. */
void vmemi_device_conclude(struct vmem_device *device, bool emptied,
                           struct vmemi_date *date);

/* Is this size one that may be asked for? */
int vmemi_device_check_requested(const struct vmem_device *device,
                                 uint64_t requested_size,
                                 struct vmem_error *err);

/* Both sizes in one step, seen together by every reader, and the resize begins
 * now. State lock. */
void vmemi_device_publish(struct vmem_device *device, uint64_t requested_size,
                          uint64_t usable_region_size);

/* May a driver have accepted these? Of device bits only. */
bool vmemi_device_may_accept(const struct vmem_device *device,
                             uint64_t accepted);

/* May the usable region reach so far, with this requested size? */
int vmemi_device_check_usable(const struct vmem_device *device, uint64_t usable,
                              uint64_t requested, struct vmem_error *err);

/* How the resize goes. State lock. */
void vmemi_device_judge(const struct vmem_device *device, uint64_t now_ns,
                        struct vmem_resize_status *status);

/* The tracker hears of every change of plugged_size, and of every BUSY; change
 * lock, without the state lock. */
void vmemi_device_track_progress(struct vmem_device *device);
void vmemi_device_track_busy(struct vmem_device *device,
                             const struct vmemi_cause *cause);

/* The guest has a new reason to act, and gets time to. */
void vmemi_device_nudge(struct vmem_device *device);

/* Whatever was busy is over, or the last answer was another. */
void vmemi_device_forget_busy(struct vmem_device *device);

/* The source's frozen(), thawed() and eased(): the latter two kick the guest.
 * Inside the gate. */
void vmemi_device_frozen(struct vmemi_source_driver *driver,
                         const struct vmemi_date *date);
void vmemi_device_eased(struct vmemi_source_driver *driver, const char *by);
void vmemi_device_thawed(struct vmemi_source_driver *driver,
                         const struct vmemi_date *date);

/* Changes with every change of what config space shows. State lock. */
static inline uint32_t vmemi_device_generation(const struct vmem_device *device)
{
    return (uint32_t)(device->nr_publications + device->source->nr_commits);
}

/* Bytes plugged. Either lock of the region. */
static inline uint64_t vmemi_device_plugged(const struct vmem_device *device)
{
    return vmemi_source_size(device->source);
}

#endif /* VMEMI_VIRTIO_DEVICE_H */
