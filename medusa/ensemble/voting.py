"""Ensembles without training: majority vote and soft vote over the members' posteriors (paper 5, Table 3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def majority_vote(posteriors: npt.ArrayLike) -> tuple[Floats, Indices]:
    """Each member votes for its most probable class; the class with most votes wins.

    A tie goes to the tied class with the highest mean posterior over all members; if that is equal too, to the class
    that stands first. (A member's own two equal posteriors: its vote goes to the class that stands first.)

    Args:
        posteriors: (rows, members, classes).

    Returns:
        Vote shares (rows, classes) and winning class indices (rows,). The winner of a tie need not be the argmax of
        the shares.
    """
    posteriors = np.asarray(posteriors)
    votes = np.eye(posteriors.shape[2])[posteriors.argmax(axis=2)].sum(axis=1)
    tied = votes == votes.max(axis=1, keepdims=True)
    predicted = np.where(tied, soft_vote(posteriors), -1.0).argmax(axis=1)
    return votes / posteriors.shape[1], predicted.astype(np.int64)


def soft_vote(posteriors: npt.ArrayLike) -> Floats:
    """Mean of the members' posteriors: (rows, members, classes) → (rows, classes).

    Float32 values are added as float64, so the order of the members does not show.
    """
    return np.asarray(np.mean(np.asarray(posteriors), axis=1, dtype=np.float64))
