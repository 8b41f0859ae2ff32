/* SPDX-License-Identifier: BSD-3-Clause */
#include "device_world.h"

#include <errno.h>

#include "base/alloc.h"
#include "core/bitmap.h"
#include "support/quiet.h"
#include "virtio/device.h"

#define SECOND UINT64_C(1000000000)

const char *const device_world_owners[NR_OWNERS] = { "migration", "snapshot" };

static struct device_world *allocating;

static bool may_allocate(size_t size)
{
    (void)size;
    if (allocating->fail_alloc == 0 || --allocating->fail_alloc > 0) {
        return true;
    }
    allocating->failed_alloc = true;
    return false;
}

static uint64_t read_clock(void *opaque)
{
    return ((struct device_world *)opaque)->now_ns;
}

static void note(struct device_world *world, bool condition, const char *what)
{
    if (!condition && world->broken == NULL) {
        world->broken = what;
    }
}

struct vmem_source *device_world_source(const struct device_world *world)
{
    return world->device->source;
}

void device_world_told(struct device_world *world)
{
    model_config(&world->model, world->told_config);
}

/* Any call is legal in a notification; freeing the device is one. */
static void maybe_free(struct device_world *world, unsigned notification)
{
    if (world->free_in == notification) {
        note(world, vmem_device_free(world->device, NULL) == 0,
             "freed in a notification");
        world->device = NULL;
    }
}

static void on_config_changed(void *opaque)
{
    struct device_world *world = opaque;
    uint8_t config[VMEM_DEVICE_CONFIG_SIZE];

    note(world, world->device != NULL, "told after it was freed");
    vmem_device_read_config(world->device, 0, config, sizeof(config));
    note(world, memcmp(config, world->told_config, sizeof(config)) == 0,
         "config in config_changed");
    world->nr_config_changed++;
    maybe_free(world, 1);
}

static void on_size_changed(uint64_t plugged_size, void *opaque)
{
    struct device_world *world = opaque;

    note(world, world->device != NULL, "told after it was freed");
    note(world, plugged_size == model_plugged_size(&world->model),
         "plugged size in size_changed");
    world->nr_size_changed++;
    maybe_free(world, 2);
}

static void on_resize_changed(const struct vmem_resize_status *status,
                              void *opaque)
{
    struct device_world *world = opaque;

    note(world, world->device != NULL, "told after it was freed");
    note(world,
         !world->was_told || status->state != world->told_state ||
             status->reason != world->told_reason,
         "resize_changed without a change");
    world->was_told = true;
    world->told_state = status->state;
    world->told_reason = status->reason;
    maybe_free(world, 3);
}

static void on_trace(const struct vmem_trace_event *event, void *opaque)
{
    struct device_world *world = opaque;
    unsigned i = world->nr_events++;

    note(world, world->device != NULL, "told after it was freed");
    note(world, event->struct_size == sizeof(*event), "size of an event");
    note(world, event->time_ns == world->now_ns, "time of an event");
    if (i < MAX_EVENTS) {
        world->events[i] = *event;
        note(world, i == 0 || event->sequence > world->events[i - 1].sequence,
             "sequence of events");
    }
    maybe_free(world, 4);
}

static const struct vmem_device_ops device_ops = {
    .struct_size = sizeof(device_ops),
    .config_changed = on_config_changed,
    .size_changed = on_size_changed,
    .resize_changed = on_resize_changed,
};

static const struct vmem_device_ops traced_ops = {
    .struct_size = sizeof(traced_ops),
    .config_changed = on_config_changed,
    .size_changed = on_size_changed,
    .resize_changed = on_resize_changed,
    .trace = on_trace,
};

const struct vmem_trace_event *
device_world_event(const struct device_world *world, uint32_t kind)
{
    unsigned i = world->nr_events_before;

    if (!world->is_traced || i >= MAX_EVENTS) {
        return NULL;
    }
    fuzz_check(world->nr_events == i + 1, "%u events", world->nr_events - i);
    fuzz_check(world->events[i].kind == kind, "kind %u, not %u",
               world->events[i].kind, kind);
    return &world->events[i];
}

/* Under the region's lock: everything may be asked, nothing may be changed. */
static void pry(struct device_world *world)
{
    const uint8_t state[VMEM_DEVICE_REQUEST_SIZE] = { VMEM_REQUEST_STATE };
    const uint8_t all[VMEM_DEVICE_REQUEST_SIZE] = { VMEM_REQUEST_UNPLUG_ALL };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_device *device = world->device;

    if (device == NULL) {
        return; /* being made */
    }
    note(world,
         vmem_device_handle_request(device, state, sizeof(state), response,
                                    sizeof(response), NULL) == -EDEADLK,
         "request in a callback");
    note(world,
         vmem_device_handle_request(device, all, sizeof(all), response,
                                    sizeof(response), NULL) == -EDEADLK,
         "request in a callback");
    note(world, vmem_device_resize(device, 0, NULL) == -EDEADLK,
         "resize in a callback");
    note(world, vmem_device_reset(device, VMEM_RESET_DRIVER, NULL) == -EDEADLK,
         "reset in a callback");
    note(world, vmem_device_notify_config(device) == -EDEADLK,
         "kick in a callback");
    note(world, vmem_device_poll_resize(device) == -EDEADLK,
         "poll in a callback");
    note(world, vmem_device_set_driver_features(device, 0) == -EDEADLK,
         "features in a callback");
    note(world, vmem_device_free(device, NULL) == -EDEADLK,
         "free in a callback");
    note(world, vmem_device_get_info(device, &info) == 0, "info in a callback");
    note(world, vmem_device_write_config(device, 0, response, 1) == 0,
         "config write in a callback");
}

static void inside_listener(struct recorder *recorder, enum recorder_call call,
                            const struct vmem_range *range)
{
    struct device_world *world = recorder->inside_opaque;

    (void)range;
    if (call != RECORDER_DESTROY) {
        pry(world);
    }
}

static void inside_memory(struct fake_backing *memory, char what,
                          const struct vmem_range *range)
{
    (void)range;
    if (what != '~') {
        pry(memory->inside_opaque);
    }
}

/* A geometry that is allowed; block sizes up to where everything overflows. */
static void take_config(struct device_world *world, struct fuzz_input *input,
                        uint8_t options)
{
    static const unsigned shifts[] = { 21, 12, 1, 30, 48, 57 };
    struct vmem_device_config *config = &world->config;
    uint64_t block_size = UINT64_C(1) << shifts[options % 6];
    uint64_t region_size;
    uint8_t where = fuzz_u8(input);
    uint8_t policy = fuzz_u8(input);

    world->nr_blocks = 1 + fuzz_below(input, MAX_BLOCKS);
    region_size = world->nr_blocks * block_size;
    *config = (struct vmem_device_config){
        .struct_size = sizeof(*config),
        .name = "device",
        .block_size = block_size,
        .requested_size = fuzz_u8(input) % (world->nr_blocks + 1) * block_size,
        .usable_policy = policy & 3,
        .features = where >> 2 & 7,
        .flags = (where >> 5 & 3) * VMEM_DEVICE_REQUIRE_INACCESSIBLE |
                 (options >= 12 ? VMEM_DEVICE_KEEP_MEMORY : 0),
    };
    if ((config->features & VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE) == 0 &&
        (config->flags & VMEM_DEVICE_REQUIRE_INACCESSIBLE) == 0) {
        config->flags |= VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE;
    }
    /* At 0, somewhere, or ending at 2^64. */
    if ((where & 3) == 1) {
        config->gpa = block_size * (where >> 4);
    } else if ((where & 3) > 1) {
        config->gpa = 0 - region_size;
    }
    if ((policy & 4) != 0) {
        config->usable_headroom =
            (policy >> 4) * block_size + (policy >> 3 & 1);
    } else if ((policy & 8) != 0) {
        config->usable_headroom = UINT64_MAX - (policy >> 4);
    }
    /* The model adds units up in a loop. */
    if (config->usable_headroom < block_size ||
        block_size > (UINT64_C(2) << 30)) {
        config->usable_headroom = block_size + (policy >> 7);
    }
    if (config->usable_policy == VMEM_USABLE_DEFAULT &&
        block_size > (UINT64_C(2) << 30)) {
        config->usable_policy = VMEM_USABLE_EXTENT;
    }
    if ((policy & 128) != 0) {
        config->usable_region_size =
            config->requested_size +
            (policy >> 2) %
                (world->nr_blocks + 1 - config->requested_size / block_size) *
                block_size;
    }
}

static int make_region(struct device_world *world, uint8_t options)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = quiet_log,
        .clock_ns = read_clock,
        .opaque = world,
    };
    struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = "region",
        .size = world->nr_blocks * world->config.block_size,
    };
    int ret = vmem_vm_new(&vm_config, &world->vm, NULL);

    if (ret == 0 && (options & 64) != 0) {
        fake_backing_init(&world->memory, "memory", config.size,
                          world->config.block_size, NULL);
        world->memory.flags = (options & 128) != 0 ? VMEM_BACKING_POPULATE : 0;
        world->memory.no_zero = world->nr_blocks % 4 == 0;
        if (world->is_nosy) {
            world->memory.inside = inside_memory;
            world->memory.inside_opaque = world;
        }
        ret = fake_backing_make(&world->memory, world->vm, NULL);
        config.backing = world->memory.backing;
    }
    if (ret == 0) {
        ret = vmem_region_new(world->vm, &config, &world->region, NULL);
    }
    return ret;
}

static void free_region(struct device_world *world)
{
    fuzz_check(vmem_region_free(world->region, NULL) == 0, "region");
    if (world->memory.backing != NULL) {
        fuzz_check(vmem_backing_free(world->memory.backing, NULL) == 0,
                   "backing");
        fuzz_check(world->memory.nr_destroys == 1, "destroys");
        fuzz_check(world->memory.nr_complaints == 0, "%s",
                   world->memory.complaint);
        fake_backing_destroy(&world->memory);
    }
    fuzz_check(vmem_vm_free(world->vm, NULL) == 0, "vm");
    fuzz_check(world->broken == NULL, "%s", world->broken);
    vmemi_alloc_set_hook(NULL);
}

bool device_world_open(struct device_world *world, struct fuzz_input *input)
{
    static const char *const names[NR_LISTENERS] = { "l0", "l1", "l2", "l3" };
    uint8_t options = fuzz_u8(input);
    uint8_t fail_alloc;
    int ret;

    *world = (struct device_world){ .now_ns = SECOND };
    world->is_nosy = (options & 32) != 0;
    world->is_traced = (options & 16) != 0;
    take_config(world, input, options & 15);
    fail_alloc = fuzz_u8(input);
    allocating = world;
    vmemi_alloc_set_hook(may_allocate);
    ret = make_region(world, options);
    fuzz_check(ret == 0, "ret %d", ret);

    if ((world->config.flags & VMEM_DEVICE_KEEP_MEMORY) != 0 &&
        world->memory.backing != NULL) {
        const struct vmem_range all = { 0, world->memory.size };

        fake_backing_write(&world->memory, &all);
    }
    /* The device, its claim, its source and two bitmaps. */
    world->fail_alloc = fail_alloc < 250 ? 0 : fail_alloc - 249;
    ret = vmem_device_new(world->region, &world->config,
                          world->is_traced ? &traced_ops : &device_ops, world,
                          &world->device, NULL);
    world->fail_alloc = 0;
    if (ret < 0) {
        fuzz_check(ret == -ENOMEM && world->failed_alloc, "ret %d", ret);
        fuzz_check(world->device == NULL && vmem_vm_get_claims(world->vm) == 0,
                   "touched on failure");
        free_region(world);
        return false;
    }
    model_init(&world->model, &world->config,
               world->nr_blocks * world->config.block_size);
    world->model.has_memory = world->memory.backing != NULL;
    if (world->model.has_memory &&
        (world->config.flags & VMEM_DEVICE_KEEP_MEMORY) != 0) {
        model_keep(&world->model);
    }
    world->model.populates = (world->memory.flags & VMEM_BACKING_POPULATE) != 0;
    world->model.zero_fails = world->memory.no_zero;
    world->requested_ns = world->now_ns;
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        /* Half blocks, because chunks may be as small. */
        recorder_init(&world->listeners[i], names[i], world->model.region_size,
                      world->config.block_size / 2, NULL);
        if (world->model.has_memory) {
            world->listeners[i].memory = &world->memory;
        }
        if (world->is_nosy) {
            world->listeners[i].inside = inside_listener;
            world->listeners[i].inside_opaque = world;
        }
    }
    device_world_begin(world);
    device_world_check(world);
    return true;
}

static void replay_request(struct vmem_region *region,
                           struct vmem_device *device,
                           const struct vmem_trace_event *event)
{
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = { (uint8_t)event->type };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    bool refused = event->response == VMEM_RESPONSE_BUSY &&
                   event->reason != VMEM_REASON_FROZEN;
    int ret;

    for (unsigned i = 0; i < 8; i++) {
        bytes[8 + i] = (uint8_t)(event->gpa >> (8 * i));
    }
    bytes[16] = (uint8_t)event->nr_blocks;
    bytes[17] = (uint8_t)(event->nr_blocks >> 8);
    if (refused) {
        vmem_region_freeze(region, "replay", NULL);
    }
    ret = vmem_device_handle_request(device, bytes, sizeof(bytes), response,
                                     sizeof(response), NULL);
    if (refused) {
        vmem_region_thaw(region, "replay", NULL);
    }
    fuzz_check(ret == VMEM_REQUEST_RESPOND && response[0] == event->response &&
                   response[8] == event->state,
               "type %u replayed: response %u, not %u; state %u, not %u",
               event->type, response[0], event->response, response[8],
               event->state);
}

static void replay_reset(struct vmem_region *region, struct vmem_device *device,
                         const struct vmem_trace_event *event)
{
    bool refused = event->reason == VMEM_REASON_LISTENER_VETO;
    int ret;

    if (refused) {
        vmem_region_freeze(region, "replay", NULL);
    }
    ret = vmem_device_reset(device, event->type, NULL);
    if (refused) {
        vmem_region_thaw(region, "replay", NULL);
    }
    fuzz_check((ret < 0) == (event->code < 0) &&
                   (ret == event->code || refused),
               "reset replayed");
}

static void replay_load(const struct device_world *world,
                        struct vmem_device *device,
                        const struct device_load *load)
{
    fuzz_check(vmem_device_load(device, &load->saved, load->blocks,
                                (world->nr_blocks + 63) / 64, NULL) == 0,
               "load replayed");
}

static void replay_event(struct vmem_region *region, struct vmem_device *device,
                         const struct vmem_trace_event *event)
{
    switch (event->kind) {
    case VMEM_TRACE_REQUEST:
        replay_request(region, device, event);
        break;
    case VMEM_TRACE_RESIZE:
        fuzz_check(vmem_device_resize(device, event->size, NULL) == event->code,
                   "resize replayed");
        break;
    case VMEM_TRACE_RESET:
        replay_reset(region, device, event);
        break;
    case VMEM_TRACE_FREEZE:
        fuzz_check((event->frozen ? vmem_region_freeze(region, "it", NULL)
                                  : vmem_region_thaw(region, "it", NULL)) == 0,
                   "freeze replayed");
        break;
    default:
        fuzz_check(false, "kind %u", event->kind);
    }
}

/* An equal device, without listeners and memory, answers the same. */
static void replay(struct device_world *world)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "replay",
        .log = quiet_log,
        .clock_ns = read_clock,
        .opaque = world,
    };
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "replay",
        .size = world->model.region_size,
    };
    struct vmem_vm *vm = NULL;
    struct vmem_region *region = NULL;
    struct vmem_device *device = NULL;
    int ret = vmem_vm_new(&vm_config, &vm, NULL);

    ret = ret == 0 ? vmem_region_new(vm, &region_config, &region, NULL) : ret;
    ret = ret == 0 ? vmem_device_new(region, &world->config, NULL, NULL,
                                     &device, NULL)
                   : ret;
    fuzz_check(ret == 0, "ret %d", ret);
    for (unsigned i = 0; i < world->nr_events && i < MAX_EVENTS; i++) {
        if (world->events[i].kind == VMEM_TRACE_LOAD) {
            replay_load(world, device, &world->loads[i]);
        } else {
            replay_event(region, device, &world->events[i]);
        }
    }
    vmem_region_thaw(region, "it", NULL);
    fuzz_check(vmem_device_free(device, NULL) == 0, "free");
    fuzz_check(vmem_region_free(region, NULL) == 0, "free");
    fuzz_check(vmem_vm_free(vm, NULL) == 0, "free");
}

/* Frees the device in a notification that is provoked for it, or plainly. */
static void free_device(struct device_world *world)
{
    unsigned how = (unsigned)(world->nr_blocks + world->nr_answers[0][0]) % 5;
    uint64_t other =
        world->model.requested_size == 0 ? world->config.block_size : 0;

    world->free_in = how;
    device_world_told(world);
    if (how == 1) {
        vmem_device_notify_config(world->device);
    } else if (how == 2) {
        /* Tells only if something is plugged. */
        model_reset(&world->model, VMEM_RESET_SYSTEM);
        vmem_device_reset(world->device, VMEM_RESET_SYSTEM, NULL);
    } else if (how >= 3) {
        model_resize(&world->model, other);
        device_world_told(world);
        vmem_device_resize(world->device, other, NULL);
    }
    world->free_in = 0;
    if (world->device != NULL) {
        fuzz_check(vmem_device_free(world->device, NULL) == 0, "free");
    }
}

void device_world_close(struct device_world *world)
{
    for (unsigned i = 0; i < NR_OWNERS; i++) {
        if (world->frozen_by[i]) {
            model_thaw(&world->model);
            device_world_told(world);
            vmem_region_thaw(world->region, device_world_owners[i], NULL);
        }
    }
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        struct recorder *listener = &world->listeners[i];

        if (listener->listener != NULL) {
            fuzz_check(recorder_remove(listener, NULL) == 0, "remove");
        }
        fuzz_check(listener->nr_complaints == 0, "%s", listener->complaint);
        recorder_destroy(listener);
    }
    if (world->model.has_memory) {
        world->memory.watched->len = 0;
    }
    free_device(world);
    world->device = NULL;
    if (world->is_traced) {
        replay(world);
    }
    free_region(world);
    model_clear(&world->model);
}

void device_world_begin(struct device_world *world)
{
    vmem_device_read_config(world->device, 0, world->config_before,
                            sizeof(world->config_before));
    world->generation_before = vmem_device_get_config_generation(world->device);
    world->nr_events_before = world->nr_events;
}

static void check_config(const struct device_world *world)
{
    uint8_t config[VMEM_DEVICE_CONFIG_SIZE];
    uint8_t expected[VMEM_DEVICE_CONFIG_SIZE];

    vmem_device_read_config(world->device, 0, config, sizeof(config));
    model_config(&world->model, expected);
    for (size_t i = 0; i < sizeof(config); i++) {
        fuzz_check(config[i] == expected[i],
                   "config byte %zu is %02x, not %02x", i, config[i],
                   expected[i]);
    }
    fuzz_check(memcmp(config, world->config_before, sizeof(config)) == 0 ||
                   vmem_device_get_config_generation(world->device) !=
                       world->generation_before,
               "the generation did not change");
}

static void check_blocks(const struct device_world *world)
{
    const struct vmem_source *source = world->device->source;

    fuzz_check(vmemi_bitmap_is_consistent(source->blocks) &&
                   vmemi_bitmap_is_consistent(source->retained),
               "bitmap");
    for (unsigned i = 0; i < world->nr_blocks; i++) {
        fuzz_check(vmem_bitmap_is_set(source->blocks, i) ==
                       world->model.plugged[i],
                   "block %u", i);
        fuzz_check(vmem_bitmap_is_set(source->retained, i) ==
                       world->model.retained[i],
                   "retained block %u", i);
        fuzz_check(!world->model.plugged[i] || !world->model.retained[i],
                   "block %u is plugged and retained", i);
    }
}

static void check_info(const struct device_world *world)
{
    const struct device_model *model = &world->model;
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    uint64_t nr_malformed = 0;
    uint64_t nr_resets = 0;

    fuzz_check(vmem_device_get_info(world->device, &info) == 0, "info");
    fuzz_check(info.plugged_size == model_plugged_size(model) &&
                   info.retained_size == model_retained_size(model) &&
                   info.requested_size == model->requested_size &&
                   info.usable_region_size == model->usable_region_size,
               "sizes");
    fuzz_check(info.driver_features == model->driver_features &&
                   (info.has_driver != 0) == model->has_driver,
               "driver");
    fuzz_check(vmem_device_get_stats(world->device, &stats) == 0, "stats");
    fuzz_check(memcmp(stats.nr_requests, world->nr_answers,
                      sizeof(stats.nr_requests)) == 0,
               "counts of requests");
    for (unsigned i = 0; i < 8; i++) {
        nr_malformed += stats.nr_malformed[i];
    }
    for (unsigned i = 0; i < 4; i++) {
        nr_resets += stats.nr_resets[i];
    }
    fuzz_check(nr_malformed == world->nr_malformed &&
                   nr_resets == world->nr_resets &&
                   stats.nr_resizes == world->nr_resizes &&
                   stats.nr_features_refused == world->nr_refused,
               "counts");
    fuzz_check(stats.plugged_bytes - stats.unplugged_bytes == info.plugged_size,
               "bytes");
    fuzz_check(world->nr_config_changed == model->nr_config_changed,
               "%llu config notifications, not %llu",
               (unsigned long long)world->nr_config_changed,
               (unsigned long long)model->nr_config_changed);
    fuzz_check(world->nr_size_changed == model->nr_size_changed,
               "%llu size notifications, not %llu",
               (unsigned long long)world->nr_size_changed,
               (unsigned long long)model->nr_size_changed);
}

static uint32_t expected_stall(const struct device_world *world)
{
    uint64_t since_ns = world->requested_ns;

    since_ns = since_ns > world->nudged_ns ? since_ns : world->nudged_ns;
    since_ns =
        since_ns > world->last_progress_ns ? since_ns : world->last_progress_ns;

    if (!world->model.has_driver) {
        return VMEM_STALL_NO_DRIVER;
    }
    if (world->is_busy) {
        return VMEM_STALL_HOST_BUSY;
    }
    if (world->now_ns - since_ns < VMEM_DEVICE_STALL_AFTER_NS) {
        return VMEM_STALL_NONE;
    }
    return world->has_asked ? VMEM_STALL_GUEST_REFUSED
                            : VMEM_STALL_GUEST_SILENT;
}

static void check_status(const struct device_world *world)
{
    uint64_t plugged = model_plugged_size(&world->model);
    uint64_t requested = world->model.requested_size;
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    uint32_t state = VMEM_RESIZE_IDLE;
    uint32_t reason = VMEM_STALL_NONE;

    if (plugged != requested) {
        reason = expected_stall(world);
        state =
            plugged < requested ? VMEM_RESIZE_GROWING : VMEM_RESIZE_SHRINKING;
    }
    if (reason != VMEM_STALL_NONE) {
        state = VMEM_RESIZE_STALLED;
    }
    fuzz_check(vmem_device_get_resize_status(world->device, &status) == 0,
               "status");
    fuzz_check(status.plugged_size == plugged &&
                   status.requested_size == requested,
               "sizes");
    fuzz_check(status.state == state && status.reason == reason,
               "state %u reason %u, not %u and %u", status.state, status.reason,
               state, reason);
    fuzz_check((status.busy_reason != VMEM_REASON_NONE) ==
                   (reason == VMEM_STALL_HOST_BUSY),
               "busy reason %u", status.busy_reason);
}

static void check_listeners(const struct device_world *world)
{
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        const struct recorder *listener = &world->listeners[i];

        fuzz_check(listener->nr_complaints == 0, "%s", listener->complaint);
        for (unsigned half = 0; half < 2 * world->nr_blocks; half++) {
            uint64_t pos = half * (world->config.block_size / 2);
            bool has = listener->listener != NULL &&
                       pos >= listener->window.offset &&
                       pos - listener->window.offset < listener->window.size &&
                       world->model.plugged[half / 2];

            fuzz_check((listener->shadow[half] != 0) == has, "%s %s block %u",
                       listener->name, has ? "does not have" : "has", half / 2);
        }
    }
}

/* I6: unplugged memory is gone or retained; a block that is plugged again reads
 * as zero. */
static void check_memory(struct device_world *world)
{
    fuzz_check(world->memory.nr_complaints == 0, "%s", world->memory.complaint);
    for (unsigned i = 0; i < world->nr_blocks; i++) {
        uint8_t content = world->memory.content[i];

        if (!world->model.plugged[i]) {
            world->written[i] = false;
            fuzz_check(content == FAKE_ABSENT || world->model.retained[i],
                       "block %u is there and not retained", i);
            continue;
        }
        fuzz_check((content == FAKE_DIRTY) == world->written[i],
                   "block %u holds %s", i,
                   world->written[i] ? "nothing" : "old bytes");
        fuzz_check(!world->model.populates || content != FAKE_ABSENT,
                   "block %u is not there", i);
    }
}

void device_world_check(struct device_world *world)
{
    fuzz_check(world->broken == NULL, "%s", world->broken);
    check_config(world);
    check_blocks(world);
    check_info(world);
    check_status(world);
    check_listeners(world);
    if (world->model.has_memory) {
        check_memory(world);
    }
}
