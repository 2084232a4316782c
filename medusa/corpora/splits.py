"""Held-out rows for a corpus that comes without them: whole groups of rows, classes as evenly as the groups allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medusa.errors import UserError


def split_rows(classes: Sequence[str], groups: Sequence[str], shares: Mapping[str, float], seed: int) -> list[str]:
    """Put every row into a partition; rows of one group (a speaker, say) stay together.

    Groups come in random order, those of twice the size first, and each goes where its rows are missed most: into the
    partition whose class counts it brings nearest to that partition's share of every class. The last ones go to
    partitions that are still empty, if any are.

    Args:
        classes: EmoClass of each row (X and O are classes here too).
        groups: What stays together; for a split by utterance, each row's own id.
        shares: Share of the rows of each held-out partition ("test", "dev"), above 0; the rest is "train".
        seed: Another seed, another split.

    Returns:
        The partition of each row, in the order given.

    Raises:
        UserError: shares that leave nothing to train on, fewer groups than partitions, or a negative seed.
    """
    if seed < 0:
        raise UserError(f"--seed {seed}: must be 0 or more")
    rest = 1.0 - sum(shares.values())
    if not (rest > 0 and all(share > 0 for share in shares.values())):  # so that NaN is refused as well
        wanted = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise UserError(f"held-out shares ({wanted}): each must be above 0 and together below 1")
    names = ["train", *shares]
    wanted_shares = np.array([rest, *shares.values()])
    _, of_class = np.unique(np.asarray(classes, dtype=str), return_inverse=True)
    labels, of_group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(labels) < len(names):
        raise UserError(
            f"{len(labels)} speakers or groups of rows cannot be split into {len(names)} partitions; add speakers, or "
            "hold out fewer parts (--help: --dev, --by)"
        )
    counts = np.zeros((len(labels), of_class.max() + 1))
    np.add.at(counts, (of_group, of_class), 1)
    # Rare classes weigh as much as frequent ones: each column is measured in shares of its class.
    shares_of_class = counts / counts.sum(axis=0)
    missing = np.tile(wanted_shares[:, None], (1, counts.shape[1]))
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    # Large groups are hard to place late; sizes are taken in powers of two, to leave something to chance.
    size = np.floor(np.log2(counts.sum(axis=1)))
    order = shuffled[np.argsort(-size[shuffled], kind="stable")]
    chosen = np.empty(len(labels), dtype=np.int64)
    empty = np.ones(len(names), dtype=bool)
    for position, group in enumerate(order):
        brought = shares_of_class[group]
        # Squared distance to the wanted shares changes by |m - b|² - |m|² where m is missing and b is brought, each
        # in units of the partition's size, so that a small one is not filled by chance.
        change = ((missing - brought) ** 2 - missing**2).sum(axis=1) / wanted_shares
        if len(order) - position <= empty.sum():
            change[~empty] = np.inf
        chosen[group] = change.argmin()
        empty[chosen[group]] = False
        missing[chosen[group]] -= brought
    return [names[partition] for partition in chosen[of_group]]
