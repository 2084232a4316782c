"""Which rows an epoch visits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medusa.training.sampling import balanced_rows, length_batches, shuffled_rows

CLASSES = np.array([0] * 50 + [1] * 7 + [2] * 20 + [-1] * 30)


def test_every_class_and_the_rows_without_consensus_appear_n_times() -> None:
    rows = balanced_rows(CLASSES, num_classes=3, seed=1, epoch=4)
    values, counts = np.unique(CLASSES[rows], return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {-1: 7, 0: 7, 1: 7, 2: 7}
    assert len(set(rows.tolist())) == len(rows)


def test_fewer_rows_without_consensus_than_n_are_all_taken() -> None:
    rows = balanced_rows(np.array([0, 0, 0, 1, 1, 1, -1]), num_classes=2, seed=1, epoch=0)
    assert sorted(rows.tolist()) == [0, 1, 2, 3, 4, 5, 6]


def test_drawn_afresh_every_epoch_and_repeatable() -> None:
    first, again, next_epoch, other_seed = (balanced_rows(CLASSES, 3, seed, epoch) for seed, epoch in
                                            [(1, 0), (1, 0), (1, 1), (2, 0)])  # fmt: skip
    assert first.tolist() == again.tolist()
    assert set(first.tolist()) != set(next_epoch.tolist())
    assert set(first.tolist()) != set(other_seed.tolist())


def test_over_epochs_every_row_of_a_class_is_drawn_equally_often() -> None:
    counts = np.zeros(len(CLASSES))
    for epoch in range(2000):
        counts[balanced_rows(CLASSES, 3, 0, epoch)] += 1
    # Row of class 0: 7 of 50 per epoch, 280 expected over 2000 epochs, standard deviation 15.5.
    assert counts[CLASSES == 0] == pytest.approx(280, abs=5 * 15.5)
    assert (counts[CLASSES == 1] == 2000).all()


def test_an_empty_class_is_named() -> None:
    with pytest.raises(ValueError, match=r"^1$"):
        balanced_rows(np.array([0, 0, 2, -1]), num_classes=3, seed=1, epoch=0)


@given(rows=st.integers(1, 200), seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 100))
def test_stage_one_visits_every_row_once(rows: int, seed: int, epoch: int) -> None:
    assert sorted(shuffled_rows(rows, seed, epoch).tolist()) == list(range(rows))


def spoken(clips: int) -> np.ndarray:
    """Frames of speech, and tokens at a rate of speaking that differs by 30 %; (clips, 2)."""
    draws = np.random.default_rng(3)
    speech = draws.integers(140, 550, clips)
    return np.stack([speech, np.rint(speech / 15 * draws.lognormal(0, 0.3, clips)).astype(np.int64)], axis=1)


LENGTHS = spoken(40_000)


@given(rows=st.integers(1, 500), batch_size=st.integers(1, 40), epoch=st.integers(0, 9))
def test_batches_hold_every_row_once_and_only_one_is_smaller(rows: int, batch_size: int, epoch: int) -> None:
    order = shuffled_rows(rows, 1, epoch)
    found = length_batches(order, LENGTHS, batch_size, 1, epoch)
    assert sorted(np.concatenate(found).tolist()) == list(range(rows))
    assert sorted(map(len, found), reverse=True) == [batch_size] * (rows // batch_size) + [rows % batch_size] * (
        rows % batch_size > 0
    )


def test_rows_of_one_length_stay_in_random_order() -> None:
    """Whatever a sorting algorithm does with equals on one machine or another, only (seed, epoch) decide."""
    order, lengths = shuffled_rows(32 * 15, 1, 0), np.random.default_rng(2).integers(5, 8, (32 * 15, 1))
    found = length_batches(order, lengths, 32, 1, 0)
    cut = (order[start : start + 32].tolist() for start in range(0, len(order), 32))
    assert {tuple(batch.tolist()) for batch in found} == {
        tuple(sorted(rows, key=lambda row: int(lengths[row, 0]))) for rows in cut
    }


def test_below_sixteen_batches_none_is_sorted_with_another() -> None:
    order = shuffled_rows(15 * 8, 1, 0)
    found = length_batches(order, LENGTHS, 8, 1, 0)
    assert {frozenset(batch.tolist()) for batch in found} == {
        frozenset(order[start : start + 8].tolist()) for start in range(0, len(order), 8)
    }


def padding(batches: list[np.ndarray]) -> float:
    """Share of the frames that are padding, each modality of a batch padded to its longest."""
    frames = sum(int(LENGTHS[rows].sum()) for rows in batches)
    return 1 - frames / sum(len(rows) * int(LENGTHS[rows].max(axis=0).sum()) for rows in batches)


@pytest.mark.parametrize("batch_size", [16, 64])
def test_batches_of_a_large_corpus_hold_little_padding(batch_size: int) -> None:
    order = shuffled_rows(len(LENGTHS), 1, 0)
    assert padding([order[start : start + batch_size] for start in range(0, len(order), batch_size)]) > 0.3
    assert padding(length_batches(order, LENGTHS, batch_size, 1, 0)) < 0.05


def test_one_modality_is_sorted_as_a_whole() -> None:
    """100 batches of a pool share 410 lengths: a batch spans about four."""
    order, speech = shuffled_rows(12_800, 1, 0), LENGTHS[:, :1]
    spans = [np.ptp(speech[rows]) for rows in length_batches(order, speech, 16, 1, 0)]
    assert np.mean(spans) < 6


def test_batches_come_in_no_order_of_length_and_are_others_in_every_epoch() -> None:
    first, again, later = (length_batches(shuffled_rows(4000, 1, epoch), LENGTHS, 16, 1, epoch) for epoch in (0, 0, 1))
    longest = [LENGTHS[rows, 0].max() for rows in first]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.2
    assert all(map(np.array_equal, first, again))
    assert {frozenset(rows.tolist()) for rows in first}.isdisjoint(frozenset(rows.tolist()) for rows in later)


def test_in_a_small_corpus_too_a_row_meets_many_others() -> None:
    met: set[int] = set()
    for epoch in range(60):
        for rows in length_batches(shuffled_rows(100, 1, epoch), LENGTHS, 8, 1, epoch):
            if 7 in rows:
                met |= set(rows.tolist())
    assert len(met) > 90
