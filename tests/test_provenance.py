import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medusa.provenance import _git, provenance, write_provenance


def describe(
    config: Mapping[str, Any] | None = None, inputs: Sequence[Path] = (), device: str = "cpu, 1 threads"
) -> dict[str, Any]:
    return provenance(config or {}, inputs, device)


def test_equal_runs_have_equal_provenance_whatever_the_order_of_keys() -> None:
    assert describe({"seed": 1, "name": "a"}) == describe({"name": "a", "seed": 1})
    assert describe({"seed": 1})["config_sha256"] != describe({"seed": 2})["config_sha256"]


def test_config_hash_is_that_of_the_sorted_json() -> None:
    assert describe({"b": 1, "a": "é"})["config_sha256"] == hashlib.sha256('{"a": "é", "b": 1}'.encode()).hexdigest()


def test_inputs_are_hashed_and_named_without_the_machines_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here/data").mkdir(parents=True)
    inside, outside = tmp_path / "here/data/labels.csv", tmp_path / "other.csv"
    inside.write_bytes(b"abc")
    outside.write_bytes(b"")
    monkeypatch.chdir(tmp_path / "here")
    found = describe(inputs=[inside, Path("data/labels.csv"), outside])
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert found["inputs"] == [
        {"file": "data/labels.csv", "sha256": abc},
        {"file": "data/labels.csv", "sha256": abc},
        {"file": "other.csv", "sha256": empty},
    ]
    assert str(tmp_path) not in json.dumps(found)


def test_libraries_are_those_python_would_import() -> None:
    assert describe()["libraries"]["numpy"] == np.__version__
    assert describe()["python"] == ".".join(map(str, sys.version_info[:3]))


def test_written_file_reads_back(tmp_path: Path) -> None:
    write_provenance(tmp_path, {"seed": 1}, [], "cpu, 2 threads")
    assert json.loads((tmp_path / "provenance.json").read_text("utf-8")) == describe({"seed": 1}, [], "cpu, 2 threads")


@pytest.fixture
def checkout(tmp_path: Path) -> tuple[Path, str]:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "code.py").write_text("1\n")
    git("add", ".")
    git("commit", "-qm", "first")
    return tmp_path.resolve(), git("rev-parse", "HEAD")


def test_git_commit_and_changes(checkout: tuple[Path, str]) -> None:
    root, commit = checkout
    assert _git(root) == {"commit": commit, "dirty": False}
    (root / "code.py").write_text("2\n")
    assert _git(root) == {"commit": commit, "dirty": True}


def test_a_folder_inside_somebody_elses_checkout_has_no_commit(checkout: tuple[Path, str]) -> None:
    root, _ = checkout
    (root / "site-packages").mkdir()
    assert _git(root / "site-packages") is None


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe()["git"] is None
