/* SPDX-License-Identifier: BSD-3-Clause */
/* --ctl: one command for the monitor of another minivmm, and its answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "instruments.h"

/* Prints all up to the end of the answer; events have none. */
static int print_answer(FILE *in, bool events)
{
    char *line = NULL;
    size_t room = 0;
    int status = -1;

    while ((status < 0 || events) && getline(&line, &room, in) > 0) {
        if (line[0] == '{') {
            status = strncmp(line, "{\"error\": ", 10) == 0 ? 1 : 0;
        } else if (strcmp(line, "ok\n") == 0) {
            status = 0;
            continue;
        } else if (strncmp(line, "error: ", 7) == 0) {
            status = 1;
        }
        fputs(line, status == 1 ? stderr : stdout);
        fflush(stdout);
    }
    free(line);
    return status >= 0 ? status : (complain("the monitor gave no answer"), 1);
}

int monitor_client(const char *path, bool json, int argc, char **argv)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    if (argc == 0) {
        complain("--ctl needs a command; \"help\" lists them");
        return 1;
    }
    if (monitor_address(path, &address) != 0) {
        return 1;
    }
    if (fd < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        complain("no monitor at %s: %s", path, strerror(errno));
        return 1;
    }
    FILE *stream = fdopen(fd, "r+");
    if (stream == NULL) {
        complain("%s", strerror(errno));
        return 1;
    }
    if (json) {
        fputs("--json", stream);
    }
    for (int i = 0; i < argc; i++) {
        fprintf(stream, i > 0 || json ? " %s" : "%s", argv[i]);
    }
    fputc('\n', stream);
    fflush(stream);
    const int status = print_answer(stream, strcmp(argv[0], "events") == 0);
    fclose(stream);
    return status;
}
