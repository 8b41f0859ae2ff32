# SPDX-License-Identifier: BSD-3-Clause
"""What vmem(7) says about the library; its functions come from the headers."""

from shape import Words

SECTIONS = [
    ("DESCRIPTION", [
        "libvmem keeps the books of guest memory that can be given back: which "
        "blocks of a region are usable, who has to be told in which order, who "
        "objected, and how the memory returns to the host. It is linked into a "
        "virtual machine monitor. It owns no guest, no virtqueue and no main "
        "loop: bytes come in, bytes go out, callbacks are called.",
        "The headers say everything about each function: what happens in which "
        "order, what holds afterwards, what happens on failure, which threads "
        "may call it, who owns what. This page is a map of them.",
    ]),
    ("OBJECTS", [
        Words("Objects", [
            ("vmem_vm", "one virtual machine: log, clock, discard policy, "
                        "inventory"),
            ("vmem_backing", "the host memory behind a region; discards, "
                             "populates and measures it"),
            ("vmem_region", "a range of guest memory, and the one truth about "
                            "what is populated"),
            ("vmem_source", "one reason for parts of a region to be discarded"),
            ("vmem_listener", "a party that must follow; may object"),
            ("vmem_device", "a virtio-mem device without its transport"),
            ("vmem_bitmap", "a block bitmap that is nearly free to walk"),
        ]),
        "Children are freed before their parents; the other way round is refused "
        "with -EBUSY and their names.",
    ]),
    ("ERRORS", [
        "Functions return 0 or a negative errno. Control calls take a struct "
        "vmem_error as their last argument, which may be NULL: it says in a "
        "sentence which object, value and limit were in the way, and how far the "
        "call got. A failed call leaves everything as it was, or says so there.",
        "A guest cannot make the library stop, hang or allocate: its requests are "
        "answered ACK, NACK, BUSY or ERROR, or are reported as malformed.",
    ]),
    ("THREADS", [
        "Calls may come from any thread. Callbacks run on the thread that called, "
        "with a lock held; they may query and must not change, which is refused "
        "with -EDEADLK. Notifications run without locks and may do anything. The "
        "library starts no threads and installs no signal handlers.",
    ]),
    ("STRUCTURES", [
        "A structure that the host fills starts with struct_size, which is its "
        "sizeof; what is not known is zero. What is passed is copied. What the "
        "library fills has a struct_size that the host sets before.",
    ]),
]
