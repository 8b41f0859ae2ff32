/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_EXIT_CODE_H
#define VMEMCTL_EXIT_CODE_H

/* What vmemctl exits with; --help says the same. When several apply the
 * largest wins. */
enum exit_code {
    EXIT_CODE_GOOD = 0,    /* everything as recorded or expected */
    EXIT_CODE_DIFFERS = 1, /* an answer, an end, or memory is not */
    EXIT_CODE_REFUSED = 2, /* wrong usage, or a malformed file */
    EXIT_CODE_HOST = 3,    /* the host cannot: memory, huge pages, a file */
};

#endif /* VMEMCTL_EXIT_CODE_H */
