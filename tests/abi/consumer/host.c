/* SPDX-License-Identifier: BSD-3-Clause */
/* A program outside the tree, in C: one machine, one device, one plug. */
#include <stdio.h>
#include <string.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)
#define GPA (4096 * MIB)
#define REGION_SIZE (64 * MIB)
#define BLOCK_SIZE (2 * MIB)
#define PLUGGED (32 * MIB)

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "line %d: %s does not hold: %s\n", __LINE__,       \
                    #condition, err.message);                                  \
            return 1;                                                          \
        }                                                                      \
    } while (0)

/* A request as a Linux guest sends it, little-endian whatever we are. */
static void fill_request(unsigned char *request, unsigned int type,
                         uint64_t gpa, unsigned int nr_blocks)
{
    memset(request, 0, VMEM_DEVICE_REQUEST_SIZE);
    request[0] = (unsigned char)type;
    for (int i = 0; i < 8; i++) {
        request[8 + i] = (unsigned char)(gpa >> (8 * i));
    }
    request[16] = (unsigned char)nr_blocks;
    request[17] = (unsigned char)(nr_blocks >> 8);
}

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "guest",
    };
    struct vmem_backing_config wanted = {
        .struct_size = sizeof(wanted),
        .name = "ram",
        .size = REGION_SIZE,
        .kind = VMEM_BACKING_MEMFD,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "ram",
    };
    struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config),
        .name = "vmem0",
        .gpa = GPA,
        .block_size = BLOCK_SIZE,
    };
    struct vmem_device_info shape = { .struct_size = sizeof(shape) };
    struct vmem_backing_info place = { .struct_size = sizeof(place) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
    unsigned char request[VMEM_DEVICE_REQUEST_SIZE];
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];

    CHECK(strcmp(vmem_version(), VMEM_VERSION) == 0);
    CHECK(vmem_vm_new(&vm_config, &vm, &err) == 0);
    CHECK(vmem_backing_new_allocated(vm, &wanted, &backing, &err) == 0);
    region_config.backing = backing;
    CHECK(vmem_region_new(vm, &region_config, &region, &err) == 0);
    CHECK(vmem_device_new(region, &device_config, NULL, NULL, &device, &err) ==
          0);
    CHECK(vmem_device_resize(device, PLUGGED, &err) == 0);

    fill_request(request, VMEM_REQUEST_PLUG, GPA,
                 (unsigned int)(PLUGGED / BLOCK_SIZE));
    CHECK(vmem_device_handle_request(device, request, sizeof(request), response,
                                     sizeof(response),
                                     NULL) == VMEM_REQUEST_RESPOND);
    CHECK(response[0] == VMEM_RESPONSE_ACK);
    CHECK(vmem_device_get_info(device, &shape) == 0);
    CHECK(shape.plugged_size == PLUGGED);

    CHECK(vmem_backing_get_info(backing, &place) == 0);
    memset(place.hva, 0x5a, PLUGGED);
    CHECK(vmem_backing_get_usage(backing, NULL, &usage, &err) == 0);
    CHECK(usage.resident == PLUGGED);

    fill_request(request, VMEM_REQUEST_UNPLUG, GPA,
                 (unsigned int)(PLUGGED / BLOCK_SIZE));
    CHECK(vmem_device_handle_request(device, request, sizeof(request), response,
                                     sizeof(response),
                                     NULL) == VMEM_REQUEST_RESPOND);
    CHECK(response[0] == VMEM_RESPONSE_ACK);
    CHECK(vmem_backing_get_usage(backing, NULL, &usage, &err) == 0);
    CHECK(usage.resident == 0);

    CHECK(vmem_device_free(device, &err) == 0);
    CHECK(vmem_region_free(region, &err) == 0);
    CHECK(vmem_backing_free(backing, &err) == 0);
    CHECK(vmem_vm_free(vm, &err) == 0);
    printf("C host: plugged, used and gave back 32 MiB\n");
    return 0;
}
