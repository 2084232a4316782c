"""What a JSON object must hold before it is indexed: keys by the type of their value, else one line for the user."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import NoneType
from typing import Any

from medusa.errors import UserError

Kind = type | tuple[type, ...]
NUMBER: Kind = (int, float)

_NAMES = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list", dict: "an object",
    NoneType: "null",
}  # fmt: skip
_EXACT = 2**53
"""Whole numbers below are the same number to every reader of JSON; none of ours counts further."""


def require_keys(value: Any, needs: Mapping[str, Kind], where: str, remedy: str) -> dict[str, Any]:
    """The value, an object that holds every key of `needs` as a value of its type; other keys may be there.

    Args:
        value: As `json` gave it.
        needs: Types by key; a number is finite, and true and false are none.
        where: The file and what leads to the value in it, as the beginning of the sentence.
        remedy: What the user can do, as its end.

    Raises:
        UserError: it is no object, or a key is missing or of another type.
    """
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, found {type(value).__name__}; {remedy}")
    for key, kind in needs.items():
        if key not in value:
            raise UserError(f"{where}: no key {key!r}, expected {_expected(kind)}; {remedy}")
        require_kind(value[key], kind, f"{where}: {key}", remedy)
    return value


def require_kind(value: Any, kind: Kind, where: str, remedy: str) -> None:
    """Refuse a value of another type.

    Raises:
        UserError: as `require_keys`.
    """
    if type(value) not in (kind if isinstance(kind, tuple) else (kind,)):
        raise UserError(f"{where}: expected {_expected(kind)}, found {_NAMES[type(value)]}; {remedy}")
    if isinstance(value, int | float) and not (abs(value) < _EXACT and math.isfinite(value)):
        raise UserError(f"{where}: a number out of all range; {remedy}")


def _expected(kind: Kind) -> str:
    kinds = [one for one in (kind if isinstance(kind, tuple) else (kind,)) if not (one is int and kind == NUMBER)]
    return " or ".join(_NAMES[one] for one in kinds)
