"""Stage 3: the meta-classifier over the members' predictions (paper 3.5, 3.6).

Fitted on the members' training rows (`fit_on: train`, the paper), the epoch is chosen on other rows. Fitted on
dev rows (`fit_on: dev`), which the members never trained on, no rows are left to choose on: the number of epochs
comes from a speaker-disjoint cross-validation inside dev, then all of dev is fitted for that many epochs. The
members were selected on dev, so their posteriors there are mildly optimistic.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from medusa.corpora.labels import Labels
from medusa.ensemble.posteriors import Stack
from medusa.ensemble.together import Fit, Rows, predict_together, train_epoch
from medusa.errors import UserError
from medusa.files import read_json, sha256, write_json
from medusa.metrics import balanced_macro_f1
from medusa.models.metaclassifier import MetaClassifier
from medusa.training.checkpoint import RunDirectory, TrainingState
from medusa.training.data import Targets, make_targets
from medusa.training.evaluate import selection_scores
from medusa.training.folds import speaker_folds
from medusa.training.loop import note_epoch

if TYPE_CHECKING:
    from medusa.config.schema import MetaConfig


def build_metaclassifier(config: MetaConfig, stack: Stack, seed: int, device: torch.device) -> MetaClassifier:
    """A meta-classifier before training: random weights of that seed, or the soft vote (`start: vote`)."""
    torch.manual_seed(seed)
    (_, members, emotions), attributes = stack.posteriors.shape, stack.attributes.shape[2]
    model = MetaClassifier(members * (emotions + attributes), emotions, attributes, config.hidden_dims)
    if config.start == "vote":
        model.start_from_vote()
    return model.to(device)


def new_fits(config: MetaConfig, stack: Stack, device: torch.device) -> list[Fit]:
    """Every seed's meta-classifier before training."""
    fits = []
    for seed in config.seeds:
        model = build_metaclassifier(config, stack, seed, device)
        fits.append(Fit(seed, model, torch.optim.AdamW(model.parameters())))  # its settings: `train_epoch`
    return fits


def fit_seeds(
    config: MetaConfig, stack: Stack, rows: Rows, runs: Mapping[int, RunDirectory], epochs: int, held_out: Rows | None
) -> dict[int, TrainingState]:
    """Train every seed's meta-classifier, all at once, and keep each in its own run; resumes `runs`.

    Args:
        config: The ensemble.
        stack: The members' predictions for `rows`.
        rows: To fit on.
        runs: By seed.
        epochs: To train at most.
        held_out: Rows on which the best epoch is chosen, with the config's patience; None: the last epoch is.

    Raises:
        UserError: a loss is not finite, or an earlier checkpoint cannot be used.
    """
    fits = {fit.seed: fit for fit in new_fits(config, stack, rows.inputs.device)}
    states = {seed: runs[seed].resume(fit.model, fit.optimizer) for seed, fit in fits.items()}
    patience = config.training.patience if held_out is not None else None
    try:
        while going := [seed for seed, state in states.items() if not state.finished]:
            # Seeds of a run that was killed may be an epoch apart.
            epoch = min(states[seed].epoch for seed in going) + 1
            chosen = [fits[seed] for seed in going if states[seed].epoch == epoch - 1]
            started = time.perf_counter()
            losses = train_epoch([*fits.values()], rows, config, epoch, chosen)
            scores = _scores(chosen, held_out)
            seconds = time.perf_counter() - started
            for fit, loss, score in zip(chosen, losses, scores, strict=True):
                state, run = states[fit.seed], runs[fit.seed]
                improved = note_epoch(state, {"epoch": epoch, "stage": 3, **loss}, score, epochs, patience)
                run.record(state, seconds)
                run.keep(fit.model, fit.optimizer, state, improved)
    finally:
        for run in runs.values():
            run.close()
    return states


def _scores(fits: Sequence[Fit], held_out: Rows | None) -> list[dict[str, float]]:
    if held_out is None:
        return [{} for _ in fits]
    predicted = predict_together([fit.model for fit in fits], held_out.inputs)
    return [selection_scores(own, held_out.targets) for own in predicted]


def meta_identity(config: MetaConfig, files: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """What makes two ensembles the same one: settings, labels and the members' posteriors."""
    left_out: Any = {"paths": True, "compute": {"device", "threads"}}
    if config.fit_on != "crossfit":
        left_out["crossfit_folds"] = True
    settings = config.model_dump(mode="json", exclude=left_out)
    posteriors = {member: [sha256(file) for file in own] for member, own in files.items()}
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
        UserError: fewer speakers than folds, a fold leaves a class without training rows, or `keep` is damaged.
    """
    if keep.exists():
        found: int = read_json(keep, needs={"epochs": int})["epochs"]
        most = config.training.max_epochs
        if not 1 <= found <= most:
            raise UserError(f"{keep}: epochs: {found}, of at most {most}; delete it to have it made again")
        return found
    targets = make_targets(labels)
    folds = speaker_folds(labels, config.training.inner_folds, "training.inner_folds", "use fit_on: train")
    curves = _left_out_curves(config, stack, targets, folds, device)
    mean = np.mean(curves, axis=0)
    epochs = int(mean.argmax()) + 1
    rounded = {
        str(seed): [round(score, 6) for score in curve] for seed, curve in zip(config.seeds, curves, strict=True)
    }
    write_json(keep, {"schema": 1, "epochs": epochs, "macro_f1": float(mean.max()), "curves": rounded})
    return epochs


def _left_out_curves(
    config: MetaConfig, stack: Stack, targets: Targets, folds: list[np.ndarray], device: torch.device
) -> list[list[float]]:
    """Of each seed, class-balanced macro-F1 after each epoch, over all rows, each predicted without its speaker."""
    count, classes = targets.probabilities.shape
    epochs, inputs = config.training.max_epochs, stack.inputs
    predicted = np.zeros((len(config.seeds), epochs, count), dtype=np.int64)
    for left_out in folds:
        kept = np.setdiff1d(np.arange(count), left_out)
        rows, rest = (Rows(targets.subset(part), inputs[part], device) for part in (kept, left_out))
        fits = new_fits(config, stack, device)
        for epoch in range(epochs):
            train_epoch(fits, rows, config, epoch)
            for number, own in enumerate(predict_together([fit.model for fit in fits], rest.inputs)):
                predicted[number, epoch, left_out] = own.probabilities.argmax(axis=1)
    scored = targets.classes >= 0
    return [
        [balanced_macro_f1(targets.classes[scored], row[scored], classes) for row in of_seed] for of_seed in predicted
    ]
