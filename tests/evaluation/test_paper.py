"""What the paper prints: averages of its Table 2 from the cells, and which rows ours are put beside."""

from __future__ import annotations

import numpy as np
import pytest

from medusa.errors import UserError
from medusa.evaluation.paper import AVERAGES, DELTAS, TABLE_1, TABLE_2, TABLE_3, Beside, paper_delta, read_beside


def test_the_printed_averages_are_those_of_the_cells() -> None:
    """To one unit of the last digit: the paper averages what it has not rounded."""
    for variant, cells in TABLE_2.items():
        means = np.array([[cell.f1, cell.accuracy] for cell in cells.values()], dtype=float).mean(axis=0)
        np.testing.assert_allclose(means, np.array(AVERAGES[variant], dtype=float), atol=0.0011)
    assert {variant: round(paper_delta(AVERAGES[""].f1, AVERAGES[variant].f1), 2) for variant in DELTAS} == DELTAS


def test_the_full_models_of_table_2_are_the_members_of_table_1() -> None:
    assert {number: TABLE_1[number] for number in TABLE_2[""]} == {n: cell.f1 for n, cell in TABLE_2[""].items()}
    assert round(np.mean(list(TABLE_1.values())), 3) == pytest.approx(0.413, abs=0.0011)


def test_members_called_as_in_table_1_are_those() -> None:
    by_name = Beside()
    assert [by_name.member(name) for name in ("01", "14", "15", "1", "wavlm", "08-one_hot")] == [1, 14] + [None] * 4
    seven = [f"{number:02d}" for number in (8, 7, 2, 5, 4, 6, 14)]
    assert by_name.ensemble("top-7", seven) == 7
    assert by_name.ensemble("top-7", [*seven[:6], "mine"]) is None
    assert by_name.ensemble("six", seven[:6]) is None
    assert by_name.ensemble("five", seven[:5]) == 5
    assert by_name.ensemble("another five", ["01", "03", "09", "11", "12"]) is None
    assert by_name.ensemble("all", [f"{number:02d}" for number in range(14, 0, -1)]) == 14


def test_table_3_is_the_papers() -> None:
    """Its rows for 14, 7 and 5 members, F1 and accuracy, as they stand in its text."""
    text = "0.439 0.454 0.436 0.449 0.437 0.450 0.439 0.453 0.439 0.453 0.439 0.453 "
    text += "0.471 0.470 0.465 0.465 0.468 0.462 0.472 0.471 0.467 0.466 0.445 0.441"
    cells = [
        value for name in ("majority", "soft", "single", "soup") for size in (14, 7, 5) for value in TABLE_3[size][name]
    ]
    assert cells == list(map(float, text.split()))


def test_a_word_about_it_replaces_the_names() -> None:
    told = read_beside(["a=b=12", "2=9"], ["all=14"])
    assert [told.member(name) for name in ("a=b", "2", "08")] == [12, 9, None]
    assert [told.ensemble(name, []) for name in ("all", "top-5")] == [14, None]
    assert told.only_placed
    assert not read_beside([], []).only_placed


@pytest.mark.parametrize(("members", "ensembles"), [(["1"], []), (["1=15"], []), (["=3"], []), ([], ["all=6"])])
def test_a_row_that_the_paper_has_not_is_refused(members: list[str], ensembles: list[str]) -> None:
    with pytest.raises(UserError, match=r"--paper-(members|ensembles) .*: expected NAME=NUMBER, the number a"):
        read_beside(members, ensembles)
