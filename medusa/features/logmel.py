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
    power = mel_power(padded, HOP, _WINDOW, BANDS)
    energy = root_mean_square(padded, HOP, _WINDOW) ** 2
    octaves = np.log2(pitch(padded, HOP, _PITCH_WINDOW, _LOWEST, _HIGHEST) / np.sqrt(_LOWEST * _HIGHEST))
    columns = np.column_stack([_log_scale(power), _log_scale(energy), octaves])
    return np.asarray(columns[:frames], dtype=np.float32)


def _log_scale(power: np.ndarray) -> np.ndarray:
    return np.asarray((np.log10(np.maximum(power, 1e-10)) + 4.0) / 4.0)
