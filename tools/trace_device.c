/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <vmem/device.h>

#include "trace_line.h"

/* usable=region, usable=extent:N or usable=unit:N. N is left behind. */
static bool read_policy(const struct trace_line *line,
                        struct trace_device *device, const char **value)
{
    static const struct {
        const char *prefix;
        uint64_t policy;
    } policies[] = {
        { "extent:", VMEM_USABLE_EXTENT },
        { "unit:", VMEM_USABLE_UNIT },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(policies); i++) {
        if (g_str_has_prefix(*value, policies[i].prefix)) {
            *value += strlen(policies[i].prefix);
            device->usable_policy = policies[i].policy;
            return true;
        }
    }
    if (strcmp(*value, "region") == 0) {
        *value = "0";
        device->usable_policy = VMEM_USABLE_ALL;
        return true;
    }
    return trace_line_refuse_word(line, "unknown usable policy", *value);
}

/* The words KEY=VALUE of a device line, in any order, each exactly once. */
static bool read_key(const struct trace_line *line, struct trace_device *device,
                     const char *word, unsigned *seen)
{
    const struct {
        const char *key;
        uint64_t *value;
        uint64_t max;
    } keys[] = {
        { "addr", &device->gpa, UINT64_MAX },
        { "region_size", &device->region_size, UINT64_MAX },
        { "block_size", &device->block_size, UINT64_MAX },
        { "node", &device->node, UINT16_MAX },
        { "requested_size", &device->requested_size, UINT64_MAX },
        { "usable", &device->usable_extent, UINT64_MAX },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        size_t length = strlen(keys[i].key);
        const char *value = word + length + 1;

        if (strncmp(word, keys[i].key, length) != 0 || word[length] != '=') {
            continue;
        }
        if (*seen & 1U << i) {
            return trace_line_refuse(line, "%s= is there twice", keys[i].key);
        }
        *seen |= 1U << i;
        if (strcmp(keys[i].key, "usable") == 0 &&
            !read_policy(line, device, &value)) {
            return false;
        }
        return trace_line_read_number(line, keys[i].key, value, keys[i].max,
                                      keys[i].value);
    }
    return trace_line_refuse_word(line, "unknown word in a device line", word);
}

/* What the specification demands of a device; a host that refuses one of these
 * is then really the host. */
static bool check_device(const struct trace_line *line,
                         const struct trace_device *device)
{
    uint64_t mask = device->block_size - 1;
    uint64_t end;

    if (device->block_size == 0 || (device->block_size & mask) != 0) {
        return trace_line_refuse(line, "block_size is not a power of two");
    }
    if (device->gpa & mask) {
        return trace_line_refuse(line, "addr is not a multiple of block_size");
    }
    if (device->region_size == 0 || device->region_size & mask) {
        return trace_line_refuse(
            line, "region_size is not a positive multiple of block_size");
    }
    if (device->requested_size & mask) {
        return trace_line_refuse(
            line, "requested_size is not a multiple of block_size");
    }
    if (device->requested_size > device->region_size) {
        return trace_line_refuse(line, "requested_size exceeds region_size");
    }
    if (__builtin_add_overflow(device->gpa, device->region_size, &end)) {
        return trace_line_refuse(line, "addr + region_size exceeds 64 bits");
    }
    return true;
}

static bool check_name(const struct trace_line *line, const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    int index;

    if (strlen(name) > VMEM_NAME_MAX || name[strspn(name, letters)] != '\0') {
        return trace_line_refuse_word(line, "not a device name", name);
    }
    if (trace_line_find_device(line->trace, name, &index) != NULL) {
        return trace_line_refuse(line, "device %s is there already", name);
    }
    return true;
}

bool trace_device_read(const struct trace_line *line, char **words,
                       unsigned nr_words)
{
    struct trace_device device = { .line = line->number };
    unsigned seen = 0;

    if (line->trace->records->len > 0) {
        return trace_line_refuse(line, "a device line after the first record");
    }
    if (nr_words != 8) {
        return trace_line_refuse(
            line, "a device line has a name and addr=, region_size=, "
                  "block_size=, node=, requested_size=, usable=");
    }
    if (!check_name(line, words[1])) {
        return false;
    }
    for (unsigned i = 2; i < nr_words; i++) {
        if (!read_key(line, &device, words[i], &seen)) {
            return false;
        }
    }
    if (!check_device(line, &device)) {
        return false;
    }
    device.name = g_strdup(words[1]);
    g_array_append_val(line->trace->devices, device);
    return true;
}

bool trace_device_read_end(const struct trace_line *line, char **words,
                           unsigned nr_words)
{
    static const char key[] = "plugged_size=";
    int index = 0;

    if (nr_words != 3 || !g_str_has_prefix(words[2], key)) {
        return trace_line_refuse(line, "an end line is \"end NAME %sBYTES\"",
                                 key);
    }

    struct trace_device *device =
        trace_line_find_device(line->trace, words[1], &index);

    if (device == NULL) {
        return trace_line_refuse_word(line, "unknown device", words[1]);
    }
    if (device->end_line != 0) {
        return trace_line_refuse(line, "%s has ended in line %u", device->name,
                                 device->end_line);
    }
    device->end_line = line->number;
    return trace_line_read_number(line, "plugged_size", words[2] + strlen(key),
                                  device->region_size,
                                  &device->end_plugged_size);
}
