/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_ERRNO_H
#define VMEMI_BASE_ERRNO_H

/* What a negative errno means, for messages: "%s: %s (errno %d)" with this and the
 * number. "unknown error" for any other number. */
const char *vmemi_errno_text(int code);

#endif /* VMEMI_BASE_ERRNO_H */
