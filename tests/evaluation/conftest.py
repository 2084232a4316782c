"""A folder of runs as the scripts leave it, made without training: random posteriors, random linear layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from medusa.config.load import dump_config, load_config
from medusa.config.schema import DeepSERConfig, MetaConfig
from medusa.corpora.labels import Labels, labels_from_table, read_labels, write_labels
from medusa.ensemble.controls import fit_controls
from medusa.ensemble.evaluate import combine
from medusa.ensemble.posteriors import member_files, stack_members, write_posteriors
from medusa.ensemble.soup import cook_soup
from medusa.ensemble.stacking import build_metaclassifier, meta_identity
from medusa.files import sha256, write_json, write_text

HOSTILE = "<script>alert(1)<|$b$ & `c`"
"""A name that is a file name on Linux, and trouble in HTML, Markdown and matplotlib."""

CORPUS = "The corpus is made of <i>noise</i>."
"""What its data card says."""

EMOTIONS = ("Angry", f"Sad {HOSTILE}", "Neutral")
CPU = torch.device("cpu")


class Runs(NamedTuple):
    folder: Path
    labels: Labels
    ensembles: list[Path]
    """YAML files: `three` (a member, a member with a hostile name, a file), then `two` (the file left out)."""
    members: list[str]


def make_labels(file: Path, partitions: dict[str, int]) -> Labels:
    """Six speakers per partition, classes 4:1:2 and every tenth row without consensus."""
    random = np.random.default_rng(0)
    rows = []
    for partition, count in partitions.items():
        for number in range(count):
            emotion = EMOTIONS[(0, 0, 1, 2, 0, 2, 0)[number % 7]]
            shares = random.dirichlet(np.ones(3))
            attributes = dict(zip(("EmoAct", "EmoVal", "EmoDom"), random.uniform(1, 7, 3), strict=True))
            rows.append(
                {"FileName": f"{partition}_{number}.wav", **dict(zip(EMOTIONS, shares, strict=True)), **attributes}
                | {"EmoClass": "X" if number % 10 == 9 else emotion, "SpkrID": f"{partition}{number % 6}"}
                | {"Partition": partition}
            )
    labels = labels_from_table(file, pd.DataFrame(rows))
    write_labels(file, labels)
    return read_labels(file)


def make_member(run: Path, labels: Labels, seed: int) -> None:
    """Four epochs of Stage 1 and two of Stage 2; epoch 5 was best."""
    run.mkdir(parents=True)
    config = DeepSERConfig(name="m", seed=seed, features=["speech", "text"])
    (run / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    write_json(run / "identity.json", {"labels_sha256": sha256(labels.source)})
    history = [
        {"epoch": epoch, "stage": 1 + (epoch > 3), "loss": 3.0 - epoch / 4, "macro_f1": score}
        for epoch, score in enumerate([0.2, 0.3, 0.4, 0.35, 0.6, 0.5])
    ]
    write_text(run / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history))
    write_json(run / "best" / "state.json", {"best_epoch": 4})
    write_json(run / "last" / "state.json", {"finished": True})
    for partition in set(labels.table["Partition"]):
        write_random_posteriors(run / "posteriors" / f"{partition}.csv", labels.partition(partition), seed)


def write_random_posteriors(path: Path, rows: Labels, seed: int) -> None:
    random = np.random.default_rng(seed)
    right = np.eye(3)[rows.class_indices()]  # a row without consensus counts as the last class here
    posteriors = (right + random.dirichlet(np.ones(3), len(rows)) * 2) / 3
    attributes = (rows.attribute_values() + random.uniform(1, 7, (len(rows), 3))) / 2
    write_posteriors(path, rows, posteriors, attributes)


def make_ensemble(file: Path, folder: Path, labels: Labels, members: list[str]) -> None:
    paths = {"labels": str(labels.source), "runs": str(folder)}
    settings = {"name": file.stem, "members": members, "seeds": [1, 2, 3], "paths": paths}
    write_text(file, json.dumps(settings))  # JSON is YAML
    config = load_config(MetaConfig, [file])
    run = config.run_directory
    write_json(run / "identity.json", meta_identity(config, member_files(config, "train")))
    stack = stack_members(member_files(config, "test"), labels, "test")
    rows = labels.partition("test").class_indices()
    controls = fit_controls(stack, rows, stack, rows)
    for seed in config.seeds:
        (run / f"seed-{seed}" / "best").mkdir(parents=True)
        model = build_metaclassifier(config, stack, seed, CPU)
        save_file(model.state_dict(), run / f"seed-{seed}" / "best" / "model.safetensors")
    cook_soup([run / f"seed-{seed}" / "best" for seed in config.seeds], run / "soup")
    for technique, predictions in combine(config, stack, controls, CPU).items():
        write_posteriors(run / "posteriors" / technique / "test.csv", labels.partition("test"), *predictions)


def make_runs(root: Path, partitions: dict[str, int]) -> Runs:
    labels = make_labels(root / "labels.csv", partitions)
    write_json(root / "datacard.json", {"about": CORPUS})
    folder = root / "runs"
    given = root / "given.csv"
    write_random_posteriors(given, labels, 9)
    members = ["plain", HOSTILE, str(given)]
    for seed, name in enumerate(members[:2]):
        make_member(folder / "members" / name, labels, seed)
    ensembles = {root / "three.yaml": members, root / "two.yaml": members[:2]}
    for file, names in ensembles.items():
        make_ensemble(file, folder, labels, names)
    return Runs(folder, labels, list(ensembles), members)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """With dev: the honest protocol. Look, do not touch."""
    return make_runs(tmp_path_factory.mktemp("honest"), {"train": 70, "dev": 60, "test": 60})


@pytest.fixture
def own_runs(tmp_path: Path) -> Runs:
    """Without dev, and to be changed at will."""
    return make_runs(tmp_path, {"train": 70, "test": 60})
