"""The model card: readable by a hub, every figure from bundle.json, hostile names harmless."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from medusa.app.card import model_card
from medusa.app.description import Description, read_description
from medusa.evaluation.cells import decimals


@pytest.fixture
def description(bundle: Path) -> Description:
    return read_description(bundle)


def changed(description: Description, part: str, **changes: object) -> Description:
    section = getattr(description, part)
    return description.model_copy(update={part: section.model_copy(update=changes)})


def tables(card: str) -> list[list[list[str]]]:
    """As a reader of Markdown sees them: cells by row by table."""
    html = MarkdownIt("commonmark").enable("table").render(card)
    return [
        [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)]
        for table in re.findall(r"<table>(.*?)</table>", html, re.DOTALL)
    ]


def test_the_front_matter_is_what_hubs_read(bundle: Path) -> None:
    _, front, body = (bundle / "README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["pipeline_tag"] == "audio-classification"
    assert told["license"] == "other"
    assert told["tags"] == ["speech-emotion-recognition"]
    assert body.startswith("\n# MEDUSA: both\n")


def test_every_figure_is_that_of_bundle_json(description: Description) -> None:
    description = changed(
        description, "scores", emotion_f1=[0.25, None, 0.75], confusion=[[11, 12, 13], [21, 22, 23], [31, 32, 33]]
    )
    members, scores, emotions = tables(model_card(description))
    assert members[1:] == [["speech-text", "wavlm + bert", "42"], ["whisper", "encoder", "42"]]
    assert [row[1:] for row in scores[1:]] == [
        [f"{one.balanced_f1:.3f}", f"{one.macro_f1:.3f}", f"{one.accuracy:.3f}"]
        for one in description.scores.techniques
    ]
    assert scores[-1][0] == "soup (this model)"
    assert emotions[0] == ["true emotion", "F1", "said Angry", "said Sad", "said Neutral"]
    assert emotions[1:] == [
        ["Angry", "0.250", "11", "12", "13"],
        ["Sad", "–", "21", "22", "23"],
        ["Neutral", "0.750", "31", "32", "33"],
    ]


def test_figures_are_rounded_once_as_in_the_report(description: Description) -> None:
    score = description.scores.techniques[-1].model_copy(update={"accuracy": 27 / 47})
    card = model_card(changed(description, "scores", techniques=[score]))
    assert tables(card)[1][1][-1] == decimals(27 / 47) == "0.574"


def test_sections_and_statements(description: Description, bundle: Path) -> None:
    card = (bundle / "README.md").read_text()
    headings = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert headings == ["Data", "Members", "How well it does", "Intended use", "Limits", "Licence"]
    assert "Trained on noise." in card
    assert "Utterances by partition: 12 train, 6 dev, 6 test." in card
    assert "arousal, valence, dominance on the scale 1 to 7" in card
    assert "Pretrained models in use: wavlm, bert, hearing." in card
    assert f"below {description.abstention.threshold:.3f}, which a share of 20% of the dev rows is" in card
    assert "Over 6 rows with consensus of the partition test; held out." in card


def test_flattering_rows_are_called_so(description: Description) -> None:
    card = model_card(changed(description, "scores", selected_on="test"))
    assert "partition test; the members' epochs were selected on these rows, which flatters them" in card
    card = model_card(changed(description, "ensemble", fit_on="dev"))
    assert "of the dev rows, on which Stage 3 was fitted, is" in card


def test_without_attributes_nothing_is_said_of_them(description: Description) -> None:
    without = changed(description, "scores", attribute_ccc=[]).model_copy(update={"attributes": []})
    card = model_card(without)
    assert "arousal" not in card
    assert "Concordance" not in card


def test_models_of_the_hub_are_named_with_their_commit(description: Description) -> None:
    features = dict(description.features)
    backbone = features["wavlm"].backbone.model_copy(update={"model": "microsoft/wavlm_large", "revision": "a" * 40})
    features["wavlm"] = features["wavlm"].model_copy(update={"backbone": backbone})
    card = model_card(description.model_copy(update={"features": features}))
    assert f"microsoft/wavlm\\_large at {'a' * 40}, bert, hearing." in card


def test_names_cannot_become_markup(description: Description) -> None:
    hostile = ["<script>alert(1)</script>", "a | b", "**c** [x](http://x)"]
    card = model_card(description.model_copy(update={"emotions": hostile, "title": "# <b>big</b>"}))
    html = MarkdownIt("commonmark").enable("table").render(card)
    assert "<script>" not in html
    assert "<b>" not in html
    assert "href" not in html
    assert [row[0] for row in tables(card)[2][1:]] == [
        "&lt;script&gt;alert(1)&lt;/script&gt;", "a | b", "**c** [x](http://x)"
    ]  # fmt: skip
