"""The meta-classifier: one linear layer over all members' predictions (paper 3.5, Stage 3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from medusa.models.prediction import Prediction, Predictor

VOTE_SHARPNESS = 10.0
"""Logits per unit of mean posterior where training starts from the vote: about as sure of itself as the members are."""


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

    @torch.no_grad()
    def start_from_vote(self) -> None:
        """Set the linear layer to the soft vote: logits 10 x mean posterior, attributes the members' mean.

        Ours. On a few hundred rows Stage 3 cannot learn from random weights what averaging gives for nothing;
        started here it learns what to do differently.

        Raises:
            ValueError: there are hidden layers.
        """
        if len(self.layers) != 1:
            raise ValueError("only a linear meta-classifier can be a vote")
        weight, bias = self.layers[0].parameters()
        outputs, inputs = weight.shape
        scale = torch.ones(outputs)
        scale[: self.num_emotions] = VOTE_SHARPNESS
        members = inputs // outputs
        weight.copy_(torch.diag(scale).repeat(1, members) / members)
        bias.zero_()

    def encode(self, inputs: Tensor) -> Tensor:
        """The representation MixUp would act on: the inputs themselves."""
        return inputs

    def head(self, x: Tensor) -> Prediction:
        """(B, input_dim) → Prediction."""
        outputs = self.layers(x)
        return Prediction(outputs[:, : self.num_emotions], outputs[:, self.num_emotions :])
