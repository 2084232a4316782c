"""Intervals of the class-balanced macro-F1 over speakers: thousands of draws as one product of matrices.

The score needs a confusion matrix only, and that of a draw of speakers is the sum of theirs. So every prediction is
counted once per speaker, and the same draws, kept as how often each takes every speaker, serve all predictions, which
makes their differences paired. `medusa.metrics.cluster_bootstrap` is the plain way to the same figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medusa.corpora.labels import Labels

DRAWS = 2_000
"""Draws of whole speakers behind an interval."""

LEVEL = 0.95

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class SpeakerDraws:
    """Draws of the speakers of some rows, with replacement, as many as there are.

    A draw that misses a class is made again: intervals are conditional on every class being there.
    """

    def __init__(self, rows: Labels) -> None:
        self.rows = rows
        classes = rows.class_indices()
        self._kept = classes >= 0
        self._true, self._count = classes[self._kept], len(rows.emotions)
        names = rows.table["SpkrID"].to_numpy()[self._kept]
        speakers, self._speaker = np.unique(names, return_inverse=True)
        self._speakers = len(speakers)
        possible = self._speakers >= 2 and "" not in speakers
        self._times = self._draw() if possible else None

    @property
    def possible(self) -> bool:
        """Whether there is an interval: at least two speakers, all known, and most draws have every class."""
        return self._times is not None

    def balanced_f1(self, predicted: npt.ArrayLike) -> tuple[float, Floats]:
        """Class-balanced macro-F1 over the rows with consensus, and in every draw, (draws,), or (0,) without draws.

        Args:
            predicted: (rows,) class indices, rows without consensus included.
        """
        guess = np.asarray(predicted)[self._kept]
        cells = (self._speaker * self._count + self._true) * self._count + guess
        counts = np.bincount(cells, minlength=self._speakers * self._count**2).reshape(self._speakers, -1)
        drawn = np.empty((0, self._count**2)) if self._times is None else self._times @ counts
        return float(_f1(counts.sum(axis=0)[None], self._count)[0]), _f1(drawn, self._count)

    def interval(self, values: Floats) -> tuple[float, float] | None:
        """The central 95 % of figures of the draws; None without draws."""
        if not len(values):
            return None
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    def _draw(self) -> Indices | None:
        """(draws, speakers): how often each is taken. None where more than half of all draws miss a class."""
        present = np.zeros((self._speakers, self._count), dtype=bool)
        present[self._speaker, self._true] = True
        random = np.random.default_rng(0)
        kept: list[Indices] = []
        missed = 0
        while len(kept) < DRAWS:
            chosen = random.integers(self._speakers, size=self._speakers)
            if present[chosen].any(axis=0).all():
                kept.append(np.bincount(chosen, minlength=self._speakers))
                continue
            missed += 1
            if missed > DRAWS:
                return None
        return np.stack(kept)


def _f1(counts: npt.NDArray[Any], classes: int) -> Floats:
    """Class-balanced macro-F1 of confusion matrices (n, C * C) without an empty row of true classes."""
    shares = counts.reshape(-1, classes, classes).astype(np.float64)
    shares /= shares.sum(axis=2, keepdims=True)
    right = np.diagonal(shares, axis1=1, axis2=2)
    return np.asarray((2 * right / (shares.sum(axis=1) + 1)).mean(axis=1))
