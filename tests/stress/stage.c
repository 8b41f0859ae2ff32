/* SPDX-License-Identifier: BSD-3-Clause */
#include "stress/stage.h"
#include "stress/stage_dma.h"
#include "support/quiet.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define UNIT STAGE_UNIT

static const struct vmem_range low = { 0, 4 * UNIT };
static const struct vmem_range high = { 8 * UNIT, 4 * UNIT };
static const struct vmem_range top = { 12 * UNIT, UNIT };

static void inside(struct stage *stage, enum stage_callback callback)
{
    if (stage->inside != NULL) {
        stage->inside(stage, callback);
    }
}

/* ---- callbacks ---- */

static int on_populate(const struct vmem_range *range, void *opaque)
{
    (void)range;
    inside(opaque, STAGE_LISTENER_POPULATE);
    return 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    inside(opaque, STAGE_LISTENER_DISCARD);
}

static int on_may_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    inside(opaque, STAGE_LISTENER_MAY_DISCARD);
    return 0;
}

static void on_destroy(void *opaque)
{
    inside(opaque, STAGE_LISTENER_DESTROY);
}

static const struct vmem_listener_ops listener_ops = {
    .struct_size = sizeof(listener_ops),
    .populate = on_populate,
    .discard = on_discard,
    .destroy = on_destroy,
    .may_discard = on_may_discard,
};

static const struct vmem_listener_ops quiet_listener_ops = {
    .struct_size = sizeof(quiet_listener_ops),
    .populate = quiet_accept,
    .discard = quiet_discard,
};

static int memory_discard(const struct vmem_range *range, void *opaque)
{
    struct stage_memory *memory = opaque;

    (void)range;
    inside(memory->stage,
           memory->is_loose ? STAGE_LOOSE_DISCARD : STAGE_MEMORY_DISCARD);
    return atomic_load(&memory->discard_fails) ? -EIO : 0;
}

static int memory_populate(const struct vmem_range *range, void *opaque)
{
    struct stage_memory *memory = opaque;

    (void)range;
    if (!memory->is_loose) {
        inside(memory->stage, STAGE_MEMORY_POPULATE);
    }
    return 0;
}

static int memory_zero(const struct vmem_range *range, void *opaque)
{
    struct stage_memory *memory = opaque;

    (void)range;
    inside(memory->stage, STAGE_MEMORY_ZERO);
    return 0;
}

static int memory_usage(const struct vmem_range *range, uint64_t *resident,
                        void *opaque)
{
    struct stage_memory *memory = opaque;

    *resident = range->size;
    inside(memory->stage, STAGE_MEMORY_USAGE);
    return 0;
}

static void memory_destroy(void *opaque)
{
    struct stage_memory *memory = opaque;

    inside(memory->stage, STAGE_MEMORY_DESTROY);
}

static const struct vmem_backing_ops memory_ops = {
    .struct_size = sizeof(memory_ops),
    .discard = memory_discard,
    .populate = memory_populate,
    .zero = memory_zero,
    .usage = memory_usage,
    .destroy = memory_destroy,
};

static int quiet_usage(const struct vmem_range *range, uint64_t *resident,
                       void *opaque)
{
    (void)opaque;
    *resident = range->size;
    return 0;
}

static const struct vmem_backing_ops quiet_memory_ops = {
    .struct_size = sizeof(quiet_memory_ops),
    .discard = quiet_accept,
    .usage = quiet_usage,
};

static void on_config_changed(void *opaque)
{
    inside(opaque, STAGE_CONFIG_CHANGED);
}

static void on_size_changed(uint64_t plugged_size, void *opaque)
{
    (void)plugged_size;
    inside(opaque, STAGE_SIZE_CHANGED);
}

static void on_resize_changed(const struct vmem_resize_status *status,
                              void *opaque)
{
    (void)status;
    inside(opaque, STAGE_RESIZE_CHANGED);
}

static void on_trace(const struct vmem_trace_event *event, void *opaque)
{
    (void)event;
    inside(opaque, STAGE_TRACE);
}

static const struct vmem_device_ops device_ops = {
    .struct_size = sizeof(device_ops),
    .config_changed = on_config_changed,
    .size_changed = on_size_changed,
    .resize_changed = on_resize_changed,
    .trace = on_trace,
};

static void on_claims(uint32_t claims, void *opaque)
{
    (void)claims;
    inside(opaque, STAGE_WATCHER);
}

static void on_log(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    inside(opaque, STAGE_LOG);
}

static int in_walk(const struct vmem_range *range, void *opaque)
{
    (void)range;
    inside(opaque, STAGE_WALK);
    return 0;
}

static int in_with_populated(const struct vmem_range *range, void *opaque)
{
    (void)range;
    inside(opaque, STAGE_WITH_POPULATED);
    return 0;
}

static int in_region_list(struct vmem_region *region, void *opaque)
{
    (void)region;
    inside(opaque, STAGE_REGION_LIST);
    return 0;
}

static int in_device_list(struct vmem_device *device, void *opaque)
{
    (void)device;
    inside(opaque, STAGE_DEVICE_LIST);
    return 0;
}

static int in_claim_list(uint32_t kind, const char *owner, void *opaque)
{
    (void)kind;
    (void)owner;
    inside(opaque, STAGE_CLAIM_LIST);
    return 0;
}

static int in_bitmap_walk(const struct vmem_bitmap_run *run, void *opaque)
{
    (void)run;
    inside(opaque, STAGE_BITMAP_WALK);
    return 0;
}

/* ---- making ---- */

static int make_backing(struct stage *stage, const char *name,
                        struct stage_memory *memory,
                        struct vmem_backing **backing)
{
    const struct vmem_backing_custom config = {
        .struct_size = sizeof(config),
        .name = name,
        .size = STAGE_SIZE,
        .page_size = UNIT,
        .flags = VMEM_BACKING_POPULATE,
    };

    if (memory == NULL) {
        return vmem_backing_new_custom(stage->vm, &config, &quiet_memory_ops,
                                       NULL, backing, NULL);
    }
    memory->stage = stage;
    return vmem_backing_new_custom(stage->vm, &config, &memory_ops, memory,
                                   backing, NULL);
}

static int make_region(struct vmem_vm *vm, const char *name,
                       struct vmem_backing *backing,
                       struct vmem_region **region)
{
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .size = STAGE_SIZE,
        .backing = backing,
    };

    return vmem_region_new(vm, &config, region, NULL);
}

static int make_source(struct vmem_region *region, const char *name,
                       uint64_t flags, struct vmem_source **source)
{
    const struct vmem_source_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .block_size = UNIT,
        .flags = flags,
    };

    return vmem_source_add(region, &config, source, NULL);
}

static int make_listener(struct stage *stage, struct vmem_region *region,
                         const char *name, const struct vmem_listener_ops *ops,
                         struct vmem_listener **listener)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = name,
    };

    return vmem_listener_add(region, &config, ops, stage, listener, NULL);
}

static int make_device(struct stage *stage, struct vmem_region *region,
                       const char *name, uint64_t gpa,
                       const struct vmem_device_ops *ops,
                       struct vmem_device **device)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .gpa = gpa,
        .block_size = UNIT,
        .requested_size = 4 * UNIT,
    };

    return vmem_device_new(region, &config, ops, stage, device, NULL);
}

static uint64_t clock_ns(void *opaque)
{
    struct stage *stage = opaque;

    return atomic_load(&stage->now_ns);
}

static bool open_vms(struct stage *it)
{
    const struct vmem_vm_config config = {
        .struct_size = sizeof(config),
        .name = "vm",
        .log = on_log,
        .clock_ns = clock_ns,
        .opaque = it,
    };
    const struct vmem_vm_config other_config = {
        .struct_size = sizeof(other_config),
        .name = "other vm",
    };

    return vmem_vm_new(&config, &it->vm, NULL) == 0 &&
           vmem_vm_new(&other_config, &it->other_vm, NULL) == 0 &&
           make_region(it->other_vm, "r", NULL, &it->other_vm_region) == 0 &&
           make_source(it->other_vm_region, "s", 0, &it->other_vm_source) == 0;
}

static bool open_own(struct stage *it)
{
    return make_backing(it, "memory", &it->memory, &it->backing) == 0 &&
           make_region(it->vm, "own", it->backing, &it->region) == 0 &&
           make_source(it->region, "source", VMEM_SOURCE_DISCARDS,
                       &it->source) == 0 &&
           vmem_source_populate(it->source, &high, NULL) == 0 &&
           make_listener(it, it->region, "listener", &listener_ops,
                         &it->listener) == 0;
}

static bool open_others(struct stage *it)
{
    return make_region(it->vm, "other", NULL, &it->other) == 0 &&
           make_source(it->other, "source", 0, &it->other_source) == 0 &&
           vmem_source_populate(it->other_source, &high, NULL) == 0 &&
           make_listener(it, it->other, "listener", &quiet_listener_ops,
                         &it->other_listener) == 0 &&
           make_region(it->vm, "device region", NULL, &it->device_region) ==
               0 &&
           make_device(it, it->device_region, "device", 0, &device_ops,
                       &it->device) == 0;
}

static bool open_spares(struct stage *it)
{
    it->loose_memory.is_loose = true;
    return make_backing(it, "loose", &it->loose_memory, &it->loose) == 0 &&
           make_backing(it, "spare", &it->spare_memory, &it->spare_backing) ==
               0 &&
           make_region(it->vm, "spare", NULL, &it->spare_region) == 0 &&
           make_region(it->vm, "spare device", NULL,
                       &it->spare_device_region) == 0 &&
           make_device(it, it->spare_device_region, "spare", STAGE_SIZE, NULL,
                       &it->spare_device) == 0 &&
           make_listener(it, it->other, "spare", &quiet_listener_ops,
                         &it->spare_listener) == 0 &&
           make_source(it->other, "spare", VMEM_SOURCE_POPULATED,
                       &it->spare_source) == 0 &&
           vmem_discard_claim_take(it->vm, VMEM_CLAIM_NEED_COORDINATED, "claim",
                                   &it->claim, NULL) == 0 &&
           vmem_discard_claim_take(it->vm, VMEM_CLAIM_NEED_COORDINATED, "spare",
                                   &it->spare_claim, NULL) == 0 &&
           vmem_discard_watcher_add(it->vm, quiet_claims, NULL,
                                    &it->spare_watcher, NULL) == 0;
}

bool stage_open(struct stage *it)
{
    memset(it, 0, sizeof(*it));
    it->mapped = mmap(NULL, STAGE_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return it->mapped != MAP_FAILED && open_vms(it) && open_own(it) &&
           open_others(it) && open_spares(it) && stage_open_dma(it);
}

bool stage_close(struct stage *it)
{
    bool ok = true;

    it->inside = NULL;
    atomic_store(&it->memory.discard_fails, false);
    ok &= vmem_discard_watcher_remove(it->spare_watcher, NULL) == 0 ||
          it->spare_watcher == NULL;
    ok &= vmem_discard_claim_release(it->spare_claim, NULL) == 0 ||
          it->spare_claim == NULL;
    ok &= vmem_discard_claim_release(it->claim, NULL) == 0;
    ok &= stage_close_dma(it);
    ok &= vmem_listener_remove(it->spare_listener, NULL) == 0;
    ok &= vmem_listener_remove(it->other_listener, NULL) == 0;
    ok &= vmem_listener_remove(it->listener, NULL) == 0;
    ok &= vmem_device_free(it->made_device, NULL) == 0;
    ok &= vmem_device_free(it->spare_device, NULL) == 0;
    ok &= vmem_device_free(it->device, NULL) == 0;
    ok &= vmem_source_remove(it->spare_source, NULL) == 0;
    ok &= vmem_source_remove(it->other_source, NULL) == 0;
    ok &= vmem_source_remove(it->source, NULL) == 0;
    ok &= vmem_source_remove(it->other_vm_source, NULL) == 0;
    ok &= vmem_region_free(it->made_region, NULL) == 0;
    ok &= vmem_region_free(it->spare_device_region, NULL) == 0;
    ok &= vmem_region_free(it->spare_region, NULL) == 0;
    ok &= vmem_region_free(it->device_region, NULL) == 0;
    ok &= vmem_region_free(it->other, NULL) == 0;
    ok &= vmem_region_free(it->region, NULL) == 0;
    ok &= vmem_region_free(it->other_vm_region, NULL) == 0;
    for (size_t i = 0; i < 3; i++) {
        ok &= vmem_backing_free(it->made_backings[i], NULL) == 0;
    }
    ok &= vmem_backing_free(it->spare_backing, NULL) == 0;
    ok &= vmem_backing_free(it->loose, NULL) == 0;
    ok &= vmem_backing_free(it->backing, NULL) == 0;
    ok &= vmem_vm_free(it->made_vm, NULL) == 0;
    ok &= vmem_vm_free(it->other_vm, NULL) == 0;
    ok &= vmem_vm_free(it->vm, NULL) == 0;
    munmap(it->mapped, STAGE_SIZE);
    return ok;
}

/* ---- running each callback ---- */

static int request(struct stage *it, uint16_t type)
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

    if (make_listener(it, it->region, "x", &listener_ops, &listener) == 0) {
        vmem_listener_remove(listener, NULL);
    }
}

static void enter_memory_destroy(struct stage *it)
{
    struct stage_memory memory = { .is_loose = true };
    struct vmem_backing *backing;

    if (make_backing(it, "x", &memory, &backing) == 0) {
        vmem_backing_free(backing, NULL);
    }
}

static void enter_memory_zero(struct stage *it)
{
    if (vmem_source_populate(it->source, &low, NULL) < 0) {
        return;
    }
    atomic_store(&it->memory.discard_fails, true);
    vmem_source_discard(it->source, &low, NULL);
    vmem_source_populate(it->source, &low, NULL);
    atomic_store(&it->memory.discard_fails, false);
    vmem_source_discard(it->source, &low, NULL);
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
        vmem_source_populate(it->source, &low, NULL);
        vmem_source_discard(it->source, &low, NULL);
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
        vmem_backing_discard(it->loose, &low, NULL);
        break;
    case STAGE_WALK:
        vmem_region_for_each_populated(it->region, NULL, in_walk, it);
        vmem_region_for_each_discarded(it->region, NULL, in_walk, it);
        break;
    case STAGE_WITH_POPULATED:
        vmem_region_with_populated(it->region, &high, in_with_populated, it,
                                   NULL);
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
        request(it, VMEM_REQUEST_PLUG);
        request(it, VMEM_REQUEST_UNPLUG_ALL);
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

/* ---- the calls ---- */

static int call_names(struct stage *it)
{
    const struct vmem_trace_event thaw = { .struct_size = sizeof(thaw),
                                           .kind = VMEM_TRACE_FREEZE };

    return vmem_version() != NULL && vmem_reason_name(0) != NULL &&
                   vmem_blame_name(0) != NULL &&
                   vmem_log_level_name(0) != NULL &&
                   vmem_backing_kind_name(0) != NULL &&
                   vmem_usage_method_name(0) != NULL &&
                   vmem_request_type_name(0) != NULL &&
                   vmem_response_type_name(0) != NULL &&
                   vmem_block_state_name(0) != NULL &&
                   vmem_reset_kind_name(0) != NULL &&
                   vmem_resize_state_name(0) != NULL &&
                   vmem_resize_stall_name(0) != NULL &&
                   vmem_trace_event_format(&thaw, "vmem0", NULL, 0) > 0 &&
                   vmem_vm_get_name(it->vm) != NULL &&
                   vmem_region_get_name(it->region) != NULL &&
                   vmem_region_get_size(it->region) == STAGE_SIZE &&
                   vmem_region_get_backing(it->region) == it->backing &&
                   vmem_device_get_features(it->device) ==
                       VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE
               ? 0
               : -EPROTO;
}

static int ignore_run(const struct vmem_bitmap_run *run, void *opaque)
{
    (void)run;
    (void)opaque;
    return 0;
}

static int call_bitmap(struct stage *it)
{
    struct vmem_bitmap *bitmap;
    uint64_t word;
    bool ok;

    (void)it;
    if (vmem_bitmap_new(8, &bitmap) < 0) {
        return -ENOMEM;
    }
    ok = vmem_bitmap_set(bitmap, 0, 8, NULL) == 0 &&
         vmem_bitmap_clear(bitmap, 4, 4, NULL) == 0 &&
         vmem_bitmap_get_nr_blocks(bitmap) == 8 &&
         vmem_bitmap_get_nr_set(bitmap) == 4 && vmem_bitmap_is_set(bitmap, 0) &&
         vmem_bitmap_get_state(bitmap, 0, 8) == VMEM_BITMAP_MIXED &&
         vmem_bitmap_count(bitmap, 0, 8) == 4 &&
         vmem_bitmap_next_set(bitmap, 0, 8) == 0 &&
         vmem_bitmap_next_clear(bitmap, 0, 8) == 4 &&
         vmem_bitmap_for_each_set(bitmap, 0, 8, ignore_run, NULL) == 0 &&
         vmem_bitmap_for_each_clear(bitmap, 0, 8, ignore_run, NULL) == 0 &&
         vmem_bitmap_copy_out(bitmap, 0, 8, &word) == 0 && word == 0xf;
    vmem_bitmap_free(bitmap);
    return ok ? 0 : -EPROTO;
}

static int call_region_info(struct stage *it)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };

    return vmem_region_get_info(it->region, &info) < 0 ||
                   vmem_region_get_info(it->other, &info) < 0 ||
                   info.populated_size < high.size ||
                   !vmem_region_is_populated(it->region, &high) ||
                   !vmem_region_is_populated(it->other, &high) ||
                   vmem_region_is_frozen(it->other)
               ? -EPROTO
               : 0;
}

static int call_source_info(struct stage *it)
{
    struct vmem_source_info info = { .struct_size = sizeof(info) };

    return vmem_source_get_info(it->source, &info);
}

static int call_device_info(struct stage *it)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];

    vmem_device_get_config_generation(it->device);
    return vmem_device_get_info(it->device, &info) < 0 ||
                   vmem_device_get_stats(it->device, &stats) < 0 ||
                   vmem_device_get_resize_status(it->device, &status) < 0 ||
                   vmem_device_read_config(it->device, 0, bytes,
                                           sizeof(bytes)) < 0 ||
                   vmem_device_check_removable(it->device, NULL) != -EBUSY
               ? -EPROTO
               : 0;
}

static int call_write_config(struct stage *it)
{
    return vmem_device_write_config(it->spare_device, 0, "", 1);
}

static int call_backing_info(struct stage *it)
{
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    return vmem_backing_get_info(it->backing, &info) < 0 ||
                   vmem_backing_get_stats(it->backing, &stats) < 0 ||
                   vmem_backing_get_usage(it->spare_backing, NULL, &usage,
                                          NULL) < 0
               ? -EPROTO
               : 0;
}

static int call_claims(struct stage *it)
{
    /* A mapper or a watcher's claim may forbid, on any thread. */
    (void)vmem_vm_is_uncoordinated_forbidden(it->vm);
    return vmem_vm_get_claims(it->vm) == 0 || !vmem_vm_is_discard_needed(it->vm)
               ? -EPROTO
               : 0;
}

static int count_range(const struct vmem_range *range, void *opaque)
{
    (void)range;
    ++*(unsigned int *)opaque;
    return 0;
}

static int walk(struct vmem_region *region, const struct vmem_source *source)
{
    unsigned int nr_runs = 0;
    uint64_t word = 0;
    uint64_t source_word = 0;
    int ret =
        vmem_region_for_each_populated(region, &high, count_range, &nr_runs);

    if (ret == 0) {
        ret =
            vmem_region_for_each_discarded(region, &top, count_range, &nr_runs);
    }
    if (ret == 0) {
        ret = vmem_region_get_page_bitmap(region, &high, UNIT, &word);
    }
    if (ret == 0) {
        ret = vmem_source_get_page_bitmap(source, &high, UNIT, &source_word);
    }
    return ret < 0                                             ? ret
           : nr_runs == 2 && word == 0xf && source_word == 0xf ? 0
                                                               : -EPROTO;
}

static int call_walk_own(struct stage *it)
{
    return walk(it->region, it->source);
}

static int call_walk_other(struct stage *it)
{
    return walk(it->other, it->other_source);
}

static int call_hold_own(struct stage *it)
{
    return vmem_region_with_populated(it->region, &high, quiet_accept, NULL,
                                      NULL);
}

static int call_hold_other(struct stage *it)
{
    return vmem_region_with_populated(it->other, &high, quiet_accept, NULL,
                                      NULL);
}

static int count_region(struct vmem_region *region, void *opaque)
{
    (void)region;
    ++*(unsigned int *)opaque;
    return 0;
}

static int count_device(struct vmem_device *device, void *opaque)
{
    (void)device;
    ++*(unsigned int *)opaque;
    return 0;
}

static int count_claim(uint32_t kind, const char *owner, void *opaque)
{
    (void)kind;
    (void)owner;
    ++*(unsigned int *)opaque;
    return 0;
}

static int call_lists(struct stage *it)
{
    unsigned int nr_regions = 0;
    unsigned int nr_devices = 0;
    unsigned int nr_claims = 0;
    bool ok = vmem_vm_for_each_region(it->vm, count_region, &nr_regions) == 0 &&
              vmem_vm_for_each_device(it->vm, count_device, &nr_devices) == 0 &&
              vmem_vm_for_each_claim(it->vm, count_claim, &nr_claims) == 0;

    return ok && nr_regions >= 3 && nr_devices >= 1 && nr_claims >= 2 ? 0
                                                                      : -EPROTO;
}

static int call_loose_populate(struct stage *it)
{
    return vmem_backing_populate(it->loose, &high, NULL);
}

static int call_loose_discard(struct stage *it)
{
    return vmem_backing_discard(it->loose, &high, NULL);
}

static int call_populate_own(struct stage *it)
{
    return vmem_source_populate(it->source, &top, NULL);
}

static int call_discard_own(struct stage *it)
{
    return vmem_source_discard(it->source, &top, NULL);
}

static int call_populate_other(struct stage *it)
{
    return vmem_source_populate(it->other_source, &top, NULL);
}

static int call_discard_other(struct stage *it)
{
    return vmem_source_discard(it->other_source, &top, NULL);
}

static int call_retry(struct stage *it)
{
    return vmem_region_retry_discards(it->other, NULL);
}

static int call_unplug_all(struct stage *it)
{
    return request(it, VMEM_REQUEST_UNPLUG_ALL);
}

/* The callback may be about a block that is plugged already. */
static int call_plug(struct stage *it)
{
    int ret = request(it, VMEM_REQUEST_UNPLUG_ALL);

    return ret < 0 ? ret : request(it, VMEM_REQUEST_PLUG);
}

static int call_state(struct stage *it)
{
    return request(it, VMEM_REQUEST_STATE);
}

static int call_unplug_iov(struct stage *it)
{
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = {
        [0] = VMEM_REQUEST_UNPLUG, [16] = 1
    };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    const struct iovec readable = { bytes, sizeof(bytes) };
    const struct iovec writable = { response, sizeof(response) };

    return vmem_device_handle_request_iov(it->device, &readable, 1, &writable,
                                          1, NULL);
}

static int call_reset_system(struct stage *it)
{
    return vmem_device_reset(it->device, VMEM_RESET_SYSTEM, NULL);
}

static int call_reset_driver(struct stage *it)
{
    return vmem_device_reset(it->device, VMEM_RESET_DRIVER, NULL);
}

static int call_resize(struct stage *it)
{
    return vmem_device_resize(it->device, 8 * UNIT, NULL);
}

static int call_kick(struct stage *it)
{
    return vmem_device_notify_config(it->device);
}

static int call_poll(struct stage *it)
{
    return vmem_device_poll_resize(it->device);
}

static int call_save(struct stage *it)
{
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    uint64_t blocks;

    return vmem_device_save(it->device, &saved, &blocks, 1);
}

/* Nothing plugged. */
static int call_load(struct stage *it)
{
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    const uint64_t blocks = 0;

    vmem_device_get_info(it->device, &info);
    saved.gpa = info.gpa;
    saved.region_size = info.region_size;
    saved.block_size = info.block_size;
    saved.usable_region_size = info.region_size;
    return vmem_device_load(it->device, &saved, &blocks, 1, NULL);
}

static int call_features(struct stage *it)
{
    return vmem_device_set_driver_features(it->device, 0);
}

static int call_freeze_own(struct stage *it)
{
    return vmem_region_freeze(it->region, "a", NULL);
}

static int call_thaw_own(struct stage *it)
{
    return vmem_region_thaw(it->region, "a", NULL);
}

static int call_freeze_other(struct stage *it)
{
    return vmem_region_freeze(it->other, "a", NULL);
}

static int call_thaw_other(struct stage *it)
{
    return vmem_region_thaw(it->other, "a", NULL);
}

static int call_source_add(struct stage *it)
{
    struct vmem_source *source;
    int ret = make_source(it->region, "new", VMEM_SOURCE_POPULATED, &source);

    return ret < 0 ? ret : vmem_source_remove(source, NULL);
}

static int call_source_remove(struct stage *it)
{
    int ret = vmem_source_remove(it->spare_source, NULL);

    if (ret == 0) {
        it->spare_source = NULL;
    }
    return ret;
}

static int call_listener_add(struct stage *it)
{
    struct vmem_listener *listener;
    int ret =
        make_listener(it, it->region, "new", &quiet_listener_ops, &listener);

    return ret < 0 ? ret : vmem_listener_remove(listener, NULL);
}

static int call_listener_remove(struct stage *it)
{
    int ret = vmem_listener_remove(it->spare_listener, NULL);

    if (ret == 0) {
        it->spare_listener = NULL;
    }
    return ret;
}

static int call_listener_remove_own(struct stage *it)
{
    int ret = vmem_listener_remove(it->listener, NULL);

    if (ret == 0) {
        it->listener = NULL;
    }
    return ret;
}

static int call_vm_new(struct stage *it)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "new" };

    return vmem_vm_new(&config, &it->made_vm, NULL);
}

static int call_region_new(struct stage *it)
{
    return make_region(it->vm, "new", NULL, &it->made_region);
}

static int call_backing_custom(struct stage *it)
{
    return make_backing(it, "new", NULL, &it->made_backings[0]);
}

static int call_backing_mapped(struct stage *it)
{
    const struct vmem_backing_mapping mapping = {
        .struct_size = sizeof(mapping),
        .name = "new",
        .hva = it->mapped,
        .size = STAGE_SIZE,
    };

    return vmem_backing_new_mapped(it->vm, &mapping, &it->made_backings[1],
                                   NULL);
}

static int call_backing_allocated(struct stage *it)
{
    const struct vmem_backing_config memory_request = {
        .struct_size = sizeof(memory_request),
        .name = "new",
        .size = STAGE_SIZE,
        .kind = VMEM_BACKING_ANON,
    };

    return vmem_backing_new_allocated(it->vm, &memory_request,
                                      &it->made_backings[2], NULL);
}

static int call_device_new(struct stage *it)
{
    return make_device(it, it->spare_region, "new", 2 * STAGE_SIZE, NULL,
                       &it->made_device);
}

/* Its children are there: where it is allowed, this is refused for them. */
static int call_vm_free(struct stage *it)
{
    return vmem_vm_free(it->vm, NULL);
}

static int call_region_free(struct stage *it)
{
    int ret = vmem_region_free(it->spare_region, NULL);

    if (ret == 0) {
        it->spare_region = NULL;
    }
    return ret;
}

static int call_backing_free(struct stage *it)
{
    int ret = vmem_backing_free(it->spare_backing, NULL);

    if (ret == 0) {
        it->spare_backing = NULL;
    }
    return ret;
}

static int call_device_free(struct stage *it)
{
    int ret = vmem_device_free(it->spare_device, NULL);

    if (ret == 0) {
        it->spare_device = NULL;
    }
    return ret;
}

static int call_claim_take(struct stage *it)
{
    struct vmem_discard_claim *claim;
    int ret = vmem_discard_claim_take(it->vm, VMEM_CLAIM_NEED_COORDINATED,
                                      "new", &claim, NULL);

    return ret < 0 ? ret : vmem_discard_claim_release(claim, NULL);
}

static int call_claim_release(struct stage *it)
{
    int ret = vmem_discard_claim_release(it->spare_claim, NULL);

    if (ret == 0) {
        it->spare_claim = NULL;
    }
    return ret;
}

static int call_watcher_add(struct stage *it)
{
    struct vmem_discard_watcher *watcher;
    int ret =
        vmem_discard_watcher_add(it->vm, quiet_claims, NULL, &watcher, NULL);

    return ret < 0 ? ret : vmem_discard_watcher_remove(watcher, NULL);
}

static int call_watcher_remove(struct stage *it)
{
    int ret = vmem_discard_watcher_remove(it->spare_watcher, NULL);

    if (ret == 0) {
        it->spare_watcher = NULL;
    }
    return ret;
}

static int call_other_vm(struct stage *it)
{
    struct vmem_discard_claim *claim;
    struct vmem_region *region;
    int ret = vmem_source_populate(it->other_vm_source, &low, NULL);

    if (ret == 0) {
        ret = vmem_source_discard(it->other_vm_source, &low, NULL);
    }
    if (ret == 0) {
        ret = vmem_region_freeze(it->other_vm_region, "a", NULL);
    }
    if (ret == 0) {
        ret = vmem_region_thaw(it->other_vm_region, "a", NULL);
    }
    if (ret == 0) {
        ret = make_region(it->other_vm, "new", NULL, &region);
    }
    if (ret == 0) {
        ret = vmem_region_free(region, NULL);
    }
    if (ret == 0) {
        ret = vmem_discard_claim_take(
            it->other_vm, VMEM_CLAIM_NEED_UNCOORDINATED, "new", &claim, NULL);
    }
    return ret < 0 ? ret : vmem_discard_claim_release(claim, NULL);
}

const struct stage_call stage_calls[] = {
    { "vmem_version vmem_reason_name vmem_blame_name vmem_log_level_name "
      "vmem_backing_kind_name vmem_usage_method_name vmem_request_type_name "
      "vmem_response_type_name vmem_block_state_name vmem_reset_kind_name "
      "vmem_resize_state_name vmem_resize_stall_name vmem_trace_event_format "
      "vmem_vm_get_name "
      "vmem_region_get_name vmem_region_get_size vmem_region_get_backing "
      "vmem_device_get_features",
      STAGE_NAMES, 0, call_names },
    { "vmem_bitmap_new vmem_bitmap_free vmem_bitmap_get_nr_blocks "
      "vmem_bitmap_get_nr_set vmem_bitmap_set vmem_bitmap_clear "
      "vmem_bitmap_is_set vmem_bitmap_get_state vmem_bitmap_count "
      "vmem_bitmap_next_set vmem_bitmap_next_clear vmem_bitmap_for_each_set "
      "vmem_bitmap_for_each_clear vmem_bitmap_copy_out",
      STAGE_NAMES, 0, call_bitmap },
    { "vmem_region_get_info vmem_region_is_populated vmem_region_is_frozen",
      STAGE_ASK, 0, call_region_info },
    { "vmem_source_get_info", STAGE_ASK, 0, call_source_info },
    { "vmem_device_get_info vmem_device_get_stats "
      "vmem_device_get_resize_status vmem_device_read_config "
      "vmem_device_get_config_generation vmem_device_check_removable",
      STAGE_ASK, 0, call_device_info },
    { "vmem_device_write_config", STAGE_ASK, 0, call_write_config },
    { "vmem_backing_get_info vmem_backing_get_stats vmem_backing_get_usage",
      STAGE_ASK, 0, call_backing_info },
    { "vmem_vm_get_claims vmem_vm_is_uncoordinated_forbidden "
      "vmem_vm_is_discard_needed",
      STAGE_ASK, 0, call_claims },
    { "vmem_region_for_each_populated vmem_region_for_each_discarded "
      "vmem_region_get_page_bitmap vmem_source_get_page_bitmap",
      STAGE_WALK_OWN, 0, call_walk_own },
    { "vmem_region_for_each_populated vmem_region_for_each_discarded "
      "vmem_region_get_page_bitmap vmem_source_get_page_bitmap",
      STAGE_WALK_OTHER, 0, call_walk_other },
    { "vmem_region_with_populated", STAGE_HOLD_OWN, 0, call_hold_own },
    { "vmem_region_with_populated", STAGE_HOLD_OTHER, 0, call_hold_other },
    { "vmem_device_save", STAGE_HOLD_OTHER, 0, call_save },
    { "vmem_vm_for_each_region vmem_vm_for_each_device vmem_vm_for_each_claim",
      STAGE_LISTS, 0, call_lists },
    { "vmem_dma_get_info vmem_dma_get_stats", STAGE_ASK, 0, stage_dma_info },
    { "vmem_dma_plan", STAGE_NAMES, 0, stage_dma_plan },
    { "vmem_dma_for_each_mapped", STAGE_MAPPED, 0, stage_dma_each },
    { "vmem_backing_populate", STAGE_LOOSE, 0, call_loose_populate },
    { "vmem_backing_discard", STAGE_LOOSE, 0, call_loose_discard },
    { "vmem_source_populate", STAGE_BLOCKS, 0, call_populate_own },
    { "vmem_source_discard", STAGE_BLOCKS, 0, call_discard_own },
    { "vmem_source_populate", STAGE_BLOCKS, 0, call_populate_other },
    { "vmem_source_discard", STAGE_BLOCKS, 0, call_discard_other },
    { "vmem_region_retry_discards", STAGE_BLOCKS, 0, call_retry },
    { "vmem_device_handle_request", STAGE_BLOCKS, 0, call_unplug_all },
    { "vmem_device_handle_request", STAGE_BLOCKS, 0, call_plug },
    { "vmem_device_handle_request", STAGE_BLOCKS, 0, call_state },
    { "vmem_device_handle_request_iov", STAGE_BLOCKS, 0, call_unplug_iov },
    { "vmem_device_reset", STAGE_BLOCKS, 0, call_reset_system },
    { "vmem_device_load", STAGE_BLOCKS, 0, call_load },
    { "vmem_device_reset", STAGE_SIZES, 0, call_reset_driver },
    { "vmem_device_resize", STAGE_SIZES, 0, call_resize },
    { "vmem_device_notify_config", STAGE_SIZES, 0, call_kick },
    { "vmem_device_poll_resize", STAGE_SIZES, 0, call_poll },
    { "vmem_device_set_driver_features", STAGE_SIZES, 0, call_features },
    { "vmem_region_freeze", STAGE_FREEZE, 0, call_freeze_own },
    { "vmem_region_thaw", STAGE_FREEZE, 0, call_thaw_own },
    { "vmem_region_freeze", STAGE_FREEZE, 0, call_freeze_other },
    { "vmem_region_thaw", STAGE_FREEZE, 0, call_thaw_other },
    { "vmem_source_add", STAGE_JOIN, 0, call_source_add },
    { "vmem_source_remove", STAGE_JOIN, 0, call_source_remove },
    { "vmem_listener_add", STAGE_JOIN, 0, call_listener_add },
    { "vmem_listener_remove", STAGE_JOIN, 0, call_listener_remove },
    { "vmem_listener_remove", STAGE_JOIN, 0, call_listener_remove_own },
    { "vmem_dma_attach", STAGE_DMA, 0, stage_dma_attach },
    { "vmem_dma_attach_static", STAGE_DMA, 0, stage_dma_attach_static },
    { "vmem_dma_retry_unmaps", STAGE_DMA, 0, stage_dma_retry },
    { "vmem_dma_viommu_map", STAGE_DMA, 0, stage_dma_guest },
    { "vmem_dma_viommu_unmap", STAGE_DMA, 0, stage_dma_guest_unmap },
    { "vmem_dma_viommu_replay", STAGE_DMA, 0, stage_dma_replay },
    { "vmem_dma_detach", STAGE_DMA, 0, stage_dma_detach },
    { "vmem_region_new", STAGE_MAKE, 0, call_region_new },
    { "vmem_dma_new_custom", STAGE_MAKE, 0, stage_dma_new },
    { "vmem_dma_new_type1", STAGE_MAKE, -EBADF, stage_dma_new_type1 },
    { "vmem_dma_new_iommufd", STAGE_MAKE, -EBADF, stage_dma_new_iommufd },
    { "vmem_backing_new_custom", STAGE_MAKE, 0, call_backing_custom },
    { "vmem_backing_new_mapped", STAGE_MAKE, 0, call_backing_mapped },
    { "vmem_backing_new_allocated", STAGE_MAKE, 0, call_backing_allocated },
    { "vmem_device_new", STAGE_MAKE, 0, call_device_new },
    { "vmem_vm_free", STAGE_FREE, -EBUSY, call_vm_free },
    { "vmem_region_free", STAGE_FREE, 0, call_region_free },
    { "vmem_backing_free", STAGE_FREE, 0, call_backing_free },
    { "vmem_device_free", STAGE_FREE, 0, call_device_free },
    { "vmem_dma_free", STAGE_FREE, 0, stage_dma_free },
    { "vmem_discard_claim_take", STAGE_CLAIMS, 0, call_claim_take },
    { "vmem_discard_claim_release", STAGE_CLAIMS, 0, call_claim_release },
    { "vmem_discard_watcher_add", STAGE_CLAIMS, 0, call_watcher_add },
    { "vmem_discard_watcher_remove", STAGE_CLAIMS, 0, call_watcher_remove },
    { "vmem_vm_new", STAGE_OTHER_VM, 0, call_vm_new },
    { "", STAGE_OTHER_VM, 0, call_other_vm },
};

const size_t stage_nr_calls = sizeof(stage_calls) / sizeof(stage_calls[0]);

static const struct {
    const char *name;
    const char *what;
} groups[] = {
    [STAGE_NAMES] = { "names", "Constants, names, sizes, and bitmaps of the "
                               "caller's own." },
    [STAGE_ASK] = { "ask", "Queries; answers may be out of date at once." },
    [STAGE_WALK_OWN] = { "walk own", "Walks of the region that the callback is "
                                     "about." },
    [STAGE_WALK_OTHER] = { "walk other", "The same of another region." },
    [STAGE_HOLD_OWN] = { "hold own", "Holding the region that the callback is "
                                     "about." },
    [STAGE_HOLD_OTHER] = { "hold other", "The same of another region." },
    [STAGE_LISTS] = { "lists", "Walks of the machine's lists." },
    [STAGE_MAPPED] = { "mapped", "Walks of what a mapper has mapped." },
    [STAGE_LOOSE] = { "loose", "Memory of a backing that no region uses." },
    [STAGE_BLOCKS] = { "blocks", "Changes of blocks, of whichever region, and "
                                 "every request." },
    [STAGE_SIZES] = { "sizes", "What a host or driver tells a device, and "
                               "resets." },
    [STAGE_FREEZE] = { "freeze", "Freezing and thawing." },
    [STAGE_JOIN] = { "join", "Adding and removing sources and listeners." },
    [STAGE_DMA] = { "dma", "Attaching to a mapper, detaching, and what a guest "
                           "maps." },
    [STAGE_MAKE] = { "make", "Making objects." },
    [STAGE_FREE] = { "free", "Freeing objects." },
    [STAGE_CLAIMS] = { "claims", "Taking and releasing claims, adding and "
                                 "removing watchers." },
    [STAGE_OTHER_VM] = { "other vm", "Any call on a machine that the thread is "
                                     "in no callback of." },
};

const char *stage_group_name(enum stage_group group)
{
    return groups[group].name;
}

const char *stage_group_what(enum stage_group group)
{
    return groups[group].what;
}
