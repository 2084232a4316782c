"""Answers as files, by `python -m medusa predict` on a tiny bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io.wavfile

from medusa.__main__ import main
from medusa.app.answers import Answer
from medusa.app.model import Medusa
from medusa.app.predictions import csv_text
from medusa.errors import UserError
from tests.app.conftest import EMOTIONS, Trained, clip_name, sound


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Path:
    """Three short recordings and, in a folder below, one of 13 s."""
    folder = tmp_path / "talks"
    (folder / "day 2").mkdir(parents=True)
    for number in (3, 1, 2):
        shutil.copyfile(trained.audio / clip_name(number), folder / clip_name(number))
    scipy.io.wavfile.write(folder / "day 2" / "long.WAV", 16_000, sound(4, 13.0))
    (folder / "notes.txt").write_text("not a recording")
    return folder


def predict(*words: object) -> None:
    main(["predict", *map(str, words)])


def refusal(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    with pytest.raises(SystemExit) as exit_:
        predict(*words)
    assert exit_.value.code == code
    return capsys.readouterr().err


def test_a_folder_becomes_a_table_in_the_order_of_names(bundle: Path, folder: Path, medusa: Medusa) -> None:
    predict(bundle, folder, "--out", folder / "out.csv")
    paths = [folder / clip_name(1), folder / clip_name(2), folder / clip_name(3), folder / "day 2" / "long.WAV"]
    expected = medusa.predict(paths)
    table = pd.read_csv(folder / "out.csv")
    assert list(table.columns) == list(expected.columns)
    assert list(table["FileName"]) == [str(path) for path in paths]
    assert table[[*EMOTIONS]].to_numpy() == pytest.approx(expected[[*EMOTIONS]].to_numpy(), abs=2e-6)
    assert list(table["Emotion"]) == list(expected["Emotion"])
    timeline = pd.read_csv(folder / "day 2" / "long.timeline.csv")
    assert timeline[["Start", "End"]].to_numpy() == pytest.approx(
        np.array([[0, 4.3333], [4.3333, 8.6667], [8.6667, 13]]), abs=1e-3
    )
    left = {path.name for path in folder.rglob("*")} - {path.name for path in paths}
    assert left == {"day 2", "notes.txt", "out.csv", "long.timeline.csv"}


def test_json_lines_hold_the_same(bundle: Path, folder: Path) -> None:
    for suffix in ("csv", "jsonl"):
        predict(bundle, folder / clip_name(1), folder / clip_name(2), "--out", folder / f"out.{suffix}")
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    table = pd.read_csv(folder / "out.csv")
    assert [row["FileName"] for row in rows] == [str(folder / clip_name(1)), str(folder / clip_name(2))]
    assert [list(row) for row in rows] == [list(table.columns)] * 2
    assert [row["Sad"] for row in rows] == list(table["Sad"])
    assert [row["Unsure"] for row in rows] == list(table["Unsure"])


def test_a_plot_of_each_long_recording(bundle: Path, folder: Path) -> None:
    predict(bundle, folder, "--plot", folder / "plots")
    made = sorted(path.relative_to(folder / "plots").as_posix() for path in (folder / "plots").rglob("*.*"))
    assert made == ["day 2/long.timeline.csv", "day 2/long.timeline.png"]
    assert (folder / "plots" / made[1]).read_bytes().startswith(b"\x89PNG")


def test_the_terminal_shows_a_line_a_recording(
    bundle: Path, folder: Path, medusa: Medusa, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(bundle, folder / clip_name(1), folder / clip_name(2))
    head, *lines, foot = capsys.readouterr().out.splitlines()
    threshold = f"{medusa.description.abstention.threshold:.2f}"
    assert foot == f"?: the ensemble is unsure, its largest posterior is below {threshold}"
    assert head.split() == ["recording", "emotion", "posterior", "arousal", "valence", "dominance", "transcript"]
    for line, row in zip(
        lines, medusa.predict([folder / clip_name(n) for n in (1, 2)]).to_dict("records"), strict=True
    ):
        words = line.split()
        assert words[0].endswith(Path(row["FileName"]).name)
        assert words[1] == row["Emotion"]
        assert words[2].rstrip("?") == f"{row[row['Emotion']]:.2f}"
        assert words[2].endswith("?") == row["Unsure"]
        assert words[3:6] == [f"{row[name]:.1f}" for name in ("EmoAct", "EmoVal", "EmoDom")]


def test_broken_files_are_listed_and_the_rest_is_done(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.mp3").write_text("rubbish")
    stderr = refusal(capsys, 3, bundle, folder, folder / "absent.wav", "--out", folder / "out.csv")
    assert "2 of 6 recordings failed, the rest is done; see" in stderr
    failures = pd.read_csv(folder / "out.failures.csv")
    assert [Path(name).name for name in failures["FileName"]] == ["a.mp3", "absent.wav"]
    assert "cannot be decoded" in failures["reason"][0]
    assert len(pd.read_csv(folder / "out.csv")) == 4
    predict(bundle, folder / clip_name(1), "--out", folder / "out.csv")
    assert not (folder / "out.failures.csv").exists()


def test_when_every_file_is_broken_nothing_is_written(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_text("rubbish")
    assert "none of 2 recordings could be done; the first:" in refusal(
        capsys, 2, bundle, tmp_path, "--out", tmp_path / "out.csv"
    )
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--out", "table.xlsx"], "must be a file that ends in .csv or .jsonl"), ([], "no recordings")],
)
def test_mistakes_are_one_line(
    bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    stderr = refusal(capsys, 2, bundle, folder if words else tmp_path / "empty", *words)
    assert message in stderr
    assert stderr.count("\n") == 1


def test_a_run_that_was_stopped_is_continued(
    bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(bundle, folder, "--out", folder / "whole.csv")
    honest = Medusa.answers
    asked: list[str] = []

    def stopped(self: Medusa, paths: Iterable[Path], cut: object) -> Iterator[Answer | UserError]:
        for path in [*paths][:2]:
            yield from honest(self, [path])
        raise KeyboardInterrupt

    def counted(self: Medusa, paths: Iterable[Path], cut: object) -> Iterator[Answer | UserError]:
        asked.extend(path.name for path in paths)
        return honest(self, paths)

    monkeypatch.setattr(Medusa, "answers", stopped)
    assert "the same command continues" in refusal(capsys, 130, bundle, folder, "--out", folder / "out.csv")
    assert not (folder / "out.csv").exists()
    with (folder / ".out.csv.partial").open("a") as file:
        file.write('[{"file": "torn')  # killed in the middle of a line
    shutil.copyfile(folder / clip_name(3), folder / clip_name(2))  # another recording in its place
    monkeypatch.setattr(Medusa, "answers", counted)
    predict(bundle, folder, "--out", folder / "out.csv")
    assert asked == [clip_name(2), clip_name(3), "long.WAV"]
    table, whole = (pd.read_csv(folder / name).drop(index=1) for name in ("out.csv", "whole.csv"))
    pd.testing.assert_frame_equal(table, whole, atol=1e-4)
    assert not (folder / ".out.csv.partial").exists()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\tx", "\rx", "\nx"])
def test_what_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert csv_text([{"a": text, "b": f"1{text}", "c": -1.5}]) in (
        f"a,b,c\n'{text},1{text},-1.5\n", f"a,b,c\n\"'{text}\",\"1{text}\",-1.5\n"
    )  # fmt: skip


def test_a_header_is_no_formula_either() -> None:
    assert csv_text([{"=1+1": "@x", "b": 2}]) == "'=1+1,b\n'@x,2\n"
