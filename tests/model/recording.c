/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/recording.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "support/quiet.h"

struct recording recording;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t random_state = 1;

void die(const char *what, const struct vmem_error *err)
{
    fprintf(stderr, "record: %s: %s\n", what, err != NULL ? err->message : "");
    exit(2);
}

static void make_region(const struct vmem_backing_ops *ops,
                        uint64_t backing_flags)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "recorded",
        .log = quiet_log,
    };
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "memory",
        .size = NR_BLOCKS * BLOCK_SIZE,
        .flags = backing_flags,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "region",
    };
    struct vmem_error err;

    if (vmem_vm_new(&vm_config, &recording.vm, &err) < 0 ||
        vmem_backing_new_custom(recording.vm, &custom, ops, NULL,
                                &recording.backing, &err) < 0) {
        die("no machine or backing", &err);
    }
    region_config.backing = recording.backing;
    if (vmem_region_new(recording.vm, &region_config, &recording.region, &err) <
        0) {
        die("no region", &err);
    }
}

void make_objects(const struct vmem_backing_ops *ops, uint64_t backing_flags)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "device",
        .gpa = GPA,
        .block_size = BLOCK_SIZE,
        .requested_size = NR_BLOCKS * BLOCK_SIZE,
        .usable_policy = VMEM_USABLE_ALL,
    };
    struct vmem_error err;

    make_region(ops, backing_flags);
    if (vmem_device_new(recording.region, &config, NULL, NULL,
                        &recording.device, &err) < 0) {
        die("no device", &err);
    }
}

void free_objects(void)
{
    struct vmem_error err = { 0 };

    if (vmem_device_free(recording.device, &err) < 0 ||
        vmem_region_free(recording.region, &err) < 0 ||
        vmem_backing_free(recording.backing, &err) < 0 ||
        vmem_vm_free(recording.vm, &err) < 0) {
        die("something is left", &err);
    }
    if (fflush(stdout) != 0) {
        die("cannot write", NULL);
    }
}

void seed_chance(uint64_t seed)
{
    random_state = seed * 2 + 1;
}

/* xorshift64*. */
unsigned int chance(unsigned int n)
{
    uint64_t x;

    pthread_mutex_lock(&lock);
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    x = random_state * 0x2545f4914f6cdd1d;
    pthread_mutex_unlock(&lock);
    return (unsigned int)((x >> 33) % n);
}

/* Gives another thread the time to come in between. */
static void dawdle(void)
{
    if (recording.is_threaded) {
        const struct timespec some_time = { .tv_nsec = chance(100) * 1000 };

        nanosleep(&some_time, NULL);
    }
}

void event(const char *name, unsigned int who, uint64_t a, uint64_t b,
           unsigned int value)
{
    dawdle();
    pthread_mutex_lock(&lock);
    if (recording.is_on) {
        printf("%s %u %u %u %u\n", name, who, (unsigned int)a, (unsigned int)b,
               value);
    }
    pthread_mutex_unlock(&lock);
}

static void put_le(uint8_t *at, uint64_t value, unsigned int nr_bytes)
{
    for (unsigned int i = 0; i < nr_bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

unsigned int send_request(unsigned int type, unsigned int from,
                          unsigned int size, struct vmem_request_result *result)
{
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    put_le(bytes, type, 2);
    put_le(bytes + 8, GPA + from * BLOCK_SIZE, 8);
    put_le(bytes + 16, size, 2);
    if (vmem_device_handle_request(recording.device, bytes, sizeof(bytes),
                                   response, sizeof(response),
                                   result) != VMEM_REQUEST_RESPOND) {
        die("a request was not answered", NULL);
    }
    return response[8] + 256U * response[9];
}

struct thread {
    void (*call)(void);
    unsigned int nr_calls;
    pthread_t id;
};

static void *run_thread(void *opaque)
{
    const struct thread *thread = opaque;

    for (unsigned int i = 0; i < thread->nr_calls; i++) {
        thread->call();
    }
    return NULL;
}

void run_threads(void (*const calls[])(void), size_t nr_threads,
                 unsigned int nr_calls)
{
    struct thread *threads = calloc(nr_threads, sizeof(*threads));

    if (threads == NULL) {
        die("no memory", NULL);
    }
    for (size_t i = 0; i < nr_threads; i++) {
        threads[i].call = calls[i];
        threads[i].nr_calls = nr_calls;
        if (pthread_create(&threads[i].id, NULL, run_thread, &threads[i]) !=
            0) {
            die("no thread", NULL);
        }
    }
    for (size_t i = 0; i < nr_threads; i++) {
        pthread_join(threads[i].id, NULL);
    }
    free(threads);
}
