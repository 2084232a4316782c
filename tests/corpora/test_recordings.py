from pathlib import Path

from medusa.corpora.recordings import missing_recordings


def test_missing_recordings_are_counted_and_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/1.wav", "2.wav"):
        (tmp_path / name).touch()
    assert missing_recordings(tmp_path, ["a/1.wav", "2.wav"]) == []
    (note,) = missing_recordings(tmp_path, ["a/1.wav", "1.wav", "a", "2.wav"])  # a folder is no recording
    assert note.startswith(f"2 of 4 recordings are not in {tmp_path}, for example 1.wav; before")
    (note,) = missing_recordings(tmp_path / "absent", ["2.wav"])
    assert note.startswith("1 of 1 recordings")


def test_a_name_that_no_file_can_have_is_missing(tmp_path: Path) -> None:
    (found,) = missing_recordings(tmp_path, ["a" * 300 + ".wav"])
    assert found.startswith("1 of 1 recordings are not in ")
