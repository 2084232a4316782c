"""Texts that Whisper makes up: where nobody speaks, and where it repeats itself."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from medusa.config.schema import Guards


@dataclass(frozen=True)
class Heard:
    """What an engine made of one window.

    Attributes:
        text: As decoded.
        no_speech: Probability, after the start token, of the token that says that nobody speaks; None where it was
            not computed.
        log_probability: Mean over the text's tokens and the end token; None where it was not computed.
    """

    text: str
    no_speech: float | None = None
    log_probability: float | None = None


def refused_by(heard: Heard, guards: Guards) -> str | None:
    """The guard, by its key in the config, that takes the text for invented; None if none does or there is no text."""
    if not heard.text.strip():
        return None
    if guards.no_speech is not None and heard.no_speech is not None and heard.no_speech > guards.no_speech:
        sure = guards.log_probability is not None and (heard.log_probability or 0.0) > guards.log_probability
        if not sure:
            return "no_speech"
    if guards.compression_ratio is not None and compression_ratio(heard.text) > guards.compression_ratio:
        return "compression_ratio"
    return None


def compression_ratio(text: str) -> float:
    """Bytes of a text by bytes of its zlib compression, as Whisper computes it: near 1 for speech, high for a loop."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))
