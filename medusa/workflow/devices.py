"""Which GPU of this host a job computes on, so that jobs that run side by side do not share one."""

from __future__ import annotations

import getpass
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock

from medusa.workflow.jobs import Job
from medusa.workflow.resources import request

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""CUDA's own variable; torch sees the devices it names, in its order, as cuda:0, cuda:1, …"""

WAIT_SECONDS = 1.0


@contextmanager
def devices_for(
    job: Job, say: Callable[[str], object], check: Callable[[], None] = lambda: None
) -> Iterator[dict[str, str]]:
    """Environment variables that show a job the GPU it may use; the GPU is held until the block ends.

    - A job that asks for no GPU sees none, wherever it runs: its numbers do not depend on the machine.
    - One that does, where several are visible, gets a free one and waits while there is none.
    - Where a config names its device (`cuda:1`), and where at most one is visible, as in a cluster's allocation,
      nothing is changed. So it is for jobs without a config: the scripts they run decide themselves.

    Args:
        job: The job.
        say: Told in one line if it has to wait.
        check: Called while waiting; may raise to end it.
    """
    if job.config is None or ":" in job.config.compute.device:
        yield {}
    elif not request(job).gpu:
        yield {VISIBLE: ""}
    elif len(devices := visible_devices()) < 2:
        yield {}
    else:
        with _free_device(devices, say, check) as device:
            yield {VISIBLE: device}


def visible_devices() -> list[str]:
    """Names of the GPUs that a process started here may use: those of CUDA_VISIBLE_DEVICES, else all of the host."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    # By UUID, because nvidia-smi and CUDA may count in different orders. Asking torch would take seconds.
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.splitlines() if line.strip()]


def lock_folder() -> Path:
    """Where this user's locks of this host's GPUs are: not on a file system that hosts share."""
    return Path(tempfile.gettempdir()) / f"medusa-gpus-{getpass.getuser()}"


@contextmanager
def _free_device(devices: Sequence[str], say: Callable[[str], object], check: Callable[[], None]) -> Iterator[str]:
    """The first device whose lock nobody holds; the lock ends with this process, however that ends."""
    folder = lock_folder()
    folder.mkdir(parents=True, exist_ok=True)
    waits = False
    while True:
        for device in devices:
            held = filelock.FileLock(folder / f"{device.replace('/', '-')}.lock")
            try:
                held.acquire(timeout=0)
            except filelock.Timeout:
                continue
            try:
                yield device
            finally:
                held.release()
            return
        if not waits:
            say(f"waits: all of {len(devices)} GPUs are in use\n")
        waits = True
        check()
        time.sleep(WAIT_SECONDS)
