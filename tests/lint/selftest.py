#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A lint that never complains proves nothing: each is shown an offender."""

import argparse
import os
import subprocess
import sys
import tempfile

C = "/* SPDX-License-Identifier: BSD-3-Clause */\n"
HASH = "# SPDX-License-Identifier: BSD-3-Clause\n"
NOTE = "TO" + "DO"
PLACE = "/ho" + "me/somebody/file"

# A tree that every lint accepts; each case adds or replaces files.
CLEAN = {
    "meson.build": "project('x', 'c', version: '0.1.0')\nflags = ['-Wvla']\n",
    "include/vmem/meson.build": "files('types.h', 'vm.h', 'vmem.h')\n",
    "include/vmem/types.h": C + "#include <stdint.h>\n",
    "include/vmem/vm.h": C + "#include <vmem/types.h>\n"
        "/** Do it.\n * @threads{any}\n * @since 0.1\n */\n"
        "VMEM_API int vmem_vm_do(void);\n"
        "/** Told.\n */\ntypedef void (*vmem_told_fn)(void);\n"
        "/** Ops. */\nstruct vmem_vm_ops {\n"
        "    int (*map)(int x); /**< Map. */\n};\n",
    "include/vmem/vmem.h": C + "#include <vmem/types.h>\n#include <vmem/vm.h>\n",
    "libvmem/meson.build": "files('base/name.c', 'core/vm.c', 'virtio/wire.c')\n",
    "libvmem/base/name.h": C,
    "libvmem/base/name.c": C + '#include "base/name.h"\n#include <errno.h>\n',
    "libvmem/core/vm.h": C,
    "libvmem/core/vm.c": C + '#include "core/vm.h"\n#include <glib.h>\n'
        '#include "base/name.h"\n'
        'const char *s = "abort() in a string";\n/* malloc( in words */\n'
        "int f(struct x *x) { return x->read(1) + x->ops.close(2); }\n"
        "int g(int x)\n{\n    return x;\n}\n",
    "libvmem/host/sys.h": C,
    "libvmem/virtio/wire.c": C + '#include "core/vm.h"\n',
    "libvmem/dma/map.h": C,
    "libvmem/state/save.h": C,
    "tools/meson.build": "executable('vmemctl', 'main.c')\n",
    "tools/main.c": C + "#include <glib.h>\n#include <vmem/vmem.h>\n",
    "examples/meson.build": "names = ['host']\n",
    "examples/host.c": C + "#include <stdio.h>\n#include <vmem/vmem.h>\n"
        "int x = vmem_vm_do();\n",
    "examples/host.out": "done\n",
    "libvmem/libvmem.map": C + "VMEM_0.1 {\n    vmem_vm_do;\n};\n",
    "docs/guide/x.md": "# A guide\n\n@snippet host.c do\n\n"
        "    meson setup build; ninja\n\n[there](y.md#a-page-with-id)\n",
    "docs/guide/y.md": "# A page, with *id* {#page_y}\n\n"
        "<!-- begin of what a script writes -->\n`vmem_vm_free`\n"
        "<!-- end of it -->\n[back](x.md#a-guide), [label](#page_y)\n",
    "docs/guide/porting.md": "# Porting {#porting}\n\n@subpage porting_a\n",
    "docs/guide/porting-a.md": "# A {#porting_a}\n\n"
        "| vmem_vm_do(), vmem_vm_ops::map | `main()` calls |\n"
        "| vmem_told_fn | not needed: nobody tells |\n",
    "docs/architecture.md": "".join(
        f"| I{i} | holds | `test_x: it_holds` |\n" for i in range(1, 15)),
    "tests/meson.build": "names = ['test_x', 'layers.py']\n",
    "tests/unit/test_x.c": C + "static void it_holds(void **u)\n{\n}\n"
        "static const struct CMUnitTest t[] = {\n"
        "    cmocka_unit_test(it_holds),\n};\n",
    "tests/lint/layers.py": HASH,
    "tests/mutants.txt": "# Faults\n\n@ libvmem/core/vm.c | too much\n"
        "- return x;\n+ return x + 1;\n",
    "docs/coverage.md": "<!-- begin of the table of suites -->\n"
        "| `libvmem/core/vm.c: g()` | `return x;` | line | Nobody calls. |\n"
        "<!-- end of the table of suites -->\n"
        "<!-- begin of the table of fuzzing -->\n"
        "<!-- end of the table of fuzzing -->\n",
}

# Lint, what the offender is, file, its text, words of the complaint.
CASES = [
    ("layers", "base reaches up", "libvmem/base/name.c",
     C + '#include "base/name.h"\n#include "core/vm.h"\n',
     "base must not include core"),
    ("layers", "core reaches the host layer", "libvmem/core/vm.c",
     C + '#include "core/vm.h"\n#include "host/sys.h"\n',
     "core must not include host"),
    ("layers", "virtio reaches host", "libvmem/virtio/wire.c",
     C + '#include "host/sys.h"\n', "virtio must not include host"),
    ("layers", "virtio reaches dma", "libvmem/virtio/wire.c",
     C + '#include "dma/map.h"\n', "virtio must not include dma"),
    ("layers", "virtio reaches state", "libvmem/virtio/wire.c",
     C + '#include "state/save.h"\n', "virtio must not include state"),
    ("layers", "a path without layer", "libvmem/core/vm.c",
     C + '#include "vm.h"\n', "is not layer/file.h"),
    ("layers", "an unknown folder", "libvmem/misc/x.c", C,
     "not in a folder that is a layer"),
    ("layers", "an internal header in angles", "libvmem/core/vm.c",
     C + '#include "core/vm.h"\n#include <base/name.h>\n', "in quotes"),
    ("layers", "own header not first", "libvmem/base/name.c",
     C + '#include <errno.h>\n#include "base/name.h"\n',
     "must be the first include"),
    ("layers", "base knows regions", "libvmem/base/name.h",
     C + "#include <vmem/region.h>\n", "base knows nothing of"),
    ("layers", "kernel header in core", "libvmem/core/vm.h",
     C + "#include <linux/vfio.h>\n", "core must not use"),
    ("layers", "GLib in a public header", "include/vmem/types.h",
     C + "#include <glib.h>\n", "must not include glib.h"),
    ("layers", "kernel in a public header", "include/vmem/types.h",
     C + "#include <linux/types.h>\n", "must not include linux/types.h"),
    ("layers", "internals in a public header", "include/vmem/types.h",
     C + '#include "core/vm.h"\n', "must not include core/vm.h"),
    ("layers", "internals in a tool", "tools/main.c",
     C + '#include "core/vm.h"\n', "is not of tools/"),
    ("layers", "internals in angles in a tool", "tools/main.c",
     C + "#include <core/vm.h>\n", "is internal"),
    ("layers", "internals in an example", "examples/host.c",
     C + '#include "../libvmem/core/vm.h"\n', "is not of examples/"),
    ("layers", "GLib in an example", "examples/host.c",
     C + "#include <glib.h>\n", "does without GLib"),
    ("layers", "internals in a conformance test", "tests/conformance/x.c",
     C + '#include "core/vm.h"\n', "public interface only"),

    ("banned", "assert()", "libvmem/core/a.c", C + "void f(void)\n{\n"
     "    assert(0);\n}\n", "a.c:4: assert: dies with NDEBUG"),
    ("banned", "g_assert()", "libvmem/core/a.c", C + "g_assert(x);\n",
     "g_assert: may abort"),
    ("banned", "g_assert_cmpint()", "libvmem/core/a.c",
     C + "g_assert_cmpint (x);\n", "g_assert_cmpint: may abort"),
    ("banned", "g_error()", "libvmem/core/a.c", C + 'g_error("x");\n',
     "g_error: may abort"),
    ("banned", "g_return_if_fail()", "libvmem/core/a.c",
     C + "g_return_if_fail(x);\n", "g_return_if_fail: may abort"),
    ("banned", "g_malloc()", "libvmem/core/a.c", C + "p = g_malloc(1);\n",
     "g_malloc: may abort"),
    ("banned", "g_new0()", "libvmem/core/a.c", C + "p = g_new0(int, 1);\n",
     "g_new0: may abort"),
    ("banned", "g_list_append()", "libvmem/core/a.c",
     C + "l = g_list_append(l, p);\n", "g_list_append: may abort"),
    ("banned", "g_try_malloc() past base/alloc.c", "libvmem/core/a.c",
     C + "p = g_try_malloc(1);\n", "through base/alloc.h"),
    ("banned", "malloc()", "libvmem/core/a.c", C + "p = malloc(1);\n",
     "through base/alloc.h"),
    ("banned", "abort()", "libvmem/core/a.c", C + "abort();\n",
     "ends the host's process"),
    ("banned", "alloca()", "libvmem/core/a.c", C + "p = alloca(n);\n",
     "size of a stack frame"),
    ("banned", "strcpy()", "libvmem/core/a.c", C + "strcpy(a, b);\n",
     "strcpy: has no size"),
    ("banned", "strcat()", "libvmem/core/a.c", C + "strcat(a, b);\n",
     "strcat: has no size"),
    ("banned", "sprintf()", "libvmem/core/a.c", C + "sprintf(a, b);\n",
     "sprintf: has no size"),
    ("banned", "printing", "libvmem/core/a.c", C + 'printf("x");\n',
     "prints through its log"),
    ("banned", "the environment", "libvmem/core/a.c", C + 'getenv("X");\n',
     "reads no environment"),
    ("banned", "a bare lock", "libvmem/core/a.c",
     C + "pthread_mutex_t m;\n", "base/lock.h"),
    ("banned", "madvise() in core", "libvmem/core/a.c",
     C + "madvise(p, 1, 4);\n", "madvise: memory system calls"),
    ("banned", "fallocate() in virtio", "libvmem/virtio/a.c",
     C + "fallocate(1, 2, 3, 4);\n", "fallocate: memory system calls"),
    ("banned", "mmap() in base", "libvmem/base/a.c",
     C + "p = mmap(0);\n", "mmap: memory system calls"),
    ("banned", "ioctl() in virtio", "libvmem/virtio/a.c",
     C + "ioctl(1, 2);\n", "ioctls belong"),
    ("banned", "a C file without licence", "tools/main.c", "int x;\n",
     "the first line must be"),
    ("banned", "a script without licence", "scripts/x.sh",
     "#!/bin/sh\necho\n", "must be # SPDX"),
    ("banned", "a note", "tools/main.c", C + f"/* {NOTE}: later */\n",
     "a note to oneself"),
    ("banned", "a machine path", "README.md", f"Look in {PLACE}.\n",
     "a path of somebody's machine"),
    ("banned", "white space at the end", "README.md", "words \n",
     "white space at the end"),
    ("banned", "a tab", "tools/main.c", C + "\tint x;\n", "a tab"),
    ("banned", "half a merge", "docs/a.md", "<" * 7 + " HEAD\n",
     "a conflict that was not resolved"),
    ("banned", "no newline at the end", "README.md", "words", "no newline"),
    ("banned", "-Wvla dropped", "meson.build", "project('x')\n",
     "-Wvla is missing"),

    ("registered", "a source that is not built", "libvmem/core/a.c", C,
     "libvmem/meson.build does not name it"),
    ("registered", "a test that is not run", "tests/unit/test_y.c", C,
     "tests/meson.build does not name it"),
    ("registered", "a lint that is not run", "tests/lint/more.py", HASH,
     "tests/meson.build does not name it"),
    ("registered", "threads that are not run", "tests/stress/stress_y.c", C,
     "tests/stress/meson.build does not name it"),
    ("registered", "faults that are not made", "tests/faults/y.c", C,
     "tests/faults/meson.build does not name it"),
    ("registered", "an example that is not run", "examples/b.c", C,
     "examples/meson.build does not name it"),
    ("registered", "a header that is not installed", "include/vmem/a.h", C,
     "include/vmem/meson.build does not name it"),
    ("registered", "a header missing in vmem.h", "include/vmem/a.h", C,
     "include/vmem/vmem.h does not include it"),

    ("contracts", "no @since", "include/vmem/vm.h",
     C + "/** Do. @threads{any} */\nVMEM_API int vmem_vm_do(void);\n",
     "no @since"),
    ("contracts", "@since of the future", "include/vmem/vm.h",
     C + "/** Do. @threads{any}\n * @since 9.0\n */\n"
     "VMEM_API int vmem_vm_do(void);\n", "a version to come"),
    ("contracts", "no @threads", "include/vmem/vm.h",
     C + "/** Do.\n * @since 0.1\n */\nVMEM_API int vmem_vm_do(void);\n",
     "no @threads"),
    ("contracts", "a value without comment", "include/vmem/types.h",
     C + "enum vmem_x {\n    VMEM_A = 1, /**< One. */\n    VMEM_B = 2,\n};\n",
     "enum vmem_x: 2 values, 1 comments"),
    ("guides", "a function nobody shows", "libvmem/libvmem.map",
     C + "VMEM_0.1 {\n    vmem_vm_do;\n    vmem_vm_free;\n};\n",
     "vmem_vm_free(): in no example and no guide"),
    ("guides", "a function in a comment only", "examples/host.c",
     C + "/* not vmem_vm_do() */\n", "vmem_vm_do(): in no example"),
    ("guides", "code of its own", "docs/guide/x.md",
     "# A guide\n\n```c\nint x = vmem_vm_do();\n```\n",
     "code that nobody ran"),
    ("guides", "indented code", "docs/guide/x.md",
     "# A guide\n\n    int x = 1;\n", "code that nobody ran"),
    ("guides", "a quote of nothing", "docs/guide/x.md",
     "# A guide\n\n@snippet gone.c do\n", "gone.c, which is no example"),
    ("guides", "a long example", "examples/host.c",
     C + "int x = vmem_vm_do();\n" + "\n" * 120, "119 is the most"),
    ("guides", "an example without output", "examples/more.c", C,
     "what it prints is not in more.out"),
    ("guides", "a function in a porting table only", "examples/host.c",
     C + "int x;\n", "vmem_vm_do(): in no example"),
    ("porting", "a function without a row", "libvmem/libvmem.map",
     C + "VMEM_0.1 {\n    vmem_vm_do;\n    vmem_vm_free;\n};\n",
     "porting-a.md: no row for vmem_vm_free()"),
    ("porting", "a callback without a row", "include/vmem/vm.h",
     C + "struct vmem_vm_ops {\n    int (*map)(int x);\n"
     "    void (*unmap)(int x);\n};\ntypedef void (*vmem_told_fn)(void);\n",
     "no row for vmem_vm_ops::unmap"),
    ("porting", "a type of a callback without a row", "include/vmem/types.h",
     C + "typedef int (*vmem_run_fn)(int x);\n", "no row for vmem_run_fn"),
    ("porting", "a page without a table", "docs/guide/porting-b.md",
     "# B {#porting_b}\n\nvmem_vm_do() is called.\n",
     "porting-b.md: no row for vmem_vm_do()"),
    ("porting", "a row of what is gone", "libvmem/libvmem.map",
     C + "VMEM_0.1 {\n};\n", "vmem_vm_do() has a row and is in no header"),
    ("porting", "a row without a word", "docs/guide/porting-a.md",
     "# A {#porting_a}\n\n| vmem_vm_do(), vmem_vm_ops::map | - |\n"
     "| vmem_told_fn | not needed: nobody tells |\n",
     "neither a place nor a reason"),
    ("porting", "two rows", "docs/guide/porting-a.md",
     "# A {#porting_a}\n\n| vmem_vm_do(), vmem_vm_ops::map | in `main()` |\n"
     "| vmem_told_fn, vmem_vm_do() | in `main()` |\n", "has two rows"),
    ("porting", "a page that nobody finds", "docs/guide/porting.md",
     "# Porting {#porting}\n", "no subpage docs/guide/porting-a.md"),
    ("links", "a page that is gone", "docs/guide/x.md", "[gone](z.md)\n",
     "link to z.md, which is not there"),
    ("links", "a heading that is gone", "docs/guide/x.md",
     "[gone](y.md#elsewhere)\n", "has no heading elsewhere"),
    ("links", "a script that is gone", "docs/guide/x.md", "Run `./gone.sh`.\n",
     "./gone.sh is not there"),
    ("invariants", "one without a row", "docs/architecture.md",
     "".join(f"| I{i} | holds | `test_x: it_holds` |\n"
             for i in range(1, 14)), "I14 is missing"),
    ("invariants", "one without a test", "docs/architecture.md",
     "".join(f"| I{i} | holds | none |\n" for i in range(1, 15)),
     "I1 names no test"),
    ("invariants", "a test that was renamed", "tests/unit/test_x.c", C,
     "test_x does not run it_holds"),
    ("invariants", "a test that is not run", "tests/unit/test_x.c",
     C + "static void it_holds(void **u)\n{\n}\n",
     "test_x does not run it_holds"),
    ("invariants", "a module that is gone", "docs/architecture.md",
     "".join(f"| I{i} | holds | `test_y: it_holds` |\n"
             for i in range(1, 15)), "there is no module test_y"),

    ("quoted", "a line that is gone", "libvmem/core/vm.c",
     C + "int g(int x)\n{\n    return 0;\n}\n", "line occurs 0 times"),
    ("quoted", "a line that is in another function", "libvmem/core/vm.c",
     C + "int h(int x)\n{\n    return x;\n}\n",
     "docs/coverage.md: libvmem/core/vm.c: g() has no such line"),
    ("quoted", "a file that is gone", "docs/coverage.md",
     "<!-- begin of the table of suites -->\n"
     "| `libvmem/core/gone.c: g()` | `x` | line | Nobody calls. |\n"
     "<!-- end of the table of suites -->\n"
     "<!-- begin of the table of fuzzing -->\n"
     "<!-- end of the table of fuzzing -->\n",
     "libvmem/core/gone.c: g() has no such line"),
    ("quoted", "a second line where there is one", "tests/mutants.txt",
     '@ libvmem/base/name.c 2 | which\n- #include "base/name.h"\n+ int x;\n',
     "line occurs 1 times"),

    ("contracts", "no comment", "include/vmem/vm.h",
     C + "VMEM_API int vmem_vm_do(void);\n", "1 functions, 0 of them"),
]


def run(lint, files):
    with tempfile.TemporaryDirectory() as tree:
        for path, text in files.items():
            full = os.path.join(tree, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                              lint + ".py")
        done = subprocess.run([sys.executable, "-B", script, "--root", tree],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        return done.returncode, done.stdout


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    failures = 0
    for lint in sorted({case[0] for case in CASES}):
        code, output = run(lint, CLEAN)
        if code != 0:
            failures += 1
            print(f"{lint}: complains about a clean tree:\n{output}")
    for lint, what, path, text, words in CASES:
        code, output = run(lint, {**CLEAN, path: text})
        if code != 1 or words not in output:
            failures += 1
            print(f"{lint}: {what}: expected \"{words}\", got {code}:\n{output}")
    print(f"{len(CASES)} offenders, {failures} failure(s)")
    sys.exit(1 if failures else 0)


main()
