"""A bundle as models on a hub are: from_pretrained, save_pretrained, push_to_hub; no network."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.hub_mixin
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from medusa.app import model
from medusa.app.model import Medusa
from medusa.errors import UserError
from medusa.features.backbones import load_backbone
from medusa.files import copy_file, sha256
from tests.app.conftest import Trained
from tests.app.test_bundle import tree


def test_saving_round_trips_byte_for_byte(medusa: Medusa, bundle: Path, tmp_path: Path) -> None:
    medusa.save_pretrained(tmp_path / "first")
    assert tree(tmp_path / "first") == tree(bundle)
    Medusa.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    assert tree(tmp_path / "second") == tree(bundle)


def test_saving_where_it_lies_changes_nothing(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "own")
    Medusa.from_pretrained(tmp_path / "own").save_pretrained(tmp_path / "own")
    assert tree(tmp_path / "own") == tree(bundle)


def test_loading_says_nothing(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        logging.getLogger("huggingface_hub").propagate = True
        Medusa.from_pretrained(bundle)
    assert caplog.records == []


def test_a_hub_id_is_downloaded_at_its_revision(
    bundle: Path, trained: Trained, medusa: Medusa, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def download(model_id: str, **options: Any) -> str:
        asked.append((model_id, options))
        return str(bundle)

    monkeypatch.setattr(model, "snapshot_download", download)
    loaded = Medusa.from_pretrained("somebody/medusa", revision="v2", token="t", device="cpu")
    ((model_id, options),) = asked
    assert model_id == "somebody/medusa"
    assert (options["revision"], options["token"]) == ("v2", "t")
    clip = sorted(trained.audio.iterdir())[:1]
    assert loaded.predict(clip).equals(medusa.predict(clip))


def test_a_misspelt_option_is_refused(bundle: Path) -> None:
    with pytest.raises(TypeError, match="devise"):
        Medusa.from_pretrained(bundle, devise="cpu")


@pytest.mark.parametrize("name", ["./missing", "/missing/bundle", "a/b/c", "no such folder", "nobody/medusa"])
def test_what_is_nowhere_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="no such folder, and not to be had from the hub") as told:
        Medusa.from_pretrained(name)
    assert "\n" not in str(told.value)


def test_pushing_uploads_the_bundle_and_nothing_that_lies_beside_it(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, uploaded = tmp_path / "own", dict[str, Any]()
    shutil.copytree(bundle, own)
    (own / "interview.wav").write_bytes(b"private")

    class Api:
        def __init__(self, token: str | None) -> None:
            uploaded["token"] = token

        def create_repo(self, repo_id: str, **_: Any) -> Any:
            return type("Repository", (), {"repo_id": repo_id})

        def upload_folder(self, **options: Any) -> str:
            uploaded.update(options, files=tree(Path(options["folder_path"])))
            return "commit"

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", Api)
    told = Medusa.from_pretrained(own).push_to_hub("somebody/medusa", private=True, token="t", branch="new")
    assert told == "commit"
    assert uploaded["files"] == tree(bundle)
    assert (uploaded["repo_id"], uploaded["revision"], uploaded["token"]) == ("somebody/medusa", "new", "t")


def repeat_members(bundle: Path, count: int) -> None:
    """Members `1` to `count`, in turn the two that are there, and a soup that fits them."""
    file = bundle / "bundle.json"
    told = json.loads(file.read_text())
    members, names = told["members"], [str(number) for number in range(1, count + 1)]
    told["members"] = [members[number % 2] | {"name": name} for number, name in enumerate(names)]
    told["ensemble"]["members"] = names
    for number, name in enumerate(names):
        weights = f"members/{name}/model.safetensors"
        copy_file(bundle / "members" / members[number % 2]["name"] / "model.safetensors", bundle / weights)
        told["files"][weights] = sha256(bundle / weights)
    soup = load_file(bundle / "soup/model.safetensors")
    soup["layers.0.weight"] = np.tile(soup["layers.0.weight"], count // 2)
    save_file(soup, bundle / "soup/model.safetensors")
    told["files"]["soup/model.safetensors"] = sha256(bundle / "soup/model.safetensors")
    file.write_text(json.dumps(told))


def test_each_backbone_is_loaded_once_for_all_members(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded: list[str] = []

    def count(config: Any, device: Any) -> Any:
        loaded.append(config.name)
        return load_backbone(config, device)

    monkeypatch.setattr(model, "load_backbone", count)
    own = tmp_path / "own"
    shutil.copytree(bundle, own)
    repeat_members(own, 14)
    assert len(Medusa.from_pretrained(own).description.members) == 14
    assert sorted(loaded) == ["bert", "encoder", "wavlm"]
