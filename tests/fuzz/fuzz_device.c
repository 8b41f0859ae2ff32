/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtio-mem device against a naive model: requests, resizes, resets, freezing,
 * listeners that come, go and refuse, memory that fails; everything that can be
 * seen is compared after each step. */
#include <errno.h>

#include "device_world.h"

/* A request that means something here, or any bytes. */
static size_t make_request(const struct device_world *world,
                           struct fuzz_input *input, uint8_t *bytes)
{
    uint8_t kind = fuzz_u8(input);
    uint16_t nr_blocks;
    uint64_t gpa;

    if (kind >= 240) {
        fuzz_bytes(input, bytes, VMEM_DEVICE_REQUEST_SIZE);
        return kind == 255 ? VMEM_DEVICE_REQUEST_SIZE - 1
                           : VMEM_DEVICE_REQUEST_SIZE;
    }
    gpa = world->config.gpa + fuzz_u8(input) * world->config.block_size;
    nr_blocks = fuzz_u8(input);
    if (kind >= 224) {
        gpa += fuzz_number(input);
        nr_blocks = fuzz_u16(input);
    }
    memset(bytes, kind, VMEM_DEVICE_REQUEST_SIZE);
    bytes[0] = kind & 3;
    bytes[1] = kind >= 232;
    for (unsigned i = 0; i < 8; i++) {
        bytes[8 + i] = (uint8_t)(gpa >> (8 * i));
    }
    bytes[16] = (uint8_t)nr_blocks;
    bytes[17] = (uint8_t)(nr_blocks >> 8);
    return VMEM_DEVICE_REQUEST_SIZE;
}

/* What the tracker of resizes hears. */
static void track(struct device_world *world, unsigned type, unsigned response,
                  uint64_t plugged_before)
{
    world->nr_answers[type][response]++;
    world->has_asked = true;
    if (type != VMEM_REQUEST_STATE) {
        world->is_busy = response == VMEM_RESPONSE_BUSY;
    }
    if (model_plugged_size(&world->model) != plugged_before) {
        world->last_progress_ns = world->now_ns;
    }
}

static void check_request_event(const struct device_world *world,
                                const uint8_t *bytes, const uint8_t *response)
{
    const struct vmem_trace_event *event =
        device_world_event(world, VMEM_TRACE_REQUEST);
    uint64_t gpa = 0;

    if (event == NULL) {
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        gpa |= (uint64_t)bytes[8 + i] << (8 * i);
    }
    fuzz_check(event->type == bytes[0] && event->gpa == gpa &&
                   event->nr_blocks == (uint32_t)(bytes[16] | bytes[17] << 8),
               "event");
    fuzz_check(event->response == response[0] && event->state == response[8],
               "event");
}

static void request(struct device_world *world, struct fuzz_input *input)
{
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t response[16];
    uint8_t expected[16];
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    size_t size = make_request(world, input, bytes);
    size_t room = bytes[5] == 0xdf ? 9 : VMEM_DEVICE_RESPONSE_SIZE;
    uint64_t plugged = model_plugged_size(&world->model);
    int verdict;
    int ret;

    memset(response, 0xee, sizeof(response));
    memset(expected, 0xee, sizeof(expected));
    verdict = model_request(&world->model, bytes, size, room, expected);
    device_world_told(world);
    ret = vmem_device_handle_request(world->device, bytes, size, response, room,
                                     &result);
    fuzz_check(ret == verdict, "ret %d, not %d", ret, verdict);
    fuzz_check(memcmp(response, expected, sizeof(response)) == 0,
               "type %u: response %u, not %u; state %u, not %u", bytes[0],
               response[0], expected[0], response[8], expected[8]);
    if (ret == VMEM_REQUEST_RESPOND) {
        fuzz_check(result.used_size == 10 && result.type == bytes[0] &&
                       result.response == response[0] && result.malformed == 0,
                   "result");
        fuzz_check((result.response == VMEM_RESPONSE_BUSY) ==
                       (result.reason != VMEM_REASON_NONE),
                   "reason %u", result.reason);
        track(world, bytes[0], response[0], plugged);
        model_note_answer(&world->model, &result);
        check_request_event(world, bytes, response);
    } else {
        fuzz_check(result.used_size == 0 && result.malformed != 0, "result");
        fuzz_check(world->nr_events == world->nr_events_before, "event");
        world->nr_malformed++;
    }
}

/* The guest has been told to look again, or is a new one, and has not asked
 * yet. */
static void nudge(struct device_world *world)
{
    world->is_busy = false;
    world->has_asked = false;
    world->nudged_ns = world->now_ns;
    device_world_told(world);
}

/* The model goes first: notifications find it as it will be. */
static void resize(struct device_world *world, struct fuzz_input *input)
{
    uint8_t blocks = fuzz_u8(input);
    uint64_t size =
        blocks >= 250 ? fuzz_number(input) : blocks * world->config.block_size;
    int expected = model_resize(&world->model, size);
    const struct vmem_trace_event *event;
    int ret;

    if (expected == 0) {
        world->requested_ns = world->now_ns;
        world->has_asked = false;
        world->nr_resizes++;
        world->is_busy = false;
    }
    device_world_told(world);
    ret = vmem_device_resize(world->device, size, NULL);
    fuzz_check(ret == expected, "ret %d, not %d", ret, expected);
    event = device_world_event(world, VMEM_TRACE_RESIZE);
    fuzz_check(event == NULL || (event->size == size && event->code == ret),
               "event");
}

static void reset(struct device_world *world, uint32_t kind)
{
    uint64_t plugged = model_plugged_size(&world->model);
    int expected = model_reset(&world->model, kind);
    const struct vmem_trace_event *event;
    int ret;

    world->is_busy &= expected == -EINVAL;
    if (model_plugged_size(&world->model) != plugged) {
        world->last_progress_ns = world->now_ns;
    }
    device_world_told(world);
    ret = vmem_device_reset(world->device, kind, NULL);
    fuzz_check(ret == expected, "ret %d, not %d", ret, expected);
    if (expected == -EINVAL) {
        return;
    }
    world->nr_resets++;
    event = device_world_event(world, VMEM_TRACE_RESET);
    fuzz_check(event == NULL || (event->type == kind && event->code == ret),
               "event");
}

static void toggle_freeze(struct device_world *world, unsigned i)
{
    const char *owner = device_world_owners[i];
    bool was_frozen = world->model.nr_freezers > 0;
    const struct vmem_trace_event *event;
    bool is_frozen;
    int ret;

    if (!world->frozen_by[i]) {
        model_freeze(&world->model);
        ret = vmem_region_freeze(world->region, owner, NULL);
    } else {
        model_thaw(&world->model);
        if (world->model.nr_freezers == 0) {
            nudge(world);
        }
        ret = vmem_region_thaw(world->region, owner, NULL);
    }
    fuzz_check(ret == 0, "ret %d", ret);
    world->frozen_by[i] = !world->frozen_by[i];
    is_frozen = world->model.nr_freezers > 0;
    if (is_frozen != was_frozen) {
        event = device_world_event(world, VMEM_TRACE_FREEZE);
        fuzz_check(event == NULL || event->frozen == is_frozen, "event");
    } else {
        fuzz_check(world->nr_events == world->nr_events_before, "event");
    }
}

static void add_listener(struct device_world *world, struct fuzz_input *input,
                         unsigned i)
{
    struct recorder *recorder = &world->listeners[i];
    struct model_listener *model = &world->model.listeners[i];
    uint8_t options = fuzz_u8(input);
    unsigned first = fuzz_below(input, (unsigned)world->nr_blocks);
    unsigned nr = 1 + fuzz_below(input, (unsigned)world->nr_blocks - first);
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret;

    model->is_there = true;
    model->offset = first * world->config.block_size;
    model->size = nr * world->config.block_size;
    model->granularity =
        (options & 1) != 0 ? world->config.block_size >> (options >> 1 & 1) : 0;
    recorder->window.offset = model->offset;
    recorder->window.size = model->size;
    recorder->granularity = model->granularity;
    recorder->flags = (options & 5) == 5 ? VMEM_LISTENER_EXACT_DISCARD : 0;
    model->exact = (options & 5) == 5;
    recorder->touches = (options & 8) != 0;
    recorder->may_object = (options & 16) != 0;
    ret = recorder_add(recorder, world->region, &err);
    fuzz_check(ret == 0, "%s", err.message);
    if (world->model.has_memory) {
        fake_backing_watch(&world->memory, recorder);
    }
}

static void remove_listener(struct device_world *world, unsigned i)
{
    if (world->model.has_memory) {
        fake_backing_unwatch(&world->memory, &world->listeners[i]);
    }
    if (world->model.busy_by == 1 + (int)i) {
        model_listener_leaves(&world->model, (int)i);
        nudge(world);
    }
    fuzz_check(recorder_remove(&world->listeners[i], NULL) == 0, "remove");
    fuzz_check(world->listeners[i].nr_destroys == 1, "destroys");
    world->model.listeners[i].is_there = false;
}

/* A listener that refuses its nth call, from 1, of a kind. */
static void arm(struct device_world *world, unsigned i, unsigned nth)
{
    struct recorder *recorder = &world->listeners[i];

    world->model.veto_by = (int)i;
    world->model.veto_at = nth;
    recorder->veto_at = recorder->nr_populates + nth - 1;
    if (recorder->may_object) {
        world->model.keep_by = (int)i;
        world->model.keep_at = nth;
        world->model.keep_code = recorder->veto_code;
        recorder->keep_at = recorder->nr_asks + nth - 1;
    }
}

static void disarm(struct device_world *world, unsigned i)
{
    world->model.veto_by = -1;
    world->model.keep_by = -1;
    world->listeners[i].veto_at = UINT64_MAX;
    world->listeners[i].keep_at = UINT64_MAX;
}

/* The next request meets a listener that refuses. */
static void request_with_veto(struct device_world *world,
                              struct fuzz_input *input, unsigned i)
{
    if (world->listeners[i].listener != NULL) {
        arm(world, i, 1 + fuzz_below(input, 8));
    }
    request(world, input);
    disarm(world, i);
}

static void reset_with_veto(struct device_world *world, unsigned i,
                            uint32_t kind)
{
    if (world->listeners[i].listener != NULL) {
        arm(world, i, 1);
    }
    reset(world, kind);
    disarm(world, i);
}

static void break_memory(struct device_world *world, uint8_t what)
{
    struct device_model *model = &world->model;

    model->discard_fails = (what & 1) != 0;
    model->populate_fails = (what & 2) != 0;
    model->zero_fails = (what & 4) != 0 || world->memory.no_zero;
    fake_calls_fail(&world->memory.discards, 0,
                    model->discard_fails ? UINT64_MAX : 0, -EIO);
    fake_calls_fail(&world->memory.populates, 0,
                    model->populate_fails ? UINT64_MAX : 0, -ENOMEM);
    fake_calls_fail(&world->memory.zeros, 0, model->zero_fails ? UINT64_MAX : 0,
                    -EIO);
}

static void retry(struct device_world *world)
{
    int expected = model_retry(&world->model);
    int ret = vmem_region_retry_discards(world->region, NULL);

    fuzz_check(ret == expected, "ret %d, not %d", ret, expected);
}

/* May this be loaded, if nobody objects? Said once more, block by block. */
static bool is_loadable(const struct device_world *world,
                        const struct device_load *load, bool *plugged)
{
    const struct vmem_device_saved *saved = &load->saved;
    const uint64_t block_size = world->config.block_size;
    uint64_t size = 0;
    bool fits =
        world->nr_blocks % 64 == 0 ||
        load->blocks[world->nr_blocks / 64] >> (world->nr_blocks % 64) == 0;

    for (unsigned i = 0; i < world->nr_blocks; i++) {
        plugged[i] = (load->blocks[i / 64] >> (i % 64) & 1) != 0;
        size += plugged[i] ? block_size : 0;
        fits &= !plugged[i] || saved->usable_region_size > i * block_size;
    }
    return fits && size == saved->plugged_size &&
           saved->gpa == world->config.gpa && saved->node_id == 0 &&
           saved->region_size == world->model.region_size &&
           saved->block_size == block_size &&
           saved->requested_size % block_size == 0 &&
           saved->usable_region_size % block_size == 0 &&
           saved->requested_size <= saved->usable_region_size &&
           saved->usable_region_size <= saved->region_size;
}

/* Whatever a stream may hold: what was saved, with other blocks, and perhaps
 * another number somewhere. */
static void load(struct device_world *world, struct fuzz_input *input)
{
    struct device_load load = { .saved = { .struct_size =
                                               sizeof(load.saved) } };
    const size_t nr_words = (world->nr_blocks + 63) / 64;
    uint64_t before = model_plugged_size(&world->model);
    bool plugged[MAX_BLOCKS] = { false };
    bool dirty[MAX_BLOCKS] = { false };
    uint8_t how = fuzz_u8(input);
    struct model_saved wanted;
    int expected = -EINVAL;
    int ret;

    fuzz_check(vmem_device_save(world->device, &load.saved, load.blocks,
                                nr_words) == 0,
               "save");
    load.saved.plugged_size = 0;
    load.saved.usable_region_size = load.saved.region_size;
    for (unsigned i = 0; i < world->nr_blocks; i++) {
        if (i % 8 == 0 && (how & 1) != 0) {
            load.blocks[i / 64] ^= (uint64_t)fuzz_u8(input) << (i % 64);
        }
    }
    if (world->nr_blocks % 64 != 0 && (how & 2) == 0) {
        load.blocks[nr_words - 1] &=
            (UINT64_C(1) << (world->nr_blocks % 64)) - 1;
    }
    for (size_t i = 0; i < nr_words; i++) {
        load.saved.plugged_size +=
            (uint64_t)__builtin_popcountll(load.blocks[i]) *
            load.saved.block_size;
    }
    if (how >= 192) {
        (&load.saved.gpa)[how % 7] = fuzz_number(input);
    }
    if (is_loadable(world, &load, plugged)) {
        wanted = (struct model_saved){
            .requested_size = load.saved.requested_size,
            .usable_region_size = load.saved.usable_region_size,
            .driver_features = world->model.driver_features,
            .has_driver = world->model.has_driver,
            .plugged = plugged,
        };
        /* A driver that has asked, and not accepted what is required. */
        if (wanted.has_driver && world->model.insists &&
            (wanted.driver_features & VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE) ==
                0) {
            expected = -ENOTSUP;
        } else {
            expected = model_load(&world->model, &wanted);
        }
    }
    for (unsigned i = 0; world->model.has_memory && i < world->nr_blocks; i++) {
        dirty[i] = world->memory.content[i] == FAKE_DIRTY;
    }
    if (expected == 0) {
        world->requested_ns = world->now_ns;
        world->has_asked = false;
        world->is_busy = false;
        if (model_plugged_size(&world->model) != before) {
            world->last_progress_ns = world->now_ns;
        }
    }
    device_world_told(world);
    ret = vmem_device_load(world->device, &load.saved, load.blocks, nr_words,
                           NULL);
    fuzz_check((ret == 0) == (expected == 0), "ret %d, not %d", ret, expected);
    if (ret < 0) {
        fuzz_check(world->nr_events == world->nr_events_before, "event");
        return;
    }
    for (unsigned i = 0; i < world->nr_blocks; i++) {
        world->written[i] = plugged[i] && dirty[i];
    }
    if (device_world_event(world, VMEM_TRACE_LOAD) != NULL) {
        world->loads[world->nr_events_before] = load;
    }
}

static void negotiate(struct device_world *world, uint64_t features)
{
    bool had_driver = world->model.has_driver;
    int expected = model_set_features(&world->model, features);
    int ret;

    if (expected == 0 && !had_driver) {
        nudge(world);
    }
    ret = vmem_device_set_driver_features(world->device, features);
    fuzz_check(ret == expected, "ret %d, not %d", ret, expected);
    world->nr_refused += expected < 0;
}

/* The guest writes to what it has plugged, or reads anything. */
static void touch(struct device_world *world, struct fuzz_input *input,
                  bool writes)
{
    unsigned first = fuzz_below(input, (unsigned)world->nr_blocks);
    unsigned nr = fuzz_below(input, (unsigned)world->nr_blocks - first + 1);

    for (unsigned i = first; world->model.has_memory && i < first + nr; i++) {
        const struct vmem_range block = { i * world->config.block_size,
                                          world->config.block_size };

        if (!world->model.plugged[i]) {
            continue;
        }
        if (writes) {
            fake_backing_write(&world->memory, &block);
            world->written[i] = true;
        } else {
            fake_backing_touch(&world->memory, &block);
        }
    }
}

static void kick(struct device_world *world)
{
    model_kick(&world->model);
    nudge(world);
    fuzz_check(vmem_device_notify_config(world->device) == 0, "kick");
}

/* Silence is noticed when somebody looks. */
static void poll_resize(struct device_world *world, uint8_t seconds)
{
    struct vmem_resize_status status = { .struct_size = sizeof(status) };

    world->now_ns += seconds * UINT64_C(1000000000);
    fuzz_check(vmem_device_poll_resize(world->device) == 0, "poll");
    vmem_device_get_resize_status(world->device, &status);
    fuzz_check(!world->was_told || (world->told_state == status.state &&
                                    world->told_reason == status.reason),
               "state %u reason %u were told, not %u and %u", world->told_state,
               world->told_reason, status.state, status.reason);
}

static int visit_device(struct vmem_device *device, void *opaque)
{
    const struct device_world *world = opaque;
    struct vmem_region *region = NULL;
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "x" };

    return device == world->device &&
                   vmem_region_new(world->vm, &config, &region, NULL) ==
                       -EDEADLK &&
                   vmem_device_notify_config(device) == -EDEADLK
               ? 6
               : 0;
}

static int walk_again(struct vmem_device *device, void *opaque)
{
    const struct device_world *world = opaque;

    (void)device;
    return vmem_vm_for_each_device(world->vm, visit_device, opaque);
}

/* What must be refused, and change nothing. */
static void misuse(struct device_world *world)
{
    const struct vmem_range all = { 0, world->config.block_size };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_device *device = NULL;
    bool removable = model_plugged_size(&world->model) == 0 &&
                     world->model.requested_size == 0;
    bool has_listeners = false;

    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        has_listeners |= world->listeners[i].listener != NULL;
    }
    if (has_listeners || world->model.nr_freezers > 0) {
        fuzz_check(vmem_device_free(world->device, &err) == -EBUSY, "free");
    }
    fuzz_check(vmem_device_check_removable(world->device, &err) ==
                   (removable ? 0 : -EBUSY),
               "removable");
    fuzz_check(vmem_region_free(world->region, &err) == -EBUSY, "free");
    fuzz_check(vmem_source_remove(device_world_source(world), &err) == -EBUSY,
               "a device's source");
    fuzz_check(vmem_source_discard(device_world_source(world), &all, &err) ==
                   -EBUSY,
               "a device's source");
    fuzz_check(vmem_device_new(world->region, &world->config, NULL, NULL,
                               &device, &err) == -EEXIST &&
                   device == NULL,
               "a second device");
    fuzz_check(vmem_vm_for_each_device(world->vm, walk_again, world) == 6,
               "devices");
    fuzz_check(vmem_device_free(NULL, &err) == 0, "NULL");
    fuzz_check(vmem_device_resize(NULL, 0, &err) == -EINVAL, "NULL");
    fuzz_check(vmem_device_notify_config(NULL) == -EINVAL, "NULL");
    fuzz_check(vmem_device_poll_resize(NULL) == -EINVAL, "NULL");
    fuzz_check(vmem_device_reset(NULL, VMEM_RESET_DRIVER, &err) == -EINVAL,
               "NULL");
    fuzz_check(vmem_device_check_removable(NULL, &err) == -EINVAL, "NULL");
    fuzz_check(vmem_device_new(NULL, &world->config, NULL, NULL, NULL, &err) ==
                   -EINVAL,
               "NULL");
}

static void step(struct device_world *world, struct fuzz_input *input)
{
    uint8_t op = fuzz_u8(input);
    unsigned arg = op >> 4;

    device_world_begin(world);
    switch (op & 15) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        request(world, input);
        break;
    case 5:
        request_with_veto(world, input, arg % NR_LISTENERS);
        break;
    case 6:
        resize(world, input);
        break;
    case 7:
        if (arg < 10) {
            reset(world, arg % 5);
        } else {
            reset_with_veto(world, arg % NR_LISTENERS, arg % 5);
        }
        break;
    case 8:
        toggle_freeze(world, arg % NR_OWNERS);
        break;
    case 9:
        if (world->listeners[arg % NR_LISTENERS].listener != NULL) {
            remove_listener(world, arg % NR_LISTENERS);
        } else {
            add_listener(world, input, arg % NR_LISTENERS);
        }
        break;
    case 10:
        break_memory(world, (uint8_t)arg);
        break;
    case 11:
        if (arg < 8) {
            retry(world);
        } else {
            load(world, input);
        }
        break;
    case 12:
        negotiate(world, arg < 8 ? arg : fuzz_u64(input));
        break;
    case 13:
        touch(world, input, (arg & 1) != 0);
        break;
    case 14:
        if (arg < 8) {
            kick(world);
        } else {
            misuse(world);
        }
        break;
    default:
        poll_resize(world, fuzz_u8(input));
        break;
    }
    device_world_check(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    static struct device_world world;

    if (device_world_open(&world, &input)) {
        while (fuzz_more(&input)) {
            step(&world, &input);
        }
        device_world_close(&world);
    }
    return 0;
}
