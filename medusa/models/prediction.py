"""What every model of the project returns, and the two halves it is computed in."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn


class Prediction(NamedTuple):
    """Emotions and emotional attributes of a batch."""

    logits: Tensor
    """(B, num_emotions), unnormalised."""
    attributes: Tensor
    """(B, num_attributes), on the corpus scale 1-7; (B, 0) without attributes."""


class Predictor(nn.Module):
    """A model in two halves, so that Manifold MixUp can act in between and the model never sees labels."""

    def encode(self, *inputs: Any) -> Tensor:
        """Inputs → representation x, (B, D)."""
        raise NotImplementedError

    def head(self, x: Tensor) -> Prediction:
        """X (B, D) → Prediction."""
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Prediction:
        """`head(encode(*inputs))`."""
        return self.head(self.encode(*inputs))
