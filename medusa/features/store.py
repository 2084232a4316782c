"""Feature stores: one directory per backbone, float16, read with pread and never mapped.

    manifest.json             what the store is: backbone, layers, dim, utterance list, library versions
    shard-00000.safetensors   key = utterance id, value (frames, dim); checksums in the header

A shard is the unit of work. Its name and content are functions of the sorted utterance list alone, so
a resumed extraction, or several, write the same bytes. The authors' layout, a directory of
`<utterance>.npy` files, opens through the same class.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save

from medusa.errors import UserError, os_reason
from medusa.features.parts import WHOLE, Part
from medusa.features.shards import ShardWriter, require_shards
from medusa.files import atomic_path, read_json
from medusa.json_shape import require_keys

SCHEMA_VERSION = 1
_METADATA_KEY = "medusa"


class _Entry(NamedTuple):
    """Where one utterance's values lie."""

    file: str
    offset: int
    frames: int
    dtype: np.dtype[Any]
    crc32: int | None


class FeatureStore:
    """Features of one backbone, by utterance id.

    Opening reads headers only. Every utterance's checksum is verified the first time this object reads
    it. Instances can be pickled and survive a fork: no file stays open between reads.

    Args:
        path: A store's directory, or a directory of `<utterance>.npy` files.

    Raises:
        UserError: no such store, an incomplete one, or a damaged file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if (path / "manifest.json").exists():
            self.manifest = _read_manifest(path)
            self._entries = dict(_shard_entries(path, self.manifest))
            self.dim = int(self.manifest["dim"])
        elif path.is_dir() and any(path.rglob("*.npy")):
            self._entries, self.dim = _npy_entries(path)
            self.manifest = {"schema_version": SCHEMA_VERSION, "name": path.name, "kind": "npy", "dim": self.dim}
        else:
            raise UserError(
                f"{path}: no such feature store; make it with extract_features.py and the config of that name "
                f"({path.name}.yaml in configs/features or beside the corpus's other configs)"
            )
        self.name: str = self.manifest["name"]
        self._verified: set[str] = set()

    @property
    def ids(self) -> list[str]:
        """Utterance ids, sorted."""
        return sorted(self._entries)

    def __contains__(self, utterance: object) -> bool:
        return utterance in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def frames(self, utterance: str) -> int:
        """Number of frames, known from the header."""
        return self._entry(utterance).frames

    def read(self, utterance: str) -> np.ndarray:
        """Values of one utterance, shape = (frames, dim), float16.

        Raises:
            UserError: not in the store, or the file is truncated or damaged.
        """
        entry = self._entry(utterance)
        values = np.empty((entry.frames, self.dim), entry.dtype)
        try:
            descriptor = os.open(entry.file, os.O_RDONLY)
            try:
                got = os.preadv(descriptor, [values.data.cast("B")], entry.offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UserError(f"{entry.file}: {os_reason(error, self._repair(entry))}") from None
        if got != values.nbytes:
            raise UserError(f"{entry.file}: truncated within {utterance}; {self._repair(entry)}")
        if utterance not in self._verified:
            if entry.crc32 is not None and zlib.crc32(values.data) != entry.crc32:
                raise UserError(f"{entry.file}: damaged, {utterance} fails its checksum; {self._repair(entry)}")
            if not np.isfinite(narrowed(values)).all():
                raise UserError(
                    f"{entry.file}: a value of {utterance} is not finite or does not fit float16 (at most 65504); "
                    f"{self._repair(entry)}"
                )
            self._verified.add(utterance)
        return narrowed(values)

    def _entry(self, utterance: str) -> _Entry:
        entry = self._entries.get(utterance)
        if entry is None:
            failed = self.path / "failures.csv"
            hint = f"see {failed}" if failed.exists() else "was the store made from another labels.csv?"
            raise UserError(f"{self.path}: no features for utterance {utterance}; {hint}")
        return entry

    def _repair(self, entry: _Entry) -> str:
        return "copy the file again" if entry.crc32 is None else "delete it and run extract_features.py again"


class StoreWriter(ShardWriter[np.ndarray]):
    """Writes a store shard by shard.

    Args:
        path: The store's directory.
        identity: What the features are (backbone, layers, …); must hold `name`, `dim` and `shard_size`.
        utterances: The ids of the corpus, each once, in any order.
        part: Which of the shards this process computes.

    Raises:
        UserError: the directory holds another store; the differing key is named.
    """

    contents = "another store"
    remedy = "give this one another name, or delete the directory to make it anew"

    def __init__(self, path: Path, identity: Mapping[str, Any], utterances: Sequence[str], part: Part = WHOLE) -> None:
        super().__init__(path, {"schema_version": SCHEMA_VERSION, **identity}, utterances, part)

    def has(self, index: int) -> bool:
        return shard_path(self.path, index).exists()

    def missing(self, index: int) -> list[str]:
        path = shard_path(self.path, index)
        if not path.exists():
            return self.shards[index]
        try:
            held = {utterance for utterance, _ in _safetensors_entries(path, int(self.manifest["dim"]))}
        except UserError:
            return self.shards[index]
        return [utterance for utterance in self.shards[index] if utterance not in held]

    def storable(self, utterance: str, value: np.ndarray) -> np.ndarray:
        return storable(utterance, value)

    def write(self, index: int, values: Mapping[str, np.ndarray]) -> None:
        """Write shard `index`.

        Args:
            index: Which shard.
            values: By utterance id, each (frames, dim) and any float type. Clips that could not
                be computed are left out.

        Raises:
            UserError: an utterance's values are not finite, do not fit float16, or have no frame.
        """
        dim = int(self.manifest["dim"])
        arrays = {utterance: storable(utterance, values[utterance]) for utterance in sorted(values)}
        for utterance, value in arrays.items():
            if utterance not in self.shards[index] or value.shape[1] != dim:
                raise ValueError(f"{utterance}: shape {value.shape} does not belong in shard {index} of {self.path}")
        # With several metadata keys the header's order, hence the bytes, would vary between processes.
        checksums = {utterance: zlib.crc32(value.data) for utterance, value in arrays.items()}
        metadata = {_METADATA_KEY: json.dumps({"schema_version": SCHEMA_VERSION, "crc32": checksums})}
        with atomic_path(shard_path(self.path, index)) as temporary:
            temporary.write_bytes(save(arrays, metadata))


def shard_path(store: Path, index: int) -> Path:
    """`<store>/shard-00007.safetensors`."""
    return store / f"shard-{index:05d}.safetensors"


def storable(utterance: str, values: np.ndarray) -> np.ndarray:
    """Values as contiguous float16, shape = (frames, dim).

    Raises:
        UserError: a value is not finite or beyond ±65504, or there is no frame.
    """
    if values.ndim != 2 or not len(values):
        raise UserError(f"{utterance}: no feature frame (shape {values.shape}); the recording is too short or empty")
    narrow = narrowed(values)
    if not np.isfinite(narrow).all():
        worst = np.abs(values.astype(np.float64)).max()
        raise UserError(
            f"{utterance}: a feature value ({worst:g}) is not finite or does not fit float16 (at most 65504); "
            "check the recording, or take other layers"
        )
    return narrow


def narrowed(values: np.ndarray) -> np.ndarray:
    """Values as contiguous float16; infinite where they do not fit."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, dtype=np.float16)


def _read_manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path / "manifest.json")
    again = "delete the store and extract it again"
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{path / 'manifest.json'}: not a manifest of schema version {SCHEMA_VERSION}; {again}")
    require_keys(manifest, {"name": str, "dim": int, "shards": int}, str(path / "manifest.json"), again)
    if manifest["dim"] < 1:
        raise UserError(f"{path / 'manifest.json'}: dim: {manifest['dim']} is not above 0; {again}")
    return manifest


def _shard_entries(path: Path, manifest: Mapping[str, Any]) -> Iterator[tuple[str, _Entry]]:
    require_shards(path, ".safetensors", manifest["shards"])
    for index in range(manifest["shards"]):
        yield from _safetensors_entries(shard_path(path, index), int(manifest["dim"]))


def _safetensors_entries(path: Path, dim: int) -> Iterator[tuple[str, _Entry]]:
    """Entries of one shard, from its header; the format is 8 bytes of length, JSON, then the values."""
    again = "delete it and run extract_features.py again"
    damaged = UserError(f"{path}: damaged or truncated; {again}")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = os.fstat(file.fileno()).st_size
            if not 0 < length <= size - 8:
                raise damaged
            header = json.loads(file.read(length))
        checksums = json.loads(header.pop("__metadata__")[_METADATA_KEY])["crc32"]
        start, ends = 8 + length, [0]
        float16 = np.dtype(np.float16)
        for utterance, tensor in header.items():
            frames, width = tensor["shape"]
            begin, end = tensor["data_offsets"]
            if tensor["dtype"] != "F16" or width != dim or end - begin != 2 * frames * width:
                raise damaged
            if frames < 1:
                raise UserError(f"{path}: {utterance} has no frame; {again}")
            ends.append(end)
            yield utterance, _Entry(str(path), start + begin, frames, float16, checksums[utterance])
    except OSError as error:
        raise UserError(f"{path}: {os_reason(error, again)}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise damaged from None
    if size != start + max(ends):
        raise damaged


def _npy_entries(path: Path) -> tuple[dict[str, _Entry], int]:
    entries: dict[str, _Entry] = {}
    dim = 0
    for file in sorted(path.rglob("*.npy")):
        shape, offset, dtype = _npy_header(file)
        dim = dim or shape[1]
        if shape[1] != dim:
            raise UserError(f"{file}: {shape[1]} values a frame, {dim} in the files before it; one store has one dim")
        utterance = file.relative_to(path).with_suffix("").as_posix()
        entries[utterance] = _Entry(str(file), offset, shape[0], dtype, None)
    return entries, dim


def _npy_header(path: Path) -> tuple[tuple[int, int], int, np.dtype[Any]]:
    """Shape (frames, dim), offset of the values and their type; object arrays are refused, never unpickled."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with path.open("rb") as file:
            shape, by_columns, dtype = readers[np.lib.format.read_magic(file)](file)
            offset = file.tell()
    except OSError as error:
        raise UserError(f"{path}: {os_reason(error, 'copy it again')}") from None
    except (ValueError, KeyError, EOFError) as error:
        raise UserError(f"{path}: not a NumPy array file ({error}); copy it again") from None
    if len(shape) != 2 or not min(shape) or dtype.kind != "f" or by_columns:
        found = f"found {dtype} {shape}; copy it again"
        raise UserError(f"{path}: expected floats of shape (frames, dim) in C order, {found}")
    return (int(shape[0]), int(shape[1])), offset, dtype
