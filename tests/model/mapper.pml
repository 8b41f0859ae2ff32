/* SPDX-License-Identifier: BSD-3-Clause */
/* A DMA mapper with one attachment, the backend that it calls, and a region that
 * is reduced to the order it guarantees. docs/model.md says what it shows.
 *
 * Two uses, as of region.pml: everything that the outside decides is open, or,
 * with TRACE, a recorded trace decides.
 *
 * NC           chunks, 6 at most
 * LIMIT        of mappings
 * EXACT        1: the backend is asked for each chunk alone
 * WITH_KEEPER  a third thread tries again what is stuck
 * WRONG_...    one deliberate mistake, to see that it is found */

#ifndef NC
#define NC 3
#endif
#ifndef LIMIT
#define LIMIT 2
#endif
#ifndef EXACT
#define EXACT 0
#endif
#define ALL ((1 << NC) - 1)

/* Of a set of chunks: the lowest, the lowest run, and how many there are. */
#define FIRST(set) ((set) & -(set))
#define FIRST_RUN(set) ((set) & ~((set) + FIRST(set)))
#define HAS(set, n) (((set) >> n) & 1)
#define COUNT_OF(set) (HAS(set, 0) + HAS(set, 1) + HAS(set, 2) + \
                       HAS(set, 3) + HAS(set, 4) + HAS(set, 5))

/* What is named by the first argument of CHECK appears in Spin's verdict. */
#define CHECK(property, condition) assert(property || (condition))
hidden byte MAPPED = 0;
hidden byte LEFT = 0;
hidden byte TWICE = 0;
hidden byte ORDER = 0;
hidden byte STALE = 0;
hidden byte BUDGET = 0;
hidden byte CLAIM = 0;

/* Threads, also as owners of locks. */
#define NOBODY 0
#define GUEST 1
#define HOST 2
#define KEEPER 3

/* Calls of threads and their ends; what a later listener answers; the backend. */
mtype = { PLUG, UNPLUG, UNPLUG_ALL, ATTACH, DETACH, RETRY, END, BOOKS, VETO,
          MAP, UNMAP, COMMIT };
/* What the mapper does in one batch: what its listener is told, unmap all, and
 * try again. */
mtype = { TELL_POPULATE, TELL_DISCARD, UNMAP_EACH, RETRY_EACH };
/* Where the attachment is; from LEAVING on it maps nothing. */
mtype = { NONE, JOINING, ATTACHED, LEAVING, ORPHAN };
#define IS_LEAVING (stage == LEAVING || stage == ORPHAN)

/* The region; a bit for each chunk, as in all sets. */
byte plugged;
byte change_lock;
bool is_listening;

/* The mapper: its lock, and of its chunks those mapped, stuck, and changed in this
 * batch; has it mapped any in it? */
byte dma_lock;
byte mapped;
byte stuck;
byte changed;
byte nr_mappings;
bool has_begun;
bool has_mapped;

/* The attachment. */
mtype stage = NONE;
bool has_handle; /* the host */
bool has_claim;
/* Somebody who discards without asking, which the claim forbids. */
bool is_uncoordinated;

/* The backend: what devices reach, the same if this batch is committed, and what
 * the batch has touched. */
byte reached;
byte view;
byte touched;

/* What no code can read: chunks that devices reach in memory that was discarded
 * since they were mapped. */
byte stale;

/* A batch for a thread that has taken the mapper's lock: its kind, the chunks
 * that it is for; was it refused, and is that undone already? */
chan batch = [0] of { mtype, byte };
chan answer = [0] of { bool, bool };

#ifdef TRACE
chan event = [0] of { mtype, byte, byte, byte, byte };
#endif

/* --- The end of calls ----------------------------------------------------- */

/* What holds whenever no change runs and nobody has the mapper's lock. */
inline check_settled()
{
    CHECK(MAPPED, change_lock != NOBODY || (mapped & ~plugged) == 0);
    CHECK(MAPPED, change_lock != NOBODY || stage != ATTACHED ||
                  (mapped == plugged && (mapped & ~reached) == 0))
}

/* What holds whenever nobody has the mapper's lock. */
inline unlock_dma()
{
    d_step {
        assert(dma_lock == who && !has_begun && changed == 0);
        CHECK(LEFT, (reached & ~(mapped | stuck)) == 0);
        CHECK(BUDGET, nr_mappings == COUNT_OF(mapped | stuck));
        CHECK(BUDGET, (mapped & stuck) == 0 && nr_mappings <= LIMIT);
        CHECK(CLAIM, has_claim || (reached | mapped | stuck) == 0);
        CHECK(CLAIM, !is_uncoordinated || reached == 0);
        dma_lock = NOBODY;
        check_settled()
    }
}

inline unlock_change()
{
    d_step {
        assert(change_lock == who);
        change_lock = NOBODY;
        range = 0;
        if
        :: dma_lock == NOBODY -> check_settled()
        :: else
        fi
    }
}

/* --- The backend ---------------------------------------------------------- */

/* Any part of a set, in gone. */
inline choose_part(set_)
{
    gone = 0;
    rest = set_;
    do
    :: rest != 0 ->
        if
        :: gone = gone | FIRST(rest)
        :: true
        fi;
        rest = rest & ~FIRST(rest)
    :: else -> break
    od
}

/* All or nothing; in no: it failed. */
inline call_map(chunk_)
{
    has_begun = true;
#ifdef TRACE
    event?MAP, 0, eval(chunk_), 0, no;
#else
    if
    :: no = false
    :: no = true
    fi;
#endif
    if
    :: !no ->
        CHECK(TWICE, (view & (chunk_)) == 0);
        view = view | (chunk_);
        touched = touched | (chunk_)
    :: else
    fi
}

/* In gone: what is unmapped because of this call. An error may come after some of
 * it; without one a run may be done in part, a chunk may not. */
inline call_unmap(set_)
{
    has_begun = true;
#ifdef TRACE
    event?UNMAP, 0, eval(set_), gone, no;
    (gone & ~(view & (set_))) == 0;
#else
    if
    :: no = false;
        gone = view & (set_)
    :: (set_) != FIRST(set_) ->
        no = false;
        choose_part(view & (set_))
    :: no = true;
        choose_part(view & (set_))
    fi;
#endif
    view = view & ~gone;
    touched = touched | gone
}

/* In no. After a failure devices reach any part of what the batch touched. */
inline call_commit()
{
#ifdef TRACE
    event?COMMIT, 0, 0, gone, no;
    (gone & ~touched) == 0;
#else
    if
    :: no = false
    :: no = true;
        choose_part(touched)
    fi;
#endif
    if
    :: no -> view = (view & ~touched) | gone
    :: else -> stale = stale & ~touched
    fi;
    reached = view;
    stale = stale & reached;
    touched = 0
}

/* --- The mapper, between taking and dropping its lock --------------------- */

inline note_unmapped(set_)
{
    changed = changed | (set_);
#ifndef WRONG_BUDGET_NOT_GIVEN_BACK
    nr_mappings = nr_mappings - COUNT_OF(set_)
#endif
}

/* Tries again what is stuck of a set; in is_left: some still is. */
inline retry_chunks(set_)
{
    is_left = false;
    some = stuck & (set_);
    do
    :: some != 0 ->
        call_unmap(FIRST(some));
        if
        :: no -> is_left = true
        :: else ->
            stuck = stuck & ~FIRST(some);
            note_unmapped(FIRST(some))
        fi;
        some = some & ~FIRST(some)
    :: else -> break
    od
}

/* The chunks of part one by one; what is in done were unmapped by these calls. That
 * there was nothing to unmap means gone only after an error. */
inline unmap_each(after_error_)
{
    done = 0;
    some = part;
    do
    :: some != 0 ->
        call_unmap(FIRST(some));
        mapped = mapped & ~FIRST(some);
        if
        :: !no && (gone != 0 || (after_error_)) -> note_unmapped(FIRST(some))
        :: else ->
#ifdef WRONG_FORGET_STUCK
            note_unmapped(FIRST(some))
#else
            stuck = stuck | FIRST(some)
#endif
        fi;
        done = done | (no -> 0 : gone);
        some = some & ~FIRST(some)
    :: else -> break
    od
}

/* A run in one call if it can be; what that leaves open, one by one. */
inline unmap_run()
{
    call_unmap(part);
    if
    :: !no && gone == part ->
        mapped = mapped & ~part;
        note_unmapped(part)
    :: else ->
        is_error = no;
        first = gone;
        unmap_each(is_error);
        if
        /* Those that had nothing were done by the first call. */
        :: !is_error && COUNT_OF(done) + COUNT_OF(first) >= COUNT_OF(part) ->
            retry_chunks(part)
        :: else
        fi
    fi
}

inline unmap_chunks(set_)
{
    do
    :: (mapped & (set_)) != 0 ->
        part = FIRST_RUN(mapped & (set_));
        if
        :: !EXACT && part != FIRST(part) -> unmap_run()
        :: else -> unmap_each(false)
        fi
    :: else -> break
    od
}

/* Chunk by chunk in order. Refused while joining, it maps nothing more, and that
 * is remembered; else it is a veto. In told: the chunks before that. */
inline map_chunks(set_)
{
    do
    :: told != (set_) && !refused && !is_refused ->
        chunk = FIRST((set_) & ~told);
#ifdef WRONG_MAP_OVER_STUCK
        is_left = false;
#else
        retry_chunks(chunk);
#endif
        if
        :: is_left -> refused = true
        :: !is_left && IS_LEAVING
        :: !is_left && !IS_LEAVING && nr_mappings >= LIMIT -> refused = true
        :: else ->
            call_map(chunk);
            refused = no;
            if
            :: !refused ->
                mapped = mapped | chunk;
                changed = changed | chunk;
                has_mapped = true;
                nr_mappings++
            :: else
            fi
        fi;
        told = told | (refused -> 0 : chunk);
#ifndef WRONG_SECOND_JOIN
        is_refused = (stage == JOINING && refused);
        refused = refused && !is_refused
#endif
    :: else -> break
    od
}

/* The backend's end of a batch. In no: it failed, and what was changed is stuck. */
inline end_batch()
{
    call_commit();
#ifdef WRONG_COMMIT_IGNORED
    no = false;
#endif
    if
    :: no ->
        nr_mappings = nr_mappings + COUNT_OF(changed & ~(mapped | stuck));
        stuck = stuck | changed;
        mapped = mapped & ~changed
    :: else -> changed = 0
    fi;
    has_begun = false
}

/* In no: it failed. Then what was changed in a batch with maps is tried again: some of
 * it may never have been in effect. */
inline commit()
{
    no = false;
    if
    :: has_begun ->
        end_batch();
        if
        :: no && has_mapped ->
            part = changed;
            changed = 0;
            retry_chunks(part);
            end_batch();
            no = true
        :: else
        fi;
        changed = 0
    :: else
    fi;
    has_mapped = false
}

/* The first batch of an attachment decides whether it stays. */
inline end_joining()
{
    if
    :: stage == JOINING ->
        stage = (is_refused || no -> LEAVING : ATTACHED);
        no = false
    :: else
    fi
}

/* One process, so that its code is there once. */
proctype Mapper()
{
    mtype kind;
    byte set, todo, told, part, chunk, some, gone, rest, done, first;
    bool no, refused, is_refused, is_left, is_error;

end:
    atomic {
        batch?kind, set;
        todo = set;
        if
        :: kind == TELL_POPULATE ->
            map_chunks(set);
            todo = (refused -> told : 0)
        :: else
        fi;
        /* Run by run, as a listener is told; a refusal is undone. */
        do
        :: todo != 0 ->
            chunk = FIRST_RUN(todo);
            todo = todo & ~chunk;
            retry_chunks(chunk);
            if
            :: kind != RETRY_EACH -> unmap_chunks(chunk)
            :: else
            fi
        :: else -> break
        od;
        commit();
        if
        :: kind == TELL_POPULATE ->
#ifndef WRONG_SECOND_JOIN
            end_joining()
#endif
        :: else
        fi;
        answer!(refused || no), refused;
        d_step {
            kind = 0; set = 0; told = 0; part = 0; chunk = 0; some = 0; gone = 0;
            rest = 0; done = 0; first = 0;
            no = false; refused = false; is_refused = false; is_left = false;
            is_error = false
        }
    };
    goto end
}

/* --- What threads do of it ------------------------------------------------ */

#define TAKE(lock) lock == NOBODY -> lock = who

/* One batch under the mapper's lock. In refused; in is_undone: no part is left. */
inline run_batch(kind_, set_)
{
    batch!kind_, set_;
    answer?refused, is_undone
}

inline tell(kind_, set_)
{
    if
    :: atomic {
            is_listening && (set_) != 0 && dma_lock == NOBODY ->
            dma_lock = who;
            run_batch(kind_, set_);
            unlock_dma()
        }
    :: !is_listening || (set_) == 0 -> refused = false
    fi
}

/* If the end of a batch is what was refused, another one undoes it. */
inline tell_populate(set_)
{
    tell(TELL_POPULATE, set_);
    if
    :: refused && !is_undone ->
        tell(TELL_DISCARD, set_);
        refused = true
    :: else
    fi;
    is_undone = false
}

/* Where range stops being memory of the guest: only what is stuck is reached. */
inline discard_memory()
{
    CHECK(ORDER, (reached & range & ~stuck) == 0);
    stale = stale | (reached & range)
}

/* --- Calls of the guest --------------------------------------------------- */

inline plug()
{
    tell_populate(range);
    if
    :: refused
    :: !refused
    /* A listener that came later objects. */
    :: atomic {
            !refused ->
#ifdef TRACE
            event?VETO, GUEST, eval(range), 0, 1;
#endif
#ifdef WRONG_VETO_NOT_UNDONE
            skip
#else
            tell(TELL_DISCARD, range)
#endif
            ;
            refused = true
        }
    fi;
    atomic {
        if
        :: refused -> discard_memory()
        :: else ->
            CHECK(STALE, (range & stale & reached) == 0);
            plugged = plugged | range
        fi;
        unlock_change()
    }
}

inline unplug()
{
#ifdef WRONG_DISCARD_BEFORE_UNMAP
    atomic { discard_memory() };
#endif
    tell(TELL_DISCARD, range);
    atomic {
        plugged = plugged & ~range;
        discard_memory();
        refused = false;
        unlock_change()
    }
}

/* --- Calls of the host ---------------------------------------------------- */

/* Off the region and off the list; nothing of it is mapped. */
inline finish()
{
    atomic { TAKE(change_lock) };
    tell(TELL_DISCARD, plugged);
    atomic {
        is_listening = false;
        unlock_change()
    };
    atomic {
        TAKE(dma_lock);
        CHECK(CLAIM, (reached | mapped | stuck) == 0);
        stage = NONE;
        has_claim = false;
        unlock_dma()
    }
}

/* Frees an orphan of which nothing is stuck any more. */
inline reap()
{
    atomic {
        TAKE(dma_lock);
        is_free = (stage == ORPHAN && stuck == 0);
        stage = (is_free -> LEAVING : stage);
        unlock_dma()
    };
    if
    :: is_free -> finish()
    :: else
    fi;
    is_free = false
}

/* In refused: something is stuck, and it listens on. */
inline leave(stuck_stage_)
{
    atomic {
        TAKE(dma_lock);
        stage = LEAVING;
        run_batch(UNMAP_EACH, ALL);
        refused = (stuck != 0);
        stage = (refused -> stuck_stage_ : LEAVING);
#ifdef WRONG_CLAIM_DROPPED_EARLY
        has_claim = false;
#endif
#ifdef WRONG_WAIT_UNDER_MAPPER_LOCK
    };
    atomic {
        TAKE(change_lock);
        unlock_change();
#endif
        unlock_dma()
    };
    if
    :: refused
    :: else -> finish()
    fi
}

/* From its first batch on it listens until nothing is stuck, refused or not. */
inline join()
{
    atomic {
        TAKE(change_lock);
        is_listening = true
    };
    tell_populate(plugged);
    atomic {
#ifdef WRONG_SECOND_JOIN
        is_listening = !refused;
#endif
        unlock_change()
    }
}

/* In refused. */
inline end_join()
{
    atomic {
        TAKE(dma_lock);
#ifndef WRONG_SECOND_JOIN
        refused = refused || IS_LEAVING;
#endif
        stage = (refused -> LEAVING : ATTACHED);
        has_handle = !refused;
        unlock_dma()
    }
}

inline abandon()
{
    leave(ORPHAN);
#ifdef WRONG_SECOND_JOIN
    atomic {
        TAKE(change_lock);
        is_listening = (stage == ORPHAN);
        unlock_change()
    };
#endif
    refused = true
}

inline attach()
{
    reap();
    atomic {
        TAKE(dma_lock);
        if
        :: stage == NONE && !is_uncoordinated ->
            has_claim = true;
            stage = JOINING;
            is_admitted = true
        :: true /* its place is taken, or the budget will not do */
        fi;
        refused = !is_admitted;
        unlock_dma()
    };
    if
    :: is_admitted ->
        if
        :: join()
        :: refused = true /* no memory; nothing was told */
        fi;
        end_join();
        if
        :: refused -> abandon()
        :: else
        fi
    :: else
    fi;
    is_admitted = false
}

inline detach()
{
    leave(LEAVING);
    has_handle = refused
}

inline retry_unmaps()
{
    atomic {
        TAKE(dma_lock);
        run_batch(RETRY_EACH, ALL);
        refused = (stuck != 0);
        unlock_dma()
    };
    reap()
}

/* --- Threads -------------------------------------------------------------- */

/* A call that a thread may make now: any, of a run of chunks, or what the trace
 * says. */
#ifdef TRACE
#define CALL(kind, condition) event?kind, eval(who), range, 0, 0; condition
#define CHANGE(kind) CALL(kind, true) }; atomic { TAKE(change_lock)
#define REPLY event?END, eval(who), 0, 0, eval(refused)
#else
#define CALL(kind, condition) condition
#define CHANGE(kind) \
    CALL(kind, who == GUEST && change_lock == NOBODY); \
    change_lock = who; choose_range()
#define REPLY skip
#endif

inline choose_range()
{
    range = 1;
    do
    :: range < (1 << (NC - 1)) -> range = range << 1
    :: break
    od;
    do
    :: (range << 1) <= ALL -> range = range | (range << 1)
    :: break
    od
}

proctype Caller(byte who)
{
    byte range;
    bool refused, is_undone, is_free, is_admitted;

end:
    if
    :: atomic { CHANGE(PLUG) };
        if
        :: (plugged & range) == 0 -> plug()
        :: else ->
            refused = true;
            unlock_change()
        fi
    :: atomic { CHANGE(UNPLUG) };
        if
        :: (plugged & range) == range -> unplug()
        :: else ->
            refused = true;
            unlock_change()
        fi
    :: atomic { CHANGE(UNPLUG_ALL); range = plugged };
        unplug()
    :: atomic { CALL(ATTACH, who == HOST && !has_handle) };
        attach()
    :: atomic { CALL(DETACH, who == HOST && has_handle) };
        detach()
    :: atomic { CALL(RETRY, who != GUEST) };
        retry_unmaps()
#ifdef TRACE
    :: event?BOOKS, eval(who), eval(nr_mappings), eval(COUNT_OF(stuck)),
           eval(COUNT_OF(plugged)) -> goto end
#else
    :: atomic {
            who == HOST && !has_claim ->
            is_uncoordinated = !is_uncoordinated
        }
#endif
    fi;
    atomic {
        REPLY;
        refused = false
    };
progress:
    goto end
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
        run Mapper();
        run Caller(GUEST);
#if defined(WITH_KEEPER) || defined(TRACE)
        run Caller(KEEPER);
#endif
        run Caller(HOST)
    }
}
