/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_COMMAND_H
#define VMEMCTL_COMMAND_H

#include <stdbool.h>

#include <glib.h>

/* The subcommands. argv[0] is the subcommand's name; each returns what to exit
 * with, an enum exit_code. */
int command_replay(int argc, char **argv);
int command_sim(int argc, char **argv);
int command_vectors(int argc, char **argv);

/* What every --help ends with. */
extern const char command_exit_codes[];

/* Parses options with GLib; "--help" prints and exits. false after a message on
 * standard error when they are wrong, or when no file is left in argv[1..]; what
 * names such a file, or is NULL where there must be none. */
bool command_parse(GOptionContext *context, int *argc, char ***argv,
                   const char *what);

#endif /* VMEMCTL_COMMAND_H */
