"""What a server allows: every limit in one place, each with a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import OptionError


@dataclass(frozen=True)
class EngineSettings:
    """Limits of generation, for each model.

    Args:
        max_sequences: sequences that generate at the same time.
        max_waiting: sequences that wait for a place; more are refused with 429.
        prefill_chunk_tokens: prompt tokens that run between two steps while others generate.
        max_context_tokens: longest prompt and answer together; None takes the model's positions.
        prefix_cache_bytes: memory for beginnings of earlier prompts and answers.
    """

    max_sequences: int = 8
    max_waiting: int = 128
    prefill_chunk_tokens: int = 64
    max_context_tokens: int | None = None
    prefix_cache_bytes: int = 256 << 20


@dataclass(frozen=True)
class HeadSettings:
    """Limits of heads that read a whole text at once, for each model.

    Args:
        max_waiting: requests that wait; more are refused with 429.
        max_round_tokens: tokens of all requests that run before new ones are looked at.
        max_wait_s: longest wait for other requests to join, reached only under load.
        max_client_batch_size: most texts in one request.
    """

    max_waiting: int = 512
    max_round_tokens: int = 4096
    max_wait_s: float = 0.008
    max_client_batch_size: int = 2048


@dataclass(frozen=True)
class ServerSettings:
    """Limits of the whole server.

    Args:
        api_keys: keys that clients must send one of; empty lets everyone in.
        cors_origins: web origins that browsers may call from; none unless asked for.
        max_body_bytes: largest request.
        max_connections: requests in progress at once, over all models; more are refused with 503.
        body_timeout_s: longest time for a request's body to arrive.
        request_timeout_s: longest time from a request to the end of its answer.
        send_timeout_s: longest time a client may take to accept a piece of a streamed answer.
        drain_timeout_s: time that requests in progress have to end once the server is told to stop.
        reload_interval_s: seconds between looks at the artifacts on disk; 0 never looks.
        num_workers: processes for each model, so that one that crashes takes nobody else down; 0 runs all in this one.
        access_log: a line for each request, without contents.
        heads: limits of heads.
        engine: limits of generation.
        load: options of ``from_pretrained`` for every model.
    """

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 8 << 20
    max_connections: int = 1024
    body_timeout_s: float = 30.0
    request_timeout_s: float = 600.0
    send_timeout_s: float = 30.0
    drain_timeout_s: float = 60.0
    reload_interval_s: float = 5.0
    num_workers: int = 0
    access_log: bool = False
    heads: HeadSettings = HeadSettings()
    engine: EngineSettings = EngineSettings()
    load: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for owner in (self, self.heads, self.engine):
            _require_positive(owner)


# Limits that may be zero: the feature is then off.
_MAY_BE_ZERO = ("num_workers", "reload_interval_s", "max_wait_s", "prefix_cache_bytes", "drain_timeout_s")


def _require_positive(settings: object) -> None:
    for name, value in vars(settings).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
            raise OptionError(f"{name} is {value}; a number over 0 is needed.")
