import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medusa.errors import UserError
from medusa.files import (
    atomic_folder,
    atomic_path,
    copy_file,
    finish_swap,
    inside,
    lock,
    lock_file,
    read_csv,
    read_json,
    sha256,
    write_csv,
    write_json,
    write_text,
)


class TestAtomicPath:
    def test_a_folder_in_the_place_of_the_file_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="a folder, where a file is to be written"), atomic_path(tmp_path):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_file_in_the_place_of_its_folder_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match=r"file: cannot be made a folder"), atomic_path(tmp_path / "file" / "a.csv"):
            pass

    def test_the_old_file_stands_until_the_new_one_is_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("old")
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
        assert path.read_text() == "new"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_failure_leaves_the_old_file_and_no_rest(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("old")

        def break_off() -> None:
            with atomic_path(path) as temporary:
                temporary.write_text("half")
                raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            break_off()
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_missing_folders_are_made(self, tmp_path: Path) -> None:
        write_text(tmp_path / "a/b/c.txt", "x")
        assert (tmp_path / "a/b/c.txt").read_text() == "x"


def test_a_copy_of_nothing_is_refused_and_leaves_the_target(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("old")
    with pytest.raises(UserError, match=r"a\.txt: no such file; check the path"):
        copy_file(tmp_path / "a.txt", tmp_path / "b.txt")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("b.txt", "old")]


def test_text_is_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\nb\n"


class TestAtomicFolder:
    def test_the_old_folder_stands_until_the_new_one_is_whole_and_nothing_of_it_stays(self, tmp_path: Path) -> None:
        folder = tmp_path / "a"
        for name in ("first", "second"):
            with atomic_folder(folder) as fresh:
                assert list(fresh.iterdir()) == []
                (fresh / name).write_text(name)
                assert folder.exists() == (name == "second")
            assert [path.name for path in folder.iterdir()] == [name]
        assert list(tmp_path.iterdir()) == [folder]

    def test_a_failure_leaves_the_old_folder_and_no_rest(self, tmp_path: Path) -> None:
        folder = tmp_path / "a"
        folder.mkdir()
        (folder / "old").touch()

        def break_off() -> None:
            with atomic_folder(folder) as fresh:
                (fresh / "half").touch()
                raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            break_off()
        assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["a", "a/old"]

    def test_a_crash_between_the_renames_is_undone(self, tmp_path: Path) -> None:
        for name in (".a.old", ".a.new"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_text(name)
        finish_swap(tmp_path / "a")
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert (tmp_path / "a/file").read_text() == ".a.old"


class TestJson:
    def test_keys_keep_their_order_and_read_back(self, tmp_path: Path) -> None:
        value = {"z": 1, "a": {"é": [None, 0.1]}}
        write_json(tmp_path / "a.json", value)
        assert list(read_json(tmp_path / "a.json")) == ["z", "a"]
        assert json.loads((tmp_path / "a.json").read_text("utf-8")) == read_json(tmp_path / "a.json") == value

    def test_a_byte_order_mark_is_no_part_of_the_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
        assert read_json(tmp_path / "a.json") == {"a": 1}

    def test_the_remedy_is_that_of_who_asks(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text("{")
        with pytest.raises(UserError, match="delete it to have it made again"):
            read_json(tmp_path / "a.json")
        with pytest.raises(UserError, match="; get it anew"):
            read_json(tmp_path / "a.json", remedy="get it anew")

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [(b"{", "not readable as JSON"), (b"", "not readable"), (b"\xff", "not readable"), (b"[1]", "found list")],
    )
    def test_what_is_no_object_is_refused_by_name(self, content: bytes, complaint: str, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(UserError, match=rf"a\.json: .*{complaint}"):
            read_json(tmp_path / "a.json")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"a\.json: no such file"):
            read_json(tmp_path / "a.json")


class TestCsv:
    def test_cells_stay_the_text_they_are(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text('FileName,SpkrID\n001,NA\n"a, b",\n', encoding="utf-8")
        assert read_csv(tmp_path / "a.csv").values.tolist() == [["001", "NA"], ["a, b", ""]]

    def test_a_byte_order_mark_is_no_part_of_the_first_name(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfFileName\nx\n")
        assert list(read_csv(tmp_path / "a.csv").columns) == ["FileName"]

    def test_written_bytes(self, tmp_path: Path) -> None:
        table = pd.DataFrame({"FileName": ["a,b", "c"], "Happy": [1 / 3, 1.0]})
        write_csv(tmp_path / "a.csv", table, float_format="%.3f")
        assert (tmp_path / "a.csv").read_bytes() == b'FileName,Happy\n"a,b",0.333\nc,1.000\n'

    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
    def test_floats_survive_the_round_trip_bit_by_bit(
        self, tmp_path_factory: pytest.TempPathFactory, values: list[float]
    ) -> None:
        path = tmp_path_factory.mktemp("csv") / "a.csv"
        write_csv(path, pd.DataFrame({"value": values}))
        assert [float(cell) for cell in read_csv(path)["value"]] == values

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"", "not a CSV table"),
            (b"a,b\n", "no rows; make it"),
            (b"a,b\n1,2\n1,2,3\n", "not a CSV table.*line 3"),
            (b"a\n\xff\n", "not UTF-8 text"),
        ],
    )
    def test_what_is_no_table_is_refused_by_name(self, content: bytes, complaint: str, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(UserError, match=rf"(?s)a\.csv: .*{complaint}"):
            read_csv(tmp_path / "a.csv", "make it")

    def test_a_missing_file_comes_with_its_remedy(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"a\.csv: no such file; run prepare"):
            read_csv(tmp_path / "a.csv", "run prepare")


def test_sha256_of_the_standards_example(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(UserError, match=r"b: no such file; run the step that makes it first"):
        sha256(tmp_path / "b")


class TestLock:
    def test_another_process_is_refused_and_told_where(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from medusa.errors import command; from medusa.files import lock\n"
            "command(lambda: lock(Path(sys.argv[1]), 'training').__enter__())()"
        )
        with lock(tmp_path, "training"):
            other = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
        assert other.returncode == 2
        assert other.stderr.startswith(f"error: {tmp_path}: another process is training here")
        subprocess.run([sys.executable, "-c", code, tmp_path], check=True)

    def test_it_ends_with_a_process_that_is_killed(self, tmp_path: Path) -> None:
        code = (
            "import os, signal, sys; from pathlib import Path; from medusa.files import lock\n"
            "with lock(Path(sys.argv[1]), 'training'): os.kill(os.getpid(), signal.SIGKILL)"
        )
        assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
        with lock(tmp_path, "training"):
            pass

    def test_half_written_files_of_processes_that_are_gone_are_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Never those of one that lives, here or under another user, nor what anybody else calls so."""
        ask, others = os.kill, os.getppid()

        def kill(process: int, number: int) -> None:
            if process == others:
                raise PermissionError
            ask(process, number)

        with subprocess.Popen([sys.executable, "-c", ""]) as gone:
            pass
        for number in (gone.pid, 10**30):
            write_text(tmp_path / f"deep/.weights.{number}-0a1b2c3d.tmp", "half")
        kept = [f".mine.csv.{os.getpid()}-0a1b2c3d.tmp", f".theirs.csv.{others}-0a1b2c3d.tmp", ".draft.tmp", "a.tmp"]
        for name in kept:
            write_text(tmp_path / name, "whole")
        monkeypatch.setattr(os, "kill", kill)
        with lock(tmp_path, "training"):
            assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {".lock", *kept}


class TestInside:
    @pytest.mark.parametrize("name", ["a.wav", "Actor_01/a.wav", "a b.wav", "x/../a.wav", "..a.wav"])
    def test_names_below_the_root(self, name: str, tmp_path: Path) -> None:
        assert inside(tmp_path, name).resolve().is_relative_to(tmp_path.resolve())

    @pytest.mark.parametrize("name", ["..", "../a.wav", "x/../../a.wav", "/elsewhere/a.wav", "link/a.wav"])
    def test_names_that_leave_it(self, name: str, tmp_path: Path) -> None:
        root = tmp_path / "root"
        root.mkdir()
        (root / "link").symlink_to(tmp_path)
        with pytest.raises(UserError, match="leads outside"):
            inside(root, name)

    def test_a_sibling_whose_name_begins_like_the_root_is_outside(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="leads outside"):
            inside(tmp_path / "data", "../data-private/a.wav")


def test_rows_wider_than_the_header_are_refused(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text("FileName,Transcript\na.wav,hello, you\n")
    with pytest.raises(UserError, match=r"wide\.csv: rows have more cells than the header has names; quote cells"):
        read_csv(tmp_path / "wide.csv")


def test_a_file_name_is_held_by_one_process_and_nothing_stays(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.csv"
    refused = pytest.raises(UserError, match=r"out\.csv: another process is writing this file")
    with lock_file(out, "writing"), refused, lock_file(out, "writing"):
        pass
    with pytest.raises(KeyboardInterrupt), lock_file(out, "writing"):
        raise KeyboardInterrupt
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\x00"])
def test_json_that_python_cannot_hold_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json: not readable as JSON"):
        read_json(tmp_path / "a.json")
