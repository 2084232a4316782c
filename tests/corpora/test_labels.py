import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medusa.corpora.labels import Labels, labels_from_table, read_labels, utterance_id, write_labels
from medusa.errors import UserError

HEADER = "FileName,Angry,Sad,Neutral,EmoAct,EmoVal,EmoDom,EmoClass,SpkrID,Gender,Split_Set,Partition"
GOOD = [
    "a/1.wav,0.5,0.25,0.25,1,4.5,7,Angry,12,Male,Train,train",
    "a/2.wav,0.5,0.5,0,2,2,2,X,Unknown,,Train,train",
    "3.flac,0,0,1,3,3,3,O,13,Female,Development,dev",
    "test3_0001.wav,,,,,,,,,,Test3,",
]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_labels(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("MSP-PODCAST_3406_0004_0003.wav", "MSP-PODCAST_3406_0004_0003"),
        ("Actor_07/03-01-01.flac", "Actor_07/03-01-01"),
        ("v1.2/clip", "v1.2/clip"),
        ("a.b.wav", "a.b"),
    ],
)
def test_an_utterance_id_loses_the_extension_and_keeps_its_folders(file_name: str, expected: str) -> None:
    assert utterance_id(file_name) == expected


class TestReading:
    @pytest.fixture
    def labels(self, tmp_path: Path) -> Labels:
        return read_labels(write(tmp_path / "labels.csv", HEADER, *GOOD))

    def test_rows_are_found_by_utterance(self, labels: Labels) -> None:
        assert labels.ids == ["a/1", "a/2", "3", "test3_0001"]
        assert labels.emotions == ("Angry", "Sad", "Neutral")
        assert labels.attributes == ("EmoAct", "EmoVal", "EmoDom")
        assert labels.table.loc["3", "FileName"] == "3.flac"
        assert labels.table.loc["a/1", "SpkrID"] == "12"
        assert labels.table.loc["a/2", "Gender"] == ""

    def test_values(self, labels: Labels) -> None:
        nan = math.nan
        np.testing.assert_array_equal(labels.targets(), [[0.5, 0.25, 0.25], [0.5, 0.5, 0], [0, 0, 1], [nan] * 3])
        np.testing.assert_array_equal(labels.attribute_values(), [[1, 4.5, 7], [2, 2, 2], [3, 3, 3], [nan] * 3])

    def test_no_consensus_and_unlabelled_rows_have_no_class(self, labels: Labels) -> None:
        np.testing.assert_array_equal(labels.class_indices(), [0, -1, -1, -1])
        assert labels.class_indices().dtype == np.int64

    def test_partitions(self, labels: Labels) -> None:
        rows = {name: labels.partition(name).ids for name in ("train", "dev", "test", "unlabelled")}
        assert rows == {"train": ["a/1", "a/2"], "dev": ["3"], "test": [], "unlabelled": ["test3_0001"]}
        assert [labels.has(name) for name in rows] == [True, True, False, True]
        assert len(labels.partition("test")) == 0
        assert labels.partition("test").targets().shape == (0, 3)
        assert labels.partition("test").class_indices().shape == (0,)

    def test_an_unknown_partition_is_refused(self, labels: Labels) -> None:
        with pytest.raises(UserError, match="'Dev'; there are train, dev, test, unlabelled"):
            labels.partition("Dev")
        with pytest.raises(UserError, match="'Dev'"):
            labels.has("Dev")

    def test_the_order_of_attribute_columns_in_the_file_does_not_matter(self, tmp_path: Path) -> None:
        path = write(tmp_path / "l.csv", "FileName,EmoDom,A,EmoVal,B,EmoAct", "x.wav,1,0,2,1,3")
        labels = read_labels(path)
        np.testing.assert_array_equal(labels.attribute_values(), [[3, 2, 1]])
        assert labels.emotions == ("A", "B")

    def test_a_corpus_without_attributes(self, tmp_path: Path) -> None:
        labels = read_labels(write(tmp_path / "l.csv", "FileName,A,B,Partition", "x.wav,0,1,test", "y.wav,1,0,test"))
        assert labels.attributes == ()
        assert labels.attribute_values().shape == (2, 0)

    def test_a_missing_file_names_the_command_that_makes_it(self, tmp_path: Path) -> None:
        folder = tmp_path / "data"
        message = refusal(folder / "labels.csv")
        assert f"python -m medusa prepare CORPUS --out {folder} " in message


class TestReleasedFormat:
    HEADER = "FileName,Angry,Sad,Happy,EmoAct,EmoVal,EmoDom,Split_Set"
    ROWS = (
        "a.wav,0.2,0.5,0.3,1,2,3,Train",
        "b.wav,0.4,0.2,0.4,1,2,3,Development",
        "c.wav,0,0,1,1,2,3,Test",
        "d.wav,,,,,,,Test3",
        "e.wav,1,0,0,1,2,3,Train",
    )

    def test_class_is_the_argmax_and_partition_follows_split_set(self, tmp_path: Path) -> None:
        labels = read_labels(write(tmp_path / "l.csv", self.HEADER, *self.ROWS))
        assert list(labels.table["EmoClass"]) == ["Sad", "X", "Happy", "", "Angry"]
        assert list(labels.table["Partition"]) == ["train", "dev", "test", "", "train"]
        assert set(labels.table["SpkrID"]) == set(labels.table["Gender"]) == {""}
        np.testing.assert_array_equal(labels.class_indices(), [1, -1, 2, -1, 0])

    def test_shares_that_differ_in_their_last_digits_are_a_tie(self, tmp_path: Path) -> None:
        rows = ["a.wav,0.4000000000000001,0.4,0.2,1,1,1,Train", "b.wav,0.333,0.334,0.333,1,1,1,Train"]
        labels = read_labels(write(tmp_path / "l.csv", self.HEADER, *rows))
        assert list(labels.table["EmoClass"]) == ["X", "Sad"]

    def test_without_any_split_all_is_unlabelled(self, tmp_path: Path) -> None:
        labels = read_labels(write(tmp_path / "l.csv", "FileName,A,B", "x.wav,0,1"))
        assert labels.partition("unlabelled").ids == ["x"]
        assert list(labels.table["EmoClass"]) == ["B"]


class TestSums:
    def test_three_decimals_are_close_enough_and_become_exact(self, tmp_path: Path) -> None:
        labels = read_labels(
            write(tmp_path / "l.csv", "FileName,A,B,C", "x.wav,0.333,0.333,0.333", "y.wav,0.5,0.499,0")
        )
        np.testing.assert_allclose(labels.targets()[0], [1 / 3] * 3, rtol=1e-15)
        np.testing.assert_allclose(labels.targets()[1], np.array([0.5, 0.499, 0]) / 0.999, rtol=1e-15)

    def test_an_exact_row_is_left_alone(self, tmp_path: Path) -> None:
        shares = [0.1] * 10  # sums to 0.9999999999999999
        header = "FileName," + ",".join("ABCDEFGHIJ")
        labels = read_labels(write(tmp_path / "l.csv", header, "x.wav," + ",".join(map(str, shares))))
        assert labels.targets().tolist() == [shares]


def changed(line: str, column: str, value: str) -> str:
    cells = line.split(",")
    cells[HEADER.split(",").index(column)] = value
    return ",".join(cells)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("Angry", "-0.5", "Angry: -0.5: a probability cannot be negative"),
        ("Angry", "nan", "Angry: 'nan': not a finite number"),
        ("Angry", "inf", "Angry: 'inf': not a finite number"),
        ("Sad", "none", "Sad: 'none': not a number"),
        ("Sad", "", "Sad: empty while other emotions"),
        ("Neutral", "0.5", "must be 1"),
        ("EmoAct", "0.9", "EmoAct: 0.9: outside the scale 1-7"),
        ("EmoVal", "7.1", "EmoVal: 7.1: outside the scale 1-7"),
        ("EmoDom", "", "EmoDom: empty on a labelled row"),
        ("EmoClass", "Joy", "EmoClass: 'Joy': must be one of Angry, Sad, Neutral, X, O"),
        ("EmoClass", "", "EmoClass: '': must be one of"),
        ("Partition", "Train", "Partition: 'Train': must be train, dev, test or empty"),
        ("Partition", "unlabelled", "Partition: 'unlabelled': must be"),
        ("FileName", "", "FileName: empty"),
        ("FileName", "/a/2.wav", "must be a path relative to the audio folder"),
        ("FileName", "../2.wav", "must be a path relative"),
        ("FileName", "a/../2.wav", "must be a path relative"),
        ("FileName", "./2.wav", "must be a path relative"),
        ("FileName", "a//2.wav", "must be a path relative"),
        ("FileName", "a/..", "must be a path relative"),
        ("FileName", "C:/2.wav", "must be a path relative"),
        ("FileName", "a\\2.wav", "must be a path relative"),
        ("FileName", "a/1.wav", "FileName: names the same utterance as line 2 ('a/1.wav')"),
        ("FileName", "a/1.flac", "FileName: names the same utterance as line 2 ('a/1.wav')"),
    ],
)
def test_a_bad_cell_is_refused_with_line_name_and_column(tmp_path: Path, column: str, value: str, says: str) -> None:
    lines = [HEADER, GOOD[0], changed(GOOD[1], column, value), *GOOD[2:]]
    message = refusal(write(tmp_path / "labels.csv", *lines))
    assert "line 3" in message
    assert (value if column == "FileName" else "a/2.wav") in message.replace("\\\\", "\\")
    assert says in message


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (changed(GOOD[3], "Partition", "test"), "Angry: empty although the row is in a partition"),
        (changed(GOOD[3], "EmoClass", "Joy"), "EmoClass: 'Joy'"),
        (changed(GOOD[3], "EmoAct", "9"), "EmoAct: 9.0: outside"),
    ],
)
def test_unlabelled_rows_are_checked_too(tmp_path: Path, row: str, says: str) -> None:
    message = refusal(write(tmp_path / "labels.csv", HEADER, *GOOD[:3], row))
    assert "line 5 ('test3_0001.wav')" in message
    assert says in message


def test_a_fault_in_many_rows_says_how_many(tmp_path: Path) -> None:
    rows = [f"{n}.wav,2,0" for n in range(5)]
    assert refusal(write(tmp_path / "l.csv", "FileName,A,B", "ok.wav,1,0", *rows)).endswith("(and 4 more rows)")


@pytest.mark.parametrize("name", ["a b.wav", "..a.wav", "a../b.wav", "ü.wav", "=1+1.wav", "a,b.wav", 'a"b.wav', "NA"])
def test_unusual_names_inside_the_folder_are_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / "l.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["FileName", "A", "B"], [name, "1", "0"]])
    assert list(read_labels(path).table["FileName"]) == [name]


@pytest.mark.parametrize(
    ("header", "row", "says"),
    [
        ("File,A,B", "x.wav,0,1", "no column FileName"),
        ("FileName;A;B", "x.wav;0;1", "no column FileName"),
        ("FileName,A", "x.wav,1", "at least two emotions, found A"),
        ("FileName,EmoClass", "x.wav,A", "at least two emotions, found none"),
        ("FileName,A,A", "x.wav,0,1", "column A stands twice"),
        ("FileName,A,B,X", "x.wav,0,1,0", "column 'X'"),
        ("FileName,A,B,", "x.wav,0,1,0", "cannot be an emotion"),
        ("FileName,A,B,EmoAct,EmoDom", "x.wav,0,1,1,1", "has EmoAct, EmoDom but not EmoVal"),
        ("FileName,A,B,Transcript", "x.wav,0,1,hello", "Transcript: 'hello': not a number"),
        ("FileName,A,B", "x.wav,0,1,2", "more cells than the header"),
    ],
)
def test_a_bad_header_is_refused(tmp_path: Path, header: str, row: str, says: str) -> None:
    assert says in refusal(write(tmp_path / "labels.csv", header, row))


text = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)
shares = st.lists(st.floats(1e-9, 1), min_size=3, max_size=3).map(lambda v: [x / math.fsum(v) for x in v])
scale = st.lists(st.floats(1, 7), min_size=3, max_size=3)
part = text.map(lambda name: name.replace("/", "_").replace("\\", "_").replace(":", "_")).filter(
    lambda name: name not in ("", ".", "..")
)
names = st.lists(st.lists(part, min_size=1, max_size=2).map("/".join), unique_by=utterance_id, min_size=1, max_size=5)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    with_attributes = draw(st.booleans())
    rows = []
    for name in draw(names):
        labelled = draw(st.booleans())
        target = dict(zip(("Angry", "Very sad", "Neutral"), draw(shares) if labelled else [math.nan] * 3, strict=True))
        values = draw(scale) if labelled else [math.nan] * 3
        attributes = dict(zip(("EmoAct", "EmoVal", "EmoDom"), values, strict=True)) if with_attributes else {}
        rows.append(
            {"FileName": name}
            | target
            | attributes
            | {
                "EmoClass": draw(st.sampled_from(["Angry", "Very sad", "X", "O"])) if labelled else "",
                "SpkrID": draw(text),
                "Gender": draw(text),
                "Split_Set": draw(text),
                "Partition": draw(st.sampled_from(["train", "dev", "test", ""])) if labelled else "",
            }
        )
    return pd.DataFrame(rows)


@settings(deadline=None, max_examples=60)
@given(table=tables())
def test_writing_and_reading_gives_the_same_labels_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame
) -> None:
    folder = tmp_path_factory.mktemp("round")
    labels = labels_from_table(folder / "a.csv", table)
    write_labels(folder / "a.csv", labels)
    again = read_labels(folder / "a.csv")
    np.testing.assert_array_equal(again.targets(), table[list(labels.emotions)].to_numpy())
    pd.testing.assert_frame_equal(again.table, labels.table, check_exact=True)
    write_labels(folder / "b.csv", again)
    assert (folder / "a.csv").read_bytes() == (folder / "b.csv").read_bytes()


cells = st.one_of(
    text, st.sampled_from(["", "0", "1", "0.5", "nan", "-1", "1e400", "train", "X", "a.wav", "\x00", "1_0"])
)


@settings(deadline=None, max_examples=60)
@given(
    columns=st.lists(st.sampled_from([*HEADER.split(","), "B"]), unique=True, min_size=1).map(
        lambda c: ["FileName", *c]
    ),
    rows=st.lists(st.lists(cells, min_size=13, max_size=13), min_size=1, max_size=4),
)
def test_rubbish_is_refused_or_accepted_whole(columns: list[str], rows: list[list[str]]) -> None:
    columns = list(dict.fromkeys(columns))
    table = pd.DataFrame([row[: len(columns)] for row in rows], columns=columns, dtype="str")
    try:
        labels = labels_from_table(Path("labels.csv"), table)
    except UserError:
        return
    assert len(labels) == len(rows)
    targets = labels.targets()
    assert ((targets >= 0) | np.isnan(targets)).all()
    np.testing.assert_allclose(targets[~np.isnan(targets[:, 0])].sum(axis=1), 1, atol=2e-6)


class TestKeptVotes:
    """The optional column that weights a row."""

    def rows(self, tmp_path: Path, *cells: str) -> Path:
        lines = [f"{number}.wav,0.5,0.5,{cell}" for number, cell in enumerate(cells)]
        return write(tmp_path / "labels.csv", "FileName,Angry,Sad,KeptVotes", *lines)

    def test_it_is_a_share_per_row_and_1_where_it_is_empty(self, tmp_path: Path) -> None:
        labels = read_labels(self.rows(tmp_path, "0.25", "", "1", "0"))
        assert labels.emotions == ("Angry", "Sad")
        assert labels.kept_votes().tolist() == [0.25, 1, 1, 0]

    def test_it_is_written_as_it_was_read(self, tmp_path: Path) -> None:
        labels = read_labels(self.rows(tmp_path, "0.1", ""))
        write_labels(tmp_path / "again.csv", labels)
        again = read_labels(tmp_path / "again.csv")
        assert again.table.equals(labels.table)
        assert (tmp_path / "again.csv").read_text("utf-8").splitlines()[2].endswith(",")

    @pytest.mark.parametrize("cell", ["1.01", "-0.1", "all", "inf"])
    def test_what_is_no_share_is_refused(self, tmp_path: Path, cell: str) -> None:
        assert "line 3 ('1.wav'), KeptVotes" in refusal(self.rows(tmp_path, "1", cell))

    def test_a_corpus_without_it_has_no_such_column(self, tmp_path: Path) -> None:
        labels = read_labels(write(tmp_path / "labels.csv", HEADER, *GOOD))
        assert "KeptVotes" not in labels.table
        with pytest.raises(UserError, match=r"labels\.csv: no column KeptVotes, which weight_by_kept_votes needs"):
            labels.kept_votes()
