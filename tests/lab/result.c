/* SPDX-License-Identifier: BSD-3-Clause */
#include "result.h"

#include <stdarg.h>
#include <stdio.h>

static unsigned int nr_failures;

/* In one write, so that nobody's line comes in between. */
__attribute__((format(printf, 2, 0))) static void
print_line(const char *start, const char *format, va_list args)
{
    char text[700];
    vsnprintf(text, sizeof(text), format, args);
    printf("%s%s\n", start, text);
    fflush(stdout);
}

__attribute__((format(printf, 3, 0))) static void
print_result(const char *verdict, const char *name, const char *format,
             va_list args)
{
    char start[80];
    snprintf(start, sizeof(start), "%s %s: ", verdict, name);
    print_line(start, format, args);
}

bool result(bool is_proved, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_result(is_proved ? "PASS" : "FAIL", name, format, args);
    va_end(args);
    nr_failures += !is_proved;
    return is_proved;
}

void result_skip(const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_result("SKIP", name, format, args);
    va_end(args);
}

void result_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("  ", format, args);
    va_end(args);
}

int result_status(void)
{
    return nr_failures > 0;
}
