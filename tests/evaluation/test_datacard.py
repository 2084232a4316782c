"""The data card of a corpus small enough to count by hand."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medusa.audio import write_wav
from medusa.corpora.labels import labels_from_table, write_labels
from medusa.corpora.votes import OTHER, Prepared, Votes
from medusa.errors import UserError
from medusa.evaluation.datacard import read_about, write_datacard
from medusa.files import sha256

HOSTILE = "<script>alert(1)<|$b$ & `c`"
EMOTIONS = ("Angry", HOSTILE)
ABOUT = "Nobody is heard in <i>it</i>."
NOTE = "1 row lost all of its <b>votes</b>."

ROWS: dict[str, tuple[list[int], list[int], str, str, str, str]] = {
    # votes for Angry, for the hostile class, for Other; ratings of arousal; speaker, gender, split set, partition
    "a.wav": ([4, 0, 0], [3, 3, 3, 3], "1", "Female", "Train", "train"),
    "b.wav": ([3, 1, 0], [2, 3, 4, 3], "1", "Female", "Train", "train"),
    "c.wav": ([1, 1, 0], [5, 7], "2", "Male", "Train", "train"),
    "d.wav": ([0, 3, 1], [1, 1, 1, 2], "3", "Male", "Train", "dev"),
    "e.wav": ([1, 0, 3], [6, 6, 7, 7], "1", "Female", "Development", "test"),
    "f.wav": ([0, 1, 0], [4], "4", "", "Development", "test"),
    "g.wav": ([0, 0, 0], [], "", "", "Test3", ""),
}


def prepared(folder: Path, attributes: bool = True, voted: bool = True) -> Prepared:
    """The labels of `ROWS`, written to `folder`, and its votes; one utterance more has votes and no row."""
    names = pd.Index([*ROWS, "stranger.wav"], name="FileName")
    counts = np.array([*(row[0] for row in ROWS.values()), [5, 0, 0]], dtype=np.float64)
    rated = [*(row[1] for row in ROWS.values()), [7] * 5]
    ratings = {
        name: pd.DataFrame([[of.count(one) for one in range(1, 8)] for of in rated], index=names, dtype="float64")
        .set_axis([float(one) for one in range(1, 8)], axis="columns")
        for name in ("EmoAct", "EmoVal", "EmoDom")
    }  # fmt: skip
    votes = Votes(EMOTIONS, pd.DataFrame(counts, names, [*EMOTIONS, OTHER]), ratings if attributes else {})
    table = pd.DataFrame(votes.soft_targets(), columns=list(EMOTIONS))
    if attributes:
        table[list(ratings)] = votes.mean_ratings()
    table.insert(0, "FileName", names)
    table["EmoClass"] = votes.consensus()
    table = table[:-1].copy()
    for position, column in enumerate(("SpkrID", "Gender", "Split_Set", "Partition"), start=2):
        table[column] = [row[position] for row in ROWS.values()]
    labels = labels_from_table(folder / "labels.csv", table)
    write_labels(labels.source, labels)
    return Prepared(labels, votes if voted else None, [NOTE, "all is said"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data card with everything: recordings of 1, 2, 3 … seconds, of which one is missing and one is none."""
    out = tmp_path_factory.mktemp("corpus")
    for seconds, name in enumerate(ROWS, start=1):
        write_wav(out / "Audios" / name, np.zeros(16_000 * seconds, dtype=np.float32))
    (out / "Audios" / "d.wav").unlink()
    (out / "Audios" / "g.wav").write_text("silence")
    assert write_datacard(out, "seven clips", prepared(out), out / "Audios", ABOUT) == out / "datacard.html"
    return out


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is not JSON")


def read(folder: Path) -> dict[str, Any]:
    text = (folder / "datacard.json").read_text(encoding="utf-8")
    numbers: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return numbers


@pytest.fixture(scope="module")
def numbers(folder: Path) -> dict[str, Any]:
    return read(folder)


def by(records: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    return {record[key]: record for record in records}


# --- numbers ----------------------------------------------------------------------------------------


def test_what_the_card_is_about(folder: Path, numbers: dict[str, Any]) -> None:
    assert numbers["labels_sha256"] == sha256(folder / "labels.csv")
    assert (numbers["rows"], numbers["emotions"]) == (7, list(EMOTIONS))
    assert (numbers["missing_recordings"], numbers["unreadable_recordings"]) == (1, 1)
    assert numbers["notes"][:2] == [NOTE, "all is said"]
    assert numbers["notes"][2].endswith("no row in labels.csv, left out here: 1.")


def test_what_the_corpus_says_of_itself_stands_below_the_title_and_can_be_read(folder: Path, tmp_path: Path) -> None:
    (header,) = ET.fromstring((folder / "datacard.html").read_text(encoding="utf-8")).iter("header")
    assert [element.text for element in header][:2] == ["Data card: seven clips", ABOUT]
    assert read_about(folder / "labels.csv") == ABOUT
    assert read_about(tmp_path / "labels.csv") == ""
    (tmp_path / "datacard.json").write_text("{")
    with pytest.raises(UserError, match=r"datacard.json: .*; write it anew with `medusa prepare`"):
        read_about(tmp_path / "labels.csv")


def test_rows_classes_speakers_and_genders_are_counted(numbers: dict[str, Any]) -> None:
    parts = by(numbers["tables"]["partitions"], "partition")
    assert list(parts) == ["train", "dev", "test", "unlabelled", "all"]
    assert [part["rows"] for part in parts.values()] == [3, 1, 2, 1, 7]
    assert [part["speakers"] for part in parts.values()] == [2, 1, 2, 0, 4]
    train = parts["train"]
    assert [train[f"rows_per_speaker_{one}"] for one in ("min", "median", "max")] == [1, 1.5, 2]
    assert (train["rows_Female"], train["rows_Male"], train["rows_unknown"]) == (2, 1, 0)
    assert parts["unlabelled"]["rows_per_speaker_max"] is None
    assert parts["all"]["rows_without_speaker"] == 1

    classes = by(numbers["tables"]["classes"], "class")
    assert {name: row["all"] for name, row in classes.items()} == {"Angry": 2, HOSTILE: 2, "X": 1, "O": 1, "": 1}
    assert [classes["Angry"][part] for part in parts] == [2, 0, 0, 0, 2]
    splits = by(numbers["tables"]["split_sets"], "split_set")
    assert splits["Train"] == {"split_set": "Train", "train": 3, "dev": 1, "test": 0, "unlabelled": 0}


def test_durations_of_the_recordings_that_are_there(numbers: dict[str, Any]) -> None:
    lines = by(numbers["tables"]["durations"], "partition")
    assert lines["train"]["recordings"] == 3
    assert lines["train"]["hours"] == pytest.approx((1 + 2 + 3) / 3600)
    assert [lines["test"][one] for one in ("mean", "sd", "min", "median", "max")] == [5.5, 0.5, 5, 5.5, 6]
    assert (lines["dev"]["recordings"], lines["dev"]["mean"]) == (0, None)
    assert sum(numbers["histograms"]["durations"]["counts"]["train"]) == 3


def test_attributes_are_those_of_labels_csv(numbers: dict[str, Any]) -> None:
    arousal = by([row for row in numbers["tables"]["attributes"] if row["attribute"] == "arousal"], "partition")
    assert arousal["train"]["mean"] == pytest.approx((3 + 3 + 6) / 3)
    assert arousal["train"]["sd"] == pytest.approx(math.sqrt(2))
    assert arousal["all"]["rows"] == 6
    assert "unlabelled" not in arousal


def test_votes_are_counted_and_only_those_of_the_corpus(numbers: dict[str, Any]) -> None:
    lines = by(numbers["tables"]["annotators"], "partition")
    assert list(lines) == ["train", "dev", "test", "all"]
    every = lines["all"]
    assert (every["utterances"], every["votes"]) == (6, 19)
    assert (every["annotators_min"], every["annotators_max"]) == (1, 4)
    assert every["annotators_mean"] == pytest.approx(19 / 6)
    assert every["votes_for_other"] == pytest.approx(4 / 19)
    quarter = -0.25 * math.log2(0.25) - 0.75 * math.log2(0.75)
    assert lines["train"]["entropy_bits_mean"] == pytest.approx((0 + quarter + 1) / 3)
    assert by(numbers["tables"]["strengths"], "partition")["all"] == {
        "partition": "all",
        "unanimous": 1,
        "two thirds or more": 3,
        "more than half": 0,
        "half or less": 0,
        "tie": 1,
        "one vote only": 1,
    }
    assert numbers["histograms"]["annotators"] == {
        "of": "votes for an utterance",
        "edges": [0.5, 1.5, 2.5, 3.5, 4.5],
        "counts": {"all": [1, 1, 0, 4]},
    }


def test_entropy_is_that_of_the_targets_which_may_count_more_than_the_votes(tmp_path: Path) -> None:
    ready = prepared(tmp_path)
    table = ready.labels.table.copy()
    table.loc[table["Partition"] != "", list(EMOTIONS)] = 0.5
    write_datacard(tmp_path, "even", ready._replace(labels=replace(ready.labels, table=table)), audio=None)
    lines = by(read(tmp_path)["tables"]["annotators"], "partition")
    assert {part: line["entropy_bits_mean"] for part, line in lines.items()} == dict.fromkeys(lines, 1)


def test_alpha_and_what_annotators_said_by_class(numbers: dict[str, Any]) -> None:
    alpha = by(numbers["tables"]["alpha"], "measure")
    # train, nominal: 4+0, 3+1, 1+1 votes. Within: (0 + 2*3/3 + 2*1/1)/10; among all: 2*8*2/(10*9).
    assert alpha["emotions and Other (nominal)"]["train"] == pytest.approx(1 - (4 / 10) / (32 / 90))
    assert set(alpha) == {
        "emotions and Other (nominal)",
        *(f"{n} (interval)" for n in ("arousal", "valence", "dominance")),
    }
    # dev, arousal: 1, 1, 1, 2 by four people: one utterance, so what is within is what is among all.
    assert alpha["arousal (interval)"]["dev"] == pytest.approx(0)
    shares = by(numbers["tables"]["vote_shares"], "class")
    assert shares["Angry"]["Angry"] == pytest.approx((1 + 0.75) / 2)
    assert shares["O"] == {"class": "O", "utterances": 1, "Angry": 0.25, HOSTILE: 0, OTHER: 0.75}


# --- pages ------------------------------------------------------------------------------------------


def test_the_page_is_well_formed_loads_nothing_and_escapes_what_it_is_told(folder: Path) -> None:
    page = (folder / "datacard.html").read_text(encoding="utf-8")
    document = ET.fromstring(page)
    assert all(not list(document.iter(tag)) for tag in ("script", "link", "iframe"))
    images = [image.attrib["src"] for image in document.iter("img")]
    assert len(images) == 7
    assert all(source.startswith("data:image/png;base64,") for source in images)
    text = "".join(document.itertext())
    assert NOTE in text
    assert "All is said." in text
    assert "1 of 4 speakers are in more than one partition (1)" in text
    assert "1 of 7 rows have no recording, for example d.wav" in text
    assert "1 of 7 rows have a file that is no audio, for example g.wav" in text
    assert not re.search(r"\b(nan|None|NaT|inf)\b", text)


def test_pictures_of_the_markdown_page_lie_beside_it(folder: Path) -> None:
    page = (folder / "datacard.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\(([^)]*\.png)\)", page)
    assert sorted(named) == sorted(f"datacard/{path.name}" for path in (folder / "datacard").iterdir())
    assert len(named) == 7
    assert "<script>" not in page


def test_the_same_corpus_gives_the_same_bytes_elsewhere(folder: Path, tmp_path: Path) -> None:
    write_datacard(tmp_path, "seven clips", prepared(tmp_path), folder / "Audios", ABOUT)
    for path in sorted(tmp_path.rglob("*.*")):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes(), path.name


def test_what_a_corpus_has_not_is_left_out_and_said(tmp_path: Path) -> None:
    write_datacard(tmp_path, "plain", prepared(tmp_path, attributes=False, voted=False), audio=None)
    found = read(tmp_path)
    assert set(found["tables"]) == {"classes", "partitions", "split_sets"}
    assert set(found["histograms"]) == {"entropy"}  # soft targets need no votes
    page = (tmp_path / "datacard.html").read_text(encoding="utf-8")
    assert "not what each annotator said" in page
    assert "Not measured" in page
    assert "Attributes" not in page


def test_recordings_that_are_all_missing_are_counted(tmp_path: Path) -> None:
    write_datacard(tmp_path, "silent", prepared(tmp_path), tmp_path / "nowhere")
    found = read(tmp_path)
    assert found["missing_recordings"] == 7
    assert "durations" not in found["tables"]


def test_a_corpus_without_labels_speakers_or_votes_has_a_card(tmp_path: Path) -> None:
    table = pd.DataFrame({"FileName": ["a.wav", "b.wav"], "Angry": "", "Sad": ""})
    labels = labels_from_table(tmp_path / "labels.csv", table)
    write_labels(labels.source, labels)
    write_datacard(tmp_path, "bare", Prepared(labels, None, []), audio=None)
    found = read(tmp_path)
    assert by(found["tables"]["partitions"], "partition")["all"]["rows"] == 2
    assert found["histograms"] == {}
    assert "Speakers are unknown" in (tmp_path / "datacard.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("said", "drawn"), [(3, {"annotators"}), (0, set())])
def test_a_corpus_whose_annotators_named_no_emotion_has_a_card(tmp_path: Path, said: int, drawn: set[str]) -> None:
    """All said Other, or nobody said anything."""
    names = pd.Index(["a.wav", "b.wav"], name="FileName")
    votes = Votes(EMOTIONS, pd.DataFrame([[0.0, 0.0, float(said)]] * 2, names, [*EMOTIONS, OTHER]), {})
    labels = labels_from_table(tmp_path / "labels.csv", pd.DataFrame({"FileName": names, "Angry": "", HOSTILE: ""}))
    write_labels(labels.source, labels)
    write_datacard(tmp_path, "unsaid", Prepared(labels, votes, []), audio=None)
    assert set(read(tmp_path)["histograms"]) == drawn
    ET.fromstring((tmp_path / "datacard.html").read_text(encoding="utf-8"))


def test_an_older_card_does_not_outlive_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = prepared(tmp_path)
    write_datacard(tmp_path, "old", ready, audio=None)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("medusa.evaluation.datacard.read_durations", stop)
    with pytest.raises(KeyboardInterrupt):
        write_datacard(tmp_path, "new", ready, tmp_path)
    assert not list(tmp_path.glob("datacard.*"))
