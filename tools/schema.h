/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_SCHEMA_H
#define VMEMCTL_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include <json-glib/json-glib.h>

/* Strict reading of JSON: the first thing that does not fit is remembered, and
 * everything after it reads as nothing. So a reader asks for all that it needs
 * and looks at schema_failed() once. */
struct schema {
    char *where;  /* such as "vector P01 step 3", or NULL */
    char *reason; /* why the text is refused, or NULL */
    /* The same place in numbers, to find its line. */
    unsigned vector;
    int step; /* -1: not in a step */
};

void schema_clear(struct schema *schema);

/* Says what the members asked for from now on belong to. */
void schema_set_where(struct schema *schema, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

/* Refuses, unless something was refused before. */
void schema_refuse(struct schema *schema, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

bool schema_failed(const struct schema *schema);

/* Members of an object, required unless schema_has() was asked first. After a
 * refusal they may be NULL, 0 or false. */
JsonObject *schema_object(struct schema *schema, JsonObject *object,
                          const char *name);
JsonArray *schema_array(struct schema *schema, JsonObject *object,
                        const char *name);
const char *schema_string(struct schema *schema, JsonObject *object,
                          const char *name);
uint64_t schema_number(struct schema *schema, JsonObject *object,
                       const char *name);
bool schema_bool(struct schema *schema, JsonObject *object, const char *name);
bool schema_optional_bool(struct schema *schema, JsonObject *object,
                          const char *name, bool otherwise);
bool schema_has(struct schema *schema, JsonObject *object, const char *name);
/* A string of hexadecimal digits, as bytes. Free it with
 * g_byte_array_unref(). */
GByteArray *schema_hex(struct schema *schema, JsonObject *object,
                       const char *name);
/* An array of numbers below 64, as a set of bits. */
uint64_t schema_bits(struct schema *schema, JsonObject *object,
                     const char *name);

/* Elements of an array. */
JsonObject *schema_element_object(struct schema *schema, JsonArray *array,
                                  unsigned i);
JsonArray *schema_element_array(struct schema *schema, JsonArray *array,
                                unsigned i);
const char *schema_element_string(struct schema *schema, JsonArray *array,
                                  unsigned i);
uint64_t schema_element_number(struct schema *schema, JsonArray *array,
                               unsigned i);
unsigned schema_length(JsonArray *array);

/* Refuses members whose names are not in a list that ends with NULL. */
void schema_only(struct schema *schema, JsonObject *object,
                 const char *const *names);

#endif /* VMEMCTL_SCHEMA_H */
