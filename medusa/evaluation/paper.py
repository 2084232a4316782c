"""What the paper prints: Tables 1, 2 and 3, to be put beside ours; macro-F1 and accuracy over balanced test rows.

A published figure is data here, not a result of this project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from medusa.errors import UserError


class Printed(NamedTuple):
    """One cell; Table 1 prints no accuracy."""

    f1: float
    accuracy: float | None = None


TABLE_1: dict[int, float] = {
    1: 0.368, 2: 0.434, 3: 0.394, 4: 0.427, 5: 0.430, 6: 0.425, 7: 0.437,
    8: 0.440, 9: 0.406, 10: 0.403, 11: 0.392, 12: 0.405, 13: 0.403, 14: 0.410,
}  # fmt: skip
"""F1 by Id."""

AVERAGE_MEMBER = 0.413
"""Table 1, "Average DeepSER"; "Top DeepSER" is the largest of the column."""

FULL = ""
"""The variant of an unablated model."""

TABLE_2_MEMBERS = (2, 8, 9, 13)
_TABLE_2_F1 = {
    FULL: (0.434, 0.440, 0.406, 0.403),
    "one_hot": (0.431, 0.402, 0.368, 0.353),
    "late_fusion": (0.413, 0.410, 0.393, 0.368),
    "no_mixup": (0.434, 0.421, 0.395, 0.384),
    "no_multitask": (0.436, 0.411, 0.410, 0.390),
    "no_stage2": (0.434, 0.419, 0.403, 0.409),
}
_TABLE_2_ACCURACY = {
    FULL: (0.441, 0.450, 0.421, 0.419),
    "one_hot": (0.440, 0.423, 0.392, 0.384),
    "late_fusion": (0.428, 0.428, 0.405, 0.395),
    "no_mixup": (0.444, 0.437, 0.409, 0.406),
    "no_multitask": (0.440, 0.429, 0.437, 0.409),
    "no_stage2": (0.440, 0.432, 0.450, 0.418),
}
TABLE_2: dict[str, dict[int, Printed]] = {
    variant: dict(zip(TABLE_2_MEMBERS, map(Printed, f1, _TABLE_2_ACCURACY[variant]), strict=True))
    for variant, f1 in _TABLE_2_F1.items()
}
"""By the name of our overlay, then by the member's Id."""

AVERAGES: dict[str, Printed] = {
    FULL: Printed(0.421, 0.432),
    "one_hot": Printed(0.389, 0.410),
    "late_fusion": Printed(0.396, 0.414),
    "no_mixup": Printed(0.409, 0.424),
    "no_multitask": Printed(0.412, 0.429),
    "no_stage2": Printed(0.416, 0.435),
}
"""Table 2, over its four members."""

DELTAS: dict[str, float] = {
    "one_hot": -8.23, "late_fusion": -6.31, "no_mixup": -2.93, "no_multitask": -2.18, "no_stage2": -1.20,
}  # fmt: skip
"""Table 2, in percent; `paper_delta` of the averages."""

TABLE_3: dict[int, dict[str, Printed]] = {
    14: {
        "majority": Printed(0.439, 0.454), "soft": Printed(0.439, 0.453),
        "single": Printed(0.471, 0.470), "soup": Printed(0.472, 0.471),
    },
    7: {
        "majority": Printed(0.436, 0.449), "soft": Printed(0.439, 0.453),
        "single": Printed(0.465, 0.465), "soup": Printed(0.467, 0.466),
    },
    5: {
        "majority": Printed(0.437, 0.450), "soft": Printed(0.439, 0.453),
        "single": Printed(0.468, 0.462), "soup": Printed(0.445, 0.441),
    },
}  # fmt: skip
"""By the number of members, then by technique."""


ENSEMBLES: dict[int, set[int]] = {14: {*TABLE_1}, 7: {8, 7, 2, 5, 4, 6, 14}, 5: {8, 7, 2, 5, 4}}
"""Members of the ensembles of Table 3: the best by Table 1."""


@dataclass(frozen=True)
class Beside:
    """Which of the paper's rows ours are put beside.

    Without a word about it a member that is called as in Table 1, `01` … `14`, is that member, and an ensemble of
    just those of one of the paper's is that one.
    """

    members: Mapping[str, int] = field(default_factory=dict)
    ensembles: Mapping[str, int] = field(default_factory=dict)

    @property
    def only_placed(self) -> bool:
        """Whether somebody said which row is which: then models and corpus are others than the paper's."""
        return bool(self.members or self.ensembles)

    def member(self, name: str) -> int | None:
        """Id of Table 1."""
        if self.only_placed:
            return self.members.get(name)
        return int(name) if re.fullmatch(r"0[1-9]|1[0-4]", name) else None

    def ensemble(self, name: str, members: Sequence[str]) -> int | None:
        """How many members the paper's ensemble has."""
        if self.only_placed:
            return self.ensembles.get(name)
        ids = {self.member(one) for one in members}
        return next((size for size, own in ENSEMBLES.items() if ids == own), None)


BY_NAME = Beside()
"""Nobody said which row is which."""


def read_beside(members: Sequence[str], ensembles: Sequence[str]) -> Beside:
    """From words `ours=theirs`.

    Raises:
        UserError: a word is not of that form, or the paper has no such row.
    """
    return Beside(
        _pairs("--paper-members", members, TABLE_1, "an Id of Table 1, 1 … 14"),
        _pairs("--paper-ensembles", ensembles, TABLE_3, "a size in Table 3: 14, 7 or 5"),
    )


def _pairs(option: str, words: Sequence[str], rows: Mapping[int, object], allowed: str) -> dict[str, int]:
    pairs = {}
    for word in words:
        ours, _, theirs = word.rpartition("=")
        if not ours or not theirs.isdecimal() or int(theirs) not in rows:
            raise UserError(f"{option} {word}: expected NAME=NUMBER, the number {allowed}")
        pairs[ours] = int(theirs)
    return pairs


def paper_delta(full: float, ablated: float) -> float:
    """Table 2's Δ as the paper prints it, in percent: the loss relative to the *ablated* score.

    -(F1_full - F1_ablated) / F1_ablated; applied to the printed averages it gives every printed Δ.
    """
    return -100 * (full - ablated) / ablated


def conventional_delta(full: float, ablated: float) -> float:
    """The loss relative to the full model's score, in percent, negative where ablating hurts."""
    return -100 * (full - ablated) / full
