"""Where the clips of a corpus are read from: recordings or transcripts, by utterance id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from medusa.audio import read_audio
from medusa.corpora.transcripts import read_transcripts
from medusa.errors import UserError
from medusa.files import inside

Clip = np.ndarray | str
"""A waveform, shape = (samples,), 16 kHz; or a transcript."""


class Source(Protocol):
    def read(self, utterance: str) -> Clip:
        """The clip.

        Raises:
            UserError: it is missing or unreadable.
        """


class Recordings:
    """Waveforms by utterance id.

    Args:
        root: Folder of recordings.
        files: File name below `root` of every utterance.
        resampler: As `medusa.audio.read_audio`.

    Raises:
        UserError: there is no such folder.
    """

    def __init__(self, root: Path, files: Mapping[str, str], resampler: Literal["librosa", "torchaudio"]) -> None:
        self.root, self.files, self.resampler = root, files, resampler
        if not root.is_dir():
            raise UserError(f"{root}: no such folder of recordings; set paths.audio")

    def read(self, utterance: str) -> np.ndarray:
        return read_audio(inside(self.root, self.files[utterance]), self.resampler)


class Transcripts:
    """Texts by utterance id, from transcripts.csv (`FileName,Transcript`).

    Raises:
        UserError: there is no such file, or it is not of that form.
    """

    def __init__(self, path: Path) -> None:
        remedy = "transcribe the corpus first (configs/features/whisper-asr.yaml), or set paths.transcripts"
        self.path, self.texts = path, read_transcripts(path, remedy)

    def read(self, utterance: str) -> str:
        if utterance not in self.texts:
            raise UserError(f"{self.path}: no transcript for {utterance}")
        return self.texts[utterance].strip()
