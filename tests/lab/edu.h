/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_LAB_EDU_H
#define TESTS_LAB_EDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* QEMU's device for teaching, driven through VFIO. It has 4 KiB of memory of its
 * own, which it fills from and writes to the address space that it is in. Each
 * transfer takes 100 ms. */

/* Of one transfer. QEMU ends itself when one reaches the last byte. */
#define EDU_MAX_SIZE 4095

struct edu {
    volatile uint8_t *registers;
    size_t size;
    uint64_t nr_transfers;
};

/* Of an open VFIO device: maps its registers and lets it master the bus. False
 * with a note of what failed. */
bool edu_open(struct edu *edu, int device_fd);
void edu_close(struct edu *edu);

/* The device reads from an IOVA into its memory, and writes its memory to one.
 * True when it says that it is done, whatever the IOMMU let through. */
bool edu_read(struct edu *edu, uint64_t iova, size_t size);
bool edu_write(struct edu *edu, uint64_t iova, size_t size);

#endif /* TESTS_LAB_EDU_H */
