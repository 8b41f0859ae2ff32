/* SPDX-License-Identifier: BSD-3-Clause */
#include "vectors_step.h"

#include <string.h>

/* More than any transport hands in at once. */
#define MAX_RESP_SPACE 65536

static void clear_step(void *item)
{
    struct vector_step *step = item;

    g_clear_pointer(&step->bytes, g_byte_array_unref);
    g_clear_pointer(&step->resp, g_byte_array_unref);
    g_clear_pointer(&step->resp_mask, g_byte_array_unref);
    g_clear_pointer(&step->after.plugged, g_array_unref);
}

GArray *vectors_step_new_array(void)
{
    GArray *steps = g_array_new(FALSE, TRUE, sizeof(struct vector_step));

    g_array_set_clear_func(steps, clear_step);
    return steps;
}

GArray *vectors_step_read_runs(struct schema *schema, JsonObject *object,
                               const char *name,
                               const struct vector_device *device)
{
    JsonArray *from = schema_array(schema, object, name);
    GArray *runs = g_array_new(FALSE, TRUE, sizeof(struct vector_run));
    uint64_t nr_blocks =
        device->block_size > 0 ? device->region_size / device->block_size : 0;
    uint64_t end = 0;

    for (unsigned i = 0; i < schema_length(from); i++) {
        JsonArray *pair = schema_element_array(schema, from, i);

        if (schema_length(pair) != 2) {
            schema_refuse(schema, "\"%s\" is not a list of pairs", name);
            break;
        }

        struct vector_run run = {
            .first = schema_element_number(schema, pair, 0),
            .nr_blocks = schema_element_number(schema, pair, 1),
        };

        if (run.nr_blocks == 0 || run.first < end || run.first > nr_blocks ||
            run.nr_blocks > nr_blocks - run.first) {
            schema_refuse(schema,
                          "\"%s\": run %u is empty, out of order, or not in "
                          "the region",
                          name, i);
            break;
        }
        end = run.first + run.nr_blocks;
        g_array_append_val(runs, run);
    }
    return runs;
}

static void read_after(struct schema *schema, JsonObject *object,
                       const struct vector_device *device,
                       struct vector_after *after)
{
    static const char *const names[] = { "plugged",
                                         "plugged_size",
                                         "retained_size",
                                         "usable_region_size",
                                         "requested_size",
                                         "config_notifications",
                                         NULL };
    const struct {
        const char *name;
        uint64_t *value;
        bool *has;
    } numbers[] = {
        { "plugged_size", &after->plugged_size, &after->has_plugged_size },
        { "retained_size", &after->retained_size, &after->has_retained_size },
        { "usable_region_size", &after->usable_region_size,
          &after->has_usable_region_size },
        { "requested_size", &after->requested_size,
          &after->has_requested_size },
        { "config_notifications", &after->config_notifications,
          &after->has_config_notifications },
    };

    if (!schema_has(schema, object, "after")) {
        return;
    }

    JsonObject *from = schema_object(schema, object, "after");

    schema_only(schema, from, names);
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        if (schema_has(schema, from, numbers[i].name)) {
            *numbers[i].has = true;
            *numbers[i].value = schema_number(schema, from, numbers[i].name);
        }
    }
    if (schema_has(schema, from, "plugged")) {
        after->plugged =
            vectors_step_read_runs(schema, from, "plugged", device);
    }
}

static unsigned read_any_of(struct schema *schema, JsonObject *from)
{
    static const struct {
        const char *name;
        unsigned outcome;
    } outcomes[] = {
        { "needs_reset", VECTOR_MAY_NEED_RESET },
        { "len0", VECTOR_MAY_BE_LEN0 },
        { "resp_error", VECTOR_MAY_BE_ERROR },
    };
    JsonArray *array = schema_array(schema, from, "any_of");
    unsigned any_of = 0;

    for (unsigned i = 0; i < schema_length(array); i++) {
        const char *name = schema_element_string(schema, array, i);
        unsigned before = any_of;

        for (unsigned j = 0; j < G_N_ELEMENTS(outcomes); j++) {
            if (g_strcmp0(name, outcomes[j].name) == 0) {
                any_of |= outcomes[j].outcome;
            }
        }
        if (any_of == before) {
            schema_refuse(schema, "\"any_of\": unknown outcome, or twice");
        }
    }
    if (any_of == 0) {
        schema_refuse(schema, "\"any_of\" is empty");
    }
    return any_of;
}

static void read_request(struct schema *schema, JsonObject *from,
                         struct vector_step *step)
{
    static const char *const names[] = { "resp", "resp_mask", "used_len",
                                         "code", "state",     "any_of",
                                         NULL };
    JsonObject *expect = schema_object(schema, from, "expect");

    schema_only(schema, expect, names);
    step->bytes = schema_hex(schema, from, "req");
    step->resp_space = 10;
    if (schema_has(schema, from, "resp_space")) {
        step->resp_space = schema_number(schema, from, "resp_space");
    }
    if (step->resp_space > MAX_RESP_SPACE) {
        schema_refuse(schema, "\"resp_space\" exceeds %d", MAX_RESP_SPACE);
    }
    if (schema_has(schema, expect, "any_of")) {
        step->any_of = read_any_of(schema, expect);
        return;
    }
    step->resp = schema_hex(schema, expect, "resp");
    step->resp_mask = schema_hex(schema, expect, "resp_mask");
    step->used_len = schema_number(schema, expect, "used_len");
    if (step->resp->len != 10 || step->resp_mask->len != 10) {
        schema_refuse(schema, "\"resp\" or \"resp_mask\" is not 10 bytes");
    }
    /* For people; the bytes say it already. */
    if (schema_has(schema, expect, "code")) {
        (void)schema_string(schema, expect, "code");
    }
    if (schema_has(schema, expect, "state")) {
        (void)schema_string(schema, expect, "state");
    }
}

static void read_negotiate(struct schema *schema, JsonObject *from,
                           struct vector_step *step)
{
    static const char *const names[] = { "features_ok", NULL };
    JsonObject *expect = schema_object(schema, from, "expect");

    schema_only(schema, expect, names);
    step->value = schema_bits(schema, from, "features");
    step->flag = schema_bool(schema, expect, "features_ok");
}

static void read_config_read(struct schema *schema, JsonObject *from,
                             struct vector_step *step)
{
    static const char *const names[] = { "data", NULL };
    JsonObject *expect = schema_object(schema, from, "expect");

    schema_only(schema, expect, names);
    step->value = schema_number(schema, from, "off");
    step->bytes = schema_hex(schema, expect, "data");
    if (schema_number(schema, from, "len") != step->bytes->len) {
        schema_refuse(schema, "\"len\" and the length of \"data\" differ");
    }
}

static void read_config_write(struct schema *schema, JsonObject *from,
                              struct vector_step *step)
{
    step->value = schema_number(schema, from, "off");
    step->bytes = schema_hex(schema, from, "data");
}

static void read_size(struct schema *schema, JsonObject *from,
                      struct vector_step *step)
{
    step->value = schema_number(schema, from, "value");
    step->flag = schema_optional_bool(schema, from, "ok", true);
}

static void read_busy(struct schema *schema, JsonObject *from,
                      struct vector_step *step)
{
    step->flag = schema_bool(schema, from, "value");
}

static void read_fail_next(struct schema *schema, JsonObject *from,
                           struct vector_step *step)
{
    const char *what = schema_string(schema, from, "what");

    step->flag = g_strcmp0(what, "populate") == 0;
    if (!step->flag && g_strcmp0(what, "discard") != 0) {
        schema_refuse(schema, "\"what\" is neither \"populate\" nor "
                              "\"discard\"");
    }
}

static void read_nothing(struct schema *schema, JsonObject *from,
                         struct vector_step *step)
{
    (void)schema;
    (void)from;
    (void)step;
}

/* Operations, and the members that they have besides "op" and "after". */
static const struct {
    const char *name;
    enum vector_op op;
    void (*read)(struct schema *schema, JsonObject *from,
                 struct vector_step *step);
    const char *members[6];
} ops[] = {
    { "request",
      VECTOR_REQUEST,
      read_request,
      { "op", "after", "req", "resp_space", "expect" } },
    { "set_requested_size",
      VECTOR_SET_REQUESTED_SIZE,
      read_size,
      { "op", "after", "value", "ok" } },
    { "set_busy", VECTOR_SET_BUSY, read_busy, { "op", "after", "value" } },
    { "fail_next",
      VECTOR_FAIL_NEXT,
      read_fail_next,
      { "op", "after", "what" } },
    { "device_reset", VECTOR_DEVICE_RESET, read_nothing, { "op", "after" } },
    { "system_reset", VECTOR_SYSTEM_RESET, read_nothing, { "op", "after" } },
    { "suspend_resume",
      VECTOR_SUSPEND_RESUME,
      read_nothing,
      { "op", "after" } },
    { "negotiate",
      VECTOR_NEGOTIATE,
      read_negotiate,
      { "op", "after", "features", "expect" } },
    { "config_read",
      VECTOR_CONFIG_READ,
      read_config_read,
      { "op", "after", "off", "len", "expect" } },
    { "config_write",
      VECTOR_CONFIG_WRITE,
      read_config_write,
      { "op", "after", "off", "data" } },
};

void vectors_step_read(struct schema *schema, JsonObject *from,
                       const struct vector_device *device, GArray *steps)
{
    const char *name = schema_string(schema, from, "op");
    struct vector_step step = { 0 };

    for (unsigned i = 0; name != NULL && i < G_N_ELEMENTS(ops); i++) {
        if (strcmp(ops[i].name, name) == 0) {
            step.op = ops[i].op;
            schema_only(schema, from, ops[i].members);
            ops[i].read(schema, from, &step);
            break;
        }
    }
    if (step.op == 0) {
        g_autofree char *escaped = g_strescape(name != NULL ? name : "", NULL);

        schema_refuse(schema, "unknown op \"%.40s\"", escaped);
    }
    read_after(schema, from, device, &step.after);
    g_array_append_val(steps, step);
}
