"""Which recordings a command line means, and what the files about each of them are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from medusa.errors import UserError

DECODED = [
    ".wav",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aiff",
    ".aif",
    ".aifc",
    ".au",
    ".snd",
    ".caf",
    ".w64",
    ".rf64",
    ".sph",
]
REPORTED = [".m4a", ".aac", ".wma", ".webm", ".amr"]
SUFFIXES = (*DECODED, *REPORTED)
"""What is taken for a recording in a folder; those that libsndfile cannot decode are reported, not passed over."""


def find_recordings(paths: Sequence[Path]) -> list[Path]:
    """Files as they are named, folders searched to any depth in the order of names; each file once.

    A name that is not there, or a link that leads nowhere, is kept, to be reported as a recording that cannot be
    read.

    Raises:
        UserError: a folder holds no recording.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if _is_folder(path):
            named = [file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES]
            inside = sorted(file for file in named if not _is_folder(file))
            if not inside:
                raise UserError(f"{path}: no recordings in this folder (looked for .wav, .flac, .mp3, …)")
            found |= dict.fromkeys(inside)
        else:
            found[path] = None
    return list(found)


def _is_folder(path: Path) -> bool:
    """As `Path.is_dir`, but a name that is too long, or that may not be looked at, is left for reading to report."""
    try:
        return path.is_dir()
    except OSError:
        return False


def output_names(recordings: Sequence[Path]) -> dict[Path, str]:
    """A name for each recording: its path below the folder that holds all, without suffix unless that tells two apart.

    Parts are separated by `/`.
    """
    absolute = {path: path.absolute() for path in recordings}
    common = Path(os.path.commonpath([path.parent for path in absolute.values()]))
    below = {path: whole.relative_to(common) for path, whole in absolute.items()}
    # `a.wav` and `a.mp3` share `a`, and `a.wav.flac` would take the whole name of the first.
    claims = Counter(name for path in below.values() for name in (path, path.with_suffix("")))
    return {
        path: (name if claims[name.with_suffix("")] > 1 else name.with_suffix("")).as_posix()
        for path, name in below.items()
    }
