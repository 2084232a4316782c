"""`python -m medusa predict BUNDLE RECORDING…`: what a trained ensemble says of recordings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medusa.app.answers import Answer
    from medusa.app.segments import Segmenter

HELP = "emotions, arousal, valence, dominance and words of recordings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("bundle", metavar="BUNDLE", help="folder that python -m medusa bundle wrote, or a hub id")
    parser.add_argument(
        "recordings", type=Path, nargs="+", metavar="RECORDING", help="audio files; folders are searched to any depth"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="a .csv or .jsonl instead of a table on the terminal")
    parser.add_argument(
        "--plot", type=Path, metavar="DIR", help="folder for the timelines of recordings longer than 12 s, with plots"
    )
    parser.add_argument(
        "--segments", choices=["windows", "speech"], default="windows",
        help="cut recordings longer than 12 s evenly, or where nobody speaks (needs requirements-app.txt)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N",
        help="CPU threads (default: one a core); take 1 where other work keeps the cores busy",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Predict recording by recording; what is done stays done."""
    from tqdm import tqdm

    from medusa.app.description import FILE
    from medusa.app.model import Medusa
    from medusa.app.predictions import open_predictions
    from medusa.app.recordings import find_recordings
    from medusa.app.segments import LONGEST
    from medusa.errors import UserError
    from medusa.files import sha256

    recordings, cut = find_recordings(args.recordings), _segmenter(args.segments)
    medusa = Medusa.from_pretrained(args.bundle, device=args.device, threads=args.threads)
    identity = {"bundle": sha256(medusa.folder / FILE), "segments": args.segments}
    table = Table(medusa.labelling.attributes)
    with open_predictions(recordings, args.out, args.plot, identity) as predictions:
        missing = predictions.missing
        if len(missing) < len(recordings):
            print(f"{len(recordings) - len(missing)} of {len(recordings)} recordings are done already", file=sys.stderr)
        with tqdm(total=len(missing), desc="predict", unit=" recordings", disable=None) as progress:
            for path, answer in zip(missing, medusa.answers(missing, cut), strict=True):
                predictions.add(path, answer)
                if isinstance(answer, UserError):
                    if len(recordings) > 1:  # a single one is named by the command's end
                        progress.write(f"failed: {answer}", file=sys.stderr)
                elif args.out is None:
                    progress.write(table.line(answer), file=sys.stdout)
                progress.update()
        if not table.empty:
            doubt = f"for the (reason) given or because its largest posterior is below {medusa.labelling.threshold:.2f}"
            print(f"?: the ensemble is unsure, {doubt}")
        if args.plot is not None:
            print(f"plots of recordings longer than {LONGEST:.0f} s: {args.plot}")
        predictions.finish()
    if args.out is not None:
        print(f"predictions of {len(recordings)} recordings: {args.out}")


def _segmenter(name: str) -> Segmenter:
    from medusa.app.segments import windows

    if name == "windows":
        return windows
    from medusa.app.speech import SpeechPieces

    return SpeechPieces()


class Table:
    """Answers as lines of equal columns, the head before the first."""

    def __init__(self, attributes: list[str]) -> None:
        self._attributes, self.empty = attributes, True

    def line(self, answer: Answer) -> str:
        """One recording; `?` where the ensemble is unsure, and in brackets why if not by its posteriors."""
        from medusa.corpora.labels import ATTRIBUTE_NAMES
        from medusa.errors import one_line
        from medusa.evaluation.plots import short

        row = answer.summary()
        head = "".join(f"{ATTRIBUTE_NAMES[name]:>11}" for name in self._attributes)
        numbers = "".join(f"{row[name]:11.1f}" for name in self._attributes)
        words = f"({row['Note']})" if row["Note"] else row["Transcript"]
        file, emotion, words = map(one_line, (row["FileName"], row["Emotion"], words))
        words = words if len(words) <= 40 else f"{words[:39]}…"
        lines = [f"{'recording':<30} {'emotion':<11}{'posterior':>9} {head}  transcript"] if self.empty else []
        self.empty = False
        sure = "?" if row["Unsure"] else " "
        lines.append(
            f"{short(file, 30):<30} {short(emotion, 11):<11}{row[row['Emotion']]:9.2f}{sure}{numbers}  {words}".rstrip()
        )
        return "\n".join(lines)
