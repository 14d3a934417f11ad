"""The same server on a Ray cluster: replicas of the application, as many as its queue asks for.

Each replica is the whole application with every model, in a process of its own. On one node they map one prepared file
of weights (:mod:`headway.runtime.session_cache`), which the system holds in memory once. Ray's proxy speaks HTTP and
shares requests out.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArtifactNotFoundError, MissingExtraError, OptionError
from .settings import ServerSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

logger = logging.getLogger("headway")

APPLICATION_NAME = "headway"
_DEFAULT_THREADS = 2


@dataclass(frozen=True)
class RayOptions:
    """How many replicas there are, and where.

    Args:
        min_replicas: that are always there.
        max_replicas: the most there may be.
        target_requests: requests, waiting and running, that one replica should have; more of them add a replica.
        upscale_delay_s: seconds that there must be too many before a replica is added.
        downscale_delay_s: seconds that there must be too few before one is taken away.
        address: of a running cluster; None starts one on this machine, or joins the one that the environment names.
        num_gpus: GPUs of each replica.
    """

    min_replicas: int = 1
    max_replicas: int = 4
    target_requests: float = 16.0
    upscale_delay_s: float = 5.0
    downscale_delay_s: float = 300.0
    address: str | None = None
    num_gpus: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise OptionError(
                f"Replicas are to be {self.min_replicas} to {self.max_replicas}; at least 1 is needed, and the most "
                "must not be under the least."
            )
        if self.target_requests <= 0:
            raise OptionError(f"target_requests is {self.target_requests}; a number over 0 is needed.")


def ray_application(folders: Mapping[str, Path], settings: ServerSettings, options: RayOptions) -> Any:
    """The Ray Serve application: a deployment whose replicas build the ASGI application.

    Args:
        folders: name → artifact folder, at the same place on every node.
        settings: limits, of each replica.
        options: replicas.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    serve = _import_serve()
    settings = _replica_settings(settings)
    absolute = {name: folder.resolve() for name, folder in folders.items()}

    def build() -> ASGIApp:
        return _replica_app(absolute, settings)

    deployment = serve.deployment(serve.ingress(build)()).options(
        name=APPLICATION_NAME,
        ray_actor_options={"num_cpus": settings.load["num_threads"], "num_gpus": options.num_gpus},
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "initial_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "target_ongoing_requests": options.target_requests,
            "upscale_delay_s": options.upscale_delay_s,
            "downscale_delay_s": options.downscale_delay_s,
        },
        # The application counts and refuses by itself, with the answers that clients know.
        max_ongoing_requests=settings.max_connections,
        graceful_shutdown_timeout_s=settings.drain_timeout_s,
    )
    return deployment.bind()


def serve_on_ray(
    folders: Mapping[str, Path],
    settings: ServerSettings,
    options: RayOptions,
    host: str,
    port: int,
    when_ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the application on Ray until SIGTERM or SIGINT; then drain and take it away.

    Args:
        folders: name → artifact folder, at the same place on every node.
        settings: limits, of each replica.
        options: replicas.
        host: address that Ray's proxies listen on.
        port: their port.
        when_ready: called once requests are answered.

    Raises:
        MissingExtraError: Ray is not installed.
        ArtifactNotFoundError: no replica could load a model.
    """
    application = ray_application(folders, settings, options)
    serve = _import_serve()
    import ray

    is_told_to_stop = threading.Event()
    is_joined = options.address is not None or bool(os.environ.get("RAY_ADDRESS"))
    own = {} if is_joined else {"include_dashboard": False}
    ray.init(address=options.address, log_to_driver=False, ignore_reinit_error=True, **own)
    try:
        serve.start(http_options={"host": host, "port": port})
        try:
            serve.run(application, name=APPLICATION_NAME, route_prefix="/")
        except RuntimeError as error:
            raise ArtifactNotFoundError(
                f"No replica could start; `ray logs` of the deployment {APPLICATION_NAME} says why: {error}"
            ) from error
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: is_told_to_stop.set())
        when_ready()
        is_told_to_stop.wait()
    finally:
        serve.shutdown()
        ray.shutdown()


def _replica_app(folders: Mapping[str, Path], settings: ServerSettings) -> ASGIApp:
    """The application with its models, in a replica's process.

    Raises:
        ArtifactNotFoundError: no model could be loaded.
    """
    from .app import create_app
    from .server import Server

    server = Server(folders, settings)
    server.registry.load_all()
    if not server.registry.served:
        raise ArtifactNotFoundError(f"No model could be loaded: {' '.join(server.registry.failures.values())}")
    return create_app(server)


def _replica_settings(settings: ServerSettings) -> ServerSettings:
    """Settings of a replica: Ray starts one anew that dies, and weights are mapped from one file."""
    load = {"num_threads": _DEFAULT_THREADS, "session_cache": True, **settings.load}
    return replace(settings, num_workers=0, load=load)


def _import_serve() -> Any:
    try:
        from ray import serve
    except ImportError as error:
        raise MissingExtraError(
            "`headway serve --ray` needs Ray. Install headway[ray]: pip install 'headway[ray]'."
        ) from error
    return serve
