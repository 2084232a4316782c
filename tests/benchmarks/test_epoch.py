"""An epoch from memory is the epoch from the store."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.epoch import MODALITIES, InMemory, Trainee, examples, write_stores
from benchmarks.podcast import DIMS


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for modality in MODALITIES:
        monkeypatch.setitem(DIMS, modality, 4)


def test_both_ways_train_on_the_same_batches(tmp_path: Path) -> None:
    stored = examples(write_stores(tmp_path, 20, 5), 20)
    losses = [
        Trainee(8, 4, torch.device("cpu")).epoch(held) for held in (stored, InMemory(stored, 4))
    ]  # fmt: skip
    assert losses[0] == losses[1]
    assert losses[0]["rows"] == 20


def test_memory_has_no_other_batches(tmp_path: Path) -> None:
    stored = examples(write_stores(tmp_path, 20, 5), 20)
    with pytest.raises(KeyError):
        Trainee(8, 4, torch.device("cpu")).epoch(InMemory(stored, 5))
