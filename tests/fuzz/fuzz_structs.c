/* SPDX-License-Identifier: BSD-3-Clause */
/* Every public struct, with any struct_size, any bytes, and any tail. What a
 * host fills is compared with the same struct in the size that the library
 * knows; what the library fills must stay inside the bytes that there are. */
#include <errno.h>
#include <sys/mman.h>

#include <vmem/vmem.h>

#include "fuzz_check.h"
#include "fuzz_input.h"
#include "support/fake_sys.h"

#define BLOCK_SIZE ((uint64_t)1 << 12)
#define REGION_SIZE (16 * BLOCK_SIZE)
#define CANARY 0xc3

static struct vmem_vm *vm;
static struct vmem_backing *backing;
static struct vmem_region *region; /* with the backing, source and device */
static struct vmem_region *empty;  /* with nothing */
static struct vmem_source *source;
static struct vmem_device *device;
static unsigned nr_destroys;

static void swallow(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    (void)opaque;
}

static uint64_t stopped_clock(void *opaque)
{
    (void)opaque;
    return 1;
}

static int accept_range(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return 0;
}

static void ignore_range(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
}

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
    .log = swallow,
    .clock_ns = stopped_clock,
};
static const struct vmem_backing_custom good_custom = {
    .struct_size = sizeof(good_custom),
    .name = "custom",
    .size = REGION_SIZE,
};
static const struct vmem_backing_ops good_backing_ops = {
    .struct_size = sizeof(good_backing_ops),
    .discard = accept_range,
    .populate = accept_range,
    .zero = accept_range,
    .usage = no_usage,
    .destroy = count_destroy,
};
static struct vmem_backing_mapping good_mapping = {
    .struct_size = sizeof(good_mapping),
    .name = "mapping",
    .size = REGION_SIZE,
    .fd = -1,
};
static const struct vmem_backing_request good_request = {
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
    .populate = accept_range,
    .discard = ignore_range,
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

static int make_device_ops(const void *ops)
{
    struct vmem_device *made = NULL;
    int ret = vmem_device_new(empty, &good_device, ops, NULL, &made, NULL);

    return free_device(ret, made);
}

/* Offsets of members that are pointers, 0 ending the list: struct_size is
 * there. */
#define AT(type, member) offsetof(struct type, member)

static const struct {
    const void *good;
    size_t size;
    int (*make)(const void *config);
    bool has_name;
    size_t pointers[6];
    size_t first_size; /* of the first release; 0: the same */
} inputs[] = {
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
      { AT(vmem_backing_request, name), AT(vmem_backing_request, path) },
      AT(vmem_backing_request, populate_threads) },
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
        AT(vmem_listener_ops, commit) },
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
};

#define NR_INPUTS (sizeof(inputs) / sizeof(inputs[0]))

/* Near the size that is known, or anything. */
static size_t take_size(struct fuzz_input *input, size_t known)
{
    uint8_t kind = fuzz_u8(input);

    if (kind < 96) {
        return known;
    }
    if (kind < 160) {
        return known + (kind - 96);
    }
    if (kind < 224) {
        return known - (kind - 160) % (known + 1);
    }
    return fuzz_u16(input) % (2 * known + 64);
}

static bool is_pointer(unsigned i, size_t at)
{
    for (unsigned p = 0; inputs[i].pointers[p] != 0; p++) {
        if (at >= inputs[i].pointers[p] &&
            at < inputs[i].pointers[p] + sizeof(void *)) {
            return true;
        }
    }
    return false;
}

static void set_pointer(uint8_t *bytes, size_t at, const void *value)
{
    memcpy(bytes + at, &value, sizeof(value));
}

/* Some bytes of a struct of known size, and of what follows, become others. */
static void change_bytes(struct fuzz_input *input, unsigned i, uint8_t *bytes,
                         size_t size)
{
    static const char long_name[] =
        "a name that is longer than the sixty-three bytes that are allowed";
    uint8_t choice = fuzz_u8(input);

    if (inputs[i].has_name && choice >= 224) {
        set_pointer(bytes, inputs[i].pointers[0],
                    choice & 1   ? long_name
                    : choice & 2 ? ""
                                 : NULL);
    }
    if (choice >= 128 && choice < 192) {
        unsigned p = choice % 6;

        if (inputs[i].pointers[p] != 0 && !(inputs[i].has_name && p == 0)) {
            set_pointer(bytes, inputs[i].pointers[p], NULL);
        }
    }
    for (unsigned n = choice & 7; n > 0 && fuzz_more(input); n--) {
        size_t at = sizeof(size_t) + fuzz_u16(input) % (size - sizeof(size_t));

        if (at < size && !is_pointer(i, at)) {
            bytes[at] = fuzz_u8(input);
        }
    }
}

static void check_input(struct fuzz_input *input, unsigned i)
{
    const size_t known = inputs[i].size;
    const size_t first =
        inputs[i].first_size != 0 ? inputs[i].first_size : known;
    size_t claimed = take_size(input, known);
    size_t size = claimed > known ? claimed : known;
    uint8_t *all = calloc(1, size);
    /* Not a byte more than it claims to have, but struct_size. */
    size_t given = claimed > sizeof(size_t) ? claimed : sizeof(size_t);
    uint8_t *bytes = malloc(given);
    bool has_tail = false;
    int expected;
    int ret;

    memcpy(all, inputs[i].good, known);
    change_bytes(input, i, all, size);
    for (size_t at = known; at < claimed; at++) {
        has_tail |= all[at] != 0;
    }
    memcpy(bytes, all, given);
    memcpy(bytes, &claimed, sizeof(claimed));
    memcpy(all, &known, sizeof(known));
    if (claimed >= first && claimed < known) {
        /* What is not given, or half given, counts as zero. */
        size_t whole = claimed - claimed % sizeof(uint64_t);

        whole = whole < first ? first : whole;
        memset(all + whole, 0, known - whole);
    }

    ret = inputs[i].make(bytes);
    if (claimed < first) {
        expected = -EINVAL;
    } else if (has_tail) {
        expected = -E2BIG;
    } else {
        expected = inputs[i].make(all);
    }
    fuzz_check(ret == expected, "struct %u of %zu bytes: ret %d, not %d", i,
               claimed, ret, expected);
    free(bytes);
    free(all);
}

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

static const struct {
    size_t size;
    int (*get)(void *out);
    size_t first_size; /* of the first release; 0: the same */
} outputs[] = {
    { sizeof(struct vmem_backing_info), get_backing_info,
      AT(vmem_backing_info, populate_threads) },
    { sizeof(struct vmem_backing_stats), get_backing_stats,
      AT(vmem_backing_stats, nr_syscalls) + sizeof(uint64_t) },
    { sizeof(struct vmem_backing_usage), get_backing_usage },
    { sizeof(struct vmem_region_info), get_region_info },
    { sizeof(struct vmem_source_info), get_source_info },
    { sizeof(struct vmem_device_info), get_device_info },
    { sizeof(struct vmem_device_stats), get_device_stats },
    { sizeof(struct vmem_resize_status), get_resize_status },
    { sizeof(struct vmem_request_result), get_request_result },
};

#define NR_OUTPUTS (sizeof(outputs) / sizeof(outputs[0]))

static bool holds_only(const uint8_t *bytes, size_t size, uint8_t value)
{
    return size == 0 ||
           (bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static void check_output(struct fuzz_input *input, unsigned i)
{
    const size_t known = outputs[i].size;
    const size_t first =
        outputs[i].first_size != 0 ? outputs[i].first_size : known;
    size_t claimed = take_size(input, known);
    size_t given = claimed > sizeof(size_t) ? claimed : sizeof(size_t);
    uint8_t *bytes = malloc(given);
    size_t left;
    int ret;

    memset(bytes, CANARY, given);
    memcpy(bytes, &claimed, sizeof(claimed));
    ret = outputs[i].get(bytes);
    memcpy(&left, bytes, sizeof(left));
    fuzz_check(left == claimed, "struct_size became %zu", left);
    if (claimed < first) {
        fuzz_check(ret == -EINVAL, "ret %d", ret);
        fuzz_check(
            holds_only(bytes + sizeof(size_t), given - sizeof(size_t), CANARY),
            "written on failure");
    } else {
        uint8_t exact[512];

        memset(exact, CANARY, sizeof(exact));
        memcpy(exact, &known, sizeof(known));
        fuzz_check(ret == 0 && outputs[i].get(exact) == 0, "ret %d", ret);
        fuzz_check(
            memcmp(bytes + sizeof(size_t), exact + sizeof(size_t),
                   (claimed < known ? claimed : known) - sizeof(size_t)) == 0 ||
                outputs[i].get == get_device_stats,
            "another answer for %zu bytes", claimed);
        fuzz_check(claimed < known ||
                       holds_only(bytes + known, claimed - known, 0),
                   "tail");
    }
    free(bytes);
}

/* An error may have any size; it is filled as far as it goes. */
static void check_error(struct fuzz_input *input)
{
    const size_t known = sizeof(struct vmem_error);
    const size_t message = offsetof(struct vmem_error, message);
    size_t claimed = take_size(input, known);
    size_t given = claimed > sizeof(size_t) ? claimed : sizeof(size_t);
    uint8_t *bytes = malloc(given);
    struct vmem_error exact = VMEM_ERROR_INIT;
    struct vmem_region *made = NULL;
    size_t filled = claimed < known ? claimed : known;
    struct vmem_region_config config = good_region;
    size_t left;

    config.name = NULL;
    memset(bytes, CANARY, given);
    memcpy(bytes, &claimed, sizeof(claimed));
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
            check_input(&input, which);
        } else if (which < NR_INPUTS + NR_OUTPUTS) {
            check_output(&input, which - NR_INPUTS);
        } else {
            check_error(&input);
        }
    } while (fuzz_more(&input));
    return 0;
}
