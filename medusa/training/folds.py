"""Speaker-disjoint folds: which rows each model of a cross-fit trains on, is selected on, and has never heard.

Stage 3 as the paper words it is fitted on posteriors of rows that the members were trained on. `fit_on: crossfit` fits
it on posteriors of rows that they were not: of K models, each trained without one fold of the training speakers, every
training row is predicted by the one that never heard its speaker.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medusa.corpora.labels import PARTITIONS, Labels
from medusa.errors import UserError

if TYPE_CHECKING:
    from medusa.config.schema import Crossfit

Rows = npt.NDArray[np.int64]

SELECTION_SPLITS = 8
"""A fold's model is selected on one of so many parts of its own training speakers, and trained on the others; fewer
parts where none of them would have rows of every class."""

OUT_OF_FOLD = "out_of_fold"
"""Name of the posterior file of the training rows that a fold's model was not trained on."""


def speaker_folds(labels: Labels, folds: int, key: str, instead: str) -> list[Rows]:
    """Row numbers left out by each fold: speaker-disjoint, classes spread as evenly as speakers allow.

    A function of the rows alone.

    Args:
        labels: The rows to divide.
        folds: How many parts.
        key: Of the config, that asks for them; for messages.
        instead: What else the user can do; for messages.

    Raises:
        UserError: a row without speaker, fewer speakers than folds, or a fold with all rows of some class.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # here, since loading it takes as long as torch

    speakers = labels.table["SpkrID"].to_numpy()
    known, unknown = len(set(speakers) - {""}), int((speakers == "").sum())
    part = "/".join(name for name in PARTITIONS if labels.has(name))
    if known < folds or unknown:
        raise UserError(
            f"{labels.source}: SpkrID: {key}: {folds} needs at least as many speakers in {part}, "
            f"found {known}, and {unknown} rows without one; lower it, add speakers, or {instead}"
        )
    classes = labels.class_indices()
    most = np.bincount(classes + 1).max()
    if most < folds:
        raise UserError(
            f"{labels.source}: {key}: {folds} is more than the {most} {part} rows of the largest class; "
            f"lower it or {instead}"
        )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # Of a class with fewer rows than folds; whether that hurts is checked below.
        warnings.simplefilter("ignore", UserWarning)
        left_out = [test for _, test in splitter.split(classes[:, None], classes, speakers)]
    for rows in left_out:
        if absent := _absent(labels, np.delete(classes, rows)):
            raise UserError(
                f"{labels.source}: all {part} rows of class {absent[0]} fall into one of the "
                f"{folds} speaker-disjoint folds; lower {key} or {instead}"
            )
    return left_out


def fold_labels(labels: Labels, crossfit: Crossfit) -> Labels:
    """The corpus as the model of one fold sees it: its own rows as train and dev, all others without a partition.

    dev are the rows it is selected on: of its own training speakers, so that neither the fold left out nor the
    corpus's own dev and test have any part in it. The labels as they are where no fold is asked for.

    Raises:
        UserError: as `speaker_folds`, or no part of its speakers has every class.
    """
    if crossfit.fold is None:
        return labels
    train = labels.partition("train")
    kept = train.without(out_of_fold(labels, crossfit))
    selection = _selection_rows(kept)
    if selection is None:
        raise UserError(
            f"{labels.source}: crossfit.fold: {crossfit.fold}: however its training speakers are divided, no part has "
            "rows of every class to select on; use fit_on: train or dev"
        )
    own = np.full(len(kept), "train", dtype=object)
    own[selection] = "dev"
    table = labels.table.assign(Partition="")
    table.loc[kept.ids, "Partition"] = own
    return replace(labels, table=table)


def out_of_fold(labels: Labels, crossfit: Crossfit) -> Labels:
    """The training rows that the model of one fold never sees.

    Raises:
        UserError: as `speaker_folds`.
    """
    assert crossfit.fold is not None
    train = labels.partition("train")
    rows = speaker_folds(train, crossfit.folds, "crossfit.folds", "use fit_on: train")[crossfit.fold]
    return replace(train, table=train.table.iloc[rows])


def _selection_rows(kept: Labels) -> Rows | None:
    """Row numbers of the smallest part of the speakers that has every class; None where there is none."""
    classes = kept.class_indices()
    most = min(SELECTION_SPLITS, kept.table["SpkrID"].nunique())
    for count in range(most, 1, -1):
        with suppress(UserError):  # so many parts cannot be: a class would be missing from the rest
            for rows in speaker_folds(kept, count, "parts", "take fewer"):
                if not _absent(kept, classes[rows]):
                    return rows
    return None


def _absent(labels: Labels, classes: Rows) -> list[str]:
    """Emotions that none of the classes is."""
    present = set(classes.tolist())
    return [emotion for index, emotion in enumerate(labels.emotions) if index not in present]
