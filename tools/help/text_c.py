# SPDX-License-Identifier: BSD-3-Clause
"""--help, as tables of C."""

import json
import textwrap

import commands
from shape import Words

WIDTH = 78

ARGS = {
    "flag": "G_OPTION_ARG_NONE",
    "string": "G_OPTION_ARG_STRING",
    "strings": "G_OPTION_ARG_STRING_ARRAY",
    "filename": "G_OPTION_ARG_FILENAME",
    "number": "G_OPTION_ARG_INT64",
}


def quote(text):
    """A string of C; its escapes are those of JSON, as long as it is ASCII."""
    assert text.isascii(), text
    return json.dumps(text)


def rows(what):
    """The rows of a list, the meanings below each other."""
    width = max(13, 1 + max(len(term) for term, _ in what))
    return "".join(
        textwrap.fill(meaning, WIDTH, initial_indent=f"  {term:<{width}}",
                      subsequent_indent=" " * (width + 2)) + "\n"
        for term, meaning in what)


def exit_codes():
    return "Exit codes:\n" + "".join(
        textwrap.fill(meaning, WIDTH, initial_indent=f"  {number}  ",
                      subsequent_indent="     ") + "\n"
        for number, meaning in commands.EXIT_CODES)


def details(command):
    text = ""
    for one in command.details:
        if isinstance(one, Words):
            text += f"{one.title}:\n{rows(one.rows)}"
            if one.after:
                text += textwrap.fill(one.after, WIDTH) + "\n"
        else:
            text += textwrap.fill(one, WIDTH) + "\n"
        text += "\n"
    return text + exit_codes()


def option(one):
    letter = f"'{one.letter}'" if one.letter else "0"
    value = quote(one.value) if one.value else "NULL"
    return (f"    {{ {quote(one.name)}, {letter}, {ARGS[one.kind]},\n"
            f"      {quote(one.text)},\n      {value} }},\n")


def write(_version, _headers):
    text = ("/* Made by generate.py of commands.py. */\n"
            '#include "help.h"\n\n'
            f"const char help_summary[] = {quote(commands.SUMMARY)};\n"
            f"const char help_exit_codes[] = {quote(exit_codes())};\n\n")
    for command in commands.COMMANDS:
        text += (f"static const struct help_option {command.name}_options[] = "
                 "{\n" + "".join(map(option, command.options)) + "};\n\n")
    text += "const struct help_command help_commands[] = {\n"
    for command in commands.COMMANDS:
        arguments = quote(command.arguments) if command.arguments else "NULL"
        text += (f"    {{ {quote(command.name)}, {quote(command.brief)},\n"
                 f"      {arguments}, command_{command.name},\n"
                 f"      {quote(textwrap.fill(command.summary, WIDTH))},\n"
                 f"      {quote(details(command))},\n"
                 f"      {command.name}_options,\n"
                 f"      G_N_ELEMENTS({command.name}_options) }},\n")
    return text + ("};\nconst unsigned help_nr_commands = "
                   "G_N_ELEMENTS(help_commands);\n")
