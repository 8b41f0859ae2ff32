/* SPDX-License-Identifier: BSD-3-Clause */
/* A stock kernel in minivmm, and what it must survive: each check prints one
 * result, by its letter; the lab's runner replays the trace. Arguments: minivmm,
 * kernel, initramfs, trace, and the letters, or "probe": does it boot? or "chain": a
 * device passed through, or "demo": do what others say (demo.c), or "newer" and "init"
 * (newer.c). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest/checks.h"
#include "lab/result.h"

uint64_t base_kib;

bool expect(bool is_so, const char *format, ...)
{
    char text[300];
    va_list args;

    if (!is_so) {
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        result_note("wrong: %s", text);
    }
    return is_so;
}

/* init_on_alloc=0: the driver takes what it unplugs from the allocator, which would
 * clear it first, and so touch all of it. The crash kernel gets memory only in a
 * guest that has enough. */
#define APPEND                                                                 \
    "console=ttyS0 quiet nokaslr mitigations=off cryptomgr.notests "           \
    "random.trust_cpu=on crashkernel=512M-:160M panic=1"
#define FAST APPEND " init_on_alloc=0"

#define MAX_WORDS 16

/* What a guest is booted with, and what is done with it. */
static const struct mode {
    const char *name;
    const char *append;
    const char *words[MAX_WORDS];
    void (*run)(void);
} modes[] = {
    { "chain",
      FAST,
      { "--memory", "256M", "--device", "size=512M,block=2M", "--pass",
        "0000:00:04.0", "--cpus", "2" },
      check_chain },
    { "demo",
      FAST,
      { "--memory", "256M", "--device", "size=1G,block=2M" },
      serve_demo },
    { "newer",
      FAST,
      { "--memory", "448M", "--device", "size=512M,block=2M", "--device",
        "size=384M,block=2M,backing=anon", "--device",
        "size=256M,block=2M,backing=hugetlb" },
      check_newer },
    { "init",
      APPEND,
      { "--memory", "448M", "--device", "size=512M,block=2M" },
      check_init },
    { "letters",
      FAST,
      { "--memory", "640M", "--device", "size=1G,block=2M", "--device",
        "size=1G,block=4M,node=1,inaccessible=off", "--device",
        "size=1G,block=128M", "--stall", "10" },
      NULL },
};

static void check_letters(const char *letters)
{
    static const struct {
        char letter;
        void (*run)(void);
    } checks[] = {
        { 'a', check_sizes },    { 'd', check_odd_sizes },
        { 'e', check_busy },     { 'f', check_objections },
        { 'i', check_hostile },  { 'h', check_features },
        { 'c', check_pressure }, { 'g', check_resets },
    };

    for (unsigned i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (strchr(letters, checks[i].letter) != NULL) {
            checks[i].run();
        }
    }
}

/* argv: minivmm, kernel, initramfs, trace, mode or letters. */
static void run(const struct mode *mode, char **argv)
{
    const char *words[MAX_WORDS + 10] = {
        argv[1],   "--kernel", argv[2],    "--initrd",  argv[3],
        "--trace", argv[4],    "--append", mode->append
    };
    const double start_s = now_s();

    for (unsigned i = 0; i < MAX_WORDS && mode->words[i] != NULL; i++) {
        words[9 + i] = mode->words[i];
    }
    const bool boots = host_start(words);
    result(boots, "boot", "a stock kernel was up after %.1f s",
           now_s() - start_s);
    base_kib = boots ? guest_number(0, "meminfo") : 0;
    if (boots && guest("load") != NULL) {
        if (mode->run != NULL) {
            mode->run();
        } else if (strcmp(argv[5], "probe") != 0) {
            check_letters(argv[5]);
        }
    }
    result(host_stop(), "quit", "after %.0f s", now_s() - start_s);
}

static void set(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    if (file != NULL) {
        fputs(text, file);
        fclose(file);
    }
}

int main(int argc, char **argv)
{
    const struct mode *mode = modes;

    if (argc != 6) {
        fprintf(stderr, "usage: %s MINIVMM KERNEL INITRAMFS TRACE LETTERS\n",
                argv[0]);
        return 2;
    }
    while (mode->run != NULL && strcmp(mode->name, argv[5]) != 0) {
        mode++;
    }
    /* Touching memory in a machine in a machine is slow: fewer, larger faults.
     * Without one the settings are somebody else's, and stay. */
    if (access("/lab.steps", F_OK) == 0) {
        set("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always");
        set("/proc/sys/vm/nr_hugepages",
            strcmp(argv[5], "newer") == 0 ? "128" : "0");
    }
    run(mode, argv);
    return result_status();
}
