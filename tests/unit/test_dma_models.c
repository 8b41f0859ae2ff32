/* SPDX-License-Identifier: BSD-3-Clause */
/* The models of VFIO and iommufd answer as the kernels do. The lab puts the same
 * tables to the kernels themselves. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "dma/kernel.h"
#include "support/dma_answers.h"
#include "support/iommufd_model.h"
#include "support/type1_model.h"

static int ask_type1(unsigned long request, void *argument, void *opaque)
{
    return type1_model_ioctl(opaque, request, argument);
}

static int ask_iommufd(unsigned long request, void *argument, void *opaque)
{
    return iommufd_model_ioctl(opaque, request, argument);
}

/* What a run of a table, from a file or from a text, gave. */
struct run {
    struct dma_answers_result result;
    char report[4096];
};

static void run_file(struct run *run, FILE *table, const char *name,
                     const struct dma_answers_target *target)
{
    FILE *report = fmemopen(run->report, sizeof(run->report), "w");
    int ret;

    run->report[0] = '\0'; /* a stream that nobody writes to does not end it */
    assert_non_null(table);
    assert_non_null(report);
    ret = dma_answers_run(table, name, target, report, &run->result);
    fclose(report);
    fclose(table);
    assert_int_equal(ret, 0);
}

static void run_text(struct run *run, const char *text,
                     const struct dma_answers_target *target)
{
    run_file(run, fmemopen((void *)(uintptr_t)text, strlen(text), "r"), "table",
             target);
}

static void run_table(struct run *run, const struct dma_answers_target *target)
{
    g_autofree char *name = g_strdup_printf("%s.answers", target->interface);
    g_autofree char *path =
        g_build_filename(g_getenv("VMEM_TEST_DATA"), "dma", name, NULL);

    run_file(run, fopen(path, "r"), name, target);
}

static void assert_right(const struct run *run, unsigned nr_skipped)
{
    assert_string_equal(run->report, "");
    assert_int_equal(run->result.nr_wrong, 0);
    assert_int_equal(run->result.nr_malformed, 0);
    assert_int_equal(run->result.nr_skipped_scenes, nr_skipped);
    assert_true(run->result.nr_questions > run->result.nr_scenes);
}

/* Once without limits, where what is about them is left out, and once with. */
static void check_type1(enum type1_kind kind, const char *interface,
                        unsigned nr_about_limits)
{
    struct type1_model model;
    struct dma_answers_target target = {
        .ioctl = ask_type1,
        .opaque = &model,
        .interface = interface,
    };
    struct run run;

    type1_model_init(&model, kind);
    model.pins = true;
    run_table(&run, &target);
    assert_right(&run, nr_about_limits);
    if (kind != TYPE1_COMPAT) {
        model.limit = 64;
    }
    target.limit = 64;
    model.memlock_limit = target.memlock = (uint64_t)8 << 20;
    run_table(&run, &target);
    assert_right(&run, 0);
    assert_int_equal(iova_set_nr(&model.set), 0);
    type1_model_destroy(&model);
}

static void type1_answers_as_linux_does(void **state)
{
    (void)state;
    check_type1(TYPE1_V2, "type1", 2);
}

static void type1_version_1_answers_as_linux_does(void **state)
{
    (void)state;
    check_type1(TYPE1_V1, "type1-v1", 0);
}

static void a_container_of_iommufd_answers_as_linux_does(void **state)
{
    (void)state;
    check_type1(TYPE1_COMPAT, "compat", 1);
}

static void iommufd_answers_as_linux_does(void **state)
{
    struct iommufd_model model;
    struct dma_answers_target target = {
        .ioctl = ask_iommufd,
        .opaque = &model,
        .interface = "iommufd",
    };
    struct run run;

    (void)state;
    iommufd_model_init(&model);
    model.pins = true;
    target.ioas_id = iommufd_model_alloc(&model);
    run_table(&run, &target);
    assert_right(&run, 1);
    model.memlock_limit = target.memlock = (uint64_t)8 << 20;
    run_table(&run, &target);
    assert_right(&run, 0);
    assert_int_equal(iova_set_nr(iommufd_model_set(&model, target.ioas_id)), 0);
    iommufd_model_destroy(&model);
}

/* Address spaces come and go, as a host makes them. */
static void iommufd_keeps_address_spaces_apart(void **state)
{
    struct iommufd_model model;
    struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
    struct iommu_destroy destroy = { .size = sizeof(destroy) };
    struct iommu_ioas_map map = {
        .size = sizeof(map),
        .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
        .user_va = 4096,
        .length = 4096,
    };

    (void)state;
    iommufd_model_init(&model);
    assert_int_equal(iommufd_model_ioctl(&model, IOMMU_IOAS_ALLOC, &alloc), 0);
    map.ioas_id = alloc.out_ioas_id;
    assert_int_equal(iommufd_model_ioctl(&model, IOMMU_IOAS_MAP, &map), 0);
    assert_int_equal(iommufd_model_ioctl(&model, IOMMU_IOAS_MAP, &map),
                     -EEXIST);
    assert_int_equal(iommufd_model_ioctl(&model, IOMMU_IOAS_ALLOC, &alloc), 0);
    assert_int_not_equal(alloc.out_ioas_id, map.ioas_id);
    map.ioas_id = alloc.out_ioas_id;
    assert_int_equal(iommufd_model_ioctl(&model, IOMMU_IOAS_MAP, &map), 0);
    destroy.id = alloc.out_ioas_id;
    assert_int_equal(iommufd_model_ioctl(&model, IOMMU_DESTROY, &destroy), 0);
    assert_int_equal(iommufd_model_ioctl(&model, IOMMU_DESTROY, &destroy),
                     -ENOENT);
    assert_int_equal(iommufd_model_ioctl(&model, IOMMU_IOAS_MAP, &map),
                     -ENOENT);
    iommufd_model_destroy(&model);
}

/* A comparison that notices nothing would pass too. */
static void a_wrong_answer_is_noticed(void **state)
{
    static const struct {
        const char *table;
        const char *report;
    } cases[] = {
        { "map 0 4K ram rw = EEXIST\n",
          "table:1: map 0 4K ram rw = EEXIST: ok, expected EEXIST\n" },
        { "map 0 4K ram rw many=2 = ok\nmap 4K 4K ram rw = ok\n",
          "table:2: map 4K 4K ram rw = ok: EEXIST, expected ok\n" },
        { "unmap 0 4K = ok size=4K\n",
          "table:1: unmap 0 4K = ok size=4K: size=0x0, expected 4K\n" },
        { "api = 1\n", "table:1: api = 1: 0, expected 1\n" },
        { "extension 3 = 0\n", "table:1: extension 3 = 0: 1, expected 0\n" },
        { "track-dirty = EACCES\n",
          "table:1: track-dirty = EACCES: EINVAL, expected EACCES\n" },
        { "info = ok page=2M\n",
          "table:1: info = ok page=2M: page=0x1000, expected 2M\n" },
        { "info = ok avail=64\n",
          "table:1: info = ok avail=64: avail=0xffff, expected 64\n" },
        { "info = ok ranges=0x0-0x1\n",
          "table:1: info = ok ranges=0x0-0x1: "
          "0x0-0xfedfffff,0xfef00000-0x7fffffffff, expected 0x0-0x1\n" },
        { "map 0 4K null rw = ENXIO\n",
          "table:1: map 0 4K null rw = ENXIO: EFAULT, expected ENXIO\n" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct type1_model model;
        const struct dma_answers_target target = {
            .ioctl = ask_type1,
            .opaque = &model,
            .interface = "type1",
        };
        struct run run;

        type1_model_init(&model, TYPE1_V2);
        run_text(&run, cases[i].table, &target);
        assert_string_equal(run.report, cases[i].report);
        assert_int_equal(run.result.nr_wrong, 1);
        type1_model_destroy(&model);
    }
}

static void a_malformed_line_is_noticed(void **state)
{
    static const char *const lines[] = {
        "interface iommufd",
        "wonder = ok",
        "map 0 4K ram = ok",
        "map 0 4K ram rw",
        "map 0 4X ram rw = ok",
        "map 0 4K rom rw = ok",
        "map 0 4K ram+ rw = ok",
        "map 0 4K ram x = ok",
        "map 0 4K ram rw many= = ok",
        "unmap 0 = ok",
        "unmap 0 4K = ok size=x",
        "needs limit",
        "needs money 5",
        "info argsz=1M = ok",
        "info = ok page=x",
        "extension = 1",
        "api 1 = 0",
        "= ok",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25",
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        struct type1_model model;
        const struct dma_answers_target target = {
            .ioctl = ask_type1,
            .opaque = &model,
            .interface = "type1",
        };
        struct run run;

        type1_model_init(&model, TYPE1_V2);
        run_text(&run, lines[i], &target);
        assert_int_equal(run.result.nr_malformed, 1);
        assert_non_null(strstr(run.report, "table:1: not understood: "));
        type1_model_destroy(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(type1_answers_as_linux_does),
        cmocka_unit_test(type1_version_1_answers_as_linux_does),
        cmocka_unit_test(a_container_of_iommufd_answers_as_linux_does),
        cmocka_unit_test(iommufd_answers_as_linux_does),
        cmocka_unit_test(iommufd_keeps_address_spaces_apart),
        cmocka_unit_test(a_wrong_answer_is_noticed),
        cmocka_unit_test(a_malformed_line_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
