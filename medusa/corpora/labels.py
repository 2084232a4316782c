"""The labels of a corpus: one row per utterance, soft targets, attributes, partition; read and written as labels.csv.

    FileName, <one column per emotion>, EmoAct, EmoVal, EmoDom, EmoClass, SpkrID, Gender, Split_Set, Partition

and KeptVotes after them where annotators could vote for none of the emotions. The emotion list is data: every column
whose name is not reserved. Everything downstream joins by utterance id.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.errors import UserError
from medusa.files import read_csv, write_csv

ATTRIBUTES = ("EmoAct", "EmoVal", "EmoDom")
"""Arousal, valence and dominance, on the scale 1-7."""

ATTRIBUTE_NAMES = {"EmoAct": "arousal", "EmoVal": "valence", "EmoDom": "dominance"}

KEPT_VOTES = "KeptVotes"
"""The optional column with the share of a row's votes that its target counts: 1 - the share of votes for Other."""

RESERVED = ("FileName", *ATTRIBUTES, "EmoClass", "SpkrID", "Gender", "Split_Set", "Partition", KEPT_VOTES)
"""Column names that are no emotion."""

PARTITIONS = ("train", "dev", "test", "unlabelled")
"""`unlabelled` is the empty cell on disk."""

LABELLED = "labelled"
"""train, dev and test together."""

NO_CONSENSUS = ("X", "O")
"""EmoClass where annotators did not agree (X) or agreed on none of the emotions (O)."""

SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be from a sum of 1: what three decimals of rounding cause."""

TEXT_COLUMNS = ("EmoClass", "SpkrID", "Gender", "Split_Set", "Partition")
SPLIT_SETS = {"Train": "train", "Development": "dev", "Test": "test"}

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def utterance_id(file_name: str) -> str:
    """FileName without its extension; sub-folders stay: `Actor_07/a.wav` is `Actor_07/a`."""
    return posixpath.splitext(file_name)[0]


@dataclass(frozen=True, eq=False)
class Labels:
    """A checked table of labels; make one with `read_labels` or `labels_from_table`.

    Attributes:
        source: The file (to be) read or written, for messages.
        emotions: Class names in header order.
        attributes: `ATTRIBUTES`, or () where the corpus has none.
        table: Index "utterance" (unique); columns FileName, emotions and attributes (float64, NaN where an
            unlabelled row has none), EmoClass, SpkrID, Gender, Split_Set, Partition (text, "" where unknown), and
            `KEPT_VOTES` (float64, 0-1, NaN where empty) if the corpus has it.
    """

    source: Path
    emotions: tuple[str, ...]
    attributes: tuple[str, ...]
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @property
    def ids(self) -> list[str]:
        """Utterance ids in file order."""
        return list(self.table.index)

    def partition(self, name: str) -> Labels:
        """The rows of one of `PARTITIONS`, or of `LABELLED`, in file order; there may be none.

        Raises:
            UserError: there is no partition of that name.
        """
        return replace(self, table=self.table[self._in_partition(name)])

    def without(self, others: Labels) -> Labels:
        """The rows that are not among `others`, in file order."""
        return replace(self, table=self.table[~self.table.index.isin(others.table.index)])

    def has(self, name: str) -> bool:
        """Whether the partition has any row.

        Raises:
            UserError: there is no partition of that name.
        """
        return bool(self._in_partition(name).any())

    def targets(self) -> Floats:
        """Soft targets, shape (rows, emotions); rows sum to 1, or are NaN where unlabelled."""
        return self.table[list(self.emotions)].to_numpy(dtype=np.float64)

    def attribute_values(self) -> Floats:
        """Arousal, valence, dominance on the scale 1-7, shape (rows, 3), or (rows, 0) where the corpus has none."""
        return self.table[list(self.attributes)].to_numpy(dtype=np.float64)

    def kept_votes(self) -> Floats:
        """Share of each row's votes that its target counts, shape (rows,), 0-1; 1 where the cell is empty.

        Raises:
            UserError: the corpus has no such column.
        """
        if KEPT_VOTES not in self.table:
            raise UserError(
                f"{self.source}: no column {KEPT_VOTES}, which weight_by_kept_votes needs; "
                "set it to false, or prepare a corpus whose annotators may vote for Other"
            )
        return self.table[KEPT_VOTES].fillna(1.0).to_numpy(dtype=np.float64)

    def class_indices(self) -> npt.NDArray[np.int64]:
        """Position of EmoClass in `emotions`, shape (rows,); -1 for X, O and unlabelled rows."""
        return np.asarray(pd.Index(self.emotions).get_indexer(pd.Index(self.table["EmoClass"])), dtype=np.int64)

    def _in_partition(self, name: str) -> Mask:
        if name == LABELLED:
            return (self.table["Partition"] != "").to_numpy(dtype=bool)
        if name not in PARTITIONS:
            raise UserError(f"{self.source}: no partition {name!r}; there are {', '.join(PARTITIONS)}")
        return (self.table["Partition"] == ("" if name == "unlabelled" else name)).to_numpy(dtype=bool)


def read_labels(path: Path) -> Labels:
    """Read and check labels.csv.

    The format the authors published (no EmoClass, SpkrID, Gender, Partition) loads as well: EmoClass is the
    argmax of the soft target (a tie is X), Partition follows Split_Set (Train, Development, Test; all else is
    unlabelled).

    Raises:
        UserError: the file is missing or wrong; names line, FileName and column.
    """
    remedy = f"make it with: python -m medusa prepare CORPUS --out {path.parent} (--help lists the corpora)"
    return labels_from_table(path, read_csv(path, remedy=remedy))


def write_labels(path: Path, labels: Labels) -> None:
    """Write labels.csv atomically, columns in the contract's order; floats read back exactly."""
    write_csv(path, labels.table)


def labels_from_table(source: Path, raw: pd.DataFrame) -> Labels:
    """Check a table with the columns of labels.csv and complete it as `read_labels` does.

    A row that is off a sum of 1 by more than 1e-6 (and at most `SUM_TOLERANCE`) is divided by its sum; nearer
    rows stay as they are, so that reading and writing again changes nothing.

    Args:
        source: The file the table comes from or goes to, for messages.
        raw: One row per utterance in the order of the file, numbers as text or as numbers, index 0, 1, 2, ...

    Raises:
        UserError: naming file, line, FileName and column.
    """
    emotions, attributes = _numeric_columns(source, raw)
    names = raw["FileName"].astype("str")
    table = pd.DataFrame(
        {"FileName": names.to_numpy()}, index=pd.Index([utterance_id(n) for n in names], dtype="str", name="utterance")
    )
    check = _Check(source, table)
    check.file_names()

    targets = _normalised(check, emotions, check.numbers(raw, emotions))
    labelled: Mask = ~np.isnan(targets[:, 0])
    table[list(emotions)] = targets
    if attributes:
        table[list(attributes)] = _attributes_in_range(check, attributes, check.numbers(raw, attributes), labelled)

    for column in TEXT_COLUMNS:
        table[column] = raw[column].astype("str").fillna("").to_numpy() if column in raw else ""
    if "EmoClass" not in raw:
        table["EmoClass"] = _argmax(targets, emotions, labelled)
    if "Partition" not in raw:
        table["Partition"] = table["Split_Set"].map(SPLIT_SETS).fillna("").astype("str")
    _classes_known(check, emotions, labelled)
    _partitions_known(check, emotions, labelled)
    if KEPT_VOTES in raw:
        shares = check.numbers(raw, (KEPT_VOTES,))[:, 0]
        check.refuse((shares < 0) | (shares > 1), KEPT_VOTES, "a share must be 0 ... 1", shares)
        table[KEPT_VOTES] = shares
    return Labels(source, emotions, attributes, table)


@dataclass(frozen=True, eq=False)
class _Check:
    """Refuses rows of a table with the line and the FileName they stand in."""

    source: Path
    table: pd.DataFrame

    def refuse(self, bad: Mask, column: str, problem: str, found: pd.Series | Floats | None = None) -> None:
        """Raise for the first row where `bad`, quoting what was `found` there."""
        if not bad.any():
            return
        row = int(bad.argmax())
        more = f" (and {int(bad.sum()) - 1} more rows)" if bad.sum() > 1 else ""
        value = "" if found is None else f" {np.asarray(found).tolist()[row]!r}:"
        name = self.table["FileName"].iloc[row]
        raise UserError(f"{self.source}, line {row + 2} ({name!r}), {column}:{value} {problem}{more}")

    def file_names(self) -> None:
        """Every FileName is a relative path in posix form that stays inside its folder, and its id is unique."""
        names = self.table["FileName"]
        self.refuse((names == "").to_numpy(dtype=bool), "FileName", "empty; name the recording")
        outside = names.str.contains(r"(?:^|/)\.{0,2}(?:/|$)|^[A-Za-z]:|[\\\x00-\x1f\x7f]", regex=True)
        self.refuse(
            outside.to_numpy(dtype=bool),
            "FileName",
            "must be a path relative to the audio folder, with / between its parts and no . or .. among them",
        )
        reserved = np.asarray(self.table.index == "__metadata__", dtype=bool)
        self.refuse(reserved, "FileName", "feature files keep this name for themselves; rename the recording")
        repeated = self.table.index.duplicated()
        if repeated.any():
            first = int(np.flatnonzero(self.table.index == self.table.index[int(repeated.argmax())])[0])
            problem = f"names the same utterance as line {first + 2} ({names.iloc[first]!r}); keep one row for each"
            self.refuse(repeated, "FileName", problem)

    def numbers(self, raw: pd.DataFrame, columns: tuple[str, ...]) -> Floats:
        """The columns as floats, shape (rows, columns); an empty cell is NaN, anything but a number is refused."""
        values = np.empty((len(raw), len(columns)), dtype=np.float64)
        for position, column in enumerate(columns):
            cells = raw[column].to_numpy(dtype=object)
            empty = np.asarray(raw[column].isna() | (raw[column] == ""), dtype=bool)
            try:
                values[:, position] = np.where(empty, np.nan, cells).astype(np.float64)
            except (ValueError, TypeError):
                not_numeric = np.array([not _is_number(cell) for cell in cells]) & ~empty
                hint = f"not a number (columns outside {', '.join(RESERVED)} are emotions)"
                self.refuse(not_numeric, column, hint, raw[column])
                raise
            self.refuse(~np.isfinite(values[:, position]) & ~empty, column, "not a finite number", raw[column])
        return values


def _is_number(cell: object) -> bool:
    try:
        float(cell)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False
    return True


def _numeric_columns(source: Path, raw: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Emotion and attribute columns of a header, or a UserError about it."""
    header = [str(column) for column in raw.columns]
    if "FileName" not in header:
        shown = ", ".join(header)[:200]
        raise UserError(f"{source}: no column FileName in the header ({shown}); is it comma-separated?")
    for column in header:
        stem, _, number = column.rpartition(".")
        if stem in header and number.isdigit():  # how pandas spells the second of two equal names
            raise UserError(f"{source}: column {stem} stands twice in the header")
        if column in NO_CONSENSUS or not column.strip() or column.startswith("Unnamed: "):
            raise UserError(f"{source}: the header has a column {column!r}, which cannot be an emotion; remove it")
    emotions = tuple(column for column in header if column not in RESERVED)
    if len(emotions) < 2:
        found = ", ".join(emotions) or "none"
        raise UserError(f"{source}: needs a column for each of at least two emotions, found {found}")
    attributes = tuple(column for column in ATTRIBUTES if column in header)
    if attributes and attributes != ATTRIBUTES:
        missing = ", ".join(column for column in ATTRIBUTES if column not in header)
        raise UserError(f"{source}: has {', '.join(attributes)} but not {missing}; give all three attributes or none")
    return emotions, attributes


def _normalised(check: _Check, emotions: tuple[str, ...], targets: Floats) -> Floats:
    missing = np.isnan(targets)
    partly = np.logical_and(missing.any(axis=1), ~missing.all(axis=1))
    if partly.any():
        column = emotions[int(missing[partly.argmax()].argmax())]
        check.refuse(partly, column, "empty while other emotions of the row are given; write 0 or leave all empty")
    for position, emotion in enumerate(emotions):
        values = targets[:, position]
        check.refuse(values < 0, emotion, "a probability cannot be negative", values)
    sums = targets.sum(axis=1)
    off = np.abs(sums - 1)
    check.refuse(np.round(off, 9) > SUM_TOLERANCE, f"{emotions[0]}..{emotions[-1]}", "is the sum, must be 1", sums)
    return np.where((off > 1e-6)[:, None], targets / np.where(sums > 0, sums, 1.0)[:, None], targets)


def _attributes_in_range(check: _Check, attributes: tuple[str, ...], values: Floats, labelled: Mask) -> Floats:
    for position, column in enumerate(attributes):
        column_values = values[:, position]
        check.refuse((column_values < 1) | (column_values > 7), column, "outside the scale 1-7", column_values)
        problem = "empty on a labelled row; fill it, or remove the columns EmoAct, EmoVal, EmoDom"
        check.refuse(np.isnan(column_values) & labelled, column, problem)
    return values


def _argmax(targets: Floats, emotions: tuple[str, ...], labelled: Mask) -> list[str]:
    """The emotion with the largest share; X where several share it; "" where the row is unlabelled."""
    known = np.nan_to_num(targets)
    # equal shares that were added up in another order differ in their last digits
    ties = np.isclose(known, known.max(axis=1, keepdims=True), rtol=0, atol=1e-9).sum(axis=1) > 1
    best = np.asarray(emotions, dtype=object)[known.argmax(axis=1)]
    return [str(name) for name in np.where(labelled, np.where(ties, "X", best), "")]


def _classes_known(check: _Check, emotions: tuple[str, ...], labelled: Mask) -> None:
    classes = check.table["EmoClass"]
    known = classes.isin([*emotions, *NO_CONSENSUS]).to_numpy(dtype=bool)
    allowed = f"must be one of {', '.join([*emotions, *NO_CONSENSUS])}"
    needed: Mask = labelled | np.asarray(classes != "", dtype=bool)
    check.refuse(~known & needed, "EmoClass", allowed, classes)


def _partitions_known(check: _Check, emotions: tuple[str, ...], labelled: Mask) -> None:
    partition = check.table["Partition"]
    allowed = "must be train, dev, test or empty (unlabelled)"
    check.refuse(~partition.isin(["train", "dev", "test", ""]).to_numpy(dtype=bool), "Partition", allowed, partition)
    problem = "empty although the row is in a partition; fill the emotions, or leave Partition empty"
    check.refuse((partition != "").to_numpy(dtype=bool) & ~labelled, emotions[0], problem)
