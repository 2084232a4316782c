"""As many utterances as MSP-Podcast has, through every stage: only labels and indices may grow with their number.

`make faults` runs MEDUSA_SOAK utterances (default 120,000) and an eighth of them; features are small, so that a stage
takes minutes, but not so small that keeping them in memory would go unseen. And one recording of two hours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.io.wavfile
import transformers

from benchmarks.backbones import WORDS, word_tokenizer
from benchmarks.msp_podcast import make_release
from medusa.corpora.labels import PARTITIONS, read_labels
from medusa.features.store import FeatureStore
from medusa.files import read_csv, write_csv
from tests.faults.workspace import ROOT
from tests.features.conftest import SPEECH
from tests.features.tiny_whisper import write_whisper

CLIPS = int(os.environ.get("MEDUSA_SOAK", "120000"))
ANNOTATIONS = 5.4
"""Of an utterance, as in MSP-Podcast."""
SPEECH_DIM, TEXT_DIM = 64, 64
FRAMES, TOKENS = 30, 16
"""On average."""

EXTRACT = """\
name: text
backbone: {kind: text, model: bert}
layers: {take: [-1]}
batch_size: 64
compute: {device: cpu, threads: 1}
paths: {labels: corpus/labels.csv, audio: none, transcripts: corpus/transcripts.csv, features: corpus/features}
"""
MEMBER = """\
name: soak
features: [speech, text]
model: {hidden_dim: 16, num_layers: 1, feedforward_dim: 16}
training: {batch_size: 64, learning_rate: 1e-3, stage2_learning_rate: 1e-3, max_epochs: 2, stage1_epochs: 1}
compute: {device: cpu, threads: 1}
paths: {labels: corpus/labels.csv, features: corpus/features, runs: runs}
"""
ENSEMBLE = """\
name: soak
members: [soak]
seeds: [1, 2, 3, 4, 5, 6]
training: {max_epochs: 2}
compute: {device: cpu, threads: 1}
paths: {labels: corpus/labels.csv, runs: runs}
"""
PREPARE = ("medusa", "prepare", "msp-podcast", "--root", "corpus", "--out", "corpus", "--dev", "0.05", "--no-durations")


class Step(NamedTuple):
    """A command and by how many megabytes its peak may grow with every 100,000 utterances.

    Labels and where each utterance's features lie take 160 to 230. The features themselves would take 205 more for text
    and 384 for speech: so the bounds fail where a stage that reads them keeps them.
    """

    words: tuple[str, ...]
    bound: float


STEPS = {
    "prepare": Step(PREPARE, 700),
    "text features": Step(("extract_features.py", "extract.yaml"), 150),
    "Stages 1, 2": Step(("train_deepser.py", "member.yaml"), 300),
    "posteriors": Step(("eval_deepser.py", "member.yaml"), 300),
    "Stages 3, 4": Step(("train_metacls.py", "ensemble.yaml"), 200),
    "scores": Step(("eval_metacls.py", "ensemble.yaml"), 350),
}

WATCHED = """\
import runpy, sys
_, report, *words = sys.argv
sys.argv = words
try:
    (runpy.run_module if words[0] == "medusa" else runpy.run_path)(words[0], run_name="__main__")
finally:
    with open("/proc/self/status") as status, open(report, "w") as file:
        file.write(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""
"""Runs a command and leaves the peak of its resident memory, in KiB; what wait4 says would count its parent's too."""


class Figures(NamedTuple):
    seconds: float
    megabytes: float
    err: str


def run(folder: Path, words: Sequence[str], code: int = 0) -> Figures:
    """Run a command in a process of its own, which must end with that exit code."""
    script = words if words[0] == "medusa" else (str(ROOT / words[0]), *words[1:])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, "peak", *script],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    assert done.returncode == code, done
    return Figures(seconds, int((folder / "peak").read_text()) * 1024 / 1e6, done.stderr)


def make_corpus(folder: Path, clips: int) -> None:
    """Annotations and transcripts in an MSP-Podcast release's files, speech features in the authors' layout."""
    make_release(folder / "corpus", clips, int(ANNOTATIONS * clips))
    names = read_csv(folder / "corpus/Labels/labels_consensus.csv")["FileName"].tolist()
    random = np.random.default_rng(0)
    tokens = random.integers(1, 2 * TOKENS, clips).tolist()
    drawn = random.integers(0, len(WORDS), 2 * TOKENS + clips).tolist()
    texts = [" ".join(WORDS[word] for word in drawn[row : row + count]) for row, count in enumerate(tokens)]
    write_csv(folder / "corpus/transcripts.csv", pd.DataFrame({"FileName": names, "Transcript": texts}))

    store = folder / "corpus/features/speech"
    store.mkdir(parents=True)
    values = random.normal(0, 1, (2 * FRAMES + clips, SPEECH_DIM)).astype(np.float16)
    for row, count in enumerate(random.integers(1, 2 * FRAMES, clips).tolist()):
        np.save(store / Path(names[row]).with_suffix(".npy"), values[row : row + count])

    hf: Any = transformers
    sizes = {"hidden_size": TEXT_DIM, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = hf.BertConfig(vocab_size=len(WORDS) + 4, max_position_embeddings=4 * TOKENS, pad_token_id=1, **sizes)
    hf.BertModel(config).save_pretrained(folder / "bert")
    word_tokenizer(WORDS).save_pretrained(folder / "bert")
    for name, text in {"extract": EXTRACT, "member": MEMBER, "ensemble": ENSEMBLE}.items():
        (folder / f"{name}.yaml").write_text(text)


def soak(folder: Path, clips: int) -> dict[str, Figures]:
    """Run every step, and look whether each utterance came through to the end."""
    folder.mkdir()
    make_corpus(folder, clips)
    figures = {name: run(folder, step.words) for name, step in STEPS.items()}

    labels = read_labels(folder / "corpus/labels.csv")
    assert len(labels) == clips
    for made in ("members/soak/posteriors", "ensembles/soak/posteriors/soft", "ensembles/soak/posteriors/soup"):
        for partition in PARTITIONS:
            rows = labels.partition(partition).table["FileName"].tolist()
            file = folder / "runs" / made / f"{partition}.csv"
            assert (read_csv(file)["FileName"].tolist() if file.exists() else []) == rows, file
    shutil.rmtree(folder)  # pytest would keep a gigabyte
    return figures


pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc"),
]


def test_a_corpus_of_the_size_of_msp_podcast(tmp_path: Path) -> None:
    few, many = (soak(tmp_path / f"{clips}", clips) for clips in (CLIPS // 8, CLIPS))
    growth = {name: (many[name].megabytes - few[name].megabytes) / (CLIPS - CLIPS // 8) * 1e5 for name in STEPS}
    print(f"\n{'':<15}{CLIPS // 8:>9,} utterances{CLIPS:>13,} utterances   growth, MB per 100,000 (bound)")
    for name, step in STEPS.items():
        cells = "".join(f"{of.seconds:>9.1f} s {of.megabytes:>7.0f} MB" for of in (few[name], many[name]))
        print(f"{name:<15}{cells}{growth[name]:>12.0f} ({step.bound:.0f})")
    for name, step in STEPS.items():
        assert growth[name] < step.bound, name


# --- one long recording -----------------------------------------------------------------------------

HOURS = 2
RATE = 16_000
LONG = """\
name: long
{what}
layers: {{take: [-1]}}
batch_size: 8
compute: {{device: cpu, threads: 1}}
paths: {{labels: labels.csv, audio: audio, features: features}}
"""
ASR = """\
name: long
asr: {model: whisper, max_new_tokens: 4}
compute: {device: cpu, threads: 1}
paths: {labels: labels.csv, audio: audio, transcripts: transcripts.csv}
"""
MOST = 2500
"""Megabytes: the samples are 461 as float32, and twice that while they are put together; libraries take some 500."""


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two hours of noise, and a second of it."""
    (tmp_path / "audio").mkdir()
    noise = np.random.default_rng(0).normal(0, 3000, 600 * RATE).astype(np.int16)
    scipy.io.wavfile.write(tmp_path / "audio/long.wav", RATE, np.tile(noise, HOURS * 6))
    scipy.io.wavfile.write(tmp_path / "audio/short.wav", RATE, noise[:RATE])
    (tmp_path / "labels.csv").write_text("FileName,Happy,Sad,Partition\nlong.wav,1,0,train\nshort.wav,0,1,train\n")
    return tmp_path


@pytest.mark.parametrize("kind", ["logmel", "whisper"])
def test_features_of_two_hours(recordings: Path, kind: str) -> None:
    model = "" if kind == "logmel" else f", model: {kind}"
    if model:
        write_whisper(recordings / kind)
    (recordings / "long.yaml").write_text(LONG.format(what=f"backbone: {{kind: {kind}{model}}}"))
    figures = run(recordings, ("extract_features.py", "long.yaml"))
    store = FeatureStore(recordings / "features/long")
    assert store.frames("long") == HOURS * 3600 * 50
    # The noise comes again every ten minutes, and so do its features, far from the seams.
    values, later = store.read("long")[1000:1100], store.read("long")[61_000:61_100]
    np.testing.assert_allclose(values.astype(float), later.astype(float), atol=0.02)
    print(f"{kind}: {figures.seconds:.0f} s, {figures.megabytes:.0f} MB")
    assert figures.megabytes < MOST


def test_a_transcript_of_two_hours(recordings: Path) -> None:
    write_whisper(recordings / "whisper")
    (recordings / "asr.yaml").write_text(ASR)
    figures = run(recordings, ("extract_features.py", "asr.yaml"))
    assert read_csv(recordings / "transcripts.csv")["FileName"].tolist() == ["long.wav", "short.wav"]
    print(f"transcript: {figures.seconds:.0f} s, {figures.megabytes:.0f} MB")
    assert figures.megabytes < MOST


def test_two_hours_that_a_model_would_hear_as_a_whole_are_refused_and_the_rest_is_done(recordings: Path) -> None:
    """WavLM attends from every frame to every other: 360,000 by 360,000 numbers."""
    SPEECH["wavlm"](recordings / "wavlm")
    (recordings / "long.yaml").write_text(LONG.format(what="backbone: {kind: speech, model: wavlm}"))
    words = ("extract_features.py", "long.yaml")
    refused = run(recordings, words, code=2).err.splitlines()[-1]
    assert refused.startswith("error: long: out of memory at 2 clips, the longest 'long'; lower batch_size (now 8)")
    figures = run(recordings, (*words, "batch_size=1"), code=3)
    failures = read_csv(recordings / "features/long/failures.csv")
    assert failures["FileName"].tolist() == ["long.wav"]
    assert "does not fit into memory by itself; cut the recording into pieces" in failures["reason"].iloc[0]
    assert FeatureStore(recordings / "features/long").ids == ["short"]
    print(f"wavlm: {figures.seconds:.0f} s, {figures.megabytes:.0f} MB")
