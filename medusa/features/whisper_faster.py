"""Speech recognition by faster-whisper: on CTranslate2, optional (requirements-asr.txt)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from medusa.audio import SAMPLE_RATE
from medusa.config.schema import TranscribeConfig
from medusa.errors import UserError
from medusa.features.guards import Heard
from medusa.features.pretrained import is_folder, library_versions, warn_unless_pinned, weights_checksum
from medusa.features.recognizer import Recognizer, require_fit


class FasterWhisperRecognizer(Recognizer):
    """Whisper in CTranslate2's format, with transformers' spectrogram: the two engines hear the same.

    Raises:
        UserError: faster-whisper is not installed, the model cannot be loaded or does not fit the config.
    """

    def __init__(self, config: TranscribeConfig, device: torch.device) -> None:
        super().__init__(config)
        faster_whisper = _faster_whisper()
        folder = _model_folder(faster_whisper, config)
        try:
            self.model: Any = faster_whisper.WhisperModel(
                str(folder),
                device=device.type,
                device_index=device.index or 0,
                compute_type="bfloat16" if config.compute.precision == "bf16" else "float32",
                cpu_threads=config.compute.threads,
            )
        except (RuntimeError, ValueError) as error:  # a damaged file; a precision the processor cannot do
            raise UserError(
                f"asr.model: {config.asr.model}, compute.precision: {config.compute.precision}: {error}; "
                "set compute.precision=float32 where the processor cannot do bf16, else get the model anew"
            ) from None
        languages = self.model.supported_languages if self.model.model.is_multilingual else []
        require_fit(config, languages, self.model.max_length)
        self.tokenizer: Any = faster_whisper.tokenizer.Tokenizer(
            self.model.hf_tokenizer,
            self.model.model.is_multilingual,
            task="transcribe",
            language=config.asr.language or "en",  # where it is to be detected, `_prompts` puts in what was
        )
        spectrogram: Any = WhisperFeatureExtractor  # its constructor is untyped
        self.spectrogram = spectrogram(feature_size=self.model.model.n_mels)
        self.window = int(self.spectrogram.n_samples)
        self.commit = None if is_folder(config.asr.model, config.asr.revision) else folder.name
        self.weights_sha256 = weights_checksum(config.asr.model, "model.bin")
        self.libraries = library_versions("faster-whisper", "ctranslate2")

    def _hear(self, windows: list[np.ndarray]) -> list[Heard]:
        features = self.spectrogram(windows, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features
        encoded = self.model.encode(features)
        prompts = self._prompts(encoded, len(windows))
        results = self.model.model.generate(
            encoded,
            prompts,
            beam_size=self.config.asr.beam_size,
            max_length=len(prompts[0]) + self.config.asr.max_new_tokens,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [self._heard(result) for result in results]

    def _prompts(self, encoded: Any, count: int) -> list[list[int]]:
        """Start, language, task, no timestamps; the language of each window where the config leaves it open."""
        prompt = self.model.get_prompt(self.tokenizer, [], without_timestamps=True)
        if self.config.asr.language is not None or not self.model.model.is_multilingual:
            return [prompt] * count
        likeliest = [languages[0][0] for languages in self.model.model.detect_language(encoded)]
        tokens = [self.tokenizer.tokenizer.token_to_id(language) for language in likeliest]
        return [[token if part == self.tokenizer.language else part for part in prompt] for token in tokens]

    def _heard(self, result: Any) -> Heard:
        tokens = result.sequences_ids[0]
        # CTranslate2's score is the sum over text and end token by the number of text tokens (length penalty 1).
        log_probability = result.scores[0] * len(tokens) / (len(tokens) + 1)
        return Heard(self.tokenizer.decode(tokens), result.no_speech_prob, log_probability)


def _faster_whisper() -> Any:
    try:
        import faster_whisper
    except ImportError:
        raise UserError(
            "asr.engine: faster-whisper is not installed; "
            "pip install -r requirements-asr.txt, or set asr.engine=transformers"
        ) from None
    return faster_whisper


def _model_folder(faster_whisper: Any, config: TranscribeConfig) -> Path:
    """The folder that holds model.bin: the config's, or the hub's cache of one commit."""
    model, revision = config.asr.model, config.asr.revision
    if is_folder(model, revision):
        folder = Path(model)
    else:
        try:
            folder = Path(faster_whisper.download_model(model, revision=revision))
        except (OSError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise UserError(
                f"asr.model: {model} cannot be loaded ({reason}); it must be a hub id or a folder"
            ) from None
        warn_unless_pinned(model, revision, folder.name)
    if not (folder / "model.bin").is_file():
        raise UserError(
            f"asr.model: {model} holds no model.bin of CTranslate2; name such a model, for example "
            "Systran/faster-whisper-large-v3, or set asr.engine=transformers"
        )
    return folder
