"""A member put together from its config."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig
from medusa.corpora.labels import Labels, labels_from_table
from medusa.errors import UserError
from medusa.features.store import FeatureStore
from medusa.training.member import build_model, feature_statistics, recipe, training_rows

CONFIG = Path(__file__).parents[2] / "configs" / "deepser.yaml"


def config(*changes: str) -> DeepSERConfig:
    return load_config(DeepSERConfig, [CONFIG], changes)


def labels(classes: str, partition: str = "train") -> Labels:
    """One clip per letter: a and b are emotions, X has no consensus."""
    table = pd.DataFrame({"FileName": [f"clip{row}.wav" for row in range(len(classes))]})
    table["Angry"] = [{"a": 1.0, "b": 0.0, "X": 0.5}[letter] for letter in classes]
    table["Sad"] = 1 - table["Angry"]
    table["EmoClass"] = [{"a": "Angry", "b": "Sad", "X": "X"}[letter] for letter in classes]
    table["Partition"] = partition
    return labels_from_table(Path("labels.csv"), table)


def store(folder: Path, lengths: list[int]) -> FeatureStore:
    draws = np.random.default_rng(0)
    for row, length in enumerate(lengths):
        np.save(folder / f"clip{row}.npy", draws.normal(3, 2, (length, 4)).astype(np.float32))
    return FeatureStore(folder)


def test_stage_two_follows_stage_one_within_the_same_budget() -> None:
    stages = recipe(config()).stages
    assert [(stage.number, stage.epochs, stage.balanced) for stage in stages] == [(1, 4, False), (2, 46, True)]
    assert recipe(config("training.max_epochs=3")).stage_at(2).number == 1


def test_without_stage_two_the_same_epochs_are_spent_in_stage_one() -> None:
    schedule = recipe(config("training.stage2=false"))
    assert schedule.max_epochs == 50
    assert schedule.stage_at(49).number == 1
    with pytest.raises(IndexError):
        schedule.stage_at(50)


def test_stage_two_needs_every_class_and_stage_one_alone_does_not() -> None:
    with pytest.raises(UserError, match=r"labels\.csv: partition train: no rows of class Sad"):
        training_rows(config(), labels("aaX"))
    assert len(training_rows(config("training.stage2=false"), labels("aaX"))) == 3
    with pytest.raises(UserError, match="no row in partition train"):
        training_rows(config("training.stage2=false"), labels("ab", partition="test"))


def test_statistics_are_over_frames_and_match_numpy(tmp_path: Path) -> None:
    made = store(tmp_path, [3, 50, 1])
    frames = np.concatenate([made.read(utterance) for utterance in made.ids]).astype(np.float64)
    mean, deviation = feature_statistics(made, made.ids)
    np.testing.assert_allclose(mean, frames.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(deviation, frames.std(axis=0), atol=1e-9)


def test_statistics_read_at_most_so_many_utterances_spread_over_the_list(tmp_path: Path) -> None:
    made = store(tmp_path, [2] * 10)
    frames = np.concatenate([made.read(f"clip{row}") for row in (0, 4, 8)]).astype(np.float64)
    mean, _ = feature_statistics(made, [f"clip{row}" for row in range(10)], most=3)
    np.testing.assert_allclose(mean, frames.mean(axis=0), atol=1e-9)


def test_the_network_follows_config_labels_and_stores(tmp_path: Path) -> None:
    made = store(tmp_path, [2, 2])
    small = config("model.hidden_dim=8", "model.feedforward_dim=8", "seed=5")
    one, again = (build_model(small, labels("ab"), [made], torch.device("cpu")) for _ in range(2))
    other = build_model(small.model_copy(update={"seed": 6}), labels("ab"), [made], torch.device("cpu"))
    assert one.w_c.out_features == 2
    assert one.w_r is None  # these labels have no attributes
    assert one.state_dict()["modality_encoders.0.w1.weight"].shape == (8, 4)
    assert torch.equal(one.w.weight, again.w.weight)
    assert not torch.equal(one.w.weight, other.w.weight)
