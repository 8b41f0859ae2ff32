/* SPDX-License-Identifier: BSD-3-Clause */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#define QUIET_US G_USEC_PER_SEC
#define REDRAW_US (G_USEC_PER_SEC / 10)
#define CELLS 24

void progress_start(struct progress *progress, uint64_t total)
{
    *progress = (struct progress){
        .total = total,
        .started_us = g_get_monotonic_time(),
        .enabled = isatty(STDERR_FILENO) != 0,
    };
}

void progress_step(struct progress *progress, const char *what)
{
    int64_t now_us = g_get_monotonic_time();

    progress->done = MIN(progress->done + 1, progress->total);
    if (!progress->enabled || progress->total == 0 ||
        now_us - progress->started_us < QUIET_US ||
        now_us - progress->drawn_us < REDRAW_US) {
        return;
    }

    unsigned full =
        (unsigned)((double)progress->done / (double)progress->total * CELLS);
    unsigned percent =
        (unsigned)((double)progress->done / (double)progress->total * 100);
    char bar[CELLS + 1];

    for (unsigned i = 0; i < CELLS; i++) {
        bar[i] = i < full ? '#' : '.';
    }
    bar[CELLS] = '\0';
    const char *slash = strrchr(what, '/');

    fprintf(stderr, "\r\033[K[%s] %3u%% %.40s", bar, percent,
            slash != NULL ? slash + 1 : what);
    fflush(stderr);
    progress->drawn_us = now_us;
    progress->visible = true;
}

void progress_hide(struct progress *progress)
{
    if (progress->visible) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        progress->visible = false;
        progress->drawn_us = 0;
    }
}
