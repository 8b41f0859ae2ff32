# SPDX-License-Identifier: BSD-3-Clause
"""What a command's help is made of; commands.py says it, generate.py writes it."""

import collections

# kind: flag, string, strings (may be given several times), filename or number.
# value: the name of what it takes, "" for a flag. choices: what completion
# offers besides files; a choice that ends with a colon wants more behind it.
Option = collections.namedtuple(
    "Option", "name letter kind value text choices", defaults=((),))

# A list of words and what they mean, such as the backings.
Words = collections.namedtuple("Words", "title rows after", defaults=("",))

# arguments: how usage writes what comes after the options. files: does it name
# files? details: strings, which are paragraphs, and Words.
# examples: pairs of a command line and what it does.
Command = collections.namedtuple(
    "Command", "name brief arguments files summary options details examples")
