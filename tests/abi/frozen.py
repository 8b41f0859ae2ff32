#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The headers still mean what a frozen copy of them says.

A struct may have got members at its end if its first one is struct_size; every
other struct, every prototype, type, macro and enumerator is as it was. With
--write the copy is made: once for each version that breaks the interface.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

ORDER = ["types", "error", "log", "vm", "bitmap", "backing", "region",
         "source", "listener", "claim", "device"]
# Of the headers themselves or of one release.
NOT_FROZEN = re.compile(r"VMEM_\w+_H|VMEM_VERSION\w*|VMEM_API|"
                        r"VMEM_(BEGIN|END)_DECLS|VMEM_FROZEN\w*")
# Says how many there are now; grows with every new one.
COUNTS = set()


def strip(text):
    """Without comments, continuations, and what only headers need."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"\\\n", " ", text)
    return re.sub(r"^VMEM_(BEGIN|END)_DECLS$", "", text, flags=re.M)


def normal(text):
    """One spelling for equal C."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\s*([^\w\s])\s*", r"\1", text)
    return text.replace(",}", "}")


class Interface:
    """What some headers declare; each entry in one spelling, by name."""

    def __init__(self, text):
        text = strip(text)
        self.macros = {}
        self.constants = []
        for match in re.finditer(r"^#\s*define\s+(\w+)(\([^)]*\))?(.*)$", text,
                                 re.M):
            if not NOT_FROZEN.fullmatch(match.group(1)):
                self.macros[match.group(1)] = normal(
                    (match.group(2) or "") + " " + match.group(3))
                if match.group(2) is None and "{" not in match.group(3):
                    self.constants.append(match.group(1))
        text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
        self.structs = {}
        self.enums = {}
        self.functions = {}
        self.types = {}
        for piece in self._pieces(text.replace("VMEM_API", "")):
            self._add(normal(piece))

    @staticmethod
    def _pieces(text):
        """Declarations, cut at semicolons outside of braces."""
        depth = 0
        start = 0
        for i, char in enumerate(text):
            depth += (char == "{") - (char == "}")
            if char == ";" and depth == 0:
                yield text[start:i]
                start = i + 1

    def _add(self, piece):
        match = re.fullmatch(r"(struct|enum) (\w+)\{(.*)\}", piece)
        if match and match.group(1) == "struct":
            members = [m for m in match.group(3).split(";") if m]
            self.structs[match.group(2)] = members
        elif match:
            for item in match.group(3).split(","):
                name, _, value = item.partition("=")
                self.enums[name] = value
        elif piece.startswith("typedef "):
            name = re.search(r"\(\*(\w+)\)|(\w+)$", piece)
            self.types[name.group(1) or name.group(2)] = piece
        elif "(" in piece:
            # The function's name is what stands before the first parenthesis.
            self.functions[re.match(r"[^(]*?(\w+)\(", piece).group(1)] = piece
        elif piece:
            self.types[piece] = piece


def may_grow(members):
    return members[:1] == ["size_t struct_size"]


def name_of(member):
    """Of 'int(*populate)(...)', 'uint64_t nr_requests[4][4]', 'void*hva'."""
    match = re.search(r"\(\*(\w+)\)", member)
    if match is None:
        match = re.search(r"(\w+)(?:\[[^\]]*\])*$", member)
    return match.group(1)


def compare(frozen, now):
    problems = []
    for name, members in frozen.structs.items():
        present = now.structs.get(name)
        if present is None:
            problems.append(f"struct {name} is gone")
        elif present[:len(members)] != members:
            problems.append(f"struct {name} was {members}, is {present}")
        elif present != members and not may_grow(members):
            problems.append(f"struct {name} must not grow")
    for what in ("functions", "types", "macros", "enums"):
        before, present = getattr(frozen, what), getattr(now, what)
        for name, text in before.items():
            if present.get(name) != text and name not in COUNTS:
                problems.append(f"{what}: {name} was \"{text}\", is "
                                f"\"{present.get(name, 'gone')}\"")
    return problems


def new_in(frozen, now):
    """What the frozen headers do not know; fine, but worth a word."""
    words = []
    for what in ("structs", "functions", "types", "macros", "enums"):
        words += sorted(set(getattr(now, what)) - set(getattr(frozen, what)))
    for name, members in frozen.structs.items():
        words += [f"{name}::{name_of(m)}"
                  for m in now.structs.get(name, [])[len(members):]]
    return words


def printer_of(interface):
    """A program that prints what compilers make of an interface."""
    lines = []

    def show(label, value):
        lines.append(f'    printf("{label} %lld\\n", (long long)({value}));')

    for name, members in interface.structs.items():
        if not may_grow(members):
            show(f"sizeof {name}", f"sizeof(struct {name})")
        for member in members:
            member = name_of(member)
            show(f"offset {name}.{member}",
                 f"offsetof(struct {name}, {member})")
            show(f"size {name}.{member}",
                 f"sizeof(((struct {name} *)0)->{member})")
        # What the first release's struct took.
        last = name_of(members[-1])
        show(f"first size {name}", f"offsetof(struct {name}, {last}) + "
             f"sizeof(((struct {name} *)0)->{last})")
    for name in interface.enums:
        if name not in COUNTS:
            show(f"value {name}", name)
    for name in interface.constants:
        show(f"value {name}", name)
    body = "\n".join(lines)
    return f"int main(void)\n{{\n{body}\n    return 0;\n}}\n"


def run(cc, includes, text, scratch, link=True):
    source = os.path.join(scratch, "x.c")
    program = os.path.join(scratch, "x")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    command = [*cc, "-std=gnu11", "-Wall", "-Wextra", "-Werror",
               "-Wno-redundant-decls", *[f"-I{i}" for i in includes], source]
    command += ["-o", program] if link else ["-fsyntax-only"]
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        return None, done.stdout
    if not link:
        return "", ""
    return subprocess.run([program], stdout=subprocess.PIPE, text=True,
                          check=True).stdout, ""


def compile_and_compare(frozen, path, args):
    """Both give the same numbers, and no prototype contradicts the other."""
    problems = []
    start = "#include <stddef.h>\n#include <stdio.h>\n"
    both = f'#include <vmem/vmem.h>\n#define VMEM_FROZEN_PROTOTYPES_ONLY\n' \
           f'#include "{path}"\nextern int vmem_unused;\n'
    with tempfile.TemporaryDirectory() as scratch:
        before, why = run(args.cc, [],
                          f'{start}#include "{path}"\n{printer_of(frozen)}',
                          scratch)
        if before is None:
            return [f"the frozen copy does not compile:\n{why}"], 0
        now, why = run(args.cc, args.include,
                       f"{start}#include <vmem/vmem.h>\n{printer_of(frozen)}",
                       scratch)
        if now is None:
            return [f"users of {path} would not compile now:\n{why}"], 0
        redeclared, why = run(args.cc, args.include, both, scratch, link=False)
        if redeclared is None:
            problems.append(f"prototypes differ:\n{why}")
    for old, new in zip(before.splitlines(), now.splitlines()):
        if old != new:
            problems.append(f"was \"{old}\", is \"{new}\"")
    return problems, len(before.splitlines())


def write(path, text, version):
    words = version.split(".")
    guard = f"VMEM_FROZEN_{words[0]}_{words[1]}_H"
    types, prototypes = [], []
    text = re.sub(r"^\s*#\s*(include|ifndef|endif|if|else|elif)\b.*$", "",
                  strip(text), flags=re.M)
    for match in re.finditer(r"^[ \t]*#\s*define.*$|[^;{#]*(?:\{[^{}]*\})?[^;{#]*;",
                             text, re.M):
        piece = match.group(0).strip()
        words = piece.split()
        if piece.startswith("#"):
            if not NOT_FROZEN.fullmatch(re.match(r"\w+", words[1]).group(0)):
                types.append(" ".join(words))
        elif piece.startswith("VMEM_API"):
            prototypes.append(piece.removeprefix("VMEM_API").strip())
        else:
            types.append(piece)
    lines = ["/* SPDX-License-Identifier: BSD-3-Clause */",
             f"/* The interface of libvmem {version}, written by "
             "scripts/abi-baseline.sh from the",
             " * headers of that time. Do not edit: what is compiled against "
             "it stands for the",
             " * programs that are out there. */",
             f"#ifndef {guard}", f"#define {guard}", "",
             "#include <stdbool.h>", "#include <stddef.h>",
             "#include <stdint.h>", "#include <sys/uio.h>", "",
             "#ifndef VMEM_FROZEN_PROTOTYPES_ONLY", ""]
    for piece in types:
        lines.append(piece)
        if piece.endswith("};"):
            lines.append("")
    lines += ["", "#endif /* VMEM_FROZEN_PROTOTYPES_ONLY */", ""]
    lines += prototypes
    lines += ["", f"#endif /* {guard} */", ""]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))


def selftest(frozen_text):
    """Each of these must be noticed, or must not be."""
    cases = [
        ("uint64_t nr_syscalls;", "uint64_t nr_syscalls; uint64_t more;", 0),
        ("uint64_t nr_discards;", "uint64_t more; uint64_t nr_discards;", 1),
        ("uint64_t nr_discards;", "int64_t nr_discards;", 1),
        ("uint64_t nr_discards;", "uint64_t nr_thrown_away;", 1),
        ("int vmem_device_notify_config(struct vmem_device *device);", "", 1),
        ("int vmem_device_notify_config(struct vmem_device *device);",
         "int vmem_device_notify_config(struct vmem_region *device);", 1),
        ("VMEM_REASON_OS = 22", "VMEM_REASON_OS = 22, VMEM_REASON_NEW = 23", 0),
        ("VMEM_REASON_OS = 22", "VMEM_REASON_OS = 23", 1),
        ("#define VMEM_NAME_MAX 63", "#define VMEM_NAME_MAX 64", 1),
        ("typedef uint64_t (*vmem_clock_fn)", "typedef int64_t (*vmem_clock_fn)",
         1),
        ("uint64_t offset; uint64_t size; };",
         "uint64_t offset; uint64_t size; uint64_t more; };", 1),
        ("struct vmem_bitmap;", "struct vmem_bits;", 1),
    ]
    problems = []
    frozen = Interface(frozen_text)
    for old, new, expected in cases:
        pattern = r"\s+".join(re.escape(word) for word in old.split())
        text, count = re.subn(pattern, new, frozen_text, count=1)
        if count == 0:
            problems.append(f"selftest: the copy has no \"{old}\"")
        elif bool(compare(frozen, Interface(text))) != bool(expected):
            problems.append(f"selftest: \"{old}\" to \"{new}\" was "
                            f"{'accepted' if expected else 'refused'}")
    return problems, len(cases)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--include", action="append", required=True)
    parser.add_argument("--frozen", required=True)
    parser.add_argument("--map", help="its functions must all be there")
    parser.add_argument("--write", metavar="VERSION")
    parser.add_argument("--cc", nargs="+", default=["cc"])
    args = parser.parse_args()

    texts = {}
    for folder in args.include:
        inside = os.path.join(folder, "vmem")
        for name in sorted(os.listdir(inside)):
            if name.endswith(".h"):
                with open(os.path.join(inside, name), encoding="utf-8") as file:
                    texts[name.removesuffix(".h")] = file.read()
    known = set(ORDER) | {"macros", "version", "vmem"}
    names = ORDER + sorted(set(texts) - known) + ["version"]
    text = "\n".join(texts[name] for name in names)
    if args.write is not None:
        write(args.frozen, text, args.write)
        return

    now = Interface(text)
    with open(args.frozen, encoding="utf-8") as file:
        frozen_text = file.read()
    frozen = Interface(frozen_text)
    problems = compare(frozen, now)
    more, nr_values = compile_and_compare(frozen, os.path.abspath(args.frozen),
                                          args)
    problems += more
    more, nr_cases = selftest(frozen_text)
    problems += more
    if args.map is not None:
        with open(args.map, encoding="utf-8") as file:
            mapped = set(re.findall(r"^\s+(vmem_\w+);", file.read(), re.M))
        for name in sorted(set(frozen.functions) - mapped):
            problems.append(f"{name}: in the frozen copy, not exported")

    print("\n".join(problems))
    new = new_in(frozen, now)
    if new:
        print(f"new since: {', '.join(new)}")
    print(f"FIGURE: interface: as it was frozen: "
          f"{len(frozen.structs)} structs, {len(frozen.functions)} functions, "
          f"{len(frozen.enums)} enumerators, {len(frozen.macros)} macros, "
          f"{nr_values} numbers, {nr_cases} made-up changes, "
          f"{len(problems)} problem(s)")
    sys.exit(1 if problems or not frozen.functions else 0)


main()
