from pathlib import Path

import numpy as np
import pytest

from medusa.app.answers import Answer, Labelling
from medusa.app.segments import Segment

LABELLING = Labelling(["Sad", "Happy"], ["EmoVal"], ["a", "b"], threshold=0.6)


def answer(seconds: list[int], posteriors: list[list[float]], valence: list[float], members: object) -> Answer:
    starts = np.cumsum(seconds) - seconds
    pieces = zip(starts, seconds, strict=True)
    return Answer(
        Path("talk.wav"), LABELLING,
        [Segment(float(start), np.zeros(16_000 * long, np.float32)) for start, long in pieces],
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
