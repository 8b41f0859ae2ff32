#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each public header compiles alone and twice, in every dialect, unpadded."""

import argparse
import os
import re
import subprocess
import sys
import tempfile

C_DIALECTS = ["c99", "c11", "gnu11"]
CXX_DIALECTS = ["c++17"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]

# Rust, Go and C++ read these structs by layout; bool, enum and bit-fields have
# one that is the compiler's choice, long one that differs between ABIs.
BAD_MEMBER = re.compile(
    r"^\s*(?:(?:const|unsigned|signed)\s+)*(?:bool|_Bool|enum\s+\w+|int|long|"
    r"short|unsigned|float|double|time_t|off_t|ssize_t)\s[^;()]*;", re.M)
FLAG = re.compile(r"^#define ((VMEM_[A-Z0-9]+)_\w+)\s+"
                  r"\(\(uint(?:32|64)_t\)1 << (\d+)\)", re.M)
BIT_FIELD = re.compile(r"^\s*[\w\s]+\s\w+\s*:\s*\d+\s*;", re.M)


def compile_text(command, flags, text, suffix):
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "x" + suffix)
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        done = subprocess.run([*command, *flags, "-fsyntax-only", source],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        return done.returncode == 0, done.stdout


def structs(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for match in re.finditer(r"\bstruct (vmem_\w+) \{(.*?)\n\};", text, re.S):
        yield match.group(1), match.group(2)


def unit_of(header, names):
    """Includes a header twice and lays its structs out.

    Some compilers look for padding only where a layout is needed. The first
    declaration is for ISO C, which has no empty translation units.
    """
    lines = [f"#include <{header}>"] * 2 + ["extern int vmem_unused;"]
    lines += [f"extern char size_of_{n}[sizeof(struct {n})];" for n in names]
    return "\n".join(lines) + "\n"


def check_members(name, text):
    problems = []
    for struct, body in structs(text):
        for match in BAD_MEMBER.finditer(body):
            problems.append(f"{name}: struct {struct}: member "
                            f"\"{match.group(0).strip()}\" has no fixed layout")
        if BIT_FIELD.search(body):
            problems.append(f"{name}: struct {struct}: bit-field")
    return problems


def check_flags(name, text):
    """Flags of one noun have a bit each, also those of different members: one in
    the place of another is then refused."""
    problems = []
    taken = {}
    for match in FLAG.finditer(text):
        flag, noun, bit = match.groups()
        other = taken.setdefault((noun, bit), flag)
        if other != flag:
            problems.append(f"{name}: {flag} is the same bit as {other}")
    return problems


def headers_below(folders):
    found = {}
    for folder in folders:
        inside = os.path.join(folder, "vmem")
        for name in sorted(os.listdir(inside)):
            if name.endswith(".h"):
                found[f"vmem/{name}"] = os.path.join(inside, name)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--include", action="append", required=True,
                        help="folder with vmem/*.h (repeat for built ones)")
    parser.add_argument("--cc", nargs="+", default=["cc"])
    parser.add_argument("--cxx", nargs="+", default=["c++"])
    args = parser.parse_args()

    problems = []
    nr_compiled = 0
    flags = WARNINGS + [f"-I{folder}" for folder in args.include]
    headers = headers_below(args.include)
    cases = [(args.cc, f"-std={d}", ".c") for d in C_DIALECTS]
    cases += [(args.cxx, f"-std={d}", ".cc") for d in CXX_DIALECTS]
    padded = ["-Wpadded"] if sys.maxsize > 2**32 else []
    for name, path in headers.items():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        problems += check_members(name, text)
        problems += check_flags(name, text)
        unit = unit_of(name, [struct for struct, _ in structs(text)])
        for command, dialect, suffix in cases:
            ok, output = compile_text(command, flags + padded + [dialect],
                                      unit, suffix)
            nr_compiled += 1
            if not ok:
                problems.append(f"{name} as {dialect}:\n{output}")

    # -Wpadded does see padding, and the member check its offenders.
    ok, _ = compile_text(args.cc, WARNINGS + ["-Wpadded", "-std=c11"],
                         "struct x { int a; void *b; };\n"
                         "extern char size_of_x[sizeof(struct x)];\n", ".c")
    if ok:
        problems.append("-Wpadded -Werror let a padded struct pass")
    for member in ("bool a;", "enum vmem_x a;", "unsigned int a;", "long a;",
                   "uint32_t a : 3;"):
        if not check_members("made up", f"struct vmem_x {{\n    {member}\n}};"):
            problems.append(f"the member check let \"{member}\" pass")
    if not check_flags("made up", "#define VMEM_X_A ((uint64_t)1 << 3)\n"
                                  "#define VMEM_X_B ((uint32_t)1 << 3)\n"):
        problems.append("the check of flags let two with one bit pass")

    print("\n".join(problems))
    print(f"FIGURE: interface: {len(headers)} headers alone and twice, "
          f"{nr_compiled} compilations, "
          f"{len(problems)} problem(s)")
    sys.exit(1 if problems or not headers else 0)


main()
