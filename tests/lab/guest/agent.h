/* SPDX-License-Identifier: BSD-3-Clause */
/* The first program of the guest that minivmm boots: does what the host's side
 * (host.h) tells it on the serial console, one command a line, and answers each
 * with one line, "@ok ..." or "@fail ...". */
#ifndef TESTS_LAB_GUEST_AGENT_H
#define TESTS_LAB_GUEST_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIB ((uint64_t)1 << 20)

void answer(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "@fail WHAT: the errno's text". */
void answer_errno(const char *what);

/* Whole files. NULL, or bytes with a NUL behind them, to be freed. */
char *read_whole(const char *path, size_t *size);
/* 0 or -1 with errno. */
int write_text(const char *path, const char *text);

/* --- agent_memory.c: memory in use, and whether its contents stay ---------- */

/* fill MIB GPA SIZE NODE: "@ok TOUCHED": bytes of it at these guest addresses. */
void memory_fill(uint64_t mib, uint64_t gpa, uint64_t size, uint64_t node);
/* A page of the fill that lies at these guest addresses, the number-th; NULL if
 * there is none. */
uint8_t *memory_page(uint64_t gpa, uint64_t size, unsigned number,
                     uint64_t *page_gpa);
/* lies GPA SIZE: "@ok BYTES": what of the fill is at these guest addresses now. */
void memory_lies(uint64_t gpa, uint64_t size);
/* Whether a page has what a fill writes; then which page of the fill it is. */
bool memory_is_filled(const void *page, size_t *index);
/* keep MIB: gives back what is beyond. */
void memory_keep(uint64_t mib);
/* check: "@ok BYTES" if every page has what was written. */
void memory_check(void);
/* tmpfs MIB: a file of that size; 0 removes it. */
void memory_tmpfs(uint64_t mib);
/* pin MIB: memory of this program, spliced into pipes, so that it cannot be
 * moved; 0 gives it back. */
void memory_pin(uint64_t mib);

/* --- agent_kernel.c: memory of the kernel's own, and what holds a block ------ */

/* prepare: opens and starts what the others need, so that they take no memory of
 * the kernel where it is looked for. */
void kernel_prepare(void);
/* pipes MIB: kernel memory that cannot be moved, of another process; 0 ends it. */
void kernel_pipes(uint64_t mib);
/* shrink: the kernel's caches give back what nothing in them uses. */
void kernel_shrink(void);
/* held GPA SIZE BLOCK: "@ok PLUGGED UNHELD SLAB TABLES OTHER": of the blocks between
 * these addresses those that are plugged, those of them without a page of the
 * kernel's, and how many of these pages are of which kind. */
void kernel_held(uint64_t gpa, uint64_t size, uint64_t block);

/* --- agent_kexec.c: another kernel ------------------------------------------ */

/* kexec TEXT: starts the kernel again, TEXT on its command line. */
void kexec_start(const char *text);
/* crash: panics into a kernel that finds /proc/vmcore. */
void kexec_crash(void);
/* vmcore MIB: reads all of it; "@ok BYTES FILL": how much it is, and how many bytes
 * of a fill of that size are in it. */
void kexec_read_vmcore(uint64_t mib);

/* --- agent_hostile.c: a driver that breaks the rules ------------------------ */

/* hostile GPA ROUNDS: "@ok ANSWERED BROKEN NEITHER". */
void hostile_run(uint64_t gpa, uint64_t nr_rounds);

/* --- agent_edu.c: a device with DMA ------------------------------------------ */

/* edu REGISTERS GPA SIZE: DMA from one page of the fill through the device into
 * another, both at these addresses; "@ok TARGET". */
void edu_copy(uint64_t registers_gpa, uint64_t gpa, uint64_t size);
/* poke REGISTERS GPA: DMA to wherever that is. */
void edu_poke(uint64_t registers_gpa, uint64_t gpa);

#endif /* TESTS_LAB_GUEST_AGENT_H */
