"""What the ensemble says of recordings, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.app.segments import Segment

Floats = npt.NDArray[np.float32]


SHORTEST = 0.1
"""Seconds; in less nobody can have said anything."""

SILENT = 1e-3
"""Of full scale: a recording that never leaves its mean by as much (-60 dB) holds no speech."""


def doubt(segments: Sequence[Segment]) -> str:
    """Why there is nothing to judge in these pieces, as a note; empty if there may be something."""
    if sum(one.end - one.start for one in segments) < SHORTEST:
        return f"shorter than {SHORTEST} s"
    loudest = max(float(np.abs(one.samples - one.samples.mean()).max()) for one in segments)
    return "silent" if loudest < SILENT else ""


@dataclass(frozen=True, eq=False)
class Labelling:
    """What stays the same over all recordings."""

    emotions: list[str]
    attributes: list[str]
    members: list[str]
    threshold: float
    """Largest posterior below which the ensemble calls itself unsure."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the ensemble says of one recording, piece by piece."""

    file: Path
    labelling: Labelling
    segments: list[Segment]
    transcripts: list[str]
    posteriors: Floats
    """Of the soup, (segments, C)."""
    attributes: Floats
    """Of the soup, (segments, A), on the scale 1-7."""
    member_posteriors: Floats
    """(segments, members, C)."""

    def timeline(self) -> pd.DataFrame:
        """`pieces` as a table."""
        return pd.DataFrame(self.pieces())

    def pieces(self) -> list[dict[str, Any]]:
        """One row per piece: FileName, Start and End in seconds, then as `summary`."""
        times = [{"FileName": str(self.file), "Start": one.start, "End": one.end} for one in self.segments]
        notes = [doubt([segment]) for segment in self.segments]
        said = self._rows(self.transcripts, self.posteriors, self.attributes, self.member_posteriors, notes)
        return [time | row for time, row in zip(times, said, strict=True)]

    def summary(self) -> dict[str, Any]:
        """One row: means over the pieces by their length.

        FileName, Seconds (where the last piece ends), Transcript, Emotion, a posterior per emotion, attributes,
        Agreement (share of the members whose own first choice is Emotion), Unsure, Note (why it is unsure whatever the
        posteriors say: "silent", "shorter than 0.1 s"; else empty), and each member's first choice as `Member <name>`.
        """
        seconds = np.array([one.end - one.start for one in self.segments], dtype=np.float32)
        weights = seconds / seconds.sum()
        posteriors, attributes, members = (
            np.tensordot(weights, values, axes=1)[None]
            for values in (self.posteriors, self.attributes, self.member_posteriors)
        )
        text = " ".join(one for one in self.transcripts if one)
        (row,) = self._rows([text], posteriors, attributes, members, [doubt(self.segments)])
        return {"FileName": str(self.file), "Seconds": self.segments[-1].end} | row

    def _rows(
        self, transcripts: list[str], posteriors: Floats, attributes: Floats, members: Floats, notes: list[str]
    ) -> list[dict[str, Any]]:
        labelling, chosen = self.labelling, members.argmax(axis=2)
        rows = []
        for number, (transcript, note) in enumerate(zip(transcripts, notes, strict=True)):
            best = int(posteriors[number].argmax())
            rows.append(
                {
                    "Transcript": transcript,
                    "Emotion": labelling.emotions[best],
                    **dict(zip(labelling.emotions, posteriors[number].tolist(), strict=True)),
                    **dict(zip(labelling.attributes, attributes[number].tolist(), strict=True)),
                    "Agreement": float((chosen[number] == best).mean()),
                    "Unsure": bool(note or posteriors[number, best] < labelling.threshold),
                    "Note": note,
                    **{
                        f"Member {name}": labelling.emotions[choice]
                        for name, choice in zip(labelling.members, chosen[number], strict=True)
                    },
                }
            )
        return rows
