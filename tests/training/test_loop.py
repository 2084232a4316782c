"""The training loop: accumulation, resume, early stopping, and what it records."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from medusa.errors import UserError
from medusa.models.deepser import DeepSER
from medusa.training.checkpoint import RunDirectory
from medusa.training.data import Batch, FeatureExamples, Targets
from medusa.training.loop import Recipe, Stage, fit, run_epochs
from medusa.training.sampling import balanced_rows, generator, length_batches, shuffled_rows

CLASSES, DIM = 3, 5


class LossWeights(NamedTuple):
    emotion: float = 1.5
    attributes: float = 0.4
    class_weight_exponent: float = 0.5


class MixUpSettings(NamedTuple):
    probability: float = 0.5
    alpha: float = 0.2


def recipe(**changes: object) -> Recipe:
    stages = [Stage(1, 2, 1e-2, balanced=False), Stage(2, 4, 5e-3, balanced=True)]
    made = Recipe(stages, seed=3, batch_size=4, weight_decay=0.01, loss=LossWeights(), mixup=MixUpSettings())  # type: ignore[arg-type]
    return replace(made, **changes)  # type: ignore[arg-type]


def random_targets(rows: int) -> Targets:
    draws = np.random.default_rng(0)
    classes = np.resize(np.array([0, 1, 2, 0, -1]), rows)
    probabilities = draws.dirichlet(np.ones(CLASSES), rows).astype(np.float32)
    attributes = draws.uniform(1, 7, (rows, 3)).astype(np.float32)
    return Targets([f"clip{row}" for row in range(rows)], probabilities, attributes, classes)


class Sequences:
    """Random feature sequences of two modalities, kept in memory."""

    def __init__(self, rows: int = 22) -> None:
        draws = np.random.default_rng(1)
        self.targets = random_targets(rows)
        self.values = [[draws.normal(size=(draws.integers(1, 6), DIM)) for _ in range(rows)] for _ in range(2)]
        self.lengths = np.array([[len(frames) for frames in row] for row in zip(*self.values, strict=True)])

    def batch(self, rows: np.ndarray) -> Batch:
        features, lengths = [], []
        for modality in self.values:
            chosen = [torch.tensor(modality[row], dtype=torch.float32) for row in rows]
            features.append(torch.cat(chosen))
            lengths.append(torch.tensor([len(one) for one in chosen]))
        targets = self.targets.subset(rows)
        return Batch(
            rows, (features, lengths), torch.from_numpy(targets.probabilities), torch.from_numpy(targets.attributes)
        )


def small_model(dropout: float = 0.1) -> DeepSER:
    torch.manual_seed(7)
    return DeepSER([DIM, DIM], hidden_dim=8, feedforward_dim=12, dropout=dropout, num_emotions=CLASSES)


def weights_after(epochs: int, made: Recipe, dropout: float) -> dict[str, torch.Tensor]:
    """Plain gradient descent: AdamW would blow rounding up where the true gradient is zero (the keys' bias)."""
    model = small_model(dropout)
    optimizer = torch.optim.SGD(model.parameters())
    for _ in itertools.islice(run_epochs(model, optimizer, Sequences(), made), epochs):
        pass
    return model.state_dict()


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_accumulated_parts_equal_the_whole_batch(steps: int) -> None:
    plain = recipe(mixup=MixUpSettings(probability=0.0))
    whole = weights_after(3, plain, dropout=0.0)
    parts = weights_after(3, replace(plain, accumulation_steps=steps), dropout=0.0)
    initial = small_model().state_dict()
    assert (whole["w_c.weight"] - initial["w_c.weight"]).abs().max() > 0.005
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, atol=1e-6, rtol=0)


def test_epochs_of_other_seeds_differ() -> None:
    one, other = (weights_after(1, recipe(seed=seed), 0.1) for seed in (1, 2))
    assert any(not torch.equal(one[name], other[name]) for name in one)


def by_plain_loop(model: DeepSER, examples: Sequences, made: Recipe) -> dict[str, torch.Tensor]:
    """Stages 1 and 2 written out: α_c in Stage 1 only, each stage's own learning rate, mixed targets, one AdamW."""
    targets = examples.targets
    frequencies = targets.probabilities.sum(axis=0)
    alpha = torch.tensor((len(targets) / (CLASSES * frequencies)) ** 0.5)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    model.train()
    for epoch in range(6):
        stage_one = epoch < 2
        optimizer.param_groups[0]["lr"] = 1e-2 if stage_one else 5e-3
        draws = generator(3, epoch, "mixup")
        order = (
            shuffled_rows(len(targets), 3, epoch) if stage_one else balanced_rows(targets.classes, CLASSES, 3, epoch)
        )
        for rows in length_batches(order, examples.lengths, 4, 3, epoch):
            batch = examples.batch(rows)
            assert draws.random() < 1  # p = 1: every batch is mixed
            size = len(batch.rows)
            weights = torch.tensor(draws.beta(0.2, 0.2, size), dtype=torch.float32)[:, None]
            partners = draws.permutation(size)
            x = model.encode(*batch.inputs)
            x, wanted, attributes = (
                weights * rows + (1 - weights) * rows[partners] for rows in (x, batch.targets, batch.attributes)
            )
            logits, predicted = model.head(x)
            entropy = -(wanted * logits.log_softmax(dim=1) * (alpha if stage_one else 1)).sum(dim=1).mean()
            loss = 1.5 * entropy + 0.4 * ((predicted - attributes) ** 2).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return model.state_dict()


def test_stages_one_and_two_equal_a_plain_loop() -> None:
    mixed = recipe(mixup=MixUpSettings(probability=1.0))
    model, examples = small_model(dropout=0.0), Sequences()
    for _ in run_epochs(model, torch.optim.AdamW(model.parameters(), weight_decay=0.01), examples, mixed):
        pass
    expected = by_plain_loop(small_model(dropout=0.0), examples, mixed)
    for name in ("w.weight", "w_c.weight", "w_r.weight", "modality_encoders.0.w1.weight"):
        torch.testing.assert_close(model.state_dict()[name], expected[name], atol=1e-4, rtol=0)


def scripted_scores(scores: list[float]) -> Callable[[], Mapping[str, float]]:
    coming = iter(scores)
    return lambda: {"macro_f1": next(coming)}


def files_of(run: Path) -> dict[str, bytes]:
    names = ["metrics.jsonl", *(f"{kind}/{name}" for kind in ("last", "best")
             for name in ("model.safetensors", "optimizer.safetensors", "state.json"))]  # fmt: skip
    return {name: (run / name).read_bytes() for name in names}


class Killed(Exception):
    pass


@pytest.mark.parametrize("stop_after", [1, 2, 4])
def test_a_run_stopped_between_epochs_and_resumed_is_byte_identical(tmp_path: Path, stop_after: int) -> None:
    scores = [0.1, 0.3, 0.2, 0.5, 0.4, 0.6]
    made = recipe()
    fit(small_model(), Sequences(), made, RunDirectory(tmp_path / "whole"), scripted_scores(scores), patience=5)

    def stop(line: str) -> None:
        if f"epoch   {stop_after + 1}/" in line:
            raise Killed

    run = RunDirectory(tmp_path / "stopped")
    with pytest.raises(Killed):
        fit(small_model(), Sequences(), made, run, scripted_scores(scores), 5, report=stop)
    # The epoch was recorded but not yet saved when the run died: it must be repeated, and counted once.
    state = fit(small_model(), Sequences(), made, run, scripted_scores(scores[stop_after:]), patience=5)
    assert state.epoch == 5
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "whole")
    epochs = [json.loads(line)["epoch"] for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert epochs == list(range(6))


def test_a_crash_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    fit(small_model(), Sequences(), recipe(), run, scripted_scores([0.1] * 6))
    (tmp_path / "last").rename(tmp_path / ".last.old")
    model = small_model()
    assert run.resume(model, torch.optim.AdamW(model.parameters())).finished


def test_patience_counts_across_the_switch_and_best_is_kept(tmp_path: Path) -> None:
    state = fit(
        small_model(), Sequences(), recipe(), RunDirectory(tmp_path),
        scripted_scores([0.1, 0.5, 0.4, 0.4, 0.9, 0.9]), patience=2,
    )  # fmt: skip
    assert (state.epoch, state.best_epoch, state.best_score, state.finished) == (3, 1, 0.5, True)
    assert [row["stage"] for row in state.history] == [1, 1, 2, 2]
    assert [row["rows"] for row in state.history] == [22, 22, 16, 16]


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    fit(small_model(), Sequences(), recipe(), run, scripted_scores([0.1] * 6))
    before = files_of(tmp_path)
    fit(small_model(), Sequences(), recipe(), run, scripted_scores([]))
    assert files_of(tmp_path) == before


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    fit(small_model(), Sequences(), recipe(), run, scripted_scores([0.1] * 6))
    with pytest.raises(UserError, match=r"model\.safetensors: from another architecture: fusion_encoders\.0"):
        fit(DeepSER([DIM, DIM], hidden_dim=16), Sequences(), recipe(), run, scripted_scores([]))


def test_a_loss_that_is_not_finite_names_the_utterances_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    examples, run = Sequences(), RunDirectory(tmp_path)

    def poison(line: str) -> None:
        examples.values[0][9][:] = np.nan

    with pytest.raises(UserError, match=r"epoch 2, step \d, utterances .*clip9"):
        fit(small_model(), examples, recipe(), run, scripted_scores([0.1] * 6), report=poison)
    assert json.loads((tmp_path / "last" / "state.json").read_text())["epoch"] == 0


def test_bf16_stays_near_float32() -> None:
    exact, rough = weights_after(2, recipe(), 0.0), weights_after(2, recipe(bf16=True), 0.0)
    initial = small_model().state_dict()
    for name in ("w.weight", "w_c.weight", "w_r.weight"):
        moved = (exact[name] - initial[name]).abs().max().item()
        assert (rough[name] - exact[name]).abs().max().item() < 0.1 * moved, name


def test_feature_examples_refuse_missing_features_by_name(tmp_path: Path) -> None:
    class Empty:
        path, dim = tmp_path, 4

        def __contains__(self, utterance: object) -> bool:
            return utterance != "clip2"

    with pytest.raises(UserError, match="no features for 'clip2' \\(1 of 5"):
        FeatureExamples(random_targets(5), [Empty()])  # type: ignore[list-item]
