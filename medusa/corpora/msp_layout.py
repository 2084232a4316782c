"""The files of an MSP-Podcast release, written from votes: how its emotions, classes and annotations are spelt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medusa.corpora.labels import ATTRIBUTES, Labels, labels_from_table
from medusa.corpora.votes import OTHER, Votes
from medusa.files import write_csv, write_text

EMOTIONS = ("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral")
LETTERS = dict(zip(EMOTIONS, "ASHUFDCN", strict=True)) | {"X": "X", "O": "O"}
"""MSP-Podcast's spelling of EmoClass."""

FIELDS = ("EmoClass_Major", "EmoClass_Second", *ATTRIBUTES)
"""What an annotator says, as releases with a column or key for each part call it."""

SPLIT_SETS = {"train": "Train", "dev": "Train", "test": "Development", "": "Test3"}
"""Where the rows of each Partition stand in a challenge release, which has no other labelled splits."""


@dataclass(frozen=True)
class Vote:
    """What one annotator said of one utterance."""

    worker: str
    primary: str
    """One of `EMOTIONS`, or `Other-` and free text."""
    secondary: tuple[str, ...]
    attributes: tuple[int, ...]
    """Arousal, valence, dominance, each 1 ... 7."""


@dataclass(frozen=True)
class Utterance:
    """One row of a corpus; an unlabelled one has no speaker and no votes."""

    file_name: str
    emotion: str
    """What was felt: the annotators, and all that shows the emotion, are drawn from it."""
    emo_class: str = ""
    speaker: str = ""
    gender: str = ""
    partition: str = ""
    votes: tuple[Vote, ...] = ()

    @property
    def emotion_index(self) -> int:
        """Position in `EMOTIONS` of what was felt."""
        return EMOTIONS.index(self.emotion)

    @property
    def split_set(self) -> str:
        """The release's own name of the partition."""
        return SPLIT_SETS[self.partition]


def consensus(primaries: Sequence[str]) -> str:
    """The choice with most votes among emotions and "Other": an emotion, O for Other, X where several share it."""
    counts = {name: primaries.count(name) for name in primaries}
    winners = [name for name, count in counts.items() if count == max(counts.values())]
    return "X" if len(winners) > 1 else winners[0].replace("Other", "O")


def labels_of(corpus: Sequence[Utterance], source: Path) -> Labels:
    """The rows of labels.csv, in the order given: soft targets are shares of votes, attributes means over annotators.

    Args:
        corpus: Each labelled utterance has at least one vote for an emotion.
        source: The labels.csv that the result is meant for.
    """
    voted = votes_of(corpus)
    counted = pd.DataFrame(
        np.hstack([voted.soft_targets(), voted.mean_ratings()]), voted.counts.index, [*EMOTIONS, *ATTRIBUTES]
    )
    said = [[u.file_name, u.emo_class, u.speaker, u.gender, u.split_set, u.partition] for u in corpus]
    rows = pd.DataFrame(said, columns=["FileName", "EmoClass", "SpkrID", "Gender", "Split_Set", "Partition"])
    return labels_from_table(source, rows.join(counted, on="FileName"))


def votes_of(corpus: Sequence[Utterance]) -> Votes:
    """Primary votes and ratings of the utterances that have votes, in the order given."""
    labelled = [utterance for utterance in corpus if utterance.votes]
    names = pd.Index([utterance.file_name for utterance in labelled], dtype="str", name="FileName")

    def counted(choices: Sequence[str | int], said: Sequence[Sequence[str | int]]) -> pd.DataFrame:
        rows = [[float(of_one.count(choice)) for choice in choices] for of_one in said]
        return pd.DataFrame(rows, index=names, columns=list(choices), dtype="float64")

    primaries = [[v.primary if v.primary in EMOTIONS else OTHER for v in u.votes] for u in labelled]
    ratings = {}
    for column, attribute in enumerate(ATTRIBUTES):
        rated = [[vote.attributes[column] for vote in utterance.votes] for utterance in labelled]
        values = sorted({value for of_one in rated for value in of_one})
        ratings[attribute] = counted(values, rated).rename(columns=float)
    return Votes(EMOTIONS, counted([*EMOTIONS, OTHER], primaries), ratings)


def write_msp_layout(root: Path, corpus: Sequence[Utterance]) -> None:
    """Write `Labels/`, Partitions.txt and Speaker_ids.txt below `root`.

    The votes come in the three layouts that releases have had: labels_detailed.csv (1.7 to 1.12),
    labels_detailed_2.0.csv (1.6 and 2.0, where it is called labels_detailed.csv) and labels_detailed.json.
    """
    labelled = [utterance for utterance in corpus if utterance.votes]
    consensus_rows = [
        [u.file_name, LETTERS[u.emo_class], *means, u.speaker, u.gender, u.split_set]
        for u, means in zip(labelled, votes_of(labelled).mean_ratings().tolist(), strict=True)
    ]
    columns = ["FileName", "EmoClass", *ATTRIBUTES, "SpkrID", "Gender", "Split_Set"]
    write_csv(root / "Labels" / "labels_consensus.csv", pd.DataFrame(consensus_rows, columns=columns))

    one_field = [[u.file_name, _emo_detail(vote)] for u in labelled for vote in u.votes]
    write_csv(root / "Labels" / "labels_detailed.csv", pd.DataFrame(one_field, columns=["FileName", "EmoDetail"]))
    by_column = [[u.file_name, vote.worker, *_fields(vote)] for u in labelled for vote in u.votes]
    table = pd.DataFrame(by_column, columns=["FileName", "Workers", *FIELDS])
    write_csv(root / "Labels" / "labels_detailed_2.0.csv", table)
    nested = {
        u.file_name: {vote.worker: dict(zip(FIELDS, _fields(vote), strict=True)) for vote in u.votes} for u in labelled
    }
    lines = [f"{json.dumps(name)}: {json.dumps(votes)}" for name, votes in nested.items()]
    write_text(root / "Labels" / "labels_detailed.json", "{\n" + ",\n".join(lines) + "\n}\n")

    write_text(root / "Partitions.txt", "".join(f"{u.split_set}; {u.file_name}\n" for u in corpus))
    genders = sorted({(int(u.speaker), u.gender) for u in labelled})
    speakers = [f"Speaker_{speaker}; {gender}" for speaker, gender in genders]
    speakers += [f"{u.file_name}; {u.speaker or 'Unknown'}" for u in corpus]
    write_text(root / "Speaker_ids.txt", "\n".join(speakers) + "\n")


def _emo_detail(vote: Vote) -> str:
    """One annotation as releases 1.7 to 1.12 write it; without a secondary emotion that part is missing."""
    parts = [vote.worker, vote.primary, ",".join(vote.secondary)]
    parts += [f"{letter}:{value:.6f}" for letter, value in zip("AVD", vote.attributes, strict=True)]
    return "; ".join(part for part in parts if part) + ";"


def _fields(vote: Vote) -> list[str | int]:
    return [vote.primary, ",".join(vote.secondary), *vote.attributes]
