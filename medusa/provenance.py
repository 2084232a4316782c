"""What made an artefact: config, inputs, code and libraries; nothing about when, or on whose machine."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import medusa
from medusa.errors import UserError
from medusa.files import read_json, sha256, sha256_once, write_json
from medusa.json_shape import require_keys

SCHEMA = 1
PROVENANCE = "provenance.json"
POSTERIORS = "posteriors"
"""Folder of a run, below which lies what it predicts, with a provenance.json of its own."""
LIBRARIES = (
    "torch",
    "transformers",
    "safetensors",
    "numpy",
    "pandas",
    "scikit-learn",
    "librosa",
    "soundfile",
    "torchaudio",
    "pydantic",
)
"""Distributions whose version can change a number; those not installed are left out."""


def provenance(config: Mapping[str, Any], inputs: Sequence[Path], device: str) -> dict[str, Any]:
    """Describe one run as a JSON object.

    Equal runs of equal code on equal libraries give equal objects: no wall time, host name or absolute path is in it.

    Args:
        config: The resolved config as JSON values.
        inputs: Files the run reads; each is named by its path below the current folder, else by its bare name.
        device: Device and threads, as `medusa.device.describe_device` puts them.
    """
    canonical = json.dumps(config, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return {
        "schema": SCHEMA,
        "medusa": medusa.__version__,
        "git": _git(Path(__file__).resolve().parents[1]),
        "config_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "inputs": [{"file": _portable_name(path), "sha256": sha256(path)} for path in inputs],
        "libraries": _versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
    }


def write_provenance(directory: Path, config: Mapping[str, Any], inputs: Sequence[Path], device: str) -> None:
    """Write `provenance(...)` to `directory/provenance.json`."""
    write_json(directory / PROVENANCE, provenance(config, inputs, device))


def note_outputs(directory: Path, pattern: str = "**/*.csv") -> None:
    """Add SHA-256 of the files below `directory` to its provenance.json, by which `medusa verify` knows them."""
    outputs = {file.relative_to(directory).as_posix(): sha256(file) for file in sorted(directory.glob(pattern))}
    write_json(directory / PROVENANCE, {**read_json(directory / PROVENANCE), "outputs": outputs})


class Input(NamedTuple):
    """A file that was read to make something, as `provenance` names it."""

    file: str
    sha256: str


def read_inputs(directory: Path, remedy: str) -> list[Input]:
    """What `directory/provenance.json` says that was read, in that order.

    Raises:
        UserError: it is missing or damaged; ends in `remedy`.
    """
    file = directory / PROVENANCE
    inputs = read_json(file, remedy, {"inputs": list})["inputs"]
    found = [require_keys(one, {"file": str, "sha256": str}, f"{file}: inputs", remedy) for one in inputs]
    return [Input(one["file"], one["sha256"]) for one in found]


def read_outputs(directory: Path, remedy: str) -> dict[str, str]:
    """What `note_outputs` has noted: SHA-256 by path below `directory`.

    Raises:
        UserError: as `read_inputs`, or it did not come to that.
    """
    file = directory / PROVENANCE
    if "outputs" not in read_json(file, remedy):
        raise UserError(f"{directory}: has no checksums: unfinished, or of an earlier version; {remedy}")
    outputs = read_json(file, remedy, {"outputs": dict})["outputs"]
    return require_keys(outputs, dict.fromkeys(outputs, str), f"{file}: outputs", remedy)


def require_as_written(file: Path, remedy: str) -> None:
    """Refuse a file of posteriors that is not as it was written; one without provenance is taken as it is.

    Raises:
        UserError: it has changed, or nobody finished writing the posteriors; ends in `remedy`.
    """
    folder = next((one for one in file.parents[:2] if one.name == POSTERIORS), None)
    if folder is None or not (folder / PROVENANCE).is_file():
        return
    if read_outputs(folder, remedy).get(file.relative_to(folder).as_posix()) != sha256_once(file):
        raise UserError(f"{file}: not the file that was written; {remedy}")


def _portable_name(path: Path) -> str:
    absolute, here = path.resolve(), Path.cwd().resolve()
    return absolute.relative_to(here).as_posix() if absolute.is_relative_to(here) else path.name


def _versions() -> dict[str, str]:
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _git(root: Path) -> dict[str, Any] | None:
    """Commit of the checkout at `root` and whether it has changes; None where the code is no checkout of its own."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return None
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
