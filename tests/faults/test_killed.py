"""SIGKILL at random moments, and the same command again: every stage ends in the bytes of an untroubled run.

`make test` kills each stage 3 times, `make faults` MEDUSA_KILLS times.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.faults.children import Child
from tests.faults.workspace import add_recogniser, call, contents, put, wav

KILLS = int(os.environ.get("MEDUSA_KILLS", "3"))
CLIPS = 40
UNIT = 2
"""Clips of a shard."""


class Stage(NamedTuple):
    """A command that takes a while, what it makes below `out`, and its unit of work."""

    words: tuple[str, ...]
    locked: str
    unit: str
    """Pattern of the files that are written once; "" where the unit is an epoch."""


EPOCHS = ("training.max_epochs=12", "training.patience=12")
STAGES = {
    "extraction": Stage(("extract_features.py", "many.yaml"), "out/logmel", "shard-*.safetensors"),
    "transcription": Stage(("extract_features.py", "asr.yaml"), "out/transcripts.parts", "shard-*.json"),
    "Stages 1, 2": Stage(
        ("train_deepser.py", "member.yaml", "paths.runs=out", "training.stage1_epochs=4", *EPOCHS),
        "out/members/deepser", ""),
    "Stages 3, 4": Stage(("train_metacls.py", "meta.yaml", *EPOCHS), "out/ensembles/metacls", ""),
}  # fmt: skip


@pytest.fixture
def busy(own: Path) -> Path:
    """The folder with forty recordings, a recogniser, and members for an ensemble elsewhere."""
    names = [f"{number:02d}.wav" for number in range(CLIPS)]
    for number, name in enumerate(names):
        samples = np.random.default_rng(number).normal(0, 3000, 8000 + 400 * number).astype(np.int16)
        wav(f"corpus/audio/{name}", samples)(own)
    rows = [f"{name},{1 - number % 2},{number % 2},train" for number, name in enumerate(names)]
    put("corpus/many.csv", "\n".join(["FileName,Happy,Sad,Partition", *rows]) + "\n")(own)
    extract = (own / "extract.yaml").read_text().replace("corpus/labels.csv", "corpus/many.csv")
    put("many.yaml", extract.replace("corpus/features", "out"))(own)
    add_recogniser(own, labels="corpus/many.csv")
    ensemble = (own / "ensemble.yaml").read_text().replace("deepser,", "runs/members/deepser/posteriors/all.csv,")
    put("meta.yaml", ensemble.replace("{runs: runs}", "{runs: out}"))(own)
    parts = [(own / f"runs/members/deepser/posteriors/{name}.csv").read_text() for name in ("train", "dev", "test")]
    lines = [parts[0], *(part.split("\n", 1)[1] for part in parts[1:])]
    put("runs/members/deepser/posteriors/all.csv", "".join(lines))(own)
    return own


def kept(root: Path) -> dict[str, bytes]:
    """What equal commands have in common: not times, TensorBoard's events, locks, or the commit they ran at."""
    varying = ("timings.jsonl", "events.", "provenance.json", ".")
    files = contents(root)
    return {name: files[name] for name in files if not any(part.startswith(varying) for part in Path(name).parts)}


def killed_at_random(folder: Path, stage: Stage, times: Times, draw: random.Random) -> Iterator[None]:
    """Start the command and kill it, again and again; a pause after each kill, and none once it got to its end.

    Two of three kills wait for the work to begin: starting takes longer than the work, here.
    """
    out = folder / "out"
    while True:
        before = progress(out, stage)
        child = Child(folder, *stage.words)
        if draw.random() < 2 / 3:
            while child.process.is_alive() and progress(out, stage) == before:
                time.sleep(0.002)
            time.sleep(draw.uniform(0, times.work))
        else:
            time.sleep(draw.uniform(0, times.start))
        child.signal(signal.SIGKILL)
        done = child.done()
        assert done.code in (0, -signal.SIGKILL), done
        if done.code == 0:
            return
        yield


class Times(NamedTuple):
    """Seconds of an untroubled run until its first unit of work is there, and from then to its end."""

    start: float
    work: float


def untroubled(folder: Path, stage: Stage) -> Times:
    started = time.monotonic()
    child = Child(folder, *stage.words)
    child.wait_for(lambda: progress(folder / "out", stage) != {})
    begun = time.monotonic()
    done = child.done()
    assert done.code == 0, done
    return Times(begun - started, time.monotonic() - begun)


def progress(out: Path, stage: Stage) -> dict[str, int]:
    """Changes with each unit of work."""
    times = {}
    for file in found(out, stage.unit or "metrics.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # replaced meanwhile
            times[str(file)] = file.stat().st_mtime_ns
    return times


def found(out: Path, pattern: str) -> list[Path]:
    """As `out.rglob(pattern)`, also while folders come and go."""
    files = (Path(folder, name) for folder, _, names in os.walk(out) for name in names)
    return [file for file in files if file.match(pattern)]


@pytest.mark.parametrize("name", STAGES)
def test_whenever_it_is_killed_the_end_is_the_same(busy: Path, name: str) -> None:
    stage, draw, out = STAGES[name], random.Random(name), busy / "out"
    times = untroubled(busy, stage)
    whole = kept(out)
    assert len(whole) > 3

    kills = 0
    while kills < KILLS:
        shutil.rmtree(out)
        written: dict[str, int] = {}
        kills_here = 0
        before: Trained = {}
        for _ in killed_at_random(busy, stage, times, draw):
            kills_here += 1
            before = trained_at_most_one_again(out, before)
            now = units(out, stage)
            assert {file: now.get(file) for file in written} == written  # what was finished is not done again
            written = now
            if kills + kills_here >= KILLS:
                break
        last = call(busy, *stage.words)
        assert last.code == 0, last
        assert kept(out) == whole
        assert {file: time_ for file, time_ in units(out, stage).items() if file in written} == written
        for recorded, _ in trained_at_most_one_again(out, before).values():
            assert recorded == list(range(12))
        assert not list(out.rglob(".*.tmp"))
        assert not list(out.rglob(".*.new"))
        kills += kills_here


Trained = dict[str, tuple[list[int], list[int]]]
"""Of each run, the epochs in metrics.jsonl, each once, and those in timings.jsonl, as often as they were trained."""


def trained_at_most_one_again(out: Path, before: Trained) -> Trained:
    """What is trained after one more start: it began at the end of what was recorded before, or one epoch earlier."""
    now: Trained = {}
    for metrics in out.rglob("metrics.jsonl"):
        run = str(metrics.parent)
        now[run] = epochs(metrics), epochs(metrics.with_name("timings.jsonl"))
        recorded, trained = before.get(run, ([], []))
        assert now[run][1][: len(trained)] == trained
        in_this_start = now[run][1][len(trained) :]
        if in_this_start:
            assert in_this_start[0] in (len(recorded) - 1, len(recorded))
            assert in_this_start == list(range(in_this_start[0], in_this_start[-1] + 1))
        # Killed between the two files, an epoch is in the first alone.
        assert len(now[run][0]) - max([-1, *now[run][1]]) - 1 in (0, 1)
    assert before.keys() <= now.keys()
    return now


def epochs(file: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in file.read_text().splitlines()] if file.exists() else []


def units(out: Path, stage: Stage) -> dict[str, int]:
    """Of each finished unit of work, when it was written."""
    return {str(file): file.stat().st_mtime_ns for file in out.rglob(stage.unit)} if stage.unit else {}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("name", STAGES)
def test_stopped_it_says_how_to_go_on_and_goes_on(busy: Path, name: str, number: signal.Signals, code: int) -> None:
    stage, out = STAGES[name], busy / "out"
    begun = stage.unit or "last/state.json"
    child = Child(busy, *stage.words)
    child.wait_for(lambda: found(out, begun) != [])
    child.signal(number)
    done = child.done()
    assert done.code == code, done
    last = done.err.replace("\r", "\n").strip().splitlines()[-1]
    assert last == "stopped: what was finished is kept; the same command continues from there"
    assert "Traceback" not in done.err
    assert not list(out.rglob(".*.tmp"))
    assert call(busy, *stage.words).code == 0
    resumed = kept(out)
    shutil.rmtree(out)
    assert call(busy, *stage.words).code == 0
    assert kept(out) == resumed


@pytest.mark.parametrize("name", STAGES)
def test_a_second_process_is_refused_and_the_first_ends_well(busy: Path, name: str) -> None:
    """Two real ones; the first is made to sleep while the second starts, so that it cannot have ended by then."""
    stage, out = STAGES[name], busy / "out"
    first = Child(busy, *stage.words)
    first.wait_for(lambda: found(out, stage.unit or "last/state.json") != [])
    first.signal(signal.SIGSTOP)
    try:
        before = contents(busy)
        second = Child(busy, *stage.words).done()
        after = contents(busy)
    finally:
        first.signal(signal.SIGCONT)
    assert second.code == 2, second
    assert f"error: {stage.locked}: another process is " in second.err
    assert "wait for it or stop it first" in second.err
    assert after == before
    done = first.done()
    assert done.code == 0, done
    whole = kept(out)
    shutil.rmtree(out)
    assert call(busy, *stage.words).code == 0
    assert kept(out) == whole


EVALUATIONS = {
    "posteriors": (("eval_deepser.py", "member.yaml"), "runs/members/deepser/posteriors"),
    "scores": (("eval_metacls.py", "ensemble.yaml"), "runs/ensembles/metacls/posteriors"),
}
"""They have no lock and nothing to go on from: they are run again, and every file is whole."""


@pytest.mark.parametrize("name", EVALUATIONS)
def test_two_evaluations_at_once_write_what_one_does(own: Path, name: str) -> None:
    """Why they need no lock: both write the same files, each as a whole."""
    words, folder = EVALUATIONS[name][0], own / EVALUATIONS[name][1]
    shutil.rmtree(folder)
    assert call(own, *words).code == 0
    before = kept(own / "runs")
    shutil.rmtree(folder)
    both = [Child(own, *words) for _ in range(2)]
    for child in both:
        done = child.done()
        assert done.code == 0, done
    assert kept(own / "runs") == before
    assert call(own, "medusa", "verify", "runs").code == 0


@pytest.mark.parametrize("name", EVALUATIONS)
def test_a_kill_while_posteriors_are_written_leaves_whole_files(own: Path, name: str) -> None:
    words, folder = EVALUATIONS[name][0], own / EVALUATIONS[name][1]
    shutil.rmtree(folder)
    assert call(own, *words).code == 0
    whole, draw = kept(folder), random.Random(name)
    written = {file: data for file, data in whole.items() if file.endswith(".csv")}
    for count in range(max(KILLS, 4)):
        shutil.rmtree(folder)
        finished = count % len(written)
        child = Child(own, *words)
        while child.process.is_alive() and entries(folder) <= finished:  # no sleep: the next file has just been begun
            pass
        time.sleep(draw.choice([0, 0, draw.uniform(0, 0.02)]))
        child.signal(signal.SIGKILL)
        assert child.done().code in (0, -signal.SIGKILL)
        tables = {file: data for file, data in kept(folder).items() if file.endswith(".csv")}
        assert len(tables) >= finished
        assert tables.items() <= written.items()
    assert call(own, *words).code == 0
    assert kept(folder) == whole


def entries(folder: Path) -> int:
    """How many tables there are, half written ones too; quick."""
    return sum(".csv" in name for _, _, names in os.walk(folder) for name in names)
