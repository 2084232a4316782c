"""The paper's Table 2: printed averages in, printed Δ out."""

from __future__ import annotations

import pytest

from medusa.evaluation.paper import conventional_delta, paper_delta

FULL = 0.421
PRINTED = {
    "one-hot targets": (0.389, -8.23),
    "late fusion": (0.396, -6.31),
    "no MixUp": (0.409, -2.93),
    "no multitask": (0.412, -2.18),
    "no Stage 2": (0.416, -1.20),
}


@pytest.mark.parametrize(("ablated", "printed"), PRINTED.values(), ids=PRINTED.keys())
def test_the_papers_delta_divides_by_the_ablated_score(ablated: float, printed: float) -> None:
    assert round(paper_delta(FULL, ablated), 2) == printed


def test_the_conventional_delta_divides_by_the_full_score() -> None:
    assert conventional_delta(0.4, 0.3) == pytest.approx(-25)
    assert paper_delta(0.4, 0.3) == pytest.approx(-100 / 3)
