"""How good are predictions: macro-F1 and its balanced forms, calibration, soft labels, concordance, intervals.

Class arguments are index arrays of shape (rows,) with values 0 … num_classes - 1: rows without a consensus class (X, O)
are left out by the caller. Everything about categories is read off one confusion matrix, made by `bincount`, for a
bootstrap asks for thousands: scikit-learn's, which the tests compare with, is much slower.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

SMALLEST_PROBABILITY = 1e-7
"""Floor of a predicted probability in `kl_divergence`: about the resolution of a float32 softmax."""


class MissingClass(ValueError):
    """A class that has no row among the true classes; `index` says which."""

    def __init__(self, index: int) -> None:
        super().__init__(f"class {index} has no rows")
        self.index = index


# --- categories -------------------------------------------------------------------------------------


def confusion(true: ArrayLike, predicted: ArrayLike, num_classes: int) -> Indices:
    """Counts of shape (num_classes, num_classes): true class by row, predicted class by column.

    Raises:
        ValueError: the arrays differ in length or hold something that is not a class index.
    """
    true, predicted = np.asarray(true, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if true.shape != predicted.shape or true.ndim != 1:
        raise ValueError(f"true {true.shape} and predicted {predicted.shape}: expected two (rows,) arrays")
    for name, classes in (("true", true), ("predicted", predicted)):
        if classes.size and (classes.min() < 0 or classes.max() >= num_classes):
            raise ValueError(f"{name}: class indices must lie in 0 … {num_classes - 1}")
    counts: Indices = np.bincount(true * num_classes + predicted, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def per_class_f1(true: ArrayLike, predicted: ArrayLike, num_classes: int) -> Floats:
    """F1 of each class, shape (num_classes,); NaN for a class that is neither true nor predicted anywhere."""
    return _f1(confusion(true, predicted, num_classes))


def macro_f1(true: ArrayLike, predicted: ArrayLike, num_classes: int) -> float:
    """Mean F1 over the classes that occur, as truth or as prediction (the challenge's metric, paper 4)."""
    return float(np.nanmean(per_class_f1(true, predicted, num_classes)))


def accuracy(true: ArrayLike, predicted: ArrayLike, num_classes: int) -> float:
    """Share of rows whose class is right; with one class per row this is the micro-F1 too."""
    counts = confusion(true, predicted, num_classes)
    return float(counts.trace() / counts.sum())


def balanced_macro_f1(true: ArrayLike, predicted: ArrayLike, num_classes: int) -> float:
    """Macro-F1 as it would be if all classes were equally frequent: every true class weighs 1 / num_classes.

    The rows of the confusion matrix are normalised before F1 is taken. This is the limit of the macro-F1 over many
    balanced draws, without the draw, and uses every row: the project's model selection.

    Raises:
        MissingClass: (a ValueError) a class has no true row; its `index` lets the caller name it.
    """
    counts = confusion(true, predicted, num_classes)
    _refuse_missing(counts)
    return float(_f1(counts / counts.sum(axis=1, keepdims=True)).mean())


def balanced_draws_macro_f1(
    true: ArrayLike, predicted: ArrayLike, num_classes: int, draws: int = 10, seed: int = 0
) -> tuple[float, float]:
    """Mean macro-F1 and mean accuracy over balanced draws, as the paper evaluates (section 4).

    Each draw takes, without replacement, as many rows of every class as the smallest class has.

    Raises:
        MissingClass: (a ValueError) a class has no true row.
    """
    true, predicted = np.asarray(true, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    counts = confusion(true, predicted, num_classes)
    _refuse_missing(counts)
    smallest = counts.sum(axis=1).min()
    pools = [np.flatnonzero(true == index) for index in range(num_classes)]
    random = np.random.default_rng(seed)
    scores = []
    for _ in range(draws):
        rows = np.concatenate([random.choice(pool, smallest, replace=False) for pool in pools])
        drawn = confusion(true[rows], predicted[rows], num_classes)
        scores.append((_f1(drawn).mean(), drawn.trace() / drawn.sum()))
    mean_f1, mean_accuracy = np.mean(scores, axis=0)
    return float(mean_f1), float(mean_accuracy)


def _f1(counts: NDArray[np.int64] | Floats) -> Floats:
    """2 TP / (true + predicted) per class."""
    total = counts.sum(axis=0) + counts.sum(axis=1)
    scores: Floats = np.divide(2.0 * counts.diagonal(), total, out=np.full(len(counts), np.nan), where=total > 0)
    return scores


def _refuse_missing(counts: Indices) -> None:
    empty = np.flatnonzero(counts.sum(axis=1) == 0)
    if empty.size:
        raise MissingClass(int(empty[0]))


# --- attributes -------------------------------------------------------------------------------------


def ccc(x: ArrayLike, y: ArrayLike) -> float:
    """Lin's concordance 2 cov / (var x + var y + (mean x - mean y)²), population moments, -1 … 1.

    NaN where both are one and the same constant, for then agreement has no scale.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    scale = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * np.mean((x - x.mean()) * (y - y.mean())) / scale) if scale > 0 else float("nan")


# --- probabilities ----------------------------------------------------------------------------------


def expected_calibration_error(
    true: ArrayLike, probabilities: ArrayLike, bins: int = 15, predicted: ArrayLike | None = None
) -> float:
    """Mean distance between confidence and accuracy over equal-width bins, weighted by their rows, 0 … 1.

    Confidence is the largest of a row's probabilities, shape (rows, classes); bin i is (i / bins, (i + 1) / bins].
    `predicted` are the classes, (rows,), where they are not the first of the largest: a vote breaks its own ties.
    """
    confidence, right, rows = reliability_bins(true, probabilities, bins, predicted)
    return float(np.abs(confidence - right).sum() / rows.sum())


def reliability_bins(
    true: ArrayLike, probabilities: ArrayLike, bins: int = 15, predicted: ArrayLike | None = None
) -> tuple[Floats, Floats, Indices]:
    """Per bin of confidence the sum of confidences, the number of right predictions and of rows; shape (bins,) each."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    confidence = probabilities.max(axis=1)
    said = probabilities.argmax(axis=1) if predicted is None else np.asarray(predicted)
    right = (said == np.asarray(true)).astype(np.float64)
    bin_of_row = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    confidences, rights = (
        np.bincount(bin_of_row, weights=weights, minlength=bins).astype(np.float64) for weights in (confidence, right)
    )
    return confidences, rights, np.bincount(bin_of_row, minlength=bins).astype(np.int64)


def kl_divergence(shares: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean over rows of KL(vote shares ‖ prediction) in nats; both (rows, classes), rows sum to 1.

    A predicted probability below 1e-7 counts as 1e-7, so that one vote for a class ruled out is dear but not infinite.
    """
    shares, probabilities = np.asarray(shares, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    return float(_relative_entropy(shares, np.maximum(probabilities, SMALLEST_PROBABILITY)).mean())


def js_divergence(shares: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean over rows of the Jensen-Shannon divergence (not its root) in nats, 0 … ln 2; both (rows, classes)."""
    shares, probabilities = np.asarray(shares, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    middle = (shares + probabilities) / 2
    return float((_relative_entropy(shares, middle) + _relative_entropy(probabilities, middle)).mean() / 2)


def brier(shares: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean over rows of the squared distance between vote shares and prediction, 0 … 2; both (rows, classes)."""
    shares, probabilities = np.asarray(shares, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    return float(((shares - probabilities) ** 2).sum(axis=1).mean())


def _relative_entropy(p: Floats, q: Floats) -> Floats:
    """Σ p ln(p / q) per row, with 0 ln 0 = 0."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.asarray((p * np.log(ratio)).sum(axis=1))


# --- intervals --------------------------------------------------------------------------------------


def cluster_bootstrap(
    groups: ArrayLike, statistic: Callable[[Indices], float], draws: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of a statistic when whole groups (speakers), not rows, are the sampling unit.

    Each draw takes as many groups as there are, with replacement, and all their rows. For a paired difference the
    statistic computes both scores on the rows it is given and subtracts.

    Args:
        groups: Group of each row, shape (rows,).
        statistic: From row indices (repeats included) to a number.
        draws: Bootstrap draws that count.
        seed: The same seed gives the same interval.
        level: Coverage of the interval.

    A draw in which the statistic raises `MissingClass` (all speakers of a rare class left out) is thrown away and made
    again: the interval is conditional on every class being there.

    Raises:
        ValueError: fewer than two groups, or more than half of the draws miss a class: no honest interval exists.
    """
    labels, group_of_row = np.unique(np.asarray(groups), return_inverse=True)
    if len(labels) < 2:
        raise ValueError("a bootstrap over groups needs at least two groups")
    order = np.argsort(group_of_row, kind="stable")
    rows_of_group = np.split(order, np.cumsum(np.bincount(group_of_row))[:-1])
    random = np.random.default_rng(seed)
    values: list[float] = []
    missed = 0
    while len(values) < draws:
        chosen = random.integers(len(labels), size=len(labels))
        try:
            values.append(statistic(np.concatenate([rows_of_group[group] for group in chosen])))
        except MissingClass as missing:
            missed += 1
            if missed > draws:
                raise ValueError(f"more than half of the bootstrap draws miss a class ({missing})") from None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
