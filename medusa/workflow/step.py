"""One job of a pipeline: run its commands, keep what they print, write its completion file last."""

from __future__ import annotations

import difflib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from medusa.errors import EXIT_PARTLY_DONE, UserError
from medusa.files import lock, write_json, write_text
from medusa.workflow.devices import devices_for
from medusa.workflow.jobs import Job, Pipeline

WATCHED = "MEDUSA_RUN_PID"
"""Environment variable with the process that shows the progress, as `watched_here` writes it. On its host no job
outlives it; jobs on other hosts cannot see it and are left to the cluster, which ends them at their time limit."""


WATCH_SECONDS = 1.0


def watched_here() -> str:
    """This process as `<pid>@<host>`: a number alone would name another process, or none, on another host."""
    return f"{os.getpid()}@{socket.gethostname()}"


def run_job(pipeline: Pipeline, name: str) -> None:
    """Run one job, whatever it needs being done.

    What an earlier run of another recipe left in the job's folder is put aside, never deleted.

    Raises:
        UserError: no such job, a command failed (names its log), or did not make what it should.
    """
    if name not in pipeline.jobs:
        like = (difflib.get_close_matches(name, pipeline.jobs, n=1) or list(pipeline.jobs))[0]
        raise UserError(f"{pipeline.file}: no job {name}; jobs are named like {like}")
    job, log, started = pipeline.jobs[name], pipeline.log(name), time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    _tell(pipeline, job, "started")
    try:
        log.unlink(missing_ok=True)
        with log.open("a", encoding="utf-8") as output:  # as the commands do, so that nobody overwrites another's lines
            say = partial(print, end="", file=output, flush=True)
            say(f"{job.title}\n")
            put_aside(job, say)
            with devices_for(job, say, partial(_refuse_to_outlive, pipeline)) as devices:
                for words in job.commands:
                    print("$ python", *words, file=output, flush=True)
                    _run([sys.executable, *words], pipeline, job, devices)
        missing = [path for path in job.makes if not path.exists()]
        if missing:
            raise UserError(f"{job.name}: {missing[0]} was not made; see {log}")
    except UserError as error:
        _tell(pipeline, job, "failed", message=str(error))
        raise
    claim(job)
    write_json(pipeline.done(name), {"schema": 1, "job": name, "recipe": job.recipe})
    _tell(pipeline, job, "finished", seconds=round(time.monotonic() - started, 1))


def put_aside(job: Job, say: Callable[[str], object]) -> None:
    """Rename what the job begins to `<name>.<n>-old` if an earlier run began it from another recipe.

    The recipe stands beside it in `.<name>.recipe`. What has none was not made by a workflow and is left to the
    command, which goes on with it or refuses it.
    """
    there = [path for path in job.begins if path.exists()]
    if there:
        note = _note(job)
        if not note.exists() or note.read_text(encoding="utf-8").strip() == job.recipe:
            return
        for path in there:
            aside = _free_name(path)
            with lock(path, "working") if path.is_dir() else nullcontext():
                path.rename(aside)
            say(f"{path} was made from another config or other inputs: kept as {aside}\n")
    claim(job)


def claim(job: Job) -> None:
    """Leave the recipe beside what was begun from it."""
    if job.begins:
        write_text(_note(job), job.recipe + "\n")


def _note(job: Job) -> Path:
    return job.begins[0].with_name(f".{job.begins[0].name}.recipe")


def _free_name(path: Path) -> Path:
    number = 1
    while path.with_name(f"{path.name}.{number}-old").exists():
        number += 1
    return path.with_name(f"{path.name}.{number}-old")


def _run(command: list[str], pipeline: Pipeline, job: Job, devices: Mapping[str, str]) -> None:
    log = pipeline.log(job.name)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **devices}
    if job.threads:
        environment["OMP_NUM_THREADS"] = str(job.threads)
    with log.open("a", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
    try:
        while process.poll() is None:
            _refuse_to_outlive(pipeline)
            try:
                process.wait(timeout=WATCH_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode and not (job.partly and process.returncode == EXIT_PARTLY_DONE):
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1].removeprefix("error: ")
        if process.returncode == EXIT_PARTLY_DONE:
            said += f"; here: leave_out_failures: true in {pipeline.file}"
        raise UserError(f"{job.name}: {said} (exit code {process.returncode}, log: {log})")


def end_with_the_workflow(pipeline: Pipeline) -> None:
    """Let Snakemake itself, which calls this, end with the process that shows its progress.

    It cancels its jobs then, on a cluster too, as it does at Ctrl-C: a workflow that nobody sees would go on submitting
    jobs, and meet those of the next start.
    """

    def watch() -> None:
        while _workflow_lives(pipeline):
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30 * WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)  # in a shell's background SIGINT is ignored; this submits nothing more

    threading.Thread(target=watch, daemon=True).start()


def _refuse_to_outlive(pipeline: Pipeline) -> None:
    if not _workflow_lives(pipeline):
        raise UserError("the workflow was stopped; run the same command again to go on")


def _workflow_lives(pipeline: Pipeline) -> bool:
    """Whether the process that shows the progress is there, as far as this host can know, and is not stopping."""
    watched, _, host = os.environ.get(WATCHED, "").partition("@")
    if not watched:
        return True
    if pipeline.stopping.exists():
        return False
    if host not in ("", socket.gethostname()):
        return True
    try:
        os.kill(int(watched), 0)
    except (ProcessLookupError, PermissionError):  # the second: its number is another user's process now
        return False
    return True


def _tell(pipeline: Pipeline, job: Job, event: str, **details: object) -> None:
    """One line in the job's own file."""
    line = json.dumps({"job": job.name, "event": event, **details}, ensure_ascii=False) + "\n"
    path = pipeline.events / f"{job.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
