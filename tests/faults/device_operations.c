/* SPDX-License-Identifier: BSD-3-Clause */
/* The public operations on devices. */
#include <errno.h>

#include "base/le.h"
#include "faults/scene.h"

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

const struct operation device_operations[] = {
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
};

const size_t nr_device_operations =
    sizeof(device_operations) / sizeof(device_operations[0]);
