"""What several commands declare alike: where on the hub a model comes from, and what it runs on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

_HUB_OPTIONS: Mapping[str, str] = {
    "--revision": "branch, tag or commit on the hub",
    "--subfolder": "the artifact's folder inside the repository",
    "--cache-dir": "where hub downloads are kept",
    "--token": "hub access token",
}


def add_hub_options(parser: argparse._ActionsContainer, **other_texts: str) -> None:
    """Declare where on the hub a model comes from.

    Args:
        parser: or a group of one.
        other_texts: name of an option → its help, where the common one does not fit.
    """
    for flag, text in _HUB_OPTIONS.items():
        parser.add_argument(flag, help=other_texts.get(_name(flag), text))


def hub_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What :func:`add_hub_options` declared, as options of ``from_pretrained``."""
    return {_name(flag): getattr(arguments, _name(flag)) for flag in _HUB_OPTIONS}


def add_device_options(parser: argparse._ActionsContainer) -> None:
    """Declare what a model runs on."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or openvino (default: auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads within an operator (default: usable CPUs)")


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
