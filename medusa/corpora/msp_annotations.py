"""MSP-Podcast's annotators: what each said of each recording, read from any layout that releases have had, and counted.

Releases 1.7 to 1.12 have one field for it all (`EmoDetail`), 1.6 and 2.0 a column for each part, some a JSON as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.corpora.labels import ATTRIBUTES
from medusa.corpora.msp_layout import EMOTIONS, FIELDS
from medusa.corpora.rows import refuse_rows
from medusa.corpora.votes import OTHER, Votes
from medusa.errors import UserError
from medusa.files import read_csv, read_json

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAJOR, SECOND = FIELDS[:2]
WORKER = "Workers"
WORKER_COLUMNS = (WORKER, "WorkerID")
DETAIL = "EmoDetail"

DETAIL_PARTS = (
    rf"(?s)\A\s*(?P<{WORKER}>[^;]*?)\s*;"
    # Free text after "Other" may hold anything, a semicolon too.
    rf"\s*(?P<{MAJOR}>Other.*?|[^;]*?)\s*"
    # The secondary emotions may be missing; attributes have a colon, they do not.
    rf"(?:;\s*(?P<{SECOND}>[^;:]*?)\s*)?"
    + "".join(rf";\s*{name[3]}\s*:\s*(?P<{name}>[^;]*?)\s*" for name in ATTRIBUTES)
    + r"[;\s]*\Z"
)
DETAIL_FORM = "WORKER; emotion; secondary, secondary; A:1; V:1; D:1;"


@dataclass(frozen=True, eq=False)
class Annotations:
    """One row per annotator and recording, checked.

    Attributes:
        source: The file.
        file_names: FileName of each row, (rows,).
        workers: Who annotated.
        primary: Position of the main choice in `EMOTIONS`, or their number for Other; (rows,).
        secondary: The list as it is written: comma-separated names, "" where there is none; (rows,).
        ratings: Arousal, valence, dominance, 1-7, NaN where not given; (rows, 3).
    """

    source: Path
    file_names: pd.Series
    workers: pd.Series
    primary: Indices
    secondary: pd.Series
    ratings: Floats

    def repeated(self) -> int:
        """Rows of an annotator who annotated the same recording in an earlier row."""
        return int(pd.DataFrame({"FileName": self.file_names, WORKER: self.workers}).duplicated().sum())


def read_annotations(path: Path) -> Annotations:
    """Read labels_detailed.csv in either layout, or labels_detailed.json.

    Raises:
        UserError: the file is missing or not of these forms, a main choice is no emotion and not `Other…`, or an
            attribute is no number of the scale; names line (in JSON the annotator) and FileName.
    """
    table = _from_json(path) if path.suffix.lower() == ".json" else _from_csv(path)
    table["FileName"] = table["FileName"].str.strip()
    primary = _choices(table[MAJOR])
    allowed = f"the main choice must be one of {', '.join(EMOTIONS)}, or start with {OTHER}"
    _refuse(path, table, primary < 0, MAJOR, allowed)
    ratings = np.stack([_ratings(path, table, name) for name in ATTRIBUTES], axis=1)
    return Annotations(path, table["FileName"], table[WORKER], primary, table[SECOND], ratings)


def count_votes(said: Annotations, file_names: Sequence[str], secondary: bool = False) -> Votes:
    """Count what was said of each recording.

    Every annotator has one vote. It goes to the main choice; with `secondary` it is shared equally by all that they
    named among the emotions (and Other, if that was the main choice), each named choice once.

    Args:
        said: The annotations; those of other recordings are not counted.
        file_names: The recordings, each once: the rows of the result. One that nobody annotated has no votes.
        secondary: Whether secondary emotions count.
    """
    index = pd.Index(file_names, name="FileName")
    row = index.get_indexer(pd.Index(said.file_names))
    kept = np.flatnonzero(row >= 0)
    row = row[kept]
    named = np.zeros((len(kept), len(EMOTIONS) + 1))
    if secondary:
        named[:, : len(EMOTIONS)] = _secondary_emotions(said.secondary)[kept]
    named[np.arange(len(kept)), said.primary[kept]] = 1
    named /= named.sum(axis=1, keepdims=True)
    counts = {
        name: np.bincount(row, weights=named[:, column], minlength=len(index))
        for column, name in enumerate((*EMOTIONS, OTHER))
    }
    ratings = {name: _rating_counts(row, said.ratings[kept, k], index) for k, name in enumerate(ATTRIBUTES)}
    return Votes(EMOTIONS, pd.DataFrame(counts, index=index), ratings)


def uncounted_secondary(said: Annotations) -> Counter[str]:
    """How often each name stands among the secondary emotions that is none of `EMOTIONS`."""
    codes, lists = pd.factorize(said.secondary)
    uncounted: Counter[str] = Counter()
    for text, times in zip(lists, np.bincount(codes, minlength=len(lists)).tolist(), strict=True):
        for name in _names(text) - set(EMOTIONS):
            uncounted[name] += times
    return uncounted


# --- files ------------------------------------------------------------------------------------------


def _from_csv(path: Path) -> pd.DataFrame:
    """Text columns FileName, `WORKER` and `FIELDS`; and `DETAIL`, for messages, where the file has it."""
    table = read_csv(path, remedy="it is in the folder Labels of the corpus; --annotations names another file")
    table = table.fillna("").rename(columns=dict.fromkeys(WORKER_COLUMNS, WORKER))
    if {"FileName", DETAIL} <= set(table.columns):
        parts = table[DETAIL].str.extract(DETAIL_PARTS)
        refuse_rows(path, table, parts[WORKER].isna(), DETAIL, f"must be of the form {DETAIL_FORM}")
        return table[["FileName", DETAIL]].join(parts.fillna(""))
    missing = [name for name in ("FileName", WORKER, *FIELDS) if name not in table]
    if missing:
        forms = f"FileName, {DETAIL}, or FileName, {' or '.join(WORKER_COLUMNS)}, {', '.join(FIELDS)}"
        shown = ", ".join(map(str, table.columns))[:200]
        raise UserError(f"{path}: no column {missing[0]} in the header ({shown}); expected {forms}")
    return table[["FileName", WORKER, *FIELDS]]


def _from_json(path: Path) -> pd.DataFrame:
    """As `_from_csv`, attributes being numbers; the form is `{file: {worker: {field: value}}}`."""
    content = read_json(path, remedy="get it anew, or name another file with --annotations")
    fields = itemgetter(*FIELDS)
    try:
        rows = [(name, worker, *fields(said)) for name, votes in content.items() for worker, said in votes.items()]
    except (AttributeError, KeyError, TypeError):
        name = next(name for name, votes in content.items() if not _has_form(votes))
        form = f"{{annotator: {{{', '.join(FIELDS)}}}}}"
        raise UserError(f"{path}, {name!r}: expected {form} with all of these keys; get the file anew") from None
    if not rows:
        raise UserError(f"{path}: no annotations in it; get it anew, or name another file with --annotations")
    table = pd.DataFrame(rows, columns=["FileName", WORKER, *FIELDS])
    for column in (MAJOR, SECOND):
        nested = table[column].map(lambda cell: isinstance(cell, list | dict)).to_numpy(dtype=bool)
        _refuse(path, table, nested, column, "must be text, emotions with a comma in between")
    return table.assign(**{name: table[name].fillna("").astype("str") for name in (MAJOR, SECOND)})


def _has_form(votes: object) -> bool:
    return isinstance(votes, dict) and all(
        isinstance(said, dict) and set(FIELDS) <= set(said) for said in votes.values()
    )


def _refuse(path: Path, table: pd.DataFrame, bad: npt.ArrayLike, column: str, problem: str) -> None:
    """Raise for the first bad row; in JSON, which has no lines, it is named by its annotator."""
    if path.suffix.lower() != ".json":
        refuse_rows(path, table, bad, DETAIL if DETAIL in table else column, problem)
        return
    rows = table[np.asarray(bad, dtype=bool)]
    if len(rows):
        name, worker, cell = rows.iloc[0][["FileName", WORKER, column]]
        raise UserError(f"{path}, {name!r}, {worker!r}, {column}: {cell!r}: {problem} ({len(rows)} such annotations)")


# --- cells ------------------------------------------------------------------------------------------


def _choices(primary: pd.Series) -> Indices:
    """Position in `EMOTIONS`, their number for Other and its free text, -1 for anything else; (rows,)."""
    codes, names = pd.factorize(primary.str.strip())
    known = {name: position for position, name in enumerate(EMOTIONS)}
    other = {name: len(EMOTIONS) for name in names if name.startswith(OTHER)}
    return np.array([(known | other).get(name, -1) for name in names], dtype=np.int64)[codes]


def _names(secondary: str) -> set[str]:
    return {name.strip() for name in secondary.split(",")} - {""}


def _secondary_emotions(secondary: pd.Series) -> Mask:
    """Whether each of `EMOTIONS` is in the list, (rows, emotions)."""
    codes, lists = pd.factorize(secondary)  # the same few lists come again and again
    named = [[emotion in names for emotion in EMOTIONS] for names in map(_names, lists)]
    return np.array(named, dtype=bool)[codes]


def _ratings(path: Path, table: pd.DataFrame, column: str) -> Floats:
    """One attribute as floats, (rows,); NaN where the cell is empty."""
    empty = table[column].isna() | (table[column] == "")
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~empty.to_numpy() & ~((values >= 1) & (values <= 7))
    _refuse(path, table, wrong, column, f"{column} must be a number 1 ... 7, or empty where it was not given")
    return values


def _rating_counts(row: Indices, values: Floats, index: pd.Index) -> pd.DataFrame:
    """How many annotators gave each value to each recording: rows of `index`, one column per value."""
    given = ~np.isnan(values)
    columns, column = np.unique(values[given], return_inverse=True)
    cells = np.bincount(row[given] * len(columns) + column, minlength=len(index) * len(columns))
    return pd.DataFrame(cells.reshape(len(index), len(columns)).astype(np.float64), index=index, columns=columns)
