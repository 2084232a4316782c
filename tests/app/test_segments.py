from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medusa.app.segments import windows


@pytest.mark.parametrize("seconds", [0.1, 5, 12])
def test_a_short_recording_is_one_piece(seconds: float) -> None:
    samples = np.zeros(round(seconds * 16_000), np.float32)
    (piece,) = windows(samples)
    assert piece.start == 0
    assert piece.end == pytest.approx(seconds)
    assert piece.samples is samples


@pytest.mark.parametrize(("seconds", "pieces"), [(12.001, 3), (18, 3), (18.01, 4), (60, 10), (61, 11)])
def test_a_long_one_is_cut_into_as_few_pieces_of_six_seconds_as_hold_it(seconds: float, pieces: int) -> None:
    assert len(windows(np.zeros(round(seconds * 16_000), np.float32))) == pieces


@given(st.integers(192_001, 700_000))
def test_the_pieces_cover_the_recording_without_gap_or_overlap_and_are_equally_long(length: int) -> None:
    samples = np.arange(length, dtype=np.int32)
    pieces = windows(samples)
    assert (np.concatenate([piece.samples for piece in pieces]) == samples).all()
    assert all(round(piece.start * 16_000) == piece.samples[0] for piece in pieces)
    assert all(before.end == pytest.approx(after.start) for before, after in pairwise(pieces))
    sizes = [len(piece.samples) for piece in pieces]
    assert max(sizes) <= 96_000
    assert max(sizes) - min(sizes) <= 1
