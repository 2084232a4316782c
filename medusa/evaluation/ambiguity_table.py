"""Does a prediction say how annotators disagree? The paper claims it and reports no figure for it.

Against the vote shares of all test rows, those without consensus included: KL and Jensen-Shannon divergence, Brier
score. Over the rows with consensus: expected calibration error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medusa.ensemble.evaluate import Combined
from medusa.evaluation.cells import decimals
from medusa.evaluation.page import Table
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Ensemble
from medusa.evaluation.techniques_table import best_member, technique_labels
from medusa.metrics import brier, expected_calibration_error, js_divergence, kl_divergence

MEASURES = ("kl", "js", "brier", "ece")


def ambiguity_table(results: Results, ensemble: Ensemble) -> Table:
    """A row for every way of combining, the best member, and whoever knows the classes' shares only."""
    best = best_member(results, ensemble)
    lines: list[tuple[str, Sequence[Combined]]] = [
        ("shares of the training rows, for every clip", [constant(results)]),
        (f"best member on {results.selection}, {best.name}", [best.predicted["test"]]),
    ]
    lines += [(name, ensemble.repeats(technique)) for technique, name in technique_labels(ensemble).items()]
    numbers = pd.DataFrame([{"predictor": name} | measured(results, repeats) for name, repeats in lines])
    rows = [[str(line[0]), *map(decimals, line[1:])] for line in numbers.itertuples(index=False)]
    header = ["prediction", "KL (nats)", "Jensen-Shannon (nats)", "Brier", "calibration error"]
    count = len(results.test)
    notes = [
        f"Lower is better. Against the vote shares of all {count:,} test rows, those without consensus included; "
        "the calibration error over the rows with consensus, 15 bins. KL: of the shares from the prediction, a "
        "predicted probability below 1e-7 counting as that; so hard votes are dear.",
    ]
    strong = frozenset({len(rows) - 1})
    return Table(
        "ambiguity", "How well the annotators' disagreement is told", numbers, header, rows, notes, strong=strong
    )


def measured(results: Results, repeats: Sequence[Combined]) -> dict[str, float]:
    """All of `MEASURES`, mean over `repeats`."""
    shares, classes = results.test.targets(), results.test.class_indices()
    scored = classes >= 0
    found = [
        (
            kl_divergence(shares, one.probabilities),
            js_divergence(shares, one.probabilities),
            brier(shares, one.probabilities),
            expected_calibration_error(classes[scored], one.probabilities[scored], predicted=one.predicted[scored]),
        )
        for one in repeats
    ]
    return dict(zip(MEASURES, np.mean(found, axis=0).tolist(), strict=True))


def constant(results: Results) -> Combined:
    """The mean vote shares of the training rows, said of every test row."""
    shares = results.labels.partition("train").targets().mean(axis=0)
    count = len(results.test)
    attributes = np.empty((count, 0))
    return Combined(np.tile(shares, (count, 1)), attributes, np.full(count, shares.argmax()))
