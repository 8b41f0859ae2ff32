#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compare the declarations of bindings/rust/vmem-sys with the headers.

The names are read from both, and none may be missing on either side. What the
names stand for is compared by the compilers: the C compiler is given the type
of every function and member as the Rust source has it, and every size, offset
and constant as a Rust program prints it. At last a Rust program is linked with
the library that names each exported function.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

SKIP = 77
PLAIN = {"c_int": "int", "c_char": "char", "c_void": "void", "u64": "uint64_t",
         "u32": "uint32_t", "i32": "int32_t", "usize": "size_t",
         "bool": "bool"}
# For compilers, not for callers; or text and C syntax, which Rust has no use for.
NOT_DECLARED = re.compile(r"VMEM_\w+_H|VMEM_API|VMEM_(BEGIN|END)_DECLS|"
                          r"VMEM_ERROR_INIT|VMEM_VERSION")
FOREIGN = {"iovec"}


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False,
                          **options)


def has_rust():
    """A rustc that is there may still be a front end without a toolchain."""
    try:
        return run(["rustc", "--version"]).returncode == 0
    except FileNotFoundError:
        return False


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def pieces(text):
    """Split at commas that are not inside parentheses or brackets."""
    parts, depth, part = [], 0, ""
    for char in text:
        depth += (char in "([") - (char in ")]")
        if char == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += char
    return [p.strip() for p in parts + [part] if p.strip()]


class Rust:
    """What the crate declares."""

    def __init__(self, folder):
        self.structs, self.opaque, self.constants = {}, set(), []
        self.aliases, self.functions = {}, {}
        for name in sorted(os.listdir(folder)):
            if name != "lib.rs":
                text = re.sub(r"//[^\n]*", "", read(os.path.join(folder, name)))
                # On one line, without the commas of several.
                text = re.sub(r",?\s+([)>\]])", r"\1", text)
                text = re.sub(r"([(<\[])\s+", r"\1", text)
                self.parse(re.sub(r"\s+", " ", text))

    def parse(self, text):
        for name, body in re.findall(r"pub struct (\w+) \{(.*?)\}", text):
            members = [piece.removeprefix("pub ").split(": ", 1)
                       for piece in pieces(body)]
            self.structs[name] = [(n.removeprefix("r#"), t) for n, t in members]
        for body in re.findall(r"opaque! \{(.*?)\}", text):
            self.opaque |= set(body.split())
        self.constants += re.findall(r"pub const (\w+):", text)
        if re.search(r"pub const fn VMEM_CLAIM_BIT\b", text):
            self.constants.append("VMEM_CLAIM_BIT")
        self.aliases.update(re.findall(r"pub type (\w+) = ([^;]+);", text))
        for name, args, ret in re.findall(
                r"pub fn (\w+)\(([^;]*)\)(?: -> ([^;()]+))?;", text):
            self.functions[name] = self.signature(args, ret)

    def signature(self, args, ret):
        return [piece.split(": ", 1)[1] for piece in pieces(args)], ret or "()"

    def c_type(self, rust, inside=""):
        """The C declaration of INSIDE with this type of Rust."""
        rust = rust.strip()
        rust = self.aliases.get(rust, rust)
        function = re.fullmatch(r'Option<unsafe extern "C" fn\((.*)\)'
                                r"(?: -> (.+))?>", rust)
        if function:
            return self.c_function(*self.signature(function.group(1),
                                                   function.group(2)),
                                   f"(*{inside})")
        array = re.fullmatch(r"\[(.*); ([^;\]]+)\]", rust)
        if array:
            return self.c_type(array.group(1), f"{inside}[{array.group(2)}]")
        pointer = re.fullmatch(r"\*(const|mut) (.*)", rust)
        if pointer:
            const = "const " if pointer.group(1) == "const" else ""
            if pointer.group(2).startswith("*"):
                return self.c_type(pointer.group(2), f"*{const}{inside}")
            return f"{const}{self.c_type(pointer.group(2))} *{inside}"
        if rust in PLAIN:
            return f"{PLAIN[rust]} {inside}".strip()
        if rust in self.structs or rust in self.opaque:
            return f"struct {rust} {inside}".strip()
        return sys.exit(f"{rust}: a type that is not known in C")

    def c_function(self, args, ret, name):
        inside = ", ".join(self.c_type(arg) for arg in args) or "void"
        ret = "void" if ret == "()" else self.c_type(ret)
        return f"{ret} {name}({inside})"


class Headers:
    """Which names the headers have."""

    def __init__(self, cc, includes):
        flags = [f"-I{folder}" for folder in includes]
        with tempfile.TemporaryDirectory() as scratch:
            source = os.path.join(scratch, "all.c")
            with open(source, "w", encoding="utf-8") as file:
                file.write("#include <vmem/vmem.h>\n")
            done = subprocess.run([*cc, *flags, "-E", "-P", source], text=True,
                                  stdout=subprocess.PIPE, check=True)
            macros = subprocess.run([*cc, *flags, "-E", "-dM", source],
                                    text=True, stdout=subprocess.PIPE,
                                    check=True)
        text = done.stdout
        self.structs = {
            name: [self.name_of(member) for member in body.split(";")
                   if member.strip()]
            for name, body in re.findall(r"\bstruct (vmem_\w+)\s*\{(.*?)\}\s*;",
                                         text, re.S)}
        self.opaque = set(re.findall(r"\bstruct (vmem_\w+);", text))
        self.opaque -= set(self.structs)
        self.functions = set(re.findall(r"\b(vmem_\w+)\s*\([^;{}]*\)\s*;", text))
        self.aliases = set(re.findall(r"\(\*(vmem_\w+_fn)\)", text))
        self.functions -= self.aliases
        self.constants = {
            name for name in re.findall(r"^#define (VMEM_\w+)", macros.stdout,
                                        re.M)
            if not NOT_DECLARED.fullmatch(name)}
        for body in re.findall(r"\benum vmem_\w+\s*\{(.*?)\}", text, re.S):
            self.constants |= set(re.findall(r"(VMEM_\w+)\s*=", body))

    @staticmethod
    def name_of(member):
        """Of 'int (*populate)(...)', 'uint64_t nr[4][4]', 'void *hva'."""
        match = re.search(r"\(\*(\w+)\)", member)
        if match is None:
            match = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", member)
        return match.group(1)


def missing(rust, headers, mapped):
    """Names that only one side has."""
    problems = []

    def compare(what, here, there):
        problems.extend(f"{what} {name}: not in vmem-sys"
                        for name in sorted(there - here))
        problems.extend(f"{what} {name}: not in the headers"
                        for name in sorted(here - there))

    compare("function", set(rust.functions), headers.functions)
    compare("type", set(rust.aliases), headers.aliases)
    compare("struct", set(rust.structs) - FOREIGN, set(headers.structs))
    compare("opaque struct", rust.opaque, headers.opaque)
    compare("constant", set(rust.constants), headers.constants)
    for name, members in headers.structs.items():
        here = [member for member, _ in rust.structs.get(name, [])]
        if here and here != members:
            problems.append(f"struct {name}: {here}, in the headers {members}")
    problems += [f"function {name}: exported, but not in vmem-sys"
                 for name in sorted(mapped - set(rust.functions))]
    return problems


def compile_crate(crate, scratch):
    library = os.path.join(scratch, "libvmem_sys.rlib")
    done = run(["rustc", "--edition=2021", "--crate-name=vmem_sys",
                "--crate-type=rlib", "-Dwarnings", "-o", library,
                os.path.join(crate, "src", "lib.rs")])
    if done.returncode != 0:
        sys.exit(f"vmem-sys does not compile:\n{done.stdout}")
    return library


def rust_numbers(rust, library, scratch):
    """A Rust program that prints what its compiler makes of the crate."""
    lines = ["use std::mem::{size_of, MaybeUninit};", "fn main() {"]
    for name, members in rust.structs.items():
        lines.append(f'    println!("sizeof {name} {{}}", '
                     f"size_of::<vmem_sys::{name}>());")
        lines.append(f"    let x = MaybeUninit::<vmem_sys::{name}>::uninit();")
        for member, _ in members:
            raw = f"r#{member}" if member == "type" else member
            lines.append(
                "    let at = unsafe { std::ptr::addr_of!((*x.as_ptr())."
                f"{raw}) }} as usize - x.as_ptr() as usize;")
            lines.append(f'    println!("offsetof {name}.{member} {{at}}");')
    for name in rust.constants:
        value = "VMEM_CLAIM_BIT(3)" if name == "VMEM_CLAIM_BIT" else name
        lines.append(f'    println!("value {value} {{}}", vmem_sys::{value});')
    source, program = (os.path.join(scratch, n) for n in ("n.rs", "n"))
    with open(source, "w", encoding="utf-8") as file:
        file.write("\n".join([*lines, "}", ""]))
    done = run(["rustc", "--edition=2021", "--extern", f"vmem_sys={library}",
                "-o", program, source])
    if done.returncode != 0:
        sys.exit(f"the numbers of vmem-sys do not compile:\n{done.stdout}")
    return subprocess.run([program], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.splitlines()


def assertions(rust, numbers):
    """A C file that compiles only if both agree."""
    lines = ["#include <stdbool.h>", "#include <stddef.h>",
             "#include <sys/uio.h>", "#include <vmem/vmem.h>",
             "#define SAME(x, ...) __builtin_types_compatible_p("
             "__typeof__(x), __typeof__(__VA_ARGS__))"]

    def claim(condition, words):
        lines.append(f'_Static_assert({condition}, "{words}");')

    for name, (args, ret) in rust.functions.items():
        claim(f"SAME(&{name}, {rust.c_function(args, ret, '(*)')})",
              f"type of {name}")
    for name, target in rust.aliases.items():
        claim(f"SAME({name}, {rust.c_type(target)})", f"type of {name}")
    for name, members in rust.structs.items():
        for member, kind in members:
            claim(f"SAME(((struct {name} *)0)->{member}, "
                  f"{rust.c_type(kind)})", f"type of {name}.{member}")
    for line in numbers:
        what, name, value = line.split()
        if what == "sizeof":
            claim(f"sizeof(struct {name}) == {value}", f"size of {name}")
        elif what == "offsetof":
            struct, member = name.split(".")
            claim(f"offsetof(struct {struct}, {member}) == {value}",
                  f"offset of {name}")
        else:
            claim(f"({name}) == {value}u", f"value of {name}")
    return "\n".join([*lines, ""])


def compiles(args, text, scratch):
    source = os.path.join(scratch, "a.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    done = run([*args.cc, "-std=gnu11", "-fsyntax-only",
                *[f"-I{folder}" for folder in args.include], source])
    if done.returncode == 0:
        return []
    return re.findall(r"static assertion failed: \"(.*)\"",
                      done.stdout) or [done.stdout]


def selftest(args, text, scratch):
    """Each of these must be noticed."""
    problems = []
    for old, new in [("SAME(&vmem_vm_free, int (*)(struct vmem_vm *",
                      "SAME(&vmem_vm_free, int (*)(const struct vmem_vm *"),
                     ("sizeof(struct vmem_error) == ",
                      "sizeof(struct vmem_error) == 1"),
                     ("offsetof(struct vmem_range, size) == ",
                      "offsetof(struct vmem_range, size) == 1"),
                     ("(VMEM_NAME_MAX) == ", "(VMEM_NAME_MAX) == 1")]:
        if old not in text:
            problems.append(f"selftest: no \"{old}\"")
        elif not compiles(args, text.replace(old, new, 1), scratch):
            problems.append(f"selftest: \"{new}\" was not noticed")
    return problems


def links(args, mapped, library, scratch):
    """Every function is found in the shared library under its name."""
    source, program = (os.path.join(scratch, n) for n in ("l.rs", "l"))
    with open(source, "w", encoding="utf-8") as file:
        file.write("fn main() {\n    let all = [\n")
        file.writelines(f"        vmem_sys::{name} as *const (),\n"
                        for name in sorted(mapped))
        file.write("    ];\n    assert!(all.iter().all(|f| !f.is_null()));\n"
                   '    println!("{} functions", all.len());\n}\n')
    folder = os.path.dirname(os.path.abspath(args.shared))
    done = run(["rustc", "--edition=2021", "--extern", f"vmem_sys={library}",
                "-L", folder, "-l", "dylib=vmem", "-o", program, source])
    if done.returncode != 0:
        return [f"vmem-sys does not link:\n{done.stdout}"]
    done = run([program], env={**os.environ, "LD_LIBRARY_PATH": folder})
    if done.stdout.strip() != f"{len(mapped)} functions":
        return [f"vmem-sys does not load:\n{done.stdout}"]
    return []


def versions(crate, manifest, version):
    """A crate is of the library's version, and so is what it depends on."""
    said = {crate: re.search(r'^version = "(.*)"', manifest, re.M).group(1)}
    said.update(re.findall(r'^([\w-]+) = \{.*\bversion = "(.*?)"', manifest, re.M))
    return [f"{crate}/Cargo.toml: {name} is version {number}, libvmem {version}"
            for name, number in said.items() if number != version]


def selftest_versions():
    """Each of these must be noticed."""
    manifest = ('version = "1.2.3"\n[dependencies]\n'
                'b = { path = "../b", version = "1.2.3" }\n')
    assert versions("a", manifest, "1.2.3") == []
    for old, new in [('version = "1.2.3"\n', 'version = "1.2.2"\n'),
                     ('b", version = "1.2.3"', 'b", version = "1.2.2"')]:
        if len(versions("a", manifest.replace(old, new, 1), "1.2.3")) != 1:
            sys.exit(f"selftest: '{new.strip()}' was not noticed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--include", action="append", required=True)
    parser.add_argument("--crate", required=True)
    parser.add_argument("--map", required=True)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--cc", nargs="+", default=["cc"])
    args = parser.parse_args()
    if not has_rust():
        print("SKIP: there is no rustc that runs")
        sys.exit(SKIP)

    selftest_versions()
    rust = Rust(os.path.join(args.crate, "src"))
    headers = Headers(args.cc, args.include)
    mapped = set(re.findall(r"^\s+(vmem_\w+);", read(args.map), re.M))
    problems = missing(rust, headers, mapped)
    for crate in (args.crate, os.path.join(args.crate, "..", "vmem")):
        problems += versions(os.path.basename(crate), read(os.path.join(
            crate, "Cargo.toml")), args.version)
    with tempfile.TemporaryDirectory() as scratch:
        library = compile_crate(args.crate, scratch)
        numbers = rust_numbers(rust, library, scratch)
        text = assertions(rust, numbers)
        if not problems:
            problems += compiles(args, text, scratch)
            problems += selftest(args, text, scratch)
        problems += links(args, mapped, library, scratch)
    print("\n".join(problems))
    print(f"{len(rust.functions)} functions, {len(rust.structs)} structs, "
          f"{len(rust.constants)} constants, {len(numbers)} numbers, "
          f"{len(mapped)} linked, {len(problems)} problem(s)")
    sys.exit(1 if problems or not mapped else 0)


main()
