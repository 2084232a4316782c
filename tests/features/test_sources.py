"""Recordings as users have them, against the 16 kHz original they were made from (resampled by scipy)."""

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from medusa.errors import UserError
from medusa.features.sources import Recordings

LOSS = {"wav": 1e-3, "flac": 1e-3, "ogg": 0.04, "mp3": 0.06}
"""Most of the signal's energy (as a root) that may be lost; 8 kHz MP3 loses 0.04, resampling alone 7e-4."""


def original() -> np.ndarray:
    """Two seconds of a vowel-like sound that swells and fades, all of it below 4 kHz."""
    time = np.arange(32_000) / 16_000
    tones = [(150, 0.3), (450, 0.2), (1_200, 0.1), (2_600, 0.05)]
    return np.asarray(sum(a * np.sin(2 * np.pi * f * time + f) for f, a in tones) * np.sin(np.pi * time / 2) ** 2)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("kind", LOSS)
def test_any_format_rate_and_channels_come_back_as_the_16_khz_original(
    tmp_path: Path, kind: str, rate: int, channels: int
) -> None:
    divisor = np.gcd(rate, 16_000)
    samples = scipy.signal.resample_poly(original(), rate // divisor, 16_000 // divisor)
    balance = {1: [1.0], 2: [1.5, 0.5]}[channels]
    soundfile.write(tmp_path / f"clip.{kind}", np.outer(samples, balance), rate)
    read = Recordings(tmp_path, {"clip": f"clip.{kind}"}, "librosa").read("clip")
    assert read.dtype == np.float32
    assert read.shape == (32_000,)
    assert np.linalg.norm(read - original()) < LOSS[kind] * np.linalg.norm(original())


def test_a_folder_that_is_not_there_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder of recordings; set paths\.audio"):
        Recordings(tmp_path / "nowhere", {}, "librosa")
