"""The folder of one training run: claimed by one process, never half written, resumable at every epoch.

    config.yaml  identity.json  provenance.json  metrics.jsonl  timings.jsonl  events.*  last/  best/

`last/` and `best/` hold model.safetensors, optimizer.safetensors and state.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from medusa.errors import UserError, os_reason
from medusa.files import atomic_folder, finish_swap, lock, naming, read_json, write_json, write_text
from medusa.json_shape import NUMBER, Kind, require_keys
from medusa.training.epochs import METRICS, read_epochs

SCHEMA = 2
IDENTITY = "identity.json"
WEIGHTS, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
CHECKSUMS = "crc32"
"""Key of a checkpoint's state: by file, what its bytes add up to."""
PROGRESS: Mapping[str, Kind] = {"epoch": int, "best_epoch": int, "best_score": NUMBER, "finished": bool}
"""What a checkpoint's state holds of a `TrainingState`."""


@dataclass
class TrainingState:
    """Where a run stands after an epoch; all that is needed, beside the weights, to go on."""

    epoch: int = -1
    """Last finished epoch, from 0."""
    best_epoch: int = -1
    best_score: float = -1.0
    finished: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    """One flat row per epoch: what metrics.jsonl holds."""


class RunDirectory:
    """One run's folder; make it with `open_run`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: SummaryWriter | None = None

    @property
    def finished(self) -> bool:
        """Whether training here has come to its end."""
        state = self.path / "last" / STATE
        again = f"delete {self.path} and train again"
        return state.exists() and bool(read_json(state, again, {"finished": bool})["finished"])

    def save(self, name: str, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
        """Replace the checkpoint `name` ("last" or "best") as a whole."""
        weights = {key: value.contiguous() for key, value in model.state_dict().items()}
        summary = {key: value for key, value in asdict(state).items() if key != "history"}
        with atomic_folder(self.path / name) as fresh:
            write_tensors(fresh / WEIGHTS, weights)
            write_tensors(fresh / OPTIMIZER, _optimizer_tensors(model, optimizer))
            checksums = {file: crc32(fresh / file) for file in (WEIGHTS, OPTIMIZER)}
            write_json(fresh / STATE, {"schema": SCHEMA, **summary, CHECKSUMS: checksums})

    def keep(self, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState, improved: bool) -> None:
        """Save an epoch: as "last", and as "best" before that if it is."""
        if improved:
            self.save("best", model, optimizer, state)
        self.save("last", model, optimizer, state)

    def record(self, state: TrainingState, seconds: float) -> None:
        """Write metrics.jsonl (every epoch so far, no wall times in it); add to timings.jsonl and TensorBoard."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / METRICS, "".join(json.dumps(row) + "\n" for row in state.history))
        rate = state.history[-1]["rows"] / seconds
        timing = {"epoch": state.epoch, "seconds": round(seconds, 3), "utterances_per_second": round(rate, 1)}
        timings = self.path / "timings.jsonl"
        with naming(timings), timings.open("a", encoding="utf-8") as file:
            file.write(json.dumps(timing) + "\n")
        if self._events is None:
            # Events an earlier, killed process wrote for this epoch or later ones are void.
            self._events = SummaryWriter(str(self.path), purge_step=state.epoch)
        for key, value in state.history[-1].items():
            self._events.add_scalar(key, value, state.epoch)

    def close(self) -> None:
        """Flush the TensorBoard events."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def resume(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
        """Load `last/` into model and optimiser if there is one; the state to continue from.

        Raises:
            UserError: the checkpoint is damaged or belongs to another architecture.
        """
        last = self.path / "last"
        for checkpoint in (last, self.path / "best"):
            finish_swap(checkpoint)
        if not last.is_dir():
            return TrainingState()
        state = self._read_state()
        if not (self.path / "best" / WEIGHTS).exists():
            raise UserError(f"{self.path / 'best'}: the best weights are gone; delete {self.path} and train again")
        load_weights(model, last)
        _load_optimizer(model, optimizer, last / OPTIMIZER)
        return state

    def _read_state(self) -> TrainingState:
        """`last/state.json` with the rows of metrics.jsonl up to it."""
        file, again = self.path / "last" / STATE, f"delete {self.path} and train again"
        if not file.exists():
            raise UserError(f"{file}: gone, though its folder is there; {again}")
        saved = read_json(file, again, {"schema": int})
        if saved["schema"] != SCHEMA:
            raise UserError(f"{file}: written by another version, this one reads schema {SCHEMA}; {again}")
        require_keys(saved, PROGRESS, str(file), again)
        history = read_epochs(self.path)
        if not 0 <= saved["best_epoch"] <= saved["epoch"] < len(history):
            raise UserError(f"{file}: epoch, best_epoch: not among the {len(history)} of {METRICS}; {again}")
        return TrainingState(**{key: saved[key] for key in PROGRESS}, history=history[: saved["epoch"] + 1])


def read_best_epoch(run: Path, epochs: int) -> int:
    """The epoch, from 0, whose weights `best/` holds; one of the `epochs` that there are.

    Raises:
        UserError: `best/state.json` is missing or damaged.
    """
    file, again = run / "best" / STATE, f"delete {run} and train again"
    best: int = read_json(file, again, {"best_epoch": int})["best_epoch"]
    if not 0 <= best < epochs:
        raise UserError(f"{file}: best_epoch: not among the {epochs} of {METRICS}; {again}")
    return best


@contextlib.contextmanager
def open_run(path: Path, config: Mapping[str, Any], config_text: str) -> Iterator[RunDirectory]:
    """Lock the folder and claim it for one config.

    Args:
        path: The run's folder; made if absent.
        config: What identifies the run; compared with the config already there, if any.
        config_text: The resolved YAML to leave as config.yaml.

    Raises:
        UserError: another process is at work there, or the folder holds another config (names the key).
    """
    with lock(path, "training"):
        if (path / IDENTITY).exists():
            require_same_config(path, config)
        write_text(path / "config.yaml", config_text)
        write_json(path / IDENTITY, config)
        yield RunDirectory(path)


def require_same_config(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse to work on another config's run.

    Raises:
        UserError: nothing was trained in `path`, or with another config (names the first key that differs).
    """
    if not (path / IDENTITY).exists():
        raise UserError(f"{path}: nothing is trained here yet; run the train script with the same config first")
    key = _first_difference(read_json(path / IDENTITY), json.loads(json.dumps(config)))
    if key is not None:
        raise UserError(
            f"{path}: holds a run with another config (first difference: {key}); "
            f"go on with {path / 'config.yaml'}, give this one another name or variant, or delete that folder"
        )


def load_weights(model: nn.Module, checkpoint: Path) -> None:
    """Load `checkpoint/model.safetensors`.

    Raises:
        UserError: missing, damaged, or from another architecture (names the first differing tensor).
    """
    require_architecture(model, checkpoint)
    model.load_state_dict(read_tensors(checkpoint / WEIGHTS))


def require_architecture(model: nn.Module, checkpoint: Path) -> None:
    """Compare the shapes that `checkpoint/model.safetensors` says it holds with the model's, which may be on "meta".

    Raises:
        UserError: as `load_weights`.
    """
    file = checkpoint / WEIGHTS
    with _readable(file), safe_open(file, "pt") as stored:
        shapes = {key: tuple(stored.get_slice(key).get_shape()) for key in stored.keys()}  # noqa: SIM118
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    for key in sorted(shapes.keys() | expected.keys()):
        found, wanted = shapes.get(key), expected.get(key)
        if found != wanted:
            raise UserError(
                f"{file}: from another architecture: {key} has shape {found}, the config builds {wanted}; "
                "use the config.yaml beside it"
            )


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, whose bytes must be those that the state.json beside it was written with.

    Raises:
        UserError: missing or damaged.
    """
    require_checksum(file)
    with _readable(file):
        return load_file(file)


def write_tensors(file: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file.

    Raises:
        OSError: it cannot be written.
    """
    try:
        save_file(tensors, file)
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(file)) from None


def crc32(file: Path) -> int:
    """CRC-32 of a file's bytes."""
    checksum = 0
    with file.open("rb") as opened:
        while block := opened.read(2**24):
            checksum = zlib.crc32(block, checksum)
    return checksum


def require_checksum(file: Path) -> None:
    """Compare a tensor file with its checksum in the state.json beside it; bundles, checked otherwise, have none there.

    Raises:
        UserError: they differ, or state.json holds none.
    """
    state = file.with_name(STATE)
    if not (state.is_file() and file.is_file()):
        return
    again = "delete that folder and train again"
    checksums = read_json(state, again, {CHECKSUMS: dict})[CHECKSUMS]
    if crc32(file) != require_keys(checksums, {file.name: int}, f"{state}: {CHECKSUMS}", again)[file.name]:
        raise UserError(f"{file}: damaged (fails its checksum); {again}")


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        with file.open("rb"):  # safetensors calls a file that may not be read one that is not there
            yield
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; train the run first") from None
    except PermissionError as error:
        raise UserError(f"{file}: {os_reason(error, 'train the run again')}") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: damaged ({error}); delete that folder and train again") from None


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's state as `<parameter name>/<exp_avg | exp_avg_sq | step>`."""
    return {
        f"{name}/{key}": value.contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def _load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, file: Path) -> None:
    """Give AdamW back what it kept of each parameter; a checkpoint is written after a step, so it kept something."""
    tensors = read_tensors(file)
    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {}
        for key, wanted in (("exp_avg", parameter.shape), ("exp_avg_sq", parameter.shape), ("step", ())):
            value = tensors.get(f"{name}/{key}")
            if value is None or tuple(value.shape) != tuple(wanted):
                found = "nothing" if value is None else f"a tensor of shape {tuple(value.shape)}"
                raise UserError(
                    f"{file}: from another architecture: {name}/{key} is {found}; delete that run and train again"
                )
            optimizer.state[parameter][key] = value.to(parameter.device)


def _first_difference(there: Any, here: Any, path: Sequence[str] = ()) -> str | None:
    """Dotted key and both values of the first difference between two JSON values."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys([*there, *here]):
            found = _first_difference(there.get(key), here.get(key), (*path, key))
            if found is not None:
                return found
        return None
    return None if there == here else f"{'.'.join(path)} is {there!r} there, {here!r} here"
