"""Every YAML under configs/ is what it says: the paper's values, Table 1, Table 2, the authors' published config."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig, ExtractConfig, MetaConfig, PipelineConfig, Section, TranscribeConfig

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
OVERLAYS = [
    file
    for file in FILES
    if file.parent.name in ("ablations", "stacking", "study", "folds") or file == CONFIGS / "as_released.yaml"
]
CONFIG_FILES = [file for file in FILES if file not in OVERLAYS]

TABLE_1 = {
    "01": ["HuBERT", "RoBERTa"],
    "02": ["WavLM", "HuBERT", "RoBERTa"],
    "03": ["WavLM", "Whisper", "HuBERT"],
    "04": ["WavLM", "ModernBERT"],
    "05": ["WavLM", "RoBERTa"],
    "06": ["WavLM", "RoBERTa"],
    "07": ["WavLM", "RoBERTa"],
    "08": ["WavLM", "RoBERTa"],
    "09": ["Whisper", "ModernBERT"],
    "10": ["Whisper", "ModernBERT"],
    "11": ["Whisper", "RoBERTa"],
    "12": ["Whisper", "RoBERTa"],
    "13": ["Whisper", "WavLM"],
    "14": ["Whisper", "WavLM", "ModernBERT"],
}
STORES = {
    "HuBERT": "hubert-large",
    "WavLM": "wavlm-large",
    "Whisper": "whisper-large-v3",
    "RoBERTa": "roberta-large",
    "ModernBERT": "modernbert-large",
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "one_hot": {"targets": "one_hot"},
    "soft_consensus": {"targets": "soft_consensus"},
    "late_fusion": {"model.fusion": "late"},
    "no_mixup": {"mixup.probability": 0},
    "no_mixup_hard": {"mixup.probability": 0, "targets": "argmax"},
    "no_multitask": {"loss.attributes": 0},
    "no_stage2": {"training.stage2": False},
}


def kind_of(file: Path) -> type[Section]:
    """By folder, or by the name of the script that reads it."""
    kinds: dict[str, type[Section]] = {
        "whisper-asr": TranscribeConfig,
        "features": ExtractConfig,
        "members": DeepSERConfig,
        "member": DeepSERConfig,
        "deepser": DeepSERConfig,
        "ensembles": MetaConfig,
        "metacls": MetaConfig,
        "pipelines": PipelineConfig,
    }
    return kinds[file.stem] if file.stem in kinds else kinds[file.parent.name]


def leaves(section: BaseModel, above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything below."""
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield above + key, value


def named(file: Path) -> str:
    return file.relative_to(CONFIGS).as_posix()


@pytest.mark.parametrize("file", CONFIG_FILES, ids=named)
def test_every_config_loads(file: Path) -> None:
    assert isinstance(load_config(kind_of(file), [file]), kind_of(file))


@pytest.mark.parametrize(("name", "kind"), [("deepser.yaml", DeepSERConfig), ("metacls.yaml", MetaConfig)])
class TestFullListings:
    def test_values_are_the_defaults_of_the_code(self, name: str, kind: type[Section]) -> None:
        assert load_config(kind, [CONFIGS / name]) == kind()

    def test_no_key_is_missing_and_each_has_its_comment(self, name: str, kind: type[Section]) -> None:
        lines = (CONFIGS / name).read_text(encoding="utf-8").splitlines()
        listed: list[str] = []
        section = ""
        for line in filter(None, lines):
            content, _, comment = line.partition("#")
            if not content:
                continue
            key, _, value = content.strip().partition(":")
            section = section if content.startswith(" ") else ""
            if value.strip():
                assert comment.strip(), f"{name}: {key}: has no comment"
                listed.append(f"{section}{key}")
            else:
                section = f"{key}."
        assert listed == [key for key, _ in leaves(kind())]


def test_the_papers_numbers_stand_in_the_files() -> None:
    """Section 4, typed from the paper."""
    member = dict(leaves(load_config(DeepSERConfig, [CONFIGS / "deepser.yaml"])))
    ensemble = dict(leaves(load_config(MetaConfig, [CONFIGS / "metacls.yaml"])))
    paper = {
        "training.batch_size": 16,
        "training.learning_rate": 1e-5,
        "training.stage2_learning_rate": 1e-5,
        "mixup.probability": 0.3,
        "model.num_layers": 2,
        "model.hidden_dim": 1024,
        "loss.emotion": 1.5,
        "loss.attributes": 0.4,
        "loss.class_weight_exponent": 0.5,
    }
    assert {key: member[key] for key in paper} == paper
    assert (ensemble["training.batch_size"], ensemble["training.learning_rate"]) == (128, 1e-3)
    assert ensemble["members"] == list(TABLE_1)
    assert len(ensemble["seeds"]) == 6


def test_members_are_those_of_table_1() -> None:
    assert [file.stem for file in sorted((CONFIGS / "members").glob("*.yaml"))] == list(TABLE_1)


@pytest.mark.parametrize("number", TABLE_1)
def test_member_is_table_1s_row_and_nothing_else(number: str) -> None:
    file = CONFIGS / "members" / f"{number}.yaml"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == {
        "base": "../deepser.yaml",
        "name": number,
        "features": [STORES[backbone] for backbone in TABLE_1[number]],
        "seed": int(number),
    }


def test_each_backbone_of_table_1_has_a_config_that_makes_its_store() -> None:
    for store in STORES.values():
        assert load_config(ExtractConfig, [CONFIGS / "features" / f"{store}.yaml"]).name == store


def test_ablations_are_those_listed_here() -> None:
    assert {file.stem for file in (CONFIGS / "ablations").glob("*.yaml")} == set(ABLATIONS)


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablation_changes_its_one_thing_and_the_run_folder(name: str) -> None:
    member = CONFIGS / "members/08.yaml"
    full = dict(leaves(load_config(DeepSERConfig, [member])))
    ablated = load_config(DeepSERConfig, [member, CONFIGS / "ablations" / f"{name}.yaml"])
    changed = {key: value for key, value in leaves(ablated) if value != full[key]}
    assert changed == {"variant": name, **ABLATIONS[name]}
    assert ablated.run_directory == Path("runs/paper/members") / f"08-{name}"


def test_as_released_changes_what_the_authors_config_says_otherwise() -> None:
    """The row of docs/decisions.md, for each kind of config."""
    changed = {}
    for name in ("features/whisper-large-v3", "members/08", "metacls"):
        file = CONFIGS / f"{name}.yaml"
        kind = kind_of(file)
        full = dict(leaves(load_config(kind, [file])))
        released = leaves(load_config(kind, [file, CONFIGS / "as_released.yaml"]))
        changed[name] = {key: value for key, value in released if value != full[key]}
    assert changed == {
        "features/whisper-large-v3": {"trim": False},
        "members/08": {
            "variant": "as_released",
            "model.hidden_dim": 512,
            "training.batch_size": 32,
            "training.accumulation_steps": 2,
            "training.stage2_learning_rate": 1e-6,
        },
        "metacls": {"variant": "as_released", "hidden_dims": [64], "training.learning_rate": 1e-5},
    }


@pytest.mark.parametrize("fold", range(5))
def test_a_ravdess_fold_has_its_own_labels_and_runs(fold: int) -> None:
    overlay = CONFIGS / "ravdess/folds" / f"{fold}.yaml"
    for name, kind in (("members/all", DeepSERConfig), ("metacls", MetaConfig)):
        paths = load_config(kind, [CONFIGS / f"ravdess/{name}.yaml", overlay]).paths  # type: ignore[attr-defined]
        assert (paths.labels, paths.runs) == (
            Path(f"data/ravdess/fold{fold}/labels.csv"),
            Path(f"runs/ravdess/fold{fold}"),
        )


def test_overlays_apply_left_to_right_then_words() -> None:
    files = [CONFIGS / "members/08.yaml", CONFIGS / "as_released.yaml", CONFIGS / "ablations/one_hot.yaml"]
    config = load_config(DeepSERConfig, files, ["training.batch_size=8", "training.accumulation_steps=1"])
    assert (config.variant, config.model.hidden_dim, config.targets) == ("one_hot", 512, "one_hot")
    assert (config.training.batch_size, config.training.stage2_learning_rate) == (8, 1e-6)


@pytest.mark.parametrize("file", [file for file in CONFIG_FILES if kind_of(file) in (ExtractConfig, TranscribeConfig)])
def test_what_comes_from_a_hub_is_pinned_to_a_commit(file: Path) -> None:
    """But for the two models of whose commits with safetensors nothing certain is known: docs/decisions.md."""
    config: Any = load_config(kind_of(file), [file])
    source = config.asr if isinstance(config, TranscribeConfig) else config.backbone
    from_hub = source.model is not None and not source.model.startswith("models/")
    pinned = from_hub and source.model not in ("microsoft/wavlm-large", "facebook/hubert-large-ls960-ft")
    assert bool(re.fullmatch("[0-9a-f]{40}", source.revision or "")) == pinned
