/* SPDX-License-Identifier: BSD-3-Clause */
/* The public operations on the kernel's memory, of every kind. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults/point.h"
#include "faults/scene.h"
#include "support/host_memory.h"

#define BLOCK ((uint64_t)MIB(2))
#define NR_BLOCKS 4
#define HOST_SIZE (NR_BLOCKS * BLOCK)
#define MUCH (3 * VMEM_BACKING_POPULATE_SHARE)
#define MARK_STEP ((size_t)KIB(64))
#define OLD_SIZE ((off_t)KIB(64))

/* What to make. */
struct host_spec {
    enum vmem_backing_kind kind; /* made by the library */
    uint64_t size;               /* ... 0: HOST_SIZE */
    bool has_old_file;           /* ... there is a shorter file already */
    bool is_mapped;              /* made by the test, and described */
    enum host_kind mapped;
    uint64_t flags; /* VMEM_BACKING_* */
    uint64_t populate_threads;
    bool is_locked;
};

struct host_part {
    struct host_memory memory; /* if mapped */
    char path[96];             /* if a file */
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_source *source;
};

static struct host_part part;

/* ---- making ---- */

static int make_mapped(struct scene *it, struct vmem_backing **backing)
{
    const bool is_huge = host_kind_is_huge(it->spec->mapped);
    const bool has_fd = part.memory.fd >= 0;
    const struct vmem_backing_mapping mapping = {
        .struct_size = sizeof(mapping),
        .name = "host",
        .hva = part.memory.hva,
        .size = part.memory.size,
        .fd_offset = part.memory.fd_offset,
        .page_size = is_huge ? HUGE_PAGE : 0,
        .flags =
            it->spec->flags | (has_fd ? VMEM_BACKING_HAS_FD : 0) |
            (host_kind_is_shared(it->spec->mapped) ? VMEM_BACKING_SHARED : 0),
        .fd = part.memory.fd,
        .populate_threads = it->spec->populate_threads,
    };

    return vmem_backing_new_mapped(it->vm, &mapping, backing, &it->err);
}

static int make_allocated(struct scene *it, struct vmem_backing **backing)
{
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "host",
        .path = it->spec->kind == VMEM_BACKING_FILE ? part.path : NULL,
        .size = it->spec->size != 0 ? it->spec->size : HOST_SIZE,
        .flags = it->spec->flags,
        .kind = (uint32_t)it->spec->kind,
        .populate_threads = it->spec->populate_threads,
    };

    return vmem_backing_new_allocated(it->vm, &request, backing, &it->err);
}

static int make(struct scene *it, struct vmem_backing **backing)
{
    return it->spec->is_mapped ? make_mapped(it, backing)
                               : make_allocated(it, backing);
}

static void mark(char *hva, size_t size)
{
    for (size_t at = 0; at < size; at += MARK_STEP) {
        hva[at] = 1;
    }
}

/* Huge pages are pretended: what is behind is ordinary. */
static enum host_kind plain_kind(enum host_kind kind)
{
    switch (kind) {
    case HOST_HUGE_ANON:
        return HOST_ANON;
    case HOST_HUGE_ANON_SHARED:
        return HOST_ANON_SHARED;
    case HOST_HUGE_MEMFD:
        return HOST_MEMFD;
    case HOST_HUGE_MEMFD_PRIVATE:
        return HOST_MEMFD_PRIVATE;
    default:
        return kind;
    }
}

static bool prepare_mapped(struct scene *it)
{
    const int ret = host_memory_make(&part.memory, plain_kind(it->spec->mapped),
                                     HOST_SIZE, 0);

    if (ret < 0) {
        printf("SKIP: no memory of the kind %s: errno %d\n",
               host_kind_name(it->spec->mapped), -ret);
        return false;
    }
    if (it->spec->is_locked && mlock(part.memory.hva, HOST_SIZE) < 0) {
        printf("SKIP: memory cannot be locked: errno %d\n", errno);
        return false;
    }
    mark(part.memory.hva, HOST_SIZE);
    return true;
}

static bool prepare_file(struct scene *it)
{
    int fd;

    if (host_path(true, part.path, sizeof(part.path)) < 0) {
        printf("SKIP: no disk file system that can be written\n");
        return false;
    }
    if (!it->spec->has_old_file) {
        return true;
    }
    fd = open(part.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, OLD_SIZE) < 0 || pwrite(fd, "x", 1, 0) != 1) {
        complain(it, "%s cannot be written: errno %d", part.path, errno);
    }
    if (fd >= 0) {
        close(fd);
    }
    return true;
}

static bool prepare(struct scene *it)
{
    memset(&part, 0, sizeof(part));
    part.memory.fd = -1;
    it->host = &part;
    if (it->spec->is_mapped) {
        return prepare_mapped(it);
    }
    return it->spec->kind != VMEM_BACKING_FILE || prepare_file(it);
}

static void clean(struct scene *it)
{
    (void)it;
    host_memory_free(&part.memory);
    if (part.path[0] != '\0') {
        unlink(part.path);
    }
}

static bool prepare_backing(struct scene *it)
{
    if (!prepare(it)) {
        return false;
    }
    if (make(it, &part.backing) < 0) {
        complain(it, "no backing: %s", it->err.message);
        return false;
    }
    return true;
}

static void clean_backing(struct scene *it)
{
    if (vmem_backing_free(part.backing, &it->err) < 0) {
        complain(it, "the backing is not freed: %s", it->err.message);
    }
    clean(it);
}

/* A region on it with blocks 0 and 1 populated and written to, and block 2
 * retained. */
static bool prepare_region(struct scene *it)
{
    const struct vmem_range populated = { 0, 3 * BLOCK };
    const struct vmem_range retained = { 2 * BLOCK, BLOCK };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .name = "host" };
    bool ok;

    if (!prepare_backing(it)) {
        return false;
    }
    config.backing = part.backing;
    ok = vmem_region_new(it->vm, &config, &part.region, &it->err) == 0 &&
         add_source(it, part.region, "host", BLOCK, VMEM_SOURCE_DISCARDS,
                    &part.source) == 0 &&
         vmem_source_populate(part.source, &populated, &it->err) == 0 &&
         vmem_backing_get_info(part.backing, &info) == 0;
    if (!ok) {
        complain(it, "no region: %s", it->err.message);
        return false;
    }
    mark(info.hva, 3 * BLOCK);
    point_refuse_discards(true);
    vmem_source_discard(part.source, &retained, NULL);
    point_refuse_discards(false);
    it->host_region = part.region;
    return true;
}

static void clean_region(struct scene *it)
{
    it->host_region = NULL;
    if (vmem_source_remove(part.source, &it->err) < 0 ||
        vmem_region_free(part.region, &it->err) < 0) {
        complain(it, "the region is not freed: %s", it->err.message);
    }
    clean_backing(it);
}

/* ---- looking ---- */

/* Bytes, by the kernel's word and without the library. */
static uint64_t resident(const struct vmem_backing_info *info)
{
    if (info->fd < 0) {
        return (uint64_t)host_mincore(info->hva, info->size);
    }
    /* All of a file of huge pages looks like data. */
    return (uint64_t)(info->kind == VMEM_BACKING_HUGETLB_MEMFD
                          ? host_file_blocks(info->fd)
                          : host_file_data(info->fd, info->fd_offset,
                                           info->fd_offset + info->size));
}

void host_check_memory(struct scene *it)
{
    struct vmem_backing_info backing = { .struct_size = sizeof(backing) };
    struct vmem_region_info region = { .struct_size = sizeof(region) };
    uint64_t bytes;

    if (part.region == NULL) {
        return;
    }
    vmem_backing_get_info(part.backing, &backing);
    vmem_region_get_info(part.region, &region);
    bytes = resident(&backing);
    if (bytes > region.populated_size + region.retained_size) {
        complain(it,
                 "0x%" PRIx64 " bytes are resident, but only 0x%" PRIx64
                 " populated and 0x%" PRIx64 " retained",
                 bytes, region.populated_size, region.retained_size);
    }
}

static int add_run(const struct vmem_range *range, void *opaque)
{
    g_string_append_printf(opaque, " [%" PRIu64 ",%" PRIu64 ")",
                           range->offset / BLOCK,
                           (range->offset + range->size) / BLOCK);
    return 0;
}

static void describe_marks(const char *hva, size_t size, GString *text)
{
    for (size_t at = 0; at < size; at += BLOCK) {
        size_t nr = 0;

        for (size_t i = 0; i < BLOCK && at + i < size; i += MARK_STEP) {
            nr += hva[at + i] != 0;
        }
        g_string_append_printf(text, " %zu", nr);
    }
}

static void describe_path(GString *text)
{
    struct stat status;

    if (part.path[0] == '\0') {
        return;
    }
    if (stat(part.path, &status) < 0) {
        g_string_append(text, "\n~path: nothing");
    } else {
        g_string_append_printf(text, "\n~path: %lld bytes",
                               (long long)status.st_size);
    }
}

void host_describe(struct scene *it, GString *text)
{
    (void)it;
    if (part.memory.hva != NULL && part.region == NULL) {
        g_string_append(text, "\nmarks");
        describe_marks(part.memory.hva, part.memory.size, text);
    }
    if (part.memory.fd >= 0) {
        g_string_append_printf(text, "\n~position: %lld",
                               (long long)lseek(part.memory.fd, 0, SEEK_CUR));
    }
    describe_path(text);
    if (part.region != NULL) {
        struct vmem_backing_info info = { .struct_size = sizeof(info) };

        vmem_backing_get_info(part.backing, &info);
        g_string_append(text, "\nhost blocks");
        vmem_region_for_each_populated(part.region, NULL, add_run, text);
        /* Reading what is not populated may be a signal. */
        for (size_t at = 0; at < 2 * BLOCK; at += BLOCK) {
            const struct vmem_range block = { at, BLOCK };

            if (vmem_region_is_populated(part.region, &block)) {
                describe_marks((const char *)info.hva + at, BLOCK, text);
            }
        }
    }
}

/* ---- operations ---- */

static int new_backing(struct scene *it)
{
    return make(it, &it->made_backing);
}

static void undo_backing(struct scene *it)
{
    if (vmem_backing_free(it->made_backing, NULL) < 0) {
        complain(it, "the made backing is not freed");
    }
}

/* Unmaps and closes, and does not fail if that does. */
static int make_and_free(struct scene *it)
{
    const int ret = new_backing(it);

    return ret < 0 ? ret : vmem_backing_free(it->made_backing, &it->err);
}

static int measure(struct scene *it)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    return vmem_backing_get_usage(part.backing, NULL, &usage, &it->err);
}

static int measure_part(struct scene *it)
{
    const struct vmem_range range = { BLOCK, BLOCK };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    return vmem_backing_get_usage(part.backing, &range, &usage, &it->err);
}

static const struct vmem_range loose_range = { BLOCK, 2 * BLOCK };

static int discard(struct scene *it)
{
    return vmem_backing_discard(part.backing, &loose_range, &it->err);
}

/* The error's range is what may be there still; the rest is gone or, outside of
 * what was asked for, as it was. */
static void check_discard(struct scene *it, int ret)
{
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    const struct vmem_range *left = &it->err.range;
    const char *hva;

    vmem_backing_get_info(part.backing, &info);
    hva = info.hva;
    if (it->err.code != ret || left->offset < loose_range.offset ||
        left->offset + left->size != loose_range.offset + loose_range.size) {
        complain(it, "the error does not say how far the discard got");
        return;
    }
    for (size_t at = 0; at < HOST_SIZE; at += MARK_STEP) {
        const bool is_gone = at >= loose_range.offset && at < left->offset;
        const bool is_outside = at < loose_range.offset ||
                                at >= loose_range.offset + loose_range.size;

        if ((is_gone && hva[at] != 0) || (is_outside && hva[at] == 0)) {
            complain(it, "offset 0x%zx holds %d after a discard that failed",
                     at, hva[at]);
        }
    }
}

static int populate(struct scene *it)
{
    return vmem_backing_populate(part.backing, &loose_range, &it->err);
}

/* Block 2 is retained, block 3 is new. */
static int plug(struct scene *it)
{
    const struct vmem_range range = { 2 * BLOCK, 2 * BLOCK };

    return vmem_source_populate(part.source, &range, &it->err);
}

/* Enough for threads: what is behind block 2, which is retained. */
static int plug_much(struct scene *it)
{
    const struct vmem_range range = { 3 * BLOCK, MUCH };

    return vmem_source_populate(part.source, &range, &it->err);
}

static int populate_much(struct scene *it)
{
    const struct vmem_range range = { BLOCK, MUCH };

    return vmem_backing_populate(part.backing, &range, &it->err);
}

static int unplug(struct scene *it)
{
    const struct vmem_range range = { BLOCK, 3 * BLOCK };

    return vmem_source_discard(part.source, &range, &it->err);
}

static int retry(struct scene *it)
{
    return vmem_region_retry_discards(part.region, &it->err);
}

/* A pool without huge pages, which a plug that populates notices; nothing is
 * pretended. */
static bool prepare_empty_pool(struct scene *it)
{
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .name = "host" };

    memset(&part, 0, sizeof(part));
    part.memory.fd = -1;
    if (host_meminfo("HugePages_Free") != 0 ||
        host_meminfo("Hugepagesize") != (int64_t)HUGE_PAGE) {
        printf("SKIP: the pool of huge pages is not empty, or has none of "
               "2 MiB\n");
        return false;
    }
    if (make(it, &part.backing) < 0) {
        printf("SKIP: no backing of huge pages: %s\n", it->err.message);
        return false;
    }
    it->host = &part;
    config.backing = part.backing;
    if (vmem_region_new(it->vm, &config, &part.region, &it->err) < 0 ||
        add_source(it, part.region, "host", BLOCK, VMEM_SOURCE_DISCARDS,
                   &part.source) < 0) {
        complain(it, "no region: %s", it->err.message);
    }
    return true;
}

static int plug_from_empty_pool(struct scene *it)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    const int ret = plug(it);

    vmem_region_get_info(part.region, &info);
    if (info.populated_size != 0 ||
        (ret == -EFAULT && it->err.reason != VMEM_REASON_POPULATE_FAILED)) {
        complain(it, "a plug from an empty pool: %s", it->err.message);
    }
    return ret;
}

static void clean_empty_pool(struct scene *it)
{
    if (part.region != NULL) {
        clean_region(it);
    }
}

#define MAPPED(kind_)                                                          \
    {                                                                          \
        .is_mapped = true, .mapped = (kind_)                                   \
    }

static const struct host_spec anon = { .kind = VMEM_BACKING_ANON };
static const struct host_spec small_anon = { .kind = VMEM_BACKING_ANON,
                                             .size = KIB(64) };
static const struct host_spec anon_shared = { .kind =
                                                  VMEM_BACKING_ANON_SHARED };
static const struct host_spec memfd = { .kind = VMEM_BACKING_MEMFD,
                                        .flags = VMEM_BACKING_POPULATE };
static const struct host_spec new_file = { .kind = VMEM_BACKING_FILE,
                                           .flags = VMEM_BACKING_SHARED };
static const struct host_spec old_file = { .kind = VMEM_BACKING_FILE,
                                           .flags = VMEM_BACKING_SHARED,
                                           .has_old_file = true };
static const struct host_spec private_file = { .kind = VMEM_BACKING_FILE };
static const struct host_spec huge_anon = { .kind = VMEM_BACKING_HUGETLB_ANON };
static const struct host_spec huge_memfd = { .kind =
                                                 VMEM_BACKING_HUGETLB_MEMFD };
static const struct host_spec populated_anon = { .kind = VMEM_BACKING_ANON,
                                                 .flags =
                                                     VMEM_BACKING_POPULATE };
static const struct host_spec threaded_anon = {
    .kind = VMEM_BACKING_ANON,
    .size = MUCH + 3 * BLOCK,
    .flags = VMEM_BACKING_POPULATE,
    .populate_threads = 3,
};
static const struct host_spec mapped_anon = MAPPED(HOST_ANON);
static const struct host_spec mapped_anon_shared = MAPPED(HOST_ANON_SHARED);
static const struct host_spec mapped_memfd = MAPPED(HOST_MEMFD);
static const struct host_spec mapped_memfd_private = MAPPED(HOST_MEMFD_PRIVATE);
static const struct host_spec mapped_disk = MAPPED(HOST_DISK);
static const struct host_spec mapped_huge_anon = MAPPED(HOST_HUGE_ANON);
static const struct host_spec mapped_huge_private =
    MAPPED(HOST_HUGE_MEMFD_PRIVATE);
static const struct host_spec locked_anon = { .is_mapped = true,
                                              .mapped = HOST_ANON,
                                              .is_locked = true };
static const struct host_spec locked_memfd = { .is_mapped = true,
                                               .mapped = HOST_MEMFD,
                                               .is_locked = true };
static const struct host_spec removed_memfd = {
    .is_mapped = true,
    .mapped = HOST_MEMFD,
    .flags = VMEM_BACKING_PREFER_REMOVE,
};

#define MAKING(what, spec_, ...)                                               \
    {                                                                          \
        "making " what, new_backing, .undo = undo_backing, .prepare = prepare, \
                                     .clean = clean, .spec = &(spec_),         \
                                     .has_error = true, __VA_ARGS__            \
    }
#define USING(name_, run_, spec_, ...)                                         \
    {                                                                          \
        name_, run_, .prepare = prepare_backing, .clean = clean_backing,       \
                     .spec = &(spec_), .has_error = true, __VA_ARGS__          \
    }
#define CHANGING(name_, run_, spec_, ...)                                      \
    {                                                                          \
        name_, run_, .prepare = prepare_region, .clean = clean_region,         \
                     .spec = &(spec_), .has_error = true, __VA_ARGS__          \
    }

const struct operation host_operations[] = {
    MAKING("anonymous memory", anon),
    MAKING("a little anonymous memory", small_anon),
    MAKING("shared anonymous memory", anon_shared),
    MAKING("a memfd", memfd),
    MAKING("memory of a new file", new_file),
    MAKING("memory of an old file", old_file),
    MAKING("private memory of a file", private_file),
    MAKING("huge pages", huge_anon, .pretends_huge = true),
    MAKING("a memfd of huge pages", huge_memfd, .pretends_huge = true),
    MAKING("a backing of anonymous memory", mapped_anon),
    MAKING("a backing of shared anonymous memory", mapped_anon_shared),
    MAKING("a backing of a memfd", mapped_memfd),
    MAKING("a backing of a private memfd", mapped_memfd_private),
    MAKING("a backing of a disk file", mapped_disk),
    MAKING("a backing of huge pages", mapped_huge_anon, .pretends_huge = true),
    MAKING("a backing of private huge pages", mapped_huge_private,
           .pretends_huge = true),
    MAKING("a backing of locked memory", locked_anon),
    MAKING("a backing of a locked memfd", locked_memfd),
    MAKING("a backing whose pages are removed", removed_memfd),
    { "making and freeing a memfd", make_and_free, .prepare = prepare,
      .clean = clean, .spec = &memfd, .has_error = true },
    USING("measuring anonymous memory", measure, mapped_anon),
    USING("measuring shared anonymous memory", measure, mapped_anon_shared),
    USING("measuring a memfd", measure, memfd),
    USING("measuring a part of a memfd", measure_part, mapped_memfd),
    USING("measuring a part of a private memfd", measure_part,
          mapped_memfd_private),
    USING("measuring a part of huge pages", measure_part, huge_memfd,
          .pretends_huge = true),
    USING("discarding anonymous memory", discard, mapped_anon,
          .check_failed = check_discard),
    USING("discarding shared anonymous memory", discard, mapped_anon_shared,
          .check_failed = check_discard),
    USING("discarding a memfd", discard, mapped_memfd,
          .check_failed = check_discard),
    USING("discarding a private memfd", discard, mapped_memfd_private,
          .check_failed = check_discard),
    USING("discarding locked memory", discard, locked_anon,
          .check_failed = check_discard),
    USING("removing pages", discard, removed_memfd,
          .check_failed = check_discard),
    USING("populating anonymous memory", populate, mapped_anon),
    USING("populating a memfd", populate, mapped_memfd),
    USING("populating by threads", populate_much, threaded_anon),
    CHANGING("plugging anonymous memory", plug, populated_anon),
    CHANGING("plugging by threads", plug_much, threaded_anon),
    CHANGING("plugging a memfd", plug, memfd),
    CHANGING("plugging huge pages", plug, huge_memfd, .pretends_huge = true),
    CHANGING("unplugging anonymous memory", unplug, populated_anon),
    CHANGING("unplugging a memfd", unplug, memfd),
    CHANGING("unplugging huge pages", unplug, huge_memfd,
             .pretends_huge = true),
    CHANGING("retrying discards of a memfd", retry, memfd),
    { "plugging from an empty pool", plug_from_empty_pool, .expected = -EFAULT,
      .prepare = prepare_empty_pool, .clean = clean_empty_pool,
      .spec = &huge_memfd },
};

const size_t nr_host_operations =
    sizeof(host_operations) / sizeof(host_operations[0]);
