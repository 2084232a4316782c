import math

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from medusa.corpora.votes import OTHER, Votes

EMOTIONS = ("Angry", "Sad", "Happy")


def votes_of(counts: list[list[float]], ratings: dict[str, dict[float, list[int]]] | None = None) -> Votes:
    """Votes with the columns of `EMOTIONS` and Other; ratings by attribute and value."""
    index = pd.Index([f"{row}.wav" for row in range(len(counts))], name="FileName")
    tables = {name: pd.DataFrame(table, index=index, dtype=float) for name, table in (ratings or {}).items()}
    return Votes(EMOTIONS, pd.DataFrame(counts, index=index, columns=[*EMOTIONS, OTHER], dtype=float), tables)


VOTES = votes_of([[2, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 3], [0, 0, 0, 0], [0, 1, 0, 2], [0.1 + 0.2, 0.3, 0, 0]])


def test_soft_targets_are_shares_without_other() -> None:
    nothing = [math.nan] * 3
    expected = np.array([[2 / 3, 1 / 3, 0], [0.5, 0.5, 0], nothing, nothing, [0, 1, 0], [0.5, 0.5, 0]])
    np.testing.assert_allclose(VOTES.soft_targets(), expected)


def test_kept_is_the_share_of_votes_that_are_not_for_other() -> None:
    np.testing.assert_allclose(VOTES.kept(), [0.75, 1, 0, np.nan, 1 / 3, 1])


def test_the_consensus_is_the_plurality_a_tie_is_x_and_sums_that_differ_in_their_last_digit_tie() -> None:
    assert VOTES.consensus() == ["Angry", "X", "O", "", "O", "X"]


def test_ratings_are_averaged_over_those_who_rated() -> None:
    votes = votes_of([[1, 0, 0, 0]] * 3, {"EmoAct": {1: [1, 0, 0], 4.5: [1, 2, 0]}, "EmoVal": {7: [3, 1, 1]}})
    np.testing.assert_allclose(votes.mean_ratings(), [[2.75, 7], [4.5, 7], [np.nan, 7]])


def test_a_corpus_without_attributes_has_no_columns_of_means() -> None:
    assert VOTES.mean_ratings().shape == (6, 0)


@given(st.lists(st.lists(st.integers(0, 12), min_size=4, max_size=4), min_size=1, max_size=20))
def test_targets_sum_to_one_wherever_an_emotion_was_voted_for(counts: list[list[int]]) -> None:
    votes = votes_of([[float(count) for count in row] for row in counts])
    named = np.array([sum(row[:3]) for row in counts])
    sums = votes.soft_targets().sum(axis=1)
    np.testing.assert_allclose(sums[named > 0], 1)
    assert np.isnan(sums[named == 0]).all()
    for row, consensus in zip(counts, votes.consensus(), strict=True):
        winners = [name for name, count in zip([*EMOTIONS, "O"], row, strict=True) if count == max(row)]
        assert consensus == ("" if sum(row) == 0 else winners[0] if len(winners) == 1 else "X")
