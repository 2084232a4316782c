"""What was said, as `FileName,Transcript`, and how many of its words a recogniser got wrong."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medusa.corpora.labels import utterance_id
from medusa.errors import UserError
from medusa.files import read_csv

COLUMNS = ("FileName", "Transcript")

APOSTROPHES = "'’"


class WordErrorRate(NamedTuple):
    """Word errors over a whole corpus: the fewest edits that turn the references into the hypotheses."""

    words: int
    """Words in the references."""
    substitutions: int
    deletions: int
    insertions: int

    @property
    def rate(self) -> float:
        """Edits per reference word, 0 or more: insertions can bring it above 1."""
        return (self.substitutions + self.deletions + self.insertions) / self.words


def read_transcripts(path: Path, remedy: str = "check the path") -> dict[str, str]:
    """Transcripts by utterance id, in file order.

    Args:
        path: A CSV with the columns FileName and Transcript.
        remedy: What the user can do if it is missing, as the end of the sentence.

    Raises:
        UserError: there is no such file, a column is missing, or an utterance stands twice.
    """
    table = read_csv(path, remedy)
    for column in COLUMNS:
        if column not in table:
            raise UserError(f"{path}: no column {column}; expected {','.join(COLUMNS)}")
    names = pd.Series([utterance_id(name) for name in table["FileName"]])
    if names.duplicated().any():
        repeated = names[names.duplicated()].iloc[0]
        raise UserError(f"{path}: {repeated} stands twice; keep one transcript for each utterance")
    return dict(zip(names, table["Transcript"], strict=True))


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> WordErrorRate:
    """Word errors, counted over all utterances together, after `normalised`; the rate is the result's `rate`.

    Args:
        references: What was said, one text per utterance.
        hypotheses: What the recogniser wrote, in the same order.

    Raises:
        ValueError: the references hold no word, or the two differ in length.
    """
    import jiwer

    said = [normalised(text) for text in references]
    words = sum(len(text.split()) for text in said)
    if not words:
        raise ValueError("the references hold no word")
    output = jiwer.process_words(said, [normalised(text) for text in hypotheses])
    return WordErrorRate(words, output.substitutions, output.deletions, output.insertions)


def normalised(text: str) -> str:
    """Lower case, no punctuation, words one space apart: `It's well-known.` is `its well known`."""
    joined = "".join(letter for letter in text.lower() if letter not in APOSTROPHES)
    spaced = (" " if unicodedata.category(letter).startswith("P") else letter for letter in joined)
    return " ".join("".join(spaced).split())


def transcript_errors(references: Path, transcripts: Path) -> WordErrorRate:
    """Word errors of a file of transcripts, joined with the references by utterance id.

    Raises:
        UserError: a file is wrong, one of the two lacks an utterance of the other, or nothing was said.
    """
    said, heard = read_transcripts(references), read_transcripts(transcripts)
    _refuse_missing(transcripts, said, heard, references)
    _refuse_missing(references, heard, said, transcripts)
    try:
        return word_error_rate(list(said.values()), [heard[utterance] for utterance in said])
    except ValueError as error:
        raise UserError(f"{references}: {error}; there is nothing to count errors in") from None


def _refuse_missing(path: Path, wanted: Mapping[str, str], found: Mapping[str, str], other: Path) -> None:
    missing = [utterance for utterance in wanted if utterance not in found]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"{path}: no row for {missing[0]!r}{more}, which {other} has; compare files of one corpus")
