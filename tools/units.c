/* SPDX-License-Identifier: BSD-3-Clause */
#include "units.h"

#include <inttypes.h>
#include <string.h>

#include <glib.h>

/* One decimal where it is not whole, rounded down, so that 1023.99 MiB never
 * reads as 1024.0 MiB. */
static char *format(uint64_t bytes, unsigned shift, const char *unit)
{
    uint64_t whole = bytes >> shift;
    uint64_t rest = bytes & (((uint64_t)1 << shift) - 1);

    if (rest == 0) {
        return g_strdup_printf("%" PRIu64 " %s", whole, unit);
    }
    /* rest is below 2^60, so ten times it fits. */
    return g_strdup_printf("%" PRIu64 ".%" PRIu64 " %s", whole,
                           rest * 10 >> shift, unit);
}

char *units_format_bytes(uint64_t bytes)
{
    static const char *const names[] = { "B",   "KiB", "MiB", "GiB",
                                         "TiB", "PiB", "EiB" };
    unsigned unit = 0;

    if (bytes == 0) {
        return g_strdup("0");
    }
    while (unit + 1 < G_N_ELEMENTS(names) && bytes >> (10 * (unit + 1)) != 0) {
        unit++;
    }
    return format(bytes, 10 * unit, names[unit]);
}

char *units_format_mib(uint64_t bytes)
{
    return format(bytes, 20, "MiB");
}

static int digit_value(char c, unsigned base)
{
    int value = g_ascii_xdigit_value(c);

    return value >= 0 && (unsigned)value < base ? value : -1;
}

bool units_parse_number(const char *text, uint64_t *value)
{
    unsigned base = 10;
    uint64_t result = 0;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        int digit = digit_value(*text, base);

        if (digit < 0 || __builtin_mul_overflow(result, base, &result) ||
            __builtin_add_overflow(result, (uint64_t)digit, &result)) {
            return false;
        }
    }
    *value = result;
    return true;
}

bool units_parse_size(const char *text, uint64_t *value)
{
    static const char suffixes[] = "KMGTPE";
    size_t length = strlen(text);
    const char *suffix = length > 0 ? strchr(suffixes, text[length - 1]) : NULL;
    g_autofree char *number = NULL;
    uint64_t result = 0;
    uint64_t unit = 1;

    if (suffix != NULL) {
        length--;
        unit <<= 10 * (suffix - suffixes + 1);
    }
    number = g_strndup(text, length);
    if (!units_parse_number(number, &result) ||
        __builtin_mul_overflow(result, unit, &result)) {
        return false;
    }
    *value = result;
    return true;
}
