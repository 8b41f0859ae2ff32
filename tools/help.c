/* SPDX-License-Identifier: BSD-3-Clause */
#include "help.h"

#include <stdio.h>
#include <string.h>

const struct help_command *help_find(const char *name)
{
    for (unsigned i = 0; i < help_nr_commands; i++) {
        if (strcmp(help_commands[i].name, name) == 0) {
            return &help_commands[i];
        }
    }
    return NULL;
}

void help_print(FILE *to)
{
    fprintf(to,
            "Usage: vmemctl COMMAND [OPTION...] [FILE...]\n"
            "\n"
            "%s\n"
            "\n"
            "Commands:\n",
            help_summary);
    for (unsigned i = 0; i < help_nr_commands; i++) {
        fprintf(to, "  %-10s %s\n", help_commands[i].name,
                help_commands[i].brief);
    }
    fprintf(to,
            "\n"
            "vmemctl COMMAND --help says more. vmemctl --version prints the "
            "version.\n"
            "\n"
            "%s",
            help_exit_codes);
}

/* An option and its variable find each other by name; one without the other is a
 * mistake that every run of the command shows. */
static GOptionEntry *bind(const struct help_command *command,
                          const struct command_value *values,
                          unsigned nr_values)
{
    GOptionEntry *entries = g_new0(GOptionEntry, command->nr_options + 1);

    if (nr_values != command->nr_options) {
        g_error("%s has %u options and %u values", command->name,
                command->nr_options, nr_values);
    }
    for (unsigned i = 0; i < command->nr_options; i++) {
        const struct help_option *option = &command->options[i];

        entries[i] = (GOptionEntry){
            .long_name = option->name,
            .short_name = option->letter,
            .arg = option->arg,
            .description = option->text,
            .arg_description = option->value,
        };
        for (unsigned k = 0; k < nr_values; k++) {
            if (strcmp(values[k].option, option->name) == 0) {
                entries[i].arg_data = values[k].where;
            }
        }
        if (entries[i].arg_data == NULL) {
            g_error("%s --%s has no value", command->name, option->name);
        }
    }
    return entries;
}

bool command_parse(const struct command_value *values, unsigned nr_values,
                   int *argc, char ***argv, const char *what)
{
    const struct help_command *command = help_find((*argv)[0]);
    g_autofree GOptionEntry *entries = bind(command, values, nr_values);
    g_autofree char *name = g_strdup_printf("vmemctl %s", command->name);
    g_autoptr(GOptionContext) context =
        g_option_context_new(command->arguments);
    g_autoptr(GError) error = NULL;

    g_set_prgname(name);
    g_option_context_set_summary(context, command->summary);
    g_option_context_set_description(context, command->details);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        fprintf(stderr, "vmemctl: %s\n", error->message);
        return false;
    }
    /* "--" stays when file names start with a dash. */
    if (*argc > 1 && strcmp((*argv)[1], "--") == 0) {
        (*argv)++;
        (*argc)--;
    }
    if (command->arguments == NULL && *argc > 1) {
        fprintf(stderr, "vmemctl: unexpected \"%s\"; see %s --help\n",
                (*argv)[1], name);
        return false;
    }
    if (what != NULL && *argc < 2) {
        fprintf(stderr, "vmemctl: no %s given; see %s --help\n", what, name);
        return false;
    }
    return true;
}
