"""A folder of runs as the scripts leave it, made without training: random posteriors, random linear layers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from medusa.config.load import dump_config, load_config
from medusa.config.schema import DeepSERConfig, Loss, MetaConfig
from medusa.corpora.labels import Labels, labels_from_table, read_labels, write_labels
from medusa.ensemble.controls import fit_controls
from medusa.ensemble.evaluate import combine
from medusa.ensemble.member_files import fitted_files, member_files
from medusa.ensemble.posteriors import stack_members, write_posteriors
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
                | {"Partition": partition, "Gender": ("Female", "Male")[number % 2]}
            )
    labels = labels_from_table(file, pd.DataFrame(rows))
    write_labels(file, labels)
    return read_labels(file)


def make_member(run: Path, labels: Labels, seed: int, name: str = "m", variant: str | None = None) -> None:
    """Four epochs of Stage 1 and two of Stage 2; epoch 5 was best."""
    run.mkdir(parents=True)
    loss = Loss(attributes=0.0 if variant == "no_multitask" else 0.4)
    config = DeepSERConfig(name=name, variant=variant, seed=seed, features=["speech", "text"], loss=loss)
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
        rows, file = labels.partition(partition), run / "posteriors" / f"{partition}.csv"
        write_random_posteriors(file, rows, seed, attributes=variant != "no_multitask")


def write_random_posteriors(path: Path, rows: Labels, seed: int, attributes: bool = True) -> None:
    random = np.random.default_rng(seed)
    right = np.eye(3)[rows.class_indices()]  # a row without consensus counts as the last class here
    posteriors = (right + random.dirichlet(np.ones(3), len(rows)) * 2) / 3
    values = (rows.attribute_values() + random.uniform(1, 7, (len(rows), 3))) / 2
    write_posteriors(path, rows, posteriors, values if attributes else np.empty((len(rows), 0)))


def make_ensemble(file: Path, folder: Path, labels: Labels, members: list[str], **settings: Any) -> None:
    paths = {"labels": str(labels.source), "runs": str(folder)}
    everything = {"name": file.stem, "members": members, "seeds": [1, 2, 3], "paths": paths, **settings}
    write_text(file, json.dumps(everything))  # JSON is YAML
    config = load_config(MetaConfig, [file])
    run = config.run_directory
    write_json(run / "identity.json", meta_identity(config, fitted_files(config, labels)))
    write_text(run / "config.yaml", dump_config(config))
    stacks = {
        name: stack_members(member_files(config, name), labels, name) for name in ("dev", "test") if labels.has(name)
    }
    stack, held_out = stacks["test"], "dev" if "dev" in stacks else "test"
    classes = [labels.partition(name).class_indices() for name in ("train", held_out)]
    fitted = stack_members(member_files(config, "train"), labels, "train")
    controls = fit_controls(fitted, classes[0], stacks[held_out], classes[1])
    for seed in config.seeds:
        (run / f"seed-{seed}" / "best").mkdir(parents=True)
        model = build_metaclassifier(config, stack, seed, CPU)
        save_file(model.state_dict(), run / f"seed-{seed}" / "best" / "model.safetensors")
    cook_soup([run / f"seed-{seed}" / "best" for seed in config.seeds], run / "soup")
    for name, part in stacks.items():
        for technique, predictions in combine(config, part, controls, CPU).items():
            write_posteriors(run / "posteriors" / technique / f"{name}.csv", labels.partition(name), *predictions)


def make_runs(root: Path, partitions: dict[str, int]) -> Runs:
    labels = make_labels(root / "labels.csv", partitions)
    write_json(root / "datacard.json", {"about": CORPUS})
    folder = root / "runs"
    given = root / "given.csv"
    write_random_posteriors(given, labels, 9)
    members = ["plain", HOSTILE, str(given)]
    for seed, name in enumerate(members[:2]):
        make_member(folder / "members" / name, labels, seed, *(["plain"] if name == "plain" else []))
    ensembles = {root / "three.yaml": members, root / "two.yaml": members[:2]}
    for file, names in ensembles.items():
        make_ensemble(file, folder, labels, names)
    return Runs(folder, labels, list(ensembles), members)


def add_variants(runs: Runs) -> None:
    """Ablations of `plain` from two seeds, one of them put aside; `three` fitted on other rows and without members."""
    for number, (variant, seed) in enumerate([
        (None, 1000), ("one_hot", 0), ("one_hot", 1000), ("no_multitask", 0), ("no_multitask", 1000),
        ("only-speech", 0), ("soft_consensus", 1000), ("zz", 0),
    ]):  # fmt: skip
        words = [*([variant] if variant else []), *([f"seed-{seed}"] if seed else [])]
        name = ".".join(words)
        make_member(runs.folder / "members" / f"plain-{name}", runs.labels, 20 + number, "plain", name)
        config = runs.folder / "members" / f"plain-{name}" / "config.yaml"
        config.write_text(config.read_text().replace(f"seed: {20 + number}", f"seed: {seed}"))
    aside = runs.folder / "members" / "plain-late_fusion.1-old"
    make_member(aside, runs.labels, 5, "plain", "late_fusion")
    shutil.rmtree(runs.folder / "members" / "plain-zz" / "posteriors")
    folder = runs.folder.parent / "varied"
    for fit_on in ("released", "dev"):
        make_ensemble(
            folder / fit_on / "three.yaml", runs.folder, runs.labels, runs.members, fit_on=fit_on, variant=fit_on
        )
    for number, left_out in enumerate(runs.members):
        rest = [name for name in runs.members if name != left_out]
        make_ensemble(folder / str(number) / "three.yaml", runs.folder, runs.labels, rest, variant=f"without-{number}")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """With dev: the honest protocol. Look, do not touch."""
    runs = make_runs(tmp_path_factory.mktemp("honest"), {"train": 70, "dev": 60, "test": 60})
    add_variants(runs)
    return runs


@pytest.fixture
def own_runs(tmp_path: Path) -> Runs:
    """Without dev, and to be changed at will."""
    return make_runs(tmp_path, {"train": 70, "test": 60})
