/* SPDX-License-Identifier: BSD-3-Clause */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include <vmem/version.h>

#include "exit_code.h"
#include "help.h"

int main(int argc, char **argv)
{
    /* Letters only: numbers look the same everywhere. */
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        help_print(stderr);
        return EXIT_CODE_REFUSED;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help_print(stdout);
        return EXIT_CODE_GOOD;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("vmemctl %s\n", vmem_version());
        return EXIT_CODE_GOOD;
    }
    const struct help_command *command = help_find(argv[1]);

    if (command != NULL) {
        return command->run(argc - 1, argv + 1);
    }
    fprintf(stderr, "vmemctl: unknown command \"%s\"; see vmemctl --help\n",
            argv[1]);
    return EXIT_CODE_REFUSED;
}
