"""Numbers that go wrong: training stops and says where, what was good is kept, and half precision stays near."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig
from medusa.corpora.labels import read_labels
from medusa.training.checkpoint import load_weights
from medusa.training.data import FeatureExamples, make_targets
from medusa.training.evaluate import predict
from medusa.training.member import build_model, open_stores
from tests.faults.workspace import call, contents

TRAIN = ("train_deepser.py", "member.yaml", "paths.runs=out", "training.max_epochs=3", "training.stage1_epochs=3")
RUN = Path("out/members/deepser")
STEPS = 5  # 74 rows in batches of 16


def poison(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The optimiser's step of that number (from 1) makes a weight NaN."""
    compute, counted = torch.optim.AdamW.step, iter(range(1, 10_000))

    def poisoned(optimizer: torch.optim.AdamW, *arguments: Any) -> Any:
        result = compute(optimizer, *arguments)
        if next(counted) == step:
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0].view(-1)[0] = torch.nan
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", poisoned)


@pytest.mark.parametrize(
    ("step", "epoch", "named"),
    [
        (STEPS + 2, 2, 3),  # seen by the next step's loss
        (2 * STEPS, 2, STEPS),  # the last step of an epoch: no loss of it sees the weight
        (1, 1, 2),
    ],
)
def test_a_nan_stops_the_run_with_epoch_step_and_utterances_and_keeps_the_last_good_checkpoint(
    own: Path, monkeypatch: pytest.MonkeyPatch, step: int, epoch: int, named: int
) -> None:
    poison(monkeypatch, step)
    done = call(own, *TRAIN)
    monkeypatch.undo()
    assert done.code == 2, done
    assert f"loss is not finite at epoch {epoch}, step {named}, utterances " in done.err
    listed = done.err.partition("utterances ")[2].partition(";")[0].split(", ")
    train = read_labels(own / "samples/labels.csv").partition("train").ids
    assert len(listed) in (16, 10)
    assert set(listed) <= set(train)
    assert "the last checkpoint is kept" in done.err
    if epoch == 1:
        assert not (own / RUN / "last").exists()
    else:
        assert json.loads((own / RUN / "last/state.json").read_text())["epoch"] == epoch - 2
        assert call(own, "medusa", "verify", str(RUN)).code == 0  # all that is kept is finite
    # The same command goes on from there, to what an untroubled run gives.
    assert call(own, *TRAIN).code == 0
    resumed = contents(own / RUN / "best")
    assert call(own, *TRAIN[:2], "paths.runs=whole", *TRAIN[3:]).code == 0
    assert contents(own / "whole/members/deepser/best") == resumed


def test_in_stage_3_as_well(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ("train_metacls.py", "ensemble.yaml", "paths.runs=runs", "name=fresh")
    steps = -(-len(balanced(own)) // 16)
    poison(monkeypatch, 2 * steps)
    done = call(own, *rows)
    monkeypatch.undo()
    assert done.code == 2, done
    assert f"seed 1: loss is not finite at epoch 2, step {steps}, utterances MSP-PODCAST_" in done.err
    for seed in (1, 2):
        state = json.loads((own / f"runs/ensembles/fresh/seed-{seed}/last/state.json").read_text())
        assert state["epoch"] == 0
    assert call(own, "medusa", "verify", "runs/ensembles/fresh").code == 0
    assert call(own, *rows).code == 0


def balanced(own: Path) -> list[int]:
    """As many rows of each class as the smallest has, and as many without consensus, or all there are."""
    classes = read_labels(own / "samples/labels.csv").partition("train").class_indices()
    n = min(int((classes == index).sum()) for index in range(8))
    return [0] * (8 * n + min(n, int((classes == -1).sum())))


BF16_TOLERANCE = 0.02
"""How far a posterior in bf16 may be from float32's; bf16 keeps 8 bits."""


def test_posteriors_in_bf16_stay_near_those_in_float32(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    config = load_config(DeepSERConfig, [Path("member.yaml")], ["training.max_epochs=2"])
    labels, stores = read_labels(config.paths.labels), open_stores(config)
    model = build_model(config, labels, stores, torch.device("cpu"))
    load_weights(model, config.run_directory / "best")
    examples = FeatureExamples(make_targets(labels.partition("test")), stores)
    exact, rough = (predict(model, examples, 16, bf16=bf16) for bf16 in (False, True))
    assert not np.array_equal(exact.probabilities, rough.probabilities)
    assert np.abs(exact.probabilities - rough.probabilities).max() < BF16_TOLERANCE
    assert np.abs(exact.attributes - rough.attributes).max() < 6 * BF16_TOLERANCE
