"""Word error rate against counts made by hand, a plain edit distance and its properties."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medusa.corpora.transcripts import normalised, read_transcripts, transcript_errors, word_error_rate
from medusa.errors import UserError

WORDS = st.lists(st.sampled_from(["kids", "are", "talking", "by", "the", "door"]), max_size=6).map(" ".join)


def edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein's table, row by row."""
    above = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, 1):
        row = [i]
        for j, heard in enumerate(hypothesis, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (said != heard)))
        above = row
    return above[-1]


def test_errors_counted_by_hand() -> None:
    errors = word_error_rate(
        ["Kids are talking by the door.", "Dogs are sitting by the door", "Yes", "It's late"],
        ["kids are TALKING, by the floor", "dogs are by the the door", "", "its late now"],
    )
    # floor for door; sitting lost, the twice: or two substitutions instead, as many edits; Yes lost; now added
    assert errors.words == 15
    assert errors.substitutions + errors.deletions + errors.insertions == 5
    assert errors.rate == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("a b c", "a x c", (3, 1, 0, 0)),
        ("a b c", "a c", (3, 0, 1, 0)),
        ("a b c", "a b x c", (3, 0, 0, 1)),
        ("a b", "", (2, 0, 2, 0)),
        ("a", "a b c", (1, 0, 0, 2)),
        ("a b", "A, b!", (2, 0, 0, 0)),
    ],
)
def test_kinds_of_errors(reference: str, hypothesis: str, counts: tuple[int, int, int, int]) -> None:
    assert word_error_rate([reference], [hypothesis]) == counts


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4).filter(lambda pairs: any(said for said, _ in pairs)))
def test_the_rate_is_the_plain_edit_distance_over_the_words(pairs: list[tuple[str, str]]) -> None:
    errors = word_error_rate([said for said, _ in pairs], [heard for _, heard in pairs])
    words = sum(len(said.split()) for said, _ in pairs)
    edits = sum(edit_distance(said.split(), heard.split()) for said, heard in pairs)
    assert errors.words == words
    assert errors.rate == pytest.approx(edits / words)
    assert errors.insertions - errors.deletions == sum(len(h.split()) - len(s.split()) for s, h in pairs)


def test_nothing_said_has_no_rate() -> None:
    with pytest.raises(ValueError, match="no word"):
        word_error_rate(["", " … "], ["a", ""])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's well-known.", "its well known"),
        ("  Don’t\nSTOP!! ", "dont stop"),
        ("¿Qué?", "qué"),
        ("...", ""),
        ("5 o'clock, 7%", "5 oclock 7"),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert normalised(text) == expected


def write(path: Path, *rows: str, header: str = "FileName,Transcript") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_files_are_joined_by_utterance_not_by_row(tmp_path: Path) -> None:
    references = write(tmp_path / "r.csv", "a/1.wav,one two", "2.flac,three", '3.wav,"four, five"')
    transcripts = write(tmp_path / "t.csv", "3.wav,four five", "2.wav,tree", "a/1.flac,One two.")
    assert transcript_errors(references, transcripts) == (5, 1, 0, 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.wav,x"], r"t\.csv: no row for 'b', which .*r\.csv has"),
        (["a.wav,x", "b.wav,y", "c.wav,z"], r"r\.csv: no row for 'c', which .*t\.csv has"),
        (["a.wav,x", "b.wav,y", "b.flac,z"], r"t\.csv: b stands twice"),
    ],
)
def test_files_of_different_recordings_are_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    references = write(tmp_path / "r.csv", "a.wav,x", "b.wav,y")
    with pytest.raises(UserError, match=message):
        transcript_errors(references, write(tmp_path / "t.csv", *rows))


def test_references_without_a_word_and_other_headers_are_refused(tmp_path: Path) -> None:
    empty = write(tmp_path / "r.csv", "a.wav,", "b.wav,!")
    with pytest.raises(UserError, match=r"r\.csv: the references hold no word"):
        transcript_errors(empty, empty)
    with pytest.raises(UserError, match="no column Transcript; expected FileName,Transcript"):
        read_transcripts(write(tmp_path / "h.csv", "a.wav,x", header="FileName,Text"))
