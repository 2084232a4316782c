"""Table 3's techniques side by side, and how they are scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics import accuracy_score, f1_score

from medusa.config.schema import MetaConfig, RunPaths
from medusa.corpora.labels import Labels, labels_from_table
from medusa.ensemble.controls import Controls, fit_controls
from medusa.ensemble.evaluate import Combined, combine, score_techniques
from medusa.ensemble.posteriors import Stack
from medusa.ensemble.stacking import build_metaclassifier
from medusa.errors import UserError

EMOTIONS = ("Angry", "Sad", "Neutral")
CPU = torch.device("cpu")
CLASSES = ["Angry", "Sad", "Neutral", "X", "Sad", "Neutral", "O", "Angry", "Sad", "Sad"]


@pytest.fixture
def rows() -> Labels:
    table = pd.DataFrame({"FileName": [f"{row}.wav" for row in range(10)]})
    table[list(EMOTIONS)] = 1 / 3
    table[["EmoAct", "EmoVal", "EmoDom"]] = 4.0
    table["EmoClass"], table["Partition"] = CLASSES, "test"
    return labels_from_table(Path("labels.csv"), table)


@pytest.fixture
def config(tmp_path: Path) -> MetaConfig:
    return MetaConfig(members=["a", "b", "c"], seeds=[4, 9], paths=RunPaths(runs=tmp_path))


def random_stack(rows: int = 10) -> Stack:
    draws = np.random.default_rng(0)
    posteriors = draws.dirichlet(np.ones(3), (rows, 3)).astype(np.float32)
    attributes = draws.uniform(1, 7, (rows, 3, 3)).astype(np.float32)
    return Stack([str(row) for row in range(rows)], posteriors, attributes, ("a", "b", "c"))


def some_controls() -> Controls:
    classes = np.arange(40) % 3
    return fit_controls(random_stack(40), classes, random_stack(40), classes)


def write_checkpoints(config: MetaConfig, stack: Stack) -> dict[str, torch.nn.Module]:
    """An untrained meta-classifier for each place where `combine` looks for a trained one."""
    models: dict[str, torch.nn.Module] = {}
    for seed, (technique, folder) in enumerate(
        {"seed-4": "seed-4/best", "seed-9": "seed-9/best", "soup": "soup"}.items()
    ):
        models[technique] = build_metaclassifier(config, stack, seed, CPU)
        path = config.run_directory / folder
        path.mkdir(parents=True)
        save_file(models[technique].state_dict(), path / "model.safetensors")
    return models


def test_a_tied_majority_goes_to_the_winner_not_to_the_argmax_of_the_shares(config: MetaConfig) -> None:
    """One vote each; Neutral has the highest mean posterior, (0.1 + 0.35 + 0.6) / 3."""
    posteriors = np.array([[[0.5, 0.4, 0.1], [0.2, 0.45, 0.35], [0.3, 0.1, 0.6]]], dtype=np.float32)
    stack = Stack(["x"], posteriors, np.full((1, 3, 3), 4, dtype=np.float32), ("a", "b", "c"))
    write_checkpoints(config, stack)
    majority = combine(config, stack, some_controls(), CPU)["majority"]
    np.testing.assert_allclose(majority.probabilities, [[1 / 3, 1 / 3, 1 / 3]])
    assert majority.predicted.tolist() == [2]
    assert majority.probabilities.argmax(axis=1).tolist() == [0]


def test_votes_average_attributes_and_meta_classifiers_predict_their_own(config: MetaConfig) -> None:
    stack = random_stack()
    models = write_checkpoints(config, stack)
    combined = combine(config, stack, some_controls(), CPU)
    assert list(combined) == ["majority", "soft", "bias", "logistic", "seed-4", "seed-9", "soup"]
    for technique in ("majority", "soft", "bias", "logistic"):
        np.testing.assert_allclose(combined[technique].attributes, stack.attributes.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(combined["soft"].probabilities, stack.posteriors.mean(axis=1), rtol=1e-6)
    inputs = torch.from_numpy(np.concatenate([stack.posteriors, stack.attributes], axis=2).reshape(10, 18))
    for technique, model in models.items():
        logits, attributes = model(inputs)
        found = combined[technique]
        np.testing.assert_allclose(found.probabilities, logits.softmax(dim=1).detach(), atol=1e-6)
        np.testing.assert_array_equal(found.predicted, logits.argmax(dim=1))
        assert attributes.min() < 1  # a linear head leaves the scale; what is reported does not
        np.testing.assert_allclose(found.attributes, attributes.detach().clamp(1, 7), atol=1e-5)


def test_a_missing_meta_classifier_is_named(config: MetaConfig) -> None:
    stack = random_stack()
    write_checkpoints(config, stack)
    (config.run_directory / "seed-9/best/model.safetensors").unlink()
    with pytest.raises(UserError, match=r"seed-9/best/model\.safetensors: no such file; train"):
        combine(config, stack, some_controls(), CPU)


def predictions(*classes: int) -> Combined:
    """Probabilities that point elsewhere: scores must come from `predicted`."""
    predicted = np.array(classes)
    return Combined(np.eye(3)[(predicted + 1) % 3], np.full((len(classes), 3), 4.0), predicted)


def test_scores_are_scikit_learns_over_the_rows_with_consensus(rows: Labels) -> None:
    combined = {
        "majority": predictions(0, 1, 2, 0, 1, 2, 0, 0, 1, 1),
        "soft": predictions(0, 1, 2, 0, 1, 0, 0, 1, 1, 2),
        "seed-4": predictions(0, 1, 1, 0, 1, 2, 0, 1, 1, 2),
        "seed-9": predictions(0, 0, 2, 1, 1, 2, 1, 0, 1, 1),
        "soup": predictions(2, 1, 2, 0, 1, 2, 0, 0, 0, 1),
    }
    table = score_techniques(combined, rows).set_index("technique")
    assert list(table.index) == ["majority", "soft", "single", "soup", "seed-4", "seed-9"]
    scored = [row for row, name in enumerate(CLASSES) if name in EMOTIONS]
    true = np.array([EMOTIONS.index(CLASSES[row]) for row in scored])
    weights = 1 / np.bincount(true)[true]
    for technique, one in combined.items():
        predicted = one.predicted[scored]
        expected = (
            f1_score(true, predicted, average="macro"),
            f1_score(true, predicted, average="macro", sample_weight=weights),
            accuracy_score(true, predicted),
        )
        found = table.loc[technique, ["macro_f1", "balanced_f1", "accuracy"]].astype(float)
        np.testing.assert_allclose(found, expected)
    assert table.loc["majority", "accuracy"] == 1.0


def test_single_is_the_mean_of_the_seeds_with_its_deviation(rows: Labels) -> None:
    right = [max(row, 0) for row in rows.class_indices()]
    wrong = [*right]
    wrong[0] = 1  # 7 of the 8 rows with consensus are right
    combined = {name: predictions(*right) for name in ("majority", "soft", "soup", "seed-4")}
    table = score_techniques({**combined, "seed-9": predictions(*wrong)}, rows).set_index("technique")
    assert table.loc["single", "accuracy"] == pytest.approx((1 + 7 / 8) / 2)
    assert table.loc["single", "accuracy_sd"] == pytest.approx(np.sqrt(2) / 16)  # of two, n - 1 below
    assert table["accuracy_sd"].drop("single").isna().all()
    assert table.loc["single", "macro_f1"] == pytest.approx(table.loc[["seed-4", "seed-9"], "macro_f1"].mean())
