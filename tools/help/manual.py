# SPDX-License-Identifier: BSD-3-Clause
"""The manual pages, in the man macros that groff and mandoc both know."""

import re
import textwrap

import commands
import library as page7
from shape import Words


def escape(text):
    """Text as roff: no escape, no request at the start of a line."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = text.replace("'", "\\(aq").replace("`", "\\(ga")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def filled(text):
    """A paragraph, in lines that a person can compare."""
    return "\n".join(escape(line) for line in textwrap.wrap(text, 76)) + "\n"


def paragraph(text):
    return ".PP\n" + filled(text)


def item(term, text, macro=".TP"):
    return f"{macro}\n{term}\n{filled(text)}"


def bold(text):
    return f"\\fB{escape(text)}\\fR"


def italic(text):
    return f"\\fI{escape(text)}\\fR"


def head(name, section, version, what, title):
    return (f'.\\" Made by generate.py.\n'
            f'.TH {name} {section} "" "libvmem {version}" "{title}"\n'
            f".SH NAME\n{name.lower()} \\- {escape(what)}\n")


def option(one):
    term = bold("--" + one.name)
    if one.value:
        term += "=" + italic(one.value)
    if one.letter:
        term = bold("-" + one.letter) + ", " + term
    return item(term, one.text + ".")


def listed(what):
    text = paragraph(what.title + ":") + ".RS 4\n"
    for term, meaning in what.rows:
        text += item(bold(term), meaning)
    text += ".RE\n"
    return text + (paragraph(what.after) if what.after else "")


def command(one):
    usage = bold("vmemctl " + one.name) + " [" + italic("OPTION") + "...]"
    if one.arguments:
        usage += " " + italic(one.arguments)
    text = f".SS {one.name}\n{usage}\n" + paragraph(one.summary)
    text += "".join(map(option, one.options))
    shared = []
    for detail in one.details:
        if isinstance(detail, Words):
            # Said once, behind the commands.
            shared.append(detail.title.split(",")[0].split(" (")[0])
        else:
            text += paragraph(detail)
    if shared:
        text += paragraph("See also below: " + ", ".join(shared) + ".")
    return text


def vmemctl(version, _headers):
    text = head("VMEMCTL", 1, version,
                "exercise, draw and measure guest memory that can be given back",
                "User Commands")
    text += ".SH SYNOPSIS\n"
    text += (f"{bold('vmemctl')} {italic('COMMAND')} [{italic('OPTION')}...] "
             f"[{italic('FILE')}...]\n.br\n"
             f"{bold('vmemctl')} {bold('--help')} | {bold('--version')}\n")
    text += ".SH DESCRIPTION\n" + filled(commands.SUMMARY)
    text += paragraph("Every command has --help, which says what this page says.")
    text += ".SH COMMANDS\n"
    text += "".join(map(command, commands.COMMANDS))
    seen = []
    for one in commands.COMMANDS:
        for detail in one.details:
            if isinstance(detail, Words) and detail not in seen:
                seen.append(detail)
    # The first needs no space above.
    text += ".SH WORDS\n" + "".join(map(listed, seen))[len(".PP\n"):]
    text += ".SH EXIT STATUS\n"
    for number, meaning in commands.EXIT_CODES:
        text += item(bold(number), meaning)
    text += paragraph("When several apply the largest wins.")
    text += ".SH EXAMPLES\n"
    for one in commands.COMMANDS:
        for line, meaning in one.examples:
            text += item(bold(line), meaning)
    text += ".SH SEE ALSO\n" + bold("vmem") + "(7)\n"
    return text


def functions(headers):
    """(header, [(function, first sentence)]) for each public header."""
    for path in sorted(headers):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        found = []
        for match in re.finditer(
                r"/\*\*((?:(?!\*/).)*)\*/\s*VMEM_API\b[^;(]*?(vmem_\w+)\(",
                text, re.S):
            lines = [line.strip(" *") for line in match[1].strip().splitlines()]
            said = " ".join(lines).split(" @")[0]
            found.append((match[2], re.split(r"(?<=\.)\s", said)[0]))
        if found:
            yield path.split("include/")[-1], found


def library(version, headers):
    text = head("VMEM", 7, version,
                "guest memory that can be given back, for virtual machine "
                "monitors", "Miscellaneous Information")
    text += (".SH SYNOPSIS\n.nf\n\\fB#include <vmem/vmem.h>\\fR\n\n"
             + bold("cc") + " " + italic("host.c")
             + bold(" $(pkg-config --cflags --libs vmem)") + "\n.fi\n")
    for title, parts in page7.SECTIONS:
        text += f".SH {title}\n"
        for number, part in enumerate(parts):
            if isinstance(part, Words):
                for term, meaning in part.rows:
                    text += item(bold(term), meaning)
            else:
                text += paragraph(part) if number else filled(part)
    text += ".SH FUNCTIONS\n"
    for name, found in functions(headers):
        text += f".SS <{escape(name)}>\n"
        for function, meaning in found:
            text += item(bold(function) + "()", meaning)
    text += ".SH TOOLS\n"
    for one in commands.COMMANDS:
        text += item(bold("vmemctl " + one.name), one.brief)
    text += ".SH SEE ALSO\n" + bold("vmemctl") + "(1)\n"
    return text
