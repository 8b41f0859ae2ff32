/* SPDX-License-Identifier: BSD-3-Clause */
/* A stock kernel in minivmm, and what it must survive: each check prints one
 * result, by its letter; the lab's runner replays the trace. Arguments: minivmm,
 * kernel, initramfs, trace, and the letters, or "probe": does it boot? or "chain": with a
 * device passed through, or "demo": do what others say (demo.c). */
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

int main(int argc, char **argv)
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
    /* init_on_alloc=0: the driver takes what it unplugs from the allocator, which
     * would clear it first, and so touch all of it. The crash kernel gets memory
     * only in a guest that has enough. */
    static const char append[] =
        "console=ttyS0 quiet nokaslr mitigations=off cryptomgr.notests "
        "random.trust_cpu=on init_on_alloc=0 crashkernel=512M-:160M panic=1";

    if (argc != 6) {
        fprintf(stderr, "usage: %s MINIVMM KERNEL INITRAMFS TRACE LETTERS\n",
                argv[0]);
        return 2;
    }
    const bool is_chain = strcmp(argv[5], "chain") == 0;
    const bool is_demo = strcmp(argv[5], "demo") == 0;
    const char *chain[] = { argv[1],
                            "--kernel",
                            argv[2],
                            "--initrd",
                            argv[3],
                            "--memory",
                            "256M",
                            "--append",
                            append,
                            "--device",
                            "size=512M,block=2M",
                            "--pass",
                            "0000:00:04.0",
                            "--cpus",
                            "2",
                            "--trace",
                            argv[4],
                            NULL };
    const char *demo[] = {
        argv[1],
        "--kernel",
        argv[2],
        "--initrd",
        argv[3],
        "--memory",
        "256M",
        "--append",
        append,
        "--device",
        "size=1G,block=2M",
        "--trace",
        argv[4],
        NULL,
    };
    const char *words[] = {
        argv[1],
        "--kernel",
        argv[2],
        "--initrd",
        argv[3],
        "--memory",
        "640M",
        "--append",
        append,
        "--device",
        "size=1G,block=2M",
        "--device",
        "size=1G,block=4M,node=1,inaccessible=off",
        "--device",
        "size=1G,block=128M",
        "--stall",
        "10",
        "--trace",
        argv[4],
        NULL,
    };
    /* Touching memory in a machine in a machine is slow: fewer, larger faults.
     * Without one the setting is somebody else's, and stays. */
    FILE *huge =
        access("/lab.steps", F_OK) == 0
            ? fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "we")
            : NULL;
    if (huge != NULL) {
        fputs("always", huge);
        fclose(huge);
    }

    const double start_s = now_s();
    const bool boots = host_start(is_chain ? chain : is_demo ? demo : words);

    result(boots, "boot", "a stock kernel was up after %.1f s",
           now_s() - start_s);
    base_kib = boots ? guest_number(0, "meminfo") : 0;
    if (boots && guest("load") != NULL) {
        if (is_chain) {
            check_chain();
        }
        if (is_demo) {
            serve_demo();
        }
        for (unsigned i = 0;
             !is_chain && !is_demo && i < sizeof(checks) / sizeof(checks[0]);
             i++) {
            if (strchr(argv[5], checks[i].letter) != NULL) {
                checks[i].run();
            }
        }
    }
    result(host_stop(), "quit", "after %.0f s", now_s() - start_s);
    return result_status();
}
