"""Recordings that are none: they are listed, and all the others are done."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.faults.workspace import (
    CLIPS,
    Case,
    Damage,
    all_of,
    cell,
    change,
    folder_for,
    loop,
    nothing,
    put,
    remove,
    rows,
    wav,
)

EXTRACT = ("extract_features.py", "extract.yaml")
FRESH = (*EXTRACT, "name=fresh")
ONE = "corpus/audio/b.wav"
LABELS, TRANSCRIPTS = "corpus/labels.csv", "corpus/transcripts.csv"


def listed(name: str, damage: Damage, reason: str) -> Case:
    """The reason stands in the line, which names failures.csv, and there."""
    return Case(name, FRESH, damage, ("1 of 5 clips failed, the rest is done; see corpus/features/fresh/failures.csv",
                                      f"the first: {ONE}: ", reason), code=3, failures={"b.wav": reason})  # fmt: skip


def points_out(folder: Path) -> None:
    """A link to a recording that lies elsewhere."""
    (folder / ONE).rename(folder / "secret.wav")
    (folder / ONE).symlink_to(folder / "secret.wav")


NONE_LEFT = all_of(*(put(f"corpus/audio/{name}", "no recording") for name in CLIPS))

CASES = [
    listed("recording missing", remove(ONE), "no such recording"),
    listed("recording empty", put(ONE, b""), "an empty file; replace or remove it"),
    listed("recording of text", put(ONE, "no recording"), "cannot be decoded"),
    listed("recording cut in its header", put(ONE, b"RIFF\x24\x00\x00\x00WAVEfmt "), "cannot be decoded"),
    listed("recording cut in its samples", change(ONE, lambda data: data[:-1001]),
           "cut off, holds 5,999 of 7,000 bytes of samples; copy it again"),
    listed("recording of noise", put(ONE, np.random.default_rng(0).bytes(4096)), "cannot be decoded"),
    listed("recording without samples", wav(ONE, np.zeros(0, np.int16)), "holds no samples; replace or remove it"),
    listed("recording with NaN", wav(ONE, np.full(3000, np.nan, np.float32)), "not finite; replace or remove it"),
    listed("recording is a folder", folder_for(ONE), "no such recording"),
    Case("recording leads outside", FRESH, points_out,
         ("1 of 5 clips failed", "'b.wav' leads outside corpus/audio", "copy it into that folder"), code=3,
         failures={"b.wav": "'b.wav' leads outside corpus/audio"}),
    Case("no recording at all", FRESH, NONE_LEFT,
         ("corpus/features/fresh/failures.csv: none of 5 clips could be done", "cannot be decoded",
         "replace or remove it"), failures=dict.fromkeys(CLIPS, "cannot be decoded")),
    Case("no folder of recordings", (*EXTRACT, "paths.audio=elsewhere"), nothing,
         ("elsewhere: no such folder of recordings", "set paths.audio")),
    Case("store of another config", (*EXTRACT, "time_stride=2"), nothing,
         ("corpus/features/logmel: holds another store: time_stride is 1 there and 2 now",
         "give this one another name")),
    Case("store of another corpus", EXTRACT, rows(LABELS, lambda table: table.pop()),
         ("corpus/features/logmel: holds another store: utterances is 5 there and 4 now", "delete the directory")),
    Case("store is a file", FRESH, put("corpus/features/fresh", "a file"),
         ("corpus/features/fresh", "cannot be made a folder", "choose another path")),
    Case("recording twice", FRESH, cell(LABELS, 3, "FileName", "a.wav"),
         (LABELS, "line 3", "same utterance as line 2", "keep one row")),
    Case("recording leads outside by its name", FRESH, cell(LABELS, 3, "FileName", "../secret.wav"),
         (LABELS, "line 3", "relative to the audio folder")),
    Case("recording named as nothing may be", FRESH, cell(LABELS, 3, "FileName", "__metadata__.wav"),
         (LABELS, "line 3", "keep this name for themselves", "rename")),
    Case("recording that is a loop of links", FRESH, loop("corpus/audio/b.wav"),
         ("1 of 5 clips failed", "b.wav: a link that leads back to itself", "mend or delete"), code=3,
         failures={"b.wav": "b.wav: a link that leads back to itself"}),
    Case("recording with an absolute name", FRESH, cell(LABELS, 3, "FileName", "/secret.wav"),
         (LABELS, "line 3", "relative to the audio folder")),
]  # fmt: skip
