"""Labels without the utterances whose recordings could not be used, and the list of those."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from medusa.corpora.labels import PARTITIONS, Labels
from medusa.errors import UserError
from medusa.files import inert, read_csv, write_list

FAILURES = "failures.csv"
LEFT_OUT = "left_out.csv"


def leave_out(labels: Labels, sources: Sequence[Path], source: Path) -> tuple[Labels, pd.DataFrame]:
    """Take out every utterance that one of the lists names.

    Args:
        labels: All rows.
        sources: Lists (`FileName,reason`), or folders of an extraction or a transcription, which hold a failures.csv
            if something failed in them.
        source: Where the rest is going to be written.

    Returns:
        The rest, and what was taken out: FileName, Partition, reason (the first that was found), in file order.

    Raises:
        UserError: there is no such list or folder, a list is of another form or names what the labels do not hold,
            or nothing would be left.
    """
    names = {inert(name): utterance for utterance, name in labels.table["FileName"].items()}
    reasons: dict[str, str] = {}
    for file in filter(None, map(_list_of, sources)):
        for name, why in _rows(file):
            if name not in names:
                raise UserError(
                    f"{file}: {name}: no such FileName in {labels.source}; give labels.csv and its own list"
                )
            reasons.setdefault(str(names[name]), why)
    out = labels.table.index.isin(list(reasons))
    if out.all():
        raise UserError(f"{labels.source}: nothing is left without the utterances listed in {sources[0]} …")
    taken = labels.table.loc[out, ["FileName", "Partition"]]
    rest = Labels(source, labels.emotions, labels.attributes, labels.table[~out])
    return rest, taken.assign(reason=[reasons[str(utterance)] for utterance in taken.index])


def write_left_out(path: Path, taken: pd.DataFrame) -> None:
    """Write the second of what `leave_out` returns, for people to read."""
    write_list(path, taken)


def told(labels: Labels, taken: pd.DataFrame) -> str:
    """How many utterances of each partition were taken out, as the line that is shown.

    Args:
        labels: All rows.
        taken: As `leave_out` returns it.
    """
    partitions = taken["Partition"].replace("", PARTITIONS[-1]).value_counts()
    counts = ", ".join(f"{partitions[name]} {name}" for name in PARTITIONS if name in partitions)
    return f"left out {len(taken):,} of {len(labels):,} utterances" + (f": {counts}" if counts else "")


def _list_of(source: Path) -> Path | None:
    """The list itself, or that in a folder; None: nothing failed there."""
    if source.is_file():
        return source
    if not (source / "manifest.json").is_file():
        raise UserError(f"{source}: neither a list (FileName,reason) nor the folder of an extraction or transcription")
    return source / FAILURES if (source / FAILURES).exists() else None


def _rows(file: Path) -> list[tuple[str, str]]:
    table = read_csv(file)
    for column in ("FileName", "reason"):
        if column not in table:
            raise UserError(f"{file}: no column {column}; expected FileName,reason")
    return list(zip(table["FileName"].map(inert), table["reason"], strict=True))
