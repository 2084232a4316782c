"""Stores against safetensors' own reader, against damage, and against themselves in another process."""

import errno
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from medusa.errors import UserError
from medusa.features.store import FeatureStore, StoreWriter, shard_path, storable

IDENTITY = {"name": "toy", "backbone": "none", "dim": 3, "shard_size": 2}


def features(count: int = 5) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(0)
    return {f"folder/clip{i}": draws.standard_normal((i + 1, 3)).astype(np.float32) for i in range(count)}


def write(path: Path, values: dict[str, np.ndarray]) -> StoreWriter:
    writer = StoreWriter(path, IDENTITY, list(values))
    for index, utterances in enumerate(writer.shards):
        writer.write(index, {utterance: values[utterance] for utterance in utterances})
    return writer


def test_values_come_back_as_float16(tmp_path: Path) -> None:
    values = features()
    write(tmp_path, values)
    store = FeatureStore(tmp_path)
    assert (store.name, store.dim, len(store), store.ids) == ("toy", 3, 5, sorted(values))
    assert "folder/clip1" in store
    assert "clip1" not in store
    for utterance, value in values.items():
        assert store.frames(utterance) == len(value)
        assert store.read(utterance).dtype == np.float16
        assert np.array_equal(store.read(utterance), value.astype(np.float16))


def test_shards_are_ordinary_safetensors_files(tmp_path: Path) -> None:
    values = features()
    write(tmp_path, values)
    held = {key: value for index in range(3) for key, value in load_file(shard_path(tmp_path, index)).items()}
    assert held.keys() == values.keys()
    assert all(np.array_equal(held[key], values[key].astype(np.float16)) for key in values)


def test_manifest_says_what_the_store_is(tmp_path: Path) -> None:
    write(tmp_path, features())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest.items() >= {**IDENTITY, "utterances": 5, "shards": 3}.items()
    listing = "\n".join(sorted(features()))
    assert manifest["utterances_sha256"] == hashlib.sha256(listing.encode()).hexdigest()


def test_bytes_are_the_same_in_another_process_and_order(tmp_path: Path) -> None:
    write(tmp_path / "here", features())
    code = f"""
import sys, numpy as np
from pathlib import Path
from medusa.features.store import StoreWriter
values = dict(reversed(list(np.load(sys.argv[1], allow_pickle=False).items())))
writer = StoreWriter(Path(sys.argv[2]), {IDENTITY}, list(values))
for index in reversed(range(3)):
    writer.write(index, {{key: values[key] for key in reversed(writer.shards[index])}})
"""
    np.savez(tmp_path / "values.npz", allow_pickle=False, **features())
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "values.npz"), str(tmp_path / "there")],
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        check=True,
    )
    files = sorted(file.name for file in (tmp_path / "here").iterdir())
    assert len(files) == 4
    for name in files:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes(), name


@settings(max_examples=25, deadline=None)
@given(frames=st.lists(st.integers(1, 9), min_size=1, max_size=7), size=st.integers(1, 4), dim=st.integers(1, 5))
def test_any_store_reads_back(tmp_path_factory: pytest.TempPathFactory, frames: list[int], size: int, dim: int) -> None:
    path = tmp_path_factory.mktemp("store")
    values = {f"u{i}": np.full((count, dim), i + 0.5) for i, count in enumerate(frames)}
    writer = StoreWriter(path, {"name": "toy", "dim": dim, "shard_size": size}, list(values))
    for index, utterances in enumerate(writer.shards):
        writer.write(index, {utterance: values[utterance] for utterance in utterances})
    store = FeatureStore(path)
    assert [store.read(u).tolist() for u in store.ids] == [values[u].tolist() for u in sorted(values)]


def read_in_worker(store: FeatureStore, utterance: str) -> list[list[float]]:
    values: list[list[float]] = store.read(utterance).tolist()
    return values


def test_another_process_can_be_handed_an_open_store(tmp_path: Path) -> None:
    write(tmp_path, features())
    store = FeatureStore(tmp_path)
    expected = read_in_worker(store, "folder/clip3")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(read_in_worker, (store, "folder/clip3")) == expected


def test_missing_store_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"extract_features\.py and the config of that name \(wavlm-large\.yaml"):
        FeatureStore(tmp_path / "wavlm-large")


def test_incomplete_store_is_counted(tmp_path: Path) -> None:
    write(tmp_path, features())
    shard_path(tmp_path, 1).unlink()
    with pytest.raises(UserError, match="2 of 3 shards"):
        FeatureStore(tmp_path)


def test_missing_utterance_points_at_the_failures(tmp_path: Path) -> None:
    write(tmp_path, features())
    with pytest.raises(UserError, match=r"absent.*another labels\.csv"):
        FeatureStore(tmp_path).read("absent")
    (tmp_path / "failures.csv").touch()
    with pytest.raises(UserError, match=r"absent.*failures\.csv"):
        FeatureStore(tmp_path).frames("absent")


def test_every_truncation_is_found(tmp_path: Path) -> None:
    write(tmp_path, features())
    shard = shard_path(tmp_path, 0)
    whole = shard.read_bytes()
    opened = FeatureStore(tmp_path)
    for length in (0, 4, 8, 60, len(whole) - 2):
        shard.write_bytes(whole[:length])
        with pytest.raises(UserError, match="shard-00000"):
            FeatureStore(tmp_path)
    with pytest.raises(UserError, match=r"shard-00000.*truncated"):
        opened.read("folder/clip1")
    shard.unlink()
    with pytest.raises(UserError, match="shard-00000"):
        opened.read("folder/clip0")


def test_every_flipped_value_is_found_on_reading(tmp_path: Path) -> None:
    write(tmp_path, features(2))
    shard = shard_path(tmp_path, 0)
    whole = shard.read_bytes()
    values = 2 * 3 * (1 + 2)
    for position in range(len(whole) - values, len(whole)):
        shard.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        store = FeatureStore(tmp_path)
        with pytest.raises(UserError, match=r"shard-00000.*checksum"):
            [store.read(utterance) for utterance in store.ids]


def test_another_store_in_the_same_place_is_refused_by_key(tmp_path: Path) -> None:
    write(tmp_path, features())
    with pytest.raises(UserError, match="backbone is 'none' there and 'other' now"):
        StoreWriter(tmp_path, {**IDENTITY, "backbone": "other"}, list(features()))
    with pytest.raises(UserError, match="utterances"):
        StoreWriter(tmp_path, IDENTITY, list(features(4)))
    with pytest.raises(UserError, match="extra"):
        StoreWriter(tmp_path, {**IDENTITY, "extra": 1}, list(features()))
    StoreWriter(tmp_path, IDENTITY, list(features()))


def test_missing_lists_what_a_shard_lacks(tmp_path: Path) -> None:
    values = features()
    writer = write(tmp_path, values)
    assert [writer.missing(index) for index in range(3)] == [[], [], []]
    writer.write(1, {"folder/clip2": values["folder/clip2"]})
    assert writer.missing(1) == ["folder/clip3"]
    shard_path(tmp_path, 1).write_bytes(b"damaged")
    assert writer.missing(1) == ["folder/clip2", "folder/clip3"]
    shard_path(tmp_path, 1).unlink()
    assert not writer.has(1)
    assert writer.missing(1) == ["folder/clip2", "folder/clip3"]


def test_a_shard_may_be_empty(tmp_path: Path) -> None:
    values = features()
    writer = write(tmp_path, values)
    writer.write(2, {})
    assert len(FeatureStore(tmp_path)) == 4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 70_000.0])
def test_values_that_do_not_fit_are_refused_by_name(tmp_path: Path, bad: float) -> None:
    values = features()
    values["folder/clip4"][1, 2] = bad
    with pytest.raises(UserError, match="folder/clip4"):
        write(tmp_path, values)


def test_the_largest_float16_fits_and_no_frames_do_not() -> None:
    assert storable("a", np.array([[65504.0, -65504.0]])).tolist() == [[65504.0, -65504.0]]
    with pytest.raises(UserError, match="no feature frame"):
        storable("a", np.zeros((0, 4)))


def test_a_wrong_width_is_a_programming_error(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, IDENTITY, ["a"])
    with pytest.raises(ValueError, match="shape"):
        writer.write(0, {"a": np.zeros((2, 4))})
    with pytest.raises(ValueError, match="does not belong"):
        writer.write(0, {"b": np.zeros((2, 3))})


def test_npy_directory_opens_through_the_same_class(tmp_path: Path) -> None:
    for utterance, value in features().items():
        path = tmp_path / "wavlm" / f"{utterance}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, value)
    store = FeatureStore(tmp_path / "wavlm")
    assert (store.name, store.dim, store.ids) == ("wavlm", 3, sorted(features()))
    assert store.manifest["dim"] == 3
    for utterance, value in features().items():
        assert store.frames(utterance) == len(value)
        assert np.array_equal(store.read(utterance), value.astype(np.float16))
        assert store.read(utterance).dtype == np.float16


@pytest.mark.parametrize(
    "bad",
    [
        np.array([[{"a": 1}]], dtype=object),
        np.zeros((1, 4, 3), np.float32),
        np.zeros((4, 2), np.float32),
        np.zeros((4, 3), np.int64),
        np.zeros((0, 3), np.float32),
        np.asfortranarray(np.ones((4, 3), np.float32)),
    ],
    ids=["objects", "three axes", "another width", "integers", "no frames", "by columns"],
)
def test_npy_files_of_other_shapes_are_named_and_never_unpickled(tmp_path: Path, bad: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3), np.float32))
    np.save(tmp_path / "b.npy", bad, allow_pickle=True)
    with pytest.raises(UserError, match=r"b\.npy"):
        FeatureStore(tmp_path)


def test_npy_overflow_and_damage_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", np.full((2, 3), 1e6, np.float32))
    with pytest.raises(UserError, match=r"big.*float16"):
        FeatureStore(tmp_path).read("big")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(UserError, match=r"text\.npy"):
        FeatureStore(tmp_path)


def test_a_failing_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NFS or a broken disk: the file opens, reading it fails."""
    write(tmp_path, features())
    store = FeatureStore(tmp_path)

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(UserError, match=r"shard-00000.safetensors: Input/output error; the disk may be failing"):
        store.read("folder/clip0")
