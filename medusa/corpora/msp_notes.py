"""What a user should know of an MSP-Podcast release as it was read: one sentence each, with a count."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from medusa.corpora.labels import ATTRIBUTES
from medusa.corpora.msp_annotations import Annotations, uncounted_secondary
from medusa.corpora.msp_layout import EMOTIONS
from medusa.corpora.votes import Votes

ROUNDED = 0.05
"""How far an attribute of the consensus file may be from the annotators' mean where it has one decimal."""


def on_annotations(said: Annotations, rows: pd.DataFrame, secondary: bool) -> list[str]:
    """How many there are, and which of them do not count."""
    strange = said.file_names[~said.file_names.isin(rows["FileName"])]
    counted = len(said.file_names) - len(strange)
    notes = [f"{counted:,} annotations of {len(rows):,} rows, {counted / len(rows):.1f} each, from {said.source.name}"]
    if len(strange):
        names = f"{strange.nunique():,} recordings that the consensus file lacks, for example {strange.iloc[0]}"
        notes.append(f"{len(strange):,} annotations are not counted: they are of {names}")
    if repeated := said.repeated():
        notes.append(f"{repeated:,} annotations are by an annotator of an earlier row on the same recording; all count")
    if secondary and (uncounted := uncounted_secondary(said)):
        most = ", ".join(f"{name} {count:,}" for name, count in uncounted.most_common(20))
        notes.append(f"secondary emotions that are none of the {len(EMOTIONS)} are not counted: {most}")
    return notes


def on_targets(rows: pd.DataFrame, votes: Votes) -> list[str]:
    """Rows whose soft target is not all that was said, or none; `votes` are those that the target counts."""
    kept, voted = votes.kept(), votes.counts.to_numpy().any(axis=1)
    counts = [
        (int((voted & (kept < 1)).sum()), "rows have votes for Other, which their soft target drops"),
        (int((voted & (kept == 0)).sum()), "rows have only votes for Other: no target, in no partition"),
        (int((~voted).sum()), "rows have no annotation: no target, in no partition"),
        (int((rows["EmoClass"] == "X").sum()), "rows are X (no agreement): they keep their soft target"),
        (int((rows["EmoClass"] == "O").sum()), "rows are O (other): they keep their soft target if they have one"),
    ]
    return [f"{count:,} of {len(rows):,} {what}" for count, what in counts if count]


def on_consensus(rows: pd.DataFrame, votes: Votes) -> list[str]:
    """How far EmoClass and attributes of the consensus file differ from what the votes give."""
    recomputed, means = np.array(votes.consensus(), dtype=object), votes.mean_ratings()
    notes = []
    differ = (recomputed != "") & (recomputed != rows["EmoClass"].to_numpy(dtype=object))
    example = ""
    if differ.any():
        first = rows[differ].iloc[0]
        example = f", for example {first['FileName']}: {first['EmoClass']}, votes: {recomputed[differ.argmax()]}"
    voted = int((recomputed != "").sum())
    notes.append(f"{int(differ.sum()):,} of {voted:,} rows have another EmoClass than most votes{example}")
    distance = np.nan_to_num(np.abs(rows[list(ATTRIBUTES)].to_numpy(dtype=np.float64) - means))
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    far = int((distance > ROUNDED + 1e-9).any(axis=1).sum())
    where = f"{ATTRIBUTES[column]} of {rows['FileName'].iloc[row]}"
    largest = f"largest difference of an attribute from the mean of the votes: {distance.max():.2g} ({where})"
    notes.append(f"{largest}; more than {ROUNDED} in {far:,} rows")
    return notes


def on_partition(rows: pd.DataFrame, test3: pd.DataFrame, splits: Mapping[str, str], by: str) -> list[str]:
    """What the split kept together, and the rows that are in no partition."""
    notes = []
    unknown = int(((rows["SpkrID"] == "") & (rows["Partition"] != "")).sum())
    if by == "speaker":
        notes.append("no speaker is in two partitions")
        if unknown:
            notes.append(f"{unknown:,} rows of unknown speakers are kept together by podcast")
    else:
        notes.append("split by utterance: speakers are in several partitions, which flatters test scores")
    labelled_only = (rows["Partition"] == "") & rows[EMOTIONS[0]].notna()
    outside = rows.loc[labelled_only, "Split_Set"].value_counts()
    if len(outside):
        counts = ", ".join(f"{split} {count:,}" for split, count in outside.items())
        notes.append(f"labelled, but in no partition, neither trained on nor scored: {counts}")
    if len(test3):
        notes.append(f"{len(test3):,} rows of Test3 have no labels")
    elsewhere = set(splits) - set(rows["FileName"]) - set(test3["FileName"])
    if elsewhere:
        notes.append(f"{len(elsewhere):,} files of the split list have no labels and are left out, as {min(elsewhere)}")
    return notes
