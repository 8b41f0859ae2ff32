/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_PICTURE_H
#define VMEMCTL_PICTURE_H

#include <stdbool.h>

#include <glib.h>

#include "history.h"
#include "report.h"

/* A run in one picture: requested, plugged, resident and retained memory over
 * time, and below, for each device, which blocks are plugged. Colours are told
 * apart by colour-blind people, and by their dashes on paper. It needs nothing
 * from outside, and has at most some 1.5 MiB for each device however long the run
 * is. */

struct picture_caption {
    const char *title;    /* such as the trace's name */
    const char *subtitle; /* how it ran */
    const char *clock;    /* whose seconds the axis counts */
};

/* As SVG; free it with g_free(). */
char *picture_draw(const struct history *history,
                   const struct picture_caption *caption);

/* At the end of a run that a picture was asked of: into a file, whole or not at
 * all, unless path is NULL or the run did not get anywhere. Returns code, or
 * EXIT_CODE_HOST after a report. */
enum exit_code picture_save(const struct history *history,
                            const struct picture_caption *caption,
                            const char *path, enum exit_code code,
                            struct report *report);

#endif /* VMEMCTL_PICTURE_H */
