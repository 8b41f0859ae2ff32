/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_GUEST_OPTION_H
#define VMEMCTL_GUEST_OPTION_H

#include <stdbool.h>

#include <glib.h>

#include "command.h"
#include "sim_options.h"

/* The options that say what to simulate, which several commands have. */

/* As GLib hands them over; NULL is not given. */
struct guest_texts {
    char *guest;
    char *pattern;
    char *size;
    char *block_size;
    char *memory_block;
    char *resize;
    char **fail;
    gint64 seed;
};

/* For a command's table of variables. */
#define GUEST_OPTION_VALUES(texts)                                             \
    { "guest", &(texts)->guest }, { "pattern", &(texts)->pattern },            \
        { "size", &(texts)->size }, { "block-size", &(texts)->block_size },    \
        { "memory-block", &(texts)->memory_block },                            \
        { "resize", &(texts)->resize }, { "seed", &(texts)->seed },            \
    {                                                                          \
        "fail", &(texts)->fail                                                 \
    }

#define GUEST_TEXTS_INIT                                                       \
    {                                                                          \
        .seed = 1                                                              \
    }

void guest_texts_clear(struct guest_texts *texts);

/* Is any of them given? */
bool guest_texts_is_given(const struct guest_texts *texts);

/* Fills what it says, with defaults for the rest; free it with
 * guest_option_clear(). false and an error when something is wrong. */
bool guest_option_read(const struct guest_texts *texts,
                       struct sim_options *options, GError **error);
void guest_option_clear(struct sim_options *options);

/* "Simulated linux guest, pattern slab, seed 1". Free it with g_free(). */
char *guest_option_describe(const struct sim_options *options);

#endif /* VMEMCTL_GUEST_OPTION_H */
