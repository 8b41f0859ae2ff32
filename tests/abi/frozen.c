/* SPDX-License-Identifier: BSD-3-Clause */
/* A program of the time of 0.1: compiled against the frozen copy of its
 * interface, it drives the library of today. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "frozen_0_1.h"

#define MIB ((uint64_t)1024 * 1024)
#define SIZE (32 * MIB)
#define BLOCK (2 * MIB)
#define GPA (4096 * MIB)
#define ROOM 4096 /* more than any struct takes */
#define MARK 0xa5

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Never asserted in: read afterwards. */
struct heard {
    unsigned int nr_populates;
    unsigned int nr_discards;
    unsigned int nr_destroys;
    unsigned int nr_config_changes;
    unsigned int nr_size_changes;
    unsigned int nr_resize_changes;
    unsigned int nr_records;
    unsigned int nr_traced;
    unsigned int nr_claim_changes;
    unsigned int nr_visits;
    uint64_t bytes;
    uint64_t plugged_size;
    uint64_t now_ns;
    uint32_t claims;
    struct vmem_resize_status status;
    struct vmem_log_record record;
    struct vmem_trace_event event;
};

struct world {
    struct heard heard;
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
    struct vmem_region *plain; /* without a backing */
    struct vmem_source *source;
    void *mapped; /* memory that no backing has */
};

static struct vmem_error err = VMEM_ERROR_INIT;

static void must(int ret)
{
    if (ret != 0) {
        fail_msg("%d: %s: %s", ret, vmem_reason_name(err.reason), err.message);
    }
}

static void on_log(const struct vmem_log_record *record, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_records++;
    memcpy(&heard->record, record, sizeof(heard->record));
}

static uint64_t on_clock(void *opaque)
{
    struct heard *heard = opaque;

    return heard->now_ns;
}

static int on_populate(const struct vmem_range *range, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_populates++;
    heard->bytes += range->size;
    return 0;
}

static void on_listener_discard(const struct vmem_range *range, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_discards++;
    heard->bytes -= range->size;
}

static int on_backing_discard(const struct vmem_range *range, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_discards++;
    heard->bytes += range->size;
    return 0;
}

static int on_usage(const struct vmem_range *range, uint64_t *resident,
                    void *opaque)
{
    (void)opaque;
    *resident = range->size / 2;
    return 0;
}

static void on_destroy(void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_destroys++;
}

static void on_config_changed(void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_config_changes++;
}

static void on_size_changed(uint64_t plugged_size, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_size_changes++;
    heard->plugged_size = plugged_size;
}

static void on_resize_changed(const struct vmem_resize_status *status,
                              void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_resize_changes++;
    memcpy(&heard->status, status, sizeof(heard->status));
}

static void on_trace(const struct vmem_trace_event *event, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_traced++;
    memcpy(&heard->event, event, sizeof(heard->event));
}

static void on_claims(uint32_t claims, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_claim_changes++;
    heard->claims = claims;
}

static int on_range(const struct vmem_range *range, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_visits++;
    heard->bytes += range->size;
    return 0;
}

static int on_region(struct vmem_region *region, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_visits += vmem_region_get_size(region) > 0;
    return 0;
}

static int on_device(struct vmem_device *device, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_visits += device != NULL;
    return 0;
}

static int on_claim(uint32_t kind, const char *owner, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_visits += kind == VMEM_CLAIM_NEED_COORDINATED && *owner != '\0';
    return 0;
}

static int on_run(const struct vmem_bitmap_run *run, void *opaque)
{
    struct heard *heard = opaque;

    heard->nr_visits++;
    heard->bytes += run->nr_blocks;
    return 0;
}

static const struct vmem_device_ops device_ops = {
    .struct_size = sizeof(device_ops),
    .config_changed = on_config_changed,
    .size_changed = on_size_changed,
    .resize_changed = on_resize_changed,
    .trace = on_trace,
};

static const struct vmem_listener_ops listener_ops = {
    .struct_size = sizeof(listener_ops),
    .populate = on_populate,
    .discard = on_listener_discard,
    .destroy = on_destroy,
};

static const struct vmem_backing_ops backing_ops = {
    .struct_size = sizeof(backing_ops),
    .discard = on_backing_discard,
    .populate = on_populate,
    .usage = on_usage,
    .destroy = on_destroy,
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm0",
        .log = on_log,
        .clock_ns = on_clock,
        .opaque = &world->heard,
    };
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram",
        .size = SIZE,
        .kind = VMEM_BACKING_MEMFD,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "ram",
    };
    const struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config),
        .name = "vmem0",
        .gpa = GPA,
        .block_size = BLOCK,
    };
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "shared",
        .block_size = BLOCK,
        .flags = VMEM_SOURCE_POPULATED,
    };

    world->mapped = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(world->mapped, MAP_FAILED);
    must(vmem_vm_new(&vm_config, &world->vm, &err));
    must(
        vmem_backing_new_allocated(world->vm, &request, &world->backing, &err));
    region_config.backing = world->backing;
    must(vmem_region_new(world->vm, &region_config, &world->region, &err));
    must(vmem_device_new(world->region, &device_config, &device_ops,
                         &world->heard, &world->device, &err));
    region_config.name = "plain";
    region_config.size = SIZE;
    region_config.backing = NULL;
    must(vmem_region_new(world->vm, &region_config, &world->plain, &err));
    must(vmem_source_add(world->plain, &source_config, &world->source, &err));
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    must(vmem_source_remove(world->source, &err));
    must(vmem_region_free(world->plain, &err));
    must(vmem_device_free(world->device, &err));
    must(vmem_region_free(world->region, &err));
    must(vmem_backing_free(world->backing, &err));
    must(vmem_vm_free(world->vm, &err));
    munmap(world->mapped, SIZE);
    free(world);
    return 0;
}

/* Sends a request as a Linux guest does; the response's type. */
static unsigned int ask(struct world *world, unsigned int type,
                        uint64_t nr_blocks, struct vmem_request_result *result)
{
    unsigned char request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];
    struct iovec readable = { request, sizeof(request) };
    struct iovec writable = { response, sizeof(response) };

    request[0] = (unsigned char)type;
    for (unsigned int i = 0; i < 8; i++) {
        request[8 + i] = (unsigned char)(GPA >> (8 * i));
    }
    request[16] = (unsigned char)nr_blocks;
    assert_int_equal(vmem_device_handle_request_iov(world->device, &readable, 1,
                                                    &writable, 1, result),
                     VMEM_REQUEST_RESPOND);
    return response[0];
}

static void a_guest_grows_and_shrinks(void **state)
{
    struct world *world = *state;
    struct heard *heard = &world->heard;
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_info place = { .struct_size = sizeof(place) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_backing_stats counts = { .struct_size = sizeof(counts) };
    unsigned char config[VMEM_DEVICE_CONFIG_SIZE];
    uint32_t generation;

    assert_int_equal(vmem_device_get_features(world->device),
                     VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE);
    must(vmem_device_set_driver_features(world->device, 0));
    assert_int_equal(vmem_device_set_driver_features(
                         world->device, VMEM_DEVICE_F_PERSISTENT_SUSPEND),
                     -EPROTO);
    must(vmem_device_set_driver_features(world->device, 0));
    generation = vmem_device_get_config_generation(world->device);
    must(vmem_device_resize(world->device, 8 * BLOCK, &err));
    assert_int_not_equal(vmem_device_get_config_generation(world->device),
                         generation);
    assert_int_equal(heard->nr_config_changes, 1);
    assert_int_equal(heard->status.state, VMEM_RESIZE_GROWING);
    assert_int_equal(ask(world, VMEM_REQUEST_PLUG, 9, NULL),
                     VMEM_RESPONSE_NACK);
    assert_int_equal(ask(world, VMEM_REQUEST_PLUG, 8, &result),
                     VMEM_RESPONSE_ACK);
    assert_int_equal(result.type, VMEM_REQUEST_PLUG);
    assert_int_equal(result.response, VMEM_RESPONSE_ACK);
    assert_int_equal(result.used_size, VMEM_DEVICE_RESPONSE_SIZE);
    assert_int_equal(heard->plugged_size, 8 * BLOCK);
    assert_int_equal(heard->status.state, VMEM_RESIZE_IDLE);
    assert_int_equal(heard->nr_traced, 3);
    assert_true(heard->event.struct_size >= sizeof(heard->event));
    assert_int_equal(heard->event.kind, VMEM_TRACE_REQUEST);
    assert_int_equal(heard->event.gpa, GPA);
    assert_int_equal(heard->event.nr_blocks, 8);

    must(vmem_device_read_config(world->device, 0, config, sizeof(config)));
    assert_int_equal(config[2], BLOCK >> 16);
    assert_int_equal(config[43], 8 * BLOCK >> 24);
    must(vmem_device_write_config(world->device, 0, config, 1));

    must(vmem_backing_get_info(world->backing, &place));
    assert_string_equal(place.name, "ram");
    assert_int_equal(place.kind, VMEM_BACKING_MEMFD);
    assert_true(place.fd >= 0);
    memset(place.hva, 0x5a, 8 * BLOCK);
    must(vmem_backing_get_usage(world->backing, NULL, &usage, &err));
    assert_int_equal(usage.resident, 8 * BLOCK);

    assert_int_equal(ask(world, VMEM_REQUEST_STATE, 8, &result),
                     VMEM_RESPONSE_ACK);
    assert_int_equal(vmem_device_check_removable(world->device, &err), -EBUSY);
    must(vmem_device_resize(world->device, 0, &err));
    heard->now_ns += 2 * VMEM_DEVICE_STALL_AFTER_NS;
    must(vmem_device_poll_resize(world->device));
    must(vmem_device_get_resize_status(world->device, &status));
    assert_int_equal(status.state, VMEM_RESIZE_STALLED);
    assert_int_equal(status.reason, VMEM_STALL_GUEST_SILENT);
    assert_int_equal(ask(world, VMEM_REQUEST_UNPLUG, 8, &result),
                     VMEM_RESPONSE_ACK);
    must(vmem_backing_get_usage(world->backing, NULL, &usage, &err));
    assert_int_equal(usage.resident, 0);

    must(vmem_device_reset(world->device, VMEM_RESET_SYSTEM, &err));
    must(vmem_device_notify_config(world->device));
    must(vmem_device_check_removable(world->device, &err));
    must(vmem_device_get_info(world->device, &info));
    assert_string_equal(info.name, "vmem0");
    assert_ptr_equal(info.region, world->region);
    assert_int_equal(info.gpa, GPA);
    assert_int_equal(info.plugged_size, 0);
    must(vmem_device_get_stats(world->device, &stats));
    assert_int_equal(stats.nr_requests[VMEM_REQUEST_PLUG][VMEM_RESPONSE_NACK],
                     1);
    assert_int_equal(stats.nr_requests[VMEM_REQUEST_PLUG][VMEM_RESPONSE_ACK],
                     1);
    assert_int_equal(stats.unplugged_bytes, 8 * BLOCK);
    assert_int_equal(stats.nr_config_writes, 1);
    assert_int_equal(stats.nr_features_refused, 1);
    assert_int_equal(stats.nr_resizes, 2);
    assert_int_equal(stats.nr_resets[VMEM_RESET_SYSTEM], 1);
    must(vmem_backing_get_stats(world->backing, &counts));
    assert_int_equal(counts.discarded_bytes % BLOCK, 0);
    assert_true(counts.nr_syscalls > 0);
    assert_true(heard->nr_records > 0);
    assert_int_equal(heard->record.blame >= VMEM_BLAME_GUEST, 1);
    assert_string_equal(vmem_blame_name(VMEM_BLAME_GUEST), "guest");
}

static void a_listener_follows_a_source(void **state)
{
    struct world *world = *state;
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = "vfio",
        .window = { 0, SIZE },
        .granularity = BLOCK,
        .flags = VMEM_LISTENER_EXACT_DISCARD,
    };
    const struct vmem_range half = { 0, SIZE / 2 };
    struct heard heard = { .bytes = 0 };
    struct heard seen = { .bytes = 0 };
    struct vmem_listener *listener;
    uint64_t words[1] = { 0 };
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct vmem_source_info shape = { .struct_size = sizeof(shape) };

    must(vmem_listener_add(world->plain, &config, &listener_ops, &heard,
                           &listener, &err));
    assert_int_equal(heard.nr_populates, SIZE / BLOCK);
    must(vmem_source_discard(world->source, &half, &err));
    assert_int_equal(heard.nr_discards, SIZE / BLOCK / 2);
    assert_int_equal(heard.bytes, SIZE / 2);
    assert_false(vmem_region_is_populated(world->plain, &half));
    must(vmem_region_for_each_populated(world->plain, NULL, on_range, &seen));
    assert_int_equal(seen.bytes, SIZE / 2);
    must(vmem_region_for_each_discarded(world->plain, NULL, on_range, &seen));
    assert_int_equal(seen.bytes, SIZE);
    assert_int_equal(seen.nr_visits, 2);
    assert_int_equal(
        vmem_region_with_populated(world->plain, &half, on_range, &seen, &err),
        -ENXIO);
    assert_int_equal(err.code, -ENXIO);
    assert_int_equal(err.reason, VMEM_REASON_NOT_POPULATED);
    assert_int_equal(err.range.size, SIZE / 2);

    must(vmem_region_freeze(world->plain, "migration", &err));
    assert_true(vmem_region_is_frozen(world->plain));
    assert_int_equal(vmem_source_populate(world->source, &half, &err), -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_FROZEN);
    assert_non_null(strstr(err.message, "migration"));
    must(vmem_region_thaw(world->plain, "migration", &err));
    must(vmem_source_populate(world->source, &half, &err));
    must(
        vmem_region_with_populated(world->plain, &half, on_range, &seen, &err));
    must(vmem_region_retry_discards(world->plain, &err));
    must(vmem_region_get_page_bitmap(world->plain, &half, BLOCK, words));
    assert_int_equal(words[0], ((uint64_t)1 << (SIZE / 2 / BLOCK)) - 1);

    must(vmem_region_get_info(world->plain, &info));
    assert_string_equal(info.name, "plain");
    assert_int_equal(info.populated_size, SIZE);
    assert_int_equal(info.min_granularity, BLOCK);
    assert_int_equal(info.nr_listeners, 1);
    must(vmem_source_get_info(world->source, &shape));
    assert_string_equal(shape.name, "shared");
    assert_int_equal(shape.flags, VMEM_SOURCE_POPULATED);
    assert_int_equal(shape.populated_size, SIZE);
    must(vmem_listener_remove(listener, &err));
    assert_int_equal(heard.bytes, 0);
    assert_int_equal(heard.nr_destroys, 1);
}

static void mapped_and_custom_backings_work(void **state)
{
    struct world *world = *state;
    const struct vmem_range all = { 0, SIZE };
    struct vmem_backing_mapping mapping = {
        .struct_size = sizeof(mapping),
        .name = "mapped",
        .size = SIZE,
    };
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "custom",
        .size = SIZE,
        .flags = VMEM_BACKING_POPULATE,
    };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct heard heard = { .bytes = 0 };
    struct vmem_backing *backing;

    mapping.hva = world->mapped;
    must(vmem_backing_new_mapped(world->vm, &mapping, &backing, &err));
    must(vmem_backing_populate(backing, &all, &err));
    must(vmem_backing_get_usage(backing, &all, &usage, &err));
    assert_int_equal(usage.resident, SIZE);
    assert_int_equal(usage.method, VMEM_USAGE_PAGEMAP);
    must(vmem_backing_discard(backing, &all, &err));
    must(vmem_backing_get_usage(backing, &all, &usage, &err));
    assert_int_equal(usage.resident, 0);
    must(vmem_backing_free(backing, &err));

    must(vmem_backing_new_custom(world->vm, &custom, &backing_ops, &heard,
                                 &backing, &err));
    must(vmem_backing_get_info(backing, &info));
    assert_int_equal(info.kind, VMEM_BACKING_CUSTOM);
    assert_null(info.hva);
    must(vmem_backing_populate(backing, &all, &err));
    must(vmem_backing_discard(backing, &all, &err));
    assert_int_equal(heard.bytes, 2 * SIZE);
    must(vmem_backing_get_usage(backing, NULL, &usage, &err));
    assert_int_equal(usage.resident, SIZE / 2);
    assert_int_equal(usage.method, VMEM_USAGE_CALLBACK);
    must(vmem_backing_free(backing, &err));
    assert_int_equal(heard.nr_destroys, 1);
}

static void claims_and_the_inventory_are_seen(void **state)
{
    struct world *world = *state;
    struct vmem_discard_claim *claim;
    struct vmem_discard_watcher *watcher;
    struct heard heard = { .bytes = 0 };

    assert_string_equal(vmem_vm_get_name(world->vm), "vm0");
    assert_string_equal(vmem_region_get_name(world->region), "ram");
    assert_ptr_equal(vmem_region_get_backing(world->region), world->backing);
    assert_non_null(vmem_version());
    must(
        vmem_discard_watcher_add(world->vm, on_claims, &heard, &watcher, &err));
    assert_int_equal(vmem_discard_claim_take(world->vm, VMEM_CLAIM_FORBID_ALL,
                                             "sev", &claim, &err),
                     -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_CLAIM_CONFLICT);
    assert_non_null(strstr(err.message, "vmem0"));
    must(vmem_discard_claim_take(world->vm, VMEM_CLAIM_FORBID_UNCOORDINATED,
                                 "vfio", &claim, &err));
    assert_int_equal(heard.claims,
                     VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_COORDINATED) |
                         VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_UNCOORDINATED));
    assert_int_equal(vmem_vm_get_claims(world->vm), heard.claims);
    assert_true(vmem_vm_is_uncoordinated_forbidden(world->vm));
    assert_true(vmem_vm_is_discard_needed(world->vm));
    must(vmem_vm_for_each_claim(world->vm, on_claim, &heard));
    assert_int_equal(heard.nr_visits, 1);
    must(vmem_discard_claim_release(claim, &err));
    must(vmem_discard_watcher_remove(watcher, &err));
    assert_int_equal(heard.nr_claim_changes, 2);
    must(vmem_vm_for_each_region(world->vm, on_region, &heard));
    must(vmem_vm_for_each_device(world->vm, on_device, &heard));
    assert_int_equal(heard.nr_visits, 4);
}

static void a_bitmap_is_walked(void **state)
{
    struct vmem_bitmap *bitmap;
    struct heard heard = { .bytes = 0 };
    uint64_t nr_changed;
    uint64_t words[2];

    (void)state;
    must(vmem_bitmap_new(100, &bitmap));
    must(vmem_bitmap_set(bitmap, 10, 60, &nr_changed));
    assert_int_equal(nr_changed, 60);
    must(vmem_bitmap_clear(bitmap, 20, 10, &nr_changed));
    assert_int_equal(vmem_bitmap_get_nr_blocks(bitmap), 100);
    assert_int_equal(vmem_bitmap_get_nr_set(bitmap), 50);
    assert_int_equal(vmem_bitmap_count(bitmap, 0, 20), 10);
    assert_true(vmem_bitmap_is_set(bitmap, 10));
    assert_int_equal(vmem_bitmap_get_state(bitmap, 0, 100), VMEM_BITMAP_MIXED);
    assert_int_equal(vmem_bitmap_next_set(bitmap, 0, 100), 10);
    assert_int_equal(vmem_bitmap_next_clear(bitmap, 10, 100), 20);
    must(vmem_bitmap_for_each_set(bitmap, 0, 100, on_run, &heard));
    assert_int_equal(heard.bytes, 50);
    must(vmem_bitmap_for_each_clear(bitmap, 0, 100, on_run, &heard));
    assert_int_equal(heard.bytes, 100);
    assert_int_equal(heard.nr_visits, 5);
    must(vmem_bitmap_copy_out(bitmap, 10, 64, words));
    assert_int_equal(words[0] & 0x3ff, 0x3ff);
    vmem_bitmap_free(bitmap);
}

/* A struct that the host fills, and what is done with it. Each of these calls
 * the library with what was filled in, then undoes what that did. */
struct input {
    const char *name;
    size_t size; /* of 0.1 */
    void (*fill)(struct world *world, void *bytes);
    int (*use)(struct world *world, void *bytes);
};

static void fill_vm(struct world *world, void *bytes)
{
    struct vmem_vm_config *config = bytes;

    (void)world;
    config->name = "another";
}

static int use_vm(struct world *world, void *bytes)
{
    struct vmem_vm *vm;
    int ret = vmem_vm_new(bytes, &vm, &err);

    (void)world;
    return ret < 0 ? ret : vmem_vm_free(vm, &err);
}

static void fill_request(struct world *world, void *bytes)
{
    struct vmem_backing_config *request = bytes;

    (void)world;
    request->name = "another";
    request->size = SIZE;
    request->kind = VMEM_BACKING_ANON;
}

static int use_request(struct world *world, void *bytes)
{
    struct vmem_backing *backing;
    int ret = vmem_backing_new_allocated(world->vm, bytes, &backing, &err);

    return ret < 0 ? ret : vmem_backing_free(backing, &err);
}

static void fill_mapping(struct world *world, void *bytes)
{
    struct vmem_backing_mapping *mapping = bytes;

    mapping->name = "another";
    mapping->hva = world->mapped;
    mapping->size = SIZE;
}

static int use_mapping(struct world *world, void *bytes)
{
    struct vmem_backing *backing;
    int ret = vmem_backing_new_mapped(world->vm, bytes, &backing, &err);

    return ret < 0 ? ret : vmem_backing_free(backing, &err);
}

static void fill_custom(struct world *world, void *bytes)
{
    struct vmem_backing_custom *custom = bytes;

    (void)world;
    custom->name = "another";
    custom->size = SIZE;
}

static int use_custom(struct world *world, void *bytes)
{
    struct vmem_backing *backing;
    int ret = vmem_backing_new_custom(world->vm, bytes, &backing_ops,
                                      &world->heard, &backing, &err);

    return ret < 0 ? ret : vmem_backing_free(backing, &err);
}

static void fill_backing_ops(struct world *world, void *bytes)
{
    struct vmem_backing_ops *ops = bytes;

    (void)world;
    ops->discard = on_backing_discard;
    ops->destroy = on_destroy;
}

static int use_backing_ops(struct world *world, void *bytes)
{
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "another",
        .size = SIZE,
    };
    struct vmem_backing *backing;
    int ret = vmem_backing_new_custom(world->vm, &custom, bytes, &world->heard,
                                      &backing, &err);

    return ret < 0 ? ret : vmem_backing_free(backing, &err);
}

static void fill_region(struct world *world, void *bytes)
{
    struct vmem_region_config *config = bytes;

    (void)world;
    config->name = "another";
    config->size = SIZE;
}

static int use_region(struct world *world, void *bytes)
{
    struct vmem_region *region;
    int ret = vmem_region_new(world->vm, bytes, &region, &err);

    return ret < 0 ? ret : vmem_region_free(region, &err);
}

static void fill_source(struct world *world, void *bytes)
{
    struct vmem_source_config *config = bytes;

    (void)world;
    config->name = "another";
    config->block_size = BLOCK;
}

static int use_source(struct world *world, void *bytes)
{
    struct vmem_source *source;
    int ret = vmem_source_add(world->plain, bytes, &source, &err);

    return ret < 0 ? ret : vmem_source_remove(source, &err);
}

static void fill_listener(struct world *world, void *bytes)
{
    struct vmem_listener_config *config = bytes;

    (void)world;
    config->name = "another";
}

static int use_listener(struct world *world, void *bytes)
{
    struct vmem_listener *listener;
    int ret = vmem_listener_add(world->plain, bytes, &listener_ops,
                                &world->heard, &listener, &err);

    return ret < 0 ? ret : vmem_listener_remove(listener, &err);
}

static void fill_listener_ops(struct world *world, void *bytes)
{
    struct vmem_listener_ops *ops = bytes;

    (void)world;
    ops->populate = on_populate;
    ops->discard = on_listener_discard;
}

static int use_listener_ops(struct world *world, void *bytes)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = "another",
    };
    struct vmem_listener *listener;
    int ret = vmem_listener_add(world->plain, &config, bytes, &world->heard,
                                &listener, &err);

    return ret < 0 ? ret : vmem_listener_remove(listener, &err);
}

static void fill_device(struct world *world, void *bytes)
{
    struct vmem_device_config *config = bytes;

    (void)world;
    config->name = "another";
    config->gpa = 2 * GPA;
    config->block_size = BLOCK;
}

static int use_device(struct world *world, void *bytes)
{
    struct vmem_device *device;
    int ret = vmem_device_new(world->plain, bytes, NULL, NULL, &device, &err);

    return ret < 0 ? ret : vmem_device_free(device, &err);
}

static void fill_device_ops(struct world *world, void *bytes)
{
    struct vmem_device_ops *ops = bytes;

    (void)world;
    ops->config_changed = on_config_changed;
}

static int use_device_ops(struct world *world, void *bytes)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "another",
        .gpa = 2 * GPA,
        .block_size = BLOCK,
    };
    struct vmem_device *device;
    int ret = vmem_device_new(world->plain, &config, bytes, &world->heard,
                              &device, &err);

    return ret < 0 ? ret : vmem_device_free(device, &err);
}

#define INPUT(type, what)                                                      \
    {                                                                          \
#type, sizeof(struct type), fill_##what, use_##what                    \
    }

static const struct input inputs[] = {
    INPUT(vmem_vm_config, vm),
    INPUT(vmem_backing_config, request),
    INPUT(vmem_backing_mapping, mapping),
    INPUT(vmem_backing_custom, custom),
    INPUT(vmem_backing_ops, backing_ops),
    INPUT(vmem_region_config, region),
    INPUT(vmem_source_config, source),
    INPUT(vmem_listener_config, listener),
    INPUT(vmem_listener_ops, listener_ops),
    INPUT(vmem_device_config, device),
    INPUT(vmem_device_ops, device_ops),
};

/* Uses an input that claims to have that size, with its last byte or'ed. */
static int try_input(struct world *world, const struct input *input,
                     size_t struct_size, unsigned char last)
{
    unsigned char *bytes = calloc(1, ROOM);
    int ret;

    input->fill(world, bytes);
    bytes[struct_size - 1] |= last;
    memcpy(bytes, &struct_size, sizeof(struct_size));
    ret = input->use(world, bytes);
    free(bytes);
    return ret;
}

static void what_hosts_fill_is_read_by_the_size_of_0_1(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
        const struct input *input = &inputs[i];

        print_message("%s: %zu bytes\n", input->name, input->size);
        must(try_input(world, input, input->size, 0));
        assert_int_equal(try_input(world, input, input->size - 1, 0), -EINVAL);
        assert_int_equal(err.reason, VMEM_REASON_STRUCT_SIZE);
        assert_int_equal(try_input(world, input, sizeof(size_t), 0), -EINVAL);
        must(try_input(world, input, ROOM, 0));
        assert_int_equal(try_input(world, input, ROOM, 1), -E2BIG);
        assert_int_equal(err.reason, VMEM_REASON_STRUCT_TAIL);
    }
}

/* A struct that the library fills. */
struct output {
    const char *name;
    size_t size; /* of 0.1 */
    int (*get)(struct world *world, void *bytes);
};

static int get_backing_info(struct world *world, void *bytes)
{
    return vmem_backing_get_info(world->backing, bytes);
}

static int get_backing_stats(struct world *world, void *bytes)
{
    return vmem_backing_get_stats(world->backing, bytes);
}

static int get_backing_usage(struct world *world, void *bytes)
{
    return vmem_backing_get_usage(world->backing, NULL, bytes, &err);
}

static int get_region_info(struct world *world, void *bytes)
{
    return vmem_region_get_info(world->region, bytes);
}

static int get_source_info(struct world *world, void *bytes)
{
    return vmem_source_get_info(world->source, bytes);
}

static int get_device_info(struct world *world, void *bytes)
{
    return vmem_device_get_info(world->device, bytes);
}

static int get_device_stats(struct world *world, void *bytes)
{
    return vmem_device_get_stats(world->device, bytes);
}

static int get_resize_status(struct world *world, void *bytes)
{
    return vmem_device_get_resize_status(world->device, bytes);
}

static int get_request_result(struct world *world, void *bytes)
{
    const unsigned char request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];

    return vmem_device_handle_request(world->device, request, sizeof(request),
                                      response, sizeof(response), bytes);
}

#define OUTPUT(what)                                                           \
    {                                                                          \
        "vmem_" #what, sizeof(struct vmem_##what), get_##what                  \
    }

static const struct output outputs[] = {
    OUTPUT(backing_info), OUTPUT(backing_stats), OUTPUT(backing_usage),
    OUTPUT(region_info),  OUTPUT(source_info),   OUTPUT(device_info),
    OUTPUT(device_stats), OUTPUT(resize_status), OUTPUT(request_result),
};

static void what_the_library_fills_ends_at_the_size_of_0_1(void **state)
{
    struct world *world = *state;
    unsigned char *bytes = malloc(ROOM);

    for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
        const struct output *output = &outputs[i];
        size_t size = output->size;

        print_message("%s: %zu bytes\n", output->name, size);
        memset(bytes, MARK, ROOM);
        memcpy(bytes, &size, sizeof(size));
        must(output->get(world, bytes));
        assert_memory_equal(bytes, &size, sizeof(size));
        for (size_t at = size; at < ROOM; at++) {
            assert_int_equal(bytes[at], MARK);
        }
        size = output->size - 1;
        memcpy(bytes, &size, sizeof(size));
        assert_int_equal(output->get(world, bytes), -EINVAL);
        size = ROOM;
        memcpy(bytes, &size, sizeof(size));
        must(output->get(world, bytes));
    }
    free(bytes);
}

static void an_error_ends_at_the_size_of_0_1(void **state)
{
    struct world *world = *state;
    struct {
        struct vmem_error err;
        unsigned char mark[64];
    } room;

    memset(&room, MARK, sizeof(room));
    room.err.struct_size = sizeof(room.err);
    assert_int_equal(vmem_vm_free(world->vm, &room.err), -EBUSY);
    assert_int_equal(room.err.struct_size, sizeof(room.err));
    assert_int_equal(room.err.code, -EBUSY);
    assert_int_equal(room.err.reason, VMEM_REASON_IN_USE);
    assert_non_null(memchr(room.err.message, 0, sizeof(room.err.message)));
    for (size_t i = 0; i < sizeof(room.mark); i++) {
        assert_int_equal(room.mark[i], MARK);
    }
}

#define IN_A_WORLD(name)                                                       \
    cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(a_guest_grows_and_shrinks),
        IN_A_WORLD(a_listener_follows_a_source),
        IN_A_WORLD(mapped_and_custom_backings_work),
        IN_A_WORLD(claims_and_the_inventory_are_seen),
        cmocka_unit_test(a_bitmap_is_walked),
        IN_A_WORLD(what_hosts_fill_is_read_by_the_size_of_0_1),
        IN_A_WORLD(what_the_library_fills_ends_at_the_size_of_0_1),
        IN_A_WORLD(an_error_ends_at_the_size_of_0_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
