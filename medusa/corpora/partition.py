"""Which speaker goes into which partition; a speaker is never in two."""

from __future__ import annotations

from collections.abc import Mapping

from medusa.errors import UserError


def fold_partition(genders: Mapping[int, str], folds: int, fold: int, dev_per_gender: int = 2) -> dict[int, str]:
    """Partition of each speaker in one fold of a speaker-disjoint cross-validation.

    Speaker s belongs to fold (s - 1) mod `folds`; the speakers of `fold` are test. Dev takes, from the folds
    that follow it in a circle, the first `dev_per_gender` speakers of each gender: so dev is balanced, and
    another in every fold. The rest train. All of it depends on the speakers' numbers alone.

    Args:
        genders: Gender of each speaker, by the speaker's number (1, 2, ...).
        folds: How many folds, at least 2.
        fold: Which one is test, 0 ... folds - 1.
        dev_per_gender: Dev speakers of each gender.

    Returns:
        train, dev or test for each speaker.

    Raises:
        UserError: no such fold, or not enough speakers for the three partitions.
    """
    if folds < 2:
        raise UserError(f"--folds {folds}: must be at least 2")
    if not 0 <= fold < folds:
        raise UserError(f"--fold {fold}: must be 0 ... {folds - 1}, since there are {folds} folds")

    def position(speaker: int) -> tuple[int, int]:
        return ((speaker - 1) % folds - fold) % folds, speaker

    partition = {speaker: "test" if position(speaker)[0] == 0 else "train" for speaker in sorted(genders)}
    if "test" not in partition.values():
        raise UserError(f"--fold {fold}: none of the {len(genders)} speakers is in it; take fewer than {folds} --folds")
    for gender in sorted(set(genders.values())):
        others = [s for s in sorted(genders, key=position) if partition[s] != "test" and genders[s] == gender]
        if len(others) <= dev_per_gender:
            problem = f"leaves {len(others)} speakers ({gender}) for train and dev, needs {dev_per_gender + 1}"
            raise UserError(f"--folds {folds} --fold {fold}: {problem}; take another number of --folds")
        partition.update(dict.fromkeys(others[:dev_per_gender], "dev"))
    return partition
