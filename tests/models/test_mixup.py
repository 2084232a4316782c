"""Manifold MixUp by hand and by its distribution."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats

from medusa.models.mixup import Mixing, draw_mixing, mix

CPU = torch.device("cpu")


class Settings(NamedTuple):
    probability: float = 1.0
    alpha: float = 0.2


def test_mix_by_hand() -> None:
    mixing = Mixing(weights=torch.tensor([0.25, 1.0]), partners=torch.tensor([1, 0]))
    rows = torch.tensor([[4.0, 0.0], [8.0, 1.0]])
    # 0.25 * (4, 0) + 0.75 * (8, 1) = (7, 0.75); the second row keeps itself.
    assert mix(rows, mixing).tolist() == [[7.0, 0.75], [8.0, 1.0]]


def test_no_draw_leaves_rows_alone() -> None:
    rows = torch.randn(3, 2)
    assert mix(rows, None) is rows


def test_mixed_soft_targets_are_still_distributions() -> None:
    mixing = draw_mixing(64, Settings(), np.random.default_rng(0), CPU)
    targets = torch.rand(64, 8).softmax(dim=1)
    torch.testing.assert_close(mix(targets, mixing).sum(dim=1), torch.ones(64))


def test_lambda_follows_the_beta_distribution_row_by_row() -> None:
    mixing = draw_mixing(4000, Settings(alpha=0.2), np.random.default_rng(1), CPU)
    assert mixing is not None
    assert stats.kstest(mixing.weights.numpy(), stats.beta(0.2, 0.2).cdf).pvalue > 0.01
    assert sorted(mixing.partners.tolist()) == list(range(4000))


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 0), (1.0, 2000), (0.3, 600)])
def test_probability_is_per_batch(probability: float, expected: int) -> None:
    draws = np.random.default_rng(2)
    mixed = sum(draw_mixing(2, Settings(probability), draws, CPU) is not None for _ in range(2000))
    assert mixed == pytest.approx(expected, abs=0 if probability in (0.0, 1.0) else 80)
