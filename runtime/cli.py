"""The ``headway`` command: one entry point, one module for each subcommand.

Exit status: 0 done, 1 failed with one line on stderr, 2 usage, 130 interrupted, 143 terminated. ``--debug`` shows
tracebacks.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from .errors import HeadwayError

# Command → the module that declares its arguments and runs it.
COMMANDS: Mapping[str, str] = {
    "export": "headway.export.cli",
    "inspect": "headway.runtime.commands.inspect",
    "tune": "headway.runtime.commands.tune",
    "bench": "headway.runtime.commands.bench",
    "run": "headway.runtime.commands.run",
    "generate": "headway.runtime.commands.generate",
    "chat": "headway.runtime.commands.chat",
    "serve": "headway.runtime.commands.serve",
    "triton": "headway.runtime.commands.triton",
}

# What commands call the texts that they take any number of.
_REPEATED_POSITIONALS = ("texts", "prompts")

# Command → the extra that brings what it needs beyond the runtime.
_EXTRAS: Mapping[str, str] = {"export": "export"}


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception, so that half-written folders are cleaned up on the way out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status.

    Args:
        argv: the arguments; None takes those of the process.
    """
    arguments = _parse(argv)
    with _log_on_stderr(arguments.verbose), _termination_as_exception():
        try:
            status = int(arguments.module.run(arguments))
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader of our output left (`headway run … | head`): not an error, and nobody reads a message.
            _discard_stdout()
            return 0
        except BaseException as error:
            if arguments.debug and not isinstance(error, SystemExit):
                raise
            return _explain(error, arguments.command)
    return status


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; texts may also follow options, which argparse alone does not take."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    name = next((name for name in _REPEATED_POSITIONALS if hasattr(arguments, name)), None)
    # After "--" everything is a text; before it, what starts with a dash was meant as an option.
    split = rest.index("--") if "--" in rest else len(rest)
    if (rest and name is None) or any(argument.startswith("-") for argument in rest[:split]):
        arguments.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if name is not None:
        setattr(arguments, name, [*getattr(arguments, name), *rest[:split], *rest[split + 1 :]])
    return arguments


def _explain(error: BaseException, command: str) -> int:
    """One line on stderr, and the exit status."""
    if isinstance(error, Terminated):
        return _fail("terminated", 143)
    if isinstance(error, KeyboardInterrupt):
        return _fail("interrupted", 130)
    if isinstance(error, HeadwayError | OSError):
        return _fail(str(error), 1)
    if isinstance(error, ModuleNotFoundError) and command in _EXTRAS:
        return _fail(f"`headway {command}` needs {error.name}. Install headway[{_EXTRAS[command]}].", 1)
    if isinstance(error, Exception):
        return _fail(f"unexpected {type(error).__name__}: {error}. Run again with --debug for the traceback.", 1)
    raise error


def _fail(message: str, status: int) -> int:
    # The console may not be able to write every character.
    text = f"headway: {' '.join(message.split())}\n"
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(text.encode(encoding, errors="backslashreplace").decode(encoding))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headway", description="Export models to ONNX and run them without PyTorch.")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument("--verbose", action="store_true", help="say what is chosen, such as the device")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(module_name)
        subparser = commands.add_parser(name, help=module.HELP, description=module.HELP)
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        subparser.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        module.add_arguments(subparser)
        subparser.set_defaults(module=module, parser=subparser)
    return parser


@contextlib.contextmanager
def _log_on_stderr(verbose: bool) -> Iterator[None]:
    logger = logging.getLogger("headway")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("headway: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextlib.contextmanager
def _termination_as_exception() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    raise Terminated


def _discard_stdout() -> None:
    # Without this the interpreter's last flush would fail and complain.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
