/* SPDX-License-Identifier: BSD-3-Clause */
/* I keep a bitmap of blocks of my own. Can libvmem's be used alone? */
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

static int show(const struct vmem_bitmap_run *run, void *opaque)
{
    printf("  %s %llu..%llu\n", (const char *)opaque,
           (unsigned long long)run->first_block,
           (unsigned long long)(run->first_block + run->nr_blocks));
    return 0;
}

//! [bitmap]
static int use(struct vmem_bitmap *bitmap)
{
    const uint64_t nr_blocks = vmem_bitmap_get_nr_blocks(bitmap);
    uint64_t nr_changed;
    uint64_t words[2];
    char set[] = "set";
    char clear[] = "clear";

    if (vmem_bitmap_set(bitmap, 1000, 500, &nr_changed) < 0 ||
        vmem_bitmap_clear(bitmap, 1200, 100, &nr_changed) < 0) {
        return -1;
    }
    printf("%llu changed, %llu of %llu are set\n",
           (unsigned long long)nr_changed,
           (unsigned long long)vmem_bitmap_get_nr_set(bitmap),
           (unsigned long long)nr_blocks);

    /* Costs per run, however long runs are. */
    if (vmem_bitmap_for_each_set(bitmap, 0, nr_blocks, show, set) != 0 ||
        vmem_bitmap_for_each_clear(bitmap, 1100, 300, show, clear) != 0) {
        return -1;
    }
    printf("block 1250: %d, next set %llu, next clear after 1300: %llu\n",
           vmem_bitmap_is_set(bitmap, 1250),
           (unsigned long long)vmem_bitmap_next_set(bitmap, 1250, nr_blocks),
           (unsigned long long)vmem_bitmap_next_clear(bitmap, 1300, nr_blocks));
    printf("1150..1250: %s, %llu set\n",
           vmem_bitmap_get_state(bitmap, 1150, 100) == VMEM_BITMAP_MIXED
               ? "mixed"
               : "not mixed",
           (unsigned long long)vmem_bitmap_count(bitmap, 1150, 100));
    if (vmem_bitmap_copy_out(bitmap, 1180, 128, words) < 0) {
        return -1;
    }
    printf("the first 20 of 128 bits from 1180 on: %#llx\n",
           (unsigned long long)words[0]);
    return 0;
}
//! [bitmap]

int main(void)
{
    struct vmem_bitmap *bitmap;
    int ret = vmem_bitmap_new((uint64_t)1 << 22, &bitmap); /* 8 TiB of 2 MiB */

    if (ret < 0) {
        fprintf(stderr, "no memory for a bitmap\n");
        return EXIT_FAILURE;
    }
    ret = use(bitmap);
    vmem_bitmap_free(bitmap);
    return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
