"""Decoding against scipy's WAV writer and resampler; spectral measures on tones whose values are known."""

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
import scipy.signal
import soundfile

from medusa.audio import SAMPLE_RATE, UNKNOWN, duration, mel_power, pitch, read_audio, read_header, root_mean_square
from medusa.errors import UserError


def tone(hertz: float, seconds: float, rate: int = SAMPLE_RATE, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int = SAMPLE_RATE) -> Path:
    scipy.io.wavfile.write(path, rate, samples)
    return path


def test_16_khz_float_comes_back_exactly(tmp_path: Path) -> None:
    samples = tone(300, 0.3)
    assert np.array_equal(read_audio(write_wav(tmp_path / "a.wav", samples)), samples)


def test_16_bit_is_scaled_to_one(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.array([0, 16384, -32768], np.int16))
    assert read_audio(path).tolist() == [0.0, 0.5, -1.0]


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.array([[0.5, 0.25], [-1.0, 0.0], [0.125, 0.125]], np.float32)
    samples = read_audio(write_wav(tmp_path / "a.wav", stereo))
    assert samples.dtype == np.float32
    assert samples.tolist() == [0.375, -0.5, 0.125]


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_resampling_agrees_with_scipy_inside_the_clip(tmp_path: Path, rate: int) -> None:
    original = tone(440, 0.5, rate) + tone(1230, 0.5, rate, 0.2)
    ours = read_audio(write_wav(tmp_path / "a.wav", original, rate))
    assert len(ours) == 8_000
    divisor = np.gcd(SAMPLE_RATE, rate)
    other = scipy.signal.resample_poly(original, SAMPLE_RATE // divisor, rate // divisor)
    assert np.abs(ours - other)[400:-400].max() < 2e-3


def test_duration_is_read_from_the_header(tmp_path: Path) -> None:
    assert duration(write_wav(tmp_path / "a.wav", tone(300, 0.25, 48_000), 48_000)) == pytest.approx(0.25)


def test_bad_recordings_are_named(tmp_path: Path) -> None:
    bad = {
        "text.wav": b"this is no recording",
        "empty.wav": b"",
        "riff.wav": b"RIFF\x24\x00\x00\x00WAVE",
        "cut.flac": b"fLaC\x00\x00\x00\x22",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        for reader in (read_audio, duration):
            with pytest.raises(UserError, match=name):
                reader(tmp_path / name)
    with pytest.raises(UserError, match=r"absent\.wav: no such recording"):
        read_audio(tmp_path / "absent.wav")


def test_no_samples_and_samples_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no samples"):
        read_audio(write_wav(tmp_path / "none.wav", np.zeros(0, np.float32)))
    with pytest.raises(UserError, match="not finite"):
        read_audio(write_wav(tmp_path / "nan.wav", np.array([0.0, np.nan], np.float32)))


def test_torchaudio_is_asked_for_by_name_and_only_when_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    assert len(read_audio(write_wav(tmp_path / "a.wav", tone(300, 0.1)), "torchaudio")) == 1_600
    with pytest.raises(UserError, match="resampler=librosa"):
        read_audio(write_wav(tmp_path / "b.wav", tone(300, 0.1, 8_000), 8_000), "torchaudio")


def test_pitch_of_a_tone() -> None:
    inside = pitch(tone(220, 0.5), hop=320, window=1024, lowest=60, highest=600)[3:-3]
    assert inside == pytest.approx(np.full(len(inside), 220), rel=0.01)


def test_energy_of_a_tone_is_its_amplitude_over_the_root_of_two() -> None:
    # 250 Hz: 64 samples a period, so that every window of 512 holds whole periods
    inside = root_mean_square(tone(250, 0.5), hop=320, window=512)[2:-2]
    assert inside == pytest.approx(np.full(len(inside), 0.5 / np.sqrt(2)), rel=1e-3)


def test_mel_power_grows_with_the_square_and_peaks_at_the_tone() -> None:
    quiet, loud = (mel_power(tone(1000, 0.5, amplitude=a), hop=320, window=512, bands=40) for a in (0.1, 0.2))
    assert quiet.shape == (1 + 8_000 // 320, 40)
    assert loud == pytest.approx(4 * quiet, rel=1e-3, abs=1e-6)
    low, high = (int(mel_power(tone(f, 0.5), hop=320, window=512, bands=40)[12].argmax()) for f in (1000.0, 3000.0))
    # Slaney's mel scale is linear to 1 kHz (15 mel) and reaches 45.245 mel at 8 kHz: 1 kHz lies a third of the way up
    assert low == pytest.approx(15 / 45.245 * 41 - 1, abs=1)
    assert low < high


def test_what_soundfile_cannot_open_is_one_line(tmp_path: Path) -> None:
    """Headerless data, and a name that is no UTF-8."""
    for path in (tmp_path / "a.raw", tmp_path / "caf\udce9.wav"):
        path.write_bytes(b"\0" * 100)
        with pytest.raises(UserError, match=r"cannot be decoded \(.+\); replace or remove it"):
            read_audio(path)


def test_a_header_that_claims_more_than_memory_holds_takes_no_memory(tmp_path: Path) -> None:
    huge = tmp_path / "huge.flac"
    soundfile.write(huge, np.zeros((100, 8)), 16_000, format="FLAC")
    content = bytearray(huge.read_bytes())
    content[21] |= 0x0F  # STREAMINFO: the count of samples per channel is 36 bits, here nearly all ones
    content[22:26] = b"\xff" * 4
    huge.write_bytes(content)
    assert len(read_audio(huge)) == 100


def write_stream(path: Path) -> Path:
    """Two seconds as ffmpeg writes FLAC into a pipe: its header has a total of 0 samples, which means unknown."""
    soundfile.write(path, tone(300, 2.0), SAMPLE_RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the total takes the low half of this byte and the four after it
    content[22:26] = bytes(4)
    path.write_bytes(content)
    return path


def test_a_stream_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    stream = write_stream(tmp_path / "stream.flac")
    soundfile.write(tmp_path / "whole.flac", tone(300, 2.0), SAMPLE_RATE)
    assert read_header(stream).frames > UNKNOWN
    assert duration(stream) == 2.0
    assert np.array_equal(read_audio(stream), read_audio(tmp_path / "whole.flac"))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.sph"])
def test_reading_in_blocks_is_reading_at_once(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stereo = np.stack([tone(300, 1.0), tone(500, 1.0, amplitude=0.2)], axis=1)
    kind = {"format": "NIST"} if name == "a.sph" else {}
    soundfile.write(tmp_path / name, stereo, SAMPLE_RATE, **kind)
    monkeypatch.setattr("medusa.audio.BLOCK", 1000)
    whole, _ = soundfile.read(tmp_path / name, dtype="float32")
    np.testing.assert_allclose(read_audio(tmp_path / name), whole.mean(axis=1), atol=1e-6)


def test_a_file_that_may_not_be_looked_at_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(UserError, match=r"a\.wav: Permission denied; check the path"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(("cut", "extra"), [(1, b""), (2000, b""), (3999, b"LIST\x03\0\0\0abc\0")])
def test_a_wav_that_is_cut_off_is_refused(tmp_path: Path, cut: int, extra: bytes) -> None:
    data = wav_bytes(extra)
    (tmp_path / "a.wav").write_bytes(data)
    assert len(read_audio(tmp_path / "a.wav")) == 2000
    (tmp_path / "a.wav").write_bytes(data[:-cut])
    with pytest.raises(UserError, match=rf"a\.wav: cut off, holds {4000 - cut:,} of 4,000 bytes of samples"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("claimed", [0xFFFFFFFF, 0x7FFFFFFF - 36])
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path, claimed: int) -> None:
    data = wav_bytes()
    (tmp_path / "a.wav").write_bytes(data[:40] + claimed.to_bytes(4, "little") + data[44:])
    assert len(read_audio(tmp_path / "a.wav")) == 2000


def wav_bytes(chunk: bytes = b"") -> bytes:
    """2000 samples of 16 bits, a chunk of something else before them."""
    form = (1, 2), (1, 2), (16_000, 4), (32_000, 4), (2, 2), (16, 2)
    header = b"WAVEfmt \x10\0\0\0" + b"".join(value.to_bytes(size, "little") for value, size in form)
    body = header + chunk + b"data" + (4000).to_bytes(4, "little") + bytes(range(1, 251)) * 16
    return b"RIFF" + len(body).to_bytes(4, "little") + body
