import math

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier

from medusa.ensemble.voting import majority_vote, soft_vote


class Recorded:
    """A classifier that gives back posteriors it was handed; X holds row numbers."""

    def __init__(self, posteriors: np.ndarray) -> None:
        self.posteriors = posteriors
        self.classes_ = np.arange(posteriors.shape[1])

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.posteriors[rows[:, 0]])

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.predict_proba(rows).argmax(axis=1))


def scikit_learn_vote(posteriors: np.ndarray, voting: str) -> VotingClassifier:
    members = [Recorded(posteriors[:, member]) for member in range(posteriors.shape[1])]
    ensemble = VotingClassifier([(str(number), member) for number, member in enumerate(members)], voting=voting)
    ensemble.estimators_ = members
    ensemble.classes_ = members[0].classes_
    ensemble.le_ = type("Identity", (), {"inverse_transform": staticmethod(lambda classes: classes)})()
    return ensemble


@pytest.fixture
def posteriors() -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(5), (400, 7)).astype(np.float32)


def test_soft_vote_equals_scikit_learn(posteriors: np.ndarray) -> None:
    expected = scikit_learn_vote(posteriors, "soft").predict_proba(np.arange(400)[:, None])
    np.testing.assert_allclose(soft_vote(posteriors), expected, rtol=1e-6)


def test_soft_vote_adds_with_the_digits_of_float64(posteriors: np.ndarray) -> None:
    expected = [[math.fsum(column) / 7 for column in zip(*row, strict=True)] for row in posteriors.tolist()]
    np.testing.assert_allclose(soft_vote(posteriors), expected, rtol=1e-15)


def test_majority_vote_equals_scikit_learn_where_there_is_no_tie(posteriors: np.ndarray) -> None:
    shares, predicted = majority_vote(posteriors)
    assert predicted.dtype == np.int64
    tied = (shares == shares.max(axis=1, keepdims=True)).sum(axis=1) > 1
    assert 50 < tied.sum() < 350
    expected = scikit_learn_vote(posteriors, "hard").predict(np.arange(400)[:, None])
    np.testing.assert_array_equal(predicted[~tied], expected[~tied])
    counts = [np.bincount(row, minlength=5) for row in posteriors.argmax(axis=2)]
    np.testing.assert_allclose(shares, np.array(counts) / 7)


@pytest.mark.parametrize(
    ("members", "shares", "winner"),
    [
        # one vote each for 0 and 2: class 2 has the higher mean
        ([[0.5, 0.1, 0.4], [0.1, 0.1, 0.8]], [0.5, 0, 0.5], 2),
        # class 1 has the highest mean of all, but no vote: the tie is between 0 and 2
        ([[0.5, 0.45, 0.05], [0.05, 0.45, 0.5], [0.5, 0.49, 0.01], [0.1, 0.3, 0.6]], [0.5, 0, 0.5], 2),
        # votes and means are equal: the class that stands first
        ([[0.0, 0.3, 0.7], [0.0, 0.7, 0.3]], [0, 0.5, 0.5], 1),
        # a member cannot decide: its vote goes to the class that stands first
        ([[0.4, 0.4, 0.2]], [1, 0, 0], 0),
        # a majority stands against a higher mean
        ([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 1.0, 0.0]], [2 / 3, 1 / 3, 0], 0),
    ],
)
def test_ties_by_hand(members: list[list[float]], shares: list[float], winner: int) -> None:
    found, predicted = majority_vote([members])
    np.testing.assert_allclose(found, [shares])
    assert predicted.tolist() == [winner]


def test_the_order_of_members_does_not_show(posteriors: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(7)
    np.testing.assert_array_equal(majority_vote(posteriors)[1], majority_vote(posteriors[:, order])[1])
