/* SPDX-License-Identifier: BSD-3-Clause */
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>

#include "result.h"

const char *step_name(const char *step, enum space_kind kind)
{
    static char name[64];
    snprintf(name, sizeof(name), "%s.%s", step, space_kind_name(kind));
    return name;
}

void step_open(struct space *space, struct edu *edu, enum space_kind kind,
               unsigned int device)
{
    if (!space_open(space, kind, device) || !edu_open(edu, space->device_fd)) {
        exit(2);
    }
}

void step_close(struct space *space, struct edu *edu)
{
    edu_close(edu);
    space_close(space);
}

bool step_check(bool is_true, const char *what)
{
    if (!is_true) {
        result_note("not so: %s", what);
    }
    return is_true;
}

bool step_unmaps_runs(enum space_kind kind)
{
    return kind != SPACE_IOMMUFD;
}

bool step_is_filled(const uint8_t *bytes, size_t size, uint8_t byte)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != byte) {
            return false;
        }
    }
    return true;
}

void step_fill(uint8_t *bytes, size_t size, unsigned int seed)
{
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        /* Never 0, which is what discarded memory reads as. */
        bytes[i] = (uint8_t)(state >> 24) | 1;
    }
}
