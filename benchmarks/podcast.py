"""Clips as long as MSP-Podcast's: what benchmarks compute on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from medusa.training.sampling import length_batches

Rows = npt.NDArray[Any]

CORPUS = 60_000
"""Clips whose lengths are drawn: as many as MSP-Podcast trains on."""
FRAME_RATE = 50
DIMS = {"wavlm": 1024, "hubert": 1024, "whisper": 1280, "roberta": 1024, "modernbert": 1024}
TEXTS = ("roberta", "modernbert")
WHISPER_FRAMES = 1500
"""Of every clip, where the padding to 30 s is kept."""
TOKENS_A_SECOND, SPREAD = 3.4, 0.3
"""Mean, and standard deviation relative to it, over clips."""
CANDIDATES = 2000
"""Draws among which `typical_batches` chooses."""


def draw_lengths(clips: int, modality: str, seed: int = 0, distinct: int | None = None) -> Tensor:
    """Frames of each clip, (clips,): 2.75 to 11 s with mean 5.6 at 50 a second, or 5 to 45 tokens for text.

    The same seed gives every modality the same clips. Tokens a second are lognormal with a standard deviation of 30 %,
    as people speak slowly or fast and pause.

    Args:
        clips: How many.
        modality: One of `DIMS`.
        seed: Of the draws.
        distinct: Only the first so many are drawn, and come again and again: corpora whose sizes are multiples of it
            then differ in nothing but their size. None: all are drawn.
    """
    draws = np.random.default_rng(seed)
    drawn = min(distinct or clips, clips)
    seconds = 2.75 + 8.25 * draws.beta(1.3, 2.47, drawn)
    lengths = np.rint(seconds * FRAME_RATE)
    if modality in TEXTS:
        sigma = np.sqrt(np.log(1 + SPREAD**2))
        rates = TOKENS_A_SECOND * draws.lognormal(-(sigma**2) / 2, sigma, drawn)
        lengths = np.rint(seconds * rates).clip(5, 45)
    return torch.from_numpy(np.resize(lengths, clips).astype(np.int64))


def corpus_lengths(modalities: Sequence[str]) -> Rows:
    """Frames of every clip of the corpus, (CORPUS, modalities) int64."""
    return torch.stack([draw_lengths(CORPUS, modality) for modality in modalities], dim=1).numpy()


def epoch_batches(lengths: Rows, batch_size: int, alike: bool) -> list[Rows]:
    """The batches of one epoch: of clips of like length, as `medusa.training` makes them, or random ones."""
    order = np.random.default_rng(0).permutation(len(lengths))
    if alike:
        return length_batches(order, lengths, batch_size, 0, 0)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def typical_batches(lengths: Rows, batch_size: int, count: int, alike: bool) -> list[Rows]:
    """A few batches of an epoch that stand for all of them: their mean clip is the corpus's in every modality.

    The epoch's full batches, from those with the fewest frames to those with the most, are cut into `count` strata, and
    one batch is drawn from each: of `CANDIDATES` such draws the one whose mean frames are nearest to the corpus's.

    Args:
        lengths: (clips, modalities).
        batch_size: Clips of a batch.
        count: Batches.
        alike: As in `epoch_batches`.
    """
    batches = np.stack([rows for rows in epoch_batches(lengths, batch_size, alike) if len(rows) == batch_size])
    means = lengths[batches].mean(axis=1)  # (batches, modalities)
    strata = np.array_split(np.argsort(means.sum(axis=1), kind="stable"), count)
    draws = np.random.default_rng(0)
    candidates = np.stack([draws.choice(stratum, CANDIDATES) for stratum in strata], axis=1)
    off = np.abs(means[candidates].mean(axis=1) / lengths.mean(axis=0) - 1).max(axis=1)
    return list(batches[candidates[off.argmin()]])
