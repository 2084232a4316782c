"""`medusa bundle` from the command line: what it passes on, what it says. Bundles themselves: tests/app."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medusa.__main__ import main


def test_it_says_what_was_bundled_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my bundle"

    def write(*given: object) -> Any:
        assert given == (Path("runs/demo"), out, "alone", "Trained on noise.")
        (out / "soup").mkdir(parents=True)
        (out / "soup/model.safetensors").write_bytes(bytes(2_400_000))
        return SimpleNamespace(name="alone", members=["whisper"])

    monkeypatch.setattr("medusa.app.bundle.write_bundle", write)
    main(["bundle", "runs/demo", "--out", str(out), "--ensemble", "alone", "--about", "Trained on noise."])
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["ensemble alone: 1 member, 2 MB", f"bundle: {out}"]
    assert shlex.split(told[2]) == ["next:", "python", "-m", "medusa", "predict", str(out), "RECORDING"]


def test_a_mistake_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["bundle", "nowhere", "--out", "b"])
    assert exit_.value.code == 2
    assert capsys.readouterr().err == (
        "error: nowhere/ensembles: no evaluated ensemble; train one with train_metacls.py, then run eval_metacls.py\n"
    )
    assert list(tmp_path.iterdir()) == []
