"""The naive way of extraction against ours, on models of one narrow layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import backbones, extraction
from benchmarks.backbones import KINDS, write_backbone
from benchmarks.extraction import Clips, Naive, check_same, main, our_backbone, write_store
from benchmarks.record import Record
from medusa.features.backbones import FeatureBackbone
from medusa.features.store import FeatureStore

CPU = torch.device("cpu")
NARROW: dict[str, dict[str, Any]] = {
    "_SPEECH": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "conv_dim": (8,) * 7},
    "_WHISPER": {
        "d_model": 32, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_attention_heads": 2,
        "decoder_ffn_dim": 32,
    },
    "_TEXT": {"hidden_size": 32, "num_attention_heads": 2},
}  # fmt: skip


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings, values in NARROW.items():
        for key, value in values.items():
            monkeypatch.setitem(getattr(backbones, settings), key, value)


def both(folder: Path, name: str) -> tuple[Naive, FeatureBackbone]:
    write_backbone(folder, name, 4)
    return Naive(folder, name, CPU), our_backbone(folder, name, CPU, None, "float32")


@pytest.mark.parametrize("name", KINDS)
def test_both_ways_give_the_same_features(name: str, tmp_path: Path) -> None:
    naive, ours = both(tmp_path, name)
    assert ours.config.batch_size == (32 if KINDS[name] == "text" else 8)
    check_same(naive, ours, Clips(3, name))


def test_the_check_sees_another_model(tmp_path: Path) -> None:
    naive, ours = both(tmp_path, "roberta")
    torch.nn.init.normal_(naive.model.embeddings.word_embeddings.weight)
    with pytest.raises(AssertionError):
        check_same(naive, ours, Clips(3, "roberta"))


def test_the_naive_way_attends_as_transformers_chooses(tmp_path: Path) -> None:
    naive, _ = both(tmp_path, "hubert")
    assert naive.model.config._attn_implementation == "sdpa"


def test_whisper_keeps_its_1500_frames_or_those_of_the_clip(tmp_path: Path) -> None:
    naive, _ = both(tmp_path, "whisper")
    clip = Clips(1, "whisper").read("clip00000")
    with torch.no_grad():
        assert naive.frames(clip).shape == (1500, 32)
        trimmed = Naive(tmp_path, "whisper", CPU, trim=True).frames(clip)
    assert trimmed.shape == (-(-len(clip) // 320), 32)
    assert trimmed.dtype == np.float32


def test_the_store_holds_every_clip_and_is_made_anew(tmp_path: Path) -> None:
    _, ours = both(tmp_path / "model", "roberta")
    clips = Clips(5, "roberta", distinct=2)
    for _ in range(2):
        write_store(ours, clips, tmp_path / "store")
    store = FeatureStore(tmp_path / "store")
    assert store.ids == clips.ids
    assert store.frames("clip00000") == store.frames("clip00004") == len(str(clips.read("clip00000")).split())


def test_figures_are_of_the_backbones_clips_and_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Record, "figure", lambda self, name, ratio, *_, **details: kept.update({name: details}))
    words = {"--backbones": "roberta", "--clips": "1", "--repeats": "1", "--layers": "4", "--threads": "1"}
    monkeypatch.setattr("sys.argv", ["extraction", *(word for pair in words.items() for word in pair)])
    monkeypatch.setattr(extraction, "fastest_precision", lambda device: "float32")
    kept: dict[str, dict[str, object]] = {}
    main()
    assert list(kept) == ["roberta: float32"]
    assert (kept["roberta: float32"]["clips"], kept["roberta: float32"]["batch_size"]) == (16, 32)
    monkeypatch.setattr(extraction, "fastest_precision", lambda device: "bf16")
    kept.clear()
    main()
    assert list(kept) == ["roberta: bf16", "roberta: float32, as configured"]
