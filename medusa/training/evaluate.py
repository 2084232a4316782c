"""Predict a set of rows, and score predictions for model selection (paper 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from medusa.corpora.labels import Labels
from medusa.errors import memory_advice
from medusa.metrics import balanced_macro_f1
from medusa.models.prediction import Predictor
from medusa.training.data import Examples, Targets, batches


class Predictions(NamedTuple):
    """In the order of the examples' rows."""

    probabilities: np.ndarray
    """(rows, C) float32, softmax of the logits."""
    attributes: np.ndarray
    """(rows, A) float32."""


@torch.no_grad()
def predict(model: Predictor, examples: Examples, batch_size: int, bf16: bool = False, show: str = "") -> Predictions:
    """Posteriors and attributes of all rows, without dropout; `show` names the progress bar."""
    device = next(model.parameters()).device
    model.eval()
    probabilities, attributes = [], []
    frames = examples.lengths.sum(axis=1)
    order = np.argsort(frames, kind="stable")[::-1]  # longest first: where memory is short, it shows at once
    rows_of = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    loaded = batches(examples, rows_of, pin=device.type == "cuda")
    progress = tqdm(
        loaded, desc=show, total=len(rows_of), unit="batch", leave=False, disable=None if show else True
    )  # fmt: skip
    with memory_advice(f"{batch_size} utterances at a time do not fit; use --device cpu, or where more memory is free"):
        for (batch,) in progress:
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                prediction = model(*batch.to(device).inputs)
            probabilities.append(prediction.logits.float().softmax(dim=-1))
            attributes.append(prediction.attributes.float())
    return Predictions(_in_rows(probabilities, order), _in_rows(attributes, order))


def _in_rows(values: Sequence[Tensor], order: np.ndarray) -> np.ndarray:
    """Of batches in `order` → of rows."""
    predicted = torch.cat(list(values)).cpu().numpy()
    by_row = np.empty_like(predicted)
    by_row[order] = predicted
    return by_row


def selection_scores(predictions: Predictions, targets: Targets) -> dict[str, float]:
    """Class-balanced macro-F1 over the rows with consensus, and the soft cross-entropy over all rows."""
    consensus = targets.classes >= 0
    predicted = predictions.probabilities.argmax(axis=1)
    f1 = balanced_macro_f1(targets.classes[consensus], predicted[consensus], targets.probabilities.shape[1])
    log_probabilities = np.log(np.maximum(predictions.probabilities, 1e-12))
    return {"macro_f1": f1, "cross_entropy": float(-(targets.probabilities * log_probabilities).sum(axis=1).mean())}


def score(
    model: Predictor, examples: Examples, batch_size: int = 1024, bf16: bool = False, show: str = ""
) -> dict[str, float]:
    """`selection_scores` of the model as it is now."""
    return selection_scores(predict(model, examples, batch_size, bf16, show), examples.targets)


def selection_partition(labels: Labels) -> str:
    """Where models are selected: "dev" where the corpus has one (honest), else "test" (the paper's protocol)."""
    return "dev" if labels.has("dev") else "test"
