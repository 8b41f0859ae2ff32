/* SPDX-License-Identifier: BSD-3-Clause */
#include "stress/stage.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "stress/stage_dma.h"
#include "stress/stage_parts.h"
#include "support/quiet.h"

const struct vmem_range stage_low = { 0, 4 * UNIT };
const struct vmem_range stage_high = { 8 * UNIT, 4 * UNIT };
const struct vmem_range stage_top = { 12 * UNIT, UNIT };

void stage_inside(struct stage *stage, enum stage_callback callback)
{
    if (stage->inside != NULL) {
        stage->inside(stage, callback);
    }
}

/* ---- callbacks ---- */

static int on_populate(const struct vmem_range *range, void *opaque)
{
    (void)range;
    stage_inside(opaque, STAGE_LISTENER_POPULATE);
    return 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    stage_inside(opaque, STAGE_LISTENER_DISCARD);
}

static int on_may_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    stage_inside(opaque, STAGE_LISTENER_MAY_DISCARD);
    return 0;
}

static void on_destroy(void *opaque)
{
    stage_inside(opaque, STAGE_LISTENER_DESTROY);
}

const struct vmem_listener_ops stage_listener_ops = {
    .struct_size = sizeof(stage_listener_ops),
    .populate = on_populate,
    .discard = on_discard,
    .destroy = on_destroy,
    .may_discard = on_may_discard,
};

const struct vmem_listener_ops stage_quiet_listener_ops = {
    .struct_size = sizeof(stage_quiet_listener_ops),
    .populate = quiet_accept,
    .discard = quiet_discard,
};

static int memory_discard(const struct vmem_range *range, void *opaque)
{
    struct stage_memory *memory = opaque;

    (void)range;
    stage_inside(memory->stage,
                 memory->is_loose ? STAGE_LOOSE_DISCARD : STAGE_MEMORY_DISCARD);
    return atomic_load(&memory->discard_fails) ? -EIO : 0;
}

static int memory_populate(const struct vmem_range *range, void *opaque)
{
    struct stage_memory *memory = opaque;

    (void)range;
    if (!memory->is_loose) {
        stage_inside(memory->stage, STAGE_MEMORY_POPULATE);
    }
    return 0;
}

static int memory_zero(const struct vmem_range *range, void *opaque)
{
    struct stage_memory *memory = opaque;

    (void)range;
    stage_inside(memory->stage, STAGE_MEMORY_ZERO);
    return 0;
}

static int memory_usage(const struct vmem_range *range, uint64_t *resident,
                        void *opaque)
{
    struct stage_memory *memory = opaque;

    *resident = range->size;
    stage_inside(memory->stage, STAGE_MEMORY_USAGE);
    return 0;
}

static void memory_destroy(void *opaque)
{
    struct stage_memory *memory = opaque;

    stage_inside(memory->stage, STAGE_MEMORY_DESTROY);
}

static const struct vmem_backing_ops memory_ops = {
    .struct_size = sizeof(memory_ops),
    .discard = memory_discard,
    .populate = memory_populate,
    .zero = memory_zero,
    .usage = memory_usage,
    .destroy = memory_destroy,
};

static const struct vmem_backing_ops quiet_memory_ops = {
    .struct_size = sizeof(quiet_memory_ops),
    .discard = quiet_accept,
    .usage = quiet_usage,
};

static void on_config_changed(void *opaque)
{
    stage_inside(opaque, STAGE_CONFIG_CHANGED);
}

static void on_size_changed(uint64_t plugged_size, void *opaque)
{
    (void)plugged_size;
    stage_inside(opaque, STAGE_SIZE_CHANGED);
}

static void on_resize_changed(const struct vmem_resize_status *status,
                              void *opaque)
{
    (void)status;
    stage_inside(opaque, STAGE_RESIZE_CHANGED);
}

static void on_trace(const struct vmem_trace_event *event, void *opaque)
{
    (void)event;
    stage_inside(opaque, STAGE_TRACE);
}

static const struct vmem_device_ops device_ops = {
    .struct_size = sizeof(device_ops),
    .config_changed = on_config_changed,
    .size_changed = on_size_changed,
    .resize_changed = on_resize_changed,
    .trace = on_trace,
};

static void on_log(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    stage_inside(opaque, STAGE_LOG);
}

/* ---- making ---- */

int stage_make_backing(struct stage *stage, const char *name,
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

int stage_make_region(struct vmem_vm *vm, const char *name,
                      struct vmem_backing *backing, struct vmem_region **region)
{
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .size = STAGE_SIZE,
        .backing = backing,
    };

    return vmem_region_new(vm, &config, region, NULL);
}

int stage_make_source(struct vmem_region *region, const char *name,
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

int stage_make_listener(struct stage *stage, struct vmem_region *region,
                        const char *name, const struct vmem_listener_ops *ops,
                        struct vmem_listener **listener)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = name,
    };

    return vmem_listener_add(region, &config, ops, stage, listener, NULL);
}

int stage_make_device(struct stage *stage, struct vmem_region *region,
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
           stage_make_region(it->other_vm, "r", NULL, &it->other_vm_region) ==
               0 &&
           stage_make_source(it->other_vm_region, "s", 0,
                             &it->other_vm_source) == 0;
}

static bool open_own(struct stage *it)
{
    return stage_make_backing(it, "memory", &it->memory, &it->backing) == 0 &&
           stage_make_region(it->vm, "own", it->backing, &it->region) == 0 &&
           stage_make_source(it->region, "source", VMEM_SOURCE_DISCARDS,
                             &it->source) == 0 &&
           vmem_source_populate(it->source, &stage_high, NULL) == 0 &&
           stage_make_listener(it, it->region, "listener", &stage_listener_ops,
                               &it->listener) == 0;
}

static bool open_others(struct stage *it)
{
    return stage_make_region(it->vm, "other", NULL, &it->other) == 0 &&
           stage_make_source(it->other, "source", 0, &it->other_source) == 0 &&
           vmem_source_populate(it->other_source, &stage_high, NULL) == 0 &&
           stage_make_listener(it, it->other, "listener",
                               &stage_quiet_listener_ops,
                               &it->other_listener) == 0 &&
           stage_make_region(it->vm, "device region", NULL,
                             &it->device_region) == 0 &&
           stage_make_device(it, it->device_region, "device", 0, &device_ops,
                             &it->device) == 0;
}

static bool open_spares(struct stage *it)
{
    it->loose_memory.is_loose = true;
    return stage_make_backing(it, "loose", &it->loose_memory, &it->loose) ==
               0 &&
           stage_make_backing(it, "spare", &it->spare_memory,
                              &it->spare_backing) == 0 &&
           stage_make_region(it->vm, "spare", NULL, &it->spare_region) == 0 &&
           stage_make_region(it->vm, "spare device", NULL,
                             &it->spare_device_region) == 0 &&
           stage_make_device(it, it->spare_device_region, "spare", STAGE_SIZE,
                             NULL, &it->spare_device) == 0 &&
           stage_make_listener(it, it->other, "spare",
                               &stage_quiet_listener_ops,
                               &it->spare_listener) == 0 &&
           stage_make_source(it->other, "spare", VMEM_SOURCE_POPULATED,
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
