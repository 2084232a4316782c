"""Loading pretrained models (safetensors only, no remote code, failures in one line), and what identifies them."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.safetensors_conversion import auto_conversion
from transformers.utils.hub import cached_file, extract_commit_hash

from medusa.audio import SAMPLE_RATE
from medusa.config.schema import Compute
from medusa.errors import UserError, reason
from medusa.files import read_json, sha256

LARGEST, DEEPEST, FINEST = 2**20, 200, 1024
"""Numbers in a model folder's JSON: vocabularies and widths, layers, and bands of a spectrogram stay below these."""
LONGEST_WINDOW = 60 * SAMPLE_RATE
"""Samples that a Whisper takes at once; all that exist take half."""

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


@dataclass(frozen=True)
class Checkpoint:
    """A model in a folder, or on the hub at one commit, so that all of its files belong together."""

    model: str
    """Folder or hub id."""
    commit: str | None
    """40 hex digits; None for a folder."""


def open_checkpoint(model: str, revision: str | None) -> Checkpoint:
    """Find the commit that a branch or tag of the hub (null: main) stands for today; its weights are then in the cache.

    A warning names the commit where the config does not. Repositories without safetensors on main (WavLM-large)
    are read from the hub's own conversion, a pull request there, as transformers does.

    Raises:
        UserError: there is no such folder, repository or revision, or it has no safetensors weights.
    """
    if is_folder(model, revision):
        for name in ("config.json", "preprocessor_config.json"):
            _refuse_absurd_sizes(Path(model) / name)
        return Checkpoint(model, None)
    file = _weights_file(model, revision)
    if file is None and revision in (None, "main"):
        # (file, its revision, whether it is an index), or None where the hub cannot convert it
        converted = auto_conversion(model, ignore_errors_during_conversion=True)
        file = converted[0] if converted else None
    commit = extract_commit_hash(file, None)
    if commit is None:
        raise UserError(
            f"model: {model} has no weights as safetensors at revision {revision or 'main'}; "
            "set revision to a commit that has model.safetensors"
        )
    warn_unless_pinned(model, revision, commit)
    return Checkpoint(model, commit)


def _refuse_absurd_sizes(file: Path) -> None:
    """A folder may come from anybody: refuse what would take all memory before its weights are looked at."""
    if not file.is_file():
        return  # transformers names what is missing
    for key, value in read_json(file, "copy the model again").items():
        most = DEEPEST if "layer" in key else FINEST if key == "feature_size" else LARGEST
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(one, int) and abs(one) > most for one in numbers):
            raise UserError(f"{file}: {key}: no model is that large; copy the model again")


def is_folder(model: str, revision: str | None) -> bool:
    """Whether the model is a folder and not a hub id.

    Raises:
        UserError: it is written as a folder that is not there, or has a revision.
    """
    folder = model.startswith(("/", ".", "models/")) or Path(model).is_dir()
    if folder and not Path(model).is_dir():
        raise UserError(f"model: no such folder {model}; python -m medusa demo-weights writes two into models/")
    if folder and revision is not None:
        raise UserError(f"revision: {revision}: {model} is a folder, which has no revisions; set it to null")
    return folder


def warn_unless_pinned(model: str, revision: str | None, commit: str) -> None:
    """Say which commit was used and how to get it again; nothing where the config names it."""
    if revision != commit:
        print(
            f"warning: {model} is not pinned, {revision or 'main'} is commit {commit} today; "
            "set revision to it, and later runs read the same weights",
            file=sys.stderr,
        )


def from_pretrained(loader: Any, checkpoint: Checkpoint, **options: Any) -> Any:
    """`loader.from_pretrained` of a checkpoint.

    Raises:
        UserError: it cannot be loaded.
    """
    with quiet(), _one_line(checkpoint.model):
        return loader.from_pretrained(
            checkpoint.model,
            revision=checkpoint.commit,
            trust_remote_code=False,
            local_files_only=checkpoint.commit is None,
            **options,
        )


def load_weights(loader: Any, checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    """The model, every weight that can reach a hidden state read from the checkpoint.

    Raises:
        UserError: as `from_pretrained`, or weights are missing.
    """
    loaded, report = from_pretrained(loader, checkpoint, use_safetensors=True, dtype=dtype, output_loading_info=True)
    needed = [key for key in report["missing_keys"] if not key.startswith("pooler.") and key != "masked_spec_embed"]
    if needed or report["mismatched_keys"]:
        raise UserError(
            f"model: {checkpoint.model} does not hold all weights of its type ({loaded.config.model_type}); "
            f"{min(needed, default='a shape')} is missing or differs"
        )
    return loaded


def torch_dtype(compute: Compute) -> torch.dtype:
    """The type of weights and activations."""
    return torch.bfloat16 if compute.precision == "bf16" else torch.float32


def weights_checksum(model: str | None, pattern: str = "*.safetensors") -> str | None:
    """SHA-256 of a local folder's weights; None for a hub id, which its commit identifies."""
    files = sorted(Path(model).glob(pattern)) if model else []
    return "+".join(sha256(file) for file in files) or None


def library_versions(*further: str) -> dict[str, str | None]:
    """Of the libraries that can change a feature or a transcript; None where one is not installed."""
    return {name: _version(name) for name in ("numpy", "torch", "transformers", "librosa", "soxr", *further)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _weights_file(model: str, revision: str | None) -> str | None:
    """Path in the hub's cache, downloaded where it is not there; None where the revision has no such file."""
    with quiet(), _one_line(model):
        cached_file(model, "config.json", revision=revision)  # raises where there is no such revision, or no network
        found = (
            cached_file(model, name, revision=revision, _raise_exceptions_for_missing_entries=False)
            for name in _WEIGHTS
        )
        return next((file for file in found if file), None)


def require_window(model: str, samples: int) -> None:
    """Refuse a Whisper whose window would take all memory.

    Raises:
        UserError: naming the file.
    """
    if not 0 < samples <= LONGEST_WINDOW:
        raise UserError(f"{model}/preprocessor_config.json: a window of {samples} samples; Whisper's has 480000")


@contextlib.contextmanager
def _one_line(model: str) -> Iterator[None]:
    """Turns what transformers raises for a model it cannot load into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # whatever the libraries meet in a folder that may come from anybody
        raise UserError(
            f"model: {model} cannot be loaded ({reason(error)}); it must be a hub id or a folder, "
            "with weights as safetensors"
        ) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no remarks from transformers about weights or settings that are not used."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(logging.ERROR)
    hide: Any = transformers.logging.disable_progress_bar
    hide()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
