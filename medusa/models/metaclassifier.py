"""The meta-classifier: one linear layer over all members' predictions (paper 3.5, Stage 3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from medusa.models.prediction import Prediction, Predictor


class MetaClassifier(Predictor):
    """Members' posteriors and attributes → logits and raw (unsquashed) attributes.

    Args:
        input_dim: members x (emotions + attributes).
        num_emotions: Classes.
        num_attributes: Emotional attributes, may be 0.
        hidden_dims: Widths of ReLU layers in between; none in the paper.
    """

    def __init__(
        self, input_dim: int, num_emotions: int = 8, num_attributes: int = 3, hidden_dims: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.num_emotions = num_emotions
        widths = [input_dim, *hidden_dims]
        hidden = [layer for dims in pairwise(widths) for layer in (nn.Linear(*dims), nn.ReLU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], num_emotions + num_attributes))

    def encode(self, inputs: Tensor) -> Tensor:
        """The representation MixUp would act on: the inputs themselves."""
        return inputs

    def head(self, x: Tensor) -> Prediction:
        """(B, input_dim) → Prediction."""
        outputs = self.layers(x)
        return Prediction(outputs[:, : self.num_emotions], outputs[:, self.num_emotions :])
