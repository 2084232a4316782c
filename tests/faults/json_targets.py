"""The JSON that runs, stores and transcripts keep, and whoever reads it: what test_fuzz.py changes."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from hypothesis import strategies as st

from medusa.app.recipes import read_recipes
from medusa.app.verify import verify
from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig, MetaConfig
from medusa.corpora.labels import read_labels
from medusa.ensemble.member_files import member_files, require_predicted_by
from medusa.ensemble.stacking import cross_validated_epochs
from medusa.errors import UserError
from medusa.evaluation.comparison import differences
from medusa.evaluation.one_run import open_run_folder
from medusa.evaluation.runs import read_training
from medusa.features.asr import CHECKSUM, TranscriptShards, _checksum, read_shard
from medusa.features.recognizer import Transcript
from medusa.features.store import FeatureStore, StoreWriter
from medusa.files import sha256, write_json
from medusa.provenance import require_as_written
from medusa.training.checkpoint import open_run
from medusa.training.member import build_model, identity, open_stores

RUN, ENSEMBLE, STORE = Path("runs/members/deepser"), Path("runs/ensembles/metacls"), Path("samples/features/speech")
PARTS, FOLDS = Path("new/transcripts.parts"), Path("inner_folds.json")
TRACED = Path("traced/members/own/identity.json")
WORDS, METADATA = Path("corpus/features/words/provenance.json"), Path("corpus/transcripts.json")


def prepare() -> None:
    """Add to a folder in which everything has run what its scripts have not made: the current one."""
    write_json(FOLDS, {"schema": 1, "epochs": 2, "macro_f1": 0.5, "curves": {"1": [0.25, 0.5]}})
    shards = TranscriptShards(PARTS, {"schema_version": 3, "shard_size": 2}, ["a", "b", "c"])
    for index, ids in enumerate(shards.shards):
        shards.write(index, {one: Transcript("well, no", [("no_speech", "you")]) for one in ids})
    PARTS.with_suffix(".csv").write_text("FileName,Transcript\n" + "".join(f'{one},"well, no"\n' for one in "abc"))
    logmel = json.loads(Path("corpus/features/logmel/manifest.json").read_text())
    of_hub = {"backbone": "they/bert", "revision": "0" * 40, "weights_sha256": None}
    words = logmel | {"name": "words", "kind": "text", "layers": [-1], "combine": "sum", **of_hub}
    write_json(TRACED, {"labels_sha256": "0", "stores": {"logmel": logmel, "words": words}})
    transcripts = Path("corpus/transcripts.csv")
    write_json(WORDS, {"inputs": [{"file": str(transcripts), "sha256": sha256(transcripts)}]})
    asr: dict[str, Any] = {
        "engine": "transformers",
        "model": "they/whisper",
        "revision": "0" * 40,
        "weights_sha256": None,
    }
    asr |= {"language": None, "beam_size": 1, "max_new_tokens": 8, "precision": "float32", "resampler": "librosa"}
    write_json(METADATA, {"schema_version": 3, **asr, "guards": {"no_speech": 0.6}})


# --- who reads it -----------------------------------------------------------------------------------


def sound(path: Path) -> None:
    for found in verify([path]):
        if found.problem is not None:
            raise UserError(found.problem)


def for_the_report() -> None:
    training = read_training(Path("runs"), "deepser", Path("samples/labels.csv"))
    assert training is not None
    assert training.history[training.best_epoch]["stage"] + max(row["loss"] for row in training.history) > 0


def side_by_side() -> None:
    for path in (RUN, ENSEMBLE):
        run = open_run_folder(path)
        assert run.state()
        run.best()
        differences(run.identity(), run.provenance())


def taken_up() -> None:
    require_predicted_by(RUN, RUN / "best/model.safetensors", "eval_deepser.py")
    for file in member_files(load_config(MetaConfig, [Path("ensemble.yaml")]), "dev")["deepser"]:
        require_as_written(file, "")


class Resume:
    """Goes on with the member's run."""

    def __init__(self) -> None:
        config = load_config(DeepSERConfig, [Path("member.yaml")])
        stores = open_stores(config)
        self.identity = identity(config, stores)
        self.model = build_model(config, read_labels(config.paths.labels), stores, torch.device("cpu"))
        self.text = (RUN / "config.yaml").read_text(encoding="utf-8")

    def __call__(self) -> None:
        with open_run(RUN, self.identity, self.text) as run:
            state = run.resume(self.model, torch.optim.AdamW(self.model.parameters()))
            assert 0 <= state.best_epoch <= state.epoch == len(state.history) - 1
            assert run.finished == state.finished


def folds() -> None:
    config, unread = load_config(MetaConfig, [Path("ensemble.yaml")]), cast("Any", None)
    assert 1 <= cross_validated_epochs(config, unread, unread, unread, FOLDS) <= config.training.max_epochs


def store() -> None:
    opened = FeatureStore(STORE)
    assert opened.read(opened.ids[0]).shape[1] == opened.dim


class Extraction:
    """Goes on with the store."""

    def __init__(self) -> None:
        self.identity, self.ids = json.loads((STORE / "manifest.json").read_bytes()), FeatureStore(STORE).ids
        for counted in ("utterances", "utterances_sha256", "shards"):
            del self.identity[counted]

    def __call__(self) -> None:
        StoreWriter(STORE, self.identity, self.ids)


def shard() -> None:
    """As it is, and with a right checksum."""
    file = PARTS / "shard-00000.json"
    try:
        read_shard(file)
    except UserError:
        with contextlib.suppress(ValueError):
            found = json.loads(file.read_bytes())
            if isinstance(found, dict) and isinstance(found.get("transcripts"), dict):
                file.write_text(json.dumps(found | {CHECKSUM: _checksum(found["transcripts"])}))
        read_shard(file)


def recipes() -> None:
    config = load_config(DeepSERConfig, [Path("own_member.yaml")])
    read_recipes(Path("traced"), {"own": config})


def targets() -> dict[Path, list[Callable[[], object]]]:
    """By file, who reads it; all of them take what is there now."""
    resume, extraction = Resume(), Extraction()
    a_run, an_ensemble, transcripts = (partial(sound, path) for path in (RUN, ENSEMBLE, PARTS))
    return {
        RUN / "identity.json": [a_run, for_the_report, side_by_side, resume],
        RUN / "last/state.json": [a_run, for_the_report, side_by_side, resume],
        RUN / "best/state.json": [a_run, for_the_report, side_by_side],
        RUN / "metrics.jsonl": [a_run, for_the_report, side_by_side, resume],
        RUN / "provenance.json": [side_by_side],
        RUN / "posteriors/provenance.json": [a_run, taken_up],
        ENSEMBLE / "identity.json": [an_ensemble, side_by_side],
        ENSEMBLE / "soup/state.json": [an_ensemble],
        STORE / "manifest.json": [partial(sound, STORE), store, extraction],
        PARTS / "manifest.json": [transcripts],
        PARTS / "shard-00000.json": [transcripts, shard],
        FOLDS: [folds],
        TRACED: [recipes],
        WORDS: [recipes],
        METADATA: [recipes],
    }


# --- what is changed --------------------------------------------------------------------------------

_DEEP: Any = []
for _ in range(300):
    _DEEP = [_DEEP]
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**53, 10**18, 10**400, 0.5, 1e308, math.nan, math.inf, "", "x", "\0", "/",
    "..", "../../a", "a" * 300, "a" * 5000, "\ud800", "\x1b[2J", [], [[]], {}, [1], ["x"], {"x": 1}, {"": None}, _DEEP,
]  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, base: bytes, lines: bool) -> bytes:
    """JSON, or lines of it, with a few values replaced by any others, dropped, doubled or under another key."""
    root: Any = [[json.loads(line) for line in base.splitlines()] if lines else json.loads(base)]
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(root))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        what = draw(st.sampled_from(["replace", "replace", "replace", "drop", "double"]))
        if what == "replace" or holder is root:
            holder[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
        elif what == "drop":
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, holder[key])
        else:
            holder[draw(st.sampled_from(["x", "", "shards", "../a"]))] = holder[key]
    value = root[0] if lines and isinstance(root[0], list) else root
    return "\n".join(map(json.dumps, value)).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (object or list, key) in a value, but not what is nested absurdly."""
    if isinstance(value, dict | list) and value is not _DEEP:
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            if value[key] != _DEEP:
                yield from _places(value[key])
