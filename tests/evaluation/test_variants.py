"""Which runs beside an ensemble are its variants."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from medusa.config.load import load_config
from medusa.config.schema import MetaConfig
from medusa.evaluation.variants import read_varied_ensembles
from tests.evaluation.conftest import make_ensemble

if TYPE_CHECKING:
    from tests.evaluation.conftest import Runs


def test_only_one_member_may_be_missing_and_what_cannot_be_read_is_told(own_runs: Runs) -> None:
    first, second, third = own_runs.members
    variants = {
        "turned": [third, second, first], "one": [first], "without-third": [first, second], "unread": [second, third],
    }  # fmt: skip
    for variant, members in variants.items():
        file = own_runs.folder.parent / variant / "three.yaml"
        make_ensemble(file, own_runs.folder, own_runs.labels, members, variant=variant)
    unread = own_runs.folder / "ensembles" / "three-unread"
    shutil.rmtree(unread / "posteriors" / "soup")
    main = load_config(MetaConfig, [own_runs.ensembles[0]])
    stackings, without, (told,) = read_varied_ensembles(main, own_runs.labels, "test")
    assert stackings == []
    assert [one.name for one in without] == ["three-without-third"]
    missing, command = f"{unread}/posteriors/soup/test.csv: no such file", f"eval_metacls.py {unread}/config.yaml"
    assert told == f"{missing}; write it with: python {command}"
