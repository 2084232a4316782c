"""Files from somebody who means harm: nothing in them runs, here or in the browser and spreadsheet they end up in."""

from __future__ import annotations

import ast
import os
import pickle
import re
from collections.abc import Mapping
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

CODE = [
    *(path for folder in ("medusa", "benchmarks", "workflow") for path in sorted((ROOT / folder).rglob("*.py"))),
    *sorted(ROOT.glob("*.py")),
]
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
"""Modules that nothing is imported from."""
RUNS_CODE = {
    "torch.load", "torch.jit.load", "torch.serialization.load", "torch.hub.load", "pandas.read_pickle",
    "numpy.load", "numpy.lib.format.read_array",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load", "yaml.unsafe_load_all",
    "eval", "exec", "builtins.eval", "builtins.exec", "os.system", "os.popen",
    "subprocess.getoutput", "subprocess.getstatusoutput",
}  # fmt: skip
"""Functions that run, or may run, what is in data; two of them do not where they are told so, see `_harmless`."""
MUST_BE_FALSE = {"allow_pickle", "trust_remote_code", "shell"}


def dangers(source: str) -> list[str]:
    """What in a file of Python may run code from data, whatever name it goes by there."""
    tree, found = ast.parse(source), list[str]()
    names = _imported(tree)
    excused = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and _harmless(node, names)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [name for name in _named(node) if name.split(".")[0] in UNPICKLERS or name.endswith(".*")]
            found += [name for name in _named(node) if name in RUNS_CODE]
        elif isinstance(node, ast.Name | ast.Attribute) and id(node) not in excused:
            name = _dotted(node, names)
            found += [name] if name in RUNS_CODE or name.endswith(".read_pickle") else []
        elif isinstance(node, ast.keyword) and node.arg in MUST_BE_FALSE and not _is_false(node.value):
            found.append(node.arg)
        elif isinstance(node, ast.Constant) and node.value in {*UNPICKLERS, *MUST_BE_FALSE, "read_pickle"}:
            found.append(node.value)  # for import_module, getattr or **
    return found


def _imported(tree: ast.AST) -> dict[str, str]:
    """What each name that is imported anywhere in the file stands for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _named(node: ast.Import | ast.ImportFrom) -> list[str]:
    origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    return [origin + alias.name for alias in node.names]


def _dotted(node: ast.expr, names: Mapping[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def _harmless(call: ast.Call, names: Mapping[str, str]) -> bool:
    """NumPy told not to unpickle; YAML read by our loader, which is a safe one."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    name = _dotted(call.func, names)
    if name in ("numpy.load", "numpy.lib.format.read_array"):
        return _is_false(keywords.get("allow_pickle"))
    loader = keywords.get("Loader")
    return name == "yaml.load" and isinstance(loader, ast.Name) and loader.id == "_Loader"


def _is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_no_source_can_run_code_from_data() -> None:
    found = {str(path.relative_to(ROOT)): dangers(path.read_text(encoding="utf-8")) for path in CODE}
    assert {file: what for file, what in found.items() if what} == {}
    assert len(CODE) > 100
    assert issubclass(load._Loader, yaml.SafeLoader)
    # The one file that Python cannot parse whole is short: its rules run a command, whose words are quoted.
    rules = (ROOT / "workflow/Snakefile").read_text(encoding="utf-8")
    before_rules = rules[: rules.index("\nrule ")]
    assert dangers(before_rules) == []
    assert re.findall(r"shell:\s+(.*)", rules) == ['"{COMMAND} {params.name:q}"']


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "import pickle as p", "import os, pickle", "from pickle import loads", "import joblib",
        "import torch, dill as d", "from joblib.numpy_pickle import load", "def f():\n    import pickle",
        "from importlib import import_module\nimport_module('pickle')", "__import__('marshal')",
        "import torch\nx = torch.load(p)", "from torch import load", "from torch import load as read",
        "import torch as t\nx = t.load(p, weights_only=False)", "import torch\nread = torch.load",
        "from torch import *",
        "import torch.jit\ntorch.jit.load(p)", "from torch import jit as j\nj.load(p)",
        "import numpy\nnumpy.load(p)", "import numpy as xyz\nxyz.load(p, allow_pickle=True)",
        "import numpy as np\nnp.load(\n    p,\n    allow_pickle=flag,\n)", "from numpy import load",
        "import numpy as np\nnp.save(p, x, allow_pickle=not False)", "f(**{'allow_pickle': True})",
        "import pandas as pd\npd.read_pickle(p)", "from pandas import read_pickle as r",
        "getattr(pd, 'read_pickle')(p)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)", "from yaml import unsafe_load",
        "import yaml as y\ny.full_load(t)",
        "x = eval(text)", "import builtins\nbuiltins.exec(t)", "import os as o\no.system(t)", "from os import popen",
        "run(x, shell=True)", "load(p, trust_remote_code=True)", "load(p, trust_remote_code=not off)",
    ],
)  # fmt: skip
def test_what_may_run_code_is_seen_by_any_name(source: str) -> None:
    assert dangers(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nnp.load(p, allow_pickle=False)", "import yaml\nyaml.load(text, Loader=_Loader)",
        "model.eval()", "import yaml\nyaml.safe_load(t)", "load(p, trust_remote_code=False)",
        "import json\njson.load(f)",
        "x = 'to pickle is forbidden'",
    ],
)  # fmt: skip
def test_what_is_harmless_is_let_alone(source: str) -> None:
    assert dangers(source) == []


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
