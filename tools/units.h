/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_UNITS_H
#define VMEMCTL_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes for people: "0", "512 MiB", "1.5 GiB", "10 B". The largest unit that
 * keeps the number at or above 1, with one decimal where it is not whole. Free
 * it with g_free(). */
char *units_format_bytes(uint64_t bytes);

/* The same always in MiB: "512 MiB", "0.5 MiB". */
char *units_format_mib(uint64_t bytes);

/* Strict decimal, or hexadecimal with 0x; no sign, no space, no suffix, at most
 * UINT64_MAX. Leaves *value alone and returns false otherwise. */
bool units_parse_number(const char *text, uint64_t *value);

/* The same with an optional suffix K, M, G or T. */
bool units_parse_size(const char *text, uint64_t *value);

#endif /* VMEMCTL_UNITS_H */
