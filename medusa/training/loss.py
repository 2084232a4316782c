"""The training objective (paper 3.8, equation 1)."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medusa.models.prediction import Prediction


class LossTerms(NamedTuple):
    """Scalars, or one of each for every training that runs side by side; `total` is what is minimised."""

    total: Tensor
    emotion: Tensor
    attributes: Tensor


def class_weights(targets: np.ndarray, exponent: float) -> np.ndarray:
    """α_c = (N / (|C| f_c)) ** exponent, where f_c is the sum of class c's soft targets over all N rows.

    Args:
        targets: (N, C), rows sum to 1, or to their weight.
        exponent: 0.5 in the paper.

    Returns:
        (C,) float32; 0 (and a warning) for a class that never occurs.
    """
    rows, classes = targets.shape
    frequencies = targets.sum(axis=0)
    absent = frequencies == 0
    if absent.any():
        warnings.warn(f"classes {np.flatnonzero(absent).tolist()} never occur in training: weight 0", stacklevel=2)
    weights = (rows / (classes * np.where(absent, 1.0, frequencies))) ** exponent
    return np.where(absent, 0.0, weights).astype(np.float32)


def multitask_loss(
    prediction: Prediction,
    targets: Tensor,
    attributes: Tensor,
    emotion_weight: float,
    attribute_weight: float,
    weights: Tensor | None,
) -> LossTerms:
    """λ1 · weighted cross-entropy + λ2 · mean squared error, in float32, averaged over the B rows.

    Args:
        prediction: Logits (…, B, C), attributes (…, B, A); dimensions before B stay apart.
        targets: (…, B, C) soft targets; a row that sums to w weighs w.
        attributes: (…, B, A) on the corpus scale; not looked at if the model predicts none.
        emotion_weight: λ1.
        attribute_weight: λ2.
        weights: α_c, (C,), in Stage 1; None (uniform) in Stages 2 and 3.
    """
    log_posteriors = prediction.logits.float().log_softmax(dim=-1)
    wanted = targets if weights is None else targets * weights
    emotion = -(wanted * log_posteriors).sum(dim=-1).mean(dim=-1)
    if prediction.attributes.shape[-1] == 0:
        return LossTerms(emotion_weight * emotion, emotion, torch.zeros_like(emotion))
    mse = (prediction.attributes.float() - attributes).square().mean(dim=(-2, -1))
    return LossTerms(emotion_weight * emotion + attribute_weight * mse, emotion, mse)
