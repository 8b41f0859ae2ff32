/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace_line.h"

#include <stdarg.h>
#include <string.h>

#include "units.h"

/* Of a word in a message: enough to find it, and no screens full of garbage. */
#define QUOTE_MAX 40

bool trace_line_refuse(const struct trace_line *line, const char *format, ...)
{
    g_autofree char *reason = NULL;
    va_list args;

    va_start(args, format);
    reason = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(line->error, TRACE_ERROR, TRACE_ERROR_MALFORMED, "%s:%u: %s",
                line->trace->name, line->number, reason);
    return false;
}

/* Printable ASCII and short, whatever the word holds. */
static char *quote(const char *word)
{
    g_autofree char *head = g_strndup(word, QUOTE_MAX);
    g_autofree char *escaped = g_strescape(head, NULL);

    return g_strdup_printf("\"%s\"%s", escaped,
                           strlen(word) > QUOTE_MAX ? "..." : "");
}

bool trace_line_refuse_word(const struct trace_line *line, const char *what,
                            const char *word)
{
    g_autofree char *quoted = quote(word);

    return trace_line_refuse(line, "%s: %s", what, quoted);
}

bool trace_line_read_number(const struct trace_line *line, const char *what,
                            const char *word, uint64_t max, uint64_t *value)
{
    if (!units_parse_number(word, value)) {
        g_autofree char *text = g_strdup_printf("%s is not a number", what);

        return trace_line_refuse_word(line, text, word);
    }
    if (*value > max) {
        return trace_line_refuse(line,
                                 "%s is %" G_GUINT64_FORMAT
                                 ", the limit is %" G_GUINT64_FORMAT,
                                 what, *value, max);
    }
    return true;
}

struct trace_device *trace_line_find_device(const struct trace *trace,
                                            const char *name, int *index)
{
    for (unsigned i = 0; i < trace->devices->len; i++) {
        struct trace_device *device =
            &g_array_index(trace->devices, struct trace_device, i);

        if (strcmp(device->name, name) == 0) {
            *index = (int)i;
            return device;
        }
    }
    return NULL;
}

bool trace_line_read(const struct trace_line *line, char **words,
                     unsigned nr_words)
{
    if (strcmp(words[0], "device") == 0) {
        return trace_device_read(line, words, nr_words);
    }
    if (strcmp(words[0], "end") == 0) {
        return trace_device_read_end(line, words, nr_words);
    }
    return trace_record_read(line, words, nr_words);
}
