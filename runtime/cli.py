"""The ``headway`` command: one entry point, one module for each subcommand.

Exit status: 0 done, 1 failed with one line on stderr, 2 usage, 130 interrupted. ``--debug`` shows tracebacks.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from .errors import HeadwayError

# Command → the module that declares its arguments and runs it.
COMMANDS: Mapping[str, str] = {
    "export": "headway.export.cli",
    "inspect": "headway.runtime.cli_inspect",
    "run": "headway.runtime.cli_run",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status."""
    arguments = _parser().parse_args(argv)
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        return int(arguments.module.run(arguments))
    except KeyboardInterrupt:
        sys.stderr.write("headway: interrupted\n")
        return 130
    except BrokenPipeError:
        # The reader of our output left (`headway run … | head`): not an error, and nobody reads a message.
        sys.stderr.close()
        return 0
    except (HeadwayError, OSError) as error:
        if arguments.debug:
            raise
        sys.stderr.write(f"headway: {' '.join(str(error).split())}\n")
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headway", description="Export models to ONNX and run them without PyTorch.")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module_name in COMMANDS.items():
        module = _command_module(module_name)
        subparser = commands.add_parser(name, help=module.HELP, description=module.HELP)
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        module.add_arguments(subparser)
        subparser.set_defaults(module=module)
    return parser


def _command_module(name: str) -> Any:
    return importlib.import_module(name)


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    # As an exception, so that half-written folders are cleaned up on the way out.
    raise KeyboardInterrupt
