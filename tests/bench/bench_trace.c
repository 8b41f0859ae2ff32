/* SPDX-License-Identifier: BSD-3-Clause */
/* All that recorded Linux guests asked, from power-on to the end. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "trace.h"

#define MAX_DEVICES 4

static const struct bench_options *options;

struct guest {
    struct trace *trace;
    struct vmem_vm *vm;
    unsigned nr_devices;
    struct vmem_region *regions[MAX_DEVICES];
    struct vmem_device *devices[MAX_DEVICES];
    /* One flag for each block, under a lock: how it is commonly kept. */
    pthread_mutex_t lock;
    uint8_t *flags[MAX_DEVICES];
    uint8_t *requests; /* of 24 bytes, one for each record */
    uint64_t nr_requests;
};

static void keep_quiet(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    (void)opaque;
}

static void add_device(struct guest *guest, unsigned i)
{
    const struct trace_device *of = trace_get_device(guest->trace, i);
    const struct vmem_region_config region = { .struct_size = sizeof(region),
                                               .name = of->name,
                                               .size = of->region_size };
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = of->name,
        .gpa = of->gpa,
        .block_size = of->block_size,
        .requested_size = of->requested_size,
        .usable_policy = VMEM_USABLE_EXTENT,
        .usable_headroom = of->usable_extent,
    };

    bench_check(vmem_region_new(guest->vm, &region, &guest->regions[i], NULL) ==
                0);
    bench_check(vmem_device_new(guest->regions[i], &config, NULL, NULL,
                                &guest->devices[i], NULL) == 0);
    guest->flags[i] = calloc(of->region_size / of->block_size, 1);
    bench_check(guest->flags[i] != NULL);
}

static uint16_t type_of(enum trace_op op)
{
    switch (op) {
    case TRACE_PLUG:
        return VMEM_REQUEST_PLUG;
    case TRACE_UNPLUG:
        return VMEM_REQUEST_UNPLUG;
    case TRACE_UNPLUG_ALL:
        return VMEM_REQUEST_UNPLUG_ALL;
    case TRACE_STATE:
        return VMEM_REQUEST_STATE;
    default:
        return UINT16_MAX;
    }
}

static void encode_requests(struct guest *guest)
{
    const unsigned nr = guest->trace->records->len;

    guest->requests = g_malloc0((gsize)nr * VMEM_DEVICE_REQUEST_SIZE);
    for (unsigned i = 0; i < nr; i++) {
        const struct trace_record *record = trace_get_record(guest->trace, i);
        const uint64_t words[3] = {
            GUINT64_TO_LE((uint64_t)type_of(record->op)),
            GUINT64_TO_LE(record->gpa),
            GUINT64_TO_LE((uint64_t)record->nr_blocks),
        };

        memcpy(&guest->requests[(gsize)i * VMEM_DEVICE_REQUEST_SIZE], words,
               sizeof(words));
        guest->nr_requests += type_of(record->op) != UINT16_MAX;
    }
}

static void guest_init(struct guest *guest, const char *path)
{
    const struct vmem_vm_config vm = { .struct_size = sizeof(vm),
                                       .name = "bench",
                                       .log = keep_quiet };

    memset(guest, 0, sizeof(*guest));
    guest->trace = trace_read(path, NULL);
    bench_check(guest->trace != NULL);
    bench_check(pthread_mutex_init(&guest->lock, NULL) == 0);
    bench_check(vmem_vm_new(&vm, &guest->vm, NULL) == 0);
    guest->nr_devices = guest->trace->devices->len;
    bench_check(guest->nr_devices <= MAX_DEVICES);
    for (unsigned i = 0; i < guest->nr_devices; i++) {
        add_device(guest, i);
    }
    encode_requests(guest);
}

static void guest_destroy(struct guest *guest)
{
    for (unsigned i = 0; i < guest->nr_devices; i++) {
        bench_check(vmem_device_free(guest->devices[i], NULL) == 0);
        bench_check(vmem_region_free(guest->regions[i], NULL) == 0);
        free(guest->flags[i]);
    }
    bench_check(vmem_vm_free(guest->vm, NULL) == 0);
    pthread_mutex_destroy(&guest->lock);
    trace_free(guest->trace);
    g_free(guest->requests);
}

/* What is no request, for each device that it is about. */
static void steer(struct guest *guest, const struct trace_record *record,
                  unsigned i)
{
    struct vmem_device *device = guest->devices[i];

    switch (record->op) {
    case TRACE_RESIZE:
        if (!record->refused) {
            vmem_device_resize(device, record->size, NULL);
        }
        break;
    case TRACE_SYSTEM_RESET:
        vmem_device_reset(device, VMEM_RESET_SYSTEM, NULL);
        break;
    case TRACE_DRIVER_RESET:
        vmem_device_reset(device, VMEM_RESET_DRIVER, NULL);
        break;
    case TRACE_WAKEUP:
        vmem_device_reset(device, VMEM_RESET_WAKEUP, NULL);
        break;
    case TRACE_BUSY_ON:
        vmem_region_freeze(guest->regions[i], "busy", NULL);
        break;
    case TRACE_BUSY_OFF:
        vmem_region_thaw(guest->regions[i], "busy", NULL);
        break;
    default:
        break;
    }
}

/* Back to what the trace starts with. */
static void power_on(void *opaque)
{
    struct guest *guest = opaque;

    for (unsigned i = 0; i < guest->nr_devices; i++) {
        const struct trace_device *of = trace_get_device(guest->trace, i);

        vmem_region_thaw(guest->regions[i], "busy", NULL);
        bench_check(vmem_device_resize(guest->devices[i], of->requested_size,
                                       NULL) == 0);
        bench_check(
            vmem_device_reset(guest->devices[i], VMEM_RESET_SYSTEM, NULL) == 0);
        memset(guest->flags[i], 0, of->region_size / of->block_size);
    }
}

static uint64_t play(void *opaque)
{
    struct guest *guest = opaque;
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    uint64_t nr_as_recorded = 0;

    for (unsigned r = 0; r < guest->trace->records->len; r++) {
        const struct trace_record *record = trace_get_record(guest->trace, r);

        if (type_of(record->op) == UINT16_MAX) {
            for (unsigned i = 0; i < guest->nr_devices; i++) {
                if (record->device == TRACE_ALL_DEVICES ||
                    record->device == (int)i) {
                    steer(guest, record, i);
                }
            }
            continue;
        }
        vmem_device_handle_request(
            guest->devices[record->device],
            &guest->requests[(gsize)r * VMEM_DEVICE_REQUEST_SIZE],
            VMEM_DEVICE_REQUEST_SIZE, response, sizeof(response), NULL);
        nr_as_recorded += response[0] == record->response;
    }
    return nr_as_recorded;
}

/* The blocks alone: checks and sets one flag after the other. */
static uint64_t play_flags(void *opaque)
{
    struct guest *guest = opaque;
    uint64_t nr_right = 0;

    for (unsigned r = 0; r < guest->trace->records->len; r++) {
        const struct trace_record *record = trace_get_record(guest->trace, r);
        const struct trace_device *of;
        uint8_t *flags;
        unsigned nr_set = 0;

        if (record->op == TRACE_UNPLUG_ALL) {
            of = trace_get_device(guest->trace, (unsigned)record->device);
            pthread_mutex_lock(&guest->lock);
            memset(guest->flags[record->device], 0,
                   of->region_size / of->block_size);
            pthread_mutex_unlock(&guest->lock);
            continue;
        }
        if (type_of(record->op) == UINT16_MAX ||
            record->response == VMEM_RESPONSE_ERROR) {
            continue;
        }
        of = trace_get_device(guest->trace, (unsigned)record->device);
        flags = guest->flags[record->device] +
                (record->gpa - of->gpa) / of->block_size;
        pthread_mutex_lock(&guest->lock);
        for (unsigned i = 0; i < record->nr_blocks; i++) {
            nr_set += flags[i];
        }
        if (record->response == VMEM_RESPONSE_ACK &&
            record->op != TRACE_STATE) {
            for (unsigned i = 0; i < record->nr_blocks; i++) {
                flags[i] = record->op == TRACE_PLUG;
            }
        }
        pthread_mutex_unlock(&guest->lock);
        nr_right += nr_set == 0 || nr_set == record->nr_blocks;
    }
    return nr_right;
}

/* Guests that are measured together: short traces are over before the clock has
 * moved. */
struct guests {
    struct guest *guests;
    unsigned nr;
};

static void power_on_all(void *opaque)
{
    const struct guests *all = opaque;

    for (unsigned i = 0; i < all->nr; i++) {
        power_on(&all->guests[i]);
    }
}

static uint64_t play_all(void *opaque)
{
    const struct guests *all = opaque;
    uint64_t nr_as_recorded = 0;

    for (unsigned i = 0; i < all->nr; i++) {
        nr_as_recorded += play(&all->guests[i]);
    }
    return nr_as_recorded;
}

static uint64_t play_all_flags(void *opaque)
{
    const struct guests *all = opaque;
    uint64_t nr_right = 0;

    for (unsigned i = 0; i < all->nr; i++) {
        nr_right += play_flags(&all->guests[i]);
    }
    return nr_right;
}

static void measure(const char *name, struct guest *guests, unsigned nr)
{
    struct guests all = { guests, nr };
    struct bench_case bench = { .name = "trace", .unit = "request" };
    uint64_t nr_allocations;

    for (unsigned i = 0; i < nr; i++) {
        bench.nr_ops += guests[i].nr_requests;
    }
    power_on_all(&all);
    nr_allocations = bench_nr_allocations();
    bench_check(play_all(&all) == bench.nr_ops);
    nr_allocations = bench_nr_allocations() - nr_allocations;
    bench.params = g_strdup_printf("trace=%s requests=%" G_GUINT64_FORMAT, name,
                                   bench.nr_ops);
    /* A freeze allocates the name of who froze; requests allocate nothing. */
    bench.counts =
        g_strdup_printf("allocations=%" G_GUINT64_FORMAT, nr_allocations);
    bench.subject =
        (struct bench_side){ "device", play_all, power_on_all, &all };
    bench.reference = (struct bench_side){ "mutex and flag bytes",
                                           play_all_flags, power_on_all, &all };
    bench_measure(&bench);
}

int main(int argc, char **argv)
{
    struct guest *guests;
    unsigned nr;

    options = bench_init(argc, argv);
    bench_start_thread();
    bench_check(options->arguments != NULL);
    nr = g_strv_length(options->arguments);
    guests = g_new(struct guest, nr);
    for (unsigned i = 0; i < nr; i++) {
        guest_init(&guests[i], options->arguments[i]);
    }
    measure("all", guests, nr);
    for (unsigned i = 0; i < nr; i++) {
        if (guests[i].nr_requests >= 60) {
            char *name = g_path_get_basename(options->arguments[i]);

            *strrchr(name, '.') = '\0';
            measure(name, &guests[i], 1);
            g_free(name);
        }
    }
    for (unsigned i = 0; i < nr; i++) {
        guest_destroy(&guests[i]);
    }
    g_free(guests);
    return 0;
}
