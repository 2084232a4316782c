"""Weights without what cannot change a posterior; intervals where speakers allow none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import softmax

from medusa.ensemble.evaluate import Combined
from medusa.evaluation.bootstrap import SpeakerDraws
from medusa.evaluation.scores import effective_weights, estimate, vote_weights
from medusa.models.metaclassifier import MetaClassifier

if TYPE_CHECKING:
    from tests.evaluation.conftest import Runs


def test_effective_weights_give_the_same_posteriors_up_to_the_bias() -> None:
    random = np.random.default_rng(0)
    members, emotions, attributes = 3, 4, 2
    weights = random.normal(size=(emotions + attributes, members * (emotions + attributes)))
    effective = effective_weights(weights, members, emotions)
    assert effective.shape == (members, emotions, emotions + attributes)

    posteriors = random.dirichlet(np.ones(emotions), size=(50, members))
    inputs = np.concatenate([posteriors, random.uniform(1, 7, (50, members, attributes))], axis=2)
    before = inputs.reshape(50, -1) @ weights[:emotions].T
    after = np.einsum("rmi,mji->rj", inputs, effective)
    bias = (before - before.mean(axis=1, keepdims=True) - after)[0]  # a constant of the layer, the same in every row
    np.testing.assert_allclose(softmax(after + bias, axis=1), softmax(before, axis=1), atol=1e-12)


def test_what_cannot_change_a_posterior_is_gone() -> None:
    constant_over_classes = np.tile(np.random.default_rng(0).normal(size=6), (3, 1))
    constant_over_posteriors = np.repeat(np.random.default_rng(1).normal(size=(3, 2)), 3, axis=1)
    weights = np.random.default_rng(2).normal(size=(3, 6))
    moved = weights + constant_over_classes + constant_over_posteriors
    np.testing.assert_allclose(effective_weights(moved, 2, 3), effective_weights(weights, 2, 3), atol=1e-12)


def test_an_estimate_against_itself_is_exactly_nothing(runs: Runs) -> None:
    rows = runs.labels.partition("test")
    guess = Combined(np.empty(0), np.empty(0), np.arange(len(rows)) % 3)
    assert estimate(SpeakerDraws(rows), [guess], [guess]) == (0.0, (0.0, 0.0))


def test_unknown_speakers_give_no_interval(runs: Runs) -> None:
    rows = runs.labels.partition("test")
    rows.table["SpkrID"] = ""
    guess = Combined(np.empty(0), np.empty(0), np.arange(len(rows)) % 3)
    assert estimate(SpeakerDraws(rows), [guess]).interval is None


@pytest.mark.parametrize("attributes", [0, 3])
def test_the_votes_weights_are_those_that_training_starts_from(attributes: int) -> None:
    model = MetaClassifier(5 * (4 + attributes), 4, attributes)
    model.start_from_vote()
    weights = model.state_dict()["layers.0.weight"].double().numpy()
    np.testing.assert_allclose(vote_weights(5, 4, attributes), effective_weights(weights, 5, 4), atol=1e-6)
