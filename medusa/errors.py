"""Errors meant for the user: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

EXIT_USER_ERROR = 2
EXIT_PARTLY_DONE = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
EXIT_BROKEN_PIPE = 141

_AGAIN = "then run the same command again: what was finished is kept"
STORAGE_REMEDIES = {
    errno.ENOSPC: f"free some space, {_AGAIN}",
    errno.EDQUOT: f"free some of your quota, {_AGAIN}",
    errno.EFBIG: f"allow larger files (ulimit -f), {_AGAIN}",
    errno.EROFS: "choose a path on a disk that can be written to",
    errno.EACCES: "choose a path of your own, or have its owner let you read and write there",
    errno.EPERM: "choose a path of your own, or have its owner let you read and write there",
    errno.EIO: f"the disk may be failing: check it, {_AGAIN}",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "mend or delete the link, which leads back to itself",
    errno.EMFILE: f"allow more open files (ulimit -n), {_AGAIN}",
}
"""What a user can do about a disk or a mode; any other OSError that comes this far is a mistake of ours."""


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
    return re.sub(r"[ \t\n\v\f\r\u2028\u2029]+", " ", printable(text)).strip()


def reason(error: BaseException) -> str:
    """What a library says went wrong, as the end of a sentence: its kind and the first line of its message."""
    return f"{type(error).__name__}: {error}".strip().split("\n")[0]


class UserError(Exception):
    """A mistake in a config, a file or a command line that the user can mend.

    The message is one line: what is wrong, where (file, row, key), what to do.
    """

    exit_code = EXIT_USER_ERROR

    def __init__(self, message: str) -> None:
        super().__init__(_LONG_WORD.sub(lambda found: f"{found[0][:200]}…{found[0][-200:]}", one_line(message)))


class PartlyDone(UserError):
    """Some inputs failed, the rest was finished and kept; the message names the list of failures."""

    exit_code = EXIT_PARTLY_DONE


class Terminated(KeyboardInterrupt):
    """SIGTERM, which a batch system sends before it kills: ends a command as Ctrl-C does."""


def out_of_memory(error: BaseException) -> bool:
    """Whether this is how Python, or torch on a CPU or a GPU, says that memory is used up."""
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    text = str(error)
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text or "out of memory" in text


@contextlib.contextmanager
def memory_advice(advice: str) -> Iterator[None]:
    """Turns running out of memory into one line that ends in `advice`.

    Raises:
        UserError: memory was used up.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise UserError(f"out of memory: {advice}") from None


def os_reason(error: OSError, otherwise: str) -> str:
    """What the system says and what to do about it, as the end of a sentence; `otherwise` where it is no matter of
    disks or modes.
    """
    return f"{error.strerror}; {STORAGE_REMEDIES.get(error.errno or 0, otherwise)}"


def command(main: Callable[..., None]) -> Callable[..., None]:
    """Turn `UserError`, a full or closed disk and used-up memory into one line on stderr and an exit code.

    Ctrl-C and SIGTERM end in a hint how to go on.

    A character that the terminal's encoding lacks is printed as an escape, as on stderr, and ends nothing.
    Everything else keeps its traceback: it is our mistake, not the user's.
    """

    @functools.wraps(main)
    def wrapped(*args: object, **kwargs: object) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with _terminable(), memory_advice("run it where more memory is free, or with smaller batches"):
                main(*args, **kwargs)
                sys.stdout.flush()
        except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(EXIT_BROKEN_PIPE)
        except UserError as error:
            _fail(str(error), error.exit_code)
        except OSError as error:
            if error.errno not in STORAGE_REMEDIES:
                raise
            where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes | os.PathLike) else ""
            _fail(where + os_reason(error, otherwise=""), EXIT_USER_ERROR)
        except KeyboardInterrupt as stop:
            print("stopped: what was finished is kept; the same command continues from there", file=sys.stderr)
            sys.exit(EXIT_TERMINATED if isinstance(stop, Terminated) else EXIT_INTERRUPTED)

    return wrapped


def _fail(message: str, code: int) -> None:
    print(f"error: {one_line(message)}", file=sys.stderr)
    sys.exit(code)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated`; only the main thread can ask for that."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
