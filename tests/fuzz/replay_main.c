/* SPDX-License-Identifier: BSD-3-Clause */
/* main() of a fuzz target for any compiler: runs the files that it is given, and
 * those in the folders that it is given, once each. Built by afl-clang-fast and
 * started without arguments by afl-fuzz it takes inputs from there instead, many
 * in one process. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_check.h"

#ifdef __AFL_FUZZ_TESTCASE_LEN

__AFL_FUZZ_INIT();

static int run_under_afl(void)
{
    const uint8_t *data;

    __AFL_INIT();
    data = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(100000)) {
        size_t size = (size_t)__AFL_FUZZ_TESTCASE_LEN;
        /* A buffer of its own, so that reading past its end is found. */
        uint8_t *copy = malloc(size > 0 ? size : 1);

        if (copy != NULL) {
            memcpy(copy, data, size);
            LLVMFuzzerTestOneInput(copy, size);
            free(copy);
        }
    }
    return 0;
}

#endif

/* The same: exactly as large as the file. NULL and a message on failure. */
static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    struct stat stat;

    if (file == NULL || fstat(fileno(file), &stat) < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    } else {
        *size = (size_t)stat.st_size;
        data = malloc(*size > 0 ? *size : 1);
        if (data == NULL || fread(data, 1, *size, file) != *size) {
            fprintf(stderr, "%s: cannot be read\n", path);
            free(data);
            data = NULL;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return data;
}

/* The number of inputs that were run, or -1. The path of each is on standard
 * error before it is run and is what remains there if it is a finding. */
static int run_file(const char *path)
{
    size_t size = 0;
    uint8_t *data = read_file(path, &size);

    if (data == NULL) {
        return -1;
    }
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

static int skip_dots(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int run_folder(const char *folder)
{
    struct dirent **entries = NULL;
    int nr_entries = scandir(folder, &entries, skip_dots, alphasort);
    int nr_run = 0;

    for (int i = 0; i < nr_entries; i++) {
        char path[4096];

        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (nr_run >= 0) {
            int ret = run_file(path);

            nr_run = ret < 0 ? ret : nr_run + ret;
        }
        free(entries[i]);
    }
    free(entries);
    if (nr_entries < 0) {
        fprintf(stderr, "%s: %s\n", folder, strerror(errno));
        return -1;
    }
    return nr_run;
}

int main(int argc, char **argv)
{
    int nr_run = 0;

#ifdef __AFL_FUZZ_TESTCASE_LEN
    if (argc < 2) {
        return run_under_afl();
    }
#endif
    for (int i = 1; i < argc; i++) {
        struct stat stat_of;
        int ret;

        if (stat(argv[i], &stat_of) == 0 && S_ISDIR(stat_of.st_mode)) {
            ret = run_folder(argv[i]);
        } else {
            ret = run_file(argv[i]);
        }
        if (ret < 0) {
            return 1;
        }
        nr_run += ret;
    }
    if (nr_run == 0) {
        fprintf(stderr, "nothing to run: name files, or folders with files\n");
        return 1;
    }
    printf("%d inputs\n", nr_run);
    return 0;
}
