"""What benchmarks keep."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
import torch

from benchmarks import record
from benchmarks.record import Record, growth, in_turn, least_of, markdown

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
    Record("speed", CPU, parts=["free"], steps=5).figure("free", 2.0)
    later = json.loads((tmp_path / "cpu" / "speed.json").read_text())["figures"]
    assert [later[name]["ratio"] for name in ("step", "epoch", "free")] == [2.5, 0.95, 2.0]
    assert [later[name]["steps"] for name in ("step", "epoch", "free")] == [3, 3, 5]
    printed = capsys.readouterr().out
    assert "MISSED" in printed.splitlines()[0]
    assert "met" in printed.splitlines()[2]


def test_no_figure_outlives_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)

    def measured(parts: list[str] | None, *names: str) -> list[str]:
        kept = Record("speed", CPU, parts)
        for name in names:
            kept.figure(name, 1.0)
        return list(json.loads((tmp_path / "cpu" / "speed.json").read_text())["figures"])

    assert measured(None, "wavlm: old", "hubert: old") == ["wavlm: old", "hubert: old"]
    assert measured(["hubert:"], "hubert: new") == ["wavlm: old", "hubert: new"]
    assert measured(["whisper:"], "whisper: new") == ["wavlm: old", "hubert: new", "whisper: new"]
    assert measured(None, "wavlm: new") == ["wavlm: new"]


def test_parts_of_another_machine_do_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    Record("speed", CPU).figure("wavlm", 1.0)
    monkeypatch.setattr(record, "processor", lambda: "another")
    Record("speed", CPU, ["hubert"]).figure("hubert", 1.0)
    assert list(json.loads((tmp_path / "cpu" / "speed.json").read_text())["figures"]) == ["hubert"]


def test_the_markdown_table_has_every_figure_of_every_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    kept = Record("speed", CPU)
    kept.figure("step", 2.5, {"cpu": 3})
    kept.figure("epoch", 12.345)
    Record("store", CPU).figure("reads", 4.0, {"cpu": 4})
    today = datetime.date.today().isoformat()
    (tmp_path / "H200").mkdir()
    (tmp_path / "H200" / "speed.json").write_text(
        json.dumps({"device": "H200", "processor": "x", "torch": "2", "figures": {"step": {
            "ratio": 15.0, "target": 12, "date": "2026-01-01"}}})
    )  # fmt: skip
    other, cpu = markdown(tmp_path).split("\n\ncpu: ")
    assert other.splitlines()[0] == "H200: H200; x; torch 2"
    assert other.splitlines()[4:] == ["| step | `python -m benchmarks.speed` | 15 | 12 | met | 2026-01-01 |"]
    assert cpu.splitlines()[4:] == [
        f"| step | `python -m benchmarks.speed` | 2.5 | 3 | MISSED | {today} |",
        f"| epoch | `python -m benchmarks.speed` | 12.3 | – |  | {today} |",
        f"| reads | `python -m benchmarks.store` | 4 | 4 | met | {today} |",
    ]


def test_the_command_prints_the_table_of_the_results_that_are_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["record"])
    record.main()
    assert capsys.readouterr().out.rstrip("\n") == markdown(record.RESULTS)


def test_growth_is_the_exponent() -> None:
    assert growth([10, 20, 40, 80], [3e-4 * size**1.5 for size in (10, 20, 40, 80)]) == pytest.approx(1.5)


def test_works_are_taken_in_turn_and_the_first_call_is_not_counted() -> None:
    calls: list[str] = []
    medians = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, CPU)
    assert calls == ["a", "b"] * 3
    assert set(medians) == {"a", "b"}


def test_without_a_warm_up_every_call_counts() -> None:
    calls: list[str] = []
    in_turn({"a": lambda: calls.append("a")}, 2, CPU, warm_up=False)
    assert calls == ["a", "a"]


def test_the_least_seconds_count_for_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([3.0, 1.0, 2.0, 5.0])
    monkeypatch.setattr(record, "seconds_of", lambda *_: next(seconds))
    assert least_of([lambda: None, lambda: None], 2, CPU) == [2.0, 1.0]


def test_a_processor_is_told_from_its_namesakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr("medusa.device.cpu_capabilities", lambda: {"avx512_bf16": True})
    able = record.processor()
    monkeypatch.setattr("medusa.device.cpu_capabilities", dict)
    assert able.endswith(", AVX512, with bf16")
    assert record.processor() == able.replace("with bf16", "without bf16")
