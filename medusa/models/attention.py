"""One post-norm transformer layer over packed sequences."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medusa.models.dropout import Dropout
from medusa.models.packing import Packing


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product self-attention; parameters named and ordered as `nn.MultiheadAttention`'s."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, Dropout(dropout)
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """(rows, D) → (rows, D); padded in between, where padding is not attended."""
        projected = packing.pad(F.linear(x, self.in_proj_weight, self.in_proj_bias))
        batch, time, _ = projected.shape
        query, key, value = projected.view(batch, time, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        attended = self._attend(query, key, value, packing.mask[:, None, None, :])
        output: Tensor = self.out_proj(packing.pack(attended.transpose(1, 2).flatten(2)))
        return output

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """(B, heads, T, D / heads) each, mask (B, 1, 1, T) → (B, heads, T, D / heads)."""
        probability = self.dropout.p if self.training else 0.0
        if not probability or query.device.type != "cpu":
            return F.scaled_dot_product_attention(query, key, value, mask, probability)
        # Torch's CPU kernels know no dropout: it would take these steps too, with its slow mask.
        scores = (query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5
        shares = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)
        attended: Tensor = self.dropout(shares) @ value
        return attended


class TransformerLayer(nn.Module):
    """Post-norm, ReLU, no position information: `nn.TransformerEncoderLayer` as the authors use it.

    State dicts are interchangeable with `nn.TransformerEncoderLayer(width, num_heads, feedforward_dim,
    dropout, batch_first=True)`.
    """

    def __init__(self, width: int, num_heads: int, feedforward_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, num_heads, dropout)
        self.linear1 = nn.Linear(width, feedforward_dim)
        self.linear2 = nn.Linear(feedforward_dim, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """(rows, D) → (rows, D)."""
        x = self.norm1(x + self.dropout(self.self_attn(x, packing)))
        transformed = self.linear2(self.dropout(F.relu(self.linear1(x))))
        output: Tensor = self.norm2(x + self.dropout(transformed))
        return output
