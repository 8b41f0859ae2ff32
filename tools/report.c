/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <vmem/version.h>

unsigned report_terminal_columns(void)
{
    struct winsize size = { 0 };

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return 80;
}

unsigned report_terminal_rows(void)
{
    struct winsize size = { 0 };

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) {
        return size.ws_row;
    }
    return 24;
}

void report_init(struct report *report, const char *command, bool json,
                 bool verbose)
{
    *report = (struct report){
        .columns = report_terminal_columns(),
        .terminal = isatty(STDOUT_FILENO) != 0,
        .verbose = verbose,
    };
    report->unicode = report->terminal && g_get_charset(NULL);
    if (json) {
        report->json = json_builder_new();
        json_builder_begin_object(report->json);
        report_string(report, "command", command);
        report_string(report, "version", vmem_version());
    }
}

void report_line(struct report *report, const char *format, ...)
{
    va_list args;

    if (report->json != NULL || report->quiet) {
        return;
    }
    progress_hide(&report->progress);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    if (report->terminal) {
        fflush(stdout);
    }
}

void report_error(struct report *report, const char *message)
{
    progress_hide(&report->progress);
    fflush(stdout);
    fprintf(stderr, "vmemctl: %s\n", message);
    report_string(report, "error", message);
}

void report_string(struct report *report, const char *name, const char *value)
{
    if (report->json == NULL) {
        return;
    }
    if (name != NULL) {
        json_builder_set_member_name(report->json, name);
    }
    if (value == NULL) {
        json_builder_add_null_value(report->json);
        return;
    }

    g_autofree char *valid = g_utf8_make_valid(value, -1);

    json_builder_add_string_value(report->json, valid);
}

void report_number(struct report *report, const char *name, uint64_t value)
{
    if (report->json == NULL) {
        return;
    }
    if (name != NULL) {
        json_builder_set_member_name(report->json, name);
    }
    json_builder_add_int_value(report->json, (gint64)MIN(value, INT64_MAX));
}

void report_double(struct report *report, const char *name, double value)
{
    if (report->json != NULL) {
        json_builder_set_member_name(report->json, name);
        json_builder_add_double_value(report->json, value);
    }
}

void report_bool(struct report *report, const char *name, bool value)
{
    if (report->json != NULL) {
        json_builder_set_member_name(report->json, name);
        json_builder_add_boolean_value(report->json, value);
    }
}

void report_open_array(struct report *report, const char *name)
{
    if (report->json != NULL) {
        if (name != NULL) {
            json_builder_set_member_name(report->json, name);
        }
        json_builder_begin_array(report->json);
    }
}

void report_close_array(struct report *report)
{
    if (report->json != NULL) {
        json_builder_end_array(report->json);
    }
}

void report_open_object(struct report *report)
{
    if (report->json != NULL) {
        json_builder_begin_object(report->json);
    }
}

void report_close_object(struct report *report)
{
    if (report->json != NULL) {
        json_builder_end_object(report->json);
    }
}

static void print_json(struct report *report)
{
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) root = NULL;
    g_autofree char *text = NULL;

    json_builder_end_object(report->json);
    root = json_builder_get_root(report->json);
    json_generator_set_root(generator, root);
    json_generator_set_pretty(generator, TRUE);
    text = json_generator_to_data(generator, NULL);
    puts(text);
    g_clear_object(&report->json);
}

int report_finish(struct report *report, enum exit_code code)
{
    progress_hide(&report->progress);
    if (report->json != NULL) {
        report_number(report, "exit_code", code);
        print_json(report);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("vmemctl: cannot write to standard output\n", stderr);
        return EXIT_CODE_HOST;
    }
    return (int)code;
}

void report_log(const struct vmem_log_record *record, void *opaque)
{
    struct report *report = opaque;

    /* A guest that is answered BUSY or ERROR is what traces and vectors are
     * about; a defect of the library is not. */
    if (report->verbose ||
        (record->blame == VMEM_BLAME_VMEM && record->level == VMEM_LOG_ERROR)) {
        progress_hide(&report->progress);
        fprintf(stderr, "%s: %s: %s\n", vmem_blame_name(record->blame),
                record->object, record->message);
    }
}
