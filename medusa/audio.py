"""Recordings in, 16 kHz mono out, to a file as well; and the spectral measures that need librosa.

The only module that imports soundfile and librosa, and only when a function is called: models and
training run where neither is installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medusa.errors import UserError
from medusa.files import atomic_path

SAMPLE_RATE = 16_000


def read_audio(path: Path, resampler: Literal["librosa", "torchaudio"] = "librosa") -> np.ndarray:
    """Decode a recording, average its channels and resample it to 16 kHz.

    Args:
        path: Any format libsndfile reads (WAV, FLAC, OGG, MP3, …).
        resampler: librosa (soxr, high quality), or torchaudio (windowed sinc) where it is installed.

    Returns:
        Samples in [-1, 1], shape = (samples,), float32, at least one.

    Raises:
        UserError: the file is missing, empty, or not audio; or torchaudio is not installed.
    """
    _require_file(path)
    with _undecodable(path):
        samples, rate = _soundfile().read(path, dtype="float32", always_2d=True)
    if not len(samples):
        raise UserError(f"{path}: holds no samples; replace or remove it")
    mono: np.ndarray = samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise UserError(f"{path}: holds samples that are not finite; replace or remove it")
    return resample(mono, rate, resampler)


def resample(samples: np.ndarray, rate: int, resampler: Literal["librosa", "torchaudio"] = "librosa") -> np.ndarray:
    """Bring mono samples, shape = (samples,), float32, from `rate` a second to 16 kHz.

    Raises:
        UserError: torchaudio is asked for and not installed.
    """
    if rate == SAMPLE_RATE:
        return samples
    return _resample_torchaudio(samples, rate) if resampler == "torchaudio" else _resample_librosa(samples, rate)


def write_wav(path: Path, samples: np.ndarray) -> None:
    """Write 16 kHz mono samples in [-1, 1], shape = (samples,), as 16-bit WAV, atomically."""
    with atomic_path(path) as temporary:
        _soundfile().write(temporary, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")


def duration(path: Path) -> float:
    """Length in seconds, from the header.

    Raises:
        UserError: the file is missing or not audio.
    """
    _require_file(path)
    with _undecodable(path):
        return float(_soundfile().info(path).duration)


def mel_power(samples: np.ndarray, hop: int, window: int, bands: int) -> np.ndarray:
    """Mel power spectrogram of 16 kHz samples, shape = (1 + samples // hop, bands), windows centred."""
    import librosa

    power = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, n_fft=window, hop_length=hop, n_mels=bands)
    return np.asarray(power.T, dtype=np.float32)


def root_mean_square(samples: np.ndarray, hop: int, window: int) -> np.ndarray:
    """Energy of each window, shape = (1 + samples // hop,), windows centred."""
    import librosa

    return np.asarray(librosa.feature.rms(y=samples, frame_length=window, hop_length=hop)[0], dtype=np.float32)


def pitch(samples: np.ndarray, hop: int, window: int, lowest: float, highest: float) -> np.ndarray:
    """Fundamental frequency in Hz by YIN, shape = (1 + samples // hop,), in [lowest, highest], voiced or not.

    YIN rather than its probabilistic successor: tens of times faster.
    """
    import librosa

    hertz = librosa.yin(
        samples, fmin=lowest, fmax=highest, sr=SAMPLE_RATE, frame_length=window, hop_length=hop, center=True
    )
    return np.asarray(hertz, dtype=np.float32)


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError:
        raise UserError("reading audio needs the package soundfile; run: pip install -r requirements.txt") from None
    return soundfile


@contextlib.contextmanager
def _undecodable(path: Path) -> Iterator[None]:
    """Turns what soundfile raises for a file it cannot read into one line.

    Beside its own error: TypeError for headerless formats, ValueError for streams of unknown length and names that are
    not UTF-8, MemoryError where a header lies about the length.
    """
    soundfile = _soundfile()
    try:
        yield
    except (soundfile.LibsndfileError, TypeError, ValueError, MemoryError) as error:
        reason = getattr(error, "error_string", None) or str(error) or "it does not fit into memory"
        raise UserError(f"{path}: cannot be decoded ({reason}); replace or remove it") from None


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: no such recording; check the path (in a corpus: paths.audio and FileName)")
    if not path.stat().st_size:
        raise UserError(f"{path}: an empty file; replace or remove it")


def _resample_librosa(samples: np.ndarray, rate: int) -> np.ndarray:
    import librosa

    resampled = librosa.resample(samples, orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    return np.asarray(resampled, dtype=np.float32)


def _resample_torchaudio(samples: np.ndarray, rate: int) -> np.ndarray:
    try:
        import torch
        from torchaudio.functional import resample
    except (ImportError, OSError):
        raise UserError(
            "resampler: torchaudio is not installed or does not fit this torch; "
            "see requirements-cuda.txt, or set resampler=librosa"
        ) from None
    return np.asarray(resample(torch.from_numpy(samples), rate, SAMPLE_RATE).numpy(), dtype=np.float32)
