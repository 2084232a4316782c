"""Sentences in, speech out: eSpeak NG through ctypes, the one place that owns that library.

The library keeps its state per process, and what it says depends a little on what it said before. So each `speak`
starts a process of its own, in which it says everything in order: the same requests give the same samples.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medusa.errors import UserError

Samples = npt.NDArray[np.float32]

INSTALL = "pip install --no-deps -r requirements-demo.txt"

# speak_lib.h
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
RATE, VOLUME, PITCH, RANGE, WORD_GAP = 1, 2, 3, 4, 7
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Request:
    """One piece of text and how to say it."""

    text: str
    voice: str
    """As eSpeak NG names it, a language and a variant: `en-us+f3`."""
    rate: int
    """Words per minute, 80 ... 450."""
    pitch: int
    """0 ... 99, 50 is the voice's own."""
    range: int
    """How far the pitch moves, 0 (monotone) ... 100, 50 is the voice's own."""
    volume: int
    """0 ... 200, 100 is the library's own, at which some voices clip."""
    word_gap: int
    """Pause between words in units of 10 ms (at the library's usual rate)."""


@dataclass(frozen=True, eq=False)
class Speech:
    """What was said."""

    samples: Samples
    """Shape (samples,), in [-1, 1)."""
    rate: int
    """Samples a second."""


def speak(requests: Sequence[Request]) -> Iterator[Speech]:
    """Say each request, in order.

    Raises:
        UserError: the package that carries the library is not installed, or does not run here.
    """
    if importlib.util.find_spec("espeakng_loader") is None:
        raise UserError(f"speaking needs the package espeakng-loader; run: {INSTALL}")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_leave_interrupts_to_the_parent) as process:
        try:
            yield from process.map(_say, requests, chunksize=4)
        finally:
            process.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True, eq=False)
class _Library:
    functions: ctypes.CDLL
    heard: list[Samples]
    """Where the callback puts what is being said."""
    callback: Any
    """Kept alive for the library, which holds only its address."""
    rate: int


def _say(request: Request) -> Speech:
    library = _library()
    if library.functions.espeak_SetVoiceByName(request.voice.encode()):
        raise ValueError(f"eSpeak NG has no voice {request.voice!r}")
    values = {RATE: request.rate, VOLUME: request.volume, PITCH: request.pitch, RANGE: request.range}
    for parameter, value in {**values, WORD_GAP: request.word_gap}.items():
        library.functions.espeak_SetParameter(parameter, value, 0)
    text = request.text.encode() + b"\0"
    library.heard.clear()
    if library.functions.espeak_Synth(text, len(text), 0, 0, 0, CHARS_UTF8, None, None):
        raise RuntimeError(f"eSpeak NG could not say {request.text!r}")
    return Speech(np.concatenate(library.heard), library.rate)


@functools.cache
def _library() -> _Library:
    """Load and initialise the library, once in the process."""
    import espeakng_loader

    data = Path(espeakng_loader.get_data_path()).parent
    try:
        functions = ctypes.CDLL(espeakng_loader.get_library_path())
    except OSError as error:
        raise UserError(f"eSpeak NG does not load ({error}); espeakng-loader has no library for this system") from None
    functions.espeak_Synth.argtypes = [
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
        *(ctypes.c_void_p, ctypes.c_void_p),
    ]
    functions.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    rate = functions.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, str(data).encode(), INITIALIZE_DONT_EXIT)
    if rate <= 0:
        raise UserError(f"eSpeak NG finds no voices below {data}; the path may be too long: move the installation")
    functions.espeak_ng_SetRandSeed(1)  # otherwise by the clock
    heard: list[Samples] = []

    def hear(wave: Any, count: int, events: int | None) -> int:
        if count > 0:
            heard.append((np.ctypeslib.as_array(wave, (count,)) / 32768).astype(np.float32))
        return 0

    callback = CALLBACK(hear)
    functions.espeak_SetSynthCallback(callback)
    return _Library(functions, heard, callback, rate)
