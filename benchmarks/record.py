"""What a benchmark measured, kept as benchmarks/results/<device>/<name>.json and printed; and how it takes time.

    python -m benchmarks.record                            # every figure that is kept, as a Markdown table a device

Every figure is a ratio, and higher is better: where less is wanted, it is turned round (at most 1.1 times the time is
a target of 1 / 1.1).
"""

from __future__ import annotations

import argparse
import datetime
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medusa.device import describe_device, fastest_precision
from medusa.errors import command
from medusa.files import read_json, write_json

RESULTS = Path(__file__).parent / "results"


class Record:
    """One benchmark's figures on one device, written after each: what was measured is not lost.

    A run of the whole benchmark begins the file anew, so that no figure outlives its name. A run of some parts keeps
    the figures of the other parts, if they were measured on the same device and libraries.

    Args:
        name: Of the file.
        device: Where it computes.
        parts: How the names of the figures begin that this run measures anew; None: the whole benchmark.
        **settings: What else it was run with; stands with every figure, beside the date.
    """

    def __init__(self, name: str, device: torch.device, parts: Sequence[str] | None = None, **settings: Any) -> None:
        folder = torch.cuda.get_device_name(device).replace(" ", "-") if device.type == "cuda" else "cpu"
        self.file = RESULTS / folder / f"{name}.json"
        self.device = device
        self.figures: dict[str, dict[str, Any]] = {}
        self.about = {
            "device": describe_device(device),
            "processor": processor(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        self.settings = {"date": datetime.date.today().isoformat(), **settings}
        earlier = read_json(self.file) if parts is not None and self.file.exists() else {}
        if {key: earlier.get(key) for key in self.about} == self.about:
            own = tuple(parts or ())
            self.figures = {name: kept for name, kept in earlier["figures"].items() if not name.startswith(own)}

    def figure(self, name: str, ratio: float, targets: Mapping[str, float] | None = None, **details: Any) -> None:
        """Keep and print one figure; `targets` by device type (cpu, cuda), `details` in units that their names say."""
        target = (targets or {}).get(self.device.type)
        self.figures[name] = {
            "ratio": _rounded(ratio), "target": _rounded(target), **self.settings, **_rounded(details),
        }  # fmt: skip
        write_json(self.file, {**self.about, "figures": self.figures})
        verdict = "" if target is None else f"  (target {target:.4g}: {_verdict(ratio, target)})"
        print(f"{name:<44}{ratio:>9.3g}{verdict}", flush=True)
        for row in details.get("rows", ()):
            print("    " + "  ".join(f"{key} {_rounded(value)}" for key, value in row.items()), flush=True)


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device` and `--threads`."""
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: torch's)")


def markdown(results: Path) -> str:
    """Every figure below a folder of results, one table a device."""
    tables = []
    for folder in sorted({file.parent for file in results.glob("*/*.json")}):
        devices: set[str] = set()
        rows: list[str] = []
        for file in sorted(folder.glob("*.json")):
            kept = read_json(file)
            devices.add(f"{kept['device']}; {kept['processor']}; torch {kept['torch']}")
            rows += [_row(name, f"python -m benchmarks.{file.stem}", own) for name, own in kept["figures"].items()]
        head = ["| figure | command | measured | target | | date |", "|---|---|---:|---:|---|---|"]
        tables.append("\n".join([f"{folder.name}: {' / '.join(sorted(devices))}", "", *head, *rows]))
    return "\n\n".join(tables)


def _row(name: str, measured_by: str, figure: Mapping[str, Any]) -> str:
    ratio, target = figure["ratio"], figure["target"]
    wanted, verdict = ("–", "") if target is None else (f"{target:.3g}", _verdict(ratio, target))
    return f"| {name} | `{measured_by}` | {ratio:.3g} | {wanted} | {verdict} | {figure['date']} |"


def _verdict(ratio: float, target: float) -> str:
    return "met" if ratio >= target else "MISSED"


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, with what it left running on a GPU."""
    _wait_for(device)
    started = time.perf_counter()
    work()
    _wait_for(device)
    return time.perf_counter() - started


def in_turn(
    works: Mapping[str, Callable[[], object]], repeats: int, device: torch.device, warm_up: bool = True
) -> dict[str, float]:
    """Median seconds of each, with `warm_up` after one uncounted call; in turn, so that all meet the same machine."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(-warm_up, repeats):
        for name, work in works.items():
            spent = seconds_of(work, device)
            if number >= 0:
                seconds[name].append(spent)
    return {name: float(np.median(own)) for name, own in seconds.items()}


def least_of(works: Sequence[Callable[[], object]], repeats: int, device: torch.device) -> list[float]:
    """The least seconds of each, in turn: for growth, where a pause of the machine would bend the curve."""
    rounds = [[seconds_of(work, device) for work in works] for _ in range(repeats)]
    return [min(own) for own in zip(*rounds, strict=True)]


def growth(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Exponent e of seconds ~ size ** e, by least squares over the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def processor() -> str:
    """The CPU's name, the widest instructions that torch uses on it, and whether it has some for bf16.

    Clouds call processors of several generations by one name.
    """
    bf16 = "with" if fastest_precision(torch.device("cpu")) == "bf16" else "without"
    return f"{_processor_name()}, {torch.backends.cpu.get_cpu_capability()}, {bf16} bf16"


def _processor_name() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _rounded(value: Any) -> Any:
    """Four significant digits are more than a timing has."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(own) for key, own in value.items()}
    return [_rounded(own) for own in value] if isinstance(value, list) else value


@command
def main() -> None:
    """Print what is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder of one folder a device")
    print(markdown(parser.parse_args().results))


if __name__ == "__main__":
    main()
