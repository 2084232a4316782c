"""A corpus that speaks, drawn from a seed: docs/synthetic.md states the mechanism and its numbers.

    felt emotion ─┬─ words ──┐
                  ├─ voice ──┴→ eSpeak NG → recording
                  └─ 5 to 9 annotators → votes → soft target, EmoClass, attributes

In `DISAGREEING` of the clips words or voice are those of another emotion, while most annotators follow the other one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from medusa.audio import resample, write_wav
from medusa.corpora.annotators import draw_votes, typical_attributes, vote_shares
from medusa.corpora.espeak import Request, speak
from medusa.corpora.msp_layout import EMOTIONS, Utterance, consensus, labels_of, votes_of, write_msp_layout
from medusa.corpora.prosody import (
    NAMES,
    SPEAKER_SPREAD,
    SPEAKERS,
    TEST3_VOICES,
    Prosody,
    Speaker,
    draw_prosody,
    draw_spread,
)
from medusa.corpora.sentences import SENTENCES
from medusa.corpora.votes import Prepared
from medusa.errors import UserError
from medusa.files import write_csv

MSP_DEVELOPMENT = dict(zip(EMOTIONS, (5836, 2341, 6344, 987, 326, 542, 1459, 7423), strict=True))
"""Rows with consensus of each emotion in MSP-Podcast's Development set."""

FELT_RATIO, CLASS_RATIO = 6, 8
"""Most frequent over rarest emotion: as felt; and, at most, as EmoClass in each partition."""

DISAGREEING = 0.3
"""Share of clips where words and voice are of different emotions; in half of them the words mislead, else the voice."""

MISLED = 0.15
"""Share of annotators who follow what misleads."""

NEUTRAL_MISLEADS = 0.5
"""Share of disagreeing clips where what misleads is Neutral (if that is not what was felt); else any other emotion."""

UNCLEAR, UNCLEAR_OTHER = 0.1, 0.5
"""Share of clips that are hard to name, and share of votes for Other there."""

TWO_SENTENCES = 0.4
"""Share of clips with two sentences instead of one."""

PARTITIONS = {"train": 0.6, "dev": 0.2, "test": 0.2}
"""Shares of the labelled clips, of the speakers of each gender, and of the sentences of each emotion."""

TEST3_CLIPS = len(EMOTIONS)
FEWEST_CLIPS = 56

Random = np.random.RandomState
T = TypeVar("T")


@dataclass(frozen=True)
class Clip:
    """One recording to be: what is said and how, and what annotators make of it."""

    utterance: Utterance
    words: str
    """The emotion of the sentences."""
    voice: str
    """The emotion of the prosody."""
    sentences: tuple[str, ...]
    speaker: Speaker
    prosody: Prosody


def prepare(out: Path, clips: int, seed: int) -> Prepared:
    """Write recordings to `out/Audios`, and all but labels.csv, which the result is meant for, to `out`.

    Raises:
        UserError: too few clips, a seed out of range, recordings of something else in `out`, or eSpeak NG is not
            installed.
    """
    planned = plan(clips, seed)
    audio = out / "Audios"
    _require_no_other_recordings(audio, planned)
    (out / "labels.csv").unlink(missing_ok=True)  # it must not describe recordings that are half replaced
    with tqdm(total=len(planned), desc="speaking", unit=" clips") as progress:
        for clip, samples in _recordings(planned):
            write_wav(audio / clip.utterance.file_name, samples)
            progress.update()
    corpus = [clip.utterance for clip in planned]
    write_msp_layout(out, corpus)
    transcripts = [[clip.utterance.file_name, " ".join(clip.sentences)] for clip in planned]
    write_csv(out / "reference_transcripts.csv", pd.DataFrame(transcripts, columns=["FileName", "Transcript"]))
    write_csv(out / "mechanism.csv", _mechanism(planned))
    return Prepared(labels_of(corpus, out / "labels.csv"), votes_of(corpus), notes=[])


def plan(clips: int, seed: int) -> list[Clip]:
    """Draw the corpus without saying it: labelled clips in the order of their names, then those of Test3.

    Raises:
        UserError: too few clips, or a seed out of range.
    """
    if clips < FEWEST_CLIPS:
        raise UserError(f"--clips {clips}: must be at least {FEWEST_CLIPS}, for every emotion to be in every partition")
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: must be 0 ... {2**32 - 1}")
    random = Random(seed)
    habits = {speaker.voice: draw_spread(random, SPEAKER_SPREAD) for speaker in SPEAKERS}
    speakers = _speakers_of_partitions(random)
    sentences = _sentences_of_partitions(random)
    rows = _rows_of_partitions(clips - TEST3_CLIPS)
    planned = []
    for partition, count in rows.items():
        drawn = _draw_partition(random, partition, count, speakers[partition], sentences[partition], habits)
        planned += sorted(drawn, key=lambda clip: clip.utterance.file_name)
    return planned + _draw_test3(random, sentences["test"], habits)


# --- who and what goes where ------------------------------------------------------------------------


def _rows_of_partitions(rows: int) -> dict[str, int]:
    held_out = {name: round(share * rows) for name, share in PARTITIONS.items() if name != "train"}
    return {"train": rows - sum(held_out.values()), **held_out}


def _cut(random: Random, items: Sequence[T]) -> dict[str, list[T]]:
    """Shuffle and cut into partitions: no item is in two of them."""
    shuffled = [items[position] for position in random.permutation(len(items))]
    counts = _rows_of_partitions(len(items))
    ends = np.cumsum(list(counts.values())).tolist()
    return {name: shuffled[end - counts[name] : end] for name, end in zip(counts, ends, strict=True)}


def _speakers_of_partitions(random: Random) -> dict[str, list[Speaker]]:
    labelled = [speaker for speaker in SPEAKERS if speaker.voice not in TEST3_VOICES]
    halves = [_cut(random, [s for s in labelled if s.gender == gender]) for gender in ("Female", "Male")]
    return {name: [*halves[0][name], *halves[1][name]] for name in PARTITIONS}


def _sentences_of_partitions(random: Random) -> dict[str, dict[str, list[str]]]:
    cuts = {emotion: _cut(random, SENTENCES[emotion]) for emotion in EMOTIONS}
    return {name: {emotion: cuts[emotion][name] for emotion in EMOTIONS} for name in PARTITIONS}


def _felt(rows: int) -> list[str]:
    """What is felt in each of `rows` clips: MSP-Podcast's shares with a floor, rounded, at least one each."""
    most = max(MSP_DEVELOPMENT.values())
    weights = np.array([max(MSP_DEVELOPMENT[emotion], most / FELT_RATIO) for emotion in EMOTIONS])
    exact = (rows - len(EMOTIONS)) * weights / weights.sum() + 1
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: rows - counts.sum()]] += 1
    return [emotion for emotion, count in zip(EMOTIONS, counts.tolist(), strict=True) for _ in range(count)]


# --- clips ------------------------------------------------------------------------------------------


def _draw_partition(
    random: Random,
    partition: str,
    rows: int,
    speakers: list[Speaker],
    sentences: dict[str, list[str]],
    habits: dict[str, Prosody],
) -> list[Clip]:
    felt = _felt(rows)
    clips = []
    for number, position in enumerate(random.permutation(rows)):
        speaker = speakers[number % len(speakers)]
        utterance = Utterance(
            file_name=f"SYNTHETIC_{speaker.number:04d}_{number + 1:04d}.wav",
            emotion=felt[position],
            speaker=str(speaker.number),
            gender=speaker.gender,
            partition=partition,
        )
        clips.append(_draw_clip(random, utterance, speaker, sentences, habits))
    return _annotated(random, clips)


def _draw_test3(random: Random, sentences: dict[str, list[str]], habits: dict[str, Prosody]) -> list[Clip]:
    """As MSP-Podcast's: balanced, unlabelled, of unknown speakers."""
    speakers = [speaker for speaker in SPEAKERS if speaker.voice in TEST3_VOICES]
    clips = []
    for number, position in enumerate(random.permutation(TEST3_CLIPS)):
        utterance = Utterance(f"SYNTHETIC_test3_{number + 1:04d}.wav", EMOTIONS[position % len(EMOTIONS)])
        clips.append(_draw_clip(random, utterance, speakers[number % len(speakers)], sentences, habits))
    return clips


def _draw_clip(
    random: Random, utterance: Utterance, speaker: Speaker, sentences: dict[str, list[str]], habits: dict[str, Prosody]
) -> Clip:
    words = voice = utterance.emotion
    if random.random_sample() < DISAGREEING:
        misleading = _draw_misleading(random, utterance.emotion)
        words, voice = (misleading, voice) if random.random_sample() < 0.5 else (words, misleading)
    spoken = random.permutation(len(sentences[words]))[: 2 if random.random_sample() < TWO_SENTENCES else 1]
    return Clip(
        utterance=utterance,
        words=words,
        voice=voice,
        sentences=tuple(sentences[words][position] for position in spoken),
        speaker=speaker,
        prosody=draw_prosody(random, voice, habits[speaker.voice]),
    )


def _draw_misleading(random: Random, felt: str) -> str:
    if felt != "Neutral" and random.random_sample() < NEUTRAL_MISLEADS:
        return "Neutral"
    others = [emotion for emotion in EMOTIONS if emotion not in (felt, "Neutral")]
    return others[random.randint(len(others))]


def _annotated(random: Random, clips: list[Clip]) -> list[Clip]:
    """The clips with votes: drawn for all of them until each emotion is some clip's consensus, none too rare."""
    while True:
        annotated = [replace(clip, utterance=_with_votes(random, clip)) for clip in clips]
        counts = Counter(clip.utterance.emo_class for clip in annotated)
        of_emotions = [counts[emotion] for emotion in EMOTIONS]
        if 0 < max(of_emotions) <= CLASS_RATIO * min(of_emotions):
            return annotated


def _with_votes(random: Random, clip: Clip) -> Utterance:
    """Each annotator follows what was felt or, seldom, what misleads; one vote for an emotion at least."""
    felt = clip.utterance.emotion
    misleading = clip.voice if clip.words == felt else clip.words
    shares = {
        choice: (1 - MISLED) * share + MISLED * vote_shares(misleading)[choice]
        for choice, share in vote_shares(felt).items()
    }
    if random.random_sample() < UNCLEAR:
        known = 1 - shares["Other"]
        shares = {choice: share * (1 - UNCLEAR_OTHER) / known for choice, share in shares.items()}
        shares["Other"] = UNCLEAR_OTHER
    attributes = (1 - MISLED) * typical_attributes(felt) + MISLED * typical_attributes(misleading)
    votes = draw_votes(random, shares, attributes, lambda primaries: set(primaries) != {"Other"})
    choices = [vote.primary if vote.primary in EMOTIONS else "Other" for vote in votes]
    return replace(clip.utterance, votes=votes, emo_class=consensus(choices))


# --- sound ------------------------------------------------------------------------------------------


def _recordings(clips: list[Clip]) -> Iterator[tuple[Clip, npt.NDArray[np.float32]]]:
    """Each clip with its samples at 16 kHz: sentences, each followed by the clip's pause."""
    speech = speak([_request(clip, sentence) for clip in clips for sentence in clip.sentences])
    for clip in clips:
        parts = []
        for _ in clip.sentences:
            said = next(speech)
            silence = np.zeros(round(said.rate * clip.prosody.pause / 1000), dtype=np.float32)
            parts += [said.samples, silence]
        yield clip, resample(np.concatenate(parts), said.rate)


def _request(clip: Clip, sentence: str) -> Request:
    prosody = {name: int(getattr(clip.prosody, name)) for name in NAMES if name != "pause"}
    return Request(sentence, clip.speaker.voice, **prosody)


# --- files ------------------------------------------------------------------------------------------


def _require_no_other_recordings(audio: Path, planned: list[Clip]) -> None:
    others = {path.name for path in audio.glob("*.wav")} - {clip.utterance.file_name for clip in planned}
    if others:
        raise UserError(f"{audio / min(others)}: not a recording of this corpus; empty the folder or change --out")


def _mechanism(clips: list[Clip]) -> pd.DataFrame:
    """What was drawn, which no model may see: for those who look into an experiment."""
    rows = [
        {
            "FileName": clip.utterance.file_name,
            "Felt": clip.utterance.emotion,
            "Words": clip.words,
            "Voice": clip.voice,
            "EspeakVoice": clip.speaker.voice,
            **{name: getattr(clip.prosody, name) for name in NAMES},
        }
        for clip in clips
    ]
    return pd.DataFrame(rows)
