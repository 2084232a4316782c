"""Two runs side by side: which keys of their configs differ, what else they were made from, which figures differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medusa.config.schema import DeepSERConfig
from medusa.corpora.labels import Labels, read_labels
from medusa.ensemble.evaluate import TECHNIQUES, Combined
from medusa.evaluation.bootstrap import SpeakerDraws
from medusa.evaluation.one_run import Run
from medusa.evaluation.scores import Scores, estimate, scores
from medusa.metrics import MissingClass

ABSENT = "–"
ELSEWHERE = {"config_sha256", "inputs", "schema"}
"""Of provenance.json: follows from what is compared already."""

METRICS = {"class-balanced macro-F1": "balanced_f1", "macro-F1": "macro_f1", "accuracy": "accuracy"}

Row = tuple[str, str, str, str]
"""What, its value in the first run, in the second, and the difference (second less first) or ""."""


def compare(first: Run, second: Run) -> dict[str, list[Row]]:
    """Heading → rows: of configs and origins what differs, of figures all.

    Raises:
        UserError: labels or posteriors are missing, wrong, or not those the runs were trained on.
    """
    configs = [run.config.model_dump(mode="json") for run in (first, second)]
    settings = {key for config in configs for key in config}
    made_from = [
        {key: value for key, value in run.identity().items() if key not in settings} for run in (first, second)
    ]
    if type(first.config) is not type(second.config):
        configs, made_from = _shared(configs), _shared(made_from)
    made_by = [
        {key: value for key, value in run.provenance().items() if key not in ELSEWHERE} for run in (first, second)
    ]
    return {
        "config": differences(*configs),
        "made from": differences(*made_from),
        "made by": differences(*made_by),
        "selection": [_best(first, second)],
        **_test(first, second),
    }


def _shared(trees: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A member and an ensemble have other keys; only those of both can differ."""
    shared = set(trees[0]) & set(trees[1])
    return [{key: value for key, value in tree.items() if key in shared} for tree in trees]


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Row]:
    """Dotted keys at which two trees of JSON values differ; lists are compared as a whole."""
    there, here = dict(_leaves(first)), dict(_leaves(second))
    return [
        (key, _shown(there, key), _shown(here, key), "")
        for key in dict.fromkeys([*there, *here])
        if there.get(key, ABSENT) != here.get(key, ABSENT)
    ]


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    if key not in leaves:
        return ABSENT
    value = leaves[key]
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    digest = isinstance(value, str) and ("sha256" in key or key.endswith("commit"))
    return value[:10] if digest else str(value)


def _best(first: Run, second: Run) -> Row:
    a, b = first.best(), second.best()
    left, right = (ABSENT if one is None else f"{one.score:.4f} at epoch {one.epoch:g}" for one in (a, b))
    return "best class-balanced macro-F1", left, right, "" if a is None or b is None else f"{b.score - a.score:+.4f}"


def _test(first: Run, second: Run) -> dict[str, list[Row]]:
    """Figures on the test rows, a heading for each pair of techniques."""
    labels = [read_labels(run.config.paths.labels) for run in (first, second)]
    for run, corpus in zip((first, second), labels, strict=True):
        run.refuse_other_labels(corpus)
    rows = [corpus.partition("test") for corpus in labels]
    predicted = [run.test_predictions(corpus) for run, corpus in zip((first, second), labels, strict=True)]
    paired = _same_rows(*rows)
    sections = {}
    members = all(isinstance(run.config, DeepSERConfig) for run in (first, second))
    for technique in ("member",) if members else tuple(TECHNIQUES):
        sides = [one.get(technique, one.get("member", [])) for one in predicted]
        heading = "test" if technique == "member" else f"test, {technique}"
        if all(sides) or (technique in ("member", "soup") and any(sides)):
            sections[heading] = _figures(rows, sides, paired)
    return sections or {"test": [("no posteriors of test rows", ABSENT, ABSENT, "")]}


def _figures(rows: Sequence[Labels], sides: Sequence[Sequence[Combined]], paired: bool) -> list[Row]:
    """Mean over seeds of each figure; the interval of the first one's difference where both scored the same rows."""
    try:
        means = [_mean_scores(*one) for one in zip(rows, sides, strict=True)]
    except MissingClass as missing:
        emotion = rows[0].emotions[missing.index]
        return [(f"not scored: no test row of class {emotion}", ABSENT, ABSENT, "")]
    found: list[Row] = []
    for title, name in METRICS.items():
        values = [None if one is None else float(getattr(one, name)) for one in means]
        left, right = (ABSENT if value is None else f"{value:.4f}" for value in values)
        difference = ""
        if values[0] is not None and values[1] is not None:
            difference = f"{values[1] - values[0]:+.4f}"
            if paired and name == "balanced_f1":
                interval = estimate(SpeakerDraws(rows[0]), sides[1], sides[0]).interval
                difference += "" if interval is None else f" [{interval[0]:+.4f}, {interval[1]:+.4f}]"
        found.append((title, left, right, difference))
    return found


def _mean_scores(rows: Labels, repeats: Sequence[Combined]) -> Scores | None:
    each = [scores(rows, one) for one in repeats]
    return Scores(*(sum(values) / len(each) for values in zip(*each, strict=True))) if each else None


def _same_rows(first: Labels, second: Labels) -> bool:
    """Whether two corpora agree on utterances, classes and speakers of their test rows, in the same order."""
    columns = ["EmoClass", "SpkrID"]
    return first.emotions == second.emotions and first.table[columns].equals(second.table[columns])
