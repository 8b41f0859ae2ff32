/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_ASSERT_H
#define VMEMI_BASE_ASSERT_H

/* For state that only libvmem itself can break. No guest byte, host argument,
 * callback result or system call may reach one; fuzzers and fault tests exist
 * to show that. Always on: going on with broken books would hand one guest the
 * memory of another. */
#define vmemi_assert(condition)                                                \
    do {                                                                       \
        if (__builtin_expect(!(condition), 0)) {                               \
            __builtin_trap();                                                  \
        }                                                                      \
    } while (0)

#endif /* VMEMI_BASE_ASSERT_H */
