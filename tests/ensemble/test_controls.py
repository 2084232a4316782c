"""The meta-classifier's cheap rivals against plain searches and scikit-learn's own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from medusa.ensemble.controls import biased_vote, fit_bias, fit_controls
from medusa.ensemble.posteriors import Stack


def made_stack(rows: int, seed: int) -> tuple[Stack, np.ndarray]:
    """Three members that are right more often than not, of two classes, the second one rare."""
    draws = np.random.default_rng(seed)
    classes = (draws.uniform(size=rows) < 0.2).astype(np.int64)
    sure = np.clip(draws.normal(0.35 + 0.25 * classes[:, None], 0.15, (rows, 3)), 0.02, 0.98)
    posteriors = np.stack([1 - sure, sure], axis=2).astype(np.float32)
    attributes = draws.uniform(1, 7, (rows, 3, 3)).astype(np.float32)
    return Stack([str(row) for row in range(rows)], posteriors, attributes, ("a", "b", "c")), classes


def test_the_bias_is_where_a_grid_finds_the_least_class_balanced_cross_entropy() -> None:
    stack, classes = made_stack(300, 0)
    vote = stack.posteriors.mean(axis=1, dtype=np.float64)
    weights = np.where(classes == 1, 0.5 / (classes == 1).sum(), 0.5 / (classes == 0).sum())

    def loss(half: float) -> float:
        odds = vote[:, 1] / vote[:, 0] * np.exp(2 * half)
        second = odds / (1 + odds)
        return float(-(weights * np.log(np.where(classes == 1, second, 1 - second))).sum())

    grid = np.linspace(-3, 3, 6001)
    best = grid[np.argmin([loss(half) for half in grid])]
    bias = fit_bias(vote, classes)
    assert bias.sum() == pytest.approx(0, abs=1e-12)
    assert bias[1] == pytest.approx(best, abs=2e-3)
    np.testing.assert_allclose(biased_vote(vote, bias)[:, 1] / biased_vote(vote, bias)[:, 0],
                               vote[:, 1] / vote[:, 0] * np.exp(2 * bias[1]))  # fmt: skip


def test_rows_without_consensus_are_not_fitted() -> None:
    stack, classes = made_stack(200, 1)
    some = np.where(np.arange(200) % 5 == 0, -1, classes)
    kept = some >= 0
    rest = Stack([one for one, keep in zip(stack.ids, kept, strict=True) if keep], stack.posteriors[kept],
                 stack.attributes[kept], stack.members)  # fmt: skip
    with_them, without = fit_controls(stack, some, stack, some), fit_controls(rest, some[kept], rest, some[kept])
    np.testing.assert_allclose(with_them.bias, without.bias)
    np.testing.assert_allclose(with_them.stacked(stack), without.stacked(stack))
    np.testing.assert_allclose(with_them.biased(stack).sum(axis=1), 1)


def test_the_logistic_regression_weighs_classes_equally_over_standardised_inputs() -> None:
    """Its own optimality condition: at the fitted weights the weighted residuals sum to nothing."""
    stack, classes = made_stack(400, 2)
    controls = fit_controls(stack, classes, stack, classes)
    residual = classes - controls.stacked(stack)[:, 1]
    weights = np.where(classes == 1, 1 / (classes == 1).sum(), 1 / (classes == 0).sum())
    assert (weights * residual).sum() == pytest.approx(0, abs=1e-4)
    assert abs(residual.mean()) > 0.01, "without those weights it would be this that vanishes"
    rare = classes == 1
    assert (controls.stacked(stack).argmax(axis=1)[rare] == 1).mean() > 0.6


def test_the_bias_comes_from_the_rows_held_out_and_the_regression_from_those_fitted() -> None:
    """Each control follows its own rows: classes at random for the one, turned round for the other."""
    stack, classes = made_stack(300, 3)
    other, others = made_stack(300, 4)
    usual, random = fit_controls(stack, classes, other, others), fit_controls(stack, classes, other, np.roll(others, 1))
    np.testing.assert_allclose(random.stacked(stack), usual.stacked(stack))
    assert random.bias[1] > usual.bias[1] + 0.1, "both classes now look like the frequent one: the rare one is raised"
    turned = fit_controls(stack, 1 - classes, other, others)
    np.testing.assert_allclose(turned.bias, usual.bias)
    np.testing.assert_allclose(turned.stacked(stack), usual.stacked(stack)[:, ::-1], atol=1e-6)
