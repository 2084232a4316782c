"""The command line of the five scripts: `SCRIPT CONFIG.yaml [OVERLAY.yaml ...] [key=value ...] [--device D]`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeVar

from medusa.config.load import load_config
from medusa.config.schema import Section

Config = TypeVar("Config", bound=Section)


def parse_script(kind: type[Config], description: str | None) -> Config:
    """Read `sys.argv` into a validated config of the given kind.

    Raises:
        UserError: as `load_config`.
    """
    return load_config(kind, *parse_words(description))


def parse_words(description: str | None) -> tuple[list[Path], list[str]]:
    """Read `sys.argv`: the config file and its overlays, and the `key=value` words."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML file")
    parser.add_argument(
        "changes", nargs="*", metavar="OVERLAY.yaml | key=value", help="overlays, then single keys, applied in order"
    )
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (same as compute.device=...)")
    arguments = parser.parse_intermixed_args()  # --device may stand among the words
    overlays = [Path(word) for word in arguments.changes if "=" not in word]
    overrides = [word for word in arguments.changes if "=" in word]
    if arguments.device is not None:
        overrides.append(f"compute.device={arguments.device}")
    return [arguments.config, *overlays], overrides
