/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_DEVICE_RIG_H
#define TESTS_SUPPORT_DEVICE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include <vmem/vmem.h>

/* A machine with one device, everything around it observed: an injected clock,
 * a captured log, memory that counts and fails on request, listeners that keep
 * their own view, notifications that are counted. Public headers only, so that
 * the conformance tests run against the shared library.
 *
 * Callbacks record and never assert; rig_check() and rig_free() do. */

#define RIG_KIB ((uint64_t)1 << 10)
#define RIG_MIB ((uint64_t)1 << 20)
#define RIG_GIB ((uint64_t)1 << 30)

/* The geometry of the vectors: 512 blocks, 128 requested, 256 usable. */
#define RIG_GPA ((uint64_t)0x140000000)
#define RIG_BLOCK (2 * RIG_MIB)
#define RIG_REGION (1 * RIG_GIB)
#define RIG_REQUESTED (256 * RIG_MIB)
#define RIG_USABLE (512 * RIG_MIB)

/* What happened, in order, to whom. */
enum rig_event_kind {
    RIG_POPULATE,       /* a listener's */
    RIG_VETO,           /* a listener's populate that refused */
    RIG_DISCARD,        /* a listener's */
    RIG_KEEP,           /* a listener's may_discard that refused */
    RIG_MEM_POPULATE,   /* the memory's */
    RIG_MEM_DISCARD,    /* the memory's */
    RIG_MEM_ZERO,       /* the memory's */
    RIG_CONFIG_CHANGED, /* notifications */
    RIG_SIZE_CHANGED,
    RIG_RESIZE_CHANGED
};

struct rig_event {
    enum rig_event_kind kind;
    const char *who; /* the listener's name, "memory" or "device" */
    struct vmem_range range;
};

/* One operation of the memory: how often it ran, and when it shall fail. */
struct rig_call {
    uint64_t nr_calls;
    uint64_t bytes;
    int error;        /* negative errno: every call fails with it */
    uint64_t fail_at; /* this one fails with -EIO, counted from 1 as nr_calls */
};

struct rig_memory {
    uint8_t *hva; /* NULL: no real memory */
    uint64_t size;
    struct rig_call discard;
    struct rig_call populate;
    struct rig_call zero;
    uint64_t nr_destroys;
};

struct rig;

struct rig_listener {
    struct rig *rig;
    struct vmem_listener *handle; /* NULL once removed */
    char name[16];
    struct vmem_range window;
    uint64_t granularity;
    bool exact;
    uint8_t *has; /* one byte for each rig->unit of the region */
    uint64_t nr_populates;
    uint64_t nr_discards;
    uint64_t nr_destroys;
    uint64_t fail_at; /* this populate is refused, counted as nr_populates */
    int fail_code;    /* with it; 0: -ENOSPC */
    bool fail_always;
    int keep_code;    /* may_discard returns it */
    uint64_t nr_asks; /* calls of may_discard */
    char broken[128]; /* the first broken promise, or "" */
};

struct rig_log {
    uint32_t level;
    uint32_t blame;
    uint32_t code;
    uint32_t suppressed;
    char object[VMEM_NAME_MAX + 1];
    char message[512];
};

/* What to make; zero is the geometry above without memory. */
struct rig_options {
    uint64_t region_size; /* 0: RIG_REGION; see empty_region */
    bool empty_region;
    bool has_memory;    /* a custom backing */
    bool real_memory;   /* ... of mapped memory */
    bool populates;     /* ... that is populated on plug */
    bool no_zero;       /* ... that cannot be zeroed */
    uint64_t page_size; /* ... 0: 4 KiB */
    bool no_device;     /* the test makes it with rig_make_device() */
    bool quiet;         /* keeps no events: for many operations */
    bool no_ops;        /* no notifications */
    bool exact_config;  /* take config as it is, without RIG_* defaults */
    struct vmem_device_config config; /* 0: the geometry above */
};

struct rig {
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
    struct vmem_device_config config; /* as the device was made */
    struct rig_memory memory;
    uint64_t unit; /* bytes: the device's block size */
    uint64_t now_ns;
    _Atomic uint64_t nr_clock;
    bool clock_ticks; /* every look at the clock is 1 ns after the one before */
    bool quiet;

    GPtrArray *listeners; /* of struct rig_listener, also removed ones */
    GArray *events;       /* of struct rig_event */
    GArray *logs;         /* of struct rig_log */

    uint64_t nr_config_changed;
    uint64_t nr_size_changed;
    uint64_t nr_resize_changed;
    uint64_t told_size;
    struct vmem_resize_status told_status;
    /* Run inside the notifications and the listeners' populate. */
    void (*on_config_changed)(struct rig *rig);
    void (*on_size_changed)(struct rig *rig);
    void (*on_resize_changed)(struct rig *rig);
    void (*on_populate)(struct rig *rig);
    void (*on_discard)(struct rig *rig);
    void *user;

    struct vmem_request_result result; /* of the last request */
    uint16_t state;                    /* in the last response */
};

/* Everything that can be seen of a device, for "nothing changed". */
struct rig_shot {
    uint8_t config[VMEM_DEVICE_CONFIG_SIZE];
    uint32_t generation;
    uint64_t retained_size;
    char *plugged;
    char *views;
    uint64_t nr_config_changed;
    uint64_t nr_size_changed;
};

/* A decoded config space. */
struct rig_config {
    uint64_t block_size;
    uint16_t node_id;
    uint64_t gpa;
    uint64_t region_size;
    uint64_t usable_region_size;
    uint64_t plugged_size;
    uint64_t requested_size;
};

extern const struct vmem_device_ops rig_device_ops;

struct rig *rig_new(const struct rig_options *options);
/* The usual rig: the geometry above on counting memory. */
struct rig *rig_new_default(void);
/* Removes what is left, in order; checks that all promises were kept and that
 * each destroy ran once. */
void rig_free(struct rig *rig);

/* Makes the device that options.no_device left out. */
int rig_make_device(struct rig *rig, const struct vmem_device_config *config,
                    struct vmem_error *err);
void rig_free_device(struct rig *rig);

/* A listener of a window; size 0: all. Asserts success unless expected. */
struct rig_listener *rig_listen(struct rig *rig, const char *name);
struct rig_listener *rig_listen_to(struct rig *rig, const char *name,
                                   struct vmem_range window,
                                   uint64_t granularity, uint64_t flags);
/* Not registered yet. */
struct rig_listener *rig_listener_new(struct rig *rig, const char *name);
int rig_listener_add(struct rig_listener *listener,
                     const struct vmem_listener_config *config,
                     struct vmem_error *err);
void rig_unlisten(struct rig_listener *listener);

/* Requests. Each asserts that there was an answer of ten bytes, zero where the
 * driver must ignore them, and returns the response type. */
void rig_encode(uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE], uint16_t type,
                uint64_t gpa, uint16_t nr_blocks);
uint16_t rig_request(struct rig *rig, uint16_t type, uint64_t gpa,
                     uint16_t nr_blocks);
uint16_t rig_request_bytes(struct rig *rig, const void *request, size_t size);
uint16_t rig_plug(struct rig *rig, uint64_t first_block, uint16_t nr_blocks);
uint16_t rig_unplug(struct rig *rig, uint64_t first_block, uint16_t nr_blocks);
uint16_t rig_unplug_all(struct rig *rig);
/* ACKed; returns the state. */
uint16_t rig_state(struct rig *rig, uint64_t first_block, uint16_t nr_blocks);
/* Asserts that it is malformed for this reason. */
void rig_malformed(struct rig *rig, const void *request, size_t request_size,
                   size_t response_size, uint32_t reason);

/* What is plugged, in blocks: "0+64 70+1". Freed with g_free(). */
char *rig_plugged(struct rig *rig);
void rig_assert_plugged(struct rig *rig, const char *runs);
/* What a listener believes, in blocks of the region. */
char *rig_view(const struct rig_listener *listener);
void rig_assert_view(const struct rig_listener *listener, const char *runs);

struct vmem_device_info rig_info(struct rig *rig);
struct vmem_device_stats rig_stats(struct rig *rig);
struct vmem_resize_status rig_status(struct rig *rig);
struct rig_config rig_config(struct rig *rig);

/* Each listener has exactly the populated state of its window; sizes agree with
 * each other (CFG-03, CFG-05, CFG-06, CFG-08). */
void rig_check(struct rig *rig);

struct rig_shot rig_shot(struct rig *rig);
void rig_assert_same(struct rig *rig, struct rig_shot *shot); /* frees it */

/* Events as text, "populate a 0+1; discard b 3+2", in blocks. */
char *rig_events(struct rig *rig);
void rig_assert_events(struct rig *rig, const char *events);
void rig_clear_events(struct rig *rig);
uint64_t rig_nr_memory_calls(const struct rig *rig);
uint64_t rig_nr_events(const struct rig *rig, enum rig_event_kind kind);

/* How many records of a code were logged, and the last one (or NULL). */
uint64_t rig_nr_logs(struct rig *rig, uint32_t code);
const struct rig_log *rig_last_log(struct rig *rig, uint32_t code);

void rig_resize(struct rig *rig, uint64_t requested_size);
void rig_freeze(struct rig *rig, const char *owner);
void rig_thaw(struct rig *rig, const char *owner);

/* A small random generator (splitmix64): the same numbers everywhere. */
uint64_t rig_random(uint64_t *seed);

/* A failure with this code and reason, whose message holds these words. */
#define rig_assert_error(err, code_, reason_, ...)                             \
    rig_assert_error_words(err, code_, reason_,                                \
                           (const char *const[]){ __VA_ARGS__, NULL })
void rig_assert_error_words(const struct vmem_error *err, int code,
                            uint32_t reason, const char *const *words);

#endif /* TESTS_SUPPORT_DEVICE_RIG_H */
