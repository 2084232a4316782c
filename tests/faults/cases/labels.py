"""Labels that are no labels, or not those that a stage needs."""

from __future__ import annotations

from tests.faults.workspace import Case, Damage, cell, change, put, remove, rows

TRAIN = ("train_deepser.py", "member.yaml", "name=fresh")
FILE = "samples/labels.csv"
AGAIN = "python -m medusa prepare"


def wrong(name: str, damage: Damage, *parts: str, words: tuple[str, ...] = TRAIN) -> Case:
    return Case(name, words, damage, (FILE, *parts))


def at(name: str, line: int, column: str, value: str, *parts: str) -> Case:
    return wrong(name, cell(FILE, line, column, value), f"line {line}", column, *parts)


def without_class(partition: str, emotion: str) -> Damage:
    """Rows of the class become rows without consensus."""

    def take(table: list[dict[str, str]]) -> None:
        for row in table:
            if row["Partition"] == partition and row["EmoClass"] == emotion:
                row["EmoClass"] = "X"

    return rows(FILE, take)


def without_partition(*names: str) -> Damage:
    def take(table: list[dict[str, str]]) -> None:
        table[:] = [row for row in table if row["Partition"] not in names]

    return rows(FILE, take)


def header(old: str, new: str) -> Damage:
    return change(FILE, lambda data: data.replace(old.encode(), new.encode(), 1))


CASES = [
    wrong("labels missing", remove(FILE), "no such file", AGAIN),
    wrong("labels empty", put(FILE, ""), "not a CSV table", "expected a header line"),
    wrong("labels are blank lines", put(FILE, "\n\n"), "not a CSV table", "expected a header line"),
    wrong("labels have a header only", change(FILE, lambda data: data.split(b"\n")[0] + b"\n"), "no rows", AGAIN),
    wrong("labels with semicolons", change(FILE, lambda data: data.replace(b",", b";")), "is it comma-separated"),
    wrong("labels with tabs", change(FILE, lambda data: data.replace(b",", b"\t")), "is it comma-separated"),
    wrong("labels in Latin-1", change(FILE, lambda data: data + "é".encode("latin-1")), "byte", "save it as UTF-8"),
    wrong("labels in UTF-16", change(FILE, lambda data: data.decode().encode("utf-16")), "save it as UTF-8"),
    wrong("labels are a picture", put(FILE, b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), "save it as UTF-8"),
    wrong("a quote that never ends", change(FILE, lambda data: data + b'"a.wav,1'), "not a CSV table", "expected"),
    wrong("a row that is too long", change(FILE, lambda data: data + b"a.wav" + b",0" * 40), "not a CSV table", "line"),
    Case("labels are a folder", (*TRAIN, "paths.labels=samples"), lambda folder: None,
         ("samples: Is a directory", "expected a CSV file")),
    wrong("FileName twice", rows(FILE, lambda table: table.append(table[4])), "line 130", "same utterance as line 6",
          "keep one row for each"),
    wrong("an utterance in two formats",
          rows(FILE, lambda table: table.append(table[4] | {"FileName": table[4]["FileName"][:-3] + "flac"})),
          "line 130", "same utterance as line 6", "keep one row for each"),
    at("FileName empty", 3, "FileName", "", "name the recording"),
    at("FileName absolute", 3, "FileName", "/elsewhere/a.wav", "relative to the audio folder"),
    at("FileName leads outside", 3, "FileName", "../a.wav", "relative to the audio folder"),
    at("FileName leads outside later", 3, "FileName", "a/../../b.wav", "relative to the audio folder"),
    at("FileName of Windows", 3, "FileName", "a\\b.wav", "with / between its parts"),
    at("FileName with a drive", 3, "FileName", "C:/a.wav", "relative to the audio folder"),
    at("FileName with a line end", 3, "FileName", "a\nb.wav", "relative to the audio folder"),
    at("probability below zero", 5, "Sad", "-0.2", "a probability cannot be negative"),
    at("probability NaN", 5, "Sad", "nan", "not a finite number"),
    at("probability infinite", 5, "Sad", "inf", "not a finite number"),
    at("probability in words", 5, "Sad", "some", "not a number"),
    at("probability missing", 5, "Sad", "", "write 0 or leave all empty"),
    wrong("probabilities sum to more", cell(FILE, 5, "Sad", "0.987"), "line 5", "Angry..Neutral: 1.987", "must be 1"),
    at("attribute below the scale", 7, "EmoVal", "0.5", "outside the scale 1-7"),
    at("attribute above the scale", 7, "EmoAct", "70", "outside the scale 1-7"),
    at("attribute missing", 7, "EmoDom", "", "fill it, or remove the columns"),
    at("attribute in words", 7, "EmoDom", "high", "not a number"),
    wrong("an attribute column missing", header("EmoVal", "Valence"), "has EmoAct, EmoDom but not EmoVal",
          "give all three attributes or none"),
    at("emotion unknown", 9, "EmoClass", "Bored", "must be one of Angry"),
    at("partition unknown", 9, "Partition", "valid", "must be train, dev, test or empty"),
    wrong("a row of a partition without a target",
          rows(FILE, lambda table: table[-1].update(Partition="train")), "line 129", "leave Partition empty"),
    wrong("column X", header("Contempt", "X"), "has a column 'X'", "remove it"),
    wrong("column twice", header("Contempt", "Disgust"), "column Disgust stands twice"),
    wrong("column without a name", header("Contempt", ""), "the header has a column", "remove it"),
    wrong("no emotion at all", put(FILE, "FileName,Partition\na.wav,train\n"), "at least two emotions", "found none"),
    wrong("no FileName", header("FileName", "File"), "no column FileName", "comma-separated"),
    wrong("a class that Stage 2 cannot draw", without_class("train", "Fear"), "partition train: no rows of class Fear",
          "prepare the corpus with another split"),
    wrong("a class that cannot be selected on", without_class("dev", "Fear"), "partition dev: no rows of class Fear",
          "prepare the corpus with another split"),
    wrong("a class that Stage 3 cannot draw", without_class("train", "Fear"), "partition train: no rows of class Fear",
          "prepare the corpus with another split", words=("train_metacls.py", "ensemble.yaml", "name=fresh")),
    wrong("nothing to train on", without_partition("train"), "no row in partition train", "prepare it with a split"),
    wrong("nothing to select on", without_partition("dev", "test"), "no row in partition test", "with a split"),
    Case("kept votes unknown", (*TRAIN, "weight_by_kept_votes=true"), lambda folder: None,
         (FILE, "no column KeptVotes", "set it to false")),
    wrong("kept votes above one",
          change(FILE, lambda data: b"\n".join(line + (b"," + (b"2" if i else b"KeptVotes")) for i, line in
                                               enumerate(data.splitlines())) + b"\n"),
          "line 2", "KeptVotes", "a share must be 0 ... 1"),
]  # fmt: skip
