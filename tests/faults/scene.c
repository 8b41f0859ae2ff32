/* SPDX-License-Identifier: BSD-3-Clause */
#include "faults/scene.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "core/source.h"
#include "faults/point.h"
#include "virtio/device.h"

static const int may_refuse[] = { -ENOSPC, POINT_POSITIVE, 0 };
static const int may_stop[] = { POINT_POSITIVE, 0 };

void complain(struct scene *scene, const char *format, ...)
{
    va_list args;

    if (scene->complaint[0] == '\0') {
        va_start(args, format);
        vsnprintf(scene->complaint, sizeof(scene->complaint), format, args);
        va_end(args);
    }
}

struct vmem_range units(uint64_t first, uint64_t nr)
{
    return (struct vmem_range){ first * UNIT, nr * UNIT };
}

/* ---- callbacks ---- */

static void follower_set(struct follower *follower,
                         const struct vmem_range *range, bool has)
{
    if (!follower->in_batch) {
        complain(follower->scene, "%s: told of a range outside a batch",
                 follower->name);
    }
    for (uint64_t i = range->offset / UNIT;
         i < (range->offset + range->size) / UNIT; i++) {
        if (follower->has[i] == has) {
            complain(follower->scene, "%s: told %s of unit %" PRIu64 " twice",
                     follower->name, has ? "populate" : "discard", i);
        }
        follower->has[i] = has;
    }
}

static int follower_populate(const struct vmem_range *range, void *opaque)
{
    const int variant = point("listener populate", may_refuse);

    if (variant == 0) {
        follower_set(opaque, range, true);
    }
    return variant;
}

static void follower_discard(const struct vmem_range *range, void *opaque)
{
    point_reached("listener discard");
    follower_set(opaque, range, false);
}

static int follower_may_discard(const struct vmem_range *range, void *opaque)
{
    const struct follower *follower = opaque;

    for (uint64_t i = range->offset / UNIT;
         i < (range->offset + range->size) / UNIT; i++) {
        if (!follower->has[i] || follower->in_batch) {
            complain(follower->scene,
                     "%s: asked about unit %" PRIu64
                     " in a batch, or without having it",
                     follower->name, i);
        }
    }
    return point("listener may_discard", may_refuse);
}

static void follower_batch(struct follower *follower, bool begins)
{
    if (follower->in_batch == begins) {
        complain(follower->scene, "%s: a batch %s twice", follower->name,
                 begins ? "begins" : "ends");
    }
    follower->in_batch = begins;
}

static void follower_begin(void *opaque)
{
    point_reached("listener begin");
    follower_batch(opaque, true);
}

/* A veto takes back nothing by itself: the library discards what was told. */
static int follower_commit(void *opaque)
{
    const int variant = point("listener commit", may_refuse);

    follower_batch(opaque, false);
    return variant;
}

static void follower_destroy(void *opaque)
{
    struct follower *follower = opaque;

    point_reached("listener destroy");
    if (follower->nr_destroys++ > 0) {
        complain(follower->scene, "%s: destroyed twice", follower->name);
    }
}

static const struct vmem_listener_ops follower_ops = {
    .struct_size = sizeof(follower_ops),
    .populate = follower_populate,
    .discard = follower_discard,
    .destroy = follower_destroy,
    .begin = follower_begin,
    .commit = follower_commit,
    .may_discard = follower_may_discard,
};

static void memory_set(struct memory *memory, const struct vmem_range *range,
                       uint64_t nr, enum content content)
{
    for (uint64_t i = 0; i < nr && i < range->size / UNIT; i++) {
        memory->content[range->offset / UNIT + i] = (uint8_t)content;
    }
}

/* What fails has happened in half; of a single unit, not at all. */
static int memory_discard(const struct vmem_range *range, void *opaque)
{
    static const int variants[] = { -EIO, POINT_POSITIVE, 0 };
    const int variant = ((struct memory *)opaque)->refuses
                            ? -EIO
                            : point("backing discard", variants);

    memory_set(opaque, range,
               variant != 0 ? range->size / UNIT / 2 : UINT64_MAX, ABSENT);
    return variant;
}

static int memory_populate(const struct vmem_range *range, void *opaque)
{
    static const int variants[] = { -ENOMEM, POINT_POSITIVE, 0 };
    const int variant = point("backing populate", variants);

    memory_set(opaque, range, variant != 0 ? 1 : UINT64_MAX, CLEAN);
    return variant;
}

static int memory_zero(const struct vmem_range *range, void *opaque)
{
    static const int variants[] = { -EIO, POINT_POSITIVE, 0 };
    const int variant = point("backing zero", variants);

    memory_set(opaque, range,
               variant != 0 ? range->size / UNIT / 2 : UINT64_MAX, CLEAN);
    return variant;
}

static int memory_usage(const struct vmem_range *range, uint64_t *resident,
                        void *opaque)
{
    static const int variants[] = { -EIO, POINT_POSITIVE, 0 };
    const int variant = point("backing usage", variants);

    (void)opaque;
    *resident = range->size;
    return variant;
}

static void memory_destroy(void *opaque)
{
    struct memory *memory = opaque;

    point_reached("backing destroy");
    memory->nr_destroys++;
}

static const struct vmem_backing_ops memory_ops = {
    .struct_size = sizeof(memory_ops),
    .discard = memory_discard,
    .populate = memory_populate,
    .zero = memory_zero,
    .usage = memory_usage,
    .destroy = memory_destroy,
};

static void on_config_changed(void *opaque)
{
    (void)opaque;
    point_reached("config_changed");
}

static void on_size_changed(uint64_t plugged_size, void *opaque)
{
    (void)plugged_size;
    (void)opaque;
    point_reached("size_changed");
}

static void on_resize_changed(const struct vmem_resize_status *status,
                              void *opaque)
{
    (void)status;
    (void)opaque;
    point_reached("resize_changed");
}

static void on_trace(const struct vmem_trace_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
    point_reached("trace");
}

const struct vmem_device_ops scene_device_ops = {
    .struct_size = sizeof(scene_device_ops),
    .config_changed = on_config_changed,
    .size_changed = on_size_changed,
    .resize_changed = on_resize_changed,
    .trace = on_trace,
};

void scene_on_claims(uint32_t claims, void *opaque)
{
    (void)claims;
    (void)opaque;
    point_reached("watcher");
}

void scene_on_log(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    (void)opaque;
    point_reached("log");
}

uint64_t scene_clock_ns(void *opaque)
{
    (void)opaque;
    point_reached("clock");
    return 1000;
}

int scene_on_range(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return point("range", may_stop);
}

/* ---- making ---- */

int make_memory(struct scene *scene, const char *name, struct memory *memory)
{
    const struct vmem_backing_custom config = {
        .struct_size = sizeof(config),
        .name = name,
        .size = SIZE,
        .page_size = UNIT,
        .flags = VMEM_BACKING_POPULATE,
    };

    memory->nr_destroys = 0;
    return vmem_backing_new_custom(scene->vm, &config, &memory_ops, memory,
                                   &memory->backing, &scene->err);
}

int follow(struct follower *follower, struct scene *scene,
           struct vmem_region *region, const char *name, uint64_t granularity,
           uint64_t flags)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .granularity = granularity,
        .flags = flags,
    };

    follower->scene = scene;
    follower->name = name;
    follower->nr_destroys = 0;
    follower->in_batch = false;
    return vmem_listener_add(region, &config, &follower_ops, follower,
                             &follower->listener, &scene->err);
}

int add_source(struct scene *scene, struct vmem_region *region,
               const char *name, uint64_t block_size, uint64_t flags,
               struct vmem_source **source)
{
    const struct vmem_source_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .block_size = block_size,
        .flags = flags,
    };

    return vmem_source_add(region, &config, source, &scene->err);
}

static int add_region(struct scene *scene, const char *name,
                      struct vmem_backing *backing, struct vmem_region **region)
{
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .size = SIZE,
        .backing = backing,
    };

    return vmem_region_new(scene->vm, &config, region, &scene->err);
}

static int populate(struct vmem_source *source, uint64_t first, uint64_t nr)
{
    const struct vmem_range range = units(first, nr);

    return vmem_source_populate(source, &range, NULL);
}

int send_request(struct scene *scene, uint16_t type, uint64_t first,
                 uint16_t nr)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    int ret;

    vmemi_le16_store(request, type);
    vmemi_le64_store(request + 8, first * UNIT);
    vmemi_le16_store(request + 16, nr);
    ret = vmem_device_handle_request(scene->device, request, sizeof(request),
                                     response, sizeof(response), NULL);
    return ret != 0 ? ret : vmemi_le16_load(response);
}

/* Unit 7 is retained by a, unit 11 by the device, and both are dirty. */
static void retain(struct scene *scene)
{
    const struct vmem_range seven = units(7, 1);

    scene->memory.refuses = true;
    scene->device_memory.refuses = true;
    vmem_source_discard(scene->a, &seven, NULL);
    if (send_request(scene, VMEM_REQUEST_UNPLUG, 11, 1) != VMEM_RESPONSE_ACK) {
        complain(scene, "unit 11 of the device cannot be unplugged");
    }
    scene->memory.refuses = false;
    scene->device_memory.refuses = false;
    scene->memory.content[7] = DIRTY;
    scene->device_memory.content[11] = DIRTY;
}

static void open_region(struct scene *scene)
{
    bool ok =
        make_memory(scene, "memory", &scene->memory) == 0 &&
        add_region(scene, "region", scene->memory.backing, &scene->region) ==
            0 &&
        add_source(scene, scene->region, "a", UNIT, VMEM_SOURCE_DISCARDS,
                   &scene->a) == 0 &&
        add_source(scene, scene->region, "b", 4 * UNIT, VMEM_SOURCE_DISCARDS,
                   &scene->b) == 0 &&
        populate(scene->b, 0, 12) == 0 && populate(scene->a, 2, 4) == 0 &&
        populate(scene->a, 7, 1) == 0 && populate(scene->a, 9, 3) == 0 &&
        populate(scene->a, 13, 2) == 0 &&
        follow(&scene->followers[0], scene, scene->region, "x", 0, 0) == 0 &&
        follow(&scene->followers[1], scene, scene->region, "y", UNIT,
               VMEM_LISTENER_EXACT_DISCARD) == 0;

    if (!ok) {
        complain(scene, "the region could not be made: %s", scene->err.message);
    }
}

static void open_device(struct scene *scene)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "device",
        .block_size = UNIT,
        .requested_size = 12 * UNIT,
        .flags = VMEM_DEVICE_MEASURE_LATENCY,
    };
    bool ok = make_memory(scene, "device memory", &scene->device_memory) == 0 &&
              add_region(scene, "device region", scene->device_memory.backing,
                         &scene->device_region) == 0 &&
              vmem_device_new(scene->device_region, &config, &scene_device_ops,
                              scene, &scene->device, &scene->err) == 0 &&
              follow(&scene->device_follower, scene, scene->device_region, "z",
                     UNIT, 0) == 0;

    if (!ok || send_request(scene, VMEM_REQUEST_PLUG, 8, 4) != 0) {
        complain(scene, "the device could not be made: %s", scene->err.message);
    }
}

void scene_open(struct scene *scene)
{
    const struct vmem_vm_config config = {
        .struct_size = sizeof(config),
        .name = "vm",
        .log = scene_on_log,
        .clock_ns = scene_clock_ns,
        .opaque = scene,
    };

    memset(scene, 0, sizeof(*scene));
    scene->err = (struct vmem_error)VMEM_ERROR_INIT;
    if (vmem_vm_new(&config, &scene->vm, &scene->err) < 0) {
        complain(scene, "the machine could not be made");
        return;
    }
    open_region(scene);
    open_device(scene);
    retain(scene);
    if (make_memory(scene, "loose", &scene->loose) < 0 ||
        vmem_discard_claim_take(scene->vm, VMEM_CLAIM_NEED_COORDINATED, "claim",
                                &scene->claim, NULL) < 0 ||
        vmem_discard_watcher_add(scene->vm, scene_on_claims, scene,
                                 &scene->watcher, NULL) < 0) {
        complain(scene, "the rest could not be made");
    }
}

static void close_follower(struct scene *scene, struct follower *follower)
{
    if (follower->listener == NULL) {
        return;
    }
    if (vmem_listener_remove(follower->listener, NULL) < 0 ||
        follower->nr_destroys != 1) {
        complain(scene, "%s: not removed, or not destroyed once",
                 follower->name);
    }
}

static void expect_freed(struct scene *scene, const char *what, int ret)
{
    if (ret < 0) {
        complain(scene, "%s is not freed: %d, %s", what, ret,
                 scene->err.message);
    }
}

void scene_close(struct scene *scene)
{
    struct vmem_error *err = &scene->err;

    for (unsigned int i = 0; i < 2; i++) {
        close_follower(scene, &scene->followers[i]);
    }
    close_follower(scene, &scene->device_follower);
    expect_freed(scene, "the device", vmem_device_free(scene->device, err));
    expect_freed(scene, "source a", vmem_source_remove(scene->a, err));
    expect_freed(scene, "source b", vmem_source_remove(scene->b, err));
    expect_freed(scene, "the region", vmem_region_free(scene->region, err));
    expect_freed(scene, "the device's region",
                 vmem_region_free(scene->device_region, err));
    expect_freed(scene, "memory",
                 vmem_backing_free(scene->memory.backing, err));
    expect_freed(scene, "the device's memory",
                 vmem_backing_free(scene->device_memory.backing, err));
    expect_freed(scene, "loose memory",
                 vmem_backing_free(scene->loose.backing, err));
    if (scene->watcher != NULL) {
        expect_freed(scene, "the watcher",
                     vmem_discard_watcher_remove(scene->watcher, err));
    }
    if (scene->claim != NULL) {
        expect_freed(scene, "the claim",
                     vmem_discard_claim_release(scene->claim, err));
    }
    expect_freed(scene, "the machine", vmem_vm_free(scene->vm, err));
}

/* ---- looking ---- */

static int add_run(const struct vmem_range *range, void *opaque)
{
    g_string_append_printf(opaque, "[%" PRIu64 ",%" PRIu64 ")",
                           range->offset / UNIT,
                           (range->offset + range->size) / UNIT);
    return 0;
}

static void add_bits(GString *text, const struct vmem_bitmap *bitmap)
{
    for (uint64_t i = 0; i < vmem_bitmap_get_nr_blocks(bitmap); i++) {
        g_string_append_c(text, vmem_bitmap_is_set(bitmap, i) ? '#' : '.');
    }
}

static void add_region_state(GString *text, struct vmem_region *region)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };

    if (region == NULL) {
        return;
    }
    vmem_region_get_info(region, &info);
    g_string_append_printf(text,
                           "\n%s: %" PRIu64 " populated, %" PRIu64
                           " sources, %" PRIu64 " listeners, %" PRIu64
                           " freezers, runs ",
                           info.name, info.populated_size, info.nr_sources,
                           info.nr_listeners, info.nr_freezers);
    vmem_region_for_each_populated(region, NULL, add_run, text);
}

static void add_follower(GString *text, const struct follower *follower)
{
    if (follower->listener == NULL) {
        return;
    }
    g_string_append_printf(text, "\n%s has ", follower->name);
    for (unsigned int i = 0; i < NR_UNITS; i++) {
        g_string_append_c(text, follower->has[i] ? '#' : '.');
    }
}

static int add_claim(uint32_t kind, const char *owner, void *opaque)
{
    g_string_append_printf(opaque, "\nclaim %u of %s", kind, owner);
    return 0;
}

static void add_device_state(GString *text, struct vmem_device *device)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };

    if (device == NULL) {
        return;
    }
    vmem_device_get_info(device, &info);
    vmem_device_get_resize_status(device, &status);
    g_string_append_printf(
        text,
        "\n%s: %" PRIu64 " plugged, %" PRIu64 " requested, %" PRIu64
        " usable, features %" PRIx64 ", generation %" PRIu64 ", driver %" PRIu64
        ", resize %s",
        info.name, info.plugged_size, info.requested_size,
        info.usable_region_size, info.driver_features, info.config_generation,
        info.has_driver,
        status.state == VMEM_RESIZE_IDLE ? "idle" : "going on");
}

char *scene_describe(struct scene *scene)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    GString *text = g_string_new(NULL);

    if (scene->has_dma) {
        dma_settle(scene);
    }
    /* It is refused, with the names of everything. */
    vmem_vm_free(scene->vm, &err);
    g_string_append(text, err.message);
    add_region_state(text, scene->region);
    add_region_state(text, scene->device_region);
    if (scene->a != NULL) {
        g_string_append(text, "\na ");
        add_bits(text, scene->a->blocks);
    }
    if (scene->b != NULL) {
        g_string_append(text, "\nb ");
        add_bits(text, scene->b->blocks);
    }
    for (unsigned int i = 0; i < 2; i++) {
        add_follower(text, &scene->followers[i]);
    }
    add_follower(text, &scene->device_follower);
    add_follower(text, &scene->made_follower);
    add_device_state(text, scene->device);
    vmem_vm_for_each_claim(scene->vm, add_claim, text);
    g_string_append_printf(text, "\nclaims %x", vmem_vm_get_claims(scene->vm));
    if (scene->host != NULL) {
        host_describe(scene, text);
    }
    if (scene->has_dma) {
        dma_describe(scene, text);
    }
    return g_string_free(text, FALSE);
}

static bool wants(const struct vmem_source *source, unsigned int unit)
{
    return source == NULL ||
           vmem_bitmap_is_set(source->blocks,
                              unit * UNIT >> source->block_shift);
}

static bool retains(const struct vmem_source *source, unsigned int unit)
{
    return source != NULL &&
           vmem_bitmap_is_set(source->retained,
                              unit * UNIT >> source->block_shift);
}

char *scene_describe_all(struct scene *scene)
{
    char *state = scene_describe(scene);
    GString *text = g_string_new(state);

    g_free(state);
    for (unsigned int i = 0; i < NR_UNITS; i++) {
        const struct vmem_source *device =
            scene->device != NULL ? scene->device->source : NULL;
        const bool wanted = wants(scene->a, i) && wants(scene->b, i);
        const uint8_t content = scene->device_memory.content[i];

        /* What is wanted is somebody's: only whether it is dirty counts. */
        g_string_append_printf(text, "\n%u: %d%s%s", i,
                               wanted ? scene->memory.content[i] == DIRTY
                                      : scene->memory.content[i],
                               retains(scene->a, i) ? " a" : "",
                               retains(scene->b, i) ? " b" : "");
        /* A device that goes leaves memory as it is, if that cannot go. */
        if (device != NULL) {
            g_string_append_printf(
                text, " %d%s", wants(device, i) ? content == DIRTY : content,
                retains(device, i) ? " d" : "");
        }
    }
    return g_string_free(text, FALSE);
}

void scene_check_memory(struct scene *scene)
{
    const struct vmem_source *device =
        scene->device != NULL ? scene->device->source : NULL;

    for (unsigned int i = 0; i < NR_UNITS; i++) {
        const uint8_t content = scene->memory.content[i];
        const bool wanted = wants(scene->a, i) && wants(scene->b, i);

        if (wanted ? content == DIRTY
                   : content != ABSENT && !retains(scene->a, i) &&
                         !retains(scene->b, i)) {
            complain(scene, "unit %u of the region %s", i,
                     wanted ? "shows what was in it" : "stays allocated");
        }
        if (device != NULL && !wants(device, i) &&
            scene->device_memory.content[i] != ABSENT && !retains(device, i)) {
            complain(scene, "unit %u of the device stays allocated", i);
        }
    }
    if (scene->host != NULL) {
        host_check_memory(scene);
    }
}

void scene_settle(struct scene *scene)
{
    struct vmem_region *regions[] = { scene->region, scene->device_region,
                                      scene->host_region };

    if (scene->has_dma) {
        dma_settle(scene);
    }
    for (unsigned int i = 0; i < 3; i++) {
        int ret = regions[i] != NULL && !vmem_region_is_frozen(regions[i])
                      ? vmem_region_retry_discards(regions[i], NULL)
                      : 0;

        if (ret < 0) {
            complain(scene, "retained memory is not given back: %d", ret);
        }
    }
}
