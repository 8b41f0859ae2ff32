/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/backing_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/allocations.h"
#include "support/fake_sys.h"

struct vmem_vm *backing_vm;
struct backing_log backing_log;

static void take_log(const struct vmem_log_record *record, void *opaque)
{
    (void)opaque;
    backing_log.nr_codes[record->code]++;
    backing_log.level = record->level;
    backing_log.blame = record->blame;
    snprintf(backing_log.object, sizeof(backing_log.object), "%s",
             record->object);
}

int backing_set_up(void **state)
{
    const struct vmem_vm_config config = {
        .struct_size = sizeof(config),
        .name = "vm0",
        .log = take_log,
    };

    (void)state;
    memset(&backing_log, 0, sizeof(backing_log));
    return vmem_vm_new(&config, &backing_vm, NULL);
}

int backing_tear_down(void **state)
{
    (void)state;
    fake_sys_remove();
    allocations_end();
    host_pool_give_back();
    return vmem_vm_free(backing_vm, NULL);
}

struct vmem_backing_mapping backing_describe(const struct host_memory *memory)
{
    struct vmem_backing_mapping mapping = {
        .struct_size = sizeof(mapping),
        .name = "ram0",
        .hva = memory->hva,
        .size = memory->size,
        .fd_offset = memory->fd_offset,
    };

    if (host_kind_is_shared(memory->kind)) {
        mapping.flags |= VMEM_BACKING_SHARED;
    }
    if (memory->fd >= 0) {
        mapping.flags |= VMEM_BACKING_HAS_FD;
        mapping.fd = memory->fd;
    } else if (host_kind_is_huge(memory->kind)) {
        mapping.page_size = HUGE_PAGE;
    }
    return mapping;
}

struct vmem_backing_config backing_request(uint32_t kind, uint64_t size)
{
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "ram0",
        .kind = kind,
        .size = size,
    };

    return request;
}

struct vmem_backing_info backing_info(const struct vmem_backing *backing)
{
    struct vmem_backing_info info = { .struct_size = sizeof(info) };

    assert_int_equal(vmem_backing_get_info(backing, &info), 0);
    return info;
}

bool backing_memory(struct host_memory *memory, enum host_kind kind,
                    size_t size, size_t fd_offset)
{
    int ret = host_memory_make(memory, kind, size, fd_offset);

    if (ret < 0) {
        printf("SKIP: no memory of kind %s: %s\n", host_kind_name(kind),
               strerror(-ret));
        return false;
    }
    return true;
}

struct vmem_backing *backing_accept(const struct vmem_backing_mapping *mapping)
{
    struct vmem_backing *backing = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = vmem_backing_new_mapped(backing_vm, mapping, &backing, &err);

    if (ret < 0) {
        fail_msg("refused: %s", err.message);
    }
    return backing;
}

void backing_refuse(const struct vmem_backing_mapping *mapping, int code,
                    uint32_t reason, const char *text)
{
    struct vmem_backing *backing = (struct vmem_backing *)0x1;
    struct vmem_error err = VMEM_ERROR_INIT;
    unsigned int nr_fds = host_nr_fds();
    int ret = vmem_backing_new_mapped(backing_vm, mapping, &backing, &err);

    if (ret == 0) {
        vmem_backing_free(backing, NULL);
        fail_msg("accepted, expected \"%s\"", text);
    }
    if (ret != code || err.reason != reason ||
        strstr(err.message, text) == NULL) {
        fail_msg("%d %s \"%s\", expected %d %s \"%s\"", ret,
                 vmem_reason_name(err.reason), err.message, code,
                 vmem_reason_name(reason), text);
    }
    assert_ptr_equal(backing, (struct vmem_backing *)0x1);
    assert_int_equal(err.code, code);
    assert_int_equal(host_nr_fds(), nr_fds);
    assert_int_equal(
        vmem_backing_new_mapped(backing_vm, mapping, &backing, NULL), code);
}
