"""One backbone over one corpus → one feature store, resumable shard by shard."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from medusa.audio import SAMPLE_RATE, read_audio
from medusa.config.schema import ExtractConfig
from medusa.corpora.labels import read_labels, utterance_id
from medusa.device import prepare_device
from medusa.errors import PartlyDone, UserError
from medusa.features.backbones import Clip, FeatureBackbone, load_backbone
from medusa.features.store import StoreWriter, storable
from medusa.files import inside, lock, read_csv, sha256, write_csv


def extract(config: ExtractConfig) -> Path:
    """Compute the features of every utterance in labels.csv and write them to `<features>/<name>`.

    Finished shards are kept; of shards that miss clips, those clips are tried again.

    Returns:
        The store's directory.

    Raises:
        UserError: an input is missing, or the directory holds another store.
        PartlyDone: some recordings could not be read; everything else is in the store, and
            `failures.csv` there names them.
    """
    files = {utterance_id(name): name for name in read_labels(config.paths.labels).table["FileName"]}
    source = _Transcripts(config) if config.backbone.kind == "text" else _Recordings(config, files)
    device = prepare_device(config.compute)
    path = config.paths.features / config.name
    with lock(path, "extracting features"):
        backbone = load_backbone(config, device)
        store = StoreWriter(path, _identity(config, backbone), list(files))
        failures = _fill(store, source, backbone, config)
        _report_failures(path, files, failures)
    if backbone.truncated:
        print(
            f"warning: {backbone.truncated} texts were longer than {config.backbone.model} can take and were cut",
            file=sys.stderr,
        )
    if len(failures) == len(files):
        raise UserError(f"{path}: none of {len(files)} clips gave features; the first: {next(iter(failures.values()))}")
    if failures:
        raise PartlyDone(f"{len(failures)} of {len(files)} clips failed, the rest is done; see {path / 'failures.csv'}")
    return path


class _Recordings:
    """Waveforms by utterance id."""

    def __init__(self, config: ExtractConfig, files: Mapping[str, str]) -> None:
        self.root, self.files, self.resampler = config.paths.audio, files, config.resampler
        if not self.root.is_dir():
            raise UserError(f"{self.root}: no such folder of recordings; set paths.audio")

    def read(self, utterance: str) -> np.ndarray:
        return read_audio(inside(self.root, self.files[utterance]), self.resampler)


class _Transcripts:
    """Texts by utterance id, from transcripts.csv (`FileName,Transcript`)."""

    def __init__(self, config: ExtractConfig) -> None:
        self.path = config.paths.transcripts
        table = read_csv(self.path, remedy="transcribe the corpus first, or set paths.transcripts")
        for column in ("FileName", "Transcript"):
            if column not in table:
                raise UserError(f"{self.path}: no column {column}; expected FileName,Transcript")
        names = [utterance_id(name) for name in table["FileName"]]
        self.texts = dict(zip(names, table["Transcript"], strict=True))
        if len(self.texts) < len(table):
            repeated = pd.Series(names)[pd.Series(names).duplicated()].iloc[0]
            raise UserError(f"{self.path}: {repeated} stands twice; keep one transcript for each utterance")

    def read(self, utterance: str) -> str:
        if utterance not in self.texts:
            raise UserError(f"{self.path}: no transcript for {utterance}")
        return str(self.texts[utterance]).strip()


def _fill(
    store: StoreWriter, source: _Recordings | _Transcripts, backbone: FeatureBackbone, config: ExtractConfig
) -> dict[str, str]:
    """Compute every missing shard; the reasons for clips that failed, by utterance id."""
    failures: dict[str, str] = {}
    with tqdm(total=int(store.manifest["utterances"]), desc=config.name, unit=" clips") as progress:
        speed = _Speed(progress)
        for index, utterances in enumerate(store.shards):
            clips, failed = _read(store.missing(index), source)
            if clips and len(clips) + len(failed) < len(utterances):
                # The shard was written without clips that can be read now: it is made anew as a whole.
                clips, failed = _read(utterances, source)
            features: dict[str, np.ndarray] = {}
            for batch in _batches(clips, config.batch_size):
                values = _features(backbone, [clips[utterance] for utterance in batch], config)
                for utterance, value in zip(batch, values, strict=True):
                    try:
                        features[utterance] = storable(utterance, value)
                    except UserError as error:
                        failed[utterance] = str(error)
                speed.add([clips[utterance] for utterance in batch])
            if features or not store.has(index):
                store.write(index, features)
            progress.update(len(utterances) - len(clips))
            failures |= failed
    return failures


def _features(backbone: FeatureBackbone, batch: list[Clip], config: ExtractConfig) -> list[np.ndarray]:
    try:
        return backbone.features(batch)
    except torch.OutOfMemoryError:
        raise UserError(
            f"{config.name}: out of memory; lower batch_size (now {config.batch_size}) and run the same command again, "
            "finished shards are kept"
        ) from None


class _Speed:
    """Shows clips a second and, for recordings, seconds of audio a second."""

    def __init__(self, progress: tqdm[Any]) -> None:
        self.progress, self.seconds, self.started = progress, 0.0, time.monotonic()

    def add(self, clips: list[Clip]) -> None:
        self.seconds += sum(len(clip) for clip in clips if isinstance(clip, np.ndarray)) / SAMPLE_RATE
        if self.seconds:
            rate = self.seconds / (time.monotonic() - self.started)
            self.progress.set_postfix_str(f"{rate:.0f} × real time", refresh=False)
        self.progress.update(len(clips))


def _read(utterances: list[str], source: _Recordings | _Transcripts) -> tuple[dict[str, Clip], dict[str, str]]:
    """Clips that can be read, and the reasons why the others cannot."""
    clips: dict[str, Clip] = {}
    failed: dict[str, str] = {}
    for utterance in utterances:
        try:
            clips[utterance] = source.read(utterance)
        except UserError as error:
            failed[utterance] = str(error)
    return clips, failed


def _batches(clips: Mapping[str, Clip], size: int) -> list[list[str]]:
    """Ids in batches of clips of like length, longest first, so that too large a batch fails at once."""
    ordered = sorted(clips, key=lambda utterance: (-len(clips[utterance]), utterance))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _identity(config: ExtractConfig, backbone: FeatureBackbone) -> dict[str, Any]:
    """What makes the features what they are: a store in which any of this differs is another store."""
    return {
        "name": config.name,
        "kind": config.backbone.kind,
        "backbone": config.backbone.model,
        "revision": backbone.commit or config.backbone.revision,
        "weights_sha256": _weights_checksum(config.backbone.model),
        "layers": config.layers.take if config.backbone.kind != "logmel" else None,
        "combine": config.layers.combine if config.backbone.kind != "logmel" else None,
        "time_stride": config.time_stride,
        "trim": config.trim if config.backbone.kind == "whisper" else None,
        "resampler": config.resampler if config.backbone.kind != "text" else None,
        "precision": config.compute.precision if config.backbone.kind != "logmel" else None,
        "dim": backbone.dim,
        "frame_rate": backbone.frame_rate,
        "shard_size": config.shard_size,
        "libraries": {name: _version(name) for name in ("numpy", "torch", "transformers", "librosa", "soxr")},
    }


def _weights_checksum(model: str | None) -> str | None:
    """SHA-256 of a local folder's weights; a hub id is identified by its commit."""
    files = sorted(Path(model).glob("*.safetensors")) if model else []
    return "+".join(sha256(file) for file in files) or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _report_failures(path: Path, files: Mapping[str, str], failures: Mapping[str, str]) -> None:
    report = path / "failures.csv"
    if failures:
        rows = [(files[utterance], reason) for utterance, reason in failures.items()]
        write_csv(report, pd.DataFrame(rows, columns=["FileName", "reason"]))
    else:
        report.unlink(missing_ok=True)
