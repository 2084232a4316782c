import pytest
from hypothesis import given
from hypothesis import strategies as st

from medusa.corpora.partition import fold_partition
from medusa.errors import UserError

RAVDESS = {actor: "Male" if actor % 2 else "Female" for actor in range(1, 25)}


def members(partition: dict[int, str], name: str) -> set[int]:
    return {speaker for speaker, where in partition.items() if where == name}


def test_five_folds_over_24_actors_by_hand() -> None:
    partition = fold_partition(RAVDESS, folds=5, fold=0)
    assert members(partition, "test") == {1, 6, 11, 16, 21}
    # fold 1 is 2, 7, 12, 17, 22: its first two women and first two men
    assert members(partition, "dev") == {2, 12, 7, 17}
    assert members(partition, "train") == {3, 4, 5, 8, 9, 10, 13, 14, 15, 18, 19, 20, 22, 23, 24}
    assert members(fold_partition(RAVDESS, folds=5, fold=4), "dev") == {1, 11, 6, 16}


def test_over_all_folds_everyone_is_tested_once_and_dev_rotates() -> None:
    folds = [fold_partition(RAVDESS, folds=5, fold=fold) for fold in range(5)]
    assert sorted(actor for partition in folds for actor in members(partition, "test")) == sorted(RAVDESS)
    assert len({frozenset(members(partition, "dev")) for partition in folds}) == 5


@given(
    genders=st.dictionaries(st.integers(1, 40), st.sampled_from(["Male", "Female"]), max_size=24),
    folds=st.integers(-1, 8),
    fold=st.integers(-1, 8),
)
def test_whatever_the_speakers_partitions_are_disjoint_and_dev_is_balanced(
    genders: dict[int, str], folds: int, fold: int
) -> None:
    try:
        partition = fold_partition(genders, folds, fold)
    except UserError:
        if 0 <= fold < folds and folds >= 2:  # then it is the speakers that do not suffice
            trainable = {g: sum((s - 1) % folds != fold for s in genders if genders[s] == g) for g in genders.values()}
            tested = any((speaker - 1) % folds == fold for speaker in genders)
            assert not tested or min(trainable.values()) < 3
        return
    assert set(partition) == set(genders)
    assert members(partition, "test") == {speaker for speaker in genders if (speaker - 1) % folds == fold}
    for gender in set(genders.values()):
        assert sum(genders[speaker] == gender for speaker in members(partition, "dev")) == 2
        assert any(genders[speaker] == gender for speaker in members(partition, "train"))


def test_the_order_in_which_speakers_are_given_does_not_matter() -> None:
    backwards = dict(sorted(RAVDESS.items(), reverse=True))
    assert fold_partition(backwards, 5, 2) == fold_partition(RAVDESS, 5, 2)


@pytest.mark.parametrize(
    ("folds", "fold", "says"),
    [
        (5, 5, "--fold 5: must be 0 ... 4"),
        (5, -1, "--fold -1"),
        (1, 0, "--folds 1: must be at least 2"),
        (2, 0, "leaves 0 speakers .Male."),
        (30, 29, "none of the 24 speakers"),
    ],
)
def test_impossible_folds_are_refused(folds: int, fold: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        fold_partition(RAVDESS, folds, fold)
