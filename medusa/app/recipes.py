"""How the features and transcripts of finished runs were made, from what the runs and stores say about themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medusa.app.description import BACKBONES, WEIGHTS
from medusa.config.schema import Asr, Backbone, Compute, DeepSERConfig, ExtractConfig, Guards, Layers, TranscribeConfig
from medusa.errors import UserError
from medusa.features.asr import SCHEMA_VERSION as TRANSCRIPTS_SCHEMA
from medusa.features.pretrained import weights_checksum
from medusa.files import inside, read_json, sha256

INDEX = "model.safetensors.index.json"

SETTINGS = (
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json", "normalizer.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "vocab.txt",
)  # fmt: skip
"""What transformers reads beside weights; anything else in a model's folder stays where it is."""


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
        if weights_checksum(model) != weights:
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
        for name, manifest in read_json(runs / "members" / member / "identity.json")["stores"].items():
            if "backbone" not in manifest:
                raise UserError(
                    f"features {name}: .npy files do not say how they were made; extract them with a config"
                )
            made = _extract_config(name, manifest)
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
    shards = set(read_json(folder / INDEX, remedy="copy the model again").get("weight_map", {}).values())
    return [*files, folder / INDEX, *(inside(folder, str(name)) for name in sorted(shards))]


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
    made = read_json(metadata)
    if made.get("schema_version") != TRANSCRIPTS_SCHEMA:
        raise UserError(f"{metadata}: of another version; transcribe anew with this one")
    model = made["model"]
    if made["revision"] is None:
        if made["engine"] != "transformers":
            raise UserError(f"{model}: a local model of {made['engine']} is not safetensors; transcribe by its hub id")
        model = recipes.place(model, made["weights_sha256"], str(file))
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
    named = read_json(store / "provenance.json")["inputs"][-1]
    candidates = [Path(named["file"]), store.parent.parent / Path(named["file"]).name]
    for file in candidates:
        if file.is_file() and sha256(file) == named["sha256"]:
            return file
    raise UserError(
        f"{candidates[0]}: not the transcripts that {store} was made from; put those back, or extract it anew"
    )
