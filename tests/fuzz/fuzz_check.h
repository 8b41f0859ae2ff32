/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FUZZ_CHECK_H
#define TESTS_FUZZ_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What every fuzz target is made of. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* For the inner loops of naive models: what is looked for is not in there. */
#ifdef __clang__
#define FUZZ_PLAIN                                                             \
    __attribute__((no_sanitize("address", "undefined", "coverage")))
#else
#define FUZZ_PLAIN
#endif

/* What the library did against what it should have done; fuzzers take abort()
 * for a finding. Not inside callbacks that the library is running: note there,
 * check when the call is back. */
#define fuzz_check(condition, ...)                                             \
    do {                                                                       \
        if (__builtin_expect(!(condition), 0)) {                               \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);    \
            fprintf(stderr, __VA_ARGS__);                                      \
            fputc('\n', stderr);                                               \
            abort();                                                           \
        }                                                                      \
    } while (0)

#endif /* TESTS_FUZZ_CHECK_H */
