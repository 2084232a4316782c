"""What a benchmark measures in a process of its own."""

from __future__ import annotations

import os

import numpy as np

from benchmarks.processes import alone, peak_resident, resident

MEGABYTE = 2**20


def test_the_process_is_another_one_that_has_what_this_one_holds_not() -> None:
    held = np.ones(300 * MEGABYTE, np.uint8)
    assert alone(os.getpid) != os.getpid()
    assert alone(peak_resident) < peak_resident() - 200 * MEGABYTE
    assert held.all()


def test_resident_grows_by_what_is_held() -> None:
    before = resident()
    held = np.ones(100 * MEGABYTE, np.uint8)
    assert 90 * MEGABYTE < resident() - before < 110 * MEGABYTE
    assert peak_resident() > resident()
    assert held.all()
