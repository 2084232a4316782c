"""Dropout against its definition: what share is dropped, what the rest becomes, and that draws are independent."""

from __future__ import annotations

import pytest
import torch

from medusa.models.dropout import Dropout

ROWS, COLUMNS = 1000, 403  # not a multiple of the four values that share a draw


def masks(p: float, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    dropped: torch.Tensor = Dropout(p)(torch.ones(ROWS, COLUMNS))
    return dropped


@pytest.mark.parametrize("p", [0.1, 0.3, 0.9])
def test_drops_a_share_of_p_and_scales_the_rest(p: float) -> None:
    kept = masks(p)
    four_deviations = 4 * (p * (1 - p) / kept.numel()) ** 0.5
    assert (kept == 0).float().mean().item() == pytest.approx(p, abs=four_deviations)
    assert kept.max().item() == pytest.approx(1 / (1 - p), rel=2e-4)  # p is rounded to a multiple of 1/65,536
    assert set(kept.flatten().tolist()) == {0.0, kept.max().item()}


def test_neighbours_are_dropped_independently() -> None:
    """Values decided by one 64-bit draw must not go together: correlations of any two within four deviations of 0."""
    dropped = (masks(0.3).flatten()[: ROWS * 400].view(-1, 4) == 0).double()
    correlations = torch.corrcoef(dropped.T) - torch.eye(4)
    assert correlations.abs().max().item() < 4 / len(dropped) ** 0.5


def test_follows_torchs_seed() -> None:
    assert torch.equal(masks(0.3), masks(0.3))
    assert not torch.equal(masks(0.3), masks(0.3, seed=1))


def test_the_gradient_is_the_mask() -> None:
    x = torch.ones(50, requires_grad=True)
    dropped = Dropout(0.5)(x)
    dropped.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, dropped.detach())


def test_evaluation_and_p_of_zero_change_nothing() -> None:
    x = torch.randn(7)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_keeps_the_type() -> None:
    assert Dropout(0.5)(torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16
