"""bundle.json: what a bundle holds beside weights, and all that is needed to load them.

A bundle may come from anybody: names in it are checked before they become paths, files before they are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from medusa.config.schema import (
    DeepSERConfig,
    ExtractConfig,
    Fraction,
    MetaConfig,
    Name,
    Positive,
    Section,
    TranscribeConfig,
)
from medusa.errors import UserError
from medusa.files import copy_file, read_json, sha256, write_json

FILE = "bundle.json"
CARD = "README.md"
HUB_CONFIG = "config.json"
"""A file by which the hub counts downloads, and without which its client warns; it says no more than what this is."""
WEIGHTS = "model.safetensors"
MODEL_WEIGHTS = (".safetensors", "/model.bin")
"""How files of a pretrained model's weights end; the second is CTranslate2's."""
BACKBONES = "backbones"
"""Folder of the pretrained models that came from a local folder; those from the hub are named by id and commit."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
COMMIT = re.compile(r"[0-9a-f]{40}")


def _stays_inside(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or re.search(r"[\\:\0]", name):
        raise ValueError(f"{name!r} leads outside the bundle")
    return name


InnerPath = Annotated[str, AfterValidator(_stays_inside)]
"""A file or folder below the bundle, `/` between its parts."""

COLUMNS = ("FileName", "Seconds", "Start", "End", "Transcript", "Emotion", "Agreement", "Unsure", "Note")
"""Of the tables of answers, beside emotions, attributes and members; no emotion can have such a name."""

Share = Fraction | None


class BundledMember(Section):
    """One ensemble member; its weights are in `members/<name>/`."""

    name: Name
    config: DeepSERConfig
    input_dims: list[Positive]
    """Feature size of each of `config.features`."""


class Abstention(Section):
    """When the ensemble says that it is unsure: its largest posterior is below `threshold`.

    The threshold is the quantile `share` of the largest posteriors of the rows of `partition`.
    """

    threshold: Fraction
    share: Fraction
    partition: str
    accuracy_sure: Share
    """Of the rows with consensus at or above the threshold; null where there is none."""
    accuracy_unsure: Share


class Score(Section):
    """How one way of combining the members scored on the rows that were reported."""

    technique: str
    macro_f1: float
    balanced_f1: float
    accuracy: float


class Scores(Section):
    """What results.csv and the soup's posteriors say; categories over the rows with consensus."""

    partition: str
    """Of the rows that were reported."""
    selected_on: str
    """Partition on which the members' epochs were chosen."""
    rows: int
    """With consensus."""
    techniques: list[Score]
    emotion_f1: list[Share]
    """Of the soup, in the order of the emotions; null for one that is neither true nor predicted."""
    confusion: list[list[int]]
    """Of the soup: true emotion by row, predicted emotion by column."""
    attribute_ccc: list[float | None]
    """Of the soup, in the order of the attributes, over all rows; null where it has no scale."""


class Description(Section):
    """The whole of bundle.json."""

    schema_version: Literal[1] = 1
    name: Name
    title: str
    emotions: Annotated[list[str], Field(min_length=2)]
    attributes: list[Annotated[str, Field(pattern="^Emo(Act|Val|Dom)$")]]
    members: Annotated[list[BundledMember], Field(min_length=1)]
    ensemble: MetaConfig
    features: dict[Name, ExtractConfig]
    """Every feature store that a member reads, by name: how to compute it."""
    transcripts: TranscribeConfig | None
    """How to make what text features read; null where no member reads text."""
    rows: dict[str, int]
    """Utterances of the corpus by partition; those that are empty are left out."""
    abstention: Abstention
    scores: Scores
    versions: dict[str, str]
    files: dict[InnerPath, str]
    """SHA-256 of every file but this one and the model card, which may be edited."""

    @model_validator(mode="after")
    def _names_differ(self) -> Description:
        for key, names in (("emotions", self.emotions), ("attributes", self.attributes)):
            if len(set(names)) != len(names) or "" in names:
                raise ValueError(f"{key}: each must have a name of its own")
        if (name := named_as_a_column(self.emotions, self.attributes)) is not None:
            raise ValueError(f"emotions: {name!r} is the name of another column of the answers")
        return self

    @model_validator(mode="after")
    def _belongs_together(self) -> Description:
        if self.ensemble.members != [member.name for member in self.members]:
            raise ValueError("members: others than the ensemble's")
        for member in self.members:
            if len(member.input_dims) != len(member.config.features) or not self.features.keys() >= set(
                member.config.features
            ):
                raise ValueError(f"features: not all that member {member.name} reads")
        if self.transcripts is None and any(one.backbone.kind == "text" for one in self.features.values()):
            raise ValueError("transcripts: missing, but a member reads text")
        weights = [f"members/{member.name}/{WEIGHTS}" for member in self.members]
        models = self._inner_models()
        for needed in [*weights, f"soup/{WEIGHTS}", *(f"{model}/config.json" for model in models)]:
            if needed not in self.files:
                raise ValueError(f"files: {needed} is not among them")
        for model in models:
            if not any(name.startswith(f"{model}/") and name.endswith(MODEL_WEIGHTS) for name in self.files):
                raise ValueError(f"files: the weights of {model} are not among them")
        return self

    def _inner_models(self) -> list[str]:
        """Pretrained models that the bundle holds; those of the hub must be pinned, so that no folder is meant."""
        named = [(one.backbone.model, one.backbone.revision) for one in self.features.values()]
        if self.transcripts is not None:
            named.append((self.transcripts.asr.model, self.transcripts.asr.revision))
        inner = []
        for model, revision in named:
            if model is None:
                continue
            held = model.startswith(f"{BACKBONES}/")
            if held and revision is None:
                inner.append(_stays_inside(model))
            elif held or not HUB_ID.fullmatch(model) or not COMMIT.fullmatch(revision or ""):
                raise ValueError(f"model: {model!r} is neither in {BACKBONES}/ nor a hub id with a commit")
        return inner


def named_as_a_column(emotions: Sequence[str], attributes: Sequence[str]) -> str | None:
    """The first emotion that is called as another column of the answers, if any is."""
    return next((one for one in emotions if one in (*COLUMNS, *attributes) or one.startswith("Member ")), None)


def read_description(folder: Path) -> Description:
    """Read and check bundle.json, and that the files it names are there, byte for byte.

    Raises:
        UserError: not a bundle, one of another version, or a damaged one.
    """
    file = folder / FILE
    if not file.is_file():
        raise UserError(
            f"{folder}: not a bundle (no {FILE} in it); make one with: python -m medusa bundle RUNS --out DIR"
        )
    read_json(file, remedy="copy the bundle again")
    try:
        description = Description.model_validate_json(file.read_text(encoding="utf-8-sig"))
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{file}: {where}{message}; make the bundle anew with this version") from None
    for name, checksum in description.files.items():
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: not there, so the bundle is incomplete; copy it again")
        if sha256(folder / name) != checksum:
            raise UserError(f"{folder / name}: not the file that the bundle was made with; copy the bundle again")
    return description


def copy_bundle(bundle: Path, description: Description, out: Path) -> None:
    """Copy a bundle byte for byte, and nothing else that may lie in its folder, such as recordings.

    Raises:
        UserError: a file of the bundle is gone.
    """
    card = [CARD] if (bundle / CARD).is_file() else []
    for name in [FILE, *card, *(name for name in description.files if name != HUB_CONFIG)]:
        copy_file(bundle / name, out / name)
    write_hub_config(out)


def write_hub_config(folder: Path) -> None:
    """Always the same; not copied, because the hub's client removes it before a bundle is saved onto itself."""
    write_json(folder / HUB_CONFIG, {"model_type": "medusa-ser"})
