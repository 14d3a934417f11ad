"""``headway triton``: an artifact as a model of a Triton Inference Server's repository."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..errors import OptionError

if TYPE_CHECKING:
    from ..server.triton_config import Scheduling

HELP = "write an artifact into a Triton model repository"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="DIR", help="artifact folder or hub id")
    parser.add_argument("repository", metavar="REPO", help="model repository; made if it is not there")
    parser.add_argument("--name", help="name of the model (default: the folder's)")
    parser.add_argument("--dtype", help="precision to write (default: fp32, or the first there is)")
    parser.add_argument("--text", action="store_true", help="also write NAME_text, which takes texts (Python backend)")
    parser.add_argument("--max-batch-size", type=int, default=64, metavar="N", help="most rows joined (default: 64)")
    parser.add_argument(
        "--queue-delay-us", type=int, default=500, metavar="N", help="microseconds to wait for rows (default: 500)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--instances", type=int, default=1, metavar="N", help="copies of the model (default: 1)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads within an operator (default: Triton's)")
    parser.add_argument("--overwrite", action="store_true", help="replace a model of the same name")


def run(arguments: argparse.Namespace) -> int:
    """Write the models and say where they are."""
    from ..server.triton import write_triton_repository

    folders = write_triton_repository(
        arguments.model,
        arguments.repository,
        name=arguments.name,
        dtype=arguments.dtype,
        scheduling=_scheduling(arguments),
        text=arguments.text,
        overwrite=arguments.overwrite,
    )
    sys.stdout.write("".join(f"{folder}\n" for folder in folders))
    return 0


def _scheduling(arguments: argparse.Namespace) -> Scheduling:
    from ..server.triton_config import DEVICES, Scheduling

    if arguments.device not in DEVICES:
        raise OptionError(f"--device is {arguments.device!r}; it must be one of {', '.join(DEVICES)}.")
    limits = {"--max-batch-size": arguments.max_batch_size, "--instances": arguments.instances}
    if arguments.threads is not None:
        limits["--threads"] = arguments.threads
    for flag, value in limits.items():
        if value < 1:
            raise OptionError(f"{flag} is {value}; it must be at least 1.")
    if arguments.queue_delay_us < 0:
        raise OptionError(f"--queue-delay-us is {arguments.queue_delay_us}; it must be at least 0.")
    return Scheduling(
        arguments.max_batch_size, arguments.queue_delay_us, arguments.device, arguments.instances, arguments.threads
    )
