/* SPDX-License-Identifier: BSD-3-Clause */
/* Two calls that meet at the worst moment, which a callback or an allocation
 * makes happen every time. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include <vmem/vmem.h>

#include "base/alloc.h"
#include "base/gate.h"
#include "core/walk.h"
#include "virtio/device.h"

#define UNIT (UINT64_C(2) << 20)
#define SIZE (8 * UNIT)

struct scene {
    struct vmem_vm *vm;
    struct vmem_region *region;
    struct vmem_device *device;
    unsigned int nr_second;
    unsigned int nr_devices; /* that are seen by the second one */
    int second_ret;
    struct vmem_error err; /* of the second one */
    unsigned int nr_events;
    unsigned int nr_news;
    int kick_ret;
    int request_ret;
    atomic_bool is_inside;
};

static void open_scene(struct scene *scene)
{
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "vm" };
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config), .name = "region", .size = SIZE
    };

    memset(scene, 0, sizeof(*scene));
    scene->err.struct_size = sizeof(scene->err);
    assert_int_equal(vmem_vm_new(&vm_config, &scene->vm, NULL), 0);
    assert_int_equal(
        vmem_region_new(scene->vm, &region_config, &scene->region, NULL), 0);
}

static void close_scene(struct scene *scene)
{
    assert_int_equal(vmem_region_free(scene->region, NULL), 0);
    assert_int_equal(vmem_vm_free(scene->vm, NULL), 0);
}

static int make_device(struct scene *scene, const char *name,
                       const struct vmem_device_ops *ops,
                       struct vmem_device **out, struct vmem_error *err)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .block_size = UNIT,
        .requested_size = SIZE,
    };

    return vmem_device_new(scene->region, &config, ops, scene, out, err);
}

/* ---- two who want the same place ---- */

static int count_device(struct vmem_device *device, void *opaque)
{
    (void)device;
    ++*(unsigned int *)opaque;
    return 0;
}

static unsigned int count_devices(struct scene *scene)
{
    unsigned int nr = 0;

    assert_int_equal(vmem_vm_for_each_device(scene->vm, count_device, &nr), 0);
    return nr;
}

/* The first device has taken its claim, and its source is not there yet. */
static void make_a_second_device(uint32_t claims, void *opaque)
{
    struct scene *scene = opaque;

    if (claims != 0 && scene->nr_second++ == 0) {
        scene->nr_devices = count_devices(scene);
        scene->second_ret =
            make_device(scene, "second", NULL, &scene->device, &scene->err);
    }
}

static void a_region_gets_one_device_whoever_is_faster(void **state)
{
    struct vmem_discard_watcher *watcher;
    struct vmem_device *first = NULL;
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct scene scene;

    (void)state;
    open_scene(&scene);
    assert_int_equal(vmem_discard_watcher_add(scene.vm, make_a_second_device,
                                              &scene, &watcher, NULL),
                     0);
    assert_int_equal(make_device(&scene, "first", NULL, &first, NULL), 0);
    assert_int_equal(scene.nr_second, 1);
    assert_int_equal(scene.nr_devices, 0);
    assert_int_equal(scene.second_ret, -EEXIST);
    assert_int_equal(scene.err.reason, VMEM_REASON_DUPLICATE);
    assert_string_equal(
        scene.err.message,
        "device \"second\": region \"region\" has device \"first\" already");
    assert_null(scene.device);
    assert_int_equal(vmem_region_get_info(scene.region, &info), 0);
    assert_int_equal(info.nr_sources, 1);
    assert_int_equal(count_devices(&scene), 1);

    /* The claim of the one that is there is still held, and only that. */
    assert_true(vmem_vm_is_discard_needed(scene.vm));
    assert_int_equal(vmem_device_free(first, NULL), 0);
    assert_false(vmem_vm_is_discard_needed(scene.vm));
    assert_int_equal(vmem_discard_watcher_remove(watcher, NULL), 0);
    close_scene(&scene);
}

static void a_place_in_the_guest_gets_one_device_whoever_is_faster(void **state)
{
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config), .name = "other", .size = SIZE
    };
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "first",
                                               .gpa = UNIT,
                                               .block_size = UNIT };
    struct vmem_discard_watcher *watcher;
    struct vmem_device *first = NULL;
    struct vmem_region *other;
    struct scene scene;

    (void)state;
    open_scene(&scene);
    assert_int_equal(vmem_region_new(scene.vm, &region_config, &other, NULL),
                     0);
    assert_int_equal(vmem_discard_watcher_add(scene.vm, make_a_second_device,
                                              &scene, &watcher, NULL),
                     0);
    assert_int_equal(vmem_device_new(other, &config, NULL, NULL, &first, NULL),
                     0);
    assert_int_equal(scene.second_ret, -EEXIST);
    assert_int_equal(scene.err.reason, VMEM_REASON_DUPLICATE);
    assert_string_equal(scene.err.message,
                        "device \"second\": 0x1000000 bytes at gpa 0x0 overlap "
                        "0x1000000 at gpa 0x200000 of device \"first\"");
    assert_int_equal(count_devices(&scene), 1);
    assert_int_equal(vmem_device_free(first, NULL), 0);
    assert_int_equal(vmem_discard_watcher_remove(watcher, NULL), 0);
    assert_int_equal(vmem_region_free(other, NULL), 0);
    close_scene(&scene);
}

static void a_device_that_fails_leaves_its_place(void **state)
{
    struct scene scene;

    (void)state;
    open_scene(&scene);
    assert_int_equal(vmem_region_freeze(scene.region, "migration", NULL), 0);
    assert_int_equal(make_device(&scene, "device", NULL, &scene.device, NULL),
                     -EBUSY);
    assert_int_equal(vmem_region_thaw(scene.region, "migration", NULL), 0);
    assert_int_equal(make_device(&scene, "device", NULL, &scene.device, NULL),
                     0);
    assert_int_equal(vmem_device_free(scene.device, NULL), 0);
    close_scene(&scene);
}

static struct scene *hooked;
static struct vmem_backing_mapping hooked_mapping;
static struct vmem_backing *hooked_backing;

/* In the last allocation of the first one, everything was looked at. */
static bool describe_again(size_t size)
{
    if (size == sizeof(struct vmem_backing) && hooked->nr_second++ == 0) {
        hooked->second_ret = vmem_backing_new_mapped(
            hooked->vm, &hooked_mapping, &hooked_backing, NULL);
    }
    return true;
}

static void memory_gets_one_backing_whoever_is_faster(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing *first = NULL;
    struct scene scene;
    void *hva = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(hva != MAP_FAILED);
    open_scene(&scene);
    hooked = &scene;
    hooked_mapping = (struct vmem_backing_mapping){
        .struct_size = sizeof(hooked_mapping),
        .name = "memory",
        .hva = hva,
        .size = SIZE,
    };
    vmemi_alloc_set_hook(describe_again);
    assert_int_equal(
        vmem_backing_new_mapped(scene.vm, &hooked_mapping, &first, &err),
        -EEXIST);
    vmemi_alloc_set_hook(NULL);
    assert_int_equal(err.reason, VMEM_REASON_DUPLICATE);
    assert_null(first);
    assert_int_equal(scene.second_ret, 0);
    assert_int_equal(vmem_backing_free(hooked_backing, NULL), 0);

    /* Nothing is left of either. */
    assert_int_equal(
        vmem_backing_new_mapped(scene.vm, &hooked_mapping, &first, NULL), 0);
    assert_int_equal(vmem_backing_free(first, NULL), 0);
    close_scene(&scene);
    munmap(hva, SIZE);
}

/* ---- a device that is being freed ---- */

static void wait_until(bool (*holds)(struct scene *scene), struct scene *scene)
{
    const struct timespec nap = { .tv_nsec = 100000 };

    while (!holds(scene)) {
        nanosleep(&nap, NULL);
    }
}

static bool is_inside(struct scene *scene)
{
    return atomic_load(&scene->is_inside);
}

static bool is_closed(struct scene *scene)
{
    return !vmemi_gate_is_open(&scene->device->gate);
}

/* The thread that frees the device waits for this one, which goes on asking. */
static void ask_while_it_is_freed(void *opaque)
{
    struct scene *scene = opaque;
    const uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 3 };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    if (scene->nr_news++ > 0) {
        return;
    }
    atomic_store(&scene->is_inside, true);
    wait_until(is_closed, scene);
    scene->kick_ret = vmem_device_notify_config(scene->device);
    scene->request_ret =
        vmem_device_handle_request(scene->device, request, sizeof(request),
                                   response, sizeof(response), NULL);
}

static void count_event(const struct vmem_trace_event *event, void *opaque)
{
    struct scene *scene = opaque;

    (void)event;
    if (vmemi_gate_is_open(&scene->device->gate)) {
        scene->nr_events++;
    } else {
        scene->nr_events += 1000;
    }
}

static void *resize_thread(void *opaque)
{
    struct scene *scene = opaque;

    vmem_device_resize(scene->device, SIZE / 2, NULL);
    return NULL;
}

static void a_device_that_is_being_freed_says_nothing_more(void **state)
{
    const struct vmem_device_ops ops = {
        .struct_size = sizeof(ops),
        .config_changed = ask_while_it_is_freed,
        .trace = count_event,
    };
    struct scene scene;
    pthread_t thread;

    (void)state;
    open_scene(&scene);
    assert_int_equal(make_device(&scene, "device", &ops, &scene.device, NULL),
                     0);
    assert_int_equal(pthread_create(&thread, NULL, resize_thread, &scene), 0);
    wait_until(is_inside, &scene);
    assert_int_equal(vmem_device_free(scene.device, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(scene.nr_news, 1);
    assert_int_equal(scene.kick_ret, 0);
    assert_int_equal(scene.request_ret, VMEM_REQUEST_RESPOND);
    assert_int_equal(scene.nr_events, 1); /* of the resize */
    close_scene(&scene);
}

/* ---- who may be beside a device ---- */

static void sources_may_join_a_region_with_a_device(void **state)
{
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "source",
                                               .block_size = UNIT };
    struct vmem_source *source;
    struct scene scene;

    (void)state;
    open_scene(&scene);
    assert_int_equal(make_device(&scene, "device", NULL, &scene.device, NULL),
                     0);
    assert_int_equal(vmem_source_add(scene.region, &config, &source, NULL), 0);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    assert_int_equal(vmem_device_free(scene.device, NULL), 0);
    close_scene(&scene);
}

/* Where it is in the list of devices does not matter. */
static void devices_overlap_only_where_both_have_memory(void **state)
{
    static const uint64_t sizes[] = { 0, SIZE, SIZE, SIZE };
    static const uint64_t gpas[] = { SIZE, 4 * SIZE, 0, 8 * SIZE };
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "vm" };
    struct vmem_device *devices[4];
    struct vmem_region *regions[5];
    struct vmem_region_config region_config = { .struct_size =
                                                    sizeof(region_config),
                                                .name = "region" };
    struct vmem_device_config config = { .struct_size = sizeof(config),
                                         .name = "device",
                                         .block_size = UNIT };
    struct vmem_device *wrong;
    struct vmem_vm *vm;

    (void)state;
    assert_int_equal(vmem_vm_new(&vm_config, &vm, NULL), 0);
    for (size_t i = 0; i < 5; i++) {
        region_config.size = i < 4 ? sizes[i] : 2 * SIZE;
        assert_int_equal(vmem_region_new(vm, &region_config, &regions[i], NULL),
                         0);
    }
    for (size_t i = 0; i < 4; i++) {
        config.gpa = gpas[i];
        assert_int_equal(
            vmem_device_new(regions[i], &config, NULL, NULL, &devices[i], NULL),
            0);
    }
    /* It holds the place of the empty one, and meets the second and the third. */
    config.gpa = 3 * SIZE + SIZE / 2;
    assert_int_equal(
        vmem_device_new(regions[4], &config, NULL, NULL, &wrong, NULL),
        -EEXIST);
    config.gpa = SIZE / 2;
    assert_int_equal(
        vmem_device_new(regions[4], &config, NULL, NULL, &wrong, NULL),
        -EEXIST);
    config.gpa = SIZE;
    assert_int_equal(
        vmem_device_new(regions[4], &config, NULL, NULL, &wrong, NULL), 0);
    assert_int_equal(vmem_device_free(wrong, NULL), 0);
    /* And an empty one may be where others are. */
    assert_int_equal(vmem_device_free(devices[0], NULL), 0);
    config.gpa = 4 * SIZE;
    assert_int_equal(
        vmem_device_new(regions[0], &config, NULL, NULL, &devices[0], NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(vmem_device_free(devices[i], NULL), 0);
    }
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(vmem_region_free(regions[i], NULL), 0);
    }
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

/* ---- terms that are settled for a part ---- */

static void outside_a_settled_range_terms_are_searched(void **state)
{
    const struct vmem_range settled = { 2 * UNIT, 2 * UNIT };
    struct vmem_source *source;
    struct vmem_source_config config = { .struct_size = sizeof(config),
                                         .name = "source",
                                         .block_size = UNIT };
    struct vmemi_terms terms;
    struct vmem_range run;
    struct scene scene;

    (void)state;
    open_scene(&scene);
    assert_int_equal(vmem_source_add(scene.region, &config, &source, NULL), 0);
    assert_int_equal(vmem_source_populate(source, &settled, NULL), 0);
    vmemi_terms_init(&terms, scene.region, NULL, true);
    vmemi_terms_settle(&terms, &settled);
    assert_true(vmemi_terms_next_run(&terms, 3 * UNIT, 4 * UNIT, &run));
    assert_int_equal(run.offset, 3 * UNIT);
    assert_int_equal(run.size, UNIT);
    assert_true(vmemi_terms_next_run(&terms, 0, 4 * UNIT, &run));
    assert_int_equal(run.offset, 2 * UNIT);
    assert_int_equal(run.size, 2 * UNIT);
    assert_true(vmemi_terms_next_run(&terms, 2 * UNIT, SIZE, &run));
    assert_int_equal(run.size, 2 * UNIT);
    assert_false(vmemi_terms_next_run(&terms, 4 * UNIT, SIZE, &run));
    assert_false(vmemi_terms_next_run(&terms, 0, 2 * UNIT, &run));
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_gets_one_device_whoever_is_faster),
        cmocka_unit_test(
            a_place_in_the_guest_gets_one_device_whoever_is_faster),
        cmocka_unit_test(a_device_that_fails_leaves_its_place),
        cmocka_unit_test(memory_gets_one_backing_whoever_is_faster),
        cmocka_unit_test(a_device_that_is_being_freed_says_nothing_more),
        cmocka_unit_test(sources_may_join_a_region_with_a_device),
        cmocka_unit_test(devices_overlap_only_where_both_have_memory),
        cmocka_unit_test(outside_a_settled_range_terms_are_searched),
    };

    return cmocka_run_group_tests_name("meetings", tests, NULL, NULL);
}
