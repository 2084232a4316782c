"""Stage 3: speaker-disjoint choice of the number of epochs, refit, and the soup of what comes out."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score

from medusa.config.schema import Compute, MetaConfig, MetaTraining, RunPaths
from medusa.corpora.labels import Labels, labels_from_table, write_labels
from medusa.ensemble.posteriors import Stack, write_posteriors
from medusa.ensemble.soup import cook_soup
from medusa.ensemble.stacking import (
    build_metaclassifier,
    cross_validated_epochs,
    fit_seeds,
    meta_identity,
)
from medusa.ensemble.together import Rows
from medusa.training.checkpoint import RunDirectory, TrainingState, load_weights
from medusa.training.data import make_targets
from medusa.training.folds import speaker_folds
from medusa.training.sampling import balanced_rows

EMOTIONS = ("Angry", "Sad", "Neutral")
CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def made_labels(source: Path, partition: str = "dev", speakers: int = 8, rows: int = 64) -> Labels:
    """Every speaker says every class; two rows have no consensus."""
    draws = np.random.default_rng(len(partition))
    classes = (np.arange(rows) + np.arange(rows) // speakers) % 3
    targets = 0.7 * np.eye(3)[classes] + 0.1
    table = pd.DataFrame({"FileName": [f"{partition}{row:03d}.wav" for row in range(rows)]})
    table[list(EMOTIONS)] = targets
    table[["EmoAct", "EmoVal", "EmoDom"]] = draws.uniform(1, 7, (rows, 3))
    table["EmoClass"] = np.asarray(EMOTIONS)[classes]
    table.loc[[5, 7], "EmoClass"] = ["X", "O"]
    table["SpkrID"] = [f"{partition}-{row % speakers}" for row in range(rows)]
    table["Partition"] = partition
    return labels_from_table(source, table)


def made_stack(labels: Labels, members: int = 2, seed: int = 0) -> Stack:
    """Members that are right a little more often than not."""
    draws = np.random.default_rng(seed)
    logits = 2.0 * labels.targets()[:, None] + draws.normal(0, 1, (len(labels), members, 3))
    posteriors = torch.from_numpy(logits).softmax(dim=2).numpy().astype(np.float32)
    attributes = draws.uniform(1, 7, (len(labels), members, 3)).astype(np.float32)
    return Stack(labels.ids, posteriors, attributes, tuple(f"m{number}" for number in range(members)))


def made_config(folder: Path, folds: int = 4, epochs: int = 6, seeds: tuple[int, ...] = (1, 2)) -> MetaConfig:
    training = MetaTraining(batch_size=16, learning_rate=0.02, max_epochs=epochs, inner_folds=folds, patience=2)
    return MetaConfig(
        members=["m0", "m1"], seeds=list(seeds), fit_on="dev", training=training, paths=RunPaths(runs=folder / "runs")
    )


def balanced_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    weights = 1 / np.bincount(true)[true]
    return float(f1_score(true, predicted, average="macro", sample_weight=weights))


# --- the number of epochs ---------------------------------------------------------------------------


def slow_curve(config: MetaConfig, labels: Labels, stack: Stack, seed: int) -> list[float]:
    """Plain loops over the same folds and draws; scikit-learn's F1."""
    targets, inputs = make_targets(labels), torch.from_numpy(stack.inputs)
    soft, attributes = torch.from_numpy(targets.probabilities), torch.from_numpy(targets.attributes)
    predicted = np.full((config.training.max_epochs, len(labels)), -1)
    for left_out in speaker_folds(labels, config.training.inner_folds, "training.inner_folds", ""):
        kept = np.array([row for row in range(len(labels)) if row not in left_out])
        torch.manual_seed(seed)
        layer = torch.nn.Linear(12, 6)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.02, weight_decay=0.01)
        for epoch in range(config.training.max_epochs):
            order = kept[balanced_rows(targets.classes[kept], 3, seed, epoch)]
            for rows in np.split(order, range(16, len(order), 16)):
                outputs = layer(inputs[rows])
                loss = 1.5 * F.cross_entropy(outputs[:, :3], soft[rows])
                loss = loss + 0.4 * F.mse_loss(outputs[:, 3:], attributes[rows])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
            predicted[epoch, left_out] = layer(inputs[left_out])[:, :3].argmax(dim=1).numpy()
    scored = targets.classes >= 0
    return [balanced_f1(targets.classes[scored], row[scored]) for row in predicted]


def test_the_peak_of_the_mean_left_out_curve_is_chosen(tmp_path: Path) -> None:
    labels, config = made_labels(tmp_path / "labels.csv"), made_config(tmp_path)
    stack, keep = made_stack(labels), tmp_path / "inner_folds.json"
    epochs = cross_validated_epochs(config, labels, stack, CPU, keep)
    curves = np.array([slow_curve(config, labels, stack, seed) for seed in config.seeds])
    assert len(set(np.round(curves.mean(axis=0), 6))) > 3  # the peak is no accident of a flat curve
    assert epochs == curves.mean(axis=0).argmax() + 1
    kept = json.loads(keep.read_text())
    np.testing.assert_allclose([kept["curves"]["1"], kept["curves"]["2"]], curves, atol=1e-6)
    assert kept["macro_f1"] == pytest.approx(curves.mean(axis=0).max())


def test_a_choice_that_was_made_is_kept(tmp_path: Path) -> None:
    labels, config = made_labels(tmp_path / "labels.csv"), made_config(tmp_path)
    keep = tmp_path / "inner_folds.json"
    keep.write_text('{"epochs": 5}')
    assert cross_validated_epochs(config, labels, made_stack(labels), CPU, keep) == 5


def test_the_script_refits_every_seed_on_all_dev_rows_for_that_many_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = made_labels(tmp_path / "labels.csv")
    write_labels(labels.source, labels)
    stack = made_stack(labels)
    for number in range(2):
        write_posteriors(tmp_path / f"m{number}.csv", labels, stack.posteriors[:, number], stack.attributes[:, number])
    monkeypatch.chdir(tmp_path)
    words = ["fit_on=dev", "members=[m0.csv, m1.csv]", "seeds=[1, 2]", "paths.labels=labels.csv", "paths.runs=runs"]
    words += ["training.max_epochs=6", "training.patience=1", "training.batch_size=16", "training.learning_rate=0.02"]
    monkeypatch.setattr(sys, "argv", ["train_metacls.py", str(ROOT / "configs/metacls.yaml"), *words, "--device=cpu"])
    runpy.run_path(str(ROOT / "train_metacls.py"), run_name="__main__")

    epochs = cross_validated_epochs(made_config(tmp_path), labels, stack, CPU, tmp_path / "expected.json")
    assert 2 <= epochs < 6  # neither the patience of 1 nor the 6 epochs decide
    assert f"{epochs} epochs, from 4 speaker-disjoint folds of the dev rows" in capsys.readouterr().out
    smallest = np.bincount(labels.class_indices()[labels.class_indices() >= 0]).min()
    for seed in (1, 2):
        run = tmp_path / "runs" / "ensembles" / "metacls" / f"seed-{seed}"
        history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in history] == list(range(epochs))
        assert {row["rows"] for row in history} == {3 * smallest + 2}  # the folds' training rows are fewer
        assert (run / "best/model.safetensors").read_bytes() == (run / "last/model.safetensors").read_bytes()


# --- what comes out ---------------------------------------------------------------------------------


def test_the_soup_of_trained_linear_seeds_is_the_mean_of_their_logits(tmp_path: Path) -> None:
    labels, config = made_labels(tmp_path / "labels.csv"), made_config(tmp_path, seeds=(1, 2, 3, 4, 5, 6))
    stack = made_stack(labels)
    rows = Rows(make_targets(labels), stack.inputs, CPU)
    inputs = torch.from_numpy(made_stack(labels, seed=1).inputs)
    runs = {seed: RunDirectory(tmp_path / f"seed-{seed}") for seed in config.seeds}
    fit_seeds(config, stack, rows, runs, 4, rows)
    outputs, checkpoints = [], [run.path / "best" for run in runs.values()]
    for checkpoint in checkpoints:
        model = build_metaclassifier(config, stack, 1, CPU)
        load_weights(model, checkpoint)
        outputs.append(torch.cat(model(inputs), dim=1).detach())
    cook_soup(checkpoints, tmp_path / "soup")
    soup = build_metaclassifier(config, stack, 7, CPU)
    load_weights(soup, tmp_path / "soup")
    assert torch.stack(outputs).std(dim=0).min() > 1e-4  # the ingredients differ
    torch.testing.assert_close(
        torch.cat(soup(inputs), dim=1).detach(), torch.stack(outputs).mean(dim=0), atol=1e-5, rtol=0
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """Without wall times and TensorBoard's events."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "timings.jsonl" and not file.name.startswith("events.")
    }


@pytest.mark.parametrize("saves", [1, 4, 8, 11])
def test_a_fit_that_was_killed_between_two_saves_ends_in_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    """Also where one seed is an epoch ahead of the others, and one is finished already."""
    labels, config = made_labels(tmp_path / "labels.csv"), made_config(tmp_path, seeds=(1, 2, 3))
    stack, held_out = made_stack(labels), made_stack(labels, seed=1)
    rows, selection = (Rows(make_targets(labels), one.inputs, CPU) for one in (stack, held_out))

    def fitted(name: str) -> dict[int, TrainingState]:
        runs = {seed: RunDirectory(tmp_path / name / f"seed-{seed}") for seed in config.seeds}
        return fit_seeds(config, stack, rows, runs, 6, selection)

    states = fitted("whole")
    assert len({state.epoch for state in states.values()}) > 1  # patience of 2 ends them at different epochs
    keep, calls = RunDirectory.keep, iter(range(100))

    def killed(self: RunDirectory, *state: Any) -> None:
        if next(calls) == saves:
            raise KeyboardInterrupt
        keep(self, *state)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            fitted("killed")
    assert fitted("killed") == states
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
    before = files_of(tmp_path / "whole")
    assert fitted("whole") == states
    assert files_of(tmp_path / "whole") == before


def test_initial_weights_depend_on_the_seed_alone(tmp_path: Path) -> None:
    config, stack = made_config(tmp_path), made_stack(made_labels(tmp_path / "labels.csv"))
    one, again, other = (
        build_metaclassifier(config, stack, seed, CPU).state_dict()["layers.0.weight"] for seed in (1, 1, 2)
    )
    assert one.shape == (6, 12)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_an_ensemble_is_known_by_its_settings_labels_and_posteriors(tmp_path: Path) -> None:
    for name in ("labels.csv", "a.csv"):
        (tmp_path / name).write_text("1")
    config = made_config(tmp_path).model_copy(update={"paths": RunPaths(labels=tmp_path / "labels.csv")})
    files = {"a": [tmp_path / "a.csv"]}
    before = meta_identity(config, files)
    assert meta_identity(config.model_copy(update={"compute": Compute(threads=2)}), files) == before
    assert meta_identity(config.model_copy(update={"compute": Compute(precision="bf16")}), files) != before
    (tmp_path / "a.csv").write_text("2")
    assert meta_identity(config, files) != before
