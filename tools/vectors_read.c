/* SPDX-License-Identifier: BSD-3-Clause */
#include "vectors_read.h"

#include <string.h>

#include "json_text.h"
#include "schema.h"
#include "vectors_step.h"

/* Larger than any real file by far; a wrong file is refused before it is taken
 * apart. */
#define MAX_FILE_SIZE ((size_t)64 << 20)

G_DEFINE_QUARK(vmemctl - vectors - error - quark, vectors_error)

static void clear_vector(void *item)
{
    struct vector *vector = item;

    g_free(vector->id);
    g_free(vector->title);
    g_clear_pointer(&vector->initial_plugged, g_array_unref);
    g_clear_pointer(&vector->steps, g_array_unref);
}

void vectors_free(struct vectors *vectors)
{
    if (vectors == NULL) {
        return;
    }
    g_array_unref(vectors->items);
    g_free(vectors->name);
    g_free(vectors);
}

static void read_device(struct schema *schema, JsonObject *object,
                        struct vector_device *device)
{
    static const char *const names[] = {
        "addr",    "region_size", "block_size",         "requested_size",
        "node_id", "features",    "usable_region_size", NULL
    };
    JsonObject *from = schema_object(schema, object, "device");

    schema_only(schema, from, names);
    device->addr = schema_number(schema, from, "addr");
    device->region_size = schema_number(schema, from, "region_size");
    device->block_size = schema_number(schema, from, "block_size");
    device->requested_size = schema_number(schema, from, "requested_size");
    device->node_id = schema_number(schema, from, "node_id");
    device->features = schema_bits(schema, from, "features");
    if (schema_has(schema, from, "usable_region_size")) {
        device->has_usable_region_size = true;
        device->usable_region_size =
            schema_number(schema, from, "usable_region_size");
    }
}

/* Freedoms of the specification that libvmem has decided one way. */
static void read_fixed_policy(struct schema *schema, JsonObject *from)
{
    static const struct {
        const char *name;
        bool value;
    } fixed[] = {
        { "error_wins_over_nack", true },
        { "nack_wins_over_busy", true },
        { "unplug_all_empty_ignores_busy", true },
        { "notify_on_same_size", true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(fixed); i++) {
        if (schema_optional_bool(schema, from, fixed[i].name, fixed[i].value) !=
            fixed[i].value) {
            schema_refuse(schema, "policy \"%s\" has one value only: %s",
                          fixed[i].name, fixed[i].value ? "true" : "false");
        }
    }
    if (schema_has(schema, from, "over_request") &&
        schema_number(schema, from, "over_request") != 1) {
        schema_refuse(schema, "policy \"over_request\" has one value only: 1");
    }
    if (schema_has(schema, from, "unknown_type") &&
        g_strcmp0(schema_string(schema, from, "unknown_type"), "needs_reset") !=
            0) {
        schema_refuse(schema, "policy \"unknown_type\" has one value only: "
                              "\"needs_reset\"");
    }
}

static void read_policy(struct schema *schema, JsonObject *object,
                        struct vector_policy *policy)
{
    static const char *const names[] = { "extent",
                                         "zero_when_unrequested",
                                         "shrink_on_unplug_all",
                                         "require_unplugged_inaccessible",
                                         "malformed",
                                         "error_wins_over_nack",
                                         "nack_wins_over_busy",
                                         "unplug_all_empty_ignores_busy",
                                         "notify_on_same_size",
                                         "over_request",
                                         "unknown_type",
                                         NULL };
    JsonObject *from = schema_object(schema, object, "policy");

    schema_only(schema, from, names);
    read_fixed_policy(schema, from);
    if (schema_has(schema, from, "extent")) {
        policy->extent = schema_number(schema, from, "extent");
    }
    (void)schema_optional_bool(schema, from, "zero_when_unrequested", false);
    policy->shrink_on_unplug_all =
        schema_optional_bool(schema, from, "shrink_on_unplug_all", false);
    policy->require_unplugged_inaccessible = schema_optional_bool(
        schema, from, "require_unplugged_inaccessible", false);
    if (schema_has(schema, from, "malformed")) {
        const char *malformed = schema_string(schema, from, "malformed");

        policy->malformed_is_len0 = g_strcmp0(malformed, "len0") == 0;
        if (!policy->malformed_is_len0 &&
            g_strcmp0(malformed, "needs_reset") != 0) {
            schema_refuse(schema, "\"malformed\" is neither \"needs_reset\" "
                                  "nor \"len0\"");
        }
    }
}

static void read_vector(struct schema *schema, JsonObject *from, unsigned i,
                        GArray *items)
{
    struct vector vector = {
        .steps = vectors_step_new_array(),
    };

    schema->vector = i;
    schema->step = -1;
    schema_set_where(schema, "vector number %u", i);
    vector.id = g_strdup(schema_string(schema, from, "id"));
    if (vector.id != NULL) {
        g_autofree char *escaped = g_strescape(vector.id, NULL);

        schema_set_where(schema, "vector %.40s", escaped);
    }
    vector.title = g_strdup(schema_string(schema, from, "title"));
    read_device(schema, from, &vector.device);
    read_policy(schema, from, &vector.policy);
    vector.expect_create_error =
        schema_optional_bool(schema, from, "expect_create_error", false);
    vector.initial_plugged =
        vectors_step_read_runs(schema, from, "initial_plugged", &vector.device);

    JsonArray *steps = schema_array(schema, from, "steps");
    g_autofree char *where = g_strdup(schema->where);

    for (unsigned n = 0; n < schema_length(steps) && !schema_failed(schema);
         n++) {
        schema->step = (int)n;
        schema_set_where(schema, "%s step %u", where, n);
        vectors_step_read(schema, schema_element_object(schema, steps, n),
                          &vector.device, vector.steps);
    }
    g_array_append_val(items, vector);
}

static void read_root(struct schema *schema, JsonNode *root, GArray *items)
{
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        schema_refuse(schema, "not a JSON object");
        return;
    }

    JsonObject *object = json_node_get_object(root);
    const char *format = schema_string(schema, object, "format");

    if (format != NULL && strcmp(format, "libvmem virtio-mem vectors") != 0) {
        schema_refuse(schema, "\"format\" is not \"libvmem virtio-mem "
                              "vectors\"");
    }
    if (schema_number(schema, object, "version") != 1) {
        schema_refuse(schema, "\"version\" is not 1");
    }

    JsonArray *vectors = schema_array(schema, object, "vectors");

    for (unsigned i = 0; i < schema_length(vectors) && !schema_failed(schema);
         i++) {
        read_vector(schema, schema_element_object(schema, vectors, i), i,
                    items);
    }
}

/* json-glib's message starts with "<data>:LINE:COLUMN: "; it has forgotten the
 * line otherwise. */
static const char *split_message(const char *message, unsigned *line)
{
    const char *at = strchr(message, ':');
    char *end = NULL;

    if (at == NULL) {
        return message;
    }
    *line = (unsigned)g_ascii_strtoull(at + 1, &end, 10);
    if (*line == 0 || *end != ':') {
        *line = 1;
        return message;
    }
    at = strchr(end + 1, ':');
    return at != NULL ? at + 1 + strspn(at + 1, " ") : message;
}

struct vectors *vectors_parse(const char *name, const char *text, size_t size,
                              GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) json_error = NULL;
    unsigned line = 1;
    const char *reason = json_text_check(text, size, &line);
    struct schema schema = { .step = -1 };

    if (reason != NULL) {
        g_set_error(error, VECTORS_ERROR, VECTORS_ERROR_MALFORMED, "%s:%u: %s",
                    name, line, reason);
        return NULL;
    }
    if (!json_parser_load_from_data(parser, size > 0 ? text : "", (gssize)size,
                                    &json_error)) {
        /* It quotes the file as it is: line breaks, broken UTF-8, anything. */
        g_autofree char *message =
            g_strescape(split_message(json_error->message, &line), "\"");

        g_set_error(error, VECTORS_ERROR, VECTORS_ERROR_MALFORMED, "%s:%u: %s",
                    name, line, message);
        return NULL;
    }

    struct vectors *vectors = g_new0(struct vectors, 1);

    vectors->name = g_strdup(name);
    vectors->items = g_array_new(FALSE, TRUE, sizeof(struct vector));
    g_array_set_clear_func(vectors->items, clear_vector);
    read_root(&schema, json_parser_get_root(parser), vectors->items);
    if (schema_failed(&schema)) {
        line = schema.where != NULL
                   ? json_text_find_line(text, size, schema.vector, schema.step)
                   : 1;
        g_set_error(error, VECTORS_ERROR, VECTORS_ERROR_MALFORMED, "%s:%u: %s",
                    name, line, schema.reason);
        vectors_free(vectors);
        vectors = NULL;
    }
    schema_clear(&schema);
    return vectors;
}

struct vectors *vectors_read(const char *path, GError **error)
{
    g_autofree char *name = g_filename_display_name(path);
    g_autofree char *text = NULL;
    g_autoptr(GError) os_error = NULL;
    gsize size = 0;

    if (!g_file_get_contents(path, &text, &size, &os_error)) {
        g_set_error(error, VECTORS_ERROR, VECTORS_ERROR_MALFORMED, "%s: %s",
                    name, os_error->message);
        return NULL;
    }
    if (size > MAX_FILE_SIZE) {
        g_set_error(error, VECTORS_ERROR, VECTORS_ERROR_MALFORMED,
                    "%s: larger than 64 MiB", name);
        return NULL;
    }
    return vectors_parse(name, text, size, error);
}
