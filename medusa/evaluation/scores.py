"""Figures taken from predictions and weights: scores, their intervals over speakers, differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medusa.corpora.labels import Labels
from medusa.ensemble.evaluate import Combined
from medusa.evaluation.bootstrap import SpeakerDraws
from medusa.metrics import accuracy, balanced_draws_macro_f1, balanced_macro_f1, ccc, macro_f1
from medusa.models.metaclassifier import VOTE_SHARPNESS

Floats = npt.NDArray[np.float64]


class Scores(NamedTuple):
    """Over the rows with consensus."""

    balanced_f1: float
    macro_f1: float
    accuracy: float


class Estimate(NamedTuple):
    """A figure with the 95 % interval that comes from the choice of speakers."""

    value: float
    interval: tuple[float, float] | None
    """None where the rows allow none: unknown speakers, or too few."""


def scores(rows: Labels, predicted: Combined) -> Scores:
    """Class-balanced macro-F1, plain macro-F1 and accuracy."""
    classes = rows.class_indices()
    scored = classes >= 0
    arguments = classes[scored], predicted.predicted[scored], len(rows.emotions)
    return Scores(balanced_macro_f1(*arguments), macro_f1(*arguments), accuracy(*arguments))


def concordance(rows: Labels, predicted: Combined) -> list[float]:
    """CCC of each attribute over all rows, X and O included; [] where the corpus has no attributes."""
    true = rows.attribute_values()
    return [ccc(true[:, column], predicted.attributes[:, column]) for column in range(true.shape[1])]


def estimate(draws: SpeakerDraws, repeats: Sequence[Combined], against: Sequence[Combined] = ()) -> Estimate:
    """Class-balanced macro-F1, mean over `repeats` (seeds), less that of `against` on the same draws of speakers.

    The models stay as they were trained: the interval says what other speakers would change, not other seeds.
    """

    def mean_score(predictions: Sequence[Combined]) -> tuple[float, Floats]:
        values, drawn = zip(*(draws.balanced_f1(one.predicted) for one in predictions), strict=True)
        return float(np.mean(values)), np.mean(drawn, axis=0)

    value, drawn = mean_score(repeats)
    if against:
        other, other_drawn = mean_score(against)
        value, drawn = value - other, drawn - other_drawn
    return Estimate(value, draws.interval(drawn))


def paper_scores(rows: Labels, repeats: Sequence[Combined]) -> tuple[float, float]:
    """Macro-F1 and accuracy as the paper takes them: mean over ten balanced draws of rows, and over `repeats`."""
    classes = rows.class_indices()
    scored = classes >= 0
    pairs = [balanced_draws_macro_f1(classes[scored], one.predicted[scored], len(rows.emotions)) for one in repeats]
    f1, right = np.mean(pairs, axis=0)
    return float(f1), float(right)


def spread(values: Sequence[float]) -> float:
    """Standard deviation over seeds (n - 1 below), NaN for one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def effective_weights(weights: Floats, members: int, emotions: int) -> Floats:
    """What of a linear meta-classifier's weights can change its posteriors; shape (members, C, C + A).

    Entry [m, j, i] is what input i of member m adds to the logit of class j. Two directions cannot change a
    posterior, and the fit leaves its start in them: a constant added to all logits (softmax), and a constant
    added to the weights of all posteriors of one member, which sum to 1 (the bias takes it up). Both are removed by
    subtracting means.

    Args:
        weights: (C + A, members * (C + A)), the inputs of a member side by side: posteriors, then attributes.
        members: How many.
        emotions: C.
    """
    blocks = weights[:emotions].reshape(emotions, members, -1).transpose(1, 0, 2)
    blocks = blocks - blocks.mean(axis=1, keepdims=True)
    posteriors = blocks[:, :, :emotions]
    return np.concatenate([posteriors - posteriors.mean(axis=2, keepdims=True), blocks[:, :, emotions:]], axis=2)


def vote_weights(members: int, emotions: int, attributes: int) -> Floats:
    """`effective_weights` of the soft vote that `start: vote` begins with; shape (members, C, C + A)."""
    block = np.eye(emotions, emotions + attributes)
    block[:, :emotions] -= 1 / emotions
    return np.broadcast_to(VOTE_SHARPNESS / members * block, (members, *block.shape))
