"""The ways to attend, at a small width."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import record
from benchmarks.attention import PRECISIONS, TOLERANCES, WAYS, Heads, attend, check_same, make_heads, measure
from benchmarks.record import Record

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_ways_are_the_same(precision: str) -> None:
    check_same(make_heads(torch.tensor([7, 3, 5]), 16, PRECISIONS[precision], CPU), TOLERANCES[precision])


def test_they_are_the_attention_of_each_clip_by_hand() -> None:
    heads = make_heads(torch.tensor([4, 2]), 8, torch.float32, CPU)
    for way in WAYS.values():
        attended = attend(way, heads)
        for row, length in enumerate(heads.lengths):
            query, key, value = (own[row, 0, :length].detach() for own in heads.projected)
            by_hand = (query @ key.T / 8**0.5).softmax(dim=1) @ value
            torch.testing.assert_close(attended[row, 0, :length], by_hand, atol=1e-5, rtol=1e-5)


def test_the_check_sees_a_way_that_attends_padding() -> None:
    heads = make_heads(torch.tensor([7, 3]), 16, torch.float32, CPU)
    with pytest.raises(AssertionError):
        check_same(Heads(heads.projected, heads.mask | True, heads.lengths), 1e-4)


def test_training_and_posteriors_are_measured_in_each_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    measure(Record("attention", CPU), 2, 1, width=8)
    figures = json.loads((tmp_path / "cpu" / "attention.json").read_text())["figures"]
    assert [name.split(", batch")[0] for name in figures] == [
        "training, float32", "posteriors, float32", "training, bf16", "posteriors, bf16",
    ]  # fmt: skip
    assert all(len(figure["rows"]) == 3 and figure["ratio"] > 0 for figure in figures.values())
