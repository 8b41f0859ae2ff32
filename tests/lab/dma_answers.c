/* SPDX-License-Identifier: BSD-3-Clause */
/* Puts the questions of tests/data/dma/ to the kernel. Usage:
 *
 *   dma_answers INTERFACE FD IOAS LIMIT MEMLOCK TABLE
 *
 * FD is an open descriptor that whoever starts this has made ready: a container
 * with a group and an IOMMU of that kind ("type1", "type1-v1", "compat"), or
 * /dev/iommu with the address space IOAS, to which a device is attached
 * ("iommufd"). LIMIT is the container's dma_entry_limit and MEMLOCK the bytes
 * that this process may pin, where they are small; 0 leaves out the scenes that
 * need them. Exit status 0: everything was answered as the table says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "support/dma_answers.h"

static int ask_kernel(unsigned long request, void *argument, void *opaque)
{
    int ret = ioctl(*(const int *)opaque, request, argument);

    return ret < 0 ? -errno : ret;
}

int main(int argc, char **argv)
{
    struct dma_answers_target target = { .ioctl = ask_kernel };
    struct dma_answers_result result;
    FILE *table;
    int fd;
    int ret;

    if (argc != 7) {
        fprintf(stderr, "usage: dma_answers INTERFACE FD IOAS LIMIT MEMLOCK "
                        "TABLE\n");
        return 2;
    }
    fd = atoi(argv[2]);
    target.opaque = &fd;
    target.interface = argv[1];
    target.ioas_id = (uint32_t)strtoul(argv[3], NULL, 0);
    target.limit = strtoull(argv[4], NULL, 0);
    target.memlock = strtoull(argv[5], NULL, 0);
    table = fopen(argv[6], "r");
    if (table == NULL) {
        perror(argv[6]);
        return 2;
    }
    ret = dma_answers_run(table, argv[6], &target, stdout, &result);
    fclose(table);
    if (ret < 0) {
        printf("no memory to map: errno %d\n", -ret);
        return 2;
    }
    printf("%s: %u questions in %u scenes, %u scenes left out, %u wrong "
           "answers, %u malformed lines\n",
           target.interface, result.nr_questions, result.nr_scenes,
           result.nr_skipped_scenes, result.nr_wrong, result.nr_malformed);
    return result.nr_wrong != 0 || result.nr_malformed != 0 ||
           result.nr_questions == 0;
}
