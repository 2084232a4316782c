"""Simulated annotators: 5 to 9 people who confuse neighbouring emotions, now and then say Other, and rate 1-7."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from medusa.corpora.msp_layout import EMOTIONS, Vote

Floats = npt.NDArray[np.float64]

CONFUSED_WITH = {
    "Angry": ("Disgust", "Contempt"),
    "Sad": ("Fear", "Neutral"),
    "Happy": ("Surprise", "Neutral"),
    "Surprise": ("Happy", "Fear"),
    "Fear": ("Surprise", "Sad"),
    "Disgust": ("Angry", "Contempt"),
    "Contempt": ("Disgust", "Neutral"),
    "Neutral": ("Sad", "Happy"),
}
RIGHT, NEIGHBOUR, OTHER, ELSE = 0.62, 0.14, 0.05, 0.01
"""Share of votes for the emotion itself, each of the two it is confused with, Other, each of the remaining five."""

TYPICAL_ATTRIBUTES = np.array(
    [
        [5.6, 2.3, 5.3],
        [2.7, 2.5, 3.0],
        [5.0, 5.7, 4.8],
        [5.3, 4.5, 4.2],
        [4.9, 2.5, 2.7],
        [3.9, 2.3, 4.5],
        [3.5, 2.9, 4.9],
        [3.5, 4.1, 4.1],
    ]
)
"""Arousal, valence, dominance of each emotion, shape (emotions, 3)."""

CLIP_SPREAD, ANNOTATOR_SPREAD = 0.5, 0.8
"""Standard deviations of the attributes: of a clip around its emotion, of an annotator around the clip."""

WORKERS = 24
CHOICES = (*EMOTIONS, "Other")
OTHER_PRIMARY = ("Other-confused", "Other-bored", "Other-Concerned", "Other-curious", "Other-not sure")
SECONDARY = (
    *EMOTIONS,
    *("Amused", "Frustrated", "Depressed", "Concerned", "Disappointed", "Dissapointed", "Excited", "Confused"),
    *("Annoyed", "Other"),
)


def vote_shares(emotion: str) -> dict[str, float]:
    """How often annotators say each of `CHOICES` where `emotion` was felt: one row of the confusion matrix."""
    neighbours = dict.fromkeys(CONFUSED_WITH[emotion], NEIGHBOUR)
    return dict.fromkeys(CHOICES, ELSE) | neighbours | {emotion: RIGHT, "Other": OTHER}


def typical_attributes(emotion: str) -> Floats:
    """Arousal, valence, dominance, shape (3,)."""
    return np.asarray(TYPICAL_ATTRIBUTES[EMOTIONS.index(emotion)])


def draw_votes(
    random: np.random.RandomState,
    shares: Mapping[str, float],
    attributes: Floats,
    accepted: Callable[[list[str]], bool],
) -> tuple[Vote, ...]:
    """The votes of 5 to 9 of the `WORKERS`.

    Args:
        random: Draws come from here.
        shares: Weight of each of `CHOICES`, of any sum.
        attributes: What the clip's attributes are drawn around, shape (3,).
        accepted: Told the primary choices; they are drawn again until it agrees.
    """
    weights = np.array([shares[name] for name in CHOICES])
    workers = [f"WORKER{number:08d}" for number in np.sort(random.permutation(WORKERS)[: random.randint(5, 10)]) + 1]
    while True:
        drawn = random.choice(len(CHOICES), len(workers), p=weights / weights.sum())
        primaries = [CHOICES[choice] for choice in drawn]
        if accepted(primaries):
            break
    centre = attributes + random.normal(0, CLIP_SPREAD, 3)
    votes = []
    for worker, primary in zip(workers, primaries, strict=True):
        spelt = OTHER_PRIMARY[random.randint(len(OTHER_PRIMARY))] if primary == "Other" else primary
        also = [SECONDARY[choice] for choice in random.permutation(len(SECONDARY))[: random.randint(3)]]
        secondary = tuple(dict.fromkeys([primary, *also])) if also else ()
        rated = np.clip(np.rint(centre + random.normal(0, ANNOTATOR_SPREAD, 3)), 1, 7).astype(int).tolist()
        votes.append(Vote(worker, spelt, secondary, tuple(rated)))
    return tuple(votes)
