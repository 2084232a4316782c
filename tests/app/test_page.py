"""The page's HTML, read as XML: it is well-formed, complete, and no text of a recording becomes markup."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from medusa.app.answers import Answer, Labelling
from medusa.app.description import Abstention
from medusa.app.page import answer_html, limits_html, problem_html, timeline_html
from medusa.app.segments import Segment

FEATURES = {"one": ["hearing"], "two": ["hearing", "text"]}
ABSTENTION = Abstention(threshold=0.5, share=0.2, partition="dev", accuracy_sure=0.75, accuracy_unsure=None)


def answer(posteriors: list[list[float]], seconds: float = 1.0, threshold: float = 0.5) -> Answer:
    """Two members: one says Calm, the other what is more likely in the first piece."""
    pieces = len(posteriors)
    return Answer(
        file=Path("clip.wav"),
        labelling=Labelling(["Calm", "<b>&"], ["EmoAct", "EmoVal"], ["one", "two"], threshold),
        segments=[Segment(number * seconds, np.linspace(-1, 1, round(16_000 * seconds))) for number in range(pieces)],
        transcripts=[f"<i>word</i> {number}" for number in range(pieces)],
        posteriors=np.array(posteriors, np.float32),
        attributes=np.array([[1.0, 5.5]] * pieces, np.float32),
        member_posteriors=np.array([[[1.0, 0.0], posteriors[0]]] * pieces, np.float32),
    )


def table(page: ElementTree.Element, kind: str) -> list[list[str]]:
    (found,) = [one for one in page.iter("table") if one.get("class") == kind]
    return [["".join(cell.itertext()) for cell in row if "".join(cell.itertext())] for row in found.iter("tr")]


def test_what_is_said_of_a_short_clip() -> None:
    page = ElementTree.fromstring(answer_html(answer([[0.2, 0.8]]), ABSTENTION, FEATURES))
    verdict = next(one for one in page.iter("div") if one.get("class") == "verdict")
    assert "".join(verdict.itertext()) == (
        "<b>&Sure: its posterior, 80%, is not below 50%. "
        "Of held-out clips for which that was so, the ensemble got 75% right."
    )
    assert table(page, "bars") == [["Calm", "20%"], ["<b>&", "80%"]]
    assert table(page, "scales") == [["Arousal", "calmactive", "1.0"], ["Valence", "negativepositive", "5.5"]]
    assert table(page, "members") == [["one", "hearing", "Calm"], ["two", "hearing + text", "<b>&"]]
    assert [one.text for one in page.iter("h2")][-1] == "Members: 1 of 2 agree"
    assert [one.text for one in page.iter("p")] == ["<i>word</i> 0"]
    assert [one.get("style") for one in page.iter() if one.get("style")] == [
        "width: 20.00%", "width: 80.00%", "left: 0.00%", "left: 75.00%"
    ]  # fmt: skip


def test_the_likeliest_emotion_and_the_members_that_agree_stand_out() -> None:
    page = ElementTree.fromstring(answer_html(answer([[0.2, 0.8]]), ABSTENTION, FEATURES))
    marked = {row.get("class"): "".join(row[0].itertext()) for row in page.iter("tr") if row.get("class")}
    assert marked == {"first": "<b>&", "agrees": "two"}


def test_an_unsure_ensemble_says_so() -> None:
    page = answer_html(answer([[0.41, 0.59]], threshold=0.6), replace_threshold(0.6), FEATURES)
    assert 'class="verdict unsure"' in page
    assert "</b>Unsure: its posterior, 59%, is below 60%.</div>" in page


@pytest.mark.parametrize("pieces", [1, 3])
def test_of_a_silent_recording_nothing_else_is_said(pieces: int) -> None:
    """No bar stands out, and no word that a recogniser made of silence."""
    told = answer([[0.01, 0.99]] * pieces)
    silent = replace(told, segments=[Segment(number, np.zeros(16_000, np.float32)) for number in range(pieces)])
    assert answer_html(silent, ABSTENTION, FEATURES) == (
        '<div class="answer" aria-live="polite"><div class="verdict unsure"><b>Nothing to judge</b>'
        "Unsure: the recording is silent.</div></div>"
    )
    assert timeline_html(silent) == ""


def test_a_silent_piece_of_a_long_clip_is_called_so() -> None:
    told = answer([[0.9, 0.1], [0.01, 0.99], [0.4, 0.45]])
    silent = [told.segments[0], Segment(1.0, np.zeros(16_000, np.float32)), told.segments[2]]
    page = ElementTree.fromstring(timeline_html(replace(told, segments=silent)))
    assert [row[1] for row in table(page, "pieces")[1:]] == ["Calm 90%", "silent", "<b>& 45% (unsure)"]


def test_a_long_clip_has_a_row_for_each_piece() -> None:
    told = answer([[0.9, 0.1], [0.4, 0.6], [0.55, 0.45]], seconds=31)
    page = ElementTree.fromstring(timeline_html(told))
    assert table(page, "pieces") == [
        ["Time", "Emotion", "Transcript"],
        ["0:00–0:31", "Calm 90%", "<i>word</i> 0"],
        ["0:31–1:02", "<b>& 60%", "<i>word</i> 1"],
        ["1:02–1:33", "Calm 55%", "<i>word</i> 2"],
    ]
    (picture,) = page.iter("img")
    scheme, _, data = str(picture.get("src")).partition(",")
    assert scheme == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).width > 1000
    whole = ElementTree.fromstring(answer_html(told, ABSTENTION, FEATURES))
    assert [one.text for one in whole.iter("p")] == ["<i>word</i> 0 <i>word</i> 1 <i>word</i> 2"]


def test_what_there_is_none_of_is_left_out() -> None:
    whole = answer([[0.2, 0.8]])
    bare = replace(
        whole, labelling=Labelling(["Calm", "Sad"], [], ["one"], 0.5), transcripts=[""],
        attributes=np.zeros((1, 0), np.float32), member_posteriors=whole.member_posteriors[:, :1],
    )  # fmt: skip
    page = ElementTree.fromstring(answer_html(bare, ABSTENTION, FEATURES))
    assert [one.text for one in page.iter("h2")] == ["Emotions"]
    assert timeline_html(bare) == ""


@pytest.mark.parametrize("html", [problem_html("<script>"), limits_html(50, 10)])
def test_other_parts_are_well_formed(html: str) -> None:
    assert not list(ElementTree.fromstring(html).iter("script"))


def replace_threshold(threshold: float) -> Abstention:
    return ABSTENTION.model_copy(update={"threshold": threshold})
