/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/record_scripts.h"

#include "model/record_calls.h"

static void script_two_windows(void)
{
    add(0, 0, 6, RUNS);
    add(1, 2, 2, RUNS);
    plug(0, 3);
    plug(4, 2);
    plug(2, 2);
    plug(3, 1);
    state(0, 6);
    state(1, 2);
    unplug(1, 2);
    unplug(1, 1);
    state(0, 6);
    populated(3, 3);
    populated(2, 2);
    unplug_all();
    unplug_all();
    state(0, 6);
}

static void script_chunks(void)
{
    add(0, 0, 5, CHUNKS);
    add(1, 1, 5, EXACT);
    plug(0, 6);
    unplug(2, 1);
    unplug_all();
    plug(0, 2);
    plug(3, 2);
    take_out(0);
    take_out(1);
    add(1, 0, 6, EXACT);
    add(0, 0, 6, CHUNKS);
    reset();
}

static void script_veto(void)
{
    add(0, 0, 6, RUNS);
    add(1, 0, 6, CHUNKS);
    plug(5, 1);
    plan.veto[0] = 1;
    plug(0, 3);
    plan.veto[1] = 1;
    plug(0, 3);
    plan.veto[1] = 3;
    plug(0, 4);
    plan.veto[1] = 3;
    plan.fail_discard = 1;
    plug(0, 4);
    plug(0, 4);
    unplug_all();
}

static void script_keep(void)
{
    add(0, 0, 6, RUNS);
    add(1, 1, 4, EXACT);
    plug(0, 4);
    plug(5, 1);
    plan.keep[0] = 1;
    unplug(1, 2);
    plan.keep[1] = 2;
    unplug(1, 2);
    plan.keep[1] = 3;
    unplug_all();
    plan.keep[0] = 2;
    reset();
    plan.keep[1] = 1;
    take_out(1);
    unplug_all();
}

static void script_join_and_leave(void)
{
    plug(0, 2);
    plug(3, 1);
    plug(5, 1);
    add(0, 1, 4, RUNS);
    plan.veto[1] = 3;
    add(1, 0, 6, CHUNKS);
    plan.veto[1] = 2;
    add(1, 0, 6, RUNS);
    plan.veto[1] = 1;
    add(1, 0, 6, EXACT);
    add(1, 0, 6, EXACT);
    unplug(0, 1);
    take_out(0);
    plug(0, 1);
    add(0, 2, 1, RUNS);
    plug(2, 1);
    take_out(1);
    take_out(0);
    unplug_all();
}

static void script_retained(void)
{
    plug(0, 6);
    plan.fail_discard = 1;
    unplug(0, 2);
    plan.fail_discard = 1;
    plug(0, 1);
    plug(1, 1);
    plan.fail_discard = 2;
    unplug(0, 2);
    retry();
    retry();
    unplug(3, 1);
    plan.fail_discard = 9;
    unplug_all();
    plan.fail_discard = 1;
    plan.fail_zero = 1;
    plug(1, 3);
    add(0, 0, 6, RUNS);
    plan.veto[0] = 1;
    plan.fail_discard = 2;
    plug(1, 4);
    plan.fail_discard = 1;
    plug(1, 3);
    plan.fail_discard = 0;
    reset();
    reset();
    retry();
}

static void script_frozen(void)
{
    add(0, 0, 6, RUNS);
    plug(0, 2);
    freeze();
    freeze();
    plug(2, 1);
    plug(1, 1);
    unplug(0, 1);
    unplug(2, 1);
    unplug_all();
    reset();
    retry();
    state(0, 3);
    add(1, 1, 3, EXACT);
    take_out(0);
    hold(0, 2);
    thaw();
    thaw();
    unplug_all();
    freeze();
    unplug_all();
    thaw();
    plug(0, 3);
}

static void script_inside(void)
{
    plan.look_inside = true;
    add(0, 0, 6, RUNS);
    plug(0, 2);
    add(1, 0, 6, CHUNKS);
    plan.veto[1] = 2;
    plug(2, 3);
    plug(2, 3);
    hold(0, 5);
    hold(4, 2);
    unplug(0, 1);
    take_out(0);
    unplug_all();
}

static void script_populate_fails(void)
{
    add(0, 0, 6, RUNS);
    plan.fail_populate = 1;
    plug(0, 2);
    plug(0, 2);
    plan.fail_populate = 1;
    plan.fail_discard = 1;
    plug(3, 2);
    plan.fail_populate = 1;
    plan.fail_discard = 1;
    plug(3, 1);
    plug(4, 1);
    plan.veto[0] = 1;
    plug(2, 2);
    plug(2, 2);
    unplug_all();
}

const struct script scripts[] = {
    { "two-windows", false, script_two_windows },
    { "chunks", true, script_chunks },
    { "veto", false, script_veto },
    { "keep", false, script_keep },
    { "join-and-leave", false, script_join_and_leave },
    { "retained", false, script_retained },
    { "frozen", true, script_frozen },
    { "inside", false, script_inside },
    { "populate-fails", true, script_populate_fails },
};

const size_t nr_scripts = sizeof(scripts) / sizeof(scripts[0]);
