/* SPDX-License-Identifier: BSD-3-Clause */
/* Every struct that a host passes: too short, exact, longer with a tail that is
 * zero, longer with one that is not; and every struct that the library fills. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "base/sized.h"
#include "support/fake_dma.h"
#include "support/quiet.h"
#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define TAIL 64

/* The structs of backing.h that describe mapped memory are tested with it. */

struct fixture {
    struct world world;
    struct vmem_source *source;
    struct vmem_region *device_region;
    struct vmem_device *device;
    struct fake_backing spare;
    struct recorder listener;
    struct fake_dma fake;
};

/* ---- structs that the host fills ---- */

/* Each passes the struct, and undoes what that did if it succeeded. */
static int pass_vm_config(struct fixture *it, const void *in,
                          struct vmem_error *err)
{
    struct vmem_vm *vm;
    int ret = vmem_vm_new(in, &vm, err);

    (void)it;
    return ret < 0 ? ret : vmem_vm_free(vm, NULL);
}

static int pass_region_config(struct fixture *it, const void *in,
                              struct vmem_error *err)
{
    struct vmem_region *region;
    int ret = vmem_region_new(it->world.vm, in, &region, err);

    return ret < 0 ? ret : vmem_region_free(region, NULL);
}

static int pass_source_config(struct fixture *it, const void *in,
                              struct vmem_error *err)
{
    struct vmem_source *source;
    int ret = vmem_source_add(it->world.region, in, &source, err);

    return ret < 0 ? ret : vmem_source_remove(source, NULL);
}

static int pass_listener_config(struct fixture *it, const void *in,
                                struct vmem_error *err)
{
    struct vmem_listener *listener;
    int ret;

    it->listener.nr_destroys = 0;
    ret = vmem_listener_add(it->world.region, in, recorder_ops(), &it->listener,
                            &listener, err);
    if (ret < 0) {
        /* Good ops are destroyed when the config is refused. */
        return it->listener.nr_destroys == 1 ? ret : 1;
    }
    return vmem_listener_remove(listener, NULL);
}

static int pass_listener_ops(struct fixture *it, const void *in,
                             struct vmem_error *err)
{
    const struct vmem_listener_config config = { .struct_size = sizeof(config),
                                                 .name = "l" };
    struct vmem_listener *listener;
    int ret;

    it->listener.nr_destroys = 0;
    ret = vmem_listener_add(it->world.region, &config, in, &it->listener,
                            &listener, err);
    if (ret < 0) {
        /* Ops too short to have one are not called. */
        return it->listener.nr_destroys == (ret == -E2BIG) ? ret : 1;
    }
    return vmem_listener_remove(listener, NULL);
}

static int pass_backing_custom(struct fixture *it, const void *in,
                               struct vmem_error *err)
{
    struct vmem_backing *backing;
    int ret;

    it->spare.nr_destroys = 0;
    ret = vmem_backing_new_custom(it->world.vm, in, fake_backing_ops(),
                                  &it->spare, &backing, err);
    if (ret < 0) {
        return it->spare.nr_destroys == 1 ? ret : 1;
    }
    return vmem_backing_free(backing, NULL);
}

static int pass_backing_ops(struct fixture *it, const void *in,
                            struct vmem_error *err)
{
    const struct vmem_backing_custom config = { .struct_size = sizeof(config),
                                                .name = "b",
                                                .size = UNIT };
    struct vmem_backing *backing;
    int ret;

    it->spare.nr_destroys = 0;
    ret = vmem_backing_new_custom(it->world.vm, &config, in, &it->spare,
                                  &backing, err);
    if (ret < 0) {
        return it->spare.nr_destroys == (ret == -E2BIG) ? ret : 1;
    }
    return vmem_backing_free(backing, NULL);
}

static int pass_device_config(struct fixture *it, const void *in,
                              struct vmem_error *err)
{
    struct vmem_device *device;
    int ret = vmem_device_new(it->world.region, in, NULL, NULL, &device, err);

    return ret < 0 ? ret : vmem_device_free(device, NULL);
}

static int pass_device_ops(struct fixture *it, const void *in,
                           struct vmem_error *err)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "d",
                                               .block_size = UNIT };
    struct vmem_device *device;
    int ret =
        vmem_device_new(it->world.region, &config, in, NULL, &device, err);

    return ret < 0 ? ret : vmem_device_free(device, NULL);
}

/* Nothing plugged; the geometry is the fixture's. */
static int pass_device_saved(struct fixture *it, const void *in,
                             struct vmem_error *err)
{
    const uint64_t blocks = 0;

    return vmem_device_load(it->device, in, &blocks, 1, err);
}

static void count_destroy(void *opaque)
{
    ++*(unsigned int *)opaque;
}

static const struct vmem_dma_config good_dma_config = {
    .struct_size = sizeof(good_dma_config), .name = "m"
};
static const struct vmem_dma_properties good_dma_properties = {
    .struct_size = sizeof(good_dma_properties), .page_sizes = UNIT
};
static const struct vmem_dma_ops good_dma_ops = {
    .struct_size = sizeof(good_dma_ops),
    .map = quiet_map,
    .unmap = quiet_unmap,
    .destroy = count_destroy,
};

/* Good ops are destroyed when something else is refused. */
static int make_dma(struct fixture *it, const void *config,
                    const void *properties, const void *ops, bool has_destroy,
                    struct vmem_error *err)
{
    unsigned int nr_destroys = 0;
    struct vmem_dma *dma = NULL;
    int ret = vmem_dma_new_custom(it->world.vm, config, properties, ops,
                                  &nr_destroys, &dma, err);

    if (ret == 0) {
        ret = vmem_dma_free(dma, NULL);
    }
    return nr_destroys == has_destroy ? ret : 1;
}

static int pass_dma_config(struct fixture *it, const void *in,
                           struct vmem_error *err)
{
    return make_dma(it, in, NULL, &good_dma_ops, true, err);
}

static int pass_dma_properties(struct fixture *it, const void *in,
                               struct vmem_error *err)
{
    return make_dma(it, &good_dma_config, in, &good_dma_ops, true, err);
}

static int pass_dma_ops(struct fixture *it, const void *in,
                        struct vmem_error *err)
{
    size_t size;

    memcpy(&size, in, sizeof(size));
    return make_dma(it, &good_dma_config, NULL, in,
                    size >= sizeof(good_dma_ops), err);
}

static int pass_attach_config(struct fixture *it, const void *in,
                              struct vmem_error *err)
{
    struct vmem_dma_attach_config config = { 0 };
    unsigned char copy[sizeof(config) + TAIL];
    struct vmem_dma_attachment *attachment = NULL;
    size_t size;
    int ret;

    /* The region is known here only. */
    memcpy(&size, in, sizeof(size));
    if (size < sizeof(config)) {
        return vmem_dma_attach(it->fake.dma, in, NULL, &attachment, err);
    }
    memcpy(copy, in, size);
    memcpy(&config, in, sizeof(config));
    config.region = it->world.region;
    memcpy(copy, &config, sizeof(config));
    ret = vmem_dma_attach(it->fake.dma, (void *)copy, NULL, &attachment, err);
    return ret < 0 ? ret : vmem_dma_detach(attachment, NULL);
}

static int pass_static_config(struct fixture *it, const void *in,
                              struct vmem_error *err)
{
    struct vmem_dma_attachment *attachment = NULL;
    int ret = vmem_dma_attach_static(it->fake.dma, in, NULL, &attachment, err);

    return ret < 0 ? ret : vmem_dma_detach(attachment, NULL);
}

static int pass_plan_config(struct fixture *it, const void *in,
                            struct vmem_error *err)
{
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };

    (void)it;
    return vmem_dma_plan(in, &verdict, err);
}

static const struct vmem_dma_attach_config good_attach_config = {
    .struct_size = sizeof(good_attach_config),
    .name = "a",
    .hva = (void *)UNIT,
};
static const struct vmem_dma_static_config good_static_config = {
    .struct_size = sizeof(good_static_config),
    .name = "a",
    .size = UNIT,
    .hva = (void *)UNIT,
};
static const struct vmem_dma_plan_config good_plan_config = {
    .struct_size = sizeof(good_plan_config),
    .region_size = UNIT,
    .block_size = UNIT,
};
static const struct vmem_vm_config good_vm_config = {
    .struct_size = sizeof(good_vm_config), .name = "vm", .log = quiet_log
};
static const struct vmem_region_config good_region_config = {
    .struct_size = sizeof(good_region_config), .name = "r", .size = UNIT
};
static const struct vmem_source_config good_source_config = {
    .struct_size = sizeof(good_source_config), .name = "s", .block_size = UNIT
};
static const struct vmem_listener_config good_listener_config = {
    .struct_size = sizeof(good_listener_config), .name = "l"
};
static const struct vmem_backing_custom good_backing_custom = {
    .struct_size = sizeof(good_backing_custom), .name = "b", .size = UNIT
};
static const struct vmem_device_config good_device_config = {
    .struct_size = sizeof(good_device_config), .name = "d", .block_size = UNIT
};
static const struct vmem_device_ops good_device_ops = { .struct_size = sizeof(
                                                            good_device_ops) };

static void inputs_follow_the_rule_of_struct_size(void **state)
{
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    uint64_t blocks;
    const struct {
        const char *name;
        const void *good;
        size_t size;
        int (*pass)(struct fixture *it, const void *in, struct vmem_error *err);
        size_t first_size; /* of the first release; 0: the same */
    } inputs[] = {
        { "vmem_vm_config", &good_vm_config, sizeof(good_vm_config),
          pass_vm_config },
        { "vmem_region_config", &good_region_config, sizeof(good_region_config),
          pass_region_config },
        { "vmem_source_config", &good_source_config, sizeof(good_source_config),
          pass_source_config },
        { "vmem_listener_config", &good_listener_config,
          sizeof(good_listener_config), pass_listener_config },
        { "vmem_listener_ops", recorder_ops(), sizeof(*recorder_ops()),
          pass_listener_ops,
          VMEMI_SIZE_THROUGH(struct vmem_listener_ops, destroy) },
        { "vmem_backing_custom", &good_backing_custom,
          sizeof(good_backing_custom), pass_backing_custom },
        { "vmem_backing_ops", fake_backing_ops(), sizeof(*fake_backing_ops()),
          pass_backing_ops },
        { "vmem_device_config", &good_device_config, sizeof(good_device_config),
          pass_device_config },
        { "vmem_device_ops", &good_device_ops, sizeof(good_device_ops),
          pass_device_ops },
        { "vmem_device_saved", &saved, sizeof(saved), pass_device_saved },
        { "vmem_dma_config", &good_dma_config, sizeof(good_dma_config),
          pass_dma_config },
        { "vmem_dma_properties", &good_dma_properties,
          sizeof(good_dma_properties), pass_dma_properties },
        { "vmem_dma_ops", &good_dma_ops, sizeof(good_dma_ops), pass_dma_ops },
        { "vmem_dma_attach_config", &good_attach_config,
          sizeof(good_attach_config), pass_attach_config },
        { "vmem_dma_static_config", &good_static_config,
          sizeof(good_static_config), pass_static_config },
        { "vmem_dma_plan_config", &good_plan_config, sizeof(good_plan_config),
          pass_plan_config },
    };
    struct fixture *it = *state;

    assert_int_equal(vmem_device_save(it->device, &saved, &blocks, 1), 0);

    for (size_t i = 0; i < G_N_ELEMENTS(inputs); i++) {
        const size_t size = inputs[i].size;
        const size_t first_size =
            inputs[i].first_size != 0 ? inputs[i].first_size : size;

        /* One byte too short, empty, and what is too short for the size; then
         * the sizes between the first release and this one. */
        for (size_t shorter = 0; shorter < size; shorter++) {
            /* Of exactly this size, for the address sanitizer. */
            const size_t room =
                shorter < sizeof(size_t) ? sizeof(size_t) : shorter;
            void *in = g_malloc(room);
            struct vmem_error err = VMEM_ERROR_INIT;

            memcpy(in, inputs[i].good, room);
            memcpy(in, &shorter, sizeof(shorter));
            if (shorter >= first_size) {
                assert_int_equal(inputs[i].pass(it, in, &err), 0);
            } else if (inputs[i].pass(it, in, &err) != -EINVAL ||
                       err.reason != VMEM_REASON_STRUCT_SIZE ||
                       strstr(err.message, inputs[i].name) == NULL) {
                fail_msg("%s of %zu bytes: %s", inputs[i].name, shorter,
                         err.message);
            }
            g_free(in);
        }
        for (size_t tail = 0; tail <= TAIL; tail++) {
            const size_t longer = size + tail;
            unsigned char *in = g_malloc0(longer);
            struct vmem_error err = VMEM_ERROR_INIT;

            memcpy(in, inputs[i].good, size);
            memcpy(in, &longer, sizeof(longer));
            if (inputs[i].pass(it, in, &err) != 0) {
                fail_msg("%s of %zu bytes: %s", inputs[i].name, longer,
                         err.message);
            }
            if (tail > 0) {
                in[longer - 1] = 0x80;
                if (inputs[i].pass(it, in, &err) != -E2BIG ||
                    err.reason != VMEM_REASON_STRUCT_TAIL ||
                    strstr(err.message, inputs[i].name) == NULL) {
                    fail_msg("%s with byte %zu set: %s", inputs[i].name,
                             longer - 1, err.message);
                }
            }
            g_free(in);
        }
    }
}

static int fill_region_info(struct fixture *it, void *out)
{
    return vmem_region_get_info(it->world.region, out);
}

/* What was never set is often large. Reading so far would be a crash. */
static void an_absurd_size_is_refused(void **state)
{
    struct vmem_region_info info = { .struct_size = SIZE_MAX };
    struct vmem_vm_config config = good_vm_config;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_vm *vm = NULL;

    config.struct_size = SIZE_MAX;
    assert_int_equal(vmem_vm_new(&config, &vm, &err), -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_STRUCT_SIZE);
    config.struct_size = 4097;
    assert_int_equal(vmem_vm_new(&config, &vm, &err), -EINVAL);
    assert_null(vm);
    assert_int_equal(fill_region_info(*state, &info), -EINVAL);
}

/* ---- structs that the library fills ---- */

static int fill_source_info(struct fixture *it, void *out)
{
    return vmem_source_get_info(it->source, out);
}

static int fill_backing_info(struct fixture *it, void *out)
{
    return vmem_backing_get_info(it->world.memory.backing, out);
}

static int fill_backing_stats(struct fixture *it, void *out)
{
    return vmem_backing_get_stats(it->world.memory.backing, out);
}

static int fill_backing_usage(struct fixture *it, void *out)
{
    return vmem_backing_get_usage(it->world.memory.backing, NULL, out, NULL);
}

static int fill_device_info(struct fixture *it, void *out)
{
    return vmem_device_get_info(it->device, out);
}

static int fill_device_stats(struct fixture *it, void *out)
{
    return vmem_device_get_stats(it->device, out);
}

static int fill_device_saved(struct fixture *it, void *out)
{
    uint64_t blocks;

    return vmem_device_save(it->device, out, &blocks, 1);
}

static int fill_resize_status(struct fixture *it, void *out)
{
    return vmem_device_get_resize_status(it->device, out);
}

static int fill_request_result(struct fixture *it, void *out)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { VMEM_REQUEST_UNPLUG_ALL };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    return vmem_device_handle_request(it->device, request, sizeof(request),
                                      response, sizeof(response), out);
}

static int fill_dma_info(struct fixture *it, void *out)
{
    return vmem_dma_get_info(it->fake.dma, out);
}

static int fill_dma_stats(struct fixture *it, void *out)
{
    return vmem_dma_get_stats(it->fake.dma, out);
}

static int fill_verdict(struct fixture *it, void *out)
{
    (void)it;
    return vmem_dma_plan(&good_plan_config, out, NULL);
}

/* The same by an attach, which takes none as well. */
static int fill_attach_verdict(struct fixture *it, void *out)
{
    struct vmem_dma_attachment *attachment = NULL;
    int ret = vmem_dma_attach_static(it->fake.dma, &good_static_config, out,
                                     &attachment, NULL);

    return ret < 0 ? ret : vmem_dma_detach(attachment, NULL);
}

static void outputs_follow_the_rule_of_struct_size(void **state)
{
    static const struct {
        const char *name;
        size_t size;
        int (*fill)(struct fixture *it, void *out);
        size_t first_size; /* of the first release; 0: the same */
    } outputs[] = {
        { "region_info", sizeof(struct vmem_region_info), fill_region_info },
        { "source_info", sizeof(struct vmem_source_info), fill_source_info },
        { "backing_info", sizeof(struct vmem_backing_info), fill_backing_info,
          VMEMI_SIZE_THROUGH(struct vmem_backing_info, fd) },
        { "backing_stats", sizeof(struct vmem_backing_stats),
          fill_backing_stats,
          VMEMI_SIZE_THROUGH(struct vmem_backing_stats, nr_syscalls) },
        { "backing_usage", sizeof(struct vmem_backing_usage),
          fill_backing_usage },
        { "dma_info", sizeof(struct vmem_dma_info), fill_dma_info },
        { "dma_stats", sizeof(struct vmem_dma_stats), fill_dma_stats },
        { "dma_verdict", sizeof(struct vmem_dma_verdict), fill_verdict },
        { "dma_verdict", sizeof(struct vmem_dma_verdict), fill_attach_verdict },
        { "device_info", sizeof(struct vmem_device_info), fill_device_info,
          VMEMI_SIZE_THROUGH(struct vmem_device_info, has_driver) },
        { "device_stats", sizeof(struct vmem_device_stats), fill_device_stats,
          VMEMI_SIZE_THROUGH(struct vmem_device_stats, latency_max_ns) },
        { "device_saved", sizeof(struct vmem_device_saved), fill_device_saved },
        { "resize_status", sizeof(struct vmem_resize_status),
          fill_resize_status },
        { "request_result", sizeof(struct vmem_request_result),
          fill_request_result },
    };
    struct fixture *it = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(outputs); i++) {
        const size_t size = outputs[i].size;
        const size_t first_size =
            outputs[i].first_size != 0 ? outputs[i].first_size : size;

        assert_int_equal(outputs[i].fill(it, NULL),
                         outputs[i].fill == fill_request_result ||
                                 outputs[i].fill == fill_attach_verdict
                             ? 0
                             : -EINVAL);
        for (size_t given = 0; given <= size + TAIL; given++) {
            /* Of exactly this size, for the address sanitizer. */
            const size_t room = given < sizeof(size_t) ? sizeof(size_t) : given;
            unsigned char *out = g_malloc(room);
            size_t kept;
            int code;

            memset(out, 0xee, room);
            memcpy(out, &given, sizeof(given));
            code = outputs[i].fill(it, out);
            memcpy(&kept, out, sizeof(kept));
            if (kept != given || code != (given < first_size ? -EINVAL : 0)) {
                fail_msg("%s of %zu bytes: code %d, then %zu bytes",
                         outputs[i].name, given, code, kept);
            }
            for (size_t j = size; j < given; j++) {
                assert_int_equal(out[j], 0);
            }
            for (size_t j = sizeof(size_t); given < first_size && j < room;
                 j++) {
                assert_int_equal(out[j], 0xee);
            }
            g_free(out);
        }
    }
}

/* No hole between members may carry bytes of the library's stack. */
static void every_byte_of_an_output_is_written(void **state)
{
    struct fixture *it = *state;
    struct vmem_region_info a;
    struct vmem_region_info b;
    struct vmem_device_info c;
    struct vmem_device_info d;
    struct vmem_resize_status e;
    struct vmem_resize_status f;

    memset(&a, 0x11, sizeof(a));
    memset(&b, 0xee, sizeof(b));
    a.struct_size = b.struct_size = sizeof(a);
    fill_region_info(it, &a);
    fill_region_info(it, &b);
    assert_memory_equal(&a, &b, sizeof(a));
    memset(&c, 0x11, sizeof(c));
    memset(&d, 0xee, sizeof(d));
    c.struct_size = d.struct_size = sizeof(c);
    fill_device_info(it, &c);
    fill_device_info(it, &d);
    assert_memory_equal(&c, &d, sizeof(c));
    memset(&e, 0x11, sizeof(e));
    memset(&f, 0xee, sizeof(f));
    e.struct_size = f.struct_size = sizeof(e);
    fill_resize_status(it, &e);
    fill_resize_status(it, &f);
    assert_memory_equal(&e, &f, sizeof(e));
}

static int set_up(void **state)
{
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "device region",
        .size = 16 * UNIT,
    };
    struct vmem_device_config device_config = good_device_config;
    static struct fixture it;

    device_config.gpa = (uint64_t)1 << 40;
    memset(&it, 0, sizeof(it));
    world_open(&it.world, 16 * UNIT, UNIT, 0);
    it.world.journal.muted = true;
    it.source = world_add_source(&it.world, "existing", UNIT, 0);
    if (vmem_region_new(it.world.vm, &region_config, &it.device_region, NULL) <
            0 ||
        vmem_device_new(it.device_region, &device_config, NULL, NULL,
                        &it.device, NULL) < 0) {
        return -1;
    }
    fake_backing_init(&it.spare, "spare", UNIT, UNIT, NULL);
    recorder_init(&it.listener, "l", 16 * UNIT, UNIT, NULL);
    it.listener.window.size = 16 * UNIT;
    fake_dma_init(&it.fake, UNIT);
    if (fake_dma_make(&it.fake, it.world.vm, NULL) < 0) {
        return -1;
    }
    *state = &it;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *it = *state;

    fake_dma_destroy(&it->fake);
    recorder_destroy(&it->listener);
    fake_backing_destroy(&it->spare);
    assert_int_equal(vmem_device_free(it->device, NULL), 0);
    assert_int_equal(vmem_region_free(it->device_region, NULL), 0);
    assert_int_equal(vmem_source_remove(it->source, NULL), 0);
    world_close(&it->world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_follow_the_rule_of_struct_size),
        cmocka_unit_test(an_absurd_size_is_refused),
        cmocka_unit_test(outputs_follow_the_rule_of_struct_size),
        cmocka_unit_test(every_byte_of_an_output_is_written),
    };

    return cmocka_run_group_tests_name("struct sizes", tests, set_up,
                                       tear_down);
}
