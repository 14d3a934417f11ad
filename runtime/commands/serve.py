"""``headway serve``: artifacts behind HTTP, for clients of OpenAI, text-embeddings-inference, Cohere and KServe."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArtifactNotFoundError, MissingExtraError, OptionError
from .common_options import add_device_options

if TYPE_CHECKING:
    from ..server.settings import ServerSettings

HELP = "serve artifacts over HTTP: chat, embeddings, every head"

# Flag → (setting, type, help); the setting's own default applies.
_SERVER_LIMITS: Mapping[str, tuple[str, type, str]] = {
    "--max-body-bytes": ("max_body_bytes", int, "largest request (default: 8 MiB)"),
    "--max-connections": ("max_connections", int, "requests in progress at once (default: 1024)"),
    "--body-timeout": ("body_timeout_s", float, "seconds for a request's body to arrive (default: 30)"),
    "--request-timeout": ("request_timeout_s", float, "seconds from a request to its whole answer (default: 600)"),
    "--send-timeout": ("send_timeout_s", float, "seconds a client may take to accept a piece (default: 30)"),
    "--drain-timeout": ("drain_timeout_s", float, "seconds for requests in progress on SIGTERM (default: 60)"),
    "--reload-interval": ("reload_interval_s", float, "seconds between looks at the artifacts; 0: never (default: 5)"),
}
_HEAD_LIMITS: Mapping[str, tuple[str, type, str]] = {
    "--max-batch-tokens": ("max_round_tokens", int, "tokens of all clients that run together (default: 4096)"),
    "--max-batch-wait": ("max_wait_s", float, "longest wait for others under load, in seconds (default: 0.008)"),
    "--max-client-batch": ("max_client_batch_size", int, "most texts in one request (default: 2048)"),
    "--max-queue": ("max_waiting", int, "requests that wait for each model (default: 512)"),
}
_ENGINE_LIMITS: Mapping[str, tuple[str, type, str]] = {
    "--max-sequences": ("max_sequences", int, "sequences that generate at the same time (default: 8)"),
    "--max-waiting-sequences": ("max_waiting", int, "sequences that wait (default: 128)"),
    "--max-context": ("max_context_tokens", int, "longest prompt and answer (default: the model's)"),
    "--prefill-chunk": ("prefill_chunk_tokens", int, "prompt tokens between two steps of others (default: 64)"),
}
# Flag → (option of RayOptions, type, help); the option's own default applies.
_RAY_OPTIONS: Mapping[str, tuple[str, type, str]] = {
    "--min-replicas": ("min_replicas", int, "replicas that are always there (default: 1)"),
    "--max-replicas": ("max_replicas", int, "most replicas (default: 4)"),
    "--target-requests": ("target_requests", float, "requests that one replica should have (default: 16)"),
    "--gpus-per-replica": ("num_gpus", float, "GPUs of each replica (default: 0)"),
    "--ray-address": ("address", str, "a running cluster (default: one on this machine)"),
}

_METAVARS: Mapping[type, str] = {int: "N", float: "X", str: "ADDRESS"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "models", metavar="[NAME=]DIR", nargs="+", help="artifact folder; its name unless NAME= is given"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 takes a free one (default: 8000)")
    parser.add_argument("--api-key", action="append", default=[], metavar="KEY", help="key that clients must send")
    parser.add_argument("--api-key-file", metavar="FILE", help="file with a key on each line")
    parser.add_argument("--cors-origin", action="append", default=[], metavar="URL", help="web origin that may call")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes for each model, so that one that crashes takes nobody else down; 0: none (default: 1)",
    )
    parser.add_argument("--access-log", action="store_true", help="a line for each request, without its contents")
    parser.add_argument("--dtype", help="precision to load (default: fp32, or the first there is)")
    add_device_options(parser)
    limits = parser.add_argument_group("limits")
    for table in (_SERVER_LIMITS, _HEAD_LIMITS, _ENGINE_LIMITS):
        for flag, (_, kind, text) in table.items():
            limits.add_argument(flag, type=kind, metavar=_METAVARS[kind], help=text)
    limits.add_argument("--prefix-cache-mb", type=int, metavar="N", help="memory for earlier prompts (default: 256)")
    ray = parser.add_argument_group("Ray")
    ray.add_argument("--ray", action="store_true", help="run replicas on a Ray cluster, as many as the queue asks for")
    for flag, (_, kind, text) in _RAY_OPTIONS.items():
        ray.add_argument(flag, type=kind, metavar=_METAVARS[kind], help=text)


def run(arguments: argparse.Namespace) -> int:
    """Load the models and answer requests until stopped."""
    folders = model_folders(arguments.models)
    settings = _settings(arguments)
    try:
        from ..server.lifecycle import open_socket, serve
        from ..server.server import Server
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"`headway serve` needs {error.name}. Install headway[serve]: pip install 'headway[serve]'."
        ) from error
    if arguments.access_log:
        logging.getLogger("headway.access").setLevel(logging.INFO)
    if arguments.ray:
        return _run_on_ray(arguments, folders, settings)
    listener = open_socket(arguments.host, arguments.port)
    server = Server(folders, settings)
    host, port = listener.getsockname()[:2]

    def say_ready() -> None:
        sys.stderr.write(
            f"headway: serving {', '.join(m.name for m in server.registry.served)} on http://{host}:{port}\n"
        )
        sys.stderr.flush()

    serve(server, listener, say_ready)
    return 0


def _run_on_ray(arguments: argparse.Namespace, folders: Mapping[str, Path], settings: ServerSettings) -> int:
    from ..server.ray_serve import RayOptions, serve_on_ray

    def say_ready() -> None:
        sys.stderr.write(
            f"headway: serving {', '.join(folders)} on http://{arguments.host}:{arguments.port}, by Ray Serve\n"
        )
        sys.stderr.flush()

    options = RayOptions(**_given(arguments, _RAY_OPTIONS))
    serve_on_ray(folders, settings, options, arguments.host, arguments.port, say_ready)
    return 0


def model_folders(given: list[str]) -> dict[str, Path]:
    """Name → folder of ``[NAME=]DIR`` arguments.

    Raises:
        OptionError: two models of one name, or an empty name.
    """
    folders: dict[str, Path] = {}
    for argument in given:
        name, separator, folder = argument.partition("=")
        if not separator:
            # The name that was written, also where it is a link to a folder of another name.
            name, folder = Path(os.path.abspath(argument)).name, argument
        if not name or not folder:
            raise OptionError(f"{argument!r} is not [NAME=]DIR.")
        if name in folders:
            raise OptionError(f"Two models are called {name}; name one with NAME=DIR.")
        folders[name] = Path(folder).expanduser()
    return folders


def _settings(arguments: argparse.Namespace) -> ServerSettings:
    from ..server.settings import EngineSettings, HeadSettings, ServerSettings

    load = {"dtype": arguments.dtype, "device": arguments.device, "num_threads": arguments.threads}
    engine = _given(arguments, _ENGINE_LIMITS)
    if arguments.prefix_cache_mb is not None:
        engine["prefix_cache_bytes"] = arguments.prefix_cache_mb << 20
    return ServerSettings(
        api_keys=_api_keys(arguments),
        cors_origins=tuple(arguments.cors_origin),
        access_log=arguments.access_log,
        num_workers=arguments.workers,
        heads=HeadSettings(**_given(arguments, _HEAD_LIMITS)),
        engine=EngineSettings(**engine),
        load={name: value for name, value in load.items() if value is not None},
        **_given(arguments, _SERVER_LIMITS),
    )


def _given(arguments: argparse.Namespace, table: Mapping[str, tuple[str, type, str]]) -> dict[str, Any]:
    """Settings whose flags were given."""
    values = {name: getattr(arguments, flag.removeprefix("--").replace("-", "_")) for flag, (name, *_) in table.items()}
    return {name: value for name, value in values.items() if value is not None}


def _api_keys(arguments: argparse.Namespace) -> tuple[str, ...]:
    keys = list(arguments.api_key)
    if arguments.api_key_file is not None:
        try:
            lines = Path(arguments.api_key_file).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError as error:
            raise ArtifactNotFoundError(f"{arguments.api_key_file} is not there; pass a file with keys.") from error
        keys += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not keys:
            raise OptionError(f"{arguments.api_key_file} holds no key; put one on a line.")
    return tuple(keys)
