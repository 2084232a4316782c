from pathlib import Path

import pytest

from medusa.app.recordings import find_recordings, output_names
from medusa.errors import UserError


def test_folders_are_searched_to_any_depth_and_each_file_comes_once(tmp_path: Path) -> None:
    for name in ("b.wav", "a.FLAC", "x/y/c.mp3", "x/notes.txt", "d.m4a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_recordings([tmp_path / "b.wav", tmp_path, tmp_path / "absent.wav"])
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["b.wav", "a.FLAC", "d.m4a", "x/y/c.mp3", "absent.wav"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no recordings in this folder"):
        find_recordings([tmp_path / "empty"])


def test_what_cannot_be_read_is_kept_to_be_reported(tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to("nowhere")
    (tmp_path / "folder.wav").mkdir()
    too_long = tmp_path / ("x" * 300 + ".wav")
    assert find_recordings([tmp_path, too_long]) == [tmp_path / "link.wav", too_long]


def test_names_tell_recordings_apart() -> None:
    paths = [Path("r/one/a.wav"), Path("r/two/a.wav"), Path("r/one/b.wav"), Path("r/one/b.mp3"), Path("r/c.d.wav")]
    assert list(output_names(paths).values()) == ["one/a", "two/a", "one/b.wav", "one/b.mp3", "c.d"]
    assert output_names([Path("r/one/a.wav")]) == {Path("r/one/a.wav"): "a"}


def test_no_two_recordings_share_a_name() -> None:
    paths = [Path(name) for name in ("a.wav", "a.mp3", "a.wav.flac", "b.wav", "b.wav.flac", "c", "c.wav")]
    names = list(output_names(paths).values())
    assert len(set(names)) == len(paths)
    assert names[:3] == ["a.wav", "a.mp3", "a.wav.flac"]
