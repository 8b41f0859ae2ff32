/* SPDX-License-Identifier: BSD-3-Clause */
/* The interface of libvmem 0.1, written by scripts/abi-baseline.sh from the
 * headers of that time. Do not edit: what is compiled against it stands for the
 * programs that are out there. */
#ifndef VMEM_FROZEN_0_1_H
#define VMEM_FROZEN_0_1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifndef VMEM_FROZEN_PROTOTYPES_ONLY

struct vmem_range {
    uint64_t offset;
    uint64_t size;
};

struct vmem_vm;
struct vmem_backing;
struct vmem_region;
struct vmem_source;
struct vmem_listener;
struct vmem_device;
struct vmem_discard_claim;
struct vmem_discard_watcher;
struct vmem_bitmap;
#define VMEM_NAME_MAX 63
typedef int (*vmem_range_fn)(const struct vmem_range *range, void *opaque);
enum vmem_reason {
    VMEM_REASON_NONE = 0,
    VMEM_REASON_ARGUMENT = 1,
    VMEM_REASON_STRUCT_SIZE = 2,
    VMEM_REASON_STRUCT_TAIL = 3,
    VMEM_REASON_ALIGNMENT = 4,
    VMEM_REASON_RANGE = 5,
    VMEM_REASON_OVERFLOW = 6,
    VMEM_REASON_NO_MEMORY = 7,
    VMEM_REASON_IN_USE = 8,
    VMEM_REASON_REENTERED = 9,
    VMEM_REASON_FROZEN = 10,
    VMEM_REASON_LISTENER_VETO = 11,
    VMEM_REASON_POPULATE_FAILED = 12,
    VMEM_REASON_DISCARD_FAILED = 13,
    VMEM_REASON_CLAIM_CONFLICT = 14,
    VMEM_REASON_DUPLICATE = 15,
    VMEM_REASON_NOT_FOUND = 16,
    VMEM_REASON_NOT_POPULATED = 17,
    VMEM_REASON_READ_ONLY = 18,
    VMEM_REASON_SEALED = 19,
    VMEM_REASON_UNSUPPORTED = 20,
    VMEM_REASON_MISMATCH = 21,
    VMEM_REASON_OS = 22
};

#define VMEM_ERROR_MESSAGE_SIZE 256
struct vmem_error {
    size_t struct_size;
    int32_t code;
    uint32_t reason;
    struct vmem_range range;
    char message[VMEM_ERROR_MESSAGE_SIZE];
};

#define VMEM_ERROR_INIT                                                        \
    {                                                                          \
        sizeof(struct vmem_error), 0, 0, { 0, 0 },                             \
        {                                                                      \
            0                                                                  \
        }                                                                      \
    }
#define VMEM_LOG_BURST 5
enum vmem_log_level {
    VMEM_LOG_DEBUG = 1,
    VMEM_LOG_INFO = 2,
    VMEM_LOG_WARNING = 3,
    VMEM_LOG_ERROR = 4
};

enum vmem_blame {
    VMEM_BLAME_GUEST = 1,
    VMEM_BLAME_HOST = 2,
    VMEM_BLAME_OS = 3,
    VMEM_BLAME_VMEM = 4
};

enum vmem_log_code {
    VMEM_LOG_CODE_MALFORMED = 1,
    VMEM_LOG_CODE_GUEST_ERROR = 2,
    VMEM_LOG_CODE_BUSY = 3,
    VMEM_LOG_CODE_RETAINED = 4,
    VMEM_LOG_CODE_ZEROED = 5,
    VMEM_LOG_CODE_FEATURES = 6,
    VMEM_LOG_CODE_SMALL_BLOCKS = 7,
    VMEM_LOG_CODE_READ_ALLOCATES = 8,
    VMEM_LOG_CODE_FILE_MODIFIED = 9,
    VMEM_LOG_CODE_CONFIG_WRITE = 10,
    VMEM_LOG_CODE_UNVERIFIED = 11
};

struct vmem_log_record {
    size_t struct_size;
    uint32_t level;
    uint32_t blame;
    uint32_t code;
    uint32_t suppressed;
    const char *object;
    const char *message;
};

typedef void (*vmem_log_fn)(const struct vmem_log_record *record, void *opaque);
typedef uint64_t (*vmem_clock_fn)(void *opaque);
struct vmem_vm_config {
    size_t struct_size;
    const char *name;
    vmem_log_fn log;
    vmem_clock_fn clock_ns;
    void *opaque;
};

#define VMEM_BITMAP_MAX_BLOCKS ((uint64_t)1 << 32)
enum vmem_bitmap_state {
    VMEM_BITMAP_ALL_CLEAR = 0,
    VMEM_BITMAP_ALL_SET = 1,
    VMEM_BITMAP_MIXED = 2
};

struct vmem_bitmap_run {
    uint64_t first_block;
    uint64_t nr_blocks;
};

typedef int (*vmem_bitmap_run_fn)(const struct vmem_bitmap_run *run,
                                  void *opaque);
#define VMEM_BACKING_STEP ((uint64_t)1 << 30)
enum vmem_backing_kind {
    VMEM_BACKING_ANON = 1,
    VMEM_BACKING_ANON_SHARED = 2,
    VMEM_BACKING_MEMFD = 3,
    VMEM_BACKING_FILE = 4,
    VMEM_BACKING_HUGETLB_ANON = 5,
    VMEM_BACKING_HUGETLB_MEMFD = 6,
    VMEM_BACKING_CUSTOM = 7
};

#define VMEM_BACKING_SHARED ((uint64_t)1 << 0)
#define VMEM_BACKING_HAS_FD ((uint64_t)1 << 1)
#define VMEM_BACKING_LOCKED ((uint64_t)1 << 2)
#define VMEM_BACKING_PREFER_REMOVE ((uint64_t)1 << 3)
#define VMEM_BACKING_POPULATE ((uint64_t)1 << 4)
#define VMEM_BACKING_NO_POPULATE ((uint64_t)1 << 5)
#define VMEM_BACKING_USES_PUNCH_HOLE ((uint64_t)1 << 16)
#define VMEM_BACKING_USES_REMOVE ((uint64_t)1 << 17)
#define VMEM_BACKING_USES_DONTNEED ((uint64_t)1 << 18)
#define VMEM_BACKING_USES_DONTNEED_TABLES ((uint64_t)1 << 19)
#define VMEM_BACKING_USES_LOCKED ((uint64_t)1 << 20)
struct vmem_backing_mapping {
    size_t struct_size;
    const char *name;
    void *hva;
    uint64_t size;
    uint64_t fd_offset;
    uint64_t page_size;
    uint64_t flags;
    int32_t fd;
    uint32_t reserved;
};

struct vmem_backing_config {
    size_t struct_size;
    const char *name;
    const char *path;
    uint64_t size;
    uint64_t fd_offset;
    uint64_t page_size;
    uint64_t flags;
    uint32_t kind;
    uint32_t reserved;
};

struct vmem_backing_ops {
    size_t struct_size;

    int (*discard)(const struct vmem_range *range, void *opaque);

    int (*populate)(const struct vmem_range *range, void *opaque);

    int (*zero)(const struct vmem_range *range, void *opaque);

    int (*usage)(const struct vmem_range *range, uint64_t *resident,
                 void *opaque);

    void (*destroy)(void *opaque);
};

struct vmem_backing_custom {
    size_t struct_size;
    const char *name;
    uint64_t size;
    uint64_t page_size;
    uint64_t flags;
};

struct vmem_backing_info {
    size_t struct_size;
    const char *name;
    void *hva;
    uint64_t size;
    uint64_t page_size;
    uint64_t fd_offset;
    uint64_t uses;
    uint64_t flags;
    uint64_t default_block_size;
    uint32_t kind;
    int32_t fd;
};

struct vmem_backing_stats {
    size_t struct_size;
    uint64_t nr_discards;
    uint64_t nr_discard_errors;
    uint64_t discarded_bytes;
    uint64_t nr_populates;
    uint64_t nr_populate_errors;
    uint64_t populated_bytes;
    uint64_t zeroed_bytes;
    uint64_t nr_syscalls;
};

enum vmem_usage_method {
    VMEM_USAGE_PAGEMAP = 1,
    VMEM_USAGE_MINCORE = 2,
    VMEM_USAGE_SEEK_DATA = 3,
    VMEM_USAGE_ST_BLOCKS = 4,
    VMEM_USAGE_CALLBACK = 5
};

struct vmem_backing_usage {
    size_t struct_size;
    uint64_t resident;
    uint32_t method;
    uint32_t reserved;
};

#define VMEM_REGION_MAX_SOURCES 16
struct vmem_region_config {
    size_t struct_size;
    const char *name;
    uint64_t size;
    struct vmem_backing *backing;
};

struct vmem_region_info {
    size_t struct_size;
    const char *name;
    uint64_t size;
    uint64_t min_granularity;
    uint64_t populated_size;
    uint64_t retained_size;
    uint64_t nr_sources;
    uint64_t nr_listeners;
    uint64_t nr_freezers;
    uint64_t nr_populate_calls;
    uint64_t nr_discard_calls;
    uint64_t nr_vetoes;
    uint64_t nr_rollbacks;
};

#define VMEM_SOURCE_DISCARDS ((uint64_t)1 << 0)
#define VMEM_SOURCE_POPULATED ((uint64_t)1 << 1)
struct vmem_source_config {
    size_t struct_size;
    const char *name;
    uint64_t block_size;
    uint64_t flags;
};

struct vmem_source_info {
    size_t struct_size;
    const char *name;
    uint64_t block_size;
    uint64_t populated_size;
    uint64_t retained_size;
    uint64_t flags;
};

#define VMEM_LISTENER_EXACT_DISCARD ((uint64_t)1 << 0)
struct vmem_listener_ops {
    size_t struct_size;

    int (*populate)(const struct vmem_range *range, void *opaque);

    void (*discard)(const struct vmem_range *range, void *opaque);

    void (*destroy)(void *opaque);
};

struct vmem_listener_config {
    size_t struct_size;
    const char *name;
    struct vmem_range window;
    uint64_t granularity;
    uint64_t flags;
};

enum vmem_discard_claim_kind {
    VMEM_CLAIM_FORBID_ALL = 1,
    VMEM_CLAIM_FORBID_UNCOORDINATED = 2,
    VMEM_CLAIM_NEED_UNCOORDINATED = 3,
    VMEM_CLAIM_NEED_COORDINATED = 4
};

#define VMEM_CLAIM_BIT(kind) ((uint32_t)1 << (kind))
typedef void (*vmem_discard_watcher_fn)(uint32_t claims, void *opaque);
#define VMEM_DEVICE_VIRTIO_ID 24
#define VMEM_DEVICE_CONFIG_SIZE 56
#define VMEM_DEVICE_REQUEST_SIZE 24
#define VMEM_DEVICE_RESPONSE_SIZE 10
#define VMEM_DEVICE_F_ACPI_PXM ((uint64_t)1 << 0)
#define VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE ((uint64_t)1 << 1)
#define VMEM_DEVICE_F_PERSISTENT_SUSPEND ((uint64_t)1 << 2)
enum vmem_request_type {
    VMEM_REQUEST_PLUG = 0,
    VMEM_REQUEST_UNPLUG = 1,
    VMEM_REQUEST_UNPLUG_ALL = 2,
    VMEM_REQUEST_STATE = 3
};

enum vmem_response_type {
    VMEM_RESPONSE_ACK = 0,
    VMEM_RESPONSE_NACK = 1,
    VMEM_RESPONSE_BUSY = 2,
    VMEM_RESPONSE_ERROR = 3
};

enum vmem_block_state {
    VMEM_STATE_PLUGGED = 0,
    VMEM_STATE_UNPLUGGED = 1,
    VMEM_STATE_MIXED = 2
};

enum vmem_request_verdict {
    VMEM_REQUEST_RESPOND = 0,
    VMEM_REQUEST_MALFORMED = 1,
    VMEM_REQUEST_PENDING = 2
};

enum vmem_malformed_reason {
    VMEM_MALFORMED_NONE = 0,
    VMEM_MALFORMED_SHORT_REQUEST = 1,
    VMEM_MALFORMED_SHORT_RESPONSE = 2,
    VMEM_MALFORMED_TYPE = 3
};

enum vmem_usable_policy {
    VMEM_USABLE_DEFAULT = 0,
    VMEM_USABLE_ALL = 1,
    VMEM_USABLE_UNIT = 2,
    VMEM_USABLE_EXTENT = 3
};

enum vmem_reset_kind {
    VMEM_RESET_DRIVER = 1,
    VMEM_RESET_SYSTEM = 2,
    VMEM_RESET_WAKEUP = 3
};

enum vmem_resize_state {
    VMEM_RESIZE_IDLE = 0,
    VMEM_RESIZE_GROWING = 1,
    VMEM_RESIZE_SHRINKING = 2,
    VMEM_RESIZE_STALLED = 3
};

enum vmem_resize_stall {
    VMEM_STALL_NONE = 0,
    VMEM_STALL_NO_DRIVER = 1,
    VMEM_STALL_HOST_BUSY = 2,
    VMEM_STALL_GUEST_SILENT = 3,
    VMEM_STALL_GUEST_REFUSED = 4
};

#define VMEM_DEVICE_REQUIRE_INACCESSIBLE ((uint64_t)1 << 24)
#define VMEM_DEVICE_MEASURE_LATENCY ((uint64_t)1 << 25)
#define VMEM_DEVICE_STALL_AFTER_NS ((uint64_t)10000000000)
struct vmem_device_config {
    size_t struct_size;
    const char *name;
    uint64_t gpa;
    uint64_t block_size;
    uint64_t requested_size;
    uint64_t usable_region_size;
    uint64_t usable_policy;
    uint64_t usable_headroom;
    uint64_t features;
    uint64_t flags;
    uint64_t node_id;
    uint64_t stall_after_ns;
};

struct vmem_resize_status {
    size_t struct_size;
    uint64_t requested_size;
    uint64_t plugged_size;
    uint64_t requested_ns;
    uint64_t last_progress_ns;
    uint32_t state;
    uint32_t reason;
    uint32_t busy_reason;
    int32_t busy_errno;
    char busy_by[VMEM_NAME_MAX + 1];
};

enum vmem_trace_kind {
    VMEM_TRACE_REQUEST = 1,
    VMEM_TRACE_RESIZE = 2,
    VMEM_TRACE_RESET = 3,
    VMEM_TRACE_FREEZE = 4
};

struct vmem_trace_event {
    size_t struct_size;
    uint64_t sequence;
    uint64_t time_ns;
    uint64_t gpa;
    uint64_t size;
    uint32_t kind;
    uint32_t type;
    uint32_t nr_blocks;
    uint32_t response;
    uint32_t state;
    uint32_t reason;
    uint32_t frozen;
    int32_t code;
};

struct vmem_device_ops {
    size_t struct_size;

    void (*config_changed)(void *opaque);

    void (*size_changed)(uint64_t plugged_size, void *opaque);

    void (*resize_changed)(const struct vmem_resize_status *status,
                           void *opaque);

    void (*trace)(const struct vmem_trace_event *event, void *opaque);
};

struct vmem_device_info {
    size_t struct_size;
    const char *name;
    struct vmem_region *region;
    uint64_t gpa;
    uint64_t region_size;
    uint64_t block_size;
    uint64_t requested_size;
    uint64_t plugged_size;
    uint64_t usable_region_size;
    uint64_t retained_size;
    uint64_t features;
    uint64_t driver_features;
    uint64_t node_id;
    uint64_t config_generation;
    uint64_t has_driver;
};

struct vmem_device_stats {
    size_t struct_size;
    uint64_t nr_requests[4][4];
    uint64_t nr_malformed[8];
    uint64_t plugged_bytes;
    uint64_t unplugged_bytes;
    uint64_t nr_config_writes;
    uint64_t nr_features_refused;
    uint64_t nr_resizes;
    uint64_t nr_resets[4];
    uint64_t latency_total_ns[4];
    uint64_t latency_max_ns[4];
};

struct vmem_request_result {
    size_t struct_size;
    size_t used_size;
    uint32_t type;
    uint32_t response;
    uint32_t malformed;
    uint32_t reason;
};

#endif /* VMEM_FROZEN_PROTOTYPES_ONLY */

const char *vmem_reason_name(uint32_t reason);
const char *vmem_blame_name(uint32_t blame);
int vmem_vm_new(const struct vmem_vm_config *config, struct vmem_vm **out,
                struct vmem_error *err);
int vmem_vm_free(struct vmem_vm *vm, struct vmem_error *err);
const char *vmem_vm_get_name(const struct vmem_vm *vm);
int vmem_vm_for_each_region(struct vmem_vm *vm,
                            int (*fn)(struct vmem_region *region, void *opaque),
                            void *opaque);
int vmem_vm_for_each_device(struct vmem_vm *vm,
                            int (*fn)(struct vmem_device *device, void *opaque),
                            void *opaque);
int vmem_bitmap_new(uint64_t nr_blocks, struct vmem_bitmap **out);
void vmem_bitmap_free(struct vmem_bitmap *bitmap);
uint64_t vmem_bitmap_get_nr_blocks(const struct vmem_bitmap *bitmap);
uint64_t vmem_bitmap_get_nr_set(const struct vmem_bitmap *bitmap);
int vmem_bitmap_set(struct vmem_bitmap *bitmap, uint64_t first_block,
                    uint64_t nr_blocks, uint64_t *nr_changed);
int vmem_bitmap_clear(struct vmem_bitmap *bitmap, uint64_t first_block,
                      uint64_t nr_blocks, uint64_t *nr_changed);
bool vmem_bitmap_is_set(const struct vmem_bitmap *bitmap, uint64_t block);
uint32_t vmem_bitmap_get_state(const struct vmem_bitmap *bitmap,
                               uint64_t first_block, uint64_t nr_blocks);
uint64_t vmem_bitmap_count(const struct vmem_bitmap *bitmap,
                           uint64_t first_block, uint64_t nr_blocks);
uint64_t vmem_bitmap_next_set(const struct vmem_bitmap *bitmap,
                              uint64_t first_block, uint64_t end_block);
uint64_t vmem_bitmap_next_clear(const struct vmem_bitmap *bitmap,
                                uint64_t first_block, uint64_t end_block);
int vmem_bitmap_for_each_set(const struct vmem_bitmap *bitmap,
                             uint64_t first_block, uint64_t nr_blocks,
                             vmem_bitmap_run_fn fn, void *opaque);
int vmem_bitmap_for_each_clear(const struct vmem_bitmap *bitmap,
                               uint64_t first_block, uint64_t nr_blocks,
                               vmem_bitmap_run_fn fn, void *opaque);
int vmem_bitmap_copy_out(const struct vmem_bitmap *bitmap, uint64_t first_block,
                         uint64_t nr_blocks, uint64_t *words);
int vmem_backing_new_mapped(struct vmem_vm *vm,
                            const struct vmem_backing_mapping *mapping,
                            struct vmem_backing **out, struct vmem_error *err);
int vmem_backing_new_allocated(struct vmem_vm *vm,
                               const struct vmem_backing_config *config,
                               struct vmem_backing **out,
                               struct vmem_error *err);
int vmem_backing_new_custom(struct vmem_vm *vm,
                            const struct vmem_backing_custom *custom,
                            const struct vmem_backing_ops *ops, void *opaque,
                            struct vmem_backing **out, struct vmem_error *err);
int vmem_backing_free(struct vmem_backing *backing, struct vmem_error *err);
int vmem_backing_get_info(const struct vmem_backing *backing,
                          struct vmem_backing_info *info);
int vmem_backing_get_stats(const struct vmem_backing *backing,
                           struct vmem_backing_stats *stats);
int vmem_backing_get_usage(struct vmem_backing *backing,
                           const struct vmem_range *range,
                           struct vmem_backing_usage *usage,
                           struct vmem_error *err);
int vmem_backing_discard(struct vmem_backing *backing,
                         const struct vmem_range *range,
                         struct vmem_error *err);
int vmem_backing_populate(struct vmem_backing *backing,
                          const struct vmem_range *range,
                          struct vmem_error *err);
int vmem_region_new(struct vmem_vm *vm, const struct vmem_region_config *config,
                    struct vmem_region **out, struct vmem_error *err);
int vmem_region_free(struct vmem_region *region, struct vmem_error *err);
const char *vmem_region_get_name(const struct vmem_region *region);
uint64_t vmem_region_get_size(const struct vmem_region *region);
struct vmem_backing *vmem_region_get_backing(const struct vmem_region *region);
int vmem_region_get_info(const struct vmem_region *region,
                         struct vmem_region_info *info);
bool vmem_region_is_populated(const struct vmem_region *region,
                              const struct vmem_range *range);
int vmem_region_for_each_populated(struct vmem_region *region,
                                   const struct vmem_range *window,
                                   vmem_range_fn fn, void *opaque);
int vmem_region_for_each_discarded(struct vmem_region *region,
                                   const struct vmem_range *window,
                                   vmem_range_fn fn, void *opaque);
int vmem_region_get_page_bitmap(struct vmem_region *region,
                                const struct vmem_range *window,
                                uint64_t page_size, uint64_t *words);
int vmem_region_with_populated(struct vmem_region *region,
                               const struct vmem_range *range, vmem_range_fn fn,
                               void *opaque, struct vmem_error *err);
int vmem_region_retry_discards(struct vmem_region *region,
                               struct vmem_error *err);
int vmem_region_freeze(struct vmem_region *region, const char *owner,
                       struct vmem_error *err);
int vmem_region_thaw(struct vmem_region *region, const char *owner,
                     struct vmem_error *err);
bool vmem_region_is_frozen(const struct vmem_region *region);
int vmem_source_add(struct vmem_region *region,
                    const struct vmem_source_config *config,
                    struct vmem_source **out, struct vmem_error *err);
int vmem_source_remove(struct vmem_source *source, struct vmem_error *err);
int vmem_source_populate(struct vmem_source *source,
                         const struct vmem_range *range,
                         struct vmem_error *err);
int vmem_source_discard(struct vmem_source *source,
                        const struct vmem_range *range, struct vmem_error *err);
int vmem_source_get_info(const struct vmem_source *source,
                         struct vmem_source_info *info);
int vmem_listener_add(struct vmem_region *region,
                      const struct vmem_listener_config *config,
                      const struct vmem_listener_ops *ops, void *opaque,
                      struct vmem_listener **out, struct vmem_error *err);
int vmem_listener_remove(struct vmem_listener *listener,
                         struct vmem_error *err);
int vmem_discard_claim_take(struct vmem_vm *vm, uint32_t kind,
                            const char *owner, struct vmem_discard_claim **out,
                            struct vmem_error *err);
int vmem_discard_claim_release(struct vmem_discard_claim *claim,
                               struct vmem_error *err);
uint32_t vmem_vm_get_claims(const struct vmem_vm *vm);
bool vmem_vm_is_uncoordinated_forbidden(const struct vmem_vm *vm);
bool vmem_vm_is_discard_needed(const struct vmem_vm *vm);
int vmem_vm_for_each_claim(struct vmem_vm *vm,
                           int (*fn)(uint32_t kind, const char *owner,
                                     void *opaque),
                           void *opaque);
int vmem_discard_watcher_add(struct vmem_vm *vm, vmem_discard_watcher_fn fn,
                             void *opaque, struct vmem_discard_watcher **out,
                             struct vmem_error *err);
int vmem_discard_watcher_remove(struct vmem_discard_watcher *watcher,
                                struct vmem_error *err);
int vmem_device_new(struct vmem_region *region,
                    const struct vmem_device_config *config,
                    const struct vmem_device_ops *ops, void *opaque,
                    struct vmem_device **out, struct vmem_error *err);
int vmem_device_free(struct vmem_device *device, struct vmem_error *err);
int vmem_device_check_removable(const struct vmem_device *device,
                                struct vmem_error *err);
int vmem_device_read_config(const struct vmem_device *device, size_t offset,
                            void *dst, size_t size);
int vmem_device_write_config(struct vmem_device *device, size_t offset,
                             const void *src, size_t size);
uint32_t vmem_device_get_config_generation(const struct vmem_device *device);
uint64_t vmem_device_get_features(const struct vmem_device *device);
int vmem_device_set_driver_features(struct vmem_device *device,
                                    uint64_t features);
int vmem_device_handle_request(struct vmem_device *device, const void *request,
                               size_t request_size, void *response,
                               size_t response_size,
                               struct vmem_request_result *result);
int vmem_device_handle_request_iov(struct vmem_device *device,
                                   const struct iovec *readable,
                                   size_t nr_readable,
                                   const struct iovec *writable,
                                   size_t nr_writable,
                                   struct vmem_request_result *result);
int vmem_device_resize(struct vmem_device *device, uint64_t requested_size,
                       struct vmem_error *err);
int vmem_device_notify_config(struct vmem_device *device);
int vmem_device_reset(struct vmem_device *device, uint32_t kind,
                      struct vmem_error *err);
int vmem_device_get_info(const struct vmem_device *device,
                         struct vmem_device_info *info);
int vmem_device_get_stats(const struct vmem_device *device,
                          struct vmem_device_stats *stats);
int vmem_device_get_resize_status(const struct vmem_device *device,
                                  struct vmem_resize_status *status);
int vmem_device_poll_resize(struct vmem_device *device);
const char *vmem_version(void);

#endif /* VMEM_FROZEN_0_1_H */
