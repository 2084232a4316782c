"""Errors meant for the user: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import functools
import io
import re
import sys
from collections.abc import Callable

EXIT_USER_ERROR = 2
EXIT_PARTLY_DONE = 3
EXIT_INTERRUPTED = 130


_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


_LONG_WORD = re.compile(r"\S{500,}")
"""No path or key: a cell of a file from anybody, which must not bury what is wrong with it."""


def printable(text: str) -> str:
    r"""The text, with what a terminal would obey or cannot show as escapes; line ends and tabs stay.

    A control character becomes `\x1b`, a byte of a file name that is not UTF-8, a lone surrogate to Python, `\udcff`.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """Text that may come from anybody, `printable` and with single spaces."""
    return " ".join(printable(text).split())


def reason(error: BaseException) -> str:
    """What a library says went wrong, as the end of a sentence: its kind and the first line of its message."""
    return f"{type(error).__name__}: {error}".strip().split("\n")[0]


class UserError(Exception):
    """A mistake in a config, a file or a command line that the user can mend.

    The message is one line: what is wrong, where (file, row, key), what to do.
    """

    exit_code = EXIT_USER_ERROR

    def __init__(self, message: str) -> None:
        super().__init__(_LONG_WORD.sub(lambda found: f"{found[0][:200]}…{found[0][-200:]}", printable(message)))


class PartlyDone(UserError):
    """Some inputs failed, the rest was finished and kept; the message names the list of failures."""

    exit_code = EXIT_PARTLY_DONE


def command(main: Callable[..., None]) -> Callable[..., None]:
    """Turn `UserError` into one line on stderr and its exit code; Ctrl-C into a hint how to go on.

    A character that the terminal's encoding lacks is printed as an escape, as on stderr, and ends nothing.
    Everything else keeps its traceback: it is our mistake, not the user's.
    """

    @functools.wraps(main)
    def wrapped(*args: object, **kwargs: object) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            main(*args, **kwargs)
        except UserError as error:
            print(f"error: {one_line(str(error))}", file=sys.stderr)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            print("stopped: what was finished is kept; the same command continues from there", file=sys.stderr)
            sys.exit(EXIT_INTERRUPTED)

    return wrapped
