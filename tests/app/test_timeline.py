from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from medusa.app import timeline
from medusa.app.answers import Answer, Labelling
from medusa.app.segments import Segment


def answer(pieces: int, emotions: int, attributes: list[str]) -> Answer:
    """Every second piece is sure."""
    random = np.random.default_rng(0)
    posteriors = np.full((pieces, emotions), 0.5 / emotions, np.float32)
    posteriors[:, 0] += 0.5
    posteriors[1::2] = 1 / emotions
    names = [f"Emotion $x_{number}$" for number in range(emotions)]
    segments = [Segment(6.0 * number, np.linspace(-1, 1, 96_000, dtype=np.float32)) for number in range(pieces)]
    values = random.uniform(1, 7, (pieces, len(attributes))).astype(np.float32)
    labelling = Labelling(names, attributes, ["a"], threshold=0.5)
    return Answer(Path("a $talk$.wav"), labelling, segments, [""] * pieces, posteriors, values, posteriors[:, None])


@pytest.mark.parametrize(("pieces", "emotions", "attributes"), [(3, 8, ["EmoAct"]), (130, 12, []), (2, 2, ["EmoVal"])])
def test_a_picture_of_any_number_of_pieces_and_emotions(
    tmp_path: Path, pieces: int, emotions: int, attributes: list[str]
) -> None:
    made = answer(pieces, emotions, attributes)
    plot = timeline.timeline_plot(made)
    (tmp_path / "plot.png").write_bytes(plot)
    height, width, _ = matplotlib.image.imread(tmp_path / "plot.png").shape
    assert width > 1.5 * height
    assert timeline.timeline_plot(made) == plot


def test_bands_stack_to_one_in_the_order_of_the_emotions_and_unsure_pieces_are_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(timeline, "png_bytes", figures.append)
    made = answer(4, 3, ["EmoAct", "EmoVal"])
    timeline.timeline_plot(made)
    above, below = figures[0].axes
    *bands, first_mark, second_mark = above.containers
    for number, band in enumerate(bands):
        assert [bar.get_height() for bar in band] == pytest.approx(made.posteriors[:, number])
        assert [(bar.get_x(), bar.get_width()) for bar in band] == [(0, 6), (6, 6), (12, 6), (18, 6)]
        assert [bar.get_y() for bar in band] == pytest.approx(made.posteriors[:, :number].sum(axis=1))
    assert [bar.get_y() + bar.get_height() for bar in bands[-1]] == pytest.approx([1.0] * 4)
    assert [mark[0].get_x() for mark in (first_mark, second_mark)] == [6, 18]
    assert "unsure" in [text.get_text() for text in above.texts]
    assert [line.get_label() for line in below.lines] == ["arousal", "valence"]
    assert below.lines[1].get_ydata() == pytest.approx(made.attributes[:, 1])
    assert below.lines[0].get_xdata() == pytest.approx([3, 9, 15, 21])
