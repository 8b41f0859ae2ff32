/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver of a virtio-mmio device, in user space through /dev/mem, that fills
 * the queue with what no driver should. The kernel's driver must not be bound. */
#include "agent.h"

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define QUEUE_SIZE 8
#define ROUND_KINDS 10

enum { DESC, AVAIL, USED, BUFFER, NR_PAGES };

static volatile uint32_t *registers;
static uint8_t *pages[NR_PAGES];
static uint64_t pages_gpa[NR_PAGES];
static uint64_t random_state = 1;

static uint32_t next_random(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(random_state >> 33);
}

/* A page that stays where it is, and where that is. */
static bool make_page(unsigned i)
{
    const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entry = 0;

    pages[i] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    if (pages[i] == MAP_FAILED || fd < 0) {
        return false;
    }
    memset(pages[i], 0, PAGE);
    const ssize_t got = pread(fd, &entry, sizeof(entry),
                              (off_t)((uintptr_t)pages[i] / PAGE * 8));
    close(fd);
    pages_gpa[i] = (entry & ((UINT64_C(1) << 55) - 1)) * PAGE;
    return got == sizeof(entry) && pages_gpa[i] != 0;
}

static void set(unsigned offset, uint32_t value)
{
    registers[offset / 4] = value;
}

static void set_address(unsigned offset, uint64_t gpa)
{
    set(offset, (uint32_t)gpa);
    set(offset + 4, (uint32_t)(gpa >> 32));
}

static void start(void)
{
    memset(pages[AVAIL], 0, PAGE);
    memset(pages[USED], 0, PAGE);
    set(VIRTIO_MMIO_STATUS, 0);
    set(VIRTIO_MMIO_STATUS, 3);
    set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    set(VIRTIO_MMIO_DRIVER_FEATURES, 0);
    set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
    set(VIRTIO_MMIO_STATUS, 11);
    set(VIRTIO_MMIO_QUEUE_SEL, 0);
    set(VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
    set_address(VIRTIO_MMIO_QUEUE_DESC_LOW, pages_gpa[DESC]);
    set_address(VIRTIO_MMIO_QUEUE_AVAIL_LOW, pages_gpa[AVAIL]);
    set_address(VIRTIO_MMIO_QUEUE_USED_LOW, pages_gpa[USED]);
    set(VIRTIO_MMIO_QUEUE_READY, 1);
    set(VIRTIO_MMIO_STATUS, 15);
}

static void put_desc(unsigned i, uint64_t gpa, uint32_t size, uint16_t flags,
                     uint16_t next)
{
    const struct vring_desc desc = { gpa, size, flags, next };

    memcpy(pages[DESC] + i * sizeof(desc), &desc, sizeof(desc));
}

/* A good request, with one thing wrong in it, by the number of the round. */
static void put_garbage(unsigned kind)
{
    const uint64_t gpa = pages_gpa[BUFFER];
    const uint16_t next = VRING_DESC_F_NEXT;
    const uint16_t write = VRING_DESC_F_WRITE;

    memset(pages[BUFFER], 0, PAGE);
    pages[BUFFER][0] = 2; /* UNPLUG ALL */
    put_desc(0, gpa, 24, next, 1);
    put_desc(1, gpa + 64, 10, write, 0);
    switch (kind) {
    case 0: /* nothing is wrong */
        break;
    case 1: /* a loop */
        put_desc(1, gpa, 24, next, 0);
        break;
    case 2:
        put_desc(0, gpa, 7, next, 1);
        break;
    case 3:
        put_desc(1, gpa + 64, 9, write, 0);
        break;
    case 4:
        put_desc(0, UINT64_C(1) << 50, 24, next, 1);
        break;
    case 5:
        put_desc(1, UINT64_MAX - 4, 10, write, 0);
        break;
    case 6:
        put_desc(0, gpa, 24, next, 0xffff);
        break;
    case 7: /* an unknown type */
        pages[BUFFER][1] = 1;
        break;
    case 8: /* a request that cannot be */
        memset(pages[BUFFER], 0xff, 24);
        pages[BUFFER][0] = pages[BUFFER][1] = 0;
        break;
    default:
        for (unsigned i = 0; i < QUEUE_SIZE; i++) {
            put_desc(i, gpa + next_random() % 8192, next_random() % 64,
                     (uint16_t)(next_random() % 8),
                     (uint16_t)(next_random() % 12));
        }
        for (unsigned i = 0; i < 64; i++) {
            pages[BUFFER][i] = (uint8_t)next_random();
        }
        break;
    }
}

void hostile_run(uint64_t gpa, uint64_t nr_rounds)
{
    const int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    unsigned nr_answered = 0;
    unsigned nr_broken = 0;
    unsigned nr_neither = 0;
    void *hva = fd < 0 ? MAP_FAILED
                       : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
                              fd, (off_t)gpa);

    if (hva == MAP_FAILED) {
        answer_errno("/dev/mem");
        return;
    }
    registers = hva;
    for (unsigned i = 0; i < NR_PAGES; i++) {
        if (!make_page(i)) {
            answer_errno("pagemap");
            return;
        }
    }
    for (unsigned i = 0; i < nr_rounds; i++) {
        const uint16_t one[] = { 0, 1, (uint16_t)(i % 16 == 15 ? 99 : 0) };

        start();
        put_garbage(i % ROUND_KINDS);
        memcpy(pages[AVAIL], one, sizeof(one));
        set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
        const bool answered = pages[USED][2] == 1;
        const bool broken = (registers[VIRTIO_MMIO_STATUS / 4] &
                             VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
        nr_answered += answered && !broken;
        nr_broken += broken;
        nr_neither += !answered && !broken;
    }
    set(VIRTIO_MMIO_STATUS, 0);
    munmap(hva, PAGE);
    close(fd);
    answer("@ok %u %u %u", nr_answered, nr_broken, nr_neither);
}
