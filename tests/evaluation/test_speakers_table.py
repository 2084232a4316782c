"""Genders of which nothing can be scored; the rest: test_report.py."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from medusa.evaluation.paper import BY_NAME
from medusa.evaluation.results import read_results
from medusa.evaluation.speakers_table import genders_table

if TYPE_CHECKING:
    from tests.evaluation.conftest import Runs


def test_a_gender_without_a_row_of_consensus_has_dashes(runs: Runs) -> None:
    results = read_results(runs.folder, runs.ensembles[:1], [], BY_NAME)
    every = results.labels.table.copy()
    disputed = (every["Partition"] == "test") & (every["EmoClass"] == "X")
    every.loc[disputed, "Gender"] = "Unknown"
    results = replace(results, labels=replace(results.labels, table=every))
    table = genders_table(results, results.ensembles[0])
    assert table is not None
    speakers = every["SpkrID"][disputed].nunique()
    assert table.rows[-1] == ["Unknown", str(speakers), "0", *["–"] * 6]
    assert all("–" not in row for row in table.rows[:-1])
