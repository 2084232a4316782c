"""What the soup listens to, where its weights say it and where they do not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from medusa.evaluation.page import Row, Section, Text
from medusa.evaluation.paper import BY_NAME
from medusa.evaluation.results import Results, read_results
from medusa.evaluation.tables import weights_numbers
from medusa.evaluation.training_sections import weights_section
from tests.evaluation.conftest import make_ensemble

if TYPE_CHECKING:
    from tests.evaluation.conftest import Runs


def untrained(runs: Runs, **settings: Any) -> tuple[Results, Section]:
    """An ensemble whose meta-classifiers are as they start, and what is said of its weights."""
    file = runs.folder.parent / "own.yaml"
    make_ensemble(file, runs.folder, runs.labels, runs.members, **settings)
    results = read_results(runs.folder, [file], [], BY_NAME)
    return results, weights_section(results, results.ensembles[0])


def test_a_hidden_layer_has_no_weight_between_a_member_and_a_class(own_runs: Runs) -> None:
    results, section = untrained(own_runs, hidden_dims=[4])
    (block,) = section.blocks
    assert isinstance(block, Text)
    assert "has a hidden layer" in block.text
    assert weights_numbers(results.ensembles[0], results.labels) is None


def test_before_training_nothing_was_learned_beyond_the_vote(own_runs: Runs) -> None:
    _, section = untrained(own_runs, start="vote")
    (block,) = section.blocks
    assert isinstance(block, Row)
    _, learned = block.items
    assert learned.name == "meta_weights_learned"
    (moved,) = re.findall(r"training moved no weight by more than (\S+)\.$", learned.notes[0])
    assert float(moved) < 1e-6


def test_a_start_at_random_is_compared_with_no_vote(own_runs: Runs) -> None:
    _, section = untrained(own_runs)
    (block,) = section.blocks
    assert isinstance(block, Row)
    assert [item.name for item in block.items] == ["meta_weights"]
