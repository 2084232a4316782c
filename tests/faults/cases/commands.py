"""The subcommands of `python -m medusa` on files that are not theirs."""

from __future__ import annotations

from tests.faults.workspace import Case, Damage, cell, change, copied, noted, nothing, put, rows

TABLE = "corpus/table.csv"
PREPARE = ("medusa", "prepare", "csv", "--table", TABLE, "--audio", "corpus/audio", "--out", "new", "--no-durations")
UNLABELLED = "runs/ensembles/metacls/posteriors/soup/unlabelled.csv"
SUBMIT = ("medusa", "submission", UNLABELLED, "--out", "submission.csv", "--expect", "6")
WER = ("medusa", "wer", "--references", "corpus/transcripts.csv", "--transcripts", "said.csv")
REPORT = ("medusa", "report", "--runs", "runs", "--ensembles", "ensemble.yaml", "--out", "report")
BUNDLE = ("medusa", "bundle", "runs", "--out", "bundle")


def table(name: str, text: str, *parts: str, words: tuple[str, ...] = ()) -> Case:
    return Case(name, (*PREPARE, *words), put(TABLE, text), (TABLE, *parts))


def said(name: str, damage: Damage, *parts: str) -> Case:
    return Case(name, WER, damage, ("said.csv", *parts))


CASES = [
    Case("table missing", PREPARE, nothing, (f"{TABLE}: no such file", "check the path")),
    table("table empty", "", "not a CSV table", "expected a header line"),
    table("table of a header", "FileName,Happy,Sad\n", "no rows"),
    table("table without FileName", "File,Happy,Sad\na.wav,1,0\n", "no column 'FileName'", "the header has File"),
    table("negative votes", "FileName,Happy,Sad\na.wav,-1,2\n", "line 2", "Happy", "a number from 0 up"),
    table("votes in words", "FileName,Happy,Sad\na.wav,many,2\n", "line 2", "--class-column"),
    table("no votes", "FileName,Happy,Sad\na.wav,0,0\n", "line 2", "leave all empty if unknown"),
    table("votes partly empty", "FileName,Happy,Sad\na.wav,,2\n", "line 2", "must be 0"),
    table("one emotion", "FileName,EmoClass\na.wav,Happy\n", "at least two emotions", "found Happy"),
    table("no emotion", "FileName,SpkrID\na.wav,1\n", "no column 'EmoClass'"),
    table("class unknown", "FileName,EmoClass\na.wav,Happy\nb.wav,Calm\n", "line 3", "must be one of Happy, Sad",
          words=("--class-column", "EmoClass", "--emotions", "Happy", "Sad")),
    table("scale reversed", "FileName,Happy,Sad,EmoAct,EmoVal,EmoDom\na.wav,1,0,1,1,1\n", "",
          words=("--scale", "5", "1"))._replace(parts=("--scale 5 1", "lowest value of the attributes comes first")),
    table("speaker unknown", "FileName,Happy,Sad,SpkrID\na.wav,1,0,\nb.wav,0,1,s\n", "line 2", "--by utterance"),
    Case("submission of other recordings", (*SUBMIT[:-1], "7"), nothing,
         (UNLABELLED, "6 of 7 rows", "MSP-PODCAST_test3_0007.wav", "--prefix and --expect")),
    Case("submission of no class", SUBMIT, cell(UNLABELLED, 2, "EmoClass", "X"),
         (UNLABELLED, "line 2", "must be one of")),
    Case("submission twice", SUBMIT, rows(UNLABELLED, lambda found: found.append(found[0])),
         (UNLABELLED, "stands twice; keep one row")),
    Case("submission of labels", SUBMIT, put(UNLABELLED, "FileName,Class\na,b\n"),
         (UNLABELLED, "no column EmoClass", "as eval_metacls.py writes them")),
    said("transcripts missing", nothing, "no such file", "check the path"),
    said("transcripts of another form", put("said.csv", "FileName,Text\na.wav,b\n"), "no column Transcript",
         "expected"),
    said("transcript twice", put("said.csv", "FileName,Transcript\na.wav,b\na.flac,c\n"), "a stands twice", "keep one"),
    said("transcript with a comma", put("said.csv", "FileName,Transcript\na.wav,b,c\n"),
         "quote cells that hold commas"),
    Case("report of nothing", (*REPORT[:-1], "new", "--changes", "name=fresh"), nothing,
         ("runs/ensembles/fresh/identity.json: no such file", "train the ensemble with")),
    Case("report of damaged posteriors", REPORT,
         noted("runs/ensembles/metacls",
               change("runs/ensembles/metacls/posteriors/soup/test.csv", lambda data: data[: len(data) // 2])),
         ("runs/ensembles/metacls/posteriors/soup/test.csv", "line")),
    Case("report of a soup of another architecture", REPORT,
         copied("runs/members/deepser/best/model.safetensors", "runs/ensembles/metacls/soup/model.safetensors"),
         ("runs/ensembles/metacls/soup/model.safetensors", "from another architecture", "use the config.yaml")),
    Case("bundle of nothing", ("medusa", "bundle", "elsewhere", "--out", "bundle"), nothing, ("elsewhere",)),
    Case("bundle over another folder", ("medusa", "bundle", "runs", "--out", "samples"), nothing, ("samples",)),
    Case("pipeline missing", ("medusa", "run", "elsewhere.yaml"), nothing,
         ("elsewhere.yaml: no such config file", "check")),
]  # fmt: skip
