"""The house's rules, read off the syntax tree of every file: who may import whom, and that nothing is unpickled."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ROOMS = (
    *("errors", "json_shape", "files", "provenance", "config", "device", "audio", "metrics"),
    *("corpora", "features", "models", "training", "ensemble", "evaluation", "app", "demo", "workflow", "commands"),
    "__main__",
)
"""From left to right: a room imports only itself and rooms to its left. Scripts stand to the right of all."""

KEPT_TO: dict[str, str | tuple[str, ...]] = {
    "transformers": ("medusa/features/", "benchmarks/backbones.py"),
    "tokenizers": ("medusa/features/", "benchmarks/backbones.py"),
    "huggingface_hub": ("medusa/features/", "medusa/app/"),
    "librosa": "medusa/audio.py",
    "soundfile": "medusa/audio.py",
    "soxr": "medusa/audio.py",
    "torchaudio": "medusa/audio.py",
    "rich": "medusa/workflow/",
    "gradio": "medusa/app/serve.py",
}
UNPICKLERS = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
UNPICKLING_CALLS = {"torch.load", "pd.read_pickle", "pandas.read_pickle", "torch.jit.load"}

PACKAGE = sorted((ROOT / "medusa").rglob("*.py"))
PROJECT = PACKAGE + sorted(ROOT.glob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything a file imports, inside functions too; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + f"{node.module or ''}.{alias.name}" for alias in node.names)


def wrong_imports(path: str, source: str) -> list[str]:
    """Imports of the file at `path` (relative to the project) that break a rule."""
    parts = Path(path).with_suffix("").parts
    reach = ROOMS.index(parts[1]) if parts[0] == "medusa" and parts[1] != "__init__" else len(ROOMS)
    wrong = []
    for name in imported(ast.parse(source)):
        top, _, rest = name.partition(".")
        room = rest.split(".")[0]
        relative_name = name.startswith(".")  # one way to name a module: from the top
        backwards = top == "medusa" and room in ROOMS and ROOMS.index(room) > reach
        misplaced = not path.startswith(KEPT_TO.get(top, ""))
        if relative_name or backwards or misplaced or top in UNPICKLERS:
            wrong.append(name)
    return wrong


def unpickling_calls(source: str) -> list[str]:
    """Calls that could run code from a data file; `numpy.load` must say allow_pickle=False itself."""
    wrong = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        name = ast.unparse(node.func)
        if name in UNPICKLING_CALLS or keywords.get("allow_pickle", "False") != "False":
            wrong.append(call)
        if name in {"np.load", "numpy.load"} and "allow_pickle" not in keywords:
            wrong.append(call)
    return wrong


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PROJECT, ids=relative)
def test_imports_point_one_way_and_nothing_is_unpickled(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert wrong_imports(relative(path), source) == []
    assert unpickling_calls(source) == []


def test_every_room_of_the_package_has_its_place_in_the_order() -> None:
    rooms = {path.relative_to(ROOT / "medusa").with_suffix("").parts[0] for path in PACKAGE}
    assert rooms - {"__init__"} <= set(ROOMS)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("medusa/models/deepser.py", "from medusa.training.loss import loss"),
        ("medusa/files.py", "import medusa.config.load"),
        ("medusa/corpora/labels.py", "from medusa import features"),
        ("medusa/corpora/labels.py", "def later():\n    from medusa.models import deepser"),
        ("medusa/models/deepser.py", "from .encoder import SequenceEncoder"),
        ("medusa/models/deepser.py", "import transformers"),
        ("medusa/features/extract.py", "from librosa import resample"),
        ("train_deepser.py", "import soundfile as sf"),
        ("medusa/training/checkpoint.py", "import pickle"),
    ],
)
def test_the_check_sees_a_wrong_import(path: str, source: str) -> None:
    assert len(wrong_imports(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("medusa/training/loop.py", "from medusa.models.deepser import DeepSER"),
        ("medusa/provenance.py", "import medusa"),
        ("medusa/features/backbones.py", "from transformers import AutoModel"),
        ("medusa/audio.py", "import librosa, soundfile"),
        ("eval_metacls.py", "from medusa.commands import report"),
    ],
)
def test_the_check_lets_a_right_import_pass(path: str, source: str) -> None:
    assert wrong_imports(path, source) == []


@pytest.mark.parametrize(
    "source", ["torch.load(path)", "np.load(path)", "np.load(path, allow_pickle=True)", "store.get(allow_pickle=flag)"]
)
def test_the_check_sees_unpickling(source: str) -> None:
    assert unpickling_calls(source) == [source]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import medusa", "torch transformers numpy pandas sklearn librosa soundfile pydantic yaml matplotlib"),
        ("import medusa.provenance", "torch transformers sklearn librosa pydantic"),
        ("import medusa.config.load", "torch transformers sklearn librosa matplotlib"),
        ("import medusa.__main__", "torch transformers sklearn librosa pandas pydantic matplotlib"),
        ("import medusa.evaluation.datacard", "torch transformers sklearn librosa soundfile pydantic"),
        ("import medusa.models.deepser, medusa.training.loop", "transformers librosa soundfile pydantic matplotlib"),
    ],
)
def test_light_imports_stay_light(statement: str, absent: str) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(loaded.split()) & set(absent.split()) == set()
