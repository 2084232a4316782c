"""Manifold MixUp on the fused representation (paper 3.7, Algorithm 2)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class MixUp(Protocol):
    """How often and how strongly to mix."""

    @property
    def probability(self) -> float:
        """p, per batch."""
        ...

    @property
    def alpha(self) -> float:
        """λ ~ Beta(alpha, alpha)."""
        ...


class Mixing(NamedTuple):
    """One batch's draw: row i becomes λ_i · row i + (1 - λ_i) · row partner_i."""

    weights: Tensor
    """λ, (B,) float32, in [0, 1]."""
    partners: Tensor
    """(B,) int64, a permutation of the rows."""


def draw_mixing(batch_size: int, mixup: MixUp, draws: np.random.Generator, device: torch.device) -> Mixing | None:
    """With probability p, one λ ~ Beta(α, α) per row and one permutation of the rows; else None."""
    if draws.random() >= mixup.probability:
        return None
    weights = torch.from_numpy(draws.beta(mixup.alpha, mixup.alpha, batch_size).astype(np.float32))
    partners = torch.from_numpy(draws.permutation(batch_size))
    return Mixing(weights.to(device), partners.to(device))


def mix(rows: Tensor, mixing: Mixing | None) -> Tensor:
    """Mix (B, D) rows; one draw serves x, soft targets and attributes alike."""
    if mixing is None:
        return rows
    weights = mixing.weights[:, None]
    return weights * rows + (1 - weights) * rows[mixing.partners]
