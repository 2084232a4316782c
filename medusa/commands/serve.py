"""`python -m medusa serve BUNDLE`: a page in the browser that says how a clip sounds."""

from __future__ import annotations

import argparse
import sys

HELP = "serve a page that records or takes a clip and shows its emotions (needs requirements-app.txt)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of the bundle, or its id on a hub")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: 7860; 0: any free one)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def run(args: argparse.Namespace) -> None:
    """Serve until Ctrl-C."""
    from medusa.app.serve import serve

    if args.host not in {"127.0.0.1", "::1", "localhost"}:
        print(
            f"warning: --host {args.host}: the page has no password; whoever reaches this address can use it",
            file=sys.stderr,
        )
    serve(args.bundle, args.host, args.port, args.device)
