"""How many floating-point operations the networks take, from their dimensions; a multiply-add is two.

Counted are matrix products and attention. Norms, activations, biases, dropout, softmax and the optimiser are left out:
together less than a hundredth at the paper's width.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from medusa.config.schema import Model

BACKWARD = 2
"""Operations of the backward pass for each forward one: the gradients of both factors of a product."""


class Sequences(NamedTuple):
    """What one encoder reads of one clip."""

    frames: float
    width: int
    """Values a frame."""


def deepser_encoders(model: Model, modalities: Sequence[Sequences]) -> list[Sequences]:
    """What every encoder of Algorithm 2 reads: those of the modalities, then those of the fusion levels.

    Level k reads the frames of all modalities, one after the other, and those of level k - 1: k times as many as
    all modalities have.
    """
    frames = sum(one.frames for one in modalities)
    levels = model.num_layers if model.fusion == "deep" else 0
    return [*modalities, *(Sequences(level * frames, model.hidden_dim) for level in range(1, levels + 1))]


def encoder_forward(model: Model, read: Sequences) -> float:
    """Algorithm 1 on T frames of width I, with D = hidden_dim, F = feedforward_dim:

    W1: 2 T I D; W2: 2 T D²; each layer: queries, keys, values and the output projection 8 T D², feed-forward 4 T D F,
    the products of attention 4 T² D.
    """
    t, d, f = read.frames, model.hidden_dim, model.feedforward_dim
    layer = 8 * t * d**2 + 4 * t * d * f + 4 * t**2 * d
    return 2 * t * read.width * d + 2 * t * d**2 + model.num_layers * layer


def deepser_forward(model: Model, modalities: Sequence[Sequences], outputs: int = 11) -> float:
    """Algorithm 2 on one clip: the encoders, W over all that is pooled, the heads with `outputs` values together."""
    pooled, d = len(modalities) + (model.fusion == "deep"), model.hidden_dim
    encoders = sum(encoder_forward(model, read) for read in deepser_encoders(model, modalities))
    return encoders + 2 * pooled * d**2 + 2 * d * outputs


def deepser_training(model: Model, modalities: Sequence[Sequences], outputs: int = 11) -> float:
    """Forward and backward on one clip; features need no gradient, so W1 of the modalities has one product less."""
    unneeded = sum(2 * one.frames * one.width * model.hidden_dim for one in modalities)
    return (1 + BACKWARD) * deepser_forward(model, modalities, outputs) - unneeded


def deepser_parameters(model: Model, widths: Sequence[int], outputs: int = 11) -> int:
    """Weights and biases of Algorithm 2; `widths` are the modalities' values a frame."""
    d, f = model.hidden_dim, model.feedforward_dim
    levels = model.num_layers if model.fusion == "deep" else 0
    layer = 4 * (d**2 + d) + 2 * d * f + f + d + 4 * d  # attention, feed-forward, two norms
    encoders = sum(width * d + d + d**2 + d + model.num_layers * layer for width in [*widths, *[d] * levels])
    pooled = len(widths) + (levels > 0)
    return encoders + pooled * d**2 + d + (d + 1) * outputs


# --- pretrained models ------------------------------------------------------------------------------

WINDOW_SECONDS = 30
"""Whisper's encoder reads windows of 30 s, whatever is in them."""


class Backbone(NamedTuple):
    """Dimensions of a pretrained transformer, as its config.json has them."""

    layers: int
    width: int
    feedforward: int
    products: int = 2
    """In a feed-forward layer: 2, or 3 where it is gated."""
    decoder_layers: int = 0
    vocabulary: int = 0
    convolutions: float = 0.0
    """Operations for each second of audio below the first layer."""

    @property
    def parameters(self) -> int:
        """Of the layers' matrices: what every frame or token is multiplied with."""
        return self.layers * (4 * self.width**2 + self.products * self.width * self.feedforward)


def _wav2vec_convolutions() -> float:
    """Seven layers of 512 channels: kernels 10, 3, 3, 3, 3, 2, 2; strides 5, 2, 2, 2, 2, 2, 2; from 16 kHz."""
    rate, channels, operations = 16_000.0, 1, 0.0
    for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
        rate /= stride
        operations += 2 * rate * kernel * channels * 512
        channels = 512
    return operations


BACKBONES = {
    "wavlm-large": Backbone(24, 1024, 4096, convolutions=_wav2vec_convolutions()),
    "hubert-large-ls960-ft": Backbone(24, 1024, 4096, convolutions=_wav2vec_convolutions()),
    "whisper-large-v3": Backbone(32, 1280, 5120, decoder_layers=32, vocabulary=51_866),
    "whisper-tiny.en": Backbone(4, 384, 1536, decoder_layers=4, vocabulary=51_864),
    "roberta-large": Backbone(24, 1024, 4096),
    "ModernBERT-large": Backbone(28, 1024, 2624, products=3),
    "all-MiniLM-L6-v2": Backbone(6, 384, 1536),
}
"""By the last part of the hub id or folder."""


def layers_forward(backbone: Backbone, frames: float) -> float:
    """The layers on T frames or tokens: parameters x T x 2, and 4 T² D for the products of attention in each."""
    return 2 * backbone.parameters * frames + backbone.layers * 4 * frames**2 * backbone.width


def speech_forward(backbone: Backbone, seconds: float, frame_rate: float) -> float:
    """A wav2vec-like model on one clip."""
    return backbone.convolutions * seconds + layers_forward(backbone, seconds * frame_rate)


def whisper_forward(backbone: Backbone, seconds: float, frame_rate: float) -> float:
    """Whisper's encoder on the windows of one clip."""
    return ceil(seconds / WINDOW_SECONDS) * layers_forward(backbone, WINDOW_SECONDS * frame_rate)


def whisper_decoding(backbone: Backbone, seconds: float, frame_rate: float, tokens: float) -> float:
    """Whisper's decoder on the windows of one clip, S tokens in each, one after the other, with D and F as above.

    Each layer: once keys and values of the window's T encoded frames, 4 T D²; for every token its attention to the
    tokens and to the frames, 8 D² + 4 D², and feed-forward, 4 D F; the products of both attentions, about
    4 S (S / 2 + T) D. Then the output over the vocabulary V, 2 S D V.
    """
    t, s, d = WINDOW_SECONDS * frame_rate, tokens, backbone.width
    layer = 4 * t * d**2 + s * (12 * d**2 + 2 * backbone.products * d * backbone.feedforward) + 4 * s * (s / 2 + t) * d
    return ceil(seconds / WINDOW_SECONDS) * (backbone.decoder_layers * layer + 2 * s * d * backbone.vocabulary)
