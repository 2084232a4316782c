"""What a JSON object must hold before it is indexed."""

from __future__ import annotations

from typing import Any

import pytest

from medusa.errors import UserError
from medusa.json_shape import NUMBER, Kind, require_keys


def test_what_is_needed_may_stand_beside_anything() -> None:
    value: dict[str, Any] = {"epoch": 0, "score": 1, "note": None, "done": False, "more": {}}
    needs: dict[str, Kind] = {"epoch": int, "score": NUMBER, "note": (str, type(None)), "done": bool}
    assert require_keys(value, needs, "a", "b") is value


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        ({}, int, "a.json: no key 'k', expected a whole number; mend it"),
        ({}, (str, type(None)), "a.json: no key 'k', expected text or null; mend it"),
        ({"k": None}, NUMBER, "a.json: k: expected a number, found null; mend it"),
        ({"k": True}, int, "a.json: k: expected a whole number, found true or false; mend it"),
        ({"k": True}, NUMBER, "a.json: k: expected a number, found true or false; mend it"),
        ({"k": 1}, bool, "a.json: k: expected true or false, found a whole number; mend it"),
        ({"k": 1.0}, int, "a.json: k: expected a whole number, found a number; mend it"),
        ({"k": float("nan")}, NUMBER, "a.json: k: a number out of all range; mend it"),
        ({"k": float("-inf")}, NUMBER, "a.json: k: a number out of all range; mend it"),
        ({"k": 10**400}, int, "a.json: k: a number out of all range; mend it"),
        ({"k": {}}, list, "a.json: k: expected a list, found an object; mend it"),
        ([], int, "a.json: expected a JSON object, found list; mend it"),
    ],
)
def test_what_is_missing_or_of_another_type_is_named(value: Any, kind: Kind, told: str) -> None:
    with pytest.raises(UserError) as refused:
        require_keys(value, {"k": kind}, "a.json", "mend it")
    assert str(refused.value) == told
