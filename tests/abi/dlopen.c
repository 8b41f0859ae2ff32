/* SPDX-License-Identifier: BSD-3-Clause */
/* A program that loads libvmem as a plug-in, uses it and unloads it, again and
 * again: nothing of it may stay, and it must fit in each time. What it has of
 * thread-local storage comes from the little room that the C library keeps.
 * Usage: dlopen LIBRARY */
#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmem/vmem.h>

#define NR_WARM_UPS 20
#define NR_ROUNDS 300
#define NR_THREAD_ROUNDS 100
#define NR_USERS 4
#define SIZE ((uint64_t)16 << 20)
#define BLOCK ((uint64_t)2 << 20)

/* Room for what allocators and stacks of threads do with time. */
#define HEAP_SLACK (16 * 1024)
#define RESIDENT_SLACK (1024 * 1024)

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "line %d: %s does not hold\n", __LINE__,           \
                    #condition);                                               \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

static const char *library;

/* What the library is used through. */
#define FUNCTIONS(F)                                                           \
    F(vmem_vm_new)                                                             \
    F(vmem_vm_free)                                                            \
    F(vmem_backing_new_allocated)                                              \
    F(vmem_backing_free)                                                       \
    F(vmem_region_new)                                                         \
    F(vmem_region_free)                                                        \
    F(vmem_device_new)                                                         \
    F(vmem_device_free)                                                        \
    F(vmem_device_resize)                                                      \
    F(vmem_device_handle_request)                                              \
    F(vmem_region_for_each_populated)

struct functions {
#define DECLARE(name) __typeof__(&name) name;
    FUNCTIONS(DECLARE)
#undef DECLARE
};

static void *load(struct functions *functions)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
#define FIND(name)                                                             \
    {                                                                          \
        void *symbol = dlsym(handle, #name);                                   \
                                                                               \
        CHECK(symbol != NULL);                                                 \
        memcpy(&functions->name, &symbol, sizeof(symbol));                     \
    }
    FUNCTIONS(FIND)
#undef FIND
    return handle;
}

static int count(const struct vmem_range *range, void *opaque)
{
    *(uint64_t *)opaque += range->size;
    return 0;
}

static void ignore(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    (void)opaque;
}

/* A guest that plugs; its walk goes through the thread-local frames. */
static void use(const struct functions *f)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm0",
        .log = ignore,
    };
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram",
        .size = SIZE,
        .kind = VMEM_BACKING_MEMFD,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "ram",
    };
    const struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config),
        .name = "vmem0",
        .block_size = BLOCK,
    };
    /* Plug four blocks at address 0, as the wire has it. */
    const unsigned char plug[VMEM_DEVICE_REQUEST_SIZE] = { [16] = 4 };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
    uint64_t populated = 0;

    CHECK(f->vmem_vm_new(&vm_config, &vm, NULL) == 0);
    CHECK(f->vmem_backing_new_allocated(vm, &request, &backing, NULL) == 0);
    region_config.backing = backing;
    CHECK(f->vmem_region_new(vm, &region_config, &region, NULL) == 0);
    CHECK(f->vmem_device_new(region, &device_config, NULL, NULL, &device,
                             NULL) == 0);
    CHECK(f->vmem_device_resize(device, 4 * BLOCK, NULL) == 0);
    CHECK(f->vmem_device_handle_request(device, plug, sizeof(plug), response,
                                        sizeof(response),
                                        NULL) == VMEM_REQUEST_RESPOND);
    CHECK(response[0] == VMEM_RESPONSE_ACK);
    CHECK(f->vmem_region_for_each_populated(region, NULL, count, &populated) ==
          0);
    CHECK(populated == 4 * BLOCK);
    CHECK(f->vmem_device_free(device, NULL) == 0);
    CHECK(f->vmem_region_free(region, NULL) == 0);
    CHECK(f->vmem_backing_free(backing, NULL) == 0);
    CHECK(f->vmem_vm_free(vm, NULL) == 0);
}

/* Lines of /proc/self/maps that name the library, or all of them. */
static unsigned int count_maps(const char *name)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[4096];
    unsigned int nr_lines = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        nr_lines += name == NULL || strstr(line, name) != NULL;
    }
    fclose(file);
    return nr_lines;
}

static unsigned int count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned int nr_descriptors = 0;

    CHECK(folder != NULL);
    while (readdir(folder) != NULL) {
        nr_descriptors++;
    }
    closedir(folder);
    return nr_descriptors;
}

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long size;
    unsigned long resident;

    CHECK(file != NULL && fscanf(file, "%lu %lu", &size, &resident) == 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void load_use_unload(void)
{
    struct functions functions;
    void *handle = load(&functions);

    use(&functions);
    CHECK(dlclose(handle) == 0);
    CHECK(count_maps("libvmem") == 0);
}

static void *load_in_a_thread(void *opaque)
{
    (void)opaque;
    load_use_unload();
    return NULL;
}

/* Lives through several loads of the library, and uses each. */
struct user {
    pthread_t thread;
    pthread_barrier_t *barrier;
    const struct functions *functions;
    unsigned int nr_rounds;
};

static void *use_every_load(void *opaque)
{
    const struct user *user = opaque;

    for (unsigned int i = 0; i < user->nr_rounds; i++) {
        pthread_barrier_wait(user->barrier); /* it is loaded */
        use(user->functions);
        pthread_barrier_wait(user->barrier); /* it is not used any more */
    }
    return NULL;
}

static void load_for_threads_that_stay(unsigned int nr_rounds)
{
    struct user users[NR_USERS];
    struct functions functions;
    pthread_barrier_t barrier;

    CHECK(pthread_barrier_init(&barrier, NULL, NR_USERS + 1) == 0);
    for (unsigned int i = 0; i < NR_USERS; i++) {
        users[i].barrier = &barrier;
        users[i].functions = &functions;
        users[i].nr_rounds = nr_rounds;
        CHECK(pthread_create(&users[i].thread, NULL, use_every_load,
                             &users[i]) == 0);
    }
    for (unsigned int i = 0; i < nr_rounds; i++) {
        void *handle = load(&functions);

        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        CHECK(dlclose(handle) == 0);
        CHECK(count_maps("libvmem") == 0);
    }
    for (unsigned int i = 0; i < NR_USERS; i++) {
        CHECK(pthread_join(users[i].thread, NULL) == 0);
    }
    pthread_barrier_destroy(&barrier);
}

static void load_from_new_threads(unsigned int nr_rounds)
{
    for (unsigned int i = 0; i < nr_rounds; i++) {
        pthread_t thread;

        CHECK(pthread_create(&thread, NULL, load_in_a_thread, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
}

static void load_here(unsigned int nr_rounds)
{
    for (unsigned int i = 0; i < nr_rounds; i++) {
        load_use_unload();
    }
}

/* Repeats a way to use the library and compares what the process has. */
static void repeat(const char *what, void (*way)(unsigned int),
                   unsigned int nr_rounds)
{
    struct mallinfo2 heap;
    size_t used;
    size_t resident;
    unsigned int nr_maps;
    unsigned int nr_descriptors;

    way(NR_WARM_UPS);
    heap = mallinfo2();
    used = heap.uordblks + heap.hblkhd;
    resident = resident_bytes();
    nr_maps = count_maps(NULL);
    nr_descriptors = count_descriptors();
    way(nr_rounds);
    heap = mallinfo2();
    printf("FIGURE: interface: %s: %u times, heap %+ld bytes, resident %+ld "
           "bytes, %+d maps\n",
           what, nr_rounds, (long)(heap.uordblks + heap.hblkhd - used),
           (long)(resident_bytes() - resident),
           (int)(count_maps(NULL) - nr_maps));
    CHECK(heap.uordblks + heap.hblkhd <= used + HEAP_SLACK);
    CHECK(resident_bytes() <= resident + RESIDENT_SLACK);
    CHECK(count_maps(NULL) <= nr_maps + 2);
    CHECK(count_descriptors() == nr_descriptors);
}

/* A copy of the library that the linker takes for another one. */
static void *load_copy(int *copy)
{
    int fd = memfd_create("copy", MFD_CLOEXEC);
    FILE *from = fopen(library, "re");
    char bytes[65536];
    char path[64];
    size_t size;
    void *handle;

    CHECK(fd >= 0 && from != NULL);
    while ((size = fread(bytes, 1, sizeof(bytes), from)) > 0) {
        CHECK(write(fd, bytes, size) == (ssize_t)size);
    }
    fclose(from);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    /* Left open: the linker knows files by name too, and would take the next
     * one of that number for this one. */
    *copy = fd;
    return handle;
}

/* How much room there is at all. The rounds must be more than fit at once, or
 * they have not shown that the room is given back. */
static void fill_the_room(void)
{
    void *handles[2 * NR_ROUNDS];
    int copies[2 * NR_ROUNDS];
    unsigned int nr_loaded = 0;

    while (nr_loaded < 2 * NR_ROUNDS) {
        handles[nr_loaded] = load_copy(&copies[nr_loaded]);
        if (handles[nr_loaded] == NULL) {
            close(copies[nr_loaded]);
            break;
        }
        nr_loaded++;
    }
    printf("%u copies fit at once: %s\n", nr_loaded,
           nr_loaded < NR_ROUNDS ? "the loads above were more, so their "
                                   "thread-local storage was given back"
                                 : "no limit was met");
    CHECK(nr_loaded >= 16);
    while (nr_loaded > 0) {
        nr_loaded--;
        CHECK(dlclose(handles[nr_loaded]) == 0);
        close(copies[nr_loaded]);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: dlopen LIBRARY\n");
        return 2;
    }
    library = argv[1];
    /* One heap: those of threads come and go and are not counted. */
    CHECK(mallopt(M_ARENA_MAX, 1) == 1);
    CHECK(count_maps("libvmem") == 0);
    repeat("loaded", load_here, NR_ROUNDS);
    repeat("loaded by new threads", load_from_new_threads, NR_THREAD_ROUNDS);
    repeat("loaded for old threads", load_for_threads_that_stay,
           NR_THREAD_ROUNDS);
    fill_the_room();
    repeat("loaded after that", load_here, NR_WARM_UPS);
    return 0;
}
