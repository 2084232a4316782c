"""Loading a bundle that is damaged, of another version, or made to lead elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medusa.app.description import copy_bundle, read_description
from medusa.errors import UserError
from medusa.files import read_json

Change = Callable[[dict[str, Any]], Any]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def own(bundle: Path, tmp_path: Path) -> Path:
    """To be damaged."""
    return Path(shutil.copytree(bundle, tmp_path / "own"))


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as told:
        read_description(folder)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_it_reads_what_was_written(bundle: Path) -> None:
    description = read_description(bundle)
    assert description.model_dump(mode="json") == read_json(bundle / "bundle.json")
    assert [member.name for member in description.members] == ["speech-text", "whisper"]
    assert description.emotions == ["Angry", "Sad", "Neutral"]


def test_features_without_a_model_are_none_that_the_bundle_must_hold(own: Path) -> None:
    told = read_json(own / "bundle.json")
    told["features"]["wavlm"]["backbone"] = {"kind": "logmel"}
    (own / "bundle.json").write_text(json.dumps(told))
    assert read_description(own).features["wavlm"].backbone.model is None


def test_any_other_folder_says_how_to_make_one(tmp_path: Path) -> None:
    assert "not a bundle (no bundle.json in it); make one with: python -m medusa bundle" in refused(tmp_path)


@pytest.mark.parametrize("file", ["members/whisper/model.safetensors", "soup/model.safetensors"])
def test_weights_that_are_truncated_changed_or_gone_are_named(own: Path, file: str) -> None:
    content = (own / file).read_bytes()
    for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b""):
        (own / file).write_bytes(damaged)
        assert f"{own / file}: not the file that the bundle was made with; copy the bundle again" in refused(own)
    (own / file).unlink()
    assert f"{own / file}: not there" in refused(own)


def test_the_card_may_be_edited_and_other_files_may_lie_there(own: Path) -> None:
    (own / "README.md").write_text("mine")
    (own / ".gitattributes").write_text("*.safetensors filter=lfs")
    read_description(own)


def test_a_truncated_description_is_one_line(own: Path) -> None:
    file = own / "bundle.json"
    file.write_text(file.read_text()[:1000])
    assert "not readable as JSON" in refused(own)
    assert "copy the bundle again" in refused(own)


CHANGES: dict[str, tuple[Change, str]] = {
    "another version": (lambda told: told.update(schema_version=2), "schema_version: Input should be 1"),
    "an unknown key": (lambda told: told.update(more=1), "more: Extra inputs are not permitted"),
    "a member outside": (lambda told: told["members"][0].update(name="../x"), "members: 0: name: String should match"),
    "a member elsewhere": (
        lambda told: told["members"][0].update(name="/etc"),
        "members: 0: name: String should match",
    ),
    "another member": (lambda told: told["members"][0].update(name="x"), "members: others than the ensemble's"),
    "a file outside": (lambda told: told["files"].update({"../x": ""}), "'../x' leads outside the bundle"),
    "a file elsewhere": (lambda told: told["files"].update({"/elsewhere/file": ""}), "leads outside the bundle"),
    "a file on Windows": (lambda told: told["files"].update({"..\\x": ""}), "leads outside the bundle"),
    "an emotion twice": (lambda told: told["emotions"].__setitem__(0, "Sad"), "emotions: each must have a name of its"),
    "an emotion called as a column": (
        lambda told: told["emotions"].__setitem__(0, "Transcript"),
        "emotions: 'Transcript' is the name of another column of the answers",
    ),
    "weights of a model not vouched for": (
        lambda told: told["files"].pop("backbones/bert/model.safetensors"),
        "files: the weights of backbones/bert are not among them",
    ),
    "weights not vouched for": (lambda told: told["files"].pop("soup/model.safetensors"), "is not among them"),
    "a store that is not described": (lambda told: told["features"].pop("wavlm"), "not all that member speech-text"),
    "no transcripts": (lambda told: told.update(transcripts=None), "transcripts: missing, but a member reads text"),
    "a search that takes all memory": (
        lambda told: told["transcripts"]["asr"].update(beam_size=10**6),
        "asr: beam_size: Input should be less than or equal to 100",
    ),
    "layers that take all memory": (
        lambda told: told["features"]["wavlm"]["layers"].update(take=[0] * 101),
        "layers: take: List should have at most 100 items",
    ),
    "a threshold that is no posterior": (
        lambda told: told["abstention"].update(threshold=-1e308),
        "abstention: threshold: Input should be greater than or equal to 0",
    ),
    "no attributes known": (lambda told: told.update(attributes=["EmoX"]), "attributes: 0: String should match"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_does_not_belong_together_is_one_line(own: Path, case: str) -> None:
    change, expected = CHANGES[case]
    told = read_json(own / "bundle.json")
    change(told)
    (own / "bundle.json").write_text(json.dumps(told))
    assert expected in refused(own)


@pytest.mark.parametrize(
    ("model", "revision"),
    [
        ("/etc", None),
        ("models/bert", None),
        ("backbones/../../secret", None),
        ("backbones/other", None),
        ("backbones/bert", COMMIT),
        ("org/model", None),
        ("org/model", "main"),
        ("../model", COMMIT),
        ("org/model/deep", COMMIT),
        ("org\\model", COMMIT),
    ],
)
@pytest.mark.parametrize("where", ["features", "transcripts"])
def test_a_model_is_in_the_bundle_or_pinned_on_the_hub(own: Path, where: str, model: str, revision: str | None) -> None:
    told = read_json(own / "bundle.json")
    part = told["transcripts"]["asr"] if where == "transcripts" else told["features"]["bert"]["backbone"]
    part.update(model="org/model", revision=COMMIT)
    (own / "bundle.json").write_text(json.dumps(told))
    read_description(own)
    part.update(model=model, revision=revision)
    (own / "bundle.json").write_text(json.dumps(told))
    assert "bundle.json: " in refused(own)


def test_copying_leaves_what_is_not_of_the_bundle(own: Path, tmp_path: Path) -> None:
    (own / "recording.wav").write_text("private")
    copy_bundle(own, read_description(own), tmp_path / "copy")
    names = {
        path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()
    }
    assert names == {"bundle.json", "README.md", *read_description(own).files}
