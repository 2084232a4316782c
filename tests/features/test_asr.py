"""Transcription by a tiny Whisper with random weights and windows of one second."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
import scipy.special
import torch
import transformers
import yaml

from medusa.config.schema import ExtractConfig, TranscribeConfig
from medusa.errors import PartlyDone, UserError
from medusa.features.asr import transcribe
from medusa.features.extract import extract
from medusa.features.guards import Heard
from medusa.features.recognizer import Transcript
from medusa.features.store import FeatureStore
from medusa.features.whisper_transformers import TransformersRecognizer
from medusa.files import inert, lock, read_csv, read_json
from tests.features.tiny_whisper import END, GENERATION, NO_TIMESTAMPS, START, WORDS, write_whisper

hf: Any = transformers  # its constructors are partly untyped

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
NAMES = ["b/two.wav", "a/one.wav", "=c.wav", "d.wav", "e.wav"]

Checkpoint = Callable[[str], Path]


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("asr")
    write_whisper(path)
    return path


def sound(name: str) -> np.ndarray:
    """Noise under a slow wave, 0.1 to 0.6 s."""
    number = NAMES.index(name)
    noise = np.random.default_rng(number).normal(0, 0.03 * (number + 1), 2_000 + 2_000 * number)
    return np.asarray(noise * np.sin(0.05 * (number + 1) * np.arange(len(noise))), np.float32)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.wavfile.write(path, 16_000, sound(name))
    write_labels(tmp_path / "labels.csv", NAMES)
    return tmp_path


def write_labels(path: Path, names: Sequence[str]) -> None:
    path.write_text("\n".join(["FileName,Happy,Sad,Partition", *[f"{name},1,0,train" for name in names]]) + "\n")


def config(corpus: Path, model: Path, out: str = "transcripts.csv", **changes: Any) -> TranscribeConfig:
    asr = {"model": str(model), "max_new_tokens": 12} | changes.pop("asr", {})
    paths = {"labels": corpus / "labels.csv", "audio": corpus / "audio", "transcripts": corpus / out}
    values = {"name": "tiny-asr", "asr": asr, "shard_size": 2, "batch_size": 2, "paths": paths}
    return TranscribeConfig.model_validate(values | changes)


def slowly(model_path: Path, samples: np.ndarray) -> str:
    """One clip, one window, token by token without a cache."""
    model = hf.WhisperForConditionalGeneration.from_pretrained(model_path).eval()
    spectrogram = hf.WhisperFeatureExtractor.from_pretrained(model_path)
    features = spectrogram(samples, sampling_rate=16_000, return_tensors="pt").input_features
    tokens = [START, NO_TIMESTAMPS]
    with torch.no_grad():
        for _ in range(12):
            logits = model(input_features=features, decoder_input_ids=torch.tensor([tokens]), use_cache=False).logits
            tokens.append(int(logits[0, -1].argmax()))
            if tokens[-1] == END:
                break
    return " ".join(WORDS[token] for token in tokens if token < END)


def test_transcripts_are_the_likeliest_tokens_of_each_clip(corpus: Path, whisper: Path) -> None:
    path = transcribe(config(corpus, whisper))
    assert path == corpus / "transcripts.csv"
    table = read_csv(path)
    assert list(table.columns) == ["FileName", "Transcript"]
    assert list(table["FileName"]) == ["=c.wav", "a/one.wav", "b/two.wav", "d.wav", "e.wav"]
    expected = [slowly(whisper, sound(name)) for name in table["FileName"]]
    assert list(table["Transcript"]) == expected
    assert len(set(expected)) > 2
    assert len({len(text) for text in expected}) > 2
    made_by = json.loads((corpus / "transcripts.parts/provenance.json").read_text(encoding="utf-8"))
    labels = hashlib.sha256((corpus / "labels.csv").read_bytes()).hexdigest()
    assert [one["sha256"] for one in made_by["inputs"]] == [labels]


@pytest.mark.parametrize("batch_size", [1, 3, 5])
def test_the_text_does_not_depend_on_the_batch(whisper: Path, corpus: Path, batch_size: int) -> None:
    clips = [*map(sound, NAMES), np.zeros(8_000, np.float32), np.zeros(1, np.float32)]
    alone = [TransformersRecognizer(config(corpus, whisper), CPU).transcribe([clip])[0] for clip in clips]
    assert TransformersRecognizer(config(corpus, whisper, batch_size=batch_size), CPU).transcribe(clips) == alone


def test_a_long_clip_is_the_texts_of_its_equal_windows(whisper: Path, corpus: Path) -> None:
    recognizer = TransformersRecognizer(config(corpus, whisper), CPU)
    parts = [np.tile(sound(name), 8)[:12_000] for name in NAMES[:3]]  # 2.25 s: three windows of 0.75 s
    texts = recognizer.transcribe(parts)
    (whole,) = recognizer.transcribe([np.concatenate(parts)])
    assert whole.text == " ".join(made.text for made in texts if made.text)
    assert len({made.text for made in texts}) > 1


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_stopped_run_continues_to_the_same_bytes(
    corpus: Path, whisper: Path, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    whole = transcribe(config(corpus, whisper, "whole.csv"))
    compute, calls = TransformersRecognizer.transcribe, iter(range(100))

    def stop_after(self: TransformersRecognizer, clips: Sequence[np.ndarray]) -> list[Transcript]:
        if next(calls) == batches:
            raise KeyboardInterrupt
        return compute(self, clips)

    monkeypatch.setattr(TransformersRecognizer, "transcribe", stop_after)
    with pytest.raises(KeyboardInterrupt):
        transcribe(config(corpus, whisper))
    assert not (corpus / "transcripts.csv").exists()
    assert len(list((corpus / "transcripts.parts").glob("shard*"))) == batches
    assert transcribe(config(corpus, whisper)).read_bytes() == whole.read_bytes()
    assert next(calls) == 4  # each of the three batches once, and the one that was stopped


def test_a_finished_run_computes_nothing(corpus: Path, whisper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = transcribe(config(corpus, whisper))
    before = path.read_bytes()
    monkeypatch.setattr(TransformersRecognizer, "_hear", None)
    assert transcribe(config(corpus, whisper)).read_bytes() == before


def test_bad_recordings_are_listed_the_rest_is_done_and_mended_ones_are_added(corpus: Path, whisper: Path) -> None:
    whole = transcribe(config(corpus, whisper, "whole.csv")).read_bytes()
    scipy.io.wavfile.write(corpus / "audio" / "d.wav", 16_000, np.zeros(0, np.float32))
    (corpus / "audio" / "e.wav").unlink()
    for _ in range(2):
        with pytest.raises(PartlyDone, match=r"2 of 5 clips failed.*transcripts\.parts/failures\.csv"):
            transcribe(config(corpus, whisper))
        failures = read_csv(corpus / "transcripts.parts" / "failures.csv")
        assert list(failures["FileName"]) == ["d.wav", "e.wav"]
        assert "holds no samples" in failures["reason"][0]
        assert list(read_csv(corpus / "transcripts.csv")["FileName"]) == ["=c.wav", "a/one.wav", "b/two.wav"]
    for name in ("d.wav", "e.wav"):
        scipy.io.wavfile.write(corpus / "audio" / name, 16_000, sound(name))
    assert transcribe(config(corpus, whisper)).read_bytes() == whole
    assert not (corpus / "transcripts.parts" / "failures.csv").exists()


def test_when_no_clip_can_be_read_nothing_is_written(corpus: Path, whisper: Path) -> None:
    write_labels(corpus / "labels.csv", ["x.wav", "y.wav"])
    with pytest.raises(UserError, match=r"none of 2 clips.*x\.wav: no such recording"):
        transcribe(config(corpus, whisper))
    assert not (corpus / "transcripts.csv").exists()


def test_a_model_that_hears_nothing_gives_empty_transcripts_that_text_backbones_take(
    corpus: Path, whisper: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    deaf = tmp_path / "deaf"
    deaf.mkdir()
    for file in whisper.iterdir():
        shutil.copyfile(file, deaf / file.name)
    everything = [token for token in range(len(WORDS) + 3) if token != END]
    (deaf / "generation_config.json").write_text(json.dumps(GENERATION | {"suppress_tokens": everything}))
    path = transcribe(config(corpus, deaf))
    assert path.read_text().splitlines() == ["FileName,Transcript", *[f"{name}," for name in sorted(NAMES)]]
    paths = {"labels": corpus / "labels.csv", "transcripts": path, "features": corpus / "features"}
    text = {"name": "tiny", "backbone": {"kind": "text", "model": str(checkpoint("bert"))}, "paths": paths}
    store = FeatureStore(extract(ExtractConfig.model_validate(text | {"layers": {"take": [-1]}})))
    assert store.read("d").tolist() == [[0.0] * store.dim]


def test_the_metadata_say_what_made_the_transcripts(corpus: Path, whisper: Path) -> None:
    transcribe(config(corpus, whisper))
    made = read_json(corpus / "transcripts.json")
    expected = {
        "model": str(whisper), "language": None, "beam_size": 1, "max_new_tokens": 12, "precision": "float32"
    }  # fmt: skip
    assert made.items() >= expected.items()
    assert made["libraries"]["transformers"] == transformers.__version__
    assert made["utterances"] == 5


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"asr": {"max_new_tokens": 3}}, "max_new_tokens"), ({"compute": {"precision": "bf16"}}, "precision")],
)
def test_transcripts_of_two_settings_are_not_mixed(
    corpus: Path, whisper: Path, changes: dict[str, Any], key: str
) -> None:
    before = transcribe(config(corpus, whisper)).read_bytes()
    with pytest.raises(UserError, match=f"holds other transcripts: {key} is"):
        transcribe(config(corpus, whisper, **changes))
    assert (corpus / "transcripts.csv").read_bytes() == before


def test_without_its_parts_the_file_is_made_anew(corpus: Path, whisper: Path) -> None:
    path = transcribe(config(corpus, whisper))
    shutil.rmtree(corpus / "transcripts.parts")
    transcribe(config(corpus, whisper, asr={"max_new_tokens": 1}))
    assert all(len(text) <= max(map(len, WORDS)) for text in read_csv(path)["Transcript"])
    assert read_json(path.with_suffix(".json"))["max_new_tokens"] == 1


def test_transcripts_from_elsewhere_are_not_overwritten(corpus: Path, whisper: Path) -> None:
    (corpus / "transcripts.csv").write_text("FileName,Transcript\nd.wav,typed by hand\n")
    with pytest.raises(UserError, match="made by something else"):
        transcribe(config(corpus, whisper))
    assert "typed by hand" in (corpus / "transcripts.csv").read_text()


def test_a_corpus_being_transcribed_is_refused(corpus: Path, whisper: Path) -> None:
    with (
        lock(corpus / "transcripts.parts", "transcribing"),
        pytest.raises(UserError, match="another process is transcribing"),
    ):
        transcribe(config(corpus, whisper))


@pytest.mark.parametrize(
    ("asr", "message"),
    [
        ({"language": "en"}, "asr.language: en: .* knows English only; set it to null"),
        ({"max_new_tokens": 21}, "asr.max_new_tokens: 21: .* can hold 20 at most"),
        ({"model": "models/absent"}, "no such folder models/absent"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused(
    corpus: Path, whisper: Path, asr: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        transcribe(config(corpus, whisper, asr=asr))


def test_another_kind_of_model_is_refused(corpus: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(UserError, match="a model of type wavlm, not whisper"):
        transcribe(config(corpus, checkpoint("wavlm")))


@pytest.fixture
def many(whisper: Path, tmp_path: Path) -> Path:
    """The same model, two of its words now the languages it knows."""
    generation = GENERATION | {
        "is_multilingual": True,
        "lang_to_id": {"<|de|>": 0, "<|en|>": 6},
        "task_to_id": {"transcribe": 2, "translate": 3},
    }
    path = tmp_path / "many"
    shutil.copytree(whisper, path)
    (path / "generation_config.json").write_text(json.dumps(generation))
    return path


def test_the_language_of_each_window_is_the_likelier_where_the_config_leaves_it_open(corpus: Path, many: Path) -> None:
    model = hf.WhisperForConditionalGeneration.from_pretrained(many).eval()
    spectrogram = hf.WhisperFeatureExtractor.from_pretrained(many)
    clips = [np.roll(sound(name), shift) * 10 for name in NAMES for shift in (0, 700)]
    expected = []
    for clip in clips:
        features = spectrogram(clip, sampling_rate=16_000, return_tensors="pt").input_features
        with torch.no_grad():
            logits = model(input_features=features, decoder_input_ids=torch.tensor([[START]])).logits[0, 0]
        expected.append("en" if logits[6] > logits[0] else "de")
    assert len(set(expected)) == 2
    told = {code: TransformersRecognizer(config(corpus, many, asr={"language": code}), CPU) for code in ("de", "en")}
    alone = [told[code].transcribe([clip])[0] for code, clip in zip(expected, clips, strict=True)]
    detecting = TransformersRecognizer(config(corpus, many, batch_size=4), CPU)
    assert detecting.transcribe(clips) == alone


def test_a_multilingual_model_is_told_language_and_task(corpus: Path, many: Path) -> None:
    prompts = []
    for language in ("de", "en"):
        recognizer = TransformersRecognizer(config(corpus, many, asr={"language": language}), CPU)
        forward = recognizer.model.model.decoder.forward

        def record(*arguments: Any, forward: Any = forward, **options: Any) -> Any:
            prompts.append(options["input_ids"].tolist())
            return forward(*arguments, **options)

        recognizer.model.model.decoder.forward = record
        recognizer.options["max_new_tokens"] = 1
        recognizer.transcribe([sound("d.wav")])
    assert prompts == [[[START, 0, 2, NO_TIMESTAMPS]], [[START, 6, 2, NO_TIMESTAMPS]]]
    with pytest.raises(UserError, match=r"fr: .* does not know this language"):
        TransformersRecognizer(config(corpus, many, asr={"language": "fr"}), CPU)


def test_the_script_transcribes_where_the_config_has_a_section_asr(corpus: Path, whisper: Path) -> None:
    made = config(corpus, whisper).model_dump(mode="json")
    (corpus / "base.yaml").write_text(yaml.safe_dump(made))
    (corpus / "tiny.yaml").write_text("base: base.yaml\nbatch_size: 3\n")
    (corpus / "audio" / "d.wav").unlink()
    command = [sys.executable, str(ROOT / "extract_features.py"), str(corpus / "tiny.yaml"), "asr.max_new_tokens=2"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 3, run.stderr
    assert "1 of 5 clips failed" in run.stderr.splitlines()[-1]
    assert "clips/s" in run.stderr
    assert "× real time" in run.stderr
    assert read_json(corpus / "transcripts.json")["max_new_tokens"] == 2


@pytest.fixture
def listening(whisper: Path, tmp_path: Path) -> Path:
    """The same model, its word "c" now the token that says that nobody speaks."""
    path = tmp_path / "listening"
    shutil.copytree(whisper, path)
    tokenizer = json.loads((path / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {"<|nospeech|>" if word == "c" else word: vocabulary[word] for word in vocabulary}
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    return path


def measured_slowly(model_path: Path, samples: np.ndarray, forbidden: Sequence[int] = ()) -> tuple[float, float]:
    """Probability of the word "c" after the start token; mean log-probability of the greedy choices, token by token."""
    model = hf.WhisperForConditionalGeneration.from_pretrained(model_path).eval()
    spectrogram = hf.WhisperFeatureExtractor.from_pretrained(model_path)
    features = spectrogram(samples, sampling_rate=16_000, return_tensors="pt").input_features
    tokens = [START, NO_TIMESTAMPS]
    chosen: list[float] = []

    def last_logits(prompt: list[int]) -> np.ndarray:
        with torch.no_grad():
            logits = model(input_features=features, decoder_input_ids=torch.tensor([prompt]), use_cache=False).logits
        return np.asarray(logits[0, -1].double())

    shares = scipy.special.softmax(last_logits([START]))
    while len(chosen) < 12 and tokens[-1] != END:
        logits = last_logits(tokens)
        logits[list(forbidden)] = -np.inf
        tokens.append(int(logits.argmax()))
        chosen.append(scipy.special.log_softmax(logits)[tokens[-1]])
    return float(shares[WORDS.index("c")]), float(np.mean(chosen))


@pytest.mark.parametrize("forbidden", [[], [1, 6, 7]])
def test_guards_measure_what_the_slow_path_measures(corpus: Path, listening: Path, forbidden: list[int]) -> None:
    (listening / "generation_config.json").write_text(json.dumps(GENERATION | {"suppress_tokens": forbidden or None}))
    recognizer = TransformersRecognizer(config(corpus, listening, asr={"guards": {"no_speech": 0.5}}), CPU)
    heard = recognizer._hear([sound(name) for name in NAMES])
    expected = [measured_slowly(listening, sound(name), forbidden) for name in NAMES]
    assert [made.no_speech for made in heard] == pytest.approx([shares for shares, _ in expected], abs=1e-4)
    assert [made.log_probability for made in heard] == pytest.approx([mean for _, mean in expected], abs=1e-3)
    assert len({round(mean, 3) for _, mean in expected}) > 2


def test_what_a_guard_refuses_is_empty_listed_and_counted(corpus: Path, listening: Path) -> None:
    open_config = config(corpus, listening, "open.csv")
    texts = dict(read_csv(transcribe(open_config)).values)
    shares = {name: measured_slowly(listening, sound(name))[0] for name in NAMES if texts[name]}
    between = float(np.mean(sorted(shares.values())[1:3]))
    guards = {"no_speech": between}
    path = transcribe(config(corpus, listening, asr={"guards": guards}))
    refused = {name for name, share in shares.items() if share > between}
    assert 0 < len(refused) < len(texts)
    assert dict(read_csv(path).values) == {name: "" if name in refused else text for name, text in texts.items()}
    listed = read_csv(corpus / "transcripts.parts/refused.csv")
    # A list for people: what a spreadsheet would calculate has a ' before it.
    assert listed.values.tolist() == [[inert(name), "no_speech", inert(texts[name])] for name in sorted(refused)]
    made = read_json(corpus / "transcripts.json")
    assert (made["refused"], made["guards"]["no_speech"]) == ({"no_speech": len(refused)}, between)
    assert read_json(corpus / "open.json")["refused"] == {}
    assert not (corpus / "open.parts/refused.csv").exists()
    with pytest.raises(UserError, match="holds other transcripts: guards is"):
        transcribe(config(corpus, listening))


def test_of_a_long_clip_only_the_window_that_repeats_itself_is_refused(corpus: Path, listening: Path) -> None:
    guarded = TransformersRecognizer(config(corpus, listening, asr={"guards": {"compression_ratio": 1.0}}), CPU)
    heard = {0.1: "the door", 0.2: "dogs " * 30}
    guarded._hear = lambda windows: [Heard(heard[round(float(clip[0]), 1)]) for clip in windows]  # type: ignore[method-assign]
    clip = np.repeat(np.array([0.1, 0.2], np.float32), 16_000)
    (made,) = guarded.transcribe([clip])
    assert made == Transcript("the door", [("compression_ratio", " ".join(["dogs"] * 30))])


def test_a_guard_needs_a_token_for_no_speech(corpus: Path, whisper: Path) -> None:
    with pytest.raises(UserError, match=r"asr\.guards\.no_speech: .* has no token <\|nospeech\|>; set it to null"):
        transcribe(config(corpus, whisper, asr={"guards": {"no_speech": 0.6}}))


def test_a_wider_beam_finds_text_at_least_as_likely(corpus: Path, listening: Path) -> None:
    means = []
    for beams in (1, 4):
        made = config(corpus, listening, asr={"beam_size": beams, "guards": {"no_speech": 1.0}})
        recognizer = TransformersRecognizer(made, CPU)
        alone = [recognizer._hear([sound(name)])[0] for name in NAMES]
        together = recognizer._hear([sound(name) for name in NAMES])
        assert [one.text for one in alone] == [one.text for one in together]
        means.append([one.log_probability or 0.0 for one in together])
    assert means[0] != means[1]
    assert sum(means[1]) > sum(means[0])
