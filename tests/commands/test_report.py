"""`medusa report` from the command line: what it says when a run is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from medusa.__main__ import main

ROOT = Path(__file__).parents[2]
SAMPLE = "configs/sample/metacls.yaml"


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(["report", *words])
    assert exit_.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    return stderr


def test_a_missing_member_is_one_line_with_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, "--runs", str(tmp_path), "--ensembles", SAMPLE)
    assert f"{tmp_path}/members/deepser/config.yaml: no such file" in told
    assert "python train_deepser.py" in told
    assert list(tmp_path.iterdir()) == []


def test_a_missing_ensemble_is_one_line_with_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = "members=[samples/posteriors/ours.csv, samples/posteriors/authors-1.csv]"
    told = refusal(capsys, "--runs", str(tmp_path), "--ensembles", SAMPLE, "--changes", files, "name=files")
    command = f"python train_metacls.py {SAMPLE} '{files}' name=files paths.runs={tmp_path}"
    assert f"{tmp_path}/ensembles/files/identity.json: no such file; train the ensemble with: {command}" in told


def test_a_misspelt_config_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, "--runs", str(tmp_path), "--ensembles", SAMPLE, "--changes", "sedes=[1]")
    assert "did you mean 'seeds'?" in told


def test_ensembles_of_two_corpora_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, "--runs", str(tmp_path), "--ensembles", SAMPLE, "configs/ravdess/metacls.yaml")
    assert "configs/ravdess/metacls.yaml: paths.labels:" in told
    assert "samples/labels.csv" in told


@pytest.mark.parametrize("words", [[], ["--runs", "x"], ["--ensembles", SAMPLE]])
def test_an_incomplete_command_line_shows_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["report", *words])
    assert exit_.value.code == 2
    assert "usage: medusa report" in capsys.readouterr().err
