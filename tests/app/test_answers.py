from pathlib import Path

import numpy as np
import pytest

from medusa.app.answers import Answer, Labelling
from medusa.app.description import COLUMNS
from medusa.app.segments import Segment

LABELLING = Labelling(["Sad", "Happy"], ["EmoVal"], ["a", "b"], threshold=0.6)


def answer(seconds: list[int], posteriors: list[list[float]], valence: list[float], members: object) -> Answer:
    starts = np.cumsum(seconds) - seconds
    pieces = zip(starts, seconds, strict=True)
    return Answer(
        Path("talk.wav"), LABELLING,
        [Segment(float(start), np.linspace(-1, 1, 16_000 * long, dtype=np.float32)) for start, long in pieces],
        ["so", "", "it goes"][: len(seconds)],
        np.array(posteriors, np.float32), np.array(valence, np.float32)[:, None], np.array(members, np.float32),
    )  # fmt: skip


TALK = answer(
    [6, 6, 3], [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], [2, 4, 7],
    [[[1, 0], [0.6, 0.4]], [[0.2, 0.8], [0.1, 0.9]], [[0.7, 0.3], [0.0, 1.0]]],
)  # fmt: skip


def test_the_summary_is_the_mean_by_length() -> None:
    row = TALK.summary()
    # 0.4 of the first piece, 0.4 of the second, 0.2 of the third
    assert (row["Sad"], row["Happy"]) == pytest.approx((0.4 * 0.9 + 0.4 * 0.2 + 0.2 * 0.5, 0.46))
    assert row["EmoVal"] == pytest.approx(0.4 * 2 + 0.4 * 4 + 0.2 * 7)
    assert (row["FileName"], row["Seconds"], row["Transcript"]) == ("talk.wav", 15.0, "so it goes")
    assert (row["Emotion"], row["Unsure"]) == ("Sad", True)  # 0.54 is below 0.6
    # a: 0.4 + 0.08 + 0.14 = 0.62 for Sad; b: 0.24 + 0.04 + 0 = 0.28
    assert (row["Member a"], row["Member b"], row["Agreement"]) == ("Sad", "Happy", 0.5)


def test_the_timeline_has_one_row_a_piece() -> None:
    table = TALK.timeline()
    assert table[["Start", "End"]].values.tolist() == [[0, 6], [6, 12], [12, 15]]
    assert list(table["Emotion"]) == ["Sad", "Happy", "Sad"]
    assert list(table["Unsure"]) == [False, False, True]
    assert list(table["Agreement"]) == [1.0, 1.0, 0.5]
    assert list(table["Transcript"]) == ["so", "", "it goes"]
    assert list(table.columns) == ["FileName", "Start", "End", *list(TALK.summary())[2:]]


def test_at_the_threshold_it_is_sure() -> None:
    half = answer([2], [[0.6, 0.4]], [1], [[[0.5, 0.5], [1, 0]]])
    exactly = Labelling(["Sad", "Happy"], ["EmoVal"], ["a", "b"], threshold=float(np.float32(0.6)))
    assert not Answer(half.file, exactly, *[getattr(half, name) for name in FIELDS]).summary()["Unsure"]


FIELDS = ("segments", "transcripts", "posteriors", "attributes", "member_posteriors")


def noted(samples: np.ndarray) -> dict[str, object]:
    sure = answer([1], [[0.99, 0.01]], [1], [[[1, 0], [1, 0]]])
    fields = {name: getattr(sure, name) for name in FIELDS} | {"segments": [Segment(0.0, samples.astype(np.float32))]}
    return Answer(sure.file, LABELLING, **fields).summary()


def test_where_nobody_can_have_spoken_the_ensemble_is_unsure_and_says_why() -> None:
    hum = 0.01 * np.sin(np.arange(16_000))
    found = {
        name: (noted(samples)["Note"], noted(samples)["Unsure"])
        for name, samples in {
            "zeros": np.zeros(16_000), "offset": np.full(16_000, 0.5), "noise floor": hum / 20, "hum": hum,
            "ten samples": hum[:10], "just long enough": hum[:1_600], "one click": np.eye(1, 16_000)[0],
        }.items()
    }  # fmt: skip
    assert found == {
        "zeros": ("silent", True), "offset": ("silent", True), "noise floor": ("silent", True), "hum": ("", False),
        "ten samples": ("shorter than 0.1 s", True), "just long enough": ("", False),
        "one click": ("", False),
    }  # fmt: skip


def test_a_silent_piece_does_not_make_the_whole_doubtful() -> None:
    talk = answer([6, 6], [[0.9, 0.1], [0.9, 0.1]], [2, 4], [[[1, 0], [1, 0]]] * 2)
    half = [talk.segments[0], Segment(6.0, np.zeros(96_000, np.float32))]
    fields = {name: getattr(talk, name) for name in FIELDS} | {"segments": half}
    told = Answer(talk.file, LABELLING, **fields)
    assert list(told.timeline()["Note"]) == ["", "silent"]
    assert list(told.timeline()["Unsure"]) == [False, True]
    assert (told.summary()["Note"], told.summary()["Unsure"]) == ("", False)


def test_no_column_is_missing_among_those_that_no_emotion_may_be_called() -> None:
    columns = {*TALK.summary(), *TALK.pieces()[0]}
    assert columns - {"Sad", "Happy", "EmoVal", "Member a", "Member b"} == set(COLUMNS)
