/* SPDX-License-Identifier: BSD-3-Clause */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include <vmem/version.h>

#include "command.h"
#include "exit_code.h"

const char command_exit_codes[] =
    "Exit codes:\n"
    "  0  everything is as recorded or expected\n"
    "  1  an answer differs, an end does not hold, or memory that should be\n"
    "     gone is resident\n"
    "  2  wrong usage, or a malformed file\n"
    "  3  the host cannot: no memory, no huge pages, no such file system\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    { "replay", command_replay, "replay recorded guest requests" },
    { "sim", command_sim, "let a simulated guest use a device" },
    { "vectors", command_vectors, "run conformance vectors" },
};

static void print_help(FILE *to)
{
    fputs("Usage: vmemctl COMMAND [OPTION...] [FILE...]\n"
          "\n"
          "Exercises libvmem, guest memory that can be given back.\n"
          "\n"
          "Commands:\n",
          to);
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
    }
    fprintf(to,
            "\n"
            "vmemctl COMMAND --help says more. vmemctl --version prints the "
            "version.\n"
            "\n"
            "%s",
            command_exit_codes);
}

bool command_parse(GOptionContext *context, int *argc, char ***argv,
                   const char *what)
{
    g_autofree char *name = g_strdup_printf("vmemctl %s", (*argv)[0]);
    g_autoptr(GError) error = NULL;

    g_set_prgname(name);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        fprintf(stderr, "vmemctl: %s\n", error->message);
        return false;
    }
    /* "--" stays when file names start with a dash. */
    if (*argc > 1 && strcmp((*argv)[1], "--") == 0) {
        (*argv)++;
        (*argc)--;
    }
    if (what == NULL) {
        if (*argc > 1) {
            fprintf(stderr, "vmemctl: unexpected \"%s\"; see %s --help\n",
                    (*argv)[1], name);
        }
        return *argc < 2;
    }
    if (*argc < 2) {
        fprintf(stderr, "vmemctl: no %s given; see %s --help\n", what, name);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    /* Letters only: numbers look the same everywhere. */
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        print_help(stderr);
        return EXIT_CODE_REFUSED;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_CODE_GOOD;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("vmemctl %s\n", vmem_version());
        return EXIT_CODE_GOOD;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "vmemctl: unknown command \"%s\"; see vmemctl --help\n",
            argv[1]);
    return EXIT_CODE_REFUSED;
}
