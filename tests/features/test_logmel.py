"""Log-mel, energy and F0 on tones, silence and clips of every awkward length."""

import numpy as np
import pytest

from medusa.features.logmel import _BLOCK, BANDS, DIM, FRAME_RATE, HOP, _columns, logmel


def tone(hertz: float, amplitude: float = 0.5, samples: int = 16_000) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(samples) / 16_000)).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 1_023, 1_024, 16_000, 16_001])
def test_one_frame_for_every_320_samples_begun(samples: int) -> None:
    values = logmel(tone(200, samples=samples))
    assert values.shape == (-(-samples // 320), DIM)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert FRAME_RATE == 50


def test_an_octave_up_adds_one_and_ten_times_louder_adds_half() -> None:
    low, high = (logmel(tone(hertz))[5:-5] for hertz in (125.0, 250.0))
    assert high[:, -1] - low[:, -1] == pytest.approx(1.0, abs=0.02)
    quiet = logmel(tone(250, amplitude=0.05))[5:-5]
    # power grows 100 times, 2 in log10, and the scale divides by 4
    assert high[:, BANDS] - quiet[:, BANDS] == pytest.approx(0.5, abs=1e-3)
    assert high[:, 5] - quiet[:, 5] == pytest.approx(0.5, abs=1e-3)


def test_silence_lies_on_the_floor() -> None:
    assert logmel(np.zeros(16_000, np.float32))[:, : BANDS + 1] == pytest.approx(-1.5)


@pytest.mark.parametrize("samples", [_BLOCK * HOP, _BLOCK * HOP + 1, _BLOCK * HOP + 700, 2 * _BLOCK * HOP + 9_999])
def test_a_long_clip_in_blocks_is_the_clip_in_one(samples: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    values = logmel(noise)
    assert len(values) == -(-samples // HOP)
    np.testing.assert_allclose(values, _columns(noise)[: len(values)], atol=1e-5)
