/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of operations of a region: one device, two listeners, a backing
 * whose calls may fail, and three threads. docs/model.md says what it shows.
 *
 * Two uses. Without TRACE everything that the outside decides (requests,
 * vetoes, failures) is open, and Spin looks at all of it. With TRACE a recorded
 * trace decides, as trace.pml that accept.py makes of it, and Spin looks for a
 * way in which the model does the same.
 *
 * NB         blocks of the region, 8 at most
 * WINDOWS    listener 0 sees all, 1 all but the first block; without it, each
 *            may see any run of blocks
 * MODE_0     how listener 0 is told: RUNS, CHUNKS or EXACT; MODE_1 likewise
 * FORMULA    I1 as a formula, always, not only where a change ends
 * WRONG_...  one deliberate mistake, to see that it is found */

#ifndef NB
#define NB 3
#endif
#define ALL ((1 << NB) - 1)
#define MASK(from, size) (((1 << (size)) - 1) << (from))

#ifndef MODE_0
#define MODE_0 RUNS
#endif
#ifndef MODE_1
#define MODE_1 RUNS
#endif

/* What is named by the first argument of CHECK appears in Spin's verdict. */
#define CHECK(invariant, condition) assert(invariant || (condition))
hidden byte I1 = 0;
hidden byte I3 = 0;
hidden byte I5 = 0;
hidden byte I6 = 0;
hidden byte I11 = 0;
hidden byte I14 = 0;

/* Threads, also as owners of locks. */
#define NOBODY 0
#define GUEST 1
#define HOST 2
#define QUERY 3

/* How a listener is told: whole runs; populate by block; both by block. */
#define RUNS 0
#define CHUNKS 1
#define EXACT 2

/* How a call ends. */
#define OK 0
#define BUSY 2
#define ERROR 3
#define FAILED 4

/* What the STATE request answers. */
#define PLUGGED 0
#define UNPLUGGED 1
#define MIXED 2

/* What can be seen from outside: calls and their ends, ... */
mtype = { PLUG, UNPLUG, UNPLUG_ALL, ADD, REMOVE, FREEZE, THAW, RESET, RETRY,
          HOLD, STATE, POPULATED, INFO, END };
/* ... and callbacks, what they answer, and what is tried inside of them. */
mtype = { TELL_POPULATE, TELL_DISCARD, ASK_DISCARD, ANSWER, LOOK, REFUSED, HELD, DESTROY,
          MEM_POPULATE, MEM_DISCARD, MEM_ZERO };

/* The region; a bit for each block. */
byte plugged;
byte nr_plugged;
byte retained;
bool frozen;
byte change_lock;
byte state_lock;

/* Listeners in the order of registration, and what each has been told. */
byte queue[2];
byte nr_queue;
byte window[2];
byte mode[2];
byte told[2];

/* What no code can read: what the last finished commit said, which blocks may
 * have memory, and which may have contents of the guest's. */
byte committed;
byte memory;
byte dirty;

#define IS_IN(l) ((nr_queue > 0 && queue[0] == l) || \
                  (nr_queue > 1 && queue[1] == l))
/* I1 for one listener. */
#define IS_TOLD(l) (told[l] == IS_IN(l) * (plugged & window[l]))

/* Does the backing populate on a plug? Open as well, but for a trace. */
#ifdef TRACE
#define POPULATES_NOT !(POPULATES)
#else
#define POPULATES true
#define POPULATES_NOT true
#endif

#ifdef TRACE
chan event = [0] of { mtype, byte, byte, byte, byte };
#endif

/* Something that the trace must show now. */
inline observe(kind, who_, from_, size_, value_)
{
#ifdef TRACE
    event?eval(kind), eval(who_), eval(from_), eval(size_), eval(value_)
#else
    skip
#endif
}

/* The same, and the outside decides what comes of it: 0, or 1 if it fails. */
inline ask(kind, who_, from_, size_, failed_)
{
#ifdef TRACE
    event?eval(kind), eval(who_), eval(from_), eval(size_), failed_
#else
    if
    :: failed_ = false
    :: failed_ = true
    fi
#endif
}

inline count_bits(mask_, count_)
{
    count_ = 0;
    bit_nr = 0;
    do
    :: bit_nr < NB ->
        count_ = count_ + ((mask_ >> bit_nr) & 1);
        bit_nr++
    :: else -> break
    od;
    bit_nr = 0
}

/* Takes the first run of todo, or only the first block of it. */
inline take_part(by_block)
{
    d_step {
        part_from = 0;
        do
        :: (todo & (1 << part_from)) == 0 -> part_from++
        :: else -> break
        od;
        part_size = 1;
        do
        :: !(by_block) && part_from + part_size < NB &&
           (todo & (1 << (part_from + part_size))) != 0 -> part_size++
        :: else -> break
        od;
        part = MASK(part_from, part_size);
        todo = todo & ~part
    }
}

inline take_all(mask_)
{
    todo = mask_;
    take_part(false)
}

/* --- Locks ---------------------------------------------------------------- */

/* Without a trace the lock is taken when a call is chosen: before that there is
 * nothing to see of it. */
inline lock_change()
{
#ifdef TRACE
    atomic { change_lock == NOBODY -> change_lock = who }
#else
    skip
#endif
}

/* What holds at the end of every change, whatever came of it. */
inline unlock_change()
{
    d_step {
        CHECK(I1, IS_TOLD(0) && IS_TOLD(1));
        CHECK(I3, result == OK || result == FAILED || plugged == before);
        CHECK(I6, (memory & ~(plugged | retained)) == 0);
        CHECK(I11, change_lock == who && plugged == committed);
        from = 0;
        size = 0;
        value = 0;
        range = 0;
        before = 0;
        below = 0;
        todo = 0;
        part = 0;
        part_from = 0;
        part_size = 0;
        l = 0;
        i = 0;
        no = false;
        is_left = false;
        is_whole = false;
        change_lock = NOBODY
    }
}

/* --- Callbacks ------------------------------------------------------------ */

/* What happens between a callback and its answer, in no: it may query, which
 * takes the state lock, and try a change, which is refused. */
inline answer(may_object)
{
#ifdef TRACE
    do
    :: event?LOOK, eval(l), look_from, look_size, look_value ->
        state_lock == NOBODY;
        look_value == ((plugged & MASK(look_from, look_size)) ==
                       MASK(look_from, look_size));
        look_from = 0;
        look_size = 0;
        look_value = 0
    :: event?REFUSED, eval(l), 0, 0, 0
    :: event?ANSWER, eval(l), 0, 0, no -> break
    od;
    !no || may_object
#else
    if
    :: true
    :: true ->
        state_lock == NOBODY;
        CHECK(I11, plugged == committed && change_lock == who)
#ifdef WRONG_CHANGE_IN_CALLBACK
    :: true -> change_lock == NOBODY
#endif
    fi;
    if
    :: no = false
    :: may_object -> no = true
    fi
#endif
}

inline tell_populate()
{
    CHECK(I1, (part & ~window[l]) == 0 && (part & told[l]) == 0);
    observe(TELL_POPULATE, l, part_from, part_size, 0);
    answer(true);
    if
    :: no
    :: else -> told[l] = told[l] | part
    fi
}

/* Who came later has let go before, unless this is no matter of the others:
 * then i is nr_queue. */
inline tell_discard()
{
    CHECK(I1, (part & ~told[l]) == 0);
    CHECK(I3, i + 1 >= nr_queue || (told[queue[1]] & part) == 0);
#ifdef WRONG_TELL_UNDER_STATE_LOCK
    state_lock == NOBODY;
    state_lock = who;
#endif
    observe(TELL_DISCARD, l, part_from, part_size, 0);
    answer(false);
#ifdef WRONG_TELL_UNDER_STATE_LOCK
    state_lock = NOBODY;
#endif
    told[l] = told[l] & ~part
}

/* May it go? Nothing has happened yet. */
inline ask_discard()
{
    CHECK(I1, (part & ~told[l]) == 0);
    CHECK(I5, plugged == before);
    observe(ASK_DISCARD, l, part_from, part_size, 0);
    answer(true);
#ifdef WRONG_TELL_WHILE_ASKING
    told[l] = told[l] & (no -> ALL : ~part)
#endif
}

/* --- The backing ---------------------------------------------------------- */

/* Gives back one part; what cannot be is retained. */
inline give_back_part()
{
    atomic {
        CHECK(I5, (told[0] & part) == 0 && (told[1] & part) == 0);
        CHECK(I5, (committed & part) == 0);
        CHECK(I14, !frozen);
        ask(MEM_DISCARD, 0, part_from, part_size, no);
        if
        :: no
        :: else ->
            memory = memory & ~part;
            dirty = dirty & ~part
        fi
    };
    atomic {
        state_lock == NOBODY ->
        if
        :: no ->
            is_left = true;
#ifndef WRONG_FORGET_RETAINED
            retained = retained | part
#endif
        :: else -> retained = retained & ~part
        fi
    }
}

/* Tries the retained runs of a mask once more. */
inline retry_retained(mask_)
{
    todo = retained & (mask_);
    do
    :: todo != 0 ->
        take_part(false);
        give_back_part()
    :: else -> break
    od
}

/* Before a plug: what was left there earlier must not be seen again. In no: it
 * could not be helped. */
inline clean_retained()
{
    retry_retained(range);
    atomic {
        no = false;
        todo = retained & range;
#ifdef WRONG_PLUG_UNCLEAN
        todo = 0
#endif
    };
    do
    :: atomic {
            todo != 0 && !no ->
            take_part(false);
            CHECK(I14, !frozen);
            ask(MEM_ZERO, 0, part_from, part_size, no);
            if
            :: no
            :: else -> dirty = dirty & ~part
            fi
        }
    :: else -> break
    od
}

inline populate_memory()
{
    atomic {
        take_all(range);
        CHECK(I14, !frozen);
        memory = memory | part;
        ask(MEM_POPULATE, 0, part_from, part_size, no)
    }
}

inline undo_memory()
{
#ifdef WRONG_UNDO_KEEPS_MEMORY
    skip
#else
    take_all(range);
    give_back_part()
#endif
}

/* --- Listeners ------------------------------------------------------------ */

/* To the next listener that sees something of a mask. */
inline seek_forward(mask_)
{
    do
    :: todo == 0 && i < nr_queue && !no ->
        l = queue[i];
        todo = (mask_) & window[l];
        i++
    :: else -> break
    od
}

inline seek_backward(mask_)
{
    do
    :: todo == 0 && i > 0 ->
        i--;
        l = queue[i];
        todo = (mask_) & window[l]
    :: else -> break
    od
}

/* In no: listener l has objected; what came before that is in below. */
inline keep_veto()
{
    if
    :: no ->
        below = (1 << part_from) - 1;
        todo = 0
    :: else
    fi
}

/* In the order of registration. */
inline tell_populate_all(mask_)
{
    atomic {
        todo = 0;
        i = 0;
        seek_forward(mask_)
    };
    do
    :: atomic {
            todo != 0 ->
            take_part(mode[l] != RUNS);
            tell_populate();
            keep_veto();
            seek_forward(mask_)
        }
    :: else -> break
    od
}

/* In the order of registration, until one objects, which is in no. */
inline ask_discard_all(mask_)
{
    atomic {
        todo = 0;
        i = 0;
        seek_forward(mask_)
    };
    do
    :: atomic {
            todo != 0 ->
            take_part(mode[l] == EXACT);
            ask_discard();
            todo = (no -> 0 : todo);
            seek_forward(mask_)
        }
    :: else -> break
    od
}

/* From queue[i], todo of it first, back to the first. */
inline tell_discard_back(mask_)
{
    do
    :: atomic {
            todo != 0 ->
            take_part(mode[l] == EXACT);
            tell_discard();
            seek_backward(mask_)
        }
    :: else -> break
    od
}

/* In the reverse order of registration. */
inline tell_discard_all(mask_)
{
    atomic {
        todo = 0;
        i = nr_queue;
        seek_backward(mask_)
    };
    tell_discard_back(mask_)
}

/* After a veto by the one before queue[i]: it first. */
inline undo_listeners()
{
#ifdef WRONG_UNDO_FORWARD
    veto_at = i - 1;
    i = 0;
    do
    :: i <= veto_at ->
        l = queue[i];
        todo = range & window[l] & (i == veto_at -> below : ALL);
        do
        :: todo != 0 ->
            take_part(mode[l] == EXACT);
            tell_discard()
        :: else -> break
        od;
        i++
    :: else -> break
    od;
    veto_at = 0
#else
    atomic {
        i--;
        todo = range & window[l] & below;
        seek_backward(range)
    };
    tell_discard_back(range)
#endif
}

/* One listener that is not in the queue yet, or leaves it: i is nr_queue. */
inline tell_populate_one(mask_)
{
    todo = (mask_) & window[l];
    do
    :: atomic {
            todo != 0 ->
            take_part(mode[l] != RUNS);
            tell_populate();
            keep_veto()
        }
    :: else -> break
    od
}

inline tell_discard_one(mask_)
{
    todo = (mask_) & window[l];
    do
    :: atomic {
            todo != 0 ->
            take_part(mode[l] == EXACT);
            tell_discard()
        }
    :: else -> break
    od
}

/* --- The commit ----------------------------------------------------------- */

/* One bit after the other, as words are: it is the lock that makes it whole.
 * The state lock stays with the caller. */
inline commit(new_)
{
    atomic {
        state_lock == NOBODY ->
        state_lock = who;
        CHECK(I11, change_lock == who);
        CHECK(I14, !frozen);
        todo = plugged ^ (new_)
    };
    do
    :: atomic {
            todo != 0 ->
            take_part(true);
            plugged = plugged ^ part
        }
    :: else -> break
    od;
#ifdef WRONG_COMMIT_IN_TWO_PARTS
    state_lock = NOBODY;
    atomic { state_lock == NOBODY -> state_lock = who };
#endif
    atomic {
        count_bits(plugged, nr_plugged);
        committed = plugged
    }
}

inline commit_plug()
{
    /* Everybody has agreed, and the guest will not see old contents. */
    CHECK(I3, nr_queue < 1 ||
              (range & window[queue[0]] & ~told[queue[0]]) == 0);
    CHECK(I3, nr_queue < 2 ||
              (range & window[queue[1]] & ~told[queue[1]]) == 0);
    CHECK(I6, (dirty & range) == 0);
    commit(plugged | range);
    d_step {
        retained = retained & ~range;
        memory = memory | range;
        dirty = dirty | range;
        state_lock = NOBODY
    }
}

/* --- Plug and unplug ------------------------------------------------------ */

inline plug_agreed()
{
    /* A listener may touch or pin what it is told. */
    memory = memory | range;
#ifdef WRONG_COMMIT_BEFORE_VETO
    commit_plug();
#endif
    tell_populate_all(range);
    if
    :: no ->
        undo_listeners();
#ifdef WRONG_COMMIT_BEFORE_VETO
        commit(plugged & ~range);
        state_lock = NOBODY;
#endif
        undo_memory();
        result = BUSY
    :: else ->
#ifndef WRONG_COMMIT_BEFORE_VETO
        commit_plug();
#endif
        result = OK
    fi
}

inline plug_thawed()
{
    clean_retained();
    if
    :: no -> result = BUSY
    :: else ->
        if
        :: POPULATES -> populate_memory()
        :: POPULATES_NOT
        fi;
        if
        :: no ->
            undo_memory();
            result = BUSY
        :: else -> plug_agreed()
        fi
    fi
}

inline plug()
{
    lock_change();
    range = MASK(from, size);
    before = plugged;
    if
    :: (plugged & range) != 0 -> result = ERROR
    :: (plugged & range) == 0 && frozen -> result = BUSY
    :: else -> plug_thawed()
    fi;
    unlock_change()
}

/* What is plugged of range goes; if that is not all of it, through retained. */
inline unplug_agreed()
{
#ifndef WRONG_DISCARD_BEFORE_UNMAP
    tell_discard_all(below);
#endif
    commit(plugged & ~range);
    d_step {
        retained = retained | (is_whole -> 0 : below);
        state_lock = NOBODY
    };
    if
    :: is_whole ->
        take_all(range);
        give_back_part()
    :: else -> retry_retained(range)
    fi;
#ifdef WRONG_DISCARD_BEFORE_UNMAP
    tell_discard_all(below);
#endif
    result = OK
}

inline unplug_thawed()
{
    is_whole = (plugged & range) == range;
    below = plugged & range;
    ask_discard_all(below);
    if
    :: no -> result = BUSY
    :: else -> unplug_agreed()
    fi
}

inline unplug()
{
    lock_change();
    range = MASK(from, size);
    before = plugged;
    if
    :: (plugged & range) != range -> result = ERROR
    :: (plugged & range) == range && frozen -> result = BUSY
    :: else -> unplug_thawed()
    fi;
    unlock_change()
}

/* A system reset also tries again what is retained. */
inline unplug_all(is_reset)
{
    lock_change();
    range = ALL;
    before = plugged;
    if
    :: !(is_reset) && plugged == 0 -> result = OK
    :: (is_reset || plugged != 0) && frozen -> result = BUSY
    :: else -> unplug_thawed()
    fi;
    unlock_change()
}

inline retry()
{
    lock_change();
    before = plugged;
    if
    :: frozen -> result = BUSY
    :: else ->
        retry_retained(ALL);
        result = (is_left -> FAILED : OK)
    fi;
    unlock_change()
}

/* --- Joining and leaving -------------------------------------------------- */

inline add()
{
#ifndef WRONG_ADD_WITHOUT_LOCK
    lock_change();
#endif
    atomic {
        i = nr_queue;
        window[l] = MASK(from, size);
        range = plugged
    };
#ifndef WRONG_ADD_WITHOUT_REPLAY
    tell_populate_one(range);
#endif
    if
    :: no ->
        tell_discard_one(range & below);
        result = FAILED
    :: else ->
        atomic {
            state_lock == NOBODY ->
            queue[nr_queue] = l;
            nr_queue++;
            result = OK
        }
    fi;
#ifdef WRONG_ADD_WITHOUT_LOCK
    atomic { change_lock == NOBODY -> change_lock = who };
#endif
    atomic {
        other = l;
        if
        :: result == FAILED ->
            window[l] = 0;
            mode[l] = 0
        :: else
        fi;
        unlock_change()
    };
    if
    :: result == FAILED -> observe(DESTROY, other, 0, 0, 0)
    :: else
    fi;
    other = 0
}

inline remove()
{
    lock_change();
    i = nr_queue;
#ifndef WRONG_REMOVE_WITHOUT_DISCARD
    tell_discard_one(plugged);
#endif
    atomic {
        state_lock == NOBODY ->
        if
        :: queue[0] == l -> queue[0] = queue[1]
        :: else
        fi;
        nr_queue--;
        queue[nr_queue] = 0;
        window[l] = 0;
        mode[l] = 0;
        other = l;
        unlock_change()
    };
    observe(DESTROY, other, 0, 0, 0);
    other = 0
}

/* --- Freezing and holding ------------------------------------------------- */

inline freeze(wanted)
{
#ifndef WRONG_FREEZE_WITHOUT_LOCK
    lock_change();
#endif
    atomic {
        state_lock == NOBODY ->
        if
        :: frozen == wanted -> result = FAILED
        :: else ->
            frozen = wanted;
            result = OK
        fi
    };
#ifdef WRONG_FREEZE_WITHOUT_LOCK
    atomic { change_lock == NOBODY -> change_lock = who };
#endif
    unlock_change()
}

/* vmem_region_with_populated(): it is, and stays while the callback runs. */
inline hold()
{
    lock_change();
    range = MASK(from, size);
    if
    :: (plugged & range) == range ->
        observe(HELD, who, from, size, 0);
        CHECK(I11, (plugged & range) == range);
        result = OK
    :: else -> result = FAILED
    fi;
    unlock_change()
}

/* --- Threads -------------------------------------------------------------- */

/* A call that a thread may make now, and arguments for it: anything, or what
 * the trace says. */
#ifdef TRACE
#define CALL(role, kind) event?kind, eval(who), from, size, value
#define CALL_ADD CALL(HOST, ADD); l = value & 1; mode[l] = value >> 1; !IS_IN(l)
#define CALL_REMOVE CALL(HOST, REMOVE); l = value & 1; IS_IN(l)
#else
#define CALL_IF(role, condition) \
    who == role && change_lock == NOBODY && (condition) -> change_lock = who
#define CALL(role, kind) CALL_IF(role, true)
#ifdef WRONG_ADD_WITHOUT_LOCK
#define CALL_ADD who == HOST && nr_queue < 2 -> choose_absent()
#else
#define CALL_ADD CALL_IF(HOST, nr_queue < 2); choose_absent()
#endif
#define CALL_REMOVE CALL_IF(HOST, nr_queue > 0); choose_present()
#ifdef WRONG_FREEZE_WITHOUT_LOCK
#define CALL_FREEZE(kind) who == HOST
#endif
#endif
#ifndef CALL_FREEZE
#define CALL_FREEZE(kind) CALL(HOST, kind)
#endif

inline choose_range()
{
#ifdef TRACE
    skip
#else
    from = 0;
    size = 1;
    do
    :: from < NB - 1 -> from++
    :: break
    od;
    do
    :: from + size < NB -> size++
    :: break
    od
#endif
}

inline choose_absent()
{
    l = (IS_IN(0) -> 1 : 0);
    mode[l] = (l == 0 -> MODE_0 : MODE_1);
#ifdef WINDOWS
    from = l;
    size = NB - l
#else
    choose_range()
#endif
}

inline choose_present()
{
    if
    :: l = queue[0]
    :: nr_queue > 1 -> l = queue[1]
    fi
}

inline reply()
{
    atomic {
        observe(END, who, 0, 0, result);
        result = 0
    }
}

/* The two threads that make changes. */
proctype Changer(byte who)
{
    byte from, size, value;
    byte range, before, below, todo, part, part_from, part_size;
    byte l, i, other, bit_nr, result;
    byte look_from, look_size, look_value;
    bool no, is_left, is_whole;
#ifdef WRONG_UNDO_FORWARD
    byte veto_at;
#endif

end:
    if
    :: atomic { CALL(GUEST, PLUG); choose_range() };
        plug()
    :: atomic { CALL(GUEST, UNPLUG); choose_range() };
        unplug()
    :: atomic { CALL(GUEST, UNPLUG_ALL) };
        unplug_all(false)
    :: atomic { CALL(HOST, RESET) };
        unplug_all(true)
    :: atomic { CALL(HOST, RETRY) };
        retry()
    :: atomic { CALL_FREEZE(FREEZE) };
        freeze(true)
    :: atomic { CALL_FREEZE(THAW) };
        freeze(false)
    :: atomic { CALL(HOST, HOLD); choose_range() };
        hold()
    :: atomic { CALL_ADD };
        add()
    :: atomic { CALL_REMOVE };
        remove()
    fi;
progress:
    reply();
    goto end
}

/* Sees all that there is, one bit after the other. */
inline look()
{
#ifndef WRONG_QUERY_WITHOUT_LOCK
    atomic { state_lock == NOBODY -> state_lock = who };
#endif
    do
    :: atomic {
            at < NB ->
            seen = seen | (plugged & (1 << at));
            at++
        }
    :: else -> break
    od;
    atomic {
        seen_count = nr_plugged;
        count_bits(retained, seen_retained);
        count_bits(seen, count);
        CHECK(I11, seen == committed && seen_count == count);
        if
        :: state_lock == who -> state_lock = NOBODY
        :: else
        fi
    }
}

inline forget()
{
    d_step {
        from = 0;
        size = 0;
        value = 0;
        seen = 0;
        seen_count = 0;
        seen_retained = 0;
        count = 0;
        at = 0
    }
}

/* The one that only asks, under the state lock. */
proctype Asker(byte who)
{
    byte from, size, value;
    byte seen, seen_count, seen_retained, at, bit_nr, count;

end:
    if
#ifdef TRACE
    :: event?STATE, eval(who), from, size, _ ->
        look();
        seen = seen & MASK(from, size);
        value = (seen == 0 -> UNPLUGGED :
                 (seen == MASK(from, size) -> PLUGGED : MIXED));
        event?END, eval(who), 0, 0, eval(value)
    :: event?POPULATED, eval(who), from, size, _ ->
        look();
        value = (seen & MASK(from, size)) == MASK(from, size);
        event?END, eval(who), 0, 0, eval(value)
    :: event?INFO, eval(who), 0, 0, _ ->
        look();
        event?END, eval(who), eval(seen_count), eval(seen_retained), 0
#else
    :: look()
    /* Then a thread that hangs is seen: nothing at all goes on. */
    :: goto stop
#endif
    fi;
progress:
    forget();
    goto end;
stop:
    skip
}

#ifdef TRACE
#include "trace.pml"
#endif

init
{
    atomic {
#ifdef TRACE
        run Trace();
#endif
        run Changer(GUEST);
        run Changer(HOST);
        run Asker(QUERY)
    }
}

#ifdef FORMULA
#define no_change (change_lock == NOBODY)
#define settled (IS_TOLD(0) && IS_TOLD(1) && plugged == committed && \
                 (memory & ~(plugged | retained)) == 0)

ltl always_told { [] (no_change -> settled) }
#endif
