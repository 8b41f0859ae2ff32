/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_COMMAND_H
#define VMEMCTL_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

#include <glib.h>

/* The subcommands, as help/commands.py lists them. argv[0] is the subcommand's
 * name; each returns what to exit with, an enum exit_code. */
int command_map(int argc, char **argv);
int command_plan(int argc, char **argv);
int command_probe(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_sim(int argc, char **argv);
int command_vectors(int argc, char **argv);

/* The variable of an option, of the type that its kind in help/commands.py asks
 * for: gboolean, char *, char ** or gint64. */
struct command_value {
    const char *option;
    void *where;
};

/* Parses the options of the subcommand argv[0] into all their variables; "--help"
 * prints and exits. false after a message on standard error when they are wrong,
 * or when no file is left in argv[1..] and what, which names such a file, is not
 * NULL. */
bool command_parse(const struct command_value *values, unsigned nr_values,
                   int *argc, char ***argv, const char *what);

#endif /* VMEMCTL_COMMAND_H */
