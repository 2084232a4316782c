"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from medusa.errors import one_line

WIDEST = 60
"""Of a cell, in characters; what is longer ends in …"""


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns two spaces apart; `right` are the numbers of those aligned to the right. Rows may be short."""
    cells = [[_cell(text) for text in row] for row in rows]
    columns = max((len(row) for row in cells), default=0)
    widths = [max((len(row[column]) for row in cells if column < len(row)), default=0) for column in range(columns)]
    return "\n".join(
        "  ".join(
            text.rjust(widths[column]) if column in right else text.ljust(widths[column])
            for column, text in enumerate(row)
        ).rstrip()
        for row in cells
    )


def _cell(text: str) -> str:
    """One line of printable text; leading spaces stay."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    plain = indent + one_line(text)
    return plain if len(plain) <= WIDEST else plain[: WIDEST - 1] + "…"
