/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver, through /dev/mem, of QEMU's device "edu" (docs/specs/edu), whose
 * registers minivmm has put where we are told. */
#include "agent.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define SIZE 64
#define MAX_S 10
#define SOURCE 0x80
#define TARGET 0x88
#define COUNT 0x90
#define COMMAND 0x98
#define START 1
#define TO_MEMORY 2
/* The device's own memory. */
#define BUFFER 0x40000

static void *map_registers(uint64_t gpa)
{
    const int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    void *hva = fd < 0 ? MAP_FAILED
                       : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
                              fd, (off_t)gpa);

    if (fd >= 0) {
        close(fd);
    }
    if (hva == MAP_FAILED) {
        answer_errno("/dev/mem");
        return NULL;
    }
    if ((*(volatile uint32_t *)hva & 0xffff) != 0xed) {
        answer("@fail not edu: %#x", *(volatile uint32_t *)hva);
        return NULL;
    }
    return hva;
}

static void set(void *registers, unsigned offset, uint64_t value)
{
    ((volatile uint64_t *)registers)[offset / 8] = value;
}

/* Takes 100 ms. Asks without a pause: a guest that sleeps needs a timer, and the
 * emulated KVM has lost those of a whole run. */
static bool transfer(void *registers, uint64_t source, uint64_t target,
                     uint64_t command)
{
    const time_t end = time(NULL) + MAX_S;

    set(registers, SOURCE, source);
    set(registers, TARGET, target);
    set(registers, COUNT, SIZE);
    set(registers, COMMAND, START | command);
    while (time(NULL) < end) {
        if ((((volatile uint64_t *)registers)[COMMAND / 8] & START) == 0) {
            return true;
        }
    }
    return false;
}

void edu_copy(uint64_t registers_gpa, uint64_t gpa, uint64_t size)
{
    void *registers = map_registers(registers_gpa);
    uint64_t source_gpa = 0;
    uint64_t target_gpa = 0;
    uint8_t *source = memory_page(gpa, size, 0, &source_gpa);
    uint8_t *target = memory_page(gpa, size, 1, &target_gpa);

    if (registers == NULL) {
        return;
    }
    if (source == NULL || target == NULL) {
        answer("@fail the fill has no pages there");
        return;
    }
    memset(target, 0, SIZE);
    for (unsigned i = 0; i < SIZE; i++) {
        source[i] = (uint8_t)(i * 7 + 1);
    }
    if (!transfer(registers, source_gpa, BUFFER, 0) ||
        !transfer(registers, BUFFER, target_gpa, TO_MEMORY)) {
        answer("@fail edu does not end");
    } else if (memcmp(source, target, SIZE) != 0) {
        answer("@fail not what was sent: %u %u", target[0], target[1]);
    } else {
        answer("@ok %llu", (unsigned long long)target_gpa);
    }
    munmap(registers, PAGE);
}

void edu_poke(uint64_t registers_gpa, uint64_t gpa)
{
    void *registers = map_registers(registers_gpa);

    if (registers != NULL) {
        answer(transfer(registers, BUFFER, gpa, TO_MEMORY)
                   ? "@ok"
                   : "@fail edu does not end");
        munmap(registers, PAGE);
    }
}
