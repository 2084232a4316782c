"""Compute the features of one backbone over a corpus: python extract_features.py configs/features/wavlm-large.yaml."""

from __future__ import annotations

from medusa.config.arguments import parse_script
from medusa.config.schema import ExtractConfig
from medusa.errors import command


@command
def main() -> None:
    """Read the config, fill the store, say where it is."""
    config = parse_script(ExtractConfig, __doc__)
    from medusa.features.extract import extract  # after --help: loads torch and transformers

    print(extract(config))


if __name__ == "__main__":
    main()
