"""Whether what lies on disk is what was written: stores, transcripts, runs, posteriors, labels, bundles.

feature store        every utterance's checksum, that it is finite, and that none is missing without being listed
transcripts          the shards, and that transcripts.csv says what they say
run                  checksums of weights and optimisers, an epoch a row in metrics.jsonl, the soup's ingredients
posteriors           the checksums that eval_*.py left in provenance.json, and those of what they were made from
labels.csv           that it can be read, and that it is the one that the run was trained with
bundle               the checksums of bundle.json
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medusa.app.description import FILE as BUNDLE
from medusa.app.description import read_description
from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig, MetaConfig
from medusa.corpora.labels import read_labels
from medusa.corpora.transcripts import read_transcripts
from medusa.errors import UserError
from medusa.features.store import FeatureStore
from medusa.files import read_csv, read_json, sha256
from medusa.provenance import PROVENANCE
from medusa.training.checkpoint import IDENTITY, OPTIMIZER, STATE, WEIGHTS, read_tensors

MANIFEST = "manifest.json"


class Finding(NamedTuple):
    """What was looked at, what it is, and what is wrong with it, if anything."""

    path: Path
    what: str
    problem: str | None


def verify(paths: Sequence[Path]) -> Iterator[Finding]:
    """Look at everything of ours in the paths and below them, one after the other.

    Raises:
        UserError: a path is not there, or holds nothing of ours.
    """
    for path in paths:
        found = list(_things(path))
        if not found:
            raise UserError(
                f"{path}: nothing of medusa's to verify; name a store, a run, a bundle, or a folder of them"
            )
        for thing, check in found:
            try:
                yield Finding(thing, check(thing), None)
            except UserError as error:
                yield Finding(thing, "", str(error))


Check = Callable[[Path], str]


def _things(path: Path) -> Iterator[tuple[Path, Check]]:
    """Everything that can be checked, with how; what belongs to a thing is not a thing of its own."""
    if path.is_file() and path.suffix == ".csv":
        yield path, _labels
    if not path.is_dir():
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; check the path")
        return
    if (path / BUNDLE).exists():
        yield path, _bundle
    elif (path / IDENTITY).exists():
        yield path, _run
    elif (path / MANIFEST).exists():
        yield path, _transcripts if path.suffix == ".parts" else _store
    elif next(path.glob("*.npy"), None) is not None:
        yield path, _store
    else:
        if (path / "labels.csv").is_file():
            yield path / "labels.csv", _labels
        for below in sorted(one for one in path.iterdir() if one.is_dir() and not one.is_symlink()):
            yield from _things(below)


def _labels(path: Path) -> str:
    return f"labels of {len(read_labels(path)):,} utterances"


def _bundle(path: Path) -> str:
    return f"bundle of {len(read_description(path).files)} files"


def _store(path: Path) -> str:
    store = FeatureStore(path)
    for utterance in store.ids:
        store.read(utterance)
    _require_all(path, store.manifest, store.ids)
    return f"feature store of {len(store):,} utterances"


def _transcripts(path: Path) -> str:
    from medusa.features.asr import read_shard

    manifest = read_json(path / MANIFEST)
    if type(manifest.get("shards")) is not int:
        raise UserError(f"{path / MANIFEST}: shards: not a whole number; delete the folder and transcribe again")
    shards = [read_shard(path / f"shard-{number:05d}.json") for number in range(manifest["shards"])]
    texts = {utterance: transcript.text for shard in shards for utterance, transcript in shard.items()}
    _require_all(path, manifest, sorted(texts))
    table = path.with_suffix(".csv")
    written = read_transcripts(table)
    for utterance in {**texts, **written}:
        if written.get(utterance) != texts.get(utterance):
            raise UserError(f"{table}: {utterance}: not what {path} says; run extract_features.py again")
    return f"transcripts of {len(texts):,} utterances"


def _require_all(path: Path, manifest: dict[str, Any], ids: list[str]) -> None:
    """The utterances are those of the manifest; some may be missing that failures.csv lists."""
    wanted, failures = manifest.get("utterances"), path / "failures.csv"
    listed = len(read_csv(failures)) if failures.exists() else 0
    if wanted is not None and len(ids) + listed != wanted:
        raise UserError(f"{path}: {len(ids)} of {wanted} utterances; run the same extract_features.py command again")
    checksum = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    if wanted is not None and not listed and checksum != manifest.get("utterances_sha256"):
        raise UserError(f"{path}: other utterances than {MANIFEST} says; delete it and extract it again")


# --- runs -------------------------------------------------------------------------------------------


def _run(path: Path) -> str:
    identity = read_json(path / IDENTITY, f"delete {path} and train again")
    _require_trained_with(path, identity)
    seeds = sorted(path.glob("seed-*"))
    epochs = [_training(one) for one in (seeds or [path])]
    if (path / "soup").exists():
        _soup(path / "soup")
    posteriors = _posteriors(path / "posteriors")
    trained = f"{len(seeds)} seeds" if seeds else f"{epochs[0]} epochs"
    return f"run of {trained}, {posteriors} files of posteriors"


def _require_trained_with(path: Path, identity: dict[str, Any]) -> None:
    """The labels that the config names are still those of the run."""
    file = [path / "config.yaml"]
    config = load_config(MetaConfig, file) if "members" in identity else load_config(DeepSERConfig, file)
    labels = config.paths.labels
    if labels.is_file() and sha256(labels) != identity.get("labels_sha256"):
        raise UserError(f"{labels}: not the file that {path} was trained with; put that back, or train again")


def _training(path: Path) -> int:
    """Both checkpoints and the rows of metrics.jsonl; how many epochs."""
    for name in ("last", "best"):
        for file in (WEIGHTS, OPTIMIZER):
            _tensors(path / name / file)
    last = read_json(path / "last" / STATE, f"delete {path} and train again").get("epoch")
    metrics = path / "metrics.jsonl"
    try:
        rows = [json.loads(line)["epoch"] for line in metrics.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{metrics}: not a row an epoch ({error}); delete {path} and train again") from None
    if rows[: len(rows) if last is None else last + 1] != list(range(len(rows) if last is None else last + 1)):
        raise UserError(f"{metrics}: epochs are missing or stand twice; delete {path} and train again")
    return len(rows)


def _soup(path: Path) -> None:
    """The mean of its ingredients."""
    import torch

    from medusa.ensemble.soup import soup

    weights = _tensors(path / WEIGHTS)
    ingredients = read_json(path / STATE, "run train_metacls.py again").get("ingredients", [])
    expected = soup([_tensors(path.parent / name / WEIGHTS) for name in ingredients])
    if weights.keys() != expected.keys() or not all(torch.equal(weights[key], expected[key]) for key in weights):
        raise UserError(f"{path / WEIGHTS}: not the mean of {', '.join(ingredients)}; run train_metacls.py again")


def _tensors(file: Path) -> dict[str, Any]:
    tensors = read_tensors(file)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UserError(f"{file}: {name} is not finite; delete that folder and train again")
    return tensors


def _posteriors(path: Path) -> int:
    """Outputs and inputs are those that the provenance names; how many outputs."""
    if not path.is_dir():
        return 0
    made = read_json(path / PROVENANCE, "run the eval script again")
    outputs = made.get("outputs")
    if not isinstance(outputs, dict):
        raise UserError(f"{path}: has no checksums: unfinished, or of an earlier version; run the eval script again")
    for name, checksum in outputs.items():
        if not (path / name).is_file() or sha256(path / name) != checksum:
            raise UserError(f"{path / name}: not the file that was written; run the eval script again")
    for entry in made.get("inputs", []):
        file = Path(entry["file"])
        if file.is_file() and sha256(file) != entry["sha256"]:
            raise UserError(f"{path}: made from another {file} than is there now; run the eval script again")
    return len(outputs)
