"""Answers as files, recording by recording: predictions, timelines, plots, and the recordings that failed.

predictions.csv | .jsonl            one row a recording, columns as `medusa.app.answers.Answer.summary`
.predictions.csv.partial            while it works: what is done so far; the same command continues from it
predictions.failures.csv            `FileName,reason`, where some could not be read
<name>.timeline.csv, .timeline.png  of recordings in more than one piece
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from medusa.app.answers import Answer
from medusa.app.recordings import output_names
from medusa.app.timeline import timeline_plot
from medusa.errors import PartlyDone, UserError, printable
from medusa.files import atomic_path, inert, lock_file, write_text

Row = dict[str, Any]
DIGITS = 6
"""Decimal places of what is written."""


@contextmanager
def open_predictions(
    recordings: Sequence[Path], out: Path | None, plots: Path | None, identity: Mapping[str, str]
) -> Iterator[Predictions]:
    """`Predictions`, with `out` held for this process.

    Raises:
        UserError: as `Predictions`, or another process writes `out`.
    """
    with nullcontext() if out is None else lock_file(out, "writing"):
        yield Predictions(recordings, out, plots, identity)


class Predictions:
    """Writes answers as they come; nothing of a recording is held once it is written.

    Args:
        recordings: All that are asked for.
        out: predictions.csv or .jsonl; None: no file of predictions.
        plots: Folder of timelines and their plots; None: timelines beside `out`, no plots.
        identity: What makes two runs the same, so that one continues the other: the bundle, how recordings are cut.

    Raises:
        UserError: `out` has another suffix or is a folder, or `plots` is a file.
    """

    def __init__(
        self, recordings: Sequence[Path], out: Path | None, plots: Path | None, identity: Mapping[str, str]
    ) -> None:
        self._recordings, self._names = recordings, output_names(recordings)
        self._out, self._plots = out, plots
        self._timelines = plots if plots is not None else out.parent if out is not None else None
        self._failures: dict[Path, str] = {}
        self._done: set[Path] = set()
        self._partial = None
        if plots is not None and plots.is_file():
            raise UserError(f"--plot {plots}: a file; name a folder")
        if out is not None:
            if out.suffix not in (".csv", ".jsonl") or out.is_dir():
                raise UserError(f"--out {out}: must be a file that ends in .csv or .jsonl")
            self._partial = out.with_name(f".{out.name}.partial")
            self._begin(self._partial, {**identity, "plots": str(plots)})

    @property
    def missing(self) -> list[Path]:
        """What an earlier run, stopped halfway, has not done."""
        return [path for path in self._recordings if path not in self._done]

    def add(self, path: Path, answer: Answer | UserError) -> None:
        """Write what there is to write of one recording; the line that says that it is done comes last."""
        if isinstance(answer, UserError):
            self._failures[path] = str(answer)
            return
        if len(answer.segments) > 1 and self._timelines is not None:
            self._write_timeline(self._timelines / self._names[path], answer)
        if self._partial is not None:
            stamp = _stamp(path)
            if stamp is None:
                self._failures[path] = f"{path}: it was taken away while it was read"
                return
            with self._partial.open("a", encoding="utf-8") as file:
                file.write(json.dumps([stamp, _rounded(answer.summary())]) + "\n")

    def finish(self) -> None:
        """Turn what was collected into `out`, and end a run that is not whole.

        Raises:
            UserError: every recording failed; nothing is written.
            PartlyDone: some did; the others are written.
        """
        failures, total = self._failures, len(self._recordings)
        first = next(iter(failures.values()), "")
        if len(failures) == total:
            raise UserError(first if total == 1 else f"none of {total} recordings could be done; the first: {first}")
        listed = f"the first: {first}"
        if self._out is not None and self._partial is not None:
            self._write_out(self._out, self._partial)
            report = self._out.with_suffix(".failures.csv")
            report.unlink(missing_ok=True)
            if failures:
                rows = [{"FileName": printable(str(path)), "reason": why} for path, why in failures.items()]
                write_text(report, csv_text(rows))
                listed = f"see {report}"
        if failures:
            raise PartlyDone(f"{len(failures)} of {total} recordings failed, the rest is done; {listed}")

    def _begin(self, partial: Path, identity: Row) -> None:
        """Keep what an earlier run of the same command has done, of files that are as they were; else start."""
        asked = {str(path): path for path in self._recordings}
        with atomic_path(partial) as fresh, fresh.open("w", encoding="utf-8") as file:
            file.write(json.dumps(identity) + "\n")
            lines = _whole_lines(partial)
            if next(lines, (1, None))[1] != identity:
                return
            for number, line in lines:
                stamp, row = _done(partial, number, line)
                path = asked.get(stamp["file"])
                if path is not None and _stamp(path) == stamp:
                    self._done.add(path)
                    file.write(json.dumps([stamp, row]) + "\n")

    def _write_out(self, out: Path, partial: Path) -> None:
        lines = _whole_lines(partial)
        next(lines)  # the identity
        with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            for number, (_, row) in lines:
                if out.suffix == ".csv":
                    file.write(csv_text([row], header=number == 2))
                else:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        partial.unlink()

    def _write_timeline(self, base: Path, answer: Answer) -> None:
        rows = [_rounded(row) for row in answer.pieces()]
        write_text(base.with_name(f"{base.name}.timeline.csv"), csv_text(rows))
        if self._plots is not None:
            with atomic_path(base.with_name(f"{base.name}.timeline.png")) as temporary:
                temporary.write_bytes(timeline_plot(answer))


def csv_text(rows: Sequence[Row], header: bool = True) -> str:
    """Rows with the same keys as CSV, text `inert` in a spreadsheet; JSON lines hold it as it is."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    if header:
        writer.writerow(map(inert, rows[0]))
    for row in rows:
        writer.writerow(map(inert, row.values()))
    return file.getvalue()


def _rounded(row: Row) -> Row:
    return {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in row.items()}


def _stamp(path: Path) -> Row | None:
    """Tells a file from what another run may find in its place; None where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return {"file": str(path), "bytes": status.st_size, "changed": status.st_mtime_ns}


def _whole_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Numbers from 1 and JSON values of a file of lines; the last one of a run that was killed may be torn: left out.

    Raises:
        UserError: a whole line is not JSON.
    """
    if not path.exists():
        return
    with path.open("rb") as file:  # bytes, so that what is not UTF-8 is met in its own line
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    raise _damaged(path, number) from None
                yield number, value


def _done(path: Path, number: int, line: Any) -> tuple[Row, Row]:
    """Stamp and row of a line of `path`."""
    match line:
        case [{"file": str()} as stamp, {"FileName": str()} as row]:
            return stamp, row
    raise _damaged(path, number)


def _damaged(path: Path, line: int) -> UserError:
    return UserError(f"{path}: line {line}: what an earlier run had done is damaged; delete this file to begin anew")
