/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_MODEL_RECORD_SCRIPTS_H
#define TESTS_MODEL_RECORD_SCRIPTS_H

#include <stdbool.h>
#include <stddef.h>

/* Sequences of calls, each for one part of the order. */

struct script {
    const char *name;
    bool populates;
    void (*run)(void);
};

extern const struct script scripts[];
extern const size_t nr_scripts;

#endif /* TESTS_MODEL_RECORD_SCRIPTS_H */
