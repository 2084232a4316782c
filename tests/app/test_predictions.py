"""Answers as files, by `python -m medusa predict` on a tiny bundle."""

from __future__ import annotations

import json
import os
import shutil
import sys
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io.wavfile

from medusa.__main__ import main
from medusa.app.answers import Answer
from medusa.app.model import BATCH, Medusa
from medusa.app.predictions import Predictions, csv_text
from medusa.errors import UserError
from medusa.files import lock_file
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


def test_cutting_at_speech_without_its_packages_is_refused_before_anything_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(Medusa, "from_pretrained", None)
    said = refusal(capsys, 2, "bundle", folder, "--segments", "speech")
    assert said.startswith("error: --segments speech: needs the packages silero-vad and onnxruntime; run: pip install")


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
    assert foot.startswith("?: the ensemble is unsure, for the (reason) given or")
    assert foot.endswith(f"its largest posterior is below {threshold}")
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
    [
        (["--out", "table.xlsx"], "must be a file that ends in .csv or .jsonl"),
        (["--plot", __file__], "a file; name a folder"),
        ([], "no recordings"),
    ],
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


@pytest.mark.parametrize("out", ["a.wav/out.csv", f"{'x' * 300}.csv"])
def test_where_nothing_can_be_written_is_one_line(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    (folder / "a.wav").touch()
    told = refusal(capsys, 2, bundle, folder / clip_name(1), "--out", folder / out)
    assert "; choose " in told
    assert told.count("\n") == 1


def test_names_do_not_steer_the_terminal_and_silence_is_called_so(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scipy.io.wavfile.write(folder / "a\x1b[2J\nb.wav", 16_000, np.zeros(8_000, np.float32))
    (folder / "c\x1b\nd.wav").write_text("no audio")
    with pytest.raises(SystemExit):
        predict(bundle, folder)
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    (line,) = [line for line in out.splitlines() if "\\x1b[2J b.wav" in line]
    assert line.endswith("(silent)")
    assert "?" in line
    assert sum("\\x1b d.wav: cannot be decoded" in line for line in err.splitlines()) >= 1


def test_a_second_command_may_not_write_the_same_file(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with lock_file(folder / "out.csv", "writing"):
        told = refusal(capsys, 2, bundle, folder, "--out", folder / "out.csv")
    assert "out.csv: another process is writing this file" in told
    predict(bundle, folder, "--out", folder / "out.csv")


@pytest.mark.parametrize(
    "line",
    [b'{"torn', b"[1]", b'[{"bytes": 1}, {}]', b'[{"file": []}, {}]', b'[{"file": "a"}, {}]', b"[" * 5000, b"\xff"],
)
def test_damaged_work_of_an_earlier_run_is_named(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Predictions, "finish", lambda self: None)
        predict(bundle, folder, "--out", folder / "out.csv")
    partial = folder / ".out.csv.partial"
    whole = partial.read_bytes()
    assert whole.count(b"\n") == 5
    partial.write_bytes(whole + line + b"\n")
    told = refusal(capsys, 2, bundle, folder, "--out", folder / "out.csv")
    assert f"{partial}: line 6: what an earlier run had done is damaged; delete this file" in told
    partial.write_bytes(whole + line)  # torn: a run that was killed
    predict(bundle, folder, "--out", folder / "out.csv")
    assert len(pd.read_csv(folder / "out.csv")) == 4


def test_a_recording_taken_away_meanwhile_is_a_failure(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Predictions.add

    def late(self: Predictions, path: Path, answer: Answer | UserError) -> None:
        if path.name == clip_name(2):
            path.unlink()
        add(self, path, answer)

    monkeypatch.setattr(Predictions, "add", late)
    told = refusal(capsys, 3, bundle, folder, "--out", folder / "out.csv")
    assert "1 of 4 recordings failed" in told
    assert "taken away" in (folder / "out.failures.csv").read_text()
    assert len(pd.read_csv(folder / "out.csv")) == 3


@pytest.mark.parametrize("out", ["out.csv", "out.jsonl"])
def test_a_name_that_is_not_utf_8_is_a_failure_that_can_be_read(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    shutil.copyfile(folder / clip_name(1), folder / os.fsdecode(b"caf\xe9.wav"))
    told = refusal(capsys, 3, bundle, folder, "--out", folder / out)
    assert "caf\\udce9.wav: cannot be decoded" in told
    failures = pd.read_csv(folder / "out.failures.csv")
    assert failures["FileName"].tolist() == [f"{folder}/caf\\udce9.wav"]


def test_a_single_recording_that_fails_is_named_once(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.wav").write_text("no audio")
    assert refusal(capsys, 2, bundle, tmp_path / "bad.wav").count("bad.wav") == 1


def test_answers_are_let_go_once_they_are_written(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large a folder is, no more answers are held than are worked on at once."""
    for number in range(30):
        shutil.copyfile(folder / clip_name(1), folder / f"more-{number:02d}.wav")
    held: list[weakref.ref[Answer]] = []
    most = []
    add = Predictions.add

    def counted(self: Predictions, path: Path, answer: Answer | UserError) -> None:
        assert isinstance(answer, Answer)
        held.append(weakref.ref(answer))
        add(self, path, answer)
        most.append(sum(one() is not None for one in held))

    monkeypatch.setattr(Predictions, "add", counted)
    predict(bundle, folder, "--out", folder / "out.csv")
    assert len(held) == 34
    assert max(most[:17]) == max(most[17:]) <= BATCH + 1
