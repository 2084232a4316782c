"""DeepSER: hierarchical fusion of any number of feature sequences (paper 3.4, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medusa.models.encoder import SequenceEncoder
from medusa.models.packing import Packing
from medusa.models.prediction import Prediction, Predictor


class DeepSER(Predictor):
    """N ≥ 1 modalities, L ≥ 1 fusion levels.

    Level k encodes the frames of all modalities' h_k, one after the other in time, followed by the
    previous level's last-layer output. x = W(all pooled ‖ pooled last level); the heads read ReLU(x).
    With `fusion="late"` there are no fusion encoders: x = W(all pooled).

    Args:
        input_dims: Feature size of each modality.
        hidden_dim: Width D of every encoder.
        num_layers: Transformer layers per encoder, and fusion levels.
        num_heads: Attention heads.
        feedforward_dim: Width inside each transformer layer.
        dropout: In attention and feed-forward layers.
        fusion: "deep" (the paper) or "late" (Table 2's ablation).
        num_emotions: Classes.
        num_attributes: Emotional attributes; 0 builds no attribute head.
        standardize: Standardise the input features (ours, see `Standardize`); set by `set_input_statistics`.
    """

    def __init__(
        self,
        input_dims: Sequence[int],
        hidden_dim: int = 1024,
        num_layers: int = 2,
        num_heads: int = 1,
        feedforward_dim: int = 2048,
        dropout: float = 0.1,
        fusion: Literal["deep", "late"] = "deep",
        num_emotions: int = 8,
        num_attributes: int = 3,
        standardize: bool = False,
    ) -> None:
        super().__init__()

        def encoder(input_dim: int, standardize: bool = False) -> SequenceEncoder:
            return SequenceEncoder(input_dim, hidden_dim, num_layers, num_heads, feedforward_dim, dropout, standardize)

        levels = num_layers if fusion == "deep" else 0
        self.modality_encoders = nn.ModuleList(encoder(dim, standardize) for dim in input_dims)
        self.fusion_encoders = nn.ModuleList(encoder(hidden_dim) for _ in range(levels))
        self.w = nn.Linear(hidden_dim * (len(input_dims) + (levels > 0)), hidden_dim)
        self.w_c = nn.Linear(hidden_dim, num_emotions)
        self.w_r = nn.Linear(hidden_dim, num_attributes) if num_attributes else None

    def set_input_statistics(self, statistics: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Per modality the mean and standard deviation of every feature dimension, each (D_m,).

        Raises:
            ValueError: the model was built without `standardize`.
        """
        for encoder, (mean, deviation) in zip(self.modality_encoders, statistics, strict=True):
            if not isinstance(encoder, SequenceEncoder) or encoder.standardize is None:
                raise ValueError("built without standardize=True")
            encoder.standardize.mean.copy_(mean)
            encoder.standardize.scale.copy_(deviation.clamp(min=1e-3))

    def forward(self, features: Sequence[Tensor], lengths: Sequence[Tensor]) -> Prediction:
        """Features: per modality the frames of all utterances, one utterance after the other, (sum of lengths, D_m), of
        any float type; lengths: per modality (B,), each ≥ 1.
        """
        return self.head(self.encode(features, lengths))

    def encode(self, features: Sequence[Tensor], lengths: Sequence[Tensor]) -> Tensor:
        """The fused representation x, (B, hidden_dim), on which Manifold MixUp acts."""
        packings, levels = self._packings(lengths)
        states = [
            encoder(feature.float(), packing)
            for encoder, feature, packing in zip(self.modality_encoders, features, packings, strict=True)
        ]
        pooled = [state[-1] for state in states]
        previous: list[Tensor] = []  # the previous level's last-layer output; nothing at level 1
        for k, (encoder, packing) in enumerate(zip(self.fusion_encoders, levels, strict=True)):
            *_, last, pooled_fusion = encoder(torch.cat([state[k] for state in states] + previous), packing)
            previous = [last]
        if self.fusion_encoders:
            pooled.append(pooled_fusion)
        x: Tensor = self.w(torch.cat(pooled, dim=-1))
        return x

    def _packings(self, lengths: Sequence[Tensor]) -> tuple[list[Packing], list[Packing]]:
        """How the frames of each modality and of each fusion level lie; all known before anything is computed."""
        modalities = [Packing.of(length) for length in lengths]
        levels: list[Packing] = []
        for _ in self.fusion_encoders:
            levels.append(Packing.joined([*modalities, *levels[-1:]]))
        device = self.w.weight.device
        return [packing.to(device) for packing in modalities], [packing.to(device) for packing in levels]

    def head(self, x: Tensor) -> Prediction:
        """X (B, hidden_dim) → logits = Wc ReLU(x), attributes = 1 + 6 sigmoid(Wr ReLU(x))."""
        activated = F.relu(x)
        if self.w_r is None:
            return Prediction(self.w_c(activated), activated.new_zeros(len(activated), 0))
        return Prediction(self.w_c(activated), 1 + 6 * torch.sigmoid(self.w_r(activated)))
