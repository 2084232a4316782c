"""What a training step is credited with, at a small width."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import train_step
from benchmarks.podcast import corpus_lengths
from benchmarks.train_step import check_same, encoder_frames, measure, padded_shares, variants

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_step, "WIDTH", 8)
    monkeypatch.setattr(train_step, "FEED_FORWARD", 8)


def test_encoders_see_the_modalities_then_all_of_them_then_these_twice() -> None:
    assert encoder_frames(torch.tensor([[300, 20], [150, 5]])).tolist() == [[300, 20, 320, 640], [150, 5, 155, 310]]


def test_padding_is_counted_in_every_encoder() -> None:
    # One batch of two clips: (10, 1) and (6, 3) frames, joined 11 and 9.
    # Ours: 10 + 3 + 11 + 22 a clip; naive joins what is padded: 10 + 3 + 13 + 26. Real: 10+1+11+22 + 6+3+9+18 = 80.
    shares = padded_shares(np.array([[10, 1], [6, 3]]), 2)
    assert shares["ours"] == shares["random batches"] == pytest.approx(1 - 80 / 92)
    assert shares["naive"] == pytest.approx(1 - 80 / 104)


def test_our_batches_have_less_than_the_targets_padding_where_rates_of_speaking_differ() -> None:
    shares = padded_shares(corpus_lengths(["wavlm", "roberta"]), 16)
    assert shares["ours"] < 0.05 < 0.3 < shares["random batches"] <= shares["naive"]


def test_the_networks_that_are_compared_answer_the_same() -> None:
    check_same(["wavlm", "roberta"], CPU)
    check_same(["whisper", "roberta"], CPU)


def test_every_way_is_credited_by_clips_of_the_same_mean_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_step, "seconds_of", lambda *_: 2.0)
    monkeypatch.setattr(train_step, "fastest_precision", lambda device: "bf16")
    modalities = ["whisper", "roberta"]
    rows = measure(variants(modalities, 16, 2, CPU, all_of_them=True), modalities, steps=3, warm_up=0, device=CPU)
    by_name = {row["variant"]: row for row in rows}
    assert list(by_name) == ["naive", "ours, bf16", "ours, float32", "naive, Whisper trimmed"]
    assert [row["clips_per_second"] for row in rows] == [1, 8, 8, 8]
    assert [row["times_naive"] for row in rows] == [1, 8, 8, 8]
    for row in rows:
        np.testing.assert_allclose(row["mean_frames"], corpus_lengths(modalities).mean(axis=0), rtol=0.03)


def test_a_processor_without_bf16_is_measured_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_step, "fastest_precision", lambda device: "float32")
    assert list(variants(["wavlm", "roberta"], 16, 16, CPU, all_of_them=True)) == ["naive", "ours, float32"]
