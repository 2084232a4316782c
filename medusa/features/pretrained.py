"""Loading pretrained models (safetensors only, no remote code, failures in one line), and what identifies them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers.utils.hub import cached_file, extract_commit_hash

from medusa.config.schema import Compute
from medusa.errors import UserError
from medusa.files import sha256


def from_pretrained(loader: Any, model: str, revision: str | None, **options: Any) -> Any:
    """`loader.from_pretrained` of a hub id or a folder.

    Raises:
        UserError: there is no such folder, or it cannot be loaded.
    """
    folder = model.startswith(("/", ".", "models/")) or Path(model).is_dir()
    if folder and not Path(model).is_dir():
        raise UserError(f"model: no such folder {model}; python -m medusa demo-weights writes two into models/")
    with quiet():
        try:
            return loader.from_pretrained(
                model, revision=revision, trust_remote_code=False, local_files_only=folder, **options
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = str(error).strip().split("\n")[0]
            raise UserError(
                f"model: {model} cannot be loaded ({reason}); it must be a hub id or a folder, "
                "with weights as safetensors"
            ) from None


def load_weights(loader: Any, model: str, revision: str | None, dtype: torch.dtype) -> Any:
    """The model, every weight that can reach a hidden state read from the checkpoint.

    Raises:
        UserError: as `from_pretrained`, or weights are missing.
    """
    loaded, report = from_pretrained(
        loader, model, revision, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    needed = [key for key in report["missing_keys"] if not key.startswith("pooler.") and key != "masked_spec_embed"]
    if needed or report["mismatched_keys"]:
        raise UserError(
            f"model: {model} does not hold all weights of its type ({loaded.config.model_type}); "
            f"{min(needed, default='a shape')} is missing or differs"
        )
    return loaded


def torch_dtype(compute: Compute) -> torch.dtype:
    """The type of weights and activations."""
    return torch.bfloat16 if compute.precision == "bf16" else torch.float32


def hub_commit(model: str, revision: str | None) -> str | None:
    """The commit whose files were just loaded, as the hub's cache names it; None for a folder."""
    return extract_commit_hash(cached_file(model, "config.json", revision=revision), None)


def weights_checksum(model: str | None) -> str | None:
    """SHA-256 of a local folder's weights; None for a hub id, which its commit identifies."""
    files = sorted(Path(model).glob("*.safetensors")) if model else []
    return "+".join(sha256(file) for file in files) or None


def library_versions() -> dict[str, str | None]:
    """Of the libraries that can change a feature or a transcript; None where one is not installed."""
    return {name: _version(name) for name in ("numpy", "torch", "transformers", "librosa", "soxr")}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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
