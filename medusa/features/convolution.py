"""The convolutions below speech models as matrix products, with the values of a frame side by side in memory.

transformers keeps time innermost, and turns it round and back for the norm after every convolution.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


def convolve_by_products(model: Any) -> None:
    """Replace the convolutions of a model with `feat_extract_norm: layer`; outputs stay equal to rounding."""
    layers = model.feature_extractor.conv_layers
    for index, layer in enumerate(layers):
        layers[index] = _Convolution(layer)


class _Convolution(nn.Module):
    """Convolution, layer norm over channels, activation: transformers' layer, whose weights it takes."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        (self.kernel,), (self.stride,) = layer.conv.kernel_size, layer.conv.stride
        # (out, in, kernel) → (out, kernel · in), as a window of frames lies in memory
        self.weight = nn.Parameter(layer.conv.weight.detach().transpose(1, 2).flatten(1))
        self.bias, self.layer_norm, self.activation = layer.conv.bias, layer.layer_norm, layer.activation

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, T) → (B, C', T'), a view of (B, T', C')."""
        states = hidden_states.transpose(1, 2).contiguous()
        batch, time, channels = states.shape
        shape = (batch, (time - self.kernel) // self.stride + 1, self.kernel * channels)
        windows = states.as_strided(shape, (time * channels, self.stride * channels, 1))
        frames: Tensor = self.activation(self.layer_norm(F.linear(windows, self.weight, self.bias)))
        return frames.transpose(1, 2)
