/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading /proc/self/smaps, from text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/smaps.h"
#include "support/fake_sys.h"

#define DETAILS(page, flags)                                                   \
    "Size:               8192 kB\nKernelPageSize:     " page                   \
    " kB\nMMUPageSize:        4 kB\nRss:                   0 kB\n"             \
    "AnonHugePages:         0 kB\nVmFlags: " flags " \n"

struct seen {
    size_t nr;
    struct vmemi_vma vmas[8];
    int answer;
};

static int take(const struct vmemi_vma *vma, void *opaque)
{
    struct seen *seen = opaque;

    assert_true(seen->nr < 8);
    seen->vmas[seen->nr++] = *vma;
    return seen->answer;
}

static int walk(struct fake_sys *fake, uint64_t hva, uint64_t size,
                struct seen *seen, int *verdict)
{
    int ret;

    seen->nr = 0;
    fake_sys_install(fake);
    ret = vmemi_smaps_for_each(hva, size, take, seen, verdict);
    assert_int_equal(fake->nr_calls[FAKE_OPEN] - (ret == -ENOENT),
                     fake->nr_calls[FAKE_CLOSE]);
    fake_sys_remove();
    return ret;
}

static const char three[] =
    "1000-3000 r-xp 00000000 fe:01 77   /usr/bin/thing\n" DETAILS(
        "4",
        "rd ex") "10000-20000 rw-s 00200000 00:01 1046                  "
                 "/memfd:x (deleted)\n" DETAILS(
                     "4",
                     "rd wr sh mr mw me ms lo sd") "7f0000000000-7f0000200000 "
                                                   "rw-p 00000000 00:00 0 "
                                                   "\n" DETAILS("2048",
                                                                "rd wr mr mw "
                                                                "me de ht");

static void mappings_are_read_as_they_are(void **state)
{
    struct seen seen = { 0 };
    int verdict;

    (void)state;
    for (uint64_t max_read = 1; max_read < 700; max_read++) {
        struct fake_sys fake = { .text = three, .max_read = max_read };

        assert_int_equal(walk(&fake, 0, UINT64_MAX, &seen, &verdict), 0);
        assert_int_equal(verdict, 0);
        assert_int_equal(seen.nr, 3);
        assert_int_equal(seen.vmas[0].start_hva, 0x1000);
        assert_int_equal(seen.vmas[0].end_hva, 0x3000);
        assert_int_equal(seen.vmas[0].dev_major, 0xfe);
        assert_int_equal(seen.vmas[0].dev_minor, 1);
        assert_int_equal(seen.vmas[0].ino, 77);
        assert_string_equal(seen.vmas[0].path, "/usr/bin/thing");
        assert_false(seen.vmas[0].is_shared);
        assert_false(seen.vmas[0].is_deleted);
        assert_false(seen.vmas[0].may_write);
        assert_int_equal(seen.vmas[1].fd_offset, 0x200000);
        assert_int_equal(seen.vmas[1].ino, 1046);
        assert_true(seen.vmas[1].is_shared);
        assert_true(seen.vmas[1].is_deleted);
        assert_true(seen.vmas[1].may_write);
        assert_true(seen.vmas[1].is_locked);
        assert_false(seen.vmas[1].is_pfnmap);
        assert_int_equal(seen.vmas[1].page_size, 4096);
        assert_int_equal(seen.vmas[2].start_hva, 0x7f0000000000);
        assert_int_equal(seen.vmas[2].ino, 0);
        assert_int_equal(seen.vmas[2].page_size, 2 << 20);
        assert_false(seen.vmas[2].is_locked);
        assert_string_equal(seen.vmas[2].path, "");
    }
}

static void only_what_overlaps_is_told(void **state)
{
    static const struct {
        uint64_t hva;
        uint64_t size;
        size_t nr;
        uint64_t first;
    } cases[] = {
        { 0, 0x1000, 0, 0 },
        { 0, 0x1001, 1, 0x1000 },
        { 0x2fff, 1, 1, 0x1000 },
        { 0x3000, 0xd000, 0, 0 },
        { 0x3000, 0xd001, 1, 0x10000 },
        { 0x2000, 0x10000, 2, 0x1000 },
        { 0x20000, 0x1000, 0, 0 },
        { 0x7f00001ff000, 0x2000, 1, 0x7f0000000000 },
        { 0x7f0000200000, 0x2000, 0, 0 },
    };
    struct fake_sys fake = { .text = three };
    struct seen seen = { 0 };
    int verdict;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(
            walk(&fake, cases[i].hva, cases[i].size, &seen, &verdict), 0);
        assert_int_equal(seen.nr, cases[i].nr);
        if (seen.nr > 0) {
            assert_int_equal(seen.vmas[0].start_hva, cases[i].first);
        }
    }
    seen.answer = -7;
    assert_int_equal(walk(&fake, 0, UINT64_MAX, &seen, &verdict), 0);
    assert_int_equal(verdict, -7);
    assert_int_equal(seen.nr, 1);
}

/* The kernel writes a newline in a path as four characters. */
static void a_line_longer_than_the_buffer_loses_its_end(void **state)
{
    static char text[40000];
    struct fake_sys fake = { .text = text };
    struct seen seen = { 0 };
    char path[16001];
    int verdict;

    (void)state;
    memset(path, 'p', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    for (size_t length = 4000; length < sizeof(path) - 1; length += 117) {
        snprintf(text, sizeof(text),
                 "1000-3000 rw-s 00001000 fe:01 77   %.*s (deleted)\n%s%s",
                 (int)length, path, DETAILS("4", "rd wr mw lo"), three);
        assert_int_equal(walk(&fake, 0x1000, 0x2000, &seen, &verdict), 0);
        assert_int_equal(seen.nr, 2);
        assert_int_equal(seen.vmas[0].fd_offset, 0x1000);
        assert_true(seen.vmas[0].is_shared);
        assert_true(seen.vmas[0].is_locked);
        assert_int_equal(strlen(seen.vmas[0].path),
                         sizeof(seen.vmas[0].path) - 1);
        assert_false(seen.vmas[1].is_shared);
    }
}

/* A path is chosen by others: its lost end must not be read as a line. */
static void the_lost_end_of_a_line_is_no_line(void **state)
{
    static char text[40000];
    struct fake_sys fake = { .text = text };
    struct seen seen = { 0 };
    char path[4201];
    int verdict;

    (void)state;
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    for (int length = 3900; length < 4200; length++) {
        snprintf(text, sizeof(text),
                 "1000-3000 rw-s 00001000 fe:01 77 /%.*sVmFlags: lo pf \n%s",
                 length, path, DETAILS("4", "rd wr mw"));
        assert_int_equal(walk(&fake, 0x1000, 0x2000, &seen, &verdict), 0);
        assert_int_equal(seen.nr, 1);
        assert_false(seen.vmas[0].is_locked);
        assert_false(seen.vmas[0].is_pfnmap);
        assert_true(seen.vmas[0].may_write);
    }
}

static void lines_without_meaning_are_passed_over(void **state)
{
    static const char *const texts[] = {
        "",
        "\n\n\n",
        "VmFlags: lo \n",
        "KernelPageSize: kB\n",
        "1000\n1000-\n1000-2000\n1000-2000 \n1000-2000 rw\n",
        "1000-2000 rw-p 00000000\n1000-2000 rw-p 00000000 00:\n",
        "1000-2000 rw-p zz 00:00 0\n",
        "1000-2000 rw-p 00000000 zz:00 0\n",
        "1000-2000 rw-p 00000000 00:zz 0\n",
        "no newline at all",
    };
    struct seen seen = { 0 };
    int verdict;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct fake_sys fake = { .text = texts[i] };

        assert_int_equal(walk(&fake, 0, UINT64_MAX, &seen, &verdict), 0);
        assert_int_equal(seen.nr, 0);
    }
}

/* All that the kernel writes have two letters; others would be new. */
static void a_flag_inside_a_longer_word_is_none(void **state)
{
    static const struct {
        const char *flags;
        bool is_locked;
    } cases[] = {
        { " rd lo \n", true },      { " lo \n", true },
        { " rd xlo mw \n", false }, { " rd lox mw \n", false },
        { " rd mw \n", false },
    };
    struct seen seen = { 0 };
    int verdict;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct fake_sys fake = { .text = text };

        snprintf(text, sizeof(text),
                 "1000-2000 rw-p 00000000 00:00 0 \nKernelPageSize: 4 kB\n"
                 "VmFlags:%s",
                 cases[i].flags);
        assert_int_equal(walk(&fake, 0, UINT64_MAX, &seen, &verdict), 0);
        assert_int_equal(seen.nr, 1);
        assert_int_equal(seen.vmas[0].is_locked, cases[i].is_locked);
    }
}

static void what_cannot_be_read_is_an_error(void **state)
{
    struct fake_sys fake = { .text = three,
                             .path = "/proc/self/smaps",
                             .path_error = ENOENT };
    struct seen seen = { 0 };
    int verdict;

    (void)state;
    assert_int_equal(walk(&fake, 0, UINT64_MAX, &seen, &verdict), -ENOENT);
    fake = (struct fake_sys){ .text = three,
                              .max_read = 100,
                              .call = FAKE_READ,
                              .first = 3,
                              .count = 1,
                              .error = EIO };
    assert_int_equal(walk(&fake, 0, UINT64_MAX, &seen, &verdict), -EIO);
    fake.error = EINTR;
    assert_int_equal(walk(&fake, 0, UINT64_MAX, &seen, &verdict), 0);
    assert_int_equal(seen.nr, 3);
    fake.count = 1000;
    assert_int_equal(walk(&fake, 0, UINT64_MAX, &seen, &verdict), -EINTR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings_are_read_as_they_are),
        cmocka_unit_test(only_what_overlaps_is_told),
        cmocka_unit_test(a_line_longer_than_the_buffer_loses_its_end),
        cmocka_unit_test(the_lost_end_of_a_line_is_no_line),
        cmocka_unit_test(lines_without_meaning_are_passed_over),
        cmocka_unit_test(a_flag_inside_a_longer_word_is_none),
        cmocka_unit_test(what_cannot_be_read_is_an_error),
    };

    return cmocka_run_group_tests_name("smaps", tests, NULL, NULL);
}
