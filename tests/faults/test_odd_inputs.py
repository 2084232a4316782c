"""Inputs that are odd and not wrong: they are taken; and what a list of failures says of those that are wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medusa.features.store import FeatureStore
from medusa.files import read_csv
from tests.faults.workspace import ROOT, add_recogniser, call, cell, change, contents, put, wav

BOM = b"\xef\xbb\xbf"
FRESH = ("extract_features.py", "extract.yaml", "name=fresh")


@pytest.mark.parametrize("file", ["samples/labels.csv", "member.yaml", "configs/deepser.yaml"])
def test_a_byte_order_mark_changes_nothing(own: Path, file: str) -> None:
    words = ("train_deepser.py", "member.yaml", "name=marked")
    plain = call(own, *words, "paths.runs=plain")
    change(file, lambda data: BOM + data)(own)
    marked = call(own, *words, "paths.runs=marked")
    assert (plain.code, marked.code, marked.err) == (0, 0, "")
    weights = "members/marked/best/model.safetensors"
    assert (own / "plain" / weights).read_bytes() == (own / "marked" / weights).read_bytes()


def test_windows_line_ends_are_read(own: Path) -> None:
    change("samples/labels.csv", lambda data: data.replace(b"\n", b"\r\n"))(own)
    assert call(own, "train_deepser.py", "member.yaml", "name=windows").code == 0


def test_recordings_of_one_sample_eight_channels_and_odd_rates_are_taken(own: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (4000, 8)).astype(np.float32)
    wav("corpus/audio/a.wav", np.array([1], np.int16))(own)
    wav("corpus/audio/b.wav", noise)(own)
    wav("corpus/audio/e.wav", noise[:, 0], rate=11_025)(own)
    assert call(own, *FRESH).code == 0
    store = FeatureStore(own / "corpus/features/fresh")
    assert store.ids == ["a", "b", "e", "f", "folder/c d"]
    assert store.frames("a") >= 1
    assert all(np.isfinite(store.read(utterance)).all() for utterance in store.ids)
    # Eight channels are their mean.
    wav("corpus/audio/b.wav", noise.mean(axis=1))(own)
    assert call(own, *FRESH[:-1], "name=mean").code == 0
    np.testing.assert_allclose(
        FeatureStore(own / "corpus/features/mean").read("b").astype(float), store.read("b").astype(float), atol=0.02
    )


def test_a_recording_named_like_a_formula_or_an_option_is_a_name_like_any_other(own: Path) -> None:
    for line, name in ((2, "=1+1.wav"), (3, "-rf é.wav")):
        wav(f"corpus/audio/{name}", np.ones(3000, np.int16))(own)
        cell("corpus/labels.csv", line, "FileName", name)(own)
    assert call(own, *FRESH).code == 0
    assert {"=1+1", "-rf é"} <= set(FeatureStore(own / "corpus/features/fresh").ids)


def test_failures_are_listed_by_name_with_their_reasons_and_mended_ones_are_added(own: Path) -> None:
    good = (own / "corpus/audio/b.wav").read_bytes()
    put("corpus/audio/b.wav", "no recording")(own)
    put("corpus/audio/e.wav", b"")(own)
    assert call(own, *FRESH).code == 3
    failures = read_csv(own / "corpus/features/fresh/failures.csv")
    assert list(failures.columns) == ["FileName", "reason"]
    assert list(failures["FileName"]) == ["b.wav", "e.wav"]
    assert [part in why for part, why in zip(["decoded", "empty"], failures["reason"], strict=True)] == [True, True]
    assert FeatureStore(own / "corpus/features/fresh").ids == ["a", "f", "folder/c d"]
    put("corpus/audio/b.wav", good)(own)
    put("corpus/audio/e.wav", good)(own)
    assert call(own, *FRESH).code == 0
    assert not (own / "corpus/features/fresh/failures.csv").exists()


def test_transcription_lists_what_it_cannot_read_as_well(own: Path) -> None:
    add_recogniser(own, transcripts="new/transcripts.csv")
    put("corpus/audio/b.wav", "no recording")(own)
    before = contents(own)
    done = call(own, "extract_features.py", "asr.yaml")
    assert done.code == 3
    assert "1 of 5 clips failed, the rest is done; see new/transcripts.parts/failures.csv" in done.err
    failures = read_csv(own / "new/transcripts.parts/failures.csv")
    assert list(failures["FileName"]) == ["b.wav"]
    assert "b.wav: cannot be decoded" in failures["reason"][0]
    assert len(read_csv(own / "new/transcripts.csv")) == 4
    assert {name: data for name, data in contents(own).items() if name in before} == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("train_deepser.py", "member.yaml", "seed=7"), 2, "runs/members/deepser: holds a run with another config"),
        (("extract_features.py", "extract.yaml", "name=fresh"), 3, "1 of 5 clips failed"),
        (("-m", "medusa", "wer", "--references", "none.csv", "--transcripts", "none.csv"), 2, "none.csv: no such file"),
    ],
    ids=["training", "extraction", "medusa"],
)
def test_a_process_of_its_own_ends_the_same_way(own: Path, words: tuple[str, ...], code: int, said: str) -> None:
    """The other tests call the scripts in this process."""
    put("corpus/audio/b.wav", "no recording")(own)
    script = words if words[0] == "-m" else (str(ROOT / words[0]), *words[1:])
    done = subprocess.run([sys.executable, *script], cwd=own, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
    assert "Traceback" not in done.stderr
