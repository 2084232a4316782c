"""Where weights may come from: one commit of the hub (a cache written by hand, no network), safetensors, no code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch

from medusa.config.schema import ExtractConfig
from medusa.errors import UserError
from medusa.features import pretrained
from medusa.features.backbones import FeatureBackbone, load_backbone
from medusa.features.pretrained import library_versions, open_checkpoint

OLD, NEW, CONVERTED = "a1" * 20, "b2" * 20, "c3" * 20
HUB_ID = "someone/tiny"

Checkpoint = Callable[[str], Path]


def load(model: str, revision: str | None = None) -> FeatureBackbone:
    backbone = {"kind": "text", "model": model, "revision": revision}
    config = {"name": "tiny", "backbone": backbone, "layers": {"take": [-1]}}
    return load_backbone(ExtractConfig.model_validate(config), torch.device("cpu"))


@pytest.fixture
def hub(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds two commits of one repository; main is the newer; the network is off."""
    repository = tmp_path / "hub" / "models--someone--tiny"
    for commit in (OLD, NEW):
        shutil.copytree(checkpoint("bert"), repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(NEW)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return repository


def without_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def test_a_branch_is_resolved_once_and_the_commit_is_told(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(HUB_ID).commit == NEW
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert warning.startswith(f"warning: {HUB_ID} is not pinned, main is commit {NEW} today")


def test_a_pinned_commit_is_used_in_silence(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(HUB_ID, OLD).commit == OLD
    assert capsys.readouterr().err == ""


def test_what_is_not_on_the_hub_is_one_line(hub: Path) -> None:
    for model, revision in ((HUB_ID, "v9"), ("someone/else", None)):
        with pytest.raises(UserError, match=rf"model: {model} cannot be loaded") as error:
            load(model, revision)
        assert "\n" not in str(error.value)


def test_a_pickle_on_the_hub_is_refused(hub: Path) -> None:
    without_safetensors(hub / "snapshots" / OLD)
    with pytest.raises(UserError, match=rf"{HUB_ID} has no weights as safetensors at revision {OLD}; set revision to"):
        load(HUB_ID, OLD)
    without_safetensors(hub / "snapshots" / NEW)
    with pytest.raises(UserError, match=rf"{HUB_ID} has no weights as safetensors at revision main; set revision to"):
        load(HUB_ID)


def test_the_hubs_own_conversion_is_read_at_its_own_commit(
    hub: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    converted = hub / "snapshots" / CONVERTED
    shutil.copytree(hub / "snapshots" / NEW, converted)
    without_safetensors(hub / "snapshots" / NEW)
    found = (str(converted / "model.safetensors"), "refs/pr/3", False)
    monkeypatch.setattr(pretrained, "auto_conversion", lambda model, ignore_errors_during_conversion: found)
    assert load(HUB_ID).commit == CONVERTED
    assert CONVERTED in capsys.readouterr().err


def test_a_library_that_is_not_installed_has_no_version() -> None:
    found = library_versions("medusa-of-nobody")
    assert found["torch"] == torch.__version__
    assert found["medusa-of-nobody"] is None


def test_a_folder_has_no_revision(checkpoint: Checkpoint) -> None:
    folder = str(checkpoint("bert"))
    assert open_checkpoint(folder, None).commit is None
    with pytest.raises(UserError, match=r"revision: main: .* is a folder, which has no revisions; set it to null"):
        open_checkpoint(folder, "main")


@pytest.mark.parametrize("known", [True, False])
def test_code_in_a_checkpoint_never_runs(checkpoint: Checkpoint, tmp_path: Path, known: bool) -> None:
    folder, trace = tmp_path / "planted", tmp_path / "trace"
    shutil.copytree(checkpoint("bert"), folder)
    (folder / "planted.py").write_text(f"open({str(trace)!r}, 'w').close()\nclass Config: pass\nclass Model: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "planted.Config", "AutoModel": "planted.Model"}
    config["model_type"] = "bert" if known else "planted"
    (folder / "config.json").write_text(json.dumps(config))
    if known:  # transformers has this type itself
        expected = load(str(checkpoint("bert"))).features(["the door"])[0]
        np.testing.assert_array_equal(load(str(folder)).features(["the door"])[0], expected)
    else:
        with pytest.raises(UserError, match="cannot be loaded") as error:
            load(str(folder))
        assert "\n" not in str(error.value)
    assert not trace.exists()
