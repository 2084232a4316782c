"""Reading the same features in both ways, and the memory that ours takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.podcast import DIMS
from benchmarks.processes import alone
from benchmarks.store import check_same, memory_of_reading, write, write_store
from medusa.features.store import FeatureStore


def test_both_ways_hold_the_same_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIMS, "roberta", 4)
    written = write(tmp_path, "roberta", 16)
    check_same(written)
    lengths = [FeatureStore(written.store).frames(clip) for clip in written.ids]
    assert lengths == lengths[:2] * 8
    np.save(written.files[0], np.zeros((lengths[0], 4), np.float32))
    with pytest.raises(AssertionError):
        check_same(written)


def test_memory_is_that_of_reading_and_not_of_the_whole_store(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [2000] * 1500, 16)  # 96 MB; a batch has 1 MB
    grown = alone(memory_of_reading, tmp_path / "store")
    assert 1e6 < grown < 60e6
