"""The challenge's file: written from posteriors, and every way to get it wrong."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from medusa.corpora.msp_layout import EMOTIONS
from medusa.errors import UserError
from medusa.evaluation.submission import check_submission, expected_names, write_submission

NAMES = expected_names("MSP-PODCAST_test3_", 5)
GOOD = [f"{name},{letter}" for name, letter in zip(NAMES, "NAHUC", strict=True)]


def posteriors(folder: Path, rows: list[str], header: str = "FileName,Angry,EmoClass,Partition") -> Path:
    path = folder / "unlabelled.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def submission(folder: Path, rows: list[str], header: str = "FileName,EmoClass") -> Path:
    path = folder / "submission.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_names_of_test3() -> None:
    names = expected_names("MSP-PODCAST_test3_", 3200)
    assert len(names) == 3200
    assert (names[0], names[-1]) == ("MSP-PODCAST_test3_0001.wav", "MSP-PODCAST_test3_3200.wav")
    assert names == sorted(names)


def test_letters_are_those_of_msp_podcast_and_rows_are_sorted(tmp_path: Path) -> None:
    names = expected_names("MSP-PODCAST_test3_", 8)
    rows = [f"{name},0.1,{emotion}," for name, emotion in zip(names, EMOTIONS, strict=True)]
    source = posteriors(tmp_path, [rows[5], "MSP-PODCAST_0001_0001.wav,0.2,Angry,train", *rows[:5], *rows[:5:-1]])
    letters = write_submission(source, tmp_path / "out" / "s.csv", names)
    assert letters == dict.fromkeys("ASHUFDCN", 1)
    expected = [f"{name},{letter}" for name, letter in zip(names, "ASHUFDCN", strict=True)]
    assert (tmp_path / "out" / "s.csv").read_text() == "\n".join(["FileName,EmoClass", *expected]) + "\n"
    assert check_submission(tmp_path / "out" / "s.csv", names) == letters


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([f"{name},0.1,Angry," for name in NAMES[:-1]], f"4 of 5 rows are there, '{NAMES[-1]}' is the first missing"),
        ([f"{name},0.1,Angry," for name in [*NAMES, NAMES[2]]], f"line 7 FileName: '{NAMES[2]}': stands twice"),
        ([f"{NAMES[0]},0.1,Calm,"], f"line 2 ('{NAMES[0]}'), EmoClass: 'Calm': must be one of Angry,"),
        ([f"{NAMES[0]},0.1,,"], "EmoClass: '': must be one of"),
        ([f"{NAMES[0]},0.1,X,"], "EmoClass: 'X': must be one of"),
    ],
)
def test_posteriors_that_do_not_fit_write_nothing(tmp_path: Path, rows: list[str], message: str) -> None:
    out = tmp_path / "s.csv"
    with pytest.raises(UserError) as caught:
        write_submission(posteriors(tmp_path, rows), out, NAMES)
    assert message in str(caught.value)
    assert str(tmp_path / "unlabelled.csv") in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["unlabelled.csv"]


def test_posteriors_need_a_predicted_class(tmp_path: Path) -> None:
    source = posteriors(tmp_path, [f"{name},0.1" for name in NAMES], header="FileName,Angry")
    with pytest.raises(UserError, match="no column EmoClass"):
        write_submission(source, tmp_path / "s.csv", NAMES)


def test_what_was_written_is_checked_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = posteriors(tmp_path, [f"{name},0.1,Angry," for name in NAMES[::-1]])
    monkeypatch.setattr(pd.DataFrame, "sort_values", lambda table, by: table)  # as if the writer forgot it
    with pytest.raises(UserError, match=r"s\.csv, line 3 FileName: .*0004\.wav': must come before the row above it"):
        write_submission(source, tmp_path / "s.csv", NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["unlabelled.csv"]


def test_a_right_file_passes(tmp_path: Path) -> None:
    assert check_submission(submission(tmp_path, GOOD), NAMES) == dict.fromkeys("NAHUC", 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (GOOD[:-1], f"4 of 5 rows are there, '{NAMES[-1]}' is the first missing"),
        ([*GOOD[:2], *GOOD[3:]], f"'{NAMES[2]}' is the first missing"),
        ([*GOOD, "MSP-PODCAST_test3_0006.wav,N"], "line 7 FileName: 'MSP-PODCAST_test3_0006.wav': must be one of"),
        ([*GOOD[:4], "MSP-PODCAST_test3_5.wav,N"], "line 6 FileName: 'MSP-PODCAST_test3_5.wav': must be one of"),
        ([*GOOD, GOOD[4]], f"line 7 FileName: '{NAMES[4]}': stands twice"),
        ([f"{NAMES[0]},Neutral", *GOOD[1:]], f"line 2 ('{NAMES[0]}'), EmoClass: 'Neutral': must be one of A, S"),
        ([*GOOD[:3], f"{NAMES[3]},X", GOOD[4]], f"line 5 ('{NAMES[3]}'), EmoClass: 'X': must be one of"),
        ([GOOD[1], GOOD[0], *GOOD[2:]], f"line 3 FileName: '{NAMES[0]}': must come before the row above it"),
        ([f"{row},1" for row in GOOD], "rows have more cells than the header"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_submission(submission(tmp_path, rows), NAMES)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header", ["EmoClass,FileName", "FileName,EmoClass,EmoAct", "filename,emoclass", GOOD[0]])
def test_another_header_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(UserError, match=r"line 1: the header is .*, must be FileName,EmoClass"):
        check_submission(submission(tmp_path, GOOD, header), NAMES)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(",N", ',"N"'),
    ],
)
def test_the_right_rows_in_another_form_are_refused(tmp_path: Path, change: Callable[[str], str]) -> None:
    file = submission(tmp_path, GOOD)
    file.write_bytes(change(file.read_text(encoding="utf-8")).encode())
    with pytest.raises(UserError, match="the right rows, but not as plain text"):
        check_submission(file, NAMES)
