"""What the page of `python -m medusa serve` shows, as HTML; all text in it is escaped.

What colour says is said by words or figures as well.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from medusa.app.answers import Answer, Labelling
from medusa.app.description import Abstention, Description
from medusa.app.timeline import timeline_plot
from medusa.corpora.labels import ATTRIBUTE_NAMES

ENDS = {"EmoAct": ("calm", "active"), "EmoVal": ("negative", "positive"), "EmoDom": ("weak", "strong")}
"""What 1 and 7 mean."""

EMPTY = '<div class="answer empty"><p>What the ensemble hears in your clip will stand here.</p></div>'

STYLE = """\
.gradio-container { --ours: #0072b2; --soft: #555; --line: #d5d5d5; --warn: #a04000; --tint: #eef5fa;
  --tint-warn: #fdf1e7; }
.dark .gradio-container, .gradio-container.dark { --ours: #56b4e9; --soft: #b5b5bb; --line: #4a4a50; --warn: #e69f00;
  --tint: #1c2a33; --tint-warn: #33260f; }
.html-container { padding: 0 !important; }
.intro h1 { margin: 0 0 .2rem; font-size: 1.9rem; line-height: 1.2; }
.intro p, .limits p { margin: 0; max-width: 60rem; color: var(--soft); line-height: 1.45; }
.limits p { font-size: .95rem; }
.answer { color: var(--body-text-color); overflow-wrap: anywhere; line-height: 1.45; }
.answer.empty { padding: 4.5rem 1rem; border: 1.5px dashed var(--line); border-radius: 6px; text-align: center; }
.answer.empty p { color: var(--soft); }
.answer h2 { margin: 1.5rem 0 .35rem; font-size: 1.05rem; font-weight: 600; }
.answer.along { margin-top: 1rem; }
.answer p { margin: 0; }
.answer .verdict, .answer .problem { padding: .7rem 1rem .8rem; border-left: 5px solid var(--ours);
  background: var(--tint); }
.answer .verdict b { display: block; font-size: 2.1rem; line-height: 1.25; }
.answer .verdict.unsure, .answer .problem { border-left-color: var(--warn); background: var(--tint-warn); }
.answer table { width: 100%; margin: 0; border: 0; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.answer table tr, .answer table th, .answer table td { padding: .24rem .8rem .24rem 0; border: 0; background: none;
  font-weight: 400; text-align: left; vertical-align: middle; overflow-wrap: break-word; }
.answer table th:first-child { width: 6.4rem; padding-right: 1rem; white-space: nowrap; }
.answer table td.number { width: 3rem; padding-right: 0; text-align: right; white-space: nowrap; }
.answer table tr.first th, .answer table tr.first td { font-weight: 700; }
.answer .bar { display: block; height: 1.1rem; background: var(--tint); }
.answer .bar > span { display: block; height: 100%; min-width: 2px; background: #8a9aa6; }
.answer .first .bar > span { background: var(--ours); }
.answer .scale { display: flex; align-items: center; gap: .8rem; }
.answer .scale small { flex: 0 0 4.3rem; color: var(--soft); font-size: .9rem; overflow-wrap: normal; }
.answer .scale small:first-child { text-align: right; }
.answer .scale > span { position: relative; flex: 1; height: 2px; background: var(--line); }
.answer .scale i { position: absolute; top: -6px; width: 14px; height: 14px; margin-left: -7px; border-radius: 50%;
  background: var(--ours); }
.answer .transcript { font-size: 1.1rem; }
.answer table.members th:first-child { width: 1%; }
.answer table.members td:last-child { padding-right: 0; text-align: right; }
.answer table.members td { color: var(--soft); }
.answer table.members tr.agrees td:last-child { color: var(--body-text-color); font-weight: 700; }
.answer .picture { overflow-x: auto; max-width: 64rem; margin-bottom: 1rem; background: #fff; }
.answer .picture img { display: block; width: 100%; min-width: 46rem; max-width: none; margin: 0; }
.answer table.pieces th, .answer table.pieces td { border-bottom: 1px solid var(--line); vertical-align: baseline; }
.answer table.pieces thead th { color: var(--soft); font-size: .95rem; }
@media (max-width: 40rem) {
  .intro h1 { font-size: 1.5rem; }
  .answer table th:first-child { width: 5.4rem; padding-right: .6rem; }
  .answer .scale { flex-wrap: wrap; justify-content: space-between; gap: .55rem 0; padding-top: .5rem; }
  .answer .scale > span { order: -1; flex: 0 0 100%; }
  .answer .scale small { flex: none; font-size: .85rem; }
  .answer table.scales th, .answer table.scales td.number { vertical-align: top; }
}
"""


def intro_html(description: Description) -> str:
    """The head of the page: whose ensemble this is and what it was trained on."""
    members = len(description.members)
    title = f" {escape(description.title)}" if description.title else ""
    return (
        f'<header class="intro"><h1>MEDUSA: speech emotion recognition</h1><p>Ensemble {escape(description.name)}, '
        f"{members} member{'s' * (members != 1)}.{title}</p></header>"
    )


def limits_html(megabytes: int, minutes: int) -> str:
    """What may be recorded or uploaded, and what becomes of it."""
    return (
        f'<div class="limits"><p>WAV, FLAC, OGG or MP3, at most {minutes} minutes and {megabytes} MB. Recordings stay '
        "on the machine that runs this page, which deletes them after an hour or when it stops.</p></div>"
    )


def problem_html(message: str) -> str:
    """A message where the answer would stand."""
    return f'<div class="answer"><p class="problem" role="alert">{escape(message)}</p></div>'


def answer_html(answer: Answer, abstention: Abstention, features: Mapping[str, Sequence[str]]) -> str:
    """What the ensemble says of one recording, if there is anything to judge; `features`: what each member reads."""
    summary = answer.summary()
    parts = [_verdict(summary, abstention)]
    if not summary["Note"]:
        parts += _details(summary, answer.labelling, features)
    return f'<div class="answer" aria-live="polite">{"".join(parts)}</div>'


def timeline_html(answer: Answer) -> str:
    """What it says along a recording, as a picture and in words; nothing for one piece, or if nothing was judged."""
    if len(answer.segments) == 1 or answer.summary()["Note"]:
        return ""
    picture = base64.b64encode(timeline_plot(answer)).decode()
    return (
        '<div class="answer along"><h2>Over time</h2><div class="picture"><img alt="The posteriors and attributes of '
        f'each piece; the table below has the likeliest emotions" src="data:image/png;base64,{picture}" /></div>'
        f"{_pieces(answer.timeline().to_dict('records'))}</div>"
    )


def _verdict(summary: dict[str, Any], abstention: Abstention) -> str:
    title = summary["Emotion"]
    posterior, least = _percent(summary[title]), _percent(abstention.threshold)
    if summary["Note"]:
        title, accuracy = "Nothing to judge", None
        note = f"Unsure: the recording is {summary['Note']}."
    elif summary["Unsure"]:
        note = f"Unsure: its posterior, {posterior}, is below {least}."
        accuracy = abstention.accuracy_unsure
    else:
        note = f"Sure: its posterior, {posterior}, is not below {least}."
        accuracy = abstention.accuracy_sure
    if accuracy is not None:
        note += f" Of held-out clips for which that was so, the ensemble got {_percent(accuracy)} right."
    look = "verdict unsure" if summary["Unsure"] else "verdict"
    return f'<div class="{look}"><b>{escape(title)}</b>{note}</div>'


def _details(summary: dict[str, Any], labelling: Labelling, features: Mapping[str, Sequence[str]]) -> list[str]:
    parts = [_bars(summary, labelling.emotions)]
    if labelling.attributes:
        parts.append(_scales(summary, labelling.attributes))
    if summary["Transcript"]:
        parts.append(f'<h2>Transcript</h2><p class="transcript">{escape(summary["Transcript"])}</p>')
    if len(labelling.members) > 1:
        parts.append(_members(summary, features))
    return parts


def _bars(summary: dict[str, Any], emotions: list[str]) -> str:
    rows = []
    for emotion in emotions:
        look = ' class="first"' if emotion == summary["Emotion"] else ""
        bar = f'<span class="bar"><span style="width: {summary[emotion]:.2%}"></span></span>'
        rows.append(
            f'<tr{look}><th scope="row">{escape(emotion)}</th><td>{bar}</td>'
            f'<td class="number">{_percent(summary[emotion])}</td></tr>'
        )
    return f'<h2>Emotions</h2><table class="bars">{"".join(rows)}</table>'


def _scales(summary: dict[str, Any], attributes: list[str]) -> str:
    rows = []
    for name in attributes:
        low, high = ENDS[name]
        place = f'<span><i style="left: {(summary[name] - 1) / 6:.2%}"></i></span>'
        rows.append(
            f'<tr><th scope="row">{ATTRIBUTE_NAMES[name].capitalize()}</th>'
            f'<td><span class="scale"><small>{low}</small>{place}<small>{high}</small></span></td>'
            f'<td class="number">{summary[name]:.1f}</td></tr>'
        )
    return f'<h2>Attributes, from 1 to 7</h2><table class="scales">{"".join(rows)}</table>'


def _members(summary: dict[str, Any], features: Mapping[str, Sequence[str]]) -> str:
    rows = []
    for name, own in features.items():
        choice = summary[f"Member {name}"]
        look = ' class="agrees"' if choice == summary["Emotion"] else ""
        rows.append(
            f'<tr{look}><th scope="row">{escape(name)}</th><td>{escape(" + ".join(own))}</td>'
            f"<td>{escape(choice)}</td></tr>"
        )
    agreeing = round(summary["Agreement"] * len(features))
    return f'<h2>Members: {agreeing} of {len(features)} agree</h2><table class="members">{"".join(rows)}</table>'


def _pieces(pieces: Iterable[Mapping[Any, Any]]) -> str:
    rows = []
    for piece in pieces:
        unsure = " (unsure)" if piece["Unsure"] else ""
        said = piece["Note"] or f"{piece['Emotion']} {_percent(piece[piece['Emotion']])}{unsure}"
        rows.append(
            f'<tr><th scope="row">{_clock(piece["Start"])}–{_clock(piece["End"])}</th>'
            f"<td>{escape(said)}</td><td>{escape(piece['Transcript'])}</td></tr>"
        )
    head = (
        '<thead><tr><th scope="col">Time</th><th scope="col">Emotion</th><th scope="col">Transcript</th></tr></thead>'
    )
    return f'<table class="pieces">{head}<tbody>{"".join(rows)}</tbody></table>'


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
