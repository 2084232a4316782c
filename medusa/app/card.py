"""The model card of a bundle: README.md, as model hubs show it."""

from __future__ import annotations

from collections.abc import Sequence

from medusa.app.description import BACKBONES, Description
from medusa.corpora.labels import ATTRIBUTE_NAMES
from medusa.ensemble.evaluate import TECHNIQUES
from medusa.evaluation.cells import decimals
from medusa.evaluation.page import NO_VALUE, plain_markdown

FRONT_MATTER = """\
---
library_name: medusa-ser
pipeline_tag: audio-classification
license: other
tags:
- speech-emotion-recognition
---"""


def model_card(description: Description) -> str:
    """Markdown with the front matter that model hubs read; every figure in it stands in bundle.json."""
    about = [plain_markdown(description.title)] if description.title else []
    return (
        "\n\n".join(
            [
                FRONT_MATTER,
                f"# MEDUSA: {description.name}",
                _what_it_is(description),
                '```python\nfrom medusa import Medusa\n\nprint(Medusa.from_pretrained("FOLDER OR HUB ID").predict'
                '(["recording.wav"]))\n```',
                "## Data",
                *about,
                _data(description),
                "## Members",
                _members(description),
                "## How well it does",
                *_scores(description),
                *_emotions(description),
                *_attributes(description),
                _abstention(description),
                *_use(),
                "## Licence",
                _licence(description),
                "Made with " + ", ".join(f"{name} {version}" for name, version in description.versions.items()) + ".",
            ]
        )
        + "\n"
    )


def _what_it_is(description: Description) -> str:
    emotions = ", ".join(map(plain_markdown, description.emotions))
    attributes = ", ".join(ATTRIBUTE_NAMES[name] for name in description.attributes)
    return (
        f"An ensemble of DeepSER networks ({len(description.members)}) under a soup of meta-classifiers "
        f"({len(description.ensemble.seeds)}), after Chatzichristodoulou et al., Interspeech 2025. From a recording of "
        f"speech: posteriors of {len(description.emotions)} emotions ({emotions})"
        + (f" and {attributes} on the scale 1 to 7." if attributes else ".")
    )


def _data(description: Description) -> str:
    rows = ", ".join(f"{count:,} {name}" for name, count in description.rows.items())
    return (
        f"Utterances by partition: {rows}. No recording, transcript or name of a speaker is in this folder. Which "
        "recordings and annotators there were, and who is heard or missing among them, is for the corpus to say."
    )


def _members(description: Description) -> str:
    rows = [[one.name, " + ".join(one.config.features), str(one.config.seed)] for one in description.members]
    return _table(["member", "features", "seed"], rows)


def _scores(description: Description) -> list[str]:
    scores = description.scores
    rows = [
        [_technique(one.technique), *map(_figure, (one.balanced_f1, one.macro_f1, one.accuracy))]
        for one in scores.techniques
    ]
    selected = scores.partition == scores.selected_on
    caution = "the members' epochs were selected on these rows, which flatters them" if selected else "held out"
    return [
        _table(["", "class-balanced macro-F1", "macro-F1", "accuracy"], rows, numbers=3),
        f"Over {scores.rows:,} rows with consensus of the partition {scores.partition}; {caution}.",
    ]


def _technique(name: str) -> str:
    suffix = {"single": ", mean over seeds", "soup": " (this model)"}.get(name, "")
    return TECHNIQUES.get(name, name) + suffix


def _emotions(description: Description) -> list[str]:
    """F1 per emotion beside the confusions: of the true emotion by row, how often each was predicted."""
    scores = description.scores
    rows = [
        [name, _figure(f1), *map(str, counts)]
        for name, f1, counts in zip(description.emotions, scores.emotion_f1, scores.confusion, strict=True)
    ]
    head = ["true emotion", "F1", *(f"said {name}" for name in description.emotions)]
    return ["The soup, emotion by emotion, with how often it said what:", _table(head, rows, numbers=len(head) - 1)]


def _attributes(description: Description) -> list[str]:
    if not description.attributes:
        return []
    told = zip(description.attributes, description.scores.attribute_ccc, strict=True)
    agreement = ", ".join(f"{ATTRIBUTE_NAMES[name]} {_figure(value)}" for name, value in told)
    return [f"Concordance (CCC) of its attributes with the annotators' means: {agreement}."]


def _abstention(description: Description) -> str:
    unsure = description.abstention
    fitted = ", on which Stage 3 was fitted," if unsure.partition == description.ensemble.fit_on else ""
    return (
        f"It calls itself unsure where its largest posterior is below {decimals(unsure.threshold)}, which a share of "
        f"{unsure.share:.0%} of the {unsure.partition} rows{fitted} is. Accuracy there: "
        f"{_percent(unsure.accuracy_unsure)}; on the others: {_percent(unsure.accuracy_sure)}."
    )


def _use() -> list[str]:
    return [
        "## Intended use",
        "Research on how speech is perceived. The outputs are what annotators of the training corpus would have said "
        "of a clip, not what a speaker feels.",
        "## Limits",
        "Another language, recording situation or way of acting than in the training corpus makes it worse; by how "
        "much is not known until it is measured there. The figures above hold for that corpus alone. It must not "
        "decide about people: not in hiring, policing, education, insurance or care. In the European Union, inferring "
        "emotions at the workplace and in education is forbidden by law but for medical or safety reasons (Regulation "
        "2024/1689, article 5).",
    ]


def _licence(description: Description) -> str:
    return (
        "The code is under the MIT licence. These weights were trained on a corpus and with pretrained models that "
        "have licences of their own; MSP-Podcast, for one, allows academic use only. Look at them before you share "
        f"this folder. Pretrained models in use: {', '.join(map(plain_markdown, _models(description))) or 'none'}."
    )


def _models(description: Description) -> list[str]:
    """Each once: those of the hub with their commit."""
    named = [(one.backbone.model, one.backbone.revision) for one in description.features.values()]
    if description.transcripts is not None:
        named.append((description.transcripts.asr.model, description.transcripts.asr.revision))
    return [
        model.removeprefix(f"{BACKBONES}/") + (f" at {revision}" if revision else "")
        for model, revision in dict.fromkeys(named)
        if model is not None
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """`numbers`: how many columns, from the right, hold numbers."""
    rule = ["---"] * (len(head) - numbers) + ["---:"] * numbers
    cells = [map(plain_markdown, head), rule, *(map(plain_markdown, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _figure(value: float | None) -> str:
    return NO_VALUE if value is None else decimals(value)


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"
