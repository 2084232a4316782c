"""The base transformer encoder, Enc, of every modality and every fusion level (paper, Algorithm 1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from medusa.models.attention import TransformerLayer


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """POOL of Algorithm 1: (B, T, D), mask (B, T) → (B, D), the mean over real frames only."""
    weights = mask.unsqueeze(-1).to(x.dtype)
    return (x * weights).sum(dim=1) / weights.sum(dim=1)


class SequenceEncoder(nn.Module):
    """x ← W2(ReLU(W1 x)); h_k ← TransformerLayer(h_{k-1}); pooled ← mean over time of h_L."""

    def __init__(
        self, input_dim: int, width: int, num_layers: int, num_heads: int, feedforward_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.w1 = nn.Linear(input_dim, width)
        self.w2 = nn.Linear(width, width)
        self.layers = nn.ModuleList(
            TransformerLayer(width, num_heads, feedforward_dim, dropout) for _ in range(num_layers)
        )

    def forward(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """(B, T, input_dim), mask (B, T) → [h_1 (B, T, D), …, h_L (B, T, D), pooled (B, D)]."""
        h = self.w2(F.relu(self.w1(x)))
        states = []
        for layer in self.layers:
            h = layer(h, mask)
            states.append(h)
        return [*states, masked_mean(h, mask)]
