"""What transcription needs to know of an engine: clips in, transcripts out, with what the guards refused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medusa.config.schema import TranscribeConfig
from medusa.errors import UserError
from medusa.features.guards import Heard, refused_by
from medusa.features.windows import by_window, even_windows

_PROMPT = 4
"""Tokens before the transcript, at most: start, language, task, no timestamps."""


@dataclass(frozen=True)
class Transcript:
    """Words one space apart, "" where nothing is heard; and what was left out: (guard, text) of each refused window."""

    text: str
    refused: list[tuple[str, str]]


class Recognizer(ABC):
    """Whisper without timestamps, at most 30 s at a time.

    Longer clips are cut into equal windows, whose transcripts are joined. The text of a clip never depends on the
    clips it is batched with.

    Attributes:
        commit: The hub's commit of the weights, None for a local folder.
        weights_sha256: Of a local folder's weights, None for a hub id.
        libraries: Versions of what can change a transcript.
        window: Samples the model takes at once.
    """

    commit: str | None
    weights_sha256: str | None
    libraries: dict[str, str | None]
    window: int

    def __init__(self, config: TranscribeConfig) -> None:
        self.config = config

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcripts of a batch of clips at 16 kHz."""
        windows = [even_windows(clip, self.window) for clip in clips]
        return [self._join(heard) for heard in by_window(windows, self.config.batch_size, self._hear)]

    @abstractmethod
    def _hear(self, windows: list[np.ndarray]) -> list[Heard]:
        """The text of each window, with the measures that the config's guards ask for."""

    def _join(self, windows: list[Heard]) -> Transcript:
        judged = [(refused_by(heard, self.config.asr.guards), _tidy(heard.text)) for heard in windows]
        return Transcript(
            _tidy(" ".join(text for guard, text in judged if guard is None)),
            [(guard, text) for guard, text in judged if guard is not None],
        )


def require_fit(config: TranscribeConfig, languages: Sequence[str], positions: int) -> None:
    """Check the config against a model's languages (none: it knows English only) and the tokens its decoder holds.

    Raises:
        UserError: naming the key.
    """
    asr = config.asr
    if asr.language is not None and asr.language not in languages:
        known = "does not know this language" if languages else "knows English only; set it to null"
        raise UserError(f"asr.language: {asr.language}: {asr.model} {known}")
    if asr.max_new_tokens > positions - _PROMPT:
        raise UserError(f"asr.max_new_tokens: {asr.max_new_tokens}: {asr.model} can hold {positions - _PROMPT} at most")


def _tidy(text: str) -> str:
    return " ".join(text.split())
