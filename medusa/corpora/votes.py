"""What annotators said, counted per utterance: soft targets, consensus and attributes follow from the counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.corpora.labels import Labels

Floats = npt.NDArray[np.float64]

OTHER = "Other"
"""The column of votes for none of the emotions."""

TIE = 1e-9
"""Weights closer than this share the first place."""


@dataclass(frozen=True, eq=False)
class Votes:
    """Counts of votes, one row per utterance.

    Attributes:
        emotions: Class names, in the order of the labels' columns.
        counts: Index FileName (unique); columns `emotions` and `OTHER`; float64 ≥ 0, whole numbers where only primary
            votes are counted.
        ratings: Attribute (EmoAct, EmoVal, EmoDom) → table of the same index; one column for each value given
            (float, ascending), how many annotators gave it. Empty where a corpus has no attributes.
    """

    emotions: tuple[str, ...]
    counts: pd.DataFrame
    ratings: Mapping[str, pd.DataFrame]

    def soft_targets(self) -> Floats:
        """Shares of the votes for the emotions, `OTHER` dropped; (rows, C), a row without such votes is NaN."""
        counts = self.counts[list(self.emotions)].to_numpy(dtype=np.float64)
        named = counts.sum(axis=1, keepdims=True)
        shares: Floats = np.divide(counts, named, out=np.full_like(counts, np.nan), where=named > 0)
        return shares

    def kept(self) -> Floats:
        """Share of the votes that are for one of the emotions, (rows,); NaN where there is no vote at all."""
        every = self.counts.to_numpy(dtype=np.float64).sum(axis=1)
        named = self.counts[list(self.emotions)].to_numpy(dtype=np.float64).sum(axis=1)
        shares: Floats = np.divide(named, every, out=np.full_like(every, np.nan), where=every > 0)
        return shares

    def consensus(self) -> list[str]:
        """The choice with most votes: an emotion, O for Other, X where several share it, "" without a vote."""
        columns = [*self.emotions, OTHER]
        counts = self.counts[columns].to_numpy(dtype=np.float64)
        most = counts.max(axis=1, keepdims=True)
        tied = (counts >= most - TIE).sum(axis=1) > 1
        names = np.array([*self.emotions, "O"], dtype=object)[counts.argmax(axis=1)]
        return [str(name) for name in np.where(most[:, 0] <= 0, "", np.where(tied, "X", names))]

    def mean_ratings(self) -> Floats:
        """Mean of each attribute in the order of `ratings`, (rows, A); NaN where nobody rated."""
        columns = []
        for table in self.ratings.values():
            counts, values = table.to_numpy(dtype=np.float64), table.columns.to_numpy(dtype=np.float64)
            raters = counts.sum(axis=1)
            columns.append(np.divide(counts @ values, raters, out=np.full_like(raters, np.nan), where=raters > 0))
        return np.stack(columns, axis=1) if columns else np.empty((len(self.counts), 0))


class Prepared(NamedTuple):
    """What `prepare` makes of a corpus."""

    labels: Labels
    votes: Votes | None
    """None where nobody voted, or the corpus does not say how."""
    notes: list[str]
    """What the user should know, one sentence each."""
