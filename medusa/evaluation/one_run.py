"""One run's folder by itself: what it is, how far it is, its figures; without the other runs of its pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medusa.config.load import has_section, load_config
from medusa.config.schema import DeepSERConfig, MetaConfig
from medusa.corpora.labels import Labels
from medusa.ensemble.evaluate import TECHNIQUES, Combined
from medusa.errors import UserError
from medusa.evaluation.runs import read_predictions
from medusa.files import read_json, sha256
from medusa.training.checkpoint import IDENTITY, STATE, read_best_epoch
from medusa.training.epochs import read_epochs


class Best(NamedTuple):
    """The epoch whose weights were kept."""

    score: float
    """Class-balanced macro-F1 on the rows to select on; of an ensemble the mean over its seeds."""
    epoch: float
    """From 1; the mean over the seeds."""


@dataclass(frozen=True, eq=False)
class Run:
    """A member, the model of a fold, or an ensemble; make it with `open_run_folder`."""

    path: Path
    config: DeepSERConfig | MetaConfig

    @property
    def checkpoints(self) -> list[Path]:
        """Folders with `last/` and `best/`: the run itself, or that of every seed of an ensemble."""
        if isinstance(self.config, DeepSERConfig):
            return [self.path]
        return [self.path / f"seed-{seed}" for seed in self.config.seeds]

    @property
    def seeds(self) -> list[int]:
        """It was trained with."""
        return [self.config.seed] if isinstance(self.config, DeepSERConfig) else list(self.config.seeds)

    @property
    def inputs(self) -> list[str]:
        """Feature stores of a member, members of an ensemble."""
        return list(self.config.features if isinstance(self.config, DeepSERConfig) else self.config.members)

    def state(self) -> str:
        """`finished`, `epoch 3 of 50` (of the slowest seed), or `not started`."""
        states = [folder / "last" / STATE for folder in self.checkpoints]
        if not all(state.exists() for state in states):
            return "not started"
        again = f"delete {self.path} and train again"
        values = [read_json(state, again, {"finished": bool, "epoch": int}) for state in states]
        if all(value["finished"] for value in values):
            return "finished"
        epoch = min(value["epoch"] for value in values if not value["finished"])
        return f"epoch {epoch + 1} of {self.config.training.max_epochs}"

    def best(self) -> Best | None:
        """None before the first epoch, and where no rows were left to select on (`fit_on: dev`)."""
        scores, epochs = [], []
        for folder in self.checkpoints:
            if not (folder / "best" / STATE).exists():
                return None
            rows = read_epochs(folder)
            epoch = read_best_epoch(folder, len(rows))
            if "macro_f1" not in rows[epoch]:
                return None
            scores.append(float(rows[epoch]["macro_f1"]))
            epochs.append(epoch + 1)
        return Best(float(np.mean(scores)), float(np.mean(epochs)))

    def provenance(self) -> dict[str, Any]:
        """What made it; {} where it was stopped before that was written."""
        file = self.path / "provenance.json"
        return read_json(file) if file.exists() else {}

    def identity(self) -> dict[str, Any]:
        """What it was trained from; {} where it was stopped before that was written."""
        file = self.path / IDENTITY
        return read_json(file) if file.exists() else {}

    def refuse_other_labels(self, labels: Labels) -> None:
        """Refuse labels that it was not trained on.

        Raises:
            UserError: they have changed since.
        """
        trained_on = self.identity().get("labels_sha256")
        if trained_on is not None and trained_on != sha256(labels.source):
            raise UserError(f"{self.path}: trained on other labels than {labels.source} holds now; train it again")

    def test_predictions(self, labels: Labels) -> dict[str, list[Combined]]:
        """Predictions of the test rows by technique, as far as they are there; a member's stand under "member".

        Args:
            labels: The corpus.

        Raises:
            UserError: a file is wrong, or holds other utterances than the test rows.
        """
        rows, folder = labels.partition("test"), self.path / "posteriors"
        if isinstance(self.config, DeepSERConfig):
            files = {"member": [folder / "test.csv"]}
        else:
            files = {technique: [folder / technique / "test.csv"] for technique in TECHNIQUES}
            files["single"] = [folder / f"seed-{seed}" / "test.csv" for seed in self.config.seeds]
        return {
            technique: [self._read(path, rows) for path in paths]
            for technique, paths in files.items()
            if len(rows) and all(path.exists() for path in paths)
        }

    def _read(self, path: Path, rows: Labels) -> Combined:
        has_attributes = isinstance(self.config, MetaConfig) or self.config.loss.attributes > 0
        return read_predictions(path, rows, "evaluate the run again", has_attributes)


def open_run_folder(path: Path) -> Run:
    """The run in a folder, from its config.yaml.

    Raises:
        UserError: it holds none, or one that this version does not know.
    """
    file = path / "config.yaml"
    if not file.is_file():
        raise UserError(f"{file}: no such file; name the folder of a run, such as runs/demo/members/1")
    if has_section(DeepSERConfig, file, "features"):
        return Run(path, load_config(DeepSERConfig, [file]))
    return Run(path, load_config(MetaConfig, [file]))
