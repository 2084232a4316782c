"""Computing every missing shard of a corpus: reading, batching, progress, and the clips that fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from medusa.audio import SAMPLE_RATE
from medusa.errors import PartlyDone, UserError
from medusa.features.shards import ShardWriter
from medusa.features.sources import Clip, Source
from medusa.files import write_csv

Value = TypeVar("Value")


def fill(
    writer: ShardWriter[Value],
    source: Source,
    compute: Callable[[list[Any]], list[Value]],
    batch_size: int,
    name: str,
) -> dict[str, str]:
    """Compute every missing shard.

    Finished shards are kept; of shards that miss clips, those clips are tried again. Batches hold clips of
    like length and never cross shards.

    Args:
        writer: Where the values go.
        source: Where the clips come from.
        compute: A batch of clips → their values.
        batch_size: Clips in a batch.
        name: Shown beside the progress bar.

    Returns:
        The reasons for clips that failed, by utterance id.

    Raises:
        UserError: out of memory.
    """
    failures: dict[str, str] = {}
    with tqdm(total=int(writer.manifest["utterances"]), desc=name, unit=" clips") as progress:
        speed = _Speed(progress)
        for index, utterances in enumerate(writer.shards):
            clips, failed = _read(writer.missing(index), source)
            if clips and len(clips) + len(failed) < len(utterances):
                # The shard was written without clips that can be read now: it is made anew as a whole.
                clips, failed = _read(utterances, source)
            values: dict[str, Value] = {}
            for batch in _batches(clips, batch_size):
                try:
                    computed = compute([clips[utterance] for utterance in batch])
                except torch.OutOfMemoryError:
                    raise UserError(
                        f"{name}: out of memory; lower batch_size (now {batch_size}) and run the same command again, "
                        "finished shards are kept"
                    ) from None
                for utterance, value in zip(batch, computed, strict=True):
                    try:
                        values[utterance] = writer.storable(utterance, value)
                    except UserError as error:
                        failed[utterance] = str(error)
                speed.add([clips[utterance] for utterance in batch])
            if values or not writer.has(index):
                writer.write(index, values)
            progress.update(len(utterances) - len(clips))
            failures |= failed
    return failures


def write_failures(report: Path, files: Mapping[str, str], failures: Mapping[str, str]) -> None:
    """Write the list of failures (`FileName,reason`), or remove it if there are none."""
    if failures:
        rows = [(files[utterance], reason) for utterance, reason in failures.items()]
        write_csv(report, pd.DataFrame(rows, columns=["FileName", "reason"]))
    else:
        report.unlink(missing_ok=True)


def raise_failures(report: Path, files: Mapping[str, str], failures: Mapping[str, str]) -> None:
    """End a run that is not whole.

    Raises:
        UserError: every clip failed.
        PartlyDone: some did.
    """
    if files and len(failures) == len(files):
        raise UserError(
            f"{report}: none of {len(files)} clips could be done; the first: {next(iter(failures.values()))}"
        )
    if failures:
        raise PartlyDone(f"{len(failures)} of {len(files)} clips failed, the rest is done; see {report}")


class _Speed:
    """Shows clips a second and, for recordings, seconds of audio a second."""

    def __init__(self, progress: tqdm[Any]) -> None:
        self.progress, self.seconds, self.started = progress, 0.0, time.monotonic()

    def add(self, clips: list[Clip]) -> None:
        self.seconds += sum(len(clip) for clip in clips if isinstance(clip, np.ndarray)) / SAMPLE_RATE
        if self.seconds:
            rate = self.seconds / (time.monotonic() - self.started)
            self.progress.set_postfix_str(f"{rate:.0f} × real time", refresh=False)
        self.progress.update(len(clips))


def _read(utterances: list[str], source: Source) -> tuple[dict[str, Clip], dict[str, str]]:
    """Clips that can be read, and the reasons why the others cannot."""
    clips: dict[str, Clip] = {}
    failed: dict[str, str] = {}
    for utterance in utterances:
        try:
            clips[utterance] = source.read(utterance)
        except UserError as error:
            failed[utterance] = str(error)
    return clips, failed


def _batches(clips: Mapping[str, Clip], size: int) -> list[list[str]]:
    """Ids in batches of clips of like length, longest first, so that too large a batch fails at once."""
    ordered = sorted(clips, key=lambda utterance: (-len(clips[utterance]), utterance))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
