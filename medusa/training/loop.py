"""The training loop of Stages 1 and 2 (paper 3.6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from medusa.errors import UserError, memory_advice
from medusa.models.mixup import draw_mixing, mix
from medusa.models.prediction import Predictor
from medusa.training.checkpoint import RunDirectory, TrainingState
from medusa.training.data import Examples, batches
from medusa.training.loss import class_weights, multitask_loss
from medusa.training.sampling import balanced_rows, generator, length_batches, shuffled_rows

if TYPE_CHECKING:
    from medusa.config.schema import Loss, MixUp


@dataclass(frozen=True)
class Stage:
    """One stretch of the schedule."""

    number: int
    """1 or 2, as in the paper."""
    epochs: int
    learning_rate: float
    balanced: bool
    """Draw a balanced subset every epoch and weight all classes alike; else all rows, classes weighted by α_c."""


@dataclass(frozen=True)
class Recipe:
    """How to train: what stays the same over all epochs."""

    stages: Sequence[Stage]
    seed: int
    batch_size: int
    weight_decay: float
    loss: Loss
    mixup: MixUp
    accumulation_steps: int = 1
    bf16: bool = False

    @property
    def max_epochs(self) -> int:
        """All stages together."""
        return sum(stage.epochs for stage in self.stages)

    def stage_at(self, epoch: int) -> Stage:
        """The stage an epoch (from 0) belongs to."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage
            epoch -= stage.epochs
        raise IndexError(epoch)


Selection = Callable[[], Mapping[str, float]]
"""Scores the model as it is now; its first value (higher is better) decides which epoch is best."""


def fit(
    model: Predictor,
    examples: Examples,
    recipe: Recipe,
    run: RunDirectory,
    select: Selection,
    patience: int | None = None,
    report: Callable[[str], None] | None = None,
) -> TrainingState:
    """Train to the end of the recipe or until `patience` epochs have brought no better score; resumes `run`.

    Args:
        model: On the device to train on; holds the weights of the last epoch afterwards.
        examples: Training rows.
        recipe: Stages and settings.
        run: Where checkpoints and metrics go.
        select: Scores an epoch.
        patience: None trains all epochs.
        report: Told one line per epoch.

    Raises:
        UserError: the loss is not finite (names epoch, step and utterances; the last checkpoint is kept),
            or an earlier checkpoint in `run` cannot be used.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.stages[0].learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    state = run.resume(model, optimizer)
    left = iter(()) if state.finished else run_epochs(model, optimizer, examples, recipe, state.epoch + 1)
    try:
        for epoch, losses, seconds in _advised(left, recipe):
            row = {"epoch": epoch, "stage": recipe.stage_at(epoch).number, **losses}
            improved = note_epoch(state, row, select(), recipe.max_epochs, patience)
            run.record(state, seconds)
            if report is not None:
                report(_epoch_line(state, recipe, seconds))
            run.keep(model, optimizer, state, improved)
            if state.finished:
                break
    finally:
        run.close()
    return state


def _advised(
    epochs: Iterator[tuple[int, dict[str, float], float]], recipe: Recipe
) -> Iterator[tuple[int, dict[str, float], float]]:
    """The same epochs; out of memory, the error names what to lower."""
    advice = (
        f"raise training.accumulation_steps (now {recipe.accumulation_steps}: a batch in so many parts) or lower "
        f"training.batch_size (now {recipe.batch_size}), under another name or variant; finished epochs are kept"
    )
    with memory_advice(advice):
        yield from epochs


def note_epoch(
    state: TrainingState, row: Mapping[str, Any], scores: Mapping[str, float], max_epochs: int, patience: int | None
) -> bool:
    """Bring a run's state up to an epoch that has ended; whether it is the best so far (without scores, every one)."""
    epoch = state.epoch = row["epoch"]
    state.history.append({**row, **scores})
    score = next(iter(scores.values()), float(epoch))
    improved = score > state.best_score
    if improved:
        state.best_epoch, state.best_score = epoch, score
    out_of_patience = patience is not None and epoch - state.best_epoch >= patience
    state.finished = out_of_patience or epoch + 1 == max_epochs
    return improved


def _epoch_line(state: TrainingState, recipe: Recipe, seconds: float) -> str:
    row = state.history[-1]
    shown = "  ".join(f"{key} {value:.4f}" for key, value in row.items() if isinstance(value, float))
    best = "  <- best" if state.best_epoch == state.epoch else ""
    return f"stage {row['stage']}  epoch {state.epoch + 1:>3}/{recipe.max_epochs}  {shown}  {seconds:.1f} s{best}"


def run_epochs(
    model: Predictor, optimizer: torch.optim.Optimizer, examples: Examples, recipe: Recipe, first_epoch: int = 0
) -> Iterator[tuple[int, dict[str, float], float]]:
    """Train epoch after epoch, yielding (epoch, mean losses, seconds) after each.

    Everything random in an epoch is a function of (seed, epoch): order, balanced draw, MixUp and dropout.
    """
    device = next(model.parameters()).device
    targets = examples.targets
    num_classes = targets.probabilities.shape[1]
    alpha = torch.from_numpy(class_weights(targets.probabilities, recipe.loss.class_weight_exponent)).to(device)

    for epoch in range(first_epoch, recipe.max_epochs):
        started = time.perf_counter()

        # 1. This epoch's stage, batches and draws.
        stage = recipe.stage_at(epoch)
        if stage.balanced:
            order = balanced_rows(targets.classes, num_classes, recipe.seed, epoch)
        else:
            order = shuffled_rows(len(targets), recipe.seed, epoch)
        rows_of = length_batches(order, examples.lengths, recipe.batch_size, recipe.seed, epoch)
        mixup_draws = generator(recipe.seed, epoch, "mixup")
        torch.manual_seed(recipe.seed * 100_003 + epoch)  # dropout
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate

        # 2. One optimiser step per batch, its gradient the mean over the batch's rows.
        model.train()
        losses = []
        progress = tqdm(
            batches(examples, rows_of, recipe.accumulation_steps, pin=device.type == "cuda"),
            desc=f"stage {stage.number}, epoch {epoch + 1}/{recipe.max_epochs}",
            total=len(rows_of), unit="batch", leave=False, disable=None,
        )  # fmt: skip
        for parts in progress:
            batch_rows = sum(len(part.rows) for part in parts)
            optimizer.zero_grad(set_to_none=True)
            batch_loss = torch.zeros(3, device=device)
            for part in (part.to(device) for part in parts):
                with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bf16):
                    x = model.encode(*part.inputs)
                    mixing = draw_mixing(len(x), recipe.mixup, mixup_draws, device)
                    prediction = model.head(mix(x, mixing))
                terms = multitask_loss(
                    prediction, mix(part.targets, mixing), mix(part.attributes, mixing),
                    recipe.loss.emotion, recipe.loss.attributes, None if stage.balanced else alpha,
                )  # fmt: skip
                share = len(part.rows) / batch_rows
                torch.autograd.backward(terms.total * share)
                batch_loss += torch.stack(terms).detach() * share
            optimizer.step()
            losses.append(batch_loss * batch_rows)

        # 3. Report; a loss that is not finite ends the run before anything of this epoch is kept.
        summed = torch.stack(losses).cpu()
        _refuse_non_finite(summed, model, epoch, rows_of, examples)
        total, emotion, attributes = (summed.sum(dim=0) / len(order)).tolist()
        means = {"loss": total, "loss_emotion": emotion, "loss_attributes": attributes, "rows": len(order)}
        yield epoch, means, time.perf_counter() - started


def _refuse_non_finite(
    losses: Tensor, model: Predictor, epoch: int, rows_of: Sequence[np.ndarray], examples: Examples
) -> None:
    """Losses: (steps, 3). The weights show what the last step did, after which no loss was computed."""
    bad = (~losses.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if not bad and not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        bad = [len(losses) - 1]
    if bad:
        ids = [examples.targets.ids[row] for row in rows_of[bad[0]]]
        raise UserError(
            f"loss is not finite at epoch {epoch + 1}, step {bad[0] + 1}, utterances {', '.join(ids)}; the last "
            "checkpoint is kept: look at these features, or lower training.learning_rate"
        )
