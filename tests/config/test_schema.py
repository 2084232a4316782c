"""What configs may say, at the edges; and where runs go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from medusa.config.schema import (
    Asr,
    Backbone,
    Compute,
    DeepSERConfig,
    ExtractConfig,
    Guards,
    Layers,
    MetaConfig,
    MetaTraining,
    MixUp,
    Model,
    RunPaths,
    Section,
    Training,
    TranscribeConfig,
)


@pytest.mark.parametrize(
    ("section", "good", "bad"),
    [
        (Training, {"learning_rate": 1.0}, {"learning_rate": 1.0000001}),
        (Training, {"learning_rate": 1e-12}, {"learning_rate": 0.0}),
        (Training, {"stage1_epochs": 0}, {"stage1_epochs": -1}),
        (Training, {"batch_size": 4, "accumulation_steps": 4}, {"batch_size": 4, "accumulation_steps": 5}),
        (Training, {"weight_decay": 0}, {"weight_decay": -1e-9}),
        (MixUp, {"probability": 1}, {"probability": 1.1}),
        (MixUp, {"probability": 0}, {"probability": -0.1}),
        (Model, {"dropout": 0}, {"dropout": 1}),
        (Model, {"hidden_dim": 12, "num_heads": 4}, {"hidden_dim": 12, "num_heads": 5}),
        (Compute, {"device": "cuda:12"}, {"device": "cuda:"}),
        (Compute, {"device": "cpu"}, {"device": "cpu:0"}),
        (MetaTraining, {"inner_folds": 2}, {"inner_folds": 1}),
        (Layers, {"take": [0]}, {"take": []}),
        (Backbone, {"kind": "text", "model": "roberta-large"}, {"kind": "text"}),
        (Backbone, {"kind": "logmel"}, {"kind": "logmel", "model": "x"}),
        (
            Backbone,
            {"kind": "text", "model": "a/b", "revision": "a1" * 20},
            {"kind": "text", "model": "a/b", "revision": ""},
        ),
        (Backbone, {"kind": "text", "model": "a/b", "revision": "refs/pr/3"}, {"kind": "logmel", "revision": "a b"}),
        (Asr, {"model": "a/b", "engine": "faster-whisper"}, {"model": "a/b", "engine": "whisper"}),
        (Asr, {"model": "a/b", "revision": "v1.0"}, {"model": "a/b", "revision": "-x"}),
        (Asr, {"model": "a/b", "beam_size": 1}, {"model": "a/b", "beam_size": 0}),
        (Guards, {"no_speech": 1, "log_probability": 0}, {"no_speech": 1, "log_probability": 0.1}),
        (Guards, {"no_speech": 0.0}, {"no_speech": 1.1}),
        (Guards, {"log_probability": None}, {"log_probability": -1.0}),
        (Guards, {"compression_ratio": 1e-9}, {"compression_ratio": 0.0}),
        (ExtractConfig, {"name": "a", "backbone": Backbone(kind="logmel")}, {"name": "a"}),
        (DeepSERConfig, {"seed": 2**31 - 1}, {"seed": 2**31}),
        (DeepSERConfig, {"name": "A.b-c_1"}, {"name": ".b"}),
        (MetaConfig, {"members": ["a"]}, {"members": []}),
        (MetaConfig, {"seeds": [0]}, {"seeds": [-1]}),
        (MetaConfig, {"seeds": [1, 2]}, {"seeds": [1, 2, 1]}),
    ],
)
def test_the_edges_of_what_is_allowed(section: type[Section], good: dict[str, Any], bad: dict[str, Any]) -> None:
    made = section(**good)
    assert {key: getattr(made, key) for key in good} == good
    with pytest.raises(ValidationError):
        section(**bad)


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "a\\b", "/x", "", " x", "x\n", "~", "a b", "-x", "é"])
def test_names_that_would_not_be_a_folder_of_their_own(name: str) -> None:
    for key in ("name", "variant"):
        with pytest.raises(ValidationError):
            DeepSERConfig.model_validate({key: name})


def test_run_directories() -> None:
    paths = RunPaths(runs=Path("there"))
    assert DeepSERConfig(name="08", paths=paths).run_directory == Path("there/members/08")
    assert DeepSERConfig(name="08", variant="one_hot", paths=paths).run_directory == Path("there/members/08-one_hot")
    assert MetaConfig(name="top5", paths=paths).run_directory == Path("there/ensembles/top5")
    assert MetaConfig(name="top5", variant="dev", paths=paths).run_directory == Path("there/ensembles/top5-dev")


def test_a_config_does_not_change_once_read() -> None:
    config = DeepSERConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.training.patience = 3


@pytest.mark.parametrize("kind", [DeepSERConfig, ExtractConfig, MetaConfig, TranscribeConfig])
def test_every_section_is_closed_and_strict(kind: type[Section]) -> None:
    """A section that forgot to inherit would accept anything in silence."""
    waiting, seen = [kind], set()
    while waiting:
        section = waiting.pop()
        seen.add(section.__name__)
        assert section.model_config["extra"] == "forbid"
        assert section.model_config["strict"]
        assert not section.model_config["allow_inf_nan"]
        annotations = [field.annotation for field in section.model_fields.values()]
        waiting += [one for one in annotations if isinstance(one, type) and issubclass(one, Section)]
    assert {"Compute", kind.__name__} < seen
