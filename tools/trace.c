/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace.h"

#include <string.h>

#include "trace_line.h"

/* Larger than any real recording by far; a wrong file is refused before it is
 * taken apart. */
#define MAX_FILE_SIZE ((size_t)256 << 20)

#define HEADER "# vmem-trace 1"

G_DEFINE_QUARK(vmemctl - trace - error - quark, trace_error)

static void clear_device(void *item)
{
    struct trace_device *device = item;

    g_free(device->name);
}

static struct trace *trace_new(const char *name)
{
    struct trace *trace = g_new0(struct trace, 1);

    trace->name = g_strdup(name);
    trace->devices = g_array_new(FALSE, TRUE, sizeof(struct trace_device));
    g_array_set_clear_func(trace->devices, clear_device);
    trace->records = g_array_new(FALSE, TRUE, sizeof(struct trace_record));
    return trace;
}

void trace_free(struct trace *trace)
{
    if (trace == NULL) {
        return;
    }
    g_array_unref(trace->devices);
    g_array_unref(trace->records);
    g_free(trace->name);
    g_free(trace);
}

/* One line, NUL-terminated and cut into words in place; a word that starts with
 * # starts a comment. */
static GPtrArray *split_words(char *line)
{
    GPtrArray *words = g_ptr_array_new();
    char *rest = NULL;

    for (;;) {
        char *word = strtok_r(line, " \t", &rest);

        line = NULL;

        if (word == NULL || word[0] == '#') {
            return words;
        }
        g_ptr_array_add(words, word);
    }
}

static bool read_line(struct trace *trace, char *line, size_t length,
                      unsigned number, GError **error)
{
    const struct trace_line here = { trace, number, error };

    if (memchr(line, '\0', length) != NULL) {
        return trace_line_refuse(&here, "a NUL byte: this is not a text file");
    }
    if (number == 1) {
        return strcmp(line, HEADER) == 0 ||
               trace_line_refuse(&here, "the first line is not \"%s\"", HEADER);
    }

    g_autoptr(GPtrArray) words = split_words(line);

    return words->len == 0 ||
           trace_line_read(&here, (char **)words->pdata, words->len);
}

/* What can only be known after the last line. */
static bool check_whole(struct trace *trace, unsigned last_line, GError **error)
{
    const struct trace_line here = { trace, last_line, error };

    if (trace->devices->len == 0) {
        return trace_line_refuse(&here, "no device line");
    }
    for (unsigned i = 0; i < trace->devices->len; i++) {
        const struct trace_device *device = trace_get_device(trace, i);

        if (device->end_line == 0) {
            return trace_line_refuse(&here, "no end line for %s: cut short?",
                                     device->name);
        }
    }
    return true;
}

struct trace *trace_parse(const char *name, const char *text, size_t size,
                          GError **error)
{
    struct trace *trace = trace_new(name);
    unsigned number = 0;
    bool good = true;

    for (size_t start = 0; good && start < size;) {
        const char *newline = memchr(text + start, '\n', size - start);
        size_t end = newline != NULL ? (size_t)(newline - text) : size;
        g_autofree char *line = g_strndup(text + start, end - start);

        memcpy(line, text + start, end - start);
        number++;
        good = read_line(trace, line, end - start, number, error);
        start = end + 1;
    }
    if (good && number == 0) {
        good = trace_line_refuse(&(struct trace_line){ trace, 1, error },
                                 "the file is empty");
    }
    if (!good || !check_whole(trace, number, error)) {
        trace_free(trace);
        return NULL;
    }
    return trace;
}

struct trace *trace_read(const char *path, GError **error)
{
    g_autofree char *name = g_filename_display_name(path);
    g_autofree char *text = NULL;
    g_autoptr(GError) os_error = NULL;
    gsize size = 0;

    if (!g_file_get_contents(path, &text, &size, &os_error)) {
        /* GLib's message names the file already. */
        g_set_error(error, TRACE_ERROR, TRACE_ERROR_MALFORMED, "%s: %s", name,
                    os_error->message);
        return NULL;
    }
    if (size > MAX_FILE_SIZE) {
        g_set_error(error, TRACE_ERROR, TRACE_ERROR_MALFORMED,
                    "%s: larger than 256 MiB", name);
        return NULL;
    }
    return trace_parse(name, text, size, error);
}
