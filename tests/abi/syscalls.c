/* SPDX-License-Identifier: BSD-3-Clause */
/* Every kind of memory and every operation, for syscalls.py, which runs this
 * under strace: each call of the library stands between two marks, writes to a
 * descriptor that cannot be, that say which one it is. */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmem/vmem.h>

#define SIZE ((uint64_t)16 << 20)
#define BLOCK ((uint64_t)2 << 20)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static struct vmem_error err = VMEM_ERROR_INIT;

static void mark(const char *what, const char *operation)
{
    char text[128];
    int length =
        snprintf(text, sizeof(text), "vmem-mark %s, %s", what, operation);

    (void)!write(-1, text, (size_t)length);
}

static void must(int ret, const char *what)
{
    if (ret < 0) {
        mark("driver", "failed");
        fprintf(stderr, "%s: %d: %s\n", what, ret, err.message);
        exit(1);
    }
}

#define STRING(text) #text

/* One marked call that must work. */
#define CALL(what, operation, call)                                            \
    do {                                                                       \
        int ret_of_call;                                                       \
                                                                               \
        mark(what, operation);                                                 \
        ret_of_call = (call);                                                  \
        mark("driver", "between");                                             \
        must(ret_of_call, STRING(call));                                       \
    } while (0)

/* The same for one that the kernel may refuse. */
#define TRY(what, operation, call)                                             \
    do {                                                                       \
        mark(what, operation);                                                 \
        (void)(call);                                                          \
        mark("driver", "between");                                             \
    } while (0)

/* The allocator gets what it needs now and gives nothing back, so that what is
 * seen between marks is the library's. */
static void quieten_the_allocator(void)
{
    void *volatile room; /* compilers know that nobody needs this */

    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_TOP_PAD, 64 << 20);
    room = malloc(1 << 20);
    free(room);
}

static void ignore_log(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    (void)opaque;
}

static int ignore_range(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return 0;
}

static void ignore_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
}

static int no_usage(const struct vmem_range *range, uint64_t *resident,
                    void *opaque)
{
    (void)range;
    (void)opaque;
    *resident = 0;
    return 0;
}

static struct vmem_vm *new_vm(vmem_log_fn log)
{
    const struct vmem_vm_config config = {
        .struct_size = sizeof(config),
        .name = "vm0",
        .log = log,
    };
    struct vmem_vm *vm = NULL;

    CALL("machine", "make", vmem_vm_new(&config, &vm, &err));
    return vm;
}

/* What can be done with a backing, once without a region. */
static void work(const char *what, struct vmem_backing *backing)
{
    const struct vmem_range part = { BLOCK, 2 * BLOCK };
    const struct vmem_range all = { 0, SIZE };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    CALL(what, "query", vmem_backing_get_info(backing, &info));
    CALL(what, "query", vmem_backing_get_stats(backing, &stats));
    /* Without huge pages in the pool this fails, by the same calls. */
    TRY(what, "populate", vmem_backing_populate(backing, &part, &err));
    CALL(what, "usage of a part",
         vmem_backing_get_usage(backing, &part, &usage, &err));
    CALL(what, "usage of all",
         vmem_backing_get_usage(backing, NULL, &usage, &err));
    CALL(what, "discard", vmem_backing_discard(backing, &part, &err));
    CALL(what, "discard", vmem_backing_discard(backing, &all, &err));
}

static void try_made(struct vmem_vm *vm, const char *what, uint32_t kind,
                     uint64_t flags, const char *path)
{
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram",
        .path = path,
        .size = SIZE,
        .flags = flags,
        .kind = kind,
        .page_size = kind >= VMEM_BACKING_HUGETLB_ANON ? BLOCK : 0,
    };
    struct vmem_backing *backing = NULL;

    CALL(what, "make",
         vmem_backing_new_allocated(vm, &request, &backing, &err));
    work(what, backing);
    CALL(what, "free", vmem_backing_free(backing, &err));
}

/* By two threads, which needs a large range. */
static void try_threads(struct vmem_vm *vm)
{
    const struct vmem_range all = { 0, 2 * VMEM_BACKING_POPULATE_SHARE };
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram",
        .size = all.size,
        .kind = VMEM_BACKING_ANON,
        .populate_threads = 2,
    };
    struct vmem_backing *backing = NULL;

    must(vmem_backing_new_allocated(vm, &request, &backing, &err), "backing");
    CALL("backing", "populate by threads",
         vmem_backing_populate(backing, &all, &err));
    must(vmem_backing_free(backing, &err), "backing");
}

struct kind {
    const char *what;
    uint64_t flags;
    uint64_t page_size;
    int map_flags;
    bool has_memfd;
    unsigned int memfd_flags;
};

static const struct kind kinds[] = {
    { "anonymous, mapped", 0, 0, MAP_PRIVATE | MAP_ANONYMOUS, false, 0 },
    { "anonymous shared, mapped", VMEM_BACKING_SHARED, 0,
      MAP_SHARED | MAP_ANONYMOUS, false, 0 },
    { "memfd, mapped", VMEM_BACKING_SHARED, 0, MAP_SHARED, true, 0 },
    { "memfd private, mapped", 0, 0, MAP_PRIVATE, true, 0 },
    { "huge anonymous, mapped", 0, BLOCK,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, false, 0 },
    { "huge anonymous shared, mapped", VMEM_BACKING_SHARED, BLOCK,
      MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, false, 0 },
    { "huge memfd, mapped", VMEM_BACKING_SHARED, BLOCK, MAP_SHARED, true,
      MFD_HUGETLB | MFD_HUGE_2MB },
    { "huge memfd private, mapped", 0, BLOCK, MAP_PRIVATE, true,
      MFD_HUGETLB | MFD_HUGE_2MB },
};

static void try_mapped(struct vmem_vm *vm, const struct kind *kind)
{
    struct vmem_backing_mapping mapping = {
        .struct_size = sizeof(mapping),
        .name = "ram",
        .size = SIZE,
        .page_size = kind->page_size,
        .flags = kind->flags,
        .fd = -1,
    };
    struct vmem_backing *backing = NULL;

    if (kind->has_memfd) {
        mapping.flags |= VMEM_BACKING_HAS_FD;
        mapping.fd = memfd_create("ram", MFD_CLOEXEC | kind->memfd_flags);
        if (mapping.fd < 0 || ftruncate(mapping.fd, (off_t)SIZE) < 0) {
            must(-errno, kind->what);
        }
    }
    mapping.hva = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
                       kind->map_flags | MAP_NORESERVE, mapping.fd, 0);
    if (mapping.hva == MAP_FAILED) {
        must(-errno, kind->what);
    }
    CALL(kind->what, "make",
         vmem_backing_new_mapped(vm, &mapping, &backing, &err));
    work(kind->what, backing);
    CALL(kind->what, "free", vmem_backing_free(backing, &err));
    munmap(mapping.hva, SIZE);
    if (mapping.fd >= 0) {
        close(mapping.fd);
    }
}

static void try_custom(struct vmem_vm *vm)
{
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "ram",
        .size = SIZE,
    };
    const struct vmem_backing_ops ops = {
        .struct_size = sizeof(ops),
        .discard = ignore_range,
        .populate = ignore_range,
        .zero = ignore_range,
        .usage = no_usage,
    };
    struct vmem_backing *backing = NULL;

    CALL("custom", "make",
         vmem_backing_new_custom(vm, &custom, &ops, NULL, &backing, &err));
    work("custom", backing);
    CALL("custom", "free", vmem_backing_free(backing, &err));
}

static int ask(struct vmem_device *device, unsigned int type,
               unsigned int nr_blocks)
{
    unsigned char request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];

    request[0] = (unsigned char)type;
    request[16] = (unsigned char)nr_blocks;
    return vmem_device_handle_request(device, request, sizeof(request),
                                      response, sizeof(response), NULL);
}

static int ignore_region(struct vmem_region *region, void *opaque)
{
    (void)region;
    (void)opaque;
    return 0;
}

/* A guest on memory that is anonymous and populated before each plug. */
static void try_device(struct vmem_vm *vm)
{
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram",
        .size = SIZE,
        .kind = VMEM_BACKING_ANON,
        .flags = VMEM_BACKING_POPULATE,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "ram",
    };
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "vmem0",
        .block_size = BLOCK,
        .flags = VMEM_DEVICE_MEASURE_LATENCY,
    };
    const struct vmem_listener_config listener_config = {
        .struct_size = sizeof(listener_config),
        .name = "vfio",
    };
    const struct vmem_listener_ops listener_ops = {
        .struct_size = sizeof(listener_ops),
        .populate = ignore_range,
        .discard = ignore_discard,
    };
    const struct vmem_range window = { 0, BLOCK };
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    uint64_t blocks;
    struct vmem_region_info region_info = { .struct_size =
                                                sizeof(region_info) };
    unsigned char bytes[VMEM_DEVICE_CONFIG_SIZE];
    struct vmem_backing *backing = NULL;
    struct vmem_region *region = NULL;
    struct vmem_device *device = NULL;
    struct vmem_listener *listener = NULL;
    struct vmem_discard_claim *claim = NULL;

    must(vmem_backing_new_allocated(vm, &request, &backing, &err), "backing");
    region_config.backing = backing;
    CALL("region", "make", vmem_region_new(vm, &region_config, &region, &err));
    CALL("device", "make",
         vmem_device_new(region, &config, NULL, NULL, &device, &err));
    CALL("device", "size", vmem_device_resize(device, 4 * BLOCK, &err));
    CALL("device", "query", vmem_device_read_config(device, 0, bytes, 56));
    CALL("device", "query", vmem_device_write_config(device, 0, bytes, 56));
    CALL("device", "query", vmem_device_set_driver_features(device, 0));
    CALL("device", "plug", ask(device, VMEM_REQUEST_PLUG, 4));
    CALL("device", "state", ask(device, VMEM_REQUEST_STATE, 4));
    CALL("region", "query", vmem_region_get_info(region, &region_info));
    CALL("region", "query",
         vmem_region_for_each_populated(region, NULL, ignore_range, NULL));
    CALL("region", "query",
         vmem_region_with_populated(region, &window, ignore_range, NULL, &err));
    CALL("region", "listener",
         vmem_listener_add(region, &listener_config, &listener_ops, NULL,
                           &listener, &err));
    CALL("region", "freeze", vmem_region_freeze(region, "migration", &err));
    CALL("device", "state", ask(device, VMEM_REQUEST_UNPLUG, 1));
    CALL("region", "freeze", vmem_region_thaw(region, "migration", &err));
    CALL("region", "listener", vmem_listener_remove(listener, &err));
    CALL("device", "unplug", ask(device, VMEM_REQUEST_UNPLUG, 1));
    CALL("region", "query", vmem_device_save(device, &saved, &blocks, 1));
    CALL("device", "unplug",
         vmem_device_load(device, &saved, &blocks, 1, &err));
    CALL("device", "size", vmem_device_poll_resize(device));
    CALL("device", "size", vmem_device_notify_config(device));
    CALL("device", "query", vmem_device_get_info(device, &info));
    CALL("device", "query", vmem_device_get_stats(device, &stats));
    CALL("device", "query", vmem_device_get_resize_status(device, &status));
    CALL("device", "unplug", ask(device, VMEM_REQUEST_UNPLUG_ALL, 0));
    CALL("device", "plug", ask(device, VMEM_REQUEST_PLUG, 1));
    CALL("device", "unplug",
         vmem_device_reset(device, VMEM_RESET_SYSTEM, &err));
    CALL("device", "query", vmem_device_reset(device, VMEM_RESET_DRIVER, &err));
    CALL("region", "retry", vmem_region_retry_discards(region, &err));
    CALL("machine", "query", vmem_vm_for_each_region(vm, ignore_region, NULL));
    CALL("machine", "claim",
         vmem_discard_claim_take(vm, VMEM_CLAIM_FORBID_UNCOORDINATED, "vfio",
                                 &claim, &err));
    CALL("machine", "claim", vmem_discard_claim_release(claim, &err));
    CALL("device", "free", vmem_device_free(device, &err));
    CALL("region", "free", vmem_region_free(region, &err));
    must(vmem_backing_free(backing, &err), "backing");
}

static int ignore_map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    (void)mapping;
    (void)opaque;
    return 0;
}

/* All of it, which the size says already. */
static int ignore_unmap(uint64_t iova, uint64_t size, uint64_t *unmapped,
                        void *opaque)
{
    (void)iova;
    (void)size;
    (void)unmapped;
    (void)opaque;
    return 0;
}

static int ignore_run(const struct vmem_dma_run *run, void *opaque)
{
    (void)run;
    (void)opaque;
    return 0;
}

/* A source that gives no memory back, so that all calls are the mapper's. */
static void try_mapper(struct vmem_vm *vm)
{
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "ram",
        .size = SIZE,
    };
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "blocks",
        .block_size = BLOCK,
    };
    const struct vmem_dma_config config = { .struct_size = sizeof(config),
                                            .name = "iommu0" };
    const struct vmem_dma_ops ops = {
        .struct_size = sizeof(ops),
        .map = ignore_map,
        .unmap = ignore_unmap,
    };
    struct vmem_dma_attach_config attach_config = {
        .struct_size = sizeof(attach_config),
        .name = "ram",
        .hva = (void *)(uintptr_t)BLOCK, /* nobody looks there */
    };
    const struct vmem_range part = { 0, 4 * BLOCK };
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_dma_attachment *attachment = NULL;
    struct vmem_region *region = NULL;
    struct vmem_source *source = NULL;
    struct vmem_dma *dma = NULL;

    must(vmem_region_new(vm, &region_config, &region, &err), "region");
    must(vmem_source_add(region, &source_config, &source, &err), "source");
    attach_config.region = region;
    CALL("mapper of callbacks", "make",
         vmem_dma_new_custom(vm, &config, NULL, &ops, NULL, &dma, &err));
    CALL("mapper of callbacks", "attach",
         vmem_dma_attach(dma, &attach_config, NULL, &attachment, &err));
    CALL("mapper of callbacks", "plug",
         vmem_source_populate(source, &part, &err));
    CALL("mapper of callbacks", "query",
         vmem_dma_for_each_mapped(dma, NULL, ignore_run, NULL));
    CALL("mapper of callbacks", "query", vmem_dma_get_stats(dma, &stats));
    CALL("mapper of callbacks", "unplug",
         vmem_source_discard(source, &part, &err));
    CALL("mapper of callbacks", "free", vmem_dma_detach(attachment, &err));
    CALL("mapper of callbacks", "free", vmem_dma_free(dma, &err));
    must(vmem_source_remove(source, &err), "source");
    must(vmem_region_free(region, &err), "region");
}

/* On a descriptor that is neither: few machines have a device to give. The first
 * question is seen, and refused. */
static void try_kernel_mappers(struct vmem_vm *vm)
{
    const struct vmem_dma_config config = { .struct_size = sizeof(config),
                                            .name = "iommu0" };
    const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct vmem_dma *dma = NULL;

    must(fd, "/dev/null");
    TRY("VFIO container", "make",
        vmem_dma_new_type1(vm, &config, fd, &dma, &err));
    TRY("iommufd", "make",
        vmem_dma_new_iommufd(vm, &config, fd, 1, &dma, &err));
    must(dma == NULL ? 0 : -EIO, "mappers on /dev/null");
    must(close(fd), "close");
}

static void try_bitmap(void)
{
    struct vmem_bitmap *bitmap = NULL;

    CALL("bitmap", "all", vmem_bitmap_new(1 << 20, &bitmap));
    CALL("bitmap", "all", vmem_bitmap_set(bitmap, 0, 1 << 19, NULL));
    mark("bitmap", "all");
    vmem_bitmap_free(bitmap);
    mark("driver", "between");
}

/* A machine without a log sink writes its warnings itself: a request that says
 * nothing known is worth one. */
static void try_log(void)
{
    struct vmem_vm *vm = new_vm(NULL);
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "ram",
        .size = SIZE,
    };
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "vmem0",
        .block_size = BLOCK,
    };
    struct vmem_region *region = NULL;
    struct vmem_device *device = NULL;

    must(vmem_region_new(vm, &region_config, &region, &err), "region");
    must(vmem_device_new(region, &config, NULL, NULL, &device, &err), "device");
    CALL("machine", "log", ask(device, 99, 0));
    must(vmem_device_free(device, &err), "device");
    must(vmem_region_free(region, &err), "region");
    CALL("machine", "free", vmem_vm_free(vm, &err));
}

/* Such mappings can be made; whether the pool has any does not matter here. */
static bool has_huge_pages(void)
{
    void *hva = mmap(NULL, BLOCK, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_HUGETLB |
                         MAP_HUGE_2MB,
                     -1, 0);

    if (hva == MAP_FAILED) {
        return false;
    }
    munmap(hva, BLOCK);
    return true;
}

/* Usage: syscalls FOLDER, where files can be made */
int main(int argc, char **argv)
{
    char path[4096];
    struct vmem_vm *vm;

    if (argc != 2) {
        fprintf(stderr, "usage: syscalls FOLDER\n");
        return 2;
    }
    if (!has_huge_pages()) {
        printf("SKIP: this kernel has no huge pages of 2 MiB\n");
        return 77;
    }
    quieten_the_allocator();
    snprintf(path, sizeof(path), "%s/ram", argv[1]);
    vm = new_vm(ignore_log);
    try_made(vm, "anonymous", VMEM_BACKING_ANON, 0, NULL);
    try_made(vm, "anonymous shared", VMEM_BACKING_ANON_SHARED, 0, NULL);
    try_made(vm, "memfd", VMEM_BACKING_MEMFD, 0, NULL);
    /* The first one makes the file. */
    try_made(vm, "file", VMEM_BACKING_FILE, VMEM_BACKING_SHARED, path);
    try_made(vm, "file", VMEM_BACKING_FILE,
             VMEM_BACKING_SHARED | VMEM_BACKING_PREFER_REMOVE, path);
    try_made(vm, "file, private", VMEM_BACKING_FILE, 0, path);
    try_made(vm, "huge anonymous", VMEM_BACKING_HUGETLB_ANON, 0, NULL);
    try_made(vm, "huge memfd", VMEM_BACKING_HUGETLB_MEMFD, 0, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        try_mapped(vm, &kinds[i]);
    }
    try_threads(vm);
    try_custom(vm);
    try_device(vm);
    try_mapper(vm);
    try_kernel_mappers(vm);
    try_bitmap();
    CALL("machine", "free", vmem_vm_free(vm, &err));
    try_log();
    unlink(path);
    return 0;
}
