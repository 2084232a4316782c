"""A folder in which everything has been run once, and the scripts called in this process: quick enough for a table."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import runpy
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import scipy.io.wavfile

from medusa.__main__ import main as medusa_main
from medusa.provenance import note_outputs
from tests.features.tiny_whisper import write_whisper
from tests.processes import Done

ROOT = Path(__file__).parents[2]

MEMBER = """\
base: configs/sample/deepser.yaml
training: {max_epochs: 2, stage1_epochs: 1}
paths: {runs: runs}
"""
NPY_MEMBER = """\
base: member.yaml
name: npy
features: [speech, text-npy]
"""
ENSEMBLE = """\
base: configs/sample/metacls.yaml
members: [deepser, samples/posteriors/authors-1.csv, samples/posteriors/ours.csv]
seeds: [1, 2]
training: {max_epochs: 2}
paths: {runs: runs}
"""
EXTRACT = """\
name: logmel
backbone: {kind: logmel}
shard_size: 2
batch_size: 2
compute: {device: cpu, threads: 1}
paths: {labels: corpus/labels.csv, audio: corpus/audio, features: corpus/features}
"""
PIPELINE = """\
name: toy
title: a pipeline
prepare: csv --table corpus/labels.csv --audio corpus/audio --out corpus
features: [extract.yaml]
members: [own_member.yaml]
"""
PIPELINE_MEMBER = """\
base: member.yaml
name: own
features: [logmel]
paths: {labels: corpus/labels.csv, features: corpus/features}
"""
CLIPS = ("a.wav", "b.wav", "folder/c d.wav", "e.wav", "f.wav")


def call(folder: Path, *words: str) -> Done:
    """Run a script or `medusa SUBCOMMAND` in `folder`, in this process."""
    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch.object(sys, "argv", [*words]):
        os.chdir(folder)
        try:
            if words[0] == "medusa":
                medusa_main(words[1:])
            else:
                runpy.run_path(str(ROOT / words[0]), run_name="__main__")
        except SystemExit as ended:
            code = ended.code
        finally:
            os.chdir(before)
    return Done(code, out.getvalue(), err.getvalue())


def contents(root: Path) -> dict[str, bytes]:
    """Every file by its path; a lock holds nothing."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(root)): path.read_bytes() for path in files if path.name != ".lock"}


def restore(root: Path, before: dict[str, bytes]) -> None:
    """Undo whatever a test did below `root`: cheaper than a copy for each."""
    for path in sorted(root.rglob("*"), reverse=True):  # what is in a folder, then the folder
        name = str(path.relative_to(root))
        if path.is_symlink() or (path.is_file() and name not in before):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for name, data in before.items():
        path = root / name
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def write_corpus(folder: Path) -> None:
    """Five short recordings of noise with their labels."""
    for number, name in enumerate(CLIPS):
        path = folder / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).normal(0, 3000, 3000 + 500 * number).astype(np.int16)
        scipy.io.wavfile.write(path, 16_000, noise)
    rows = [f"{name},{1 - number % 2},{number % 2},s{number},train" for number, name in enumerate(CLIPS)]
    (folder / "labels.csv").write_text("\n".join(["FileName,Happy,Sad,SpkrID,Partition", *rows]) + "\n")
    rows = [f"{name},word {number}" for number, name in enumerate(CLIPS)]
    (folder / "transcripts.csv").write_text("\n".join(["FileName,Transcript", *rows]) + "\n")


def finish(folder: Path) -> None:
    """Copy samples/ and configs/ to `folder`, make a corpus of recordings, and run every script once."""
    shutil.copytree(ROOT / "samples", folder / "samples", ignore=shutil.ignore_patterns("annotators"))
    for name in ("deepser.yaml", "metacls.yaml", "sample/deepser.yaml", "sample/metacls.yaml"):
        put(f"configs/{name}", (ROOT / "configs" / name).read_bytes())(folder)
    write_corpus(folder / "corpus")
    files = {"member": MEMBER, "npy": NPY_MEMBER, "ensemble": ENSEMBLE, "extract": EXTRACT}
    files |= {"pipeline": PIPELINE, "own_member": PIPELINE_MEMBER}
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    for words in (
        ("extract_features.py", "extract.yaml"),
        ("train_deepser.py", "member.yaml"),
        ("eval_deepser.py", "member.yaml"),
        ("train_metacls.py", "ensemble.yaml"),
        ("eval_metacls.py", "ensemble.yaml"),
    ):
        done = call(folder, *words)
        assert done.code == 0, done


def add_recogniser(folder: Path, labels: str = "corpus/labels.csv", transcripts: str = "out/transcripts.csv") -> None:
    """Write a tiny Whisper to `whisper` and asr.yaml, which transcribes as extract.yaml extracts."""
    write_whisper(folder / "whisper")
    text = (folder / "extract.yaml").read_text()
    for old, new in (
        ("backbone: {kind: logmel}", "asr: {model: whisper, max_new_tokens: 8}"),
        ("corpus/labels.csv", labels),
        ("features: corpus/features", f"transcripts: {transcripts}"),
    ):
        assert old in text
        text = text.replace(old, new)
    put("asr.yaml", text)(folder)


# --- damage -----------------------------------------------------------------------------------------

Damage = Callable[[Path], object]
"""Something done to the folder before the command runs."""


def put(file: str, content: str | bytes) -> Damage:
    """Write a file anew."""

    def damage(folder: Path) -> None:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def add(file: str, text: str) -> Damage:
    """Add text at the end of a file."""
    return lambda folder: put(file, (folder / file).read_text() + text)(folder)


def change(file: str, what: Callable[[bytes], bytes]) -> Damage:
    """Replace a file's bytes by a function of them."""
    return lambda folder: put(file, what((folder / file).read_bytes()))(folder)


def copied(source: str, target: str) -> Damage:
    """Put one file's bytes in another's place."""
    return lambda folder: shutil.copyfile(folder / source, folder / target)


def loop(file: str) -> Damage:
    """Put a link in its place that leads to itself."""

    def damage(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).symlink_to((folder / file).name)

    return damage


def remove(name: str) -> Damage:
    """Delete a file or folder."""

    def damage(folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    return damage


def folder_for(file: str) -> Damage:
    """Put an empty folder where a file was."""

    def damage(folder: Path) -> None:
        remove(file)(folder)
        (folder / file).mkdir()

    return damage


def cell(file: str, line: int, column: str, value: str) -> Damage:
    """Change a cell of a CSV; the header is line 1."""
    return rows(file, lambda table: table[line - 2].update({column: value}))


def rows(file: str, what: Callable[[list[dict[str, str]]], object]) -> Damage:
    """Change the rows of a CSV in place."""

    def damage(folder: Path) -> None:
        with (folder / file).open(newline="") as opened:
            reader = csv.DictReader(opened)
            header, table = list(reader.fieldnames or []), list(reader)
        what(table)
        text = io.StringIO()
        writer = csv.DictWriter(text, header, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)
        put(file, text.getvalue())(folder)

    return damage


def array(file: str, values: np.ndarray) -> Damage:
    """Write a NumPy file, objects too: what a stranger may send."""

    def damage(folder: Path) -> None:
        np.save(folder / file, values, allow_pickle=True)

    return damage


def wav(file: str, samples: np.ndarray, rate: int = 16_000) -> Damage:
    """Write a recording."""

    def damage(folder: Path) -> None:
        scipy.io.wavfile.write(folder / file, rate, samples)

    return damage


def all_of(*damages: Damage) -> Damage:
    """One after the other."""

    def damage(folder: Path) -> None:
        for one in damages:
            one(folder)

    return damage


class Case(NamedTuple):
    """What is done to a folder in which all has run, what is called then, and what the error must name."""

    name: str
    words: tuple[str, ...]
    damage: Damage
    parts: tuple[str, ...]
    """Where it is (file, row, key) and what to do: each must stand in the line."""
    code: int = 2
    failures: Mapping[str, str] = MappingProxyType({})
    """What failures.csv, which the line names, must list: file name, and a piece of the reason."""


def noted(run: str, damage: Damage) -> Damage:
    """Change posteriors of a run and note their checksums anew: what an evaluation that went otherwise leaves."""
    return all_of(damage, lambda folder: note_outputs(folder / run / "posteriors"))


def nothing(folder: Path) -> None:
    """The command line itself is wrong."""
