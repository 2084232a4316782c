"""Bundles changed at random by somebody who knows their checksums raise nothing but UserError."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medusa.app.model import Medusa
from medusa.errors import UserError
from medusa.files import sha256
from tests.app.conftest import Trained, clip_name

EXAMPLES = int(os.environ.get("MEDUSA_HOSTILE_EXAMPLES", "60"))
NESTED = json.loads("[" * 200 + "]" * 200)
VALUES: list[Any] = [
    None, True, -1, 0, 1, 3, 10**6, 2**31, 10**30, 0.5, -1e308, float("nan"), "", "..", "../../elsewhere",
    "/elsewhere/file", "=1+1", "a\0b", "\ud800", "Transcript", [], ["Angry", "Angry"], [[]], {}, {"a": 1}, NESTED,
]  # fmt: skip

A, B = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
UNKNOWN_TOKEN = {
    "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "nowhere", "type_id": 0}}, A], "pair": [A, B],
    "special_tokens": {},
}  # fmt: skip
"""The Rust below tokenizers panics when it is used, not when it is read."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each value of a JSON document."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [path] * bool(path) + [place for key in keys for place in places(value[key], (*path, key))]


def changed(value: Any, place: tuple[Any, ...], new: Any, delete: bool) -> Any:
    value = copy.deepcopy(value)
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    if delete:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return value


def judged(bundle: Path, clip: Path) -> str:
    """What predicting with the bundle ends in: an emotion, or the message of an error meant for the user."""
    try:
        return str(Medusa.from_pretrained(bundle).predict([clip])["Emotion"][0])
    except UserError as error:
        return str(error)


@pytest.fixture(scope="module")
def own(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(bundle, tmp_path_factory.mktemp("hostile") / "bundle"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draws=st.data())
def test_only_user_errors_come_of_a_changed_bundle(
    own: Path, bundle: Path, trained: Trained, draws: st.DataObject
) -> None:
    description = json.loads((bundle / "bundle.json").read_text())
    documents = ["bundle.json"] * 6 + [name for name in sorted(description["files"]) if name.endswith(".json")]
    name = draws.draw(st.sampled_from(documents))
    document = json.loads((bundle / name).read_text())
    place = draws.draw(st.sampled_from(places(document)))
    mutant = changed(document, place, draws.draw(st.sampled_from(VALUES)), draws.draw(st.booleans()))
    try:
        (own / name).write_text(json.dumps(mutant))
        if name != "bundle.json":
            description["files"][name] = sha256(own / name)
            (own / "bundle.json").write_text(json.dumps(description))
        said = judged(own, trained.audio / clip_name(3))
        assert said
        assert "\n" not in said
    finally:
        for file in {name, "bundle.json"}:
            shutil.copyfile(bundle / file, own / file)


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("wavlm/config.json", {"num_hidden_layers": 10**6}, "num_hidden_layers: no model is that large"),
        ("wavlm/config.json", {"hidden_size": 10**9}, "hidden_size: no model is that large"),
        ("bert/config.json", {"vocab_size": 10**9}, "vocab_size: no model is that large"),
        ("hearing/config.json", {"decoder_layers": 10**6}, "decoder_layers: no model is that large"),
        ("hearing/preprocessor_config.json", {"chunk_length": 10**6}, "a window of 16000000000 samples"),
        ("hearing/preprocessor_config.json", {"padding_side": None}, r"hearing: loaded, but .* \(ValueError"),
        ("bert/tokenizer_config.json", {"bos_token": "=1+1"}, "its tokenizer has a token 20, its weights 20"),
        ("hearing/preprocessor_config.json", {"feature_size": 10**6}, "feature_size: no model is that large"),
        ("bert/tokenizer.json", {"post_processor": UNKNOWN_TOKEN}, r"bert: loaded, but .* \(PanicException"),
    ],
)
def test_what_takes_all_memory_or_does_not_compute_is_refused_on_loading(
    own: Path, bundle: Path, file: str, changes: dict[str, Any], said: str
) -> None:
    description, name = json.loads((bundle / "bundle.json").read_text()), f"backbones/{file}"
    try:
        (own / name).write_text(json.dumps(json.loads((bundle / name).read_text()) | changes))
        description["files"][name] = sha256(own / name)
        (own / "bundle.json").write_text(json.dumps(description))
        with pytest.raises(UserError, match=said):
            Medusa.from_pretrained(own)
    finally:
        for held in (name, "bundle.json"):
            shutil.copyfile(bundle / held, own / held)


def test_decoding_ends_whatever_the_token_ids_are(own: Path, bundle: Path, trained: Trained) -> None:
    """Taken for a time stamp, every token would be followed by another attempt at the same window."""
    description, name = json.loads((bundle / "bundle.json").read_text()), "backbones/hearing/generation_config.json"
    try:
        (own / name).write_text(json.dumps(json.loads((bundle / name).read_text()) | {"no_timestamps_token_id": 2}))
        description["files"][name] = sha256(own / name)
        (own / "bundle.json").write_text(json.dumps(description))
        assert judged(own, trained.audio / clip_name(3))
    finally:
        for held in (name, "bundle.json"):
            shutil.copyfile(bundle / held, own / held)
