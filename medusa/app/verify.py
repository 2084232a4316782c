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
import os
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
from medusa.features.shards import require_shards
from medusa.features.store import FeatureStore
from medusa.files import read_csv, read_json, sha256
from medusa.json_shape import Kind, require_keys
from medusa.provenance import PROVENANCE, read_inputs, read_outputs
from medusa.training.checkpoint import CHECKSUMS, IDENTITY, OPTIMIZER, PROGRESS, STATE, WEIGHTS, read_tensors
from medusa.training.epochs import METRICS, read_epochs

MANIFEST = "manifest.json"
_COUNTS: dict[str, Kind] = {"utterances": int, "utterances_sha256": str}


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
    """Readable, and as they were prepared, where that is known."""
    labels, made = read_labels(path), path.parent / PROVENANCE
    again = f"prepare them again, or delete {made} if you changed them on purpose"
    if made.is_file() and "outputs" in read_json(made, again):
        outputs = read_outputs(path.parent, again)
        if path.name in outputs and outputs[path.name] != sha256(path):
            raise UserError(f"{path}: not the file that was written; {again}")
    return f"labels of {len(labels):,} utterances"


def _bundle(path: Path) -> str:
    return f"bundle of {len(read_description(path).files)} files"


def _store(path: Path) -> str:
    store = FeatureStore(path)
    for utterance in store.ids:
        store.read(utterance)
    if (path / MANIFEST).exists():  # a folder of .npy files has none
        again = "delete the store and extract it again"
        _require_all(path, require_keys(store.manifest, _COUNTS, str(path / MANIFEST), again), store.ids)
    return f"feature store of {len(store):,} utterances"


def _transcripts(path: Path) -> str:
    from medusa.features.asr import read_shard

    manifest = read_json(path / MANIFEST, "delete the folder and transcribe again", _COUNTS | {"shards": int})
    require_shards(path, ".json", manifest["shards"])
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
    wanted, failures = manifest["utterances"], path / "failures.csv"
    listed = len(read_csv(failures)) if failures.exists() else 0
    if len(ids) + listed != wanted:
        raise UserError(f"{path}: {len(ids)} of {wanted} utterances; run the same extract_features.py command again")
    checksum = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    if not listed and checksum != manifest["utterances_sha256"]:
        raise UserError(f"{path}: other utterances than {MANIFEST} says; delete it and extract it again")


# --- runs -------------------------------------------------------------------------------------------


def _run(path: Path) -> str:
    identity = read_json(path / IDENTITY, f"delete {path} and train again", {"labels_sha256": str})
    _require_trained_with(path, identity)
    seeds = sorted(path.glob("seed-*"))
    epochs = [_training(one) for one in (seeds or [path])]
    if (path / "soup").exists():
        _soup(path / "soup", [f"{one.name}/best" for one in seeds])
    posteriors = _posteriors(path / "posteriors")
    trained = f"{len(seeds)} seeds" if seeds else f"{epochs[0]} epochs"
    return f"run of {trained}, {posteriors} files of posteriors"


def _require_trained_with(path: Path, identity: dict[str, Any]) -> None:
    """The labels that the config names are still those of the run."""
    file = [path / "config.yaml"]
    config = load_config(MetaConfig, file) if "members" in identity else load_config(DeepSERConfig, file)
    labels = config.paths.labels
    if labels.is_file() and sha256(labels) != identity["labels_sha256"]:
        raise UserError(f"{labels}: not the file that {path} was trained with; put that back, or train again")


def _training(path: Path) -> int:
    """Both checkpoints and the rows of metrics.jsonl; how many epochs."""
    again, count = f"delete {path} and train again", len(read_epochs(path))
    for name in ("last", "best"):
        state = path / name / STATE
        if not 0 <= read_json(state, again, {**PROGRESS, CHECKSUMS: dict})["epoch"] < count:
            raise UserError(f"{state}: epoch: not among the {count} of {METRICS}; {again}")
        for file in (WEIGHTS, OPTIMIZER):
            _tensors(path / name / file)
    return count


def _soup(path: Path, seeds: list[str]) -> None:
    """The mean of its ingredients, which are among the checkpoints of its seeds."""
    import torch

    from medusa.ensemble.soup import soup

    again = "run train_metacls.py again"
    ingredients = read_json(path / STATE, again, {CHECKSUMS: dict, "ingredients": list})["ingredients"]
    if not ingredients or not all(name in seeds for name in ingredients):
        raise UserError(f"{path / STATE}: ingredients: not of {', '.join(seeds) or 'any seed'}; {again}")
    weights = _tensors(path / WEIGHTS)
    expected = soup([_tensors(path.parent / name / WEIGHTS) for name in ingredients])
    if weights.keys() != expected.keys() or not all(torch.equal(weights[key], expected[key]) for key in weights):
        raise UserError(f"{path / WEIGHTS}: not the mean of {', '.join(ingredients)}; {again}")


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
    again = "run the eval script again"
    outputs, there = read_outputs(path, again), {file.relative_to(path).as_posix() for file in path.rglob("*.csv")}
    for name, checksum in outputs.items():
        if name not in there or sha256(path / name) != checksum:
            raise UserError(f"{path / name}: not the file that was written; {again}")
    for made_from in read_inputs(path, again):
        # os.path, because a name that no file can have is none; pathlib raises
        if os.path.isfile(made_from.file) and sha256(Path(made_from.file)) != made_from.sha256:
            raise UserError(f"{path}: made from another {made_from.file} than is there now; {again}")
    return len(outputs)
