"""The fourteen members at their true widths, without memory for weights; and one step of a small one."""

from pathlib import Path

import pytest
import torch

from benchmarks.members import count_parameters, measure_steps, random_labels, read_members, write_stores

ALL = [f"{number:02d}" for number in range(1, 15)]


def by_hand(dims: list[int], width: int = 1024, inner: int = 2048) -> int:
    """Algorithms 1 and 2, weight by weight: two layers, two fusion levels, eight emotions, three attributes."""
    attention = (3 * width * width + 3 * width) + (width * width + width)
    feed_forward = (width * inner + inner) + (inner * width + width)
    layers = 2 * (attention + feed_forward + 2 * 2 * width)
    encoders = sum((dim * width + width) + (width * width + width) + layers for dim in [*dims, width, width])
    joined = (len(dims) + 1) * width * width + width
    return encoders + joined + (8 * width + 8) + (3 * width + 3)


def test_all_members_build_and_their_parameters_are_those_counted_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    members = read_members([], tmp_path)
    assert [member.name for member in members] == ALL
    write_stores(tmp_path, {name for member in members for name in member.features}, clips=1)
    widths = {
        "wavlm-large": 1024, "hubert-large": 1024, "roberta-large": 1024, "modernbert-large": 1024,
        "whisper-large-v3": 1280,
    }  # fmt: skip
    labels = random_labels(1)
    for member in members:
        assert count_parameters(member, labels) == by_hand([widths[name] for name in member.features])


def test_a_step_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    small = ["model.hidden_dim=8", "model.feedforward_dim=8", "training.batch_size=2"]
    (member,) = read_members(["12"], tmp_path, *small)
    write_stores(tmp_path, set(member.features), clips=3)
    measured = measure_steps(member, random_labels(3), torch.device("cpu"))
    assert 0 < measured["s/step"] < 60
    assert 0.01 < measured["peak, GB"] < 100
    assert 0 < measured["loss"] < 100
