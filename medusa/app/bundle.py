"""One folder with all that turns a recording into emotions, written from finished runs.

README.md  bundle.json  config.json  soup/  members/<name>/  backbones/<model>/
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeVar

from medusa.app.card import model_card
from medusa.app.description import (
    CARD,
    FILE,
    HUB_CONFIG,
    WEIGHTS,
    BundledMember,
    Description,
    named_as_a_column,
    write_hub_config,
)
from medusa.app.figures import read_abstention, read_scores
from medusa.app.recipes import model_files, read_recipes, read_stores
from medusa.config.load import load_config
from medusa.config.schema import Compute, DeepSERConfig, MetaConfig, RunPaths
from medusa.corpora.labels import PARTITIONS, Labels, read_labels
from medusa.ensemble.member_files import fitted_files, require_predicted_by
from medusa.ensemble.stacking import meta_identity
from medusa.errors import UserError
from medusa.evaluation.datacard import read_about
from medusa.files import atomic_folder, copy_file, inside, read_json, sha256, write_json, write_text
from medusa.provenance import POSTERIORS, provenance, require_as_written
from medusa.training.checkpoint import IDENTITY, RunDirectory

Config = TypeVar("Config", DeepSERConfig, MetaConfig)

PATH_KEYS = ("_name_or_path", "name_or_path", "special_tokens_map_file", "tokenizer_file")
"""Of pretrained models' settings: where they once lay on somebody's disk; nothing reads them."""


UNFIT = {
    "crossfit": "it judges by the means of models of folds, which a bundle does not hold",
    "released": "it was fitted on the rows that it would be judged by",
}
"""Ensembles that make no bundle: what they were fitted on, and why."""


def write_bundle(runs: Path, out: Path, ensemble: str | None = None, title: str | None = None) -> Description:
    """Write a bundle of one trained ensemble; whatever fails, a bundle that was there stays.

    Args:
        runs: Folder with `members/` and `ensembles/`.
        out: A folder that is not there yet, empty, or a bundle to be replaced.
        ensemble: Name of its run; None: the one with most members.
        title: One sentence on what it was trained on, for the model card; None: what its corpus says of itself.

    Raises:
        UserError: a run is missing, unfinished or older than what it was made from, features or transcripts cannot
            be traced to their models, or `out` holds something else.
    """
    out = out.resolve()
    _require_free(out)
    config = _find_ensemble(runs, ensemble)
    members = {name: _read_member(runs, name) for name in config.members}
    labels, recipes = read_labels(config.paths.labels), read_recipes(runs, members)
    if (name := named_as_a_column(labels.emotions, labels.attributes)) is not None:
        raise UserError(
            f"{labels.source}: emotion {name!r}: the answers have another column of that name; "
            "give it another, and train anew"
        )
    _require_fitted_on_members(config, labels)
    sources = {f"members/{name}/{WEIGHTS}": runs / "members" / name / "best" / WEIGHTS for name in members}
    sources[f"soup/{WEIGHTS}"] = config.run_directory / "soup" / WEIGHTS
    sources |= {f"{place}/{file.name}": file for place, model in recipes.models.items() for file in model_files(model)}
    scores, abstention = read_scores(config, labels), read_abstention(config, labels)
    with atomic_folder(out) as fresh:
        for name, source in sources.items():
            _copy(source, fresh / name)
        write_hub_config(fresh)
        description = Description(
            name=config.run_directory.name,
            title=" ".join((read_about(config.paths.labels) if title is None else title).split()),
            emotions=list(labels.emotions),
            attributes=list(labels.attributes),
            members=[_bundled(runs, name, member) for name, member in members.items()],
            ensemble=_anonymous(config),
            features=recipes.features,
            transcripts=recipes.transcripts,
            rows={name: len(labels.partition(name)) for name in PARTITIONS if labels.has(name)},
            abstention=abstention,
            scores=scores,
            versions=_versions(),
            files={name: sha256(fresh / name) for name in [HUB_CONFIG, *sources]},
        )
        write_json(fresh / FILE, description.model_dump(mode="json"))
        write_text(fresh / CARD, model_card(description))
    return description


def _require_free(out: Path) -> None:
    """Nothing but a bundle is ever replaced."""
    if out == Path.cwd().resolve():
        raise UserError(f"--out {out}: the current folder; name a folder in it")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: a file; choose another folder")
    above = next(folder for folder in out.parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError(f"--out {out}: {above} is not a folder that you may write to; choose another")
    files = [path.relative_to(out).as_posix() for path in sorted(out.rglob("*")) if not path.is_dir()]
    if files and FILE not in files:
        raise UserError(f"--out {out}: holds something that is not a bundle; choose another folder")
    listed = read_json(out / FILE, "choose another folder").get("files") if files else {}
    known = {FILE, CARD, *(listed if isinstance(listed, dict) else ())}
    if foreign := [name for name in files if name not in known]:
        raise UserError(
            f"--out {out}: holds {foreign[0]}, which is not of the bundle there; move it, or choose another"
        )


def _find_ensemble(runs: Path, name: str | None) -> MetaConfig:
    """The resolved config of an evaluated ensemble; those that the workflow put aside do not count."""
    found = {path.parent.name: path for path in sorted(runs.glob("ensembles/*/config.yaml"))}
    finished = {
        one: load_config(MetaConfig, [path])
        for one, path in found.items()
        if (path.parent / "results.csv").is_file() and not re.search(r"\.\d+-old$", one)
    }
    if not finished:
        raise UserError(
            f"{runs}/ensembles: no evaluated ensemble; train one with train_metacls.py, then run eval_metacls.py"
        )
    if name is not None and name not in finished:
        raise UserError(f"--ensemble {name}: not among the evaluated ones of {runs}: {', '.join(finished)}")
    # Variants, fitted on other rows or without a member, are chosen by name only.
    plain = {one: config for one, config in finished.items() if config.variant is None} or finished
    most = max(len(config.members) for config in plain.values())
    largest = [one for one, config in plain.items() if len(config.members) == most]
    if name is None and len(largest) > 1:
        raise UserError(f"{runs}/ensembles: {most} members in each of {', '.join(largest)}; choose with --ensemble")
    config = finished[name or largest[0]]
    if why := UNFIT.get(config.fit_on):
        raise UserError(f"{config.run_directory}: fit_on: {config.fit_on}: {why}; choose another with --ensemble")
    if not config.paths.labels.is_file():
        raise UserError(f"{config.paths.labels}: no such file; run this in the folder in which {runs} was trained")
    return config.model_copy(update={"paths": config.paths.model_copy(update={"runs": runs})})


def _read_member(runs: Path, name: str) -> DeepSERConfig:
    """The config of a member whose posteriors are those of its weights."""
    if name.endswith(".csv"):
        raise UserError(f"{name}: a member that is a file of posteriors has no weights; train an ensemble without it")
    run = inside(runs / "members", name)
    if not (run / "config.yaml").is_file() or not RunDirectory(run).finished:
        raise UserError(f"{run}: not trained to its end; go on with train_deepser.py")
    require_predicted_by(run, run / "best" / WEIGHTS, "eval_deepser.py")
    return load_config(DeepSERConfig, [run / "config.yaml"])


def _require_fitted_on_members(config: MetaConfig, labels: Labels) -> None:
    """The soup was fitted on what members and labels are now, and its posteriors are its own."""
    run = config.run_directory
    needs = {"labels_sha256": str, "posteriors_sha256": dict}
    there = read_json(run / IDENTITY, f"delete {run} and train again", needs)
    here = meta_identity(config, fitted_files(config, labels))
    if there["labels_sha256"] != here["labels_sha256"]:
        raise UserError(f"{run}: trained with other labels than {config.paths.labels}; train it anew")
    differing = [name for name, own in here["posteriors_sha256"].items() if there["posteriors_sha256"].get(name) != own]
    if differing:
        raise UserError(f"{run}: fitted on other posteriors of member {differing[0]} than there are now; train it anew")
    require_predicted_by(run, run / "soup" / WEIGHTS, "eval_metacls.py")
    for file in sorted((run / POSTERIORS / "soup").glob("*.csv")):
        require_as_written(file, "run eval_metacls.py again")


def _bundled(runs: Path, name: str, config: DeepSERConfig) -> BundledMember:
    stores = read_stores(runs / "members" / name, config)
    return BundledMember(
        name=name, config=_anonymous(config), input_dims=[stores[feature]["dim"] for feature in config.features]
    )


def _anonymous(config: Config) -> Config:
    """Without the folders and the device of the machine that trained it."""
    return config.model_copy(update={"paths": RunPaths(), "compute": Compute(precision=config.compute.precision)})


def _copy(source: Path, target: Path) -> None:
    """Byte for byte, but for paths of somebody's machine in a pretrained model's settings."""
    if source.name not in ("config.json", "tokenizer_config.json"):
        copy_file(source, target)
        return
    settings = read_json(source, remedy="copy the model again")
    kept = {key: value for key, value in settings.items() if key not in PATH_KEYS}
    if kept == settings:
        copy_file(source, target)
    else:
        write_json(target, kept)


def _versions() -> dict[str, str]:
    made = provenance({}, [], "")
    return {"medusa": made["medusa"], **made["libraries"]}
