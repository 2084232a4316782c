"""One folder with all that turns a recording into emotions, written from finished runs.

README.md  bundle.json  soup.safetensors  members/<name>.safetensors  backbones/<model>/…
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medusa.app.card import model_card
from medusa.app.description import (
    BACKBONES,
    FILE,
    Abstention,
    BundledMember,
    Description,
    Score,
)
from medusa.config.load import load_config
from medusa.config.schema import (
    Asr,
    Backbone,
    Compute,
    CorpusPaths,
    DeepSERConfig,
    ExtractConfig,
    ExtractPaths,
    Guards,
    Layers,
    MetaConfig,
    RunPaths,
    TranscribeConfig,
)
from medusa.corpora.labels import Labels, read_labels
from medusa.ensemble.posteriors import read_posteriors
from medusa.errors import UserError
from medusa.features.pretrained import weights_checksum
from medusa.files import copy_file, read_csv, read_json, write_json, write_text
from medusa.provenance import provenance
from medusa.training.checkpoint import RunDirectory
from medusa.training.evaluate import selection_partition

WEIGHTS = "model.safetensors"
UNSURE_SHARE = 0.2
"""Share of held-out rows that the ensemble calls itself unsure of."""


def write_bundle(runs: Path, out: Path, ensemble: str | None = None, title: str = "") -> Description:
    """Write a bundle of one trained ensemble.

    Args:
        runs: Folder with `members/` and `ensembles/`.
        out: A folder that is not there yet, empty, or a bundle to be replaced.
        ensemble: Name of its run; None: the one with most members.
        title: One sentence on what it was trained on, for the model card.

    Raises:
        UserError: a run is missing or unfinished, features or transcripts cannot be traced to their models, or `out`
            holds something else.
    """
    _require_free(out)
    config = _find_ensemble(runs, ensemble)
    labels = read_labels(config.paths.labels)
    members = [_read_member(runs, name, labels) for name in config.members]
    features, transcripts = _extraction(members, runs)
    scores = read_csv(config.run_directory / "results.csv")
    description = Description(
        name=config.run_directory.name,
        title=title,
        emotions=list(labels.emotions),
        attributes=list(labels.attributes),
        members=members,
        ensemble=_anonymous(config, RunPaths()),
        features={name: _bundled(one) for name, one in features.items()},
        transcripts=None if transcripts is None else _bundled(transcripts),
        abstention=_abstention(config, labels),
        scores=[_score(row) for row in scores.to_dict("records") if not row["technique"].startswith("seed-")],
        scored_rows=int((labels.partition(scores["rows"].iloc[0]).class_indices() >= 0).sum()),
        protocol=str(scores["protocol"].iloc[0]),
        versions=_versions(),
    )
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for member in members:
        copy_file(runs / "members" / member.name / "best" / WEIGHTS, fresh / "members" / member.name / WEIGHTS)
    copy_file(config.run_directory / "soup" / WEIGHTS, fresh / "soup" / WEIGHTS)
    for model in _local_models([*features.values(), *([transcripts] if transcripts else [])]):
        for file in sorted(path for path in model.rglob("*") if path.is_file() and not path.name.startswith(".")):
            copy_file(file, fresh / BACKBONES / model.name / file.relative_to(model))
    write_json(fresh / FILE, description.model_dump(mode="json"))
    write_text(fresh / "README.md", model_card(description))
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)
    return description


def _require_free(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / FILE).is_file():
        raise UserError(f"{out}: holds something that is not a bundle; choose another --out")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file; choose another --out")


def _find_ensemble(runs: Path, name: str | None) -> MetaConfig:
    """The resolved config of a finished ensemble."""
    found = {path.parent.name: path for path in sorted(runs.glob("ensembles/*/config.yaml"))}
    finished = {one: path for one, path in found.items() if (path.parent / "results.csv").is_file()}
    finished = {one: path for one, path in finished.items() if not one.endswith("-old")}
    if not finished:
        raise UserError(
            f"{runs}/ensembles: no finished ensemble; train one with train_metacls.py, then eval_metacls.py"
        )
    if name is not None and name not in finished:
        raise UserError(f"--ensemble {name}: not among the finished ones of {runs}: {', '.join(finished)}")
    configs = {one: load_config(MetaConfig, [path]) for one, path in finished.items()}
    chosen = name or max(configs, key=lambda one: len(configs[one].members))
    return configs[chosen].model_copy(update={"paths": configs[chosen].paths.model_copy(update={"runs": runs})})


def _read_member(runs: Path, name: str, labels: Labels) -> BundledMember:
    if name.endswith(".csv"):
        raise UserError(f"{name}: a member that is a file of posteriors has no weights to bundle; leave it out")
    run = runs / "members" / name
    if not (run / "config.yaml").is_file() or not RunDirectory(run).finished:
        raise UserError(f"{run}: not trained to its end; go on with train_deepser.py")
    config, stores = load_config(DeepSERConfig, [run / "config.yaml"]), read_json(run / "identity.json")["stores"]
    if config.loss.attributes == 0 and labels.attributes:
        raise UserError(f"{run}: trained without the attributes that the others have; leave it out")
    dims = [int(stores[feature]["dim"]) for feature in config.features]
    return BundledMember(name=name, config=_anonymous(config, RunPaths()), input_dims=dims)


def _anonymous(config: Any, paths: Any) -> Any:
    """The config without the folders of the machine that trained it."""
    return config.model_copy(update={"paths": paths, "compute": Compute(precision=config.compute.precision)})


def _extraction(members: list[BundledMember], runs: Path) -> tuple[dict[str, ExtractConfig], TranscribeConfig | None]:
    """How each store that a member reads was made, from the manifests that its runs keep; and the transcripts."""
    manifests: dict[str, dict[str, Any]] = {}
    for member in members:
        for name, manifest in read_json(runs / "members" / member.name / "identity.json")["stores"].items():
            if manifests.setdefault(name, manifest) != manifest:
                raise UserError(f"{runs}: members read two different stores of the name {name}; train them on one")
    features = {name: _extract_config(name, manifest) for name, manifest in manifests.items()}
    for name, config in features.items():
        _require_same_weights(name, config.backbone.model, manifests[name]["weights_sha256"])
    if not any(config.backbone.kind == "text" for config in features.values()):
        return features, None
    first = load_config(DeepSERConfig, [runs / "members" / members[0].name / "config.yaml"])
    return features, _transcribe_config(first.paths.features, features)


def _extract_config(name: str, manifest: dict[str, Any]) -> ExtractConfig:
    if "backbone" not in manifest:
        raise UserError(f"features {name}: .npy files do not say how they were made; extract them with a config")
    optional = {key: manifest[key] for key in ("trim", "resampler") if manifest[key] is not None}
    if manifest["layers"] is not None:
        optional["layers"] = Layers(take=manifest["layers"], combine=manifest["combine"])
    return ExtractConfig(
        name=name,
        backbone=Backbone(kind=manifest["kind"], model=manifest["backbone"], revision=manifest["revision"]),
        time_stride=manifest["time_stride"],
        compute=Compute(precision=manifest["precision"] or "float32"),
        **optional,
    )


def _transcribe_config(stores: Path, features: dict[str, ExtractConfig]) -> TranscribeConfig:
    """From the metadata of the transcripts that the text store was made from."""
    text = next(name for name, config in features.items() if config.backbone.kind == "text")
    made_from = [Path(one["file"]) for one in read_json(stores / text / "provenance.json")["inputs"]]
    metadata = made_from[-1].with_suffix(".json")
    if not metadata.is_file():
        raise UserError(f"{metadata}: not there, so that nothing says how {made_from[-1]} was made; transcribe it anew")
    made = read_json(metadata)
    _require_same_weights("transcripts", made["model"], made["weights_sha256"])
    asr = Asr(
        engine=made["engine"],
        model=made["model"],
        revision=made["revision"],
        language=made["language"],
        beam_size=made["beam_size"],
        max_new_tokens=made["max_new_tokens"],
        guards=Guards(**made["guards"]),
    )
    compute = Compute(precision=made["precision"])
    return TranscribeConfig(name="transcripts", asr=asr, resampler=made["resampler"], compute=compute)


def _require_same_weights(name: str, model: str | None, weights: str | None) -> None:
    """A local folder must still hold the weights that the runs saw."""
    if weights is not None and weights_checksum(model) != weights:
        raise UserError(f"{model}: not the weights that {name} was made with; put those back, or extract anew")


def _bundled(config: Any) -> Any:
    """The config as it stands in the bundle: local models by their place there, no paths of a machine."""
    if isinstance(config, ExtractConfig):
        model, moved = config.backbone.model, config.backbone.model_copy
        update: dict[str, Any] = {"paths": ExtractPaths()}
        if model is not None and Path(model).is_dir():
            update["backbone"] = moved(update={"model": f"{BACKBONES}/{Path(model).name}"})
    else:
        model, update = config.asr.model, {"paths": CorpusPaths()}
        if Path(model).is_dir():
            update["asr"] = config.asr.model_copy(update={"model": f"{BACKBONES}/{Path(model).name}"})
    return config.model_copy(update=update)


def _local_models(configs: list[ExtractConfig | TranscribeConfig]) -> Iterator[Path]:
    """Each local folder once.

    Raises:
        UserError: two folders share a name.
    """
    seen: dict[str, Path] = {}
    for config in configs:
        model = config.asr.model if isinstance(config, TranscribeConfig) else config.backbone.model
        if model is None or not Path(model).is_dir():
            continue
        folder = Path(model)
        if seen.setdefault(folder.name, folder) != folder:
            raise UserError(f"{folder} and {seen[folder.name]}: two models of one name; rename one folder")
    yield from seen.values()


def _abstention(config: MetaConfig, labels: Labels) -> Abstention:
    """From rows that neither the members nor Stage 3 were fitted on: dev where there is one and Stage 3 left it out."""
    selection = selection_partition(labels)
    partition = "test" if config.fit_on == "dev" else selection
    rows = labels.partition(partition)
    path = config.run_directory / "posteriors" / "soup" / f"{partition}.csv"
    if not path.is_file():
        raise UserError(f"{path}: no such file; write it with eval_metacls.py")
    table = read_posteriors(path, labels.emotions, labels.attributes).loc[rows.ids]
    posteriors = table[list(labels.emotions)].to_numpy(dtype=np.float64)
    largest, classes = posteriors.max(axis=1), rows.class_indices()
    threshold = float(np.quantile(largest, UNSURE_SHARE))
    right, sure = posteriors.argmax(axis=1) == classes, largest >= threshold

    def accuracy(chosen: np.ndarray) -> float | None:
        scored = chosen & (classes >= 0)
        return round(float(right[scored].mean()), 4) if scored.any() else None

    return Abstention(
        threshold=round(threshold, 6),
        share=UNSURE_SHARE,
        partition=partition,
        accuracy_sure=accuracy(sure),
        accuracy_unsure=accuracy(~sure),
    )


def _score(row: dict[Any, Any]) -> Score:
    names = ("macro_f1", "balanced_f1", "accuracy")
    return Score(technique=str(row["technique"]), **{name: round(float(row[name]), 4) for name in names})


def _versions() -> dict[str, str]:
    made = provenance({}, [], "")
    return {"medusa": made["medusa"], **made["libraries"]}
