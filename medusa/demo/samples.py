"""A made-up corpus, small enough to commit, in every format of the project and of MSP-Podcast.

    labels.csv                            soft targets, attributes, speakers, partition
    annotators/Labels/*, annotators/*.txt the votes behind it, laid out as MSP-Podcast's releases do
    features/{speech,text}/               two feature stores; features/text-npy/ is the second in the authors' layout
    posteriors/{authors-1,authors-2,ours}.csv

The bytes are a function of the seed alone. That is why draws come from `numpy.random.RandomState`, whose streams are
frozen (those of `default_rng` may change with NumPy), and no library version is written down.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.corpora.annotators import CONFUSED_WITH, TYPICAL_ATTRIBUTES, draw_votes, typical_attributes, vote_shares
from medusa.corpora.labels import ATTRIBUTES, Labels, utterance_id, write_labels
from medusa.corpora.msp_layout import EMOTIONS, Utterance, Vote, consensus, labels_of, write_msp_layout
from medusa.ensemble.posteriors import write_posteriors
from medusa.errors import UserError
from medusa.features.store import StoreWriter
from medusa.files import atomic_path, write_csv, write_text

Floats = npt.NDArray[np.float64]

CLASSES = (*EMOTIONS, "X", "O")
ROWS = {
    "train": (9, 8, 12, 6, 5, 5, 6, 14, 5, 4),
    "dev": (3, 3, 3, 2, 2, 2, 2, 4, 2, 1),
    "test": (3, 3, 3, 2, 2, 2, 2, 4, 2, 1),
}
"""How many rows of each of `CLASSES`, in the order of the classes."""

SPEAKERS = {"train": (3, 8, 14, 21, 27, 33), "dev": (40, 45, 52), "test": (58, 63, 70)}
UNLABELLED_ROWS = 6
SPEECH_DIM, TEXT_DIM = 12, 8


def write_samples(out: Path, seed: int) -> list[Path]:
    """Write the corpus and all that is derived from it below `out`; the paths of what was written there.

    Raises:
        UserError: `out` holds feature stores of another seed, or the seed is out of range.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: must be 0 ... {2**32 - 1}")
    corpus = _draw_corpus(np.random.RandomState(seed))
    labels = labels_of(corpus, out / "labels.csv")
    random = np.random.RandomState([seed, 1])
    speech = _features(corpus, random, SPEECH_DIM, misleading=0.08, noise=0.55, frames=(5, 12))
    text = _features(corpus, random, TEXT_DIM, misleading=0.3, noise=0.4, frames=(2, 6))
    for name, features in (("speech", speech), ("text", text)):
        _write_store(out / "features" / name, features, seed)
    _write_npy(out / "features" / "text-npy", text)
    write_labels(labels.source, labels)
    write_msp_layout(out / "annotators", corpus)
    random = np.random.RandomState([seed, 2])
    heard = _heard(corpus, random, misheard=0.2)
    for number in (1, 2):
        logits, attributes = _member(heard, random)
        _write_authors_posteriors(out / "posteriors" / f"authors-{number}.csv", labels, logits, attributes)
    logits, attributes = _member(heard, random)
    write_posteriors(out / "posteriors" / "ours.csv", labels, _dyadic_softmax(logits), attributes)
    write_text(out / "README.md", _readme(len(corpus), seed))
    return [out / name for name in ("labels.csv", "annotators", "features", "posteriors", "README.md")]


# --- the corpus -------------------------------------------------------------------------------------


def _draw_corpus(random: np.random.RandomState) -> list[Utterance]:
    """Labelled utterances in the order of their names, then the unlabelled ones."""
    corpus = []
    for partition, counts in ROWS.items():
        classes = [name for name, count in zip(CLASSES, counts, strict=True) for _ in range(count)]
        for number, position in enumerate(random.permutation(len(classes))):
            emo_class = classes[position]
            speaker = SPEAKERS[partition][number % len(SPEAKERS[partition])]
            emotion = emo_class if emo_class in EMOTIONS else EMOTIONS[random.randint(len(EMOTIONS))]
            corpus.append(
                Utterance(
                    file_name=f"MSP-PODCAST_{100 + 7 * speaker:04d}_{3 + 2 * number:04d}.wav",
                    emotion=emotion,
                    emo_class=emo_class,
                    speaker=str(speaker),
                    gender="Male" if speaker % 2 else "Female",
                    partition=partition,
                    votes=_votes(emotion, emo_class, random),
                )
            )
    corpus.sort(key=lambda utterance: utterance.file_name)
    names = [f"MSP-PODCAST_test3_{number + 1:04d}.wav" for number in range(UNLABELLED_ROWS)]
    return corpus + [Utterance(name, EMOTIONS[random.randint(len(EMOTIONS))]) for name in names]


def _votes(emotion: str, emo_class: str, random: np.random.RandomState) -> tuple[Vote, ...]:
    """Votes whose consensus is `emo_class`: drawn until it is."""
    shares = vote_shares(emotion)
    if emo_class == "X":
        shares |= {emotion: 0.35, CONFUSED_WITH[emotion][0]: 0.35}
    if emo_class == "O":
        shares |= {"Other": 0.9}

    def accepted(primaries: list[str]) -> bool:
        return consensus(primaries) == emo_class and set(primaries) != {"Other"}

    return draw_votes(random, shares, typical_attributes(emotion), accepted)


# --- features and posteriors ------------------------------------------------------------------------


def _features(
    corpus: list[Utterance],
    random: np.random.RandomState,
    dim: int,
    misleading: float,
    noise: float,
    frames: tuple[int, int],
) -> dict[str, npt.NDArray[np.float16]]:
    """Sequences that show the emotion, another one in a share of the utterances, beneath noise per clip and frame."""
    directions = random.normal(0, 1, (len(EMOTIONS), dim))
    features = {}
    for utterance in corpus:
        shown = random.randint(len(EMOTIONS)) if random.random_sample() < misleading else utterance.emotion_index
        clip = directions[shown] + random.normal(0, noise, dim)
        values = clip + random.normal(0, noise, (random.randint(*frames), dim))
        features[utterance_id(utterance.file_name)] = values.astype(np.float16)
    return features


def _write_store(path: Path, features: dict[str, npt.NDArray[np.float16]], seed: int) -> None:
    dim = next(iter(features.values())).shape[1]
    identity = {"name": path.name, "kind": "synthetic", "seed": seed, "dim": dim, "shard_size": 64}
    store = StoreWriter(path, identity, list(features))
    for index, utterances in enumerate(store.shards):
        store.write(index, {utterance: features[utterance] for utterance in utterances})


def _write_npy(path: Path, features: dict[str, npt.NDArray[np.float16]]) -> None:
    """One float32 file per utterance."""
    for utterance, values in features.items():
        buffer = io.BytesIO()
        np.save(buffer, values.astype(np.float32), allow_pickle=False)
        with atomic_path(path / f"{utterance}.npy") as temporary:
            temporary.write_bytes(buffer.getvalue())


def _heard(corpus: list[Utterance], random: np.random.RandomState, misheard: float) -> list[int]:
    """The emotion all members take an utterance for, (rows,): in a share of them a neighbour of the right one."""
    neighbours = [EMOTIONS.index(CONFUSED_WITH[utterance.emotion][0]) for utterance in corpus]
    wrong = random.random_sample(len(corpus)) < misheard
    return [neighbours[row] if wrong[row] else utterance.emotion_index for row, utterance in enumerate(corpus)]


def _member(heard: list[int], random: np.random.RandomState) -> tuple[Floats, Floats]:
    """Logits (rows, emotions) and attributes (rows, 3) of a member with errors of its own.

    Attributes are quarters: their text is short and exact.
    """
    logits = 1.5 * np.eye(len(EMOTIONS))[heard] + random.normal(0, 1, (len(heard), len(EMOTIONS)))
    attributes = TYPICAL_ATTRIBUTES[heard] + random.normal(0, 0.6, (len(heard), len(ATTRIBUTES)))
    return logits, np.clip(np.rint(4 * attributes) / 4, 1, 7)


def _write_authors_posteriors(path: Path, labels: Labels, logits: Floats, attributes: Floats) -> None:
    fields = [",".join(f"{number:.4f}" for number in row) for row in np.concatenate([logits, attributes], axis=1)]
    write_csv(path, pd.DataFrame({"FileName": labels.table["FileName"].to_numpy(), "Prediction": fields}))


def _dyadic_softmax(logits: Floats) -> Floats:
    """Softmax in steps of 1/1024 that sums to 1 all the same: exact in float32, whatever the last bit of exp here."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = np.rint(1024 * odds / odds.sum(axis=1, keepdims=True)) / 1024
    rows = np.arange(len(probabilities))
    probabilities[rows, probabilities.argmax(axis=1)] += 1 - probabilities.sum(axis=1)
    return np.asarray(probabilities)


def _readme(rows: int, seed: int) -> str:
    return f"""\
# samples

A made-up corpus of {rows} utterances in every format: `labels.csv` (soft targets, attributes, partition),
`annotators/` (the votes behind it in MSP-Podcast's layouts: `labels_consensus.csv`, `labels_detailed.csv` as in
releases 1.7–1.12, `labels_detailed_2.0.csv` as in 1.6 and 2.0, `labels_detailed.json`, `Partitions.txt`,
`Speaker_ids.txt`), `features/speech` and `features/text` (feature stores), `features/text-npy` (the second one as the
authors' files, one `.npy` per utterance), `posteriors/authors-1.csv` and `authors-2.csv` (two invented members as the
authors' files, logits and attributes in one field) and `posteriors/ours.csv` (a third, with the columns of
`labels.csv`). All of it, this file too, was written by `python -m medusa samples --out samples --seed {seed}`; nobody
said any of it, and scores on it (`make sample`) mean nothing beyond that the four stages run.
"""
