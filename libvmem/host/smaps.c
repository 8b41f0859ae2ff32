/* SPDX-License-Identifier: BSD-3-Clause */
#include "host/smaps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/sys.h"

/* Lines from a buffer of fixed size; of a longer one the start is kept, which
 * has the numbers, and the end of the path is lost. */
struct reader {
    int fd;
    size_t begin;
    size_t end;
    bool is_cut; /* what follows, up to the newline, belongs to a line that was
                    already returned */
    char bytes[4096];
};

static int refill(struct reader *reader)
{
    int64_t length;

    VMEMI_SYS_RETRY(
        length, vmemi_sys_get()->read(reader->fd, reader->bytes + reader->end,
                                      sizeof(reader->bytes) - 1 - reader->end));
    if (length > 0) {
        reader->end += (size_t)length;
    }
    return length < 0 ? (int)length : length > 0;
}

/* 1 with a line, 0 at the end, or a negative errno. The line is valid until the
 * next call. */
static int read_line(struct reader *reader, char **line)
{
    for (;;) {
        char *start = reader->bytes + reader->begin;
        char *newline = memchr(start, '\n', reader->end - reader->begin);
        bool was_cut = reader->is_cut;
        int ret;

        if (newline != NULL) {
            *newline = '\0';
            reader->begin = (size_t)(newline + 1 - reader->bytes);
            reader->is_cut = false;
            if (was_cut) {
                continue;
            }
            *line = start;
            return 1;
        }
        memmove(reader->bytes, start, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
        if (reader->end == sizeof(reader->bytes) - 1) {
            reader->bytes[reader->end] = '\0';
            reader->end = 0;
            reader->is_cut = true;
            if (was_cut) {
                continue;
            }
            *line = reader->bytes;
            return 1;
        }
        ret = refill(reader);
        if (ret <= 0) {
            return ret;
        }
    }
}

static bool parse_number(char **text, int base, char terminator,
                         uint64_t *number)
{
    char *end;

    *number = strtoull(*text, &end, base);
    if (end == *text || *end != terminator) {
        return false;
    }
    *text = end + 1;
    return true;
}

/* "7f0a6be00000-7f0a6c600000 rw-s 00000000 00:01 1046     /memfd:x (deleted)";
 * false: not such a line. */
static bool parse_head(char *line, struct vmemi_vma *vma)
{
    static const char deleted[] = " (deleted)";
    uint64_t major;
    uint64_t minor;
    size_t length;
    char *end;

    memset(vma, 0, sizeof(*vma));
    if (!parse_number(&line, 16, '-', &vma->start_hva) ||
        !parse_number(&line, 16, ' ', &vma->end_hva) || strlen(line) < 5) {
        return false;
    }
    vma->is_shared = line[3] == 's';
    line += 5;
    if (!parse_number(&line, 16, ' ', &vma->fd_offset) ||
        !parse_number(&line, 16, ':', &major) ||
        !parse_number(&line, 16, ' ', &minor)) {
        return false;
    }
    vma->dev_major = (uint32_t)major;
    vma->dev_minor = (uint32_t)minor;
    vma->ino = strtoull(line, &end, 10);
    end += strspn(end, " ");
    length = strlen(end);
    vma->is_deleted =
        length >= sizeof(deleted) - 1 &&
        strcmp(end + length - (sizeof(deleted) - 1), deleted) == 0;
    snprintf(vma->path, sizeof(vma->path), "%s", end);
    return true;
}

static bool has_flag(const char *flags, const char *flag)
{
    const char *found = strstr(flags, flag);

    /* All flags have two letters, and a space before and behind. */
    return found != NULL && found[-1] == ' ' && found[2] == ' ';
}

/* True on the last line of a mapping. */
static bool parse_detail(char *line, struct vmemi_vma *vma)
{
    static const char page_size[] = "KernelPageSize:";
    static const char flags[] = "VmFlags: ";

    if (strncmp(line, page_size, sizeof(page_size) - 1) == 0) {
        vma->page_size =
            strtoull(line + sizeof(page_size) - 1, NULL, 10) * 1024;
        return false;
    }
    if (strncmp(line, flags, sizeof(flags) - 1) != 0) {
        return false;
    }
    vma->may_write = has_flag(line + sizeof(flags) - 1, "mw");
    vma->is_locked = has_flag(line + sizeof(flags) - 1, "lo");
    vma->is_pfnmap = has_flag(line + sizeof(flags) - 1, "pf");
    return true;
}

static int walk(struct reader *reader, uint64_t hva, uint64_t end_hva,
                vmemi_vma_fn fn, void *opaque, int *verdict)
{
    struct vmemi_vma vma = { 0 };
    char *line;
    int ret;

    while ((ret = read_line(reader, &line)) > 0) {
        struct vmemi_vma head;

        if (parse_head(line, &head)) {
            vma = head;
            if (vma.start_hva >= end_hva) {
                return 0;
            }
        } else if (parse_detail(line, &vma) && vma.end_hva > hva) {
            *verdict = fn(&vma, opaque);
            if (*verdict != 0) {
                return 0;
            }
        }
    }
    return ret;
}

int vmemi_smaps_for_each(uint64_t hva, uint64_t size, vmemi_vma_fn fn,
                         void *opaque, int *verdict)
{
    struct reader reader;
    int ret;

    *verdict = 0;
    reader.begin = 0;
    reader.end = 0;
    reader.is_cut = false;
    VMEMI_SYS_RETRY(reader.fd, vmemi_sys_get()->open("/proc/self/smaps",
                                                     O_RDONLY | O_CLOEXEC, 0));
    if (reader.fd < 0) {
        return reader.fd;
    }
    ret = walk(&reader, hva, hva + size, fn, opaque, verdict);
    (void)vmemi_sys_get()->close(reader.fd);
    return ret;
}
