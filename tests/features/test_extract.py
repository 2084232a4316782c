"""Extraction on a few seconds of noise and a tiny WavLM: resuming, failures, refusals, and the script itself."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
import torch
import yaml

from medusa.config.schema import ExtractConfig
from medusa.errors import PartlyDone, UserError
from medusa.features.backbones import FeatureBackbone, load_backbone
from medusa.features.extract import extract
from medusa.features.sources import Clip
from medusa.features.store import FeatureStore
from medusa.files import lock, read_csv

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["b/two.wav", "a/one.wav", "c.wav", "d.wav", "e.wav"]

Checkpoint = Callable[[str], Path]


def noise(name: str) -> np.ndarray:
    number = NAMES.index(name)
    return np.random.default_rng(number).normal(0, 0.1, 1_000 + 1_500 * number).astype(np.float32)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with labels.csv, transcripts.csv and five recordings, two in sub-folders."""
    for name in NAMES:
        path = tmp_path / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.wavfile.write(path, 16_000, noise(name))
    write_labels(tmp_path / "labels.csv", NAMES)
    rows = [
        "FileName,Transcript",
        "c.wav,the door",
        "d.wav,",
        "a/one.wav,kids are talking",
        "b/two.wav,dogs",
        "e.wav,by",
    ]
    (tmp_path / "transcripts.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def write_labels(path: Path, names: Sequence[str]) -> None:
    rows = ["FileName,Happy,Sad,Partition", *[f"{name},1,0,train" for name in names]]
    path.write_text("\n".join(rows) + "\n")


def config(corpus: Path, model: Path, kind: str = "speech", **changes: Any) -> ExtractConfig:
    values = {
        "name": "tiny",
        "backbone": {"kind": kind, "model": str(model)},
        "layers": {"take": [-1]},
        "shard_size": 2,
        "batch_size": 2,
        "paths": {
            "labels": corpus / "labels.csv",
            "audio": corpus / "audio",
            "transcripts": corpus / "transcripts.csv",
            "features": corpus / "features",
        },
    }
    return ExtractConfig.model_validate(values | changes)


def contents(store: Path) -> dict[str, bytes]:
    # provenance.json names the labels file, which the tests move about
    kept = [file for file in store.iterdir() if file.suffix == ".safetensors" or file.name == "manifest.json"]
    return {file.name: file.read_bytes() for file in kept}


def test_the_store_holds_every_clips_own_features(corpus: Path, checkpoint: Checkpoint) -> None:
    made = config(corpus, checkpoint("wavlm"), time_stride=2)
    path = extract(made)
    assert path == corpus / "features" / "tiny"
    store = FeatureStore(path)
    assert store.ids == ["a/one", "b/two", "c", "d", "e"]
    backbone = load_backbone(made, torch.device("cpu"))
    for name in NAMES:
        values = store.read(name.removesuffix(".wav"))
        np.testing.assert_allclose(values, backbone.features([noise(name)])[0], atol=2e-3)
    assert store.dim == backbone.dim == 16
    assert store.manifest["frame_rate"] == 25
    assert store.manifest["layers"] == [-1]
    assert store.manifest["shards"] == 3
    assert not (path / "failures.csv").exists()


def test_the_order_of_labels_changes_nothing(corpus: Path, checkpoint: Checkpoint) -> None:
    one = extract(config(corpus, checkpoint("wavlm")))
    write_labels(corpus / "labels.csv", NAMES[::-1])
    before = contents(one)
    assert extract(config(corpus, checkpoint("wavlm"))) == one
    again = config(corpus, checkpoint("wavlm"))
    paths = again.paths.model_copy(update={"features": corpus / "other"})
    assert contents(extract(again.model_copy(update={"paths": paths}))) == before


def test_a_finished_store_is_left_alone_and_a_lost_shard_comes_back(corpus: Path, checkpoint: Checkpoint) -> None:
    made = config(corpus, checkpoint("wavlm"))
    path = extract(made)
    before = contents(path)
    written = {file.name: file.stat().st_mtime_ns for file in path.glob("shard*")}
    (path / "shard-00001.safetensors").unlink()
    extract(made)
    assert contents(path) == before
    for name in ("shard-00000.safetensors", "shard-00002.safetensors"):
        assert (path / name).stat().st_mtime_ns == written[name]


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_stopped_run_continues_to_the_same_bytes(
    corpus: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    made = config(corpus, checkpoint("wavlm"))
    whole = contents(extract(made.model_copy(update={"paths": elsewhere(made, corpus / "whole")})))
    compute = FeatureBackbone.features
    calls = iter(range(100))

    def stop_after(self: FeatureBackbone, batch: Sequence[Clip]) -> list[np.ndarray]:
        if next(calls) == batches:
            raise KeyboardInterrupt
        return compute(self, batch)

    monkeypatch.setattr(FeatureBackbone, "features", stop_after)
    with pytest.raises(KeyboardInterrupt):
        extract(made)
    path = corpus / "features" / "tiny"
    assert len(list(path.glob("shard*"))) == batches
    with pytest.raises(UserError, match=f"{batches} of 3 shards"):
        FeatureStore(path)
    monkeypatch.undo()
    assert contents(extract(made)) == whole


def elsewhere(made: ExtractConfig, features: Path) -> Any:
    return made.paths.model_copy(update={"features": features})


def test_bad_recordings_are_listed_the_rest_is_done_and_mended_ones_are_added(
    corpus: Path, checkpoint: Checkpoint
) -> None:
    made = config(corpus, checkpoint("wavlm"))
    whole = contents(extract(made.model_copy(update={"paths": elsewhere(made, corpus / "whole")})))
    good = (corpus / "audio" / "c.wav").read_bytes()
    (corpus / "audio" / "c.wav").write_text("no recording")
    (corpus / "audio" / "e.wav").unlink()  # alone in its shard
    path = corpus / "features" / "tiny"
    for _ in range(2):
        with pytest.raises(PartlyDone, match=r"2 of 5 clips failed.*failures\.csv"):
            extract(made)
        failures = read_csv(path / "failures.csv")
        assert list(failures["FileName"]) == ["c.wav", "e.wav"]
        assert "cannot be decoded" in failures["reason"][0]
        assert "no such recording" in failures["reason"][1]
        assert FeatureStore(path).ids == ["a/one", "b/two", "d"]
    with pytest.raises(UserError, match=r"failures\.csv"):
        FeatureStore(path).read("c")
    (corpus / "audio" / "c.wav").write_bytes(good)
    scipy.io.wavfile.write(corpus / "audio" / "e.wav", 16_000, noise("e.wav"))
    extract(made)
    assert not (path / "failures.csv").exists()
    assert contents(path) == whole


def test_features_stay_though_their_recording_is_gone_when_a_neighbour_is_mended(
    corpus: Path, checkpoint: Checkpoint
) -> None:
    made = config(corpus, checkpoint("wavlm"))
    good = (corpus / "audio" / "c.wav").read_bytes()
    (corpus / "audio" / "c.wav").write_text("no recording")
    path = corpus / "features" / "tiny"
    with pytest.raises(PartlyDone, match="1 of 5"):
        extract(made)
    kept = FeatureStore(path).read("d")
    (corpus / "audio" / "c.wav").write_bytes(good)
    (corpus / "audio" / "d.wav").rename(corpus / "d.wav")  # of the same shard
    with pytest.raises(PartlyDone, match="1 of 5"):
        extract(made)
    (reason,) = read_csv(path / "failures.csv")["reason"]
    assert "its shard holds d, which cannot be read again" in reason
    np.testing.assert_array_equal(FeatureStore(path).read("d"), kept)
    (corpus / "d.wav").rename(corpus / "audio" / "d.wav")
    extract(made)
    assert FeatureStore(path).ids == ["a/one", "b/two", "c", "d", "e"]


def test_a_recording_outside_the_folder_is_not_read(corpus: Path, checkpoint: Checkpoint) -> None:
    outside = corpus / "secret.wav"
    scipy.io.wavfile.write(outside, 16_000, noise("d.wav"))
    (corpus / "audio" / "d.wav").unlink()
    (corpus / "audio" / "d.wav").symlink_to(outside)
    with pytest.raises(PartlyDone, match="1 of 5"):
        extract(config(corpus, checkpoint("wavlm")))
    assert "leads outside" in read_csv(corpus / "features" / "tiny" / "failures.csv")["reason"][0]


def test_features_that_do_not_fit_are_a_failure_of_their_clip(
    corpus: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = FeatureBackbone.features

    def overflow(self: FeatureBackbone, batch: Sequence[Clip]) -> list[np.ndarray]:
        values = compute(self, batch)
        return [
            value * 1e6 if np.array_equal(clip, noise("d.wav")) else value
            for clip, value in zip(batch, values, strict=True)
        ]

    monkeypatch.setattr(FeatureBackbone, "features", overflow)
    with pytest.raises(PartlyDone, match="1 of 5"):
        extract(config(corpus, checkpoint("wavlm")))
    path = corpus / "features" / "tiny"
    assert read_csv(path / "failures.csv").values.tolist()[0][0] == "d.wav"
    assert "float16" in read_csv(path / "failures.csv")["reason"][0]
    assert FeatureStore(path).ids == ["a/one", "b/two", "c", "e"]


def test_out_of_memory_names_the_key_to_lower(
    corpus: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*arguments: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("medusa.features.backbones.FeatureBackbone.features", exhausted)
    with pytest.raises(UserError, match=r"lower batch_size \(now 2\)"):
        extract(config(corpus, checkpoint("wavlm")))


def test_when_no_clip_can_be_read_the_first_reason_is_told(corpus: Path, checkpoint: Checkpoint) -> None:
    write_labels(corpus / "labels.csv", ["x.wav", "y.wav"])
    with pytest.raises(UserError, match=r"none of 2 clips.*x\.wav: no such recording"):
        extract(config(corpus, checkpoint("wavlm")))


def test_text_comes_from_the_transcripts(corpus: Path, checkpoint: Checkpoint) -> None:
    store = FeatureStore(extract(config(corpus, checkpoint("roberta"), "text")))
    assert {utterance: store.frames(utterance) for utterance in store.ids} == {
        "a/one": 3, "b/two": 1, "c": 2, "d": 1, "e": 1
    }  # fmt: skip
    assert not store.read("d").any()
    assert store.manifest["frame_rate"] is None


def test_a_missing_transcript_is_a_failure_of_its_clip(corpus: Path, checkpoint: Checkpoint) -> None:
    (corpus / "transcripts.csv").write_text("FileName,Transcript\nc.wav,the door\n")
    with pytest.raises(PartlyDone, match="4 of 5"):
        extract(config(corpus, checkpoint("roberta"), "text"))
    assert FeatureStore(corpus / "features" / "tiny").ids == ["c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "transcribe"),
        ("FileName,Text\nc.wav,a\n", "no column Transcript"),
        ("FileName,Transcript\nc.wav,a\nc.flac,b\n", "c stands twice"),
    ],
)
def test_unusable_transcripts_are_refused(
    corpus: Path, checkpoint: Checkpoint, content: str | None, message: str
) -> None:
    (corpus / "transcripts.csv").unlink()
    if content:
        (corpus / "transcripts.csv").write_text(content)
    with pytest.raises(UserError, match=rf"transcripts\.csv.*{message}"):
        extract(config(corpus, checkpoint("roberta"), "text"))


def test_long_texts_are_warned_about(corpus: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    (corpus / "transcripts.csv").write_text(
        "FileName,Transcript\n" + "".join(f"{name},{'a ' * 40}\n" for name in NAMES)
    )
    extract(config(corpus, checkpoint("bert"), "text"))
    assert "warning: 5 texts were longer" in capsys.readouterr().err


def test_another_config_under_the_same_name_is_refused(corpus: Path, checkpoint: Checkpoint) -> None:
    extract(config(corpus, checkpoint("wavlm")))
    for changes, key in (({"layers": {"take": [1]}}, "layers"), ({"time_stride": 2}, "time_stride")):
        with pytest.raises(UserError, match=f"holds another store: {key} is"):
            extract(config(corpus, checkpoint("wavlm"), **changes))
    with pytest.raises(UserError, match="holds another store: backbone is"):
        extract(config(corpus, checkpoint("hubert")))


def test_a_store_being_written_is_refused(corpus: Path, checkpoint: Checkpoint) -> None:
    with (
        lock(corpus / "features" / "tiny", "extracting features"),
        pytest.raises(UserError, match="another process is extracting"),
    ):
        extract(config(corpus, checkpoint("wavlm")))


def test_the_script_names_bad_recordings_does_the_rest_and_ends_with_code_3(
    corpus: Path, checkpoint: Checkpoint
) -> None:
    made = config(corpus, checkpoint("wavlm")).model_dump(mode="json")
    (corpus / "tiny.yaml").write_text(yaml.safe_dump(made))
    bad = {"a/one.wav": "no samples", "d.wav": "an empty file", "e.wav": "cannot be decoded"}
    scipy.io.wavfile.write(corpus / "audio" / "a/one.wav", 16_000, np.zeros(0, np.int16))
    (corpus / "audio" / "d.wav").write_bytes(b"")
    (corpus / "audio" / "e.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    scipy.io.wavfile.write(corpus / "audio" / "c.wav", 16_000, np.zeros(16_000, np.int16))  # silence is no fault
    command = [sys.executable, str(ROOT / "extract_features.py"), str(corpus / "tiny.yaml"), "--device=cpu"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 3, run.stderr
    assert "3 of 5 clips failed" in run.stderr.splitlines()[-1]
    assert "clips/s" in run.stderr
    assert "× real time" in run.stderr
    failures = read_csv(corpus / "features/tiny/failures.csv")
    assert list(failures["FileName"]) == list(bad)
    assert all(reason in told for reason, told in zip(bad.values(), failures["reason"], strict=True))
    store = FeatureStore(corpus / "features/tiny")
    assert store.ids == ["b/two", "c"]
    assert np.isfinite(store.read("c")).all()
