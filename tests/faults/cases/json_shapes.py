"""JSON of right syntax and wrong shape: keys that are gone, values of another type, numbers that nothing has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.workspace import Case, Damage, put

RUN, ENSEMBLE, STORE = "runs/members/deepser", "runs/ensembles/metacls", "samples/features/speech"
TRAIN, EVAL = ("train_deepser.py", "member.yaml"), ("eval_deepser.py", "member.yaml")
FRESH, FRESH_META = (*TRAIN, "name=fresh"), ("train_metacls.py", "ensemble.yaml", "name=fresh")
EVAL_META, FOLDS = ("eval_metacls.py", "ensemble.yaml"), (*FRESH_META, "fit_on=dev")
REPORT = ("medusa", "report", "--runs", "runs", "--ensembles", "ensemble.yaml", "--out", "report")
DIFF = ("medusa", "diff", RUN, ENSEMBLE)
HUGE = 10**15
AGAIN = "train again"


def verify(path: str) -> tuple[str, ...]:
    return ("medusa", "verify", path)


def edited(file: str, change: Callable[[Any], object]) -> Damage:
    """Change a JSON object in place."""

    def damage(folder: Path) -> None:
        value = json.loads((folder / file).read_text())
        change(value)
        put(file, json.dumps(value))(folder)

    return damage


def value(file: str, key: str, new: object) -> Damage:
    return edited(file, lambda old: old.update({key: new}))


def without(file: str, key: str) -> Damage:
    return edited(file, lambda old: old.pop(key))


def row(change: Callable[[Any], object]) -> Damage:
    """Change the second row of metrics.jsonl, which is given and taken as a list of one."""

    def damage(folder: Path) -> None:
        lines = (folder / METRICS).read_text().splitlines()
        changed = [json.loads(lines[1])]
        change(changed)
        put(METRICS, "\n".join([lines[0], json.dumps(changed[0]), *lines[2:]]) + "\n")(folder)

    return damage


PREDICTED, IDENTITY, METRICS = f"{RUN}/posteriors/provenance.json", f"{RUN}/identity.json", f"{RUN}/metrics.jsonl"
LAST, BEST, SOUP = f"{RUN}/last/state.json", f"{RUN}/best/state.json", f"{ENSEMBLE}/soup/state.json"
MANIFEST, CURVES = f"{STORE}/manifest.json", "runs/ensembles/fresh/inner_folds.json"
PARTS = "new/transcripts.parts"
TEXT = "found text"

TABLE: list[tuple[str, Damage, tuple[str, ...], list[tuple[str, ...]]]] = [
    # what is done, what names it, the commands that meet it
    ("no inputs", without(PREDICTED, "inputs"), (f"{PREDICTED}: no key 'inputs'", "again"), [verify(RUN), FRESH_META]),
    ("inputs of text", value(PREDICTED, "inputs", "all"), (f"{PREDICTED}: inputs: expected a list, {TEXT}", "again"),
     [verify(RUN), FRESH_META]),
    ("an input of text", value(PREDICTED, "inputs", ["labels.csv"]), (f"{PREDICTED}: inputs", "found str", "again"),
     [verify(RUN), FRESH_META]),
    ("an input without checksum", value(PREDICTED, "inputs", [{"file": "a"}]), (f"{PREDICTED}: inputs", "'sha256'"),
     [verify(RUN), FRESH_META]),
    ("an output that no file can be", value(PREDICTED, "outputs", {"\0" * 300: "0"}),
     ("not the file that was written", "again"), [verify(RUN), FRESH_META]),
    ("outputs in a list", value(PREDICTED, "outputs", []), (f"{PREDICTED}: outputs: expected an object", "again"),
     [verify(RUN), FRESH_META]),
    ("a number for a checksum", value(PREDICTED, "outputs", {"dev.csv": 5}), (f"{PREDICTED}: outputs: dev.csv", "text"),
     [verify(RUN), FRESH_META]),
    ("ingredients gone", without(SOUP, "ingredients"), (f"{SOUP}: no key 'ingredients'", "train_metacls.py"),
     [verify(ENSEMBLE)]),
    ("no ingredients", value(SOUP, "ingredients", []), (f"{SOUP}: ingredients: not of seed-1/best",),
     [verify(ENSEMBLE)]),
    ("a number for an ingredient", value(SOUP, "ingredients", [1, 2]), (f"{SOUP}: ingredients: not of seed-1/best",),
     [verify(ENSEMBLE)]),
    ("ingredients from elsewhere", value(SOUP, "ingredients", ["../../members/deepser/best"]),
     (f"{SOUP}: ingredients: not of seed-1/best", "train_metacls.py"), [verify(ENSEMBLE)]),
    ("a row in a list", row(lambda rows: rows.insert(0, [])), (f"{METRICS}: line 2: expected a JSON object", AGAIN),
     [verify(RUN), REPORT, DIFF, TRAIN]),
    ("a row without its epoch", row(lambda rows: rows[0].pop("epoch")), (f"{METRICS}: line 2: no key 'epoch'", AGAIN),
     [verify(RUN), REPORT, DIFF, TRAIN]),
    ("true for an epoch", row(lambda rows: rows[0].update(epoch=True)), (f"{METRICS}: line 2: epoch", "true or false"),
     [verify(RUN), REPORT, DIFF, TRAIN]),
    ("a loss of text", row(lambda rows: rows[0].update(loss="low")), (f"{METRICS}: line 2: loss", TEXT, AGAIN),
     [verify(RUN), REPORT, DIFF, TRAIN]),
    ("a row without its loss", row(lambda rows: rows[0].pop("loss")), (f"{METRICS}: line 2: no key 'loss'", AGAIN),
     [REPORT]),
    ("an infinite score", row(lambda rows: rows[0].update(macro_f1=float("inf"))), (f"{METRICS}: line 2: macro_f1",),
     [verify(RUN), REPORT, DIFF, TRAIN]),
    ("identity of nothing", put(IDENTITY, "{}"), (f"{IDENTITY}: no key 'labels_sha256'", AGAIN), [verify(RUN), REPORT]),
    ("best state of nothing", put(BEST, "{}"), (f"{BEST}: no key", AGAIN), [verify(RUN), REPORT, DIFF, EVAL]),
    ("a best epoch that never was", value(BEST, "best_epoch", HUGE), (f"{BEST}: best_epoch: not among the 2", AGAIN),
     [REPORT, DIFF]),
    ("a best epoch of text", value(BEST, "best_epoch", "one"), (f"{BEST}: best_epoch: expected a whole number", AGAIN),
     [verify(RUN), REPORT, DIFF]),
    ("a best score of text", value(LAST, "best_score", "high"), (f"{LAST}: best_score: expected a number", AGAIN),
     [verify(RUN), TRAIN]),
    ("a best score that is no number", value(LAST, "best_score", float("nan")), (f"{LAST}: best_score", AGAIN),
     [verify(RUN), TRAIN]),
    ("an epoch beyond all", value(LAST, "epoch", HUGE), (f"{LAST}: epoch", "not among the 2", AGAIN),
     [verify(RUN), TRAIN]),
    ("an epoch beyond counting", value(LAST, "epoch", 10**400), (f"{LAST}: epoch: a number out of all range", AGAIN),
     [verify(RUN), TRAIN]),
    ("finished as text", value(LAST, "finished", "no"), (f"{LAST}: finished: expected true or false, {TEXT}", AGAIN),
     [verify(RUN), REPORT, TRAIN]),
    ("no checksums", without(BEST, "crc32"), (f"{BEST}: no key 'crc32'", AGAIN), [verify(RUN), EVAL]),
    ("no checksum of the weights", edited(BEST, lambda old: old["crc32"].pop("model.safetensors")),
     (f"{BEST}: crc32: no key 'model.safetensors'", AGAIN), [verify(RUN), EVAL]),
    ("a checksum of text", value(BEST, "crc32", {"model.safetensors": "0"}),
     (f"{BEST}: crc32: model.safetensors", TEXT), [verify(RUN), EVAL]),
    ("a soup without checksums", without(SOUP, "crc32"), (f"{SOUP}: no key 'crc32'",), [verify(ENSEMBLE), EVAL_META]),
    ("inner folds of nothing", put(CURVES, "{}"), (f"{CURVES}: no key 'epochs'", "delete it"), [FOLDS]),
    ("inner folds without end", put(CURVES, f'{{"epochs": {HUGE}}}'), (f"{CURVES}: epochs: {HUGE}", "delete it"),
     [FOLDS]),
    ("shards without end", value(MANIFEST, "shards", HUGE), (f"{STORE}: incomplete, 2 of {HUGE} shards", "again"),
     [verify(STORE), FRESH]),
    ("true for a number of shards", value(MANIFEST, "shards", True), (f"{MANIFEST}: shards: expected a whole number",),
     [verify(STORE), FRESH]),
    ("no shards", value(MANIFEST, "shards", 0), (f"{STORE}: incomplete, 2 of 0 shards",), [verify(STORE), FRESH]),
    ("a manifest that counts nothing", without(MANIFEST, "utterances"), (f"{MANIFEST}: no key 'utterances'", "again"),
     [verify(STORE)]),
    ("shards of transcripts without end",
     put(f"{PARTS}/manifest.json", f'{{"utterances": 5, "utterances_sha256": "", "shards": {HUGE}}}'),
     (f"{PARTS}: incomplete, 0 of {HUGE} shards", "again"), [verify("new")]),
]  # fmt: skip

CASES = [
    Case(f"{name}: {words[0] if words[0] != 'medusa' else words[1]}", words, damage, parts)
    for name, damage, parts, commands in TABLE
    for words in commands
]
