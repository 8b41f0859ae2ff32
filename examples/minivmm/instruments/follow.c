/* SPDX-License-Identifier: BSD-3-Clause */
/* What the monitor attaches to a device while the guest runs: a listener that
 * records what it is told, one that refuses memory, and a mapper whose mappings
 * are limited. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "instruments.h"

#define MAX_RECORDS 4096

struct record {
    uint64_t time_ns;
    struct vmem_range range;
    bool populate;
};

/* Of each piece of memory, in the order of the machine's. */
static struct followers {
    struct vmem_listener *recorder;
    struct vmem_listener *veto;
    struct vmem_dma *dma;
    struct vmem_dma_attachment *attachment;
    bool veto_armed; /* from here on under the lock */
    uint64_t nr_vetoes;
    struct record records[MAX_RECORDS]; /* a ring */
    uint64_t nr_records;
    uint64_t recorded_size;
    uint64_t mapped_size;
} all_followers[MAX_MEMORIES];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */

static struct followers *followers_of(const struct memory *memory)
{
    return &all_followers[memory - memory->vm->memories];
}

//! [recorder]
static void record(struct followers *followers, const struct vmem_range *range,
                   bool populate)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&lock);
    followers->records[followers->nr_records++ % MAX_RECORDS] =
        (struct record){ .time_ns = (uint64_t)now.tv_sec * 1000000000 +
                                    (uint64_t)now.tv_nsec,
                         .range = *range,
                         .populate = populate };
    followers->recorded_size += populate ? range->size : 0 - range->size;
    pthread_mutex_unlock(&lock);
}

static int record_populate(const struct vmem_range *range, void *opaque)
{
    record(opaque, range, true);
    return 0;
}

static void record_discard(const struct vmem_range *range, void *opaque)
{
    record(opaque, range, false);
}
//! [recorder]

//! [veto]
/* It must accept what is there already, or it could not join. */
static int veto_populate(const struct vmem_range *range, void *opaque)
{
    struct followers *followers = opaque;

    (void)range;
    pthread_mutex_lock(&lock);
    const bool armed = followers->veto_armed;
    followers->nr_vetoes += armed;
    pthread_mutex_unlock(&lock);
    return armed ? -EPERM : 0;
}
//! [veto]

static void veto_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
}

/* A device that does DMA would map and unmap here; this one counts. */
static int dma_map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    struct followers *followers = opaque;

    pthread_mutex_lock(&lock);
    followers->mapped_size += mapping->size;
    pthread_mutex_unlock(&lock);
    return 0;
}

static int dma_unmap(uint64_t iova, uint64_t size, uint64_t *unmapped,
                     void *opaque)
{
    struct followers *followers = opaque;

    (void)iova;
    pthread_mutex_lock(&lock);
    followers->mapped_size -= size;
    pthread_mutex_unlock(&lock);
    *unmapped = size;
    return 0;
}

//! [dma]
static int attach_dma(struct memory *memory, uint64_t limit,
                      struct vmem_error *err)
{
    struct followers *followers = followers_of(memory);
    const struct vmem_dma_config config = { .struct_size = sizeof(config),
                                            .name = "dma",
                                            .max_mappings = limit };
    const struct vmem_dma_ops ops = { .struct_size = sizeof(ops),
                                      .map = dma_map,
                                      .unmap = dma_unmap };
    const struct vmem_dma_attach_config attach = { .struct_size =
                                                       sizeof(attach),
                                                   .name = "guest",
                                                   .region = memory->region,
                                                   .iova = memory->gpa };

    followers->mapped_size = 0;
    int ret = vmem_dma_new_custom(memory->vm->vmem, &config, NULL, &ops,
                                  followers, &followers->dma, err);
    if (ret != 0) {
        return ret;
    }
    ret = vmem_dma_attach(followers->dma, &attach, NULL, &followers->attachment,
                          err);
    if (ret != 0) {
        vmem_dma_free(followers->dma, NULL);
        followers->dma = NULL;
    }
    return ret;
}
//! [dma]

static int detach_dma(struct followers *followers, struct vmem_error *err)
{
    int ret = vmem_dma_detach(followers->attachment, err);

    if (ret != 0) {
        return ret;
    }
    followers->attachment = NULL;
    ret = vmem_dma_free(followers->dma, err);
    if (ret == 0) {
        followers->dma = NULL;
    }
    return ret;
}

static void arm_veto(struct followers *followers, bool armed)
{
    pthread_mutex_lock(&lock);
    followers->veto_armed = armed;
    pthread_mutex_unlock(&lock);
}

//! [attach]
static int attach(struct memory *memory, const char *what, uint64_t limit,
                  struct vmem_error *err)
{
    const struct vmem_listener_config config = { .struct_size = sizeof(config),
                                                 .name = what };
    const struct vmem_listener_ops recorder = { .struct_size = sizeof(recorder),
                                                .populate = record_populate,
                                                .discard = record_discard };
    const struct vmem_listener_ops veto = { .struct_size = sizeof(veto),
                                            .populate = veto_populate,
                                            .discard = veto_discard };
    struct followers *followers = followers_of(memory);
    int ret;

    if (strcmp(what, "recorder") == 0 && followers->recorder == NULL) {
        followers->recorded_size = 0;
        return vmem_listener_add(memory->region, &config, &recorder, followers,
                                 &followers->recorder, err);
    }
    if (strcmp(what, "veto") == 0 && followers->veto == NULL) {
        ret = vmem_listener_add(memory->region, &config, &veto, followers,
                                &followers->veto, err);
        arm_veto(followers, ret == 0);
        return ret;
    }
    if (strcmp(what, "dma") == 0 && followers->dma == NULL) {
        return attach_dma(memory, limit, err);
    }
    snprintf(err->message, sizeof(err->message), "\"%s\" is attached already",
             what);
    return -EBUSY;
}
//! [attach]

static int drop(struct vmem_listener **listener, struct vmem_error *err)
{
    const int ret = vmem_listener_remove(*listener, err);

    if (ret == 0) {
        *listener = NULL;
    }
    return ret;
}

static int detach(struct memory *memory, const char *what,
                  struct vmem_error *err)
{
    struct followers *followers = followers_of(memory);

    if (strcmp(what, "recorder") == 0 && followers->recorder != NULL) {
        return drop(&followers->recorder, err);
    }
    if (strcmp(what, "veto") == 0 && followers->veto != NULL) {
        /* That also tells the guest to try again. */
        arm_veto(followers, false);
        return drop(&followers->veto, err);
    }
    if (strcmp(what, "dma") == 0 && followers->dma != NULL) {
        return detach_dma(followers, err);
    }
    snprintf(err->message, sizeof(err->message), "\"%s\" is not attached",
             what);
    return -EINVAL;
}

/* The second word of the command. */
static const char *followed(const struct request *request)
{
    return strchr(request->command->name, ' ') + 1;
}

static int attach_one(const struct request *request)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t limit = 0;

    if (request->argument != NULL && !parse_size(request->argument, &limit)) {
        return report_error(request->report, "\"%s\" is not a number",
                            request->argument);
    }
    return attach(request->memory, followed(request), limit, &err) == 0
               ? 0
               : report_error(request->report, "%s", err.message);
}

static int detach_one(const struct request *request)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    return detach(request->memory, followed(request), &err) == 0
               ? 0
               : report_error(request->report, "%s", err.message);
}

void follow_detach_all(struct memory *memory)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct followers *followers = followers_of(memory);

    vmem_listener_remove(followers->recorder, NULL);
    vmem_listener_remove(followers->veto, NULL);
    followers->recorder = followers->veto = NULL;
    if (followers->dma != NULL) {
        detach_dma(followers, &err);
    }
}

void follow_report(struct memory *memory, struct report *report)
{
    struct followers *followers = followers_of(memory);

    pthread_mutex_lock(&lock);
    if (followers->recorder != NULL) {
        report_number(report, "recorded-calls", followers->nr_records);
        report_number(report, "recorded-size", followers->recorded_size);
    }
    if (followers->veto != NULL) {
        report_number(report, "vetoed-calls", followers->nr_vetoes);
    }
    if (followers->dma != NULL) {
        struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };

        vmem_dma_get_stats(followers->dma, &stats);
        report_number(report, "dma-mappings", stats.nr_mappings);
        report_number(report, "dma-refusals", stats.nr_budget_refusals);
        report_number(report, "dma-size", followers->mapped_size);
    }
    pthread_mutex_unlock(&lock);
}

static int info_records(const struct request *request)
{
    const struct followers *followers = followers_of(request->memory);
    struct report *report = request->report;

    pthread_mutex_lock(&lock);
    const uint64_t first = followers->nr_records > MAX_RECORDS
                               ? followers->nr_records - MAX_RECORDS
                               : 0;
    report_open_list(report, "records");
    for (uint64_t i = first; i < followers->nr_records; i++) {
        const struct record *entry = &followers->records[i % MAX_RECORDS];

        report_open(report, NULL);
        report_number(report, "time-ns", entry->time_ns);
        report_text(report, "call", entry->populate ? "populate" : "discard");
        report_gpa(report, "offset", entry->range.offset);
        report_number(report, "size", entry->range.size);
        report_close(report);
    }
    report_close_list(report);
    pthread_mutex_unlock(&lock);
    return 0;
}

const struct command follow_commands[] = {
    { "info records", "DEV", info_records },
    { "attach recorder", "DEV", attach_one },
    { "attach veto", "DEV", attach_one },
    { "attach dma", "DEV LIMIT", attach_one },
    { "detach recorder", "DEV", detach_one },
    { "detach veto", "DEV", detach_one },
    { "detach dma", "DEV", detach_one },
    { NULL, NULL, NULL },
};
