/* SPDX-License-Identifier: BSD-3-Clause */
/* One device under everything at once: requests of two queues, resizes, resets,
 * freezes, listeners that come and go and refuse, and readers of every kind that
 * check each answer. Listeners and the memory keep their own books without any
 * lock of their own: that the library calls them one at a time is what the
 * thread sanitizer sees. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <vmem/vmem.h>

#include "base/le.h"
#include "stress/threads.h"

#define BLOCK ((uint64_t)1 << 20)
#define NR_BLOCKS 256
#define SIZE (NR_BLOCKS * BLOCK)
#define GPA ((uint64_t)1 << 32)
#define NR_LISTENERS 3

struct follower {
    struct vmem_listener *listener;
    bool has[NR_BLOCKS]; /* no lock: the library's */
    uint64_t granularity;
    uint64_t nr_calls;
    uint64_t veto_at;
    bool is_gone;
};

struct world {
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
    bool allocated[NR_BLOCKS]; /* the memory; no lock: the library's */
    uint64_t nr_memory_calls;
    _Atomic uint64_t now_ns;
    _Atomic uint64_t nr_logs;
    _Atomic uint64_t nr_config_changed;
    _Atomic uint64_t nr_size_changed;
    _Atomic uint64_t nr_resize_changed;
    _Atomic uint64_t nr_busy;
    struct follower followers[NR_LISTENERS];
};

/* ---- callbacks ---- */

static int on_populate(const struct vmem_range *range, void *opaque)
{
    struct follower *follower = opaque;

    if (follower->nr_calls++ == follower->veto_at) {
        return -ENOSPC;
    }
    STRESS_CHECK(!follower->is_gone);
    for (uint64_t i = range->offset / BLOCK;
         i < (range->offset + range->size) / BLOCK; i++) {
        STRESS_CHECK(!follower->has[i]);
        follower->has[i] = true;
    }
    return 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    struct follower *follower = opaque;

    STRESS_CHECK(!follower->is_gone);
    for (uint64_t i = range->offset / BLOCK;
         i < (range->offset + range->size) / BLOCK; i++) {
        STRESS_CHECK(follower->has[i]);
        follower->has[i] = false;
    }
}

static void on_destroy(void *opaque)
{
    struct follower *follower = opaque;

    for (uint64_t i = 0; i < NR_BLOCKS; i++) {
        STRESS_CHECK(!follower->has[i]);
    }
    follower->is_gone = true;
}

static const struct vmem_listener_ops follower_ops = {
    .struct_size = sizeof(follower_ops),
    .populate = on_populate,
    .discard = on_discard,
    .destroy = on_destroy,
};

static int set_memory(struct world *world, const struct vmem_range *range,
                      bool allocated)
{
    for (uint64_t i = range->offset / BLOCK;
         i < (range->offset + range->size) / BLOCK; i++) {
        world->allocated[i] = allocated;
    }
    return 0;
}

static int memory_discard(const struct vmem_range *range, void *opaque)
{
    struct world *world = opaque;

    /* Nobody may have it any more, and then it may fail. */
    for (unsigned int i = 0; i < NR_LISTENERS; i++) {
        for (uint64_t block = range->offset / BLOCK;
             block < (range->offset + range->size) / BLOCK; block++) {
            STRESS_CHECK(!world->followers[i].has[block]);
        }
    }
    if (world->nr_memory_calls++ % 16 == 15) {
        return -EIO;
    }
    return set_memory(world, range, false);
}

static int memory_populate(const struct vmem_range *range, void *opaque)
{
    struct world *world = opaque;

    if (world->nr_memory_calls++ % 32 == 31) {
        return -ENOMEM;
    }
    return set_memory(world, range, true);
}

static int memory_zero(const struct vmem_range *range, void *opaque)
{
    struct world *world = opaque;

    return world->nr_memory_calls++ % 8 == 7 ? -EIO
                                             : set_memory(opaque, range, true);
}

/* Without lock, from any thread. */
static int memory_usage(const struct vmem_range *range, uint64_t *resident,
                        void *opaque)
{
    (void)opaque;
    *resident = range->size;
    return 0;
}

static const struct vmem_backing_ops memory_ops = {
    .struct_size = sizeof(memory_ops),
    .discard = memory_discard,
    .populate = memory_populate,
    .zero = memory_zero,
    .usage = memory_usage,
};

static void on_log(const struct vmem_log_record *record, void *opaque)
{
    struct world *world = opaque;

    STRESS_CHECK(record->message[0] != '\0' && record->object[0] != '\0');
    atomic_fetch_add(&world->nr_logs, 1);
}

static uint64_t clock_ns(void *opaque)
{
    struct world *world = opaque;

    return atomic_fetch_add(&world->now_ns, 1000000);
}

static void on_config_changed(void *opaque)
{
    struct world *world = opaque;

    atomic_fetch_add(&world->nr_config_changed, 1);
}

static void on_size_changed(uint64_t plugged_size, void *opaque)
{
    struct world *world = opaque;

    STRESS_CHECK(plugged_size % BLOCK == 0 && plugged_size <= SIZE);
    atomic_fetch_add(&world->nr_size_changed, 1);
}

static void on_resize_changed(const struct vmem_resize_status *status,
                              void *opaque)
{
    struct world *world = opaque;

    STRESS_CHECK((status->plugged_size == status->requested_size) ==
                 (status->state == VMEM_RESIZE_IDLE));
    atomic_fetch_add(&world->nr_resize_changed, 1);
}

static const struct vmem_device_ops device_ops = {
    .struct_size = sizeof(device_ops),
    .config_changed = on_config_changed,
    .size_changed = on_size_changed,
    .resize_changed = on_resize_changed,
};

/* ---- who changes ---- */

static uint32_t send_request(struct world *world, uint16_t type, uint64_t block,
                             uint16_t nr_blocks)
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
    struct world *world = thread->world;
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
    struct world *world = thread->world;
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

static void freezer(struct stress_thread *thread)
{
    struct vmem_region_info before = { .struct_size = sizeof(before) };
    struct vmem_region_info after = { .struct_size = sizeof(after) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct world *world = thread->world;
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
    for (unsigned int i = 0; i < 4; i++) {
        send_request(world, VMEM_REQUEST_STATE, 0, 1);
    }
    /* While frozen nothing changes, whatever the others try (I14). */
    STRESS_CHECK(vmem_region_get_info(world->region, &after) == 0);
    STRESS_CHECK(before.populated_size == after.populated_size &&
                 before.retained_size == after.retained_size);
    STRESS_CHECK(vmem_region_thaw(world->region, thread->name, &err) == 0);
    STRESS_CHECK(vmem_region_thaw(world->region, thread->name, &err) ==
                 -ENOENT);
}

static void listeners(struct stress_thread *thread)
{
    struct world *world = thread->world;
    struct follower *follower =
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
    ret = vmem_listener_add(world->region, &config, &follower_ops, follower,
                            &follower->listener, &err);
    STRESS_CHECK(ret == 0 || ret == -ENOSPC);
    STRESS_CHECK((ret == 0) == !follower->is_gone);
    if (ret < 0) {
        follower->listener = NULL;
    }
}

/* ---- who asks ---- */

static void config_reader(struct stress_thread *thread)
{
    struct world *world = thread->world;
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];
    uint8_t again[VMEM_DEVICE_CONFIG_SIZE];
    const uint32_t generation =
        vmem_device_get_config_generation(world->device);
    uint64_t usable;
    uint64_t plugged;
    uint64_t requested;

    STRESS_CHECK(
        vmem_device_read_config(world->device, 0, bytes, sizeof(bytes)) == 0);
    /* In two halves, as a guest does. */
    STRESS_CHECK(vmem_device_read_config(world->device, 0, again, 32) == 0);
    STRESS_CHECK(vmem_device_read_config(world->device, 32, again + 32,
                                         sizeof(again) - 32) == 0);
    if (vmem_device_get_config_generation(world->device) == generation) {
        STRESS_CHECK(memcmp(bytes, again, sizeof(bytes)) == 0);
    }
    usable = vmemi_le64_load(bytes + 32);
    plugged = vmemi_le64_load(bytes + 40);
    requested = vmemi_le64_load(bytes + 48);
    STRESS_CHECK(usable <= SIZE && plugged <= usable && requested <= usable);
    STRESS_CHECK((usable | plugged | requested) % BLOCK == 0);
}

static int check_run(const struct vmem_range *range, void *opaque)
{
    uint64_t *sum = opaque;

    STRESS_CHECK(range->size > 0 && range->size % BLOCK == 0);
    *sum += range->size;
    return 0;
}

/* While a range is held nobody changes it: answers agree. */
static int check_held(const struct vmem_range *range, void *opaque)
{
    struct world *world = opaque;
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    uint64_t words[NR_BLOCKS / 64];
    uint64_t populated = 0;
    uint64_t discarded = 0;
    uint64_t nr_set = 0;

    STRESS_CHECK(vmem_region_is_populated(world->region, range));
    STRESS_CHECK(vmem_region_for_each_populated(world->region, NULL, check_run,
                                                &populated) == 0);
    STRESS_CHECK(vmem_region_for_each_discarded(world->region, NULL, check_run,
                                                &discarded) == 0);
    STRESS_CHECK(
        vmem_region_get_page_bitmap(world->region, NULL, BLOCK, words) == 0);
    STRESS_CHECK(vmem_region_get_info(world->region, &info) == 0);
    for (unsigned int i = 0; i < NR_BLOCKS / 64; i++) {
        nr_set += (uint64_t)__builtin_popcountll(words[i]);
    }
    STRESS_CHECK(populated + discarded == SIZE);
    STRESS_CHECK(populated == info.populated_size);
    STRESS_CHECK(populated == nr_set * BLOCK);
    return 0;
}

static void region_reader(struct stress_thread *thread)
{
    struct world *world = thread->world;
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    const struct vmem_range range = { BLOCK * stress_below(thread, NR_BLOCKS),
                                      BLOCK };
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t sum = 0;
    int ret;

    switch (stress_below(thread, 4)) {
    case 0:
        ret = vmem_region_with_populated(world->region, &range, check_held,
                                         world, &err);
        STRESS_CHECK(ret == 0 || ret == -ENXIO);
        break;
    case 1:
        STRESS_CHECK(vmem_region_for_each_populated(world->region, NULL,
                                                    check_run, &sum) == 0);
        STRESS_CHECK(sum <= SIZE);
        break;
    case 2:
        STRESS_CHECK(vmem_region_get_info(world->region, &info) == 0);
        STRESS_CHECK(info.populated_size + info.retained_size <= SIZE);
        STRESS_CHECK(info.nr_listeners <= NR_LISTENERS);
        STRESS_CHECK(info.nr_vetoes <= info.nr_populate_calls);
        break;
    default:
        vmem_region_is_populated(world->region, &range);
        vmem_region_is_frozen(world->region);
        break;
    }
}

static int visit_device(struct vmem_device *device, void *opaque)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    (void)opaque;
    STRESS_CHECK(vmem_device_get_info(device, &info) == 0);
    STRESS_CHECK(info.plugged_size <= info.usable_region_size);
    STRESS_CHECK(info.plugged_size + info.retained_size <= SIZE);
    return 0;
}

static void statistics_reader(struct stress_thread *thread)
{
    struct world *world = thread->world;
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_stats memory = { .struct_size = sizeof(memory) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    int ret;

    STRESS_CHECK(vmem_device_get_stats(world->device, &stats) == 0);
    STRESS_CHECK(vmem_backing_get_stats(world->backing, &memory) == 0);
    STRESS_CHECK(vmem_backing_get_usage(world->backing, NULL, &usage, NULL) ==
                 0);
    STRESS_CHECK(vmem_device_get_resize_status(world->device, &status) == 0);
    STRESS_CHECK((status.plugged_size == status.requested_size) ==
                 (status.state == VMEM_RESIZE_IDLE));
    STRESS_CHECK(status.busy_reason == VMEM_REASON_NONE ||
                 status.busy_errno != 0);
    ret = vmem_device_check_removable(world->device, NULL);
    STRESS_CHECK(ret == 0 || ret == -EBUSY);
    STRESS_CHECK(vmem_vm_for_each_device(world->vm, visit_device, NULL) == 0);
    STRESS_CHECK(vmem_vm_is_discard_needed(world->vm));
}

/* ---- the whole ---- */

static bool open_world(struct world *world)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = on_log,
        .clock_ns = clock_ns,
        .opaque = world,
    };
    const struct vmem_backing_custom backing_config = {
        .struct_size = sizeof(backing_config),
        .name = "memory",
        .size = SIZE,
        .page_size = 4096,
        .flags = VMEM_BACKING_POPULATE,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "region",
    };
    const struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config),
        .name = "device",
        .gpa = GPA,
        .block_size = BLOCK,
        .usable_policy = VMEM_USABLE_EXTENT,
        .usable_headroom = 16 * BLOCK,
        .flags = VMEM_DEVICE_MEASURE_LATENCY,
        .stall_after_ns = 50000000,
    };

    memset(world, 0, sizeof(*world));
    if (vmem_vm_new(&vm_config, &world->vm, NULL) < 0 ||
        vmem_backing_new_custom(world->vm, &backing_config, &memory_ops, world,
                                &world->backing, NULL) < 0) {
        return false;
    }
    region_config.backing = world->backing;
    return vmem_region_new(world->vm, &region_config, &world->region, NULL) ==
               0 &&
           vmem_device_new(world->region, &device_config, &device_ops, world,
                           &world->device, NULL) == 0;
}

/* Quiet again: each listener has exactly what is populated, and memory that is
 * neither plugged nor retained is gone. */
static void check_end(struct world *world)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    uint64_t nr_allocated = 0;

    for (unsigned int i = 0; i < NR_LISTENERS; i++) {
        if (world->followers[i].listener != NULL) {
            STRESS_CHECK(
                vmem_listener_remove(world->followers[i].listener, NULL) == 0);
        }
        for (uint64_t block = 0; block < NR_BLOCKS; block++) {
            STRESS_CHECK(!world->followers[i].has[block]);
        }
    }
    STRESS_CHECK(vmem_region_get_info(world->region, &info) == 0);
    for (uint64_t block = 0; block < NR_BLOCKS; block++) {
        const struct vmem_range range = { block * BLOCK, BLOCK };

        nr_allocated += world->allocated[block];
        STRESS_CHECK(world->allocated[block] ||
                     !vmem_region_is_populated(world->region, &range));
    }
    STRESS_CHECK(nr_allocated * BLOCK <=
                 info.populated_size + info.retained_size);
    printf("  %llu logs, %llu config, %llu size, %llu resize notifications, "
           "%llu busy, %llu vetoes, %llu rollbacks\n",
           (unsigned long long)world->nr_logs,
           (unsigned long long)world->nr_config_changed,
           (unsigned long long)world->nr_size_changed,
           (unsigned long long)world->nr_resize_changed,
           (unsigned long long)world->nr_busy,
           (unsigned long long)info.nr_vetoes,
           (unsigned long long)info.nr_rollbacks);
    STRESS_CHECK(world->nr_busy > 0 && info.nr_vetoes > 0);
}

static void close_world(struct world *world)
{
    STRESS_CHECK(vmem_device_free(world->device, NULL) == 0);
    STRESS_CHECK(vmem_region_free(world->region, NULL) == 0);
    STRESS_CHECK(vmem_backing_free(world->backing, NULL) == 0);
    STRESS_CHECK(vmem_vm_free(world->vm, NULL) == 0);
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
        { .name = "listeners", .round = listeners },
        { .name = "config", .round = config_reader },
        { .name = "region", .round = region_reader },
        { .name = "statistics", .round = statistics_reader },
    };
    static struct world world;

    stress_arguments(argc, argv);
    if (!open_world(&world)) {
        printf("WRONG: the world could not be made\n");
        return 1;
    }
    if (stress_run("one device", threads, sizeof(threads) / sizeof(threads[0]),
                   &world)) {
        check_end(&world);
        close_world(&world);
    }
    return stress_result();
}
