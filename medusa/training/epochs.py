"""metrics.jsonl, read: what a run says of each of its epochs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medusa.errors import UserError, os_reason
from medusa.json_shape import NUMBER, Kind, require_keys

METRICS = "metrics.jsonl"


def read_epochs(run: Path, needs: Mapping[str, Kind] | None = None) -> list[dict[str, Any]]:
    """A row an epoch, the first of epoch 0; everything in a row is a number.

    Args:
        run: The folder of metrics.jsonl.
        needs: Keys that every row must have, besides `epoch`.

    Raises:
        UserError: it is missing or damaged.
    """
    file, again = run / METRICS, f"delete {run} and train again"
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise UserError(f"{file}: {os_reason(error, again)}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not a row an epoch ({error}); {again}") from None
    for number, row in enumerate(rows, 1):
        where = f"{file}: line {number}"
        every = dict.fromkeys(row, NUMBER) if isinstance(row, dict) else {}
        if require_keys(row, {**every, **(needs or {}), "epoch": int}, where, again)["epoch"] != number - 1:
            raise UserError(f"{file}: epochs are missing or stand twice; {again}")
    return rows
