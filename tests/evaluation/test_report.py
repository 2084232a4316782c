"""Every cell of the report against numbers computed another way (scikit-learn, plain numpy, counting by hand)."""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import accuracy_score, f1_score

from medusa import provenance
from medusa.errors import UserError
from medusa.evaluation import bootstrap
from medusa.evaluation.paper import Beside
from medusa.evaluation.report import write_report
from tests.evaluation.conftest import CORPUS

if TYPE_CHECKING:
    from medusa.corpora.labels import Labels
    from tests.evaluation.conftest import Runs

PNG = b"\x89PNG\r\n\x1a\n"
BESIDE = Beside({"plain": 8}, {"three": 14})
ABOUT = "Made up: 1 < 2, <script>alert(1)</script> and *stars*."


@pytest.fixture(scope="module", autouse=True)
def _at_one_commit_with_few_draws() -> Iterator[None]:
    """The page names the commit; whoever commits while the tests run must not fail them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "DRAWS", 100)
        patch.setattr(provenance, "_git", lambda root: {"commit": "0123456789abcdef", "dirty": False})
        yield


@pytest.fixture(scope="module")
def report(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write_report(runs.folder, runs.ensembles, [], out, ABOUT, BESIDE)
    return out


@pytest.fixture(scope="module")
def document(report: Path) -> ET.Element:
    return ET.fromstring((report / "report.html").read_text(encoding="utf-8"))


def table(document: ET.Element, title: str) -> list[list[str]]:
    """Cells of the table whose caption begins so, head first."""
    for found in document.iter("table"):
        caption = found.find("caption")
        if caption is not None and (caption.text or "").startswith(title):
            return [["".join(cell.itertext()) for cell in row] for row in found.iter("tr")]
    raise AssertionError(title)


def markdown_table(report: Path, title: str) -> list[list[str]]:
    """The same from report.md, without emphasis and escapes."""
    text = (report / "report.md").read_text(encoding="utf-8")
    lines = text[text.index(f"**{title}") :].split("\n\n")[1].splitlines()
    rows = [re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |")) for line in lines]
    plain = [[re.sub(r"^\*\*(.*)\*\*$", r"\1", cell) for cell in row] for row in rows]
    return [[unescape(re.sub(r"\\(.)", r"\1", cell)) for cell in row] for row in (plain[0], *plain[2:])]


def posteriors(runs: Runs, member: str, partition: str) -> pd.DataFrame:
    file = runs.folder / "members" / member / "posteriors" / f"{partition}.csv"
    return by_labels(Path(member) if member.endswith(".csv") else file, runs.labels.partition(partition))


def technique(runs: Runs, ensemble: str, name: str, partition: str = "test") -> pd.DataFrame:
    file = runs.folder / "ensembles" / ensemble / "posteriors" / name / f"{partition}.csv"
    return by_labels(file, runs.labels.partition(partition))


def by_labels(file: Path, rows: Labels) -> pd.DataFrame:
    return pd.read_csv(file).set_index("FileName").loc[rows.table["FileName"]]


def sklearn_scores(rows: Labels, predicted: pd.DataFrame) -> tuple[float, float, float]:
    """Class-balanced macro-F1, macro-F1, accuracy."""
    kept = (rows.table["EmoClass"] != "X").to_numpy()
    true, guess = rows.table["EmoClass"].to_numpy()[kept], predicted["EmoClass"].to_numpy()[kept]
    size = pd.Series(true).map(pd.Series(true).value_counts()).to_numpy()
    balanced = f1_score(true, guess, average="macro", sample_weight=1 / size)
    return balanced, f1_score(true, guess, average="macro"), accuracy_score(true, guess)


def three(values: list[float] | tuple[float, ...]) -> list[str]:
    return [f"{value:.3f}" for value in values]


def spread(repeats: Sequence[tuple[float, ...]]) -> list[str]:
    """Mean and, of several, standard deviation (n - 1 below)."""
    columns = list(zip(*repeats, strict=True))
    ends = [f" ± {np.std(column, ddof=1):.3f}" if len(column) > 1 else "" for column in columns]
    return [f"{np.mean(column):.3f}{end}" for column, end in zip(columns, ends, strict=True)]


def signed(value: float, digits: int = 3) -> str:
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text[1:] if float(text[1:]) == 0 else text


def paper_protocol(rows: Labels, repeats: Sequence[pd.DataFrame]) -> list[float]:
    """Macro-F1 and accuracy over ten balanced draws, scikit-learn's in each."""
    kept = rows.table["EmoClass"].isin(rows.emotions).to_numpy()
    true = rows.table["EmoClass"].to_numpy()[kept]
    smallest = min(Counter(true).values())
    found = []
    for predicted in repeats:
        guess, random = predicted["EmoClass"].to_numpy()[kept], np.random.default_rng(0)
        for _ in range(10):
            pools = [np.flatnonzero(true == name) for name in rows.emotions]
            drawn = np.concatenate([random.choice(pool, smallest, replace=False) for pool in pools])
            found.append((f1_score(true[drawn], guess[drawn], average="macro"), np.mean(true[drawn] == guess[drawn])))
    return [float(value) for value in np.mean(found, axis=0)]


def without_interval(cell: str) -> str:
    """`0.553 (0.510 … 0.590)` → `0.553`, after a look at the interval."""
    value, low, high = map(float, re.findall(r"\d\.\d{3}", re.sub(r" ± \d\.\d{3}", "", cell)))
    assert low <= value <= high
    return cell[: cell.index(" (")]


def test_table_1_holds_each_member_with_scikit_learns_scores(document: ET.Element, report: Path, runs: Runs) -> None:
    dev, test = (runs.labels.partition(name) for name in ("dev", "test"))
    header = ["member", "features", "seed", "paper, F1", "paper protocol, F1", "difference", "honest, F1 (95 %)"]
    expected = [[*header, "plain macro-F1", "accuracy", "best epoch (stage)"]]
    for seed, member in enumerate(runs.members):
        described = ["from a file", "–"] if member.endswith(".csv") else ["speech + text", str(seed)]
        on_dev = paper_protocol(dev, [posteriors(runs, member, "dev")])[0]
        on_test = sklearn_scores(test, posteriors(runs, member, "test"))
        best = "–" if member.endswith(".csv") else "5 (2)"
        paper = ["0.440", f"{on_dev:.3f}", signed(on_dev - 0.44)]
        if member != "plain":
            paper = ["–", f"{on_dev:.3f}", "–"]
        expected.append([member, *described, *paper, *three(on_test), best])
    members = runs.members
    on_dev_of = [paper_protocol(dev, [posteriors(runs, member, "dev")])[0] for member in members]
    tested = [sklearn_scores(test, posteriors(runs, member, "test")) for member in members]
    top = int(np.argmax(on_dev_of))
    soup = paper_protocol(dev, [technique(runs, "three", "soup", "dev")])[0]
    for name, paper_f1, ours, scored in (
        ("average of the members", 0.413, float(np.mean(on_dev_of)), tuple(np.mean(tested, axis=0))),
        ("best on dev", 0.440, on_dev_of[top], tested[top]),
        ("soup of three", 0.472, soup, sklearn_scores(test, technique(runs, "three", "soup"))),
    ):
        described = [name, "–", "–", f"{paper_f1:.3f}", f"{ours:.3f}", signed(ours - paper_f1)]
        expected.append([*described, *three(scored), "–"])
    found = table(document, "Table 1")
    assert markdown_table(report, "Table 1") == found
    assert [found[0], *([*row[:6], without_interval(row[6]), *row[7:]] for row in found[1:])] == expected
    numbers = pd.read_csv(report / "members.csv")
    assert numbers["test_balanced_f1"][0] == pytest.approx(
        sklearn_scores(test, posteriors(runs, "plain", "test"))[0], abs=1e-12
    )
    assert numbers["best_epoch"].dropna().tolist() == [5, 5]
    assert numbers["paper_id"].dropna().tolist() == [8]
    assert numbers["f1_difference"][0] == pytest.approx(numbers["paper_protocol_f1"][0] - 0.44)


CELLS: dict[str, tuple[list[str], tuple[float, float] | None, tuple[float, float] | None]] = {
    "DeepSER": (["plain", "plain-seed-1000"], (0.440, 0.450), (0.421, 0.432)),
    "w. one-hot targets": (["plain-one_hot", "plain-one_hot.seed-1000"], (0.402, 0.423), (0.389, 0.410)),
    "w/o multitask": (["plain-no_multitask", "plain-no_multitask.seed-1000"], (0.411, 0.429), (0.412, 0.429)),
    "w/o rows without consensus": (["plain-soft_consensus.seed-1000"], None, None),
    "speech alone": (["plain-only-speech"], None, None),
}
"""Rows of Table 2 → runs behind them, and what the paper prints of its member 8 and on average."""


def test_table_2_holds_each_cell_over_its_seeds(document: ET.Element, report: Path, runs: Runs) -> None:
    dev, test = (runs.labels.partition(name) for name in ("dev", "test"))
    rows = table(document, "Table 2, cell by cell")[1:]
    assert markdown_table(report, "Table 2, cell by cell")[1:] == rows
    lines = iter(rows)
    for title, (members, of_member, on_average) in CELLS.items():
        ours = paper_protocol(dev, [posteriors(runs, member, "dev") for member in members])
        on_test = [sklearn_scores(test, posteriors(runs, member, "test")) for member in members]
        for head, member, paper in ((title, "plain", of_member), ("", "average", on_average)):
            row = next(lines)
            assert row[:3] == [head, member, str(len(members))]
            for place, of in ((3, 0), (7, 1)):
                theirs = ("–", "–") if paper is None else (f"{paper[of]:.3f}", signed(ours[of] - paper[of]))
                assert row[place : place + 3] == [theirs[0], f"{ours[of]:.3f}", theirs[1]]
            honest = [spread([(scored[of],) for scored in on_test])[0] for of in (0, 2)]
            if member == "average":  # ± is for seeds, and these are members too
                honest = [cell.partition(" ±")[0] for cell in honest]
            assert [without_interval(row[6]), row[10]] == honest
    assert next(lines, None) is None


EFFECTS = {
    "w. one-hot targets": ("DeepSER", "w. one-hot targets", slice(None), ["+0.032", "−8.23"]),
    "w/o multitask": ("DeepSER", "w/o multitask", slice(None), ["+0.009", "−2.18"]),
    "w/o rows without consensus": ("DeepSER", "w/o rows without consensus", slice(1, None), ["–", "–"]),
    "speech alone": ("DeepSER", "speech alone", slice(1), ["–", "–"]),
    "one-hot targets, both w/o rows without consensus": (
        "w/o rows without consensus", "w. one-hot targets", slice(1, None), ["–", "–"]),
}  # fmt: skip
"""Title → rows of `CELLS` with and without it, which of their two seeds both were trained from, and the paper's."""


@pytest.mark.parametrize("title", EFFECTS)
def test_table_2_says_what_is_lost_from_equal_seeds(document: ET.Element, runs: Runs, title: str) -> None:
    dev, test = (runs.labels.partition(name) for name in ("dev", "test"))
    rows = {row[0]: row for row in table(document, "Table 2. What each component brings")[1:]}
    assert list(rows) == list(EFFECTS)
    row, (base, variant, seeds, printed) = rows[title], EFFECTS[title]
    sides = [CELLS[name][0][seeds] if len(CELLS[name][0]) > 1 else CELLS[name][0] for name in (base, variant)]
    whole, ablated = (
        np.array([sklearn_scores(test, posteriors(runs, member, "test"))[0] for member in side]) for side in sides
    )
    lost = whole.mean() - ablated.mean()
    assert row[2].split(" (")[0] == signed(lost)
    if len(whole) > 1:
        low, high = stats.ttest_1samp(whole - ablated, 0).confidence_interval(0.95)
        assert row[3] == f"{signed(low)} … {signed(high)}"
        ends = [float(end) for end in re.findall(r"[-+]?\d\.\d{3}", row[2].replace("−", "-"))[1:]]
        said = "above 0" if min(low, *ends) > 0 else "below 0" if max(high, *ends) < 0 else "not told apart from 0"
        assert row[4] == said
    else:
        assert row[3] == "–"
        assert row[4].endswith("(one seed)")
    on_dev = [paper_protocol(dev, [posteriors(runs, member, "dev") for member in side])[0] for side in sides]
    less = on_dev[0] - on_dev[1]
    assert row[5:8:2] == printed
    assert [row[6], row[8]] == [signed(less), signed(-100 * less / on_dev[1], 2)]
    assert row[9] == signed(-100 * lost / whole.mean(), 2)


def test_what_could_not_be_read_beside_the_members_is_said(document: ET.Element) -> None:
    text = "".join(document.itertext())
    assert re.search(r"Left out of this report: \S*plain-zz/posteriors/dev.csv: no such file; write it with", text)
    assert "late_fusion" not in text, "put aside by a pipeline"


def test_table_3_holds_each_technique_of_each_ensemble(document: ET.Element, report: Path, runs: Runs) -> None:
    dev, test = (runs.labels.partition(name) for name in ("dev", "test"))
    found = table(document, "Table 3")[1:]
    assert markdown_table(report, "Table 3")[1:] == found
    lines = iter(found)
    printed = {"majority": ["0.439", "0.454"], "soft": ["0.439", "0.453"]}
    printed |= {"single": ["0.471", "0.470"], "soup": ["0.472", "0.471"]}
    for name, count in (("three", 3), ("two", 2)):
        for one in ("majority", "soft", "bias", "logistic", "single", "soup"):
            members = [f"seed-{seed}" for seed in (1, 2, 3)] if one == "single" else [one]
            scored = [sklearn_scores(test, technique(runs, name, member)) for member in members]
            on_dev = paper_protocol(dev, [technique(runs, name, member, "dev") for member in members])
            row = next(lines)
            assert row[0] == (f"{name} ({count} members)" if one == "majority" else "")
            paper = printed.get(one, ["–", "–"]) if name == "three" else ["–", "–"]
            assert [row[2], row[6]] == paper
            assert [row[3], row[7]] == (["–", "–"] if one == "bias" else three(on_dev))  # it is fitted on dev
            for place, theirs, ours in ((4, paper[0], on_dev[0]), (8, paper[1], on_dev[1])):
                assert row[place] == ("–" if "–" in (theirs, row[place - 1]) else signed(ours - float(theirs)))
            assert without_interval(row[5]) == spread([(scores[0],) for scores in scored])[0]
            assert row[9] == spread([(scores[2],) for scores in scored])[0]
    assert next(lines, None) is None
    assert len(pd.read_csv(report / "techniques.csv")) == 2 * 6


def test_stage_3_on_other_rows_and_without_members(document: ET.Element, runs: Runs) -> None:
    test = runs.labels.partition("test")
    rows = table(document, "Stage 3 fitted on other rows")[1:]
    folders = {"train": "three", "dev": "three-dev", "released (leaks)": "three-released"}
    assert [row[0] for row in rows] == list(folders)
    assert [row[1] for row in rows] == ["70", "60", "190"]
    soups = {name: sklearn_scores(test, technique(runs, folder, "soup"))[0] for name, folder in folders.items()}
    for row, (name, folder) in zip(rows, folders.items(), strict=True):
        assert without_interval(row[5]) == f"{soups[name]:.3f}"
        soft = sklearn_scores(test, technique(runs, folder, "soft"))[0]
        assert row[6].split(" (")[0] == signed(soups[name] - soft)
        assert row[7].split(" (")[0] == ("–" if name == "train" else signed(soups[name] - soups["train"]))
    left_out = table(document, "Leave one member out")[1:]
    assert [row[0] for row in left_out] == runs.members
    for number, row in enumerate(left_out):
        score = sklearn_scores(test, technique(runs, f"three-without-{number}", "soup"))[0]
        assert row[1].split(" (")[0] == signed(soups["train"] - score)


def test_how_annotators_disagree_is_measured_against_all_rows(document: ET.Element, runs: Runs) -> None:
    """SciPy's divergences over all test rows; calibration by hand over those with consensus."""
    test, emotions = runs.labels.partition("test"), list(runs.labels.emotions)
    shares, kept = test.targets(), test.table["EmoClass"].isin(emotions).to_numpy()
    rows = {row[0]: row[1:] for row in table(document, "How well the annotators' disagreement is told")[1:]}
    for head, name in (("majority vote", "majority"), ("soft vote", "soft"), ("soup of 3", "soup")):
        predicted = technique(runs, "three", name)
        said = predicted[emotions].to_numpy()
        floored = np.maximum(said, 1e-7)
        kl = stats.entropy(shares, floored, axis=1) - np.log(floored.sum(axis=1))  # SciPy makes them sum to 1
        js = jensenshannon(shares, said, axis=1) ** 2
        brier = ((shares - said) ** 2).sum(axis=1)
        sure = said.max(axis=1)[kept]
        right = (predicted["EmoClass"].to_numpy() == test.table["EmoClass"].to_numpy())[kept]
        bins = np.ceil(sure * 15).astype(int)
        ece = sum(abs(sure[bins == one].sum() - right[bins == one].sum()) for one in set(bins)) / kept.sum()
        assert rows[head] == three([kl.mean(), js.mean(), brier.mean(), ece])


def test_scores_by_gender_and_by_speaker(document: ET.Element, report: Path, runs: Runs) -> None:
    test = runs.labels.partition("test")
    soup = technique(runs, "three", "soup")["EmoClass"].to_numpy()
    true, kept = test.table["EmoClass"].to_numpy(), (test.table["EmoClass"] != "X").to_numpy()
    rows = table(document, "By gender")[1:]
    assert [row[0] for row in rows] == ["Female", "Male"]
    for row in rows:
        chosen = kept & (test.table["Gender"] == row[0]).to_numpy()
        size = pd.Series(true[chosen]).map(pd.Series(true[chosen]).value_counts()).to_numpy()
        balanced = f1_score(true[chosen], soup[chosen], average="macro", sample_weight=1 / size)
        assert row[1:5] == ["3", str(chosen.sum()), f"{balanced:.3f}", f"{(true == soup)[chosen].mean():.3f}"]
    of_speaker = {}
    for name in set(test.table["SpkrID"]):
        chosen = kept & (test.table["SpkrID"] == name).to_numpy()
        if chosen.sum() >= 10:
            of_speaker[name] = f1_score(true[chosen], soup[chosen], average="macro")
    assert 0 < len(of_speaker) < 6, "some have fewer rows than are shown one by one"
    speakers = pd.read_csv(report / "speakers.csv")
    assert dict(zip(speakers["speaker"], speakers["soup_f1"], strict=True)) == pytest.approx(of_speaker)
    assert speakers["soup_f1"].is_monotonic_decreasing


def test_the_headline_compares_the_soup_with_members_and_votes(document: ET.Element, report: Path, runs: Runs) -> None:
    dev, test = (runs.labels.partition(name) for name in ("dev", "test"))
    best = max(runs.members, key=lambda member: sklearn_scores(dev, posteriors(runs, member, "dev"))[0])
    soup = sklearn_scores(test, technique(runs, "three", "soup"))
    singles = [sklearn_scores(test, technique(runs, "three", f"seed-{seed}"))[0] for seed in (1, 2, 3)]
    against = {
        f"best member on dev, {best}": sklearn_scores(test, posteriors(runs, best, "test"))[0],
        "majority vote": sklearn_scores(test, technique(runs, "three", "majority"))[0],
        "soft vote": sklearn_scores(test, technique(runs, "three", "soft"))[0],
        "soft vote + bias per class": sklearn_scores(test, technique(runs, "three", "bias"))[0],
        "logistic regression": sklearn_scores(test, technique(runs, "three", "logistic"))[0],
        "single meta-classifier, mean of 3": float(np.mean(singles)),
    }
    rows = table(document, "The soup against its parts")[1:]
    numbers = pd.read_csv(report / "contrasts.csv")
    assert numbers["gain"].to_numpy() == pytest.approx([soup[0] - score for score in against.values()])
    estimates = numbers[["gain", "low", "high"]].to_numpy(dtype=float)
    for (gain, low, high), name, (head, cell, reading) in zip(estimates, against, rows, strict=True):
        assert head == name
        assert low < gain < high
        assert cell == f"{gain:+.3f} ({low:+.3f} … {high:+.3f})".replace("-", "−")
        assert reading == ("above 0" if low > 0 else "below 0" if high < 0 else "not told apart from 0")
    text = "".join(document.itertext())
    assert f"macro-F1 of {soup[0]:.3f} on 54 test rows of 6 speakers" in text
    assert "Protocol: honest" in text
    members = {member: sklearn_scores(test, posteriors(runs, member, "test"))[0] for member in runs.members}
    better = [f"{member} ({score:.3f})" for member, score in members.items() if score > soup[0]]
    assert len(better) == 3
    assert f"On test, 3 of its 3 members score above the soup: {', '.join(better)}." in text
    cards = [[part.text for part in card] for card in document.findall(".//div[@class='card']")]
    assert [card[0] for card in cards[:2]] == three((soup[0], soup[2]))


def test_ccc_of_the_attributes_is_lins_formula(document: ET.Element, runs: Runs) -> None:
    test = runs.labels.partition("test")

    def lin(predicted: pd.DataFrame) -> tuple[float, ...]:
        pairs = [(test.table[name].to_numpy(), predicted[name].to_numpy()) for name in ("EmoAct", "EmoVal", "EmoDom")]
        return tuple(
            2 * np.cov(x, y, bias=True)[0, 1] / (np.var(x) + np.var(y) + (x.mean() - y.mean()) ** 2) for x, y in pairs
        )

    expected = [[member, *three(lin(posteriors(runs, member, "test")))] for member in runs.members]
    expected += [
        ["mean of the members", *three(lin(technique(runs, "three", "majority")))],
        ["single meta-classifiers", *spread([lin(technique(runs, "three", f"seed-{seed}")) for seed in (1, 2, 3)])],
        ["soup", *three(lin(technique(runs, "three", "soup")))],
    ]
    assert table(document, "Attributes")[1:] == expected


def test_f1_by_class_is_scikit_learns(document: ET.Element, runs: Runs) -> None:
    test = runs.labels.partition("test")
    kept = (test.table["EmoClass"] != "X").to_numpy()
    true = test.table["EmoClass"].to_numpy()[kept]
    columns = [
        f1_score(true, technique(runs, "three", name)["EmoClass"].to_numpy()[kept], average=None, labels=test.emotions)
        for name in ("soup", "soft")
    ]
    rows = table(document, "F1 by class")[1:]
    assert [row[:4] for row in rows] == [
        [name, str((true == name).sum()), *three(scores)] for name, *scores in zip(test.emotions, *columns, strict=True)
    ]


def test_class_counts_before_and_after_balancing(document: ET.Element, runs: Runs) -> None:
    every = runs.labels.table
    counted = {name: Counter(every["EmoClass"][every["Partition"] == name]) for name in ("train", "dev", "test")}
    rows = table(document, "Rows by class")
    assert rows[0] == ["class", "train", "one Stage 2 epoch", "dev", "test"]
    smallest = min(counted["train"][name] for name in runs.labels.emotions)
    names = [*runs.labels.emotions, "X"]
    expected = [
        [str(counted["train"][name]), str(min(smallest, counted["train"][name])), *(
            str(counted[partition][name]) for partition in ("dev", "test")
        )]
        for name in names
    ]  # fmt: skip
    assert [row[1:] for row in rows[1:-1]] == expected
    assert [row[0] for row in rows[1:]] == [*runs.labels.emotions, "no consensus (X, O)", "all"]
    assert rows[-1][1:] == [str(sum(int(row[column]) for row in expected)) for column in range(4)]


def test_the_page_is_whole_and_loads_nothing(document: ET.Element, report: Path, runs: Runs) -> None:
    images = list(document.iter("img"))
    names = ["overview", "ablation_gains", "confusion", "confusion_rows", "reliability", "speakers"]
    names += ["curves-plain", f"curves-{runs.members[1]}", "meta_weights", "class_counts"]
    assert len(images) == len(names)
    for image, name in zip(images, names, strict=True):
        head, data = image.attrib["src"].split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == (report / f"{name}.png").read_bytes()
        assert base64.b64decode(data).startswith(PNG)
        assert image.attrib["alt"]
    text = (report / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:https?:)?//(?!\S*base64)[a-z]", re.sub(r"base64,[^\"]*", "", text))
    assert {element.tag for element in document.iter()}.isdisjoint({"script", "link", "iframe", "object", "base"})
    anchors = {element.attrib["id"] for element in document.iter("section")}
    assert {element.attrib["href"].removeprefix("#") for element in document.iter("a")} == anchors


def test_hostile_names_stay_text(document: ET.Element, report: Path, runs: Runs) -> None:
    for name in ("report.html", "report.md"):
        assert "<script" not in (report / name).read_text(encoding="utf-8")
    assert table(document, "Table 1")[2][0] == runs.members[1]
    assert document.find(".//{*}script") is None
    pictures = re.findall(r"\]\((.*)\.png\)", (report / "report.md").read_text(encoding="utf-8"))
    assert "curves-%3Cscript%3Ealert%281%29%3C%7C%24b%24%20%26%20%60c%60" in pictures


def test_what_runs_and_corpus_are_about_stands_below_the_title(document: ET.Element, report: Path) -> None:
    (header,) = document.iter("header")
    assert [(element.tag, element.text) for element in header][1] == ("p", f"{ABOUT} {CORPUS}")
    lines = (report / "report.md").read_text(encoding="utf-8").splitlines()
    assert unescape(lines[2]).replace("\\", "") == f"{ABOUT} {CORPUS}"


def test_a_second_run_writes_the_same_bytes(report: Path, runs: Runs, tmp_path: Path) -> None:
    write_report(runs.folder, runs.ensembles, [], tmp_path, ABOUT, BESIDE)
    first, second = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in (report, tmp_path))
    assert first == second


def test_without_dev_the_page_says_that_selection_saw_the_test_rows(own_runs: Runs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    headline = write_report(own_runs.folder, own_runs.ensembles, [], out)
    assert any(sentence.startswith("Protocol: the paper's. There is no dev partition") for sentence in headline)
    document = ET.fromstring((out / "report.html").read_text(encoding="utf-8"))
    for row in table(document, "Table 1")[1:]:
        assert row[6] == "–", "nothing is honest"
    assert "No member was trained without a component." in "".join(document.itertext())


def test_members_stand_in_the_order_of_the_largest_ensemble(own_runs: Runs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_report(own_runs.folder, own_runs.ensembles[::-1], [], out)
    document = ET.fromstring((out / "report.html").read_text(encoding="utf-8"))
    assert [row[0] for row in table(document, "Table 1")[1:-3]] == own_runs.members
    assert "(ensemble two)" in "".join(document.itertext())  # the headline is about the first named


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("members/plain", r"members/plain/config.yaml: .*train_deepser.py"),
        ("members/plain/posteriors/test.csv", r"test.csv: no such file; .*python eval_deepser.py .*plain/config.yaml"),
        ("ensembles/two", r"python train_metacls.py .*two.yaml paths.runs="),
        ("ensembles/three/posteriors", r"python eval_metacls.py .*three.yaml paths.runs="),
        ("ensembles/three/soup/model.safetensors", r"model.safetensors: no such file; train"),
    ],
)
def test_a_missing_run_names_the_command_that_makes_it(own_runs: Runs, damage: str, told: str) -> None:
    victim = own_runs.folder / damage
    shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    with pytest.raises(UserError, match=told):
        write_report(own_runs.folder, own_runs.ensembles, [], own_runs.folder / "report")
    assert not (own_runs.folder / "report").exists()


def test_an_unfinished_member_is_refused(own_runs: Runs) -> None:
    (own_runs.folder / "members" / "plain" / "last" / "state.json").write_text(json.dumps({"finished": False}))
    with pytest.raises(UserError, match=r"plain: not trained to its end; go on with: python train_deepser.py"):
        write_report(own_runs.folder, own_runs.ensembles, [], own_runs.folder / "report")


def test_an_ensemble_of_older_posteriors_is_refused(own_runs: Runs) -> None:
    file = own_runs.folder / "members" / "plain" / "posteriors" / "train.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("\n", "\r\n"), encoding="utf-8", newline="")
    with pytest.raises(UserError, match=r"three: trained with other posteriors .*python train_metacls.py"):
        write_report(own_runs.folder, own_runs.ensembles, [], own_runs.folder / "report")


def test_a_member_of_other_labels_is_refused(own_runs: Runs) -> None:
    (own_runs.folder / "members" / "plain" / "identity.json").write_text(json.dumps({"labels_sha256": "0"}))
    with pytest.raises(UserError, match=r"plain: trained on other labels"):
        write_report(own_runs.folder, own_runs.ensembles, [], own_runs.folder / "report")


def test_the_same_ensemble_twice_is_refused(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'three' is the name of another ensemble"):
        write_report(runs.folder, [runs.ensembles[0]] * 2, [], tmp_path / "out")


def test_weights_in_the_csv_are_the_mean_of_the_seeds(report: Path, runs: Runs) -> None:
    from safetensors.numpy import load_file

    layers = [
        load_file(runs.folder / "ensembles" / "three" / f"seed-{seed}" / "best" / "model.safetensors")[
            "layers.0.weight"
        ]
        for seed in (1, 2, 3)
    ]
    numbers = pd.read_csv(report / "meta_weights.csv")
    assert len(numbers) == 3 * 3 * 6
    inputs = [*runs.labels.emotions, "EmoAct", "EmoVal", "EmoDom"]
    for member, emotion, name, weight in zip(
        *(numbers[column].tolist() for column in ("member", "class", "input", "weight")), strict=True
    ):
        row, column = runs.labels.emotions.index(emotion), 6 * runs.members.index(member) + inputs.index(name)
        assert math.isclose(weight, np.mean([layer[row, column] for layer in layers], dtype=np.float64), abs_tol=1e-7)
