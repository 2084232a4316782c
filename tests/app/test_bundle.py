"""Writing a bundle: what is in it, what is refused, and that an old one outlives a new one that fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from medusa.app.bundle import write_bundle
from medusa.app.description import read_description
from medusa.errors import UserError
from medusa.files import sha256, write_text
from medusa.provenance import note_outputs
from tests.app.conftest import Trained

RUNS = Path("runs")


@pytest.fixture
def own(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the trained corpus to be changed; the current folder."""
    folder = tmp_path / "work"
    shutil.copytree(trained.folder, folder)
    monkeypatch.chdir(folder)
    return folder


def tree(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def retrain(run: Path) -> None:
    """Other weights, as after another training."""
    file = run / "best/model.safetensors"
    save_file({name: value + 1 for name, value in load_file(file).items()}, file)


# --- what is in it ---


def test_weights_are_those_of_the_runs_and_nothing_is_pickled(bundle: Path, trained: Trained) -> None:
    held = tree(bundle)
    runs = trained.runs
    for member in ("speech-text", "whisper"):
        assert held[f"members/{member}/model.safetensors"] == sha256(runs / f"members/{member}/best/model.safetensors")
    assert held["soup/model.safetensors"] == sha256(runs / "ensembles/both/soup/model.safetensors")
    for model in ("hearing", "wavlm", "bert"):
        weights = trained.folder / "models" / model / "model.safetensors"
        assert held[f"backbones/{model}/model.safetensors"] == sha256(weights)
    assert {Path(name).suffix for name in held} == {".safetensors", ".json", ".md"}


def test_every_file_but_the_card_is_vouched_for(bundle: Path) -> None:
    held = tree(bundle)
    assert read_description(bundle).files == {
        name: own for name, own in held.items() if name not in ("bundle.json", "README.md")
    }


def test_no_path_of_the_machine_and_nobody_of_the_corpus_is_in_it(own: Path, tmp_path: Path) -> None:
    for model, file in (("bert", "config.json"), ("bert", "tokenizer_config.json"), ("wavlm", "config.json")):
        edit(own / "models" / model / file, _name_or_path=str(own), name_or_path=str(own))
    write_bundle(RUNS, tmp_path / "b")
    for held in (path for path in (tmp_path / "b").rglob("*") if path.is_file()):
        content = held.read_bytes()
        for private in (str(own), str(Path.home()), "clip_", "train-0"):
            assert private.encode() not in content, (private, held)
    kept = json.loads((tmp_path / "b/backbones/bert/config.json").read_text())
    assert kept["model_type"] == "bert"


def test_only_what_loading_needs_is_taken_and_links_are_followed(own: Path, tmp_path: Path) -> None:
    model = own / "models/wavlm"
    (model / "pytorch_model.bin").write_bytes(b"pickled")
    (model / "onnx").mkdir()
    (model / "onnx/model.onnx").write_bytes(b"big")
    (model / "trainer_state.json").write_text("{}")
    blob = own / "blob"
    (model / "config.json").rename(blob)
    (model / "config.json").symlink_to(blob)
    write_bundle(RUNS, tmp_path / "b")
    taken = tmp_path / "b/backbones/wavlm"
    assert {path.name for path in taken.iterdir()} == {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert not (taken / "config.json").is_symlink()
    assert (taken / "config.json").read_bytes() == blob.read_bytes()


def test_a_chosen_ensemble_brings_only_its_members_and_models(own: Path, tmp_path: Path) -> None:
    description = write_bundle(RUNS, tmp_path / "my bundle", "alone")
    assert (description.name, description.ensemble.members, description.transcripts) == ("alone", ["whisper"], None)
    assert [path.name for path in (tmp_path / "my bundle/backbones").iterdir()] == ["hearing"]


def test_a_corpus_says_what_it_is_unless_the_title_does(own: Path, tmp_path: Path) -> None:
    (own / "datacard.json").write_text('{"about": "Made of  noise."}')
    for title, expected in ((None, "Made of noise."), ("Mine.", "Mine."), ("", "")):
        assert write_bundle(Path("runs"), tmp_path / "bundle", title=title).title == expected
    (own / "datacard.json").unlink()
    assert write_bundle(Path("runs"), tmp_path / "bundle").title == ""


def test_members_of_a_variant_go_by_their_folder(own: Path, tmp_path: Path) -> None:
    shutil.move(RUNS / "members/whisper", RUNS / "members/encoder-late")
    config = RUNS / "members/encoder-late/config.yaml"
    config.write_text(config.read_text().replace("name: whisper\nvariant: null", "name: encoder\nvariant: late"))
    for file in RUNS.glob("ensembles/both/config.yaml"):
        file.write_text(file.read_text().replace("- whisper", "- encoder-late"))
    claim = RUNS / "ensembles/both/identity.json"
    claim.write_text(claim.read_text().replace('"whisper"', '"encoder-late"'))
    description = write_bundle(RUNS, tmp_path / "b", "both")
    assert [member.name for member in description.members] == ["speech-text", "encoder-late"]
    assert description.members[1].config.variant == "late"
    assert (tmp_path / "b/members/encoder-late/model.safetensors").is_file()


# --- which ensemble ---


def test_the_largest_is_taken_and_those_put_aside_are_not(own: Path, tmp_path: Path) -> None:
    shutil.copytree(RUNS / "ensembles/both", RUNS / "ensembles/both.1-old")
    assert write_bundle(RUNS, tmp_path / "b").name == "both"
    shutil.copytree(RUNS / "ensembles/both", RUNS / "ensembles/second")
    with pytest.raises(UserError, match=r"2 members in each of both, second; choose with --ensemble"):
        write_bundle(RUNS, tmp_path / "c")


def test_an_unknown_or_unevaluated_ensemble_is_refused(own: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--ensemble all: not among the evaluated ones of runs: alone, both"):
        write_bundle(RUNS, tmp_path / "b", "all")
    for name in ("alone", "both"):
        (RUNS / "ensembles" / name / "results.csv").unlink()
    with pytest.raises(UserError, match=r"no evaluated ensemble; train one .* eval_metacls.py"):
        write_bundle(RUNS, tmp_path / "b")


@pytest.mark.parametrize(
    ("fit_on", "told"),
    [
        ("crossfit", "judges by the means of models of folds, which a bundle does not hold"),
        ("released", "was fitted on the rows that it would be judged by"),
    ],
)
def test_an_ensemble_that_makes_no_bundle_is_refused(own: Path, tmp_path: Path, fit_on: str, told: str) -> None:
    config = RUNS / "ensembles/both/config.yaml"
    config.write_text(config.read_text().replace("fit_on: train", f"fit_on: {fit_on}"))
    with pytest.raises(
        UserError, match=rf"ensembles/both: fit_on: {fit_on}: it {told}; choose another with --ensemble"
    ):
        write_bundle(RUNS, tmp_path / "b")
    assert write_bundle(RUNS, tmp_path / "b", "alone").name == "alone"


@pytest.mark.parametrize("name", ["Transcript", "Member of none"])
def test_an_emotion_that_is_called_as_a_column_of_the_answers_is_refused(own: Path, tmp_path: Path, name: str) -> None:
    labels = Path("labels.csv")
    labels.write_text(labels.read_text().replace("Angry", name))
    with pytest.raises(
        UserError, match=rf"labels\.csv: emotion '{name}': the answers have another column of that name"
    ):
        write_bundle(RUNS, tmp_path / "b")
    assert not (tmp_path / "b").exists()


# --- runs that do not belong together ---


def test_a_member_trained_again_is_refused_until_all_that_builds_on_it_is(own: Path, tmp_path: Path) -> None:
    run = RUNS / "members/whisper"
    retrain(run)
    with pytest.raises(UserError, match=r"members/whisper: its posteriors are not those of .*; run eval_deepser.py"):
        write_bundle(RUNS, tmp_path / "b")
    made = json.loads((run / "posteriors/provenance.json").read_text())
    made["inputs"][-1]["sha256"] = sha256(run / "best/model.safetensors")
    edit(run / "posteriors/provenance.json", inputs=made["inputs"])
    posteriors = run / "posteriors/train.csv"
    posteriors.write_text(posteriors.read_text() + "\n")
    with pytest.raises(UserError, match=r"train\.csv: not the file that was written; run eval_deepser.py again"):
        write_bundle(RUNS, tmp_path / "b")
    note_outputs(posteriors.parent)
    with pytest.raises(UserError, match=r"fitted on other posteriors of member whisper .*; train it anew"):
        write_bundle(RUNS, tmp_path / "b")


def test_a_soup_cooked_again_after_its_results_is_refused(own: Path, tmp_path: Path) -> None:
    soup = RUNS / "ensembles/both/soup/model.safetensors"
    save_file({name: value * 2 for name, value in load_file(soup).items()}, soup)
    with pytest.raises(UserError, match=r"ensembles/both: its posteriors are not those of .*; run eval_metacls.py"):
        write_bundle(RUNS, tmp_path / "b")


def test_other_labels_are_refused(own: Path, tmp_path: Path) -> None:
    with Path("labels.csv").open("a") as file:
        file.write("more.wav,1,0,0,4,4,4,Angry,x,train\n")
    with pytest.raises(UserError, match=r"ensembles/both: trained with other labels than labels.csv"):
        write_bundle(RUNS, tmp_path / "b")


def test_from_another_folder_the_labels_are_missed(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"labels.csv: no such file; run this in the folder in which .* was trained"):
        write_bundle(own / "runs", tmp_path / "b")


def test_a_member_without_weights_is_refused(own: Path, tmp_path: Path) -> None:
    config = RUNS / "ensembles/both/config.yaml"
    config.write_text(config.read_text().replace("- whisper", "- given.csv"))
    with pytest.raises(UserError, match=r"given.csv: a member that is a file of posteriors has no weights"):
        write_bundle(RUNS, tmp_path / "b")


def test_an_unfinished_member_is_refused(own: Path, tmp_path: Path) -> None:
    edit(RUNS / "members/whisper/last/state.json", finished=False)
    with pytest.raises(UserError, match=r"members/whisper: not trained to its end"):
        write_bundle(RUNS, tmp_path / "b")


# --- where to ---


@pytest.fixture
def old(own: Path, tmp_path: Path) -> Iterator[Path]:
    """A bundle of `alone`, and a check that no half folder is left beside it."""
    out = tmp_path / "out" / "bundle"
    write_bundle(RUNS, out, "alone")
    yield out
    assert list(out.parent.iterdir()) == [out]


def test_a_bundle_is_replaced_and_equal_runs_give_equal_bundles(old: Path) -> None:
    write_bundle(RUNS, old, "both")
    first = tree(old)
    assert "members/speech-text/model.safetensors" in first
    write_bundle(RUNS, old, "both")
    assert tree(old) == first


def test_a_new_bundle_that_cannot_be_finished_leaves_the_old_one(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(old)

    def fail(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("medusa.app.bundle.model_card", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bundle(RUNS, old, "both")
    assert tree(old) == before


def test_a_folder_with_something_else_in_it_is_left_alone(old: Path) -> None:
    (old / "notes.txt").write_text("mine")
    before = tree(old)
    with pytest.raises(UserError, match=r"holds notes.txt, which is not of the bundle there"):
        write_bundle(RUNS, old, "both")
    assert tree(old) == before


@pytest.mark.parametrize("text", ['{"files": 3}', '{"files": [[]]}', "{}"])
def test_a_damaged_bundle_with_something_else_in_it_is_left_alone(own: Path, tmp_path: Path, text: str) -> None:
    write_text(tmp_path / "b/bundle.json", text)
    write_text(tmp_path / "b/notes.txt", "mine")
    with pytest.raises(UserError, match=r"holds notes.txt, which is not of the bundle there"):
        write_bundle(RUNS, tmp_path / "b")


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("runs", "holds something that is not a bundle"),
        ("labels.csv", "a file"),
        ("labels.csv/b", "not a folder"),
        (".", "the current folder"),
    ],
)
def test_folders_that_must_stay_are_refused(own: Path, out: str, told: str) -> None:
    before = tree(own)
    with pytest.raises(UserError, match=told):
        write_bundle(RUNS, Path(out))
    assert tree(own) == before


def test_inside_runs_there_is_room(own: Path) -> None:
    write_bundle(RUNS, RUNS / "bundle", "alone")
    assert read_description(RUNS / "bundle").name == "alone"
    write_bundle(RUNS, RUNS / "bundle", "alone")


@pytest.mark.parametrize(
    "claim", [{}, {"labels_sha256": "0"}, {"labels_sha256": "0", "posteriors_sha256": ["whisper"]}]
)
def test_an_ensemble_that_does_not_say_what_it_was_fitted_on_is_refused(
    own: Path, tmp_path: Path, claim: dict[str, Any]
) -> None:
    (RUNS / "ensembles/both/identity.json").write_text(json.dumps(claim))
    with pytest.raises(UserError, match=r"both/identity\.json: .*_sha256.* expected .*; delete .* and train again"):
        write_bundle(RUNS, tmp_path / "b")
