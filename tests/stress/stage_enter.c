/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "stress/stage_dma.h"
#include "stress/stage_parts.h"

static void on_claims(uint32_t claims, void *opaque)
{
    (void)claims;
    stage_inside(opaque, STAGE_WATCHER);
}

static int in_walk(const struct vmem_range *range, void *opaque)
{
    (void)range;
    stage_inside(opaque, STAGE_WALK);
    return 0;
}

static int in_with_populated(const struct vmem_range *range, void *opaque)
{
    (void)range;
    stage_inside(opaque, STAGE_WITH_POPULATED);
    return 0;
}

static int in_region_list(struct vmem_region *region, void *opaque)
{
    (void)region;
    stage_inside(opaque, STAGE_REGION_LIST);
    return 0;
}

static int in_device_list(struct vmem_device *device, void *opaque)
{
    (void)device;
    stage_inside(opaque, STAGE_DEVICE_LIST);
    return 0;
}

static int in_claim_list(uint32_t kind, const char *owner, void *opaque)
{
    (void)kind;
    (void)owner;
    stage_inside(opaque, STAGE_CLAIM_LIST);
    return 0;
}

static int in_bitmap_walk(const struct vmem_bitmap_run *run, void *opaque)
{
    (void)run;
    stage_inside(opaque, STAGE_BITMAP_WALK);
    return 0;
}

int stage_request(struct stage *it, uint16_t type)
{
    /* Little-endian: the type at 0, the gpa (0) at 8, one block at 16. */
    const uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = {
        [0] = (uint8_t)type,
        [16] = type == VMEM_REQUEST_UNPLUG_ALL ? 0 : 1,
    };
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    int ret = vmem_device_handle_request(it->device, bytes, sizeof(bytes),
                                         response, sizeof(response), &result);

    return ret == 0 && result.response != VMEM_RESPONSE_ACK ? -EPROTO : ret;
}

static void enter_watcher(struct stage *it)
{
    struct vmem_discard_watcher *watcher;
    struct vmem_discard_claim *claim;

    if (vmem_discard_watcher_add(it->vm, on_claims, it, &watcher, NULL) < 0) {
        return;
    }
    if (vmem_discard_claim_take(it->vm, VMEM_CLAIM_FORBID_UNCOORDINATED, "x",
                                &claim, NULL) == 0) {
        vmem_discard_claim_release(claim, NULL);
    }
    vmem_discard_watcher_remove(watcher, NULL);
}

static void enter_destroy(struct stage *it)
{
    struct vmem_listener *listener;

    if (stage_make_listener(it, it->region, "x", &stage_listener_ops,
                            &listener) == 0) {
        vmem_listener_remove(listener, NULL);
    }
}

static void enter_memory_destroy(struct stage *it)
{
    struct stage_memory memory = { .is_loose = true };
    struct vmem_backing *backing;

    if (stage_make_backing(it, "x", &memory, &backing) == 0) {
        vmem_backing_free(backing, NULL);
    }
}

static void enter_memory_zero(struct stage *it)
{
    if (vmem_source_populate(it->source, &stage_low, NULL) < 0) {
        return;
    }
    atomic_store(&it->memory.discard_fails, true);
    vmem_source_discard(it->source, &stage_low, NULL);
    vmem_source_populate(it->source, &stage_low, NULL);
    atomic_store(&it->memory.discard_fails, false);
    vmem_source_discard(it->source, &stage_low, NULL);
}

static void enter_usage(struct stage *it)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    vmem_backing_get_usage(it->backing, NULL, &usage, NULL);
}

static void enter_bitmap_walk(struct stage *it)
{
    struct vmem_bitmap *bitmap;

    if (vmem_bitmap_new(1, &bitmap) == 0) {
        vmem_bitmap_for_each_clear(bitmap, 0, 1, in_bitmap_walk, it);
        vmem_bitmap_free(bitmap);
    }
}

void stage_enter(struct stage *it, enum stage_callback callback)
{
    /* Logs are limited to a few of a kind each second. */
    atomic_fetch_add(&it->now_ns, 1000000000);
    switch (callback) {
    case STAGE_LISTENER_POPULATE:
    case STAGE_LISTENER_DISCARD:
    case STAGE_LISTENER_MAY_DISCARD:
    case STAGE_MEMORY_DISCARD:
    case STAGE_MEMORY_POPULATE:
        vmem_source_populate(it->source, &stage_low, NULL);
        vmem_source_discard(it->source, &stage_low, NULL);
        break;
    case STAGE_LISTENER_DESTROY:
        enter_destroy(it);
        break;
    case STAGE_MEMORY_ZERO:
        enter_memory_zero(it);
        break;
    case STAGE_MEMORY_USAGE:
        enter_usage(it);
        break;
    case STAGE_MEMORY_DESTROY:
        enter_memory_destroy(it);
        break;
    case STAGE_LOOSE_DISCARD:
        vmem_backing_discard(it->loose, &stage_low, NULL);
        break;
    case STAGE_WALK:
        vmem_region_for_each_populated(it->region, NULL, in_walk, it);
        vmem_region_for_each_discarded(it->region, NULL, in_walk, it);
        break;
    case STAGE_WITH_POPULATED:
        vmem_region_with_populated(it->region, &stage_high, in_with_populated,
                                   it, NULL);
        break;
    case STAGE_REGION_LIST:
        vmem_vm_for_each_region(it->vm, in_region_list, it);
        break;
    case STAGE_DEVICE_LIST:
        vmem_vm_for_each_device(it->vm, in_device_list, it);
        break;
    case STAGE_CLAIM_LIST:
        vmem_vm_for_each_claim(it->vm, in_claim_list, it);
        break;
    case STAGE_BITMAP_WALK:
        enter_bitmap_walk(it);
        break;
    case STAGE_CONFIG_CHANGED:
    case STAGE_RESIZE_CHANGED:
        vmem_device_resize(it->device, 8 * UNIT, NULL);
        vmem_device_reset(it->device, VMEM_RESET_DRIVER, NULL);
        vmem_device_set_driver_features(it->device, 0);
        break;
    case STAGE_SIZE_CHANGED:
    case STAGE_TRACE:
        stage_request(it, VMEM_REQUEST_PLUG);
        stage_request(it, VMEM_REQUEST_UNPLUG_ALL);
        break;
    case STAGE_WATCHER:
        enter_watcher(it);
        break;
    case STAGE_LOG:
        vmem_device_write_config(it->device, 0, "", 1);
        break;
    case STAGE_DMA_MAP:
        stage_enter_map(it);
        break;
    case STAGE_CALLBACKS:
        break;
    }
}

enum stage_lock stage_lock_of(enum stage_callback callback)
{
    switch (callback) {
    case STAGE_LISTENER_POPULATE:
    case STAGE_LISTENER_DISCARD:
    case STAGE_LISTENER_MAY_DISCARD:
    case STAGE_MEMORY_POPULATE:
    case STAGE_MEMORY_DISCARD:
    case STAGE_MEMORY_ZERO:
    case STAGE_WALK:
    case STAGE_WITH_POPULATED:
        return STAGE_REGION_LOCK;
    case STAGE_REGION_LIST:
    case STAGE_DEVICE_LIST:
    case STAGE_CLAIM_LIST:
        return STAGE_LIST_LOCK;
    case STAGE_DMA_MAP:
        return STAGE_DMA_LOCK;
    default:
        return STAGE_NO_LOCK;
    }
}

const char *stage_callback_name(enum stage_callback callback)
{
    static const char *const names[] = {
        [STAGE_LISTENER_POPULATE] = "listener `populate`",
        [STAGE_LISTENER_DISCARD] = "listener `discard`",
        [STAGE_LISTENER_MAY_DISCARD] = "listener `may_discard`",
        [STAGE_LISTENER_DESTROY] = "listener `destroy`",
        [STAGE_MEMORY_DISCARD] = "backing `discard`",
        [STAGE_MEMORY_POPULATE] = "backing `populate`",
        [STAGE_MEMORY_ZERO] = "backing `zero`",
        [STAGE_MEMORY_USAGE] = "backing `usage`",
        [STAGE_MEMORY_DESTROY] = "backing `destroy`",
        [STAGE_LOOSE_DISCARD] = "backing `discard`, no region",
        [STAGE_WALK] = "`for_each_*` of a region",
        [STAGE_WITH_POPULATED] = "`with_populated`",
        [STAGE_REGION_LIST] = "`for_each_region`",
        [STAGE_DEVICE_LIST] = "`for_each_device`",
        [STAGE_CLAIM_LIST] = "`for_each_claim`",
        [STAGE_BITMAP_WALK] = "`for_each_*` of a bitmap",
        [STAGE_CONFIG_CHANGED] = "`config_changed`",
        [STAGE_SIZE_CHANGED] = "`size_changed`",
        [STAGE_RESIZE_CHANGED] = "`resize_changed`",
        [STAGE_TRACE] = "`trace`",
        [STAGE_WATCHER] = "claim watcher",
        [STAGE_LOG] = "log sink",
        [STAGE_DMA_MAP] = "mapper backend `map`",
    };

    return names[callback];
}
