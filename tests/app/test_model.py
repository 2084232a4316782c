"""Recordings through a bundle, against what the scripts wrote about the same recordings."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io.wavfile
import torch

import medusa as medusa_package
from medusa.app.answers import Answer
from medusa.app.bundle import write_bundle
from medusa.app.description import read_description
from medusa.app.model import BATCH, Medusa, _resampler
from medusa.audio import read_audio
from medusa.errors import UserError
from medusa.files import read_csv, read_json, write_json
from tests.app.conftest import EMOTIONS, Trained, clip_name, sound

ATTRIBUTES = ["EmoAct", "EmoVal", "EmoDom"]


def test_the_package_offers_it_and_nothing_else() -> None:
    assert medusa_package.Medusa is Medusa
    with pytest.raises(AttributeError, match="no attribute 'Medussa'"):
        medusa_package.Medussa  # noqa: B018


def test_the_answers_are_those_of_the_scripts(medusa: Medusa, trained: Trained) -> None:
    expected = trained.posteriors().set_index("FileName")
    transcripts = dict(read_csv(trained.folder / "transcripts.csv").values)
    table = medusa.predict([trained.audio / name for name in expected.index])
    assert [name.rpartition("/")[2] for name in table["FileName"]] == list(expected.index)
    assert table[[*EMOTIONS]].to_numpy() == pytest.approx(expected[[*EMOTIONS]].to_numpy(), abs=1e-4)
    assert table[ATTRIBUTES].to_numpy() == pytest.approx(expected[ATTRIBUTES].to_numpy().clip(1, 7), abs=1e-3)
    assert list(table["Transcript"]) == [transcripts[name] for name in expected.index]
    assert list(table["Emotion"]) == list(expected["EmoClass"])
    assert np.ptp(table[[*EMOTIONS]].to_numpy(), axis=0).min() > 0.1  # else equality would mean little


def test_an_ensemble_that_reads_no_text_writes_none(trained: Trained, tmp_path: Path) -> None:
    with contextlib.chdir(trained.folder):
        write_bundle(Path("runs"), tmp_path / "alone", "alone")
    expected = trained.posteriors("alone").set_index("FileName")
    table = Medusa.from_pretrained(tmp_path / "alone").predict([trained.audio / name for name in expected.index])
    assert table[[*EMOTIONS]].to_numpy() == pytest.approx(expected[[*EMOTIONS]].to_numpy(), abs=1e-4)
    assert set(table["Transcript"]) == {""}


def test_each_member_and_their_agreement(medusa: Medusa, trained: Trained) -> None:
    files = trained.posteriors()["FileName"]
    table = medusa.predict([trained.audio / name for name in files])
    chosen = {}
    for member in ("speech-text", "whisper"):
        own = pd.read_csv(trained.runs / "members" / member / "posteriors" / "test.csv").set_index("FileName")
        chosen[member] = own.loc[files, "EmoClass"].to_numpy()
        assert list(table[f"Member {member}"]) == list(chosen[member])
    agreeing = sum((own == table["Emotion"]).to_numpy().astype(float) for own in chosen.values())
    assert list(table["Agreement"]) == list(agreeing / 2)


def test_float32_where_bf16_would_be_emulated(
    medusa: Medusa, bundle: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medusa.app.model.fastest_precision", lambda device: "float32")
    exact = Medusa.from_pretrained(bundle, device="cpu")
    kinds = {"wavlm": torch.float32, "bert": torch.float32, "encoder": torch.float32}
    assert {name: getattr(one, "dtype", None) for name, one in exact._backbones.items()} == kinds
    files = [trained.audio / clip_name(number) for number in (1, 2, 3)]
    numbers = [table[[*EMOTIONS]].to_numpy() for table in (exact.predict(files), medusa.predict(files))]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.05)
    assert (numbers[0] != numbers[1]).any()


def test_neither_order_nor_company_matters(medusa: Medusa, trained: Trained) -> None:
    paths = [trained.audio / clip_name(number) for number in (3, 14, 8, 20, 1, 14, 22, 5, 9, 11)]
    together, backwards = medusa.predict(paths), medusa.predict(paths[::-1]).iloc[::-1].reset_index(drop=True)
    alone = pd.concat([medusa.predict([path]) for path in paths], ignore_index=True)
    for other in (backwards, alone):
        assert list(other["Transcript"]) == list(together["Transcript"])
        numbers = [*EMOTIONS, *ATTRIBUTES]
        assert other[numbers].to_numpy() == pytest.approx(together[numbers].to_numpy(), abs=1e-4)
    assert together["FileName"].tolist() == [str(path) for path in paths]


def test_recordings_are_read_as_answers_are_asked_for(medusa: Medusa, trained: Trained) -> None:
    asked = []

    def paths() -> Iterator[Path]:
        for number in range(24):
            asked.append(number)
            yield trained.audio / clip_name(number)

    answers = medusa.answers(paths())
    next(answers)
    assert len(asked) == BATCH
    assert len([*answers]) == 23


def test_a_broken_file_is_an_error_in_its_place(medusa: Medusa, trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_text("no audio")
    good = [trained.audio / clip_name(number) for number in (0, 1)]
    paths = [good[0], tmp_path / "broken.wav", tmp_path / "absent.wav", good[1]]
    answers = list(medusa.answers(paths))
    assert [isinstance(one, UserError) for one in answers] == [False, True, True, False]
    assert "broken.wav: cannot be decoded" in str(answers[1])
    assert "absent.wav: no such recording" in str(answers[2])
    assert isinstance(answers[3], Answer)
    assert answers[3].file == good[1]
    with pytest.raises(UserError, match=r"broken\.wav: cannot be decoded"):
        medusa.predict(paths)


def test_features_that_do_not_fit_fail_their_own_recording_only(
    medusa: Medusa, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = medusa._backbones["wavlm"]
    compute, loud = backbone.features, len(read_audio(trained.audio / clip_name(7)))

    def features(batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        made = zip(compute(batch), batch, strict=True)
        return [values * np.float32("inf" if len(clip) == loud else 1) for values, clip in made]

    monkeypatch.setattr(backbone, "features", features)
    answers = list(medusa.answers([trained.audio / clip_name(number) for number in (6, 7, 8)]))
    assert [isinstance(one, UserError) for one in answers] == [False, True, False]
    assert "clip_07.wav, 0.0 s: a feature value" in str(answers[1])


def test_a_long_recording_is_judged_piece_by_piece(medusa: Medusa, tmp_path: Path) -> None:
    clips = [sound(number, 6.0) for number in range(10)]  # more pieces than are worked on at once
    for number, clip in enumerate(clips):
        scipy.io.wavfile.write(tmp_path / f"{number}.wav", 16_000, clip)
    scipy.io.wavfile.write(tmp_path / "long.wav", 16_000, np.concatenate(clips))
    (answer,) = medusa.answers([tmp_path / "long.wav"])
    assert isinstance(answer, Answer)
    alone = medusa.predict([tmp_path / f"{number}.wav" for number in range(10)])
    timeline = answer.timeline()
    assert timeline["Start"].tolist() == [6.0 * number for number in range(10)]
    assert timeline[[*EMOTIONS]].to_numpy() == pytest.approx(alone[[*EMOTIONS]].to_numpy(), abs=1e-4)
    assert timeline["Transcript"].tolist() == alone["Transcript"].tolist()


def test_features_of_another_width_than_a_member_reads_are_refused(bundle: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(bundle, tmp_path / "own"))
    told = read_json(own / "bundle.json")
    wide, text = told["members"][0]["input_dims"]
    told["members"][0]["input_dims"] = [wide + 1, text]
    write_json(own / "bundle.json", told)
    dims = rf"input_dims are \[{wide + 1}, {text}\], but its features have \[{wide}, {text}\] values a frame"
    with pytest.raises(UserError, match=rf"bundle\.json: members: speech-text: {dims}; make the bundle anew"):
        Medusa.from_pretrained(own)


def test_stores_resampled_in_two_ways_are_refused(bundle: Path) -> None:
    description = read_description(bundle)
    assert _resampler(description) == "librosa"
    other = description.features["encoder"].model_copy(update={"resampler": "torchaudio"})
    mixed = description.model_copy(update={"features": description.features | {"encoder": other}})
    with pytest.raises(UserError, match="resampled in two ways"):
        _resampler(mixed)
