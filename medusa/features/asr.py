"""Speech recognition over one corpus → transcripts.csv (`FileName,Transcript`), resumable shard by shard.

transcripts.csv          sorted by utterance id; a clip in which nothing is heard has an empty transcript
transcripts.json         what made it: engine, model, decoding, library versions; texts refused, by guard
transcripts.parts/       finished shards, kept so that a later run adds clips; failures.csv where clips failed,
                         refused.csv (`FileName,Guard,Text`) where a guard refused what was heard
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from medusa.config.schema import TranscribeConfig
from medusa.corpora.labels import read_labels, utterance_id
from medusa.device import describe_device, prepare
from medusa.errors import UserError
from medusa.features.fill import fill, raise_failures, tell_left, write_failures
from medusa.features.parts import WHOLE, Part, hold
from medusa.features.recognizer import Recognizer, Transcript
from medusa.features.shards import ShardWriter
from medusa.features.sources import Recordings
from medusa.features.whisper_faster import FasterWhisperRecognizer
from medusa.features.whisper_transformers import TransformersRecognizer
from medusa.files import read_json, write_csv, write_json, write_list
from medusa.json_shape import require_keys
from medusa.provenance import write_provenance

SCHEMA_VERSION = 3
CHECKSUM = "crc32"


def transcribe(config: TranscribeConfig, part: Part = WHOLE) -> Path:
    """Transcribe every utterance in labels.csv and write `paths.transcripts`.

    Parts may run side by side, on several hosts too; the one that ends last writes transcripts.csv.

    Args:
        config: What to transcribe, and how.
        part: Which of the shards.

    Returns:
        The path of transcripts.csv; that of the finished shards while other parts have some still to come.

    Raises:
        UserError: an input is missing, or transcripts made otherwise are there already.
        PartlyDone: some recordings could not be read; all others are in transcripts.csv.
    """
    config, device = prepare(config)
    files = {utterance_id(name): name for name in read_labels(config.paths.labels).table["FileName"]}
    source = Recordings(config.paths.audio, files, config.resampler)
    path = config.paths.transcripts
    if path.suffix != ".csv":
        raise UserError(f"paths.transcripts: {path} must end in .csv")
    parts = path.with_suffix(".parts")
    report = parts / "failures.csv"
    metadata = path.with_suffix(".json")
    if path.exists() and not metadata.exists():
        raise UserError(f"{path}: made by something else ({metadata} is not there); move it or set paths.transcripts")
    with hold(parts, part, "transcribing") as alone:
        recognizer = load_recognizer(config, device)
        with alone():
            shards = TranscriptShards(parts, _identity(config, recognizer), list(files), part)
        failures = fill(shards, source, recognizer.transcribe, config.batch_size, config.name)
        with alone():
            write_failures(report, files, shards.own_utterances, failures)
            left = tell_left(shards)
            if not left:
                _write_transcripts(path, shards, files)
                settings = config.model_dump(mode="json")
                write_provenance(parts, settings, [config.paths.labels], describe_device(device))
    raise_failures(report, shards.own_utterances, failures)
    return parts if left else path


def _write_transcripts(path: Path, shards: TranscriptShards, files: Mapping[str, str]) -> None:
    """Put the shards together: transcripts.csv, what made it, what the guards refused; nothing if all clips failed."""
    transcripts = {files[utterance]: transcript for utterance, transcript in shards.read().items()}
    if transcripts:
        refused = _write_refused(shards.path / "refused.csv", transcripts)
        write_json(path.with_suffix(".json"), shards.manifest | {"refused": refused})
        rows = [(name, transcript.text) for name, transcript in transcripts.items()]
        write_csv(path, pd.DataFrame(rows, columns=["FileName", "Transcript"]))


def load_recognizer(config: TranscribeConfig, device: torch.device) -> Recognizer:
    """Load the model a config names into the engine it names.

    Raises:
        UserError: the engine is not installed, the model cannot be loaded or does not fit the config.
    """
    engines: dict[str, type[TransformersRecognizer | FasterWhisperRecognizer]] = {
        "transformers": TransformersRecognizer,
        "faster-whisper": FasterWhisperRecognizer,
    }
    return engines[config.asr.engine](config, device)


class TranscriptShards(ShardWriter[Transcript]):
    """Transcripts by utterance id, one JSON object a shard."""

    contents = "other transcripts"
    remedy = "set paths.transcripts to another name, or delete the directory to make them anew"

    def has(self, index: int) -> bool:
        return self._file(index).exists()

    def missing(self, index: int) -> list[str]:
        if not self.has(index):
            return self.shards[index]
        try:
            held = read_shard(self._file(index))
        except UserError:
            return self.shards[index]
        return [utterance for utterance in self.shards[index] if utterance not in held]

    def storable(self, utterance: str, value: Transcript) -> Transcript:
        return value

    def write(self, index: int, values: Mapping[str, Transcript]) -> None:
        transcripts = {utterance: asdict(values[utterance]) for utterance in sorted(values)}
        write_json(self._file(index), {CHECKSUM: _checksum(transcripts), "transcripts": transcripts})

    def read(self) -> dict[str, Transcript]:
        """All transcripts, sorted by utterance id."""
        held = [read_shard(self._file(index)) for index in range(len(self.shards))]
        return {utterance: transcript for shard in held for utterance, transcript in shard.items()}

    def _file(self, index: int) -> Path:
        return self.path / f"shard-{index:05d}.json"


def _checksum(transcripts: object) -> int:
    """CRC-32 of what a shard holds, however its JSON is laid out."""
    return zlib.crc32(json.dumps(transcripts, sort_keys=True).encode())


def read_shard(file: Path) -> dict[str, Transcript]:
    """The transcripts of one finished shard, by utterance id.

    Raises:
        UserError: it is missing or damaged.
    """
    again = "delete it and run extract_features.py again"
    found = read_json(file, again)
    transcripts = found.get("transcripts")
    if not isinstance(transcripts, dict) or found.get(CHECKSUM) != _checksum(transcripts):
        raise UserError(f"{file}: damaged; {again}")
    return {utterance: _transcript(value, f"{file}: {utterance}", again) for utterance, value in transcripts.items()}


def _transcript(value: Any, where: str, remedy: str) -> Transcript:
    made = require_keys(value, {"text": str, "refused": list}, where, remedy)
    for pair in made["refused"]:
        match pair:
            case [str(), str()]:
                continue
        raise UserError(f"{where}: refused: expected pairs of guard and text; {remedy}")
    return Transcript(made["text"], [(guard, text) for guard, text in made["refused"]])


def _write_refused(path: Path, transcripts: Mapping[str, Transcript]) -> dict[str, int]:
    """Write what the guards refused, by file name, or remove the list if it is empty; how many windows by guard."""
    rows = [(name, guard, text) for name, made in transcripts.items() for guard, text in made.refused]
    if rows:
        write_list(path, pd.DataFrame(rows, columns=["FileName", "Guard", "Text"]))
    else:
        path.unlink(missing_ok=True)
    return dict(sorted(Counter(guard for _, guard, _ in rows).items()))


def _identity(config: TranscribeConfig, recognizer: Recognizer) -> dict[str, Any]:
    """What makes the transcripts what they are."""
    return {
        "schema_version": SCHEMA_VERSION,
        "engine": config.asr.engine,
        "model": config.asr.model,
        "revision": recognizer.commit,
        "weights_sha256": recognizer.weights_sha256,
        "language": config.asr.language,
        "beam_size": config.asr.beam_size,
        "max_new_tokens": config.asr.max_new_tokens,
        "guards": config.asr.guards.model_dump(),
        "resampler": config.resampler,
        "precision": config.compute.precision,
        "shard_size": config.shard_size,
        "libraries": recognizer.libraries,
    }
