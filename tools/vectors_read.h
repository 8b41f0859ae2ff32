/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_VECTORS_READ_H
#define VMEMCTL_VECTORS_READ_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

/* Conformance vectors: requests with the answers that they must get. The schema
 * is inside the JSON file; this reader is strict about it, because a check that
 * was misspelt and skipped would look like one that passed. It calls nothing of
 * libvmem. */

enum vector_op {
    VECTOR_REQUEST = 1,
    VECTOR_SET_REQUESTED_SIZE,
    VECTOR_SET_BUSY,
    VECTOR_FAIL_NEXT,
    VECTOR_DEVICE_RESET,
    VECTOR_SYSTEM_RESET,
    VECTOR_SUSPEND_RESUME,
    VECTOR_NEGOTIATE,
    VECTOR_CONFIG_READ,
    VECTOR_CONFIG_WRITE,
};

/* Outcomes of a request that has no response of its own, a set. */
#define VECTOR_MAY_NEED_RESET (1U << 0)
#define VECTOR_MAY_BE_LEN0 (1U << 1)
#define VECTOR_MAY_BE_ERROR (1U << 2)

struct vector_device {
    uint64_t addr;
    uint64_t region_size;
    uint64_t block_size;
    uint64_t requested_size;
    uint64_t node_id;
    uint64_t features; /* offered, as a set */
    uint64_t usable_region_size;
    bool has_usable_region_size;
};

struct vector_policy {
    uint64_t extent;
    bool shrink_on_unplug_all;
    bool require_unplugged_inaccessible;
    bool malformed_is_len0; /* rather than "needs reset" */
};

/* A run of blocks. */
struct vector_run {
    uint64_t first;
    uint64_t nr_blocks;
};

/* What must hold after a step; a member that is absent is not checked. */
struct vector_after {
    GArray *plugged; /* of struct vector_run, or NULL */
    uint64_t plugged_size;
    uint64_t retained_size;
    uint64_t usable_region_size;
    uint64_t requested_size;
    uint64_t config_notifications;
    bool has_plugged_size;
    bool has_retained_size;
    bool has_usable_region_size;
    bool has_requested_size;
    bool has_config_notifications;
};

struct vector_step {
    enum vector_op op;
    GByteArray *bytes;     /* REQUEST, CONFIG_WRITE: to hand in;
                              CONFIG_READ: to expect; else NULL */
    uint64_t resp_space;   /* REQUEST: writable bytes */
    GByteArray *resp;      /* REQUEST: to expect, 10 bytes; NULL: any_of */
    GByteArray *resp_mask; /* the bytes of it that carry meaning */
    uint64_t used_len;     /* REQUEST with resp */
    unsigned any_of;       /* REQUEST without: set of VECTOR_MAY_* */
    uint64_t value;        /* SET_REQUESTED_SIZE: bytes; NEGOTIATE: a set of
                              features; CONFIG_*: the offset */
    bool flag;             /* SET_REQUESTED_SIZE: accepted; SET_BUSY: busy;
                              NEGOTIATE: FEATURES_OK; FAIL_NEXT: populate rather
                              than discard */
    struct vector_after after;
};

struct vector {
    char *id;
    char *title;
    struct vector_device device;
    struct vector_policy policy;
    GArray *initial_plugged; /* of struct vector_run */
    GArray *steps;           /* of struct vector_step */
    bool expect_create_error;
};

struct vectors {
    char *name;    /* of the file, for people */
    GArray *items; /* of struct vector */
};

/* The message is "FILE:LINE: REASON" for what is not JSON, and "FILE: vector ID
 * step N: REASON" for what does not fit the schema. */
#define VECTORS_ERROR (vectors_error_quark())
GQuark vectors_error_quark(void);

enum vectors_error {
    VECTORS_ERROR_MALFORMED = 1,
};

/* Reads text of any bytes, name being used in messages only. Free the result
 * with vectors_free(). */
struct vectors *vectors_parse(const char *name, const char *text, size_t size,
                              GError **error);

/* The same for a file. */
struct vectors *vectors_read(const char *path, GError **error);

/* NULL is allowed. */
void vectors_free(struct vectors *vectors);

#endif /* VMEMCTL_VECTORS_READ_H */
