"""Merging, YAML 1.2 and the one-line messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medusa.config.load import dump_config, load_config
from medusa.config.schema import DeepSERConfig, ExtractConfig, MetaConfig, Section
from medusa.errors import UserError


def write(folder: Path, **files: str) -> list[Path]:
    """One YAML file per keyword, `_` standing for `/`."""
    paths = [folder / f"{name.replace('_', '/')}.yaml" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return paths


def load(folder: Path, text: str, *overrides: str) -> DeepSERConfig:
    return load_config(DeepSERConfig, write(folder, c=text), overrides)


def message(folder: Path, kind: type[Section], text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as error:
        load_config(kind, write(folder, c=text), overrides)
    return str(error.value).replace(f"{folder}/", "")


# --- merging ----------------------------------------------------------------------------------------


def test_later_layers_win_key_by_key(tmp_path: Path) -> None:
    """seed, hidden_dim, dropout, batch_size, patience: each set last by another layer."""
    *_, file, first, second = write(
        tmp_path,
        base="seed: 1\nmodel: {hidden_dim: 1, dropout: 0.1}\ntraining: {batch_size: 1, patience: 1}\nfeatures: [a, b]",
        sub_middle="base: ../base.yaml\nmodel: {hidden_dim: 2, dropout: 0.2}\ntraining: {batch_size: 2, patience: 2}",
        sub_file="base: middle.yaml\nmodel: {dropout: 0.3}\ntraining: {batch_size: 3, patience: 3}\nfeatures: [c]",
        overlay1="training: {batch_size: 4, patience: 4}",
        overlay2="training: {patience: 5}",
    )
    config = load_config(DeepSERConfig, [file, first, second])
    assert (config.seed, config.model.hidden_dim, config.model.dropout) == (1, 2, 0.3)
    assert (config.training.batch_size, config.training.patience) == (4, 5)
    assert config.features == ["c"]  # lists are replaced, not joined
    config = load_config(DeepSERConfig, [file, second, first], ["training.patience=6", "training.patience=7"])
    assert config.training.patience == 7
    assert load_config(DeepSERConfig, [file, second, first]).training.patience == 4


def test_an_overlay_brings_its_own_base(tmp_path: Path) -> None:
    write(tmp_path, base="seed: 1\nname: one")
    file, overlay = write(tmp_path, file="seed: 2\nname: two", overlay="base: base.yaml\nname: three")
    config = load_config(DeepSERConfig, [file, overlay])
    assert (config.seed, config.name) == (1, "three")


def test_each_kind_takes_its_own_part_of_a_shared_overlay(tmp_path: Path) -> None:
    file, overlay = write(
        tmp_path,
        file="name: x",
        overlay="deepser:\n  training: {batch_size: 32}\nmetacls:\n  hidden_dims: [64]\nextract:",
    )
    assert load_config(DeepSERConfig, [file, overlay]).training.batch_size == 32
    meta = load_config(MetaConfig, [file, overlay])
    assert (meta.hidden_dims, meta.training.batch_size) == ([64], 128)
    extract = load_config(ExtractConfig, [file, overlay], ["backbone.kind=logmel"])
    assert extract.batch_size == 8


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == DeepSERConfig()
    assert load(tmp_path, "\ufeff# only a comment, behind a byte-order mark\n") == DeepSERConfig()


# --- YAML 1.2 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-5", 1e-5), ("1E-5", 1e-5), (".5", 0.5), ("1.", 1.0), ("+1e-1", 0.1), ("1", 1), ("010e-1", 1.0)],
)
def test_numbers_are_numbers(tmp_path: Path, text: str, value: float) -> None:
    assert load(tmp_path, f"training: {{learning_rate: {text}}}").training.learning_rate == value
    assert load(tmp_path, "", f"training.learning_rate={text}").training.learning_rate == value


def test_a_leading_zero_is_not_octal(tmp_path: Path) -> None:
    assert load(tmp_path, "seed: 010").seed == 10
    assert load(tmp_path, "seed: 08").seed == 8


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "True", "Null", "2001-12-14", "1_000", "0x1F", "0o17"])
def test_words_of_yaml_1_1_are_text(tmp_path: Path, word: str) -> None:
    assert load(tmp_path, f"name: {word}").name == word


def test_a_time_is_text(tmp_path: Path) -> None:
    assert load(tmp_path, "paths: {labels: 12:30}").paths.labels == Path("12:30")


@pytest.mark.parametrize("word", ["null", "~", ""])
def test_null(tmp_path: Path, word: str) -> None:
    assert load(tmp_path, f"variant: {word}").variant is None


# --- messages ---------------------------------------------------------------------------------------

INTEGER, NUMBER = "input should be a valid integer", "input should be a valid number"
FINITE, BOOLEAN = "input should be a finite number", "input should be a valid boolean"
TEXT, BELOW = "input should be a valid string", "expected `key: value` lines below it"
AT_LEAST_1 = "input should be greater than or equal to 1"


@pytest.mark.parametrize(
    ("text", "key", "value", "allowed"),
    [
        # nothing is converted
        ("training: {learning_rate: true}", "training.learning_rate", "True", NUMBER),
        ("training: {stage2: yes}", "training.stage2", "'yes'", BOOLEAN),
        ("training: {stage2: 1}", "training.stage2", "1", BOOLEAN),
        ('training: {batch_size: "16"}', "training.batch_size", "'16'", INTEGER),
        ("training: {batch_size: 16.0}", "training.batch_size", "16.0", INTEGER),
        ("training: {batch_size: true}", "training.batch_size", "True", INTEGER),
        ("training: {learning_rate: .nan}", "training.learning_rate", "nan", FINITE),
        ("mixup: {alpha: -.inf}", "mixup.alpha", "-inf", FINITE),
        ("mixup: {alpha: 1e999}", "mixup.alpha", "inf", FINITE),
        ("name: 08", "name", "8", f"{TEXT}; quote it"),
        ("features: [speech, 2]", "features.1", "2", f"{TEXT}; quote it"),
        ("features: [speech, [2]]", "features.1", "[2]", TEXT),
        ("features: speech", "features", "'speech'", "input should be a valid list"),
        ("training:", "training", "None", BELOW),
        ("model: []", "model", "[]", BELOW),
        ("paths: {labels: 5}", "paths.labels", "5", "expected the path of a file or folder"),
        # ranges
        ("training: {batch_size: 0}", "training.batch_size", "0", AT_LEAST_1),
        ("mixup: {probability: 1.5}", "mixup.probability", "1.5", "input should be less than or equal to 1"),
        ("mixup: {alpha: 0}", "mixup.alpha", "0", "input should be greater than 0"),
        ("features: []", "features", "[]", "list should have at least 1 item after validation, not 0"),
        ("targets: 1", "targets", "1", "input should be 'soft', 'soft_consensus', 'one_hot' or 'argmax'"),
        ("name: ../x", "name", "'../x'", "string should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]*$'"),
        # keys that must agree
        ("model: {hidden_dim: 10, num_heads: 3}", "model.num_heads", "3", "must divide hidden_dim (10)"),
        ("training: {accumulation_steps: 17}", "training.accumulation_steps", "17", "at most batch_size (16)"),
    ],
)
def test_values_that_are_not_allowed(tmp_path: Path, text: str, key: str, value: str, allowed: str) -> None:
    expected = f"c.yaml: {key}: {value} is not allowed here: {allowed}"
    assert message(tmp_path, DeepSERConfig, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sead: 1", "c.yaml: sead: unknown key; did you mean 'seed'?"),
        ("training: {bach_size: 1}", "c.yaml: training.bach_size: unknown key; did you mean 'batch_size'?"),
        ("mixup: {p: 1}", "c.yaml: mixup.p: unknown key; allowed: probability, alpha"),
        ("seed: 1\nseed: 2", "c.yaml, line 2: not valid YAML: key 'seed' stands twice"),
        ("model: {dropout: 0, dropout: 0}", "c.yaml, line 1: not valid YAML: key 'dropout' stands twice"),
        ("seed: 1\n1: 2", "c.yaml, line 2: not valid YAML: key 1 is not text"),
        ("seed: [1, 2", "c.yaml, line 1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ('base: "a\\0b"', "c.yaml, line 1: not valid YAML: 'a\\x00b' holds a character not allowed in text"),
        ("- 1", "c.yaml: expected `key: value` lines, found list"),
        ("seed", "c.yaml: expected `key: value` lines, found str"),
        ("deepser: 5", "c.yaml: deepser: expected `key: value` lines below it"),
        ("base: c.yaml", "c.yaml: base: leads back to this file; a config cannot be its own base"),
        ("base: [a.yaml]", "c.yaml: base: ['a.yaml'] is not a path to a YAML file"),
        ("base: d.yaml", "d.yaml: no such config file; check the path"),
    ],
)
def test_keys_and_files_that_are_not_allowed(tmp_path: Path, text: str, expected: str) -> None:
    assert message(tmp_path, DeepSERConfig, text) == expected


def test_a_tag_runs_no_code(tmp_path: Path) -> None:
    text = f"seed: !!python/object/apply:os.mkdir [{tmp_path}/made]"
    assert "could not determine a constructor for the tag" in message(tmp_path, DeepSERConfig, text)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (ExtractConfig, "name: x", "backbone: missing; add this key"),
        (
            ExtractConfig,
            "name: x\nbackbone: {kind: logmel, model: y}",
            "backbone.model: 'y' is not allowed here: names",
        ),
        (ExtractConfig, "name: x\nbackbone: {kind: text}", "backbone.model: 'the default' is not allowed here: names"),
        (MetaConfig, "members: [a, a]", "members: ['a', 'a'] is not allowed here: each may stand there once"),
        (MetaConfig, "seeds: [1, 1]", "seeds: [1, 1] is not allowed here: each may stand there once"),
        (MetaConfig, "features: [x]", "features: unknown key; "),
    ],
)
def test_the_other_kinds(tmp_path: Path, kind: type[Section], text: str, expected: str) -> None:
    assert message(tmp_path, kind, text).startswith(f"c.yaml: {expected}")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("training.patience", "'training.patience': expected key=value, for example training.batch_size=8"),
        ("=8", "'=8': expected key=value, for example training.batch_size=8"),
        ("training..patience=8", "'training..patience=8': expected key=value, for example training.batch_size=8"),
        ("seed=[", "seed=[, line 1: not valid YAML: expected the node content, but found '<stream end>'"),
        ("seed=", "seed=: seed: None is not allowed here: input should be a valid integer"),
        ("seed.x=1", "seed.x=1: seed: {'x': 1} is not allowed here: input should be a valid integer"),
        ("mixup.alpha=0", "mixup.alpha=0: mixup.alpha: 0 is not allowed here: input should be greater than 0"),
    ],
)
def test_messages_of_overrides(tmp_path: Path, word: str, expected: str) -> None:
    assert message(tmp_path, DeepSERConfig, "", word) == expected


def test_the_message_names_the_file_that_set_the_wrong_value(tmp_path: Path) -> None:
    base, file, overlay = write(
        tmp_path, base="training: {patience: 0}\nseed: 1", file="base: base.yaml\nseed: -1", overlay="mixup: {alpha: 0}"
    )

    def culprit(files: list[Path], *overrides: str) -> str:
        with pytest.raises(UserError) as error:
            load_config(DeepSERConfig, files, overrides)
        return str(error.value).split(":")[0]

    assert culprit([file, overlay], "training.patience=1", "mixup.alpha=1") == str(file)
    assert culprit([file, overlay], "seed=1", "mixup.alpha=1") == str(base)
    assert culprit([file, overlay], "seed=1", "training.patience=1") == str(overlay)
    assert culprit([file], "seed=-1", "training.patience=1") == "seed=-1"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def problem(path: Path) -> str:
        with pytest.raises(UserError) as error:
            load_config(DeepSERConfig, [path])
        return str(error.value)

    assert problem(tmp_path / "none.yaml") == f"{tmp_path / 'none.yaml'}: no such config file; check the path"
    (tmp_path / "latin1.yaml").write_bytes("name: é".encode("latin-1"))
    assert problem(tmp_path / "latin1.yaml") == f"{tmp_path / 'latin1.yaml'}: not UTF-8 text (byte 6); save it as UTF-8"
    assert problem(tmp_path) == f"{tmp_path}: Is a directory; give a YAML file, such as those in configs/"
    one, _ = write(tmp_path, one="base: two.yaml", two="base: one.yaml")
    assert problem(one) == f"{one}: base: leads back to this file; a config cannot be its own base"


# --- round trip and fuzz ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["08", "1e5", "null", "true", "yes", "12.5", "1_000", "2001-12-14", "x.y-z"])
def test_dump_reads_back_to_an_equal_config(tmp_path: Path, name: str) -> None:
    changed = DeepSERConfig(name=name, variant=name, features=[name, "b"], targets="argmax")
    changed = changed.model_copy(update={"training": changed.training.model_copy(update={"learning_rate": 1e-07})})
    for config in (changed, MetaConfig(name=name, members=[name, "a b.csv"], hidden_dims=[3])):
        path = tmp_path / "dumped.yaml"
        path.write_text(dump_config(config), encoding="utf-8")
        assert load_config(type(config), [path]) == config


ODD = ["1", "1e-5", "9" * 5000, "[1, 2", "{a: {}}", "&a [*a]", "*b", "'", "|", ".nan", "? ", "<<", "..", "- ", "c.yaml"]
ODD += ["!!bool 3", "!!int x", "!!timestamp x", "!!binary é", "!!set {a}", '"\\0"', '"\\ud800"', "[" * 400 + "]" * 400]
SCALARS = st.text(max_size=12) | st.sampled_from(ODD)
KEYS = st.one_of(
    st.sampled_from(["base", "deepser", "extract", "<<", "model", "paths", "  labels", "  hidden_dim", "seed", "name"]),
    st.text(max_size=5),
)
LINES = st.lists(st.builds("{}: {}".format, KEYS, SCALARS), max_size=4).map("\n".join)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=LINES | st.text(max_size=30) | st.binary(max_size=20), word=SCALARS | st.builds("{}={}".format, KEYS, SCALARS)
)
def test_whatever_is_written_there_only_user_errors_come_out(tmp_path: Path, text: str | bytes, word: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    messages = []
    for kind in (DeepSERConfig, ExtractConfig, MetaConfig):
        for overrides in ([], [word]):
            try:
                load_config(kind, [file], overrides)
            except UserError as error:
                messages.append(str(error))
    assert not any("\n" in text for text in messages)
