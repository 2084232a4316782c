from pathlib import Path

import pandas as pd
import pytest

from medusa.corpora.rows import refuse_rows
from medusa.errors import UserError

TABLE = pd.DataFrame({"FileName": ["a.wav", "b.wav", "c.wav"], "Angry": ["1", "x", "y"]})


def test_the_first_bad_row_is_named_by_line_name_and_cell() -> None:
    with pytest.raises(UserError) as caught:
        refuse_rows(Path("t.csv"), TABLE, [False, True, True], "Angry", "must be a number")
    assert str(caught.value) == "t.csv, line 3 ('b.wav'), Angry: 'x': must be a number (and 1 more rows)"


def test_a_part_of_a_table_keeps_its_line_numbers_and_a_name_is_quoted_once() -> None:
    with pytest.raises(UserError) as caught:
        refuse_rows(Path("t.csv"), TABLE.iloc[2:], [True], "FileName", "stands twice")
    assert str(caught.value) == "t.csv, line 4 FileName: 'c.wav': stands twice"


def test_nothing_happens_without_a_bad_row() -> None:
    refuse_rows(Path("t.csv"), TABLE, [False] * 3, "Angry", "never said")
