"""Run folders: claimed for one config by one process."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from medusa.errors import UserError
from medusa.files import read_json, write_json
from medusa.training import checkpoint
from medusa.training.checkpoint import RunDirectory, TrainingState, crc32, open_run, require_same_config, write_tensors

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
        ('{"schema": 2, "epoch": 0, "stars": 5}', "no key 'best_epoch', expected a whole number"),
        ('{"epoch": 0}', "'schema'"),
        (
            '{"schema": 2, "epoch": 3, "best_epoch": 0, "best_score": 0.5, "finished": false}',
            "epoch, best_epoch: not among the 1 of metrics.jsonl",
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


STATE = TrainingState(epoch=0, best_epoch=0, best_score=0.5, finished=True, history=[{"epoch": 0, "rows": 4}])


def stepped() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """After a step, so that AdamW keeps something."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    torch.autograd.backward(model(torch.ones(1, 2)).sum())
    optimizer.step()
    return model, optimizer


def test_best_weights_that_are_gone_are_missed(tmp_path: Path) -> None:
    model, optimizer = stepped()
    run = RunDirectory(tmp_path)
    run.record(STATE, seconds=1.0)
    run.close()
    run.save("last", model, optimizer, STATE)
    with pytest.raises(UserError, match="the best weights are gone"):
        run.resume(model, optimizer)
    run.save("best", model, optimizer, STATE)
    assert run.resume(model, optimizer) == STATE


@pytest.mark.parametrize(
    ("tensors", "found"),
    [({}, "nothing"), ({"weight/exp_avg": torch.zeros(2, 3)}, r"a tensor of shape \(2, 3\)")],
)
def test_an_optimiser_of_another_architecture_is_named(
    tmp_path: Path, tensors: dict[str, torch.Tensor], found: str
) -> None:
    model, optimizer = stepped()
    run = RunDirectory(tmp_path)
    run.record(STATE, seconds=1.0)
    run.close()
    run.keep(model, optimizer, STATE, improved=True)
    file = tmp_path / "last" / "optimizer.safetensors"
    save_file(tensors | {"bias/exp_avg": torch.zeros(2)}, file)
    state = read_json(tmp_path / "last" / "state.json")
    state["crc32"][file.name] = crc32(file)
    write_json(tmp_path / "last" / "state.json", state)
    with pytest.raises(UserError, match=rf"optimizer\.safetensors: from another .*: weight/exp_avg is {found}; delete"):
        run.resume(model, optimizer)


def test_a_full_disk_within_safetensors_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names neither the file nor, but in its text, the error's number."""

    def fail(message: str) -> None:
        def save(tensors: object, file: object) -> None:
            raise SafetensorError(message)

        monkeypatch.setattr(checkpoint, "save_file", save)

    fail("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(OSError, match="No space left on device") as full:
        write_tensors(tmp_path / "model.safetensors", {})
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, str(tmp_path / "model.safetensors"))
    fail("Error while serializing: InvalidHeader")
    with pytest.raises(SafetensorError, match="InvalidHeader"):
        write_tensors(tmp_path / "model.safetensors", {})
