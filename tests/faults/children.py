"""The scripts in processes of their own, to be killed, stopped and starved."""

from __future__ import annotations

import ctypes
import os
import resource
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from tests.faults.workspace import call
from tests.processes import PROCESSES, Done, Running

CAPABILITY_VERSION = 0x20080522
DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER = 1, 2, 3
"""What lets root read and write whatever a file's mode says."""


class Limits(NamedTuple):
    """What a child may not do."""

    modes: bool = False
    """Obey file modes, root too."""
    file_size: int | None = None
    """Bytes that a file may grow to: the write beyond fails, as on a full disk."""
    memory: int | None = None
    """Bytes of address space beyond those that it has."""


class Child(Running):
    """One command at work in `folder`."""

    def __init__(self, folder: Path, *words: str, limits: Limits | None = None) -> None:
        self.receiver, sender = PROCESSES.Pipe(duplex=False)
        arguments = (sender, folder, words, limits or Limits())
        self.process = PROCESSES.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        sender.close()

    def done(self) -> Done:
        """How it ended; of one that was killed, only that."""
        try:
            done: Done = self.receiver.recv()
        except EOFError:
            done = Done(None, "", "")
        self.process.join()
        return done if done.code is not None else Done(self.process.exitcode, "", "")


def _work(sender: Connection, folder: Path, words: tuple[str, ...], limits: Limits) -> None:
    """In the child."""
    if limits.modes:
        obey_modes()
    if limits.file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_size, resource.RLIM_INFINITY))
    if limits.memory is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        allowed = pages * resource.getpagesize() + limits.memory
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    try:
        done = call(folder, *words)
    except BaseException:
        done = Done("crashed", "", traceback.format_exc())
    sender.send(done)


def obey_modes() -> None:
    """Give up what root has over others. (Another uid may not reach this interpreter, which root installed.)"""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; low words, then high words
    assert libc.capget(header, sets) == 0, ctypes.get_errno()
    for number in (DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER):
        for which in range(2):
            sets[which] &= ~(1 << number)
    assert libc.capset(header, sets) == 0, ctypes.get_errno()
