import hashlib
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from medusa.__main__ import main
from medusa.corpora.labels import read_labels
from medusa.corpora.msp_layout import write_msp_layout
from medusa.corpora.synthetic import plan
from medusa.corpora.transcripts import read_transcripts
from medusa.files import read_json

EMOTION_CODES = range(1, 9)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Twelve actors, one recording of each emotion."""
    folder = tmp_path / "my audio"
    folder.mkdir()
    for actor in range(1, 13):
        for code in EMOTION_CODES:
            (folder / f"03-01-{code:02d}-01-01-01-{actor:02d}.wav").touch()
    return folder


def test_prepare_writes_labels_and_shows_them(audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    main(["prepare", "ravdess", "--audio", str(audio), "--out", str(out), "--folds", "4", "--fold", "3"])
    labels = read_labels(out / "labels.csv")
    assert set(labels.partition("test").table["SpkrID"]) == {"04", "08", "12"}

    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [*labels.emotions, "rows"] in shown
    assert ["train", *["5"] * 8, "40"] in shown
    assert ["dev", *["4"] * 8, "32"] in shown
    assert ["test", *["3"] * 8, "24"] in shown
    assert ["test:", "3", "speakers", "(04", "08", "12)"] in shown
    assert shown[-1][:3] == ["next:", "python", "extract_features.py"]
    assert f"'paths.audio={audio}'" in " ".join(shown[-1])


def test_a_data_card_lies_beside_the_labels(audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["prepare", "ravdess", "--audio", str(audio), "--out", str(out)]
    main(command)
    assert f"data card: {out / 'datacard.html'}" in capsys.readouterr().out.splitlines()
    assert "<h1>Data card: RAVDESS</h1>" in (out / "datacard.html").read_text(encoding="utf-8")
    assert read_json(out / "datacard.json")["unreadable_recordings"] == 12 * len(EMOTION_CODES)
    main([*command, "--no-durations"])
    assert read_json(out / "datacard.json")["unreadable_recordings"] is None


def test_what_the_labels_were_made_from_stands_beside_them(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("FileName,Angry,Sad\na.wav,3,1\nb.wav,0,2\nc.wav,1,4\n", encoding="utf-8")
    (tmp_path / "audio").mkdir()
    words = ["--table", str(table), "--audio", str(tmp_path), "--out", str(tmp_path / "out"), "--no-durations"]
    main(["prepare", "csv", *words])
    told = json.loads((tmp_path / "out/provenance.json").read_text(encoding="utf-8"))
    assert told["inputs"] == [{"file": "mine.csv", "sha256": hashlib.sha256(table.read_bytes()).hexdigest()}]
    assert told["libraries"]["pandas"]


def test_the_same_command_writes_the_same_bytes(audio: Path, tmp_path: Path) -> None:
    for _ in range(2):
        command = ["prepare", "ravdess", "--audio", str(audio), "--out", str(tmp_path / "out")]
        main(command)
        first = (tmp_path / "out" / "labels.csv").read_bytes()
    main([*command[:-1], str(tmp_path / "elsewhere")])
    assert first == (tmp_path / "out" / "labels.csv").read_bytes()
    assert first == (tmp_path / "elsewhere" / "labels.csv").read_bytes()


def test_a_mistake_is_one_line_exit_code_2_and_leaves_the_old_labels(
    audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["prepare", "ravdess", "--audio", str(audio), "--out", str(tmp_path / "out")]
    main(command)
    before = (tmp_path / "out" / "labels.csv").read_bytes()
    (audio / "noise.wav").touch()
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(command)
    assert exit_.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert "noise.wav" in stderr
    assert (tmp_path / "out" / "labels.csv").read_bytes() == before


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["prepare"], ["prepare", "nonsense"], ["prepare", "ravdess"]])
def test_an_incomplete_command_line_shows_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: medusa" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["prepare", "--help"], ["prepare", "ravdess", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = f"""
import sys
from medusa.__main__ import main
try:
    main({arguments!r})
finally:
    print("loaded:", sorted({{"torch", "transformers", "librosa", "sklearn", "pandas"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "usage: medusa" in done.stdout
    assert "ravdess" in done.stdout if arguments[0] == "prepare" else "prepare" in done.stdout
    assert "loaded: []" in done.stdout


def test_ravdess_gets_what_is_said_beside_its_labels(audio: Path, tmp_path: Path) -> None:
    main(["prepare", "ravdess", "--audio", str(audio), "--out", str(tmp_path / "out"), "--folds", "4"])
    labels = read_labels(tmp_path / "out" / "labels.csv")
    transcripts = read_transcripts(tmp_path / "out" / "reference_transcripts.csv")
    assert transcripts == dict.fromkeys(labels.ids, "Kids are talking by the door")


def test_crema_d_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        f'"1{row:05d}",2,0,0,0,{row},0,"10{row:02d}_IEO_NEU_XX","{"A:N" if row == 2 else "N"}"' for row in range(2, 12)
    ]
    votes = tmp_path / "tabulatedVotes.csv"
    votes.write_text("\n".join(['"","A","D","F","H","N","S","fileName","emoVote"', *rows]) + "\n")
    demographics = tmp_path / "VideoDemographics.csv"
    demographics.write_text("\n".join(["ActorID,Sex", *(f"10{row:02d},Female" for row in range(2, 12))]) + "\n")
    inputs = ["--votes", str(votes), "--demographics", str(demographics), "--audio", str(tmp_path / "AudioWAV")]
    main(["prepare", "crema-d", *inputs, "--out", str(tmp_path / "out"), "--holdout", "0.3", "--dev", "0"])
    table = read_labels(tmp_path / "out" / "labels.csv").table
    assert table["Partition"].value_counts().to_dict() == {"train": 7, "test": 3}
    assert table["EmoClass"].value_counts().to_dict() == {"Neutral": 9, "X": 1}
    assert set(table["Gender"]) == {"Female"}
    shown = capsys.readouterr().out
    assert "1 of 10 clips are X" in shown
    assert "10 of 10 recordings are not in" in shown
    with pytest.raises(SystemExit):
        main(["prepare", "crema-d", *inputs, "--out", str(tmp_path / "out"), "--condition", "face"])
    assert "no votes on face" in capsys.readouterr().err


def test_a_table_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "mine.csv"
    rows = [f"{row}.wav,{'Sad' if row % 2 else 'Calm'},5,0,10,s{row // 2}" for row in range(20)]
    table.write_text("\n".join(["FileName,mood,EmoAct,EmoVal,EmoDom,SpkrID", *rows]) + "\n")
    command = ["prepare", "csv", "--table", str(table), "--audio", str(tmp_path), "--out", str(tmp_path / "out")]
    main([*command, "--class-column", "mood", "--emotions", "Calm", "Sad", "--scale", "0", "10", "--title", "Moods"])
    labels = read_labels(tmp_path / "out" / "labels.csv")
    assert labels.emotions == ("Calm", "Sad")
    assert set(map(tuple, labels.attribute_values())) == {(4, 1, 7)}
    assert labels.table["Partition"].value_counts().to_dict() == {"train": 14, "test": 4, "dev": 2}
    assert (labels.table.groupby("SpkrID")["Partition"].nunique() == 1).all()
    assert "split by speaker" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(command)
    error = capsys.readouterr().err
    assert error.startswith(f"error: {table}, line 2 ('0.wav'), mood: 'Calm': must be a number")
    assert error.count("\n") == 1


def test_msp_podcast_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "msp", tmp_path / "out"
    write_msp_layout(root, [clip.utterance for clip in plan(120, 4)])
    command = ["prepare", "msp-podcast", "--root", str(root), "--out", str(out), "--holdout", "0.2", "--dev", "0.1"]
    main(command)
    labels, written = read_labels(out / "labels.csv"), (out / "labels.csv").read_bytes()
    rows = labels.table["Partition"].value_counts().to_dict()
    assert rows[""] == 8
    assert rows["train"] > rows["test"] > rows["dev"] > 0
    assert labels.kept_votes().min() < 1
    shown = capsys.readouterr().out.splitlines()
    assert "no speaker is in two partitions" in shown
    assert "8 rows of Test3 have no labels" in shown
    paths = [f"paths.{name}={path}" for name, path in (
        ("labels", out / "labels.csv"), ("audio", root / "Audios"), ("transcripts", out / "transcripts.csv")
    )]  # fmt: skip
    words = ["python", "extract_features.py", "configs/features/whisper-asr.yaml", *paths]
    assert shown[-1] == f"next: {shlex.join(words)}"

    other = root / "Labels" / "labels_detailed_2.0.csv"
    main([*command, "--by", "utterance", "--secondary", "--seed", "2", "--annotations", str(other)])
    assert "split by utterance: speakers are in several partitions" in capsys.readouterr().out
    assert (out / "labels.csv").read_bytes() != written


def test_a_partition_that_lacks_a_class_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = tmp_path / "mine.csv", tmp_path / "out"
    rows = ["a.wav,Sad,train", "b.wav,Calm,train", "c.wav,Sad,dev", "d.wav,Sad,test", "e.wav,Calm,test"]
    table.write_text("\n".join(["FileName,EmoClass,Partition", *rows]) + "\n")
    main(["prepare", "csv", "--table", str(table), "--audio", str(tmp_path), "--out", str(out)])
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert warnings == ["warning: dev has no row of class Calm, but scoring needs every class"]
