"""Measuring in a process of its own, where nothing that was done before hides what is measured."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def alone(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """What `work` returns, called in a new interpreter that has imported its module and nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *args, **kwargs).result()


def resident() -> int:
    """Bytes of this process in memory now, without the page cache and what is mapped from files."""
    return _status("RssAnon")


def peak_resident() -> int:
    """Bytes of this process in memory at the most so far, files that are mapped (libraries) included.

    Not `getrusage`, whose peak a process takes over from the one that started it.
    """
    return _status("VmHWM")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
