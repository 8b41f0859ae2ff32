/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_BENCH_SETTING_H
#define TESTS_BENCH_SETTING_H

/* Settings of the machine that some memory needs. Only root may change them;
 * whatever ends the program but SIGKILL, they are put back. */

/* Each returns why not, or NULL. Once each. */
const char *setting_shared_huge_pages(void);
const char *setting_huge_page_pool(unsigned int nr_pages);

/* Both as they were. */
void setting_restore(void);

#endif /* TESTS_BENCH_SETTING_H */
