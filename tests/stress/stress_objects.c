/* SPDX-License-Identifier: BSD-3-Clause */
/* Objects that are made and freed by many threads in one machine, while others
 * walk its lists, and several want the same memory. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <vmem/vmem.h>

#include "base/le.h"
#include "stress/threads.h"
#include "support/quiet.h"

#define BLOCK ((uint64_t)1 << 20)
#define NR_BLOCKS 16
#define SIZE (NR_BLOCKS * BLOCK)

struct world {
    struct vmem_vm *vm;
    struct vmem_backing *wanted; /* by several threads, one at a time gets it */
    atomic_int nr_users;
    struct vmem_region *shared; /* devices on it are frozen and thawed */
    _Atomic uint64_t nr_devices;
    _Atomic uint64_t nr_own_frees;
    _Atomic uint64_t nr_visited;
    _Atomic uint64_t nr_refused;
    _Atomic uint64_t nr_logs;
    _Atomic uint64_t now_ns;
};

/* ---- callbacks ---- */

/* Under the change lock of a region of one thread: no lock of its own. */
struct follower {
    uint64_t populated;
    unsigned int nr_destroys;
};

static int on_populate(const struct vmem_range *range, void *opaque)
{
    struct follower *follower = opaque;

    follower->populated += range->size;
    return 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    struct follower *follower = opaque;

    STRESS_CHECK(follower->populated >= range->size);
    follower->populated -= range->size;
}

static void on_destroy(void *opaque)
{
    struct follower *follower = opaque;

    STRESS_CHECK(follower->populated == 0 && follower->nr_destroys == 0);
    follower->nr_destroys++;
}

static const struct vmem_listener_ops follower_ops = {
    .struct_size = sizeof(follower_ops),
    .populate = on_populate,
    .discard = on_discard,
    .destroy = on_destroy,
};

static void memory_destroy(void *opaque)
{
    ++*(unsigned int *)opaque;
}

static const struct vmem_backing_ops memory_ops = {
    .struct_size = sizeof(memory_ops),
    .discard = quiet_accept,
    .destroy = memory_destroy,
};

static void on_log(const struct vmem_log_record *record, void *opaque)
{
    struct world *world = opaque;

    (void)record;
    atomic_fetch_add(&world->nr_logs, 1);
}

static uint64_t clock_ns(void *opaque)
{
    struct world *world = opaque;

    return atomic_fetch_add(&world->now_ns, 10000000);
}

/* A device that may be freed in a notification of its own. */
enum frees {
    FREES_NOT,
    FREES_IN_MAKER, /* in a notification of who made it */
    FREES_IN_THAW   /* in one of another thread, which thaws the region */
};

struct own {
    struct world *world;
    pthread_t maker;
    struct vmem_device *device;
    _Atomic int frees;
    atomic_bool is_gone;
};

static void free_device(struct vmem_device *device)
{
    int ret;

    do {
        ret = vmem_device_free(device, NULL);
        STRESS_CHECK(ret == 0 || ret == -EBUSY);
    } while (ret == -EBUSY); /* frozen by another thread */
}

static void note(struct own *own)
{
    int wanted = pthread_equal(pthread_self(), own->maker) ? FREES_IN_MAKER
                                                           : FREES_IN_THAW;

    STRESS_CHECK(!atomic_load(&own->is_gone));
    if (atomic_compare_exchange_strong(&own->frees, &wanted, FREES_NOT)) {
        free_device(own->device);
        atomic_fetch_add(&own->world->nr_own_frees, 1);
        atomic_store(&own->is_gone, true); /* the last use of own */
    }
}

static void on_config_changed(void *opaque)
{
    note(opaque);
}

static void on_size_changed(uint64_t plugged_size, void *opaque)
{
    (void)plugged_size;
    note(opaque);
}

static void on_resize_changed(const struct vmem_resize_status *status,
                              void *opaque)
{
    (void)status;
    note(opaque);
}

static const struct vmem_device_ops device_ops = {
    .struct_size = sizeof(device_ops),
    .config_changed = on_config_changed,
    .size_changed = on_size_changed,
    .resize_changed = on_resize_changed,
};

/* ---- making ---- */

static int make_device(struct vmem_region *region, const char *name,
                       uint64_t place, struct own *own,
                       struct vmem_device **device, struct vmem_error *err)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .gpa = place * SIZE,
        .block_size = BLOCK,
        .requested_size = SIZE,
    };

    return vmem_device_new(region, &config, own != NULL ? &device_ops : NULL,
                           own, device, err);
}

static uint32_t send_request(struct vmem_device *device, uint16_t type,
                             uint64_t place, uint16_t nr_blocks)
{
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    vmemi_le16_store(request, type);
    vmemi_le64_store(request + 8, place * SIZE);
    vmemi_le16_store(request + 16, nr_blocks);
    STRESS_CHECK(vmem_device_handle_request(device, request, sizeof(request),
                                            response, sizeof(response),
                                            &result) == VMEM_REQUEST_RESPOND);
    return result.response;
}

/* A backing, a region, a listener and a device, used a little. */
static void maker(struct stress_thread *thread)
{
    struct world *world = thread->world;
    const struct vmem_backing_custom backing_config = {
        .struct_size = sizeof(backing_config),
        .name = thread->name,
        .size = SIZE,
    };
    const struct vmem_listener_config listener_config = {
        .struct_size = sizeof(listener_config),
        .name = thread->name,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = thread->name,
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct follower follower = { 0 };
    struct vmem_listener *listener;
    unsigned int nr_destroys = 0;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;

    STRESS_CHECK(vmem_backing_new_custom(world->vm, &backing_config,
                                         &memory_ops, &nr_destroys, &backing,
                                         &err) == 0);
    region_config.backing = backing;
    STRESS_CHECK(vmem_region_new(world->vm, &region_config, &region, &err) ==
                 0);
    STRESS_CHECK(make_device(region, thread->name, 1 + thread->number, NULL,
                             &device, &err) == 0);
    STRESS_CHECK(vmem_listener_add(region, &listener_config, &follower_ops,
                                   &follower, &listener, &err) == 0);
    for (unsigned int i = 0; i < 4; i++) {
        STRESS_CHECK(send_request(device, VMEM_REQUEST_PLUG, 1 + thread->number,
                                  4) == VMEM_RESPONSE_ACK);
        STRESS_CHECK(follower.populated == 4 * BLOCK);
        STRESS_CHECK(send_request(device, VMEM_REQUEST_UNPLUG_ALL,
                                  1 + thread->number, 0) == VMEM_RESPONSE_ACK);
    }
    STRESS_CHECK(vmem_region_free(region, &err) == -EBUSY);
    STRESS_CHECK(vmem_device_free(device, &err) == -EBUSY);
    STRESS_CHECK(vmem_backing_free(backing, &err) == -EBUSY);
    STRESS_CHECK(vmem_listener_remove(listener, &err) == 0);
    STRESS_CHECK(follower.nr_destroys == 1);
    STRESS_CHECK(vmem_device_free(device, &err) == 0);
    STRESS_CHECK(vmem_region_free(region, &err) == 0);
    STRESS_CHECK(vmem_backing_free(backing, &err) == 0);
    STRESS_CHECK(nr_destroys == 1);
}

/* The same memory for a region of each thread; who does not get it is told the
 * name of a region that may be going away. */
static void rival(struct stress_thread *thread)
{
    struct world *world = thread->world;
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = thread->name,
        .backing = world->wanted,
    };
    const struct vmem_range range = { 0, BLOCK };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_region *region;
    int ret;

    ret = vmem_backing_discard(world->wanted, &range, &err);
    STRESS_CHECK(ret == 0 || ret == -EBUSY);
    ret = vmem_region_new(world->vm, &config, &region, &err);
    if (ret < 0) {
        STRESS_CHECK(ret == -EBUSY && err.reason == VMEM_REASON_IN_USE);
        atomic_fetch_add(&world->nr_refused, 1);
        return;
    }
    STRESS_CHECK(atomic_fetch_add(&world->nr_users, 1) == 0);
    atomic_fetch_sub(&world->nr_users, 1);
    STRESS_CHECK(vmem_region_free(region, &err) == 0);
}

/* Waits a while for a thaw to free it. */
static void leave_to_a_thaw(struct own *own)
{
    int wanted = FREES_IN_THAW;

    atomic_store(&own->frees, FREES_IN_THAW);
    for (int i = 0; i < 10000 && !atomic_load(&own->is_gone); i++) {
        sched_yield();
    }
    if (atomic_compare_exchange_strong(&own->frees, &wanted, FREES_NOT)) {
        free_device(own->device);
        return;
    }
    while (!atomic_load(&own->is_gone)) {
        sched_yield();
    }
}

/* A device on the region that others freeze and thaw, which it is told while it
 * is being made and freed. It goes in one of the ways in which a device may. */
static void device_maker(struct stress_thread *thread)
{
    struct world *world = thread->world;
    struct own own = { .world = world, .maker = pthread_self() };
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret;

    ret = make_device(world->shared, thread->name, 0, &own, &own.device, &err);
    if (ret < 0) {
        STRESS_CHECK(ret == -EBUSY); /* frozen */
        return;
    }
    atomic_fetch_add(&world->nr_devices, 1);
    switch (stress_below(thread, 3)) {
    case 0:
        atomic_store(&own.frees, FREES_IN_MAKER);
        STRESS_CHECK(vmem_device_resize(own.device, BLOCK, &err) == 0);
        STRESS_CHECK(atomic_load(&own.is_gone));
        break;
    case 1:
        leave_to_a_thaw(&own);
        break;
    default:
        STRESS_CHECK(vmem_device_resize(own.device, BLOCK, &err) == 0);
        free_device(own.device);
        break;
    }
    /* On this stack: no notification may come any more. */
    atomic_store(&own.is_gone, true);
}

static void freezer(struct stress_thread *thread)
{
    const struct timespec nap = { .tv_nsec = 200000 };
    struct world *world = thread->world;

    if (!stress_chance(thread, 4)) {
        nanosleep(&nap, NULL); /* thawed, so that devices can be made */
        return;
    }
    STRESS_CHECK(vmem_region_freeze(world->shared, thread->name, NULL) == 0);
    STRESS_CHECK(vmem_region_thaw(world->shared, thread->name, NULL) == 0);
}

/* ---- walking ---- */

static int visit_region(struct vmem_region *region, void *opaque)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct vmem_backing_info backing = { .struct_size = sizeof(backing) };
    struct world *world = opaque;
    struct vmem_region *made;
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = "in a walk",
        .size = BLOCK,
    };

    STRESS_CHECK(vmem_region_get_info(region, &info) == 0);
    STRESS_CHECK(info.size == SIZE && info.populated_size <= SIZE);
    STRESS_CHECK(vmem_region_get_name(region)[0] != '\0');
    if (vmem_region_get_backing(region) != NULL) {
        STRESS_CHECK(vmem_backing_get_info(vmem_region_get_backing(region),
                                           &backing) == 0);
    }
    STRESS_CHECK(vmem_region_new(world->vm, &config, &made, NULL) == -EDEADLK);
    atomic_fetch_add(&world->nr_visited, 1);
    return 0;
}

static int visit_device(struct vmem_device *device, void *opaque)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_region_info region = { .struct_size = sizeof(region) };
    struct world *world = opaque;
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];

    STRESS_CHECK(vmem_device_get_info(device, &info) == 0);
    STRESS_CHECK(vmem_device_get_stats(device, &stats) == 0);
    STRESS_CHECK(vmem_device_read_config(device, 0, bytes, sizeof(bytes)) == 0);
    STRESS_CHECK(vmem_region_get_info(info.region, &region) == 0);
    STRESS_CHECK(vmem_device_free(device, NULL) == -EDEADLK);
    atomic_fetch_add(&world->nr_visited, 1);
    return 0;
}

static int visit_claim(uint32_t kind, const char *owner, void *opaque)
{
    struct world *world = opaque;

    (void)kind;
    STRESS_CHECK(owner[0] != '\0');
    return vmem_vm_for_each_device(world->vm, visit_device, world);
}

static void walker(struct stress_thread *thread)
{
    struct world *world = thread->world;
    struct vmem_error err = VMEM_ERROR_INIT;

    STRESS_CHECK(vmem_vm_for_each_region(world->vm, visit_region, world) == 0);
    STRESS_CHECK(vmem_vm_for_each_device(world->vm, visit_device, world) == 0);
    STRESS_CHECK(vmem_vm_for_each_claim(world->vm, visit_claim, world) == 0);
    /* Refused, with the names of what comes and goes. */
    STRESS_CHECK(vmem_vm_free(world->vm, &err) == -EBUSY);
}

int main(int argc, char **argv)
{
    struct stress_thread threads[] = {
        { .name = "maker a", .round = maker },
        { .name = "maker b", .round = maker },
        { .name = "rival a", .round = rival },
        { .name = "rival b", .round = rival },
        { .name = "rival c", .round = rival },
        { .name = "devices", .round = device_maker },
        { .name = "freezer a", .round = freezer },
        { .name = "freezer b", .round = freezer },
        { .name = "walker", .round = walker },
    };
    static struct world world;
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = on_log,
        .clock_ns = clock_ns,
        .opaque = &world,
    };
    const struct vmem_backing_custom backing_config = {
        .struct_size = sizeof(backing_config),
        .name = "wanted",
        .size = SIZE,
    };
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "shared",
        .size = SIZE,
    };
    unsigned int nr_destroys = 0;

    stress_arguments(argc, argv);
    STRESS_CHECK(vmem_vm_new(&vm_config, &world.vm, NULL) == 0);
    STRESS_CHECK(vmem_backing_new_custom(world.vm, &backing_config, &memory_ops,
                                         &nr_destroys, &world.wanted,
                                         NULL) == 0);
    STRESS_CHECK(
        vmem_region_new(world.vm, &region_config, &world.shared, NULL) == 0);
    if (!stress_run("objects", threads, sizeof(threads) / sizeof(threads[0]),
                    &world)) {
        return stress_result();
    }
    STRESS_CHECK(vmem_region_free(world.shared, NULL) == 0);
    STRESS_CHECK(vmem_backing_free(world.wanted, NULL) == 0);
    STRESS_CHECK(vmem_vm_free(world.vm, NULL) == 0);
    printf(
        "  %llu visited, %llu refused, %llu devices, %llu freed in their own "
        "notification\n",
        (unsigned long long)world.nr_visited,
        (unsigned long long)world.nr_refused,
        (unsigned long long)world.nr_devices,
        (unsigned long long)world.nr_own_frees);
    STRESS_CHECK(world.nr_refused > 0 && world.nr_visited > 0);
    return stress_result();
}
