"""A release written by hand in every layout, and what it says worked out by hand."""

import csv
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medusa.corpora.labels import ATTRIBUTES, read_labels, write_labels
from medusa.corpora.msp_layout import EMOTIONS, labels_of, votes_of, write_msp_layout
from medusa.corpora.msp_podcast import _speaker, prepare
from medusa.corpora.synthetic import plan
from medusa.corpora.votes import Prepared
from medusa.errors import UserError


class Said(NamedTuple):
    """One annotation."""

    file: str
    worker: str
    primary: str
    secondary: str
    attributes: tuple[float, float, float]


AGREED, TIED = "MSP-PODCAST_0001_0001.wav", "MSP-PODCAST_3406_0004_0003.wav"
ALL_OTHER, OTHER, TEST1 = "MSP-PODCAST_0002_0007.wav", "MSP-PODCAST_0005_0001.wav", "MSP-PODCAST_0009_0001.wav"
SAID = [
    Said(AGREED, "W1", "Angry", "Angry,Sad,Annoyed", (1, 2, 3)),
    Said(AGREED, "W2", "Angry", "", (3, 2, 3)),
    Said(AGREED, "W3", "Sad", "Sad,Dissapointed", (3, 2, 3)),
    Said(AGREED, "W4", "Other-confused", "Confused,Fear", (5, 4, 4)),
    Said(TIED, "W1", "Happy", "Happy,Excited", (7, 7, 7)),
    Said(TIED, "W9", "Neutral", "Other", (6, 7, 6)),
    Said(ALL_OTHER, "W2", "Other-what: a thing, or two", "", (4, 4, 4)),
    Said(ALL_OTHER, "W3", "Other", "Other", (4, 4, 4)),
    Said(OTHER, "W2", "Other-bored", "Concerned", (4, 1, 4)),
    Said(OTHER, "W3", "Sad", "", (4, 2, 5)),
    Said(OTHER, "W4", "Other-not sure", "Concerned", (4, 3, 6)),
    Said(TEST1, "W4", "Neutral", "", (4, 4, 4)),
]
CONSENSUS = f"""FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
{AGREED},A,3.0,2.5,3.25,1,Female,Train
{TIED},X,6.5,7,6.5,Unknown,Unknown,Development
{ALL_OTHER},O,4,4,4,2,Male,Train
{OTHER},O,4.0,2.0,5.0,3,Male,Train
{TEST1},N,4,4,4,4,Male,Test1
"""
FIELDS = ("EmoClass_Major", "EmoClass_Second", *ATTRIBUTES)


def write(path: Path, rows: Iterable[Iterable[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def detail(said: Said) -> str:
    secondary = f" {said.secondary};" if said.secondary else ""
    act, val, dom = said.attributes
    return f"{said.worker}; {said.primary};{secondary} A:{act:.6f}; V:{val:.6f}; D:{dom:.6f};"


def one_field(labels: Path, said: Iterable[Said] = SAID) -> None:
    write(labels / "labels_detailed.csv", [["FileName", "EmoDetail"], *([one.file, detail(one)] for one in said)])


def by_column(labels: Path, said: Iterable[Said] = SAID, worker: str = "Workers") -> None:
    rows = ([one.file, one.worker, one.primary, one.secondary, *one.attributes] for one in said)
    write(labels / "labels_detailed.csv", [["FileName", worker, *FIELDS], *rows])


def by_worker_id(labels: Path) -> None:
    by_column(labels, worker="WorkerID")


def as_json(labels: Path, said: Iterable[Said] = SAID) -> None:
    nested: dict[str, dict[str, Any]] = {}
    for one in said:
        fields = dict(zip(FIELDS, (one.primary, one.secondary, *one.attributes), strict=True))
        nested.setdefault(one.file, {})[one.worker] = fields
    labels.mkdir(parents=True, exist_ok=True)
    (labels / "labels_detailed.json").write_text(json.dumps(nested), encoding="utf-8")


LAYOUTS = (one_field, by_column, by_worker_id, as_json)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The corpus above, its annotations in one field."""
    one_field(tmp_path / "Labels")
    (tmp_path / "Labels" / "labels_consensus.csv").write_text(CONSENSUS, encoding="utf-8")
    return tmp_path


def prepared(root: Path, **how: Any) -> Prepared:
    settings: dict[str, Any] = {"shares": {"test": 0.3}, "seed": 1} | how
    return prepare(root, root / "out.csv", **settings)


def targets(root: Path, **how: Any) -> dict[str, dict[str, float]]:
    """Soft target of each utterance that has one, without its zeros."""
    labels = prepared(root, **how).labels
    rows = zip(labels.table["FileName"], labels.targets().tolist(), strict=True)
    return {name: {e: v for e, v in zip(EMOTIONS, row, strict=True) if v > 0} for name, row in rows if row[0] >= 0}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# --- soft targets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_says_the_same(root: Path, layout: Callable[[Path], None]) -> None:
    (root / "Labels" / "labels_detailed.csv").unlink()
    layout(root / "Labels")
    labels = prepared(root).labels
    assert targets(root) == {
        AGREED: {"Angry": pytest.approx(2 / 3), "Sad": pytest.approx(1 / 3)},
        TIED: {"Happy": 0.5, "Neutral": 0.5},
        OTHER: {"Sad": 1.0},
        TEST1: {"Neutral": 1.0},
    }
    rows = labels.table.set_index("FileName")
    assert rows["KeptVotes"].to_dict() == {AGREED: 0.75, TIED: 1, ALL_OTHER: 0, OTHER: pytest.approx(1 / 3), TEST1: 1}
    assert rows["EmoClass"].tolist() == ["Angry", "X", "O", "O", "Neutral"]
    assert [rows.loc[AGREED, name] for name in ATTRIBUTES] == [3.0, 2.5, 3.25]
    assert rows["SpkrID"].tolist() == ["1", "", "2", "3", "4"]
    assert rows["Split_Set"].tolist() == ["Train", "Development", "Train", "Train", "Test1"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_secondary_emotion_shares_the_vote_of_its_annotator(root: Path, layout: Callable[[Path], None]) -> None:
    """AGREED: ½ Angry ½ Sad, Angry, Sad, ½ Other ½ Fear; Annoyed, Confused and Dissapointed are none of the eight."""
    (root / "Labels" / "labels_detailed.csv").unlink()
    layout(root / "Labels")
    found = targets(root, secondary=True)
    assert found[AGREED] == pytest.approx({"Angry": 1.5 / 3.5, "Sad": 1.5 / 3.5, "Fear": 0.5 / 3.5})
    assert found[TIED] == {"Happy": 0.5, "Neutral": 0.5}
    result = prepared(root, secondary=True)
    assert result.labels.table["KeptVotes"].iloc[0] == pytest.approx(3.5 / 4)
    assert any("Concerned 2" in note and "Dissapointed 1" in note for note in result.notes)
    assert result.votes is not None
    assert result.votes.counts.loc[AGREED, "Angry"] == 2  # the votes stay those of the main choice


def test_a_secondary_emotion_can_be_all_that_a_target_has(root: Path) -> None:
    afraid = (ALL_OTHER, "W3")
    one_field(root / "Labels", [one._replace(secondary="Other,Fear") if one[:2] == afraid else one for one in SAID])
    assert ALL_OTHER not in targets(root)
    assert targets(root, secondary=True)[ALL_OTHER] == {"Fear": 1.0}
    result = prepared(root, secondary=True)
    assert result.labels.table.set_index("FileName").loc[ALL_OTHER, "KeptVotes"] == 0.25  # half of one vote of two
    assert not any("only votes for Other" in note for note in result.notes)


def test_votes_and_ratings_are_counted_for_every_row_of_the_consensus_file(root: Path) -> None:
    votes = prepared(root).votes
    assert votes is not None
    assert votes.counts.index.tolist() == [AGREED, TIED, ALL_OTHER, OTHER, TEST1]
    np.testing.assert_array_equal(votes.counts.to_numpy()[0], [2, 1, 0, 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(votes.ratings["EmoAct"].columns.to_numpy(), [1, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(votes.ratings["EmoAct"].to_numpy()[0], [1, 2, 0, 1, 0, 0])
    np.testing.assert_allclose(votes.mean_ratings()[0], [3, 2.5, 3.25])


def test_a_row_with_nothing_but_other_has_no_target_and_no_partition(root: Path) -> None:
    result = prepared(root)
    row = result.labels.table.set_index("FileName").loc[ALL_OTHER]
    assert row[list(EMOTIONS)].isna().all()
    assert (row["Partition"], row["EmoClass"]) == ("", "O")
    assert "1 of 5 rows have only votes for Other: no target, in no partition" in result.notes
    assert "3 of 5 rows have votes for Other, which their soft target drops" in result.notes


@pytest.mark.parametrize(
    ("field", "primary", "secondary"),
    [
        ("W; Other-a; b; Concerned,Sad; A:1; V:2; D:3", "Other", {"Sad"}),
        ("W;Other-so: what;A:1;V:2;D:3;", "Other", set()),
        (" W ; Happy ; Happy , Dissapointed ,Fear ;  A: 1.0 ; V:2 ;D:3 ; ", "Happy", {"Fear"}),
        ("W; Happy; ; A:1; V:2; D:3;", "Happy", set()),
    ],
)
def test_odd_fields(root: Path, field: str, primary: str, secondary: set[str]) -> None:
    write(root / "Labels/labels_detailed.csv", [["FileName", "EmoDetail"], [TEST1, field], [OTHER, detail(SAID[0])],
                                                [TIED, detail(SAID[0])]])  # fmt: skip
    result = prepared(root)
    assert result.votes is not None
    assert result.votes.counts.loc[TEST1, primary] == result.votes.counts.loc[TEST1].sum() == 1
    assert [table.loc[TEST1].idxmax() for table in result.votes.ratings.values()] == [1, 2, 3]
    named = targets(root, secondary=True).get(TEST1, {})
    assert set(named) == secondary | ({primary} - {"Other"})


def test_byte_order_marks_and_windows_line_ends_change_nothing(root: Path) -> None:
    as_json(root / "Labels")
    (root / "Partitions.txt").write_text(f"Train; {AGREED}\nTest3; MSP-PODCAST_test3_0001.wav\n", encoding="utf-8")
    (root / "Speaker_ids.txt").write_text(f"Speaker_77; Female\n{TIED}; 77\n", encoding="utf-8")
    as_csv, from_json = prepared(root), prepared(root, annotations=root / "Labels/labels_detailed.json")
    for file in (*(root / "Labels").iterdir(), root / "Partitions.txt", root / "Speaker_ids.txt"):
        text = file.read_text(encoding="utf-8").replace("\r\n", "\n")
        file.write_bytes(("\ufeff" + text).replace("\n", "\r\n").encode("utf-8"))
    for before, annotations in ((as_csv, None), (from_json, root / "Labels/labels_detailed.json")):
        again = prepared(root, annotations=annotations)
        assert again.labels.table.equals(before.labels.table)
        assert again.notes == before.notes
    assert as_csv.labels.table.equals(from_json.labels.table)
    assert as_csv.labels.table["SpkrID"].iloc[1] == "77"


annotator = st.tuples(st.sampled_from([*EMOTIONS, "Other-x"]), st.sets(st.sampled_from([*EMOTIONS, "Other", "Amused"])))


@given(st.lists(st.lists(annotator, min_size=1, max_size=6), min_size=3, max_size=6), st.booleans())
@settings(max_examples=20, deadline=None)
def test_every_soft_target_sums_to_one(clips: list[list[tuple[str, set[str]]]], secondary: bool) -> None:
    said = [
        Said(f"MSP-PODCAST_{clip:04d}_1.wav", f"W{worker}", primary, ",".join(sorted(also)), (4, 4, 4))
        for clip, votes in enumerate([*clips, *([[("Sad", set[str]())]] * 2)])
        for worker, (primary, also) in enumerate(votes)
    ]
    files = dict.fromkeys(one.file for one in said)
    with tempfile.TemporaryDirectory() as folder:
        by_column(Path(folder, "Labels"), said)
        rows = [[name, "X", 4, 4, 4, number, "Female", "Train"] for number, name in enumerate(files)]
        write(Path(folder, "Labels/labels_consensus.csv"), [CONSENSUS.splitlines()[0].split(","), *rows])
        labels = prepared(Path(folder), secondary=secondary).labels
    for clip, votes in enumerate(clips):
        named = {primary for primary, _ in votes} | {name for _, also in votes if secondary for name in also}
        target = labels.targets()[clip]
        assert {name for name, share in zip(EMOTIONS, target, strict=True) if share > 0} == named & set(EMOTIONS)
        assert target.sum() == pytest.approx(1) if named & set(EMOTIONS) else np.isnan(target).all()


# --- partition --------------------------------------------------------------------------------------


def test_rows_of_other_splits_keep_their_target_and_have_no_partition(root: Path) -> None:
    result = prepared(root)
    rows = result.labels.table.set_index("FileName")
    assert rows["Partition"].to_dict().keys() - {ALL_OTHER, TEST1} == {AGREED, TIED, OTHER}
    assert set(rows.loc[[AGREED, TIED, OTHER], "Partition"]) == {"train", "test"}
    assert (rows.loc[TEST1, "Partition"], rows.loc[TEST1, "Neutral"]) == ("", 1)
    assert "labelled, but in no partition, neither trained on nor scored: Test1 1" in result.notes
    assert "1 rows of unknown speakers are kept together by podcast" in result.notes


@pytest.mark.parametrize("name", ["Partitions.txt", "Partition.txt"])
def test_test3_is_listed_without_labels(root: Path, name: str) -> None:
    lines = ["Test3; MSP-PODCAST_test3_0002.wav", f"Train; {AGREED}", "", "Test3;MSP-PODCAST_test3_0001.wav",
             "Train; MSP-PODCAST_8888_0001.wav"]  # fmt: skip
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = prepared(root)
    test3 = result.labels.table[result.labels.table["Split_Set"] == "Test3"]
    assert test3["FileName"].tolist() == ["MSP-PODCAST_test3_0001.wav", "MSP-PODCAST_test3_0002.wav"]
    assert test3[[*EMOTIONS, *ATTRIBUTES, "KeptVotes"]].isna().all(axis=None)
    assert (test3[["EmoClass", "SpkrID", "Gender", "Partition"]] == "").all(axis=None)
    assert any(note.startswith("1 files of the split list have no labels") for note in result.notes)


def test_without_a_list_test3_is_what_recordings_are_called(root: Path) -> None:
    (root / "Audios").mkdir()
    for name in ("MSP-PODCAST_test3_0003.wav", AGREED, "MSP-PODCAST_test3_0001.wav", "notes_test3.txt"):
        (root / "Audios" / name).touch()
    names = prepared(root).labels.table["FileName"].tolist()
    assert names[5:] == ["MSP-PODCAST_test3_0001.wav", "MSP-PODCAST_test3_0003.wav"]


speakers = st.sampled_from(["1", "2", "3", "17", "Unknown", ""])


@given(
    rows=st.lists(st.tuples(speakers, st.integers(1, 4), st.sampled_from("ASHNX")), min_size=8, max_size=40),
    shares=st.sampled_from([{"test": 0.2}, {"test": 0.2, "dev": 0.2}]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=20, deadline=None)
def test_no_speaker_and_no_podcast_of_unknown_speakers_is_in_two_partitions(
    rows: list[tuple[str, int, str]], shares: dict[str, float], seed: int
) -> None:
    rows = [*rows, ("90", 90, "A"), ("91", 91, "S"), ("92", 92, "H")]  # enough to fill every partition
    names = [f"MSP-PODCAST_{podcast:04d}_{number:04d}.wav" for number, (_, podcast, _) in enumerate(rows)]
    with tempfile.TemporaryDirectory() as folder:
        one_field(Path(folder, "Labels"), [Said(name, "W", "Sad", "", (4, 4, 4)) for name in names])
        table = [[name, row[2], 4, 4, 4, row[0], "", "Train"] for name, row in zip(names, rows, strict=True)]
        write(Path(folder, "Labels/labels_consensus.csv"), [CONSENSUS.splitlines()[0].split(","), *table])
        by_speaker = prepared(Path(folder), shares=shares, seed=seed).labels
        by_row = prepared(Path(folder), shares=shares, seed=seed, by="utterance").labels
    for labels in (by_speaker, by_row):
        parts = [set(labels.partition(name).ids) for name in ("train", *shares)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(rows)
    partition = by_speaker.table["Partition"].tolist()
    groups = [f"podcast {podcast}" if speaker in ("Unknown", "") else speaker for speaker, podcast, _ in rows]
    assert len(set(zip(groups, partition, strict=True))) == len(set(groups))


def test_what_is_written_reads_back_and_a_seed_is_a_file(root: Path) -> None:
    labels = prepared(root).labels
    write_labels(labels.source, labels)
    assert read_labels(labels.source).table.equals(labels.table)
    assert prepared(root).labels.table.equals(labels.table)


# --- notes and mistakes -----------------------------------------------------------------------------


def test_what_the_consensus_file_says_against_the_votes_is_reported(root: Path) -> None:
    edit(root / "Labels/labels_consensus.csv", f"{TIED},X,6.5,7", f"{TIED},H,6.5,6.7")
    result = prepared(root)
    assert f"1 of 5 rows have another EmoClass than most votes, for example {TIED}: Happy, votes: X" in result.notes
    largest = f"largest difference of an attribute from the mean of the votes: 0.3 (EmoVal of {TIED})"
    assert f"{largest}; more than 0.05 in 1 rows" in result.notes
    assert result.labels.table.set_index("FileName").loc[TIED, "EmoClass"] == "Happy"


def test_a_consensus_that_is_the_votes_is_not_complained_about(root: Path) -> None:
    notes = " ".join(prepared(root).notes)
    assert "0 of 5 rows have another EmoClass than most votes" in notes
    assert "more than 0.05 in 0 rows" in notes


def test_annotations_and_rows_without_each_other_are_counted(root: Path) -> None:
    said = [*(one for one in SAID if one.file != TEST1), Said("MSP-PODCAST_7777_0001.wav", "W", "Sad", "", (1, 1, 1))]
    one_field(root / "Labels", [*said, SAID[0]])
    result = prepared(root)
    assert "1 of 5 rows have no annotation: no target, in no partition" in result.notes
    assert any(note.startswith("1 annotations are not counted") and "7777" in note for note in result.notes)
    assert any(note.startswith("1 annotations are by an annotator of an earlier row") for note in result.notes)
    assert result.labels.table["KeptVotes"].isna().tolist() == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("consensus", "EmoClass", "Class", "no column EmoClass in the header (FileName, Class, EmoAct"),
        ("consensus", f"{TIED},X", f"{TIED},Q", f"line 3 ('{TIED}'), EmoClass: 'Q': must be one of A Angry, S Sad"),
        ("consensus", "3.0,2.5", "3.0,high", f"line 2 ('{AGREED}'), EmoVal: 'high': must be a number 1 ... 7"),
        ("consensus", "3.0,2.5", "3.0,", f"line 2 ('{AGREED}'), EmoVal: '': must be a number 1 ... 7"),
        ("consensus", "3.0,2.5", "3.0,7.5", f"line 2 ('{AGREED}'), EmoVal: '7.5': must be a number 1 ... 7"),
        ("consensus", OTHER, TIED, f"FileName: '{TIED}': stands in an earlier line"),
        (
            "consensus",
            OTHER,
            f"../{OTHER}",
            "line 5 ('../MSP-PODCAST_0005_0001.wav'), FileName: must be a path relative",
        ),
        (
            "detailed",
            "EmoDetail",
            "Detail",
            "no column Workers in the header (FileName, Detail); expected FileName, Emo",
        ),
        (
            "detailed",
            "W2; Angry;",
            "W2: Angry:",
            f"line 3 ('{AGREED}'), EmoDetail: 'W2: Angry: A:3.000000; V:2.000000;",
        ),
        ("detailed", "W2; Angry;", "W2, Angry;", "Expected 2 fields in line 3, saw 3"),
        ("detailed", "A:3.000000", "A:three", "A:three; V:2.000000; D:3.000000;': EmoAct must be a number 1 ... 7"),
        ("detailed", "V:2.000000", "V:8", "V:8; D:3.000000;': EmoVal must be a number 1 ... 7"),
        ("detailed", "W2; Angry;", "W2; Anger;", "the main choice must be one of Angry, Sad"),
        ("detailed", "W2; Angry;", "W2; ;", "the main choice must be one of Angry, Sad"),
        ("detailed", "W2; Angry;", "W2; Angry; Sad; Fear;", "must be of the form WORKER; emotion; secondary"),
    ],
)
def test_mistakes_are_named_by_file_line_and_recording(root: Path, file: str, old: str, new: str, says: str) -> None:
    path = root / "Labels" / f"labels_{file}.csv"
    edit(path, old, new)
    with pytest.raises(UserError) as caught:
        prepared(root)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "expected a JSON object, found list"),
        ({}, "no annotations in it"),
        ({AGREED: [1]}, f"'{AGREED}': expected {{annotator: {{EmoClass_Major, EmoClass_Second, EmoAct"),
        ({AGREED: {"W": {"EmoClass_Major": "Sad"}}}, f"'{AGREED}': expected"),
        ({AGREED: {"W": dict.fromkeys(FIELDS, 4)}}, f"'{AGREED}', 'W', EmoClass_Major: '4': the main choice must be"),
        ({AGREED: {"W": {**dict.fromkeys(FIELDS, "a"), "EmoClass_Major": "Sad"}}}, "EmoAct: 'a': EmoAct must be a num"),
        (
            {AGREED: {"W": {**dict.fromkeys(FIELDS, 4), "EmoClass_Major": "Sad", "EmoClass_Second": ["Sad", "Fear"]}}},
            f"'{AGREED}', 'W', EmoClass_Second: ['Sad', 'Fear']: must be text",
        ),
    ],
)
def test_mistakes_in_json_are_named_by_recording_and_annotator(root: Path, value: object, says: str) -> None:
    path = root / "votes.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        prepared(root, annotations=path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "lines", "says"),
    [
        ("Partitions.txt", f"Train; {AGREED}\nTest3; {AGREED}", f"'{AGREED}' is listed in Train and in Test3"),
        ("Partitions.txt", f"Development; {AGREED}", f"line 2 ('{AGREED}'), Split_Set: 'Train': "),
        ("Partitions.txt", f"Train, {AGREED}", f"Partitions.txt, line 1: 'Train, {AGREED}': expected two cells"),
        ("Speaker_ids.txt", "a; b; c", "Speaker_ids.txt, line 1: 'a; b; c': expected two cells"),
    ],
)
def test_mistakes_in_lists(root: Path, name: str, lines: str, says: str) -> None:
    (root / name).write_text(lines, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        prepared(root)
    assert says in str(caught.value)


def test_files_that_do_not_belong_together_are_refused(root: Path) -> None:
    one_field(root / "Labels", [Said("MSP-PODCAST_7777_0001.wav", "W", "Sad", "", (1, 1, 1))])
    with pytest.raises(UserError, match="annotates none of the recordings"):
        prepared(root)
    one_field(root / "Labels")
    (root / "Labels/labels_consensus.csv").write_text(
        CONSENSUS.replace(",Train", ",Test1").replace("Development", "Test2"), encoding="utf-8"
    )
    with pytest.raises(UserError, match="no row with a soft target in Train or Development or Validation"):
        prepared(root)
    with pytest.raises(UserError, match=r"labels_consensus\.csv: no such file; --root is the folder of the corpus"):
        prepared(root / "Labels")


# --- what this project writes itself -----------------------------------------------------------------


@pytest.mark.parametrize("file", ["labels_detailed.csv", "labels_detailed_2.0.csv", "labels_detailed.json"])
def test_the_synthetic_corpus_reads_back(tmp_path: Path, file: str) -> None:
    corpus = [clip.utterance for clip in plan(120, 4)]
    write_msp_layout(tmp_path, corpus)
    written = labels_of(corpus, tmp_path / "labels.csv").table
    result = prepared(tmp_path, annotations=tmp_path / "Labels" / file)
    read = result.labels.table.loc[written.index]
    assert len(result.labels) == len(written) == 120
    np.testing.assert_allclose(read[list(EMOTIONS)], written[list(EMOTIONS)], rtol=1e-12)
    for column in (*ATTRIBUTES, "EmoClass", "SpkrID", "Gender", "Split_Set"):
        assert read[column].equals(written[column]), column
    assert any(note.startswith("0 of ") and "another EmoClass" in note for note in result.notes)
    counted, plain = result.votes, votes_of(corpus)
    assert counted is not None
    assert counted.counts.equals(plain.counts)
    assert all(counted.ratings[name].equals(plain.ratings[name]) for name in ATTRIBUTES)


@pytest.mark.parametrize(
    ("cell", "speaker"),
    [("127", "127"), ("127.0", "127"), ("Speaker_127", "127"), (" Unknown", ""), ("unknown", ""), ("", "")],
)
def test_a_speaker_has_one_spelling(cell: str, speaker: str) -> None:
    assert _speaker(cell) == speaker
