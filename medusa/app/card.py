"""The model card of a bundle: README.md, as model hubs show it."""

from __future__ import annotations

from medusa.app.description import Description

ATTRIBUTES = {"EmoAct": "arousal", "EmoVal": "valence", "EmoDom": "dominance"}


def model_card(description: Description) -> str:
    """Markdown with the front matter that model hubs read; every figure in it stands in bundle.json."""
    return "\n\n".join([_front_matter(), *_body(description)]) + "\n"


def _front_matter() -> str:
    return "---\nlibrary_name: medusa-ser\npipeline_tag: audio-classification\ntags: [speech-emotion-recognition]\n---"


def _body(description: Description) -> list[str]:
    attributes = ", ".join(ATTRIBUTES[name] for name in description.attributes)
    outputs = f"posteriors of {len(description.emotions)} emotions ({', '.join(description.emotions)})"
    outputs += f" and {attributes} on the scale 1 to 7" if attributes else ""
    unsure = description.abstention
    return [
        f"# MEDUSA: {description.name}",
        f"An ensemble of {len(description.members)} DeepSER members under a soup of "
        f"{len(description.ensemble.seeds)} meta-classifiers (Chatzichristodoulou et al., Interspeech 2025, "
        "reimplemented). From a recording of speech: " + outputs + ".",
        *([description.title] if description.title else []),
        "```python\nfrom medusa import Medusa\n\n"
        'print(Medusa.from_pretrained("this folder").predict(["recording.wav"]))\n```',
        "## Members",
        _members(description),
        "## How well it does",
        _scores(description),
        f"It calls itself unsure where its largest posterior is below {unsure.threshold:.3f}: of {unsure.partition} "
        f"rows, a share of {unsure.share:.0%}. Accuracy there {_percent(unsure.accuracy_unsure)}, elsewhere "
        f"{_percent(unsure.accuracy_sure)}.",
        "## Intended use and limits",
        "Research on how speech is perceived: the outputs are what annotators of its training corpus would have "
        "said of a clip, not what a speaker feels. Another language, recording situation or way of acting than in "
        "that corpus makes it worse, by how much is not known until it is measured there. It must not decide about "
        "people: not in hiring, policing, education, insurance or care. In the European Union, inferring emotions at "
        "the workplace and in education is forbidden by law (Regulation 2024/1689, article 5).",
        "## Licence",
        "The code is under the MIT licence. These weights were trained on a corpus and on pretrained models that have "
        "licences of their own; MSP-Podcast, for one, allows academic use only. Whoever shares this folder must have "
        f"looked at them. Pretrained models in use: {', '.join(_backbones(description))}.",
        "Made with " + ", ".join(f"{name} {version}" for name, version in description.versions.items()) + ".",
    ]


def _members(description: Description) -> str:
    rows = [f"| {one.name} | {' + '.join(one.config.features)} | {one.config.seed} |" for one in description.members]
    return "\n".join(["| member | features | seed |", "| --- | --- | --- |", *rows])


def _scores(description: Description) -> str:
    names = {"majority": "majority vote", "soft": "soft vote", "single": "single meta-classifier, mean", "soup": "soup"}
    rows = [
        f"| {names[one.technique]} | {one.balanced_f1:.3f} | {one.macro_f1:.3f} | {one.accuracy:.3f} |"
        for one in description.scores
    ]
    head = ["|  | class-balanced macro-F1 | macro-F1 | accuracy |", "| --- | ---: | ---: | ---: |"]
    protocol = "nothing was selected on them" if description.protocol == "honest" else "epochs were selected on them"
    return "\n".join([*head, *rows]) + f"\n\nOver {description.scored_rows:,} held-out rows with consensus; {protocol}."


def _backbones(description: Description) -> list[str]:
    models = [one.backbone.model for one in description.features.values() if one.backbone.model is not None]
    if description.transcripts is not None:
        models.append(description.transcripts.asr.model)
    return [model.rpartition("backbones/")[2] for model in dict.fromkeys(models)] or ["none"]


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"
