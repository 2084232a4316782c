"""MSP-Podcast (Lotfian & Busso 2019), challenge and general releases: labels from annotators' votes, partition.

    Labels/labels_consensus.csv   EmoClass, attributes, speaker, split: one row per labelled recording
    Labels/labels_detailed.csv    every annotator's votes, or labels_detailed.json (`medusa.corpora.msp_annotations`)
    Partitions.txt                `Split; file` (some releases: Partition.txt), lists Test3, which has no labels
    Speaker_ids.txt               `file; speaker`

The challenge release has no labelled test rows: Train and Development are pooled, and part of the pool is held out. A
speaker is in one partition only, because a model that has heard a test speaker in training scores better than on new
speakers. The paper does not say how it split; `by="utterance"` does not look at speakers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd

from medusa.corpora.labels import ATTRIBUTES, KEPT_VOTES, NO_CONSENSUS, labels_from_table
from medusa.corpora.msp_annotations import count_votes, read_annotations
from medusa.corpora.msp_layout import EMOTIONS, LETTERS
from medusa.corpora.msp_notes import on_annotations, on_consensus, on_partition, on_targets
from medusa.corpora.rows import refuse_rows
from medusa.corpora.splits import split_rows
from medusa.corpora.votes import Prepared
from medusa.errors import UserError
from medusa.files import read_csv

CONSENSUS_COLUMNS = ("FileName", "EmoClass", *ATTRIBUTES, "SpkrID", "Gender", "Split_Set")

POOLED = ("Train", "Development", "Validation")
"""Splits whose rows are split anew (release 1.6 and before say Validation). Test1 and Test2 are never trained on."""

UNLABELLED = "Test3"
UNKNOWN = "unknown"


def prepare(
    root: Path,
    source: Path,
    shares: Mapping[str, float],
    seed: int,
    by: Literal["speaker", "utterance"] = "speaker",
    annotations: Path | None = None,
    secondary: bool = False,
) -> Prepared:
    """Labels of every recording of a release, with the shares of its votes as soft targets.

    EmoClass and attributes are those of the consensus file; the notes say how far the votes give others. Votes for
    Other are dropped from the soft target, KeptVotes has the share of the rest. A row all of whose votes are for Other
    (or that nobody annotated) has no target and no partition. Rows of other splits than `POOLED` have no partition.

    Args:
        root: Folder of the corpus.
        source: The labels.csv that the result is meant for.
        shares: Share of the pooled rows of each held-out partition, as `medusa.corpora.splits.split_rows` takes it.
        seed: Another seed, another split.
        by: What the split keeps together: all rows of a speaker (of a podcast where the speaker is unknown), or
            nothing.
        annotations: The votes; None is Labels/labels_detailed.csv, or labels_detailed.json where that is missing.
        secondary: Whether secondary emotions count in the soft target (`count_votes`).

    Returns:
        Rows in the order of the consensus file, then Test3 by name. The votes are the annotators' main choices for
        every row of the consensus file, whether secondary emotions count in the target or not.

    Raises:
        UserError: naming file, line and FileName where there is one.
    """
    consensus = _read_consensus(root / "Labels" / "labels_consensus.csv")
    splits = _read_splits(root)
    speakers = dict(_pairs(root / "Speaker_ids.txt")) if (root / "Speaker_ids.txt").exists() else {}
    _agree(root, consensus, splits)
    said = read_annotations(annotations or _default_annotations(root))
    votes = count_votes(said, consensus["FileName"].tolist())
    counted = count_votes(said, consensus["FileName"].tolist(), secondary=True) if secondary else votes
    if not votes.counts.to_numpy().any():
        raise UserError(
            f"{said.source}: annotates none of the recordings in the consensus file; is it of this release?"
        )

    rows = consensus.assign(SpkrID=_known_speakers(consensus, speakers))
    rows[list(EMOTIONS)] = counted.soft_targets()
    rows[KEPT_VOTES] = counted.kept()
    rows["Partition"] = _partition(root, rows, shares, by, seed)
    test3 = _test3(root, splits, set(rows["FileName"]), speakers)
    labels = labels_from_table(root / "Labels" / "labels_consensus.csv", pd.concat([rows, test3], ignore_index=True))
    notes = [
        *on_annotations(said, rows, secondary),
        *on_targets(rows, counted),
        *on_consensus(rows, votes),
        *on_partition(rows, test3, splits, by),
    ]
    return Prepared(replace(labels, source=source), votes, notes)


# --- files ------------------------------------------------------------------------------------------


def _read_consensus(path: Path) -> pd.DataFrame:
    """`CONSENSUS_COLUMNS`, checked; EmoClass by name, attributes as numbers, SpkrID "" where it is unknown."""
    raw = read_csv(path, remedy="--root is the folder of the corpus, which holds Labels/labels_consensus.csv")
    missing = [name for name in CONSENSUS_COLUMNS if name not in raw]
    if missing:
        shown = ", ".join(map(str, raw.columns))[:200]
        raise UserError(f"{path}: no column {missing[0]} in the header ({shown}); is it comma-separated?")
    raw = raw[list(CONSENSUS_COLUMNS)].fillna("").apply(lambda column: column.str.strip())
    refuse_rows(path, raw, raw["FileName"].duplicated(), "FileName", "stands in an earlier line too; keep one row")
    letters = ", ".join(f"{letter} {name}" for name, letter in LETTERS.items() if name not in NO_CONSENSUS)
    unknown = ~raw["EmoClass"].isin(list(LETTERS.values()))
    refuse_rows(path, raw, unknown, "EmoClass", f"must be one of {letters}, O other, X no agreement")
    table: pd.DataFrame = raw.assign(EmoClass=raw["EmoClass"].map({letter: name for name, letter in LETTERS.items()}))
    for name in ATTRIBUTES:
        table[name] = pd.to_numeric(raw[name], errors="coerce")
        refuse_rows(path, raw, ~table[name].between(1, 7), name, "must be a number 1 ... 7")
    table["SpkrID"] = table["SpkrID"].map(_speaker)
    return table


def _default_annotations(root: Path) -> Path:
    csv, json = (root / "Labels" / f"labels_detailed.{kind}" for kind in ("csv", "json"))
    return json if json.exists() and not csv.exists() else csv


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """What stands before and after the semicolon of every line.

    Raises:
        UserError: not UTF-8, or a line without exactly one semicolon.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as UTF-8 text ({error}); get it anew") from None
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split(";")]
        if cells == [""]:
            continue
        if len(cells) != 2:
            raise UserError(f"{path}, line {number}: {line!r}: expected two cells with a semicolon between them")
        yield cells[0], cells[1]


def _split_file(root: Path) -> Path | None:
    files = (root / name for name in ("Partitions.txt", "Partition.txt"))
    return next((file for file in files if file.exists()), None)


def _read_splits(root: Path) -> dict[str, str]:
    """The split of every recording in Partitions.txt; empty where there is no such file."""
    file = _split_file(root)
    splits: dict[str, str] = {}
    for split, name in _pairs(file) if file else ():
        if splits.setdefault(name, split) != split:
            raise UserError(f"{file}: {name!r} is listed in {splits[name]} and in {split}; keep one line")
    return splits


def _agree(root: Path, consensus: pd.DataFrame, splits: Mapping[str, str]) -> None:
    """Both files that name splits must name the same ones."""
    pairs = zip(consensus["FileName"], consensus["Split_Set"], strict=True)
    differ = [splits.get(name, split) != split for name, split in pairs]
    problem = f"{_split_file(root)} has another split for this file; get both from one release"
    refuse_rows(root / "Labels" / "labels_consensus.csv", consensus, differ, "Split_Set", problem)


def _known_speakers(rows: pd.DataFrame, speakers: Mapping[str, str]) -> pd.Series:
    """SpkrID of the consensus file, or of Speaker_ids.txt where that does not know."""
    names = [_speaker(speakers.get(name, "")) for name in rows["FileName"]]
    listed = pd.Series(names, index=rows.index, dtype="str")
    return rows["SpkrID"].where(rows["SpkrID"] != "", listed)


def _speaker(cell: str) -> str:
    """One spelling of a speaker (`Speaker_3`, `3.0` and `3` are one), "" for an unknown one."""
    name = cell.strip().removeprefix("Speaker_").removesuffix(".0")
    return "" if name.casefold() == UNKNOWN else name


def _test3(root: Path, splits: Mapping[str, str], labelled: set[str], speakers: Mapping[str, str]) -> pd.DataFrame:
    """Rows of Test3 that have no labels, by name: from Partitions.txt, or else the recordings of that name."""
    names = {name for name, split in splits.items() if split == UNLABELLED}
    if not splits:
        names = {path.name for path in (root / "Audios").glob("MSP-PODCAST_test3_*.wav")}
    names -= labelled
    rows = pd.DataFrame({"FileName": sorted(names)}, dtype="str").assign(SpkrID="", Split_Set=UNLABELLED)
    return rows.assign(SpkrID=_known_speakers(rows, speakers), EmoClass="", Gender="", Partition="")


# --- partition --------------------------------------------------------------------------------------


def _partition(root: Path, rows: pd.DataFrame, shares: Mapping[str, float], by: str, seed: int) -> pd.Series:
    """Partition of each row; "" outside the pool, which is the rows of `POOLED` with a soft target."""
    pooled = rows["Split_Set"].isin(POOLED) & rows[EMOTIONS[0]].notna()
    pool = rows[pooled]
    if pool.empty:
        found = ", ".join(sorted(rows["Split_Set"].unique()))
        raise UserError(
            f"{root / 'Labels' / 'labels_consensus.csv'}: Split_Set: no row with a soft target in "
            f"{' or '.join(POOLED)} (found {found}); there is nothing to split"
        )
    groups = pool["FileName"] if by == "utterance" else _groups(pool)
    split = split_rows(pool["EmoClass"].tolist(), groups.tolist(), shares, seed)
    return pd.Series(split, index=pool.index, dtype="str").reindex(rows.index, fill_value="")


def _groups(rows: pd.DataFrame) -> pd.Series:
    """Whose rows stay together: the speaker, or the podcast where the speaker is unknown.

    The podcast is the name up to its first number, `MSP-PODCAST_0002` of `MSP-PODCAST_0002_0033.wav`; a name of another
    form is a group by itself.
    """
    podcast = rows["FileName"].str.extract(r"\A(.*?_[0-9]+)_", expand=False).fillna(rows["FileName"])
    return ("speaker " + rows["SpkrID"]).where(rows["SpkrID"] != "", podcast)
