import subprocess
import sys
from pathlib import Path

import pytest

from medusa.__main__ import main
from medusa.corpora.labels import read_labels

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
