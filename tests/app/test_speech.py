from __future__ import annotations

import sys
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medusa.app.segments import windows
from medusa.app.speech import HOP, SpeechPieces, speech_segments
from medusa.audio import resample
from medusa.corpora.espeak import Request, speak
from medusa.errors import UserError

SECOND = 16_000


def cut(*parts: tuple[float, float]) -> list[tuple[float, float]]:
    """Start and end of the pieces of a recording of (seconds, probability of speech) parts, to a tenth of a second."""
    probabilities = np.concatenate([np.full(round(long * SECOND / HOP), share) for long, share in parts])
    pieces = speech_segments(np.zeros(len(probabilities) * HOP, np.float32), probabilities)
    return [(round(piece.start, 1), round(piece.end, 1)) for piece in pieces]


def test_pieces_are_what_is_spoken_with_a_margin() -> None:
    assert cut((2, 0.1), (3, 0.9), (2, 0.1), (4, 0.9), (1, 0.1)) == [(1.9, 5.1), (6.9, 11.1)]


def test_a_breath_does_not_part_and_a_doubtful_moment_does_not_end_speech() -> None:
    assert cut((1, 0), (2, 0.9), (0.4, 0), (2, 0.9), (1, 0)) == [(0.9, 5.4)]  # 5.444: whole windows of 32 ms
    assert cut((1, 0), (2, 0.9), (1, 0.4), (2, 0.9), (1, 0)) == [(0.9, 6.1)]


def test_long_speech_is_cut_evenly_and_short_sounds_are_left_out() -> None:
    assert cut((24, 1)) == [(0, 8), (8, 16), (16, 24)]
    assert cut((2, 0), (0.2, 1), (2, 0), (3, 1)) == [(4.1, 7.2)]
    assert cut((20, 0)) == []


@given(st.lists(st.tuples(st.floats(0.1, 15), st.floats(0, 1)), min_size=1, max_size=12))
def test_pieces_are_in_order_inside_the_recording_and_of_a_length_the_ensemble_knows(
    parts: list[tuple[float, float]],
) -> None:
    probabilities = np.concatenate([np.full(round(long * SECOND / HOP), share) for long, share in parts])
    samples = np.arange(len(probabilities) * HOP, dtype=np.int32)
    pieces = speech_segments(samples, probabilities)
    for piece in pieces:
        assert round(piece.start * SECOND) == piece.samples[0]
        assert 0.5 <= len(piece.samples) / SECOND <= 11
    for before, after in pairwise(pieces):
        assert before.samples[-1] < after.samples[0]


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"silero-vad and onnxruntime; run: pip install -r requirements-app\.txt"):
        SpeechPieces()


def test_the_real_detector_hears_silence_and_short_recordings_stay_whole() -> None:
    pytest.importorskip("onnxruntime", exc_type=ImportError)
    if find_spec("silero_vad") is None:
        pytest.skip("silero-vad is not installed (requirements-app.txt)")
    detect, silence = SpeechPieces(), np.zeros(15 * SECOND, np.float32)
    probabilities = detect.probabilities(silence)
    assert len(probabilities) == -(-len(silence) // HOP)
    assert probabilities.max() < 0.35
    assert [piece.start for piece in detect(silence)] == [piece.start for piece in windows(silence)]
    assert len(detect(silence[: 12 * SECOND])) == 1


def test_the_real_detector_finds_a_sentence_between_silences() -> None:
    pytest.importorskip("onnxruntime", exc_type=ImportError)
    if find_spec("silero_vad") is None or find_spec("espeakng_loader") is None:
        pytest.skip("silero-vad or espeakng-loader is not installed (requirements-app.txt, requirements-demo.txt)")
    (said,) = speak([Request("She works at the bank on the corner.", "en-us+f3", 140, 50, 50, 70, 0)])
    sentence = resample(said.samples, said.rate)
    silence = np.zeros(8 * SECOND, np.float32)
    (piece,) = SpeechPieces()(np.concatenate([silence, sentence, silence]))
    assert piece.start == pytest.approx(8, abs=0.4)
    assert piece.end == pytest.approx(8 + len(sentence) / SECOND, abs=0.6)
