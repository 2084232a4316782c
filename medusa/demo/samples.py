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
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.corpora.labels import ATTRIBUTES, Labels, labels_from_table, utterance_id, write_labels
from medusa.ensemble.posteriors import write_posteriors
from medusa.errors import UserError
from medusa.features.store import StoreWriter
from medusa.files import atomic_path, write_csv, write_text

Floats = npt.NDArray[np.float64]

EMOTIONS = ("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral")
LETTERS = dict(zip(EMOTIONS, "ASHUFDCN", strict=True)) | {"X": "X", "O": "O"}
"""MSP-Podcast's spelling of EmoClass."""

CONFUSED_WITH = {
    "Angry": ("Disgust", "Contempt"),
    "Sad": ("Fear", "Neutral"),
    "Happy": ("Surprise", "Neutral"),
    "Surprise": ("Happy", "Fear"),
    "Fear": ("Surprise", "Sad"),
    "Disgust": ("Angry", "Contempt"),
    "Contempt": ("Disgust", "Neutral"),
    "Neutral": ("Sad", "Happy"),
}
TYPICAL_ATTRIBUTES = np.array(
    [
        [5.6, 2.3, 5.3],
        [2.7, 2.5, 3.0],
        [5.0, 5.7, 4.8],
        [5.3, 4.5, 4.2],
        [4.9, 2.5, 2.7],
        [3.9, 2.3, 4.5],
        [3.5, 2.9, 4.9],
        [3.5, 4.1, 4.1],
    ]
)
"""Arousal, valence, dominance of each emotion."""

CLASSES = (*EMOTIONS, "X", "O")
ROWS = {
    "train": (9, 8, 12, 6, 5, 5, 6, 14, 5, 4),
    "dev": (3, 3, 3, 2, 2, 2, 2, 4, 2, 1),
    "test": (3, 3, 3, 2, 2, 2, 2, 4, 2, 1),
}
"""How many rows of each of `CLASSES`, in the order of the classes."""

SPEAKERS = {"train": (3, 8, 14, 21, 27, 33), "dev": (40, 45, 52), "test": (58, 63, 70)}
SPLIT_SETS = {"train": "Train", "dev": "Train", "test": "Development"}
UNLABELLED_ROWS = 6
SPEECH_DIM, TEXT_DIM = 12, 8

OTHER_PRIMARY = ("Other-confused", "Other-bored", "Other-Concerned", "Other-curious", "Other-not sure")
SECONDARY = (
    *EMOTIONS,
    *("Amused", "Frustrated", "Depressed", "Concerned", "Disappointed", "Dissapointed", "Excited", "Confused"),
    *("Annoyed", "Other"),
)


@dataclass(frozen=True)
class Vote:
    """What one annotator said of one utterance."""

    worker: str
    primary: str
    secondary: tuple[str, ...]
    attributes: tuple[int, ...]


@dataclass(frozen=True)
class Utterance:
    """One row of the corpus; an unlabelled one has no speaker and no votes."""

    file_name: str
    emotion: str
    """What was felt: the annotators, the features and the posteriors are drawn from it."""
    emo_class: str = ""
    speaker: str = ""
    gender: str = ""
    split_set: str = "Test3"
    partition: str = ""
    votes: tuple[Vote, ...] = ()

    @property
    def index(self) -> int:
        """Of the emotion."""
        return EMOTIONS.index(self.emotion)


def write_samples(out: Path, seed: int) -> list[Path]:
    """Write the corpus and all that is derived from it below `out`; the paths of what was written there.

    Raises:
        UserError: `out` holds feature stores of another seed, or the seed is out of range.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: must be 0 ... {2**32 - 1}")
    corpus = _draw_corpus(np.random.RandomState(seed))
    labels = _labels(corpus, out / "labels.csv")
    random = np.random.RandomState([seed, 1])
    speech = _features(corpus, random, SPEECH_DIM, misleading=0.08, noise=0.55, frames=(5, 12))
    text = _features(corpus, random, TEXT_DIM, misleading=0.3, noise=0.4, frames=(2, 6))
    for name, features in (("speech", speech), ("text", text)):
        _write_store(out / "features" / name, features, seed)
    _write_npy(out / "features" / "text-npy", text)
    write_labels(labels.source, labels)
    _write_annotators(out / "annotators", [utterance for utterance in corpus if utterance.votes], corpus)
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
                    split_set=SPLIT_SETS[partition],
                    partition=partition,
                    votes=_votes(emotion, emo_class, random),
                )
            )
    corpus.sort(key=lambda utterance: utterance.file_name)
    names = [f"MSP-PODCAST_test3_{number + 1:04d}.wav" for number in range(UNLABELLED_ROWS)]
    return corpus + [Utterance(name, EMOTIONS[random.randint(len(EMOTIONS))]) for name in names]


def _votes(emotion: str, emo_class: str, random: np.random.RandomState) -> tuple[Vote, ...]:
    """5 to 9 votes whose consensus is `emo_class`: drawn until it is."""
    options = [*EMOTIONS, "Other"]
    likely = dict.fromkeys(options, 0.01) | dict.fromkeys(CONFUSED_WITH[emotion], 0.14) | {emotion: 0.62, "Other": 0.05}
    if emo_class == "X":
        likely |= {emotion: 0.35, CONFUSED_WITH[emotion][0]: 0.35}
    if emo_class == "O":
        likely |= {"Other": 0.9}
    shares = np.array([likely[name] for name in options])
    workers = [f"WORKER{number:08d}" for number in np.sort(random.permutation(24)[: random.randint(5, 10)]) + 1]
    primaries = [""]
    while _consensus(primaries) != emo_class or set(primaries) == {"Other"}:
        primaries = [options[choice] for choice in random.choice(len(options), len(workers), p=shares / shares.sum())]
    centre = TYPICAL_ATTRIBUTES[EMOTIONS.index(emotion)] + random.normal(0, 0.5, 3)
    votes = []
    for worker, primary in zip(workers, primaries, strict=True):
        spelt = OTHER_PRIMARY[random.randint(len(OTHER_PRIMARY))] if primary == "Other" else primary
        also = [SECONDARY[choice] for choice in random.permutation(len(SECONDARY))[: random.randint(3)]]
        secondary = tuple(dict.fromkeys([primary, *also])) if also else ()
        attributes = np.clip(np.rint(centre + random.normal(0, 0.8, 3)), 1, 7).astype(int).tolist()
        votes.append(Vote(worker, spelt, secondary, tuple(attributes)))
    return tuple(votes)


def _consensus(primaries: list[str]) -> str:
    """The option with most votes; X where several share them, O for Other."""
    counts = {name: primaries.count(name) for name in primaries}
    winners = [name for name, count in counts.items() if count == max(counts.values())]
    return "X" if len(winners) > 1 else winners[0].replace("Other", "O")


def _soft_target(utterance: Utterance) -> list[float]:
    """Share of each emotion among the primary votes that name one."""
    named = [vote.primary for vote in utterance.votes if vote.primary in EMOTIONS]
    return [named.count(emotion) / len(named) if named else float("nan") for emotion in EMOTIONS]


def _mean_attributes(utterance: Utterance) -> list[float]:
    votes = utterance.votes
    columns = range(len(ATTRIBUTES))
    return [sum(vote.attributes[k] for vote in votes) / len(votes) if votes else float("nan") for k in columns]


def _labels(corpus: list[Utterance], source: Path) -> Labels:
    rows = [
        {
            "FileName": utterance.file_name,
            **dict(zip(EMOTIONS, _soft_target(utterance), strict=True)),
            **dict(zip(ATTRIBUTES, _mean_attributes(utterance), strict=True)),
            "EmoClass": utterance.emo_class,
            "SpkrID": utterance.speaker,
            "Gender": utterance.gender,
            "Split_Set": utterance.split_set,
            "Partition": utterance.partition,
        }
        for utterance in corpus
    ]
    return labels_from_table(source, pd.DataFrame(rows))


# --- MSP-Podcast's files ----------------------------------------------------------------------------


def _write_annotators(root: Path, labelled: list[Utterance], corpus: list[Utterance]) -> None:
    consensus = [
        [u.file_name, LETTERS[u.emo_class], *_mean_attributes(u), u.speaker, u.gender, u.split_set] for u in labelled
    ]
    columns = ["FileName", "EmoClass", *ATTRIBUTES, "SpkrID", "Gender", "Split_Set"]
    write_csv(root / "Labels" / "labels_consensus.csv", pd.DataFrame(consensus, columns=columns))

    one_field = [[u.file_name, _emo_detail(vote)] for u in labelled for vote in u.votes]
    write_csv(root / "Labels" / "labels_detailed.csv", pd.DataFrame(one_field, columns=["FileName", "EmoDetail"]))
    fields = ["EmoClass_Major", "EmoClass_Second", *ATTRIBUTES]
    by_column = [[u.file_name, vote.worker, *_fields(vote)] for u in labelled for vote in u.votes]
    table = pd.DataFrame(by_column, columns=["FileName", "Workers", *fields])
    write_csv(root / "Labels" / "labels_detailed_2.0.csv", table)
    nested = {
        u.file_name: {vote.worker: dict(zip(fields, _fields(vote), strict=True)) for vote in u.votes} for u in labelled
    }
    lines = [f"{json.dumps(name)}: {json.dumps(votes)}" for name, votes in nested.items()]
    write_text(root / "Labels" / "labels_detailed.json", "{\n" + ",\n".join(lines) + "\n}\n")

    write_text(root / "Partitions.txt", "".join(f"{u.split_set}; {u.file_name}\n" for u in corpus))
    genders = sorted({(int(u.speaker), u.gender) for u in labelled})
    speakers = [f"Speaker_{speaker}; {gender}" for speaker, gender in genders]
    speakers += [f"{u.file_name}; {u.speaker or 'Unknown'}" for u in corpus]
    write_text(root / "Speaker_ids.txt", "\n".join(speakers) + "\n")


def _emo_detail(vote: Vote) -> str:
    """One annotation as releases 1.7 to 1.12 write it; without a secondary emotion that part is missing."""
    parts = [vote.worker, vote.primary, ",".join(vote.secondary)]
    parts += [f"{letter}:{value:.6f}" for letter, value in zip("AVD", vote.attributes, strict=True)]
    return "; ".join(part for part in parts if part) + ";"


def _fields(vote: Vote) -> list[str | int]:
    return [vote.primary, ",".join(vote.secondary), *vote.attributes]


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
        shown = random.randint(len(EMOTIONS)) if random.random_sample() < misleading else utterance.index
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
    return [neighbours[row] if wrong[row] else utterance.index for row, utterance in enumerate(corpus)]


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
