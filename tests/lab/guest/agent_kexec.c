/* SPDX-License-Identifier: BSD-3-Clause */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KERNEL "/boot/vmlinuz"
#define ARCHIVE "/tmp/initramfs"
#define PAGE 4096
#define MAX_FILL (256 * MIB)

/* One entry of a cpio archive of the "newc" form. */
static void put_entry(FILE *out, const char *name, unsigned mode,
                      const char *bytes, size_t size)
{
    static unsigned number;

    fprintf(out, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X",
            ++number, mode, 0U, 0U, 1U, 0U, size, 0U, 0U, 0U, 0U,
            strlen(name) + 1, 0U);
    fwrite(name, 1, strlen(name) + 1, out);
    while (ftell(out) % 4 != 0) {
        fputc(0, out);
    }
    fwrite(bytes, 1, size, out);
    while (ftell(out) % 4 != 0) {
        fputc(0, out);
    }
}

static void put_file(FILE *out, const char *path)
{
    size_t size;
    char *bytes = read_whole(path, &size);

    if (bytes != NULL) {
        put_entry(out, path + 1, S_IFREG | 0755, bytes, size);
        free(bytes);
    }
}

/* An initramfs of what is here, without the kernel. */
static int make_archive(void)
{
    FILE *out = fopen(ARCHIVE, "we");
    glob_t modules;

    if (out == NULL) {
        return -1;
    }
    put_entry(out, "dev", S_IFDIR | 0755, "", 0);
    put_entry(out, "lib", S_IFDIR | 0755, "", 0);
    put_file(out, "/init");
    put_file(out, "/lab.steps");
    if (glob("/lib/*.ko", 0, NULL, &modules) == 0) {
        for (size_t i = 0; i < modules.gl_pathc; i++) {
            put_file(out, modules.gl_pathv[i]);
        }
        globfree(&modules);
    }
    put_entry(out, "TRAILER!!!", 0, "", 0);
    return fclose(out);
}

/* With the command line of this kernel, and more. */
static int load(const char *more, unsigned long flags)
{
    char line[2048] = "";
    size_t size;
    char *own = read_whole("/proc/cmdline", &size);
    const int kernel = open(KERNEL, O_RDONLY | O_CLOEXEC);
    const int archive =
        make_archive() == 0 ? open(ARCHIVE, O_RDONLY | O_CLOEXEC) : -1;

    if (own != NULL) {
        own[strcspn(own, "\n")] = '\0';
    }
    snprintf(line, sizeof(line), "%s %s", own != NULL ? own : "", more);
    free(own);
    const int ret = (int)syscall(SYS_kexec_file_load, kernel, archive,
                                 strlen(line) + 1, line, flags);
    const int saved = errno;
    close(kernel);
    close(archive);
    unlink(ARCHIVE);
    errno = saved;
    return ret;
}

void kexec_start(const char *text)
{
    if (load(text, 0) != 0) {
        answer_errno("kexec_file_load");
        return;
    }
    answer("@ok");
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
            LINUX_REBOOT_CMD_KEXEC, NULL);
}

void kexec_crash(void)
{
    if (load("agent=vmcore nr_cpus=1 reset_devices", KEXEC_FILE_ON_CRASH) !=
        0) {
        answer_errno("kexec_file_load");
        return;
    }
    answer("@ok");
    write_text("/proc/sys/kernel/sysrq", "1");
    write_text("/proc/sysrq-trigger", "c");
}

/* Marks the pages of a fill that are among these; how many were not yet. */
static unsigned mark_filled(const char *bytes, size_t size, bool *is_found,
                            size_t nr_wanted)
{
    unsigned nr_new = 0;

    for (size_t at = 0; at + PAGE <= size; at += PAGE) {
        size_t index;

        if (memory_is_filled(bytes + at, &index) && index < nr_wanted &&
            !is_found[index]) {
            is_found[index] = true;
            nr_new++;
        }
    }
    return nr_new;
}

void kexec_read_vmcore(uint64_t mib)
{
    static char bytes[1 << 20] __attribute__((aligned(PAGE)));
    static bool is_found[MAX_FILL / PAGE];
    const size_t nr_wanted =
        (mib * MIB < MAX_FILL ? mib * MIB : MAX_FILL) / PAGE;
    const int fd = open("/proc/vmcore", O_RDONLY | O_CLOEXEC);
    unsigned long long total = 0;
    unsigned long long nr_found = 0;
    size_t used = 0;
    ssize_t got;

    if (fd < 0) {
        answer_errno("/proc/vmcore");
        return;
    }
    /* What is memory begins at a multiple of a page in this file. */
    while ((got = read(fd, bytes + used, sizeof(bytes) - used)) > 0) {
        total += (unsigned long long)got;
        used += (size_t)got;
        if (used == sizeof(bytes)) {
            nr_found += mark_filled(bytes, used, is_found, nr_wanted);
            used = 0;
        }
    }
    nr_found += mark_filled(bytes, used, is_found, nr_wanted);
    if (got < 0) {
        answer_errno("/proc/vmcore");
    } else {
        answer("@ok %llu %llu", total, nr_found * PAGE);
    }
    close(fd);
}
