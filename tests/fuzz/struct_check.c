/* SPDX-License-Identifier: BSD-3-Clause */
#include "struct_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_check.h"
#include "fuzz_input.h"

#define CANARY 0xc3
/* So many bytes that a later library may know, and this one does not. */
#define MORE 16

size_t struct_take_size(struct fuzz_input *input, size_t known)
{
    uint8_t kind = fuzz_u8(input);

    if (kind < 96) {
        return known;
    }
    if (kind < 160) {
        return known + (kind - 96);
    }
    if (kind < 224) {
        return known - (kind - 160) % (known + 1);
    }
    return fuzz_u16(input) % (2 * known + 64);
}

static bool is_pointer(const struct struct_input *entry, size_t at)
{
    for (unsigned p = 0; p < NR_POINTERS && entry->pointers[p] != 0; p++) {
        if (at >= entry->pointers[p] &&
            at < entry->pointers[p] + sizeof(void *)) {
            return true;
        }
    }
    return false;
}

static void set_pointer(uint8_t *bytes, size_t at, const void *value)
{
    memcpy(bytes + at, &value, sizeof(value));
}

/* Some bytes of a struct of known size, and of what follows, become others. */
static void change_bytes(struct fuzz_input *input,
                         const struct struct_input *entry, uint8_t *bytes,
                         size_t size)
{
    static const char long_name[] =
        "a name that is longer than the sixty-three bytes that are allowed";
    uint8_t choice = fuzz_u8(input);

    if (entry->has_name && choice >= 224) {
        set_pointer(bytes, entry->pointers[0],
                    choice & 1   ? long_name
                    : choice & 2 ? ""
                                 : NULL);
    }
    if (choice >= 128 && choice < 192) {
        unsigned p = choice % NR_POINTERS;

        if (entry->pointers[p] != 0 && !(entry->has_name && p == 0)) {
            set_pointer(bytes, entry->pointers[p], NULL);
        }
    }
    for (unsigned n = choice & 7; n > 0 && fuzz_more(input); n--) {
        size_t at = sizeof(size_t) + fuzz_u16(input) % (size - sizeof(size_t));

        if (at < size && !is_pointer(entry, at)) {
            bytes[at] = fuzz_u8(input);
        }
    }
}

/* all has what a host fills, at least as much as it claims and as is known. */
static void check_input_size(const struct struct_input *entry, size_t claimed,
                             uint8_t *all)
{
    const size_t known = entry->size;
    const size_t first = entry->first_size != 0 ? entry->first_size : known;
    /* Not a byte more than it claims to have, but struct_size. */
    size_t given = claimed > sizeof(size_t) ? claimed : sizeof(size_t);
    uint8_t *bytes = malloc(given);
    bool has_tail = false;
    int expected;
    int ret;

    for (size_t at = known; at < claimed; at++) {
        has_tail |= all[at] != 0;
    }
    memcpy(bytes, all, given);
    memcpy(bytes, &claimed, sizeof(claimed));
    memcpy(all, &known, sizeof(known));
    if (claimed >= first && claimed < known) {
        /* What is not given, or half given, counts as zero. */
        size_t whole = claimed - claimed % sizeof(uint64_t);

        whole = whole < first ? first : whole;
        memset(all + whole, 0, known - whole);
    }

    ret = entry->make(bytes);
    if (claimed < first) {
        expected = -EINVAL;
    } else if (has_tail) {
        expected = -E2BIG;
    } else {
        expected = entry->make(all);
    }
    fuzz_check(ret == expected, "%zu of %zu bytes: ret %d, not %d", claimed,
               known, ret, expected);
    free(bytes);
}

/* As a host would fill it, in a size that may be larger; the caller frees it. */
static uint8_t *copy_good(const struct struct_input *entry, size_t size)
{
    uint8_t *all = calloc(1, size > entry->size ? size : entry->size);

    memcpy(all, entry->good, entry->size);
    return all;
}

void struct_check_input(struct fuzz_input *input,
                        const struct struct_input *entry)
{
    size_t claimed = struct_take_size(input, entry->size);
    uint8_t *all = copy_good(entry, claimed);

    change_bytes(input, entry, all,
                 claimed > entry->size ? claimed : entry->size);
    check_input_size(entry, claimed, all);
    free(all);
}

void struct_check_input_sizes(const struct struct_input *entry)
{
    for (size_t claimed = 0; claimed <= entry->size + MORE; claimed++) {
        uint8_t *all = copy_good(entry, claimed);

        check_input_size(entry, claimed, all);
        free(all);
    }
}

uint8_t *struct_claim(size_t claimed)
{
    size_t given = claimed > sizeof(size_t) ? claimed : sizeof(size_t);
    uint8_t *bytes = malloc(given);

    memset(bytes, CANARY, given);
    memcpy(bytes, &claimed, sizeof(claimed));
    return bytes;
}

static bool holds_only(const uint8_t *bytes, size_t size, uint8_t value)
{
    return size == 0 ||
           (bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static void check_output_size(const struct struct_output *entry, size_t claimed)
{
    const size_t known = entry->size;
    const size_t first = entry->first_size != 0 ? entry->first_size : known;
    size_t given = claimed > sizeof(size_t) ? claimed : sizeof(size_t);
    uint8_t *bytes = struct_claim(claimed);
    size_t left;
    int ret;

    ret = entry->get(bytes);
    memcpy(&left, bytes, sizeof(left));
    fuzz_check(left == claimed, "struct_size became %zu", left);
    if (claimed < first) {
        fuzz_check(ret == -EINVAL, "ret %d", ret);
        fuzz_check(
            holds_only(bytes + sizeof(size_t), given - sizeof(size_t), CANARY),
            "written on failure");
    } else {
        uint8_t exact[512];

        memset(exact, CANARY, sizeof(exact));
        memcpy(exact, &known, sizeof(known));
        fuzz_check(ret == 0 && entry->get(exact) == 0, "ret %d", ret);
        fuzz_check(
            memcmp(bytes + sizeof(size_t), exact + sizeof(size_t),
                   (claimed < known ? claimed : known) - sizeof(size_t)) == 0 ||
                entry->changes,
            "another answer for %zu bytes", claimed);
        fuzz_check(claimed < known ||
                       holds_only(bytes + known, claimed - known, 0),
                   "tail");
    }
    free(bytes);
}

void struct_check_output(struct fuzz_input *input,
                         const struct struct_output *entry)
{
    check_output_size(entry, struct_take_size(input, entry->size));
}

void struct_check_output_sizes(const struct struct_output *entry)
{
    for (size_t claimed = 0; claimed <= entry->size + MORE; claimed++) {
        check_output_size(entry, claimed);
    }
}
