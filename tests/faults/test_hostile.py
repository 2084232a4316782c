"""Files from somebody who means harm: nothing in them runs, here or in the browser and spreadsheet they end up in."""

from __future__ import annotations

import os
import pickle
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from medusa.config import load
from medusa.corpora.transcripts import read_transcripts
from medusa.files import inert, read_csv, write_csv, write_list
from tests.faults.workspace import ROOT, call, cell, change, put

SOURCES = [
    *(path for folder in ("medusa", "benchmarks", "workflow") for path in sorted((ROOT / folder).rglob("*"))),
    *sorted(ROOT.glob("*.py")),
]
CODE = [path for path in SOURCES if path.is_file() and path.suffix in {".py", ""} and "__pycache__" not in path.parts]
RUNS_CODE = {
    "pickle": r"^\s*(import|from) +_?(pickle|dill|joblib|shelve|marshal|cloudpickle)\b",
    "torch.load": r"torch\.(jit\.)?load\(|weights_only",
    "read_pickle": r"read_pickle\(",
    "object arrays": r"allow_pickle *= *(?!False)",
    "np.load that may unpickle": r"\b(np|numpy)\.load\((?!.*allow_pickle=False)",
    "YAML of objects": r"yaml\.(unsafe_load|full_load|load_all|load)\((?!text, Loader=_Loader\))",
    "code of a model's repository": r"trust_remote_code *= *(?!False)",
    "eval and exec": r"(?<![\w.])(eval|exec)\(",
    "a shell": r"shell *= *True|os\.system\(",
}


@pytest.mark.parametrize("what", RUNS_CODE)
def test_no_source_line_can_run_code_from_data(what: str) -> None:
    pattern = re.compile(RUNS_CODE[what])
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path in CODE
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []
    assert len(CODE) > 100


def test_the_patterns_see_what_they_are_for() -> None:
    lines = {
        "pickle": "import pickle", "torch.load": "x = torch.load(p)", "read_pickle": "pd.read_pickle(p)",
        "object arrays": "np.save(p, x, allow_pickle=True)", "np.load that may unpickle": "np.load(path)",
        "YAML of objects": "yaml.load(text, Loader=yaml.Loader)", "eval and exec": "x = eval(text)",
        "code of a model's repository": "trust_remote_code=True", "a shell": "run(x, shell=True)",
    }  # fmt: skip
    assert [what for what in RUNS_CODE if not re.search(RUNS_CODE[what], lines[what])] == []
    assert issubclass(load._Loader, yaml.SafeLoader)


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.file),)


PLANTS = {
    "weights to evaluate": ("runs/members/deepser/best/model.safetensors", ("eval_deepser.py", "member.yaml")),
    "weights to go on from": ("runs/members/deepser/last/model.safetensors", ("train_deepser.py", "member.yaml")),
    "optimiser": ("runs/members/deepser/last/optimizer.safetensors", ("train_deepser.py", "member.yaml")),
    "soup": ("runs/ensembles/metacls/soup/model.safetensors", ("eval_metacls.py", "ensemble.yaml")),
    "shard": ("samples/features/speech/shard-00000.safetensors", ("train_deepser.py", "member.yaml", "name=fresh")),
    "manifest": ("samples/features/speech/manifest.json", ("train_deepser.py", "member.yaml", "name=fresh")),
    "labels": ("samples/labels.csv", ("train_deepser.py", "member.yaml", "name=fresh")),
    "posteriors": ("samples/posteriors/ours.csv", ("train_metacls.py", "ensemble.yaml", "name=fresh")),
    "array": ("samples/features/text-npy/MSP-PODCAST_0121_0039.npy", ("train_deepser.py", "npy.yaml")),
    "config": ("own.yaml", ("train_deepser.py", "own.yaml")),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_pickle_is_refused_and_does_not_run(own: Path, tmp_path: Path, plant: str) -> None:
    (file, words), ran = PLANTS[plant], tmp_path / "ran"
    put(file, pickle.dumps(Canary(ran)))(own)
    done = call(own, *words)
    assert done.code == 2
    assert file in done.err
    assert not ran.exists()
    pickle.loads((own / file).read_bytes())  # it would have run
    assert ran.exists()


def test_an_array_of_objects_is_refused_and_does_not_run(own: Path, tmp_path: Path) -> None:
    file, ran = own / "samples/features/text-npy/MSP-PODCAST_0121_0039.npy", tmp_path / "ran"
    np.save(file, np.array([[Canary(ran)]], dtype=object), allow_pickle=True)
    assert call(own, "train_deepser.py", "npy.yaml").code == 2
    assert not ran.exists()
    np.load(file, allow_pickle=True)
    assert ran.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors"])
def test_a_model_folder_of_pickled_weights_is_refused(own: Path, tmp_path: Path, name: str) -> None:
    ran = tmp_path / "ran"
    put("models/x/config.json", '{"model_type": "hubert", "auto_map": {"AutoModel": "code.Model"}}')(own)
    put("models/x/code.py", f"import os; os.mkdir({str(ran)!r})")(own)
    put(f"models/x/{name}", pickle.dumps(Canary(ran)))(own)
    put("own.yaml", "base: extract.yaml\nname: x\nbackbone: {kind: speech, model: models/x}\n")(own)
    done = call(own, "extract_features.py", "own.yaml")
    assert done.code == 2
    assert "models/x cannot be loaded" in done.err
    assert not ran.exists()


# --- what ends up in a browser ----------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script>"


class Tags(HTMLParser):
    """Counts the elements of a page, as a browser would."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def harmless(page: Path) -> bool:
    found = Tags(page.read_text(encoding="utf-8"))
    return "alert(1)" in page.read_text(encoding="utf-8") and "script" not in found.tags and not found.handlers


def test_a_data_card_of_hostile_names_holds_no_script(own: Path) -> None:
    classes = [f'"{SCRIPT}"', '"x"" onload=""alert(1)"']
    # In a FileName / parts folders: < and > may stand in one.
    lines = [f'"<script>alert(1)<x>{n}.wav",{classes[n % 2]},{SCRIPT}{n},{SCRIPT}' for n in range(12)]
    put("corpus/table.csv", "\n".join(["FileName,EmoClass,SpkrID,Gender", *lines]) + "\n")(own)
    words = ("--table", "corpus/table.csv", "--audio", "corpus/audio", "--out", "new", "--no-durations")
    done = call(own, "medusa", "prepare", "csv", *words, "--class-column", "EmoClass")
    assert done.code == 0, done
    assert harmless(own / "new/datacard.html")


def test_a_report_of_hostile_names_holds_no_script(own: Path) -> None:
    for file in ("samples/labels.csv", "samples/posteriors/ours.csv"):
        change(file, lambda data: data.replace(b"Happy", SCRIPT.encode()))(own)
    for words in (
        ("train_deepser.py", "member.yaml", "name=own"),
        ("eval_deepser.py", "member.yaml", "name=own"),
        ("train_metacls.py", "ensemble.yaml", "members=[own, samples/posteriors/ours.csv]", "name=own"),
        ("eval_metacls.py", "ensemble.yaml", "members=[own, samples/posteriors/ours.csv]", "name=own"),
        ("medusa", "report", "--runs", "runs", "--ensembles", "ensemble.yaml", "--out", "report",
         "--changes", "members=[own, samples/posteriors/ours.csv]", "name=own", "--about", SCRIPT),
    ):  # fmt: skip
        done = call(own, *words)
        assert done.code == 0, done
    assert harmless(own / "report/report.html")


# --- what ends up in a spreadsheet ------------------------------------------------------------------

FORMULA = "=cmd|' /C calc'!A0"


def test_lists_for_people_hold_no_formula_and_files_that_are_joined_hold_the_text_as_it_is(own: Path) -> None:
    name = "=HYPERLINK(1).wav"
    cell("corpus/labels.csv", 3, "FileName", name)(own)
    assert call(own, "extract_features.py", "extract.yaml", "name=fresh").code == 3
    assert read_csv(own / "corpus/features/fresh/failures.csv")["FileName"].tolist() == [f"'{name}"]
    # labels.csv, transcripts.csv and posteriors are joined by FileName: a changed name would be another utterance.
    assert f"\n{name}," in (own / "corpus/labels.csv").read_text()


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", FORMULA])
def test_what_a_spreadsheet_would_calculate_begins_with_a_quote(tmp_path: Path, text: str) -> None:
    write_list(tmp_path / "a.csv", pd.DataFrame({"FileName": [text], "n": [-1.5]}))
    assert read_csv(tmp_path / "a.csv").values.tolist() == [[f"'{text}", "-1.5"]]
    assert inert(text) == f"'{text}"


@settings(max_examples=int(os.environ.get("MEDUSA_FUZZ_CASES", "60")) // 20 + 60, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_transcripts_come_back_as_they_are(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "transcripts.csv"
    names = [f"{number}.wav" for number in range(len(texts))]
    write_csv(path, pd.DataFrame({"FileName": names, "Transcript": texts}))
    assert list(read_transcripts(path).values()) == texts
