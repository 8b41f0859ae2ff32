/* SPDX-License-Identifier: BSD-3-Clause */
/* One device under everything at once: requests of two queues, resizes, resets,
 * freezes, states that are saved and loaded, listeners that come and go and refuse,
 * and readers of every kind that check each answer. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vmem/vmem.h>

#include "base/le.h"
#include "stress/busy_device.h"
#include "stress/device_readers.h"
#include "stress/threads.h"

struct saved_state {
    struct vmem_device_saved fields;
    uint64_t blocks[NR_BLOCKS / 64];
};

static uint32_t send_request(struct busy_device *world, uint16_t type,
                             uint64_t block, uint16_t nr_blocks)
{
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    vmemi_le16_store(request, type);
    vmemi_le64_store(request + 8, GPA + block * BLOCK);
    vmemi_le16_store(request + 16, nr_blocks);
    STRESS_CHECK(vmem_device_handle_request(
                     world->device, request, sizeof(request), response,
                     sizeof(response), &result) == VMEM_REQUEST_RESPOND);
    STRESS_CHECK(vmemi_le16_load(response) == result.response);
    return result.response;
}

static void guest(struct stress_thread *thread)
{
    struct busy_device *world = thread->world;
    const uint64_t block = stress_below(thread, NR_BLOCKS + 4);
    const uint16_t nr_blocks = (uint16_t)(1 + stress_below(thread, 8));
    const uint64_t what = stress_below(thread, 100);
    uint32_t response;

    if (what < 50) {
        response = send_request(world, VMEM_REQUEST_PLUG, block, nr_blocks);
    } else if (what < 85) {
        response = send_request(world, VMEM_REQUEST_UNPLUG, block, nr_blocks);
    } else if (what < 98) {
        response = send_request(world, VMEM_REQUEST_STATE, block, nr_blocks);
        STRESS_CHECK(response == VMEM_RESPONSE_ACK ||
                     response == VMEM_RESPONSE_ERROR);
    } else {
        response = send_request(world, VMEM_REQUEST_UNPLUG_ALL, 0, 0);
        STRESS_CHECK(response == VMEM_RESPONSE_ACK ||
                     response == VMEM_RESPONSE_BUSY);
    }
    if (response == VMEM_RESPONSE_BUSY) {
        atomic_fetch_add(&world->nr_busy, 1);
    }
}

static void host(struct stress_thread *thread)
{
    struct busy_device *world = thread->world;
    const uint64_t size = BLOCK * stress_below(thread, NR_BLOCKS + 1);

    switch (stress_below(thread, 16)) {
    case 0:
        STRESS_CHECK(vmem_device_notify_config(world->device) == 0);
        break;
    case 1:
        STRESS_CHECK(vmem_device_poll_resize(world->device) == 0);
        break;
    case 2:
        STRESS_CHECK(
            vmem_device_reset(world->device, VMEM_RESET_DRIVER, NULL) == 0);
        STRESS_CHECK(vmem_device_set_driver_features(world->device, 0) == 0);
        break;
    case 3:
        STRESS_CHECK(vmem_device_set_driver_features(
                         world->device, VMEM_DEVICE_F_ACPI_PXM) == -EPROTO);
        break;
    case 4:
        STRESS_CHECK(vmem_device_write_config(world->device, 0, "", 1) == 0);
        break;
    case 5:
        if (stress_chance(thread, 8)) {
            const int ret =
                vmem_device_reset(world->device, VMEM_RESET_SYSTEM, NULL);

            STRESS_CHECK(ret == 0 || ret == -EBUSY);
        }
        break;
    default:
        STRESS_CHECK(vmem_device_resize(world->device, size, NULL) == 0);
        break;
    }
}

static void save(struct busy_device *world, struct saved_state *state)
{
    uint64_t nr_plugged = 0;
    uint64_t end = 0;

    memset(state, 0, sizeof(*state));
    state->fields.struct_size = sizeof(state->fields);
    STRESS_CHECK(vmem_device_save(world->device, &state->fields, state->blocks,
                                  NR_BLOCKS / 64) == 0);
    for (uint64_t i = 0; i < NR_BLOCKS; i++) {
        if ((state->blocks[i / 64] >> i % 64 & 1) != 0) {
            nr_plugged++;
            end = i + 1;
        }
    }
    /* All of one moment. */
    STRESS_CHECK(state->fields.plugged_size == nr_plugged * BLOCK);
    STRESS_CHECK(state->fields.usable_region_size >= end * BLOCK);
    STRESS_CHECK(state->fields.usable_region_size >=
                 state->fields.requested_size);
}

static int load(struct busy_device *world, const struct saved_state *state)
{
    return vmem_device_load(world->device, &state->fields, state->blocks,
                            NR_BLOCKS / 64, NULL);
}

static void freezer(struct stress_thread *thread)
{
    struct vmem_region_info before = { .struct_size = sizeof(before) };
    struct vmem_region_info after = { .struct_size = sizeof(after) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct busy_device *world = thread->world;
    struct saved_state saved;
    struct saved_state again;
    int ret;

    if (!stress_chance(thread, 4)) {
        ret = vmem_region_retry_discards(world->region, &err);
        STRESS_CHECK(ret == 0 || ret == -EIO || ret == -EBUSY);
        return;
    }
    STRESS_CHECK(vmem_region_freeze(world->region, thread->name, &err) == 0);
    STRESS_CHECK(vmem_region_freeze(world->region, thread->name, &err) ==
                 -EEXIST);
    STRESS_CHECK(vmem_region_is_frozen(world->region));
    STRESS_CHECK(vmem_region_get_info(world->region, &before) == 0);
    save(world, &saved);
    for (unsigned int i = 0; i < 4; i++) {
        send_request(world, VMEM_REQUEST_STATE, 0, 1);
    }
    STRESS_CHECK(load(world, &saved) == -EBUSY);
    /* While frozen nothing changes, whatever the others try (I14). */
    save(world, &again);
    STRESS_CHECK(memcmp(saved.blocks, again.blocks, sizeof(saved.blocks)) == 0);
    STRESS_CHECK(vmem_region_get_info(world->region, &after) == 0);
    STRESS_CHECK(before.populated_size == after.populated_size &&
                 before.retained_size == after.retained_size);
    STRESS_CHECK(saved.fields.plugged_size == before.populated_size);
    STRESS_CHECK(vmem_region_thaw(world->region, thread->name, &err) == 0);
    STRESS_CHECK(vmem_region_thaw(world->region, thread->name, &err) ==
                 -ENOENT);
}

/* Goes back to what was saved, or to a block beside it, while others go on. */
static void reverter(struct stress_thread *thread)
{
    struct busy_device *world = thread->world;
    struct saved_state state;
    uint64_t block;
    int ret;

    save(world, &state);
    for (uint64_t i = stress_below(thread, 8); i > 0; i--) {
        guest(thread);
    }
    if (stress_chance(thread, 4)) {
        state.fields.gpa += BLOCK;
        STRESS_CHECK(load(world, &state) == -EINVAL);
        return;
    }
    block = stress_below(thread, NR_BLOCKS);
    if (block * BLOCK < state.fields.usable_region_size) {
        const uint64_t bit = UINT64_C(1) << block % 64;

        state.blocks[block / 64] ^= bit;
        state.fields.plugged_size +=
            (state.blocks[block / 64] & bit) != 0 ? BLOCK : -BLOCK;
    }
    ret = load(world, &state);
    STRESS_CHECK(ret == 0 || ret == -EBUSY || ret == -ENOSPC || ret == -ENOMEM);
    atomic_fetch_add(&world->nr_loads, ret == 0);
    atomic_fetch_add(&world->nr_undone_loads, ret == -ENOSPC || ret == -ENOMEM);
}

static void listeners(struct stress_thread *thread)
{
    struct busy_device *world = thread->world;
    struct busy_follower *follower =
        &world->followers[stress_below(thread, NR_LISTENERS)];
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_listener_config config = { .struct_size = sizeof(config),
                                           .name = "follower" };
    int ret;

    if (follower->listener != NULL) {
        STRESS_CHECK(vmem_listener_remove(follower->listener, &err) == 0);
        STRESS_CHECK(follower->is_gone);
        follower->listener = NULL;
        return;
    }
    config.window.offset = BLOCK * stress_below(thread, NR_BLOCKS / 2);
    config.window.size = BLOCK * (1 + stress_below(thread, NR_BLOCKS / 2));
    if (stress_chance(thread, 2)) {
        config.granularity = BLOCK;
        config.flags =
            stress_chance(thread, 2) ? VMEM_LISTENER_EXACT_DISCARD : 0;
    }
    follower->is_gone = false;
    follower->nr_calls = 0;
    follower->veto_at = stress_below(thread, 64);
    ret = vmem_listener_add(world->region, &config, &busy_follower_ops,
                            follower, &follower->listener, &err);
    STRESS_CHECK(ret == 0 || ret == -ENOSPC);
    STRESS_CHECK((ret == 0) == !follower->is_gone);
    if (ret < 0) {
        follower->listener = NULL;
    }
}

int main(int argc, char **argv)
{
    struct stress_thread threads[] = {
        { .name = "guest", .round = guest },
        { .name = "guest", .round = guest },
        { .name = "host", .round = host },
        { .name = "host", .round = host },
        { .name = "migration", .round = freezer },
        { .name = "snapshot", .round = freezer },
        { .name = "revert", .round = reverter },
        { .name = "revert", .round = reverter },
        { .name = "listeners", .round = listeners },
        { .name = "config", .round = read_config },
        { .name = "region", .round = read_region },
        { .name = "statistics", .round = read_statistics },
    };
    static struct busy_device world;

    stress_arguments(argc, argv);
    if (!busy_device_open(&world)) {
        printf("WRONG: the world could not be made\n");
        return 1;
    }
    if (stress_run("one device", threads, sizeof(threads) / sizeof(threads[0]),
                   &world)) {
        busy_device_check(&world);
        busy_device_close(&world);
    }
    return stress_result();
}
