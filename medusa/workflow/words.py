"""A command line in a config or an option → its words."""

from __future__ import annotations

import shlex

from medusa.errors import UserError


def shell_words(line: str, where: str) -> list[str]:
    """As a shell splits it, at least one word.

    Args:
        line: The command line.
        where: File and key, or option, for the error.

    Raises:
        UserError: a quotation is not closed, or there is no word.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UserError(f"{where}: {line!r}: {str(error).lower()}; close or escape the quotation mark") from None
    if not words or not words[0]:
        raise UserError(f"{where}: {line!r} holds no word; write a command, or leave it out")
    return words
