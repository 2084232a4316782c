"""Agreement: alpha against its definition spelt out over pairs of votes, and what is worked out by hand."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from medusa.corpora.agreement import (
    alpha_of_classes,
    alpha_of_ratings,
    consensus_strength,
    entropy,
    raters,
    restrict,
)
from medusa.corpora.votes import OTHER, Votes

EMOTIONS = ("Angry", "Sad", "Happy")
Counts = list[list[int]]

TEXTBOOK = [
    *([1, 0, 0, 0], [0, 0, 0, 0], [0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 2, 0], [0, 0, 2, 1], [0, 0, 0, 3], [1, 0, 1, 0]),
    *([0, 2, 0, 0], [2, 0, 0, 0], [2, 0, 0, 0], [0, 0, 2, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0, 0, 1, 1]),
]
"""Krippendorff's own example of three coders who leave units out: values 1 to 4 of 15 units."""


def votes_of(counts: Counts | npt.NDArray[np.float64], ratings: Counts | None = None) -> Votes:
    """Votes for the emotions and Other; ratings of arousal from 1 upwards."""
    names = pd.Index([f"{row}.wav" for row in range(len(counts))], name="FileName")
    table = pd.DataFrame(np.array(counts, dtype=np.float64), index=names, columns=[*EMOTIONS, OTHER])
    rated = {}
    if ratings is not None:
        values = [float(value) for value in range(1, 1 + len(ratings[0]))]
        rated["EmoAct"] = pd.DataFrame(np.array(ratings, dtype=np.float64), index=names, columns=values)
    return Votes(EMOTIONS, table, rated)


def plain_alpha(counts: Counts, squared: bool) -> float:
    """1 - observed/expected disagreement: mean distance of votes within units, and of all pairable votes."""

    def distance(one: int, other: int) -> float:
        return float((one - other) ** 2 if squared else one != other)

    units = [[value for value, count in enumerate(row) for _ in range(count)] for row in counts]
    units = [unit for unit in units if len(unit) >= 2]
    every = [value for unit in units for value in unit]
    within = sum(distance(*pair) / (len(unit) - 1) for unit in units for pair in itertools.permutations(unit, 2)) / max(
        len(every), 1
    )
    among = sum(itertools.starmap(distance, itertools.permutations(every, 2))) / max(len(every) * (len(every) - 1), 1)
    return 1 - within / among if among else math.nan


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=7))
def test_alpha_is_one_minus_observed_over_expected_disagreement(counts: Counts) -> None:
    votes = votes_of(counts, counts)
    assert alpha_of_classes(votes) == pytest.approx(plain_alpha(counts, squared=False), abs=1e-9, nan_ok=True)
    expected = plain_alpha(counts, squared=True)
    assert alpha_of_ratings(votes)["EmoAct"] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_alpha_of_the_textbooks_example() -> None:
    votes = votes_of(TEXTBOOK, TEXTBOOK)
    assert alpha_of_classes(votes) == pytest.approx(0.691, abs=5e-4)
    assert alpha_of_ratings(votes)["EmoAct"] == pytest.approx(0.811, abs=5e-4)


def test_full_agreement_is_one_and_single_votes_change_nothing() -> None:
    agreed = [[3, 0, 0, 0], [0, 2, 0, 0]]
    assert alpha_of_classes(votes_of(agreed)) == pytest.approx(1)
    mixed = [[2, 1, 0, 0], [0, 2, 0, 1]]
    assert alpha_of_classes(votes_of([*mixed, [0, 0, 1, 0], [0, 0, 0, 0]])) == alpha_of_classes(votes_of(mixed))


@pytest.mark.parametrize(
    "counts",
    [[[1, 0, 0, 0], [0, 1, 0, 0]], [[3, 0, 0, 0], [2, 0, 0, 0]], [[1.5, 1.5, 0, 0], [0, 1, 2, 0]], [[0, 0, 0, 0]]],
    ids=["single votes", "one class", "shares of votes", "no votes"],
)  # fmt: skip
def test_alpha_is_not_a_number_where_it_is_not_defined(counts: Counts) -> None:
    assert math.isnan(alpha_of_classes(votes_of(counts)))


def test_entropy_is_scipys_in_bits() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(4), 20)
    shares[0] = [0, 1, 0, 0]
    shares[1] = 0.25
    bits = entropy(shares)
    np.testing.assert_allclose(bits, scipy.stats.entropy(shares, base=2, axis=1), atol=1e-12)
    assert bits[0] == 0
    assert bits[1] == pytest.approx(2)
    assert np.isnan(entropy(np.full((1, 3), np.nan))).all()


def test_how_strong_the_consensus_is() -> None:
    expected = {
        "unanimous": [5, 0, 0, 0],
        "two thirds or more": [4, 0, 2, 0],
        "more than half": [0, 0, 3, 2],
        "half or less": [2, 1, 0, 1],
        "tie": [2, 1, 0, 2],
        "one vote only": [0, 0, 0, 1],
        "": [0, 0, 0, 0],
    }
    votes = votes_of(list(expected.values()))
    assert consensus_strength(votes.counts) == list(expected)
    assert raters(votes.counts).tolist() == [5, 6, 5, 4, 5, 1, 0]


def test_votes_are_restricted_by_name() -> None:
    every = votes_of([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], [[1, 0], [0, 1], [1, 1]])
    votes = restrict(every, {"2.wav", "0.wav", "new.wav"})
    assert votes.counts.index.tolist() == ["0.wav", "2.wav"]
    assert votes.counts.to_numpy().tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    assert votes.ratings["EmoAct"].to_numpy().tolist() == [[1, 0], [1, 1]]
