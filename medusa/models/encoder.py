"""The base transformer encoder, Enc, of every modality and every fusion level (paper, Algorithm 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medusa.models.attention import TransformerLayer
from medusa.models.packing import Packing


class Standardize(nn.Module):
    """x ← (x - mean) / scale per feature dimension; part of the checkpoint, not trained.

    Not in the paper, which feeds features as they are. Some hidden states (Whisper's inner layers) have means ten
    times their spread, and AdamW then needs many epochs before it sees anything but the mean.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, dim)."""
        return (x - self.mean) / self.scale


class SequenceEncoder(nn.Module):
    """x ← W2(ReLU(W1 x)); h_k ← TransformerLayer(h_{k-1}); pooled ← mean over time of h_L."""

    def __init__(
        self,
        input_dim: int,
        width: int,
        num_layers: int,
        num_heads: int,
        feedforward_dim: int,
        dropout: float,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.standardize = Standardize(input_dim) if standardize else None
        self.w1 = nn.Linear(input_dim, width)
        self.w2 = nn.Linear(width, width)
        self.layers = nn.ModuleList(
            TransformerLayer(width, num_heads, feedforward_dim, dropout) for _ in range(num_layers)
        )

    def forward(self, x: Tensor, packing: Packing) -> list[Tensor]:
        """(rows, input_dim) → [h_1 (rows, D), …, h_L (rows, D), pooled (B, D)]."""
        if self.standardize is not None:
            x = self.standardize(x)
        h = self.w2(F.relu(self.w1(x)))
        states = []
        for layer in self.layers:
            h = layer(h, packing)
            states.append(h)
        return [*states, packing.mean(h)]
