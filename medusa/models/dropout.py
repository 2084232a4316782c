"""Dropout as `nn.Dropout`, several times faster on a CPU, where torch draws a mask number by number."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 2**16


class Dropout(nn.Module):
    """Zero each value with probability p in training, scale the rest by 1 / (1 - p).

    On a CPU four values are decided by one 64-bit draw, so p is rounded to a multiple of 1/65,536.

    Args:
        p: In [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        if not self.training or not self.p:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        dropped = round(self.p * LEVELS)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = draws[: x.numel()].view(x.shape) >= dropped - LEVELS // 2
        return x * kept * (LEVELS / (LEVELS - dropped))
