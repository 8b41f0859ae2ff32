/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FUZZ_STRUCT_CHECK_H
#define TESTS_FUZZ_STRUCT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuzz_input;

/* Public structs, with any struct_size, any bytes, and any tail. What a host
 * fills is compared with the same struct in the size that the library knows; what
 * the library fills must stay inside the bytes that there are. */

#define NR_POINTERS 6

/* A struct that a host fills. */
struct struct_input {
    const void *good; /* as a host would fill it */
    size_t size;
    /* Makes what it describes, and frees it again; what making returned. */
    int (*make)(const void *config);
    bool has_name; /* the first of the pointers */
    /* Offsets of members that are pointers, filled up with 0: struct_size is
     * there. They stay as they are, or become NULL; a name another one. */
    size_t pointers[NR_POINTERS];
    size_t first_size; /* of the first release; 0: the same */
};

/* One that the library fills. */
struct struct_output {
    size_t size;
    int (*get)(void *out);
    size_t first_size; /* of the first release; 0: the same */
    bool changes;      /* from one call to the next, by itself */
};

/* Near the size that is known, or anything. */
size_t struct_take_size(struct fuzz_input *input, size_t known);

/* Not a byte more than it claims to have, but struct_size; the rest is canaries.
 * The caller frees it. */
uint8_t *struct_claim(size_t claimed);

void struct_check_input(struct fuzz_input *input,
                        const struct struct_input *entry);
void struct_check_output(struct fuzz_input *input,
                         const struct struct_output *entry);

/* Every struct_size that can matter, without a fuzzer: a member that was appended
 * shows at once, not when a fuzzer happens to claim the size without it. */
void struct_check_input_sizes(const struct struct_input *entry);
void struct_check_output_sizes(const struct struct_output *entry);

#endif /* TESTS_FUZZ_STRUCT_CHECK_H */
