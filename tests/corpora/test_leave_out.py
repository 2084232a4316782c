"""Labels without what could not be used: by hand, and the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from medusa.__main__ import main
from medusa.corpora.labels import read_labels
from medusa.errors import UserError

LABELS = """\
FileName,Happy,Sad,EmoClass,Partition
a.wav,1,0,Happy,train
b/c.wav,0.25,0.75,Sad,dev
"=d.wav",0,1,Sad,test
e.wav,,,,
f.wav,0.5,0.5,X,train
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text(LABELS)
    for store in ("wavlm", "whole"):
        Path(store).mkdir()
        Path(store, "manifest.json").write_text("{}")
    # As write_list leaves it: what a spreadsheet would take for a formula begins with a '.
    Path("wavlm/failures.csv").write_text("FileName,reason\n'=d.wav,cannot be decoded\na.wav,too short\n")
    Path("text.csv").write_text("FileName,reason\na.wav,no transcript\ne.wav,no transcript\n")
    return tmp_path


def leave_out(*failed: str, labels: str = "labels.csv", out: str = "usable") -> None:
    main(["leave-out", "--labels", labels, "--failed", *failed, "--out", out])


@pytest.mark.usefixtures("here")
def test_rows_that_any_list_names_are_taken_out_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    leave_out("wavlm", "whole", "text.csv")
    before, after = read_labels(Path("labels.csv")), read_labels(Path("usable/labels.csv"))
    assert after.ids == ["b/c", "f"]
    pd.testing.assert_frame_equal(after.table, before.table.loc[["b/c", "f"]])
    assert Path("usable/left_out.csv").read_text() == (
        "FileName,Partition,reason\na.wav,train,too short\n'=d.wav,test,cannot be decoded\ne.wav,,no transcript\n"
    )
    assert capsys.readouterr().out.splitlines()[0] == (
        "left out 3 of 5 utterances: 1 train, 1 test, 1 unlabelled: usable/left_out.csv"
    )


@pytest.mark.usefixtures("here")
def test_where_nothing_failed_nothing_is_taken_out(capsys: pytest.CaptureFixture[str]) -> None:
    leave_out("whole")
    assert read_labels(Path("usable/labels.csv")).ids == read_labels(Path("labels.csv")).ids
    assert Path("usable/left_out.csv").read_text() == "FileName,Partition,reason\n"
    assert capsys.readouterr().out.startswith("left out 0 of 5 utterances: usable/left_out.csv\n")


CASES: dict[str, tuple[Callable[[], object], tuple[str, ...], str]] = {
    "another corpus": (
        lambda: Path("text.csv").write_text("FileName,reason\nz.wav,gone\n"), ("wavlm", "text.csv"),
        "text.csv: z.wav: no such FileName in labels.csv",
    ),
    "another table": (lambda: Path("text.csv").write_text("a\nb\n"), ("text.csv",), "text.csv: no column FileName"),
    "no store": (lambda: Path("empty").mkdir(), ("empty",), "empty: neither a list (FileName,reason) nor"),
    "nothing there": (lambda: None, ("gone.csv",), "gone.csv: neither a list (FileName,reason) nor"),
    "nothing left": (
        lambda: Path("text.csv").write_text(
            "FileName,reason\n" + "".join(f"{name},x\n" for name in ("a.wav", "b/c.wav", "=d.wav", "e.wav", "f.wav"))
        ),
        ("text.csv",), "labels.csv: nothing is left",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_left_out_is_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    prepare, failed, message = CASES[case]
    prepare()
    with pytest.raises(SystemExit) as ended:
        leave_out(*failed)
    told = capsys.readouterr().err
    assert ended.value.code == UserError.exit_code
    assert told.startswith(f"error: {message}")
    assert told.count("\n") == 1
    assert not Path("usable").exists()


@pytest.mark.usefixtures("here")
def test_the_labels_themselves_are_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        leave_out("wavlm", out=".")
    assert "labels.csv lies there; choose another folder" in capsys.readouterr().err
    assert Path("labels.csv").read_text() == LABELS


@pytest.mark.usefixtures("here")
def test_labels_that_are_changed_afterwards_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    main(["prepare", "csv", "--table", "labels.csv", "--audio", ".", "--out", "data", "--no-durations"])
    main(["leave-out", "--labels", "data/labels.csv", "--failed", "wavlm", "--out", "usable"])
    main(["verify", "data", "usable"])
    capsys.readouterr()
    for folder in ("data", "usable"):
        file = Path(folder, "labels.csv")
        assert "b/c.wav,0.25,0.75" in file.read_text()
        file.write_text(file.read_text().replace("b/c.wav,0.25,0.75", "b/c.wav,0.75,0.25"))
        with pytest.raises(SystemExit):
            main(["verify", folder])
        assert f"{folder}/labels.csv: not the file that was written" in "".join(capsys.readouterr())
