# SPDX-License-Identifier: BSD-3-Clause
"""Everything that vmemctl says about its command line, in one place.

--help, the manual page vmemctl(1) and the completion of bash are made from this
at build time (generate.py); the program has no option that is not here.
"""

from shape import Command, Option, Words

SUMMARY = "Exercises libvmem, guest memory that can be given back."

EXIT_CODES = [
    ("0", "everything is as recorded or expected"),
    ("1", "an answer differs, an end does not hold, or memory that should be "
          "gone is resident"),
    ("2", "wrong usage, or a malformed file"),
    ("3", "the host cannot: no memory, no huge pages, no such file system"),
]

BACKINGS = Words("Backings", [
    ("memfd", "a memory file, shared (the default)"),
    ("anon", "anonymous memory, private"),
    ("anon-shared", "anonymous memory, shared"),
    ("hugetlb", "a memory file of huge pages; needs a pool of them"),
    ("file:PATH", "a file, made and removed again, or empty and emptied again"),
])

GUESTS = Words("Guests", [
    ("linux", "Linux, in sub-block or big-block mode as its geometry demands"),
    ("linux-bbm", "Linux, forced into big-block mode"),
    ("windows", "the viomem driver"),
])

PATTERNS = Words("Patterns, of what a load in the guest pins", [
    ("movable", "nothing"),
    ("idle", "a few blocks of the first memory block"),
    ("slab", "6 % in runs, half of the rest released every 50 s"),
    ("pressure", "20 % in long runs, 80 % released"),
    ("scatter", "short runs in a third of the memory blocks, 20 % released"),
    ("checker", "every second block, never released"),
    ("random", "half of all, 10 % released"),
])

FAILURES = Words("Failures (--fail may be given several times)", [
    ("listener:K", "a listener refuses the K-th time it is asked"),
    ("discard:K", "the K-th discard of memory fails"),
    ("busy:T1-T2", "the device is frozen in these virtual seconds"),
])

SIM_TIME = ("A step of --resize takes 10 virtual seconds, or until the guest is "
            "there or has tried for 900; a request takes a millisecond. Sizes "
            "take the suffixes K, M, G, T, P and E.")


PICTURE = ("--svg draws requested, plugged, resident and retained memory over time "
           "and, below, which blocks are plugged. Memory is resident only where "
           "somebody writes to it, as --touch does.")


def words(what):
    """What completion offers for an option that takes one of these."""
    return [term[:term.find(":") + 1] or term for term, _ in what.rows]


BACKING = Option("backing", "b", "string", "KIND",
                 "What the memory is (default: memfd)", words(BACKINGS))
TOUCH = Option("touch", "t", "flag", "",
               "Write every plugged page, so that memory is really used")
SVG = Option("svg", "", "filename", "FILE",
             "Draw sizes and blocks over time, as SVG")
JSON = Option("json", "", "flag", "", "Print one JSON object, for machines")
VERBOSE = Option("verbose", "v", "flag", "", "Show what the library logs")

GUEST_OPTIONS = [
    Option("guest", "g", "string", "GUEST", "Which driver (default: linux)",
           words(GUESTS)),
    Option("pattern", "p", "string", "PATTERN",
           "What a load pins (default: movable)", words(PATTERNS)),
    Option("size", "s", "string", "SIZE",
           "Size of the region (default: 64G)"),
    Option("block-size", "", "string", "SIZE",
           "Block size of the device (default: 2M)"),
    Option("memory-block", "", "string", "SIZE",
           "Memory block of the guest, up to 2G (default: 128M)"),
    Option("resize", "r", "string", "SIZE,...",
           "Sizes that the host asks for, and reboot, kexec or reload "
           "(default: 0,32G,8G,48G,0)"),
    Option("seed", "", "number", "N",
           "The same seed, the same guest (default: 1)"),
    Option("fail", "", "strings", "WHAT", "Let something fail",
           words(FAILURES)),
]

COMMANDS = [
    Command(
        "replay", "replay recorded guest requests", "TRACE...", True,
        "Replays recorded virtio-mem requests on real memory and compares every "
        "answer with the recorded one, what is resident with what is plugged, "
        "and what the listeners are told with what happens.",
        [
            BACKING,
            TOUCH,
            Option("fault", "", "string", "WHAT",
                   "Break something on purpose, to see it noticed: skip-discard "
                   "keeps unplugged memory (implies --touch)",
                   ["skip-discard"]),
            SVG,
            JSON,
            VERBOSE,
        ],
        [
            BACKINGS,
            "Columns: plugged is what the guest has; resident is measured by "
            "asking the kernel; retained is unplugged but could not be given "
            "back; peak is the highest resident so far; syscalls are those of "
            "discards and populates. In JSON all sizes are in bytes.",
            PICTURE + " With --svg there is one trace.",
        ],
        [
            ("vmemctl replay --touch guest.trace",
             "Does what the recorded guest did, and uses the memory as it "
             "would."),
            ("vmemctl replay --touch --svg guest.svg guest.trace",
             "The same, and draws it."),
        ]),
    Command(
        "sim", "let a simulated guest use a device", "", False,
        "Lets a simulated guest driver plug and unplug the memory of a real "
        "device, in virtual time, and reports what it asked, got and complained "
        "about.",
        GUEST_OPTIONS + [
            BACKING,
            TOUCH,
            Option("trace", "", "filename", "FILE", "Write a trace of it"),
            SVG,
            JSON,
            VERBOSE,
        ],
        [
            BACKINGS,
            GUESTS,
            PATTERNS,
            FAILURES,
            SIM_TIME + " What --trace writes, vmemctl replay reads.",
            PICTURE,
        ],
        [
            ("vmemctl sim --pattern slab --size 8G --resize 8G,1G,8G,0",
             "A Linux guest whose kernel holds on to some of its memory."),
        ]),
    Command(
        "map", "draw which blocks are plugged", "[TRACE]", True,
        "Draws which blocks of memory are plugged at one moment of a recorded or "
        "simulated run: one cell, many blocks. Addresses run from left to right "
        "and on in the next line.",
        [
            Option("sim", "", "flag", "", "Simulate a guest, instead of a trace"),
        ] + GUEST_OPTIONS + [
            Option("at", "", "number", "N",
                   "Show the state after the N-th request (default: the end)"),
            Option("follow", "f", "flag", "",
                   "Draw every change as it happens, in the same place"),
            Option("delay", "", "number", "MS",
                   "Milliseconds between the pictures of --follow (default: "
                   "40)"),
            Option("width", "w", "number", "COLUMNS",
                   "Width of the map (default: that of the terminal, or 80)"),
            Option("lines", "", "number", "N",
                   "Lines of blocks for each device, at most (default: 8)"),
            Option("ascii", "", "flag", "",
                   "Only ASCII characters, as where the locale is not UTF-8"),
            JSON,
            VERBOSE,
        ],
        [
            GUESTS,
            PATTERNS,
            FAILURES,
            SIM_TIME,
        ],
        [
            ("vmemctl map --at 100 guest.trace",
             "What was plugged after a hundred requests."),
            ("vmemctl map --follow --sim --pattern slab --size 8G --resize "
             "8G,1G,8G,0",
             "A simulated guest at work."),
        ]),
    Command(
        "plan", "say how many DMA mappings a region takes", "", False,
        "Says how many mappings of an IOMMU a region takes, whether that fits the "
        "limit, and with which block size all of it would. Asks neither the "
        "kernel nor a device.",
        [
            Option("region", "r", "string", "SIZE", "Size of the region"),
            Option("block-size", "", "string", "SIZE",
                   "Block size of the device (default: 2M)"),
            Option("requested", "", "string", "SIZE",
                   "How much of it will be plugged (default: all)"),
            Option("limit", "", "string", "N",
                   "Most mappings of a container, or none (default: 65535)",
                   ["none"]),
            Option("pinned-limit", "", "string", "SIZE",
                   "Most memory that may be locked, by all of them"),
            Option("containers", "", "number", "N",
                   "How many map it (default: 1)"),
            JSON,
        ],
        [
            "65535 is the limit of VFIO type1 (dma_entry_limit); iommufd has "
            "none. The verdict is about what is requested: ok, tight (less than "
            "an eighth of the limit is left) or impossible. The worst case is "
            "that everything is plugged. Each container maps and locks on its "
            "own: mappings are of one, locked memory is of all. In JSON sizes "
            "are in bytes, and a recommended_block_size of 0 says that none "
            "fits.",
        ],
        [
            ("vmemctl plan --region 4T --block-size 2M --limit 65535",
             "How large blocks must be for 4 TiB."),
            ("vmemctl plan --region 1T --requested 4G --json",
             "Whether 4 GiB of 1 TiB fit, for a program."),
        ]),
    Command(
        "probe", "measure what discards cost and free here", "", False,
        "Measures, on each kind of memory that this machine has, what populating "
        "and discarding it costs and what a discard frees, with and without huge "
        "pages. What could not be measured has a dash and the reason. No setting "
        "of the machine is changed.",
        [
            Option("size", "s", "string", "SIZE",
                   "How much memory to use at a time (default: 64M)"),
            Option("file", "", "filename", "FILE",
                   "Measure a file too, made and removed again, or empty and "
                   "emptied again"),
            JSON,
            VERBOSE,
        ],
        [
            "Times are medians of up to five rounds, of one call for each block "
            "of 2 MiB, and of one call for all of --size, scaled to 1 GiB. "
            "Memory is populated as a plug does it and discarded as an unplug "
            "does it, in the library; how much is resident before and after is "
            "what the kernel says: in page tables, by mincore, or in the "
            "st_blocks of a file. Pages of a pool are used only as far as they "
            "are free. Exit code 1 says that discarded memory stayed resident.",
        ],
        [
            ("vmemctl probe --size 1G --file /var/tmp/probe",
             "All kinds of memory, 1 GiB at a time, and a file system."),
        ]),
    Command(
        "vectors", "run conformance vectors", "FILE...", True,
        "Runs conformance vectors: virtio-mem requests with the answers that the "
        "specification demands, each vector on a device of its own. Prints a "
        "line for each vector that fails, and how many passed and failed.",
        [
            JSON,
            VERBOSE,
        ],
        [],
        []),
]
