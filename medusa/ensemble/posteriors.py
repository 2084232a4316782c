"""What members predicted, on disk and stacked: the input of voting and of Stage 3.

A posterior file has the columns of labels.csv: the emotion columns hold the predicted probabilities, the attribute
columns the predicted attributes, EmoClass the predicted class. The authors' files (`FileName,Prediction`) are read too.
Everything is joined by utterance id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.corpora.labels import ATTRIBUTES, RESERVED, Labels, labels_from_table
from medusa.errors import UserError
from medusa.files import read_csv, write_csv

Floats = npt.NDArray[np.float32]

AUTHORS_COLUMNS = ("FileName", "Prediction")
"""Header of the authors' files; Prediction is one quoted field: the logits, then the attributes, comma-separated."""

FLOAT32_DIGITS = "%.9g"
"""Nine significant digits give back every float32 exactly."""


@dataclass(frozen=True, eq=False)
class Stack:
    """The predictions of several members for the same utterances.

    Attributes:
        ids: Utterance ids, in the order of the labels.
        posteriors: (rows, members, emotions), each distribution sums to 1.
        attributes: (rows, members, attributes); no attributes is (rows, members, 0).
        members: Names, in the order of the second axis.
    """

    ids: list[str]
    posteriors: Floats
    attributes: Floats
    members: tuple[str, ...]

    @property
    def inputs(self) -> Floats:
        """Stage 3's input (paper 3.5): per member its posteriors, then its attributes, side by side.

        Shape (rows, members * (emotions + attributes)).
        """
        per_member = np.concatenate([self.posteriors, self.attributes], axis=2)
        return per_member.reshape(len(self.ids), -1)


def write_posteriors(
    path: Path,
    labels: Labels,
    probabilities: npt.ArrayLike,
    attributes: npt.ArrayLike,
    predicted: npt.ArrayLike | None = None,
) -> None:
    """Write predictions for the rows of `labels`, in their order, atomically; float32 values read back exactly.

    Args:
        path: The file to write.
        labels: The utterances; every column but the predicted ones is copied from them.
        probabilities: (rows, emotions).
        attributes: (rows, attributes), or (rows, 0) of a model without an attribute head: the columns are left out.
        predicted: Class indices, shape (rows,), where they are not the argmax: a majority vote breaks its own ties.

    Raises:
        UserError: a prediction is not finite; nothing is written then.
    """
    values = np.concatenate([np.asarray(probabilities), np.asarray(attributes)], axis=1).astype(np.float32)
    attribute_columns = labels.attributes if np.asarray(attributes).shape[1] else ()
    columns = [*labels.emotions, *attribute_columns]
    if values.shape != (len(labels), len(columns)):
        raise ValueError(f"predictions {values.shape} for {len(labels)} utterances with {len(columns)} values each")
    broken = ~np.isfinite(values).all(axis=1)
    if broken.any():
        utterance = labels.ids[int(broken.argmax())]
        raise UserError(f"{path}: not written: the prediction for {utterance!r} is not finite; train the model anew")
    classes = np.asarray(probabilities).argmax(axis=1) if predicted is None else np.asarray(predicted)
    table = labels.table.drop(columns=[name for name in labels.attributes if name not in columns])
    table[columns] = values
    table["EmoClass"] = np.asarray(labels.emotions)[classes]
    write_csv(path, table, float_format=FLOAT32_DIGITS)


def read_posteriors(path: Path, emotions: Sequence[str], attributes: Sequence[str]) -> pd.DataFrame:
    """Read a posterior file: ours, or the authors' (whose logits become probabilities by softmax).

    Returns:
        Index "utterance" (unique); columns in this order: `emotions` (probabilities) and `attributes`, float32, and
        EmoClass (predicted class; the argmax where the file has none).

    Raises:
        UserError: another label set, a missing column, a repeated utterance, a value that is no finite number, a
            negative probability, or a row of probabilities off a sum of 1 by more than 1e-3; names file and row.
    """
    raw = read_csv(path, remedy="predict again with the labels in use")
    if set(raw.columns) == set(AUTHORS_COLUMNS):
        raw = _from_authors(path, raw, emotions, attributes)
    _check_header(path, raw, emotions, attributes)
    predicted_class = ["EmoClass"] if "EmoClass" in raw else []
    table = labels_from_table(path, raw[["FileName", *emotions, *predicted_class]]).table
    names = [*emotions, *attributes]
    table[list(attributes)] = _numbers(raw[list(attributes)]).to_numpy()
    _refuse(path, raw, ~np.isfinite(table[names].to_numpy(dtype=np.float64)), names)
    return table[[*names, "EmoClass"]].astype(dict.fromkeys(names, np.float32))


def stack_members(members: Mapping[str, Sequence[Path]], labels: Labels, partition: str) -> Stack:
    """Join the members' posteriors by utterance id, in the order of the labels.

    Where a member has several files, an utterance that stands in several of them gets the mean.

    Args:
        members: Name → files, as from `member_files`. A name that ends in .csv may hold more rows than the partition.
        labels: The whole corpus.
        partition: The rows to take.

    Raises:
        UserError: the partition is empty, or a member lacks one of its rows, has one too many, has some more often
            than others, or a file is otherwise wrong.
    """
    ids = labels.partition(partition).ids
    if not ids:
        raise UserError(f"{labels.source}: no row in partition {partition!r}; choose another, or prepare one")
    posteriors, attributes = [], []
    for member, paths in members.items():
        table = _mean_of_files([read_posteriors(path, labels.emotions, labels.attributes) for path in paths], paths)
        where = f"{partition} of {labels.source}"
        _check_rows(paths[-1], table.index, ids, where, spare_rows=member.endswith(".csv"))
        table = table.loc[ids]
        posteriors.append(table[list(labels.emotions)].to_numpy())
        attributes.append(table[list(labels.attributes)].to_numpy(dtype=np.float32))
    return Stack(ids, np.stack(posteriors, axis=1), np.stack(attributes, axis=1), tuple(members))


def _mean_of_files(tables: Sequence[pd.DataFrame], paths: Sequence[Path]) -> pd.DataFrame:
    """One row per utterance; float64 adds before float32 is given back."""
    if len(tables) == 1:
        return tables[0]
    rows = pd.concat([table.drop(columns="EmoClass") for table in tables]).astype(np.float64)
    by_utterance = rows.groupby(level=0, sort=False)
    counts = by_utterance.size()
    if counts.nunique() > 1:
        rare, often = str(counts.idxmin()), str(counts.idxmax())
        raise UserError(
            f"{paths[0].parent}: {rare!r} stands in {counts.min()} of its {len(paths)} files, {often!r} in "
            f"{counts.max()}; predict again with the labels in use"
        )
    return by_utterance.mean().astype(np.float32)


def _check_rows(path: Path, found: pd.Index, ids: list[str], where: str, spare_rows: bool) -> None:
    wanted = pd.Index(ids)
    missing, extra = wanted.difference(found, sort=False), found.difference(wanted, sort=False)
    remedy = "predict again with the labels in use"
    if len(missing):
        raise UserError(f"{path}: no row for {missing[0]!r}{_more(len(missing))}, which {where} has; {remedy}")
    if len(extra) and not spare_rows:
        raise UserError(f"{path}: a row for {extra[0]!r}{_more(len(extra))}, which {where} has not; {remedy}")


def _check_header(path: Path, raw: pd.DataFrame, emotions: Sequence[str], attributes: Sequence[str]) -> None:
    if "FileName" not in raw:
        shown = ", ".join(map(str, raw.columns))[:200]
        raise UserError(f"{path}: no column FileName in the header ({shown}); is it comma-separated?")
    expected = {*emotions, *attributes}
    found = set(raw.columns) - (set(RESERVED) - set(ATTRIBUTES))
    missing, extra = [name for name in (*emotions, *attributes) if name not in found], sorted(found - expected)
    if missing == list(attributes) and missing and not extra:
        raise UserError(f"{path}: no attributes, from a model trained without them; it cannot be stacked with others")
    if missing or extra:
        differences = f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(extra) or 'none'}"
        raise UserError(
            f"{path}: posteriors of another label set ({differences}); predict again with the labels in use"
        )


def _from_authors(path: Path, raw: pd.DataFrame, emotions: Sequence[str], attributes: Sequence[str]) -> pd.DataFrame:
    """The authors' layout as ours; their numbers stand in the order of `emotions`, then `attributes`."""
    names = [*emotions, *attributes]
    cells = [str(field).split(",") for field in raw["Prediction"]]
    for row, found in enumerate(cells):
        if len(found) != len(names):
            wanted = f"{len(names)} ({len(emotions)} logits, {len(attributes)} attributes); predict again"
            raise UserError(f"{_place(path, raw, row)}, Prediction: {len(found)} values, expected {wanted}")
    values = _numbers(pd.DataFrame(cells, columns=names))
    _refuse(path, raw, ~np.isfinite(values.to_numpy()), names)
    logits = values[list(emotions)].to_numpy()
    values[list(emotions)] = softmax(logits)
    values["EmoClass"] = np.asarray(emotions)[logits.argmax(axis=1)]
    return values.assign(FileName=raw["FileName"])


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of each row."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _numbers(cells: pd.DataFrame) -> pd.DataFrame:
    """Text as float64; NaN where it is no number."""
    return pd.DataFrame({name: pd.to_numeric(cells[name], errors="coerce") for name in cells}, dtype=np.float64)


def _refuse(path: Path, raw: pd.DataFrame, bad: npt.NDArray[np.bool_], columns: list[str]) -> None:
    """Raise for the first bad cell of (rows, columns)."""
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise UserError(f"{_place(path, raw, row)}, {columns[column]}: not a finite number; predict again")


def _place(path: Path, raw: pd.DataFrame, row: int) -> str:
    return f"{path}, line {row + 2} ({raw['FileName'].iloc[row]!r})"


def _more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""
