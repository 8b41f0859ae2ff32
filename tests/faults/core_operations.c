/* SPDX-License-Identifier: BSD-3-Clause */
/* The public operations that need no memory of the kernel's. */
#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "faults/point.h"
#include "faults/scene.h"

static const int may_stop[] = { POINT_POSITIVE, 0 };

/* ---- machine, region, backing ---- */

static int new_vm(struct scene *it)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "made" };

    return vmem_vm_new(&config, &it->made_vm, &it->err);
}

static void undo_vm(struct scene *it)
{
    if (vmem_vm_free(it->made_vm, NULL) < 0) {
        complain(it, "the made machine is not freed");
    }
}

/* With the library's own clock and log. */
static int new_vm_with_region(struct scene *it)
{
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "made",
        .size = SIZE,
    };
    const struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config),
        .name = "made",
        .block_size = UNIT,
        .requested_size = SIZE,
        .flags = VMEM_DEVICE_MEASURE_LATENCY,
    };
    int ret = new_vm(it);

    if (ret < 0) {
        return ret;
    }
    ret = vmem_region_new(it->made_vm, &region_config, &it->made_region,
                          &it->err);
    if (ret == 0) {
        ret = vmem_device_new(it->made_region, &device_config, NULL, NULL,
                              &it->made_device, &it->err);
        if (ret < 0) {
            vmem_region_free(it->made_region, NULL);
        }
    }
    if (ret < 0) {
        undo_vm(it);
    }
    return ret;
}

static void undo_vm_with_region(struct scene *it)
{
    if (vmem_device_free(it->made_device, NULL) < 0 ||
        vmem_region_free(it->made_region, NULL) < 0) {
        complain(it, "the made device or region is not freed");
    }
    undo_vm(it);
}

static int new_region(struct scene *it)
{
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = "made",
        .backing = it->loose.backing,
    };

    return vmem_region_new(it->vm, &config, &it->made_region, &it->err);
}

static void undo_region(struct scene *it)
{
    if (vmem_region_free(it->made_region, NULL) < 0) {
        complain(it, "the made region is not freed");
    }
}

static int new_memory(struct scene *it)
{
    const int ret = make_memory(it, "made", &it->made_memory);

    if (it->made_memory.nr_destroys != (ret < 0)) {
        complain(it, "made memory: %u destroys, returned %d",
                 it->made_memory.nr_destroys, ret);
    }
    return ret;
}

static void undo_memory(struct scene *it)
{
    if (vmem_backing_free(it->made_memory.backing, NULL) < 0 ||
        it->made_memory.nr_destroys != 1) {
        complain(it, "made memory is not freed once");
    }
}

/* What is made goes again, without a fault point that could fail. */
static int make_and_free(struct scene *it)
{
    int ret = new_vm_with_region(it);

    if (ret < 0) {
        return ret;
    }
    undo_vm_with_region(it);
    ret = new_memory(it);
    if (ret < 0) {
        return ret;
    }
    undo_memory(it);
    return 0;
}

static int memory_usage_of(struct scene *it)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    return vmem_backing_get_usage(it->memory.backing, NULL, &usage, &it->err);
}

static int loose_populate(struct scene *it)
{
    const struct vmem_range range = units(4, 8);

    return vmem_backing_populate(it->loose.backing, &range, &it->err);
}

static int loose_discard(struct scene *it)
{
    const struct vmem_range range = units(4, 8);

    return vmem_backing_discard(it->loose.backing, &range, &it->err);
}

/* The error's range is what was not discarded. */
static void check_loose_discard(struct scene *it, int ret)
{
    if (it->err.code != ret || it->err.range.offset != 4 * UNIT ||
        it->err.range.size != 8 * UNIT) {
        complain(it, "the error does not say how far the discard got");
    }
}

/* ---- sources ---- */

static int add_hiding(struct scene *it)
{
    return add_source(it, it->region, "made", 2 * UNIT, 0, &it->made_source);
}

static int add_discarding(struct scene *it)
{
    return add_source(it, it->region, "made", 2 * UNIT, VMEM_SOURCE_DISCARDS,
                      &it->made_source);
}

static int add_populated(struct scene *it)
{
    return add_source(it, it->region, "made", UNIT,
                      VMEM_SOURCE_DISCARDS | VMEM_SOURCE_POPULATED,
                      &it->made_source);
}

static void undo_source(struct scene *it)
{
    if (vmem_source_remove(it->made_source, NULL) < 0) {
        complain(it, "the made source is not removed");
    }
}

static int remove_a(struct scene *it)
{
    const int ret = vmem_source_remove(it->a, &it->err);

    it->a = ret == 0 ? NULL : it->a;
    return ret;
}

static int remove_b(struct scene *it)
{
    const int ret = vmem_source_remove(it->b, &it->err);

    it->b = ret == 0 ? NULL : it->b;
    return ret;
}

static int populate_a(struct scene *it)
{
    const struct vmem_range range = units(0, NR_UNITS);

    return vmem_source_populate(it->a, &range, &it->err);
}

static int populate_b(struct scene *it)
{
    const struct vmem_range range = units(8, 8);

    return vmem_source_populate(it->b, &range, &it->err);
}

static int discard_a(struct scene *it)
{
    const struct vmem_range range = units(0, NR_UNITS);

    return vmem_source_discard(it->a, &range, &it->err);
}

static int discard_b(struct scene *it)
{
    const struct vmem_range range = units(0, 12);

    return vmem_source_discard(it->b, &range, &it->err);
}

static int retry(struct scene *it)
{
    return vmem_region_retry_discards(it->region, &it->err);
}

/* ---- listeners ---- */

static int listen(struct scene *it)
{
    const int ret = follow(&it->made_follower, it, it->region, "made", UNIT, 0);

    if (ret != 0) {
        it->made_follower.listener = NULL;
    }
    if (it->made_follower.nr_destroys != (ret < 0)) {
        complain(it, "made listener: %u destroys, returned %d",
                 it->made_follower.nr_destroys, ret);
    }
    return ret;
}

static void undo_listen(struct scene *it)
{
    if (vmem_listener_remove(it->made_follower.listener, NULL) < 0 ||
        it->made_follower.nr_destroys != 1) {
        complain(it, "the made listener is not removed once");
    }
}

static int unlisten(struct scene *it)
{
    const int ret = vmem_listener_remove(it->followers[0].listener, &it->err);

    it->followers[0].listener = ret == 0 ? NULL : it->followers[0].listener;
    return ret;
}

/* ---- freezing, claims ---- */

static int freeze(struct scene *it)
{
    return vmem_region_freeze(it->device_region, "owner", &it->err);
}

static int freeze_and_thaw(struct scene *it)
{
    const int ret = freeze(it);

    return ret < 0 ? ret
                   : vmem_region_thaw(it->device_region, "owner", &it->err);
}

static void undo_freeze(struct scene *it)
{
    if (vmem_region_thaw(it->device_region, "owner", NULL) < 0) {
        complain(it, "the region does not thaw");
    }
}

static int take_claim(struct scene *it)
{
    return vmem_discard_claim_take(it->vm, VMEM_CLAIM_NEED_UNCOORDINATED,
                                   "made", &it->made_claim, &it->err);
}

static void undo_claim(struct scene *it)
{
    if (vmem_discard_claim_release(it->made_claim, NULL) < 0) {
        complain(it, "the claim is not released");
    }
}

static int add_watcher(struct scene *it)
{
    return vmem_discard_watcher_add(it->vm, scene_on_claims, it,
                                    &it->made_watcher, &it->err);
}

static void undo_watcher(struct scene *it)
{
    if (vmem_discard_watcher_remove(it->made_watcher, NULL) < 0) {
        complain(it, "the watcher is not removed");
    }
}

/* ---- devices ---- */

static int new_device(struct scene *it)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "made",
        .gpa = (uint64_t)1 << 32,
        .block_size = UNIT,
        .requested_size = 4 * UNIT,
    };

    return vmem_device_new(it->region, &config, &scene_device_ops, it,
                           &it->made_device, &it->err);
}

/* Listeners would be told that everything is populated: they have to go. */
static void undo_device(struct scene *it)
{
    for (unsigned int i = 0; i < 2; i++) {
        if (vmem_listener_remove(it->followers[i].listener, NULL) < 0) {
            complain(it, "a listener is not removed");
        }
        it->followers[i].listener = NULL;
    }
    if (vmem_device_free(it->made_device, NULL) < 0) {
        complain(it, "the made device is not freed");
    }
}

/* Retained memory is tried again in it. */
static int free_device(struct scene *it)
{
    int ret;

    if (it->device_follower.listener != NULL) {
        vmem_listener_remove(it->device_follower.listener, NULL);
        it->device_follower.listener = NULL;
    }
    ret = vmem_device_free(it->device, &it->err);
    it->device = ret == 0 ? NULL : it->device;
    return ret;
}

static bool prepare_free_device(struct scene *it)
{
    vmem_listener_remove(it->device_follower.listener, NULL);
    it->device_follower.listener = NULL;
    return true;
}

static int plug(struct scene *it)
{
    return send_request(it, VMEM_REQUEST_PLUG, 2, 3);
}

/* Unit 11 is retained. */
static int plug_retained(struct scene *it)
{
    return send_request(it, VMEM_REQUEST_PLUG, 11, 1);
}

static int unplug(struct scene *it)
{
    return send_request(it, VMEM_REQUEST_UNPLUG, 8, 2);
}

static int unplug_all(struct scene *it)
{
    return send_request(it, VMEM_REQUEST_UNPLUG_ALL, 0, 0);
}

static int ask_state(struct scene *it)
{
    return send_request(it, VMEM_REQUEST_STATE, 8, 2);
}

static int break_rules(struct scene *it)
{
    return send_request(it, VMEM_REQUEST_UNPLUG, 0, 1);
}

static int send_nonsense(struct scene *it)
{
    return send_request(it, 77, 0, 1);
}

static int plug_iov(struct scene *it)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { VMEM_REQUEST_PLUG };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    const struct iovec readable[] = { { request, 7 }, { request + 7, 17 } };
    const struct iovec writable[] = { { response, 4 }, { response + 4, 6 } };
    int ret;

    vmemi_le64_store(request + 8, 2 * UNIT);
    vmemi_le16_store(request + 16, 1);
    ret = vmem_device_handle_request_iov(it->device, readable, 2, writable, 2,
                                         NULL);
    return ret != 0 ? ret : vmemi_le16_load(response);
}

/* Blocks come, what is retained among them; blocks go, and blocks stay. */
static int load(struct scene *it)
{
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    uint64_t blocks;
    int ret = vmem_device_save(it->device, &saved, &blocks, 1);

    if (ret < 0) {
        return ret;
    }
    blocks = 0x0906;
    saved.plugged_size = 4 * UNIT;
    saved.usable_region_size = SIZE;
    return vmem_device_load(it->device, &saved, &blocks, 1, &it->err);
}

static int reset_system(struct scene *it)
{
    return vmem_device_reset(it->device, VMEM_RESET_SYSTEM, &it->err);
}

/* A listener has refused: every block stays, and only the driver is forgotten. */
static void check_reset(struct scene *it, int ret)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    const struct vmem_range plugged = units(8, 3);

    if (it->err.code != ret || it->err.reason != VMEM_REASON_LISTENER_VETO) {
        complain(it, "a reset failed with %d, its error says %d", ret,
                 it->err.code);
    }
    if (vmem_device_get_info(it->device, &info) < 0 || info.has_driver != 0 ||
        info.plugged_size != plugged.size || info.requested_size != 12 * UNIT ||
        info.usable_region_size != SIZE ||
        !vmem_region_is_populated(it->device_region, &plugged)) {
        complain(it, "a refused reset changed something");
    }
}

static int reset_driver(struct scene *it)
{
    return vmem_device_reset(it->device, VMEM_RESET_DRIVER, &it->err);
}

static int resize(struct scene *it)
{
    return vmem_device_resize(it->device, 2 * UNIT, &it->err);
}

static int kick(struct scene *it)
{
    return vmem_device_notify_config(it->device);
}

static int poll(struct scene *it)
{
    return vmem_device_poll_resize(it->device);
}

static int accept_features(struct scene *it)
{
    return vmem_device_set_driver_features(it->device, 0);
}

static int refuse_features(struct scene *it)
{
    return vmem_device_set_driver_features(it->device, VMEM_DEVICE_F_ACPI_PXM);
}

static int write_config(struct scene *it)
{
    return vmem_device_write_config(it->device, 0, "", 1);
}

/* ---- walks and queries ---- */

static int walk_populated(struct scene *it)
{
    return vmem_region_for_each_populated(it->region, NULL, scene_on_range, it);
}

static int walk_discarded(struct scene *it)
{
    return vmem_region_for_each_discarded(it->region, NULL, scene_on_range, it);
}

static int walk_single_populated(struct scene *it)
{
    return vmem_region_for_each_populated(it->device_region, NULL,
                                          scene_on_range, it);
}

static int walk_single_discarded(struct scene *it)
{
    return vmem_region_for_each_discarded(it->device_region, NULL,
                                          scene_on_range, it);
}

static int hold(struct scene *it)
{
    const struct vmem_range range = units(2, 2);

    return vmem_region_with_populated(it->region, &range, scene_on_range, it,
                                      NULL);
}

static int walk_in_region_list(struct vmem_region *region, void *opaque)
{
    const int ret = point("region list", may_stop);

    /* Of a region that is not held: each run as it is. */
    return ret != 0 ? ret
                    : vmem_region_for_each_populated(region, NULL,
                                                     scene_on_range, opaque);
}

static int list_regions(struct scene *it)
{
    return vmem_vm_for_each_region(it->vm, walk_in_region_list, it);
}

static int on_device(struct vmem_device *device, void *opaque)
{
    (void)device;
    (void)opaque;
    return point("device list", may_stop);
}

static int list_devices(struct scene *it)
{
    return vmem_vm_for_each_device(it->vm, on_device, it);
}

static int on_claim(uint32_t kind, const char *owner, void *opaque)
{
    (void)kind;
    (void)owner;
    (void)opaque;
    return point("claim list", may_stop);
}

static int list_claims(struct scene *it)
{
    return vmem_vm_for_each_claim(it->vm, on_claim, it);
}

/* Nothing in these can fail. */
static int ask(struct scene *it)
{
    struct vmem_region_info region = { .struct_size = sizeof(region) };
    struct vmem_source_info source = { .struct_size = sizeof(source) };
    struct vmem_device_info device = { .struct_size = sizeof(device) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    struct vmem_backing_info backing = { .struct_size = sizeof(backing) };
    struct vmem_backing_stats counters = { .struct_size = sizeof(counters) };
    const struct vmem_trace_event event = { .struct_size = sizeof(event),
                                            .kind = VMEM_TRACE_FREEZE };
    const struct vmem_range range = units(2, 2);
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];
    uint64_t word;

    return vmem_region_get_info(it->region, &region) == 0 &&
                   vmem_source_get_info(it->a, &source) == 0 &&
                   vmem_device_get_info(it->device, &device) == 0 &&
                   vmem_device_get_stats(it->device, &stats) == 0 &&
                   vmem_device_get_resize_status(it->device, &status) == 0 &&
                   vmem_backing_get_info(it->memory.backing, &backing) == 0 &&
                   vmem_backing_get_stats(it->memory.backing, &counters) == 0 &&
                   vmem_device_read_config(it->device, 0, bytes,
                                           sizeof(bytes)) == 0 &&
                   vmem_device_get_config_generation(it->device) ==
                       device.config_generation &&
                   vmem_device_get_features(it->device) ==
                       VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE &&
                   vmem_device_check_removable(it->device, NULL) == -EBUSY &&
                   vmem_region_is_populated(it->region, &range) &&
                   !vmem_region_is_frozen(it->region) &&
                   vmem_region_get_size(it->region) == SIZE &&
                   vmem_region_get_backing(it->region) == it->memory.backing &&
                   vmem_region_get_name(it->region) != NULL &&
                   vmem_region_get_page_bitmap(it->region, NULL, UNIT, &word) ==
                       0 &&
                   vmem_source_get_page_bitmap(it->a, NULL, UNIT, &word) == 0 &&
                   vmem_vm_get_name(it->vm) != NULL &&
                   vmem_vm_get_claims(it->vm) != 0 &&
                   !vmem_vm_is_uncoordinated_forbidden(it->vm) &&
                   vmem_vm_is_discard_needed(it->vm) &&
                   vmem_version() != NULL && vmem_reason_name(0) != NULL &&
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
                   vmem_trace_event_format(&event, "vmem0", NULL, 0) > 0
               ? 0
               : -EPROTO;
}

/* Refused, with names. */
static int free_too_early(struct scene *it)
{
    return vmem_vm_free(it->vm, NULL) == -EBUSY &&
                   vmem_region_free(it->region, NULL) == -EBUSY &&
                   vmem_backing_free(it->memory.backing, NULL) == -EBUSY &&
                   vmem_device_free(it->device, NULL) == -EBUSY
               ? 0
               : -EPROTO;
}

/* ---- bitmaps ---- */

#define NR_BLOCKS 256

static int new_bitmap(struct scene *it)
{
    return vmem_bitmap_new(NR_BLOCKS, &it->made_bitmap);
}

static void undo_bitmap(struct scene *it)
{
    vmem_bitmap_free(it->made_bitmap);
}

static int on_run(const struct vmem_bitmap_run *run, void *opaque)
{
    (void)run;
    (void)opaque;
    return point("run", may_stop);
}

/* Runs that end inside a word, at its end, and at the end of the window. */
static int walk_bitmap(struct scene *it)
{
    struct vmem_bitmap *bitmap;
    uint64_t words[NR_BLOCKS / 64];
    int ret = vmem_bitmap_new(NR_BLOCKS, &bitmap);

    (void)it;
    if (ret < 0) {
        return ret;
    }
    vmem_bitmap_set(bitmap, 3, 4, NULL);
    vmem_bitmap_set(bitmap, 10, 54, NULL);
    vmem_bitmap_set(bitmap, 100, 156, NULL);
    vmem_bitmap_clear(bitmap, 110, 5, NULL);
    ret = vmem_bitmap_for_each_set(bitmap, 0, NR_BLOCKS, on_run, NULL);
    if (ret == 0) {
        ret = vmem_bitmap_for_each_clear(bitmap, 0, 112, on_run, NULL);
    }
    if (ret == 0 && (vmem_bitmap_get_nr_set(bitmap) != 209 ||
                     vmem_bitmap_get_nr_blocks(bitmap) != NR_BLOCKS ||
                     !vmem_bitmap_is_set(bitmap, 3) ||
                     vmem_bitmap_get_state(bitmap, 3, 4) != 1 ||
                     vmem_bitmap_count(bitmap, 0, 10) != 4 ||
                     vmem_bitmap_next_set(bitmap, 0, 9) != 3 ||
                     vmem_bitmap_next_clear(bitmap, 3, 9) != 7 ||
                     vmem_bitmap_copy_out(bitmap, 0, NR_BLOCKS, words) != 0)) {
        ret = -EPROTO;
    }
    vmem_bitmap_free(bitmap);
    return ret;
}

const struct operation core_operations[] = {
    { "making a machine", new_vm, .undo = undo_vm, .has_error = true },
    { "making a machine with a region and a device", new_vm_with_region,
      .undo = undo_vm_with_region, .has_error = true },
    { "making a region", new_region, .undo = undo_region, .has_error = true },
    { "making memory of callbacks", new_memory, .undo = undo_memory,
      .has_error = true },
    { "making and freeing", make_and_free, .has_error = true },
    { "measuring memory", memory_usage_of, .has_error = true },
    /* What was populated in part may stay. */
    { "populating loose memory", loose_populate, .has_error = true },
    { "discarding loose memory", loose_discard,
      .check_failed = check_loose_discard, .has_error = true },
    { "adding a source that hides", add_hiding, .undo = undo_source,
      .has_error = true },
    { "adding a source that discards", add_discarding, .undo = undo_source,
      .has_error = true },
    { "adding a source that has all", add_populated, .undo = undo_source,
      .has_error = true },
    { "removing a source of single units", remove_a, .has_error = true },
    { "removing a source of four units", remove_b, .has_error = true },
    { "populating single units", populate_a, .has_error = true },
    { "populating four units", populate_b, .has_error = true },
    { "discarding single units", discard_a, .has_error = true },
    { "discarding four units", discard_b, .has_error = true },
    { "retrying discards", retry, .has_error = true },
    { "adding a listener", listen, .undo = undo_listen, .has_error = true },
    { "removing a listener", unlisten, .has_error = true },
    { "freezing", freeze, .undo = undo_freeze, .has_error = true },
    { "freezing and thawing", freeze_and_thaw, .has_error = true },
    { "taking a claim", take_claim, .undo = undo_claim, .has_error = true },
    { "adding a watcher", add_watcher, .undo = undo_watcher,
      .has_error = true },
    { "making a device", new_device, .undo = undo_device, .has_error = true },
    { "freeing a device", free_device, .prepare = prepare_free_device,
      .has_error = true },
    { "plugging", plug },
    { "plugging what is retained", plug_retained },
    { "plugging, in pieces", plug_iov },
    { "unplugging", unplug },
    { "unplugging all", unplug_all },
    { "asking for a state", ask_state },
    { "a request that breaks the rules", break_rules,
      .expected = VMEM_RESPONSE_ERROR },
    { "a request without meaning", send_nonsense,
      .expected = VMEM_REQUEST_MALFORMED },
    { "a system reset", reset_system, .check_failed = check_reset,
      .has_error = true },
    { "a load", load, .has_error = true },
    { "a driver reset", reset_driver, .has_error = true },
    { "a resize", resize, .has_error = true },
    { "a kick", kick },
    { "a poll", poll },
    { "features", accept_features },
    { "refused features", refuse_features, .expected = -EPROTO },
    { "a config write", write_config },
    { "walking what is populated", walk_populated },
    { "walking what is discarded", walk_discarded },
    { "walking what one source populates", walk_single_populated },
    { "walking what one source discards", walk_single_discarded },
    { "holding a range", hold },
    { "listing regions", list_regions },
    { "listing devices", list_devices },
    { "listing claims", list_claims },
    { "asking", ask },
    { "freeing too early", free_too_early },
    { "making a bitmap", new_bitmap, .undo = undo_bitmap },
    { "walking a bitmap", walk_bitmap },
};

const size_t nr_core_operations =
    sizeof(core_operations) / sizeof(core_operations[0]);
