#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Words that must not be in the source.

In the library: whatever can abort, overrun a buffer, or reach the kernel from
the wrong layer. Everywhere: missing licence lines, forgotten notes, paths of
somebody's machine.
"""

import os
import re

import common

# Not behind "." or "->": a member of that name is not the function.
CALL = r"(?<![\w.])(?<!->)(?:%s)\s*\("

# Regular expression, where it is allowed (folders end in /), why not.
IN_LIBRARY = [
    (CALL % "assert", (), "dies with NDEBUG; use vmemi_assert()"),
    (CALL % r"abort|exit|_exit|_Exit|quick_exit|__builtin_trap|__builtin_abort|"
     "raise", ("libvmem/base/assert.h",), "ends the host's process"),
    (CALL % "alloca|__builtin_alloca|g_alloca|g_newa0?", (),
     "the size of a stack frame is no place for data"),
    (CALL % r"strcpy|stpcpy|strcat|strncat|sprintf|vsprintf|gets|strtok|scanf|"
     "sscanf|fscanf", (), "has no size, or cannot report an error"),
    (CALL % r"malloc|calloc|realloc|reallocarray|strdup|strndup|asprintf|"
     "vasprintf|posix_memalign|aligned_alloc", ("libvmem/base/alloc.c",),
     "allocate through base/alloc.h, where tests can make it fail"),
    (CALL % r"printf|vprintf|puts|putchar|fprintf|vfprintf|fputs|perror|dprintf|"
     "syslog", ("libvmem/base/log.c",), "the library prints through its log"),
    (CALL % "getenv|secure_getenv|setenv|putenv", (),
     "the library reads no environment"),
    (CALL % "signal|sigaction|fork|vfork|system|popen|execve|clone", (),
     "the library leaves the process alone"),
    (r"\bpthread_(?:mutex|cond|rwlock|spin)\w*", ("libvmem/base/lock.h",),
     "every lock is of base/lock.h"),
    (CALL % r"madvise|process_madvise|posix_madvise|fallocate|posix_fallocate|"
     "mmap|mmap64|munmap|mremap|mprotect|mlock|mlock2|munlock|mincore|msync|"
     "memfd_create|ftruncate|userfaultfd|fstat|fstatfs|statfs|stat|lseek|"
     "open|openat|fopen|fdopen|close|read|write|pread|pwrite|preadv|pwritev|"
     "fcntl|syscall",
     ("libvmem/host/",), "memory system calls belong in host/"),
    (CALL % "ioctl", ("libvmem/host/", "libvmem/dma/"),
     "ioctls belong in host/ and dma/"),
]

# GLib calls that cannot abort when memory runs out; others need a look at
# their source before they are added here.
GLIB_ALLOWED = re.compile(
    r"g_(?:free|try_malloc0?(?:_n)?|bit_\w+|str_equal|strcmp0|strlcpy|"
    r"snprintf|vsnprintf|steal_pointer|clear_pointer|"
    r"queue_(?:init|is_empty|get_length|peek_\w+|unlink|\w+_link|foreach|find|"
    r"index|link_index)|"
    r"list_(?:find|length|nth|first|last|next|previous|remove_link|position)|"
    r"atomic_\w+)$")

# Only base/alloc.c asks GLib for memory.
GLIB_MEMORY = re.compile(r"g_(?:free|try_\w+)$")

C_LICENCE = "/* SPDX-License-Identifier: BSD-3-Clause */"
HASH_LICENCE = "# SPDX-License-Identifier: BSD-3-Clause"

# Split so that this file does not report itself.
NOTES = re.compile(r"\b(?:TO" + "DO|FIX" + "ME|X" + r"XX)\b")
PLACES = re.compile(r"(?<![\w.<>-])/(?:ho" + "me|wo" + "rk|ro" + "ot|Us"
                    + r"ers)/[\w.]")

TEXT = (".c", ".h", ".h.in", ".cc", ".py", ".sh", ".md", ".map", ".txt",
        ".in", ".build", ".yml", "run", "CHANGELOG", "README")

# Recorded from elsewhere; their bytes are not ours to change.
FOREIGN = ("tests/data/", "tests/fuzz/corpus/")


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def allowed(path, places):
    return any(path == place or (place.endswith("/") and path.startswith(place))
               for place in places)


def check_library(root, problems):
    paths = common.walk(root, "libvmem", suffixes=(".c", ".h"))
    for path in paths:
        text = common.code_only(common.read(root, path))
        for pattern, places, why in IN_LIBRARY:
            if allowed(path, places):
                continue
            for match in re.finditer(pattern, text):
                name = match.group(0).rstrip("( \t\n")
                number = line_of(text, match.start())
                problems.append(f"{path}:{number}: {name}: {why}")
        for match in re.finditer(r"\b(g_\w+)\s*\(", text):
            name = match.group(1)
            number = line_of(text, match.start())
            if not GLIB_ALLOWED.match(name):
                problems.append(f"{path}:{number}: {name}: may abort; the "
                                "library uses GLib calls that cannot")
            elif (GLIB_MEMORY.match(name)
                  and path != "libvmem/base/alloc.c"):
                problems.append(f"{path}:{number}: {name}: allocate through "
                                "base/alloc.h")
    return len(paths)


def check_licence(path, text, problems):
    lines = text.split("\n", 2)
    if path.endswith((".c", ".h", ".h.in", ".cc", ".map")):
        if lines[0] != C_LICENCE:
            problems.append(f"{path}:1: the first line must be {C_LICENCE}")
    elif path.endswith((".py", ".sh")) or path == ".ci/run":
        first = lines[1] if lines[0].startswith("#!") else lines[0]
        if first != HASH_LICENCE:
            problems.append(f"{path}:1: the first line, or the second after "
                            f"#!, must be {HASH_LICENCE}")


def check_text(root, problems):
    paths = [p for p in common.walk(root, suffixes=TEXT)
             if not p.startswith(FOREIGN)]
    for path in paths:
        text = common.read(root, path)
        check_licence(path, text, problems)
        if text and not text.endswith("\n"):
            problems.append(f"{path}: no newline at the end")
        for number, line in enumerate(text.split("\n"), 1):
            where = f"{path}:{number}"
            if NOTES.search(line):
                problems.append(f"{where}: a note to oneself; do it or file it")
            if line.startswith(("<" * 7, ">" * 7)):
                problems.append(f"{where}: a conflict that was not resolved")
            if PLACES.search(line):
                problems.append(f"{where}: a path of somebody's machine")
            if line != line.rstrip() or "\r" in line:
                problems.append(f"{where}: white space at the end of the line")
            if "\t" in line:
                problems.append(f"{where}: a tab")
    return len(paths)


def check_flags(root, problems):
    """The compiler is the better judge of variable-length arrays."""
    path = os.path.join(root, "meson.build")
    if not os.path.exists(path) or "'-Wvla'" not in common.read(root,
                                                               "meson.build"):
        problems.append("meson.build: -Wvla is missing")


def main():
    root = common.root_from_args(__doc__.split("\n", maxsplit=1)[0])
    problems = []
    nr_files = check_library(root, problems)
    nr_files += check_text(root, problems)
    check_flags(root, problems)
    common.finish("banned", problems, nr_files)


main()
