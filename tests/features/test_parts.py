"""`shard=i/n`: several workers on one store, side by side, write what one would; and who refuses whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
import yaml

from medusa import files
from medusa.config.schema import ExtractConfig, TranscribeConfig
from medusa.errors import PartlyDone, UserError
from medusa.features.asr import transcribe
from medusa.features.backbones import FeatureBackbone
from medusa.features.extract import extract
from medusa.features.parts import WHOLE, Part, hold, split_words
from medusa.features.sources import Clip
from medusa.features.store import FeatureStore
from tests.features.tiny_whisper import write_whisper

ROOT = Path(__file__).resolve().parents[2]
NAMES = [f"{name}.wav" for name in ("b/2", "a/1", "c", "d", "e", "f", "g")]  # 4 shards of 2

Checkpoint = Callable[[str], Path]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Seven recordings of noise and their labels."""
    for number, name in enumerate(NAMES):
        path = tmp_path / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).normal(0, 0.1, 1_000 + 700 * number)
        scipy.io.wavfile.write(path, 16_000, noise.astype(np.float32))
    rows = ["FileName,Happy,Sad,Partition", *[f"{name},1,0,train" for name in NAMES]]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def config(corpus: Path, model: Path, **changes: Any) -> ExtractConfig:
    paths = {"labels": corpus / "labels.csv", "audio": corpus / "audio", "features": corpus / "features"}
    values = {"name": "tiny", "backbone": {"kind": "speech", "model": str(model)}, "layers": {"take": [-1]}}
    sizes = {"shard_size": 2, "batch_size": 2, "compute": {"device": "cpu", "threads": 1}}
    return ExtractConfig.model_validate(values | sizes | {"paths": paths} | changes)


def everything(folder: Path) -> dict[str, bytes]:
    """All files; of locks only the one that every store keeps."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def elsewhere(made: ExtractConfig) -> ExtractConfig:
    return made.model_copy(update={"paths": made.paths.model_copy(update={"features": made.paths.features / "parts"})})


def without_provenance(found: dict[str, bytes]) -> dict[str, bytes]:
    """It holds the config, hence the folder."""
    return {name: content for name, content in found.items() if name != "provenance.json"}


# --- side by side -----------------------------------------------------------------------------------


def script(corpus: Path, made: ExtractConfig, *words: str) -> subprocess.Popen[str]:
    file = corpus / "tiny.yaml"
    file.write_text(yaml.safe_dump(made.model_dump(mode="json")), encoding="utf-8")
    command = [sys.executable, str(ROOT / "extract_features.py"), str(file), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_workers_side_by_side_write_what_one_writes(corpus: Path, checkpoint: Checkpoint) -> None:
    made = config(corpus, checkpoint("wavlm"))
    (corpus / "audio/d.wav").write_bytes(b"no recording")
    (corpus / "audio/a/1.wav").unlink()
    with pytest.raises(PartlyDone, match="2 of 7"):
        extract(made)
    path = corpus / "features/tiny"
    whole = everything(path)
    for file in path.iterdir():
        file.unlink()
    workers = [script(corpus, made, f"shard={number}/3") for number in (1, 2, 3)]
    told = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [3, 3, 0], told  # shards 0 and 3, 1, 2
    assert everything(path) == whole  # failures.csv and provenance.json too, and no lock of a part is left
    assert FeatureStore(path).ids == ["b/2", "c", "e", "f", "g"]


def test_a_part_does_its_own_shards_only_and_the_store_is_incomplete_until_the_last(
    corpus: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    made = config(corpus, checkpoint("wavlm"))
    whole = without_provenance(everything(extract(made)))
    parts = elsewhere(made)
    path = extract(parts, Part(2, 3))
    assert [file.name for file in path.glob("shard-*")] == ["shard-00001.safetensors"]
    assert "part 2/3 is done; 3 of 4 shards are still to come" in capsys.readouterr().err
    with pytest.raises(UserError, match="incomplete, 1 of 4 shards"):
        FeatureStore(path)
    extract(parts, Part(1, 3))
    assert sorted(file.name for file in path.glob("shard-*")) == [f"shard-0000{n}.safetensors" for n in (0, 1, 3)]
    written = (path / "shard-00001.safetensors").stat().st_mtime_ns
    extract(parts, Part(5, 5))  # there is no fifth shard
    extract(parts)  # whoever comes last need not be a part
    assert without_provenance(everything(path)) == whole
    assert (path / "shard-00001.safetensors").stat().st_mtime_ns == written
    assert "still to come" not in capsys.readouterr().err.splitlines()[-1]


def test_a_mended_recording_leaves_the_list_of_its_own_part_only(corpus: Path, checkpoint: Checkpoint) -> None:
    made = config(corpus, checkpoint("wavlm"))
    good = (corpus / "audio/c.wav").read_bytes()  # c and d are shard 1, g shard 3
    for name in ("c.wav", "g.wav"):
        (corpus / "audio" / name).write_bytes(b"no recording")
    with pytest.raises(PartlyDone, match="1 of 3 clips"):
        extract(made, Part(1, 3))
    with pytest.raises(PartlyDone, match="1 of 2 clips"):
        extract(made, Part(2, 3))
    (corpus / "audio/c.wav").write_bytes(good)
    extract(made, Part(2, 3))
    rows = files.read_csv(corpus / "features/tiny/failures.csv")
    assert list(rows["FileName"]) == ["g.wav"]


def test_parts_of_another_config_are_refused(corpus: Path, checkpoint: Checkpoint) -> None:
    extract(config(corpus, checkpoint("wavlm")), Part(1, 2))
    with pytest.raises(UserError, match="holds another store: time_stride is 1 there and 2 now"):
        extract(config(corpus, checkpoint("wavlm"), time_stride=2), Part(2, 2))


def test_transcripts_are_written_by_the_part_that_ends_last(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_whisper(corpus / "model")
    paths = {"labels": corpus / "labels.csv", "audio": corpus / "audio", "transcripts": corpus / "transcripts.csv"}
    values = {"name": "asr", "asr": {"model": str(corpus / "model"), "max_new_tokens": 12}, "shard_size": 2}
    made = TranscribeConfig.model_validate(values | {"paths": paths})
    other = made.model_copy(update={"paths": made.paths.model_copy(update={"transcripts": corpus / "other.csv"})})
    whole = transcribe(made)
    assert transcribe(other, Part(2, 2)) == corpus / "other.parts"
    assert "part 2/2 is done; 2 of 4 shards are still to come" in capsys.readouterr().err
    assert not (corpus / "other.csv").exists()
    assert transcribe(other, Part(1, 2)) == corpus / "other.csv"
    assert (corpus / "other.csv").read_bytes() == whole.read_bytes()
    assert (corpus / "other.json").read_bytes() == (corpus / "transcripts.json").read_bytes()
    for folder in ("other.parts", "transcripts.parts"):
        (corpus / folder / "provenance.json").unlink()  # it names the config, which names another file
    assert everything(corpus / "other.parts") == everything(corpus / "transcripts.parts")


# --- who refuses whom -------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("holds", "asks", "refused"),
    [
        (Part(1, 2), Part(2, 2), None),
        (Part(1, 2), Part(1, 2), "another process is working here (part 1-of-2); wait for it or stop it first"),
        (Part(1, 2), Part(1, 3), None),  # the same bytes twice, no harm
        (Part(1, 2), WHOLE, "another process is working here (part 1-of-2); wait"),
        (WHOLE, Part(1, 2), "another process is working here; wait"),
        (WHOLE, WHOLE, "another process is working here; wait"),
    ],
)
def test_parts_stand_beside_each_other_and_nothing_beside_the_whole(
    tmp_path: Path, holds: Part, asks: Part, refused: str | None
) -> None:
    with hold(tmp_path, holds, "working"):
        for _ in range(2):
            if refused is None:
                with hold(tmp_path, asks, "working") as alone, alone():
                    pass
            else:
                with pytest.raises(UserError) as error, hold(tmp_path, asks, "working"):
                    pass
                assert f"{tmp_path}: {refused}" in str(error.value)
    with hold(tmp_path, asks, "working"):
        pass
    assert [file.name for file in tmp_path.glob(".lock-*")] == []


@pytest.mark.usefixtures("impatient")
def test_the_lock_of_a_part_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from medusa.features.parts import Part, hold\n"
        "with hold(Path(sys.argv[1]), Part(1, 2), 'working'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", code, tmp_path], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [file.name for file in tmp_path.glob(".lock-*")] == [".lock-1-of-2"]
    for part in (WHOLE, Part(1, 2)):
        with hold(tmp_path, part, "working"):
            pass
    assert [file.name for file in tmp_path.glob(".lock-*")] == []


def test_a_part_that_was_stopped_goes_on(corpus: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(corpus, checkpoint("wavlm"))
    whole = without_provenance(everything(extract(made)))
    compute, calls = FeatureBackbone.features, iter(range(100))

    def stop_at_the_second(self: FeatureBackbone, batch: Sequence[Clip]) -> list[np.ndarray]:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return compute(self, batch)

    monkeypatch.setattr(FeatureBackbone, "features", stop_at_the_second)
    parts = elsewhere(made)
    with pytest.raises(KeyboardInterrupt):
        extract(parts, Part(1, 2))
    monkeypatch.undo()
    for number in (2, 1):
        extract(parts, Part(number, 2))
    assert without_provenance(everything(parts.paths.features / "tiny")) == whole


# --- the word ---------------------------------------------------------------------------------------


def test_the_word_is_taken_out_of_the_others() -> None:
    assert split_words(["a=1", "shard_size=3"]) == (WHOLE, ["a=1", "shard_size=3"])
    assert split_words(["a=1", "shard=2/4", "b=2"]) == (Part(2, 4), ["a=1", "b=2"])
    assert split_words(["shard=2/4", "shard=1/1"]) == (WHOLE, [])


@pytest.mark.parametrize(
    "word", ["shard=", "shard=1", "shard=0/4", "shard=5/4", "shard=-1/4", "shard=1/0", "shard=a/b"]
)
def test_another_form_is_refused(word: str) -> None:
    with pytest.raises(UserError, match=f"^'{word}': expected shard=i/n, i from 1 to n"):
        split_words([word])


@pytest.mark.parametrize("count", range(1, 9))
def test_every_shard_belongs_to_one_part(count: int) -> None:
    indices = [index for number in range(1, count + 1) for index in Part(number, count).indices(6)]
    assert sorted(indices) == [0, 1, 2, 3, 4, 5]
