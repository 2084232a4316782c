"""Runs beside those that a report is on: ablations from several seeds, Stage 3 on other rows, members left out.

They are found where they lie: a run of the same name with a `variant`. What a pipeline put aside is not among them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig, MetaConfig
from medusa.corpora.labels import Labels
from medusa.errors import UserError
from medusa.evaluation.paper import FULL
from medusa.evaluation.runs import Ensemble, Member, read_ensemble, read_predictions, read_training

Config = TypeVar("Config", DeepSERConfig, MetaConfig)

SEED = re.compile(r"(?:^|\.)seed-\d+$")
"""End of the variant of a run that differs in its seed."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell of Table 2: one member under one ablation."""

    member: str
    variant: str
    """`FULL` where nothing is ablated."""
    runs: list[Member]

    @property
    def by_seed(self) -> dict[int, Member]:
        """Its runs."""
        return {run.training.config.seed: run for run in self.runs if run.training is not None}


def read_cells(runs: Path, labels: Labels, selection: str) -> tuple[list[Cell], list[str]]:
    """The ablations below `runs/members`, each with its unablated member, and what was left out, with the reason."""
    found: dict[tuple[str, str], list[Member]] = {}
    left_out = []
    for config in _configs(DeepSERConfig, runs / "members"):
        try:
            member = _read_run(config, labels, selection, runs)
        except UserError as error:
            left_out.append(str(error))
            continue
        found.setdefault((config.name, SEED.sub("", config.variant or "")), []).append(member)
    whole = {member for member, variant in found if variant == FULL}
    ablated = {member for member, variant in found if variant != FULL}
    cells = [Cell(member, variant, runs) for (member, variant), runs in found.items() if member in whole & ablated]
    lost = sorted(ablated - whole)
    return cells, [*left_out, *(f"the ablations of member {name}, for it was not itself trained" for name in lost)]


def read_varied_ensembles(
    main: MetaConfig, labels: Labels, selection: str
) -> tuple[list[Ensemble], list[Ensemble], list[str]]:
    """The main ensemble's variants: fitted on other rows; without one of its members; what was left out, and why."""
    stackings, without, left_out = [], [], []
    for config in _configs(MetaConfig, main.paths.runs / "ensembles"):
        if config.name != main.name or config.variant == main.variant:
            continue
        rest = [name for name in main.members if name not in config.members]
        if config.members != [name for name in main.members if name not in rest] or len(rest) > 1:
            continue
        words = shlex.join([str(config.run_directory / "config.yaml")])
        try:
            ensemble = read_ensemble(config, labels, selection, words)
        except UserError as error:
            left_out.append(str(error))
            continue
        if rest and config.fit_on == main.fit_on:
            without.append(ensemble)
        elif not rest:
            stackings.append(ensemble)
    order = {"train": 0, "dev": 1, "crossfit": 2, "released": 3}
    stackings.sort(key=lambda one: (order[one.config.fit_on], one.name))
    without.sort(key=lambda one: main.members.index(missing_member(main, one)))
    return stackings, without, left_out


def missing_member(main: MetaConfig, ensemble: Ensemble) -> str:
    """The one that an ensemble without a member is without."""
    (name,) = [name for name in main.members if name not in ensemble.config.members]
    return name


def _configs(kind: type[Config], folder: Path) -> Iterator[Config]:
    """Of the runs below a folder, by name; one whose folder is not its own was put aside."""
    for file in sorted(folder.glob("*/config.yaml")):
        config = load_config(kind, [file])
        config = config.model_copy(update={"paths": config.paths.model_copy(update={"runs": folder.parent})})
        if config.run_directory == file.parent:
            yield config


def _read_run(config: DeepSERConfig, labels: Labels, selection: str, runs: Path) -> Member:
    run = config.run_directory
    training = read_training(runs, run.name, labels.source)
    remedy = f"write it with: python eval_deepser.py {run / 'config.yaml'}"
    predicted = {
        partition: read_predictions(
            run / "posteriors" / f"{partition}.csv", labels.partition(partition), remedy, config.loss.attributes > 0
        )
        for partition in dict.fromkeys([selection, "test"])
    }
    return Member(run.name, predicted, training)
