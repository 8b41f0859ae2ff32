#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Could the model have done what a trace shows?

Makes a process of the trace that sends its events one by one. The model takes
an event only where it does that itself, so the trace is accepted if Spin finds
a way to its end, and rejected if it has looked at all ways and found none.

With --corrupt the process may also make one mistake, anywhere: leave an event
out, exchange two neighbours, or change a number. Then no way may lead to the
end.

The exit status is 0 if the traces are accepted (with --corrupt: rejected with
each mistake), 1 if not, and 2 if that could not be found out.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

# The model of a trace is told by its head, whose words are the model's options.
MODELS = {
    "region.pml": {"blocks": "NB", "populates": "POPULATES"},
    "mapper.pml": {"chunks": "NC", "limit": "LIMIT", "exact": "EXACT"},
}
HEAD = {word: option for options in MODELS.values()
        for word, option in options.items()}
CALLS = ["plug", "unplug", "unplug-all", "add", "remove", "freeze", "thaw",
         "reset", "retry", "hold", "state", "populated", "info", "attach",
         "detach"]
CALLBACKS = ["tell-populate", "tell-discard", "ask-discard", "answer", "look",
             "refused", "held", "destroy", "mem-populate", "mem-discard",
             "mem-zero", "veto", "map", "unmap", "commit", "books"]
INSIDE = ["look", "refused"]
MEMORY = "2000"


class Failure(Exception):
    pass


def read_trace(path):
    """(model, {word of its head: n}, [(event, who, and three numbers)])"""
    head = {}
    events = []
    with open(path, encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            if not words:
                continue
            name = words[0]
            numbers = [int(word) if word.isdecimal() else -1
                       for word in words[1:]]
            if name in HEAD and len(numbers) == 1 and (
                    numbers[0] >= 0):
                head[name] = numbers[0]
            elif (name in CALLS + CALLBACKS + ["end"] and len(numbers) == 4
                  and all(0 <= n < 256 for n in numbers)):
                events.append((name, *numbers))
            else:
                raise Failure(f"{path}:{number}: not understood: {line}")
    models = [model for model, options in MODELS.items()
              if set(head) == set(options)]
    if not models or not events:
        raise Failure(f"{path}: there are no events, or no head")
    return models[0], head, events


def send(event):
    name, *numbers = event
    name = name.upper().replace("-", "_")
    return f"event!{name}, " + ", ".join(str(n) for n in numbers)


def changed_numbers(events, at):
    """What one wrong number makes of an event, where it cannot be right."""
    name, who, start, size, value = events[at]
    wrong = []
    # Of a mapper: which chunks, whether a map failed, and what is counted.
    if name in ("map", "unmap", "veto"):
        wrong += [(name, who, start << 1 & 0xff, size, value),
                  (name, who, start | 64, size, value)]
    if name == "map":
        wrong.append((name, who, start, size, 1 - value))
    if name == "books":
        wrong += [(name, who, start + 1, size, value),
                  (name, who, start, size + 1, value),
                  (name, who, start, size, value + 1)]
    if name.startswith(("tell-", "ask-", "mem-")) or name == "held":
        wrong += [(name, who, start + 1, size, value),
                  (name, who, start, size + 1, value)]
    if name.startswith(("tell-", "ask-")):
        wrong.append((name, 1 - who, start, size, value))
    if name.startswith("mem-") or name in ("answer", "look", "refused"):
        wrong.append((name, who, start, size, 1 - value))
    if name == "end":
        wrong += [(name, who, start, size, other)
                  for other in range(5) if other != value]
        wrong += [(name, who, start + 1, size, value),
                  (name, who, start, size + 1, value)]
    return wrong


def may_exchange(one, other):
    """Would it be a mistake? Calls of two threads may overlap, queries inside of
    one callback may come in any order, and books may be read at any time."""
    if one == other or (one[0] in INSIDE and other[0] in INSIDE) or (
            "books" in (one[0], other[0])):
        return False
    return not (one[0] == "end" and other[0] in CALLS and one[1] != other[1])


def may_be_missing(events, at):
    """What a callback tries, it may also leave, and books need not be read.
    Without its end the last call of a thread is not over, which is right as
    well."""
    name, who = events[at][:2]
    return name in INSIDE or name == "books" or name == "end" and not any(
        later[0] in CALLS and later[1] == who for later in events[at + 1:])


def mistakes(events, at):
    """[(what, statements, where to go on)] for one place of a trace."""
    found = []
    if not may_be_missing(events, at):
        found.append(("left out", [], at + 1))
    if at + 1 < len(events):
        if may_exchange(events[at], events[at + 1]):
            found.append(("exchanged with the next",
                          [send(events[at + 1]), send(events[at])], at + 2))
    for wrong in changed_numbers(events, at):
        found.append((" ".join(str(n) for n in wrong), [send(wrong)], at + 1))
    return found


def write_trace(path, events, corrupt):
    """Writes the process; returns how many mistakes it may make."""
    lines = ["hidden byte TRACE_IS_ACCEPTED = 0;",
             "c_decl { static int furthest; };"]
    nr_mistakes = 0
    if corrupt:
        lines.append("bool is_corrupt;")
    lines += ["proctype Trace()", "{"]
    for at, event in enumerate(events):
        if not corrupt:
            # Whoever gets further than anybody before says so.
            lines += [f"    {send(event)};",
                      f"    c_code {{ if (furthest < {at + 1})"
                      f" printf(\"got to %d\\n\", furthest = {at + 1}); }};"]
            continue
        lines += [f"at_{at}:", "    if", f"    :: {send(event)}"]
        for what, statements, next_at in mistakes(events, at):
            nr_mistakes += 1
            text = f"event {at + 1}: {' '.join(str(n) for n in event)}: {what}"
            lines.append("    :: !is_corrupt -> is_corrupt = true;")
            lines += [f"        {statement};" for statement in statements]
            lines += [f'        printf("{text}\\n");',
                      f"        goto at_{next_at}"]
        lines.append("    fi;")
    if corrupt:
        lines += [f"at_{len(events)}:", "    is_corrupt;"]
    lines += ["    assert(TRACE_IS_ACCEPTED)", "}", ""]
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(lines))
    return nr_mistakes


def run(work, *command):
    ran = subprocess.run(command, cwd=work, text=True, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return ran.returncode, ran.stdout


def build_and_search(work, model, head):
    options = [f"-D{HEAD[word]}={number}" for word, number in head.items()]
    status, text = run(work, "spin", "-a", "-DTRACE", *options, model)
    if status != 0 or not os.path.exists(os.path.join(work, "pan.c")):
        raise Failure(f"spin: {text}")
    # Optimizing the one large function takes longer than it saves.
    status, text = run(work, "gcc", "-O0", "-w", "-DSAFETY", "-DCOLLAPSE",
                       "-DVECTORSZ=2048", f"-DMEMLIM={MEMORY}", "-o", "pan",
                       "pan.c")
    if status != 0:
        raise Failure(f"gcc: {text}")
    # A trace that does not fit ends in a state from which nothing goes on:
    # that is no error here.
    _, text = run(work, "./pan", "-E", "-m1000000")
    match = re.search(r"errors: (\d+)", text)
    stored = re.search(r"(\d+) states, stored", text)
    if match is None or stored is None or "max search depth" in text or (
            "Search not completed" in text and match.group(1) == "0"):
        raise Failure(f"pan: {text}")
    accepted = "assertion violated TRACE_IS_ACCEPTED" in text
    if match.group(1) != "0" and not accepted:
        raise Failure(f"the model broke its own rules: {text}")
    return accepted, int(stored.group(1)), text


def check(path, corrupt, work):
    model, head, events = read_trace(path)
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), model),
                work)
    nr_mistakes = write_trace(os.path.join(work, "trace.pml"), events, corrupt)
    accepted, nr_states, text = build_and_search(work, model, head)
    name = os.path.basename(path)
    if not corrupt:
        if accepted:
            print(f"{name}: {len(events)} events accepted, "
                  f"{nr_states} states")
            return True
        at = max([0] + [int(n) for n in re.findall(r"^got to (\d+)$", text,
                                                   re.M)])
        shown = " ".join(str(part) for part in events[at])
        print(f"{name}: rejected at event {at + 1}: {shown}")
        return False
    if not accepted:
        print(f"{name}: {nr_mistakes} mistakes in {len(events)} events, "
              f"each rejected, {nr_states} states")
        return nr_mistakes > 0
    _, text = run(work, "./pan", "-r")
    shown = re.search(r"event \d+: .*", text)
    print(f"{name}: accepted with a mistake: "
          f"{'unknown' if shown is None else shown.group(0)}")
    return False


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--corrupt", action="store_true",
                        help="with one mistake, a trace must be rejected")
    parser.add_argument("trace", nargs="+")
    args = parser.parse_args()
    good = True
    try:
        for path in args.trace:
            with tempfile.TemporaryDirectory() as work:
                good = check(path, args.corrupt, work) and good
    except Failure as failure:
        print(failure)
        sys.exit(2)
    sys.exit(0 if good else 1)


main()
