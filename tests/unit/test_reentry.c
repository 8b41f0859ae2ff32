/* SPDX-License-Identifier: BSD-3-Clause */
/* What may be called from inside which callback (I11, I13). Every forbidden call
 * is tried from every kind of callback that holds a lock. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "support/quiet.h"
#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define ALL ((struct vmem_range){ 0, 0 })

/* One of everything: a region with a source and a listener, on which the
 * callbacks run, and another one with a device. */
struct stage {
    struct world world;
    struct recorder listener;
    struct vmem_source *source;
    struct fake_backing other_memory;
    struct vmem_region *other;
    struct vmem_source *other_source;
    struct vmem_device *device;
    struct recorder other_listener;
    struct fake_backing spare;
    struct vmem_discard_claim *claim;
    struct vmem_discard_watcher *watcher;

    /* What the callback shall try, and what came of it. */
    int (*attempts)(struct stage *stage);
    unsigned int nr_attempts;
    int result;
    char failed[128];
};

static int count_destroys(struct stage *stage)
{
    return (int)(stage->listener.nr_destroys +
                 stage->other_listener.nr_destroys +
                 stage->world.memory.nr_destroys +
                 stage->other_memory.nr_destroys + stage->spare.nr_destroys);
}

/* ---- the forbidden calls ---- */

static const struct vmem_range some = { 2 * UNIT, UNIT };

static int call_populate(struct stage *it)
{
    return vmem_source_populate(it->source, &some, NULL);
}

static int call_discard(struct stage *it)
{
    return vmem_source_discard(it->source, &some, NULL);
}

static int call_populate_other(struct stage *it)
{
    return vmem_source_populate(it->other_source, &some, NULL);
}

static int call_discard_other(struct stage *it)
{
    return vmem_source_discard(it->other_source, &some, NULL);
}

static int call_source_add(struct stage *it)
{
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "new",
                                               .block_size = UNIT };
    struct vmem_source *source;

    return vmem_source_add(it->world.region, &config, &source, NULL);
}

static int call_source_remove(struct stage *it)
{
    return vmem_source_remove(it->source, NULL);
}

static int call_source_remove_other(struct stage *it)
{
    return vmem_source_remove(it->other_source, NULL);
}

static int call_listener_add(struct stage *it)
{
    const struct vmem_listener_config config = { .struct_size = sizeof(config),
                                                 .name = "new" };
    struct vmem_listener_ops ops = *recorder_ops();
    struct vmem_listener *listener;

    ops.destroy = NULL;
    return vmem_listener_add(it->other, &config, &ops, &it->other_listener,
                             &listener, NULL);
}

static int call_listener_remove_itself(struct stage *it)
{
    return vmem_listener_remove(it->listener.listener, NULL);
}

static int call_listener_remove_other(struct stage *it)
{
    return vmem_listener_remove(it->other_listener.listener, NULL);
}

static int call_region_new(struct stage *it)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "new",
                                               .size = UNIT };
    struct vmem_region *region;

    return vmem_region_new(it->world.vm, &config, &region, NULL);
}

static int call_region_free(struct stage *it)
{
    return vmem_region_free(it->other, NULL);
}

static int call_retry(struct stage *it)
{
    return vmem_region_retry_discards(it->other, NULL);
}

static int call_freeze(struct stage *it)
{
    return vmem_region_freeze(it->world.region, "a", NULL);
}

static int call_freeze_other(struct stage *it)
{
    return vmem_region_freeze(it->other, "a", NULL);
}

static int call_thaw(struct stage *it)
{
    return vmem_region_thaw(it->other, "a", NULL);
}

static int call_with_populated_other(struct stage *it)
{
    return vmem_region_with_populated(it->other, &some, quiet_accept, NULL,
                                      NULL);
}

static int call_backing_new(struct stage *it)
{
    const struct vmem_backing_custom config = { .struct_size = sizeof(config),
                                                .name = "new",
                                                .size = UNIT,
                                                .page_size = UNIT };
    struct vmem_backing_ops ops = *fake_backing_ops();
    struct vmem_backing *backing;

    ops.destroy = NULL;
    return vmem_backing_new_custom(it->world.vm, &config, &ops, &it->spare,
                                   &backing, NULL);
}

static int call_backing_free(struct stage *it)
{
    return vmem_backing_free(it->spare.backing, NULL);
}

static int call_claim_take(struct stage *it)
{
    struct vmem_discard_claim *claim;

    return vmem_discard_claim_take(it->world.vm, VMEM_CLAIM_NEED_COORDINATED,
                                   "a", &claim, NULL);
}

static int call_claim_release(struct stage *it)
{
    return vmem_discard_claim_release(it->claim, NULL);
}

static int call_watcher_add(struct stage *it)
{
    struct vmem_discard_watcher *watcher;

    return vmem_discard_watcher_add(it->world.vm, quiet_claims, NULL, &watcher,
                                    NULL);
}

static int call_watcher_remove(struct stage *it)
{
    return vmem_discard_watcher_remove(it->watcher, NULL);
}

static int call_vm_free(struct stage *it)
{
    return vmem_vm_free(it->world.vm, NULL);
}

static int call_device_new(struct stage *it)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "new",
                                               .block_size = UNIT };
    struct vmem_device *device;

    return vmem_device_new(it->world.region, &config, NULL, NULL, &device,
                           NULL);
}

static int call_device_free(struct stage *it)
{
    return vmem_device_free(it->device, NULL);
}

static int call_request(struct stage *it)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    vmemi_le16_store(request + 16, 1);
    return vmem_device_handle_request(it->device, request, sizeof(request),
                                      response, sizeof(response), NULL);
}

static int call_state_request(struct stage *it)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { VMEM_REQUEST_STATE };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    vmemi_le16_store(request + 16, 1);
    return vmem_device_handle_request(it->device, request, sizeof(request),
                                      response, sizeof(response), NULL);
}

static int call_resize(struct stage *it)
{
    return vmem_device_resize(it->device, UNIT, NULL);
}

static int call_kick(struct stage *it)
{
    return vmem_device_notify_config(it->device);
}

static int call_features(struct stage *it)
{
    return vmem_device_set_driver_features(it->device, 0);
}

static int call_poll(struct stage *it)
{
    return vmem_device_poll_resize(it->device);
}

static int call_load(struct stage *it)
{
    const struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    const uint64_t blocks = 0;

    return vmem_device_load(it->device, &saved, &blocks, 1, NULL);
}

static int call_reset(struct stage *it)
{
    return vmem_device_reset(it->device, VMEM_RESET_SYSTEM, NULL);
}

#define CALL(name)                                                             \
    {                                                                          \
#name, name                                                            \
    }

static const struct {
    const char *name;
    int (*call)(struct stage *stage);
} forbidden[] = {
    CALL(call_populate),
    CALL(call_discard),
    CALL(call_populate_other),
    CALL(call_discard_other),
    CALL(call_source_add),
    CALL(call_source_remove),
    CALL(call_source_remove_other),
    CALL(call_listener_add),
    CALL(call_listener_remove_itself),
    CALL(call_listener_remove_other),
    CALL(call_region_new),
    CALL(call_region_free),
    CALL(call_retry),
    CALL(call_freeze),
    CALL(call_freeze_other),
    CALL(call_thaw),
    CALL(call_with_populated_other),
    CALL(call_backing_new),
    CALL(call_backing_free),
    CALL(call_claim_take),
    CALL(call_claim_release),
    CALL(call_watcher_add),
    CALL(call_watcher_remove),
    CALL(call_vm_free),
    CALL(call_device_new),
    CALL(call_device_free),
    CALL(call_request),
    CALL(call_state_request),
    CALL(call_resize),
    CALL(call_kick),
    CALL(call_poll),
    CALL(call_features),
    CALL(call_reset),
    CALL(call_load),
};

static int attempt_forbidden(struct stage *it)
{
    for (size_t i = 0; i < G_N_ELEMENTS(forbidden); i++) {
        const int code = forbidden[i].call(it);

        if (code != -EDEADLK) {
            snprintf(it->failed, sizeof(it->failed), "%s returned %d",
                     forbidden[i].name, code);
            return code;
        }
    }
    return 0;
}

/* ---- the allowed queries ---- */

static int first_stops(const struct vmem_range *range, void *opaque)
{
    *(struct vmem_range *)opaque = *range;
    return 9;
}

static int stop_at_region(struct vmem_region *region, void *opaque)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };

    (void)opaque;
    return vmem_region_get_info(region, &info);
}

static int stop_at_device(struct vmem_device *device, void *opaque)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    (void)opaque;
    return vmem_device_get_info(device, &info);
}

static int stop_at_claim(uint32_t kind, const char *owner, void *opaque)
{
    (void)kind;
    (void)owner;
    return vmem_vm_for_each_region(opaque, stop_at_region, NULL);
}

#define ASK(condition)                                                         \
    do {                                                                       \
        if (!(condition)) {                                                    \
            snprintf(it->failed, sizeof(it->failed), "%s", #condition);        \
            return 1;                                                          \
        }                                                                      \
    } while (0)

/* Of the region that the callback is about and of the other one: sources have
 * [8,12) populated, whatever is going on in [0,4). */
static int attempt_queries(struct stage *it)
{
    const struct vmem_range high = { 8 * UNIT, 4 * UNIT };
    const struct vmem_range top = { 12 * UNIT, 4 * UNIT };
    struct vmem_region *const regions[] = { it->world.region, it->other };
    struct vmem_backing_info backing = { .struct_size = sizeof(backing) };
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_device_info device = { .struct_size = sizeof(device) };
    struct vmem_device_stats counters = { .struct_size = sizeof(counters) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    struct vmem_source_info source = { .struct_size = sizeof(source) };
    uint8_t config[VMEM_DEVICE_CONFIG_SIZE];
    struct vmem_range seen;

    for (unsigned int i = 0; i < 2; i++) {
        struct vmem_region_info info = { .struct_size = sizeof(info) };
        struct vmem_region *region = regions[i];

        ASK(vmem_region_is_populated(region, &high));
        ASK(!vmem_region_is_populated(region, &top));
        ASK(vmem_region_get_info(region, &info) == 0);
        ASK(info.populated_size >= 4 * UNIT);
        ASK(!vmem_region_is_frozen(region));
        ASK(vmem_region_for_each_populated(region, &high, first_stops, &seen) ==
            9);
        ASK(seen.offset == high.offset && seen.size == high.size);
        ASK(vmem_region_for_each_discarded(region, &top, first_stops, &seen) ==
            9);
        ASK(seen.offset == top.offset && seen.size == top.size);
        ASK(vmem_region_for_each_populated(region, &top, first_stops, &seen) ==
            0);
        ASK(vmem_region_for_each_discarded(region, NULL, quiet_accept, NULL) ==
            0);
        ASK(vmem_region_get_backing(region) != NULL);
        ASK(vmem_region_get_size(region) == 16 * UNIT);
        ASK(vmem_backing_get_info(vmem_region_get_backing(region), &backing) ==
            0);
        ASK(vmem_backing_get_stats(vmem_region_get_backing(region), &stats) ==
            0);
        ASK(vmem_backing_get_usage(vmem_region_get_backing(region), &high,
                                   &usage, NULL) == 0);
    }
    ASK(vmem_source_get_info(it->source, &source) == 0);
    ASK(vmem_source_get_info(it->other_source, &source) == 0);
    ASK(vmem_vm_for_each_region(it->world.vm, stop_at_region, NULL) == 0);
    ASK(vmem_vm_for_each_device(it->world.vm, stop_at_device, NULL) == 0);
    ASK(vmem_vm_for_each_claim(it->world.vm, stop_at_claim, it->world.vm) == 0);
    ASK(vmem_vm_is_discard_needed(it->world.vm));
    ASK(!vmem_vm_is_uncoordinated_forbidden(it->world.vm));
    ASK(vmem_device_get_info(it->device, &device) == 0);
    ASK(vmem_device_get_stats(it->device, &counters) == 0);
    ASK(vmem_device_get_resize_status(it->device, &status) == 0);
    ASK(vmem_device_check_removable(it->device, NULL) == 0);
    ASK(vmem_device_read_config(it->device, 0, config, sizeof(config)) == 0);
    ASK(vmem_device_write_config(it->device, 0, config, sizeof(config)) == 0);
    ASK(vmem_device_get_features(it->device) ==
        VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE);
    vmem_device_get_config_generation(it->device);
    return 0;
}

/* Only from a callback that holds the region itself. */
static int attempt_with_populated(struct stage *it)
{
    const struct vmem_range high = { 8 * UNIT, 4 * UNIT };
    const struct vmem_range top = { 11 * UNIT, 2 * UNIT };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_range seen;

    ASK(vmem_region_with_populated(it->world.region, &high, first_stops, &seen,
                                   NULL) == 9);
    ASK(vmem_region_with_populated(it->world.region, &top, first_stops, &seen,
                                   &err) == -ENXIO);
    ASK(err.range.offset == 12 * UNIT && err.range.size == UNIT);
    return 0;
}

/* ---- the callbacks ---- */

static void try_once(struct stage *it)
{
    if (it->attempts != NULL && it->nr_attempts++ == 0) {
        it->result = it->attempts(it);
    }
}

static enum recorder_call wanted_call;

static void in_listener(struct recorder *recorder, enum recorder_call call,
                        const struct vmem_range *range)
{
    (void)range;
    if (call == wanted_call) {
        try_once(recorder->inside_opaque);
    }
}

static char wanted_memory_call;

static void in_memory(struct fake_backing *memory, char what,
                      const struct vmem_range *range)
{
    (void)range;
    if (what == wanted_memory_call) {
        try_once(memory->inside_opaque);
    }
}

static int in_walk(const struct vmem_range *range, void *opaque)
{
    (void)range;
    try_once(opaque);
    return 0;
}

static int in_region_walk(struct vmem_region *region, void *opaque)
{
    (void)region;
    try_once(opaque);
    return 0;
}

static int in_device_walk(struct vmem_device *device, void *opaque)
{
    (void)device;
    try_once(opaque);
    return 0;
}

static int in_claim_walk(uint32_t kind, const char *owner, void *opaque)
{
    (void)kind;
    (void)owner;
    try_once(opaque);
    return 0;
}

static const struct vmem_range low = { 0, 4 * UNIT };

static void from_listener_populate(struct stage *it)
{
    wanted_call = RECORDER_POPULATE;
    vmem_source_populate(it->source, &low, NULL);
}

static void from_listener_discard(struct stage *it)
{
    wanted_call = RECORDER_DISCARD;
    vmem_source_populate(it->source, &low, NULL);
    vmem_source_discard(it->source, &low, NULL);
}

static void from_replay(struct stage *it)
{
    struct recorder *listener = &it->listener;

    wanted_call = RECORDER_POPULATE;
    it->attempts = NULL;
    recorder_remove(listener, NULL);
    it->attempts = attempt_queries;
    recorder_add(listener, it->world.region, NULL);
}

static void from_memory_populate(struct stage *it)
{
    wanted_memory_call = '+';
    vmem_source_populate(it->source, &low, NULL);
}

static void from_memory_discard(struct stage *it)
{
    wanted_memory_call = '-';
    vmem_source_populate(it->source, &low, NULL);
    vmem_source_discard(it->source, &low, NULL);
}

static void from_memory_zero(struct stage *it)
{
    wanted_memory_call = '0';
    vmem_source_populate(it->source, &low, NULL);
    fake_calls_fail(&it->world.memory.discards, 0, 2, -EIO);
    vmem_source_discard(it->source, &low, NULL);
    vmem_source_populate(it->source, &low, NULL);
    fake_calls_succeed(&it->world.memory.discards);
}

static void from_populated_walk(struct stage *it)
{
    vmem_region_for_each_populated(it->world.region, NULL, in_walk, it);
}

static void from_discarded_walk(struct stage *it)
{
    vmem_region_for_each_discarded(it->world.region, NULL, in_walk, it);
}

static void from_with_populated(struct stage *it)
{
    const struct vmem_range high = { 8 * UNIT, 4 * UNIT };

    vmem_region_with_populated(it->world.region, &high, in_walk, it, NULL);
}

static void from_region_walk(struct stage *it)
{
    vmem_vm_for_each_region(it->world.vm, in_region_walk, it);
}

static void from_device_walk(struct stage *it)
{
    vmem_vm_for_each_device(it->world.vm, in_device_walk, it);
}

static void from_claim_walk(struct stage *it)
{
    vmem_vm_for_each_claim(it->world.vm, in_claim_walk, it);
}

static const struct {
    const char *name;
    void (*enter)(struct stage *stage);
    bool holds_region;
} contexts[] = {
    { "listener populate", from_listener_populate, true },
    { "listener discard", from_listener_discard, true },
    { "memory populate", from_memory_populate, true },
    { "memory discard", from_memory_discard, true },
    { "memory zero", from_memory_zero, true },
    { "populated walk", from_populated_walk, true },
    { "discarded walk", from_discarded_walk, true },
    { "with_populated", from_with_populated, true },
    { "region walk", from_region_walk, false },
    { "device walk", from_device_walk, false },
    { "claim walk", from_claim_walk, false },
};

static void open_stage(struct stage *it)
{
    const struct vmem_range high = { 8 * UNIT, 4 * UNIT };
    const struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config),
        .name = "device",
        .block_size = UNIT,
    };
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "other source",
        .block_size = UNIT,
    };
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .name = "other" };
    struct vmem_region_config device_region_config = {
        .struct_size = sizeof(device_region_config),
        .name = "device region",
        .size = 16 * UNIT,
    };
    struct vmem_region *device_region;

    memset(it, 0, sizeof(*it));
    world_open(&it->world, 16 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    it->source =
        world_add_source(&it->world, "source", UNIT, VMEM_SOURCE_DISCARDS);
    assert_int_equal(vmem_source_populate(it->source, &high, NULL), 0);
    world_add_listener(&it->world, &it->listener, "l", ALL, UNIT, 0);

    fake_backing_init(&it->other_memory, "om", 16 * UNIT, UNIT,
                      &it->world.journal);
    assert_int_equal(fake_backing_make(&it->other_memory, it->world.vm, NULL),
                     0);
    config.backing = it->other_memory.backing;
    assert_int_equal(vmem_region_new(it->world.vm, &config, &it->other, NULL),
                     0);
    assert_int_equal(
        vmem_source_add(it->other, &source_config, &it->other_source, NULL), 0);
    assert_int_equal(vmem_source_populate(it->other_source, &high, NULL), 0);
    recorder_init(&it->other_listener, "ol", 16 * UNIT, UNIT,
                  &it->world.journal);
    assert_int_equal(recorder_add(&it->other_listener, it->other, NULL), 0);

    assert_int_equal(vmem_region_new(it->world.vm, &device_region_config,
                                     &device_region, NULL),
                     0);
    assert_int_equal(vmem_device_new(device_region, &device_config, NULL, NULL,
                                     &it->device, NULL),
                     0);
    fake_backing_init(&it->spare, "spare", 16 * UNIT, UNIT, NULL);
    assert_int_equal(fake_backing_make(&it->spare, it->world.vm, NULL), 0);
    assert_int_equal(vmem_discard_claim_take(it->world.vm,
                                             VMEM_CLAIM_NEED_COORDINATED,
                                             "claimer", &it->claim, NULL),
                     0);
    assert_int_equal(vmem_discard_watcher_add(it->world.vm, quiet_claims, NULL,
                                              &it->watcher, NULL),
                     0);
    it->listener.inside = in_listener;
    it->listener.inside_opaque = it;
    it->world.memory.inside = in_memory;
    it->world.memory.inside_opaque = it;
    wanted_call = RECORDER_DESTROY;
    wanted_memory_call = '\0';
    journal_take(&it->world.journal);
}

static void close_stage(struct stage *it)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    it->attempts = NULL;
    assert_int_equal(vmem_device_get_info(it->device, &info), 0);
    assert_int_equal(vmem_device_free(it->device, NULL), 0);
    assert_int_equal(vmem_region_free(info.region, NULL), 0);
    assert_int_equal(recorder_remove(&it->other_listener, NULL), 0);
    assert_string_equal(it->other_listener.complaint, "");
    recorder_destroy(&it->other_listener);
    assert_int_equal(vmem_source_remove(it->other_source, NULL), 0);
    assert_int_equal(vmem_region_free(it->other, NULL), 0);
    assert_int_equal(vmem_backing_free(it->other_memory.backing, NULL), 0);
    fake_backing_destroy(&it->other_memory);
    assert_int_equal(vmem_backing_free(it->spare.backing, NULL), 0);
    fake_backing_destroy(&it->spare);
    assert_int_equal(vmem_discard_watcher_remove(it->watcher, NULL), 0);
    assert_int_equal(vmem_discard_claim_release(it->claim, NULL), 0);
    world_remove_listener(&it->world, &it->listener);
    assert_int_equal(vmem_source_remove(it->source, NULL), 0);
    world_close(&it->world);
}

/* Everything that the forbidden calls could have changed. */
static char *describe(struct stage *it)
{
    struct vmem_region_info a = { .struct_size = sizeof(a) };
    struct vmem_region_info b = { .struct_size = sizeof(b) };
    struct vmem_device_info device = { .struct_size = sizeof(device) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    GString *text = g_string_new(NULL);

    vmem_region_get_info(it->world.region, &a);
    vmem_region_get_info(it->other, &b);
    vmem_device_get_info(it->device, &device);
    vmem_device_get_stats(it->device, &stats);
    g_string_append_printf(text, "%s;", journal_take(&it->world.journal));
    g_string_append_printf(text, "%s;", world_populated_runs(&it->world));
    for (unsigned int i = 0; i < 2; i++) {
        const struct vmem_region_info *info = i == 0 ? &a : &b;

        g_string_append_printf(
            text, " %lu %lu %lu %lu %lu %lu %lu;", info->populated_size,
            info->retained_size, info->nr_sources, info->nr_listeners,
            info->nr_freezers, info->nr_populate_calls, info->nr_discard_calls);
    }
    g_string_append_printf(
        text, " %lu %lu %lu %lu %lu %x %d", device.requested_size,
        device.plugged_size, device.config_generation, stats.nr_resizes,
        stats.nr_requests[0][0] + stats.nr_requests[3][0],
        vmem_vm_get_claims(it->world.vm), count_destroys(it));
    return g_string_free(text, FALSE);
}

/* Runs one context and returns what the world looks like afterwards. */
static char *run_context(size_t context, int (*attempts)(struct stage *))
{
    struct stage stage;
    char *text;

    open_stage(&stage);
    stage.attempts = attempts;
    contexts[context].enter(&stage);
    if (attempts != NULL && stage.nr_attempts == 0) {
        fail_msg("no callback in \"%s\"", contexts[context].name);
    }
    if (stage.result != 0) {
        fail_msg("in \"%s\": %s", contexts[context].name, stage.failed);
    }
    text = describe(&stage);
    close_stage(&stage);
    return text;
}

static void forbidden_calls_are_refused_and_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(contexts); i++) {
        char *undisturbed = run_context(i, NULL);
        char *disturbed = run_context(i, attempt_forbidden);

        assert_string_equal(disturbed, undisturbed);
        g_free(undisturbed);
        g_free(disturbed);
    }
}

static void queries_and_walks_work_in_every_callback(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(contexts); i++) {
        g_free(run_context(i, attempt_queries));
        if (contexts[i].holds_region) {
            g_free(run_context(i, attempt_with_populated));
        }
    }
}

static void queries_and_walks_work_in_a_replay(void **state)
{
    struct stage stage;

    (void)state;
    open_stage(&stage);
    from_replay(&stage);
    if (stage.result != 0) {
        fail_msg("%s", stage.failed);
    }
    assert_true(stage.nr_attempts > 0);
    close_stage(&stage);
}

/* Inside a walk that is inside a callback the rules are the same. */
static int attempt_forbidden_in_walks(struct stage *it)
{
    const unsigned int saved = it->nr_attempts;
    int ret;

    it->attempts = attempt_forbidden;
    it->nr_attempts = 0;
    vmem_region_for_each_populated(it->world.region, NULL, in_walk, it);
    ret = it->nr_attempts > 0 ? it->result : 1;
    it->nr_attempts = 0;
    vmem_region_for_each_populated(it->other, NULL, in_walk, it);
    ret = it->nr_attempts > 0 && ret == 0 ? it->result : 1;
    it->nr_attempts = saved;
    /* And after the walk still. */
    return ret != 0 ? ret : attempt_forbidden(it);
}

static void the_rules_hold_in_nested_walks(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(contexts); i++) {
        g_free(run_context(i, attempt_forbidden_in_walks));
    }
}

/* An error tells which call it was. */
static int attempt_with_error(struct stage *it)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    ASK(vmem_source_populate(it->source, &some, &err) == -EDEADLK);
    ASK(err.reason == VMEM_REASON_REENTERED);
    ASK(err.code == -EDEADLK);
    ASK(strstr(err.message, "vmem_source_populate") != NULL);
    ASK(strstr(err.message, "\"vm\"") != NULL);
    return 0;
}

static void the_refusal_says_which_call_it_was(void **state)
{
    (void)state;
    g_free(run_context(0, attempt_with_error));
}

/* destroy then runs inside the callback. */
static int attempt_add_with_destroy(struct stage *it)
{
    struct recorder late;
    int code;

    recorder_init(&late, "late", 16 * UNIT, UNIT, NULL);
    code = recorder_add(&late, it->other, NULL);
    recorder_destroy(&late);
    ASK(code == -EDEADLK);
    ASK(late.nr_destroys == 1);
    return 0;
}

static void a_listener_refused_in_a_callback_is_destroyed_there(void **state)
{
    (void)state;
    g_free(run_context(0, attempt_add_with_destroy));
}

/* Another machine's regions are not concerned. */
static int attempt_other_machine(struct stage *it)
{
    struct vmem_source *source;
    struct world world;

    ASK(it->nr_attempts == 1);
    world_open(&world, 16 * UNIT, UNIT, 0);
    source = world_add_source(&world, "s", UNIT, VMEM_SOURCE_DISCARDS);
    ASK(vmem_source_populate(source, &some, NULL) == 0);
    ASK(vmem_region_freeze(world.region, "a", NULL) == 0);
    ASK(vmem_region_thaw(world.region, "a", NULL) == 0);
    ASK(vmem_region_for_each_populated(world.region, NULL, quiet_accept,
                                       NULL) == 0);
    ASK(vmem_source_remove(source, NULL) == 0);
    world_close(&world);
    return 0;
}

static void another_machine_may_be_changed(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(contexts); i++) {
        g_free(run_context(i, attempt_other_machine));
    }
}

/* ---- notifications: any call is legal ---- */

static unsigned int nr_free_attempts;
static char free_attempt_failed[128];

#define DO(condition)                                                          \
    do {                                                                       \
        if (!(condition)) {                                                    \
            snprintf(free_attempt_failed, sizeof(free_attempt_failed), "%s",   \
                     #condition);                                              \
            return;                                                            \
        }                                                                      \
    } while (0)

static struct stage *free_stage;

/* All kinds of changes, to both regions and to the machine; undone again. */
static void change_everything(void)
{
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "new",
        .block_size = UNIT,
    };
    const struct vmem_range top = { 12 * UNIT, UNIT };
    struct stage *it = free_stage;
    struct vmem_discard_claim *claim;
    struct vmem_source *source;
    struct recorder listener;

    if (it == NULL) {
        return;
    }
    free_stage = NULL; /* not again in the notifications of this */
    nr_free_attempts++;
    recorder_init(&listener, "new", 16 * UNIT, UNIT, NULL);
    DO(vmem_source_populate(it->source, &top, NULL) == 0);
    DO(vmem_source_discard(it->source, &top, NULL) == 0);
    DO(vmem_source_populate(it->other_source, &top, NULL) == 0);
    DO(vmem_source_discard(it->other_source, &top, NULL) == 0);
    DO(vmem_source_add(it->other, &source_config, &source, NULL) == 0);
    DO(vmem_source_remove(source, NULL) == 0);
    DO(recorder_add(&listener, it->other, NULL) == 0);
    DO(recorder_remove(&listener, NULL) == 0);
    DO(vmem_region_freeze(it->other, "new", NULL) == 0);
    DO(vmem_region_thaw(it->other, "new", NULL) == 0);
    DO(vmem_discard_claim_take(it->world.vm, VMEM_CLAIM_NEED_UNCOORDINATED,
                               "new", &claim, NULL) == 0);
    DO(vmem_discard_claim_release(claim, NULL) == 0);
    DO(vmem_region_with_populated(it->other,
                                  &(struct vmem_range){ 8 * UNIT, 1 },
                                  quiet_accept, NULL, NULL) == 0);
    DO(vmem_device_resize(it->device, 0, NULL) == 0);
    DO(vmem_device_reset(it->device, VMEM_RESET_SYSTEM, NULL) == 0);
    recorder_destroy(&listener);
}

static void on_claims(uint32_t claims, void *opaque)
{
    (void)claims;
    (void)opaque;
    change_everything();
}

static void on_config(void *opaque)
{
    (void)opaque;
    change_everything();
}

static void on_size(uint64_t plugged_size, void *opaque)
{
    (void)plugged_size;
    (void)opaque;
    change_everything();
}

static void on_resize(const struct vmem_resize_status *status, void *opaque)
{
    (void)status;
    (void)opaque;
    change_everything();
}

static void in_destroy(struct recorder *recorder, enum recorder_call call,
                       const struct vmem_range *range)
{
    (void)recorder;
    (void)range;
    if (call == RECORDER_DESTROY) {
        change_everything();
    }
}

static void in_memory_destroy(struct fake_backing *memory, char what,
                              const struct vmem_range *range)
{
    (void)memory;
    (void)range;
    if (what == '~') {
        change_everything();
    }
}

static void expect_free_attempts(struct stage *it, unsigned int nr)
{
    free_stage = NULL;
    assert_string_equal(free_attempt_failed, "");
    assert_int_equal(nr_free_attempts, nr);
    (void)it;
}

static void arm(struct stage *it)
{
    free_stage = it;
    nr_free_attempts = 0;
    free_attempt_failed[0] = '\0';
}

static void watchers_may_change_everything(void **state)
{
    struct vmem_discard_watcher *watcher;
    struct vmem_discard_claim *claim;
    struct stage stage;

    (void)state;
    open_stage(&stage);
    assert_int_equal(vmem_discard_watcher_add(stage.world.vm, on_claims, NULL,
                                              &watcher, NULL),
                     0);
    arm(&stage);
    assert_int_equal(vmem_discard_claim_take(stage.world.vm,
                                             VMEM_CLAIM_NEED_UNCOORDINATED, "x",
                                             &claim, NULL),
                     0);
    expect_free_attempts(&stage, 1);
    assert_int_equal(vmem_discard_claim_release(claim, NULL), 0);
    assert_int_equal(vmem_discard_watcher_remove(watcher, NULL), 0);
    close_stage(&stage);
}

static void destroy_may_change_everything(void **state)
{
    struct recorder listener;
    struct fake_backing memory;
    struct stage stage;

    (void)state;
    open_stage(&stage);
    recorder_init(&listener, "x", 16 * UNIT, UNIT, NULL);
    listener.inside = in_destroy;
    assert_int_equal(recorder_add(&listener, stage.world.region, NULL), 0);
    arm(&stage);
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    expect_free_attempts(&stage, 1);

    /* After a refused registration, too: its own region is not locked. */
    listener.veto_at = listener.nr_populates;
    arm(&stage);
    assert_int_equal(recorder_add(&listener, stage.world.region, NULL),
                     -ENOSPC);
    expect_free_attempts(&stage, 1);
    recorder_destroy(&listener);

    fake_backing_init(&memory, "m", UNIT, UNIT, NULL);
    memory.inside = in_memory_destroy;
    assert_int_equal(fake_backing_make(&memory, stage.world.vm, NULL), 0);
    arm(&stage);
    assert_int_equal(vmem_backing_free(memory.backing, NULL), 0);
    expect_free_attempts(&stage, 1);
    fake_backing_destroy(&memory);
    close_stage(&stage);
}

static void devices_notifications_may_change_everything(void **state)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "noisy",
                                               .gpa = (uint64_t)1 << 40,
                                               .block_size = UNIT,
                                               .requested_size = UNIT };
    const struct vmem_device_ops all_ops[] = {
        { .struct_size = sizeof(struct vmem_device_ops),
          .config_changed = on_config },
        { .struct_size = sizeof(struct vmem_device_ops),
          .size_changed = on_size },
        { .struct_size = sizeof(struct vmem_device_ops),
          .resize_changed = on_resize },
    };
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "noisy region",
        .size = 16 * UNIT,
    };

    (void)state;
    for (unsigned int i = 0; i < 3; i++) {
        uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
        uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
        struct vmem_device *device;
        struct vmem_region *region;
        struct stage stage;

        open_stage(&stage);
        assert_int_equal(
            vmem_region_new(stage.world.vm, &region_config, &region, NULL), 0);
        assert_int_equal(
            vmem_device_new(region, &config, &all_ops[i], NULL, &device, NULL),
            0);
        arm(&stage);
        if (i == 0) {
            assert_int_equal(vmem_device_notify_config(device), 0);
        } else if (i == 2) {
            assert_int_equal(vmem_device_resize(device, 2 * UNIT, NULL), 0);
        } else {
            vmemi_le64_store(request + 8, config.gpa);
            vmemi_le16_store(request + 16, 1);
            assert_int_equal(
                vmem_device_handle_request(device, request, sizeof(request),
                                           response, sizeof(response), NULL),
                VMEM_REQUEST_RESPOND);
            assert_int_equal(response[0], VMEM_RESPONSE_ACK);
        }
        expect_free_attempts(&stage, 1);
        assert_int_equal(vmem_device_free(device, NULL), 0);
        assert_int_equal(vmem_region_free(region, NULL), 0);
        close_stage(&stage);
    }
}

static void on_log(void *opaque)
{
    (void)opaque;
    change_everything();
}

static void the_log_sink_may_change_everything(void **state)
{
    struct stage stage;

    (void)state;
    open_stage(&stage);
    assert_int_equal(vmem_source_populate(stage.source, &low, NULL), 0);
    stage.world.on_log = on_log;
    fake_calls_fail(&stage.world.memory.discards, 0, 1, -EIO);
    arm(&stage);
    /* Logs that it is retained. */
    assert_int_equal(vmem_source_discard(stage.source, &low, NULL), 0);
    expect_free_attempts(&stage, 1);
    assert_true(world_retained(&stage.world) == 4 * UNIT);
    stage.world.on_log = NULL;
    close_stage(&stage);
}

static struct vmem_dma *mapper;

/* The call that logs is not over: what it is about must not go. */
static void on_log_free(void *opaque)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct stage *it = free_stage;

    (void)opaque;
    if (it == NULL) {
        return;
    }
    free_stage = NULL;
    nr_free_attempts++;
    DO(vmem_device_free(it->device, NULL) == -EDEADLK);
    DO(vmem_backing_free(it->spare.backing, NULL) == -EDEADLK);
    DO(vmem_region_free(it->other, NULL) == -EDEADLK);
    DO(vmem_dma_free(mapper, NULL) == -EDEADLK);
    DO(vmem_vm_free(it->world.vm, &err) == -EDEADLK);
    DO(strstr(err.message, "log sink") != NULL);
    /* What is no part of the call may be taken away. */
    DO(vmem_listener_remove(it->other_listener.listener, NULL) == 0);
    DO(vmem_source_remove(it->other_source, NULL) == 0);
    DO(vmem_discard_claim_release(it->claim, NULL) == 0);
    DO(vmem_discard_watcher_remove(it->watcher, NULL) == 0);
    it->other_listener.listener = NULL;
    it->other_source = NULL;
    it->claim = NULL;
    it->watcher = NULL;
}

static int map_nothing(const struct vmem_dma_mapping *mapping, void *opaque)
{
    (void)mapping;
    (void)opaque;
    return -ENOTSUP;
}

static int unmap_nothing(uint64_t iova, uint64_t size, uint64_t *unmapped,
                         void *opaque)
{
    (void)iova;
    (void)size;
    (void)unmapped;
    (void)opaque;
    return -ENOTSUP;
}

static void the_log_sink_may_free_none_of_the_five(void **state)
{
    const struct vmem_dma_config config = { .struct_size = sizeof(config),
                                            .name = "mapper" };
    const struct vmem_dma_ops ops = { .struct_size = sizeof(ops),
                                      .map = map_nothing,
                                      .unmap = unmap_nothing };
    struct stage stage;

    (void)state;
    open_stage(&stage);
    assert_int_equal(vmem_dma_new_custom(stage.world.vm, &config, NULL, &ops,
                                         NULL, &mapper, NULL),
                     0);
    assert_int_equal(vmem_source_populate(stage.source, &low, NULL), 0);
    stage.world.on_log = on_log_free;
    fake_calls_fail(&stage.world.memory.discards, 0, 1, -EIO);
    arm(&stage);
    assert_int_equal(vmem_source_discard(stage.source, &low, NULL), 0);
    expect_free_attempts(&stage, 1);
    stage.world.on_log = NULL;
    assert_int_equal(vmem_dma_free(mapper, NULL), 0);
    close_stage(&stage);
}

static void in_destroy_log(struct recorder *recorder, enum recorder_call call,
                           const struct vmem_range *range)
{
    (void)range;
    if (call == RECORDER_DESTROY) {
        vmem_device_write_config(recorder->inside_opaque, 0, "", 1);
    }
}

static void on_log_remove(void *opaque)
{
    struct stage *it = free_stage;
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)opaque;
    if (it == NULL) {
        return;
    }
    free_stage = NULL;
    nr_free_attempts++;
    DO(it->source == NULL || vmem_source_remove(it->source, &err) == -EDEADLK);
    DO(it->source != NULL || recorder_remove(&it->listener, &err) == -EDEADLK);
    DO(strstr(err.message, "being removed") != NULL);
}

/* What logs is the cleaning of a source's memory, and a destroy that makes a call
 * which logs. */
static void what_is_being_removed_is_not_removed_again(void **state)
{
    struct stage stage;

    (void)state;
    open_stage(&stage);
    assert_int_equal(vmem_source_populate(stage.source, &low, NULL), 0);
    fake_calls_fail(&stage.world.memory.discards, 0, 2, -EIO);
    assert_int_equal(vmem_source_discard(stage.source, &low, NULL), 0);
    stage.world.on_log = on_log_remove;
    arm(&stage);
    assert_int_equal(vmem_source_remove(stage.source, NULL), 0);
    assert_int_equal(stage.world.last_log.code, VMEM_LOG_CODE_ZEROED);
    expect_free_attempts(&stage, 1);
    stage.source = NULL;
    stage.listener.inside = in_destroy_log;
    stage.listener.inside_opaque = stage.device;
    arm(&stage);
    assert_int_equal(recorder_remove(&stage.listener, NULL), 0);
    expect_free_attempts(&stage, 1);
    stage.world.on_log = NULL;
    close_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forbidden_calls_are_refused_and_change_nothing),
        cmocka_unit_test(queries_and_walks_work_in_every_callback),
        cmocka_unit_test(queries_and_walks_work_in_a_replay),
        cmocka_unit_test(the_rules_hold_in_nested_walks),
        cmocka_unit_test(the_refusal_says_which_call_it_was),
        cmocka_unit_test(a_listener_refused_in_a_callback_is_destroyed_there),
        cmocka_unit_test(another_machine_may_be_changed),
        cmocka_unit_test(watchers_may_change_everything),
        cmocka_unit_test(destroy_may_change_everything),
        cmocka_unit_test(devices_notifications_may_change_everything),
        cmocka_unit_test(the_log_sink_may_change_everything),
        cmocka_unit_test(the_log_sink_may_free_none_of_the_five),
        cmocka_unit_test(what_is_being_removed_is_not_removed_again),
    };

    return cmocka_run_group_tests_name("reentry", tests, NULL, NULL);
}
