"""Anyone's table → labels, against numbers worked out by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medusa.corpora.labels import read_labels, write_labels
from medusa.corpora.table import prepare
from medusa.corpora.votes import Prepared
from medusa.errors import UserError
from medusa.files import write_csv

SHARES = {"test": 0.25, "dev": 0.25}
Columns = dict[str, Any]
"""Column by column, the cells of a table."""

PARTITIONS = ["train", "train", "dev", "test"]


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepared(
    columns: Columns,
    *,
    seed: int = 1,
    by: str | None = None,
    class_column: str | None = None,
    emotions: Sequence[str] = (),
    scale: tuple[float, float] | None = None,
) -> Prepared:
    """Write a table (FileName a.wav, b.wav, ... where none is given) and prepare it."""
    rows = len(next(iter(columns.values())))
    names = {"FileName": [f"{chr(97 + row)}.wav" for row in range(rows)]}
    write_csv(Path("table.csv"), pd.DataFrame(names | columns))
    return prepare(
        Path("table.csv"), Path("audio"), Path("labels.csv"), SHARES, seed, by, class_column, emotions, scale
    )


def test_percentages_are_shares_and_not_votes_of_a_hundred() -> None:
    labels, votes, _ = prepared({"Happy": [60, 0, 100, 0], "Angry": [40, 100, 0, 100], "Partition": PARTITIONS})
    np.testing.assert_array_equal(labels.targets()[0], [0.6, 0.4])
    assert votes is None


def test_counts_of_votes_become_shares_and_stay_at_hand() -> None:
    labels, votes, notes = prepared(
        {"Happy": [3, 0, 2, 0], "Angry": [1, 4, 2, 1], "Other": [4, 0, 1, 3], "Partition": PARTITIONS}
    )
    assert labels.emotions == ("Happy", "Angry")
    np.testing.assert_array_equal(labels.targets(), [[0.75, 0.25], [0, 1], [0.5, 0.5], [0, 1]])
    assert labels.table["EmoClass"].tolist() == ["O", "Angry", "X", "O"]
    assert labels.table["KeptVotes"].tolist() == [0.5, 1, 0.8, 0.25]
    assert labels.table["Partition"].tolist() == PARTITIONS
    assert votes is not None
    assert votes.counts.loc["a.wav"].to_dict() == {"Happy": 3, "Angry": 1, "Other": 4}
    assert notes[0] == "the emotion columns hold counts of votes: soft targets are their shares"


def test_probabilities_are_divided_by_their_sum_where_that_is_not_1_aloud() -> None:
    labels, votes, notes = prepared({"Sad": [0.2, 0.5, 0.1, 1], "Fear": [0.8, 1.5, 0.1, 0], "Partition": PARTITIONS})
    np.testing.assert_allclose(labels.targets(), [[0.2, 0.8], [0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], rtol=1e-15)
    assert labels.table["EmoClass"].tolist() == ["Fear", "Fear", "X", "Sad"]
    assert votes is None
    assert notes[0] == "2 rows did not sum to 1 and were divided by their sum: line 3, 4"


def test_one_hot_rows_are_no_votes() -> None:
    labels, votes, notes = prepared({"Sad": [1, 0, 1, 0], "Fear": [0, 1, 0, 1], "Partition": PARTITIONS})
    assert votes is None
    assert labels.table["EmoClass"].tolist() == ["Sad", "Fear", "Sad", "Fear"]
    assert not any("sum" in note for note in notes)


def test_rows_with_votes_for_other_only_leave_training_aloud() -> None:
    labels, _, notes = prepared(
        {"Sad": [1, 0, 2, 1], "Fear": [1, 0, 0, 0], "Other": [0, 3, 0, 0], "Partition": PARTITIONS}
    )
    assert np.isnan(labels.targets()[1]).all()
    assert labels.table["EmoClass"].tolist() == ["X", "O", "Sad", "Sad"]
    assert labels.table["Partition"].tolist() == ["train", "", "dev", "test"]
    assert "1 rows have no soft target and no partition: all that is given is for Other" in notes


def test_empty_rows_are_unlabelled() -> None:
    labels, votes, _ = prepared({"Sad": [2, "", 2, 1, 5], "Fear": [1, "", 0, 1, 5], "SpkrID": ["1", "", "2", "3", "4"]})
    assert labels.partition("unlabelled").table["FileName"].tolist() == ["b.wav"]
    assert votes is not None
    assert votes.counts.index.tolist() == ["a.wav", "c.wav", "d.wav", "e.wav"]


def test_a_class_that_the_table_gives_is_kept() -> None:
    table = prepared(
        {"Sad": [2, 1], "Fear": [1, 1], "EmoClass": ["X", "Fear"], "Partition": ["train", "test"]}
    ).labels.table
    assert table["EmoClass"].tolist() == ["X", "Fear"]


def test_classes_become_one_hot_in_the_papers_order_with_others_behind() -> None:
    labels, votes, notes = prepared(
        {
            "emotion": ["Calm", "Neutral", "Angry", "X", "Boredom", "", "O"],
            "Partition": ["train", "dev", "test", "train", "train", "", "dev"],
            "age": range(7),
        },
        class_column="emotion",
    )
    assert labels.emotions == ("Angry", "Neutral", "Boredom", "Calm")
    np.testing.assert_array_equal(labels.targets()[[0, 1, 2, 4]], np.eye(4)[[3, 1, 0, 2]])
    assert np.isnan(labels.targets()[[3, 5, 6]]).all()
    assert labels.table["EmoClass"].tolist() == ["Calm", "Neutral", "Angry", "X", "Boredom", "", "O"]
    assert labels.table["Partition"].tolist() == ["train", "dev", "test", "", "train", "", ""]
    assert votes is None
    assert "2 rows have no soft target and no partition: emotion is X or O" in notes
    assert "columns that were not used: age" in notes


def test_the_class_column_is_emoclass_where_no_column_can_be_an_emotion() -> None:
    labels = prepared({"EmoClass": ["Sad", "Happy"], "Partition": ["train", "test"]}).labels
    assert labels.emotions == ("Sad", "Happy")  # the paper's order


def test_emotions_can_be_named_and_ordered() -> None:
    columns: Columns = {"Sad": [2, 1], "words": ["a", "b"], "Fear": [2, 3], "Partition": ["train", "test"]}
    labels = prepared(columns, emotions=["Fear", "Sad"]).labels
    assert labels.emotions == ("Fear", "Sad")
    np.testing.assert_array_equal(labels.targets(), [[0.5, 0.5], [0.75, 0.25]])
    classes: Columns = {"c": ["Sad", "Fear"], "Partition": ["train", "test"]}
    assert prepared(classes, class_column="c", emotions=["Fear", "Sad", "Calm"]).labels.emotions == (
        "Fear",
        "Sad",
        "Calm",
    )
    with pytest.raises(UserError, match="each of another name; found Sad, Sad"):
        prepared(columns, emotions=["Sad", "Sad"])
    with pytest.raises(UserError, match="an emotion cannot be called Gender"):
        prepared(columns | {"Gender": [1, 1]}, emotions=["Sad", "Gender"])
    with pytest.raises(UserError, match=r"line 2 \('a\.wav'\), c: 'Sad': must be one of Fear, Calm, X, O, or empty"):
        prepared(classes, class_column="c", emotions=["Fear", "Calm"])


def test_attributes_are_brought_to_1_to_7() -> None:
    columns: Columns = {
        "Sad": [1, 2, 3], "Fear": [1, 1, 1], "Partition": ["train", "dev", "test"],
        "EmoAct": [1, 3, 5], "EmoVal": [2, 1.5, 5], "EmoDom": [1, 4, 2],
    }  # fmt: skip
    labels = prepared(columns, scale=(1, 5)).labels
    np.testing.assert_allclose(labels.attribute_values(), [[1, 2.5, 1], [4, 1.75, 5.5], [7, 7, 2.5]])
    np.testing.assert_array_equal(prepared(columns).labels.attribute_values()[0], [1, 2, 1])
    with pytest.raises(UserError, match=r"table\.csv, line 4 \('c\.wav'\), EmoAct: '5': outside --scale 0 4"):
        prepared(columns, scale=(0, 4))
    with pytest.raises(UserError, match="--scale 5 1: the lowest"):
        prepared(columns, scale=(5, 1))
    with pytest.raises(UserError, match="no column 'EmoDom'"):
        prepared({name: cells for name, cells in columns.items() if name != "EmoDom"}, scale=(1, 5))
    with pytest.raises(UserError, match=r"line 3 \('b\.wav'\), EmoVal: 'high':? not a number"):
        prepared(columns | {"EmoVal": [1, "high", 2]}, scale=(1, 5))


@settings(max_examples=30)
@given(st.floats(-1e3, 1e3), st.floats(0.1, 1e3), st.floats(0, 1))
def test_any_scale_ends_at_1_and_7(low: float, width: float, share: float) -> None:
    high = low + width
    between = min(max(low + share * width, low), high)
    attribute = {name: [low, high, between] for name in ("EmoAct", "EmoVal", "EmoDom")}
    columns = {"Sad": [1, 2, 3], "Fear": [1, 1, 1], "Partition": ["train", "dev", "test"], **attribute}
    values = prepared(columns, scale=(low, high)).labels.attribute_values()
    np.testing.assert_allclose(values[:, 0], [1, 7, 1 + 6 * (between - low) / width], atol=1e-6)


def corpus(speakers: int, rows_each: int) -> Columns:
    rows = speakers * rows_each
    return {
        "FileName": [f"{row}.wav" for row in range(rows)],
        "EmoClass": ["Sad" if row % 2 else "Happy" for row in range(rows)],
        "SpkrID": [f"s{row // rows_each}" for row in range(rows)],
    }


def test_a_split_keeps_speakers_whole_where_they_are_known() -> None:
    labels, _, notes = prepared(corpus(20, 4))
    assert (labels.table.groupby("SpkrID")["Partition"].nunique() == 1).all()
    assert labels.table["Partition"].value_counts().to_dict() == {"train": 40, "test": 20, "dev": 20}
    assert "split by speaker: nobody is in two partitions" in notes
    assert prepared(corpus(20, 4)).labels.table.equals(labels.table)
    assert not prepared(corpus(20, 4), seed=2).labels.table.equals(labels.table)


def test_a_split_by_utterance_is_said() -> None:
    columns = corpus(2, 40)
    labels, _, notes = prepared(columns, by="utterance")
    assert labels.table["Partition"].value_counts().to_dict() == {"train": 40, "test": 20, "dev": 20}
    assert any(note.startswith("split by utterance: where a speaker is in several partitions") for note in notes)
    del columns["SpkrID"]
    assert any(note.startswith("split by utterance") for note in prepared(columns).notes)
    with pytest.raises(UserError, match=r"line 2 \('0\.wav'\), SpkrID: '': must name the speaker; or split --by"):
        prepared(columns, by="speaker")


def test_a_partition_that_is_given_is_kept_and_one_follows_from_split_set() -> None:
    columns = {"EmoClass": ["Sad", "Happy", "Sad"], "Partition": ["test", "train", "dev"]}
    labels, _, notes = prepared(columns)
    assert labels.table["Partition"].tolist() == ["test", "train", "dev"]
    assert "the partition is the one that the table gives; no split was made" in notes
    split_set = {"EmoClass": ["Sad", "Happy", ""], "Split_Set": ["Development", "Train", "Test3"]}
    assert prepared(split_set).labels.table["Partition"].tolist() == ["dev", "train", ""]


def test_missing_recordings_are_said_and_what_is_written_reads_back() -> None:
    labels, _, notes = prepared(corpus(8, 2) | {"Gender": ["Male", "Female"] * 8})
    assert notes[-1].startswith("16 of 16 recordings are not in audio, for example 0.wav; ")
    assert labels.source == Path("labels.csv")
    assert "KeptVotes" not in labels.table
    write_labels(labels.source, labels)
    assert read_labels(labels.source).table.equals(labels.table)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"Sad": [1, 2], "Fear": [1, "x"]}, "table.csv, line 3 ('b.wav'), Fear: 'x': must be a number from 0 up"),
        ({"Sad": [1, 2], "Fear": [1, -1]}, "line 3 ('b.wav'), Fear: '-1': must be a number from 0 up"),
        ({"Sad": [1, 2], "Fear": ["inf", 1]}, "line 2 ('a.wav'), Fear: 'inf': must be a number from 0 up"),
        ({"Sad": [1, 2], "text": ["hm", "oh"]}, "name the emotion columns with --emotions, or one column of classes"),
        ({"Sad": [1, ""], "Fear": [1, 2]}, "line 3 ('b.wav'), Sad: '': must be 0, or all emotions of the row empty"),
        ({"Sad": [0, 2], "Fear": [0, 1]}, "line 2 ('a.wav'), Sad: '0': no emotion is above 0"),
        ({"Sad": [1, 2]}, "table.csv: needs at least two emotions, each of another name; found Sad"),
        ({"Sad": [1, 2], "Other": [1, 2]}, "needs at least two emotions, each of another name; found Sad"),
        ({"EmoClass": ["Sad", "Sad"]}, "table.csv: needs at least two emotions, each of another name; found Sad"),
        ({"Unnamed: 0": [0, 1], "Sad": [1, 2]}, "'Unnamed: 0', which cannot be an emotion; remove it"),
        ({"O": [0, 1], "Sad": [1, 2]}, "an emotion cannot be called O, which labels.csv uses otherwise"),
        ({"EmoClass": ["", ""], "Sad": ["", ""], "Fear": ["", ""]}, "no row has an emotion"),
        ({"SpkrID": ["1", "2"]}, "no column 'EmoClass'; the header has FileName, SpkrID"),
        ({"EmoClass": ["Sad", "Fear"], "Partition": ["train", "valid"]}, "line 3 ('b.wav'), Partition: 'valid'"),
        ({"EmoClass": ["Sad", "Fear"], "EmoAct": [1, 2]}, "has EmoAct but not EmoVal, EmoDom"),
        ({"FileName": ["a.wav", "a.flac"], "Sad": [1, 2], "Fear": [1, 1]}, "('a.flac'), FileName: names the same"),
        ({"FileName": ["a.wav", "../b.wav"], "Sad": [1, 2], "Fear": [1, 1]}, "line 3 ('../b.wav'), FileName: must be"),
        ({"EmoClass": ["Sad", "Fear"], "SpkrID": ["1", "2"]}, "2 speakers or groups of rows cannot be split into 3"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_in_one_line(columns: Columns, message: str) -> None:
    with pytest.raises(UserError) as caught:
        prepared(columns)
    assert message in str(caught.value)


def test_other_headers_are_refused() -> None:
    for text, message in [
        ("file,Sad,Fear\na.wav,1,2\n", "no column 'FileName'; the header has file, Sad, Fear"),
        ("FileName,Sad,Fear\na.wav,x,1,2\n", "rows have more cells than the header"),
    ]:
        Path("table.csv").write_text(text)
        with pytest.raises(UserError, match=message):
            prepare(Path("table.csv"), Path(), Path("labels.csv"), SHARES, 1)
    with pytest.raises(UserError, match="no column 'mood'; the header has FileName, EmoClass"):
        prepared({"EmoClass": ["Sad", "Fear"]}, class_column="mood")
