"""CREMA-D: a small table in the format of tabulatedVotes.csv, read and compared with counts made by hand."""

import random
from pathlib import Path

import numpy as np
import pytest

from medusa.corpora.crema_d import prepare
from medusa.corpora.labels import read_labels, write_labels
from medusa.corpora.votes import Prepared
from medusa.errors import UserError

HEADER = '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote","meanEmoResp","meanAngerResp"'
CODES = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
SHARES = {"test": 0.25, "dev": 0.25}


def row(name: str, clip: str, counts: list[int], winner: str) -> str:
    total = sum(counts)
    cells = ",".join(map(str, counts))
    return f'"{name}",{cells},"{clip}",{total},{max(counts) / total:.15g},"{winner}",71.7272727272727,-1'


VOICE = [
    row("100001", "1001_IEO_NEU_XX", [0, 0, 0, 1, 10, 0], "N"),
    row("100002", "1001_IEO_HAP_LO", [4, 0, 0, 0, 4, 2], "A:N"),
    row("100003", "1002_IEO_SAD_HI", [0, 0, 1, 0, 0, 3], "S"),
    row("100004", "1040_ITH_SAD_XX", [1, 2, 3, 4, 0, 0], "H"),
    row("100005", "1003_TIE_ANG_MD", [5, 1, 1, 0, 0, 0], "A"),
]
FACE = [row("200001", "1001_IEO_NEU_XX", [0, 6, 0, 0, 0, 0], "D")]
DEMOGRAPHICS = '"ActorID","Age","Sex"\n1001,51,"Male"\n1002,21,"Female"\n1003,30,"Female"\n1040,40,"Male"\n'


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    return write(tmp_path, VOICE + FACE)


def write(folder: Path, rows: list[str], header: str = HEADER) -> Path:
    path = folder / "tabulatedVotes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def prepared(votes: Path, condition: str = "voice", demographics: Path | None = None) -> Prepared:
    folder = votes.parent
    return prepare(votes, folder / "AudioWAV", folder / "labels.csv", SHARES, 1, demographics, condition)


def test_targets_are_shares_of_the_votes_on_the_voice(votes: Path) -> None:
    labels = prepared(votes).labels
    assert labels.emotions == ("Angry", "Sad", "Happy", "Fear", "Disgust", "Neutral")
    assert labels.attributes == ()
    np.testing.assert_allclose(
        labels.targets(),
        [
            [0, 0, 1 / 11, 0, 0, 10 / 11],
            [0.4, 0.2, 0, 0, 0, 0.4],
            [0, 0.75, 0, 0.25, 0, 0],
            [0.1, 0, 0.4, 0.3, 0.2, 0],
            [5 / 7, 0, 0, 1 / 7, 1 / 7, 0],
        ],
        atol=1e-12,
    )
    assert labels.table["EmoClass"].tolist() == ["Neutral", "X", "Sad", "Happy", "Angry"]
    assert labels.table["SpkrID"].tolist() == ["1001", "1001", "1002", "1040", "1003"]
    assert set(labels.table["Gender"]) == {""}


def test_recordings_are_named_as_in_audiowav_which_misspells_one(votes: Path) -> None:
    names = prepared(votes).labels.table["FileName"].tolist()
    assert names[:2] == ["1001_IEO_NEU_XX.wav", "1001_IEO_HAP_LO.wav"]
    assert names[3] == "1040_ITH_SAD_X.wav"


def test_another_condition_has_other_votes(votes: Path) -> None:
    with pytest.raises(UserError, match="cannot be split"):
        prepared(votes, "face")  # one actor only
    everything = prepare(votes, Path("AudioWAV"), Path("labels.csv"), {}, 1, condition="face")
    assert everything.labels.table["EmoClass"].tolist() == ["Disgust"]
    with pytest.raises(UserError, match="no votes on both"):
        prepared(votes, "both")


def test_votes_are_given_under_the_names_of_the_labels(votes: Path) -> None:
    labels, voted, _ = prepared(votes)
    assert voted is not None
    assert voted.counts.index.tolist() == labels.table["FileName"].tolist()
    assert voted.counts.loc["1001_IEO_HAP_LO.wav"].to_dict() == {
        "Angry": 4, "Sad": 2, "Happy": 0, "Fear": 0, "Disgust": 0, "Neutral": 4, "Other": 0
    }  # fmt: skip
    assert voted.ratings == {}


def test_notes_say_how_many_votes_ties_and_missing_recordings(votes: Path) -> None:
    (votes.parent / "AudioWAV").mkdir()
    (votes.parent / "AudioWAV" / "1040_ITH_SAD_X.wav").touch()
    notes = prepared(votes).notes
    assert notes[0] == "votes on voice: 4 to 11 for each clip, mean 8.4"  # 11, 10, 4, 10, 7
    assert notes[1].startswith("1 of 5 clips are X")
    assert notes[2].startswith("4 of 5 recordings are not in")


def test_gender_is_the_actors(votes: Path, tmp_path: Path) -> None:
    demographics = tmp_path / "VideoDemographics.csv"
    demographics.write_text(DEMOGRAPHICS)
    table = prepared(votes, demographics=demographics).labels.table
    assert table["Gender"].tolist() == ["Male", "Male", "Female", "Male", "Female"]
    demographics.write_text(DEMOGRAPHICS.replace("1040,", "1041,"))
    with pytest.raises(UserError, match="no row for actor 1040"):
        prepared(votes, demographics=demographics)
    demographics.write_text("Actor,Sex\n1001,Male\n")
    with pytest.raises(UserError, match="no column ActorID"):
        prepared(votes, demographics=demographics)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_actor_is_in_two_partitions_and_the_seed_decides(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    rows: list[str] = []
    for actor in range(1001, 1021):
        for code in CODES:
            counts = [0] * 6
            counts[CODES.index(code)] = draw.randint(5, 9)
            rows.append(row(f"1{len(rows) + 1:05d}", f"{actor}_IEO_{code}_XX", counts, "ADFHNS"[CODES.index(code)]))
    votes = write(tmp_path, rows)

    def partition_of(seed: int) -> list[str]:
        labels = prepare(votes, tmp_path, tmp_path / "labels.csv", {"test": 0.2, "dev": 0.1}, seed).labels
        assert labels.table["Partition"].value_counts().to_dict() == {"train": 84, "test": 24, "dev": 12}
        assert (labels.table.groupby("SpkrID")["Partition"].nunique() == 1).all()
        return list(labels.table["Partition"])

    assert partition_of(seed) == partition_of(seed)
    assert partition_of(seed) != partition_of(seed + 1)


def test_what_is_written_reads_back(votes: Path) -> None:
    labels = prepared(votes).labels
    write_labels(labels.source, labels)
    assert read_labels(labels.source).table.equals(labels.table)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (row("100009", "1005_IEO_ANG_XX", [3, 2, 0, 0, 0, 0], "D"), "line 8 ('1005_IEO_ANG_XX'), emoVote: 'D': is not"),
        (row("100009", "1005_IEO_ANG_XX", [3, 3, 0, 0, 0, 0], "A"), "line 8 ('1005_IEO_ANG_XX'), emoVote: 'A': is not"),
        (row("100009", "1001_IEO_NEU_XX", [3, 0, 0, 0, 0, 0], "A"), "line 8 FileName: '1001_IEO_NEU_XX': stands twice"),
        (row("100009", "interview.wav", [3, 0, 0, 0, 0, 0], "A"), "line 8 FileName: 'interview.wav': must be such as"),
        (row("99", "1005_IEO_ANG_XX", [3, 0, 0, 0, 0, 0], "A"), "row name: '99': must be 1, 2 or 3 and five digits"),
        (row("100009", "1005_IEO_ANG_XX", [3, 0, 0, 0, 0, 0], "A").replace(",3,", ",3.5,", 1), "A: '3.5': must be a"),
        ('"100009",0,0,0,0,0,0,"1005_IEO_ANG_XX",0,0,"",0,-1', "has no vote in this condition"),
    ],
)
def test_a_wrong_row_is_refused_by_line_and_clip(tmp_path: Path, wrong: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        prepared(write(tmp_path, [*VOICE, *FACE, wrong]))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("header", "missing"), [(HEADER.replace('"",', '"row",'), "the row names"), (HEADER.replace('"S"', '"U"'), "S")]
)
def test_another_header_is_refused(tmp_path: Path, header: str, missing: str) -> None:
    with pytest.raises(UserError, match=f"no column for {missing}"):
        prepared(write(tmp_path, VOICE, header))


def test_a_missing_table_says_where_it_is_from(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; it is in the repository of CREMA-D"):
        prepared(tmp_path / "absent.csv")
