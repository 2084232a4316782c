"""Figures of a data card: pictures of the size they should have, the same bytes twice, whatever the names."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from medusa.evaluation import corpus_plots
from medusa.evaluation.corpus_plots import Distribution

NAMES = ["Angry", "$x_{$", "<script>", "a name that is a good deal longer than the others are"]
STRENGTHS = ("all", "most", "half", "few", "tie", "one")
ONE = Distribution("one", "length (s)", np.linspace(0, 2, 5), {"all": np.array([0.1, 1.0, 1.5, 2.0, 9.0, -1.0])})
FOUR = Distribution("four", "length (s)", np.linspace(1, 7, 25), {name: np.array([1.0, 5.5]) for name in NAMES})

FIGURES: dict[str, Callable[[], bytes]] = {
    "classes": lambda: corpus_plots.classes_by_partition(
        NAMES, {"train": [9000, 0, 3, 4], "dev": [0, 0, 0, 0], "test": [1, 1, 1, 1]}, emotions=3
    ),
    "one partition": lambda: corpus_plots.classes_by_partition(NAMES, {"train": [0, 0, 0, 1]}, emotions=4),
    "histogram": lambda: corpus_plots.histograms(ONE),
    "four histograms": lambda: corpus_plots.histograms(FOUR),
    "strengths": lambda: corpus_plots.strengths(STRENGTHS, {"train": [1, 2, 3, 4, 5, 0], "all": [0, 0, 0, 0, 0, 0]}),
    "votes": lambda: corpus_plots.vote_shares(np.eye(4)[:3], NAMES[:3], [1, 20, 3000], NAMES),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES.keys())
def test_a_figure_is_a_picture_without_a_date_and_the_same_twice(make: Callable[[], bytes]) -> None:
    png = make()
    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
        assert set(image.info) <= {"dpi"}
        assert 300 < width / 2 <= 1200
        assert 180 < height / 2 < 1600
        assert len(set(image.convert("L").tobytes())) > 20  # something is drawn
    assert make() == png


def test_values_beyond_the_bins_count_in_the_outermost_ones() -> None:
    assert ONE.counts("all") == [2, 0, 1, 3]
