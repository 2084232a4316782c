"""Lengths that benchmarks draw."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.podcast import corpus_lengths, draw_lengths, epoch_batches, typical_batches


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


def test_corpora_of_the_same_clips_again_and_again_differ_only_in_size() -> None:
    for modality in ("wavlm", "roberta"):
        small, large = (draw_lengths(size, modality, distinct=6) for size in (6, 48))
        assert small.equal(draw_lengths(6, modality))
        assert large.equal(small.repeat(8))


@pytest.mark.parametrize(
    ("batch_size", "count", "alike"), [(16, 2, True), (16, 2, False), (32, 2, True), (2, 3, False)]
)
def test_a_few_batches_have_the_mean_clip_of_the_corpus(batch_size: int, count: int, alike: bool) -> None:
    lengths = corpus_lengths(["wavlm", "roberta"])
    batches = typical_batches(lengths, batch_size, count, alike)
    assert [len(rows) for rows in batches] == [batch_size] * count
    assert len(set(np.concatenate(batches).tolist())) == batch_size * count
    mean = lengths[np.concatenate(batches)].mean(axis=0)
    np.testing.assert_allclose(mean, lengths.mean(axis=0), rtol=0.02)


def test_our_batches_are_those_of_training_and_every_clip_stands_in_one() -> None:
    lengths = corpus_lengths(["wavlm", "roberta"])[:200]
    for alike in (True, False):
        assert sorted(np.concatenate(epoch_batches(lengths, 16, alike))) == list(range(200))
