# SPDX-License-Identifier: BSD-3-Clause
"""The completion, which needs nothing but bash."""

import commands

HEAD = r"""# Completion of vmemctl for bash; made by generate.py.

_vmemctl()
{
    local word=${COMP_WORDS[COMP_CWORD]}
    local before=${COMP_WORDS[COMP_CWORD-1]}
    local options= words= files=

    COMPREPLY=()
    # --option=value comes as three words.
    if [[ $word == = ]]; then
        word=
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '@COMMANDS@ --help --version' \
            -- "$word")
        return
    fi
    case ${COMP_WORDS[1]} in
"""

TAIL = r"""    esac
    if [[ -n $options && $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    if [[ ${COMPREPLY[0]} == *: ]]; then
        compopt -o nospace 2>/dev/null
    fi
    if [[ -n $files ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -F _vmemctl vmemctl
"""


def value(option):
    """What to offer behind an option that takes something."""
    names = "--" + option.name
    if option.letter:
        names += " | -" + option.letter
    files = "yes" if option.kind == "filename" else ""
    return (f"        {names})\n"
            f"            options= files={files}\n"
            f"            words='{' '.join(option.choices)}'\n"
            "            ;;\n")


def command(one):
    options = " ".join("--" + option.name for option in one.options)
    takes = [option for option in one.options if option.kind != "flag"]
    text = (f"    {one.name})\n"
            f"        options='{options} --help'\n"
            f"        files={'yes' if one.files else ''}\n")
    if takes:
        text += ("        case $before in\n" + "".join(map(value, takes))
                 + "        esac\n")
    return text + "        ;;\n"


def write(_version, _headers):
    names = " ".join(one.name for one in commands.COMMANDS)
    return (HEAD.replace("@COMMANDS@", names)
            + "".join(map(command, commands.COMMANDS)) + TAIL)
