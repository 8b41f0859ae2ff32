/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_BACKING_OPTION_H
#define VMEMCTL_BACKING_OPTION_H

#include <stdbool.h>

#include "report.h"
#include "rig.h"

/* What --backing means; help/commands.py tells users. */

/* "memfd", "anon", "file:PATH", ... false, with nothing said, if text is none of
 * them. The path points into text. */
bool backing_option_parse(const char *text, struct rig_options *options);

/* The file of a backing is overwritten, so it must be nobody's: made here, or
 * empty. Reports why not. Nothing to do for other backings. */
enum exit_code backing_option_claim(const struct rig_options *options,
                                    struct report *report, bool *made);
void backing_option_release(const struct rig_options *options, bool made);

#endif /* VMEMCTL_BACKING_OPTION_H */
