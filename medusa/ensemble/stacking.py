"""Stage 3: the meta-classifier over the members' predictions (paper 3.5, 3.6).

Fitted on the members' training rows (`fit_on: train`, the paper), the epoch is chosen on other rows. Fitted on
dev rows (`fit_on: dev`), which the members never trained on, no rows are left to choose on: the number of epochs
comes from a speaker-disjoint cross-validation inside dev, then all of dev is fitted for that many epochs. The
members were selected on dev, so their posteriors there are mildly optimistic.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from medusa.corpora.labels import Labels
from medusa.ensemble.posteriors import Stack
from medusa.errors import UserError
from medusa.files import read_json, sha256, write_json
from medusa.metrics import balanced_macro_f1
from medusa.models.metaclassifier import MetaClassifier
from medusa.training.data import StackedExamples, Targets, make_targets
from medusa.training.evaluate import predict
from medusa.training.loop import Recipe, Stage, run_epochs

if TYPE_CHECKING:
    from medusa.config.schema import MetaConfig


def build_metaclassifier(config: MetaConfig, stack: Stack, seed: int, device: torch.device) -> MetaClassifier:
    """A meta-classifier before training: random weights of that seed, or the soft vote (`start: vote`)."""
    torch.manual_seed(seed)
    emotions, attributes = stack.posteriors.shape[2], stack.attributes.shape[2]
    model = MetaClassifier(stack.inputs.shape[1], emotions, attributes, config.hidden_dims)
    if config.start == "vote":
        model.start_from_vote()
    return model.to(device)


def meta_recipe(config: MetaConfig, seed: int, epochs: int) -> Recipe:
    """Balanced subsets from the first epoch, uniform class weights, no MixUp."""
    training = config.training
    return Recipe(
        stages=[Stage(3, epochs, training.learning_rate, balanced=True)],
        seed=seed,
        batch_size=training.batch_size,
        weight_decay=training.weight_decay,
        loss=config.loss,
    )


def meta_identity(config: MetaConfig, files: dict[str, Path]) -> dict[str, Any]:
    """What makes two ensembles the same one: settings, labels and the members' posteriors."""
    settings = config.model_dump(mode="json", exclude={"paths": True, "compute": {"device", "threads"}})
    posteriors = {member: sha256(file) for member, file in files.items()}
    return {**settings, "labels_sha256": sha256(config.paths.labels), "posteriors_sha256": posteriors}


def cross_validated_epochs(config: MetaConfig, labels: Labels, stack: Stack, device: torch.device, keep: Path) -> int:
    """How many epochs to fit: where the mean class-balanced macro-F1 over seeds peaks on rows left out by speaker.

    Each seed's curve pools the predictions of all folds. The curves are kept in `keep` and reused from there.

    Args:
        config: The ensemble.
        labels: Exactly the rows of `stack`.
        stack: The members' predictions for the rows to fit on.
        device: Where to compute.
        keep: JSON file for the curves.

    Raises:
        UserError: fewer speakers than folds, or a fold leaves a class without training rows.
    """
    if keep.exists():
        return int(read_json(keep)["epochs"])
    targets = make_targets(labels)
    folds = _speaker_folds(config, labels)
    curves = [_left_out_curve(config, stack, targets, folds, seed, device) for seed in config.seeds]
    mean = np.mean(curves, axis=0)
    epochs = int(mean.argmax()) + 1
    rounded = {
        str(seed): [round(score, 6) for score in curve] for seed, curve in zip(config.seeds, curves, strict=True)
    }
    write_json(keep, {"schema": 1, "epochs": epochs, "macro_f1": float(mean.max()), "curves": rounded})
    return epochs


def _left_out_curve(
    config: MetaConfig, stack: Stack, targets: Targets, folds: list[np.ndarray], seed: int, device: torch.device
) -> list[float]:
    """Class-balanced macro-F1 after each epoch, over all rows, each predicted by a model that left its speaker out."""
    rows, classes = targets.probabilities.shape
    predicted = np.zeros((config.training.max_epochs, rows), dtype=np.int64)
    recipe = meta_recipe(config, seed, config.training.max_epochs)
    for left_out in folds:
        kept = np.setdiff1d(np.arange(rows), left_out)
        model = build_metaclassifier(config, stack, seed, device)
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=recipe.weight_decay)
        fitted, rest = (StackedExamples(targets.subset(part), stack.inputs[part]) for part in (kept, left_out))
        for epoch, _, _ in run_epochs(model, optimizer, fitted, recipe):
            posteriors = predict(model, rest, len(left_out)).probabilities
            predicted[epoch, left_out] = posteriors.argmax(axis=1)
    scored = targets.classes >= 0
    return [balanced_macro_f1(targets.classes[scored], row[scored], classes) for row in predicted]


def _speaker_folds(config: MetaConfig, labels: Labels) -> list[np.ndarray]:
    """Row numbers left out by each inner fold: speaker-disjoint, classes spread as evenly as speakers allow."""
    from sklearn.model_selection import StratifiedGroupKFold  # here, since loading it takes as long as torch

    speakers, folds = labels.table["SpkrID"].to_numpy(), config.training.inner_folds
    known, unknown = len(set(speakers) - {""}), int((speakers == "").sum())
    if known < folds or unknown:
        raise UserError(
            f"{labels.source}: SpkrID: training.inner_folds: {folds} needs at least as many speakers in dev, "
            f"found {known}, and {unknown} rows without one; lower it, add speakers, or use fit_on: train"
        )
    classes = labels.class_indices()
    most = np.bincount(classes + 1).max()
    if most < folds:
        raise UserError(
            f"{labels.source}: training.inner_folds: {folds} is more than the {most} dev rows of the largest class; "
            "lower it or use fit_on: train"
        )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # Of a class with fewer rows than folds; whether that hurts is checked below.
        warnings.simplefilter("ignore", UserWarning)
        left_out = [test for _, test in splitter.split(classes[:, None], classes, speakers)]
    for rows in left_out:
        absent = set(range(len(labels.emotions))) - set(np.delete(classes, rows).tolist())
        if absent:
            raise UserError(
                f"{labels.source}: all dev rows of class {labels.emotions[min(absent)]} fall into one of the "
                f"{folds} speaker-disjoint inner folds; lower training.inner_folds or use fit_on: train"
            )
    return left_out
