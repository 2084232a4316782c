"""Run a pipeline with Snakemake and show on the terminal how far it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from medusa.config.schema import MetaConfig
from medusa.errors import UserError
from medusa.files import lock, read_csv
from medusa.workflow.jobs import ROOT, STAGES, Job, Pipeline
from medusa.workflow.step import WATCHED, watched_here

TOLD = {
    "usable": r"left out [\d,]+ of [\d,]+ utterances",
    "members": r"best \S+ class-balanced macro-F1 \S+ at epoch \d+",
}
"""What of a finished job's log is worth a line, by kind."""


def run_pipeline(pipeline: Pipeline, cores: int | None, options: Sequence[str] = ()) -> int:
    """Run what is not done yet; `options` go to Snakemake.

    Returns:
        How many jobs ran.

    Raises:
        UserError: the pipeline is already running here, or a job failed.
    """
    with lock(pipeline.folder, "running this pipeline"):
        pipeline.refresh()
        shutil.rmtree(pipeline.events, ignore_errors=True)
        pipeline.stopping.unlink(missing_ok=True)
        log = pipeline.folder / "snakemake.log"
        environment = {**os.environ, WATCHED: watched_here()}
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                snakemake(pipeline, cores, options), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment,
            )  # fmt: skip
        display = _Display(pipeline, log)
        try:
            display.follow(process)
        finally:
            if process.poll() is None:
                pipeline.stopping.touch()  # asked to end, Snakemake waits for its jobs, which may take hours
                process.terminate()
                process.wait()
                pipeline.stopping.unlink(missing_ok=True)
    if process.returncode and display.failures:
        raise UserError(next(iter(display.failures.values())))
    if process.returncode:
        raise UserError(f"Snakemake ended with exit code {process.returncode}; see {log}")
    return display.finished


def snakemake(pipeline: Pipeline, cores: int | None, options: Sequence[str] = ()) -> list[str]:
    """The command that runs the pipeline; `cores` None leaves them to a profile among the options."""
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile")),
        *("--config", f"pipeline={pipeline.file}", "--scheduler", "greedy"),
        *(() if cores is None else ("--cores", str(cores))),
        *("--rerun-incomplete", "--nolock", "--rerun-triggers", "mtime"),
        *options,
    ]


def headline(pipeline: Pipeline) -> str:
    """Class-balanced macro-F1 of every ensemble but its variants by technique, as in the report; where reports are, and
    what was left out of all this.
    """
    techniques = ["majority", "soft", "single", "soup"]
    ensembles = [
        job for job in pipeline.jobs.values() if isinstance(job.config, MetaConfig) and job.config.variant is None
    ]
    width = max((len(job.title) for job in ensembles), default=0)
    lines = []
    if ensembles:
        lines.append(f"{'class-balanced macro-F1, test':<{width}}" + "".join(f"{name:>10}" for name in techniques))
    for job in ensembles:
        scores = read_csv(job.makes[-1]).set_index("technique")["balanced_f1"].astype(float)
        lines.append(f"{job.title:<{width}}" + "".join(f"{scores[name]:>10.3f}" for name in techniques))
    lines += [f"report: {job.makes[-1]}" for job in pipeline.jobs.values() if job.kind == "report"]
    lists = [job.makes[-1] for job in pipeline.jobs.values() if job.kind == "usable"]
    counts = {path: len(read_csv(path)) for path in lists}
    lines += [f"{count:,} recordings could not be used: {path}" for path, count in counts.items() if count]
    return "\n".join(lines)


class _Display:
    """A line for every finished job and, on a terminal, a bar for every running one."""

    def __init__(self, pipeline: Pipeline, log: Path) -> None:
        self.pipeline, self.log = pipeline, log
        self.console = Console(highlight=False)
        self.running: dict[str, TaskID] = {}
        self.finished = 0
        self.failures: dict[str, str] = {}
        """Of jobs that have failed and were not begun again."""

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        """Show events until the process has ended."""
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[says]}"))
        with Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True) as self.bars:
            whole = self.bars.add_task("in all", total=None, says="")
            events = self._events()
            ended = False
            while not ended:
                ended = process.poll() is not None  # before reading, so that the last events are read too
                for event in iter(lambda: next(events), None):
                    self._show(event)
                for name, task in self.running.items():
                    self._update(name, task)
                total = self._total()
                says = f"{self.finished} of {total or '?'} jobs"
                self.bars.update(whole, total=total, completed=self.finished, says=says)
                time.sleep(0 if ended else 0.2)

    def _events(self) -> Iterator[dict[str, Any] | None]:
        """Events as they are written; None when there is none at the moment."""
        positions: dict[Path, int] = {}
        while True:
            for file in sorted(self.pipeline.events.rglob("*.jsonl")):
                text = file.read_text(encoding="utf-8")
                start, end = positions.get(file, 0), text.rfind("\n") + 1
                positions[file] = max(start, end)
                for line in text[start:end].splitlines():
                    yield json.loads(line)
            yield None

    def _show(self, event: dict[str, Any]) -> None:
        job = self.pipeline.jobs.get(event["job"])
        if job is None:  # of an earlier workflow, which a cluster has not ended
            return
        self.failures.pop(job.name, None)
        if job.name in self.running:
            self.bars.remove_task(self.running.pop(job.name))
        if event["event"] == "started":
            if not self.console.is_terminal:
                self._print(f"{self._stage(job)} {job.title} …")
            short = job.title.partition(":")[0]  # a bar must fit in 80 columns
            self.running[job.name] = self.bars.add_task(f"{self._stage(job)} {short}", total=None, says="")
            return
        if event["event"] == "failed":
            self.failures[job.name] = event["message"]
            self._print(f"{self._stage(job)} {job.title}  failed; what is running goes on to its end")
            return
        self.finished += 1
        log = self._text(job.name)
        says = "  " + (re.findall(TOLD[job.kind], log) or [""])[-1] if job.kind in TOLD else ""
        for line in log.splitlines():
            if line.endswith("-old"):
                self._print(f"      {line}")
        self._print(f"{self._stage(job)} {job.title}  [{event['seconds']:.0f} s]{says}")

    def _print(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, markup=False)

    def _stage(self, job: Job) -> str:
        """Which stage of how many."""
        present = {other.kind for other in self.pipeline.jobs.values()}
        kinds = [kind for kind in STAGES if kind in present]
        width = max(len(STAGES[kind]) for kind in kinds)
        return f"{kinds.index(job.kind) + 1}/{len(kinds)} {STAGES[job.kind]:<{width}}"

    def _update(self, name: str, task: TaskID) -> None:
        """The last thing the job's command printed, and `n/total` in it as a bar."""
        line = re.split(r"[\r\n]+", self._text(name)[-2000:].strip())[-1]
        word, done, total = (re.findall(r"(epoch)? +(\d+)/(\d+)", line) or [("", "0", "0")])[-1]
        says = f"{word} {done}/{total}".strip() if int(total) else ""
        self.bars.update(task, completed=int(done), total=int(total) or None, says=says)

    def _text(self, name: str) -> str:
        log = self.pipeline.log(name)
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def _total(self) -> int | None:
        """How many jobs there are to run, from Snakemake's table (`all` is one of them)."""
        found = re.search(r"^total\s+(\d+)$", self.log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        return int(found[1]) - 1 if found else None
