"""Predictions do not depend on batching; selection counts rows with consensus alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, log_loss

from medusa.corpora.labels import labels_from_table
from medusa.features.store import FeatureStore, StoreWriter
from medusa.models.deepser import DeepSER
from medusa.training.data import FeatureExamples, Targets
from medusa.training.evaluate import Predictions, predict, score, selection_partition, selection_scores

ROWS, CLASSES = 11, 3


@pytest.fixture
def examples(tmp_path: Path) -> FeatureExamples:
    draws = np.random.default_rng(0)
    ids = [f"clip{row:02d}" for row in range(ROWS)]
    stores = []
    for name, dim in (("speech", 4), ("text", 3)):
        writer = StoreWriter(tmp_path / name, {"name": name, "dim": dim, "shard_size": 99}, ids)
        writer.write(0, {utterance: draws.normal(size=(draws.integers(1, 9), dim)) for utterance in ids})
        stores.append(FeatureStore(tmp_path / name))
    probabilities = draws.dirichlet(np.ones(CLASSES), ROWS).astype(np.float32)
    classes = np.array([0, 1, 2, -1, 0, 1, 1, -1, 2, 1, 0])
    return FeatureExamples(Targets(ids, probabilities, np.full((ROWS, 3), 4, dtype=np.float32), classes), stores)


@pytest.fixture
def model() -> DeepSER:
    torch.manual_seed(1)
    return DeepSER([4, 3], hidden_dim=8, feedforward_dim=16, dropout=0.5, num_emotions=CLASSES)


@pytest.mark.parametrize("batch_size", [1, 4, 11, 100])
def test_predictions_are_the_models_own_whatever_the_batch(
    examples: FeatureExamples, model: DeepSER, batch_size: int
) -> None:
    model.train()  # predict must switch dropout off by itself
    found = predict(model, examples, batch_size)
    model.eval()
    for row, utterance in enumerate(examples.targets.ids):
        clip = [torch.from_numpy(store.read(utterance).astype(np.float32)) for store in examples.stores]
        logits, attributes = model(clip, [torch.tensor([len(one)]) for one in clip])
        np.testing.assert_allclose(found.probabilities[row], logits[0].softmax(dim=0).detach(), atol=1e-5)
        np.testing.assert_allclose(found.attributes[row], attributes[0].detach(), atol=1e-5)
    assert found.probabilities.dtype == found.attributes.dtype == np.float32


def test_predicting_leaves_no_gradients_and_no_randomness(examples: FeatureExamples, model: DeepSER) -> None:
    first, second = (predict(model, examples, 4) for _ in range(2))
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert all(parameter.grad is None for parameter in model.parameters())


def random_predictions(seed: int) -> Predictions:
    draws = np.random.default_rng(seed)
    return Predictions(draws.dirichlet(np.ones(CLASSES), ROWS).astype(np.float32), np.zeros((ROWS, 3)))


@pytest.mark.parametrize("seed", range(5))
def test_the_score_is_scikit_learns_macro_f1_with_balanced_weights(examples: FeatureExamples, seed: int) -> None:
    predictions, targets = random_predictions(seed), examples.targets
    kept = targets.classes >= 0
    true, predicted = targets.classes[kept], predictions.probabilities[kept].argmax(axis=1)
    weights = 1 / np.bincount(true)[true]
    expected = f1_score(true, predicted, average="macro", sample_weight=weights, zero_division=0)
    scores = selection_scores(predictions, targets)
    assert next(iter(scores)) == "macro_f1"  # the first value decides which epoch is best
    assert scores["macro_f1"] == pytest.approx(expected)


def test_rows_without_consensus_count_in_the_cross_entropy_alone(examples: FeatureExamples) -> None:
    predictions, targets = random_predictions(0), examples.targets
    before = selection_scores(predictions, targets)
    probabilities = predictions.probabilities.copy()
    probabilities[3] = [0.5, 0.25, 0.25]
    after = selection_scores(Predictions(probabilities, predictions.attributes), targets)
    assert after["macro_f1"] == before["macro_f1"]
    assert after["cross_entropy"] != before["cross_entropy"]
    # Cross-entropy with soft targets: every class as a row, weighted by its share.
    normalised = probabilities / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    classes, rows = np.tile(np.arange(CLASSES), ROWS), np.repeat(normalised, CLASSES, axis=0)
    expected = log_loss(classes, rows, sample_weight=targets.probabilities.reshape(-1))
    assert after["cross_entropy"] == pytest.approx(expected, rel=1e-5)


def test_a_posterior_of_zero_costs_much_but_stays_finite(examples: FeatureExamples) -> None:
    certain = Predictions(np.eye(CLASSES, dtype=np.float32)[[0] * ROWS], np.zeros((ROWS, 3)))
    assert 1 < selection_scores(certain, examples.targets)["cross_entropy"] < 30


def test_score_is_of_the_model_as_it_is_now(examples: FeatureExamples, model: DeepSER) -> None:
    before = score(model, examples)
    assert before == selection_scores(predict(model, examples, 3), examples.targets) | {
        "cross_entropy": pytest.approx(before["cross_entropy"], abs=1e-6)
    }
    with torch.no_grad():
        model.w_c.bias.copy_(torch.tensor([9.0, 0.0, 0.0]))
    assert score(model, examples)["macro_f1"] == pytest.approx(
        1 / 6
    )  # all Angry: F1 is 2 (1/3) / (1/3 + 1) = 1/2, 0, 0


@pytest.mark.parametrize(("partitions", "expected"), [("train dev test", "dev"), ("train test", "test")])
def test_models_are_selected_on_dev_where_there_is_one(partitions: str, expected: str) -> None:
    table = pd.DataFrame({"Partition": partitions.split()})
    table["FileName"] = [f"{row}.wav" for row in range(len(table))]
    table[["Angry", "Sad"]] = 0.5
    assert selection_partition(labels_from_table(Path("labels.csv"), table)) == expected
