"""Stage 3 for several seeds at once: their meta-classifiers side by side as one batched network (paper 3.5, 3.6).

AdamW acts on every weight by itself, and the sum of the seeds' losses has in each seed's weights the gradient of that
seed's loss: so the seeds train as they would one by one, in the same draws, in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from medusa.errors import UserError, memory_advice
from medusa.models.metaclassifier import MetaClassifier
from medusa.models.prediction import Prediction
from medusa.training.data import Targets
from medusa.training.evaluate import Predictions
from medusa.training.loss import multitask_loss
from medusa.training.sampling import balanced_rows

if TYPE_CHECKING:
    from medusa.config.schema import MetaConfig

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What AdamW keeps of each weight, beside the number of steps."""


class Fit(NamedTuple):
    """One seed's meta-classifier and its AdamW."""

    seed: int
    model: MetaClassifier
    optimizer: torch.optim.Optimizer


class Rows:
    """Stacked predictions with their targets, all of them on the device that computes.

    Args:
        targets: Of the rows.
        inputs: (rows, inputs) float32, the members' posteriors and attributes side by side.
        device: Where to compute.
    """

    def __init__(self, targets: Targets, inputs: np.ndarray, device: torch.device) -> None:
        self.targets = targets
        self.inputs, self.soft, self.attributes = (
            torch.from_numpy(values).to(device) for values in (inputs, targets.probabilities, targets.attributes)
        )


def train_epoch(
    fits: Sequence[Fit], rows: Rows, config: MetaConfig, epoch: int, going: Sequence[Fit] | None = None
) -> list[dict[str, float]]:
    """One epoch: for each seed a balanced subset drawn by (seed, epoch), uniform class weights, no MixUp.

    Args:
        fits: All seeds, always in the same order: a vector unit rounds a weight by where it lies among the others.
        rows: To fit on.
        config: The ensemble.
        epoch: From 0.
        going: Those of them that are trained, the others being left as they are; None: all.

    Returns:
        Of each that goes, the mean losses over its rows, as `medusa.training.loop.run_epochs` has them.

    Raises:
        UserError: a loss is not finite; names the seed. Out of memory.
    """
    going = fits if going is None else going
    targets, training = rows.targets, config.training
    num_classes = targets.probabilities.shape[1]
    drawn = np.stack([balanced_rows(targets.classes, num_classes, fit.seed, epoch) for fit in fits])
    order = torch.from_numpy(drawn).to(rows.inputs.device)
    advice = (
        f"lower training.batch_size (now {training.batch_size}) or name fewer seeds (now {len(fits)}), under another "
        "name or variant; or use --device cpu, or where more memory is free"
    )
    weights = _side_by_side([fit.model for fit in fits])
    with memory_advice(advice):
        losses = _train_steps(fits, going, weights, rows, config, order)

    means = (torch.stack(losses).sum(dim=0) / order.shape[1]).T.tolist()  # of each fit, as in LossTerms
    kept = []
    for number, (fit, (total, emotion, attributes)) in enumerate(zip(fits, means, strict=True)):
        if fit not in going:
            continue
        steps = torch.stack([terms[0, number] for terms in losses]).isfinite().tolist()
        if not (all(steps) and all(bool(weight[number].isfinite().all()) for weight in weights)):
            step = steps.index(False) if False in steps else len(steps) - 1
            batch = drawn[number, step * training.batch_size : (step + 1) * training.batch_size]
            raise UserError(
                f"seed {fit.seed}: loss is not finite at epoch {epoch + 1}, step {step + 1}, utterances "
                f"{', '.join(targets.ids[row] for row in batch)}; the last checkpoint is kept: lower "
                "training.learning_rate"
            )
        kept.append({"loss": total, "loss_emotion": emotion, "loss_attributes": attributes, "rows": order.shape[1]})
    return kept


def _train_steps(
    fits: Sequence[Fit],
    going: Sequence[Fit],
    weights: Sequence[nn.Parameter],
    rows: Rows,
    config: MetaConfig,
    order: Tensor,
) -> list[Tensor]:
    """The steps of `train_epoch`; of each the losses, (3, fits), times its rows."""
    training, num_classes = config.training, rows.soft.shape[1]
    optimizer = torch.optim.AdamW(weights, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)
    _gather_state(fits, going[0], weights, optimizer)
    losses = []
    for start in range(0, order.shape[1], training.batch_size):
        chosen = order[:, start : start + training.batch_size]
        prediction = _outputs(weights, rows.inputs[chosen], num_classes)
        terms = multitask_loss(
            prediction, rows.soft[chosen], rows.attributes[chosen], config.loss.emotion, config.loss.attributes, None
        )
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(terms.total.sum())
        optimizer.step()
        losses.append(torch.stack(terms).detach() * chosen.shape[1])
    _scatter_state(fits, going, weights, optimizer)
    return losses


@torch.no_grad()
def predict_together(models: Sequence[MetaClassifier], inputs: Tensor) -> list[Predictions]:
    """What each model says of all rows; inputs (rows, inputs).

    Raises:
        UserError: out of memory.
    """
    # All rows are one batch, whatever training.batch_size is.
    fewer = f"name fewer seeds (now {len(models)}), under another name or variant; or " if len(models) > 1 else ""
    with memory_advice(
        f"{len(inputs):,} rows at once do not fit: {fewer}use --device cpu, or where more memory is free"
    ):
        prediction = _outputs(_side_by_side(models), inputs.expand(len(models), -1, -1), models[0].num_emotions)
        probabilities, attributes = prediction.logits.softmax(dim=-1).cpu(), prediction.attributes.cpu()
    return [Predictions(*own) for own in zip(probabilities.numpy(), attributes.numpy(), strict=True)]


def _side_by_side(models: Sequence[MetaClassifier]) -> list[nn.Parameter]:
    """Weight (fits, out, in) and bias (fits, out) of each linear layer, in order."""
    return [
        nn.Parameter(torch.stack([own.detach() for own in parameters]))
        for parameters in zip(*(model.parameters() for model in models), strict=True)
    ]


def _outputs(weights: Sequence[Tensor], x: Tensor, num_emotions: int) -> Prediction:
    """`MetaClassifier.head` of every fit: x (fits, B, inputs) → logits (fits, B, C), attributes (fits, B, A)."""
    for number, (weight, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        x = torch.baddbmm(bias[:, None], x if number == 0 else x.relu(), weight.transpose(1, 2))
    return Prediction(x[..., :num_emotions], x[..., num_emotions:])


def _gather_state(fits: Sequence[Fit], first: Fit, weights: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Put the moments that the fits' own optimisers hold side by side; all that go have taken the steps of `first`."""
    for weight, *own in zip(weights, *(fit.model.parameters() for fit in fits), strict=True):
        states = {fit.seed: fit.optimizer.state[parameter] for fit, parameter in zip(fits, own, strict=True)}
        if states[first.seed]:
            empty = torch.zeros_like(weight[0])
            moments = {key: torch.stack([state.get(key, empty) for state in states.values()]) for key in MOMENTS}
            optimizer.state[weight] = {"step": states[first.seed]["step"].clone(), **moments}


@torch.no_grad()
def _scatter_state(
    fits: Sequence[Fit], going: Sequence[Fit], weights: Sequence[Tensor], optimizer: torch.optim.Optimizer
) -> None:
    """Give every fit that goes its weights and moments back."""
    for weight, *own in zip(weights, *(fit.model.parameters() for fit in fits), strict=True):
        state = optimizer.state[weight]
        for number, (fit, parameter) in enumerate(zip(fits, own, strict=True)):
            if fit in going:
                parameter.copy_(weight[number])
                moments = {key: state[key][number].clone() for key in MOMENTS}
                fit.optimizer.state[parameter] = {"step": state["step"].clone(), **moments}
