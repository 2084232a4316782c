"""Tracing features and transcripts back to how they were made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from medusa.app.recipes import model_files, read_recipes
from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig, ExtractConfig, TranscribeConfig
from medusa.errors import UserError
from tests.app.conftest import Trained

RUNS = Path("runs")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def own(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, DeepSERConfig]:
    """A copy of the trained corpus, the current folder; its members' configs."""
    shutil.copytree(trained.folder, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    members = ("speech-text", "whisper")
    return {name: load_config(DeepSERConfig, [RUNS / "members" / name / "config.yaml"]) for name in members}


def rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_recipes_are_the_configs_that_were_run(own: dict[str, DeepSERConfig]) -> None:
    recipes = read_recipes(RUNS, own)
    for name in ("wavlm", "bert", "encoder"):
        ran, found = load_config(ExtractConfig, [Path(f"configs/{name}.yaml")]), recipes.features[name]
        assert ran.backbone.model is not None
        assert found.backbone.model == ran.backbone.model.replace("models/", "backbones/")
        for key in ("layers", "time_stride", "trim", "resampler"):
            assert getattr(found, key) == getattr(ran, key), key
    asr = load_config(TranscribeConfig, [Path("configs/asr.yaml")]).asr
    assert recipes.transcripts is not None
    assert recipes.transcripts.asr == asr.model_copy(update={"model": "backbones/hearing"})
    assert sorted(recipes.models) == ["backbones/bert", "backbones/hearing", "backbones/wavlm"]


def test_models_of_the_hub_stay_there_at_their_commit(own: dict[str, DeepSERConfig]) -> None:
    file = RUNS / "members/speech-text/identity.json"
    identity = json.loads(file.read_text())
    identity["stores"]["wavlm"] |= {"backbone": "microsoft/wavlm", "revision": COMMIT, "weights_sha256": None}
    file.write_text(json.dumps(identity))
    recipes = read_recipes(RUNS, own)
    backbone = recipes.features["wavlm"].backbone
    assert (backbone.model, backbone.revision) == ("microsoft/wavlm", COMMIT)
    assert "backbones/wavlm" not in recipes.models


@pytest.mark.parametrize("spelling", ["models/hearing/", "./models/hearing"])
def test_one_model_under_two_spellings_is_one(own: dict[str, DeepSERConfig], spelling: str) -> None:
    rewrite(RUNS / "members/whisper/identity.json", '"models/hearing"', f'"{spelling}"')
    assert read_recipes(RUNS, own).features["encoder"].backbone.model == "backbones/hearing"


def test_two_models_of_one_name_are_refused(own: dict[str, DeepSERConfig]) -> None:
    shutil.copytree("models/hearing", "other/hearing")
    rewrite(RUNS / "members/whisper/identity.json", '"models/hearing"', '"other/hearing"')
    with pytest.raises(UserError, match="two models of one name; rename one folder"):
        read_recipes(RUNS, own)


def test_other_or_missing_weights_are_refused(own: dict[str, DeepSERConfig]) -> None:
    weights = Path("models/bert/model.safetensors")
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(UserError, match="models/bert: not the weights that bert was made with"):
        read_recipes(RUNS, own)
    shutil.rmtree("models")
    with pytest.raises(UserError, match="models/wavlm: not the weights that wavlm was made with"):
        read_recipes(RUNS, own)


def test_two_stores_of_one_name_are_refused_unless_only_their_clips_differ(own: dict[str, DeepSERConfig]) -> None:
    first, second = (json.loads((RUNS / "members" / name / "identity.json").read_text()) for name in own)
    second["stores"]["wavlm"] = first["stores"]["wavlm"] | {"shard_size": 7, "utterances_sha256": "other"}
    (RUNS / "members/whisper/identity.json").write_text(json.dumps(second))
    assert len(read_recipes(RUNS, own).features) == 3
    second["stores"]["wavlm"]["time_stride"] = 3
    (RUNS / "members/whisper/identity.json").write_text(json.dumps(second))
    with pytest.raises(UserError, match="members read two different stores of the name wavlm"):
        read_recipes(RUNS, own)


def test_npy_stores_cannot_be_traced(own: dict[str, DeepSERConfig]) -> None:
    file = RUNS / "members/whisper/identity.json"
    identity = json.loads(file.read_text())
    identity["stores"]["encoder"] = {"schema_version": 1, "name": "encoder", "kind": "npy", "dim": 16}
    file.write_text(json.dumps(identity))
    with pytest.raises(UserError, match=r"features encoder: .npy files do not say how they were made"):
        read_recipes(RUNS, own)


def test_transcripts_that_are_gone_or_others_are_refused(own: dict[str, DeepSERConfig]) -> None:
    metadata = Path("transcripts.json")
    made = metadata.read_text()
    metadata.unlink()
    with pytest.raises(UserError, match=r"transcripts.json: not there, so that nothing says how .* transcribe it anew"):
        read_recipes(RUNS, own)
    metadata.write_text(json.dumps(json.loads(made) | {"schema_version": 1}))
    with pytest.raises(UserError, match=r"transcripts.json: of another version"):
        read_recipes(RUNS, own)
    metadata.write_text(made)
    with Path("transcripts.csv").open("a") as file:
        file.write("more.wav,Hello\n")
    with pytest.raises(UserError, match=r"transcripts.csv: not the transcripts that features/bert was made from"):
        read_recipes(RUNS, own)


def test_members_that_read_transcripts_of_two_kinds_are_refused(own: dict[str, DeepSERConfig]) -> None:
    shutil.copyfile("transcripts.csv", "others.csv")
    metadata = json.loads(Path("transcripts.json").read_text())
    Path("others.json").write_text(json.dumps(metadata | {"beam_size": 7}))
    shutil.copytree("features/bert", "features/other")
    rewrite(Path("features/other/provenance.json"), "transcripts.csv", "others.csv")
    stores = {name: json.loads((RUNS / "members" / name / "identity.json").read_text()) for name in own}
    stores["whisper"]["stores"]["other"] = stores["speech-text"]["stores"]["bert"]
    (RUNS / "members/whisper/identity.json").write_text(json.dumps(stores["whisper"]))
    with pytest.raises(UserError, match="members read transcripts of two kinds; train them on one"):
        read_recipes(RUNS, own)
    Path("others.json").write_text(json.dumps(metadata))
    assert set(read_recipes(RUNS, own).features) == {"wavlm", "bert", "encoder", "other"}


def test_transcripts_outside_the_folder_of_the_run_are_found_beside_the_stores(own: dict[str, DeepSERConfig]) -> None:
    folder = Path("elsewhere")
    for name in ("features", "transcripts.csv", "transcripts.json"):
        folder.mkdir(exist_ok=True)
        shutil.move(name, folder / name)
    moved = {
        name: config.model_copy(
            update={"paths": config.paths.model_copy(update={"features": folder.resolve() / "features"})}
        )
        for name, config in own.items()
    }
    found = read_recipes(RUNS, moved).transcripts
    assert found is not None
    assert found.asr.max_new_tokens == 12


def test_a_local_model_of_faster_whisper_is_no_safetensors(own: dict[str, DeepSERConfig]) -> None:
    metadata = Path("transcripts.json")
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"engine": "faster-whisper"}))
    with pytest.raises(UserError, match=r"models/hearing: a local model of faster-whisper is not safetensors"):
        read_recipes(RUNS, own)


# --- files of a pretrained model ---


def test_weights_in_shards_are_those_of_the_index(tmp_path: Path) -> None:
    names = ["model-1.safetensors", "model-2.safetensors"]
    for name in [*names, "adapter.safetensors", "config.json"]:
        (tmp_path / name).write_text("{}")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": names[0], "b": names[1], "c": names[0]}}))
    assert model_files(tmp_path) == [tmp_path / "config.json", index, *(tmp_path / name for name in names)]
    index.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    with pytest.raises(UserError, match="leads outside"):
        model_files(tmp_path)


def test_a_sentencepiece_tokenizer_alone_is_refused(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "spiece.model"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=r"write tokenizer.json"):
        model_files(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    assert {path.name for path in model_files(tmp_path)} == {"config.json", "model.safetensors", "tokenizer.json"}


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("file", "changes", "told"),
    [
        ("runs/members/speech-text/identity.json", {"stores": []}, "stores: expected an object, found a list"),
        ("runs/members/speech-text/identity.json", {"stores": {}}, "stores: no key 'wavlm', expected an object"),
        ("features/bert/provenance.json", {"inputs": []}, "inputs: expected the transcripts among them"),
        ("features/bert/provenance.json", {"inputs": [5]}, "inputs: expected a JSON object, found int"),
        ("features/bert/provenance.json", {"inputs": [{"file": "\0", "sha256": "0"}]}, "not the transcripts that"),
        ("transcripts.json", {"beam_size": "wide"}, "beam_size: expected a whole number, found text"),
        ("transcripts.json", {"beam_size": 0}, "beam_size: Input should be greater"),
        ("transcripts.json", {"guards": {"noise": 1}}, "noise: Extra inputs are not permitted; make it anew"),
    ],
)
def test_json_of_another_shape_is_one_line(
    own: dict[str, DeepSERConfig], file: str, changes: dict[str, Any], told: str
) -> None:
    edit(Path(file), **changes)
    with pytest.raises(UserError, match=told):
        read_recipes(RUNS, own)


@pytest.mark.parametrize(
    ("key", "new", "told"),
    [
        ("time_stride", None, "wavlm: time_stride: expected a whole number, found null"),
        ("layers", ["last"], r"wavlm: take\.0: .*; make it anew"),
        ("dim", True, "wavlm: dim: expected a whole number, found true or false"),
        ("backbone", "\0", "not the weights that wavlm was made with"),
    ],
)
def test_a_store_that_was_made_in_no_way_that_there_is_is_named(
    own: dict[str, DeepSERConfig], key: str, new: Any, told: str
) -> None:
    file = RUNS / "members/speech-text/identity.json"
    stores = json.loads(file.read_text())["stores"]
    stores["wavlm"][key] = new
    edit(file, stores=stores)
    with pytest.raises(UserError, match=told):
        read_recipes(RUNS, own)


def test_shards_of_a_model_that_are_named_by_no_text_are_refused(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    for map_, told in (("all", "expected an object, found text"), ({"w": 5}, "weight_map: w: expected text"),
                       ({"w": "\0"}, "no name that a file can have")):  # fmt: skip
        index.write_text(json.dumps({"weight_map": map_}))
        with pytest.raises(UserError, match=told):
            model_files(tmp_path)
