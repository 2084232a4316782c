"""Refusing a row of somebody's table, by file, line, name and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.errors import UserError


def refuse_rows(source: Path, table: pd.DataFrame, bad: npt.ArrayLike, column: str, problem: str) -> None:
    """Raise for the first bad row, if there is one, quoting what stands in `column`.

    Args:
        source: The file that the table was read from.
        table: Text cells, FileName among them; the index is the row's number in the file, from 0.
        bad: Whether a row is bad, shape (rows,).
        column: The column to quote.
        problem: What is wrong and what to do, to follow the quoted cell.

    Raises:
        UserError: a row is bad.
    """
    rows = table[np.asarray(bad, dtype=bool)]
    if len(rows):
        more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
        name, cell = rows["FileName"].iloc[0], rows[column].iloc[0]
        where = column if column == "FileName" else f"({name!r}), {column}"
        raise UserError(f"{source}, line {int(rows.index[0]) + 2} {where}: {cell!r}: {problem}{more}")
