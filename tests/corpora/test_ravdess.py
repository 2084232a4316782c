import itertools
from pathlib import Path

import numpy as np
import pytest

from medusa.corpora.labels import read_labels, write_labels
from medusa.corpora.ravdess import EMOTIONS, prepare, reference_transcripts
from medusa.errors import UserError


def make_corpus(folder: Path, actors: range = range(1, 25), suffix: str = ".wav") -> None:
    """The published file names of the speech part, as empty files: neutral has no strong intensity."""
    for actor in actors:
        (folder / f"Actor_{actor:02d}").mkdir(parents=True)
        for emotion, intensity, statement, repetition in itertools.product(range(1, 9), (1, 2), (1, 2), (1, 2)):
            if (emotion, intensity) != (1, 2):
                name = f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}{suffix}"
                (folder / f"Actor_{actor:02d}" / name).touch()


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    make_corpus(folder)
    return folder


def test_counts_are_those_of_the_published_corpus(audio: Path) -> None:
    labels = prepare(audio, Path("labels.csv"))
    assert len(labels) == 1440
    assert labels.emotions == EMOTIONS
    assert labels.attributes == ()
    assert labels.table["EmoClass"].value_counts().to_dict() == {
        name: 96 if name == "Neutral" else 192 for name in EMOTIONS
    }
    assert labels.table["SpkrID"].nunique() == 24
    assert labels.table["Gender"].value_counts().to_dict() == {"Male": 720, "Female": 720}


def test_what_one_name_means(audio: Path) -> None:
    labels = prepare(audio, Path("labels.csv"), folds=5, fold=1)
    row = labels.table.loc["Actor_07/03-01-06-02-01-02-07"]  # strong fear, actor 7
    assert row["FileName"] == "Actor_07/03-01-06-02-01-02-07.wav"
    assert (row["EmoClass"], row["SpkrID"], row["Gender"], row["Partition"]) == ("Fear", "07", "Male", "test")
    assert [emotion for emotion in EMOTIONS if row[emotion] == 1] == ["Fear"]


@pytest.mark.parametrize(
    ("code", "emotion"),
    [(1, "Neutral"), (2, "Calm"), (3, "Happy"), (4, "Sad"), (5, "Angry"), (6, "Fear"), (7, "Disgust"), (8, "Surprise")],
)
def test_emotion_codes(audio: Path, code: int, emotion: str) -> None:
    row = prepare(audio, Path("labels.csv")).table.loc[f"Actor_02/03-01-{code:02d}-01-02-01-02"]
    assert row["EmoClass"] == emotion
    assert row[emotion] == 1


def test_targets_are_the_classes_as_one_hot(audio: Path) -> None:
    labels = prepare(audio, Path("labels.csv"))
    np.testing.assert_array_equal(labels.targets(), np.eye(8)[labels.class_indices()])


def test_what_is_said_stands_in_the_name(audio: Path) -> None:
    transcripts = reference_transcripts(prepare(audio, Path("labels.csv"))).set_index("FileName")["Transcript"]
    assert transcripts["Actor_07/03-01-06-02-01-02-07.wav"] == "Kids are talking by the door"
    assert transcripts["Actor_07/03-01-06-02-02-01-07.wav"] == "Dogs are sitting by the door"
    assert transcripts.value_counts().to_list() == [720, 720]


@pytest.mark.parametrize("fold", range(5))
def test_no_actor_is_in_two_partitions(audio: Path, fold: int) -> None:
    table = prepare(audio, Path("labels.csv"), folds=5, fold=fold).table
    assert (table.groupby("SpkrID")["Partition"].nunique() == 1).all()
    assert set(table["Partition"]) == {"train", "dev", "test"}
    assert set(table.loc[table["Partition"] == "test", "SpkrID"].astype(int) % 5) == {(fold + 1) % 5}


def test_the_layout_on_disk_changes_names_only(audio: Path, tmp_path: Path) -> None:
    for path in audio.rglob("*.wav"):
        (tmp_path / path.name).with_suffix(".FLAC").touch()
    flat, nested = prepare(tmp_path, Path("l.csv")), prepare(audio, Path("l.csv"))
    assert [name.split("/")[1] for name in nested.ids] == flat.ids
    without_name = [column for column in flat.table if column != "FileName"]
    assert flat.table[without_name].to_numpy().tolist() == nested.table[without_name].to_numpy().tolist()


def test_what_is_written_reads_back(audio: Path, tmp_path: Path) -> None:
    labels = prepare(audio, tmp_path / "labels.csv")
    write_labels(labels.source, labels)
    again = read_labels(labels.source)
    assert again.table.equals(labels.table)


def test_songs_and_films_are_skipped_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_corpus(tmp_path, range(1, 13))
    for name in ("03-02-03-01-01-01-01.wav", "01-01-03-01-01-01-01.wav", "02-01-03-01-01-01-01.wav"):
        (tmp_path / "Actor_01" / name).touch()
    (tmp_path / "Actor_01" / "._03-01-03-01-01-01-01.wav").touch()  # what macOS leaves in unpacked archives
    (tmp_path / "readme.txt").touch()
    assert len(prepare(tmp_path, Path("l.csv"))) == 12 * 60
    assert "skipped 3 recordings that are sung or filmed" in caplog.text


@pytest.mark.parametrize(
    "name",
    ["interview.wav", "03-01-09-01-01-01-01.wav", "03-01-01-01-01-01-25.wav", "03-01-01-01-01-01-00.wav",
     "03-01-01-01-01-01.wav", "03-01-01-01-01-01-01-01.wav", "03-01-01-01-01-01-01 (1).wav"],
)  # fmt: skip
def test_a_name_that_does_not_parse_is_refused(tmp_path: Path, name: str) -> None:
    make_corpus(tmp_path, range(1, 13))
    (tmp_path / name).touch()
    with pytest.raises(UserError, match="not a RAVDESS name") as caught:
        prepare(tmp_path, Path("l.csv"))
    assert str(tmp_path / name) in str(caught.value)


def test_a_recording_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    make_corpus(tmp_path, range(1, 13))
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "03-01-03-01-01-01-01.flac").touch()
    with pytest.raises(UserError, match=r"copy/03-01-03-01-01-01-01\.flac: the same recording as .*Actor_01"):
        prepare(tmp_path, Path("l.csv"))


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        prepare(tmp_path / "absent", Path("l.csv"))
    with pytest.raises(UserError, match="no spoken recordings"):
        prepare(tmp_path, Path("l.csv"))
