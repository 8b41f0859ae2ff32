/* SPDX-License-Identifier: BSD-3-Clause */
#include "setting.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "support/host_memory.h"

#define SHARED_PATH "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

static char shared_before[24];
static bool is_guarded;

static bool write_shared(const char *word)
{
    const int fd = open(SHARED_PATH, O_WRONLY | O_CLOEXEC);
    const bool written =
        fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word);

    if (fd >= 0) {
        close(fd);
    }
    return written;
}

void setting_restore(void)
{
    if (shared_before[0] != '\0') {
        write_shared(shared_before);
        shared_before[0] = '\0';
    }
    host_pool_give_back();
}

static void restore_and_die(int number)
{
    setting_restore();
    signal(number, SIG_DFL);
    raise(number);
}

static void guard(void)
{
    /* Whatever ends a process and can be caught: a reader of the results that
     * goes away is SIGPIPE. */
    static const int numbers[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGABRT,
                                   SIGBUS,  SIGSEGV, SIGPIPE, SIGALRM, SIGUSR1,
                                   SIGUSR2, SIGFPE,  SIGILL,  SIGXCPU };

    if (is_guarded) {
        return;
    }
    is_guarded = true;
    atexit(setting_restore);
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        signal(numbers[i], restore_and_die);
    }
}

/* "always within_size advise [never] deny force": the word in brackets. */
static bool read_shared(char word[24])
{
    char *text = NULL;
    char *start;
    char *end;

    if (!g_file_get_contents(SHARED_PATH, &text, NULL, NULL)) {
        return false;
    }
    start = strchr(text, '[');
    end = start != NULL ? strchr(start, ']') : NULL;
    if (end != NULL) {
        g_strlcpy(word, start + 1, MIN((size_t)(end - start), (size_t)24));
    }
    g_free(text);
    return end != NULL;
}

const char *setting_shared_huge_pages(void)
{
    char word[24];

    if (!read_shared(word)) {
        return "this kernel has no transparent huge pages of shared memory";
    }
    if (strcmp(word, "never") != 0 && strcmp(word, "deny") != 0) {
        return NULL;
    }
    guard();
    memcpy(shared_before, word, sizeof(word));
    if (!write_shared("advise")) {
        shared_before[0] = '\0';
        return "transparent huge pages of shared memory are switched off, and "
               "only root may switch them on";
    }
    return NULL;
}

const char *setting_huge_page_pool(unsigned int nr_pages)
{
    guard();
    return host_pool_try(nr_pages);
}
