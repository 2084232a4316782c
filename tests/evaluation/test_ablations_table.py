"""Readings of Table 2 where speakers or seeds allow no interval; the table itself: test_report.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medusa.evaluation.ablations_table import Effect, effects, effects_table
from medusa.evaluation.paper import BY_NAME
from medusa.evaluation.results import read_results
from medusa.evaluation.scores import Estimate
from tests.evaluation.conftest import make_member

if TYPE_CHECKING:
    from tests.evaluation.conftest import Runs


@pytest.mark.parametrize(
    ("interval", "by_seed", "reading"),
    [
        ((0.02, 0.3), [0.1], "above 0 (one seed)"),
        (None, [0.1], "too few known speakers to tell (one seed)"),
        (None, [0.10, 0.11, 0.12], "above 0 (seeds only)"),
        (None, [-0.3, 0.1, 0.5], "not told apart from 0 (seeds only)"),
        ((0.02, 0.3), [0.10, 0.11, 0.12], "above 0"),
        ((-0.02, 0.3), [0.10, 0.11, 0.12], "not told apart from 0"),
        ((-0.3, -0.02), [0.10, 0.11, 0.12], "not told apart from 0"),
    ],
)
def test_neither_speakers_nor_seeds_may_turn_it_round(
    interval: tuple[float, float] | None, by_seed: list[float], reading: str
) -> None:
    gain = Estimate(sum(by_seed) / len(by_seed), interval)
    assert Effect("", "", "one_hot", ["a"], gain, by_seed, (0.5, 0.4), (0.5, 0.4)).reading == reading


def test_without_dev_the_table_says_that_selection_saw_the_test_rows(own_runs: Runs) -> None:
    """The same predictions with and without the component: nothing is lost."""
    make_member(own_runs.folder / "members" / "plain-one_hot", own_runs.labels, 0, "plain", "one_hot")
    results = read_results(own_runs.folder, own_runs.ensembles, [], BY_NAME)
    table = effects_table(results, effects(results))
    assert [row[:2] for row in table.rows] == [["w. one-hot targets", "plain"]]
    assert table.rows[0][2].startswith("0.000 ")
    assert table.notes[-1] == "There is no dev partition: models were selected on these very test rows."


def test_members_that_share_no_seed_have_no_common_effect(own_runs: Runs) -> None:
    """One was ablated from its own seed, the other from its own plus 1000."""
    for name, seed, variant in (
        ("plain-one_hot", 0, "one_hot"), ("other", 1, None), ("other-seed-1001", 1001, "seed-1001"),
        ("other-one_hot.seed-1001", 1001, "one_hot.seed-1001"),
    ):  # fmt: skip
        make_member(own_runs.folder / "members" / name, own_runs.labels, seed, name.partition("-")[0], variant)
    results = read_results(own_runs.folder, own_runs.ensembles, [], BY_NAME)
    assert {(cell.member, cell.variant) for cell in results.cells} >= {("plain", "one_hot"), ("other", "one_hot")}
    assert effects(results) == []
