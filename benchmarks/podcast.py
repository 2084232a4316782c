"""Clips as long as MSP-Podcast's, with random features: what benchmarks compute on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FRAME_RATE = 50
DIMS = {"wavlm": 1024, "hubert": 1024, "whisper": 1280, "roberta": 1024, "modernbert": 1024}
TEXTS = ("roberta", "modernbert")
WHISPER_FRAMES = 1500
"""Of every clip, where the padding to 30 s is kept."""
TOKENS_A_SECOND, SPREAD = 3.4, 0.3
"""Mean, and standard deviation relative to it, over clips."""


def draw_lengths(clips: int, modality: str, seed: int = 0) -> Tensor:
    """Frames of each clip, (clips,): 2.75 to 11 s with mean 5.6 at 50 a second, or 5 to 45 tokens for text.

    The same seed gives every modality the same clips. Tokens a second are lognormal with a standard deviation of 30 %,
    as people speak slowly or fast and pause.
    """
    draws = np.random.default_rng(seed)
    seconds = 2.75 + 8.25 * draws.beta(1.3, 2.47, clips)
    if modality not in TEXTS:
        return torch.from_numpy(np.rint(seconds * FRAME_RATE).astype(np.int64))
    sigma = np.sqrt(np.log(1 + SPREAD**2))
    rates = TOKENS_A_SECOND * draws.lognormal(-(sigma**2) / 2, sigma, clips)
    return torch.from_numpy(np.rint(seconds * rates).clip(5, 45).astype(np.int64))


def random_features(lengths: Tensor, dim: int, seed: int = 0) -> Tensor:
    """(B, longest, dim) float32, zeros where there is no frame."""
    values = torch.randn(len(lengths), int(lengths.max()), dim, generator=torch.Generator().manual_seed(seed))
    return values * (torch.arange(values.shape[1]) < lengths[:, None])[:, :, None]
