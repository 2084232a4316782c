"""How the authors' release computes, in small: what the fast path is measured against.

Written afresh from the paper and from what is known of the release: torch's own transformer layers, float32, batches
padded to their longest clip, and the padding computed, attended and pooled like everything else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

EMOTIONS, ATTRIBUTES = 8, 3


class Leg(nn.Module):
    """One modality or fusion level: two linear layers, two transformer layers, mean over all frames."""

    def __init__(self, input_dim: int, width: int, feedforward: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(input_dim, width), nn.Linear(width, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 1, feedforward, batch_first=True) for _ in range(2)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, input_dim) → h_1, h_2 (B, T, width), pooled (B, width)."""
        h1 = self.layers[0](self.second(torch.relu(self.first(x))))
        h2 = self.layers[1](h1)
        return h1, h2, h2.mean(dim=1)


class NaiveDeepSER(nn.Module):
    """Algorithm 2 over padded features, without masks; parameters as `medusa.models.deepser.DeepSER` has them."""

    def __init__(self, input_dims: Sequence[int], width: int, feedforward: int) -> None:
        super().__init__()
        self.legs = nn.ModuleList(Leg(dim, width, feedforward) for dim in input_dims)
        self.fusion1, self.fusion2 = Leg(width, width, feedforward), Leg(width, width, feedforward)
        self.w = nn.Linear(width * (len(input_dims) + 1), width)
        self.w_c, self.w_r = nn.Linear(width, EMOTIONS), nn.Linear(width, ATTRIBUTES)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Per modality (B, T, D) → logits (B, 8), attributes (B, 3)."""
        h1, h2, pooled = zip(*[leg(x) for leg, x in zip(self.legs, features, strict=True)], strict=True)
        _, fused1, _ = self.fusion1(torch.cat(h1, dim=1))
        _, _, fused = self.fusion2(torch.cat([*h2, fused1], dim=1))
        x = torch.relu(self.w(torch.cat([*pooled, fused], dim=-1)))
        return self.w_c(x), 1 + 6 * torch.sigmoid(self.w_r(x))
