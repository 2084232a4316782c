"""RAVDESS, the speech part (Livingstone & Russo 2018): labels from file names, partition by actor.

A recording is called `03-01-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR`. Labels are hard (the emotion that the
actor was asked for) and there are no attributes. `03-01-03-01-02-01-07` and `03-01-03-01-02-02-07` are the same
recording, as published; both stay, and having one actor they are always in one partition.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medusa.corpora.labels import Labels, labels_from_table
from medusa.corpora.partition import fold_partition
from medusa.corpora.transcripts import COLUMNS
from medusa.errors import UserError

EMOTIONS = ("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Calm", "Neutral")
"""The paper's names and order (no Contempt, but Calm)."""

EMOTION_OF_CODE = dict(
    zip(
        ("01", "02", "03", "04", "05", "06", "07", "08"),
        ("Neutral", "Calm", "Happy", "Sad", "Angry", "Fear", "Disgust", "Surprise"),
        strict=True,
    )
)
SENTENCE_OF_CODE = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
AUDIO_ONLY_SPEECH = ("03", "01")
NAME = re.compile(
    r"(?P<modality>0[1-3])-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])"
    r"-(?P<statement>0[12])-(?P<repetition>0[12])-(?P<actor>0[1-9]|1[0-9]|2[0-4])"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One clip and what its name says."""

    path: Path
    modality: str
    channel: str
    emotion: str
    sentence: str
    actor: int

    @property
    def gender(self) -> str:
        """Male or Female: actors with odd numbers are men."""
        return "Male" if self.actor % 2 else "Female"


def parse_name(path: Path) -> Recording:
    """What a file name says.

    Raises:
        UserError: the name is not one of RAVDESS.
    """
    match = NAME.fullmatch(path.stem)
    if match is None:
        form = "03-01-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR"
        raise UserError(f"{path}: not a RAVDESS name ({form}, two digits each); move the file out of the audio folder")
    return Recording(
        path,
        match["modality"],
        match["channel"],
        emotion=EMOTION_OF_CODE[match["emotion"]],
        sentence=SENTENCE_OF_CODE[match["statement"]],
        actor=int(match["actor"]),
    )


def prepare(audio: Path, source: Path, folds: int = 5, fold: int = 0) -> Labels:
    """Labels of every spoken recording below a folder, partitioned by actor.

    The actors of `fold` are test, two men and two women of the others dev, the rest train
    (`medusa.corpora.partition.fold_partition`).

    Args:
        audio: Folder with the recordings as WAV or FLAC, in sub-folders (`Actor_07/`) or not.
        source: The labels.csv that the result is meant for.
        folds: Number of folds.
        fold: The fold that is test, 0 ... folds - 1.

    Returns:
        One row per recording in the order of names; FileName is the path relative to `audio`.

    Raises:
        UserError: no recordings, a name that is not one of RAVDESS, a recording that is there twice, or too few
            actors for the folds.
    """
    recordings = _spoken(audio)
    partition = fold_partition({r.actor: r.gender for r in recordings}, folds, fold)
    rows = [
        {
            "FileName": recording.path.relative_to(audio).as_posix(),
            **{emotion: float(emotion == recording.emotion) for emotion in EMOTIONS},
            "EmoClass": recording.emotion,
            "SpkrID": f"{recording.actor:02d}",
            "Gender": recording.gender,
            "Split_Set": "",
            "Partition": partition[recording.actor],
        }
        for recording in recordings
    ]
    return labels_from_table(source, pd.DataFrame(rows))


def reference_transcripts(labels: Labels) -> pd.DataFrame:
    """What is said in every recording, in the order of the labels: columns FileName, Transcript."""
    rows = [(name, parse_name(Path(name)).sentence) for name in labels.table["FileName"]]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _spoken(audio: Path) -> list[Recording]:
    """All spoken audio-only recordings below `audio`, sorted by name; skips what is sung or filmed, and says so."""
    if not audio.is_dir():
        raise UserError(f"{audio}: no such folder; unpack Audio_Speech_Actors_01-24.zip (zenodo.org/records/1188976)")
    paths = (p for p in audio.rglob("*") if p.suffix.lower() in (".wav", ".flac") and not p.name.startswith("."))
    recordings: dict[str, Recording] = {}
    skipped = 0
    for path in sorted(paths, key=lambda p: (p.stem, p.as_posix())):
        recording = parse_name(path)
        if (recording.modality, recording.channel) != AUDIO_ONLY_SPEECH:
            skipped += 1
        elif path.stem in recordings:
            raise UserError(f"{path}: the same recording as {recordings[path.stem].path}; keep one of them")
        else:
            recordings[path.stem] = recording
    if skipped:
        log.warning("%s: skipped %d recordings that are sung or filmed (names not 03-01-...)", audio, skipped)
    if not recordings:
        raise UserError(f"{audio}: no spoken recordings (03-01-*.wav or .flac) in it; check --audio")
    return list(recordings.values())
