/* SPDX-License-Identifier: BSD-3-Clause */
#include "device_rig.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static void record(struct rig *rig, enum rig_event_kind kind, const char *who,
                   const struct vmem_range *range)
{
    struct rig_event event = { .kind = kind, .who = who };

    if (rig->quiet) {
        return;
    }
    if (range != NULL) {
        event.range = *range;
    }
    g_array_append_val(rig->events, event);
}

/* The machine. */

static uint64_t read_clock(void *opaque)
{
    struct rig *rig = opaque;

    const uint64_t nr_before = rig->nr_clock++;

    return rig->clock_ticks ? nr_before : rig->now_ns;
}

static void keep_log(const struct vmem_log_record *record, void *opaque)
{
    struct rig *rig = opaque;
    struct rig_log log = {
        .level = record->level,
        .blame = record->blame,
        .code = record->code,
        .suppressed = record->suppressed,
    };

    if (rig->quiet) {
        return;
    }
    g_strlcpy(log.object, record->object, sizeof(log.object));
    g_strlcpy(log.message, record->message, sizeof(log.message));
    g_array_append_val(rig->logs, log);
}

/* The memory. */

static int count_call(struct rig_call *call, const struct vmem_range *range)
{
    call->nr_calls++;
    if (call->error != 0) {
        return call->error;
    }
    if (call->nr_calls == call->fail_at) {
        return -EIO;
    }
    call->bytes += range->size;
    return 0;
}

static int memory_discard(const struct vmem_range *range, void *opaque)
{
    struct rig *rig = opaque;
    int ret = count_call(&rig->memory.discard, range);

    record(rig, RIG_MEM_DISCARD, "memory", range);
    if (ret == 0 && rig->memory.hva != NULL &&
        madvise(rig->memory.hva + range->offset, range->size, MADV_DONTNEED) !=
            0) {
        return -errno;
    }
    return ret;
}

static int memory_populate(const struct vmem_range *range, void *opaque)
{
    struct rig *rig = opaque;

    record(rig, RIG_MEM_POPULATE, "memory", range);
    return count_call(&rig->memory.populate, range);
}

static int memory_zero(const struct vmem_range *range, void *opaque)
{
    struct rig *rig = opaque;
    int ret = count_call(&rig->memory.zero, range);

    record(rig, RIG_MEM_ZERO, "memory", range);
    if (ret == 0 && rig->memory.hva != NULL) {
        memset(rig->memory.hva + range->offset, 0, range->size);
    }
    return ret;
}

static void memory_destroy(void *opaque)
{
    struct rig *rig = opaque;

    rig->memory.nr_destroys++;
}

static void make_memory(struct rig *rig, const struct rig_options *options,
                        uint64_t size)
{
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "memory",
        .size = size,
        .page_size = options->page_size != 0 ? options->page_size : 4096,
        .flags = options->populates ? VMEM_BACKING_POPULATE : 0,
    };
    const struct vmem_backing_ops ops = {
        .struct_size = sizeof(ops),
        .discard = memory_discard,
        .populate = memory_populate,
        .zero = options->no_zero ? NULL : memory_zero,
        .destroy = memory_destroy,
    };

    rig->memory.size = size;
    if (options->real_memory) {
        void *hva = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        assert_ptr_not_equal(hva, MAP_FAILED);
        rig->memory.hva = hva;
    }
    assert_int_equal(vmem_backing_new_custom(rig->vm, &custom, &ops, rig,
                                             &rig->backing, NULL),
                     0);
}

/* Notifications. */

static void config_changed(void *opaque)
{
    struct rig *rig = opaque;

    rig->nr_config_changed++;
    record(rig, RIG_CONFIG_CHANGED, "device", NULL);
    if (rig->on_config_changed != NULL) {
        rig->on_config_changed(rig);
    }
}

static void size_changed(uint64_t plugged_size, void *opaque)
{
    struct rig *rig = opaque;

    rig->nr_size_changed++;
    rig->told_size = plugged_size;
    record(rig, RIG_SIZE_CHANGED, "device", NULL);
    if (rig->on_size_changed != NULL) {
        rig->on_size_changed(rig);
    }
}

static void resize_changed(const struct vmem_resize_status *status,
                           void *opaque)
{
    struct rig *rig = opaque;

    rig->nr_resize_changed++;
    rig->told_status = *status;
    record(rig, RIG_RESIZE_CHANGED, "device", NULL);
    if (rig->on_resize_changed != NULL) {
        rig->on_resize_changed(rig);
    }
}

const struct vmem_device_ops rig_device_ops = {
    .struct_size = sizeof(struct vmem_device_ops),
    .config_changed = config_changed,
    .size_changed = size_changed,
    .resize_changed = resize_changed,
};

static void free_listener(void *data)
{
    struct rig_listener *listener = data;

    g_free(listener->has);
    g_free(listener);
}

static struct vmem_device_config config_of(const struct rig_options *options)
{
    struct vmem_device_config config = options->config;

    config.struct_size = sizeof(config);
    if (config.name == NULL) {
        config.name = "dev";
    }
    if (options->exact_config) {
        return config;
    }
    config.gpa = config.gpa != 0 ? config.gpa : RIG_GPA;
    config.block_size = config.block_size != 0 ? config.block_size : RIG_BLOCK;
    if (options->region_size == 0 && !options->empty_region) {
        config.requested_size =
            config.requested_size != 0 ? config.requested_size : RIG_REQUESTED;
        if (config.usable_policy == VMEM_USABLE_DEFAULT) {
            config.usable_policy = VMEM_USABLE_EXTENT;
            config.usable_headroom = RIG_USABLE - RIG_REQUESTED;
        }
    }
    return config;
}

struct rig *rig_new(const struct rig_options *options)
{
    struct rig *rig = g_new0(struct rig, 1);
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = keep_log,
        .clock_ns = read_clock,
        .opaque = rig,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "region",
        .size = options->empty_region       ? 0
                : options->region_size != 0 ? options->region_size
                                            : RIG_REGION,
    };

    rig->now_ns = 1000;
    rig->quiet = options->quiet;
    rig->listeners = g_ptr_array_new_with_free_func(free_listener);
    rig->events = g_array_new(FALSE, TRUE, sizeof(struct rig_event));
    rig->logs = g_array_new(FALSE, TRUE, sizeof(struct rig_log));
    rig->config = config_of(options);
    rig->unit =
        rig->config.block_size != 0 ? rig->config.block_size : RIG_BLOCK;
    assert_int_equal(vmem_vm_new(&vm_config, &rig->vm, NULL), 0);
    if (options->has_memory || options->real_memory || options->populates) {
        make_memory(rig, options, region_config.size);
        region_config.backing = rig->backing;
    }
    assert_int_equal(
        vmem_region_new(rig->vm, &region_config, &rig->region, NULL), 0);
    if (!options->no_device) {
        const struct vmem_device_ops *ops =
            options->no_ops ? NULL : &rig_device_ops;

        assert_int_equal(vmem_device_new(rig->region, &rig->config, ops, rig,
                                         &rig->device, NULL),
                         0);
        rig_clear_events(rig);
    }
    return rig;
}

struct rig *rig_new_default(void)
{
    return rig_new(&(struct rig_options){ .has_memory = true });
}

int rig_make_device(struct rig *rig, const struct vmem_device_config *config,
                    struct vmem_error *err)
{
    rig->config = *config;
    if (config->block_size != 0) {
        rig->unit = config->block_size;
    }
    return vmem_device_new(rig->region, config, &rig_device_ops, rig,
                           &rig->device, err);
}

void rig_free_device(struct rig *rig)
{
    assert_int_equal(vmem_device_free(rig->device, NULL), 0);
    rig->device = NULL;
}

void rig_free(struct rig *rig)
{
    uint64_t wanted_destroys = rig->backing != NULL;
    uint64_t size = vmem_region_get_size(rig->region);

    if (rig->device != NULL) {
        rig_check(rig);
    }
    /* In the order of registration, so that removals are not only from the
     * end. */
    for (guint i = 0; i < rig->listeners->len; i++) {
        struct rig_listener *listener = rig->listeners->pdata[i];

        if (listener->handle != NULL) {
            rig_unlisten(listener);
        }
        assert_string_equal(listener->broken, "");
    }
    if (rig->device != NULL) {
        rig_free_device(rig);
    }
    assert_int_equal(vmem_region_free(rig->region, NULL), 0);
    assert_int_equal(vmem_backing_free(rig->backing, NULL), 0);
    assert_int_equal(rig->memory.nr_destroys, wanted_destroys);
    assert_int_equal(vmem_vm_free(rig->vm, NULL), 0);
    if (rig->memory.hva != NULL) {
        munmap(rig->memory.hva, size);
    }
    g_ptr_array_free(rig->listeners, TRUE);
    g_array_free(rig->events, TRUE);
    g_array_free(rig->logs, TRUE);
    g_free(rig);
}

/* Listeners. */

static void broke(struct rig_listener *listener, const char *promise,
                  const struct vmem_range *range)
{
    if (listener->broken[0] == '\0') {
        snprintf(listener->broken, sizeof(listener->broken),
                 "%s: %s: 0x%" PRIx64 "+0x%" PRIx64, listener->name, promise,
                 range->offset, range->size);
    }
}

static bool is_chunk(const struct rig_listener *listener,
                     const struct vmem_range *range)
{
    const uint64_t granularity = listener->granularity;
    const uint64_t window_end = listener->window.offset + listener->window.size;
    const uint64_t end = range->offset + range->size;

    return (range->offset % granularity == 0 ||
            range->offset == listener->window.offset) &&
           (end % granularity == 0 || end == window_end) &&
           range->offset / granularity == (end - 1) / granularity;
}

static void check_range(struct rig_listener *listener,
                        const struct vmem_range *range, bool chunked)
{
    const uint64_t window_end = listener->window.offset + listener->window.size;

    if (range->size == 0 || range->offset < listener->window.offset ||
        range->offset + range->size > window_end) {
        broke(listener, "outside its window", range);
    } else if (chunked && !is_chunk(listener, range)) {
        broke(listener, "not a chunk", range);
    }
}

/* A block counts as had when its first byte in the window is. */
static void set_has(struct rig_listener *listener,
                    const struct vmem_range *range, uint8_t value)
{
    const uint64_t unit = listener->rig->unit;
    const uint64_t first = range->offset / unit;
    const uint64_t end = (range->offset + range->size + unit - 1) / unit;
    const bool whole = range->offset % unit == 0 && range->size % unit == 0;

    for (uint64_t block = first; block < end; block++) {
        if (whole && listener->has[block] == value) {
            broke(listener,
                  value != 0 ? "populate of what it has"
                             : "discard of what it does not have",
                  range);
        }
        listener->has[block] = value;
    }
}

static int listener_populate(const struct vmem_range *range, void *opaque)
{
    struct rig_listener *listener = opaque;

    listener->nr_populates++;
    check_range(listener, range, listener->granularity != 0);
    if (listener->rig->on_populate != NULL) {
        listener->rig->on_populate(listener->rig);
    }
    if (listener->fail_always || listener->nr_populates == listener->fail_at) {
        record(listener->rig, RIG_VETO, listener->name, range);
        return listener->fail_code != 0 ? listener->fail_code : -ENOSPC;
    }
    record(listener->rig, RIG_POPULATE, listener->name, range);
    set_has(listener, range, 1);
    return 0;
}

static void listener_discard(const struct vmem_range *range, void *opaque)
{
    struct rig_listener *listener = opaque;

    listener->nr_discards++;
    record(listener->rig, RIG_DISCARD, listener->name, range);
    check_range(listener, range, listener->exact);
    set_has(listener, range, 0);
    if (listener->rig->on_discard != NULL) {
        listener->rig->on_discard(listener->rig);
    }
}

static int listener_may_discard(const struct vmem_range *range, void *opaque)
{
    struct rig_listener *listener = opaque;

    listener->nr_asks++;
    check_range(listener, range, listener->exact);
    if (listener->keep_code != 0) {
        record(listener->rig, RIG_KEEP, listener->name, range);
    }
    return listener->keep_code;
}

static void listener_destroy(void *opaque)
{
    struct rig_listener *listener = opaque;

    listener->nr_destroys++;
}

struct rig_listener *rig_listener_new(struct rig *rig, const char *name)
{
    struct rig_listener *listener = g_new0(struct rig_listener, 1);
    uint64_t size = vmem_region_get_size(rig->region);

    listener->rig = rig;
    g_strlcpy(listener->name, name, sizeof(listener->name));
    listener->has = g_malloc0(size / rig->unit + 1);
    g_ptr_array_add(rig->listeners, listener);
    return listener;
}

int rig_listener_add(struct rig_listener *listener,
                     const struct vmem_listener_config *config,
                     struct vmem_error *err)
{
    const struct vmem_listener_ops ops = {
        .struct_size = sizeof(ops),
        .populate = listener_populate,
        .discard = listener_discard,
        .destroy = listener_destroy,
        .may_discard = listener_may_discard,
    };

    listener->window = config->window;
    if (listener->window.size == 0) {
        listener->window.size = vmem_region_get_size(listener->rig->region);
    }
    listener->granularity = config->granularity;
    listener->exact = (config->flags & VMEM_LISTENER_EXACT_DISCARD) != 0;
    return vmem_listener_add(listener->rig->region, config, &ops, listener,
                             &listener->handle, err);
}

struct rig_listener *rig_listen_to(struct rig *rig, const char *name,
                                   struct vmem_range window,
                                   uint64_t granularity, uint64_t flags)
{
    struct rig_listener *listener = rig_listener_new(rig, name);
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .window = window,
        .granularity = granularity,
        .flags = flags,
    };

    assert_int_equal(rig_listener_add(listener, &config, NULL), 0);
    return listener;
}

struct rig_listener *rig_listen(struct rig *rig, const char *name)
{
    return rig_listen_to(rig, name, (struct vmem_range){ 0, 0 }, 0, 0);
}

void rig_unlisten(struct rig_listener *listener)
{
    assert_int_equal(vmem_listener_remove(listener->handle, NULL), 0);
    listener->handle = NULL;
    assert_int_equal(listener->nr_destroys, 1);
    assert_string_equal(listener->broken, "");
    rig_assert_view(listener, "");
}

/* Requests. */

static void store_le(uint8_t *bytes, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t load_le(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = size; i-- > 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

void rig_encode(uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE], uint16_t type,
                uint64_t gpa, uint16_t nr_blocks)
{
    memset(bytes, 0, VMEM_DEVICE_REQUEST_SIZE);
    store_le(bytes, type, 2);
    store_le(bytes + 8, gpa, 8);
    store_le(bytes + 16, nr_blocks, 2);
}

uint16_t rig_request_bytes(struct rig *rig, const void *request, size_t size)
{
    static const uint8_t zeros[VMEM_DEVICE_RESPONSE_SIZE];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    uint16_t type;

    memset(response, 0xee, sizeof(response));
    rig->result =
        (struct vmem_request_result){ .struct_size = sizeof(rig->result) };
    assert_int_equal(vmem_device_handle_request(rig->device, request, size,
                                                response, sizeof(response),
                                                &rig->result),
                     VMEM_REQUEST_RESPOND);
    type = (uint16_t)load_le(response, 2);
    rig->state = (uint16_t)load_le(response + 8, 2);
    assert_in_range(type, VMEM_RESPONSE_ACK, VMEM_RESPONSE_ERROR);
    assert_memory_equal(response + 2, zeros, 6);
    if (type != VMEM_RESPONSE_ACK || rig->result.type != VMEM_REQUEST_STATE) {
        assert_int_equal(rig->state, 0);
    }
    assert_int_equal(rig->result.used_size, VMEM_DEVICE_RESPONSE_SIZE);
    assert_int_equal(rig->result.response, type);
    assert_int_equal(rig->result.malformed, VMEM_MALFORMED_NONE);
    if (type != VMEM_RESPONSE_BUSY) {
        assert_int_equal(rig->result.reason, VMEM_REASON_NONE);
    } else {
        assert_int_not_equal(rig->result.reason, VMEM_REASON_NONE);
    }
    return type;
}

uint16_t rig_request(struct rig *rig, uint16_t type, uint64_t gpa,
                     uint16_t nr_blocks)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
    uint16_t response;

    rig_encode(request, type, gpa, nr_blocks);
    response = rig_request_bytes(rig, request, sizeof(request));
    assert_int_equal(rig->result.type, type);
    return response;
}

static uint64_t gpa_of(const struct rig *rig, uint64_t block)
{
    return rig->config.gpa + block * rig->unit;
}

uint16_t rig_plug(struct rig *rig, uint64_t first_block, uint16_t nr_blocks)
{
    return rig_request(rig, VMEM_REQUEST_PLUG, gpa_of(rig, first_block),
                       nr_blocks);
}

uint16_t rig_unplug(struct rig *rig, uint64_t first_block, uint16_t nr_blocks)
{
    return rig_request(rig, VMEM_REQUEST_UNPLUG, gpa_of(rig, first_block),
                       nr_blocks);
}

uint16_t rig_unplug_all(struct rig *rig)
{
    return rig_request(rig, VMEM_REQUEST_UNPLUG_ALL, 0, 0);
}

uint16_t rig_state(struct rig *rig, uint64_t first_block, uint16_t nr_blocks)
{
    assert_int_equal(rig_request(rig, VMEM_REQUEST_STATE,
                                 gpa_of(rig, first_block), nr_blocks),
                     VMEM_RESPONSE_ACK);
    return rig->state;
}

void rig_malformed(struct rig *rig, const void *request, size_t request_size,
                   size_t response_size, uint32_t reason)
{
    uint8_t response[2 * VMEM_DEVICE_RESPONSE_SIZE];
    struct rig_shot shot = rig_shot(rig);

    memset(response, 0xee, sizeof(response));
    rig->result =
        (struct vmem_request_result){ .struct_size = sizeof(rig->result) };
    assert_int_equal(vmem_device_handle_request(rig->device, request,
                                                request_size, response,
                                                response_size, &rig->result),
                     VMEM_REQUEST_MALFORMED);
    assert_int_equal(rig->result.malformed, reason);
    assert_int_equal(rig->result.used_size, 0);
    for (size_t i = 0; i < sizeof(response); i++) {
        assert_int_equal(response[i], 0xee);
    }
    rig_assert_same(rig, &shot);
}

/* Views. */

struct runs {
    GString *text;
    uint64_t unit;
};

static int add_run(const struct vmem_range *range, void *opaque)
{
    struct runs *runs = opaque;

    g_string_append_printf(
        runs->text, "%s%" PRIu64 "+%" PRIu64, runs->text->len > 0 ? " " : "",
        range->offset / runs->unit, range->size / runs->unit);
    return 0;
}

char *rig_plugged(struct rig *rig)
{
    struct runs runs = { .text = g_string_new(""), .unit = rig->unit };

    assert_int_equal(
        vmem_region_for_each_populated(rig->region, NULL, add_run, &runs), 0);
    return g_string_free(runs.text, FALSE);
}

void rig_assert_plugged(struct rig *rig, const char *runs)
{
    char *plugged = rig_plugged(rig);

    assert_string_equal(plugged, runs);
    g_free(plugged);
}

char *rig_view(const struct rig_listener *listener)
{
    const uint64_t unit = listener->rig->unit;
    const uint64_t nr_blocks =
        vmem_region_get_size(listener->rig->region) / unit;
    struct runs runs = { .text = g_string_new(""), .unit = 1 };
    struct vmem_range run = { 0, 0 };

    for (uint64_t block = 0; block <= nr_blocks; block++) {
        bool has = block < nr_blocks && listener->has[block] != 0;

        if (has && run.size == 0) {
            run.offset = block;
        }
        run.size += has;
        if (!has && run.size > 0) {
            add_run(&run, &runs);
            run.size = 0;
        }
    }
    return g_string_free(runs.text, FALSE);
}

void rig_assert_view(const struct rig_listener *listener, const char *runs)
{
    char *view = rig_view(listener);

    assert_string_equal(view, runs);
    g_free(view);
}

struct vmem_device_info rig_info(struct rig *rig)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    assert_int_equal(vmem_device_get_info(rig->device, &info), 0);
    return info;
}

struct vmem_device_stats rig_stats(struct rig *rig)
{
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };

    assert_int_equal(vmem_device_get_stats(rig->device, &stats), 0);
    return stats;
}

struct vmem_resize_status rig_status(struct rig *rig)
{
    struct vmem_resize_status status = { .struct_size = sizeof(status) };

    assert_int_equal(vmem_device_get_resize_status(rig->device, &status), 0);
    return status;
}

struct rig_config rig_config(struct rig *rig)
{
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];

    assert_int_equal(
        vmem_device_read_config(rig->device, 0, bytes, sizeof(bytes)), 0);
    return (struct rig_config){
        .block_size = load_le(bytes, 8),
        .node_id = (uint16_t)load_le(bytes + 8, 2),
        .gpa = load_le(bytes + 16, 8),
        .region_size = load_le(bytes + 24, 8),
        .usable_region_size = load_le(bytes + 32, 8),
        .plugged_size = load_le(bytes + 40, 8),
        .requested_size = load_le(bytes + 48, 8),
    };
}

/* Fills one byte for each block that is populated and in the window. */
struct window_bytes {
    uint8_t *bytes;
    uint64_t unit;
    uint64_t end;
    uint64_t size;
};

static int fill_bytes(const struct vmem_range *range, void *opaque)
{
    struct window_bytes *window = opaque;
    uint64_t first = range->offset / window->unit;
    uint64_t end =
        (range->offset + range->size + window->unit - 1) / window->unit;

    memset(window->bytes + first, 1, end - first);
    window->size += range->size;
    window->end = range->offset + range->size;
    return 0;
}

static void check_listener(struct rig *rig, const struct rig_listener *listener,
                           uint8_t *bytes, uint64_t nr_blocks)
{
    struct window_bytes window = { .bytes = bytes, .unit = rig->unit };

    assert_string_equal(listener->broken, "");
    memset(bytes, 0, nr_blocks);
    assert_int_equal(vmem_region_for_each_populated(
                         rig->region, &listener->window, fill_bytes, &window),
                     0);
    if (memcmp(bytes, listener->has, nr_blocks) != 0) {
        char *view = rig_view(listener);
        char *plugged = rig_plugged(rig);

        fail_msg("listener %s has %s, but %s is populated", listener->name,
                 view, plugged);
    }
}

void rig_check(struct rig *rig)
{
    const struct rig_config config = rig_config(rig);
    const uint64_t nr_blocks = config.region_size / config.block_size;
    uint8_t *bytes = g_malloc0(nr_blocks + 1);
    struct window_bytes all = { .bytes = bytes, .unit = config.block_size };

    assert_int_equal(config.usable_region_size % config.block_size, 0);
    assert_int_equal(config.plugged_size % config.block_size, 0);
    assert_int_equal(config.requested_size % config.block_size, 0);
    assert_true(config.requested_size <= config.usable_region_size);
    assert_true(config.usable_region_size <= config.region_size);
    assert_int_equal(
        vmem_region_for_each_populated(rig->region, NULL, fill_bytes, &all), 0);
    assert_true(all.size == config.plugged_size);
    assert_true(all.end <= config.usable_region_size);
    for (guint i = 0; i < rig->listeners->len; i++) {
        const struct rig_listener *listener = rig->listeners->pdata[i];

        if (listener->handle != NULL) {
            check_listener(rig, listener, bytes, nr_blocks);
        }
    }
    g_free(bytes);
}

static char *all_views(struct rig *rig)
{
    GString *text = g_string_new("");

    for (guint i = 0; i < rig->listeners->len; i++) {
        char *view = rig_view(rig->listeners->pdata[i]);

        g_string_append_printf(text, "%s;", view);
        g_free(view);
    }
    return g_string_free(text, FALSE);
}

struct rig_shot rig_shot(struct rig *rig)
{
    struct rig_shot shot = {
        .generation = vmem_device_get_config_generation(rig->device),
        .retained_size = rig_info(rig).retained_size,
        .plugged = rig_plugged(rig),
        .views = all_views(rig),
        .nr_config_changed = rig->nr_config_changed,
        .nr_size_changed = rig->nr_size_changed,
    };

    assert_int_equal(vmem_device_read_config(rig->device, 0, shot.config,
                                             sizeof(shot.config)),
                     0);
    return shot;
}

void rig_assert_same(struct rig *rig, struct rig_shot *shot)
{
    struct rig_shot now = rig_shot(rig);

    assert_memory_equal(now.config, shot->config, sizeof(now.config));
    assert_int_equal(now.generation, shot->generation);
    assert_true(now.retained_size == shot->retained_size);
    assert_string_equal(now.plugged, shot->plugged);
    assert_string_equal(now.views, shot->views);
    assert_int_equal(now.nr_config_changed, shot->nr_config_changed);
    assert_int_equal(now.nr_size_changed, shot->nr_size_changed);
    g_free(now.plugged);
    g_free(now.views);
    g_free(shot->plugged);
    g_free(shot->views);
}

/* Events. */

char *rig_events(struct rig *rig)
{
    static const char *const verbs[] = {
        [RIG_POPULATE] = "populate",     [RIG_VETO] = "veto",
        [RIG_DISCARD] = "discard",       [RIG_MEM_POPULATE] = "populate",
        [RIG_MEM_DISCARD] = "discard",   [RIG_MEM_ZERO] = "zero",
        [RIG_CONFIG_CHANGED] = "config", [RIG_SIZE_CHANGED] = "size",
        [RIG_RESIZE_CHANGED] = "resize", [RIG_KEEP] = "keep",
    };
    GString *text = g_string_new("");

    for (guint i = 0; i < rig->events->len; i++) {
        const struct rig_event *event =
            &g_array_index(rig->events, struct rig_event, i);

        g_string_append_printf(text, "%s%s %s", i > 0 ? "; " : "",
                               verbs[event->kind], event->who);
        if (event->range.size > 0) {
            g_string_append_printf(text, " %" PRIu64 "+%" PRIu64,
                                   event->range.offset / rig->unit,
                                   event->range.size / rig->unit);
        }
    }
    return g_string_free(text, FALSE);
}

void rig_assert_events(struct rig *rig, const char *events)
{
    char *text = rig_events(rig);

    assert_string_equal(text, events);
    g_free(text);
}

void rig_clear_events(struct rig *rig)
{
    g_array_set_size(rig->events, 0);
}

uint64_t rig_nr_memory_calls(const struct rig *rig)
{
    return rig->memory.discard.nr_calls + rig->memory.populate.nr_calls +
           rig->memory.zero.nr_calls;
}

uint64_t rig_nr_events(const struct rig *rig, enum rig_event_kind kind)
{
    uint64_t count = 0;

    for (guint i = 0; i < rig->events->len; i++) {
        count += g_array_index(rig->events, struct rig_event, i).kind == kind;
    }
    return count;
}

uint64_t rig_nr_logs(struct rig *rig, uint32_t code)
{
    uint64_t count = 0;

    for (guint i = 0; i < rig->logs->len; i++) {
        count += g_array_index(rig->logs, struct rig_log, i).code == code;
    }
    return count;
}

const struct rig_log *rig_last_log(struct rig *rig, uint32_t code)
{
    for (guint i = rig->logs->len; i-- > 0;) {
        const struct rig_log *log =
            &g_array_index(rig->logs, struct rig_log, i);

        if (log->code == code) {
            return log;
        }
    }
    return NULL;
}

void rig_resize(struct rig *rig, uint64_t requested_size)
{
    assert_int_equal(vmem_device_resize(rig->device, requested_size, NULL), 0);
}

void rig_freeze(struct rig *rig, const char *owner)
{
    assert_int_equal(vmem_region_freeze(rig->region, owner, NULL), 0);
}

void rig_thaw(struct rig *rig, const char *owner)
{
    assert_int_equal(vmem_region_thaw(rig->region, owner, NULL), 0);
}

uint64_t rig_random(uint64_t *seed)
{
    uint64_t value = *seed += 0x9e3779b97f4a7c15u;

    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

void rig_assert_error_words(const struct vmem_error *err, int code,
                            uint32_t reason, const char *const *words)
{
    assert_int_equal(err->code, code);
    assert_string_equal(vmem_reason_name(err->reason),
                        vmem_reason_name(reason));
    for (; *words != NULL; words++) {
        if (strstr(err->message, *words) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", err->message, *words);
        }
    }
}
