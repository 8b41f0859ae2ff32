/* SPDX-License-Identifier: BSD-3-Clause */
/* The sizes a host asks for, and how the guest follows. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "virtio/device.h"

/* Rounds up to any multiple, not only a power of two; saturates. */
static uint64_t round_up(uint64_t value, uint64_t multiple)
{
    uint64_t rest = value % multiple;

    return rest == 0 ? value : vmemi_add_saturating(value, multiple - rest);
}

uint64_t vmemi_device_policy_usable(const struct vmem_device *device,
                                    uint64_t requested_size)
{
    const uint64_t region_size = device->region->size;
    uint64_t usable = region_size;

    if (device->usable_policy == VMEM_USABLE_UNIT) {
        usable = vmemi_add_saturating(
            round_up(requested_size, device->usable_headroom),
            device->usable_headroom);
    } else if (device->usable_policy == VMEM_USABLE_EXTENT) {
        usable =
            requested_size == 0
                ? 0
                : vmemi_add_saturating(requested_size, device->usable_headroom);
    }
    /* The region is a multiple of the block size, so the result is too. */
    return vmemi_min(region_size,
                     vmemi_align_up_saturating(usable, device->block_size));
}

/* Under the state lock. */
static void shrink_usable(struct vmem_device *device)
{
    const uint64_t usable = vmemi_device_policy_usable(
        device, atomic_load(&device->requested_size));

    if (usable < atomic_load(&device->usable_region_size)) {
        atomic_store(&device->usable_region_size, usable);
        device->nr_publications++;
    }
}

void vmemi_device_conclude(struct vmem_device *device, bool emptied,
                           struct vmemi_date *date)
{
    vmemi_mutex_lock(&device->region->state);
    if (emptied) {
        shrink_usable(device);
    }
    vmemi_device_date(device, date);
    vmemi_mutex_unlock(&device->region->state);
}

int vmemi_device_check_requested(const struct vmem_device *device,
                                 uint64_t requested_size,
                                 struct vmem_error *err)
{
    if ((requested_size & (device->block_size - 1)) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "device \"%s\": requested size 0x%" PRIx64
                          " is not a multiple of the block size 0x%" PRIx64,
                          device->name.text, requested_size,
                          device->block_size);
    }
    if (requested_size > device->region->size) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                          "device \"%s\": requested size 0x%" PRIx64
                          " exceeds the region's 0x%" PRIx64,
                          device->name.text, requested_size,
                          device->region->size);
    }
    return 0;
}

int vmemi_device_check_usable(const struct vmem_device *device, uint64_t usable,
                              uint64_t requested, struct vmem_error *err)
{
    if ((usable & (device->block_size - 1)) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "device \"%s\": usable size 0x%" PRIx64
                          " is not a multiple of the block size 0x%" PRIx64,
                          device->name.text, usable, device->block_size);
    }
    if (usable < requested) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_RANGE, NULL,
                          "device \"%s\": usable size 0x%" PRIx64
                          " is below the requested size 0x%" PRIx64,
                          device->name.text, usable, requested);
    }
    if (usable > device->region->size) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                          "device \"%s\": usable size 0x%" PRIx64
                          " exceeds the region's 0x%" PRIx64,
                          device->name.text, usable, device->region->size);
    }
    return 0;
}

void vmemi_device_publish(struct vmem_device *device, uint64_t requested_size,
                          uint64_t usable_region_size)
{
    struct vmemi_tracker *tracker = &device->tracker;

    /* Usable first: the request path must never see it below requested. */
    atomic_store(&device->usable_region_size, usable_region_size);
    atomic_store(&device->requested_size, requested_size);
    device->nr_publications++;
    tracker->requested_ns = vmemi_vm_now_ns(device->vm);
    atomic_store(&tracker->has_asked, 0);
    atomic_store(&tracker->busy_reason, VMEM_REASON_NONE);
}

static void publish(struct vmem_device *device, uint64_t requested_size,
                    struct vmemi_date *date)
{
    vmemi_mutex_lock(&device->region->state);
    vmemi_device_publish(
        device, requested_size,
        vmemi_max(vmemi_device_policy_usable(device, requested_size),
                  atomic_load(&device->usable_region_size)));
    vmemi_device_date(device, date);
    vmemi_mutex_unlock(&device->region->state);
}

int vmem_device_resize(struct vmem_device *device, uint64_t requested_size,
                       struct vmem_error *err)
{
    struct vmem_trace_event event = { .kind = VMEM_TRACE_RESIZE,
                                      .size = requested_size };
    struct vmemi_date date = { 0 };
    int ret;

    if (device == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_device_resize: device is NULL");
    }
    ret = vmemi_vm_check_unlocked(device->vm, "vmem_device_resize", err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_device_check_requested(device, requested_size, err);
    if (ret < 0) {
        event.code = ret;
        vmemi_mutex_lock(&device->region->state);
        vmemi_device_date(device, &date);
        vmemi_mutex_unlock(&device->region->state);
        vmemi_device_tell_event(device, 0, &date, &event);
        return ret;
    }
    publish(device, requested_size, &date);
    vmemi_count(&device->nr_resizes);
    vmemi_device_tell_event(device, VMEMI_NEWS_CONFIG | VMEMI_NEWS_RESIZE,
                            &date, &event);
    return 0;
}

int vmem_device_notify_config(struct vmem_device *device)
{
    int ret;

    if (device == NULL) {
        return -EINVAL;
    }
    ret =
        vmemi_vm_check_unlocked(device->vm, "vmem_device_notify_config", NULL);
    if (ret < 0) {
        return ret;
    }
    vmemi_device_nudge(device);
    vmemi_device_tell(device, VMEMI_NEWS_CONFIG | VMEMI_NEWS_RESIZE);
    return 0;
}

static struct vmem_device *find_device(struct vmemi_source_driver *driver)
{
    return (struct vmem_device *)(void *)((char *)driver -
                                          offsetof(struct vmem_device, driver));
}

void vmemi_device_frozen(struct vmemi_source_driver *driver,
                         const struct vmemi_date *date)
{
    struct vmem_trace_event event = { .kind = VMEM_TRACE_FREEZE, .frozen = 1 };

    vmemi_device_tell_event(find_device(driver), 0, date, &event);
}

void vmemi_device_thawed(struct vmemi_source_driver *driver,
                         const struct vmemi_date *date)
{
    struct vmem_device *device = find_device(driver);
    struct vmem_trace_event event = { .kind = VMEM_TRACE_FREEZE };

    vmemi_device_nudge(device);
    vmemi_device_tell_event(device, VMEMI_NEWS_CONFIG | VMEMI_NEWS_RESIZE, date,
                            &event);
}

/* Was this listener what the last answer was BUSY for? */
static bool waits_for(struct vmem_device *device, const char *by)
{
    const struct vmemi_tracker *tracker = &device->tracker;
    bool waits;

    vmemi_mutex_lock(&device->region->state);
    waits = atomic_load(&tracker->busy_reason) == VMEM_REASON_LISTENER_VETO &&
            strcmp(tracker->busy_by.text, by) == 0;
    vmemi_mutex_unlock(&device->region->state);
    return waits;
}

void vmemi_device_eased(struct vmemi_source_driver *driver, const char *by)
{
    struct vmem_device *device = find_device(driver);

    if (waits_for(device, by)) {
        vmemi_device_nudge(device);
        vmemi_device_tell(device, VMEMI_NEWS_CONFIG | VMEMI_NEWS_RESIZE);
    }
}

void vmemi_device_track_progress(struct vmem_device *device)
{
    atomic_store_explicit(&device->tracker.last_progress_ns,
                          vmemi_vm_now_coarse_ns(device->vm),
                          memory_order_relaxed);
    atomic_store_explicit(&device->tracker.busy_reason, VMEM_REASON_NONE,
                          memory_order_relaxed);
}

void vmemi_device_track_busy(struct vmem_device *device,
                             const struct vmemi_cause *cause)
{
    struct vmemi_tracker *tracker = &device->tracker;

    vmemi_mutex_lock(&device->region->state);
    atomic_store(&tracker->busy_reason, cause->reason);
    tracker->busy_errno = cause->code;
    g_strlcpy(tracker->busy_by.text, cause->by, sizeof(tracker->busy_by.text));
    vmemi_mutex_unlock(&device->region->state);
}

void vmemi_device_forget_busy(struct vmem_device *device)
{
    atomic_store(&device->tracker.busy_reason, VMEM_REASON_NONE);
}

void vmemi_device_nudge(struct vmem_device *device)
{
    struct vmemi_tracker *tracker = &device->tracker;

    vmemi_device_forget_busy(device);
    atomic_store(&tracker->nudged_ns, vmemi_vm_now_ns(device->vm));
    atomic_store(&tracker->has_asked, 0);
}

/* Stalled for which reason, if at all? */
static uint32_t judge_stall(const struct vmem_device *device,
                            uint32_t busy_reason, uint64_t now_ns)
{
    const struct vmemi_tracker *tracker = &device->tracker;
    const uint64_t since_ns = vmemi_max(
        vmemi_max(tracker->requested_ns, atomic_load(&tracker->nudged_ns)),
        atomic_load(&tracker->last_progress_ns));

    if (atomic_load(&device->has_driver) == 0) {
        return VMEM_STALL_NO_DRIVER;
    }
    if (busy_reason != VMEM_REASON_NONE) {
        return VMEM_STALL_HOST_BUSY;
    }
    if (now_ns < since_ns || now_ns - since_ns < device->stall_after_ns) {
        return VMEM_STALL_NONE;
    }
    return atomic_load(&tracker->has_asked) == 0 ? VMEM_STALL_GUEST_SILENT
                                                 : VMEM_STALL_GUEST_REFUSED;
}

void vmemi_device_judge(const struct vmem_device *device, uint64_t now_ns,
                        struct vmem_resize_status *status)
{
    const struct vmemi_tracker *tracker = &device->tracker;
    /* Once: it may be over before the next look. */
    const uint32_t busy_reason = atomic_load(&tracker->busy_reason);

    *status = (struct vmem_resize_status){ .struct_size = sizeof(*status) };
    status->requested_size = atomic_load(&device->requested_size);
    status->plugged_size = vmemi_device_plugged(device);
    status->requested_ns = tracker->requested_ns;
    status->last_progress_ns = atomic_load(&tracker->last_progress_ns);
    if (status->plugged_size == status->requested_size) {
        status->state = VMEM_RESIZE_IDLE;
        return;
    }
    status->reason = judge_stall(device, busy_reason, now_ns);
    if (status->reason != VMEM_STALL_NONE) {
        status->state = VMEM_RESIZE_STALLED;
    } else if (status->plugged_size < status->requested_size) {
        status->state = VMEM_RESIZE_GROWING;
    } else {
        status->state = VMEM_RESIZE_SHRINKING;
    }
    if (status->reason == VMEM_STALL_HOST_BUSY) {
        status->busy_reason = busy_reason;
        status->busy_errno = tracker->busy_errno;
        g_strlcpy(status->busy_by, tracker->busy_by.text,
                  sizeof(status->busy_by));
    }
}

int vmem_device_get_resize_status(const struct vmem_device *device,
                                  struct vmem_resize_status *host_status)
{
    struct vmem_resize_status status;

    if (device == NULL ||
        vmemi_sized_check_out(
            host_status,
            VMEMI_SIZE_THROUGH(struct vmem_resize_status, busy_by)) < 0) {
        return -EINVAL;
    }
    vmemi_mutex_lock(&device->region->state);
    vmemi_device_judge(device, vmemi_vm_now_ns(device->vm), &status);
    vmemi_mutex_unlock(&device->region->state);
    vmemi_sized_write(host_status, &status, sizeof(status));
    return 0;
}

int vmem_device_poll_resize(struct vmem_device *device)
{
    int ret;

    if (device == NULL) {
        return -EINVAL;
    }
    ret = vmemi_vm_check_unlocked(device->vm, "vmem_device_poll_resize", NULL);
    if (ret < 0) {
        return ret;
    }
    vmemi_device_tell(device, VMEMI_NEWS_RESIZE);
    return 0;
}
