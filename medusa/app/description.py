"""bundle.json: what a bundle holds beside weights, and all that is needed to load them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from medusa.config.schema import DeepSERConfig, ExtractConfig, MetaConfig, Section, TranscribeConfig
from medusa.errors import UserError
from medusa.files import read_json

FILE = "bundle.json"
BACKBONES = "backbones"
"""Folder of the pretrained models that came from a local folder; those from the hub are named by id and commit."""


class BundledMember(Section):
    """One ensemble member; its weights are in `members/<name>/`."""

    name: str
    config: DeepSERConfig
    input_dims: list[int]
    """Feature size of each of `config.features`."""


class Abstention(Section):
    """When the ensemble says that it is unsure: its largest posterior is below `threshold`.

    The threshold is the quantile `share` of the largest posteriors of held-out rows.
    """

    threshold: float
    share: float
    partition: str
    accuracy_sure: float | None
    """Of the held-out rows with consensus at or above the threshold; null where there is none."""
    accuracy_unsure: float | None


class Score(Section):
    """How one way of combining the members scored on the rows that were reported."""

    technique: str
    macro_f1: float
    balanced_f1: float
    accuracy: float


class Description(Section):
    """The whole of bundle.json."""

    schema_version: Literal[1] = 1
    name: str
    title: str
    emotions: list[str]
    attributes: list[str]
    members: list[BundledMember]
    ensemble: MetaConfig
    features: dict[str, ExtractConfig]
    """Every feature store that a member reads, by name: how to compute it."""
    transcripts: TranscribeConfig | None
    """How to make what text features read; null where no member reads text."""
    abstention: Abstention
    scores: list[Score]
    scored_rows: int
    protocol: str
    versions: dict[str, str]


def read_description(folder: Path) -> Description:
    """Read and check bundle.json.

    Raises:
        UserError: not a bundle, or one of another version.
    """
    file = folder / FILE
    if not file.is_file():
        raise UserError(
            f"{folder}: not a bundle (no {FILE} in it); make one with: python -m medusa bundle RUNS --out DIR"
        )
    read_json(file)
    try:
        return Description.model_validate_json(file.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{file}: {where}: {first['msg']}; make the bundle anew with this version") from None
