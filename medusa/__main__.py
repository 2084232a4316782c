"""`python -m medusa SUBCOMMAND` (or `medusa SUBCOMMAND`): every module of `medusa.commands` is a subcommand.

Such a module has `HELP`, `add_arguments(parser)` and `run(args)`, and imports what is heavy inside `run`, so that
`--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from medusa import commands, errors


@errors.command
def main(argv: Sequence[str] | None = None) -> None:
    """Run one subcommand; only its module is imported."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    modules = {found.name.replace("_", "-"): found.name for found in pkgutil.iter_modules(commands.__path__)}
    named = arguments[:1] if arguments and arguments[0] in modules else sorted(modules)

    parser = argparse.ArgumentParser(prog="medusa", description="Speech emotion recognition, from recordings to soup.")
    subcommands = parser.add_subparsers(metavar="SUBCOMMAND", required=True)
    for name in named:
        module = importlib.import_module(f"medusa.commands.{modules[name]}")
        subcommand = subcommands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(subcommand)
        subcommand.set_defaults(run=module.run)
    args = parser.parse_args(arguments)
    args.run(args)


if __name__ == "__main__":
    main()
