"""A tiny corpus that went through the scripts, from recordings to a soup, and the bundle made of it."""

from __future__ import annotations

import contextlib
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.io.wavfile
import yaml

from medusa.app.bundle import write_bundle
from medusa.app.model import Medusa
from tests.features.conftest import SPEECH, TEXT
from tests.features.tiny_whisper import write_whisper

ROOT = Path(__file__).resolve().parents[2]
EMOTIONS = ("Angry", "Sad", "Neutral")
RATE = 16_000


class Trained(NamedTuple):
    """Ensembles `both` (members `speech-text` and `whisper`, seeds 1 and 2) and `alone` (member `whisper`)."""

    folder: Path
    """Holds labels.csv, audio/, transcripts.csv, features/, configs/, runs/ and models/ (`hearing`, which is a Whisper,
    `wavlm`, `bert`); the configs' paths are relative to it, so
    bundles are written in that folder (`contextlib.chdir`)."""

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def audio(self) -> Path:
        return self.folder / "audio"

    def posteriors(self, ensemble: str = "both") -> pd.DataFrame:
        """Of the soup, over the test rows."""
        return pd.read_csv(self.runs / "ensembles" / ensemble / "posteriors/soup/test.csv")


def sound(number: int, seconds: float) -> np.ndarray:
    """A tone whose pitch goes by `number % 3`, as the class of a clip does, under noise."""
    times = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(number).normal(0, 0.02, len(times))
    return np.asarray(0.2 * np.sin(2 * np.pi * (200, 800, 3000)[number % 3] * times) + noise, np.float32)


def clip_name(number: int) -> str:
    return f"clip_{number:02d}.wav"


@pytest.fixture(scope="session", autouse=True)
def bf16_everywhere() -> Iterator[None]:
    """The bundle's features are bf16, and it computes in that here even where the processor has to emulate it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medusa.app.model.fastest_precision", lambda device: "bf16")
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Look, do not touch: `shutil.copytree` what is to be changed."""
    made = Trained(tmp_path_factory.mktemp("trained"))
    _write_corpus(made)
    with contextlib.chdir(made.folder), pytest.MonkeyPatch.context() as patch:
        _write_models(Path("models"))
        Path("configs").mkdir()
        for script, config in _steps():
            file = Path("configs") / f"{config['name']}.yaml"
            file.write_text(yaml.safe_dump(config))
            patch.setattr(sys, "argv", [script, str(file)])
            runpy.run_path(str(ROOT / script), run_name="__main__")
    return made


@pytest.fixture(scope="session")
def bundle(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the ensemble `both`; look, do not touch."""
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    with contextlib.chdir(trained.folder):
        write_bundle(Path("runs"), folder, title="Trained on noise.")
    return folder


@pytest.fixture(scope="session")
def medusa(bundle: Path) -> Medusa:
    return Medusa.from_pretrained(str(bundle))


def _write_corpus(made: Trained) -> None:
    """24 clips of 0.3 to 1.5 s: 12 train, 6 dev, 6 test, every class in each, two speakers a partition."""
    made.audio.mkdir()
    rows = ["FileName,Angry,Sad,Neutral,EmoAct,EmoVal,EmoDom,EmoClass,SpkrID,Partition"]
    for number in range(24):
        scipy.io.wavfile.write(made.audio / clip_name(number), RATE, sound(number, 0.3 + 0.05 * number))
        shares = [0.1, 0.1, 0.1]
        shares[number % 3] = 0.8
        partition = ("train", "train", "dev", "test")[number // 6]
        attributes = [1 + number % 3 * 2.5, 1 + number % 7, 4]
        values = [*shares, *attributes, EMOTIONS[number % 3], f"{partition}-{number % 2}", partition]
        rows.append(f"{clip_name(number)},{','.join(map(str, values))}")
    (made.folder / "labels.csv").write_text("\n".join(rows) + "\n")


def _write_models(folder: Path) -> None:
    writers: dict[str, Callable[[Path], None]] = {
        "hearing": write_whisper,
        "wavlm": SPEECH["wavlm"],
        "bert": TEXT["bert"],
    }
    for name, write in writers.items():
        (folder / name).mkdir(parents=True)
        write(folder / name)


def _steps() -> list[tuple[str, dict[str, Any]]]:
    """Script and config, in the order in which they run."""
    recordings = {"labels": "labels.csv", "audio": "audio", "transcripts": "transcripts.csv"}
    asr = {"name": "asr", "asr": {"model": "models/hearing", "max_new_tokens": 12}, "batch_size": 4}
    steps: list[tuple[str, dict[str, Any]]] = [("extract_features.py", asr | {"paths": recordings})]
    for name, kind, model, layers in (
        ("wavlm", "speech", "wavlm", [-2, -1]), ("bert", "text", "bert", [-1]), ("encoder", "whisper", "hearing", [-1])
    ):  # fmt: skip
        # bf16, so that nothing but equal computation gives equal answers
        options = {"batch_size": 4, "compute": {"precision": "bf16"}}
        store = {"backbone": {"kind": kind, "model": f"models/{model}"}, "layers": {"take": layers}, **options}
        steps.append(("extract_features.py", {"name": name, "paths": recordings | {"features": "features"}} | store))
    paths = {"labels": "labels.csv", "features": "features", "runs": "runs"}
    for name, features in {"speech-text": ["wavlm", "bert"], "whisper": ["encoder"]}.items():
        training = {"max_epochs": 10, "stage1_epochs": 8, "learning_rate": 1e-2, "stage2_learning_rate": 1e-2}
        sizes = {"hidden_dim": 16, "feedforward_dim": 16, "standardize": True}
        member = {"name": name, "features": features, "model": sizes, "training": training, "paths": paths}
        steps += [("train_deepser.py", member), ("eval_deepser.py", member)]
    for name, members in {"both": ["speech-text", "whisper"], "alone": ["whisper"]}.items():
        votes: dict[str, Any] = {"seeds": [1, 2], "start": "vote", "training": {"max_epochs": 8, "learning_rate": 3e-2}}
        ensemble = votes | {"name": name, "members": members, "paths": paths}
        steps += [("train_metacls.py", ensemble), ("eval_metacls.py", ensemble)]
    return steps
