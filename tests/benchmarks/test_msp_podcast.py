import json
from pathlib import Path

import pytest

from benchmarks.msp_podcast import LAYOUTS, main, make_release, read_once
from medusa.corpora.labels import read_labels


def test_a_made_up_release_says_the_same_in_every_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.msp_podcast.WORKERS", 30)  # few enough to meet again by chance
    make_release(tmp_path, rows=40, annotations=230)
    found = []
    for file in LAYOUTS.values():
        measured = read_once(tmp_path, file, secondary=False)
        assert measured["seconds"] > 0
        assert 0.01 < measured["GiB"] < 20
        found.append(read_labels(tmp_path / "labels.csv").table)
    assert len(found[0]) == 40
    assert all(table.equals(found[0]) for table in found)


def test_the_table_has_a_line_for_each_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.record.RESULTS", tmp_path)
    monkeypatch.setattr("benchmarks.msp_podcast.measure", lambda *_: ({"seconds": 1.25, "GiB": 0.5}, "the same"))
    monkeypatch.setattr("sys.argv", ["msp_podcast.py", "--rows", "40", "--annotations", "200"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "200 annotations of 40 recordings"
    assert [line[:12].strip() for line in lines[2:5]] == list(LAYOUTS)
    assert [line.split()[-4:] for line in lines[2:5]] == [["1.2", "0.50", "1.2", "0.50"]] * 3
    kept = json.loads((tmp_path / "cpu" / "msp_podcast.json").read_text())["figures"]
    assert [figure["ratio"] for figure in kept.values()] == [48, 2] * 3
    assert kept["JSON: a minute / reading"]["annotations"] == 200


def test_layouts_that_say_different_things_are_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.record.RESULTS", tmp_path)
    monkeypatch.setattr("benchmarks.msp_podcast.measure", lambda _, file, __: ({"seconds": 1.25, "GiB": 0.5}, file))
    monkeypatch.setattr("sys.argv", ["msp_podcast.py", "--rows", "40", "--annotations", "200"])
    with pytest.raises(AssertionError, match="differ"):
        main()
    assert not list(tmp_path.iterdir())
