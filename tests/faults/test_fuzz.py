"""Whatever stands in a file, only errors meant for the user come out: `make faults` tries 200,000 files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medusa.config.load import KINDS, dump_config, load_config
from medusa.config.schema import DeepSERConfig
from medusa.corpora import crema_d, msp_podcast, table
from medusa.corpora.labels import read_labels, write_labels
from medusa.corpora.msp_layout import EMOTIONS
from medusa.corpora.transcripts import read_transcripts
from medusa.ensemble.posteriors import read_posteriors
from medusa.errors import UserError
from medusa.features.store import FeatureStore
from tests.faults import json_targets
from tests.faults.workspace import ROOT

CASES = int(os.environ.get("MEDUSA_FUZZ_CASES", "600"))
"""Over all targets together."""

SAMPLES = ROOT / "samples"
ATTRIBUTES = ("EmoAct", "EmoVal", "EmoDom")
SHARES = {"test": 0.3}
"""Few, so that a handful of speakers can be split."""


def head(path: Path, lines: int = 12) -> bytes:
    return b"".join(path.read_bytes().splitlines(keepends=True)[:lines])


VOTES = b"""\
"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote","meanEmoResp","meanAngerResp"
"100001",0,0,0,1,10,0,"1001_IEO_NEU_XX",11,0.9,"N",71.7,-1
"100002",4,0,0,0,4,2,"1001_IEO_HAP_LO",10,0.4,"A:N",71.7,-1
"100003",0,0,1,0,0,3,"1002_IEO_SAD_HI",4,0.75,"S",71.7,-1
"100004",1,2,3,4,0,0,"1040_ITH_SAD_XX",10,0.4,"H",71.7,-1
"""
NASTY = [
    b"", b",", b'"', b"\n", b"\r", b";", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xc3", b"nan", b"inf", b"-1",
    b"1e999", b"9" * 400, b"0.5", b"-0", b"NA", b"X", b"O", b"..", b"/", b"../../a", b"=1+1", b"<script>", b"FileName",
    b"train", b"Angry", b"Other", b"{", b"}", b"[",
    b"]", b": ", b"- ", b"&a", b"*a", b"!!python/object/apply:os.getpid []", b"~",
    b"null", b"true", b"1_0", b"0x1", "\u2028".encode(), "é".encode(), "\U0001f600".encode(), b"a" * 5000, b"A:", b"; ",
]  # fmt: skip


@st.composite
def mutants(draw: st.DrawFn, bases: list[bytes]) -> bytes:
    """A good file with a few stretches replaced, cut out or doubled; now and then any bytes at all."""
    data = draw(st.sampled_from(bases))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 1, 2, 5, 40])))
        middle = draw(st.sampled_from(NASTY) | st.binary(max_size=4) | st.just(data[start:end] * 2))
        data = data[:start] + middle + data[end:]
    return data


def write_and(read: Callable[[Path], object], name: str) -> Callable[[Path, bytes], object]:
    """Read a folder in which the file `name` has the given bytes."""

    def run(folder: Path, data: bytes) -> object:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return read(folder / name)

    return run


def labels_round_trip(path: Path) -> None:
    """What is read can be written, and reads back the same."""
    labels = read_labels(path)
    write_labels(path, labels)
    assert read_labels(path).table.equals(labels.table)


def msp_release(changed: str) -> Callable[[Path, bytes], object]:
    """A release of twelve recordings of which one file is changed."""
    files = {
        "Labels/labels_consensus.csv": SAMPLES / "annotators/Labels/labels_consensus.csv",
        "Labels/labels_detailed.csv": SAMPLES / "annotators/Labels/labels_detailed.csv",
        "Partitions.txt": SAMPLES / "annotators/Partitions.txt",
        "Speaker_ids.txt": SAMPLES / "annotators/Speaker_ids.txt",
    }

    def run(folder: Path, data: bytes) -> object:
        for name, source in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data if name == changed else head(source, 60))
        return msp_podcast.prepare(folder, folder / "labels.csv", SHARES, 1, by="utterance")

    return run


def every_kind(folder: Path, data: bytes) -> None:
    """As a file of one of the kinds, as an overlay, and its beginning as a `key=value` word."""
    file, dumped = folder / "c.yaml", folder / "dumped.yaml"
    file.write_bytes(data)
    kind = list(KINDS.values())[zlib.crc32(data) % len(KINDS)]
    config = load_config(kind, [file], [])
    dumped.write_text(dump_config(config), encoding="utf-8")
    assert load_config(kind, [dumped]) == config
    with contextlib.suppress(UserError):
        load_config(kind, [file, file], [data.decode("utf-8", "replace")[:200].replace("\n", "")])


def prepare_csv(path: Path) -> object:
    return table.prepare(path, path.parent / "audio", path.parent / "labels.csv", SHARES, 1)


def prepare_crema(path: Path) -> object:
    return crema_d.prepare(path, path.parent / "AudioWAV", path.parent / "labels.csv", SHARES, 1)


def posteriors(path: Path) -> object:
    return read_posteriors(path, EMOTIONS, ATTRIBUTES)


def store(path: Path) -> None:
    manifest = json.loads((SAMPLES / "features/text/manifest.json").read_text()) | {"shards": 1}
    (path.parent / "manifest.json").write_text(json.dumps(manifest))
    opened = FeatureStore(path.parent)
    for utterance in opened.ids:
        opened.read(utterance)


LABELS = [head(SAMPLES / "labels.csv"), b"FileName,Happy,Sad\na.wav,0.5,0.5\nb/c.wav,1,0\n"]
COUNTS = b"FileName,A,B\na,3,1\nb,2,2\n"
TABLES = [
    *LABELS,
    b"FileName,EmoClass,SpkrID\na.wav,Happy,1\nb.wav,Sad,2\nc.wav,X,3\n",
    b"FileName,A,B\na,3,1\nb,2,2\n",
]
CONFIGS = [
    (ROOT / "configs" / f"{name}.yaml").read_bytes()
    for name in ("deepser", "metacls", "as_released", "features/wavlm-large", "pipelines/demo", "features/whisper-asr")
]
SHARD = (SAMPLES / "features/text/shard-00000.safetensors").read_bytes()
TARGETS: dict[str, tuple[Callable[[Path, bytes], object], list[bytes]]] = {
    "labels": (write_and(labels_round_trip, "labels.csv"), LABELS),
    "prepare csv": (write_and(prepare_csv, "table.csv"), TABLES),
    "prepare crema-d": (write_and(prepare_crema, "tabulatedVotes.csv"), [VOTES]),
    "msp consensus": (
        msp_release("Labels/labels_consensus.csv"), [head(SAMPLES / "annotators/Labels/labels_consensus.csv", 60)]),
    "msp details": (
        msp_release("Labels/labels_detailed.csv"),
        [head(SAMPLES / f"annotators/Labels/{name}.csv", 60) for name in ("labels_detailed", "labels_detailed_2.0")]),
    "msp partitions": (msp_release("Partitions.txt"), [head(SAMPLES / "annotators/Partitions.txt", 60)]),
    "msp speakers": (msp_release("Speaker_ids.txt"), [head(SAMPLES / "annotators/Speaker_ids.txt", 60)]),
    "posteriors": (
        write_and(posteriors, "p.csv"), [head(SAMPLES / f"posteriors/{name}.csv") for name in ("ours", "authors-1")]),
    "transcripts": (write_and(read_transcripts, "t.csv"), [b"FileName,Transcript\na.wav,hello\nb.wav,\"well, no\"\n"]),
    "shard": (write_and(store, "shard-00000.safetensors"), [SHARD]),
    "configs": (every_kind, CONFIGS),
}  # fmt: skip

WEIGHTS = {"labels": 20, "transcripts": 12, "posteriors": 12, "configs": 30, "shard": 8, "prepare csv": 5}
"""How often each is tried; the others, which read several files a time, once."""
JSON_WEIGHT = 8
"""Files that a run, a store or transcripts keep, each read by everything that reads it."""
TOTAL = sum(WEIGHTS.get(target, 1) for target in TARGETS) + JSON_WEIGHT


@pytest.mark.parametrize("target", TARGETS)
def test_only_user_errors_come_out(target: str, tmp_path: Path) -> None:
    read, bases = TARGETS[target]
    for base in bases:  # the good files are good; of configs every file is one of one kind
        if target != "configs":
            read(tmp_path, base)
    tried, refused = attempts(mutants(bases), WEIGHTS.get(target, 1), [partial(read, tmp_path)])
    print(f"{target}: {tried:,} files, {refused:,} refused")


@pytest.fixture(scope="module")
def ran(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder in which everything has run."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("ran") / "a copy"))
    with contextlib.chdir(folder):
        json_targets.prepare()
    return folder


def test_whoever_reads_json_of_another_shape_says_so(ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ran)
    targets = json_targets.targets()
    for file, readers in targets.items():
        base = file.read_bytes()
        for read in readers:
            read()
        on_file = [partial(after_writing, file, read) for read in readers]
        shapes = json_targets.changed(base, lines=file.suffix == ".jsonl")
        tried, refused = attempts(
            st.one_of(shapes, shapes, shapes, mutants([base])), JSON_WEIGHT / len(targets), on_file
        )
        file.write_bytes(base)
        print(f"{file}: {tried:,} files, {refused:,} refused")


def after_writing(file: Path, read: Callable[[], object], data: bytes) -> None:
    file.write_bytes(data)
    read()


def attempts(
    data: st.SearchStrategy[bytes], weight: float, readers: Sequence[Callable[[bytes], object]]
) -> tuple[int, int]:
    """Give each file to its readers, who may raise nothing but errors for the user; how many were tried, and refused.

    Hypothesis may try fewer than it is asked to, where it has seen all there are.
    """
    tried: list[int] = []

    @settings(
        max_examples=max(20, int(CASES * weight / TOTAL)),
        deadline=None, database=None, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=data)
    def attempt(data: bytes) -> None:
        length = 0
        for read in readers:
            try:
                read(data)
            except UserError as error:
                length = max(length, len(str(error)))
        tried.append(length)
        assert length < 3000  # one line that can be read

    attempt()
    assert any(tried)
    return len(tried), sum(length > 0 for length in tried)


def test_the_configs_that_are_changed_are_configs() -> None:
    assert load_config(DeepSERConfig, [ROOT / "configs" / "deepser.yaml"]).name == "deepser"
