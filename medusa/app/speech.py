"""Long recordings, cut where nobody speaks: Silero's voice activity detector (MIT), run by onnxruntime.

Of the package silero-vad only its ONNX file is read; no code of it runs, and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from medusa.app.segments import LONGEST, Segment, windows
from medusa.audio import SAMPLE_RATE
from medusa.errors import UserError
from medusa.features.windows import even_windows

HOP, CONTEXT = 512, 64
"""Samples that the detector takes at once, and how many of those before it sees again."""

ENTER, LEAVE = 0.5, 0.35
"""Probability at which speech begins, and below which it ends (Silero's own choice)."""

PAUSE = 0.5
"""Seconds without speech that part two pieces."""

MARGIN = 0.1
"""Seconds kept before and after speech."""

LONGEST_PIECE, SHORTEST_PIECE = 11.0, 0.5
"""Seconds; as in MSP-Podcast, whose clips last at most 11."""


class SpeechPieces:
    """A `Segmenter`: the pieces of a recording longer than 12 s in which somebody speaks.

    Speech longer than 11 s is cut evenly; pieces shorter than 0.5 s are left out. Where nothing is left, the whole
    recording is cut as by `windows`.

    Raises:
        UserError: silero-vad or onnxruntime is not installed.
    """

    def __init__(self) -> None:
        self._session = _session()

    def __call__(self, samples: np.ndarray) -> list[Segment]:
        """Pieces in order, without overlap."""
        if len(samples) <= LONGEST * SAMPLE_RATE:
            return windows(samples)
        return speech_segments(samples, self.probabilities(samples)) or windows(samples)

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """That somebody speaks, for every 512 samples (32 ms), the last ones padded."""
        padded = np.pad(samples, (CONTEXT, -len(samples) % HOP)).astype(np.float32)
        state = np.zeros((2, 1, 128), np.float32)
        rate = np.array(SAMPLE_RATE, np.int64)
        found = []
        for start in range(0, len(padded) - CONTEXT, HOP):
            inputs = {"input": padded[None, start : start + CONTEXT + HOP], "state": state, "sr": rate}
            probability, state = self._session.run(None, inputs)
            found.append(float(probability[0, 0]))
        return np.array(found)


def speech_segments(samples: np.ndarray, probabilities: np.ndarray) -> list[Segment]:
    """The pieces that the probabilities of speech make; may be none."""
    margin, pause = round(MARGIN * SAMPLE_RATE), round(PAUSE * SAMPLE_RATE)
    spoken: list[list[int]] = []
    for start, end in _runs(probabilities):
        if spoken and start * HOP - spoken[-1][1] < pause:
            spoken[-1][1] = end * HOP
        else:
            spoken.append([start * HOP, end * HOP])
    pieces = []
    for start, end in spoken:
        first, last = max(0, start - margin), min(len(samples), end + margin)
        if last - first < SHORTEST_PIECE * SAMPLE_RATE:
            continue
        for part in even_windows(samples[first:last], round(LONGEST_PIECE * SAMPLE_RATE)):
            pieces.append(Segment(first / SAMPLE_RATE, part))
            first += len(part)
    return pieces


def _runs(probabilities: Sequence[float] | np.ndarray) -> Iterator[tuple[int, int]]:
    """First index and index after the last of each stretch of speech."""
    begun = None
    for index, probability in enumerate(probabilities):
        if begun is None and probability >= ENTER:
            begun = index
        elif begun is not None and probability < LEAVE:
            yield begun, index
            begun = None
    if begun is not None:
        yield begun, len(probabilities)


def _session() -> Any:
    found = find_spec("silero_vad")  # which does not import it
    model = Path(next(iter(found.submodule_search_locations or []), "")) / "data" / "silero_vad.onnx" if found else None
    try:
        runtime: Any = import_module("onnxruntime")
    except ImportError:
        runtime = None
    if runtime is None or model is None or not model.is_file():
        raise UserError(
            "--segments speech: needs the packages silero-vad and onnxruntime; run: pip install -r requirements-app.txt"
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # its steps are too small to share
    return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
