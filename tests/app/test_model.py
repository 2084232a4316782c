"""Recordings through a bundle, against what the scripts wrote about the same recordings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medusa.app.model import Medusa
from medusa.files import read_csv
from tests.app.conftest import EMOTIONS, Trained

ATTRIBUTES = ["EmoAct", "EmoVal", "EmoDom"]


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
