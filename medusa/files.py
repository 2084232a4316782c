"""Files that are either whole or absent: atomic writes, locks, checksums, names that stay inside."""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import pandas as pd

from medusa.errors import UserError, os_reason
from medusa.json_shape import Kind, require_keys

_ELSEWHERE = "choose another path"


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success flush it to disk and rename it to `path`.

    A crash leaves either the old file or the new one, never half of one.

    Raises:
        UserError: `path` is a folder, or its folder cannot be made.
        OSError: it cannot be written; names `path`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be made a folder: {os_reason(error, _ELSEWHERE)}") from None
    if path.is_dir():
        raise UserError(f"{path}: a folder, where a file is to be written; choose another path")
    # Processes of several hosts may have the same number and write the same file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with naming(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Makes an OSError of writing `path` name it: by itself a failed write names nothing, or a temporary name."""
    try:
        yield
    except OSError as error:
        where = os.fsdecode(error.filename or "")
        if error.errno is not None and (not where or f"{os.sep}.{path.name}." in os.sep + where):
            error.filename = str(path)
        raise


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; on success it takes the place of `path`, else `path` stays as it was.

    The folder before is moved aside first, so that a crash loses neither; `finish_swap` clears up after one.
    """
    finish_swap(path)
    fresh, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    try:
        with naming(path):
            fresh.mkdir(parents=True)
            yield fresh
            if path.exists():
                path.rename(old)
            fresh.rename(path)
    finally:
        finish_swap(path)


def finish_swap(path: Path) -> None:
    """Put the old folder back where `atomic_folder` was stopped between two renames; remove what else it left."""
    old = path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():
        old.rename(path)
    for left_over in (old, path.with_name(f".{path.name}.new")):
        shutil.rmtree(left_over, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of a file atomically.

    Raises:
        UserError: it is missing.
    """
    if not os.path.isfile(source):  # pathlib raises for a name that is too long
        raise UserError(f"{source}: no such file; check the path")
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write one JSON object atomically, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(
    path: Path, remedy: str = "delete it to have it made again", needs: Mapping[str, Kind] | None = None
) -> dict[str, Any]:
    """Read one JSON object, tolerant of a byte-order mark.

    Args:
        path: The file.
        remedy: What the user can do if it is not JSON, as the end of the sentence.
        needs: The keys that the caller will index, by their type; see `require_keys`.

    Raises:
        UserError: the file is missing, or is not a JSON object that holds what is needed.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the step that makes it first") from None
    except OSError as error:
        raise UserError(f"{path}: {os_reason(error, 'expected a JSON file')}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number too long, or nested too deeply
        raise UserError(f"{path}: not readable as JSON ({error}); {remedy}") from None
    return require_keys(value, needs or {}, str(path), remedy)


def write_csv(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table as CSV (UTF-8, no index, Unix line ends) atomically; `read_csv` gives back every cell as it is.

    For what programs join by its text: labels, transcripts, posteriors. Lists for people: `write_list`.
    """
    text = table.to_csv(index=False, lineterminator="\n", float_format=float_format)
    if "\r" in text:  # which Python's csv leaves unquoted, and every reader takes for a line's end
        text = table.to_csv(index=False, lineterminator="\n", float_format=float_format, quoting=csv.QUOTE_ALL)
    write_text(path, text)


def write_list(path: Path, table: pd.DataFrame) -> None:
    """Write a table that people open, in a spreadsheet perhaps, as `write_csv` but with all text `inert`."""
    write_csv(path, table.map(inert))


def inert(value: Any) -> Any:
    """A ' before text that a spreadsheet would take for a formula: it begins with = + - @, a tab or a line end.

    So OWASP advises. Everything else stays as it is.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else value


def read_csv(path: Path, remedy: str = "check the path") -> pd.DataFrame:
    """Read a CSV as text columns (empty cells become ""), tolerant of a byte-order mark.

    Args:
        path: The file.
        remedy: What the user can do if it is missing, as the end of the sentence.

    Raises:
        UserError: missing, not UTF-8, empty, or not a table.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {remedy}") from None
    except OSError as error:
        raise UserError(f"{path}: {os_reason(error, 'expected a CSV file')}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        expected = "expected a header line and comma-separated rows"
        raise UserError(f"{path}: not a CSV table ({str(error).strip()}); {expected}") from None
    if table.empty:
        raise UserError(f"{path}: no rows; {remedy}")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes the first cells for an index then
        raise UserError(f"{path}: rows have more cells than the header has names; quote cells that hold commas")
    return table


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises:
        UserError: there is no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the step that makes it first") from None


def sha256_once(path: Path) -> str:
    """As `sha256`, computed once for as long as the file is not written to: for what is read again and again."""
    return _sha256_at(path, path.stat().st_mtime_ns)


@functools.cache
def _sha256_at(path: Path, _changed: int) -> str:
    return sha256(path)


PATIENCE_SECONDS = 10.0
"""How long a part waits while another writes what they share, before it takes it for somebody who holds everything."""


@contextlib.contextmanager
def lock(directory: Path, purpose: str) -> Iterator[None]:
    """Hold `directory` for this process alone; the lock ends with the process, however that ends.

    What processes that were killed left half written there is removed.

    Raises:
        UserError: another process holds it or a part of it, or nothing can be written there.
    """
    refusal = f"{directory}: another process is {purpose} here"
    with _lock(directory / ".lock", refusal):
        for held in directory.glob(".lock-*"):
            with _lock(held, f"{refusal} (part {held.name.removeprefix('.lock-')})"):
                held.unlink()  # parts take theirs under the directory's lock only, so nobody is about to
        _remove_rests(directory)
        yield


def _remove_rests(directory: Path) -> None:
    """Remove what processes that were killed left of `atomic_path`: it may be as large as what they wrote."""
    if os.name != "posix":  # elsewhere one cannot ask for a process without signalling it
        return
    for rest in directory.rglob(".*.tmp"):
        number = rest.name.split(".")[-2].partition("-")[0]
        if number.isdigit() and not _alive(int(number)):
            rest.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


@contextlib.contextmanager
def lock_part(
    directory: Path, part: str, purpose: str
) -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """Hold one part of the work in `directory`, beside processes that hold other parts.

    Args:
        directory: What they work on, on a file system that their hosts may share.
        part: Names the part in a file name.
        purpose: For the message.

    Yields:
        A context in which no other part is in its own: for files that all of them write.

    Raises:
        UserError: another process holds this part, or the whole directory.
    """
    whole, held = directory / ".lock", directory / f".lock-{part}"
    refusal = f"{directory}: another process is {purpose} here"

    def alone(seconds: float = 60 * PATIENCE_SECONDS) -> contextlib.AbstractContextManager[None]:
        return _lock(whole, refusal, seconds)

    with contextlib.ExitStack() as stack:
        with alone(PATIENCE_SECONDS):
            stack.enter_context(_lock(held, f"{refusal} (part {part})"))
        try:
            yield alone
        finally:
            with alone():
                held.unlink(missing_ok=True)
                stack.close()


@contextlib.contextmanager
def lock_file(path: Path, purpose: str) -> Iterator[None]:
    """Hold the name `path`, where a file is or will be, for this process.

    Raises:
        UserError: another process holds it, or nothing can be written there.
    """
    held = path.with_name(f".{path.name}.lock")
    with _lock(held, f"{path}: another process is {purpose} this file"):
        try:
            yield
        finally:
            held.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(file: Path, refusal: str, seconds: float = 0.0) -> Iterator[None]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{file.parent}: cannot be made a folder: {os_reason(error, _ELSEWHERE)}") from None
    held = filelock.FileLock(file)
    try:
        held.acquire(timeout=seconds)
    except filelock.Timeout:
        raise UserError(f"{refusal}; wait for it or stop it first") from None
    except OSError as error:  # a folder that is not ours to write to, a name that is too long
        raise UserError(f"{file}: cannot be made: {os_reason(error, _ELSEWHERE)}") from None
    try:
        yield
    finally:
        held.release()


def resolved(path: Path) -> Path:
    """The path without `..` and links.

    Raises:
        UserError: a link leads back to itself, or no file can have this name.
    """
    try:
        return path.resolve()
    except RuntimeError:  # so say Python 3.11 and 3.12; newer ones leave it to whoever opens the file
        raise UserError(f"{path}: a link that leads back to itself; mend or delete it") from None
    except ValueError as error:  # a null byte
        raise UserError(f"{path}: no name that a file can have ({error}); {_ELSEWHERE}") from None


def inside(root: Path, name: str) -> Path:
    """`root / name`, refused if it would leave `root` (`..`, an absolute path, a link that points out).

    Raises:
        UserError: naming root and name.
    """
    path = root / name
    if not resolved(path).is_relative_to(resolved(root)):
        raise UserError(f"{name!r} leads outside {root} (by .. or a link); copy it into that folder")
    return path
