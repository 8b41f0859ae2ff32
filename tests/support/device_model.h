/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_DEVICE_MODEL_H
#define TESTS_SUPPORT_DEVICE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmem/device.h>

/* A virtio-mem device written a second time, from the specification and not
 * from the library, as naively as it can be: an array of bools, wide arithmetic,
 * a loop for everything. It is the C twin of the data's vmem_model.py, with the
 * library's policies, retained memory, listeners and failures. */

#define MODEL_MAX_LISTENERS 4

struct model_listener {
    bool is_there;
    uint64_t offset;
    uint64_t size;
    uint64_t granularity; /* 0: whole runs */
    bool exact;           /* is told discard by chunks as well */
};

struct device_model {
    uint64_t gpa;
    uint64_t region_size;
    uint64_t block_size;
    uint64_t requested_size;
    uint64_t usable_region_size;
    uint64_t policy;
    uint64_t n;
    uint64_t features;
    bool insists; /* on UNPLUGGED_INACCESSIBLE */
    uint64_t driver_features;
    bool has_driver;

    uint64_t nr_blocks;
    bool *plugged;
    bool *retained;
    unsigned int nr_freezers;

    bool has_memory;
    bool populates;
    bool discard_fails;
    bool populate_fails;
    bool zero_fails;

    struct model_listener listeners[MODEL_MAX_LISTENERS];
    /* This listener refuses its veto_at-th call, counted from 1, of the next
     * plug. Negative: nobody does. */
    int veto_by;
    uint64_t veto_at;
    /* This listener refuses its keep_at-th question, counted from 1, whether
     * something may be discarded, with this code. Negative: nobody does. */
    int keep_by;
    uint64_t keep_at;
    int keep_code;
    /* Whom the last BUSY names if it is a listener, counted from 1; 0: nobody. */
    int busy_by;

    uint64_t nr_config_changed;
    uint64_t nr_size_changed;
};

/* All sizes are valid. */
void model_init(struct device_model *model,
                const struct vmem_device_config *config, uint64_t region_size);
void model_clear(struct device_model *model);

/* What vmem_device_handle_request() shall return, and the response bytes. */
int model_request(struct device_model *model, const uint8_t *request,
                  size_t size, size_t room,
                  uint8_t response[VMEM_DEVICE_RESPONSE_SIZE]);
int model_resize(struct device_model *model, uint64_t requested_size);
int model_reset(struct device_model *model, uint32_t kind);
int model_set_features(struct device_model *model, uint64_t features);
/* All of that is of a device with this geometry; what is refused for itself is
 * the caller's affair. */
struct model_saved {
    uint64_t requested_size;
    uint64_t usable_region_size;
    uint64_t driver_features;
    bool has_driver;
    const bool *plugged;
};
/* What model_load() returns for a veto of a listener, or of the memory. */
#define MODEL_REFUSED (-1000)
int model_load(struct device_model *model, const struct model_saved *saved);
/* The device was made with KEEP_MEMORY, on memory. */
void model_keep(struct device_model *model);
int model_retry(struct device_model *model);
void model_freeze(struct device_model *model);
void model_thaw(struct device_model *model);
void model_listener_leaves(struct device_model *model, int who);
/* Who the answer to a request says is busy. */
void model_note_answer(struct device_model *model,
                       const struct vmem_request_result *result);
void model_kick(struct device_model *model);

uint64_t model_plugged_size(const struct device_model *model);
uint64_t model_retained_size(const struct device_model *model);
void model_config(const struct device_model *model,
                  uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE]);

#endif /* TESTS_SUPPORT_DEVICE_MODEL_H */
