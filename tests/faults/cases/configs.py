"""Configs that ask for what there is not."""

from __future__ import annotations

from tests.faults.workspace import Case, add, all_of, nothing, put

TRAIN, TRAIN_META = ("train_deepser.py", "member.yaml"), ("train_metacls.py", "ensemble.yaml")
EXTRACT, RUN = ("extract_features.py", "extract.yaml"), ("medusa", "run", "pipeline.yaml")


def key(name: str, text: str, *parts: str, words: tuple[str, ...] = TRAIN) -> Case:
    """A case whose config is the usual one with an overlay of its own."""
    parts = tuple(part.replace("HERE", "own.yaml") for part in parts)
    return Case(name, (*words, "own.yaml"), put("own.yaml", text), parts)


def word(name: str, override: str, *parts: str, words: tuple[str, ...] = TRAIN) -> Case:
    return Case(name, (*words, override), nothing, (override.partition("=")[0], *parts))


CASES = [
    key("key misspelt", "training: {bach_size: 8}", "HERE: training.bach_size: unknown key",
        "did you mean 'batch_size'"),
    key("section misspelt", "modle: {hidden_dim: 8}", "HERE: modle: unknown key", "did you mean 'model'"),
    key("key one level too high", "batch_size: 8", "HERE: batch_size: unknown key", "allowed: name, variant, features"),
    key("number as text", "training: {batch_size: '16'}", "HERE: training.batch_size: '16'", "valid integer"),
    key("text as number", "variant: 7", "HERE: variant: 7", "quote it"),
    key("true for a number", "loss: {emotion: true}", "HERE: loss.emotion: True", "valid number"),
    key("fraction of a row", "training: {batch_size: 2.5}", "HERE: training.batch_size: 2.5", "integer"),
    key("not a number", "training: {learning_rate: .nan}", "HERE: training.learning_rate: nan", "finite"),
    key("infinite", "loss: {attributes: .inf}", "HERE: loss.attributes: inf", "finite"),
    key("a section for a number", "seed: {a: 1}", "HERE: seed", "valid integer"),
    key("a number for a section", "training: 3", "HERE: training: 3", "expected `key: value` lines"),
    key("nothing for a section", "training:", "HERE: training: None", "expected `key: value` lines"),
    key("empty list", "features: []", "HERE: features: []", "at least 1"),
    key("text for a list", "features: speech", "HERE: features: 'speech'", "list"),
    key("key twice", "seed: 1\nseed: 2\n", "own.yaml, line 2", "'seed' stands twice"),
    key("not YAML", "training: {batch_size: 8", "own.yaml, line 1", "not valid YAML"),
    key("tabs", "training:\n\tbatch_size: 8\n", "own.yaml, line 2", "not valid YAML"),
    key("list of keys", "- seed: 1\n", "own.yaml", "expected `key: value` lines, found list"),
    key("Python object", "seed: !!python/object/apply:os.getpid []", "own.yaml, line 1", "not valid YAML"),
    key("base that is itself", "base: own.yaml", "own.yaml: base", "cannot be its own base"),
    key("base that is not there", "base: configs/none.yaml", "configs/none.yaml: no such config file"),
    key("base that is a number", "base: 3", "own.yaml: base: 3", "path to a YAML file"),
    key("name leads outside", "name: ../elsewhere", "HERE: name: '../elsewhere'", "should match pattern"),
    key("absolute name", "name: /elsewhere", "HERE: name: '/elsewhere'", "should match pattern"),
    key("name with a space", "name: my member", "HERE: name: 'my member'", "should match pattern"),
    key("feature store leads outside", "features: [../speech]", "HERE: features.0: '../speech'", "should match"),
    word("batch of none", "training.batch_size=0", "greater than or equal to 1"),
    word("negative epochs", "training.max_epochs=-1", "greater than or equal to 1"),
    word("dropout of all", "model.dropout=1.0", "less than 1"),
    word("probability above one", "mixup.probability=1.5", "less than or equal to 1"),
    word("learning rate of zero", "training.learning_rate=0", "greater than 0"),
    word("negative seed", "seed=-1", "greater than or equal to 0"),
    word("seed beyond 31 bits", "seed=2147483648", "less than 2147483648"),
    word("unknown choice", "targets=hard", "'soft', 'soft_consensus', 'one_hot' or 'argmax'"),
    word("heads do not divide", "model.num_heads=3", "must divide hidden_dim (32)"),
    word("more parts than rows", "training.accumulation_steps=99", "at most batch_size (16)"),
    Case("a fold that is none of them", (*TRAIN, "crossfit.fold=5"), nothing,
         ("crossfit.fold=5: crossfit.fold: 5", "there are 5 folds, 0 … 4")),
    word("unknown device", "compute.device=gpu", "should match pattern"),
    word("device not there", "compute.device=cuda:99", "use cpu or auto"),
    word("key below a number", "seed.low=1", "valid integer"),
    Case("no key", (*TRAIN, "=3"), nothing, ("'=3'", "expected key=value")),
    Case("a member's config for an ensemble", ("train_metacls.py", "member.yaml"), nothing,
         ("unknown key", "all of it together is a config for train_deepser.py and eval_deepser.py")),
    Case("an ensemble's config for a member", ("train_deepser.py", "ensemble.yaml"), nothing,
         ("unknown key", "all of it together is a config for train_metacls.py and eval_metacls.py")),
    Case("a backbone's config for a pipeline", ("medusa", "run", "extract.yaml"), nothing,
         ("all of it together is a config for extract_features.py",)),
    Case("another kind's config with a wrong key", (*TRAIN_META[:1], "member.yaml", "seed=-1"), nothing,
         ("deepser.yaml: training.accumulation_steps: unknown key", "allowed: batch_size")),
    Case("config missing", ("train_deepser.py", "none.yaml"), nothing,
         ("none.yaml: no such config file", "check the path")),
    Case("config is a folder", ("train_deepser.py", "configs"), nothing,
         ("configs: Is a directory", "give a YAML file")),
    Case("config not UTF-8", ("train_deepser.py", "own.yaml"), put("own.yaml", b"name: caf\xe9\n"),
         ("own.yaml", "byte 9", "save it as UTF-8")),
    Case("config in UTF-16", ("train_deepser.py", "own.yaml"), put("own.yaml", "name: a\n".encode("utf-16")),
         ("own.yaml", "save it as UTF-8")),
    Case("empty config, paths by default", ("train_deepser.py", "own.yaml"), put("own.yaml", ""),
         ("data/msp-podcast/labels.csv: no such file", "python -m medusa prepare")),
    word("no members", "members=[]", "at least 1", words=TRAIN_META),
    word("member twice", "members=[a, a]", "each may stand there once", words=TRAIN_META),
    word("seed twice", "seeds=[1, 1]", "each may stand there once", words=TRAIN_META),
    word("fit on what is reported", "fit_on=test", "'train', 'dev', 'crossfit' or 'released'", words=TRAIN_META),
    word("one inner fold", "training.inner_folds=1", "greater than or equal to 2", words=TRAIN_META),
    Case("a vote with a hidden layer", (*TRAIN_META, "start=vote", "hidden_dims=[4]"), nothing,
         ("start", "only a linear meta-classifier", "hidden_dims: []")),
    Case("more inner folds than speakers", (*TRAIN_META, "fit_on=dev", "training.inner_folds=7", "name=dev"), nothing,
         ("samples/labels.csv: SpkrID", "training.inner_folds: 7", "found 3", "lower it")),
    word("kind unknown", "backbone.kind=video", "'speech', 'whisper', 'text' or 'logmel'", words=EXTRACT),
    word("weights for log-mel", "backbone.model=a/b", "every kind but logmel", words=EXTRACT),
    word("shard of none", "shard_size=0", "greater than or equal to 1", words=EXTRACT),
    word("precision unknown", "compute.precision=int4", "'float32' or 'bf16'", words=EXTRACT),
    Case("no backbone", ("extract_features.py", "own.yaml"), put("own.yaml", "name: a\n"),
         ("own.yaml: backbone: missing", "add this key")),
    Case("model folder missing", ("extract_features.py", "own.yaml"),
         put("own.yaml", "base: extract.yaml\nname: a\nbackbone: {kind: speech, model: models/none}\n"),
         ("model: no such folder models/none", "demo-weights")),
    Case("folds that nothing uses", RUN, add("pipeline.yaml", "folds: ['0', '1']\n"),
         ("pipeline.yaml: folds", "goes together with {fold}")),
    Case("no ensemble to leave a member out of", RUN, add("pipeline.yaml", "leave_one_out: true\n"),
         ("pipeline.yaml: leave_one_out: True", "varies the first of `ensembles`, and there is none")),
    Case("no ensemble to vary", RUN, add("pipeline.yaml", "ensemble_overlays: [own.yaml]\n"),
         ("pipeline.yaml: ensemble_overlays: ['own.yaml']", "varies the first of `ensembles`, and there is none")),
    Case("transcripts that are no CSV", ("extract_features.py", "own.yaml"),
         put("own.yaml", "name: a\nasr: {model: models/none}\n"
             "paths: {labels: corpus/labels.csv, audio: corpus/audio, transcripts: new/said.txt}\n"),
         ("paths.transcripts: new/said.txt must end in .csv",)),
    Case("pipeline without members", ("medusa", "run", "own.yaml"),
         put("own.yaml", "name: a\ntitle: a\nprepare: csv\nfeatures: [extract.yaml]\n"),
         ("own.yaml: members: missing", "add this key")),
    Case("pipeline of a config that is not there", RUN, all_of(add("pipeline.yaml", "ensembles: [none.yaml]\n")),
         ("none.yaml: no such config file",)),
    Case("job unknown", (*RUN, "--job", "bake"), nothing, ("pipeline.yaml: no job bake", "named like ")),
    Case("no cores", (*RUN, "--cores", "0"), nothing, ("--cores 0", "at least 1")),
]  # fmt: skip
