"""Feature stores that are damaged, of another corpus or of another shape."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from tests.faults.workspace import Case, Damage, array, cell, change, folder_for, nothing, put, remove

TRAIN, TRAIN_NPY = ("train_deepser.py", "member.yaml", "name=fresh"), ("train_deepser.py", "npy.yaml")
EVAL = ("eval_deepser.py", "member.yaml")
STORE, NPY = "samples/features/speech", "samples/features/text-npy"
SHARD = f"{STORE}/shard-00000.safetensors"
FIRST = "MSP-PODCAST_0121_0003"
CLIP, ONE = "MSP-PODCAST_0121_0039", f"{NPY}/MSP-PODCAST_0121_0039.npy"
AGAIN = "run extract_features.py again"


def resealed(what: Callable[[dict[str, np.ndarray]], object]) -> Damage:
    """Change the values of a shard and give them right checksums: what another program may have written."""

    def damage(folder: Path) -> None:
        values = load_file(folder / SHARD)
        what(values)
        checksums = {name: zlib.crc32(np.ascontiguousarray(value).data) for name, value in values.items()}
        metadata = {"medusa": json.dumps({"schema_version": 1, "crc32": checksums})}
        put(SHARD, save(values, metadata))(folder)

    return damage


def poison(values: dict[str, np.ndarray]) -> None:
    values[FIRST][0, 0] = np.nan


def flipped(data: bytes) -> bytes:
    """One bit of the first value."""
    place = 8 + int.from_bytes(data[:8], "little")
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def no_frames(values: dict[str, np.ndarray]) -> None:
    values[FIRST] = np.zeros((0, 12), np.float16)


def another_width(values: dict[str, np.ndarray]) -> None:
    for name in values:
        values[name] = np.zeros((2, 5), np.float16)


def npy(name: str, values: np.ndarray, *parts: str) -> Case:
    return Case(name, TRAIN_NPY, array(ONE, values.astype(values.dtype)), (CLIP, *parts))


OTHER = "MSP-PODCAST_9999_0001.wav"

CASES = [
    Case("store missing", (*TRAIN, "features=[speech, video]"), nothing,
         ("samples/features/video: no such feature store", "extract_features.py")),
    Case("store emptied", TRAIN, remove(STORE), (f"{STORE}: no such feature store", "extract_features.py")),
    Case("store without manifest", TRAIN, remove(f"{STORE}/manifest.json"),
         (f"{STORE}: no such feature store", "extract_features.py")),
    Case("shard missing", TRAIN, remove(SHARD), (f"{STORE}: incomplete, 1 of 2 shards", "run the same")),
    Case("shard cut short", TRAIN, change(SHARD, lambda data: data[:-9]), (SHARD, "truncated", AGAIN)),
    Case("shard empty", TRAIN, put(SHARD, b""), (SHARD, "truncated", AGAIN)),
    Case("shard of text", TRAIN, put(SHARD, "no tensors"), (SHARD, "damaged", AGAIN)),
    Case("shard with a flipped bit", TRAIN, change(SHARD, flipped),
         (SHARD, "fails its checksum", AGAIN)),
    Case("shard with a NaN", TRAIN, resealed(poison), (SHARD, FIRST, "not finite", AGAIN),),
    Case("shard with a clip of no frames", TRAIN, resealed(no_frames), (SHARD, FIRST, "no frame", AGAIN)),
    Case("shard of another width", TRAIN, resealed(another_width), (SHARD, "damaged", AGAIN)),
    Case("shard that is a folder", TRAIN, folder_for(SHARD),
         (SHARD, "Is a directory", AGAIN)),
    Case("manifest damaged", TRAIN, put(f"{STORE}/manifest.json", "{"),
         (f"{STORE}/manifest.json", "not readable as JSON", "delete")),
    Case("manifest of another version", TRAIN, change(f"{STORE}/manifest.json", lambda data: data.replace(
         b'"schema_version": 1', b'"schema_version": 9')), (f"{STORE}/manifest.json", "schema version 1",
         "extract it again")),
    Case("manifest with a wrong type", TRAIN, change(f"{STORE}/manifest.json", lambda data: data.replace(
         b'"dim": 12', b'"dim": "wide"')), (f"{STORE}/manifest.json", "dim", "extract it again")),
    Case("features of other utterances", TRAIN, cell("samples/labels.csv", 5, "FileName", OTHER),
         ("samples/features/speech: no features for 'MSP-PODCAST_9999_0001'", "1 of 74", "same labels file")),
    Case("features changed since training", EVAL, change(f"{STORE}/manifest.json", lambda data: data.replace(
         b'"seed": 1', b'"seed": 2')), ("runs/members/deepser", "stores.speech.seed is 1 there, 2 here",
         "another name")),
    npy("NaN in a .npy", np.full((3, 8), np.nan, np.float32), "not finite", "copy the file again"),
    npy("infinity in a .npy", np.full((3, 8), np.inf, np.float32), "not finite", "copy the file again"),
    npy("a .npy beyond float16", np.full((3, 8), 1e6, np.float32), "float16 (at most 65504)", "copy the file again"),
    npy("a .npy of another width", np.zeros((3, 9), np.float32), "9 values a frame", "one store has one dim"),
    npy("a .npy of no frames", np.zeros((0, 8), np.float32), "expected floats of shape (frames, dim)", "copy it again"),
    npy("a .npy of one axis", np.zeros(8, np.float32), "expected floats of shape (frames, dim)", "copy it again"),
    npy("a .npy of whole numbers", np.zeros((3, 8), np.int64), "expected floats of shape (frames, dim)",
        "copy it again"),
    npy("a .npy of objects", np.array([[{}, {}]], dtype=object), "expected floats of shape (frames, dim)",
        "copy it again"),
    Case("a .npy of text", TRAIN_NPY, put(ONE, "no array"), (ONE, "not a NumPy array file", "copy it again")),
    Case("a .npy that is a folder", TRAIN_NPY, folder_for(ONE), (ONE, "Is a directory", "copy it again")),
    Case("a .npy cut short", TRAIN_NPY, change(ONE, lambda data: data[:-4]), (ONE, "truncated", "copy the file again")),
    Case("a .npy missing", TRAIN_NPY, remove(ONE), (f"{NPY}: no features for '{CLIP}'", "same labels file")),
]  # fmt: skip
