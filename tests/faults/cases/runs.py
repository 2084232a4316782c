"""Run directories that hold something else, or half of it; posteriors that do not belong to the labels."""

from __future__ import annotations

from pathlib import Path

from tests.faults.workspace import Case, Damage, cell, change, copied, noted, nothing, put, remove, rows

TRAIN, EVAL = ("train_deepser.py", "member.yaml"), ("eval_deepser.py", "member.yaml")
TRAIN_META, EVAL_META = ("train_metacls.py", "ensemble.yaml"), ("eval_metacls.py", "ensemble.yaml")
FRESH_META = (*TRAIN_META, "name=fresh")
RUN, ENSEMBLE = "runs/members/deepser", "runs/ensembles/metacls"
WEIGHTS = f"{RUN}/best/model.safetensors"
POSTERIORS = f"{RUN}/posteriors/train.csv"
OURS, AUTHORS = "samples/posteriors/ours.csv", "samples/posteriors/authors-1.csv"
TRAIN_AGAIN, PREDICT_AGAIN = "train again", "predict again"


def without_attributes(folder: Path) -> None:
    data = (folder / OURS).read_text().splitlines()
    keep = [number for number, name in enumerate(data[0].split(",")) if name not in ("EmoAct", "EmoVal", "EmoDom")]
    lines = [",".join(line.split(",")[number] for number in keep) for line in data]
    put(OURS, "\n".join(lines) + "\n")(folder)


def posterior(name: str, damage: Damage, *parts: str, file: str = OURS) -> Case:
    return Case(name, FRESH_META, damage, (file, *parts))


RUNS = [
    Case("another seed in a member's run", (*TRAIN, "seed=7"), nothing,
         (f"{RUN}: holds a run with another config", "seed is 42 there, 7 here", "another name or variant, or delete")),
    Case("another batch in a member's run", (*EVAL, "training.batch_size=8"), nothing,
         (f"{RUN}: holds a run with another config", "training.batch_size is 16 there, 8 here", "delete")),
    Case("another rate in an ensemble's run", (*TRAIN_META, "training.learning_rate=0.5"), nothing,
         (f"{ENSEMBLE}: holds a run with another config", "learning_rate is 0.02 there, 0.5 here", "delete")),
    Case("labels changed since training", EVAL, cell("samples/labels.csv", 5, "Gender", "unknown"),
         (f"{RUN}: holds a run with another config", "labels_sha256", "delete")),
    Case("nothing trained", (*EVAL, "name=fresh"), nothing,
         ("runs/members/fresh: nothing is trained here yet", "run the train script")),
    Case("no ensemble trained", (*EVAL_META, "name=fresh"), nothing,
         ("runs/ensembles/fresh: nothing is trained here yet", "run the train script")),
    Case("run is a file", (*TRAIN, "name=fresh"), put("runs/members/fresh", "a file"),
         ("runs/members/fresh", "cannot be made a folder", "choose another path")),
    Case("weights of another architecture", EVAL, copied(f"{ENSEMBLE}/soup/model.safetensors", WEIGHTS),
         (WEIGHTS, "from another architecture", "use the config.yaml beside it")),
    Case("weights of another ensemble", EVAL_META, copied(WEIGHTS, f"{ENSEMBLE}/seed-1/best/model.safetensors"),
         (f"{ENSEMBLE}/seed-1/best/model.safetensors", "from another architecture", "use the config.yaml beside it")),
    Case("posteriors of earlier weights", FRESH_META, change(WEIGHTS, lambda data: data + b" "),
         (f"{RUN}: its posteriors are not those of {WEIGHTS}", "run eval_deepser.py again")),
    Case("weights cut short", EVAL, change(WEIGHTS, lambda data: data[:-100]), (WEIGHTS, "damaged", TRAIN_AGAIN)),
    Case("weights of text", EVAL, put(WEIGHTS, "no tensors"), (WEIGHTS, "damaged", TRAIN_AGAIN)),
    Case("weights empty", EVAL, put(WEIGHTS, b""), (WEIGHTS, "damaged", TRAIN_AGAIN)),
    Case("weights missing", EVAL, remove(WEIGHTS), (WEIGHTS, "no such file", "train the run")),
    Case("soup missing", EVAL_META, remove(f"{ENSEMBLE}/soup"),
         (f"{ENSEMBLE}/soup", "no such file", "train the run first")),
    Case("last weights of another architecture", TRAIN,
         copied(f"{ENSEMBLE}/soup/model.safetensors", f"{RUN}/last/model.safetensors"),
         (f"{RUN}/last/model.safetensors", "from another architecture", "config.yaml")),
    Case("optimiser cut short", TRAIN, change(f"{RUN}/last/optimizer.safetensors", lambda data: data[:50]),
         (f"{RUN}/last/optimizer.safetensors", "damaged", TRAIN_AGAIN)),
    Case("optimiser of another architecture", TRAIN,
         copied(f"{ENSEMBLE}/seed-1/last/optimizer.safetensors", f"{RUN}/last/optimizer.safetensors"),
         (f"{RUN}/last/optimizer.safetensors", TRAIN_AGAIN)),
    Case("state of text", TRAIN, put(f"{RUN}/last/state.json", "no state"),
         (f"{RUN}/last/state.json", "not readable as JSON", "delete")),
    Case("state without its epoch", TRAIN, put(f"{RUN}/last/state.json", "{}"), (f"{RUN}/last/state.json", "delete")),
    Case("state missing", TRAIN, remove(f"{RUN}/last/state.json"), (f"{RUN}/last/state.json", TRAIN_AGAIN)),
    Case("metrics lack an epoch", TRAIN, change(f"{RUN}/metrics.jsonl", lambda data: data.split(b"\n", 1)[1]),
         (f"{RUN}/metrics.jsonl: epochs are missing", TRAIN_AGAIN)),
    Case("metrics damaged", TRAIN, put(f"{RUN}/metrics.jsonl", "{\n"), (f"{RUN}/metrics.jsonl", TRAIN_AGAIN)),
    Case("identity damaged", TRAIN, put(f"{RUN}/identity.json", "[]"), (f"{RUN}/identity.json", "delete")),
    Case("best weights gone", TRAIN, remove(f"{RUN}/best"), (f"{RUN}/best", "the best weights are gone", TRAIN_AGAIN)),
]  # fmt: skip

POSTERIOR_FILES = [
    Case("member unknown", (*FRESH_META, "members=[nobody]"), nothing,
         ("runs/members/nobody/posteriors/train.csv: no such file", "python eval_deepser.py")),
    Case("member leads outside", (*FRESH_META, "members=[../../elsewhere]"), nothing,
         ("'../../elsewhere' leads outside runs/members",)),
    Case("member with an absolute name", (*FRESH_META, "members=[/elsewhere]"), nothing,
         ("'/elsewhere' leads outside runs/members",)),
    Case("member's file missing", (*FRESH_META, "members=[samples/none.csv]"), nothing,
         ("samples/none.csv: no such file", "the path of a CSV file with posteriors")),
    Case("a file among the members of a cross-fit", (*FRESH_META, "fit_on=crossfit", f"members=[{OURS}]"), nothing,
         (f"members: {OURS}: fit_on: crossfit needs the models of its folds", "leave it out, or use fit_on: train")),
    Case("member's posteriors missing", FRESH_META, remove(f"{RUN}/posteriors"),
         (f"{POSTERIORS}: no such file", "python eval_deepser.py runs/members/deepser/config.yaml")),
    Case("posteriors of other posteriors' ensemble", EVAL_META, noted(RUN, cell(POSTERIORS, 3, "EmoClass", "Sad")),
         (f"{ENSEMBLE}: holds a run with another config", "posteriors_sha256.deepser", "delete")),
    posterior("posteriors empty", put(OURS, ""), "not a CSV table", "expected a header line"),
    posterior("posteriors of a header", change(OURS, lambda data: data.split(b"\n")[0]), "no rows", PREDICT_AGAIN),
    posterior("posteriors with semicolons", change(OURS, lambda data: data.replace(b",", b";")), "comma-separated"),
    posterior("posteriors in Latin-1", change(OURS, lambda data: data + b"caf\xe9"), "save it as UTF-8"),
    posterior("posterior below zero", cell(OURS, 4, "Happy", "-0.5"), "line 4", "Happy", "cannot be negative"),
    posterior("posterior NaN", cell(OURS, 4, "Happy", "nan"), "line 4", "Happy", "not a finite number"),
    posterior("posterior empty", cell(OURS, 4, "Happy", ""), "line 4", "Happy", "write 0"),
    posterior("posteriors sum to more", cell(OURS, 4, "Happy", "0.9"), "line 4", "is the sum, must be 1"),
    posterior("predicted attribute in words", cell(OURS, 4, "EmoVal", "high"), "line 4", "EmoVal", PREDICT_AGAIN),
    posterior("posteriors of another label set", change(OURS, lambda data: data.replace(b"Contempt", b"Calm", 1)),
              "another label set (missing: Contempt; unknown: Calm)", PREDICT_AGAIN),
    posterior("posteriors without attributes", without_attributes, "no attributes", "cannot be stacked with others"),
    posterior("posterior twice", rows(OURS, lambda table: table.append(table[3])), "same utterance as line 5",
              "keep one"),
    posterior("posteriors of other utterances", rows(OURS, lambda table: table.pop(3)), "no row for 'MSP-PODCAST",
              PREDICT_AGAIN),
    posterior("a row too many",
              noted(RUN, rows(POSTERIORS, lambda table: table.append(table[3] | {"FileName": "new.wav"}))),
              "a row for 'new'", PREDICT_AGAIN, file=POSTERIORS),
    posterior("authors' field too short", cell(AUTHORS, 6, "Prediction", "1,2,3"), "line 6", "3 values, expected 11",
              PREDICT_AGAIN, file=AUTHORS),
    posterior("authors' field in words", cell(AUTHORS, 6, "Prediction", "a,b,c,d,e,f,g,h,i,j,k"), "line 6",
              "Angry: not a finite number", PREDICT_AGAIN, file=AUTHORS),
    posterior("predicted class unknown", cell(OURS, 4, "EmoClass", "Bored"), "line 4", "must be one of"),
]  # fmt: skip

CASES = [*RUNS, *POSTERIOR_FILES]
