"""Where the posteriors of an ensemble's members lie, for the rows of a partition and for those Stage 3 is fitted on."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from medusa.config.schema import crossfit_run
from medusa.corpora.labels import LABELLED, PARTITIONS, Labels
from medusa.errors import UserError
from medusa.files import inside, sha256_once
from medusa.provenance import read_inputs, require_as_written
from medusa.training.checkpoint import WEIGHTS
from medusa.training.folds import OUT_OF_FOLD

if TYPE_CHECKING:
    from medusa.config.schema import MetaConfig


def fitted_partition(config: MetaConfig) -> str:
    """The rows that Stage 3 is fitted on: "train", "dev", or `LABELLED` where evaluation rows are among them."""
    return {"crossfit": "train", "released": LABELLED}.get(config.fit_on, config.fit_on)


def fitted_files(config: MetaConfig, labels: Labels) -> dict[str, list[Path]]:
    """As `member_files`, for the rows that Stage 3 is fitted on.

    Raises:
        UserError: a file is missing; names the command that makes it.
    """
    if config.fit_on != "released":
        return member_files(config, fitted_partition(config))
    there = [member_files(config, name) for name in PARTITIONS[:3] if labels.has(name)]
    return {member: list(dict.fromkeys(chain(*(files[member] for files in there)))) for member in config.members}


def member_files(config: MetaConfig, partition: str) -> dict[str, list[Path]]:
    """The posterior files of each member of an ensemble, in the order of the config.

    A member is a name, whose file eval_deepser.py has written below `paths.runs`, or the path of a CSV file (it ends
    in .csv), which holds all partitions. With `fit_on: crossfit` it is one file for each fold's model, and of the
    training rows those that the fold left out.

    Raises:
        UserError: a file is missing; names the command that makes it.
    """
    crossfit = config.fit_on == "crossfit"
    name = OUT_OF_FOLD if partition == "train" and crossfit else partition
    files = {}
    for member in config.members:
        if not member.endswith(".csv"):
            runs = _runs(config, member)
            files[member] = [_written(run, name, member, words) for run, words in runs.items()]
        elif crossfit:
            raise UserError(
                f"members: {member}: fit_on: crossfit needs the models of its folds, not a file; "
                "leave it out, or use fit_on: train"
            )
        elif not Path(member).is_file():
            raise UserError(
                f"{member}: no such file; members: a trained member, or the path of a CSV file with posteriors"
            )
        else:
            files[member] = [Path(member)]
    return files


def _runs(config: MetaConfig, member: str) -> dict[Path, str]:
    """The runs behind a member, and the words that its config takes for each."""
    if config.fit_on != "crossfit":
        return {inside(config.paths.runs / "members", member): ""}
    inside(config.paths.runs / "crossfit", member)
    count = config.crossfit_folds
    return {
        crossfit_run(config.paths.runs, member, count, fold): f" crossfit.folds={count} crossfit.fold={fold}"
        for fold in range(count)
    }


def _written(run: Path, name: str, member: str, words: str) -> Path:
    """The posterior file of one run, which must be there."""
    file = run / "posteriors" / f"{name}.csv"
    if file.is_file():
        if (run / "best" / WEIGHTS).is_file():  # posteriors may be shared without the weights
            require_predicted_by(run, run / "best" / WEIGHTS, "eval_deepser.py")
        require_as_written(file, "run eval_deepser.py again")
        return file
    if (run / "config.yaml").is_file():
        raise UserError(f"{file}: no such file; write it with: python eval_deepser.py {run / 'config.yaml'}")
    raise UserError(
        f"{file}: no such file; train member {member!r} first: python train_deepser.py ITS_CONFIG{words}, "
        "then python eval_deepser.py with the same words"
    )


def require_predicted_by(run: Path, weights: Path, script: str) -> None:
    """Refuse a run whose posteriors were written before training went on, or whose weights are others now, or gone.

    Raises:
        UserError: naming the script that writes the posteriors.
    """
    known = {one.sha256 for one in read_inputs(run / "posteriors", f"run {script} again")}
    if not weights.is_file() or sha256_once(weights) not in known:
        raise UserError(f"{run}: its posteriors are not those of {weights}; run {script} again, then what builds on it")
