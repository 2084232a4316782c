"""Recordings in, 16 kHz mono out, to a file as well; and the spectral measures that need librosa.

The only module that imports soundfile and librosa, and only when a function is called: models and
training run where neither is installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from medusa.errors import UserError
from medusa.files import atomic_path

SAMPLE_RATE = 16_000

UNKNOWN = 2**60
"""Samples that no recording has."""

STREAMED = 2**31 - 2**16
"""Bytes of samples that no WAV has whose writer knew: into a pipe they write the largest number, or near it."""

BLOCK = 2**20
"""Samples of all channels that are decoded at once."""


def read_audio(path: Path, resampler: Literal["librosa", "torchaudio"] = "librosa") -> np.ndarray:
    """Decode a recording, average its channels and resample it to 16 kHz.

    Args:
        path: Any format libsndfile reads (WAV, FLAC, OGG, MP3, …).
        resampler: librosa (soxr, high quality), or torchaudio (windowed sinc) where it is installed.

    Returns:
        Samples in [-1, 1], shape = (samples,), float32, at least one.

    Raises:
        UserError: the file is missing, empty, not audio, or a WAV that was cut off; or torchaudio is not installed.
    """
    _require_file(path)
    with _undecodable(path), _soundfile().SoundFile(path) as file:
        _require_whole_wav(path)
        rate = file.samplerate
        mono = np.concatenate([np.zeros(0, np.float32), *_mono_blocks(file)])
    if not len(mono):
        raise UserError(f"{path}: holds no samples; replace or remove it")
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


class Header(NamedTuple):
    """What a recording says of itself."""

    frames: int
    """Samples of each channel; `UNKNOWN` or more in a stream that does not say."""
    channels: int
    rate: int
    """Samples a second of each channel."""

    @property
    def seconds(self) -> float:
        """Length."""
        return self.frames / self.rate


def read_header(path: Path) -> Header:
    """Length, channels and rate of a recording, without decoding it.

    Raises:
        UserError: the file is missing or not audio.
    """
    _require_file(path)
    with _undecodable(path):
        info = _soundfile().info(path)
        return Header(info.frames, info.channels, info.samplerate)


def duration(path: Path) -> float:
    """Length in seconds, from the header, or by decoding where that does not say.

    Raises:
        UserError: the file is missing or not audio.
    """
    header = read_header(path)
    return header.seconds if header.frames < UNKNOWN else len(read_audio(path)) / SAMPLE_RATE


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


def _mono_blocks(file: Any) -> Iterator[np.ndarray]:
    """The mean over channels, block by block: so the length is that of the samples, whatever the header says."""
    size = max(1, BLOCK // file.channels)
    file.seekable = lambda: False  # else soundfile seeks after each block, which a stream of unknown length refuses
    while len(block := file.read(size, dtype="float32", always_2d=True)):
        yield block.mean(axis=1, dtype=np.float32)


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError:
        raise UserError("reading audio needs the package soundfile; run: pip install -r requirements.txt") from None
    return soundfile


@contextlib.contextmanager
def _undecodable(path: Path) -> Iterator[None]:
    """Turns what soundfile raises for a file it cannot read into one line.

    Beside its own error: TypeError for headerless formats, ValueError for names that are not UTF-8, MemoryError for
    recordings that are too long, OSError for files that were taken away meanwhile.
    """
    soundfile = _soundfile()
    try:
        yield
    except (soundfile.LibsndfileError, TypeError, ValueError, MemoryError, OSError) as error:
        reason = getattr(error, "error_string", None) or str(error) or "it does not fit into memory"
        raise UserError(f"{path}: cannot be decoded ({reason}); replace or remove it") from None


def _require_file(path: Path) -> None:
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check the path and its permissions") from None
    if size is None:
        raise UserError(f"{path}: no such recording; check the path (in a corpus: paths.audio and FileName)")
    if not size:
        raise UserError(f"{path}: an empty file; replace or remove it")


def _require_whole_wav(path: Path) -> None:
    """Refuse a WAV whose header says that more samples follow than do: libsndfile reads what is left and is silent."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                if size - file.tell() < length < STREAMED:
                    share = f"{size - file.tell():,} of {length:,} bytes of samples"
                    raise UserError(f"{path}: cut off, holds {share}; copy it again, or remove it")
                return
            file.seek(length + length % 2, 1)  # chunks begin at even places


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
