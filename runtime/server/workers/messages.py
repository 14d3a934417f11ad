"""What a server and its worker processes say to each other.

Both sides are this very program, and the socket between them belongs to nobody else, so messages are pickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import HeadwayError
from ..engine.requests import Piece, SequenceRequest
from ..heads.batcher import HeadResult
from ..model_facts import ModelFacts
from ..served_model import HeadRequest, Levels
from ..settings import ServerSettings


@dataclass(frozen=True)
class Load:
    """The first message to a worker: what to load.

    Args:
        name: what requests call the model.
        folder: the artifact.
        settings: limits, and options of loading.
        log_level: of the server's log.
    """

    name: str
    folder: Path
    settings: ServerSettings
    log_level: int


@dataclass(frozen=True)
class RunHead:
    """A request for a head, under a number."""

    number: int
    request: HeadRequest


@dataclass(frozen=True)
class RunSequences:
    """Sequences to generate, under a number."""

    number: int
    requests: tuple[SequenceRequest, ...]


@dataclass(frozen=True)
class Leave:
    """The client of a number has gone."""

    number: int


@dataclass(frozen=True)
class Loaded:
    """A worker's first message: it is ready, and what it has loaded."""

    facts: ModelFacts


@dataclass(frozen=True)
class Failure:
    """An error, taken apart: many cannot be pickled as they are.

    Args:
        kind: its class.
        arguments: what its message is made of.
        state: its attributes.
    """

    kind: type[HeadwayError]
    arguments: tuple[Any, ...]
    state: dict[str, Any]

    @classmethod
    def of(cls, error: HeadwayError) -> Failure:
        """An error, ready to travel."""
        return cls(type(error), error.args, dict(vars(error)))

    def error(self) -> HeadwayError:
        """The error again."""
        error = self.kind.__new__(self.kind)
        error.args = self.arguments
        vars(error).update(self.state)
        return error


@dataclass(frozen=True)
class Outcomes:
    """What a turn produced.

    Args:
        outcomes: numbers of requests, and what each gets.
        rounds: rows and tokens of each batch that ran since the last such message.
    """

    outcomes: list[tuple[int, HeadResult | Piece | Failure]]
    rounds: list[tuple[int, int]]


@dataclass(frozen=True)
class Busyness:
    """How busy the worker is, said when it changes."""

    levels: Levels


def ends_sequence(outcome: Any) -> bool:
    """Whether nothing follows for this sequence, or for this request of a head."""
    return not isinstance(outcome, Piece) or outcome.finish_reason is not None
