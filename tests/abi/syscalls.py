#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The library makes the system calls that docs/syscalls.md says, and no others.

Runs a driver of all operations under strace and compares both ways.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ALIASES = {
    "newfstatat": "fstat", "fstat64": "fstat", "statx": "fstat",
    "open": "openat", "_llseek": "lseek", "mmap2": "mmap", "fcntl64": "fcntl",
    "fstatfs64": "fstatfs", "ftruncate64": "ftruncate", "pread": "pread64",
    "pagemap_scan": "ioctl",
}
# Entries of struct vmemi_sys that are no system calls.
NO_CALLS = {"page_size", "thread_start", "thread_join"}
MADV = {"0x16": "MADV_POPULATE_READ", "0x17": "MADV_POPULATE_WRITE",
        "0x18": "MADV_DONTNEED_LOCKED"}
# strace may name several kernel interfaces of the same number, or none.
IOCTLS = [(r"PAGEMAP_SCAN|0x66, 0x10", "PAGEMAP_SCAN"),
          (r"VFIO_GET_API_VERSION|0x3b, 0x64", "VFIO_GET_API_VERSION"),
          (r"IOMMU_IOAS_IOVA_RANGES|0x3b, 0x84", "IOMMU_IOAS_IOVA_RANGES")]
# Whose ioctls are in which sources of libvmem/dma.
DMA_SOURCES = {"VFIO container": ["type1.c", "type1_info.c"],
               "iommufd": ["iommufd.c"]}
MARK = re.compile(r'write\(-1, "vmem-mark (.*), ([^,"]*)"')
CALL = re.compile(r"(\w+)\((.*)$")


def parse_cell(cell):
    """(required, allowed) of the words in a cell."""
    required, allowed = set(), set()
    for word in cell.split():
        if word == "-":
            continue
        allowed.add(word.strip("()"))
        if not word.startswith("("):
            required.add(word)
    return required, allowed


def tables(text):
    """[[row of cells]] of a Markdown text; the first row is the heading."""
    found = []
    rows = []
    for line in text.split("\n") + [""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            found.append([rows[0]] + rows[2:])
            rows = []
    return found


def read_document(text):
    """{(object, operation): cell}, {call: cell}, allocator's and so on."""
    operations, arguments, runtime = {}, {}, set()
    for heading, *rows in tables(text):
        for row in rows:
            if heading[0] == "memory":
                for title, cell in zip(heading[1:], row[1:]):
                    operations[(row[0], title)] = parse_cell(cell)
            elif heading[0] == "object":
                operations[(row[0], row[1])] = parse_cell(row[2])
            elif heading[0] == "system call":
                arguments[row[0]] = parse_cell(row[1])
            elif heading[0] == "purpose":
                runtime |= set(row[1].split())
    return operations, arguments, runtime


def argument_of(call, text):
    """The words of a call that the table of arguments is about."""
    if call == "madvise":
        advice = re.search(r", (MADV_\w+|0x\w+)[^,]*"
                           r"(?:\)\s+=|<unfinished)", text)
        word = advice.group(1) if advice else text
        return {MADV.get(word, word)}
    if call == "fallocate":
        return set(re.findall(r"FALLOC_FL_\w+", text)) or {"mode 0"}
    if call == "fcntl":
        return set(re.findall(r"\bF_(?:GET|SET|ADD|DUP)\w*", text))
    if call == "lseek":
        return set(re.findall(r"SEEK_\w+", text))
    if call == "ioctl":
        for pattern, word in IOCTLS:
            if re.search(pattern, text):
                return {word}
        return {text}
    if call == "openat":
        path = re.search(r'"([^"]*)"', text).group(1)
        if not path.startswith(("/proc", "/sys")):
            return {"FILE"}
        return {re.sub(r"^/proc/\d+/", "/proc/self/",
                       re.sub(r"/fd/\d+$", "/fd/N", path))}
    return set()


def read_trace(text):
    """{(object, operation): calls}, {call: arguments} of strace's output."""
    seen, arguments = {}, {}
    place = None
    for line in text.split("\n"):
        line = re.sub(r"^(?:\[pid +)?\d+\]? +", "", line)
        mark = MARK.match(line)
        if mark:
            place = None if mark.group(1) == "driver" else mark.groups()
            if place is not None:
                seen.setdefault(place, set())
            continue
        call = CALL.match(line)
        if place is None or call is None:
            continue
        name = ALIASES.get(call.group(1), call.group(1))
        seen[place].add(name)
        arguments.setdefault(name, set()).update(
            argument_of(name, call.group(2)))
    return seen, arguments


def compare(document, trace):
    operations, about, runtime = document
    seen, arguments = trace
    problems = []
    for place, calls in seen.items():
        label = f"{place[0]}, {place[1]}"
        if place[1] == "query" and place not in operations and not calls:
            continue
        if place not in operations:
            problems.append(f"{label}: not in the document")
            continue
        required, allowed = operations[place]
        # A clock without a vDSO, or somebody who waits, is the machine's.
        calls = calls - (runtime & {"futex", "clock_gettime"})
        for call in sorted(calls - allowed):
            problems.append(f"{label}: {call} was seen, is not in the document")
        for call in sorted(required - calls):
            problems.append(f"{label}: {call} is in the document, was not seen")
    for place in operations.keys() - seen.keys():
        problems.append(f"{place[0]}, {place[1]}: in the document, never done")
    for call, (required, allowed) in about.items():
        words = arguments.get(call, set())
        for word in sorted(words - allowed):
            problems.append(f"{call}: {word} was seen, is not in the document")
        for word in sorted(required - words):
            problems.append(f"{call}: {word} is in the document, was not seen")
    return problems


def compare_source(document, text):
    """Every call of the library's table of calls is somewhere in the document,
    and the other way round."""
    table = re.search(r"struct vmemi_sys \{(.*?)\n\};", text, re.S).group(1)
    called = {ALIASES.get(name, name)
              for name in re.findall(r"^    \w+ \(\*(\w+)\)", table,
                                     re.M)} - NO_CALLS
    # Which variants are called is for sys.c to know.
    called = {{"open": "openat", "pread": "pread64"}.get(name, name)
              for name in called}
    described = set()
    for _, allowed in document[0].values():
        described |= allowed
    problems = [f"{name}: host/sys.h has it, the document does not"
                for name in sorted(called - described)]
    # Standard error is written without that table; threads are made by the C
    # library.
    problems += [f"{name}: the document has it, host/sys.h does not"
                 for name in sorted(described - called - {"write"}
                                    - document[2])]
    return problems


def compare_dma(text, sources):
    """The ioctls of each mapper are those of its sources, and nobody else in dma/
    has any. sources: {file name: text}."""
    problems = []
    made = {name: set(re.findall(r"vmemi_dma_ioctl\(\s*[\w>-]+,\s*(\w+)",
                                 source)) - {"unsigned"}
            for name, source in sources.items()}
    said = {}
    for heading, *rows in tables(text):
        if heading[0] == "mapper":
            said = {row[0]: set(" ".join(row[1:]).split()) for row in rows}
    for mapper, names in DMA_SOURCES.items():
        calls = set().union(*(made.pop(name, set()) for name in names))
        words = said.get(mapper, set())
        problems += [f"{mapper}: {word} is in the document, not in the source"
                     for word in sorted(words - calls)]
        problems += [f"{mapper}: {word} is in the source, not in the document"
                     for word in sorted(calls - words)]
    problems += [f"dma/{name}: {', '.join(sorted(calls))}: of which mapper?"
                 for name, calls in sorted(made.items()) if calls]
    if said.keys() != DMA_SOURCES.keys():
        problems.append(f"mappers in the document: {', '.join(sorted(said))}")
    return problems


def dma_selftest(text, sources):
    """Changed documents and sources must be noticed."""
    cases = [
        (text.replace("VFIO_CHECK_EXTENSION ", "", 1), sources),
        (text.replace("| IOMMU_IOAS_UNMAP |", "| IOMMU_IOAS_COPY |", 1),
         sources),
        (text.replace("| iommufd | IOMMU", "| other | IOMMU", 1), sources),
        (text, {**sources, "new.c": "vmemi_dma_ioctl(fd, VFIO_SET_IOMMU, 0)"}),
        (text, {**sources, "iommufd.c": ""}),
    ]
    problems = [f"dma selftest {number} was not noticed"
                for number, (document, files) in enumerate(cases, 1)
                if not compare_dma(document, files)]
    return problems, len(cases)


def selftest(text, trace):
    """Changed documents and traces must be noticed."""
    cases = [
        (text.replace("| mincore | mincore |", "| - | mincore |", 1), trace),
        (text.replace("| region | query | -", "| region | query | brk", 1),
         trace),
        (text.replace("MADV_REMOVE ", "", 1), trace),
        (text.replace("SEEK_DATA ", "SEEK_DATA SEEK_NOWHERE ", 1), trace),
        (text.replace("| custom |", "| made up |", 1), trace),
        (text, trace.replace("mincore(", "process_madvise(")),
        (text, trace.replace("/proc/self/pagemap", "/proc/self/maps")),
        (text, re.sub(r".*munmap\(.*\n", "", trace)),
    ]
    problems = []
    for number, (document, calls) in enumerate(cases, 1):
        if (document, calls) == (text, trace):
            problems.append(f"selftest {number} changes nothing")
        elif not compare(read_document(document), read_trace(calls)):
            problems.append(f"selftest {number} was not noticed")
    return problems, len(cases)


def skip(reason):
    print(f"SKIP: {reason}")
    sys.exit(77)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--document", required=True)
    parser.add_argument("--source", required=True, help="host/sys.h")
    parser.add_argument("--dma", required=True, help="libvmem/dma")
    parser.add_argument("driver")
    args = parser.parse_args()

    if shutil.which("strace") is None:
        skip("strace is not installed")
    probe = subprocess.run(["strace", "-o", os.devnull, "true"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, check=False)
    if probe.returncode != 0:
        skip(f"strace may not trace here: {probe.stdout.strip()}")

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace")
        files = os.path.join(folder, "files")
        os.mkdir(files)
        done = subprocess.run(["strace", "-f", "-s", "300", "-o", path,
                               args.driver, files],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False)
        if done.returncode == 77:
            skip(done.stdout.strip().removeprefix("SKIP:").strip())
        if done.returncode != 0:
            sys.exit(f"the driver failed: {done.stderr}")
        with open(path, encoding="utf-8", errors="replace") as file:
            trace = file.read()
    with open(args.document, encoding="utf-8") as file:
        text = file.read()
    with open(args.source, encoding="utf-8") as file:
        source = file.read()

    dma_sources = {}
    for name in sorted(os.listdir(args.dma)):
        if name.endswith(".c"):
            with open(os.path.join(args.dma, name), encoding="utf-8") as file:
                dma_sources[name] = file.read()

    document = read_document(text)
    seen, arguments = read_trace(trace)
    problems = compare(document, (seen, arguments))
    problems += compare_source(document, source)
    problems += compare_dma(text, dma_sources)
    more, nr_cases = selftest(text, trace)
    problems += more
    more, nr_dma_cases = dma_selftest(text, dma_sources)
    problems += more
    nr_cases += nr_dma_cases
    print("\n".join(problems))
    names = sorted(set().union(*seen.values()))
    print(f"{len(names)} system calls: {' '.join(names)}")
    print(f"FIGURE: interface: {len(names)} system calls, as documented, in "
          f"{len(seen)} operations, {nr_cases} made-up changes, "
          f"{len(problems)} problem(s)")
    sys.exit(1 if problems or not seen else 0)


main()
