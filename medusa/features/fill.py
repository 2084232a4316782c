"""Computing every missing shard of a corpus: reading, batching, progress, and the clips that fail."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from medusa.audio import SAMPLE_RATE
from medusa.errors import PartlyDone, UserError, out_of_memory
from medusa.features.shards import ShardWriter
from medusa.features.sources import Clip, Source
from medusa.files import inert, read_csv, write_list

Value = TypeVar("Value")

READERS = 4
"""Threads that decode the next shard's clips while the model computes; decoding lets go of the interpreter."""


def fill(
    writer: ShardWriter[Value],
    source: Source,
    compute: Callable[[list[Any]], list[Value]],
    batch_size: int,
    name: str,
) -> dict[str, str]:
    """Compute every missing shard of the writer's part.

    Finished shards are kept; of shards that miss clips, those clips are tried again. Batches hold clips of
    like length and never cross shards. While a shard is computed, the next is read and the one before written.

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
    shown = name if writer.part.whole else f"{name} {writer.part}"
    progress = tqdm(total=len(writer.own_utterances), desc=shown, unit=" clips")
    with progress, ThreadPoolExecutor(1) as hand, _reading_threads() as readers:
        speed, written = _Speed(progress), Future[None]()
        written.set_result(None)
        for index, clips, failed in _read_ahead(writer, source, readers):
            values: dict[str, Value] = {}
            for batch in _batches(clips, batch_size):
                try:
                    computed = compute([clips[utterance] for utterance in batch])
                except (MemoryError, RuntimeError) as error:
                    if not out_of_memory(error):
                        raise
                    if len(batch) > 1:
                        raise UserError(
                            f"{name}: out of memory at {len(batch)} clips, the longest {batch[0]!r}; lower batch_size "
                            f"(now {batch_size}) and run the same command again, finished shards are kept"
                        ) from None
                    failed[batch[0]] = f"{batch[0]}: does not fit into memory by itself; cut the recording into pieces"
                    continue
                for utterance, value in zip(batch, computed, strict=True):
                    try:
                        values[utterance] = writer.storable(utterance, value)
                    except UserError as error:
                        failed[utterance] = str(error)
                speed.add([clips[utterance] for utterance in batch])
            written.result()
            if values or not writer.has(index):
                written = hand.submit(writer.write, index, values)
            progress.update(len(writer.shards[index]) - len(clips))
            failures |= failed
        written.result()
    return failures


def write_failures(report: Path, files: Mapping[str, str], own: Sequence[str], failures: Mapping[str, str]) -> None:
    """Write the list of failures (`FileName,reason`), sorted by utterance, or remove it if there are none.

    Args:
        report: The file; rows of utterances that other parts compute stay in it.
        files: File name of every utterance.
        own: The utterances that were tried.
        failures: The reasons, of those that failed.
    """
    reasons = dict(failures)
    tried = {inert(files[utterance]) for utterance in own}
    if report.exists():
        utterances = {inert(file): utterance for utterance, file in files.items()}
        for file, reason in read_csv(report)[["FileName", "reason"]].itertuples(index=False):
            if file in utterances and file not in tried:
                reasons[utterances[file]] = reason
    if reasons:
        rows = [(files[utterance], reasons[utterance]) for utterance in sorted(reasons)]
        write_list(report, pd.DataFrame(rows, columns=["FileName", "reason"]))
    else:
        report.unlink(missing_ok=True)


def tell_left(writer: ShardWriter[Any]) -> int:
    """Say, on stderr, how many shards are still to come from other parts; how many."""
    left = writer.left()
    if left:
        print(f"part {writer.part} is done; {left} of {len(writer.shards)} shards are still to come", file=sys.stderr)
    return left


def raise_failures(report: Path, tried: Sequence[str], failures: Mapping[str, str]) -> None:
    """End a run in which some of the utterances that were `tried` failed.

    Raises:
        UserError: every clip failed.
        PartlyDone: some did.
    """
    if tried and len(failures) == len(tried):
        raise UserError(
            f"{report}: none of {len(tried)} clips could be done; the first: {next(iter(failures.values()))}"
        )
    if failures:
        first = next(iter(failures.values()))
        raise PartlyDone(
            f"{len(failures)} of {len(tried)} clips failed, the rest is done; see {report} (the first: {first}); mend "
            "them and run the same command again, or leave them out: python -m medusa leave-out"
        )


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


@contextmanager
def _reading_threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more when the work ends early."""
    pool = ThreadPoolExecutor(READERS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _read_ahead(
    writer: ShardWriter[Any], source: Source, readers: ThreadPoolExecutor
) -> Iterator[tuple[int, dict[str, Clip], dict[str, str]]]:
    """Of each shard its number, the clips to compute, and the reasons why others cannot be read."""

    def begin(utterances: list[str]) -> dict[str, Future[Clip]]:
        return {utterance: readers.submit(source.read, utterance) for utterance in utterances}

    coming = begin(writer.missing(writer.own[0])) if writer.own else {}
    for index, following in zip_longest(writer.own, writer.own[1:]):
        reading, utterances = coming, writer.shards[index]
        if following is not None:
            coming = begin(writer.missing(following))
        clips, failed = _collect(reading)
        if clips and len(reading) < len(utterances):
            # The shard was written without clips that can be read now: it is made anew as a whole.
            again, failed_again = _collect(begin(utterances))
            lost = [utterance for utterance in failed_again if utterance not in reading]
            if lost:  # what was computed is kept, although its recording is gone
                reason = f"its shard holds {lost[0]}, which cannot be read again ({failed_again[lost[0]]})"
                clips, failed = {}, failed | dict.fromkeys(clips, reason)
            else:
                clips, failed = again, failed_again
        yield index, clips, failed


def _collect(reading: Mapping[str, Future[Clip]]) -> tuple[dict[str, Clip], dict[str, str]]:
    """Clips that can be read, and the reasons why the others cannot."""
    clips: dict[str, Clip] = {}
    failed: dict[str, str] = {}
    for utterance, clip in reading.items():
        try:
            clips[utterance] = clip.result()
        except UserError as error:
            failed[utterance] = str(error)
    return clips, failed


def _batches(clips: Mapping[str, Clip], size: int) -> list[list[str]]:
    """Ids in batches of clips of like length, longest first, so that too large a batch fails at once."""
    ordered = sorted(clips, key=lambda utterance: (-len(clips[utterance]), utterance))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
