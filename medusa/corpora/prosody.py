"""How the voices of the synthetic corpus sound: who speaks, and what each emotion does to rate, pitch and volume."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Speaker:
    """One voice of eSpeak NG."""

    number: int
    voice: str
    gender: str


@dataclass(frozen=True)
class Prosody:
    """Units as in `medusa.corpora.espeak.Request`; pauses in milliseconds."""

    rate: float
    pitch: float
    range: float
    volume: float
    word_gap: float
    pause: float
    """Silence after each sentence."""


TEST3_VOICES = ("en+f5", "en-us+m7")


def _voices(prefix: str, *variants: int) -> list[str]:
    return [f"{prefix}{variant}" for variant in variants]


def _speakers() -> tuple[Speaker, ...]:
    """12 women, 12 men, and a woman and a man whom only Test3 hears. (`en` is eSpeak NG's British English.)"""
    women = [*_voices("en-us+f", 1, 2, 3, 4, 5), *_voices("en+f", 1, 2, 3, 4), *_voices("en-gb-scotland+f", 2, 3, 4)]
    men = [*_voices("en-us+m", 1, 2, 3, 5, 6), *_voices("en+m", 1, 2, 4, 5, 7), *_voices("en-gb-scotland+m", 2, 6)]
    labelled = [(voice, "Female") for voice in women] + [(voice, "Male") for voice in men]
    voices = [*labelled, *zip(TEST3_VOICES, ("Female", "Male"), strict=True)]
    return tuple(Speaker(number, voice, gender) for number, (voice, gender) in enumerate(voices, start=1))


SPEAKERS = _speakers()
TYPICAL = {
    "Angry": Prosody(rate=154, pitch=58, range=70, volume=72, word_gap=0, pause=150),
    "Sad": Prosody(rate=118, pitch=34, range=18, volume=36, word_gap=2, pause=550),
    "Happy": Prosody(rate=146, pitch=60, range=76, volume=62, word_gap=0, pause=200),
    "Surprise": Prosody(rate=142, pitch=70, range=86, volume=66, word_gap=1, pause=300),
    "Fear": Prosody(rate=158, pitch=68, range=32, volume=44, word_gap=0, pause=250),
    "Disgust": Prosody(rate=124, pitch=38, range=62, volume=60, word_gap=1, pause=350),
    "Contempt": Prosody(rate=130, pitch=44, range=42, volume=52, word_gap=1, pause=400),
    "Neutral": Prosody(rate=140, pitch=48, range=44, volume=54, word_gap=0, pause=300),
}
"""The middle of each emotion, before speaker and chance."""

SPEAKER_SPREAD = Prosody(rate=5, pitch=4, range=6, volume=4, word_gap=0, pause=40)
CLIP_SPREAD = Prosody(rate=6, pitch=5, range=8, volume=4, word_gap=0.5, pause=80)
"""Standard deviations: of a speaker's habit (the same in all clips), and of one clip."""

LOWEST = Prosody(rate=108, pitch=5, range=0, volume=28, word_gap=0, pause=50)
HIGHEST = Prosody(rate=168, pitch=95, range=100, volume=78, word_gap=4, pause=900)
"""Rates that Whisper tiny.en understands, and volumes at which no voice clips."""

NAMES = tuple(field.name for field in fields(Prosody))


def draw_spread(random: np.random.RandomState, spread: Prosody) -> Prosody:
    """Normal deviations around 0."""
    return Prosody(*(float(random.normal(0, getattr(spread, name))) for name in NAMES))


def draw_prosody(random: np.random.RandomState, emotion: str, habit: Prosody) -> Prosody:
    """What `emotion` sounds like this time: typical + the speaker's habit + chance, whole numbers within bounds."""
    parts = (TYPICAL[emotion], habit, draw_spread(random, CLIP_SPREAD))
    sums = {name: sum(getattr(part, name) for part in parts) for name in NAMES}
    bounded = {name: np.clip(round(sums[name]), getattr(LOWEST, name), getattr(HIGHEST, name)) for name in NAMES}
    return Prosody(**{name: int(value) for name, value in bounded.items()})
