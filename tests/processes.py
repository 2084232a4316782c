"""Commands in processes of their own, to be watched, stopped and killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

# Each command gets a fresh process, forked from one that has done the slow imports once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["pytest", "torch.utils.tensorboard", "safetensors.torch", "pandas", "pydantic", "yaml", "sklearn.model_selection"]
)


class Done(NamedTuple):
    """How a command ended."""

    code: Any
    out: str
    err: str


class Running:
    """A command at work; one that inherits says how it is started and what is left of it."""

    process: BaseProcess

    def signal(self, number: signal.Signals) -> None:
        """Send it, unless the command has ended."""
        assert self.process.pid is not None
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until something is so, while it runs."""
        while not condition():
            assert self.process.is_alive(), self.done()
            time.sleep(0.002)

    def done(self) -> Done:
        """Wait for its end."""
        raise NotImplementedError
