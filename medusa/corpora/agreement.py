"""How far annotators agree: Krippendorff's alpha, the entropy of what they said, the strength of the consensus."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import krippendorff
import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.corpora.votes import OTHER, TIE, Votes

Floats = npt.NDArray[np.float64]

STRENGTHS = ("unanimous", "two thirds or more", "more than half", "half or less", "tie", "one vote only")
"""How strong the consensus of an utterance is: the winner's share of all votes, Other included."""


def restrict(votes: Votes, names: Collection[str]) -> Votes:
    """The votes of the utterances whose FileName is among `names`, in the order of `votes`."""
    kept = votes.counts.index.isin(list(names))
    return Votes(votes.emotions, votes.counts[kept], {key: table[kept] for key, table in votes.ratings.items()})


def raters(counts: pd.DataFrame) -> Floats:
    """Votes of each utterance, (rows,)."""
    return np.asarray(counts.to_numpy(dtype=np.float64).sum(axis=1))


def alpha_of_classes(votes: Votes) -> float:
    """Krippendorff's alpha, nominal, over the emotions and Other; see `_alpha`."""
    counts = votes.counts[[*votes.emotions, OTHER]].to_numpy(dtype=np.float64)
    return _alpha(counts, np.arange(counts.shape[1], dtype=np.float64), "nominal")


def alpha_of_ratings(votes: Votes) -> Mapping[str, float]:
    """Krippendorff's alpha, interval, of each attribute; see `_alpha`."""
    return {
        name: _alpha(table.to_numpy(dtype=np.float64), table.columns.to_numpy(dtype=np.float64), "interval")
        for name, table in votes.ratings.items()
    }


def entropy(shares: Floats) -> Floats:
    """Entropy of each row in bits, (rows,), from 0 (all agree) to log2 C; NaN where a row is.

    Args:
        shares: Soft targets, (rows, C); rows sum to 1.
    """
    logarithms = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(np.abs((shares * logarithms).sum(axis=1)))


def consensus_strength(counts: pd.DataFrame) -> list[str]:
    """One of `STRENGTHS` for each utterance, "" where nobody voted."""
    values = counts.to_numpy(dtype=np.float64)
    every, most = values.sum(axis=1), values.max(axis=1)
    tied = (values >= most[:, None] - TIE).sum(axis=1) > 1
    share = np.divide(most, every, out=np.zeros_like(most), where=every > 0)
    met = [every <= 0, every <= 1 + TIE, tied, share > 1 - TIE, share > 2 / 3 - TIE, share > 1 / 2 + TIE]
    named = ["", "one vote only", "tie", "unanimous", "two thirds or more", "more than half"]
    return [str(name) for name in np.select(met, named, default="half or less")]


def _alpha(counts: Floats, values: Floats, level: Literal["nominal", "interval"]) -> float:
    """1 where all agree, 0 where agreement is chance's; NaN where it is not defined.

    It is defined where counts are whole numbers (each vote is one annotator's) and the utterances with two votes or
    more, which alone can agree, show two different values or more.

    Args:
        counts: How many annotators chose each value for each utterance, (rows, V).
        values: What stands in the columns, ascending, (V,).
        level: Whether values are only equal or not, or a squared distance apart.
    """
    pairable = counts[counts.sum(axis=1) >= 2]
    whole = bool(np.all(counts == np.rint(counts)))
    if not whole or np.count_nonzero(pairable.sum(axis=0)) < 2:
        return float("nan")
    return float(krippendorff.alpha(value_counts=pairable, value_domain=values, level_of_measurement=level))
