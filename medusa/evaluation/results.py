"""What a set of runs holds, read and joined by utterance: members and ensembles with their predictions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from medusa.config.load import load_config
from medusa.config.schema import MetaConfig
from medusa.corpora.labels import Labels, read_labels
from medusa.ensemble.evaluate import Combined
from medusa.ensemble.member_files import member_files
from medusa.ensemble.posteriors import stack_members
from medusa.errors import UserError
from medusa.evaluation.bootstrap import SpeakerDraws
from medusa.evaluation.paper import Beside
from medusa.evaluation.runs import Ensemble, Member, read_ensemble, read_training
from medusa.evaluation.variants import Cell, read_cells, read_varied_ensembles
from medusa.training.evaluate import selection_partition
from medusa.training.member import require_every_class


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
    cells: list[Cell]
    """Of Table 2; none where nothing was ablated."""
    stackings: list[Ensemble]
    """The first ensemble, its meta-classifiers fitted on other rows."""
    without: list[Ensemble]
    """The first ensemble without each of its members, in their order."""
    left_out: list[str]
    """Runs beside them that could not be read, with the reason."""
    beside: Beside
    """Which of the paper's rows ours are put beside."""

    @property
    def honest(self) -> bool:
        """Whether nothing was selected on the test rows."""
        return self.selection == "dev"

    @cached_property
    def test(self) -> Labels:
        """The rows that are reported."""
        return self.labels.partition("test")

    @cached_property
    def selected(self) -> Labels:
        """The rows that models were selected on."""
        return self.labels.partition(self.selection)

    @cached_property
    def draws(self) -> SpeakerDraws:
        """Draws of the speakers of test, the same for all figures."""
        return SpeakerDraws(self.test)

    def members_of(self, ensemble: Ensemble) -> list[Member]:
        """In the order of the ensemble's config, which is that of its weights."""
        by_name = {member.name: member for member in self.members}
        return [by_name[name] for name in ensemble.config.members]


def read_results(runs: Path, files: Sequence[Path], changes: Sequence[str], beside: Beside) -> Results:
    """Read everything that a report on these ensembles needs.

    Args:
        runs: Folder with `members/` and `ensembles/`.
        files: One YAML per ensemble; its `paths.runs` gives way to `runs`.
        changes: Overlays and `key=value` words, applied to each.
        beside: Which of the paper's rows ours are put beside.

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
    # Members are reported as they are, whatever an ensemble was fitted on.
    members = _read_members(configs[0].model_copy(update={"members": names, "fit_on": "train"}), labels, selection)
    words = [shlex.join([str(file), *changes, f"paths.runs={runs}"]) for file in files]
    ensembles = [read_ensemble(config, labels, selection, word) for config, word in zip(configs, words, strict=True)]
    cells, left_out = read_cells(runs, labels, selection)
    stackings, without, more = read_varied_ensembles(configs[0], labels, selection)
    return Results(runs, labels, selection, members, ensembles, cells, stackings, without, [*left_out, *more], beside)


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
    trainings = {name: read_training(config.paths.runs, name, config.paths.labels) for name in config.members}
    predicted: dict[str, dict[str, Combined]] = {name: {} for name in config.members}
    for partition in dict.fromkeys([selection, "test"]):
        stack = stack_members(member_files(config, partition), labels, partition)
        for position, name in enumerate(stack.members):
            posteriors = stack.posteriors[:, position]
            predicted[name][partition] = Combined(posteriors, stack.attributes[:, position], posteriors.argmax(axis=1))
    return [Member(name, predicted[name], trainings[name]) for name in config.members]
