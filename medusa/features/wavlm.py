"""WavLM's attention through torch's fused kernel, which transformers computes step by step."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def fuse_attention(model: Any) -> None:
    """Let every layer of a `WavLMModel` attend by `scaled_dot_product_attention`; outputs stay equal to rounding."""
    for layer in model.encoder.layers:
        layer.attention.torch_multi_head_self_attention = MethodType(_attend, layer.attention)


def _attend(attention: Any, hidden_states: Tensor, mask: Tensor | None, bias: Tensor) -> tuple[Tensor, None]:
    """(B, T, D), (B, T) with 1 at real frames, gated position bias (B · heads, T, T) → (B, T, D); no weights."""
    batch, time, _ = hidden_states.shape
    query, key, value = (
        project(hidden_states).view(batch, time, attention.num_heads, -1).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    bias = bias.view(batch, attention.num_heads, time, time)
    if mask is not None:
        bias = bias.masked_fill(mask.ne(1)[:, None, None, :], -torch.inf)
    attended = F.scaled_dot_product_attention(query, key, value, bias)
    return attention.out_proj(attended.transpose(1, 2).flatten(2)), None
