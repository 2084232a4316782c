"""What the paper's three tables share: its cell, ours under its protocol, the difference, and ours where it is honest.

Paper protocol: the rows that models were selected on, mean over ten balanced draws. Honest: test, where that is others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from medusa.ensemble.evaluate import Combined
from medusa.evaluation.cells import F1_NOTE, bound, decimals, known, known_signed, score_text
from medusa.evaluation.page import NO_VALUE
from medusa.evaluation.paper import Printed
from medusa.evaluation.results import Results
from medusa.evaluation.scores import Estimate, Scores, estimate, paper_scores, scores, spread

Kind = Literal["f1", "accuracy"]


def compared(
    results: Results, printed: Printed | None, selected: Sequence[Combined] | None, tested: Sequence[Combined]
) -> dict[str, Any]:
    """All figures of one line.

    Args:
        results: What they belong to.
        printed: The paper's cell, if it has one.
        selected: Predictions of the selection rows, one for each seed; None where they were fitted on.
        tested: Predictions of the test rows.
    """
    theirs = (None, None) if printed is None else printed
    ours = (None, None) if selected is None else paper_scores(results.selected, selected)
    line: dict[str, Any] = {}
    for kind, paper, own in zip(("f1", "accuracy"), theirs, ours, strict=True):
        less = None if own is None or paper is None else own - paper
        line |= {f"paper_{kind}": paper, f"paper_protocol_{kind}": own, f"{kind}_difference": less}
    each = [scores(results.test, one) for one in tested]
    for name in Scores._fields:
        values = [getattr(one, name) for one in each]
        line |= {f"test_{name}": float(np.mean(values)), f"test_{name}_sd": spread(values)}
    whole = estimate(results.draws, tested)
    return line | {"test_balanced_f1_low": bound(whole, 0), "test_balanced_f1_high": bound(whole, 1)}


def without_spread(line: Mapping[str, Any]) -> dict[str, Any]:
    """The line without ±, which is for seeds: it is over several members."""
    return {key: float("nan") if key.endswith("_sd") else value for key, value in line.items()}


def paper_head(kind: Kind) -> list[str]:
    """Heads of `paper_cells`."""
    name = {"f1": "F1", "accuracy": "accuracy"}[kind]
    return [f"paper, {name}", f"paper protocol, {name}", "difference"]


def paper_cells(line: Mapping[str, Any], kind: Kind) -> list[str]:
    """The paper's, ours, and ours less the paper's."""
    less = known_signed(line[f"{kind}_difference"])
    return [known(line[f"paper_{kind}"]), known(line[f"paper_protocol_{kind}"]), less]


def honest_f1(results: Results, line: Mapping[str, Any]) -> str:
    """Class-balanced macro-F1 on test with its interval over speakers, and ± over seeds where there are some."""
    low, high = line["test_balanced_f1_low"], line["test_balanced_f1_high"]
    whole = Estimate(line["test_balanced_f1"], None if low is None else (low, high))
    return score_text(whole, line["test_balanced_f1_sd"]) if results.honest else NO_VALUE


def honest_accuracy(results: Results, line: Mapping[str, Any]) -> str:
    """Accuracy on test, ± over seeds."""
    return decimals(line["test_accuracy"], line["test_accuracy_sd"]) if results.honest else NO_VALUE


def protocol_notes(results: Results) -> list[str]:
    """What the columns are over, and what the paper's numbers are beside ours."""
    paper = f"Paper protocol: {results.selection} rows, which models were selected on, as mean over ten balanced draws"
    if results.honest:
        paper += "; honest: test rows, which nothing was selected on."
    else:
        paper += "; there is no dev partition, so nothing is honest."
    notes = [F1_NOTE, f"{paper} Difference: ours less the paper's, both under its protocol."]
    if results.beside.only_placed:
        notes.append(
            "The paper's numbers are of other features and another corpus: what stands beside ours shows where a row "
            "belongs, not who is better."
        )
    return notes
