"""The challenge's submission, Task 1: `FileName,EmoClass`, one letter for each recording of Test3, sorted by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from medusa.corpora.labels import NO_CONSENSUS
from medusa.corpora.msp_layout import LETTERS
from medusa.corpora.rows import refuse_rows
from medusa.errors import UserError
from medusa.files import atomic_path, read_csv
from medusa.provenance import require_as_written

COLUMNS = ("FileName", "EmoClass")

_LETTERS = {emotion: letter for emotion, letter in LETTERS.items() if emotion not in NO_CONSENSUS}
"""A prediction is an emotion: X and O are what annotators say."""


def expected_names(prefix: str, rows: int) -> list[str]:
    """The recordings to predict, sorted; Test3 is `MSP-PODCAST_test3_0001.wav` to `_3200.wav`."""
    return sorted(f"{prefix}{number:04d}.wav" for number in range(1, rows + 1))


def write_submission(posteriors: Path, out: Path, names: Sequence[str]) -> Counter[str]:
    """Write the predicted classes of `names`, checked as `check_submission` does before the file gets its name.

    Args:
        posteriors: A file with FileName and EmoClass (the predicted class, by name), such as eval_metacls.py writes;
            rows of other recordings are left out.
        out: The file to write.
        names: The recordings to predict, sorted.

    Returns:
        How often each letter is predicted.

    Raises:
        UserError: a recording has no prediction or two, a class has no letter, or the posteriors are not those that
            eval_metacls.py wrote; nothing is written then.
    """
    table = read_csv(posteriors)
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise UserError(f"{posteriors}: no column {missing[0]}; expected posteriors as eval_metacls.py writes them")
    table = table.loc[table["FileName"].isin(names), list(COLUMNS)]
    allowed = f"must be one of {', '.join(_LETTERS)}"
    refuse_rows(posteriors, table, ~table["EmoClass"].isin(list(_LETTERS)), "EmoClass", allowed)
    _check_names(posteriors, table, names)
    require_as_written(posteriors, "run eval_metacls.py again")
    letters = table.assign(EmoClass=table["EmoClass"].map(_LETTERS)).sort_values("FileName")
    with atomic_path(out) as temporary:
        temporary.write_text(_text(letters), encoding="utf-8", newline="\n")
        _check(out, read_csv(temporary), names)
    return Counter(letters["EmoClass"])


def check_submission(path: Path, names: Sequence[str]) -> Counter[str]:
    """Refuse a file that is no submission: header, letters, names (all, once each), order.

    Args:
        path: The file.
        names: The recordings to predict, sorted.

    Returns:
        How often each letter is predicted.

    Raises:
        UserError: what is wrong first, with its row.
    """
    table = read_csv(path)
    _check(path, table, names)
    if path.read_bytes() != _text(table).encode():
        plain = "no quotes, blank lines or byte-order mark, Unix line ends"
        raise UserError(f"{path}: the right rows, but not as plain text ({plain}); write it with this command")
    return Counter(table["EmoClass"])


def _check(path: Path, table: pd.DataFrame, names: Sequence[str]) -> None:
    header = ",".join(map(str, table.columns))
    if header != ",".join(COLUMNS):
        raise UserError(f"{path}, line 1: the header is {header[:80]!r}, must be {','.join(COLUMNS)}")
    allowed = f"must be one of {', '.join(_LETTERS.values())}"
    refuse_rows(path, table, ~table["EmoClass"].isin(list(_LETTERS.values())), "EmoClass", allowed)
    problem = f"must be one of {names[0]} … {names[-1]}"
    refuse_rows(path, table, ~table["FileName"].isin(names), "FileName", problem)
    _check_names(path, table, names)
    unsorted = table["FileName"] < table["FileName"].shift(fill_value="")
    refuse_rows(path, table, unsorted, "FileName", "must come before the row above it: sort the rows by name")


def _text(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))


def _check_names(path: Path, table: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse a name that stands twice or is missing."""
    refuse_rows(path, table, table["FileName"].duplicated(), "FileName", "stands twice; keep one row")
    found = set(table["FileName"])
    missing = [name for name in names if name not in found]
    if missing:
        problem = f"{len(names) - len(missing):,} of {len(names):,} rows are there, {missing[0]!r} is the first missing"
        raise UserError(f"{path}: {problem}; predict every recording, or say --prefix and --expect for another set")
