"""What the headline says of the paper's soup and of the rows behind the figures, for every way to fit Stage 3."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from medusa.evaluation.headline import beside_the_paper, protocol
from medusa.evaluation.paper import BY_NAME, Beside
from medusa.evaluation.results import Results, read_results
from tests.evaluation.test_report import paper_protocol, signed, technique

if TYPE_CHECKING:
    from medusa.evaluation.runs import Ensemble
    from tests.evaluation.conftest import Runs

PAPER = "The paper's soup of 14 members reaches 0.472 on MSP-Podcast's test rows (balanced draws)"
HONEST = "the test rows were used for nothing but these figures. Stage 3 was fitted on"


@pytest.fixture(scope="module")
def results(runs: Runs) -> Results:
    return read_results(runs.folder, runs.ensembles[:1], [], BY_NAME)


def main(results: Results, **changes: Any) -> Ensemble:
    """The ensemble `three` with the same predictions, but as if its config said something else."""
    return replace(results.ensembles[0], config=results.ensembles[0].config.model_copy(update=changes))


@pytest.mark.parametrize(
    ("fit_on", "told"),
    [
        (
            "train",
            f"Protocol: honest. Members were selected on dev; {HONEST} the train rows; its epoch was chosen on dev.",
        ),
        (
            "dev",
            f"Protocol: honest. Members were selected on dev; {HONEST} the dev rows, for as many epochs as a "
            "speaker-disjoint cross-validation inside them chose.",
        ),
        (
            "crossfit",
            f"Protocol: honest. The models of folds were selected among their own training speakers; {HONEST} the "
            "train rows, each predicted by models that never heard its speaker; its epoch was chosen on dev.",
        ),
        (
            "released",
            "Stage 3 was fitted on the labelled rows, those reported here among them: a diagnostic, no result.",
        ),
    ],
)
def test_the_protocol_says_what_each_partition_was_used_for(results: Results, fit_on: str, told: str) -> None:
    assert protocol(results, main(results, fit_on=fit_on)) == told


FOURTEEN = [f"{number:02d}" for number in range(1, 15)]


def test_the_papers_own_ensemble_is_put_beside_its_soup_under_its_protocol(results: Results, runs: Runs) -> None:
    ours = paper_protocol(runs.labels.partition("dev"), [technique(runs, "three", "soup", "dev")])[0]
    told = f"{PAPER}; ours {ours:.3f} under that protocol, on dev: {signed(ours - 0.472)}."
    assert beside_the_paper(results, main(results, members=FOURTEEN)) == told
    fitted = beside_the_paper(results, main(results, members=FOURTEEN, fit_on="dev"))
    assert fitted == f"{PAPER}. Stage 3 was fitted on the rows where ours could be put beside it."


def test_another_ensemble_is_not_put_beside_it(results: Results) -> None:
    nothing = beside_the_paper(results, main(results, members=FOURTEEN[:3]))
    assert nothing.startswith("The paper has no such ensemble: its soup of 14 members reaches 0.472")
    placed = beside_the_paper(replace(results, beside=Beside({}, {"three": 14})), main(results))
    assert placed == f"{PAPER}. This is another corpus with other features: the two figures compare nothing."
