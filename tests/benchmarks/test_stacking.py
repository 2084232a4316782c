"""Stages 3 and 4 in small: both ways, and what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.stacking import Lists, check_same, config_of, made, main, naive_epoch
from medusa.training.data import make_targets


def test_both_ways_fit_as_many_weights_on_as_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = made(2000, 3, 0)
    rows = Lists(make_targets(fitted[0]), fitted[1].inputs)
    config = config_of("all", fitted[1], 2, tmp_path)
    check_same(config, fitted, rows)
    assert 0 < naive_epoch(rows, rows, 128, torch.device("cpu")) < 1
    monkeypatch.setattr("benchmarks.stacking.naive_model", lambda inputs: torch.nn.Linear(inputs, 8))
    with pytest.raises(AssertionError):
        check_same(config, fitted, rows)


def test_the_stages_and_the_whole_are_figures_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.record.RESULTS", tmp_path)
    words = {"--rows": "8000", "--selection-rows": "1000", "--members": "2", "--epochs": "1", "--threads": "1"}
    monkeypatch.setattr("sys.argv", ["stacking", *(word for pair in words.items() for word in pair)])
    main()
    figures = json.loads((tmp_path / "cpu" / "stacking.json").read_text())["figures"]
    stages, limit, whole, growth = figures
    assert stages == "Stages 3 and 4: naive (one epoch of one seed x 6) / ours"
    assert limit == "Stages 3 and 4: 60 s / ours"
    assert whole == "Stages 3 and 4 with reading and scoring: naive (without) / ours"
    assert figures[whole]["ratio"] < figures[stages]["ratio"]
    assert [figures[name]["target"] for name in (stages, limit, whole)] == [30, 1, None]
    assert figures[growth]["rows_of_each"] == [1125, 2250, 4500, 9000]
