/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_LAB_STEPS_H
#define TESTS_LAB_STEPS_H

#include "edu.h"
#include "space.h"
#include "world.h"

/* What dma_lab proves, one step each, on the kernel's address space of a kind.
 * Each opens what it needs and leaves nothing behind. */

void step_follow(enum space_kind kind);                  /* a */
void step_transfer(enum space_kind kind);                /* b */
void step_stale(enum space_kind kind);                   /* c */
void step_limit(enum space_kind kind);                   /* d */
void step_failure(enum space_kind kind);                 /* e */
void step_trace(enum space_kind kind, const char *path); /* f */
void step_viommu(enum space_kind kind);                  /* g */
void step_replay(enum space_kind kind);                  /* g, too */

/* "a-follow.type1", valid until the next call. */
const char *step_name(const char *step, enum space_kind kind);

/* An address space with the first or the second edu in it, number 0 or 1; the
 * program ends if there is none. */
void step_open(struct space *space, struct edu *edu, enum space_kind kind,
               unsigned int device);
void step_close(struct space *space, struct edu *edu);

/* Returns is_true; if it is not, notes what should have been. */
bool step_check(bool is_true, const char *what);

/* Does one unmap call stand for many mappings? iommufd unmaps what lies before
 * one that it cannot cut, so the library asks it for each alone. */
bool step_unmaps_runs(enum space_kind kind);

/* Is every byte of it this one? */
bool step_is_filled(const uint8_t *bytes, size_t size, uint8_t byte);
/* Bytes that depend on their place and on the seed. */
void step_fill(uint8_t *bytes, size_t size, unsigned int seed);

#endif /* TESTS_LAB_STEPS_H */
