"""How long `medusa prepare msp-podcast` reads, and how much memory it takes, for each layout of the annotations.

    python benchmarks/msp_podcast.py

Makes up a release of the size of the real one in a temporary folder, and reads each of its layouts in a process of its
own. Seconds are those of reading, splitting and writing labels.csv, without the start of Python and the data card.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from medusa.corpora.labels import ATTRIBUTES, write_labels
from medusa.corpora.msp_annotations import DETAIL, WORKER
from medusa.corpora.msp_layout import EMOTIONS, FIELDS
from medusa.corpora.msp_podcast import CONSENSUS_COLUMNS, prepare
from medusa.errors import command
from medusa.files import write_csv, write_text

LAYOUTS = {"one field": "labels_detailed.csv", "columns": "labels_detailed_2.0.csv", "JSON": "labels_detailed.json"}
SPEAKERS, WORKERS, FREE_TEXTS = 3000, 14_000, 1400
SECONDARY = (
    *EMOTIONS,
    "Amused",
    "Frustrated",
    "Depressed",
    "Concerned",
    "Disappointed",
    "Excited",
    "Confused",
    "Other",
)
KIBIBYTES_PER_GIBIBYTE = 2**20


def make_release(root: Path, rows: int, annotations: int) -> None:
    """Write Labels/ with random votes, at least five for each recording."""
    random = np.random.default_rng(0)
    names = pd.Series([f"MSP-PODCAST_{row // 60:04d}_{row % 60:04d}.wav" for row in range(rows)])
    of_row = np.sort(np.concatenate([np.repeat(np.arange(rows), 5), random.integers(0, rows, annotations - 5 * rows)]))
    choices = np.array([*EMOTIONS, *(f"Other-text {number}" for number in range(FREE_TEXTS))], dtype=object)
    chosen = np.where(random.random(annotations) < 0.95, random.integers(0, 8, annotations), 0)
    other = random.random(annotations) < 0.05
    chosen[other] = random.integers(8, len(choices), other.sum())
    pairs = np.array([f"{first},{second}" for first in SECONDARY for second in SECONDARY], dtype=object)
    table = pd.DataFrame({"FileName": names.to_numpy()[of_row]})
    table[WORKER] = [f"WORKER{worker:08d}" for worker in random.integers(0, WORKERS, annotations).tolist()]
    table[FIELDS[0]] = choices[chosen]
    table[FIELDS[1]] = np.where(
        random.random(annotations) < 0.3, "", pairs[random.integers(0, len(pairs), annotations)]
    )
    table[list(ATTRIBUTES)] = random.integers(1, 8, (annotations, 3))
    write_csv(root / "Labels" / LAYOUTS["columns"], table)
    _write_one_field(root / "Labels" / LAYOUTS["one field"], table)
    _write_json(root / "Labels" / LAYOUTS["JSON"], table)

    means = table.groupby("FileName")[list(ATTRIBUTES)].mean().round(6).loc[names.tolist()].reset_index()
    consensus = means.assign(EmoClass=random.choice(list("ASHUFDCNXO"), rows), Gender="Female")
    consensus["SpkrID"] = random.integers(0, SPEAKERS, rows)
    consensus["Split_Set"] = random.choice(["Train", "Development"], rows)
    write_csv(root / "Labels" / "labels_consensus.csv", consensus[list(CONSENSUS_COLUMNS)])


def _write_one_field(path: Path, table: pd.DataFrame) -> None:
    texts = [
        f"{worker}; {major}; {f'{second}; ' if second else ''}A:{act:.6f}; V:{val:.6f}; D:{dom:.6f};"
        for worker, major, second, act, val, dom in table[[WORKER, *FIELDS]].itertuples(index=False)
    ]
    write_csv(path, pd.DataFrame({"FileName": table["FileName"], DETAIL: texts}))


def _write_json(path: Path, table: pd.DataFrame) -> None:
    nested: dict[str, dict[str, dict[str, object]]] = {}
    for name, worker, *said in table[["FileName", WORKER, *FIELDS]].itertuples(index=False):
        nested.setdefault(name, {})[worker] = dict(zip(FIELDS, said, strict=True))
    write_text(path, json.dumps(nested))


def read_once(root: Path, file: str, secondary: bool) -> dict[str, float]:
    """Seconds of reading one layout, and peak memory of this process in GiB."""
    start = time.perf_counter()
    out = root / "labels.csv"
    shares = {"test": 0.1, "dev": 0.05}
    write_labels(out, prepare(root, out, shares, 1, annotations=root / "Labels" / file, secondary=secondary).labels)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTES_PER_GIBIBYTE}


def measure(root: Path, file: str, secondary: bool) -> dict[str, float]:
    """`read_once` in a process of its own, whose peak is no other layout's."""
    words = [sys.executable, __file__, "--read", str(root), file, *(["--secondary"] if secondary else [])]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@command
def main() -> None:
    """Make a release and read it in every layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=120_000, help="recordings (default 120000)")
    parser.add_argument("--annotations", type=int, default=650_000, help="at least five a recording (default 650000)")
    parser.add_argument("--read", nargs=2, metavar=("ROOT", "FILE"), help="only read a release, and print JSON")
    parser.add_argument("--secondary", action="store_true", help="with --read: secondary emotions count")
    args = parser.parse_args()
    if args.read:
        print(json.dumps(read_once(Path(args.read[0]), args.read[1], args.secondary)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_release(Path(folder), args.rows, args.annotations)
        print(f"{args.annotations:,} annotations of {args.rows:,} recordings")
        print(f"{'layout':<12}{'MB':>8}{'seconds':>10}{'peak, GiB':>11}{'with --secondary':>18}{'peak, GiB':>11}")
        for layout, file in LAYOUTS.items():
            size = (Path(folder) / "Labels" / file).stat().st_size / 1e6
            plain, secondary = (measure(Path(folder), file, also) for also in (False, True))
            figures = f"{plain['seconds']:>10.1f}{plain['GiB']:>11.2f}{secondary['seconds']:>18.1f}"
            print(f"{layout:<12}{size:>8.0f}{figures}{secondary['GiB']:>11.2f}")


if __name__ == "__main__":
    main()
