"""One folder in which everything has run, for the tests that damage copies of it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.workspace import contents, finish, restore


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "a work space"
    folder.mkdir()
    finish(folder)
    return folder


@pytest.fixture
def own(finished: Path) -> Iterator[Path]:
    """The folder, to be damaged: it is as it was afterwards."""
    before = contents(finished)
    yield finished
    for left in multiprocessing.active_children():  # of a test that failed: it would go on in the next one's folder
        left.kill()
        left.join()
    restore(finished, before)
