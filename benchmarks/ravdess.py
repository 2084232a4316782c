"""RAVDESS: members, voting, meta-classifier and soup against logistic regressions on the same features.

    python benchmarks/ravdess.py --labels data/ravdess/fold{0..4}/labels.csv --features data/ravdess/features \
        --stores whisper-tiny-l1 whisper-tiny-all whisper-tiny-all+logmel \
        --runs runs/ravdess --ensemble configs/ravdess/metacls.yaml --out docs/ravdess.md

The fold of `--labels …/fold0/labels.csv` is called fold0; its posteriors lie in RUNS/fold0, as eval_deepser.py and
eval_metacls.py write them. Folds that are not there yet are left out and named; without --runs and --ensemble only the
logistic regressions are fitted.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from medusa.config.load import load_config
from medusa.config.schema import MetaConfig
from medusa.corpora.labels import Labels, read_labels
from medusa.ensemble.posteriors import read_posteriors
from medusa.errors import UserError, command
from medusa.features.store import FeatureStore
from medusa.files import write_text
from medusa.metrics import accuracy, cluster_bootstrap, macro_f1, per_class_f1

C = 0.01
"""Inverse strength of the logistic regression's L2 penalty, fixed beforehand."""

TOLERANCE = 1e-5
"""Where lbfgs stops. At scikit-learn's 1e-4 the order of additions still decides a prediction or two."""

DRAWS, SEED = 10_000, 0
FITS = {"train": ("train",), "train+dev": ("train", "dev")}
"""What a logistic regression is fitted on → its partitions."""

LIMITS = """\
## What RAVDESS cannot show

- Its labels are hard: the emotion an actor was asked for, not what listeners heard. Nothing here speaks about soft
  targets, annotator disagreement, or rows without consensus.
- Its classes are nearly balanced (192 clips each, Neutral 96). Nothing here speaks about balanced sampling (Stage 2)
  or about α_c.
- Every clip says one of two fixed sentences. Nothing here speaks about text, or about fusing speech with text.
- The speech is acted, by 24 actors, in a studio. Spontaneous speech is harder, and its figures are lower.
- It has no attributes: the attribute head and the multitask loss are not used.
- One recording is in it twice (03-01-03-01-02-01-07 and -02-02-07), with one actor and so in one partition.
"""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


# --- rows and predictions ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Rows:
    """One partition of all folds, fold after fold; every array has shape (rows,)."""

    folds: npt.NDArray[np.str_]
    actors: npt.NDArray[np.str_]
    true: Indices
    classes: int


@dataclass(frozen=True, eq=False)
class Entry:
    """Predicted classes of one technique, shape (repeats, rows); -1 in folds that it has no predictions for.

    Seeds are repeats: the figure is their mean. `dev` is None where the technique was fitted on those rows.
    """

    label: str
    test: Indices
    dev: Indices | None


@dataclass(frozen=True, eq=False)
class Results:
    """Everything the tables show; folds and techniques that do not exist yet are absent."""

    emotions: tuple[str, ...]
    test: Rows
    dev: Rows
    members: list[Entry]
    ensemble: dict[str, Entry]
    """By technique: majority, soft, single, soup."""
    regressions: dict[str, list[Entry]]
    """By what they were fitted on, a key of `FITS`."""

    @property
    def entries(self) -> list[Entry]:
        """In the order of the tables."""
        return [*self.members, *self.ensemble.values(), *(one for fits in self.regressions.values() for one in fits)]


def read_folds(files: Sequence[Path]) -> dict[str, Labels]:
    """Labels by fold; a fold is named after its folder.

    Raises:
        UserError: two folds with one name, of different emotions, or that test the same speaker.
    """
    folds: dict[str, Labels] = {}
    tested: dict[str, Path] = {}
    for file in files:
        labels, name = read_labels(file), file.resolve().parent.name
        if name in folds:
            raise UserError(f"{file}: {folds[name].source} is called {name} too; a fold is named after its folder")
        first = next(iter(folds.values()), labels)
        if labels.emotions != first.emotions:
            raise UserError(f"{file}: other emotions than {first.source}; prepare all folds from one corpus")
        for speaker in sorted(set(labels.partition("test").table["SpkrID"])):
            if speaker in tested:
                raise UserError(f"{file}: speaker {speaker} is in test here and in {tested[speaker]}; one fold each")
            tested[speaker] = file
        folds[name] = labels
    return folds


def pool(folds: dict[str, Labels], partition: str) -> Rows:
    """The rows of one partition of all folds."""
    parts = {name: labels.partition(partition) for name, labels in folds.items()}
    return Rows(
        folds=np.repeat(list(parts), [len(part) for part in parts.values()]),
        actors=np.concatenate([part.table["SpkrID"].to_numpy(dtype=str) for part in parts.values()]),
        true=np.concatenate([part.class_indices() for part in parts.values()]),
        classes=len(next(iter(folds.values())).emotions),
    )


def read_classes(file: Path, rows: Labels) -> Indices:
    """Predicted class of each row, joined by utterance id, shape (rows,).

    Raises:
        UserError: the file has not exactly these rows, or predicts something that is no class.
    """
    table = read_posteriors(file, rows.emotions, rows.attributes)
    different = sorted(set(table.index) ^ set(rows.ids))
    if different:
        more = f" (and {len(different) - 1} more)" if len(different) > 1 else ""
        raise UserError(
            f"{file}: {different[0]!r}{more} is not in both this file and {rows.source}; run the eval script again"
        )
    predicted = pd.Index(rows.emotions).get_indexer(pd.Index(table.loc[rows.ids, "EmoClass"]))
    if (predicted < 0).any():
        raise UserError(f"{file}: {rows.ids[int((predicted < 0).argmax())]!r}, EmoClass: no class; predict again")
    return np.asarray(predicted, dtype=np.int64)


def read_predictions(folds: dict[str, Labels], runs: Path, folders: Sequence[str], partition: str) -> Indices:
    """Posteriors in some folders below `runs/<fold>` as classes, shape (folders, rows); a fold that lacks one is -1."""
    predicted = []
    for fold, labels in folds.items():
        rows = labels.partition(partition)
        files = [runs / fold / folder / f"{partition}.csv" for folder in folders]
        there = all(file.is_file() for file in files)
        classes = [read_classes(file, rows) for file in files] if there else [np.full(len(rows), -1)] * len(files)
        predicted.append(np.stack(classes))
    return np.concatenate(predicted, axis=1)


def read_ensemble(folds: dict[str, Labels], runs: Path, config: MetaConfig) -> tuple[list[Entry], dict[str, Entry]]:
    """Members and techniques of an ensemble whose `paths.runs` is ".": those that any fold has posteriors of."""

    def entry(label: str, folders: Sequence[str], fitted_on_dev: bool = False) -> Entry:
        test = read_predictions(folds, runs, folders, "test")
        return Entry(label, test, None if fitted_on_dev else read_predictions(folds, runs, folders, "dev"))

    stage3 = config.fit_on == "dev"
    members = [entry(f"member {name}", [f"members/{name}/posteriors"]) for name in config.members]
    below = f"{config.run_directory}/posteriors"
    techniques = {
        "majority": entry("majority vote", [f"{below}/majority"]),
        "soft": entry("soft vote", [f"{below}/soft"]),
        "single": entry(
            f"meta-classifier, {len(config.seeds)} seeds", [f"{below}/seed-{seed}" for seed in config.seeds], stage3
        ),
        "soup": entry("soup", [f"{below}/soup"], stage3),
    }
    techniques = {name: technique for name, technique in techniques.items() if covered(technique).any()}
    return [member for member in members if covered(member).any()], techniques


# --- logistic regressions ---------------------------------------------------------------------------


def summarise(store: FeatureStore, utterances: Iterable[str]) -> pd.DataFrame:
    """Mean and standard deviation over time, one row per utterance id, shape (utterances, 2 * dim)."""
    summaries = {}
    for utterance in utterances:
        frames = store.read(utterance).astype(np.float64)
        summaries[utterance] = np.concatenate([frames.mean(axis=0), frames.std(axis=0)])
    return pd.DataFrame.from_dict(summaries, orient="index")


def regress(folds: dict[str, Labels], label: str, summaries: pd.DataFrame) -> dict[str, Entry]:
    """One logistic regression per fold for each of `FITS`, standardised by the rows that it is fitted on."""
    entries = {}
    for name, partitions in FITS.items():
        predicted: dict[str, list[Indices]] = {"test": [], "dev": []}
        for labels in folds.values():
            parts = [labels.partition(partition) for partition in partitions]
            inputs = summaries.loc[[utterance for part in parts for utterance in part.ids]].to_numpy()
            model = fit(inputs, np.concatenate([part.class_indices() for part in parts]))
            for partition, classes in predicted.items():
                classes.append(model.predict(summaries.loc[labels.partition(partition).ids].to_numpy()))
        test, dev = (np.concatenate(classes)[None] for classes in predicted.values())
        entries[name] = Entry(f"LR {label}, {name}", test, None if "dev" in partitions else dev)
    return entries


def fit(inputs: Floats, classes: Indices) -> Any:
    """Standardise and fit; not converging is an error, not a warning."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, solver="lbfgs", tol=TOLERANCE, max_iter=10_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        return model.fit(inputs, classes)


def read_summaries(folds: dict[str, Labels], features: Path, sets: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Feature set (`NAME`, or `NAME+NAME` side by side) → summaries; every store is read once."""
    utterances = sorted({utterance for labels in folds.values() for utterance in labels.ids})
    names = sorted({name for one in sets for name in one.split("+")})
    stores = {name: summarise(FeatureStore(features / name), utterances) for name in names}
    return {one: pd.concat([stores[name] for name in one.split("+")], axis=1) for one in sets}


# --- figures ----------------------------------------------------------------------------------------


def covered(*entries: Entry) -> npt.NDArray[np.bool_]:
    """Test rows that all of the entries predict."""
    return np.asarray(np.all([entry.test[0] >= 0 for entry in entries], axis=0))


def mean_f1(true: Indices, predicted: Indices, classes: int) -> float:
    """Macro-F1, mean over repeats; `predicted` has shape (repeats, rows)."""
    return float(np.mean([macro_f1(true, repeat, classes) for repeat in predicted]))


def interval(rows: Rows, entry: Entry, draws: int) -> tuple[float, float]:
    """95 % interval of an entry's macro-F1 over the rows it covers; actors are the sampling unit."""
    kept = covered(entry)
    true, predicted = rows.true[kept], entry.test[:, kept]
    return cluster_bootstrap(
        rows.actors[kept], lambda drawn: mean_f1(true[drawn], predicted[:, drawn], rows.classes), draws, SEED
    )


def difference(rows: Rows, one: Entry, other: Entry, draws: int) -> tuple[float, float, float]:
    """Macro-F1 of `one` minus that of `other` over the rows both cover, and its 95 % interval, paired by actor."""
    kept = covered(one, other)
    true, first, second = rows.true[kept], one.test[:, kept], other.test[:, kept]

    def gain(drawn: Indices) -> float:
        scores = [mean_f1(true[drawn], predicted[:, drawn], rows.classes) for predicted in (first, second)]
        return scores[0] - scores[1]

    low, high = cluster_bootstrap(rows.actors[kept], gain, draws, SEED)
    return gain(np.arange(len(true))), low, high


def score(rows: Rows, entry: Entry, among: npt.NDArray[np.bool_]) -> float:
    """Macro-F1 of an entry over some test rows."""
    return mean_f1(rows.true[among], entry.test[:, among], rows.classes)


def dev_score(rows: Rows, entry: Entry) -> float | None:
    """Macro-F1 over the pooled dev rows of the folds that the entry covers; None where it was fitted on them."""
    if entry.dev is None:
        return None
    kept = entry.dev[0] >= 0
    return mean_f1(rows.true[kept], entry.dev[:, kept], rows.classes) if kept.any() else None


def hardest(results: Results, technique: Entry, fitted_on: str) -> Entry:
    """The logistic regression with the best macro-F1 over the test rows of a technique."""
    kept = covered(technique)
    return max(results.regressions[fitted_on], key=lambda entry: score(results.test, entry, kept))


# --- report -----------------------------------------------------------------------------------------


def report(results: Results, draws: int) -> str:
    """The tables, as Markdown."""
    sections = [coverage(results), main_table(results, draws)]
    if "soup" in results.ensemble:
        sections += [contrasts(results, draws), class_table(results)]
    return "\n\n".join([*sections, fold_table(results), LIMITS])


def coverage(results: Results) -> str:
    """Which folds the figures are over."""
    rows, folds = results.test, list(dict.fromkeys(results.test.folds.tolist()))
    actors = len(set(rows.actors.tolist()))
    given = f"Folds: {', '.join(folds)}; {len(rows.true):,} test rows of {actors} actors, each tested once."
    if "soup" not in results.ensemble:
        return f"{given} **No ensemble has been evaluated yet.**"
    done = set(rows.folds[covered(results.ensemble["soup"])].tolist())
    missing = [name for name in folds if name not in done]
    if not missing:
        return given
    return f"{given} **Incomplete: no soup yet for {', '.join(missing)}.** Figures over other test rows do not compare."


def main_table(results: Results, draws: int) -> str:
    """One row per technique."""
    rows, lines = results.test, []
    for entry in results.entries:
        kept = covered(entry)
        repeats = entry.test[:, kept]
        scores = [macro_f1(rows.true[kept], repeat, rows.classes) for repeat in repeats]
        right = np.mean([accuracy(rows.true[kept], repeat, rows.classes) for repeat in repeats])
        low, high = interval(rows, entry, draws)
        held_out = dev_score(results.dev, entry)
        cells = [
            f"{kept.sum():,}",
            f"{np.mean(scores):.3f}" + (f" ± {np.std(scores):.3f}" if len(scores) > 1 else ""),
            f"{low:.3f} … {high:.3f}",
            f"{right:.3f}",
            "–" if held_out is None else f"{held_out:.3f}",
        ]
        lines.append([entry.label, *cells])
    table = markdown(["", "test rows", "macro-F1", "95 % interval", "accuracy", "dev macro-F1"], lines)
    return f"""\
## Test figures

{table}

- Macro-F1 (plain, {rows.classes} classes) and accuracy are over the pooled test rows; several seeds: mean ± standard
  deviation over them.
- Intervals: {draws:,} bootstrap draws of whole actors, with the models as they were trained.
- LR: logistic regression (C = {C}) on mean and standard deviation over time of the features named (+: side by side),
  standardised, fitted on the partitions named last.
- Dev macro-F1 is pooled likewise. Members were selected on these rows, so theirs and the votes' are optimistic; those
  of the LR on train are not. –: fitted on dev, or not there."""


def contrasts(results: Results, draws: int) -> str:
    """Soup and soft vote against the hardest logistic regressions, paired by actor."""
    rows, lines, verdict = results.test, [], ""
    on_dev = max(results.regressions["train"], key=lambda entry: dev_score(results.dev, entry) or 0.0)
    for technique in (results.ensemble[name] for name in ("soup", "soft") if name in results.ensemble):
        opponents = {f"best on test, fitted on {name}": hardest(results, technique, name) for name in FITS}
        opponents["best on dev, fitted on train"] = on_dev
        for chosen, opponent in opponents.items():
            gain, low, high = difference(rows, technique, opponent, draws)
            lines.append(
                [f"{technique.label} − {opponent.label} ({chosen})", f"{gain:+.3f}", f"{low:+.3f} … {high:+.3f}"]
            )
            # The first contrast is the one that decides: the soup, and the same training actors.
            verdict = verdict or (
                f"**{technique.label.capitalize()} − best logistic regression on the same training actors: "
                f"{gain:+.3f}, 95 % interval {low:+.3f} … {high:+.3f}, {'' if low > 0 else 'not '}above 0.**"
            )
    seen = "members were selected on them"
    if results.ensemble["soup"].dev is None:
        seen += ", Stage 3 was fitted on them"
    actors = len(set(rows.actors[covered(results.ensemble["soup"])].tolist()))
    return f"""\
## The soup against logistic regression

{verdict}

{markdown(["", "gain in macro-F1", "95 % interval"], lines)}

- Paired: both scores are taken on the same {draws:,} draws of the {actors} actors.
- The opponent that is best on test is harder than one that could have been chosen beforehand.
- The ensemble has seen the dev actors: {seen}.
  The LR on train has not; the LR on train+dev was fitted on them."""


def class_table(results: Results) -> str:
    """F1 of each class for the soup and for the hardest logistic regression on train."""
    rows, soup = results.test, results.ensemble["soup"]
    kept, opponent = covered(soup), hardest(results, soup, "train")
    columns = [per_class_f1(rows.true[kept], entry.test[0, kept], rows.classes) for entry in (soup, opponent)]
    counts = np.bincount(rows.true[kept], minlength=rows.classes)
    lines = [
        [emotion, f"{count:,}", *(f"{score:.3f}" for score in scores)]
        for emotion, count, *scores in zip(results.emotions, counts, *columns, strict=True)
    ]
    return f"## F1 by class\n\n{markdown(['', 'test rows', soup.label, opponent.label], lines)}"


def fold_table(results: Results) -> str:
    """Macro-F1 of each fold's test rows."""
    rows, lines = results.test, []
    inside = {fold: rows.folds == fold for fold in dict.fromkeys(rows.folds.tolist())}
    for entry in results.entries:
        there = covered(entry)
        cells = [f"{score(rows, entry, fold):.3f}" if there[fold].all() else "" for fold in inside.values()]
        lines.append([entry.label, *cells])
    return f"## Macro-F1 by fold\n\n{markdown(['', *inside], lines)}"


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table: the first column is text, the rest are figures."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *lines])


def head(commands: Path | None) -> str:
    """Title, date and commands."""
    lines = [shlex.join(["python", "benchmarks/ravdess.py", *sys.argv[1:]])]
    if commands is not None:
        if not commands.is_file():
            raise UserError(f"{commands}: no such file; --commands takes a text file")
        lines.insert(0, commands.read_text(encoding="utf-8").rstrip())
    made = f"Made on {datetime.date.today()} (scikit-learn {sklearn.__version__}, NumPy {np.__version__}) by:"
    return "\n".join(["# RAVDESS", "", made, "", "```sh", *lines, "```"])


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, nargs="+", required=True, help="labels.csv of each fold")
    parser.add_argument("--features", type=Path, required=True, help="folder of the feature stores")
    parser.add_argument(
        "--stores", nargs="+", required=True, metavar="NAME[+NAME…]", help="features of one logistic regression each"
    )
    parser.add_argument("--runs", type=Path, help="folder with a run folder for each fold")
    parser.add_argument("--ensemble", type=Path, help="YAML of the ensemble: names its members and seeds")
    parser.add_argument("--commands", type=Path, help="text file: what was run before, shown at the top")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    arguments = parser.parse_args()
    if (arguments.runs is None) != (arguments.ensemble is None):
        parser.error("--runs and --ensemble go together")
    return arguments


@command
def main() -> None:
    """Fit the logistic regressions, read the posteriors, write the tables."""
    arguments = parse_arguments()
    folds = read_folds(arguments.labels)
    title = head(arguments.commands)
    members: list[Entry] = []
    ensemble: dict[str, Entry] = {}
    if arguments.ensemble is not None:
        config = load_config(MetaConfig, [arguments.ensemble], ["paths.runs=."])
        members, ensemble = read_ensemble(folds, arguments.runs, config)
    regressions: dict[str, list[Entry]] = {name: [] for name in FITS}
    with threadpool_limits(limits=1):
        for label, summaries in read_summaries(folds, arguments.features, arguments.stores).items():
            print(f"logistic regression: {label}, {summaries.shape[1]:,} inputs", flush=True)
            for name, entry in regress(folds, label, summaries).items():
                regressions[name].append(entry)
    emotions = next(iter(folds.values())).emotions
    results = Results(emotions, pool(folds, "test"), pool(folds, "dev"), members, ensemble, regressions)
    text = report(results, DRAWS)
    write_text(arguments.out, f"{title}\n\n{text}")
    print(f"{text}\nwrote {arguments.out}")


if __name__ == "__main__":
    main()
