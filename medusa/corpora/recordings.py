"""Whether the recordings that a table names are there: labels can be made before them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def missing_recordings(audio: Path, file_names: Sequence[str]) -> list[str]:
    """A sentence about the recordings that are not in the audio folder; none where all are there."""
    # Not Path.is_file: that raises for a name longer than any file's, which is missing as well.
    missing = [name for name in file_names if not os.path.isfile(audio / name)]
    if not missing:
        return []
    found = f"{len(missing):,} of {len(file_names):,} recordings are not in {audio}, for example {missing[0]}"
    return [f"{found}; before features are extracted, add them or remove their rows"]
