"""No space, no permission, no memory: one line names the path and what to do, and nothing that was complete is hurt.

A limit on the size of files makes writes fail in the middle wherever the tests run; `make faults` fills a disk as well.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import Tensor

from medusa.ensemble import together
from medusa.errors import STORAGE_REMEDIES, command
from medusa.features.backbones import FeatureBackbone
from medusa.features.sources import Clip
from medusa.features.store import FeatureStore
from medusa.files import read_csv
from medusa.models.deepser import DeepSER
from tests.faults.children import Child, Limits
from tests.faults.workspace import add_recogniser, call, contents
from tests.processes import Done

EXTRACT = ("extract_features.py", "extract.yaml", "paths.features=out")
PREPARE = ("medusa", "prepare", "csv", "--table", "corpus/labels.csv", "--audio", "corpus/audio", "--out", "out")
TRAIN, TRAIN_META = ("train_deepser.py", "member.yaml", "paths.runs=out"), ("train_metacls.py", "ensemble.yaml")
STAGES: dict[str, tuple[str, ...]] = {
    "prepare": PREPARE,
    "extraction": EXTRACT,
    "transcription": ("extract_features.py", "asr.yaml"),
    "Stages 1, 2": TRAIN,
    "posteriors": ("eval_deepser.py", "member.yaml"),
    "Stages 3, 4": TRAIN_META,
    "scores": ("eval_metacls.py", "ensemble.yaml"),
    "report": ("medusa", "report", "--runs", "runs", "--ensembles", "ensemble.yaml", "--out", "out"),
}
MADE = {"posteriors": "runs/members/deepser/posteriors", "Stages 3, 4": "runs/ensembles/metacls",
        "scores": "runs/ensembles/metacls/posteriors"}  # fmt: skip
"""What a stage makes, if not `out`."""


def one_line(done: Done, *parts: str) -> None:
    assert done.code == 2, done
    lines = done.err.replace("\r", "\n").strip().splitlines()
    assert lines[-1].startswith("error: "), done.err
    assert sum("error: " in line for line in lines) == 1, done.err
    assert "Traceback" not in done.err
    for part in parts:
        assert part in lines[-1]


def kept(root: Path) -> dict[str, bytes]:
    """What equal commands have in common, and no temporary file."""
    varying = ("timings.jsonl", "events.", ".")
    found = contents(root)
    return {name: found[name] for name in found if not any(part.startswith(varying) for part in Path(name).parts)}


def sound_so_far(found: Mapping[str, bytes], whole: Mapping[str, bytes]) -> None:
    """Whatever a stage that failed has left is complete, and what the whole run writes at that point."""
    for name, data in found.items():
        folder, file = Path(name).parent, Path(name).name
        if file == "metrics.jsonl":
            assert whole[name].startswith(data), name
            assert data.endswith(b"\n"), name
        elif folder.name in ("best", "last"):  # of an earlier epoch, perhaps
            assert is_checkpoint(found, folder), name
        elif name == UNSEALED:  # the checksums of what follows are added in the end
            assert json.loads(whole[name]).items() >= json.loads(data).items(), name
        else:
            assert data == whole[name], name


UNSEALED = "provenance.json"


def is_checkpoint(found: Mapping[str, bytes], folder: Path) -> bool:
    """Whether the weights and the optimiser's state are those that the state says it was written with."""
    checksums = json.loads(found[str(folder / "state.json")])["crc32"]
    return len(checksums) == 2 and all(
        zlib.crc32(found[str(folder / name)]) == wanted and load(found[str(folder / name)])
        for name, wanted in checksums.items()
    )


@pytest.fixture
def whole(own: Path, stage: str) -> dict[str, bytes]:
    """What an untroubled run of the stage makes; it is gone again."""
    if stage == "transcription":
        add_recogniser(own)
    out = own / MADE.get(stage, "out")
    if stage in MADE:
        shutil.rmtree(out)
    assert call(own, *STAGES[stage]).code == 0
    made = kept(out)
    shutil.rmtree(out)
    return made


def starved(own: Path, stage: str, whole: Mapping[str, bytes], limits: Limits | None = None) -> bool:
    """Run a stage that may fail for want of space; whether it did.

    Then one line names a path below what it makes, what it made is sound, and all else is as it was.
    """
    out = own / MADE.get(stage, "out")
    before = others(own, out)
    done = Child(own, *STAGES[stage], limits=limits).done()
    if done.code == 0:
        return False
    one_line(done, str(out.relative_to(own)), "free" if "space" in done.err else "ulimit -f")
    sound_so_far(kept(out) if out.exists() else {}, whole)
    assert others(own, out) == before
    return True


def others(own: Path, out: Path) -> dict[str, bytes]:
    """What is not made by the stage."""
    return {name: data for name, data in contents(own).items() if not (own / name).is_relative_to(out)}


def ends_as_untroubled(own: Path, stage: str, whole: Mapping[str, bytes]) -> None:
    """The same command, with nothing in its way."""
    out = own / MADE.get(stage, "out")
    done = call(own, *STAGES[stage])
    assert done.code == 0, done
    assert kept(out) == whole
    if stage != "report":
        assert not list(out.rglob(".*.tmp"))


QUICK = [pytest.param(stage, marks=[pytest.mark.faults] if stage == "report" else []) for stage in STAGES]


@pytest.mark.parametrize("stage", QUICK)
def test_a_write_that_fails_in_the_middle_loses_nothing(own: Path, stage: str, whole: dict[str, bytes]) -> None:
    for size in (0, 300):
        assert starved(own, stage, whole, Limits(file_size=size))
    ends_as_untroubled(own, stage, whole)


@pytest.mark.faults
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_loses_nothing(own: Path, stage: str, whole: dict[str, bytes]) -> None:
    """A disk of 4 KiB that grows by half each time it is full: looked at while it is, then the same command again."""
    out, size, before = own / MADE.get(stage, "out"), 4096, dict[str, bytes]()
    out.mkdir(parents=True, exist_ok=True)
    with small_disk(out, size):
        while starved(own, stage, whole):
            found = kept(out)
            assert before.keys() <= found.keys()
            before = found
            size = size * 3 // 2 // 4096 * 4096 + 4096
            resize(out, size)
        assert size > 2 * 4096
        assert kept(out) == whole
        resize(out, 2 * size)  # what is there is written anew beside itself
        ends_as_untroubled(own, stage, whole)
    out.rmdir()


@contextlib.contextmanager
def small_disk(path: Path, size: int) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def resize(path: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(path)], check=True)


# --- not allowed ------------------------------------------------------------------------------------


@pytest.fixture
def modes(own: Path) -> Iterator[Path]:
    """The folder; modes are put back."""
    before = {path: path.stat().st_mode for path in [own, *own.rglob("*")]}
    yield own
    for path, mode in before.items():
        if path.exists():
            path.chmod(mode)


@pytest.mark.parametrize("stage", QUICK)
def test_a_folder_that_may_not_be_written_to_is_named(modes: Path, stage: str) -> None:
    if stage == "transcription":
        add_recogniser(modes)
    out = modes / MADE.get(stage, "out")
    out.mkdir(exist_ok=True)
    for folder in [out, *(path for path in out.rglob("*") if path.is_dir())]:
        folder.chmod(0o555)
    (modes / "runs/ensembles/metacls/.lock").unlink(missing_ok=True)
    before = contents(modes)
    done = Child(modes, *STAGES[stage], limits=Limits(modes=True)).done()
    one_line(done, str(out.relative_to(modes)), "Permission denied", "choose a path of your own")
    assert contents(modes) == before


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("samples/labels.csv", TRAIN),
        ("member.yaml", TRAIN),
        ("samples/features/speech/manifest.json", TRAIN),
        ("samples/features/speech/shard-00000.safetensors", TRAIN),
        ("runs/members/deepser/best/model.safetensors", ("eval_deepser.py", "member.yaml")),
        ("runs/members/deepser/identity.json", ("eval_deepser.py", "member.yaml")),
        ("samples/posteriors/ours.csv", (*TRAIN_META, "name=fresh")),
    ],
)
def test_a_file_that_may_not_be_read_is_named(modes: Path, file: str, words: tuple[str, ...]) -> None:
    (modes / file).chmod(0)
    one_line(Child(modes, *words, limits=Limits(modes=True)).done(), file, "let you read")


def test_a_recording_that_may_not_be_read_is_listed(modes: Path) -> None:
    (modes / "corpus/audio/b.wav").chmod(0)
    assert Child(modes, *EXTRACT, limits=Limits(modes=True)).done().code == 3
    failures = read_csv(modes / "out/logmel/failures.csv")
    assert failures["FileName"].tolist() == ["b.wav"]
    assert "b.wav: " in failures["reason"][0]


@pytest.mark.parametrize("number", STORAGE_REMEDIES)
def test_whatever_the_disk_says_is_one_line(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def fail() -> None:
        raise OSError(number, os.strerror(number), "a/file")

    with pytest.raises(SystemExit) as ended:
        fail()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: a/file: {os.strerror(number)}; {STORAGE_REMEDIES[number]}\n"


def test_what_is_no_matter_of_disks_keeps_its_traceback() -> None:
    @command
    def fail() -> None:
        raise OSError(errno.EBADF, "a mistake of ours")

    with pytest.raises(OSError, match="of ours"):
        fail()


# --- a store that is taken away ---------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deleted", "truncated"])
def test_a_store_that_is_lost_half_way_is_named_and_no_epoch_is_lost(own: Path, how: str) -> None:
    words = (*TRAIN, "training.max_epochs=14", "training.patience=14")
    shard, run = own / "samples/features/speech/shard-00000.safetensors", own / "out/members/deepser"
    whole = shard.read_bytes()
    child = Child(own, *words)
    child.wait_for((run / "last/state.json").exists)
    if how == "deleted":
        shard.unlink()
    else:
        os.truncate(shard, len(whole) // 2)
    one_line(child.done(), "samples/features/speech/shard-00000.safetensors", "run extract_features.py again")
    recorded, epoch = epochs(run / "metrics.jsonl"), json.loads((run / "last/state.json").read_text())["epoch"]
    assert recorded == epochs(run / "timings.jsonl") == list(range(epoch + 1))
    assert is_checkpoint(contents(run), Path("last"))
    shard.write_bytes(whole)
    done = call(own, *words)
    assert (done.code, done.err) == (0, "")
    assert epochs(run / "timings.jsonl") == list(range(14))  # none was trained twice
    assert call(own, *words[:2], "paths.runs=elsewhere", *words[3:]).code == 0
    assert kept_of(run) == kept_of(own / "elsewhere/members/deepser")


def epochs(file: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in file.read_text().splitlines()]


def kept_of(run: Path) -> dict[str, bytes]:
    return {name: data for name, data in kept(run).items() if name not in ("config.yaml", "provenance.json")}


# --- memory -----------------------------------------------------------------------------------------

GPU, CPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
)  # fmt: skip


@pytest.mark.parametrize("error", [GPU, CPU, MemoryError()], ids=["GPU", "CPU", "Python"])
class TestMemory:
    def test_extraction_names_the_batch(self, own: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        def exhausted(backbone: FeatureBackbone, batch: list[Clip]) -> list[np.ndarray]:
            raise error

        monkeypatch.setattr(FeatureBackbone, "features", exhausted)
        one_line(call(own, *EXTRACT), "out of memory at 2 clips, the longest", "lower batch_size (now 2)")

    def test_a_recording_too_long_by_itself_is_listed(
        self, own: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        compute = FeatureBackbone.features

        def exhausted(backbone: FeatureBackbone, batch: list[Clip]) -> list[np.ndarray]:
            if max(map(len, batch)) >= 5000:  # only f.wav is
                raise error
            return compute(backbone, batch)

        monkeypatch.setattr(FeatureBackbone, "features", exhausted)
        done = call(own, *EXTRACT, "batch_size=1")
        assert done.code == 3
        assert "f: does not fit into memory by itself; cut the recording into pieces" in done.err
        assert FeatureStore(own / "out/logmel").ids == ["a", "b", "e", "folder/c d"]

    def test_training_names_the_keys(self, own: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        def exhausted(*arguments: object) -> None:
            raise error

        monkeypatch.setattr(DeepSER, "encode", exhausted)
        one_line(call(own, *TRAIN), "raise training.accumulation_steps (now 1", "lower training.batch_size (now 16)")

    def test_prediction_names_what_to_do(self, own: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        def exhausted(*arguments: object) -> None:
            raise error

        monkeypatch.setattr(DeepSER, "encode", exhausted)
        one_line(call(own, "eval_deepser.py", "member.yaml"), "16 utterances at a time do not fit", "--device cpu")

    def test_stage_3_names_the_keys(self, own: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        """A step holds a batch of every seed; a prediction, every row of every seed, whatever the batch."""

        def exhausted(*arguments: object, dim: int = 0) -> None:
            raise error

        seeds = "name fewer seeds (now 2)"
        with monkeypatch.context() as patched:
            patched.setattr(together, "multitask_loss", exhausted)
            trained = call(own, *TRAIN_META, "name=fresh")
        one_line(trained, "out of memory: lower training.batch_size (now 16)", seeds, "--device cpu")
        monkeypatch.setattr(Tensor, "softmax", exhausted)
        predicted = call(own, *TRAIN_META, "name=fresh")
        one_line(predicted, "rows at once do not fit", seeds, "--device cpu")
        assert "batch_size" not in predicted.err
        evaluated = call(own, "eval_metacls.py", "ensemble.yaml")
        one_line(evaluated, "rows at once do not fit: use --device cpu")

    def test_anything_else_names_what_to_do(self, error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
        @command
        def fail() -> None:
            raise error

        with pytest.raises(SystemExit):
            fail()
        assert capsys.readouterr().err.startswith("error: out of memory: run it where more memory is free")


def test_a_network_that_does_not_fit_is_one_line(own: Path) -> None:
    """Memory is really short here: 300 MB for a layer of 4 GB."""
    words = (*TRAIN, "model.hidden_dim=32768")
    one_line(Child(own, *words, limits=Limits(memory=300_000_000)).done(), "out of memory")
