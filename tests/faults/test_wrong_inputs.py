"""Wrong configs and files: each gives one line that names file, row or key and the remedy, and changes nothing done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medusa.files import read_csv
from tests.faults.cases import audio, commands, configs, features, json_shapes, labels, runs
from tests.faults.workspace import Case, call, contents

CASES = [case for part in (audio, commands, configs, features, json_shapes, labels, runs) for case in part.CASES]


def test_there_are_many_cases_of_different_names() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 80


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_line_says_what_is_wrong_and_what_to_do(own: Path, case: Case) -> None:
    case.damage(own)
    before = contents(own)
    done = call(own, *case.words)
    assert done.code == case.code, done
    lines = re.split(r"[\r\n]+", done.err.strip())  # a progress bar ends in a carriage return
    assert lines[-1].startswith("error: "), done.err
    assert [line for line in lines if "error: " in line] == lines[-1:]
    assert "Traceback" not in done.err + done.out
    for part in case.parts:
        assert part in lines[-1]
    assert (case.code == 3) <= bool(case.failures)
    if case.failures:
        found = re.search(r"\S+/failures\.csv", lines[-1])
        assert found is not None
        listed = read_csv(own / found[0])
        assert listed["FileName"].tolist() == sorted(case.failures)
        for file, reason in zip(listed["FileName"], listed["reason"], strict=True):
            assert case.failures[file] in reason
    after = contents(own)
    assert [name for name in before if after.get(name) != before[name]] == []
