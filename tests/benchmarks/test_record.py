"""What benchmarks keep."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
import torch

from benchmarks import record
from benchmarks.record import Record, growth, in_turn

CPU = torch.device("cpu")


def test_figures_are_kept_one_by_one_with_the_target_of_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    kept = Record("speed", CPU, steps=3)
    kept.figure("step", 2.5, {"cpu": 3, "cuda": 12}, rows=[{"variant": "naive", "clips_per_second": 0.123456}])
    kept.figure("epoch", 0.95, {"cpu": 0.9})
    kept.figure("free", 1.0)
    written = json.loads((tmp_path / "cpu" / "speed.json").read_text())
    today = datetime.date.today().isoformat()
    assert written["figures"]["step"] == {
        "ratio": 2.5, "target": 3, "date": today, "steps": 3,
        "rows": [{"variant": "naive", "clips_per_second": 0.1235}],
    }  # fmt: skip
    assert written["figures"]["free"]["target"] is None
    Record("speed", CPU, steps=5).figure("free", 2.0)
    later = json.loads((tmp_path / "cpu" / "speed.json").read_text())["figures"]
    assert [later[name]["ratio"] for name in ("step", "epoch", "free")] == [2.5, 0.95, 2.0]
    assert [later[name]["steps"] for name in ("step", "epoch", "free")] == [3, 3, 5]
    printed = capsys.readouterr().out
    assert "MISSED" in printed.splitlines()[0]
    assert "met" in printed.splitlines()[2]


def test_growth_is_the_exponent() -> None:
    assert growth([10, 20, 40, 80], [3e-4 * size**1.5 for size in (10, 20, 40, 80)]) == pytest.approx(1.5)


def test_works_are_taken_in_turn_and_the_first_call_is_not_counted() -> None:
    calls: list[str] = []
    medians = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, CPU)
    assert calls == ["a", "b"] * 3
    assert set(medians) == {"a", "b"}
