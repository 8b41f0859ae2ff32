/* SPDX-License-Identifier: BSD-3-Clause */
#include "schema.h"

#include <stdarg.h>
#include <string.h>

void schema_clear(struct schema *schema)
{
    g_clear_pointer(&schema->where, g_free);
    g_clear_pointer(&schema->reason, g_free);
}

void schema_set_where(struct schema *schema, const char *format, ...)
{
    va_list args;

    g_free(schema->where);
    va_start(args, format);
    schema->where = g_strdup_vprintf(format, args);
    va_end(args);
}

void schema_refuse(struct schema *schema, const char *format, ...)
{
    g_autofree char *reason = NULL;
    va_list args;

    if (schema->reason != NULL) {
        return;
    }
    va_start(args, format);
    reason = g_strdup_vprintf(format, args);
    va_end(args);
    schema->reason = schema->where != NULL
                         ? g_strdup_printf("%s: %s", schema->where, reason)
                         : g_steal_pointer(&reason);
}

bool schema_failed(const struct schema *schema)
{
    return schema->reason != NULL;
}

static JsonNode *find(struct schema *schema, JsonObject *object,
                      const char *name)
{
    JsonNode *node =
        object != NULL ? json_object_get_member(object, name) : NULL;

    if (node == NULL) {
        schema_refuse(schema, "\"%s\" is missing", name);
    }
    return node;
}

/* The five kinds of values; name is only for the message. */

static JsonObject *as_object(struct schema *schema, JsonNode *node,
                             const char *name)
{
    if (node != NULL && JSON_NODE_HOLDS_OBJECT(node)) {
        return json_node_get_object(node);
    }
    schema_refuse(schema, "\"%s\" is not an object", name);
    return NULL;
}

static JsonArray *as_array(struct schema *schema, JsonNode *node,
                           const char *name)
{
    if (node != NULL && JSON_NODE_HOLDS_ARRAY(node)) {
        return json_node_get_array(node);
    }
    schema_refuse(schema, "\"%s\" is not an array", name);
    return NULL;
}

static bool holds(JsonNode *node, GType type)
{
    return node != NULL && JSON_NODE_HOLDS_VALUE(node) &&
           json_node_get_value_type(node) == type;
}

static const char *as_string(struct schema *schema, JsonNode *node,
                             const char *name)
{
    if (holds(node, G_TYPE_STRING)) {
        return json_node_get_string(node);
    }
    schema_refuse(schema, "\"%s\" is not a string", name);
    return NULL;
}

static uint64_t as_number(struct schema *schema, JsonNode *node,
                          const char *name)
{
    if (!holds(node, G_TYPE_INT64)) {
        schema_refuse(schema, "\"%s\" is not an integer", name);
        return 0;
    }
    /* The parser saturates what does not fit, which is thus refused too. */
    if (json_node_get_int(node) < 0 || json_node_get_int(node) == INT64_MAX) {
        schema_refuse(schema, "\"%s\" is negative or exceeds 63 bits", name);
        return 0;
    }
    return (uint64_t)json_node_get_int(node);
}

JsonObject *schema_object(struct schema *schema, JsonObject *object,
                          const char *name)
{
    return as_object(schema, find(schema, object, name), name);
}

JsonArray *schema_array(struct schema *schema, JsonObject *object,
                        const char *name)
{
    return as_array(schema, find(schema, object, name), name);
}

const char *schema_string(struct schema *schema, JsonObject *object,
                          const char *name)
{
    return as_string(schema, find(schema, object, name), name);
}

uint64_t schema_number(struct schema *schema, JsonObject *object,
                       const char *name)
{
    return as_number(schema, find(schema, object, name), name);
}

bool schema_bool(struct schema *schema, JsonObject *object, const char *name)
{
    JsonNode *node = find(schema, object, name);

    if (holds(node, G_TYPE_BOOLEAN)) {
        return json_node_get_boolean(node);
    }
    schema_refuse(schema, "\"%s\" is neither true nor false", name);
    return false;
}

bool schema_has(struct schema *schema, JsonObject *object, const char *name)
{
    return !schema_failed(schema) && object != NULL &&
           json_object_has_member(object, name);
}

bool schema_optional_bool(struct schema *schema, JsonObject *object,
                          const char *name, bool otherwise)
{
    return schema_has(schema, object, name) ? schema_bool(schema, object, name)
                                            : otherwise;
}

GByteArray *schema_hex(struct schema *schema, JsonObject *object,
                       const char *name)
{
    const char *text = schema_string(schema, object, name);
    GByteArray *bytes = g_byte_array_new();

    for (; text != NULL && text[0] != '\0'; text += 2) {
        int high = g_ascii_xdigit_value(text[0]);
        int low = g_ascii_xdigit_value(text[1]);

        if (high < 0 || low < 0) {
            schema_refuse(schema, "\"%s\" is not pairs of hexadecimal digits",
                          name);
            break;
        }
        g_byte_array_append(bytes, &(uint8_t){ (uint8_t)(high << 4 | low) }, 1);
    }
    return bytes;
}

uint64_t schema_bits(struct schema *schema, JsonObject *object,
                     const char *name)
{
    JsonArray *array = schema_array(schema, object, name);
    uint64_t bits = 0;

    for (unsigned i = 0; i < schema_length(array); i++) {
        uint64_t bit = schema_element_number(schema, array, i);

        if (bit > 63) {
            schema_refuse(schema, "\"%s\": there is no bit %" G_GUINT64_FORMAT,
                          name, bit);
            return 0;
        }
        bits |= (uint64_t)1 << bit;
    }
    return bits;
}

static const char element[] = "element of an array";

JsonObject *schema_element_object(struct schema *schema, JsonArray *array,
                                  unsigned i)
{
    return as_object(schema, json_array_get_element(array, i), element);
}

JsonArray *schema_element_array(struct schema *schema, JsonArray *array,
                                unsigned i)
{
    return as_array(schema, json_array_get_element(array, i), element);
}

const char *schema_element_string(struct schema *schema, JsonArray *array,
                                  unsigned i)
{
    return as_string(schema, json_array_get_element(array, i), element);
}

uint64_t schema_element_number(struct schema *schema, JsonArray *array,
                               unsigned i)
{
    return as_number(schema, json_array_get_element(array, i), element);
}

unsigned schema_length(JsonArray *array)
{
    return array != NULL ? json_array_get_length(array) : 0;
}

void schema_only(struct schema *schema, JsonObject *object,
                 const char *const *names)
{
    JsonObjectIter iter;
    const char *name;

    if (object == NULL) {
        return;
    }
    json_object_iter_init(&iter, object);
    while (json_object_iter_next(&iter, &name, NULL)) {
        if (!g_strv_contains(names, name)) {
            g_autofree char *escaped = g_strescape(name, NULL);

            schema_refuse(schema, "unknown member \"%.40s\"", escaped);
        }
    }
}
