"""One member's or ensemble's run, read: how it was trained and what it predicts, joined by utterance."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig, MetaConfig
from medusa.corpora.labels import Labels
from medusa.ensemble.evaluate import TECHNIQUES, Combined
from medusa.ensemble.member_files import fitted_files, fitted_partition
from medusa.ensemble.posteriors import read_posteriors
from medusa.ensemble.stacking import meta_identity
from medusa.errors import UserError
from medusa.files import inside, read_json, sha256
from medusa.json_shape import NUMBER
from medusa.models.metaclassifier import MetaClassifier
from medusa.provenance import require_as_written
from medusa.training.checkpoint import IDENTITY, RunDirectory, load_weights, read_best_epoch
from medusa.training.epochs import read_epochs

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
    """Test rows, by technique: `majority`, `soft`, `bias`, `logistic`, `seed-<s>` for every seed, `soup`."""
    selected: dict[str, Combined]
    """The same for the rows that models were selected on."""
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

    def repeats(self, technique: str, rows: str = "test") -> list[Combined]:
        """A technique's predictions of test, or of the `selection` rows: one, but for `single` one of each seed."""
        predicted = self.predicted if rows == "test" else self.selected
        names = [f"seed-{seed}" for seed in self.config.seeds] if technique == "single" else [technique]
        return [predicted[name] for name in names]

    def fitted_on(self, partition: str) -> bool:
        """Whether Stage 3 saw the labels of these rows."""
        return fitted_partition(self.config) in (partition, "labelled")


def read_training(runs: Path, name: str, labels: Path) -> Training | None:
    """Of a member below `runs`; None where it is a file of posteriors.

    Raises:
        UserError: it is missing, unfinished or was trained on other labels; names the command that makes it.
    """
    if name.endswith(".csv"):
        return None
    run = inside(runs / "members", name)
    file = run / "config.yaml"
    if not file.is_file():
        raise UserError(f"{file}: no such file; train member {name!r} with: python train_deepser.py ITS_CONFIG")
    if not RunDirectory(run).finished:
        raise UserError(f"{run}: not trained to its end; go on with: python train_deepser.py {file}")
    claim = read_json(run / IDENTITY, f"delete {run} and train again", {"labels_sha256": str})
    if claim["labels_sha256"] != sha256(labels):
        raise UserError(
            f"{run}: trained on other labels than {labels}; "
            "remove that folder, then: python train_deepser.py ITS_CONFIG"
        )
    history = read_epochs(run, {"stage": int, "loss": NUMBER, "macro_f1": NUMBER})
    return Training(load_config(DeepSERConfig, [file]), history, read_best_epoch(run, len(history)))


def read_ensemble(config: MetaConfig, labels: Labels, selection: str, words: str) -> Ensemble:
    """Read a trained and evaluated ensemble.

    Args:
        config: Its config.
        labels: The whole corpus.
        selection: The partition that models were selected on.
        words: What stands behind the scripts' names to train or evaluate it, for messages.

    Raises:
        UserError: it is missing, or was made from other labels or posteriors; names the command that makes it.
    """
    run = config.run_directory
    claim = run / IDENTITY
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
    techniques = [name for name in TECHNIQUES if name != "single"] + [f"seed-{seed}" for seed in config.seeds]
    remedy = f"write it with: python eval_metacls.py {words}"
    predicted = {
        partition: {
            technique: read_predictions(
                run / "posteriors" / technique / f"{partition}.csv", labels.partition(partition), remedy
            )
            for technique in techniques
        }
        for partition in dict.fromkeys(["test", selection])
    }
    weights = None
    if not config.hidden_dims:
        emotions, attributes = len(labels.emotions), len(labels.attributes)
        soup = MetaClassifier(len(config.members) * (emotions + attributes), emotions, attributes)
        load_weights(soup, run / "soup")
        weights = soup.state_dict()["layers.0.weight"].double().numpy()
    return Ensemble(config, predicted["test"], predicted[selection], weights)


def read_predictions(path: Path, rows: Labels, remedy: str, with_attributes: bool = True) -> Combined:
    """A posterior file in the order of `rows`; `with_attributes` is whether its model has an attribute head.

    Raises:
        UserError: it is missing, changed or holds other utterances; ends in `remedy`.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; {remedy}")
    require_as_written(path, remedy)
    attributes = rows.attributes if with_attributes else ()
    table = read_posteriors(path, rows.emotions, attributes)
    if set(table.index) != set(rows.ids):
        raise UserError(f"{path}: holds other utterances than these rows of {rows.source}; {remedy}")
    table = table.loc[rows.ids]
    predicted = pd.Index(rows.emotions).get_indexer(pd.Index(table["EmoClass"]))
    probabilities, values = (table[list(names)].to_numpy() for names in (rows.emotions, attributes))
    return Combined(probabilities, values.astype(np.float32), predicted)
