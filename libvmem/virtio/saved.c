/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device is, out of it and into another one. Whatever is loaded may come
 * from anybody. */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "core/exchange.h"
#include "core/freeze.h"
#include "virtio/device.h"

static uint64_t count_words(const struct vmem_device *device)
{
    const uint64_t nr_blocks = vmemi_source_nr_blocks(device->source);

    return nr_blocks / 64 + (nr_blocks % 64 != 0);
}

/* A driver accepts features first and is there then: what is looked at in this
 * order belongs together. */
static void read_driver(const struct vmem_device *device,
                        struct vmem_device_saved *saved)
{
    saved->has_driver = atomic_load(&device->has_driver);
    if (saved->has_driver != 0) {
        saved->driver_features = atomic_load(&device->driver_features);
    }
}

/* In a frame of the region: no block changes between the two reads. */
static void read_all(const struct vmem_device *device,
                     struct vmem_device_saved *saved, uint64_t *blocks)
{
    const struct vmem_source *source = device->source;

    saved->gpa = device->gpa;
    saved->region_size = device->region->size;
    saved->block_size = device->block_size;
    saved->node_id = device->node_id;
    read_driver(device, saved);
    vmemi_mutex_lock(&device->region->state);
    saved->requested_size = atomic_load(&device->requested_size);
    saved->usable_region_size = atomic_load(&device->usable_region_size);
    saved->plugged_size = vmemi_device_plugged(device);
    vmemi_mutex_unlock(&device->region->state);
    vmem_bitmap_copy_out(source->blocks, 0, vmemi_source_nr_blocks(source),
                         blocks);
}

int vmem_device_save(const struct vmem_device *device,
                     struct vmem_device_saved *host_saved, uint64_t *blocks,
                     size_t nr_words)
{
    struct vmem_device_saved saved = { 0 };
    struct vmemi_frame frame;
    int ret;

    if (device == NULL || (blocks == NULL && nr_words > 0) ||
        nr_words != count_words(device) ||
        vmemi_sized_check_out(
            host_saved,
            VMEMI_SIZE_THROUGH(struct vmem_device_saved, has_driver)) < 0) {
        return -EINVAL;
    }
    if (vmemi_frame_count(device->region) > 0) {
        read_all(device, &saved, blocks);
    } else {
        ret = vmemi_vm_check_unlocked(device->vm, "vmem_device_save", NULL);
        if (ret < 0) {
            return ret;
        }
        vmemi_region_hold(device->region, &frame);
        read_all(device, &saved, blocks);
        vmemi_region_let_go(device->region, &frame);
    }
    vmemi_sized_write(host_saved, &saved, sizeof(saved));
    return 0;
}

static int check_same(const struct vmem_device *device, const char *what,
                      uint64_t saved, uint64_t own, struct vmem_error *err)
{
    if (saved == own) {
        return 0;
    }
    return vmemi_fail(err, -EINVAL, VMEM_REASON_MISMATCH, NULL,
                      "device \"%s\": %s 0x%" PRIx64
                      " was saved, the device's is 0x%" PRIx64,
                      device->name.text, what, saved, own);
}

/* Is it the same device, for its guest? */
static int check_identity(const struct vmem_device *device,
                          const struct vmem_device_saved *saved,
                          struct vmem_error *err)
{
    int ret = check_same(device, "gpa", saved->gpa, device->gpa, err);

    if (ret == 0) {
        ret = check_same(device, "region size", saved->region_size,
                         device->region->size, err);
    }
    if (ret == 0) {
        ret = check_same(device, "block size", saved->block_size,
                         device->block_size, err);
    }
    if (ret == 0) {
        ret = check_same(device, "node", saved->node_id, device->node_id, err);
    }
    return ret;
}

static int check_driver(const struct vmem_device *device,
                        const struct vmem_device_saved *saved,
                        struct vmem_error *err)
{
    const uint64_t accepted =
        saved->driver_features & VMEMI_DEVICE_FEATURE_BITS;

    if (saved->has_driver > 1 || (saved->has_driver == 0 && accepted != 0)) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "device \"%s\": has_driver %" PRIu64
                          " was saved with driver features 0x%" PRIx64,
                          device->name.text, saved->has_driver, accepted);
    }
    if (saved->has_driver != 0 && !vmemi_device_may_accept(device, accepted)) {
        return vmemi_fail(err, -ENOTSUP, VMEM_REASON_MISMATCH, NULL,
                          "device \"%s\": driver features 0x%" PRIx64
                          " were saved, 0x%" PRIx64 " are offered%s",
                          device->name.text, accepted, device->features,
                          (device->flags & VMEM_DEVICE_REQUIRE_INACCESSIBLE) !=
                                  0
                              ? ", UNPLUGGED_INACCESSIBLE is required"
                              : "");
    }
    return 0;
}

static int check_nr_words(const struct vmem_device *device,
                          const uint64_t *blocks, size_t nr_words,
                          struct vmem_error *err)
{
    if (nr_words != count_words(device)) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "device \"%s\": %zu words of blocks, %" PRIu64
                          " blocks need %" PRIu64,
                          device->name.text, nr_words,
                          vmemi_source_nr_blocks(device->source),
                          count_words(device));
    }
    if (blocks == NULL && nr_words > 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "device \"%s\": blocks is NULL", device->name.text);
    }
    return 0;
}

/* Of the copy, which nobody changes any more. */
static int check_blocks(const struct vmem_device *device,
                        const struct vmem_device_saved *saved,
                        const struct vmem_bitmap *blocks,
                        struct vmem_error *err)
{
    const unsigned int shift = device->source->block_shift;
    const uint64_t plugged = vmemi_bitmap_nr_set(blocks) << shift;
    const uint64_t nr_blocks = vmem_bitmap_get_nr_blocks(blocks);
    const uint64_t first = vmem_bitmap_next_set(
        blocks, saved->usable_region_size >> shift, nr_blocks);

    if (first < nr_blocks) {
        const struct vmem_range block = { .offset = first << shift,
                                          .size = device->block_size };

        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, &block,
                          "device \"%s\": the block at offset 0x%" PRIx64
                          " is plugged, the usable size is 0x%" PRIx64,
                          device->name.text, block.offset,
                          saved->usable_region_size);
    }
    if (plugged != saved->plugged_size) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_MISMATCH, NULL,
                          "device \"%s\": plugged size 0x%" PRIx64
                          " was saved, the blocks are 0x%" PRIx64,
                          device->name.text, saved->plugged_size, plugged);
    }
    return 0;
}

/* A copy of the blocks that may be loaded; on failure there is nothing to free. */
static int take_blocks(struct vmem_device *device,
                       const struct vmem_device_saved *saved,
                       const uint64_t *blocks, struct vmemi_exchange *exchange,
                       struct vmem_error *err)
{
    int ret = vmemi_exchange_init(exchange, device->source, blocks);

    if (ret == -ERANGE) {
        return vmemi_fail(err, ret, VMEM_REASON_RANGE, NULL,
                          "device \"%s\": a bit is set behind the last of "
                          "%" PRIu64 " blocks",
                          device->name.text,
                          vmemi_source_nr_blocks(device->source));
    }
    if (ret < 0) {
        return vmemi_fail(
            err, ret, VMEM_REASON_NO_MEMORY, NULL,
            "device \"%s\": out of memory for %" PRIu64 " blocks to load",
            device->name.text, vmemi_source_nr_blocks(device->source));
    }
    ret = check_blocks(device, saved, exchange->blocks, err);
    if (ret < 0) {
        vmemi_exchange_free(exchange);
    }
    return ret;
}

/* Everybody has agreed: all of it in one section of the state lock. */
static void commit(struct vmem_device *device,
                   const struct vmem_device_saved *saved,
                   struct vmemi_exchange *exchange, struct vmemi_date *date)
{
    vmemi_mutex_lock(&device->region->state);
    vmemi_exchange_commit(exchange);
    vmemi_device_publish(device, saved->requested_size,
                         saved->usable_region_size);
    atomic_store(&device->driver_features,
                 saved->driver_features & VMEMI_DEVICE_FEATURE_BITS);
    atomic_store(&device->has_driver, (uint32_t)saved->has_driver);
    vmemi_device_date(device, date);
    vmemi_mutex_unlock(&device->region->state);
}

static int fail_agree(const struct vmem_device *device,
                      const struct vmemi_cause *cause, struct vmem_error *err)
{
    char text[VMEM_ERROR_MESSAGE_SIZE];

    vmemi_cause_format(cause, text, sizeof(text));
    return vmemi_fail(err, cause->code, cause->reason, NULL,
                      "device \"%s\": load: %s", device->name.text, text);
}

/* Under the change lock. */
static int load(struct vmem_device *device,
                const struct vmem_device_saved *saved,
                struct vmemi_exchange *exchange, struct vmemi_change *change,
                struct vmemi_date *date, uint32_t *news, struct vmem_error *err)
{
    uint64_t unplugged;
    uint64_t plugged;
    int ret;

    ret = vmemi_region_check_thawed(device->region, "vmem_device_load", NULL,
                                    err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_exchange_agree(exchange, change);
    if (ret < 0) {
        return fail_agree(device, &change->cause, err);
    }
    vmemi_exchange_measure(exchange, &plugged, &unplugged);
    commit(device, saved, exchange, date);
    device->driver.keeps_memory = false;
    vmemi_exchange_give_back(exchange, change);
    vmemi_add_locked(&device->plugged_bytes, plugged);
    vmemi_add_locked(&device->unplugged_bytes, unplugged);
    vmemi_add_locked(&device->nr_loads, 1);
    *news = VMEMI_NEWS_CONFIG | VMEMI_NEWS_RESIZE;
    if (plugged != unplugged) {
        vmemi_device_track_progress(device);
        *news |= VMEMI_NEWS_SIZE;
    }
    return 0;
}

static int check_saved(const struct vmem_device *device,
                       const struct vmem_device_saved *saved,
                       struct vmem_error *err)
{
    int ret = check_identity(device, saved, err);

    if (ret == 0) {
        ret = vmemi_device_check_requested(device, saved->requested_size, err);
    }
    if (ret == 0) {
        ret = vmemi_device_check_usable(device, saved->usable_region_size,
                                        saved->requested_size, err);
    }
    return ret < 0 ? ret : check_driver(device, saved, err);
}

int vmem_device_load(struct vmem_device *device,
                     const struct vmem_device_saved *host_saved,
                     const uint64_t *blocks, size_t nr_words,
                     struct vmem_error *err)
{
    struct vmem_trace_event event = { .kind = VMEM_TRACE_LOAD };
    struct vmemi_date date = { 0 };
    struct vmem_device_saved saved;
    struct vmemi_exchange exchange;
    struct vmemi_change change;
    uint32_t news = 0;
    int ret;

    ret = vmemi_sized_read(
        &saved, sizeof(saved),
        VMEMI_SIZE_THROUGH(struct vmem_device_saved, has_driver), host_saved,
        "vmem_device_saved", err);
    if (ret < 0) {
        return ret;
    }
    if (device == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_device_load: device is NULL");
    }
    ret = vmemi_vm_check_unlocked(device->vm, "vmem_device_load", err);
    if (ret == 0) {
        ret = check_saved(device, &saved, err);
    }
    if (ret == 0) {
        ret = check_nr_words(device, blocks, nr_words, err);
    }
    if (ret == 0) {
        ret = take_blocks(device, &saved, blocks, &exchange, err);
    }
    if (ret < 0) {
        return ret;
    }
    vmemi_change_lock(&change, device->region);
    ret = load(device, &saved, &exchange, &change, &date, &news, err);
    vmemi_change_end(&change);
    vmemi_exchange_free(&exchange);
    if (ret == 0) {
        event.size = saved.plugged_size;
        vmemi_device_tell_event(device, news, &date, &event);
    }
    return ret;
}
