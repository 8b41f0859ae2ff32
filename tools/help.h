/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_HELP_H
#define VMEMCTL_HELP_H

#include <stdbool.h>

#include <glib.h>

#include "command.h"

/* What help/commands.py says, from which the manual page and the completion are
 * made as well; its tables are written at build time (help/text_c.py). */

struct help_option {
    const char *name;
    char letter; /* 0: none */
    GOptionArg arg;
    const char *text;
    const char *value; /* the name of what it takes; NULL: nothing */
};

struct help_command {
    const char *name;
    const char *brief;
    const char *arguments; /* what comes after the options; NULL: nothing */
    int (*run)(int argc, char **argv);
    const char *summary;
    const char *details;
    const struct help_option *options;
    unsigned nr_options;
};

extern const struct help_command help_commands[];
extern const unsigned help_nr_commands;
extern const char help_summary[];
extern const char help_exit_codes[];

/* NULL: there is none of that name. */
const struct help_command *help_find(const char *name);

/* What "vmemctl --help" prints. */
void help_print(FILE *to);

#endif /* VMEMCTL_HELP_H */
