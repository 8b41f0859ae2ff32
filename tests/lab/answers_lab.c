/* SPDX-License-Identifier: BSD-3-Clause */
/* Does the kernel answer as the tables say, which the models are held to? Opens
 * the address space of each kind and lets dma_answers ask. usage: answers_lab
 * type1|type1-v1|compat|iommufd... */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edu.h"
#include "result.h"
#include "space.h"

#define LIMIT 64
#define MEMLOCK_MIB 8
#define NOBODY 65534

#define ASKER "/bin/dma_answers"

/* The asker as another user may pin no more than the limit. */
static void become_nobody(void)
{
    const struct rlimit limit = { MEMLOCK_MIB << 20, MEMLOCK_MIB << 20 };
    if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgid(NOBODY) || setuid(NOBODY)) {
        _exit(3);
    }
}

static void ask(const struct space *space, bool is_limited)
{
    char fd[16];
    char ioas[16];
    char limit[16];
    char memlock[16];
    char table[64];
    const char *interface = space_kind_name(space->kind);
    snprintf(fd, sizeof(fd), "%d", space->fd);
    snprintf(ioas, sizeof(ioas), "%u", space->ioas_id);
    snprintf(limit, sizeof(limit), "%d",
             space->kind == SPACE_TYPE1 ? LIMIT : 0);
    snprintf(memlock, sizeof(memlock), "%d",
             is_limited ? MEMLOCK_MIB << 20 : 0);
    snprintf(table, sizeof(table), "/data/%s.answers", interface);
    fcntl(space->fd, F_SETFD, 0);
    if (is_limited) {
        become_nobody();
    }
    execl(ASKER, ASKER, interface, fd, ioas, limit, memlock, table, NULL);
    _exit(4);
}

/* The last line of what it says is what it found. */
static bool run(const struct space *space, bool is_limited, char *last,
                size_t size)
{
    int ends[2];
    if (pipe(ends)) {
        return false;
    }
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        ask(space, is_limited);
    }
    close(ends[1]);
    FILE *lines = fdopen(ends[0], "r");
    while (lines && fgets(last, (int)size, lines)) {
        last[strcspn(last, "\n")] = '\0';
        result_note("%s", last);
    }
    if (lines) {
        fclose(lines);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void ask_kind(enum space_kind kind, bool is_limited)
{
    char name[64];
    char last[256] = "it said nothing";
    struct space space;
    struct edu edu;
    snprintf(name, sizeof(name), "%s.%s", is_limited ? "memlock" : "answers",
             space_kind_name(kind));
    if (kind == SPACE_TYPE1) {
        space_set_limit(LIMIT);
    }
    const bool is_open =
        space_open(&space, kind, 0) && edu_open(&edu, space.device_fd);
    if (is_open) {
        const bool is_equal = run(&space, is_limited, last, sizeof(last));
        const char *found = strchr(last, ' ');
        result(is_equal, name, "%s", found ? found + 1 : last);
        edu_close(&edu);
    } else {
        result(false, name, "no address space of this kind");
    }
    space_close(&space);
}

int main(int argc, char **argv)
{
    const enum space_kind kinds[] = { SPACE_TYPE1, SPACE_TYPE1_V1, SPACE_COMPAT,
                                      SPACE_IOMMUFD };
    for (int i = 1; i < argc; i++) {
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            if (strcmp(argv[i], space_kind_name(kinds[k])) == 0) {
                ask_kind(kinds[k], false);
                ask_kind(kinds[k], true);
            }
        }
    }
    return result_status();
}
