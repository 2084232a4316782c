"""Whom does it serve? Scores by gender and by speaker of test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.ensemble.evaluate import Combined
from medusa.evaluation.cells import decimals
from medusa.evaluation.page import NO_VALUE, Table
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Ensemble
from medusa.evaluation.techniques_table import best_member
from medusa.metrics import MissingClass, accuracy, balanced_macro_f1, macro_f1

FEWEST = 10
"""Rows with consensus that a speaker needs to be shown one by one."""


def predictors(results: Results, ensemble: Ensemble) -> dict[str, Combined]:
    """The three that every closer look is taken at."""
    return {
        "soup": ensemble.predicted["soup"],
        "soft vote": ensemble.predicted["soft"],
        "best member": best_member(results, ensemble).predicted["test"],
    }


def genders_table(results: Results, ensemble: Ensemble) -> Table | None:
    """F1 and accuracy by gender; None where the corpus knows none."""
    genders = results.test.table["Gender"].to_numpy()
    names = sorted(set(genders) - {""})
    if not names:
        return None
    shown = predictors(results, ensemble)
    numbers, rows = [], []
    for name in names:
        chosen = genders == name
        line = {"gender": name, **_scores(results, shown, chosen)}
        numbers.append(line)
        rows.append([name, f"{line['speakers']:,}", f"{line['rows']:,}", *_cells(line, shown)])
    header = ["gender", "speakers", "rows", *(f"{name}, {kind}" for name in shown for kind in ("F1", "accuracy"))]
    notes = [
        "Class-balanced macro-F1 over the test rows with consensus; with *: plain macro-F1, since a class is missing."
    ]
    return Table("genders", "By gender, test", pd.DataFrame(numbers), header, rows, notes)


def speakers_numbers(results: Results, ensemble: Ensemble) -> pd.DataFrame:
    """Every speaker of test with at least `FEWEST` rows with consensus: plain macro-F1 and accuracy, best first."""
    speakers = results.test.table["SpkrID"].to_numpy()
    shown = predictors(results, ensemble)
    lines = [
        {"speaker": name, **_scores(results, shown, speakers == name, balanced=False)}
        for name in sorted(set(speakers) - {""})
    ]
    kept = [line for line in lines if line["rows"] >= FEWEST]
    table = pd.DataFrame(kept, columns=list(lines[0]) if lines else ["speaker"])
    return table.drop(columns=["speakers"], errors="ignore").sort_values(
        "soup_f1" if kept else "speaker", ascending=False, kind="stable"
    )


def _scores(
    results: Results, shown: Mapping[str, Combined], chosen: npt.NDArray[np.bool_], balanced: bool = True
) -> dict[str, Any]:
    classes, count = results.test.class_indices(), len(results.test.emotions)
    kept = chosen & (classes >= 0)
    line: dict[str, Any] = {
        "speakers": len(set(results.test.table["SpkrID"].to_numpy()[chosen]) - {""}),
        "rows": int(kept.sum()),
        "balanced": balanced,
    }
    for name, one in shown.items():
        pair, key = (classes[kept], one.predicted[kept], count), name.replace(" ", "_")
        f1 = accurate = float("nan")
        if kept.any():
            f1, accurate = macro_f1(*pair), accuracy(*pair)
            try:
                f1 = balanced_macro_f1(*pair) if balanced else f1
            except MissingClass:
                line["balanced"] = False
        line |= {f"{key}_f1": f1, f"{key}_accuracy": accurate}
    return line


def _cells(line: Mapping[str, Any], shown: Mapping[str, Combined]) -> list[str]:
    cells = []
    for name in shown:
        f1, accurate = (line[f"{name.replace(' ', '_')}_{kind}"] for kind in ("f1", "accuracy"))
        if np.isnan(f1):
            cells += [NO_VALUE] * 2
            continue
        cells += [decimals(f1) + ("" if line["balanced"] else "*"), decimals(accurate)]
    return cells
