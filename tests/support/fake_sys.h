/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAKE_SYS_H
#define TESTS_FAKE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kernel under libvmem/host, counted, recorded, and failing where a test
 * wants it. Everything that is not told to fail really happens. */

enum fake_call {
    FAKE_MADVISE,
    FAKE_FALLOCATE,
    FAKE_MINCORE,
    FAKE_MMAP,
    FAKE_MUNMAP,
    FAKE_MEMFD_CREATE,
    FAKE_FTRUNCATE,
    FAKE_OPEN,
    FAKE_CLOSE, /* closes, and then may fail, as Linux does */
    FAKE_UNLINK,
    FAKE_FCNTL,
    FAKE_FSTAT,
    FAKE_FSTATFS,
    FAKE_LSEEK,
    FAKE_READ,
    FAKE_PREAD,
    FAKE_PAGEMAP_SCAN,
    FAKE_THREAD_START,
    FAKE_CALLS,
    FAKE_ANY = FAKE_CALLS
};

/* One call that changed or asked for something, in order. */
struct fake_record {
    enum fake_call call;
    int detail;     /* advice, mode, or command */
    uint64_t start; /* hva or fd_offset */
    uint64_t size;
    int ret;
};

struct fake_sys {
    /* Counted since fake_sys_install(). */
    unsigned int nr_calls[FAKE_CALLS + 1]; /* the last one: of any function */
    unsigned int nr_failed;
    enum fake_call failed;           /* the last one that did */
    struct fake_record records[128]; /* madvise, fallocate, mmap, munmap */
    size_t nr_records;

    /* Calls number first to first + count - 1 of call fail with error, a
     * positive errno; count 0: none. */
    enum fake_call call;
    unsigned int first;
    unsigned int count;
    int error;

    /* Besides: populating memory that holds this address fails with hva_error;
     * NULL: none. */
    const void *hva;
    int hva_error;

    /* Besides: opening this path fails with path_error; NULL: none. */
    const char *path;
    int path_error;

    uint64_t fs_block_size; /* fstatfs says so; 0: the file system's own */
    uint64_t fs_type;       /* likewise */
    uint64_t file_size; /* fstat says so from call size_from on; 0: its own */
    unsigned int size_from;
    bool is_stuck; /* PAGEMAP_SCAN does not go on, SEEK_HOLE finds no data */
    uint64_t max_read;  /* read and pread return at most this; 0: no limit */
    uint64_t page_size; /* 0: the kernel's. Only for tests that let nothing be
                           counted in real pages: mincore would overrun */
    const char *text;   /* read returns this instead of a file; NULL: no */
    size_t text_position;
};

/* Starts counting from 0; what is told to fail stays. */
void fake_sys_install(struct fake_sys *fake);
void fake_sys_remove(void);

const char *fake_call_name(enum fake_call call);

#endif /* TESTS_FAKE_SYS_H */
