"""How long `medusa prepare msp-podcast` reads, and how much memory it takes, for each layout of the annotations.

    python -m benchmarks.msp_podcast                       # about a minute on two CPU cores

Makes up a release of the size of the real one in a temporary folder, and reads each of its layouts in a process of its
own. Seconds are those of reading, splitting and writing labels.csv, without the start of Python and the data card;
figures are a minute by them, and a GiB by the peak of memory, in both cases with the primary emotions alone; beside
them stands what they are with --secondary. All layouts give the same labels.csv, which is asserted.
Writes benchmarks/results/cpu/msp_podcast.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.processes import alone, peak_resident
from medusa.corpora.labels import ATTRIBUTES, write_labels
from medusa.corpora.msp_annotations import DETAIL, WORKER
from medusa.corpora.msp_layout import EMOTIONS, FIELDS
from medusa.corpora.msp_podcast import CONSENSUS_COLUMNS, prepare
from medusa.errors import command
from medusa.files import sha256, write_csv, write_text

if TYPE_CHECKING:
    from benchmarks.record import Record

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
    # Neighbours of one drawn for the recording: nobody hears it twice, which the layout in JSON could not say.
    workers = (random.integers(0, WORKERS, rows)[of_row] + table.groupby("FileName").cumcount()) % WORKERS
    table[WORKER] = [f"WORKER{worker:08d}" for worker in workers.tolist()]
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
    """Seconds of reading one layout, and peak memory of this process in GiB; leaves labels.csv in `root`."""
    start = time.perf_counter()
    out = root / "labels.csv"
    shares = {"test": 0.1, "dev": 0.05}
    write_labels(out, prepare(root, out, shares, 1, annotations=root / "Labels" / file, secondary=secondary).labels)
    return {"seconds": time.perf_counter() - start, "GiB": peak_resident() / 2**30}


def measure(root: Path, file: str, secondary: bool) -> tuple[dict[str, float], str]:
    """`read_once` in a process of its own, whose peak is no other layout's; and a checksum of what it wrote."""
    found = alone(read_once, root, file, secondary)
    return found, sha256(root / "labels.csv")


def keep(record: Record, layout: str, plain: dict[str, float], secondary: dict[str, float]) -> None:
    """Two figures of one layout."""
    record.figure(f"{layout}: a minute / reading", 60 / plain["seconds"],
                  seconds=plain["seconds"], seconds_with_secondary=secondary["seconds"])  # fmt: skip
    record.figure(f"{layout}: 1 GiB / peak of memory", 1 / plain["GiB"],
                  gibibytes=plain["GiB"], gibibytes_with_secondary=secondary["GiB"])  # fmt: skip


@command
def main() -> None:
    """Make a release and read it in every layout."""
    import torch  # here: the process that reads imports this file, and torch would be most of its memory

    from benchmarks.record import Record

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=120_000, help="recordings (default 120000)")
    parser.add_argument("--annotations", type=int, default=650_000, help="at least five a recording (default 650000)")
    args = parser.parse_args()
    record = Record("msp_podcast", torch.device("cpu"), rows=args.rows, annotations=args.annotations)
    written: dict[bool, set[str]] = {False: set(), True: set()}
    with tempfile.TemporaryDirectory() as folder:
        make_release(Path(folder), args.rows, args.annotations)
        print(f"{args.annotations:,} annotations of {args.rows:,} recordings")
        print(f"{'layout':<12}{'MB':>8}{'seconds':>10}{'peak, GiB':>11}{'with --secondary':>18}{'peak, GiB':>11}")
        found: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
        for layout, file in LAYOUTS.items():
            size = (Path(folder) / "Labels" / file).stat().st_size / 1e6
            (plain, one), (secondary, other) = (measure(Path(folder), file, also) for also in (False, True))
            written[False].add(one)
            written[True].add(other)
            found[layout] = plain, secondary
            figures = f"{plain['seconds']:>10.1f}{plain['GiB']:>11.2f}{secondary['seconds']:>18.1f}"
            print(f"{layout:<12}{size:>8.0f}{figures}{secondary['GiB']:>11.2f}")
    assert all(len(labels) == 1 for labels in written.values()), "layouts of one release differ in their labels.csv"
    for layout, measured in found.items():
        keep(record, layout, *measured)


if __name__ == "__main__":
    main()
