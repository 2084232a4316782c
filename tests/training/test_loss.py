"""Equation (1) by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medusa.models.prediction import Prediction
from medusa.training.loss import class_weights, multitask_loss


def test_class_weights_by_hand() -> None:
    # N = 4, |C| = 2, f = (3.5, 0.5): (4 / (2 * 3.5)) ** 0.5 and (4 / (2 * 0.5)) ** 0.5 = 2.
    targets = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    assert class_weights(targets, 0.5) == pytest.approx([math.sqrt(4 / 7), 2.0])
    assert class_weights(targets, 0.0) == pytest.approx([1.0, 1.0])


def test_a_class_that_never_occurs_gets_weight_zero_and_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"\[1\]"):
        weights = class_weights(np.array([[1.0, 0.0]]), 0.5)
    assert weights == pytest.approx([math.sqrt(0.5), 0.0])
    assert weights.dtype == np.float32


def test_loss_by_hand() -> None:
    # Softmax of (0, ln 3) is (1/4, 3/4). Row 1, target (1, 0), weights (2, 1): -2 ln(1/4).
    # Row 2, target (0.5, 0.5): -(0.5 * 2 * ln(1/4) + 0.5 * 1 * ln(3/4)). Mean over two rows.
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    targets = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    emotion = (2 * math.log(4) + math.log(4) + 0.5 * math.log(4 / 3)) / 2
    # Attributes: squared errors 1, 4 and 9, 0 → mean 3.5.
    prediction = Prediction(logits, torch.tensor([[2.0, 3.0], [4.0, 5.0]]))
    attributes = torch.tensor([[1.0, 5.0], [1.0, 5.0]])
    terms = multitask_loss(prediction, targets, attributes, 1.5, 0.4, weights=torch.tensor([2.0, 1.0]))
    assert terms.emotion.item() == pytest.approx(emotion)
    assert terms.attributes.item() == pytest.approx(3.5)
    assert terms.total.item() == pytest.approx(1.5 * emotion + 0.4 * 3.5)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0])])
def test_trainings_side_by_side_have_each_their_own_terms(weights: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    logits, predicted, attributes = torch.randn(4, 7, 3), torch.randn(4, 7, 2), torch.randn(4, 7, 2)
    targets = torch.randn(4, 7, 3).softmax(dim=-1)
    terms = multitask_loss(Prediction(logits, predicted), targets, attributes, 1.5, 0.4, weights)
    for number in range(4):
        entropy = F.cross_entropy(logits[number], targets[number], weight=weights)
        error = F.mse_loss(predicted[number], attributes[number])
        expected = (1.5 * entropy + 0.4 * error, entropy, error)
        torch.testing.assert_close(tuple(term[number] for term in terms), expected)


@pytest.mark.parametrize("apart", [(), (3,)])
def test_without_attributes_there_is_no_mse_term(apart: tuple[int, ...]) -> None:
    logits, none = torch.zeros(*apart, 2, 4), torch.zeros(*apart, 2, 0)
    terms = multitask_loss(Prediction(logits, none), torch.full_like(logits, 0.25), none, 1.5, 0.4, None)
    entropy = torch.full(apart, math.log(4))
    torch.testing.assert_close(tuple(terms), (1.5 * entropy, entropy, torch.zeros(apart)))


def test_a_model_without_an_attribute_head_is_not_asked_for_attributes() -> None:
    prediction = Prediction(torch.zeros(2, 4), torch.zeros(2, 0))
    terms = multitask_loss(prediction, torch.full((2, 4), 0.25), torch.ones(2, 3), 1.5, 0.0, None)
    assert terms.total.item() == pytest.approx(1.5 * math.log(4))


def test_loss_is_float32_under_bf16() -> None:
    prediction = Prediction(torch.zeros(2, 4, dtype=torch.bfloat16), torch.zeros(2, 3, dtype=torch.bfloat16))
    assert (
        multitask_loss(prediction, torch.full((2, 4), 0.25), torch.ones(2, 3), 1.5, 0.4, None).total.dtype
        == torch.float32
    )
