"""Run folders: claimed for one config by one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from medusa.errors import UserError
from medusa.training.checkpoint import open_run, require_same_config

CONFIG = {"seed": 1, "training": {"batch_size": 16, "stages": [1, 2]}}


def test_the_same_config_may_come_back(tmp_path: Path) -> None:
    for _ in range(2):
        with open_run(tmp_path / "run", CONFIG, "seed: 1\n") as run:
            assert (run.path / "config.yaml").read_text() == "seed: 1\n"
    require_same_config(tmp_path / "run", CONFIG)


def test_another_config_is_refused_by_the_key_that_differs(tmp_path: Path) -> None:
    with open_run(tmp_path, CONFIG, ""):
        pass
    other = {"seed": 1, "training": {"batch_size": 8, "stages": [1, 2]}}
    match = r"first difference: training\.batch_size is 16 there, 8 here"
    with pytest.raises(UserError, match=match), open_run(tmp_path, other, "new"):
        pass
    with pytest.raises(UserError, match=match):
        require_same_config(tmp_path, other)
    assert (tmp_path / "config.yaml").read_text() == ""


def test_evaluating_what_was_never_trained_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is trained here yet"):
        require_same_config(tmp_path, CONFIG)


def test_a_run_has_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        open_run(tmp_path, CONFIG, ""),
        pytest.raises(UserError, match="another process is training here"),
        open_run(tmp_path, CONFIG, ""),
    ):
        pass
