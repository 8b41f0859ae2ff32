/* SPDX-License-Identifier: BSD-3-Clause */
#include "finding.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

void finding_add(struct finding *finding, const char *format, ...)
{
    va_list args;

    if (finding->message != NULL) {
        return;
    }
    va_start(args, format);
    finding->message = g_strdup_vprintf(format, args);
    va_end(args);
}

void finding_compare(struct finding *finding, const char *what, uint64_t got,
                     uint64_t expected)
{
    if (got != expected) {
        finding_add(finding, "%s is %" PRIu64 ", expected %" PRIu64, what, got,
                    expected);
    }
}

static char *to_hex(const uint8_t *bytes, size_t size)
{
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < size; i++) {
        g_string_append_printf(text, "%02x", bytes[i]);
    }
    return g_string_free(text, FALSE);
}

void finding_compare_bytes(struct finding *finding, const char *what,
                           const uint8_t *got, const uint8_t *expected,
                           size_t size)
{
    if (memcmp(got, expected, size) != 0) {
        g_autofree char *got_text = to_hex(got, size);
        g_autofree char *expected_text = to_hex(expected, size);

        finding_add(finding, "%s is %s, expected %s", what, got_text,
                    expected_text);
    }
}
