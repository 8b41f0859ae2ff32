/* SPDX-License-Identifier: BSD-3-Clause */
#include "device_model.h"

#include <errno.h>
#include <string.h>

#include <glib.h>

typedef unsigned __int128 wide;

static uint64_t policy_usable(const struct device_model *model,
                              uint64_t requested_size)
{
    wide want = model->region_size;

    if (model->policy == VMEM_USABLE_UNIT) {
        want = 0;
        while (want < requested_size) {
            want += model->n;
        }
        want += model->n;
    } else if (model->policy == VMEM_USABLE_EXTENT) {
        want = requested_size == 0 ? 0 : (wide)requested_size + model->n;
    }
    while (want % model->block_size != 0) {
        want += model->block_size - want % model->block_size;
    }
    return want > model->region_size ? model->region_size : (uint64_t)want;
}

void model_init(struct device_model *model,
                const struct vmem_device_config *config, uint64_t region_size)
{
    memset(model, 0, sizeof(*model));
    model->gpa = config->gpa;
    model->region_size = region_size;
    model->block_size = config->block_size;
    model->requested_size = config->requested_size;
    model->policy = config->usable_policy;
    model->n = config->usable_headroom;
    model->features = config->features;
    if ((config->flags & VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE) == 0) {
        model->features |= VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE;
    }
    model->insists = (config->flags & VMEM_DEVICE_REQUIRE_INACCESSIBLE) != 0;
    if (model->policy == VMEM_USABLE_DEFAULT) {
        model->policy = VMEM_USABLE_UNIT;
        model->n = 0;
    }
    if (model->policy == VMEM_USABLE_UNIT && model->n == 0) {
        model->n = (uint64_t)2 << 30;
    }
    model->usable_region_size =
        config->usable_region_size != 0
            ? config->usable_region_size
            : policy_usable(model, config->requested_size);
    model->nr_blocks = region_size / config->block_size;
    model->plugged = g_new0(bool, model->nr_blocks + 1);
    model->retained = g_new0(bool, model->nr_blocks + 1);
    model->veto_by = -1;
    model->keep_by = -1;
}

void model_clear(struct device_model *model)
{
    g_free(model->plugged);
    g_free(model->retained);
}

static uint64_t count(const struct device_model *model, const bool *blocks)
{
    uint64_t total = 0;

    for (uint64_t i = 0; i < model->nr_blocks; i++) {
        total += blocks[i] ? model->block_size : 0;
    }
    return total;
}

uint64_t model_plugged_size(const struct device_model *model)
{
    return count(model, model->plugged);
}

uint64_t model_retained_size(const struct device_model *model)
{
    return count(model, model->retained);
}

static uint64_t load(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++) {
        value += (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static void store(uint8_t *bytes, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

void model_config(const struct device_model *model,
                  uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE])
{
    memset(bytes, 0, VMEM_DEVICE_CONFIG_SIZE);
    store(bytes, model->block_size, 8);
    store(bytes + 16, model->gpa, 8);
    store(bytes + 24, model->region_size, 8);
    store(bytes + 32, model->usable_region_size, 8);
    store(bytes + 40, model_plugged_size(model), 8);
    store(bytes + 48, model->requested_size, 8);
}

static bool is_range_ok(const struct device_model *model, uint64_t gpa,
                        uint64_t nr_blocks)
{
    wide end = (wide)gpa + (wide)nr_blocks * model->block_size;

    return gpa % model->block_size == 0 && nr_blocks > 0 && gpa >= model->gpa &&
           end <= (wide)model->gpa + model->usable_region_size;
}

/* How many calls tell a listener of these bytes, in chunks or all at once? */
static uint64_t count_calls(const struct model_listener *listener, bool chunks,
                            uint64_t offset, uint64_t size)
{
    uint64_t nr_calls = 0;

    for (uint64_t pos = offset; pos < offset + size; pos++) {
        uint64_t next = offset + size;

        if (pos < listener->offset) {
            pos = listener->offset;
        }
        if (pos >= offset + size || pos >= listener->offset + listener->size) {
            break;
        }
        nr_calls++;
        if (chunks && listener->granularity != 0) {
            next = (pos / listener->granularity + 1) * listener->granularity;
        }
        pos = next - 1;
    }
    return nr_calls;
}

static bool has_vetoer(const struct device_model *model)
{
    return model->veto_by >= 0 && model->listeners[model->veto_by].is_there;
}

/* Does the next plug of these bytes meet a veto? */
static bool is_vetoed(const struct device_model *model, uint64_t offset,
                      uint64_t size)
{
    return has_vetoer(model) &&
           count_calls(&model->listeners[model->veto_by], true, offset, size) >=
               model->veto_at;
}

/* Does a listener refuse to let go of these blocks, of those from first on? */
static bool is_kept_of(const struct device_model *model, const bool *going,
                       uint64_t first, uint64_t nr_blocks)
{
    const struct model_listener *listener;
    uint64_t nr_asks = 0;
    uint64_t nr_in_run = 0;

    if (model->keep_by < 0 || !model->listeners[model->keep_by].is_there) {
        return false;
    }
    listener = &model->listeners[model->keep_by];
    for (uint64_t i = first; i <= first + nr_blocks; i++) {
        if (i < first + nr_blocks && going[i]) {
            nr_in_run++;
        } else if (nr_in_run > 0) {
            nr_asks += count_calls(listener, listener->exact,
                                   (i - nr_in_run) * model->block_size,
                                   nr_in_run * model->block_size);
            nr_in_run = 0;
        }
    }
    return nr_asks >= model->keep_at;
}

static bool is_kept(const struct device_model *model, uint64_t first,
                    uint64_t nr_blocks)
{
    return is_kept_of(model, model->plugged, first, nr_blocks);
}

static void forget_memory(struct device_model *model, uint64_t first,
                          uint64_t nr_blocks)
{
    for (uint64_t i = first; model->has_memory && i < first + nr_blocks; i++) {
        model->retained[i] = model->discard_fails;
    }
}

static uint16_t plug(struct device_model *model, uint64_t gpa,
                     uint64_t nr_blocks)
{
    const uint64_t first = (gpa - model->gpa) / model->block_size;
    const wide size = (wide)nr_blocks * model->block_size;
    bool any_retained = false;

    if (!is_range_ok(model, gpa, nr_blocks)) {
        return VMEM_RESPONSE_ERROR;
    }
    for (uint64_t i = first; i < first + nr_blocks; i++) {
        if (model->plugged[i]) {
            return VMEM_RESPONSE_ERROR;
        }
        any_retained = any_retained || model->retained[i];
    }
    if (model_plugged_size(model) + size > model->requested_size) {
        return VMEM_RESPONSE_NACK;
    }
    if (model->nr_freezers > 0 ||
        (any_retained && model->discard_fails && model->zero_fails)) {
        return VMEM_RESPONSE_BUSY;
    }
    if ((model->populates && model->populate_fails) ||
        is_vetoed(model, gpa - model->gpa, (uint64_t)size)) {
        forget_memory(model, first, nr_blocks);
        return VMEM_RESPONSE_BUSY;
    }
    for (uint64_t i = first; i < first + nr_blocks; i++) {
        model->plugged[i] = true;
        model->retained[i] = false;
    }
    model->nr_size_changed++;
    return VMEM_RESPONSE_ACK;
}

static uint16_t unplug(struct device_model *model, uint64_t gpa,
                       uint64_t nr_blocks)
{
    const uint64_t first = (gpa - model->gpa) / model->block_size;

    if (!is_range_ok(model, gpa, nr_blocks)) {
        return VMEM_RESPONSE_ERROR;
    }
    for (uint64_t i = first; i < first + nr_blocks; i++) {
        if (!model->plugged[i]) {
            return VMEM_RESPONSE_ERROR;
        }
    }
    if (model->nr_freezers > 0 || is_kept(model, first, nr_blocks)) {
        return VMEM_RESPONSE_BUSY;
    }
    for (uint64_t i = first; i < first + nr_blocks; i++) {
        model->plugged[i] = false;
    }
    forget_memory(model, first, nr_blocks);
    model->nr_size_changed++;
    return VMEM_RESPONSE_ACK;
}

/* Every block goes, and what was retained before is tried again. */
static void unplug_everything(struct device_model *model)
{
    for (uint64_t i = 0; i < model->nr_blocks; i++) {
        if (model->plugged[i] || model->retained[i]) {
            forget_memory(model, i, 1);
        }
        model->plugged[i] = false;
    }
}

static void shrink_usable(struct device_model *model)
{
    uint64_t usable = policy_usable(model, model->requested_size);

    if (usable < model->usable_region_size) {
        model->usable_region_size = usable;
    }
}

static uint16_t unplug_all(struct device_model *model)
{
    if (model_plugged_size(model) > 0) {
        if (model->nr_freezers > 0 || is_kept(model, 0, model->nr_blocks)) {
            return VMEM_RESPONSE_BUSY;
        }
        unplug_everything(model);
        model->nr_size_changed++;
    }
    if (model->nr_freezers == 0) {
        shrink_usable(model);
    }
    return VMEM_RESPONSE_ACK;
}

static uint16_t state(const struct device_model *model, uint64_t gpa,
                      uint64_t nr_blocks, uint16_t *found)
{
    const uint64_t first = (gpa - model->gpa) / model->block_size;
    uint64_t nr_plugged = 0;

    if (!is_range_ok(model, gpa, nr_blocks)) {
        return VMEM_RESPONSE_ERROR;
    }
    for (uint64_t i = first; i < first + nr_blocks; i++) {
        nr_plugged += model->plugged[i];
    }
    *found = nr_plugged == nr_blocks ? VMEM_STATE_PLUGGED
             : nr_plugged == 0       ? VMEM_STATE_UNPLUGGED
                                     : VMEM_STATE_MIXED;
    return VMEM_RESPONSE_ACK;
}

int model_request(struct device_model *model, const uint8_t *request,
                  size_t size, size_t room,
                  uint8_t response[VMEM_DEVICE_RESPONSE_SIZE])
{
    uint16_t answer;
    uint16_t found = 0;
    uint64_t type;
    uint64_t gpa;
    uint64_t nr_blocks;

    if (size < 24 || room < 10) {
        return VMEM_REQUEST_MALFORMED;
    }
    type = load(request, 2);
    gpa = load(request + 8, 8);
    nr_blocks = load(request + 16, 2);
    if (type > 3) {
        return VMEM_REQUEST_MALFORMED;
    }
    if (type == 0) {
        answer = plug(model, gpa, nr_blocks);
    } else if (type == 1) {
        answer = unplug(model, gpa, nr_blocks);
    } else if (type == 2) {
        answer = unplug_all(model);
    } else {
        answer = state(model, gpa, nr_blocks, &found);
    }
    model->has_driver = true;
    memset(response, 0, VMEM_DEVICE_RESPONSE_SIZE);
    store(response, answer, 2);
    store(response + 8, found, 2);
    return VMEM_REQUEST_RESPOND;
}

int model_resize(struct device_model *model, uint64_t requested_size)
{
    uint64_t usable;

    if (requested_size % model->block_size != 0) {
        return -EINVAL;
    }
    if (requested_size > model->region_size) {
        return -ERANGE;
    }
    usable = policy_usable(model, requested_size);
    if (usable > model->usable_region_size) {
        model->usable_region_size = usable;
    }
    model->requested_size = requested_size;
    model->busy_by = 0;
    model->nr_config_changed++;
    return 0;
}

int model_reset(struct device_model *model, uint32_t kind)
{
    if (kind < VMEM_RESET_DRIVER || kind > VMEM_RESET_WAKEUP) {
        return -EINVAL;
    }
    model->driver_features = 0;
    model->has_driver = false;
    model->busy_by = 0;
    if (kind != VMEM_RESET_SYSTEM) {
        return 0;
    }
    if (model->nr_freezers > 0) {
        return -EBUSY;
    }
    if (is_kept(model, 0, model->nr_blocks)) {
        return model->keep_code;
    }
    model->nr_size_changed += model_plugged_size(model) > 0;
    unplug_everything(model);
    shrink_usable(model);
    return 0;
}

int model_set_features(struct device_model *model, uint64_t features)
{
    uint64_t mine = 0;

    for (unsigned int bit = 0; bit < 64; bit++) {
        if (bit < 24 || bit >= 50) {
            mine |= features & (uint64_t)1 << bit;
        }
    }
    if ((mine & ~model->features) != 0) {
        return -EPROTO;
    }
    if (model->insists && (mine & VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE) == 0) {
        return -ENOTSUP;
    }
    model->driver_features = mine;
    if (!model->has_driver) {
        model->busy_by = 0;
    }
    model->has_driver = true;
    return 0;
}

void model_keep(struct device_model *model)
{
    for (uint64_t i = 0; i < model->nr_blocks; i++) {
        model->retained[i] = true;
    }
}

/* Would a load meet a veto, or a populate that fails? */
static bool is_load_refused(const struct device_model *model,
                            const bool *plugged)
{
    uint64_t nr_calls = 0;
    bool any = false;

    for (uint64_t i = 0; i < model->nr_blocks; i++) {
        uint64_t end = i;

        while (end < model->nr_blocks && plugged[end] && !model->plugged[end]) {
            end++;
        }
        if (end > i) {
            any = true;
            if (has_vetoer(model)) {
                nr_calls += count_calls(&model->listeners[model->veto_by], true,
                                        i * model->block_size,
                                        (end - i) * model->block_size);
            }
            i = end - 1;
        }
    }
    return (any && model->populates && model->populate_fails) ||
           (has_vetoer(model) && nr_calls >= model->veto_at);
}

/* Does a listener refuse to let go of what a load unplugs? */
static bool is_load_kept(const struct device_model *model, const bool *plugged)
{
    g_autofree bool *going = g_new0(bool, model->nr_blocks + 1);

    for (uint64_t i = 0; i < model->nr_blocks; i++) {
        going[i] = model->plugged[i] && !plugged[i];
    }
    return is_kept_of(model, going, 0, model->nr_blocks);
}

int model_load(struct device_model *model, const struct model_saved *saved)
{
    const uint64_t plugged_size = model_plugged_size(model);

    if (model->nr_freezers > 0) {
        return -EBUSY;
    }
    if (is_load_kept(model, saved->plugged)) {
        return model->keep_code;
    }
    if (is_load_refused(model, saved->plugged)) {
        for (uint64_t i = 0; model->has_memory && i < model->nr_blocks; i++) {
            if (saved->plugged[i] && !model->plugged[i]) {
                model->retained[i] = true;
            }
        }
        return MODEL_REFUSED;
    }
    for (uint64_t i = 0; i < model->nr_blocks; i++) {
        if (saved->plugged[i]) {
            model->retained[i] = false;
        } else if (model->plugged[i] || model->retained[i]) {
            forget_memory(model, i, 1);
        }
        model->plugged[i] = saved->plugged[i];
    }
    model->requested_size = saved->requested_size;
    model->usable_region_size = saved->usable_region_size;
    model->driver_features = saved->driver_features;
    model->has_driver = saved->has_driver;
    model->busy_by = 0;
    model->nr_config_changed++;
    model->nr_size_changed += model_plugged_size(model) != plugged_size;
    return 0;
}

int model_retry(struct device_model *model)
{
    if (model->nr_freezers > 0) {
        return -EBUSY;
    }
    if (model_retained_size(model) > 0 && model->discard_fails) {
        return -EIO;
    }
    memset(model->retained, 0, model->nr_blocks * sizeof(bool));
    return 0;
}

void model_freeze(struct device_model *model)
{
    model->nr_freezers++;
}

void model_thaw(struct device_model *model)
{
    if (--model->nr_freezers == 0) {
        model_kick(model);
    }
}

void model_kick(struct device_model *model)
{
    model->busy_by = 0;
    model->nr_config_changed++;
}

void model_note_answer(struct device_model *model,
                       const struct vmem_request_result *result)
{
    /* Only what might change something says that nobody is in the way. */
    if (result->type > VMEM_REQUEST_UNPLUG_ALL) {
        return;
    }
    model->busy_by = 0;
    if (result->response == VMEM_RESPONSE_BUSY &&
        result->reason == VMEM_REASON_LISTENER_VETO) {
        model->busy_by =
            1 + (result->type == VMEM_REQUEST_PLUG ? model->veto_by
                                                   : model->keep_by);
    }
}

void model_listener_leaves(struct device_model *model, int who)
{
    model->listeners[who].is_there = false;
    if (model->busy_by == 1 + who) {
        model_kick(model);
    }
}
