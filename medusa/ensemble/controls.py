"""Two cheap rivals of the meta-classifier, which ask whether it does more than correct the priors of the members.

`bias`: soft vote with one bias per class, C numbers in all, fitted on held-out rows. `logistic`: scikit-learn's
logistic regression as the stack, on the inputs and rows of Stage 3. Both are fitted as if every class were equally
frequent, which is what the score asks for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from medusa.ensemble.posteriors import Stack, softmax
from medusa.ensemble.voting import soft_vote
from medusa.metrics import SMALLEST_PROBABILITY

Floats = npt.NDArray[np.float64]

ITERATIONS = 5_000
"""Most that the logistic regression may take; on 14 members it needs some hundreds."""


class Controls(NamedTuple):
    """Both, fitted."""

    bias: Floats
    """(C,), to be added to the logarithm of the soft vote; its mean is 0."""
    logistic: Any
    """A scikit-learn pipeline over `Stack.inputs`."""

    def biased(self, stack: Stack) -> Floats:
        """Soft vote under the bias, (rows, C)."""
        return biased_vote(soft_vote(stack.posteriors), self.bias)

    def stacked(self, stack: Stack) -> Floats:
        """What the logistic regression says, (rows, C)."""
        return np.asarray(self.logistic.predict_proba(stack.inputs.astype(np.float64)))


def fit_controls(fitted: Stack, classes: npt.ArrayLike, held_out: Stack, held_out_classes: npt.ArrayLike) -> Controls:
    """Fit both.

    Args:
        fitted: The members' predictions for the rows of Stage 3.
        classes: Their class indices, (rows,), -1 without consensus: such rows are left out. Every class occurs.
        held_out: The same for the rows that models are selected on.
        held_out_classes: Their class indices.
    """
    true, held_out_true = np.asarray(classes), np.asarray(held_out_classes)
    bias = fit_bias(soft_vote(held_out.posteriors)[held_out_true >= 0], held_out_true[held_out_true >= 0])
    return Controls(bias, _fit_logistic(fitted.inputs[true >= 0].astype(np.float64), true[true >= 0]))


def fit_bias(vote: Floats, classes: npt.NDArray[np.int64]) -> Floats:
    """The bias with the least cross-entropy of softmax(ln vote + bias), every class weighing the same; mean 0.

    Args:
        vote: (rows, C), rows sum to 1.
        classes: (rows,) class indices; every class occurs.
    """
    from scipy.optimize import minimize  # here, as in `_fit_logistic`: it is slow to load

    count = vote.shape[1]
    weights = 1 / (count * np.bincount(classes, minlength=count)[classes])
    truth = np.eye(count)[classes]

    def loss(bias: Floats) -> tuple[float, Floats]:
        said = biased_vote(vote, bias)
        cross_entropy = -weights @ np.log(np.maximum(said[np.arange(len(classes)), classes], SMALLEST_PROBABILITY**2))
        return float(cross_entropy), weights @ (said - truth)

    bias = minimize(loss, np.zeros(count), jac=True, method="L-BFGS-B").x
    return np.asarray(bias - bias.mean())


def biased_vote(vote: Floats, bias: Floats) -> Floats:
    """softmax(ln vote + bias), (rows, C)."""
    return softmax(np.log(np.maximum(vote, SMALLEST_PROBABILITY)) + bias)


def _fit_logistic(inputs: Floats, classes: npt.NDArray[np.int64]) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(class_weight="balanced", max_iter=ITERATIONS)
    return make_pipeline(StandardScaler(), regression).fit(inputs, classes)
