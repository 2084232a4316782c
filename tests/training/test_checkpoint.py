"""Run folders: claimed for one config by one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medusa.errors import UserError
from medusa.training.checkpoint import RunDirectory, TrainingState, open_run, require_same_config

CONFIG = {"seed": 1, "training": {"batch_size": 16, "stages": [1, 2]}}


def test_the_same_config_may_come_back(tmp_path: Path) -> None:
    for _ in range(2):
        with open_run(tmp_path / "run", CONFIG, "seed: 1\n") as run:
            assert (run.path / "config.yaml").read_text() == "seed: 1\n"
    require_same_config(tmp_path / "run", CONFIG)


def test_another_config_is_refused_by_the_key_that_differs(tmp_path: Path) -> None:
    with open_run(tmp_path, CONFIG, ""):
        pass
    other = {"seed": 1, "training": {"batch_size": 8, "stages": [1, 2]}}
    match = r"first difference: training\.batch_size is 16 there, 8 here"
    with pytest.raises(UserError, match=match), open_run(tmp_path, other, "new"):
        pass
    with pytest.raises(UserError, match=match):
        require_same_config(tmp_path, other)
    assert (tmp_path / "config.yaml").read_text() == ""


def test_evaluating_what_was_never_trained_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is trained here yet"):
        require_same_config(tmp_path, CONFIG)


def test_a_run_has_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        open_run(tmp_path, CONFIG, ""),
        pytest.raises(UserError, match="another process is training here"),
        open_run(tmp_path, CONFIG, ""),
    ):
        pass


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ('{"schema": 99, "epoch": 0, "best_epoch": 0, "best_score": 0.5, "finished": true}', "this one reads schema 2"),
        ('{"schema": 2, "epoch": 0, "stars": 5}', "unexpected keyword"),
        ('{"epoch": 0}', "'schema'"),
        (
            '{"schema": 2, "epoch": 3, "best_epoch": 0, "best_score": 0.5, "finished": false}',
            "metrics.jsonl lacks epochs",
        ),
        ('{"schema": 2,', "not readable as JSON"),
    ],
)
def test_a_damaged_or_foreign_state_is_one_line(tmp_path: Path, state: str, problem: str) -> None:
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / "state.json").write_text(state)
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0, "rows": 4}\n')
    model = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match=problem):
        RunDirectory(tmp_path).resume(model, torch.optim.AdamW(model.parameters()))


def test_best_weights_that_are_gone_are_missed(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    torch.autograd.backward(model(torch.ones(1, 2)).sum())
    optimizer.step()
    run = RunDirectory(tmp_path)
    row = {"epoch": 0, "rows": 4}
    state = TrainingState(epoch=0, best_epoch=0, best_score=0.5, finished=True, history=[row])
    run.record(state, seconds=1.0)
    run.close()
    run.save("last", model, optimizer, state)
    with pytest.raises(UserError, match="the best weights are gone"):
        run.resume(model, optimizer)
    run.save("best", model, optimizer, state)
    assert run.resume(model, optimizer) == state
