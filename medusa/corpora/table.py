"""Anyone's corpus: a CSV with a column per emotion or a column of classes becomes labels.csv."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.corpora.labels import (
    ATTRIBUTES,
    KEPT_VOTES,
    NO_CONSENSUS,
    RESERVED,
    SPLIT_SETS,
    SUM_TOLERANCE,
    Labels,
    labels_from_table,
)
from medusa.corpora.msp_layout import EMOTIONS
from medusa.corpora.recordings import missing_recordings
from medusa.corpora.rows import refuse_rows
from medusa.corpora.splits import split_rows
from medusa.corpora.votes import OTHER, Prepared, Votes
from medusa.errors import UserError
from medusa.files import read_csv

Floats = npt.NDArray[np.float64]


def prepare(
    table: Path,
    audio: Path,
    source: Path,
    shares: Mapping[str, float],
    seed: int,
    by: str | None = None,
    class_column: str | None = None,
    emotions: Sequence[str] = (),
    scale: tuple[float, float] | None = None,
) -> Prepared:
    """Labels of the corpus that a table describes, in the order of its rows.

    Every row has a FileName (relative to `audio`) and one of two things: a number for each emotion, which is a count
    of votes or a probability and is divided by the row's sum; or a class in one column. A row with neither is
    unlabelled. SpkrID, Gender, Split_Set, EmoAct, EmoVal and EmoDom are taken over where the table has them, and so
    is Partition; without one, the labelled rows are split.

    Args:
        table: The CSV.
        audio: Folder of the recordings; those that are not there are counted in the notes.
        source: The labels.csv that the result is meant for.
        shares: Share of the rows of each held-out partition, as `medusa.corpora.splits.split_rows` takes it.
        seed: Another seed, another split.
        by: What the split keeps together: "speaker" or "utterance"; None is speaker where the table has SpkrID.
        class_column: The column of classes; None is EmoClass where the table has no emotion columns.
        emotions: The emotion columns, or the classes, in order; none given: every column that is not reserved, or
            every class, the paper's first.
        scale: Lowest and highest value of the attributes in the table, brought to 1 and 7 linearly; None: 1 and 7.

    Raises:
        UserError: naming file, line, FileName and column where there is one.
    """
    raw = read_csv(table)
    _needed(table, raw, ["FileName"])
    votes = None
    if class_column is None and (emotions or _others(raw)):
        rows, votes, notes = _from_emotions(table, raw, emotions or _others(raw))
    else:
        rows, notes = _from_classes(table, raw, class_column or "EmoClass", emotions)
    if scale is not None:
        rows = _rescaled(table, rows, scale)
    labels = replace(labels_from_table(table, rows), source=source)
    if "Partition" in rows:
        notes.append("the partition is the one that the table gives; no split was made")
    else:
        labels, note = _split(table, labels, shares, seed, by)
        notes.append(note)
    return Prepared(labels, votes, [*notes, *missing_recordings(audio, labels.table["FileName"].tolist())])


def _others(raw: pd.DataFrame) -> list[str]:
    """The columns that are not reserved."""
    return [str(column) for column in raw.columns if column not in RESERVED]


def _reserved(raw: pd.DataFrame) -> pd.DataFrame:
    """The reserved columns; Partition follows Split_Set, as in `read_labels`, where the table has only that."""
    rows = raw[[column for column in raw.columns if column in RESERVED]].copy()
    if "Split_Set" in rows and "Partition" not in rows:
        rows["Partition"] = rows["Split_Set"].map(SPLIT_SETS).fillna("")
    return rows


def _needed(table: Path, raw: pd.DataFrame, columns: Iterable[str]) -> None:
    missing = [column for column in columns if column not in raw]
    if missing:
        raise UserError(f"{table}: no column {missing[0]!r}; the header has {', '.join(map(str, raw.columns))}"[:300])


def _check_emotions(table: Path, emotions: Sequence[str]) -> None:
    """Refuse fewer than two emotions, one named twice, and names that labels.csv uses otherwise."""
    found = ", ".join(emotions) or "none"
    if len(emotions) < 2 or len(set(emotions)) < len(emotions):
        raise UserError(f"{table}: needs at least two emotions, each of another name; found {found}")
    for name in emotions:
        if name in (*RESERVED, *NO_CONSENSUS):
            raise UserError(f"{table}: an emotion cannot be called {name}, which labels.csv uses otherwise; rename it")


def _from_classes(
    table: Path, raw: pd.DataFrame, column: str, emotions: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Rows for `labels_from_table` with the class as a one-hot target; X, O and empty cells have none."""
    _needed(table, raw, [column])
    classes = raw[column]
    found = [name for name in classes.unique() if name and name not in NO_CONSENSUS]
    names = list(emotions) or [*(name for name in EMOTIONS if name in found), *sorted(set(found) - set(EMOTIONS))]
    _check_emotions(table, names)
    allowed = f"must be one of {', '.join([*names, *NO_CONSENSUS])}, or empty"
    refuse_rows(table, raw, ~classes.isin([*names, *NO_CONSENSUS, ""]), column, allowed)
    rows = _reserved(raw).assign(EmoClass=classes)
    has_class = classes.isin(names)
    for name in names:
        rows[name] = (classes == name).astype(np.float64).where(has_class)
    notes = _without_target(rows, classes.isin(NO_CONSENSUS), f"{column} is X or O")
    unused = [name for name in _others(raw) if name != column]
    return rows, [*notes, *([f"columns that were not used: {', '.join(unused)}"] if unused else [])]


def _from_emotions(
    table: Path, raw: pd.DataFrame, columns: Sequence[str]
) -> tuple[pd.DataFrame, Votes | None, list[str]]:
    """Rows for `labels_from_table` with every row of numbers divided by its sum; the votes, if they are counts."""
    _needed(table, raw, columns)
    values = _numbers(table, raw, columns)
    emotions = tuple(column for column in columns if column != OTHER)
    _check_emotions(table, emotions)
    labelled = ~np.isnan(values[:, 0])
    counts = pd.DataFrame(values, raw["FileName"], list(columns)).reindex(columns=[*emotions, OTHER], fill_value=0.0)
    voted = Votes(emotions, counts[labelled], ratings={})
    rows = _reserved(raw)
    rows[list(emotions)] = np.nan
    rows.loc[labelled, list(emotions)] = voted.soft_targets()
    if OTHER in columns and KEPT_VOTES not in raw:
        rows.loc[labelled, KEPT_VOTES] = voted.kept()
    if "EmoClass" not in raw:
        rows["EmoClass"] = ""
        rows.loc[labelled, "EmoClass"] = voted.consensus()
    notes = _without_target(rows, labelled & rows[emotions[0]].isna().to_numpy(), "all that is given is for Other")
    sums = values.sum(axis=1)
    whole = (values[labelled] % 1 == 0).all() and (sums[labelled] > 1).any()
    if whole and not _are_percentages(sums[labelled]):
        return rows, voted, ["the emotion columns hold counts of votes: soft targets are their shares", *notes]
    return rows, None, [*_divided(raw, np.abs(sums - 1) > SUM_TOLERANCE), *notes]


def _are_percentages(sums: Floats) -> bool:
    """Whether rows of whole numbers with these sums are shares of a hundred: nobody asks 100 people about each clip."""
    return bool((sums == 100).all())


def _numbers(table: Path, raw: pd.DataFrame, columns: Sequence[str]) -> Floats:
    """The emotion columns as floats, (rows, columns), at least 0 and not all 0; NaN in rows where all are empty."""
    empty = (raw[list(columns)] == "").to_numpy()
    values = np.full(empty.shape, np.nan)
    for position, column in enumerate(columns):
        numbers = pd.to_numeric(raw[column], errors="coerce").to_numpy(dtype=np.float64)
        wrong = ~empty[:, position] & ~(np.isfinite(numbers) & (numbers >= 0))
        hint = "name the emotion columns with --emotions, or one column of classes with --class-column"
        refuse_rows(table, raw, wrong, column, f"must be a number from 0 up; if this is no emotion, {hint}")
        partly = empty[:, position] & ~empty.all(axis=1)
        refuse_rows(table, raw, partly, column, "must be 0, or all emotions of the row empty (unlabelled)")
        values[:, position] = numbers
    refuse_rows(table, raw, values.sum(axis=1) == 0, columns[0], "no emotion is above 0; leave all empty if unknown")
    return values


def _without_target(rows: pd.DataFrame, without: npt.ArrayLike, why: str) -> list[str]:
    """Take rows that have a class but no target out of every partition, and say so."""
    without = np.asarray(without, dtype=bool)
    if "Partition" in rows:
        rows.loc[without, "Partition"] = ""
    count = int(without.sum())
    return [f"{count:,} rows have no soft target and no partition: {why}"] if count else []


def _divided(raw: pd.DataFrame, off: npt.NDArray[np.bool_]) -> list[str]:
    """Which rows did not sum to 1."""
    lines = [str(line) for line in np.flatnonzero(off) + 2]
    shown = ", ".join(lines[:10]) + (" …" if len(lines) > 10 else "")
    return [f"{len(lines):,} rows did not sum to 1 and were divided by their sum: line {shown}"] if lines else []


def _rescaled(table: Path, rows: pd.DataFrame, scale: tuple[float, float]) -> pd.DataFrame:
    """Attributes brought from `scale` to 1-7; what is no number stays, to be refused with the other cells."""
    low, high = scale
    if not low < high:
        raise UserError(f"--scale {low:g} {high:g}: the lowest value of the attributes comes first")
    _needed(table, rows, ATTRIBUTES)
    for column in ATTRIBUTES:
        values = pd.to_numeric(rows[column], errors="coerce")
        refuse_rows(table, rows, (values < low) | (values > high), column, f"outside --scale {low:g} {high:g}")
        scaled = (1 + 6 * (values - low) / (high - low)).clip(1, 7)  # rounding must not carry it beyond 7
        rows[column] = scaled.astype(object).where(values.notna(), rows[column])
    return rows


def _split(table: Path, labels: Labels, shares: Mapping[str, float], seed: int, by: str | None) -> tuple[Labels, str]:
    """Put the rows that have a target into partitions."""
    rows = labels.table.reset_index()
    labelled = ~np.isnan(labels.targets()[:, 0])
    by = by or ("speaker" if (rows["SpkrID"] != "").any() else "utterance")
    column = {"speaker": "SpkrID", "utterance": "utterance"}[by]
    refuse_rows(table, rows, labelled & (rows[column] == ""), column, "must name the speaker; or split --by utterance")
    known = rows[labelled]
    if known.empty:
        raise UserError(f"{table}: no row has an emotion; there is nothing to train on")
    rows["Partition"] = ""
    rows.loc[labelled, "Partition"] = split_rows(known["EmoClass"].tolist(), known[column].tolist(), shares, seed)
    note = "split by speaker: nobody is in two partitions"
    if by == "utterance":
        note = "split by utterance: where a speaker is in several partitions, scores flatter"
    return replace(labels, table=rows.set_index("utterance")), note
