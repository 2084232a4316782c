"""`python -m medusa verify` finds what is damaged, and so does reading it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.faults.cases.features import FIRST, OTHER, resealed
from tests.faults.workspace import Damage, add, array, call, change, put, remove
from tests.features.tiny_whisper import write_whisper

STORE, NPY = "samples/features/speech", "samples/features/text-npy"
RUN, ENSEMBLE = "runs/members/deepser", "runs/ensembles/metacls"
TRAIN, EVAL, EVAL_META = (
    ("train_deepser.py", "member.yaml"), ("eval_deepser.py", "member.yaml"), ("eval_metacls.py", "ensemble.yaml")
)  # fmt: skip
W = "model.safetensors"
FRESH, FRESH_META = (*TRAIN, "name=fresh"), ("train_metacls.py", "ensemble.yaml", "name=fresh")
REPORT = ("medusa", "report", "--runs", "runs", "--ensembles", "ensemble.yaml", "--out", "report")
UNLABELLED = f"{ENSEMBLE}/posteriors/soup/unlabelled.csv"
SUBMIT = ("medusa", "submission", UNLABELLED, "--out", "submission.csv", "--expect", "6")


def flipped(file: str, place: float = 0.6) -> Damage:
    """Flip one bit of a byte, that share of the way through the file."""

    def flip(data: bytes) -> bytes:
        at = int(place * len(data))
        return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]

    return change(file, flip)


def refilled(checkpoint: str, weight: float) -> Damage:
    """Change all weights of a checkpoint and give them a right checksum: what another program may have written."""

    def damage(folder: Path) -> None:
        file, state = folder / checkpoint / W, folder / checkpoint / "state.json"
        save_file({name: np.full_like(value, weight) for name, value in load_file(file).items()}, file)
        saved = json.loads(state.read_text())
        saved["crc32"][W] = zlib.crc32(file.read_bytes())
        state.write_text(json.dumps(saved))

    return damage


def test_what_was_written_is_sound(own: Path) -> None:
    done = call(own, "medusa", "verify", "samples", "corpus", "runs")
    assert (done.code, done.err) == (0, "")
    for line in (
        "sound samples/features/speech: feature store of 128 utterances",
        "sound samples/features/text-npy: feature store of 128 utterances",
        "sound samples/labels.csv: labels of 128 utterances",
        "sound corpus/features/logmel: feature store of 5 utterances",
        "sound runs/members/deepser: run of 2 epochs, 4 files of posteriors",
        "sound runs/ensembles/metacls: run of 2 seeds, 28 files of posteriors",
    ):
        assert line in done.out.splitlines()
    assert done.out.splitlines()[-1] == "8 of 8 are as they were written"
    done = call(own, "medusa", "verify", "corpus/labels.csv")
    assert done.out.splitlines() == [
        "sound corpus/labels.csv: labels of 5 utterances",
        "1 of 1 are as they were written",
    ]


DAMAGES: dict[str, tuple[Damage, str, str, tuple[str, ...] | None]] = {
    # what is done, the place to verify, what names it, the command whose reading finds it as well
    "shard, bits": (flipped(f"{STORE}/shard-00000.safetensors"), STORE, "shard-00000.safetensors: damaged", FRESH),
    "shard, header": (flipped(f"{STORE}/shard-00000.safetensors", 0.05), STORE, "shard-00000.safetensors", FRESH),
    "shard, cut": (change(f"{STORE}/shard-00000.safetensors", lambda data: data[:-1]), STORE, "shard-00000", FRESH),
    "shard, gone": (remove(f"{STORE}/shard-00001.safetensors"), STORE, "incomplete, 1 of 2 shards", FRESH),
    "utterance, gone": (resealed(lambda values: values.pop(FIRST)), STORE,
                        f"{STORE}: 127 of 128 utterances; run the same extract_features.py command again", FRESH),
    "utterance, another": (resealed(lambda values: values.update({OTHER: values.pop(FIRST)})), STORE,
                           f"{STORE}: other utterances than manifest.json says; delete it", FRESH),
    "manifest": (put(f"{STORE}/manifest.json", "{}"), STORE, "manifest.json: not a manifest", FRESH),
    "array, cut": (change(f"{NPY}/MSP-PODCAST_0121_0039.npy", lambda data: data[:-1]), NPY, "0039.npy: truncated",
                   ("train_deepser.py", "npy.yaml")),
    "array, NaN": (array(f"{NPY}/MSP-PODCAST_0121_0039.npy", np.full((2, 8), np.nan, np.float32)), NPY, "not finite",
                   ("train_deepser.py", "npy.yaml")),
    "best weights": (flipped(f"{RUN}/best/model.safetensors"), RUN, "best/model.safetensors: damaged", EVAL),
    "last weights": (flipped(f"{RUN}/last/model.safetensors"), RUN, "last/model.safetensors: damaged", TRAIN),
    "optimiser": (flipped(f"{RUN}/last/optimizer.safetensors"), RUN, "last/optimizer.safetensors: damaged", TRAIN),
    "metrics": (add(f"{RUN}/metrics.jsonl", "{"), RUN, "metrics.jsonl: not a row an epoch", TRAIN),
    "an epoch twice": (
        change(f"{RUN}/metrics.jsonl", lambda data: data.splitlines(keepends=True)[0] + data), RUN,
        "metrics.jsonl: epochs are missing or stand twice; delete runs/members/deepser and train again", TRAIN),
    "infinite weights": (refilled(f"{RUN}/last", np.inf), RUN, "is not finite; delete that folder", None),
    "soup": (flipped(f"{ENSEMBLE}/soup/{W}", 0.9), ENSEMBLE, f"soup/{W}: damaged", EVAL_META),
    "another soup": (
        change(f"{ENSEMBLE}/soup/state.json", lambda data: data.replace(b'"seed-2/best"', b'"seed-1/best"')), ENSEMBLE,
        "soup/model.safetensors: not the mean of seed-1/best, seed-1/best", None),
    "seed": (flipped(f"{ENSEMBLE}/seed-2/best/{W}", 0.9), ENSEMBLE, f"seed-2/best/{W}: damaged", EVAL_META),
    "posteriors": (change(f"{RUN}/posteriors/dev.csv", lambda data: data.replace(b"0.1", b"0.2", 1)), RUN,
                   "posteriors/dev.csv: not the file that was written; run the eval script again", FRESH_META),
    "posteriors of an ensemble": (
        change(f"{ENSEMBLE}/posteriors/soup/test.csv", lambda data: data.replace(b"0.1", b"0.2", 1)), ENSEMBLE,
        "posteriors/soup/test.csv: not the file that was written; run the eval script again", REPORT),
    "posteriors of Test3": (
        change(UNLABELLED, lambda data: data.replace(b"0.1", b"0.2", 1)), ENSEMBLE,
        "posteriors/soup/unlabelled.csv: not the file that was written; run the eval script again", SUBMIT),
    "posteriors gone": (remove(f"{ENSEMBLE}/posteriors/soup/test.csv"), ENSEMBLE, "soup/test.csv: not the file", None),
    "half an evaluation": (
        change(f"{RUN}/posteriors/provenance.json", lambda data: data.replace(b"outputs", b"output")), RUN,
        "posteriors: has no checksums: unfinished, or of an earlier version; run the eval script again", FRESH_META),
    "weights after their posteriors": (
        refilled(f"{RUN}/best", 0.5), RUN,
        f"{RUN}/posteriors: made from another {RUN}/best/{W} than is there now; run the eval script again",
        FRESH_META),
    "labels": (flipped("samples/labels.csv", 0.5), "runs/members", "samples/labels.csv", EVAL),
    "labels of text": (put("samples/labels.csv", "no labels"), "samples", "labels.csv", EVAL),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_by_verify_and_by_reading(own: Path, name: str) -> None:
    damage, place, named, reading = DAMAGES[name]
    damage(own)
    done = call(own, "medusa", "verify", place)
    assert done.code == 2, done
    assert done.err.startswith("error: ")
    assert named in done.err
    assert done.err.count("\n") == 1
    if reading is not None:
        read = call(own, *reading)
        assert read.code == 2
        file = named.split(": ")[0].rsplit("/", 1)[-1]
        assert file in read.err or "labels_sha256" in read.err, read


def test_every_thing_is_looked_at_though_one_is_damaged(own: Path) -> None:
    flipped(f"{STORE}/shard-00000.safetensors")(own)
    flipped("samples/features/text/shard-00001.safetensors")(own)
    done = call(own, "medusa", "verify", "samples", "runs")
    assert done.code == 2
    assert "(and 1 more, listed above)" in done.err
    assert [line.split()[0] for line in done.out.splitlines()].count("damaged") == 2
    assert "sound runs/members/deepser" in done.out


def transcribed(own: Path) -> None:
    write_whisper(own / "whisper")
    text = (
        (own / "extract.yaml")
        .read_text()
        .replace("backbone: {kind: logmel}", "asr: {model: whisper, max_new_tokens: 8}")
    )
    put("asr.yaml", text.replace("features: corpus/features", "transcripts: new/transcripts.csv"))(own)
    assert call(own, "extract_features.py", "asr.yaml").code == 0


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (change("new/transcripts.parts/shard-00001.json", lambda data: data[:-9]), "shard-00001.json: not readable"),
        (
            change("new/transcripts.csv", lambda data: data.replace(b"=1+1", b"two", 1)),
            "not what new/transcripts.parts says",
        ),
        (remove("new/transcripts.parts/shard-00000.json"), "new/transcripts.parts: incomplete, 2 of 3 shards"),
        (
            put("new/transcripts.parts/shard-00001.json", '{"e": "two", "f": "three"}'),
            "shard-00001.json: damaged",
        ),
        (  # one letter: transcripts.csv is right, and stays as it is
            change("new/transcripts.parts/shard-00000.json", lambda data: data.replace(b"=1+1", b"=1+2", 1)),
            "shard-00000.json: damaged",
        ),
    ],
)
def test_transcripts_are_compared_with_their_shards(own: Path, damage: Callable[[Path], object], named: str) -> None:
    transcribed(own)
    assert call(own, "medusa", "verify", "new").code == 0
    before = (own / "new/transcripts.csv").read_bytes()
    damage(own)
    done = call(own, "medusa", "verify", "new")
    assert done.code == 2, (before, done)
    assert named in done.err
    assert call(own, "extract_features.py", "asr.yaml").code == 0  # the same command mends it
    assert (own / "new/transcripts.csv").read_bytes() == before


def test_transcripts_that_do_not_say_how_many_shards_they_have_are_named(own: Path) -> None:
    manifest = '{"utterances": 5, "utterances_sha256": "", "shards": "two"}'
    put("new/transcripts.parts/manifest.json", manifest)(own)
    done = call(own, "medusa", "verify", "new")
    assert done.code == 2
    assert done.err == (
        "error: new/transcripts.parts/manifest.json: shards: expected a whole number, found text; "
        "delete the folder and transcribe again\n"
    )


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("elsewhere", "no such file or folder"),
        ("configs", "nothing of medusa's"),
        ("member.yaml", "nothing of medusa's"),
    ],
)
def test_what_cannot_be_verified_is_named(own: Path, place: str, said: str) -> None:
    done = call(own, "medusa", "verify", place)
    assert done.code == 2
    assert f"{place}: {said}" in done.err
