import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medusa.corpora.splits import split_rows
from medusa.errors import UserError

SHARES = {"test": 0.1, "dev": 0.05}
CLASSES = ("Neutral", "Happy", "Angry", "X", "Sad", "Fear")
FREQUENCIES = (0.32, 0.27, 0.2, 0.15, 0.05, 0.01)


def corpus(rows: int, speakers: int) -> tuple[list[str], list[str]]:
    """Classes as uneven as MSP-Podcast's, and speakers of very different sizes (1/k of the largest)."""
    random = np.random.default_rng(5)
    sizes = 1 / np.arange(1, speakers + 1)
    spoken = random.choice(speakers, rows, p=sizes / sizes.sum())
    return random.choice(CLASSES, rows, p=FREQUENCIES).tolist(), [f"speaker {number}" for number in spoken]


@pytest.mark.parametrize("seed", range(5))
def test_every_class_has_the_shares_that_were_asked_for(seed: int) -> None:
    classes, groups = corpus(20_000, 600)
    split = np.array(split_rows(classes, groups, SHARES, seed))
    for name in CLASSES:
        rows = split[np.array(classes) == name]
        for partition, share in SHARES.items():
            assert np.mean(rows == partition) == pytest.approx(share, abs=0.02), (name, partition)


def test_rows_by_themselves_are_split_to_the_row() -> None:
    classes = ["Angry"] * 60 + ["Sad"] * 40
    split = split_rows(classes, [str(row) for row in range(100)], {"test": 0.2, "dev": 0.1}, 1)
    assert Counter(zip(classes, split, strict=True)) == {
        ("Angry", "train"): 42, ("Angry", "test"): 12, ("Angry", "dev"): 6,
        ("Sad", "train"): 28, ("Sad", "test"): 8, ("Sad", "dev"): 4,
    }  # fmt: skip


def test_a_seed_is_a_split() -> None:
    classes, groups = corpus(500, 40)
    first = split_rows(classes, groups, SHARES, 1)
    assert first == split_rows(classes, groups, SHARES, 1)
    assert first != split_rows(classes, groups, SHARES, 2)


def test_without_held_out_shares_all_rows_train() -> None:
    assert split_rows(["Angry", "Sad"], ["1", "2"], {}, 1) == ["train", "train"]


@given(
    rows=st.lists(st.tuples(st.sampled_from(CLASSES), st.integers(0, 12)), min_size=1, max_size=60),
    shares=st.sampled_from([{"test": 0.1}, SHARES, {"test": 0.5, "dev": 0.4}]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=200, deadline=None)
def test_groups_stay_whole_and_no_partition_is_empty(
    rows: list[tuple[str, int]], shares: dict[str, float], seed: int
) -> None:
    classes, groups = [name for name, _ in rows], [str(group) for _, group in rows]
    if len(set(groups)) < len(shares) + 1:
        with pytest.raises(UserError, match="cannot be split into"):
            split_rows(classes, groups, shares, seed)
        return
    split = split_rows(classes, groups, shares, seed)
    assert len(split) == len(rows)
    assert len(set(zip(groups, split, strict=True))) == len(set(groups))
    assert set(split) == {"train", *shares}


@pytest.mark.parametrize(
    "shares", [{"test": 1.0}, {"test": 0.6, "dev": 0.4}, {"test": -0.1}, {"test": 0.1, "dev": 0}, {"test": math.nan}]
)
def test_shares_that_leave_nothing_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"held-out shares \(test .*\): each must be above 0 and together below 1"):
        split_rows(["Angry"] * 9, list("abcdefghi"), shares, 1)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UserError, match=r"--seed -1: must be 0 or more"):
        split_rows(["Angry"] * 9, list("abcdefghi"), SHARES, -1)
