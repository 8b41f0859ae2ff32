/* SPDX-License-Identifier: BSD-3-Clause */
/* Every public struct but those of the mapper, which fuzz_dma_structs.c has, as
 * struct_check.h says. */
#include <errno.h>
#include <sys/mman.h>

#include <vmem/vmem.h>

#include "fuzz_check.h"
#include "fuzz_input.h"
#include "struct_check.h"
#include "support/fake_sys.h"
#include "support/quiet.h"

#define BLOCK_SIZE ((uint64_t)1 << 12)
#define REGION_SIZE (16 * BLOCK_SIZE)

static struct vmem_vm *vm;
static struct vmem_backing *backing;
static struct vmem_region *region; /* with the backing, source and device */
static struct vmem_region *empty;  /* with nothing */
static struct vmem_source *source;
static struct vmem_device *device;
static unsigned nr_destroys;

static int no_usage(const struct vmem_range *range, uint64_t *resident,
                    void *opaque)
{
    (void)range;
    (void)opaque;
    *resident = 0;
    return 0;
}

static void count_destroy(void *opaque)
{
    (void)opaque;
    nr_destroys++;
}

static void ignore_size(uint64_t plugged_size, void *opaque)
{
    (void)plugged_size;
    (void)opaque;
}

static void ignore_status(const struct vmem_resize_status *status, void *opaque)
{
    (void)status;
    (void)opaque;
}

static void ignore_event(const struct vmem_trace_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
}

static void ignore_change(void *opaque)
{
    (void)opaque;
}

static int accept_batch(void *opaque)
{
    (void)opaque;
    return 0;
}

/* Structs as a host would fill them; pointers stay as they are here, or become
 * NULL, or another name. */
static const struct vmem_vm_config good_vm = {
    .struct_size = sizeof(good_vm),
    .name = "vm",
    .log = quiet_log,
    .clock_ns = quiet_clock,
};
static const struct vmem_backing_custom good_custom = {
    .struct_size = sizeof(good_custom),
    .name = "custom",
    .size = REGION_SIZE,
};
static const struct vmem_backing_ops good_backing_ops = {
    .struct_size = sizeof(good_backing_ops),
    .discard = quiet_accept,
    .populate = quiet_accept,
    .zero = quiet_accept,
    .usage = no_usage,
    .destroy = count_destroy,
};
static struct vmem_backing_mapping good_mapping = {
    .struct_size = sizeof(good_mapping),
    .name = "mapping",
    .size = REGION_SIZE,
    .fd = -1,
};
static const struct vmem_backing_config good_request = {
    .struct_size = sizeof(good_request),
    .name = "request",
    .path = "/nonexistent/memory",
    .size = REGION_SIZE,
    .kind = VMEM_BACKING_ANON,
};
static const struct vmem_region_config good_region = {
    .struct_size = sizeof(good_region),
    .name = "region",
    .size = REGION_SIZE,
};
static const struct vmem_source_config good_source = {
    .struct_size = sizeof(good_source),
    .name = "source",
    .block_size = BLOCK_SIZE,
};
static const struct vmem_listener_config good_listener = {
    .struct_size = sizeof(good_listener),
    .name = "listener",
};
static const struct vmem_listener_ops good_listener_ops = {
    .struct_size = sizeof(good_listener_ops),
    .populate = quiet_accept,
    .discard = quiet_discard,
    .begin = ignore_change,
    .commit = accept_batch,
    .destroy = count_destroy,
};
static const struct vmem_device_config good_device = {
    .struct_size = sizeof(good_device),
    .name = "device",
    .gpa = (uint64_t)1 << 32,
    .block_size = BLOCK_SIZE,
    .requested_size = 4 * BLOCK_SIZE,
};
static const struct vmem_device_ops good_device_ops = {
    .struct_size = sizeof(good_device_ops),
    .config_changed = ignore_change,
    .size_changed = ignore_size,
    .resize_changed = ignore_status,
    .trace = ignore_event,
};

static const struct vmem_device_saved good_saved = {
    .struct_size = sizeof(good_saved),
    .gpa = (uint64_t)1 << 32,
    .region_size = REGION_SIZE,
    .block_size = BLOCK_SIZE,
    .requested_size = 4 * BLOCK_SIZE,
    .usable_region_size = REGION_SIZE,
    .plugged_size = BLOCK_SIZE,
    .has_driver = 1,
};

/* Each makes what the struct describes, and frees it again. */
static int make_vm(const void *config)
{
    struct vmem_vm *made = NULL;
    int ret = vmem_vm_new(config, &made, NULL);

    fuzz_check((ret == 0) == (made != NULL), "ret %d", ret);
    fuzz_check(vmem_vm_free(made, NULL) == 0, "free");
    return ret;
}

static int free_backing(int ret, struct vmem_backing *made)
{
    fuzz_check((ret == 0) == (made != NULL), "ret %d", ret);
    fuzz_check(vmem_backing_free(made, NULL) == 0, "free");
    return ret;
}

static int make_custom(const void *config)
{
    struct vmem_backing *made = NULL;
    int ret;

    nr_destroys = 0;
    ret = vmem_backing_new_custom(vm, config, &good_backing_ops, NULL, &made,
                                  NULL);
    ret = free_backing(ret, made);
    fuzz_check(nr_destroys == 1, "%u destroys", nr_destroys);
    return ret;
}

/* Destroyed once, whatever happens, if it got as far as being told how. */
static void check_destroyed(const void *ops, size_t known, size_t at)
{
    size_t size;
    void *destroy = NULL;

    memcpy(&size, ops, sizeof(size));
    if (size >= known) {
        memcpy(&destroy, (const uint8_t *)ops + at, sizeof(destroy));
    }
    fuzz_check(nr_destroys == (destroy != NULL), "%u destroys", nr_destroys);
}

static int make_custom_ops(const void *ops)
{
    struct vmem_backing *made = NULL;
    int ret;

    nr_destroys = 0;
    ret = vmem_backing_new_custom(vm, &good_custom, ops, NULL, &made, NULL);
    ret = free_backing(ret, made);
    check_destroyed(ops, sizeof(struct vmem_backing_ops),
                    offsetof(struct vmem_backing_ops, destroy));
    return ret;
}

static int make_mapping(const void *mapping)
{
    struct vmem_backing *made = NULL;
    int ret = vmem_backing_new_mapped(vm, mapping, &made, NULL);

    return free_backing(ret, made);
}

static int make_request(const void *request)
{
    struct vmem_backing *made = NULL;
    int ret = vmem_backing_new_allocated(vm, request, &made, NULL);

    return free_backing(ret, made);
}

static int make_region(const void *config)
{
    struct vmem_region *made = NULL;
    int ret = vmem_region_new(vm, config, &made, NULL);

    fuzz_check((ret == 0) == (made != NULL), "ret %d", ret);
    fuzz_check(vmem_region_free(made, NULL) == 0, "free");
    return ret;
}

static int make_source(const void *config)
{
    struct vmem_source *made = NULL;
    int ret = vmem_source_add(empty, config, &made, NULL);

    fuzz_check((ret == 0) == (made != NULL), "ret %d", ret);
    fuzz_check(vmem_source_remove(made, NULL) == 0, "remove");
    return ret;
}

static int make_listener(const void *config)
{
    struct vmem_listener *made = NULL;
    int ret;

    nr_destroys = 0;
    ret =
        vmem_listener_add(empty, config, &good_listener_ops, NULL, &made, NULL);
    fuzz_check((ret == 0) == (made != NULL), "ret %d", ret);
    fuzz_check(vmem_listener_remove(made, NULL) == 0, "remove");
    fuzz_check(nr_destroys == 1, "%u destroys", nr_destroys);
    return ret;
}

static int make_listener_ops(const void *ops)
{
    struct vmem_listener *made = NULL;
    int ret;

    nr_destroys = 0;
    ret = vmem_listener_add(empty, &good_listener, ops, NULL, &made, NULL);
    fuzz_check((ret == 0) == (made != NULL), "ret %d", ret);
    fuzz_check(vmem_listener_remove(made, NULL) == 0, "remove");
    check_destroyed(ops, offsetof(struct vmem_listener_ops, begin),
                    offsetof(struct vmem_listener_ops, destroy));
    return ret;
}

static int free_device(int ret, struct vmem_device *made)
{
    fuzz_check((ret == 0) == (made != NULL), "ret %d", ret);
    fuzz_check(vmem_device_free(made, NULL) == 0, "free");
    return ret;
}

static int make_device(const void *config)
{
    struct vmem_device *made = NULL;
    int ret =
        vmem_device_new(empty, config, &good_device_ops, NULL, &made, NULL);

    return free_device(ret, made);
}

static int load_device(const void *saved)
{
    const uint64_t blocks = 4;

    return vmem_device_load(device, saved, &blocks, 1, NULL);
}

static int make_device_ops(const void *ops)
{
    struct vmem_device *made = NULL;
    int ret = vmem_device_new(empty, &good_device, ops, NULL, &made, NULL);

    return free_device(ret, made);
}

#define AT(type, member) offsetof(struct type, member)

static const struct struct_input inputs[] = {
    { &good_vm,
      sizeof(good_vm),
      make_vm,
      true,
      { AT(vmem_vm_config, name), AT(vmem_vm_config, log),
        AT(vmem_vm_config, clock_ns), AT(vmem_vm_config, opaque) } },
    { &good_custom,
      sizeof(good_custom),
      make_custom,
      true,
      { AT(vmem_backing_custom, name) } },
    { &good_backing_ops,
      sizeof(good_backing_ops),
      make_custom_ops,
      false,
      { AT(vmem_backing_ops, discard), AT(vmem_backing_ops, populate),
        AT(vmem_backing_ops, zero), AT(vmem_backing_ops, usage),
        AT(vmem_backing_ops, destroy) } },
    /* Not a descriptor of this process's by accident. */
    { &good_mapping,
      sizeof(good_mapping),
      make_mapping,
      true,
      { AT(vmem_backing_mapping, name), AT(vmem_backing_mapping, hva),
        AT(vmem_backing_mapping, fd) },
      AT(vmem_backing_mapping, populate_threads) },
    { &good_request,
      sizeof(good_request),
      make_request,
      true,
      { AT(vmem_backing_config, name), AT(vmem_backing_config, path) },
      AT(vmem_backing_config, populate_threads) },
    { &good_region,
      sizeof(good_region),
      make_region,
      true,
      { AT(vmem_region_config, name), AT(vmem_region_config, backing) } },
    { &good_source,
      sizeof(good_source),
      make_source,
      true,
      { AT(vmem_source_config, name) } },
    { &good_listener,
      sizeof(good_listener),
      make_listener,
      true,
      { AT(vmem_listener_config, name) } },
    { &good_listener_ops,
      sizeof(good_listener_ops),
      make_listener_ops,
      false,
      { AT(vmem_listener_ops, populate), AT(vmem_listener_ops, discard),
        AT(vmem_listener_ops, destroy), AT(vmem_listener_ops, begin),
        AT(vmem_listener_ops, commit), AT(vmem_listener_ops, may_discard) },
      AT(vmem_listener_ops, begin) },
    { &good_device,
      sizeof(good_device),
      make_device,
      true,
      { AT(vmem_device_config, name) } },
    { &good_device_ops,
      sizeof(good_device_ops),
      make_device_ops,
      false,
      { AT(vmem_device_ops, config_changed), AT(vmem_device_ops, size_changed),
        AT(vmem_device_ops, resize_changed), AT(vmem_device_ops, trace) } },
    { &good_saved, sizeof(good_saved), load_device, false, { 0 } },
};

#define NR_INPUTS (sizeof(inputs) / sizeof(inputs[0]))

static int get_backing_info(void *out)
{
    return vmem_backing_get_info(backing, out);
}

static int get_backing_stats(void *out)
{
    return vmem_backing_get_stats(backing, out);
}

static int get_backing_usage(void *out)
{
    return vmem_backing_get_usage(backing, NULL, out, NULL);
}

static int get_region_info(void *out)
{
    return vmem_region_get_info(region, out);
}

static int get_source_info(void *out)
{
    return vmem_source_get_info(source, out);
}

static int get_device_info(void *out)
{
    return vmem_device_get_info(device, out);
}

static int get_device_stats(void *out)
{
    return vmem_device_get_stats(device, out);
}

static int save_device(void *out)
{
    uint64_t blocks;

    return vmem_device_save(device, out, &blocks, 1);
}

static int get_resize_status(void *out)
{
    return vmem_device_get_resize_status(device, out);
}

static int get_request_result(void *out)
{
    const uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { VMEM_REQUEST_STATE };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    return vmem_device_handle_request(device, request, sizeof(request),
                                      response, sizeof(response), out);
}

static const struct struct_output outputs[] = {
    { sizeof(struct vmem_backing_info), get_backing_info,
      AT(vmem_backing_info, populate_threads) },
    { sizeof(struct vmem_backing_stats), get_backing_stats,
      AT(vmem_backing_stats, nr_syscalls) + sizeof(uint64_t) },
    { sizeof(struct vmem_backing_usage), get_backing_usage },
    { sizeof(struct vmem_region_info), get_region_info },
    { sizeof(struct vmem_source_info), get_source_info },
    { sizeof(struct vmem_device_info), get_device_info,
      AT(vmem_device_info, source) },
    { sizeof(struct vmem_device_stats), get_device_stats,
      AT(vmem_device_stats, nr_loads), .changes = true },
    { sizeof(struct vmem_device_saved), save_device },
    { sizeof(struct vmem_resize_status), get_resize_status },
    { sizeof(struct vmem_request_result), get_request_result },
};

#define NR_OUTPUTS (sizeof(outputs) / sizeof(outputs[0]))

/* An error may have any size; it is filled as far as it goes. */
static void check_error(struct fuzz_input *input)
{
    const size_t known = sizeof(struct vmem_error);
    const size_t message = offsetof(struct vmem_error, message);
    size_t claimed = struct_take_size(input, known);
    uint8_t *bytes = struct_claim(claimed);
    struct vmem_error exact = VMEM_ERROR_INIT;
    struct vmem_region *made = NULL;
    size_t filled = claimed < known ? claimed : known;
    struct vmem_region_config config = good_region;
    size_t left;

    config.name = NULL;
    fuzz_check(vmem_region_new(vm, &config, &made,
                               (struct vmem_error *)(void *)bytes) == -EINVAL,
               "no name");
    fuzz_check(vmem_region_new(vm, &config, &made, &exact) == -EINVAL,
               "no name");
    memcpy(&left, bytes, sizeof(left));
    fuzz_check(left == claimed, "struct_size became %zu", left);
    if (filled > message) {
        /* A message that is cut ends at the end. */
        fuzz_check(memchr(bytes + message, 0, filled - message) != NULL,
                   "no end");
        filled = message;
    }
    if (filled > sizeof(size_t)) {
        fuzz_check(memcmp(bytes + sizeof(size_t),
                          (const uint8_t *)&exact + sizeof(size_t),
                          filled - sizeof(size_t)) == 0,
                   "another error for %zu bytes", claimed);
    }
    free(bytes);
}

/* Once for all inputs, which leave everything as it is. */
static void set_up(void)
{
    /* Looking a mapping up there takes a thousand times as long as the rest. */
    static struct fake_sys kernel = { .path = "/proc/self/smaps",
                                      .path_error = ENOENT };
    struct vmem_region_config config = good_region;
    int ret = vmem_vm_new(&good_vm, &vm, NULL);

    fake_sys_install(&kernel);
    good_mapping.hva = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ret == 0) {
        ret = vmem_region_new(vm, &config, &empty, NULL);
    }
    if (ret == 0) {
        ret = vmem_backing_new_custom(vm, &good_custom, &good_backing_ops, NULL,
                                      &backing, NULL);
    }
    config.backing = backing;
    if (ret == 0) {
        ret = vmem_region_new(vm, &config, &region, NULL);
    }
    if (ret == 0) {
        ret = vmem_source_add(region, &good_source, &source, NULL);
    }
    if (ret == 0) {
        ret = vmem_device_new(region, &good_device, NULL, NULL, &device, NULL);
    }
    fuzz_check(ret == 0 && good_mapping.hva != MAP_FAILED, "ret %d", ret);
    for (unsigned i = 0; i < NR_INPUTS; i++) {
        struct_check_input_sizes(&inputs[i]);
    }
    for (unsigned i = 0; i < NR_OUTPUTS; i++) {
        struct_check_output_sizes(&outputs[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };

    if (vm == NULL) {
        set_up();
    }
    do {
        unsigned which = fuzz_below(&input, NR_INPUTS + NR_OUTPUTS + 1);

        if (which < NR_INPUTS) {
            struct_check_input(&input, &inputs[which]);
        } else if (which < NR_INPUTS + NR_OUTPUTS) {
            struct_check_output(&input, &outputs[which - NR_INPUTS]);
        } else {
            check_error(&input);
        }
    } while (fuzz_more(&input));
    return 0;
}
