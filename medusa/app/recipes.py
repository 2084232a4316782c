"""How the features and transcripts of finished runs were made, from what the runs and stores say about themselves."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from pydantic import ValidationError

from medusa.app.description import BACKBONES, WEIGHTS
from medusa.config.schema import Asr, Backbone, Compute, DeepSERConfig, ExtractConfig, Guards, Layers, TranscribeConfig
from medusa.errors import UserError
from medusa.features.asr import SCHEMA_VERSION as TRANSCRIPTS_SCHEMA
from medusa.features.pretrained import weights_checksum
from medusa.files import inside, read_json, sha256
from medusa.json_shape import Kind, require_keys
from medusa.provenance import PROVENANCE, read_inputs
from medusa.training.checkpoint import IDENTITY

INDEX = "model.safetensors.index.json"
AGAIN = "make it anew, and what builds on it"

SETTINGS = (
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json", "normalizer.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "vocab.txt",
)  # fmt: skip
"""What transformers reads beside weights; anything else in a model's folder stays where it is."""

_TEXT: Kind = (str, NoneType)
_STORE: dict[str, Kind] = {
    "kind": str, "backbone": _TEXT, "revision": _TEXT, "weights_sha256": _TEXT, "layers": (list, NoneType),
    "combine": _TEXT, "time_stride": int, "trim": (bool, NoneType), "resampler": _TEXT, "precision": _TEXT,
}  # fmt: skip
"""What the manifest of a store says of how it was made."""
_TRANSCRIPTS: dict[str, Kind] = {
    "engine": str, "model": str, "revision": _TEXT, "weights_sha256": _TEXT, "language": _TEXT, "beam_size": int,
    "max_new_tokens": int, "guards": dict, "precision": str, "resampler": str,
}  # fmt: skip
"""What transcripts.json says of how they were made."""


@dataclass
class Recipes:
    """How to make all inputs of an ensemble's members; paths are not among it."""

    features: dict[str, ExtractConfig] = field(default_factory=dict)
    """By store."""
    transcripts: TranscribeConfig | None = None
    """Null where no member reads text."""
    models: dict[str, Path] = field(default_factory=dict)
    """Folders of pretrained models, by their place in the bundle, which is how the configs name them."""

    def place(self, model: str, weights: str, purpose: str) -> str:
        """Where a local folder goes.

        Raises:
            UserError: it does not hold the weights (SHA-256) that the runs saw, or another one has its name.
        """
        folder = Path(os.path.abspath(model))
        if not os.path.isdir(model) or weights_checksum(model) != weights:
            raise UserError(f"{model}: not the weights that {purpose} was made with; put those back, or make it anew")
        name = f"{BACKBONES}/{folder.name}"
        if self.models.setdefault(name, folder) != folder:
            raise UserError(f"{folder} and {self.models[name]}: two models of one name; rename one folder")
        return name


def read_recipes(runs: Path, members: Mapping[str, DeepSERConfig]) -> Recipes:
    """From the manifests that every member's run keeps of its stores, and the metadata of the transcripts.

    Raises:
        UserError: two members read different stores of one name, or a store, the transcripts or a model cannot be
            traced.
    """
    recipes, seen = Recipes(), dict[str, tuple[Any, ...]]()
    for member, config in members.items():
        run = runs / "members" / member
        for name, manifest in read_stores(run, config).items():
            if "backbone" not in manifest:
                raise UserError(
                    f"features {name}: .npy files do not say how they were made; extract them with a config"
                )
            where = f"{run / IDENTITY}: stores: {name}"
            with _settings(where):
                made = _extract_config(name, require_keys(manifest, _STORE, where, AGAIN))
            told = (made, manifest["weights_sha256"], manifest["dim"])
            if seen.setdefault(name, told) != told:
                raise UserError(f"{runs}: members read two different stores of the name {name}; train them on one")
            recipes.features[name] = _placed(recipes, made, manifest["weights_sha256"])
            if manifest["kind"] == "text":
                transcripts = _transcribe_config(recipes, config.paths.features / name)
                if recipes.transcripts not in (None, transcripts):
                    raise UserError(f"{runs}: members read transcripts of two kinds; train them on one")
                recipes.transcripts = transcripts
    return recipes


def read_stores(run: Path, config: DeepSERConfig) -> dict[str, dict[str, Any]]:
    """The manifests that a member's run keeps of its feature stores, by name.

    Raises:
        UserError: the run's identity.json is damaged.
    """
    file = run / IDENTITY
    stores = read_json(file, AGAIN, {"stores": dict})["stores"]
    require_keys(stores, dict.fromkeys(config.features, dict), f"{file}: stores", AGAIN)
    return {name: require_keys(one, {"dim": int}, f"{file}: stores: {name}", AGAIN) for name, one in stores.items()}


def model_files(folder: Path) -> list[Path]:
    """What loading a pretrained model reads: safetensors, JSON and word lists, nothing pickled.

    Raises:
        UserError: its tokenizer is of another format.
    """
    if any(folder.glob("*.model")) and not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder}: a SentencePiece tokenizer; write tokenizer.json with transformers' save_pretrained")
    files = [folder / name for name in SETTINGS if (folder / name).is_file()]
    if (folder / WEIGHTS).is_file():
        return [*files, folder / WEIGHTS]
    again = "copy the model again"
    shards = read_json(folder / INDEX, again, {"weight_map": dict})["weight_map"]
    require_keys(shards, dict.fromkeys(shards, str), f"{folder / INDEX}: weight_map", again)
    return [*files, folder / INDEX, *(inside(folder, name) for name in sorted(set(shards.values())))]


@contextlib.contextmanager
def _settings(where: str) -> Iterator[None]:
    """Turns settings that no config could have into one line."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}; {AGAIN}") from None


def _extract_config(name: str, manifest: Mapping[str, Any]) -> ExtractConfig:
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


def _placed(recipes: Recipes, config: ExtractConfig, weights: str) -> ExtractConfig:
    backbone = config.backbone
    if backbone.model is None or backbone.revision is not None:  # no weights, or the hub's
        return config
    model = recipes.place(backbone.model, weights, config.name)
    return config.model_copy(update={"backbone": backbone.model_copy(update={"model": model})})


def _transcribe_config(recipes: Recipes, store: Path) -> TranscribeConfig:
    """From the metadata of the transcripts that a text store was made from."""
    file = _transcripts_of(store)
    metadata = file.with_suffix(".json")
    if not metadata.is_file():
        raise UserError(f"{metadata}: not there, so that nothing says how {file} was made; transcribe it anew")
    made = read_json(metadata, AGAIN)
    if made.get("schema_version") != TRANSCRIPTS_SCHEMA:
        raise UserError(f"{metadata}: of another version; transcribe anew with this one")
    model = require_keys(made, _TRANSCRIPTS, str(metadata), AGAIN)["model"]
    if made["revision"] is None:
        if made["engine"] != "transformers":
            raise UserError(f"{model}: a local model of {made['engine']} is not safetensors; transcribe by its hub id")
        model = recipes.place(model, made["weights_sha256"], str(file))
    with _settings(str(metadata)):
        asr = Asr(
            engine=made["engine"],
            model=model,
            revision=made["revision"],
            language=made["language"],
            beam_size=made["beam_size"],
            max_new_tokens=made["max_new_tokens"],
            guards=Guards(**made["guards"]),
        )
        compute = Compute(precision=made["precision"])
        return TranscribeConfig(name="transcripts", asr=asr, resampler=made["resampler"], compute=compute)


def _transcripts_of(store: Path) -> Path:
    """The very transcripts.csv that a text store was made from.

    Its provenance names it below the folder the command ran in, or else without its folder; then it is looked for
    where corpora keep it, beside the folder of stores.
    """
    inputs = read_inputs(store, "extract it anew")
    if not inputs:
        raise UserError(f"{store / PROVENANCE}: inputs: expected the transcripts among them; extract it anew")
    named = inputs[-1]
    candidates = [Path(named.file), store.parent.parent / Path(named.file).name]
    for file in candidates:
        # os.path, because a name that no file can have is none; pathlib raises
        if os.path.isfile(file) and sha256(file) == named.sha256:
            return file
    raise UserError(
        f"{candidates[0]}: not the transcripts that {store} was made from; put those back, or extract it anew"
    )
