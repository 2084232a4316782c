from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from sklearn.calibration import calibration_curve

from medusa import metrics

CLASSES = 4


def noisy(true: np.ndarray, seed: int, right: float = 0.6) -> np.ndarray:
    """Predictions that are right in about that share of rows and random elsewhere."""
    random = np.random.default_rng(seed)
    return np.where(random.random(len(true)) < right, true, random.integers(0, CLASSES, len(true)))


@pytest.fixture
def imbalanced() -> tuple[np.ndarray, np.ndarray]:
    true = np.repeat(np.arange(CLASSES), [400, 90, 30, 12])
    return true, noisy(true, seed=3)


class_pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(class_pairs)
def test_category_metrics_equal_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    labels = range(CLASSES)
    np.testing.assert_array_equal(
        metrics.confusion(true, predicted, CLASSES), sklearn.metrics.confusion_matrix(true, predicted, labels=labels)
    )
    expected = sklearn.metrics.f1_score(true, predicted, labels=labels, average=None, zero_division=np.nan)
    np.testing.assert_allclose(metrics.per_class_f1(true, predicted, CLASSES), expected)
    # without `labels` scikit-learn averages over the classes that occur
    assert metrics.macro_f1(true, predicted, CLASSES) == pytest.approx(
        sklearn.metrics.f1_score(true, predicted, average="macro", zero_division=0)
    )
    micro = sklearn.metrics.f1_score(true, predicted, average="micro")
    assert metrics.accuracy(true, predicted, CLASSES) == pytest.approx(micro)


@pytest.mark.parametrize(
    ("true", "predicted"), [([0, -1], [0, 1]), ([0, 1], [0, 4]), ([0, 1], [0]), ([[0, 1]], [[0, 1]])]
)
def test_confusion_refuses_what_is_no_class_index(true: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match=r"expected|must lie in"):
        metrics.confusion(true, predicted, CLASSES)


def test_balanced_macro_f1_by_hand() -> None:
    # rows of the matrix, normalised: (3/4, 1/4) and (0, 1); F1: 2·0.75 / (1 + 0.75) and 2·1 / (1 + 1.25)
    assert metrics.balanced_macro_f1([0, 0, 0, 0, 1], [0, 0, 0, 1, 1], 2) == pytest.approx((6 / 7 + 8 / 9) / 2)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_balanced_macro_f1_is_the_macro_f1_of_equally_frequent_classes(seed: int) -> None:
    true = np.tile(np.arange(CLASSES), 9)
    predicted = noisy(true, seed)
    expected = sklearn.metrics.f1_score(true, predicted, average="macro", labels=range(CLASSES), zero_division=0)
    assert metrics.balanced_macro_f1(true, predicted, CLASSES) == pytest.approx(expected)


def test_balanced_macro_f1_is_the_limit_of_large_balanced_resamples(imbalanced: tuple[np.ndarray, np.ndarray]) -> None:
    true, predicted = imbalanced
    random = np.random.default_rng(0)
    scores = []
    for _ in range(20):
        rows = np.concatenate([random.choice(np.flatnonzero(true == c), 10_000) for c in range(CLASSES)])
        scores.append(sklearn.metrics.f1_score(true[rows], predicted[rows], average="macro"))
    assert metrics.balanced_macro_f1(true, predicted, CLASSES) == pytest.approx(np.mean(scores), abs=2e-3)
    # and it is another number than the plain macro-F1 here, so the test can fail
    assert abs(metrics.macro_f1(true, predicted, CLASSES) - np.mean(scores)) > 0.05


def test_balanced_macro_f1_ignores_how_often_a_class_occurs(imbalanced: tuple[np.ndarray, np.ndarray]) -> None:
    true, predicted = imbalanced
    repeats = np.where(true == 0, 7, 1)
    assert metrics.balanced_macro_f1(true.repeat(repeats), predicted.repeat(repeats), CLASSES) == pytest.approx(
        metrics.balanced_macro_f1(true, predicted, CLASSES)
    )


@pytest.mark.parametrize("score", [metrics.balanced_macro_f1, metrics.balanced_draws_macro_f1])
def test_an_absent_true_class_is_named(score: Callable[[list[int], list[int], int], object]) -> None:
    with pytest.raises(metrics.MissingClass, match="class 2 has no rows") as caught:
        score([0, 1, 3], [0, 2, 3], CLASSES)
    assert caught.value.index == 2


def test_balanced_draws_take_equally_many_rows_of_each_class() -> None:
    # class 0: always right (20 rows); class 1: 2 rows, one right. Every draw: matrix ((2, 0), (1, 1))
    true, predicted = [0] * 20 + [1, 1], [0] * 20 + [0, 1]
    f1, accuracy = metrics.balanced_draws_macro_f1(true, predicted, 2, draws=3, seed=1)
    assert f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert accuracy == pytest.approx(3 / 4)


def test_balanced_draws_follow_their_seed_and_centre_on_the_plain_slow_way(
    imbalanced: tuple[np.ndarray, np.ndarray],
) -> None:
    true, predicted = imbalanced
    first = metrics.balanced_draws_macro_f1(true, predicted, CLASSES, draws=10, seed=5)
    assert first == metrics.balanced_draws_macro_f1(true, predicted, CLASSES, draws=10, seed=5)
    assert first != metrics.balanced_draws_macro_f1(true, predicted, CLASSES, draws=10, seed=6)
    random = np.random.default_rng(99)
    slow = []
    for _ in range(400):
        rows = [row for c in range(CLASSES) for row in random.permutation(np.flatnonzero(true == c))[:12]]
        slow.append(sklearn.metrics.f1_score(true[rows], predicted[rows], average="macro", zero_division=0))
    many, _ = metrics.balanced_draws_macro_f1(true, predicted, CLASSES, draws=400, seed=7)
    assert many == pytest.approx(np.mean(slow), abs=0.01)


def test_ccc_by_hand() -> None:
    # means 2 and 3, variances 2/3 and 2/3, covariance 2/3: 2·(2/3) / (4/3 + 1)
    assert metrics.ccc([1, 2, 3], [2, 3, 4]) == pytest.approx(4 / 7)
    assert metrics.ccc([1, 2, 3], [1, 2, 3]) == pytest.approx(1)
    assert metrics.ccc([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert metrics.ccc([4, 4, 4], [1, 2, 3]) == 0
    assert np.isnan(metrics.ccc([4, 4], [4, 4]))


def test_ece_by_hand() -> None:
    # two bins: (0, 0.5] holds 0.5 (right); (0.5, 1] holds 0.9 (right) and 0.7 (wrong)
    probabilities = [[0.5, 0.3, 0.2], [0.9, 0.1, 0.0], [0.2, 0.7, 0.1]]
    expected = (1 * abs(0.5 - 1) + 2 * abs(0.8 - 0.5)) / 3
    assert metrics.expected_calibration_error([0, 0, 0], probabilities, bins=2) == pytest.approx(expected)


def test_ece_uses_the_bins_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    probabilities = random.dirichlet(np.ones(CLASSES) / 2, 3000)
    true = random.integers(0, CLASSES, 3000)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    shares, means = calibration_curve(right, confidence, n_bins=15)
    rows = np.histogram(confidence, bins=15, range=(0, 1))[0]
    expected = np.average(np.abs(shares - means), weights=rows[rows > 0])
    assert metrics.expected_calibration_error(true, probabilities) == pytest.approx(expected)


def test_soft_label_metrics_by_hand() -> None:
    shares, probabilities = [[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.25, 0.75]]
    kl = (np.log(2) + 0.5 * np.log(2) + 0.5 * np.log(2 / 3)) / 2
    assert metrics.kl_divergence(shares, probabilities) == pytest.approx(kl)
    assert metrics.brier(shares, probabilities) == pytest.approx((0.5 + 0.125) / 2)
    assert metrics.js_divergence([[1.0, 0.0]], [[0.0, 1.0]]) == pytest.approx(np.log(2))


def test_js_divergence_equals_scipy() -> None:
    shares, probabilities = np.random.default_rng(4).dirichlet(np.ones(CLASSES), (2, 50))
    shares[0] = np.eye(CLASSES)[0]
    expected = np.mean([jensenshannon(p, q) ** 2 for p, q in zip(shares, probabilities, strict=True)])
    assert metrics.js_divergence(shares, probabilities) == pytest.approx(expected)


def test_kl_of_a_ruled_out_vote_is_finite() -> None:
    assert metrics.kl_divergence([[1.0, 0.0]], [[0.0, 1.0]]) == pytest.approx(-np.log(1e-7))
    assert metrics.kl_divergence([[1.0, 0.0]], [[1.0, 0.0]]) == 0


def test_bootstrap_covers_the_mean_of_speakers_as_theory_says() -> None:
    # 200 speakers with 5 equal rows each: the standard error is that of 200 values, not of 1000
    speakers = np.repeat(np.arange(200), 5)
    values = np.random.default_rng(8).normal(size=200)[speakers]
    low, high = metrics.cluster_bootstrap(speakers, lambda rows: values[rows].mean(), draws=3000, seed=1)
    error = values[::5].std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error)


def test_bootstrap_draws_whole_groups_in_any_row_order() -> None:
    groups = np.array(["b", "a", "c", "a", "b", "a"])
    size = {"a": 3, "b": 2, "c": 1}
    draws: list[np.ndarray] = []

    def count(rows: np.ndarray) -> float:
        draws.append(rows)
        return float(len(rows))

    metrics.cluster_bootstrap(groups, count, draws=50, seed=0)
    for rows in draws:
        times = {group: np.count_nonzero(groups[rows] == group) / size[group] for group in size}
        assert sum(times.values()) == 3
        for group, repeats in times.items():
            members = np.flatnonzero(groups == group)
            np.testing.assert_array_equal(np.bincount(rows, minlength=6)[members], repeats)


def test_bootstrap_follows_seed_and_level() -> None:
    groups, values = np.arange(30), np.random.default_rng(0).normal(size=30)

    def interval(seed: int, level: float) -> tuple[float, float]:
        return metrics.cluster_bootstrap(groups, lambda rows: values[rows].mean(), draws=300, seed=seed, level=level)

    assert interval(1, 0.95) == interval(1, 0.95)
    assert interval(1, 0.95) != interval(2, 0.95)
    assert np.diff(interval(1, 0.5)) < np.diff(interval(1, 0.95))


def test_paired_difference_of_equal_predictions_is_exactly_nought(imbalanced: tuple[np.ndarray, np.ndarray]) -> None:
    true, predicted = imbalanced

    def difference(rows: np.ndarray) -> float:
        score = metrics.balanced_macro_f1(true[rows], predicted[rows], CLASSES)
        return score - metrics.balanced_macro_f1(true[rows], predicted[rows], CLASSES)

    assert metrics.cluster_bootstrap(np.arange(len(true)) % 20, difference, draws=50, seed=0) == (0, 0)


def test_bootstrap_draws_without_a_class_are_made_again() -> None:
    # class 1 only comes from speaker 0: a draw of 3 speakers misses it with probability (2/3)³ = 0.30
    speakers, true = np.array([0, 0, 1, 2]), np.array([0, 1, 0, 0])
    scored: list[float] = []

    def score(rows: np.ndarray) -> float:
        scored.append(metrics.balanced_macro_f1(true[rows], true[rows], 2))
        return scored[-1]

    assert metrics.cluster_bootstrap(speakers, score, draws=40, seed=0) == (1, 1)
    assert len(scored) == 40


def test_bootstrap_gives_up_where_a_class_is_mostly_missing() -> None:
    # three classes with one speaker each: all three are drawn with probability 6/27
    speakers = true = np.array([0, 1, 2])
    with pytest.raises(ValueError, match="more than half"):
        metrics.cluster_bootstrap(
            speakers, lambda rows: metrics.balanced_macro_f1(true[rows], true[rows], 3), draws=50, seed=0
        )
    with pytest.raises(ValueError, match="two groups"):
        metrics.cluster_bootstrap([1, 1], lambda rows: float(len(rows)), draws=5, seed=0)
