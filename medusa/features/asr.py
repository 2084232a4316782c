"""Speech recognition over one corpus → transcripts.csv (`FileName,Transcript`), resumable shard by shard.

transcripts.csv          sorted by utterance id; a clip in which nothing is heard has an empty transcript
transcripts.json         what made it: model, decoding, library versions
transcripts.parts/       finished shards, and failures.csv where clips failed; kept, so that a later run adds them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer, WhisperForConditionalGeneration

from medusa.audio import SAMPLE_RATE
from medusa.config.schema import TranscribeConfig
from medusa.corpora.labels import read_labels, utterance_id
from medusa.device import prepare_device
from medusa.errors import UserError
from medusa.features.fill import fill, raise_failures, write_failures
from medusa.features.pretrained import (
    from_pretrained,
    hub_commit,
    library_versions,
    load_weights,
    quiet,
    torch_dtype,
    weights_checksum,
)
from medusa.features.shards import ShardWriter
from medusa.features.sources import Recordings
from medusa.features.windows import by_window, even_windows
from medusa.files import lock, read_json, write_csv, write_json

SCHEMA_VERSION = 1
_PROMPT = 4
"""Tokens before the transcript, at most: start, language, task, no timestamps."""


def transcribe(config: TranscribeConfig) -> Path:
    """Transcribe every utterance in labels.csv and write `paths.transcripts`.

    Returns:
        The path of transcripts.csv.

    Raises:
        UserError: an input is missing, or transcripts made otherwise are there already.
        PartlyDone: some recordings could not be read; all others are in transcripts.csv.
    """
    files = {utterance_id(name): name for name in read_labels(config.paths.labels).table["FileName"]}
    source = Recordings(config.paths.audio, files, config.resampler)
    device = prepare_device(config.compute)
    path = config.paths.transcripts
    if path.suffix != ".csv":
        raise UserError(f"paths.transcripts: {path} must end in .csv")
    parts = path.with_suffix(".parts")
    report = parts / "failures.csv"
    metadata = path.with_suffix(".json")
    if path.exists() and not metadata.exists():
        raise UserError(f"{path}: made by something else ({metadata} is not there); move it or set paths.transcripts")
    with lock(parts, "transcribing"):
        recognizer = WhisperRecognizer(config, device)
        shards = TranscriptShards(parts, _identity(config, recognizer), list(files))
        failures = fill(shards, source, recognizer.transcribe, config.batch_size, config.name)
        write_failures(report, files, failures)
        rows = [(files[utterance], text) for utterance, text in shards.read().items()]
        if rows:
            write_json(metadata, shards.manifest)
            write_csv(path, pd.DataFrame(rows, columns=["FileName", "Transcript"]))
    raise_failures(report, files, failures)
    return path


class WhisperRecognizer:
    """Whisper through transformers: greedy decoding without timestamps, at most 30 s at a time.

    Longer clips are cut into equal windows, whose transcripts are joined.

    Attributes:
        commit: The hub's commit of the weights, None for a local folder.

    Raises:
        UserError: the model cannot be loaded, or does not fit `asr.language` or `asr.max_new_tokens`.
    """

    def __init__(self, config: TranscribeConfig, device: torch.device) -> None:
        checkpoint = (config.asr.model, config.asr.revision)
        model_type = from_pretrained(AutoConfig, *checkpoint).model_type
        if model_type != "whisper":
            raise UserError(f"asr.model: {config.asr.model} is a model of type {model_type}, not whisper")
        self.batch_size, self.device, self.dtype = config.batch_size, device, torch_dtype(config.compute)
        self.model: Any = load_weights(WhisperForConditionalGeneration, *checkpoint, self.dtype).eval().to(device)
        self.commit = hub_commit(*checkpoint)
        self.spectrogram: Any = from_pretrained(AutoFeatureExtractor, *checkpoint)
        self.tokenizer: Any = from_pretrained(AutoTokenizer, *checkpoint)
        self.options = _decoding_options(config, self.model)

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[str]:
        """Transcripts of a batch of clips at 16 kHz, words one space apart; "" where nothing is heard."""
        windows = [even_windows(clip, self.spectrogram.n_samples) for clip in clips]
        texts = by_window(windows, self.batch_size, self._recognize)
        return [" ".join(" ".join(parts).split()) for parts in texts]

    def _recognize(self, windows: list[np.ndarray]) -> list[str]:
        inputs = self.spectrogram(windows, sampling_rate=SAMPLE_RATE, return_tensors="pt", device=str(self.device))
        features = inputs.input_features.to(self.device, self.dtype)
        with torch.inference_mode(), quiet():
            tokens = self.model.generate(input_features=features, **self.options)
        return list(self.tokenizer.batch_decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class TranscriptShards(ShardWriter[str]):
    """Transcripts by utterance id, one JSON object a shard."""

    contents = "other transcripts"
    remedy = "set paths.transcripts to another name, or delete the directory to make them anew"

    def has(self, index: int) -> bool:
        return self._file(index).exists()

    def missing(self, index: int) -> list[str]:
        if not self.has(index):
            return self.shards[index]
        try:
            held = read_json(self._file(index))
        except UserError:
            return self.shards[index]
        return [utterance for utterance in self.shards[index] if utterance not in held]

    def storable(self, utterance: str, value: str) -> str:
        return value

    def write(self, index: int, values: Mapping[str, str]) -> None:
        write_json(self._file(index), dict(sorted(values.items())))

    def read(self) -> dict[str, str]:
        """All transcripts, sorted by utterance id."""
        return {utterance: text for index in range(len(self.shards)) for utterance, text in self._items(index)}

    def _items(self, index: int) -> list[tuple[str, str]]:
        return list(read_json(self._file(index)).items())

    def _file(self, index: int) -> Path:
        return self.path / f"shard-{index:05d}.json"


def _decoding_options(config: TranscribeConfig, model: Any) -> dict[str, Any]:
    """What `generate` is told; all else stands in the checkpoint's generation_config.json."""
    asr, generation = config.asr, model.generation_config
    languages = generation.lang_to_id if getattr(generation, "is_multilingual", False) else {}
    if asr.language is not None and f"<|{asr.language}|>" not in languages:
        known = "knows English only; set it to null" if not languages else "does not know this language"
        raise UserError(f"asr.language: {asr.language}: {asr.model} {known}")
    longest = model.config.max_target_positions - _PROMPT
    if asr.max_new_tokens > longest:
        raise UserError(f"asr.max_new_tokens: {asr.max_new_tokens}: {asr.model} can hold {longest} at most")
    options = {"max_new_tokens": asr.max_new_tokens, "do_sample": False, "num_beams": 1, "return_timestamps": False}
    return options | ({"language": asr.language, "task": "transcribe"} if languages else {})


def _identity(config: TranscribeConfig, recognizer: WhisperRecognizer) -> dict[str, Any]:
    """What makes the transcripts what they are."""
    return {
        "schema_version": SCHEMA_VERSION,
        "engine": "transformers",
        "model": config.asr.model,
        "revision": recognizer.commit or config.asr.revision,
        "weights_sha256": weights_checksum(config.asr.model),
        "language": config.asr.language,
        "decoding": "greedy",
        "max_new_tokens": config.asr.max_new_tokens,
        "resampler": config.resampler,
        "precision": config.compute.precision,
        "shard_size": config.shard_size,
        "libraries": library_versions(),
    }
