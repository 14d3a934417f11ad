"""What a peer's module gives: an engine that answers requests, with what is measured apart from what is not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Ids = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Settings:
    """What an engine is started with.

    Args:
        checkpoint: folder of the PyTorch checkpoint.
        work: folder where engines keep what they convert; it is kept between runs.
        artifact: Headway's export of the checkpoint.
        threads: that the engine may use.
        precision: in the engine's own words.
        options: whatever else tells one engine of a module from another.
    """

    checkpoint: Path
    work: Path
    artifact: Path
    threads: int
    precision: str = "fp32"
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Settings":
        """The settings that :meth:`to_json` wrote."""
        paths = {name: Path(values[name]) for name in ("checkpoint", "work", "artifact")}
        return cls(**{**values, **paths})

    def to_json(self) -> dict[str, Any]:
        """As a process is told them."""
        paths = {name: str(getattr(self, name)) for name in ("checkpoint", "work", "artifact")}
        return {**vars(self), **paths}


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Engine:
    """A loaded model, ready to be asked.

    Args:
        call: what is measured; it takes what ``prepare`` gives.
        prepare: the request's fields → the call's input, in the engine's own form.
        answer: the call's result → something that JSON holds.
        score: (rows of ids) → the natural logarithm of each next token's probability, for perplexity.
        files: what the engine loaded: its size on disk is reported.
    """

    call: Callable[[Any], Any]
    prepare: Callable[..., Any]
    answer: Callable[[Any], Any] = _unchanged
    score: Callable[[Ids], list[list[float]]] | None = None
    files: Sequence[Path] = ()
