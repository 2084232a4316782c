"""The committed samples/: what the command writes today, and at one with itself across all its formats."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from medusa.__main__ import main
from medusa.corpora.labels import ATTRIBUTES, PARTITIONS, Labels, read_labels
from medusa.demo.samples import write_samples
from medusa.ensemble.posteriors import stack_members
from medusa.errors import UserError
from medusa.features.store import FeatureStore

SAMPLES = Path(__file__).parents[2] / "samples"
LABELS = SAMPLES / "annotators" / "Labels"
LETTERS = {"A": "Angry", "S": "Sad", "H": "Happy", "U": "Surprise", "F": "Fear", "D": "Disgust", "C": "Contempt"}
LETTERS |= {"N": "Neutral", "X": "X", "O": "O"}

Annotation = tuple[str, str, str, float, float, float]
"""Worker, primary, secondary, arousal, valence, dominance."""


@pytest.fixture(scope="module")
def labels() -> Labels:
    return read_labels(SAMPLES / "labels.csv")


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_committed_files_are_what_the_command_writes(tmp_path: Path) -> None:
    committed = contents(SAMPLES)
    for _ in range(2):  # into an empty folder, then over its own files
        main(["samples", "--out", str(tmp_path)])
        written = contents(tmp_path)
        assert sorted(written) == sorted(committed)
        assert [name for name in written if written[name] != committed[name]] == []
    assert sum(len(data) for data in written.values()) < 2**20


def test_another_seed_is_another_corpus_and_does_not_mix_with_this_one(tmp_path: Path) -> None:
    write_samples(tmp_path, seed=2)
    other, committed = contents(tmp_path), contents(SAMPLES)
    same = {name for name in committed if name in other and other[name] == committed[name]}
    assert same <= {"annotators/Partitions.txt", "annotators/Speaker_ids.txt"}
    with pytest.raises(UserError, match="seed is 2 there and 3 now"):
        write_samples(tmp_path, seed=3)
    assert contents(tmp_path) == other
    with pytest.raises(UserError, match="--seed -1: must be 0"):
        write_samples(tmp_path, seed=-1)


def test_every_partition_has_every_class_and_its_own_speakers(labels: Labels) -> None:
    speakers: list[str] = []
    for partition in ("train", "dev", "test"):
        rows = labels.partition(partition).table
        assert set(rows["EmoClass"]) == {*labels.emotions, "X", "O"}
        speakers += set(rows["SpkrID"])
    assert len(speakers) == len(set(speakers)) == 12
    unlabelled = labels.partition("unlabelled").table
    assert set(unlabelled["Split_Set"]) == {"Test3"}
    assert all(re.fullmatch(r"MSP-PODCAST_test3_\d{4}\.wav", name) for name in unlabelled["FileName"])
    rest = labels.table.drop(unlabelled.index)
    assert all(re.fullmatch(r"MSP-PODCAST_\d{4}_\d{4}\.wav", name) for name in rest["FileName"])


def detailed_one_field() -> dict[str, list[Annotation]]:
    """Releases 1.7 to 1.12."""
    pattern = r"(WORKER\d{8}); ([^;]+);(?: ([^;:]+);)? A:(\d\.0{6}); V:(\d\.0{6}); D:(\d\.0{6});"
    found = defaultdict(list)
    with (LABELS / "labels_detailed.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            match = re.fullmatch(pattern, row["EmoDetail"])
            assert match is not None, row
            worker, primary, secondary, *attributes = match.groups()
            found[row["FileName"]].append((worker, primary, secondary or "", *map(float, attributes)))
    return found  # type: ignore[return-value]


def detailed_columns() -> dict[str, list[Annotation]]:
    """Releases 1.6 and 2.0."""
    found = defaultdict(list)
    with (LABELS / "labels_detailed_2.0.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            attributes = [float(row[name]) for name in ATTRIBUTES]
            text = row["Workers"], row["EmoClass_Major"], row["EmoClass_Second"]
            found[row["FileName"]].append((*text, *attributes))
    return found  # type: ignore[return-value]


def detailed_json() -> dict[str, list[Annotation]]:
    found = {}
    for name, workers in json.loads((LABELS / "labels_detailed.json").read_text(encoding="utf-8")).items():
        found[name] = [
            (worker, vote["EmoClass_Major"], vote["EmoClass_Second"], *(float(vote[key]) for key in ATTRIBUTES))
            for worker, vote in workers.items()
        ]
    return found


def test_the_three_layouts_of_the_votes_say_the_same() -> None:
    votes = detailed_columns()
    assert detailed_one_field() == votes
    assert detailed_json() == votes
    secondary = [vote[2] for annotations in votes.values() for vote in annotations]
    assert "" in secondary
    assert any("," in text for text in secondary)
    assert any(vote[1].startswith("Other-") for annotations in votes.values() for vote in annotations)


def test_the_votes_reproduce_soft_targets_consensus_and_attributes(labels: Labels) -> None:
    votes = detailed_columns()
    labelled = labels.table[labels.table["Partition"] != ""]
    assert set(votes) == set(labelled["FileName"])
    for _, row in labelled.iterrows():
        annotations = votes[row["FileName"]]
        assert 5 <= len(annotations) <= 9
        assert len({worker for worker, *_ in annotations}) == len(annotations)
        primary = Counter("O" if vote[1].startswith("Other") else vote[1] for vote in annotations)
        kept = sum(primary[emotion] for emotion in labels.emotions)
        for emotion in labels.emotions:
            assert row[emotion] == pytest.approx(primary[emotion] / kept, abs=1e-12)
        (first, most), *others = primary.most_common()
        assert row["EmoClass"] == ("X" if others and others[0][1] == most else first)
        for column, name in enumerate(ATTRIBUTES, start=3):
            assert row[name] == pytest.approx(np.mean([vote[column] for vote in annotations]), abs=1e-12)


def test_the_other_files_of_the_corpus_agree_with_labels_csv(labels: Labels) -> None:
    with (LABELS / "labels_consensus.csv").open(encoding="utf-8", newline="") as file:
        consensus = {row["FileName"]: row for row in csv.DictReader(file)}
    partitions = dict(line.split("; ")[::-1] for line in lines("Partitions.txt"))
    entries = dict(line.split("; ") for line in lines("Speaker_ids.txt"))
    assert set(partitions) == set(labels.table["FileName"])
    for _, row in labels.table.iterrows():
        name = row["FileName"]
        assert partitions[name] == row["Split_Set"]
        assert entries[name] == (row["SpkrID"] or "Unknown")
        if row["Partition"]:
            found: Mapping[str, str] = consensus.pop(name)
            assert LETTERS[found["EmoClass"]] == row["EmoClass"]
            assert [float(found[key]) for key in ATTRIBUTES] == [row[key] for key in ATTRIBUTES]
            assert [found[key] for key in ("SpkrID", "Gender", "Split_Set")] == list(
                row[["SpkrID", "Gender", "Split_Set"]]
            )
            assert entries[f"Speaker_{row['SpkrID']}"] == row["Gender"]
    assert consensus == {}


def lines(name: str) -> list[str]:
    return (SAMPLES / "annotators" / name).read_text(encoding="utf-8").splitlines()


def test_stores_hold_every_utterance_and_both_layouts_the_same_values(labels: Labels) -> None:
    speech, text, npy = (FeatureStore(SAMPLES / "features" / name) for name in ("speech", "text", "text-npy"))
    assert speech.ids == text.ids == npy.ids == sorted(labels.ids)
    assert (speech.dim, text.dim, npy.dim) == (12, 8, 8)
    for utterance in labels.ids:
        np.testing.assert_array_equal(npy.read(utterance), text.read(utterance))
    assert len({speech.frames(utterance) for utterance in labels.ids}) > 3


@pytest.mark.parametrize("partition", PARTITIONS)
def test_posteriors_stack_and_are_better_than_chance(labels: Labels, partition: str) -> None:
    files = {f"{name}.csv": [SAMPLES / "posteriors" / f"{name}.csv"] for name in ("authors-1", "authors-2", "ours")}
    stack = stack_members(files, labels, partition)
    rows = labels.partition(partition)
    assert stack.posteriors.shape == (len(rows), 3, 8)
    classes = rows.class_indices()
    hits = (stack.posteriors.argmax(axis=2) == classes[:, None])[classes >= 0]
    if partition != "unlabelled":
        assert all(0.3 < share < 0.95 for share in hits.mean(axis=0))
