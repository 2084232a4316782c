"""Figures: pictures of the size they should have, the same bytes twice, whatever the names and numbers."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from medusa.evaluation import plots

NAMES = ["Angry", "$x_{$", "<script>", "a name that is a good deal longer than the others are"]
HISTORY = [
    {"epoch": epoch, "stage": stage, "loss": 2.0 / (epoch + 1), "macro_f1": epoch / 10}
    for epoch, stage in enumerate([1, 1, 2, 2])
]
LIMITS = ((0.0, 2.2), (0.0, 1.0))
MARKS = [
    plots.Mark(NAMES[3], "member", 0.5, (0.4, 0.6)),
    plots.Mark("vote", "vote", 0.55, None),
    plots.Mark("bias", "control", 0.55, None),
    plots.Mark("single", "single", 0.5, (0.4, 0.6), [0.4, 0.6]),
    plots.Mark("soup", "soup", 0.6, (0.5, 0.7)),
]

RELIABILITY = plots.Reliability("soup", np.array([np.nan, 0.6]), np.array([np.nan, 0.5]), np.array([0, 9]))

GAINS = [plots.Gain(NAMES[3], 0.1, (0.05, 0.2), [0.1, 0.2], 0.3), plots.Gain("x", -1, None)]

FIGURES: dict[str, Callable[[], bytes]] = {
    "overview": lambda: plots.overview(MARKS, 4, "F1"),
    "confusion": lambda: plots.confusion_matrix(np.diag([3, 0, 12345, 1]), NAMES, shares=False),
    "confusion, shares": lambda: plots.confusion_matrix(np.diag([3, 0, 12345, 1]), NAMES, shares=True),
    "reliability": lambda: plots.reliability([RELIABILITY, RELIABILITY]),
    "gains": lambda: plots.gains(
        [plots.Gain(NAMES[3], 0.1, (0.05, 0.2), [0.1, 0.2], 0.3), plots.Gain("x", -1, None)], "F1"
    ),
    "speakers": lambda: plots.speakers([0.9, 0.4, 0.0], [10, 400, 20], 0.5, "F1"),
    "curves": lambda: plots.training_curves(HISTORY, 3, "dev", LIMITS, 0.25),
    "one epoch": lambda: plots.training_curves(HISTORY[:1], 0, "dev", LIMITS, 0.25),
    "weights": lambda: plots.meta_weights(np.random.default_rng(0).normal(size=(2, 4, 7)), NAMES[:2], NAMES, ["a"] * 3),
    "weights of one": lambda: plots.meta_weights(np.zeros((1, 4, 4)), NAMES[:1], NAMES, []),
    "weights of five": lambda: plots.meta_weights(np.ones((5, 4, 4)), [*NAMES, "e"], NAMES, []),
    "classes": lambda: plots.class_counts(NAMES, [9, 8, 7000, 5], [5, 5, 5, 5]),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES.keys())
def test_a_figure_is_a_picture_without_a_date_and_the_same_twice(make: Callable[[], bytes]) -> None:
    png = make()
    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
        assert set(image.info) <= {"dpi"}
        assert 300 < width / 2 < 900
        assert 200 < height / 2 < 1600
        assert len(set(image.convert("L").tobytes())) > 20  # something is drawn
    assert make() == png


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2)."""
    parts = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_text_stands_out_from_white() -> None:
    assert 1.05 / (luminance(plots.INK) + 0.05) > 7
    assert 1.05 / (luminance(plots.GREY) + 0.05) > 4.5


def test_a_long_name_keeps_its_end() -> None:
    assert plots.short("samples/posteriors/authors-2.csv", 14) == "…authors-2.csv"
    assert plots.short("fourteen chars", 14) == "fourteen chars"
