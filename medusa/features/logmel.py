"""Log-mel spectrum, energy and F0: acoustic features that need no weights."""

from __future__ import annotations

import numpy as np

from medusa.audio import SAMPLE_RATE, mel_power, pitch, root_mean_square

BANDS = 80
DIM = BANDS + 2
HOP = 320
FRAME_RATE = SAMPLE_RATE / HOP

_WINDOW = 512
_PITCH_WINDOW = 1024
_LOWEST, _HIGHEST = 60.0, 600.0

_BLOCK = 60 * 50
"""Frames that are computed at once, a minute: pitch takes 70 MB for each."""
_MARGIN = 2
"""Frames on either side of a block that hold all samples that its windows reach."""


def logmel(samples: np.ndarray) -> np.ndarray:
    """Features of 16 kHz samples at 50 frames a second, the rate of the pretrained speech models.

    Columns: 80 log10 mel powers and log10 energy, floored at -10 and scaled as (x + 4) / 4 like Whisper's
    input but without its clip-wise maximum, since loudness tells emotions apart; then F0 in octaves above
    the geometric middle of 60-600 Hz, unvoiced frames included.

    Returns:
        shape = (ceil(samples / 320), 82), float32.
    """
    frames = -(-len(samples) // HOP)
    padded = np.pad(samples, (0, max(0, _PITCH_WINDOW - len(samples))))
    blocks = []
    for start in range(0, frames, _BLOCK):
        before = min(start, _MARGIN)
        part = padded[(start - before) * HOP : (start + _BLOCK + _MARGIN) * HOP]
        blocks.append(_columns(part)[before : before + _BLOCK])
    return np.concatenate(blocks)[:frames]


def _columns(samples: np.ndarray) -> np.ndarray:
    """Frames centred on the samples 0, 320, …, what lies beyond the ends being silence."""
    power = mel_power(samples, HOP, _WINDOW, BANDS)
    energy = root_mean_square(samples, HOP, _WINDOW) ** 2
    octaves = np.log2(pitch(samples, HOP, _PITCH_WINDOW, _LOWEST, _HIGHEST) / np.sqrt(_LOWEST * _HIGHEST))
    return np.column_stack([_log_scale(power), _log_scale(energy), octaves]).astype(np.float32)


def _log_scale(power: np.ndarray) -> np.ndarray:
    return np.asarray((np.log10(np.maximum(power, 1e-10)) + 4.0) / 4.0)
