"""CREMA-D (Cao et al. 2014): labels from the votes of its listeners, partition by actor.

`tabulatedVotes.csv` has a row for each clip and condition: what raters chose who heard the voice only, saw the face
only, or had both. The row's name, in a column without a header, starts with the condition's digit.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.corpora.labels import labels_from_table
from medusa.corpora.recordings import missing_recordings
from medusa.corpora.rows import refuse_rows
from medusa.corpora.splits import split_rows
from medusa.corpora.votes import OTHER, Prepared, Votes
from medusa.errors import UserError
from medusa.files import read_csv

Floats = npt.NDArray[np.float64]

EMOTION_OF_LETTER = {"A": "Angry", "S": "Sad", "H": "Happy", "F": "Fear", "D": "Disgust", "N": "Neutral"}
"""The columns of the votes; names and order of the paper (no Surprise, no Contempt)."""

DIGIT_OF_CONDITION = {"voice": "1", "face": "2", "both": "3"}
ROW_NAME = re.compile(r"[123]\d{5}")
CLIP_NAME = re.compile(r"1\d{3}_[A-Z]{3}_[A-Z]{3}_(XX|LO|MD|HI)")

MISSPELT = {"1040_ITH_SAD_XX": "1040_ITH_SAD_X"}
"""Clips whose recording in AudioWAV has another name than their votes."""

_UNNAMED = "Unnamed: 0"
"""What pandas calls the first column, whose header is empty."""


def prepare(
    votes: Path,
    audio: Path,
    source: Path,
    shares: Mapping[str, float],
    seed: int,
    demographics: Path | None = None,
    condition: str = "voice",
) -> Prepared:
    """Labels of every clip: the shares of its votes, its winner (a tie is X), its actor.

    Args:
        votes: tabulatedVotes.csv.
        audio: The folder AudioWAV; recordings that are not there are counted in the notes.
        source: The labels.csv that the result is meant for.
        shares: Share of the clips of each held-out partition, as `medusa.corpora.splits.split_rows` takes it.
        seed: Another seed, another split. An actor is never in two partitions.
        demographics: VideoDemographics.csv, for the actors' gender; without it Gender stays empty.
        condition: Whose votes: of raters who had the voice, the face, or both.

    Returns:
        One row per clip in the order of the table; FileName is the recording's name in AudioWAV.

    Raises:
        UserError: a file is not of its form, the table's winner is not that of its counts, or an actor is not in the
            demographics.
    """
    table = _rows_of(votes, condition)
    counts = _counts(votes, table)
    names = [f"{MISSPELT.get(clip, clip)}.wav" for clip in table["FileName"]]
    actors = [clip[:4] for clip in table["FileName"]]
    emotions = tuple(EMOTION_OF_LETTER.values())
    voted = Votes(emotions, pd.DataFrame(counts, names, list(emotions)).assign(**{OTHER: 0.0}), ratings={})
    classes = voted.consensus()
    rows = pd.DataFrame(voted.soft_targets(), columns=list(emotions)).assign(
        FileName=names,
        EmoClass=classes,
        SpkrID=actors,
        Gender="" if demographics is None else _genders(demographics, actors),
        Partition=split_rows(classes, actors, shares, seed),
    )
    notes = [*_notes(condition, counts, classes), *missing_recordings(audio, names)]
    return Prepared(labels_from_table(source, rows), voted, notes)


def _rows_of(path: Path, condition: str) -> pd.DataFrame:
    """The rows of one condition; the index still counts the rows of the file."""
    table = read_csv(path, remedy="it is in the repository of CREMA-D, in the folder processedResults")
    missing = [name for name in (_UNNAMED, *EMOTION_OF_LETTER, "fileName", "emoVote") if name not in table]
    if missing:
        shown = ", ".join("the row names (first, without a header)" if name == _UNNAMED else name for name in missing)
        raise UserError(f"{path}: no column for {shown}; expected tabulatedVotes.csv of CREMA-D as published")
    table = table.rename(columns={_UNNAMED: "row name", "fileName": "FileName"})
    refuse_rows(
        path, table, ~table["row name"].str.fullmatch(ROW_NAME), "row name", "must be 1, 2 or 3 and five digits"
    )
    table = table[table["row name"].str[0] == DIGIT_OF_CONDITION[condition]]
    if table.empty:
        raise UserError(f"{path}: no votes on {condition} (row names that start with {DIGIT_OF_CONDITION[condition]})")
    refuse_rows(path, table, ~table["FileName"].str.fullmatch(CLIP_NAME), "FileName", "must be such as 1001_IEO_NEU_XX")
    refuse_rows(path, table, table["FileName"].duplicated(), "FileName", "stands twice in this condition; keep one row")
    return table


def _counts(path: Path, table: pd.DataFrame) -> Floats:
    """Votes of each clip, (rows, emotions), in the order of `EMOTION_OF_LETTER`.

    The table's own winner (`A`, or `A:N` for a tie) must be theirs, or columns have been mixed up.
    """
    letters = list(EMOTION_OF_LETTER)
    for letter in letters:
        refuse_rows(path, table, ~table[letter].str.fullmatch(r"[0-9]+"), letter, "must be a count of votes")
    counts = table[letters].to_numpy().astype(np.float64)
    refuse_rows(path, table, counts.sum(axis=1) == 0, "FileName", "has no vote in this condition; remove the row")
    first = counts == counts.max(axis=1, keepdims=True)
    winners = [set(itertools.compress(letters, row)) for row in first]
    differ = [set(vote.split(":")) != winner for vote, winner in zip(table["emoVote"], winners, strict=True)]
    refuse_rows(path, table, differ, "emoVote", "is not the choice with most votes in the row; get the table anew")
    return counts


def _genders(path: Path, actors: list[str]) -> list[str]:
    """Male or Female for each clip."""
    table = read_csv(path, remedy="it is in the repository of CREMA-D; or leave out --demographics")
    missing = [name for name in ("ActorID", "Sex") if name not in table]
    if missing:
        raise UserError(f"{path}: no column {' and '.join(missing)}; expected VideoDemographics.csv of CREMA-D")
    genders = dict(zip(table["ActorID"], table["Sex"], strict=True))
    for actor in actors:
        if actor not in genders:
            raise UserError(f"{path}: no row for actor {actor}, whose clips have votes; get the table anew")
    return [genders[actor] for actor in actors]


def _notes(condition: str, counts: Floats, classes: list[str]) -> list[str]:
    raters = counts.sum(axis=1)
    return [
        f"votes on {condition}: {raters.min():.0f} to {raters.max():.0f} for each clip, mean {raters.mean():.1f}",
        f"{classes.count('X'):,} of {len(classes):,} clips are X: several emotions share the most votes",
    ]
