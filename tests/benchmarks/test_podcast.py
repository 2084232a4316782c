"""Lengths that benchmarks draw."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.podcast import draw_lengths


def test_lengths_are_msp_podcasts_and_people_speak_at_different_rates() -> None:
    speech, text = (draw_lengths(60_000, modality).numpy() for modality in ("wavlm", "roberta"))
    assert 137 <= speech.min() < 140
    assert 540 < speech.max() <= 550
    assert speech.mean() / 50 == pytest.approx(5.6, abs=0.02)
    assert (text.min(), text.max()) == (5, 45)
    rates = (text / speech)[(text > 5) & (text < 45)]
    assert rates.std() / rates.mean() == pytest.approx(0.3, abs=0.03)
    assert 0.6 < np.corrcoef(speech, text)[0, 1] < 0.8


def test_one_seed_is_one_set_of_clips() -> None:
    assert draw_lengths(50, "wavlm").equal(draw_lengths(50, "whisper"))
    assert draw_lengths(50, "roberta").equal(draw_lengths(50, "modernbert"))
    assert not draw_lengths(50, "wavlm").equal(draw_lengths(50, "wavlm", seed=1))
