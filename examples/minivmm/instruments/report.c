/* SPDX-License-Identifier: BSD-3-Clause */
/* What the monitor answers, as text or as one line of JSON. */
#include <inttypes.h>
#include <stdarg.h>

#include "instruments.h"

static void put_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == '"' || c == '\\') {
            fprintf(out, "\\u%04x", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
}

/* Whatever comes before a value. */
static void put_name(struct report *report, const char *name)
{
    if (report->json) {
        if (!report->first) {
            fputs(", ", report->out);
        }
        if (name != NULL) {
            put_string(report->out, name);
            fputs(": ", report->out);
        }
    } else {
        fprintf(report->out, "%*s%s%s", 2 * (int)report->depth, "",
                name != NULL ? name : "-", ":");
    }
    report->first = false;
}

void report_start(struct report *report, FILE *out, bool json)
{
    report->out = out;
    report->json = json;
    report->first = true;
    report->depth = 0;
    if (json) {
        fputc('{', out);
    }
}

void report_finish(struct report *report)
{
    if (report->json) {
        fputs("}\n", report->out);
    }
}

static void open_with(struct report *report, const char *name, char bracket)
{
    put_name(report, name);
    fputc(report->json ? bracket : '\n', report->out);
    report->first = true;
    report->depth++;
}

static void close_with(struct report *report, char bracket)
{
    report->depth--;
    report->first = false;
    if (report->json) {
        fputc(bracket, report->out);
    }
}

void report_open(struct report *report, const char *name)
{
    open_with(report, name, '{');
}

void report_close(struct report *report)
{
    close_with(report, '}');
}

void report_open_list(struct report *report, const char *name)
{
    open_with(report, name, '[');
}

void report_close_list(struct report *report)
{
    close_with(report, ']');
}

void report_number(struct report *report, const char *name, uint64_t number)
{
    put_name(report, name);
    fprintf(report->out, report->json ? "%" PRIu64 : " %" PRIu64 "\n", number);
}

void report_gpa(struct report *report, const char *name, uint64_t gpa)
{
    put_name(report, name);
    fprintf(report->out, report->json ? "%" PRIu64 : " 0x%" PRIx64 "\n", gpa);
}

void report_text(struct report *report, const char *name, const char *text)
{
    put_name(report, name);
    if (report->json) {
        put_string(report->out, text);
    } else {
        fprintf(report->out, " %s\n", text);
    }
}

int report_error(struct report *report, const char *format, ...)
{
    char text[VMEM_ERROR_MESSAGE_SIZE + 64];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    report_text(report, "error", text);
    return -1;
}
