"""What a set of runs holds, read and joined by utterance: members and ensembles with their predictions."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig, MetaConfig
from medusa.corpora.labels import Labels, read_labels
from medusa.ensemble.evaluate import Combined
from medusa.ensemble.posteriors import fitted_files, member_files, read_posteriors, stack_members
from medusa.ensemble.stacking import meta_identity
from medusa.errors import UserError
from medusa.files import inside, read_json, sha256
from medusa.training.checkpoint import RunDirectory, read_tensors
from medusa.training.evaluate import selection_partition
from medusa.training.member import require_every_class

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Training:
    """How a member came about: Stages 1 and 2."""

    config: DeepSERConfig
    history: list[dict[str, Any]]
    """metrics.jsonl: one row per epoch (`epoch` from 0, `stage`, `loss`, `macro_f1` on the selection rows, …)."""
    best_epoch: int
    """From 0; the epoch whose weights made the posteriors."""


@dataclass(frozen=True, eq=False)
class Member:
    """One ensemble member."""

    name: str
    predicted: dict[str, Combined]
    """By partition: the selection rows and test."""
    training: Training | None
    """None where the posteriors came as a file."""

    @property
    def title(self) -> str:
        """What figures call it."""
        return self.name if self.training is None else f"member {self.name}"


@dataclass(frozen=True, eq=False)
class Ensemble:
    """One trained and evaluated ensemble."""

    config: MetaConfig
    predicted: dict[str, Combined]
    """Test rows, by technique: `majority`, `soft`, `seed-<s>` for every seed, `soup`."""
    weights: Floats | None
    """The soup's linear layer, (C + A, members * (C + A)); None where there is a hidden layer."""

    @property
    def name(self) -> str:
        """The run's folder."""
        return self.config.run_directory.name

    @property
    def seeds(self) -> list[Combined]:
        """The single meta-classifiers' predictions."""
        return [self.predicted[f"seed-{seed}"] for seed in self.config.seeds]


@dataclass(frozen=True, eq=False)
class Results:
    """All that a report speaks about."""

    runs: Path
    """The folder they lie in."""
    labels: Labels
    selection: str
    """The partition that models were selected on: "dev" (honest) or "test" (the paper's protocol)."""
    members: list[Member]
    """Of all ensembles, each once; those of the largest ensemble first."""
    ensembles: list[Ensemble]
    """As asked for; the first is the one the headline is about."""

    @property
    def honest(self) -> bool:
        """Whether nothing was selected on the test rows."""
        return self.selection == "dev"

    def members_of(self, ensemble: Ensemble) -> list[Member]:
        """In the order of the ensemble's config, which is that of its weights."""
        by_name = {member.name: member for member in self.members}
        return [by_name[name] for name in ensemble.config.members]


def read_results(runs: Path, files: Sequence[Path], changes: Sequence[str]) -> Results:
    """Read everything that a report on these ensembles needs.

    Args:
        runs: Folder with `members/` and `ensembles/`.
        files: One YAML per ensemble; its `paths.runs` gives way to `runs`.
        changes: Overlays and `key=value` words, applied to each.

    Raises:
        UserError: a run is missing, unfinished, or was made from other labels or posteriors; names the command that
            makes it.
    """
    configs = _load_ensembles(runs, files, changes)
    labels = read_labels(configs[0].paths.labels)
    selection = selection_partition(labels)
    for partition in dict.fromkeys([selection, "test"]):
        require_every_class(labels, partition, "class-balanced scoring")
    by_size = sorted(configs, key=lambda config: -len(config.members))
    names = list(dict.fromkeys(name for config in by_size for name in config.members))
    members = _read_members(configs[0].model_copy(update={"members": names}), labels, selection)
    words = [shlex.join([str(file), *changes, f"paths.runs={runs}"]) for file in files]
    ensembles = [_read_ensemble(config, labels, word) for config, word in zip(configs, words, strict=True)]
    return Results(runs, labels, selection, members, ensembles)


def _load_ensembles(runs: Path, files: Sequence[Path], changes: Sequence[str]) -> list[MetaConfig]:
    overlays = [Path(word) for word in changes if "=" not in word]
    overrides = [word for word in changes if "=" in word]
    configs: dict[str, MetaConfig] = {}
    first: MetaConfig | None = None
    for file in files:
        config = load_config(MetaConfig, [file, *overlays], overrides)
        config = config.model_copy(update={"paths": config.paths.model_copy(update={"runs": runs})})
        first = first or config
        if config.paths.labels != first.paths.labels:
            raise UserError(
                f"{file}: paths.labels: {config.paths.labels}, but {files[0]} has {first.paths.labels}; "
                "report on ensembles of one corpus at a time"
            )
        name = config.run_directory.name
        if name in configs:
            raise UserError(f"{file}: name: {name!r} is the name of another ensemble too; name each ensemble once")
        configs[name] = config
    return list(configs.values())


def _read_members(config: MetaConfig, labels: Labels, selection: str) -> list[Member]:
    """All members named in `config.members`."""
    trainings = {name: _read_training(config.paths.runs, name, config.paths.labels) for name in config.members}
    predicted: dict[str, dict[str, Combined]] = {name: {} for name in config.members}
    for partition in dict.fromkeys([selection, "test"]):
        stack = stack_members(member_files(config, partition), labels, partition)
        for position, name in enumerate(stack.members):
            posteriors = stack.posteriors[:, position]
            predicted[name][partition] = Combined(posteriors, stack.attributes[:, position], posteriors.argmax(axis=1))
    return [Member(name, predicted[name], trainings[name]) for name in config.members]


def _read_training(runs: Path, name: str, labels: Path) -> Training | None:
    if name.endswith(".csv"):
        return None
    run = inside(runs / "members", name)
    file = run / "config.yaml"
    if not file.is_file():
        raise UserError(f"{file}: no such file; train member {name!r} with: python train_deepser.py ITS_CONFIG")
    if not RunDirectory(run).finished:
        raise UserError(f"{run}: not trained to its end; go on with: python train_deepser.py {file}")
    if read_json(run / "identity.json")["labels_sha256"] != sha256(labels):
        raise UserError(
            f"{run}: trained on other labels than {labels}; "
            "remove that folder, then: python train_deepser.py ITS_CONFIG"
        )
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    best = read_json(run / "best" / "state.json")
    return Training(load_config(DeepSERConfig, [file]), [json.loads(line) for line in lines], int(best["best_epoch"]))


def _read_ensemble(config: MetaConfig, labels: Labels, words: str) -> Ensemble:
    """`words` are what stands behind the scripts' names to train or evaluate this ensemble."""
    run = config.run_directory
    claim = run / "identity.json"
    if not claim.is_file():
        raise UserError(f"{claim}: no such file; train the ensemble with: python train_metacls.py {words}")
    there, here = read_json(claim), json.loads(json.dumps(meta_identity(config, fitted_files(config, labels))))
    # A key that only one side knows came or went with a version of the code; the figures stand all the same.
    differing = [key for key in here if key in there and there[key] != here[key]]
    if differing:
        raise UserError(
            f"{run}: trained with other {differing[0].removesuffix('_sha256')} than there are now; "
            f"remove that folder, then: python train_metacls.py {words}"
        )
    techniques = ["majority", "soft", *(f"seed-{seed}" for seed in config.seeds), "soup"]
    predicted = {
        technique: _read_predictions(run / "posteriors" / technique / "test.csv", labels.partition("test"), words)
        for technique in techniques
    }
    weights = None
    if not config.hidden_dims:
        weights = read_tensors(run / "soup" / "model.safetensors")["layers.0.weight"].double().numpy()
    return Ensemble(config, predicted, weights)


def _read_predictions(path: Path, rows: Labels, words: str) -> Combined:
    remedy = f"write it with: python eval_metacls.py {words}"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {remedy}")
    table = read_posteriors(path, rows.emotions, rows.attributes)
    if set(table.index) != set(rows.ids):
        raise UserError(f"{path}: holds other utterances than the test rows of {rows.source}; {remedy}")
    table = table.loc[rows.ids]
    predicted = pd.Index(rows.emotions).get_indexer(pd.Index(table["EmoClass"]))
    probabilities, attributes = (table[list(names)].to_numpy() for names in (rows.emotions, rows.attributes))
    return Combined(probabilities, attributes.astype(np.float32), predicted)
