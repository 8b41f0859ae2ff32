/* SPDX-License-Identifier: BSD-3-Clause */
/* How do the bytes of a virtqueue become answers? */
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

static struct vmem_vm *vm;
static struct vmem_backing *memory;
static struct vmem_region *ram;
static struct vmem_device *device;

static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_config want = { sizeof(want), .name = "ram" };
    struct vmem_region_config shape = { sizeof(shape), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };

    want.kind = VMEM_BACKING_ANON;
    want.size = 64 * MIB;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = 2 * MIB;
    virtio.requested_size = 8 * MIB;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_backing_new_allocated(vm, &want, &memory, err) < 0) {
        return err->code;
    }
    shape.backing = memory;
    if (vmem_region_new(vm, &shape, &ram, err) < 0 ||
        vmem_device_new(ram, &virtio, NULL, NULL, &device, err) < 0) {
        return err->code;
    }
    return 0;
}

//! [request]
/* A descriptor chain, in whatever pieces the driver has cut it; here two. It is
 * read once, so it may lie in guest memory. Returns the used length. */
static int serve(unsigned char *request, size_t size)
{
    const size_t cut = size < 8 ? size : 8;
    const struct iovec readable[] = { { request, cut },
                                      { request + cut, size - cut } };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];
    const struct iovec writable = { response, sizeof(response) };
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    int ret = vmem_device_handle_request_iov(device, readable, 2, &writable, 1,
                                             &result);

    if (ret == VMEM_REQUEST_MALFORMED) {
        printf("malformed: set DEVICE_NEEDS_RESET, push nothing\n");
    } else if (ret == VMEM_REQUEST_RESPOND) {
        printf("%s", vmem_response_type_name(result.response));
        if (result.type == VMEM_REQUEST_STATE) {
            printf(", state %u", response[8]);
        }
        printf("\n");
    }
    return ret < 0 ? ret : (int)result.used_size;
}
//! [request]

//! [bytes]
/* Little-endian: type at 0, address at 8, number of blocks at 16. */
static struct {
    const char *what;
    unsigned char bytes[VMEM_DEVICE_REQUEST_SIZE];
    size_t size;
} stream[] = {
    { "plug 4 blocks at 4 GiB", { [12] = 1, [16] = 4 }, 24 },
    { "once more", { [12] = 1, [16] = 4 }, 24 },
    { "one that is too many", { [10] = 0x80, [12] = 1, [16] = 1 }, 24 },
    { "unplug the last", { 1, [10] = 0x60, [12] = 1, [16] = 1 }, 24 },
    { "state of the four", { 3, [12] = 1, [16] = 4 }, 24 },
    { "a type nobody knows", { 9, [12] = 1, [16] = 4 }, 24 },
    { "seven bytes", { 0 }, 7 },
};
//! [bytes]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = start(&err);

    if (ret < 0) {
        fprintf(stderr, "%s\n", err.message);
    }
    for (size_t i = 0; ret >= 0 && i < sizeof(stream) / sizeof(*stream); i++) {
        printf("%s: ", stream[i].what);
        ret = serve(stream[i].bytes, stream[i].size);
    }
    /* Children first. What was not made is NULL, which is allowed. */
    if (vmem_device_free(device, &err) < 0 || vmem_region_free(ram, &err) < 0 ||
        vmem_backing_free(memory, &err) < 0 || vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        ret = err.code;
    }
    return ret >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
