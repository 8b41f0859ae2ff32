#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Takes out of abidw's description of the library what users do not see.

Structs without a body in the public headers become declarations, as they are
for users, and types that nothing exported needs go. (abidw has an option for
that, but tells headers by their last name only, and ours share these.)

With --like, members that a struct with a struct_size has got at its end since
then go too; whatever is different after that is a change. (abidiff has
suppressions for that, but they hide changes of such a struct's other members.)
"""

import argparse
import os
import re
import sys
import xml.etree.ElementTree as ElementTree


def public_structs(folders):
    names = set()
    for folder in folders:
        inside = os.path.join(folder, "vmem")
        for name in sorted(os.listdir(inside)):
            if name.endswith(".h"):
                with open(os.path.join(inside, name), encoding="utf-8") as file:
                    text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
                names |= set(re.findall(r"\bstruct (vmem_\w+)\s*\{", text))
    return names


def hide(unit, public):
    """Replaces bodies of private structs by declarations."""
    for child in unit:
        name = child.get("name", "")
        if child.tag == "class-decl" and child.get("size-in-bits") and \
                name.startswith("vmem") and name not in public:
            for inside in list(child):
                child.remove(inside)
            del child.attrib["size-in-bits"]
            child.set("is-declaration-only", "yes")


def members_of(struct):
    """[(name, offset)] in order."""
    return [(member.find("var-decl").get("name"),
             int(member.get("layout-offset-in-bits")))
            for member in struct.findall("data-member")]


def shrink(unit, old_structs):
    """Cuts off what structs with a struct_size have got at the end."""
    nr_cut = 0
    for struct in unit.findall("class-decl"):
        old = old_structs.get(struct.get("name"))
        members = members_of(struct)
        if old is None or members[:1] != [("struct_size", 0)]:
            continue
        old_members = members_of(old)
        if len(members) <= len(old_members) or \
                members[:len(old_members)] != old_members or \
                members[len(old_members)][1] < int(old.get("size-in-bits")):
            continue
        for member in struct.findall("data-member")[len(old_members):]:
            struct.remove(member)
            nr_cut += 1
        struct.set("size-in-bits", old.get("size-in-bits"))
    return nr_cut


def references(element):
    for inside in element.iter():
        for key, value in inside.attrib.items():
            if key.endswith("type-id") or key == "naming-typedef-id":
                yield value


def prune(root):
    """Drops types that cannot be reached from a function or a variable."""
    by_id = {}
    needed = []
    for unit in root.findall("abi-instr"):
        for child in unit:
            if child.tag in ("function-decl", "var-decl"):
                needed += references(child)
            for inside in child.iter():
                if "id" in inside.attrib:
                    by_id.setdefault(inside.get("id"), []).append(child)
    kept = set()
    while needed:
        wanted = needed.pop()
        for child in by_id.get(wanted, []):
            if id(child) not in kept:
                kept.add(id(child))
                needed += references(child)
    for unit in root.findall("abi-instr"):
        for child in list(unit):
            if child.tag not in ("function-decl", "var-decl") and \
                    id(child) not in kept:
                unit.remove(child)
        if len(unit) == 0:
            root.remove(unit)
        # Where somebody has built it is nobody's business.
        path = unit.get("path", "")
        unit.set("path", path[path.find("libvmem/"):] if "libvmem/" in path
                 else os.path.basename(path))
        unit.attrib.pop("comp-dir-path", None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--include", action="append", required=True)
    parser.add_argument("--like", metavar="BASELINE")
    parser.add_argument("input")
    parser.add_argument("output")
    args = parser.parse_args()

    public = public_structs(args.include)
    tree = ElementTree.parse(args.input)
    root = tree.getroot()
    for unit in root.findall("abi-instr"):
        hide(unit, public)
    if args.like is not None:
        old_structs = {}
        for struct in ElementTree.parse(args.like).iter("class-decl"):
            if struct.get("size-in-bits"):
                old_structs[struct.get("name")] = struct
        nr_cut = sum(shrink(unit, old_structs)
                     for unit in root.findall("abi-instr"))
        if nr_cut:
            print(f"{nr_cut} member(s) at the end of structs are new")
    prune(root)
    root.attrib.pop("path", None)
    described = {child.get("name") for unit in root.findall("abi-instr")
                 for child in unit if child.tag == "class-decl"}
    if not public or not described & public:
        sys.exit("the library has no debug information of its structs")
    # abidiff knows such files by their first bytes, so this comes second.
    root.insert(0, ElementTree.Comment(
        " SPDX-License-Identifier: BSD-3-Clause "))
    root[0].tail = "\n  "
    with open(args.output, "w", encoding="utf-8") as file:
        file.write(ElementTree.tostring(root, encoding="unicode"))
        file.write("\n")


main()
