"""The figures of a model card, from what eval_metacls.py left."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from medusa.app.description import Abstention, Score, Scores
from medusa.config.schema import MetaConfig
from medusa.corpora.labels import Labels
from medusa.ensemble.posteriors import read_posteriors
from medusa.errors import UserError
from medusa.files import read_csv
from medusa.metrics import ccc, confusion, per_class_f1
from medusa.training.evaluate import selection_partition

UNSURE_SHARE = 0.2
"""Share of held-out rows that the ensemble calls itself unsure of."""


def read_scores(config: MetaConfig, labels: Labels) -> Scores:
    """How the ensemble did on the rows that results.csv is about.

    Raises:
        UserError: the results or the soup's posteriors are missing.
    """
    table = read_csv(config.run_directory / "results.csv", remedy="write it with eval_metacls.py")
    partition = str(table["rows"].iloc[0])
    rows = labels.partition(partition)
    predicted = _soup(config, rows, partition)
    classes, count = rows.class_indices(), len(rows.emotions)
    scored = classes >= 0
    pair = classes[scored], pd.Index(rows.emotions).get_indexer(pd.Index(predicted["EmoClass"]))[scored]
    said, true = predicted[list(rows.attributes)].to_numpy(np.float64), rows.attribute_values()
    return Scores(
        partition=partition,
        selected_on=selection_partition(labels),
        rows=int(scored.sum()),
        techniques=[_score(row) for row in table.to_dict("records") if not row["technique"].startswith("seed-")],
        emotion_f1=[_known(score) for score in per_class_f1(*pair, count)],
        confusion=confusion(*pair, count).tolist(),
        attribute_ccc=[_known(ccc(true[:, column], said[:, column])) for column in range(len(rows.attributes))],
    )


def read_abstention(config: MetaConfig, labels: Labels) -> Abstention:
    """From rows that Stage 3 was not fitted on, as far as there are any: dev, else test.

    Raises:
        UserError: the soup's posteriors of those rows are missing.
    """
    selection = selection_partition(labels)
    held_out = [name for name in dict.fromkeys([selection, "test"]) if name != config.fit_on and labels.has(name)]
    partition = [*held_out, selection][0]
    rows = labels.partition(partition)
    posteriors = _soup(config, rows, partition)[list(rows.emotions)].to_numpy(np.float64)
    largest, classes = posteriors.max(axis=1), rows.class_indices()
    threshold = round(float(np.quantile(largest, UNSURE_SHARE)), 6)
    right, sure, scored = posteriors.argmax(axis=1) == classes, largest >= threshold, classes >= 0
    accuracy_sure, accuracy_unsure = (
        _known(float(right[chosen].mean()) if chosen.any() else math.nan) for chosen in (scored & sure, scored & ~sure)
    )
    return Abstention(
        threshold=threshold,
        share=UNSURE_SHARE,
        partition=partition,
        accuracy_sure=accuracy_sure,
        accuracy_unsure=accuracy_unsure,
    )


def _soup(config: MetaConfig, rows: Labels, partition: str) -> pd.DataFrame:
    """What the soup says of `rows`, in their order."""
    path = config.run_directory / "posteriors" / "soup" / f"{partition}.csv"
    table = read_posteriors(path, rows.emotions, rows.attributes)
    if set(table.index) != set(rows.ids):
        raise UserError(f"{path}: other rows than {partition} of {rows.source}; write it anew with eval_metacls.py")
    return table.loc[rows.ids]


def _score(row: dict[Any, Any]) -> Score:
    names = ("macro_f1", "balanced_f1", "accuracy")
    return Score(technique=str(row["technique"]), **{name: float(row[name]) for name in names})


def _known(value: float) -> float | None:
    """In full: rounded here and once more where it is shown, 27/47 would be 0.575."""
    return None if math.isnan(value) else float(value)
