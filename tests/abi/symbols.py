#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Headers, version script and shared library agree on what is exported.

The linker accepts a version script that names functions which do not exist, so
a renamed function would be lost without a word.
"""

import argparse
import os
import re
import subprocess
import sys

# Exported by the unrelated libvmem of PMDK. A process may load both, so these
# names stay theirs (docs/decisions/0001-soname-and-pkg-config-name.md).
TAKEN = {
    "vmem_aligned_alloc", "vmem_calloc", "vmem_check", "vmem_check_version",
    "vmem_create", "vmem_create_in_region", "vmem_delete", "vmem_errormsg",
    "vmem_free", "vmem_malloc", "vmem_malloc_usable_size", "vmem_realloc",
    "vmem_set_funcs", "vmem_stats_print", "vmem_strdup", "vmem_wcsdup",
}


def output_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def text_of_headers(folders):
    texts = []
    for folder in folders:
        inside = os.path.join(folder, "vmem")
        texts += [read(os.path.join(inside, name))
                  for name in sorted(os.listdir(inside)) if name.endswith(".h")]
    return "\n".join(texts)


def in_headers(text):
    names = set()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
    for match in re.finditer(r"\bVMEM_API\b([^;]*);", text):
        names.add(re.search(r"\b(vmem_\w+)\s*\(", match.group(1)).group(1))
    return names


def in_map(text):
    """{node: names in the order of the file}, nodes in order."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    nodes = {}
    for match in re.finditer(r"(\w[\w.]*)\s*\{(.*?)\}\s*[\w.]*\s*;", text,
                             re.S):
        exported = match.group(2).split("global:")[-1].split("local:")[0]
        nodes[match.group(1)] = re.findall(r"(\w+)\s*;", exported)
    return nodes, "local:\n    *;" in text


def in_library(path):
    """{name: version node} of what the shared library exports."""
    names = {}
    for line in output_of("nm", "-D", "--defined-only", path).splitlines():
        _, kind, name = line.split()
        name, _, node = name.partition("@")
        if kind != "A":
            names[name] = node.lstrip("@")
    return names


def soname_of(path):
    match = re.search(r"\(SONAME\).*\[(.*)\]", output_of("readelf", "-d", path))
    return match.group(1) if match else None


def compare(problems, what, left, right):
    for name in sorted(left - right):
        problems.append(f"{name}: {what}")


def check_names(headers, version_script, exported):
    """Problems of two texts and {name: node} of the library."""
    problems = []
    declared = in_headers(headers)
    nodes, is_closed = in_map(version_script)
    mapped = {name for names in nodes.values() for name in names}
    compare(problems, "in the headers, not in the map", declared, mapped)
    compare(problems, "in the map, not in the headers", mapped, declared)
    compare(problems, "in the headers, not exported", declared, set(exported))
    compare(problems, "exported, not in the headers", set(exported), declared)
    if not is_closed:
        problems.append("the map does not end in local: *")
    for node, names in nodes.items():
        if names != sorted(set(names)):
            problems.append(f"{node}: names are not sorted and unique")
        for name in names:
            if exported.get(name, node) != node:
                problems.append(f"{name}: exported as {exported[name]}")
    return problems


def check_packaged(text, exported):
    """Problems of the symbols file of the Debian package."""
    problems = []
    listed = {name: node for name, node in re.findall(
        r"^ (\w+)@(\S+) \d+\.\d+\.\d+$", text, re.M)}
    compare(problems, "exported, not in debian/", set(exported), set(listed))
    compare(problems, "in debian/, not exported", set(listed),
            {*exported, *exported.values()})
    problems += [f"{name}: in debian/ as {listed[name]}" for name in exported
                 if listed.get(name, exported[name]) != exported[name]]
    return problems


def selftest_packaged(text, exported):
    """Each of these must be noticed, in these words."""
    first = sorted(exported)[0]
    line = f" {first}@{exported[first]} 0.1.0\n"
    cases = [(text.replace(line, ""), f"{first}: exported, not in debian/"),
             (text.replace(line, f" {first}@{exported[first]}\n"),
              f"{first}: exported, not in debian/"),
             (text + line.replace(first, "vmem_zz_gone"),
              "vmem_zz_gone: in debian/, not exported"),
             (text.replace(line, f" {first}@VMEM_9.9 0.1.0\n"),
              f"{first}: in debian/ as VMEM_9.9")]
    return [f"selftest: not noticed: \"{expected}\"" for changed, expected in cases
            if expected not in check_packaged(changed, exported)]


def selftest(headers, version_script, exported):
    """Each of these must be noticed, in these words."""
    first, *_, last = sorted(exported)
    node = exported[first]

    def lib(without=(), **more):
        kept = {n: at for n, at in exported.items() if n not in without}
        return {**kept, **more}

    def renamed(text):
        return re.sub(rf"\b{first}\b", f"{first}_x", text)

    cases = [
        # Renamed in the source, and forgotten in one place or two.
        (renamed(headers), version_script, exported,
         f"{first}_x: in the headers, not in the map"),
        (headers, renamed(version_script), exported,
         f"{first}: in the headers, not in the map"),
        (renamed(headers), version_script, lib([first]),
         f"{first}: in the map, not in the headers"),
        (renamed(headers), renamed(version_script), exported,
         f"{first}: exported, not in the headers"),
        (renamed(headers), renamed(version_script), lib([first]),
         f"{first}_x: in the headers, not exported"),
        # Removed, and stale in the map, which the linker accepts.
        (headers, version_script.replace(f"    {last};",
                                         f"    {last};\n    vmem_zz_gone;"),
         exported, "vmem_zz_gone: in the map, not in the headers"),
        (headers, version_script, lib([last]),
         f"{last}: in the headers, not exported"),
        # More than there should be, and another version.
        (headers, version_script, lib(vmemi_leaked=node),
         "vmemi_leaked: exported, not in the headers"),
        (headers, version_script, lib([first], **{first: "VMEM_9.9"}),
         f"{first}: exported as VMEM_9.9"),
        (headers, version_script.replace("*;", ""), exported,
         "the map does not end in local: *"),
        (headers, version_script.replace(f"    {last};\n", "").replace(
            f"    {first};", f"    {last};\n    {first};"), exported,
         f"{node}: names are not sorted and unique"),
    ]
    problems = []
    for text, script, library, expected in cases:
        if expected not in check_names(text, script, library):
            problems.append(f"selftest: not noticed: \"{expected}\"")
    return problems, len(cases)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--include", action="append", required=True)
    parser.add_argument("--map", required=True)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--static", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--packaged", help="the symbols file of debian/")
    args = parser.parse_args()
    headers = text_of_headers(args.include)
    version_script = read(args.map)
    exported = in_library(args.shared)
    declared = in_headers(headers)
    nodes, _ = in_map(version_script)
    problems = check_names(headers, version_script, exported)
    nr_cases = 0
    if not problems:
        problems, nr_cases = selftest(headers, version_script, exported)
    if args.packaged:
        packaged = read(args.packaged)
        problems += check_packaged(packaged, exported)
        if not problems:
            problems += selftest_packaged(packaged, exported)

    major, minor, _ = args.version.split(".")
    newest = list(nodes)[-1] if nodes else None
    if newest != f"VMEM_{major}.{minor}":
        problems.append(f"newest node is {newest}, version is {args.version}")
    # Until 1.0 every minor version is an interface of its own.
    if major == "0" and len(nodes) != 1:
        problems.append("before 1.0 there is one node, of the minor version")
    soname = f"libvmem.so.0.{minor}" if major == "0" else f"libvmem.so.{major}"
    if soname_of(args.shared) != soname:
        problems.append(f"soname is {soname_of(args.shared)}, not {soname}")
    if soname == "libvmem.so.1":
        problems.append("libvmem.so.1 is PMDK's; see decision 0001")
    for name in sorted(declared & TAKEN):
        problems.append(f"{name}: also exported by PMDK's libvmem")

    nr_static = 0
    for line in output_of("nm", "-g", "--defined-only",
                          args.static).splitlines():
        parts = line.split()
        if len(parts) != 3:
            continue
        nr_static += 1
        if not re.match(r"vmemi?_", parts[2]):
            problems.append(f"{parts[2]}: global in the static library, but "
                            "neither vmem_* nor vmemi_*")
        if parts[2].startswith("vmem_") and parts[2] not in declared:
            problems.append(f"{parts[2]}: in the static library, not public")
    if nr_static < len(declared):
        problems.append("the static library lacks functions")

    print("\n".join(problems))
    print(f"FIGURE: interface: {len(declared)} functions exported, in the "
          f"version script and in headers, {nr_static} global symbols in the "
          f"static library, {nr_cases} made-up changes, "
          f"{len(problems)} problem(s)")
    sys.exit(1 if problems or not declared else 0)


main()
