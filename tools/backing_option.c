/* SPDX-License-Identifier: BSD-3-Clause */
#include "backing_option.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool backing_option_parse(const char *text, struct rig_options *options)
{
    static const enum vmem_backing_kind kinds[] = {
        VMEM_BACKING_MEMFD,
        VMEM_BACKING_ANON,
        VMEM_BACKING_ANON_SHARED,
        VMEM_BACKING_HUGETLB_MEMFD,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(vmem_backing_kind_name(kinds[i]), text) == 0) {
            options->kind = kinds[i];
            return true;
        }
    }
    if (g_str_has_prefix(text, "file:") && text[strlen("file:")] != '\0') {
        options->kind = VMEM_BACKING_FILE;
        options->path = text + strlen("file:");
        return true;
    }
    return false;
}

enum exit_code backing_option_claim(const struct rig_options *options,
                                    struct report *report, bool *made)
{
    const char *path = options->path;
    int fd;
    g_autofree char *message = NULL;
    struct stat status;

    *made = false;
    if (path == NULL) {
        return EXIT_CODE_GOOD;
    }
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    *made = fd >= 0;
    if (fd >= 0) {
        close(fd);
        return EXIT_CODE_GOOD;
    }
    if (errno != EEXIST || stat(path, &status) < 0) {
        message = g_strdup_printf("%s: %s", path, g_strerror(errno));
        report_error(report, message);
        return EXIT_CODE_HOST;
    }
    if (!S_ISREG(status.st_mode) || status.st_size > 0) {
        message =
            g_strdup_printf("%s: is there and is not an empty file", path);
        report_error(report, message);
        return EXIT_CODE_REFUSED;
    }
    return EXIT_CODE_GOOD;
}

void backing_option_release(const struct rig_options *options, bool made)
{
    const char *path = options->path;

    if (path != NULL && (made ? unlink(path) : truncate(path, 0)) < 0) {
        fprintf(stderr, "vmemctl: %s: %s\n", path, g_strerror(errno));
    }
}
