"""Durations: of recordings written here, some of which are missing or no recordings."""

from pathlib import Path

import numpy as np

from medusa.audio import write_wav
from medusa.corpora.durations import read_durations


def test_seconds_in_the_order_asked_for_and_what_could_not_be_read(tmp_path: Path) -> None:
    lengths = {"b.wav": 0.5, "a/c.wav": 2.25, "d.wav": 1.0}
    for name, seconds in lengths.items():
        write_wav(tmp_path / name, np.zeros(round(16_000 * seconds), dtype=np.float32))
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not a recording")
    names = ["d.wav", "gone.wav", "a/c.wav", "empty.wav", "b.wav", "text.wav"]
    found = read_durations(tmp_path, names)
    np.testing.assert_array_equal(found.seconds, [1.0, np.nan, 2.25, np.nan, 0.5, np.nan])
    assert found.missing == ["gone.wav"]
    assert found.unreadable == ["empty.wav", "text.wav"]


def test_no_header_is_read_through_a_link_that_leads_outside(tmp_path: Path) -> None:
    write_wav(tmp_path / "elsewhere.wav", np.zeros(16_000, dtype=np.float32))
    audio = tmp_path / "audio"
    audio.mkdir()
    (audio / "link.wav").symlink_to(tmp_path / "elsewhere.wav")
    (tmp_path / "link").symlink_to(audio)  # the folder itself may be one
    write_wav(audio / "own.wav", np.zeros(8_000, dtype=np.float32))
    found = read_durations(tmp_path / "link", ["link.wav", "own.wav"])
    np.testing.assert_array_equal(found.seconds, [np.nan, 0.5])
    assert found.unreadable == ["link.wav"]
